/* OpenSSL 3.0: TLS 1.2 and 1.3.
 *
 * A SSL_CTX is made once and then only read.  The BIO below is memory to the library: it never
 * blocks on writing, so a KeyUpdate or alert that has to be sent while reading needs no retry.
 */
#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/tls/cert.h"
#include "common/tls/creds_openssl.h"
#include "common/tls/tls_int.h"

struct tls_engine {
    SSL *ssl;
    struct tls *t;
    char *sni;  /* server: what the client asked for */
    bool stale; /* server: the ticket's key is no longer the current one */
};

const char *tls_provider(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

/* the library's words for the last error, which it forgets; "" without one */
static const char *err_words(void)
{
    const char *s = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return s != NULL ? s : "";
}

/* ---- record buffers
 * ------------------------------------------------------------------------------ A session at rest
 * holds none (SSL_MODE_RELEASE_BUFFERS), so that every record takes one of 17 KB and gives it back.
 * malloc() would make that a good part of what a small record costs; so a few of that size are kept
 * per thread.  */

#define BUFFER_MIN  16384u /* what the library may ask for as a record's buffer */
#define BUFFER_SIZE 20480u
#define KEPT_MAX    8

static __thread struct {
    void *p[KEPT_MAX];
    unsigned n;
} kept;

static void *hook_malloc(size_t n, const char *file, int line)
{
    if (n < BUFFER_MIN || n > BUFFER_SIZE)
        return malloc(n);
    return kept.n > 0 ? kept.p[--kept.n] : malloc(BUFFER_SIZE);
}

static void hook_free(void *p, const char *file, int line)
{
    size_t n = malloc_usable_size(p);

    if (n >= BUFFER_SIZE && n < BUFFER_SIZE + 64 && kept.n < KEPT_MAX)
        kept.p[kept.n++] = p;
    else
        free(p);
}

static void *hook_realloc(void *p, size_t n, const char *file, int line)
{
    return realloc(p, n);
}

/* the library takes these only before its first allocation; without them it is only slower */
__attribute__((constructor)) static void hooks_set(void)
{
    (void)CRYPTO_set_mem_functions(hook_malloc, hook_realloc, hook_free);
}

unsigned tls_engine_kept(void)
{
    return kept.n;
}

void tls_engine_keep(unsigned n)
{
    while (kept.n > n)
        free(kept.p[--kept.n]);
}

/* ---- contexts
 * ------------------------------------------------------------------------------------ */

struct prov_ctx {
    SSL_CTX *ssl;
    unsigned char *alpn; /* as on the wire: length byte, name, ... */
    size_t alpn_n;
    bool mesh;
};

#define SUITES_ECDSA "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
#define SUITES_RSA   "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES_256   "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_13    "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define GROUPS       "X25519:P-256:P-384"
#define SIGALGS                                                                                    \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"         \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* all our key exchanges have the leaf sign (RFC 5280 4.2.1.3; absent allows everything) */
static bool may_sign(X509 *x)
{
    return (X509_get_key_usage(x) & KU_DIGITAL_SIGNATURE) != 0;
}

static int ctx_own(SSL_CTX *c, struct creds_of_provider *cp, const struct tls_conf *conf,
                   struct err *e)
{
    if (cp->own == NULL)
        return 0;
    if (conf->server &&
        (!may_sign(cp->own) || X509_check_purpose(cp->own, X509_PURPOSE_SSL_SERVER, 0) != 1))
        return tls_ctx_bad_usage(e);
    if (SSL_CTX_use_certificate(c, cp->own) != 1 || SSL_CTX_set1_chain(c, cp->chain) != 1 ||
        SSL_CTX_use_PrivateKey(c, cp->key) != 1)
        return err_set(e, "cert_pem: %s", err_words());
    return 0;
}

static int ctx_roots(SSL_CTX *c, struct creds_of_provider *cp, const struct tls_conf *conf,
                     struct err *e)
{
    SSL_CTX_set1_cert_store(c, cp->store);
    for (int i = 0; conf->server && i < sk_X509_num(cp->roots); i++)
        if (SSL_CTX_add_client_CA(c, sk_X509_value(cp->roots, i)) != 1)
            return err_set(e, "ca_pem: %s", err_words());
    return 0;
}

static int version_of(enum tls_version v)
{
    return v == TLS_V_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

static int ctx_versions(SSL_CTX *c, const struct tls_conf *conf, struct err *e)
{
    int max = conf->max == TLS_V_AUTO ? 0 : version_of(conf->max);

    if (SSL_CTX_set_min_proto_version(c, version_of(conf->min)) != 1 ||
        SSL_CTX_set_max_proto_version(c, max) != 1)
        return err_set(e, "min, max: this TLS version is not available (%s)", err_words());
    return 0;
}

static int ctx_alpn(struct prov_ctx *pc, const struct tls_conf *conf, struct err *e)
{
    for (const char *const *a = conf->alpn; a != NULL && *a != NULL; a++) {
        size_t n = strlen(*a);
        if (n == 0 || n > 255)
            return err_set(e, "alpn: a protocol name must have 1 to 255 bytes");
        pc->alpn = xrealloc(pc->alpn, pc->alpn_n + n + 1);
        pc->alpn[pc->alpn_n] = (unsigned char)n;
        memcpy(pc->alpn + pc->alpn_n + 1, *a, n);
        pc->alpn_n += n + 1;
    }
    if (pc->alpn_n > 0 && !conf->server &&
        SSL_CTX_set_alpn_protos(pc->ssl, pc->alpn, (unsigned)pc->alpn_n) != 0)
        return err_set(e, "alpn: %s", err_words());
    return 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned in_n, void *arg)
{
    const struct prov_ctx *pc = arg;
    struct tls_engine *g = SSL_get_app_data(ssl);
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_n, pc->alpn, (unsigned)pc->alpn_n, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED) {
        tls_fail(g->t, "the client offers none of our application protocols (ALPN)");
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int on_hello(SSL *ssl, int *alert, void *arg);
static int on_verify(int ok, X509_STORE_CTX *store);
static int on_session(SSL *ssl, SSL_SESSION *s);
static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int seal);
static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *s, const unsigned char *name,
                                   size_t name_n, SSL_TICKET_STATUS status, void *arg);

static int verify_mode(const struct tls_ctx *ctx)
{
    switch (ctx->verify) {
    case TLS_VERIFY_NONE:
        return SSL_VERIFY_NONE;
    case TLS_VERIFY_OPTIONAL:
        return SSL_VERIFY_PEER;
    default:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
}

static int ctx_ciphers(SSL_CTX *c, const struct tls_conf *conf, struct err *e)
{
    /* our other build makes ChaCha20 its first choice: a server lets it have that */
    uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;

    if (conf->server && conf->tickets == NULL)
        options |= SSL_OP_NO_TICKET;
    SSL_CTX_set_options(c, options);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_security_level(c, 2);
    if (SSL_CTX_set_cipher_list(c, conf->mesh ? SUITES_ECDSA ":" SUITES_RSA
                                              : SUITES_ECDSA ":" SUITES_RSA ":" SUITES_256) != 1 ||
        SSL_CTX_set_ciphersuites(c, SUITES_13) != 1 || SSL_CTX_set1_groups_list(c, GROUPS) != 1 ||
        SSL_CTX_set1_sigalgs_list(c, SIGALGS) != 1)
        return err_set(e, "TLS: the library lacks a cipher that is needed (%s)", err_words());
    return 0;
}

static void ctx_sessions(struct tls_ctx *ctx, const struct tls_conf *conf)
{
    SSL_CTX *c = ctx->prov->ssl;

    if (!conf->server) {
        SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c, on_session);
        return;
    }
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    if (ctx->tickets == NULL) {
        SSL_CTX_set_num_tickets(c, 0);
        return;
    }
    SSL_CTX_set_num_tickets(c, 1);
    SSL_CTX_set_timeout(c, (long)tickets_lifetime(ctx->tickets));
    SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket_key);
    SSL_CTX_set_session_ticket_cb(c, NULL, on_ticket, NULL);
}

