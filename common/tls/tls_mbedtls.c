/* mbedTLS 2.28: TLS 1.2 (its TLS 1.3 is not built in Debian 12).
 *
 * mbedTLS keeps two buffers of 17 KB in every session.  Ours are lent: a session at rest gives
 * them back to its thread ("parking"), so that an idle connection costs a few KB and a busy
 * worker uses the same warm memory for all of them.  The fields concerned are public in 2.28;
 * what happens to them is in park() and unpark() alone.
 *
 * A mbedtls_ssl_config and what it points to is only read once the context is made.
 */
#include <mbedtls/error.h>
#include <mbedtls/gcm.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_internal.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/tls/cert.h"
#include "common/tls/creds_mbedtls.h"
#include "common/tls/tls_int.h"

#if MBEDTLS_VERSION_NUMBER < 0x021C0000 || MBEDTLS_VERSION_NUMBER >= 0x03000000
#error "this provider knows mbedTLS 2.28"
#endif

static int rng(void *arg, unsigned char *p, size_t n)
{
    random_bytes(p, n);
    return 0;
}

const char *tls_provider(void)
{
    return "mbedTLS " MBEDTLS_VERSION_STRING;
}

/* "X509 - Certificate ... " in words; out takes 128 bytes */
static const char *err_words(int r, char out[128])
{
    mbedtls_strerror(r, out, 128);
    return out;
}

/* ---- contexts ----------------------------------------------------------------------------------
 */

struct prov_ctx {
    mbedtls_ssl_config conf;
    char **alpn; /* NULL-terminated, owned */
};

/* ECDHE and AEAD only.  ChaCha20-Poly1305 costs this library less than AES-GCM. */
static const int suites_aes_first[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    0,
};
static const int suites_mesh[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    0,
};
static const mbedtls_ecp_group_id curves[] = {
    MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_SECP384R1,
    MBEDTLS_ECP_DP_SECP521R1,  MBEDTLS_ECP_DP_NONE,
};
static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512,
                             MBEDTLS_MD_NONE};
static const mbedtls_x509_crt_profile profile = {
    .allowed_mds = MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA256) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA384) |
                   MBEDTLS_X509_ID_FLAG(MBEDTLS_MD_SHA512),
    .allowed_pks = 0xFFFFFFF,
    .allowed_curves = MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP256R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP384R1) |
                      MBEDTLS_X509_ID_FLAG(MBEDTLS_ECP_DP_SECP521R1),
    .rsa_min_bitlen = 2048,
};

/* otherwise the library would find no certificate for any client */
static bool serves(const mbedtls_x509_crt *leaf)
{
    return mbedtls_x509_crt_check_key_usage(leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) == 0 &&
           mbedtls_x509_crt_check_extended_key_usage(
               leaf, MBEDTLS_OID_SERVER_AUTH, MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) == 0;
}

static int ctx_creds(struct prov_ctx *pc, struct creds_of_provider *cp, const struct tls_conf *conf,
                     struct err *e)
{
    if (cp->roots.raw.p != NULL)
        mbedtls_ssl_conf_ca_chain(&pc->conf, &cp->roots, NULL);
    if (cp->own.raw.p == NULL)
        return 0;
    if (conf->server && !serves(&cp->own))
        return tls_ctx_bad_usage(e);
    if (mbedtls_ssl_conf_own_cert(&pc->conf, &cp->own, &cp->key) != 0)
        return err_set(e, "cert_pem: no memory");
    return 0;
}

