/* creds_openssl.c - certificates, key and roots for OpenSSL. */
#include "common/tls/creds_openssl.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

void tls_sha256(const void *p, size_t n, uint8_t out[CREDS_DIGEST])
{
    BUG_ON(EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) != 1);
}

/* the library's words for the last error, which it forgets */
static const char *err_words(void)
{
    const char *s = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return s != NULL ? s : "no memory";
}

/* an encrypted key must not make the library ask the terminal */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
    return -1;
}

static BIO *pem_bio(const char *pem)
{
    BIO *b = BIO_new_mem_buf(pem, -1);

    BUG_ON(b == NULL);
    return b;
}

/* all certificates of the text; returns owned, or NULL and e when one cannot be read or there is
 * none */
static STACK_OF(X509) * pem_all(const char *pem, const char *field, struct err *e)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *b = pem_bio(pem);
    bool whole;
    X509 *x;

    while ((x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL)
        BUG_ON(sk_X509_push(all, x) == 0);
    BIO_free(b);
    whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (whole && sk_X509_num(all) > 0) {
        ERR_clear_error();
        return all;
    }
    if (whole)
        err_set(e, "%s: no certificate can be read; expected PEM", field);
    else
        err_set(e, "%s: certificate %d cannot be read (%s); expected PEM", field,
                sk_X509_num(all) + 1, err_words());
    ERR_clear_error();
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

/* A self-signed certificate in the chain says nothing: who does not have it already does not
 * trust it. */
static void drop_root(STACK_OF(X509) * chain)
{
    X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1);

    if (last != NULL && X509_NAME_cmp(X509_get_subject_name(last), X509_get_issuer_name(last)) == 0)
        X509_free(sk_X509_pop(chain));
}

static int load_own(struct creds_of_provider *cp, const struct tls_conf *conf, struct err *e)
{
    BIO *b;

    if (conf->cert_pem == NULL)
        return 0;
    cp->chain = pem_all(conf->cert_pem, "cert_pem", e);
    if (cp->chain == NULL)
        return -1;
    cp->own = sk_X509_shift(cp->chain);
    drop_root(cp->chain);
    b = pem_bio(conf->key_pem);
    cp->key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);
    BIO_free(b);
    if (cp->key == NULL)
        return err_set(e, "key_pem: the private key cannot be read (%s); expected PEM",
                       err_words());
    if (X509_check_private_key(cp->own, cp->key) == 1)
        return 0;
    ERR_clear_error();
    return err_set(e, "key_pem: the key does not belong to the first certificate of cert_pem");
}

static int load_roots(struct creds_of_provider *cp, const struct tls_conf *conf, struct err *e)
{
    if (creds_system_roots(conf) && X509_STORE_set_default_paths(cp->store) != 1)
        return err_set(e, "ca_pem: not given, and the system's roots cannot be read (install the "
                          "package ca-certificates)");
    if (conf->ca_pem == NULL)
        return 0;
    cp->roots = pem_all(conf->ca_pem, "ca_pem", e);
    for (int i = 0; i < sk_X509_num(cp->roots); i++)
        if (X509_STORE_add_cert(cp->store, sk_X509_value(cp->roots, i)) != 1)
            return err_set(e, "ca_pem: %s", err_words());
    return cp->roots != NULL ? 0 : -1;
}

int creds_load(struct creds *c, const struct tls_conf *conf, struct err *e)
{
    struct creds_of_provider *cp = c->parts = xcalloc(1, sizeof(*cp));
    uint8_t digest[CREDS_DIGEST];

    cp->store = X509_STORE_new();
    BUG_ON(cp->store == NULL);
    if (load_roots(cp, conf, e) != 0 || load_own(cp, conf, e) != 0)
        return -1;
    for (int i = 0; i < sk_X509_num(cp->roots); i++) {
        BUG_ON(X509_digest(sk_X509_value(cp->roots, i), EVP_sha256(), digest, NULL) != 1);
        creds_add_root(c, digest);
    }
    return 0;
}

void creds_unload(struct creds *c)
{
    X509_free(c->parts->own);
    sk_X509_pop_free(c->parts->chain, X509_free);
    EVP_PKEY_free(c->parts->key);
    sk_X509_pop_free(c->parts->roots, X509_free);
    X509_STORE_free(c->parts->store);
    free(c->parts);
}

const void *creds_leaf(const struct creds *c)
{
    return c->parts->own;
}