static void ctx_rules(struct tls_ctx *ctx, const struct tls_conf *conf)
{
    struct prov_ctx *pc = ctx->prov;

    SSL_CTX_set_verify(pc->ssl, verify_mode(ctx), on_verify);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(pc->ssl), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_app_data(pc->ssl, ctx);
    if (conf->server) {
        SSL_CTX_set_client_hello_cb(pc->ssl, on_hello, NULL);
        if (pc->alpn_n > 0)
            SSL_CTX_set_alpn_select_cb(pc->ssl, on_alpn, pc);
    }
    ctx_sessions(ctx, conf);
}

int prov_ctx_init(struct tls_ctx *ctx, const struct tls_conf *conf, struct err *e)
{
    struct prov_ctx *pc = ctx->prov = xcalloc(1, sizeof(*pc));
    struct creds_of_provider *cp = ctx->creds->parts;

    pc->mesh = conf->mesh;
    pc->ssl = SSL_CTX_new(conf->server ? TLS_server_method() : TLS_client_method());
    if (pc->ssl == NULL)
        return err_set(e, "TLS: no context (%s)", err_words());
    if (ctx_ciphers(pc->ssl, conf, e) != 0 || ctx_versions(pc->ssl, conf, e) != 0 ||
        ctx_alpn(pc, conf, e) != 0 || ctx_own(pc->ssl, cp, conf, e) != 0 ||
        ctx_roots(pc->ssl, cp, conf, e) != 0)
        return -1;
    if (SSL_CTX_set_session_id_context(pc->ssl, ctx->id, TLS_ID_LEN) != 1)
        return err_set(e, "TLS: %s", err_words());
    ctx_rules(ctx, conf);
    return 0;
}