static int ctx_versions(struct prov_ctx *pc, const struct tls_conf *conf, struct err *e)
{
    if (conf->min == TLS_V_1_3 || conf->max == TLS_V_1_3)
        return err_set(e,
                       "%s: TLS 1.3 is not available in this build (%s); use TLS 1.2 or the "
                       "OpenSSL build",
                       conf->min == TLS_V_1_3 ? "min" : "max", tls_provider());
    mbedtls_ssl_conf_min_version(&pc->conf, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(&pc->conf, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    return 0;
}

static int ctx_alpn(struct prov_ctx *pc, const struct tls_conf *conf, struct err *e)
{
    size_t n = 0;

    if (conf->alpn == NULL)
        return 0;
    while (conf->alpn[n] != NULL)
        n++;
    pc->alpn = xcalloc(n + 1, sizeof(*pc->alpn));
    for (size_t i = 0; i < n; i++)
        pc->alpn[i] = xstrdup(conf->alpn[i]);
    if (n > 0 && mbedtls_ssl_conf_alpn_protocols(&pc->conf, (const char **)pc->alpn) != 0)
        return err_set(e, "alpn: a protocol name must have 1 to 255 bytes");
    return 0;
}

static int ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *n, uint32_t *lifetime);
static int ticket_parse(void *arg, mbedtls_ssl_session *session, unsigned char *p, size_t n);
static int on_sni(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n);

static int authmode(enum tls_verify v)
{
    switch (v) {
    case TLS_VERIFY_REQUIRED:
        return MBEDTLS_SSL_VERIFY_REQUIRED;
    case TLS_VERIFY_OPTIONAL:
        return MBEDTLS_SSL_VERIFY_OPTIONAL;
    default:
        return MBEDTLS_SSL_VERIFY_NONE;
    }
}

static void ctx_rules(struct tls_ctx *ctx, const struct tls_conf *conf)
{
    mbedtls_ssl_config *c = &ctx->prov->conf;

    mbedtls_ssl_conf_rng(c, rng, NULL);
    mbedtls_ssl_conf_authmode(c, conf->server || conf->verify != TLS_VERIFY_OPTIONAL
                                     ? authmode(conf->verify)
                                     : MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ciphersuites(c, conf->mesh ? suites_mesh : suites_aes_first);
    mbedtls_ssl_conf_curves(c, curves);
    mbedtls_ssl_conf_sig_hashes(c, hashes);
    mbedtls_ssl_conf_cert_profile(c, &profile);
    mbedtls_ssl_conf_renegotiation(c, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    if (conf->server)
        mbedtls_ssl_conf_sni(c, on_sni, NULL);
    if (conf->server && conf->tickets != NULL)
        mbedtls_ssl_conf_session_tickets_cb(c, ticket_write, ticket_parse, ctx);
    if (!conf->server)
        mbedtls_ssl_conf_session_tickets(c, MBEDTLS_SSL_SESSION_TICKETS_ENABLED);
}

int prov_ctx_init(struct tls_ctx *ctx, const struct tls_conf *conf, struct err *e)
{
    struct prov_ctx *pc = ctx->prov = xcalloc(1, sizeof(*pc));

    mbedtls_ssl_config_init(&pc->conf);
    if (mbedtls_ssl_config_defaults(&pc->conf,
                                    conf->server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return err_set(e, "TLS: no memory for a configuration");
    ctx_rules(ctx, conf);
    if (ctx_versions(pc, conf, e) != 0 || ctx_alpn(pc, conf, e) != 0)
        return -1;
    return ctx_creds(pc, ctx->creds->parts, conf, e);
}

void prov_ctx_free(struct tls_ctx *ctx)
{
    struct prov_ctx *pc = ctx->prov;

    if (pc == NULL)
        return;
    mbedtls_ssl_config_free(&pc->conf);
    for (size_t i = 0; pc->alpn != NULL && pc->alpn[i] != NULL; i++)
        free(pc->alpn[i]);
    free(pc->alpn);
    free(pc);
}

/* ---- tickets -----------------------------------------------------------------------------------
 * key name 16 | nonce 12 | sealed: context id 32, expiry 8, session | tag 16 (AES-256-GCM).
 * The session holds the client's certificate, so that a resumed one has an identity. */

#define T_NAME  16
#define T_NONCE 12
#define T_TAG   16
#define T_HEAD  (TLS_ID_LEN + 8)
#define T_EXTRA (T_NAME + T_NONCE + T_HEAD + T_TAG)

static int ticket_seal(const struct ticket_key *k, unsigned char *p, size_t n, unsigned char *tag,
                       const unsigned char *nonce)
{
    mbedtls_gcm_context gcm;
    int r;

    mbedtls_gcm_init(&gcm);
    r = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, k->aes, 256);
    if (r == 0)
        r = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, n, nonce, T_NONCE, k->name, T_NAME,
                                      p, p, T_TAG, tag);
    mbedtls_gcm_free(&gcm);
    return r;
}

static int ticket_open(const struct ticket_key *k, const unsigned char *nonce, unsigned char *p,
                       size_t n)
{
    mbedtls_gcm_context gcm;
    int r;

    mbedtls_gcm_init(&gcm);
    r = mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, k->aes, 256);
    if (r == 0)
        r = mbedtls_gcm_auth_decrypt(&gcm, n, nonce, T_NONCE, k->name, T_NAME, p + n, T_TAG, p, p);
    mbedtls_gcm_free(&gcm);
    return r;
}

static void put_u64(unsigned char *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (unsigned char)v;
}

static uint64_t get_u64(const unsigned char *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static int ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *n, uint32_t *lifetime)
{
    struct tls_ctx *ctx = arg;
    unsigned char *body = start + T_NAME + T_NONCE;
    int64_t expires =
        tls_session_end(tls_wall_s(), tickets_lifetime(ctx->tickets), session->peer_cert);
    struct ticket_key k;
    size_t len = 0;
    int r;

    if ((size_t)(end - start) < T_EXTRA)
        return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
    r = mbedtls_ssl_session_save(session, body + T_HEAD, (size_t)(end - start) - T_EXTRA, &len);
    if (r != 0)
        return r;
    memcpy(body, ctx->id, TLS_ID_LEN);
    put_u64(body + TLS_ID_LEN, (uint64_t)expires);
    tickets_current(ctx->tickets, &k);
    memcpy(start, k.name, T_NAME);
    random_bytes(start + T_NAME, T_NONCE);
    r = ticket_seal(&k, body, T_HEAD + len, body + T_HEAD + len, start + T_NAME);
    explicit_bzero(&k, sizeof(k));
    *n = T_EXTRA + len;
    *lifetime = tickets_lifetime(ctx->tickets);
    return r;
}

static int ticket_parse(void *arg, mbedtls_ssl_session *session, unsigned char *p, size_t n)
{
    struct tls_ctx *ctx = arg;
    unsigned char *body = p + T_NAME + T_NONCE;
    struct ticket_key k;
    bool fresh;
    int r;

    if (n < T_EXTRA || !tickets_find(ctx->tickets, p, &k, &fresh))
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    n -= T_NAME + T_NONCE + T_TAG;
    r = ticket_open(&k, p + T_NAME, body, n);
    explicit_bzero(&k, sizeof(k));
    if (r != 0)
        return MBEDTLS_ERR_SSL_INVALID_MAC;
    if (memcmp(body, ctx->id, TLS_ID_LEN) != 0 ||
        (int64_t)get_u64(body + TLS_ID_LEN) <= tls_wall_s())
        return MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    r = mbedtls_ssl_session_load(session, body + T_HEAD, n - T_HEAD);
    if (r == 0 && !tls_session_usable(ctx, session->peer_cert))
        r = MBEDTLS_ERR_SSL_SESSION_TICKET_EXPIRED;
    return r;
}

/* ---- buffers on loan ----------------------------------------------------------------------------
 */

/* where the parts of a parked buffer were */
struct parked {
    uint16_t ctr, hdr, len, iv, msg;
};

struct tls_engine {
    mbedtls_ssl_context ssl; /* first: on_sni() is told only this */
    struct tls *t;
    struct parked in, out;
    unsigned char in_ctr[8]; /* the record counter lives in the buffer itself */
    bool parked, resumed;
    char *sni; /* server: what the client asked for */
};

#define LENT_MAX 16 /* pairs of buffers a thread keeps beyond those in use */

struct lent {
    unsigned char *in[LENT_MAX], *out[LENT_MAX];
    unsigned n;
};
static __thread struct lent lent;

unsigned tls_engine_kept(void)
{
    return lent.n;
}

void tls_engine_keep(unsigned n)
{
    while (lent.n > n) {
        lent.n--;
        free(lent.in[lent.n]);
        free(lent.out[lent.n]);
    }
}

/* nothing of the session is in its buffers: no part of a record, no plaintext, no rest of a
 * handshake message, nothing to send */
static bool at_rest(const mbedtls_ssl_context *s)
{
    return s->state == MBEDTLS_SSL_HANDSHAKE_OVER && s->in_left == 0 && s->in_offt == NULL &&
           s->out_left == 0 && !s->keep_current_message &&
           (s->in_hslen == 0 || s->in_hslen >= s->in_msglen);
}

static void buffers_keep(unsigned char *in, unsigned char *out)
{
    if (lent.n == LENT_MAX) {
        free(in);
        free(out);
        return;
    }
    lent.in[lent.n] = in;
    lent.out[lent.n++] = out;
}

static int buffers_get(unsigned char **in, unsigned char **out)
{
    if (lent.n > 0) {
        lent.n--;
        *in = lent.in[lent.n];
        *out = lent.out[lent.n];
        return 0;
    }
    *in = malloc(MBEDTLS_SSL_IN_BUFFER_LEN);
    *out = malloc(MBEDTLS_SSL_OUT_BUFFER_LEN);
    if (*in != NULL && *out != NULL)
        return 0;
    free(*in);
    free(*out);
    return -1;
}

void tls_engine_end(struct tls_engine *g)
{
    mbedtls_ssl_context *s = &g->ssl;

    if (g->parked || !at_rest(s))
        return;
#define OFFSETS(io)                                                                                \
    (struct parked){(uint16_t)(s->io##_ctr - s->io##_buf), (uint16_t)(s->io##_hdr - s->io##_buf),  \
                    (uint16_t)(s->io##_len - s->io##_buf), (uint16_t)(s->io##_iv - s->io##_buf),   \
                    (uint16_t)(s->io##_msg - s->io##_buf)}
    g->in = OFFSETS(in);
    g->out = OFFSETS(out);
#undef OFFSETS
    memcpy(g->in_ctr, s->in_ctr, sizeof(g->in_ctr));
    buffers_keep(s->in_buf, s->out_buf);
    s->in_buf = s->out_buf = NULL;
    g->parked = true;
}

int tls_engine_begin(struct tls_engine *g)
{
    mbedtls_ssl_context *s = &g->ssl;

    if (!g->parked)
        return 0;
    if (buffers_get(&s->in_buf, &s->out_buf) != 0)
        return -1;
#define PLACE(io, at)                                                                              \
    s->io##_ctr = s->io##_buf + (at).ctr, s->io##_hdr = s->io##_buf + (at).hdr,                    \
    s->io##_len = s->io##_buf + (at).len, s->io##_iv = s->io##_buf + (at).iv,                      \
    s->io##_msg = s->io##_buf + (at).msg
    PLACE(in, g->in);
    PLACE(out, g->out);
#undef PLACE
    memcpy(s->in_ctr, g->in_ctr, sizeof(g->in_ctr));
    g->parked = false;
    return 0;
}

/* ---- a peer's certificate
 * ------------------------------------------------------------------------ */

/* crt: the certificate concerned; NULL when it is the leaf's use that is wrong */
static void fail_flags(struct tls *t, const mbedtls_x509_crt *crt, uint32_t flags)
{
    if (flags == 0)
        return;
    if (crt != NULL && flags & MBEDTLS_X509_BADCERT_EXPIRED)
        tls_fail_expired(t, crt);
    else if (crt != NULL && flags & MBEDTLS_X509_BADCERT_FUTURE)
        tls_fail_future(t, crt);
    else if (crt != NULL && flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED)
        tls_fail_untrusted(t, crt);
    else if (flags & (MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_KEY_USAGE))
        tls_fail_usage(t);
    else if (flags & (MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK |
                      MBEDTLS_X509_BADCERT_BAD_KEY))
        tls_fail_weak(t);
    else
        tls_fail(t, "the peer's certificate is not acceptable (flags 0x%x)", (unsigned)flags);
}

/* called from the root down; whatever stays in *flags refuses the peer */
static int on_cert(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct tls *t = arg;

    if (depth == 0)
        *flags &=
            ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH; /* its rules for names; ours follow */
    fail_flags(t, crt, *flags);
    if (depth == 0 && *flags == 0 && tls_check_names(t, crt) != 0)
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    return 0;
}

static int on_sni(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n)
{
    struct tls_engine *g = (struct tls_engine *)ssl;

    free(g->sni);
    g->sni = NULL;
    for (size_t i = 0; i < n; i++)
        if (name[i] < 0x21 || name[i] > 0x7e)
            return 0;
    g->sni = strndup((const char *)name, n);
    return 0;
}

/* ---- the engine
 * ---------------------------------------------------------------------------------- */

static int bio_send(void *arg, const unsigned char *p, size_t n)
{
    return tls_out(arg, p, n) == 0 ? (int)n : MBEDTLS_ERR_NET_SEND_FAILED;
}

static int bio_recv(void *arg, unsigned char *p, size_t n)
{
    ssize_t r = tls_in(arg, p, n);

    if (r >= 0)
        return (int)r;
    return r == TLS_IN_AGAIN ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_NET_RECV_FAILED;
}

/* a saved session: serialised, which for this library is small and cheap to read */
struct saved_session {
    size_t n;
    unsigned char p[];
};

void tls_engine_saved_free(void *saved)
{
    struct saved_session *s = saved;

    explicit_bzero(s->p, s->n);
    free(s);
}

static void resume(struct tls_engine *g, const struct saved_session *saved)
{
    mbedtls_ssl_session s;

    mbedtls_ssl_session_init(&s);
    if (mbedtls_ssl_session_load(&s, saved->p, saved->n) == 0 &&
        mbedtls_ssl_set_session(&g->ssl, &s) == 0)
        g->t->resuming = true;
    mbedtls_ssl_session_free(&s);
}

struct tls_engine *tls_engine_new(struct tls *t, const char *sni, void *saved, struct err *e)
{
    struct tls_engine *g = calloc(1, sizeof(*g));
    int r;

    if (g == NULL) {
        err_set(e, "TLS session: no memory");
        return NULL;
    }
    g->t = t;
    mbedtls_ssl_init(&g->ssl);
    r = mbedtls_ssl_setup(&g->ssl, &t->ctx->prov->conf);
    if (r == 0 && sni != NULL && !t->ctx->server)
        r = mbedtls_ssl_set_hostname(&g->ssl, sni);
    if (r != 0) {
        char words[128];
        err_set(e, "TLS session: %s", err_words(r, words));
        tls_engine_free(g);
        return NULL;
    }
    mbedtls_ssl_set_verify(&g->ssl, on_cert, t);
    mbedtls_ssl_set_bio(&g->ssl, t, bio_send, bio_recv, NULL);
    if (saved != NULL)
        resume(g, saved);
    return g;
}

void tls_engine_free(struct tls_engine *g)
{
    if (g == NULL)
        return;
    mbedtls_ssl_free(&g->ssl);
    free(g->sni);
    free(g);
}

/* the library leaves without a word here; RFC 5246 7.4.6 has one */
static void fail_no_cert(struct tls_engine *g)
{
    tls_fail(g->t, "the client showed no certificate; one is required here");
    mbedtls_ssl_send_alert_message(&g->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                   MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
}

static void fail_handshake(struct tls_engine *g, int r)
{
    struct tls *t = g->t;
    const mbedtls_ssl_context *s = &g->ssl;
    char words[128];

    if (tls_fail_no_tls(t))
        return;
    if (r == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        tls_fail_refused(t, s->in_msg[1]);
    else if (r == MBEDTLS_ERR_SSL_CONN_EOF)
        tls_fail_cut_short(t);
    else if (r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        tls_fail(t, "the peer ended the handshake in an orderly way, without a reason");
    else if (r == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || r == MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE)
        fail_flags(t, NULL, mbedtls_ssl_get_verify_result(s));
    else if (r == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        fail_no_cert(g);
    else if (r == MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION)
        tls_fail(t, "no common protocol version: only TLS 1.2 is spoken here");
    else if (r == MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN || r == MBEDTLS_ERR_SSL_NO_USABLE_CIPHERSUITE)
        tls_fail(t, "no common cipher suite: expected ECDHE with AES-GCM or ChaCha20-Poly1305");
    else if (r == MBEDTLS_ERR_SSL_BAD_HS_CLIENT_HELLO && t->ctx->prov->alpn != NULL &&
             s->alpn_chosen == NULL)
        tls_fail(t, "the client's hello is malformed, or it offers none of our application "
                    "protocols (ALPN)");
    tls_fail(t, "TLS handshake: %s", err_words(r, words));
}

static int refuse(struct tls_engine *g, unsigned char alert)
{
    mbedtls_ssl_send_alert_message(&g->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
    return ENGINE_ERROR;
}

/* with an optional client certificate the library goes on after a bad one: we do not */
static bool optional_cert_is_bad(const struct tls_engine *g)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&g->ssl);

    flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_MISSING | MBEDTLS_X509_BADCERT_SKIP_VERIFY);
    if (g->t->ctx->verify != TLS_VERIFY_OPTIONAL || flags == 0)
        return false;
    fail_flags(g->t, NULL, flags);
    return true;
}

static void save(struct tls_engine *g)
{
    const mbedtls_ssl_session *s = g->ssl.session;
    uint32_t life = s->ticket_lifetime != 0 ? s->ticket_lifetime : 7200;
    struct saved_session *saved;
    size_t n = 0;

    if (g->t->sessions == NULL || (s->ticket_len == 0 && s->id_len == 0))
        return;
    mbedtls_ssl_session_save(s, NULL, 0, &n); /* how long it is */
    saved = malloc(sizeof(*saved) + n);
    if (saved == NULL)
        return;
    saved->n = n;
    if (mbedtls_ssl_session_save(s, saved->p, n, &n) == 0)
        session_save(g->t, saved, tls_session_end((int64_t)s->start, life, s->peer_cert));
    else
        tls_engine_saved_free(saved);
}

static int handshake_done(struct tls_engine *g)
{
    struct tls *t = g->t;
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&g->ssl);

    /* A resumed handshake shows no certificate: the one of the session is judged again.  That it
     * was valid when the handshake began is known (ticket_parse, session_find); one that expires
     * before the end is none the worse for it, and the other side may have sent its first bytes. */
    if (g->resumed && t->ctx->verify != TLS_VERIFY_NONE && tls_check_names(t, cert) != 0)
        return refuse(g, MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
    save(g);
    return 1;
}

/* Does the next step sign, verify or agree on keys?  A millisecond and more each; those that need a
 * message of the peer's only wait as long as it is not there. */
static bool slow_next(const struct tls_engine *g)
{
    const mbedtls_ssl_context *s = &g->ssl;
    bool server = g->t->ctx->server;
    bool came =
        tls_in_waits(g->t) || s->in_left > 0 || (s->in_hslen > 0 && s->in_hslen < s->in_msglen);

    switch (s->state) {
    case MBEDTLS_SSL_SERVER_KEY_EXCHANGE:
        return server || came;
    case MBEDTLS_SSL_SERVER_CERTIFICATE:
        return !server && came;
    case MBEDTLS_SSL_CLIENT_CERTIFICATE:
        return server && came;
    case MBEDTLS_SSL_CLIENT_KEY_EXCHANGE:
    case MBEDTLS_SSL_CERTIFICATE_VERIFY:
        return !server || came;
    default:
        return false;
    }
}

/* one step: 0, ENGINE_AGAIN, ENGINE_ERROR */
static int step(struct tls_engine *g)
{
    mbedtls_ssl_context *s = &g->ssl;
    int r;

    if (s->state == MBEDTLS_SSL_HANDSHAKE_WRAPUP)
        g->resumed = s->handshake->resume != 0;
    r = mbedtls_ssl_handshake_step(s);
    if (r == MBEDTLS_ERR_SSL_WANT_READ)
        return ENGINE_AGAIN;
    if (r != 0) {
        fail_handshake(g, r);
        return ENGINE_ERROR;
    }
    return optional_cert_is_bad(g) ? refuse(g, MBEDTLS_SSL_ALERT_MSG_BAD_CERT) : 0;
}

/* It goes on to the end of what can be done: the cheap steps between would only cost the way. */
int tls_engine_slow_steps(struct tls_engine *g)
{
    int r = 0;

    while (r == 0 && g->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER)
        r = step(g);
    return r == ENGINE_ERROR ? r : ENGINE_AGAIN;
}

int tls_engine_handshake(struct tls_engine *g, bool all)
{
    while (g->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
        int r = !all && slow_next(g) ? ENGINE_SLOW : step(g);
        if (r != 0)
            return r;
    }
    return handshake_done(g);
}

ssize_t tls_engine_read(struct tls_engine *g, void *p, size_t n)
{
    char words[128];
    int r;

    do
        r = mbedtls_ssl_read(&g->ssl, p, n);
    while (r == 0 && !g->t->eof); /* an empty record */
    if (r > 0)
        return r;
    if (r == MBEDTLS_ERR_SSL_WANT_READ)
        return ENGINE_AGAIN;
    if (r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        return 0;
    if (r == 0)
        tls_fail_cut_short(g->t);
    else if (r == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        tls_fail_refused(g->t, g->ssl.in_msg[1]);
    tls_fail(g->t, "TLS: %s", err_words(r, words));
    return ENGINE_ERROR;
}

ssize_t tls_engine_write(struct tls_engine *g, const void *p, size_t n)
{
    char words[128];
    int r = mbedtls_ssl_write(&g->ssl, p, n);

    if (r > 0)
        return r;
    tls_fail(g->t, "TLS: %s", err_words(r, words));
    return ENGINE_ERROR;
}

void tls_engine_close_notify(struct tls_engine *g)
{
    mbedtls_ssl_close_notify(&g->ssl);
}

size_t tls_engine_pending(const struct tls_engine *g)
{
    return g->parked ? 0 : mbedtls_ssl_get_bytes_avail(&g->ssl);
}

static const char *suite_name(int id)
{
    switch (id) {
    case MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
        return "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    case MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
        return "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    case MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
        return "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    case MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
        return "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    case MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
        return "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    case MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
        return "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
    default:
        return "unknown";
    }
}

void tls_engine_info(const struct tls_engine *g, struct tls_info *out)
{
    const mbedtls_x509_crt *cert = mbedtls_ssl_get_peer_cert(&g->ssl);
    const char *alpn = mbedtls_ssl_get_alpn_protocol(&g->ssl);

    out->version = mbedtls_ssl_get_version(&g->ssl);
    out->cipher = suite_name(g->ssl.session->ciphersuite);
    out->resumed = g->resumed;
    if (alpn != NULL)
        snprintf(out->alpn, sizeof(out->alpn), "%s", alpn);
    if (g->sni != NULL)
        snprintf(out->sni, sizeof(out->sni), "%s", g->sni);
    if (cert != NULL && g->t->ctx->verify != TLS_VERIFY_NONE) {
        out->peer.present = true;
        cert_peer(cert, &out->peer);
    }
}
