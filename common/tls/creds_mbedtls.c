/* creds_mbedtls.c - certificates, key and roots for mbedTLS.
 *
 * The library makes a table of the base point's multiples in a key's group when it first needs
 * one.  Between threads that would be a race, and without it each signature costs twice: so it is
 * made here, before anybody shares the key.
 */
#include "common/tls/creds_mbedtls.h"

#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/codec.h"
#include "common/base/mem.h"

#define SYSTEM_ROOTS "/etc/ssl/certs/ca-certificates.crt"

static int rng(void *arg, unsigned char *p, size_t n)
{
    random_bytes(p, n);
    return 0;
}

void tls_sha256(const void *p, size_t n, uint8_t out[CREDS_DIGEST])
{
    mbedtls_sha256_ret(p, n, out, 0);
}

static int pem_chain(mbedtls_x509_crt *out, const char *pem, const char *field, struct err *e)
{
    char words[128];
    int r = mbedtls_x509_crt_parse(out, (const unsigned char *)pem, strlen(pem) + 1);

    if (r > 0)
        return err_set(e, "%s: %d of its certificates cannot be read; expected PEM", field, r);
    if (r == 0)
        return 0;
    mbedtls_strerror(r, words, sizeof(words));
    return err_set(e, "%s: no certificate can be read (%s); expected PEM", field, words);
}

/* point = scalar * base point, with the table left in the group */
static int base_times(mbedtls_ecp_group *grp, const mbedtls_mpi *scalar, mbedtls_ecp_point *point)
{
    return mbedtls_ecp_mul(grp, point, scalar, &grp->G, rng, NULL);
}

static void warm(mbedtls_pk_context *pk)
{
    mbedtls_ecp_point r;
    mbedtls_mpi two;

    if (!mbedtls_pk_can_do(pk, MBEDTLS_PK_ECKEY))
        return;
    mbedtls_ecp_point_init(&r);
    mbedtls_mpi_init(&two);
    if (mbedtls_mpi_lset(&two, 2) == 0)
        (void)!base_times(&mbedtls_pk_ec(*pk)->grp, &two, &r);
    mbedtls_mpi_free(&two);
    mbedtls_ecp_point_free(&r);
}

/* does the key belong to the certificate?  (for EC keys the question warms the key) */
static bool key_fits(const mbedtls_pk_context *cert, mbedtls_pk_context *key)
{
    mbedtls_ecp_keypair *k;
    mbedtls_ecp_point q;
    bool same;

    if (!mbedtls_pk_can_do(cert, MBEDTLS_PK_ECKEY) || !mbedtls_pk_can_do(key, MBEDTLS_PK_ECKEY))
        return mbedtls_pk_check_pair(cert, key) == 0;
    k = mbedtls_pk_ec(*key);
    if (k->grp.id != mbedtls_pk_ec(*cert)->grp.id)
        return false;
    mbedtls_ecp_point_init(&q);
    same = base_times(&k->grp, &k->d, &q) == 0 &&
           mbedtls_ecp_point_cmp(&q, &mbedtls_pk_ec(*cert)->Q) == 0;
    mbedtls_ecp_point_free(&q);
    return same;
}

/* A self-signed certificate at the chain's end says nothing: who does not have it already does
 * not trust it. */
static void drop_root(mbedtls_x509_crt *leaf)
{
    for (mbedtls_x509_crt *c = leaf; c->next != NULL; c = c->next) {
        mbedtls_x509_crt *last = c->next;
        if (last->next != NULL || last->subject_raw.len != last->issuer_raw.len ||
            memcmp(last->subject_raw.p, last->issuer_raw.p, last->subject_raw.len) != 0)
            continue;
        c->next = NULL;
        mbedtls_x509_crt_free(last);
        free(last);
        return;
    }
}

static int load_own(struct creds_of_provider *cp, const struct tls_conf *conf, struct err *e)
{
    char words[128];
    int r;

    if (conf->cert_pem == NULL)
        return 0;
    if (pem_chain(&cp->own, conf->cert_pem, "cert_pem", e) != 0)
        return -1;
    drop_root(&cp->own);
    r = mbedtls_pk_parse_key(&cp->key, (const unsigned char *)conf->key_pem,
                             strlen(conf->key_pem) + 1, NULL, 0);
    if (r != 0) {
        mbedtls_strerror(r, words, sizeof(words));
        return err_set(e, "key_pem: the private key cannot be read (%s); expected PEM", words);
    }
    if (!key_fits(&cp->own.pk, &cp->key))
        return err_set(e, "key_pem: the key does not belong to the first certificate of cert_pem");
    return 0;
}

static int load_roots(struct creds_of_provider *cp, const struct tls_conf *conf, struct err *e)
{
    if (conf->ca_pem != NULL)
        return pem_chain(&cp->roots, conf->ca_pem, "ca_pem", e);
    /* one certificate of the system's that this library cannot read is no reason to stop */
    if (creds_system_roots(conf) && mbedtls_x509_crt_parse_file(&cp->roots, SYSTEM_ROOTS) < 0)
        return err_set(e,
                       "ca_pem: not given, and the system's roots cannot be read from %s (install "
                       "the package ca-certificates)",
                       SYSTEM_ROOTS);
    return 0;
}

int creds_load(struct creds *c, const struct tls_conf *conf, struct err *e)
{
    struct creds_of_provider *cp = c->parts = xcalloc(1, sizeof(*cp));
    uint8_t digest[CREDS_DIGEST];

    mbedtls_x509_crt_init(&cp->own);
    mbedtls_x509_crt_init(&cp->roots);
    mbedtls_pk_init(&cp->key);
    if (load_roots(cp, conf, e) != 0 || load_own(cp, conf, e) != 0)
        return -1;
    for (mbedtls_x509_crt *x = &cp->roots; x != NULL && x->raw.p != NULL; x = x->next) {
        warm(&x->pk);
        tls_sha256(x->raw.p, x->raw.len, digest);
        creds_add_root(c, digest);
    }
    return 0;
}

void creds_unload(struct creds *c)
{
    mbedtls_x509_crt_free(&c->parts->own);
    mbedtls_x509_crt_free(&c->parts->roots);
    mbedtls_pk_free(&c->parts->key);
    free(c->parts);
}

const void *creds_leaf(const struct creds *c)
{
    return c->parts->own.raw.p != NULL ? &c->parts->own : NULL;
}