void prov_ctx_free(struct tls_ctx *ctx)
{
    struct prov_ctx *pc = ctx->prov;

    if (pc == NULL)
        return;
    SSL_CTX_free(pc->ssl);
    free(pc->alpn);
    free(pc);
}

/* ---- tickets: the library's own format (session | HMAC), our keys
 * ---------------------------------- */

static int ticket_cipher(const struct ticket_key *k, const unsigned char *iv,
                         EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)k->mac,
                                          sizeof(k->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, seal) == 1;
}

/* 1 sealed or opened; 2 opened by an old key: give a new ticket; 0 no such key; -1 broken */
static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int seal)
{
    struct tls_engine *g = SSL_get_app_data(ssl);
    struct tls_tickets *tickets = g->t->ctx->tickets;
    struct ticket_key k;
    bool fresh = true;
    int r;

    if (seal) {
        tickets_current(tickets, &k);
        memcpy(name, k.name, sizeof(k.name));
        random_bytes(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
    } else if (!tickets_find(tickets, name, &k, &fresh)) {
        return 0;
    }
    r = ticket_cipher(&k, iv, cipher, mac, seal);
    OPENSSL_cleanse(&k, sizeof(k));
    g->stale = !fresh;
    return !r ? -1 : fresh ? 1 : 2;
}

/* may a session from a ticket be gone on with?  (The library asks for the same session id context
 * too, but only after a decision about new tickets is due.) */
static bool ticket_usable(const struct tls_ctx *ctx, const SSL_SESSION *s)
{
    unsigned n;
    const unsigned char *id = SSL_SESSION_get0_id_context(s, &n);

    return n == TLS_ID_LEN && memcmp(id, ctx->id, n) == 0 &&
           tls_session_usable(ctx, SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)s));
}

/* With TLS 1.3 a client uses a ticket once (RFC 8446 C.4) and needs another for the next
 * connection.  A mesh client goes on using the one it has: a new one with a certificate in it is
 * dear, and both ends are known by their addresses anyway. */
static bool uses_up_tickets(const struct tls_engine *g)
{
    return !g->t->ctx->prov->mesh && SSL_version(g->ssl) == TLS1_3_VERSION;
}

static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *s, const unsigned char *name,
                                   size_t name_n, SSL_TICKET_STATUS status, void *arg)
{
    const struct tls_engine *g = SSL_get_app_data(ssl);

    switch (status) {
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
        if (!ticket_usable(g->t->ctx, s))
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        return g->stale || uses_up_tickets(g) ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
    default:
        return SSL_TICKET_RETURN_ABORT;
    }
}

/* ---- sessions
 * ----------------------------------------------------------------------------------------- */

/* A saved session is the library's own object: reading a serialised one would decode the peer's
 * certificate anew, which in OpenSSL 3.0 costs more than the rest of a resumed handshake. */
static int on_session(SSL *ssl, SSL_SESSION *s)
{
    struct tls_engine *g = SSL_get_app_data(ssl);
    unsigned long life = SSL_SESSION_get_ticket_lifetime_hint(s);

    if (g->t->sessions == NULL || !SSL_SESSION_is_resumable(s))
        return 0;
    session_save(g->t, s,
                 tls_session_end(SSL_SESSION_get_time(s), life != 0 ? (int64_t)life : 7200,
                                 SSL_SESSION_get0_peer(s)));
    return 1; /* the reference is taken */
}

void tls_engine_saved_free(void *saved)
{
    SSL_SESSION_free(saved);
}

/* the server_name as the client sent it, also where the library would tell a resumed session's */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
    struct tls_engine *g = SSL_get_app_data(ssl);
    const unsigned char *p;
    size_t n, len;

    /* list length 2, type 1, length 2, name; malformed ones the library refuses later */
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5 || p[2] != 0)
        return SSL_CLIENT_HELLO_SUCCESS;
    len = (size_t)p[3] << 8 | p[4];
    if (len > n - 5 || len > TLSEXT_MAXLEN_host_name)
        return SSL_CLIENT_HELLO_SUCCESS;
    for (size_t i = 0; i < len; i++)
        if (p[5 + i] < 0x21 || p[5 + i] > 0x7e)
            return SSL_CLIENT_HELLO_SUCCESS;
    free(g->sni);
    g->sni = strndup((const char *)p + 5, len);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* ---- a peer's certificate
 * --------------------------------------------------------------------------- */

static void fail_code(struct tls *t, int code, const X509 *x)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        tls_fail_expired(t, x);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        tls_fail_future(t, x);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        tls_fail_untrusted(t, x);
        return;
    case X509_V_ERR_INVALID_PURPOSE:
        tls_fail_usage(t);
        return;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        tls_fail_weak(t);
        return;
    default:
        tls_fail(t, "the peer's certificate is not acceptable: %s",
                 X509_verify_cert_error_string(code));
    }
}

/* called from the root down */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = ((struct tls_engine *)SSL_get_app_data(ssl))->t;
    X509 *x = X509_STORE_CTX_get_current_cert(store);

    if (t->ctx->verify == TLS_VERIFY_NONE)
        return 1;
    if (!ok) {
        fail_code(t, X509_STORE_CTX_get_error(store), x);
        return 0;
    }
    if (X509_STORE_CTX_get_error_depth(store) > 0)
        return 1;
    if (!may_sign(x)) {
        tls_fail_usage(t);
        X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
        return 0;
    }
    if (tls_check_names(t, x) != 0) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
        return 0;
    }
    return 1;
}

/* ---- the engine
 * --------------------------------------------------------------------------------------- */

static int bio_write(BIO *b, const char *p, int n)
{
    return tls_out(BIO_get_data(b), p, (size_t)n) == 0 ? n : -1;
}

static int bio_read(BIO *b, char *p, int n)
{
    ssize_t r = tls_in(BIO_get_data(b), p, (size_t)n);

    BIO_clear_retry_flags(b);
    if (r == TLS_IN_AGAIN)
        BIO_set_retry_read(b);
    return r < 0 ? -1 : (int)r;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    const struct tls *t = BIO_get_data(b);

    return cmd == BIO_CTRL_FLUSH ? 1 : cmd == BIO_CTRL_EOF ? t->eof : 0;
}

static BIO_METHOD *bio_method;
static pthread_once_t bio_once = PTHREAD_ONCE_INIT;

static void bio_method_make(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fsm");
    BUG_ON(bio_method == NULL || BIO_meth_set_write(bio_method, bio_write) != 1 ||
           BIO_meth_set_read(bio_method, bio_read) != 1 ||
           BIO_meth_set_ctrl(bio_method, bio_ctrl) != 1);
}

static int set_bio(struct tls_engine *g)
{
    BIO *b;

    pthread_once(&bio_once, bio_method_make);
    b = BIO_new(bio_method);
    if (b == NULL)
        return -1;
    BIO_set_data(b, g->t);
    BIO_set_init(b, 1);
    SSL_set_bio(g->ssl, b, b);
    return 0;
}

/* a copy: the library counts a TLS 1.3 session as used up by one connection */
static void resume(struct tls_engine *g, const SSL_SESSION *saved)
{
    SSL_SESSION *s = SSL_SESSION_dup(saved);

    if (s != NULL && SSL_set_session(g->ssl, s) == 1)
        g->t->resuming = true;
    SSL_SESSION_free(s);
}

struct tls_engine *tls_engine_new(struct tls *t, const char *sni, void *saved, struct err *e)
{
    struct tls_engine *g = calloc(1, sizeof(*g));

    if (g != NULL) {
        g->t = t;
        g->ssl = SSL_new(t->ctx->prov->ssl);
    }
    if (g == NULL || g->ssl == NULL || set_bio(g) != 0) {
        err_set(e, "TLS session: no memory");
        tls_engine_free(g);
        return NULL;
    }
    SSL_set_app_data(g->ssl, g);
    if (t->ctx->server) {
        SSL_set_accept_state(g->ssl);
        return g;
    }
    SSL_set_connect_state(g->ssl);
    if (sni != NULL && SSL_set_tlsext_host_name(g->ssl, sni) != 1) {
        err_set(e, "TLS session: server name \"%s\": %s", sni, err_words());
        tls_engine_free(g);
        return NULL;
    }
    if (saved != NULL)
        resume(g, saved);
    return g;
}

void tls_engine_free(struct tls_engine *g)
{
    if (g == NULL)
        return;
    /* a connection that was cut off says nothing against its session */
    if (g->ssl != NULL)
        SSL_set_shutdown(g->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(g->ssl);
    free(g->sni);
    free(g);
}

int tls_engine_begin(struct tls_engine *g)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error(); /* what others left behind would be taken for ours */
    return 0;
}

void tls_engine_end(struct tls_engine *g)
{
}

static void fail_handshake_reason(struct tls *t, int reason)
{
    switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        tls_fail(t, "the client showed no certificate; one is required here");
        break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_UNKNOWN_SSL_VERSION:
        tls_fail(t, "no common protocol version: only TLS 1.2 and 1.3 are spoken here, as far as "
                    "the configuration allows");
        break;
    case SSL_R_NO_SHARED_CIPHER:
        tls_fail(t, "no common cipher suite: expected ECDHE with AES-GCM or ChaCha20-Poly1305");
        break;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        tls_fail_cut_short(t);
        break;
    default:
        break;
    }
}

/* says what went wrong; a word that was said before stays */
static int fail_words(struct tls_engine *g, int ssl_error)
{
    unsigned long code = ERR_peek_last_error();
    int reason = ERR_GET_REASON(code);
    struct tls *t = g->t;

    if (tls_fail_no_tls(t))
        ;
    else if (ssl_error == SSL_ERROR_ZERO_RETURN)
        tls_fail(t, "the peer ended the handshake in an orderly way, without a reason");
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET &&
             reason < SSL_AD_REASON_OFFSET + 256)
        tls_fail_refused(t, reason - SSL_AD_REASON_OFFSET);
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL)
        fail_handshake_reason(t, reason);
    if (t->eof)
        tls_fail_cut_short(t);
    tls_fail(t, "TLS: %s", err_words());
    ERR_clear_error();
    return ENGINE_ERROR;
}

static int handshake_done(struct tls_engine *g)
{
    struct tls *t = g->t;
    X509 *x;

    /* A resumed handshake shows no certificate: the one of the session is judged again.  That it
     * was valid when the handshake began is known (ticket_usable, session_find); one that expires
     * before the end is none the worse for it, and the other side may have sent its first bytes. */
    if (!SSL_session_reused(g->ssl) || t->ctx->verify == TLS_VERIFY_NONE)
        return 1;
    x = SSL_get0_peer_certificate(g->ssl);
    if (x == NULL)
        return tls_session_usable(t->ctx, NULL) ? 1 : ENGINE_ERROR;
    return tls_check_names(t, x) == 0 ? 1 : ENGINE_ERROR;
}

/* None of its steps stalls a loop (all of a full handshake: a quarter of a millisecond). */
int tls_engine_slow_steps(struct tls_engine *g)
{
    return ENGINE_AGAIN;
}

int tls_engine_handshake(struct tls_engine *g, bool all)
{
    int r = SSL_do_handshake(g->ssl), error;

    if (r == 1) {
        SSL_free_buffers(g->ssl); /* the handshake's are not given back by themselves */
        return handshake_done(g);
    }
    error = SSL_get_error(g->ssl, r);
    return error == SSL_ERROR_WANT_READ ? ENGINE_AGAIN : fail_words(g, error);
}

ssize_t tls_engine_read(struct tls_engine *g, void *p, size_t n)
{
    size_t got;
    int error;

    if (SSL_read_ex(g->ssl, p, n, &got) == 1)
        return (ssize_t)got;
    error = SSL_get_error(g->ssl, 0);
    if (error == SSL_ERROR_WANT_READ)
        return ENGINE_AGAIN;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : fail_words(g, error);
}

ssize_t tls_engine_write(struct tls_engine *g, const void *p, size_t n)
{
    size_t put;

    /* half of a message came, a ticket for instance: the library would go on reading it first */
    if (SSL_in_init(g->ssl))
        return ENGINE_AGAIN;
    if (SSL_write_ex(g->ssl, p, n, &put) == 1)
        return (ssize_t)put;
    return fail_words(g, SSL_get_error(g->ssl, 0));
}

void tls_engine_close_notify(struct tls_engine *g)
{
    if (!g->t->failed)
        SSL_shutdown(g->ssl);
    ERR_clear_error();
}

size_t tls_engine_pending(const struct tls_engine *g)
{
    return (size_t)SSL_pending(g->ssl);
}

void tls_engine_info(const struct tls_engine *g, struct tls_info *out)
{
    const unsigned char *alpn;
    unsigned n;
    X509 *x = SSL_get0_peer_certificate(g->ssl);

    out->version = SSL_get_version(g->ssl);
    out->cipher = SSL_CIPHER_standard_name(SSL_get_current_cipher(g->ssl));
    out->resumed = SSL_session_reused(g->ssl) == 1;
    SSL_get0_alpn_selected(g->ssl, &alpn, &n);
    if (n > 0)
        snprintf(out->alpn, sizeof(out->alpn), "%.*s", (int)n, (const char *)alpn);
    if (g->sni != NULL)
        snprintf(out->sni, sizeof(out->sni), "%s", g->sni);
    if (x != NULL && g->t->ctx->verify != TLS_VERIFY_NONE) {
        out->peer.present = true;
        cert_peer(x, &out->peer);
    }
}
