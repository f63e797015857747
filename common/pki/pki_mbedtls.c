/* pki_mbedtls.c - keys, requests and certificates read by mbedTLS 2.28. */
#include <mbedtls/asn1.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/pki/der.h"
#include "common/pki/pki_int.h"
#include "common/tls/cert.h"

#define RSA_BITS_MIN 2048u
#define RSA_BITS_MAX 8192u

struct pki_key {
    mbedtls_pk_context pk;
};

static int rng(void *arg, unsigned char *p, size_t n)
{
    random_bytes(p, n);
    return 0;
}

static int fail(struct err *e, const char *what, int r)
{
    char words[128];

    mbedtls_strerror(r, words, sizeof(words));
    return err_set(e, "%s: %s", what, words);
}

void pki_sha256(const void *p, size_t n, uint8_t out[32])
{
    mbedtls_sha256_ret(p, n, out, 0);
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static bool pk_is_ec(const mbedtls_pk_context *pk)
{
    return mbedtls_pk_can_do(pk, MBEDTLS_PK_ECKEY) != 0;
}

/* P-256, P-384 or RSA of a sane size: what we sign for and with */
static int pk_acceptable(const mbedtls_pk_context *pk, const char *what, struct err *e)
{
    size_t bits = mbedtls_pk_get_bitlen(pk);

    if (pk_is_ec(pk)) {
        mbedtls_ecp_group_id id = mbedtls_pk_ec(*pk)->grp.id;
        if (id == MBEDTLS_ECP_DP_SECP256R1 || id == MBEDTLS_ECP_DP_SECP384R1)
            return 0;
    } else if (mbedtls_pk_can_do(pk, MBEDTLS_PK_RSA) && bits >= RSA_BITS_MIN &&
               bits <= RSA_BITS_MAX) {
        return 0;
    }
    return err_set(e,
                   "%s: its key is %s of %zu bits; expected EC P-256 or P-384, or RSA of %u to "
                   "%u bits",
                   what, mbedtls_pk_get_name(pk), bits, RSA_BITS_MIN, RSA_BITS_MAX);
}

static struct pki_key *key_checked(struct pki_key *k, int r, const char *what, struct err *e)
{
    if (r != 0)
        fail(e, what, r);
    else if (pk_acceptable(&k->pk, what, e) == 0)
        return k;
    key_free(k);
    return NULL;
}

struct pki_key *key_load(const char *pem, struct err *e)
{
    struct pki_key *k = xcalloc(1, sizeof(*k));
    int r;

    mbedtls_pk_init(&k->pk);
    r = mbedtls_pk_parse_key(&k->pk, (const unsigned char *)pem, strlen(pem) + 1, NULL, 0);
    return key_checked(k, r, "private key", e);
}

struct pki_key *key_load_public(const char *pem, struct err *e)
{
    struct pki_key *k = xcalloc(1, sizeof(*k));
    int r;

    mbedtls_pk_init(&k->pk);
    r = mbedtls_pk_parse_public_key(&k->pk, (const unsigned char *)pem, strlen(pem) + 1);
    return key_checked(k, r, "public key", e);
}

void key_free(struct pki_key *k)
{
    if (k == NULL)
        return;
    mbedtls_pk_free(&k->pk);
    free(k);
}

bool key_is_p256(const struct pki_key *k)
{
    return pk_is_ec(&k->pk) && mbedtls_pk_ec(k->pk)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

bool key_is_rsa(const struct pki_key *k)
{
    return mbedtls_pk_can_do(&k->pk, MBEDTLS_PK_RSA) != 0;
}

static int pk_spki(const mbedtls_pk_context *pk, struct buf *out, struct err *e)
{
    unsigned char der[RSA_BITS_MAX / 8 + 256];
    int n = mbedtls_pk_write_pubkey_der((mbedtls_pk_context *)(uintptr_t)pk, der, sizeof(der));

    if (n < 0)
        return fail(e, "public key", n);
    buf_append(out, der + sizeof(der) - n, (size_t)n);
    return 0;
}

int key_spki(const struct pki_key *k, struct buf *out, struct err *e)
{
    return pk_spki(&k->pk, out, e);
}

int key_sign(const struct pki_key *k, const void *p, size_t n, struct buf *out, struct err *e)
{
    mbedtls_pk_context *pk = (mbedtls_pk_context *)(uintptr_t)&k->pk;
    unsigned char hash[32], sig[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t len;
    int r;

    pki_sha256(p, n, hash);
    r = mbedtls_pk_sign(pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), sig, &len, rng, NULL);
    if (r != 0)
        return fail(e, "signing", r);
    buf_append(out, sig, len);
    return 0;
}

bool key_verify(const struct pki_key *k, const void *p, size_t n, const void *sig, size_t sig_n)
{
    mbedtls_pk_context *pk = (mbedtls_pk_context *)(uintptr_t)&k->pk;
    unsigned char hash[32];

    pki_sha256(p, n, hash);
    return mbedtls_pk_verify(pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), sig, sig_n) == 0;
}

char *pki_key_new(struct err *e)
{
    unsigned char pem[1024];
    mbedtls_pk_context pk;
    char *out = NULL;
    int r;

    mbedtls_pk_init(&pk);
    r = mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (r == 0)
        r = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk), rng, NULL);
    if (r == 0)
        r = mbedtls_pk_write_key_pem(&pk, pem, sizeof(pem));
    if (r == 0)
        out = xstrdup((char *)pem);
    else
        fail(e, "making a key", r);
    explicit_bzero(pem, sizeof(pem));
    mbedtls_pk_free(&pk);
    return out;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static int csr_check(mbedtls_x509_csr *csr, struct err *e)
{
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(csr->sig_md);
    unsigned char hash[MBEDTLS_MD_MAX_SIZE];

    if (pk_acceptable(&csr->pk, "certificate request", e) != 0)
        return -1;
    if (csr->sig_md != MBEDTLS_MD_SHA256 && csr->sig_md != MBEDTLS_MD_SHA384 &&
        csr->sig_md != MBEDTLS_MD_SHA512)
        return err_set(e, "certificate request: signed with a weak hash; expected SHA-256, "
                          "SHA-384 or SHA-512");
    if (mbedtls_md(md, csr->cri.p, csr->cri.len, hash) != 0 ||
        mbedtls_pk_verify_ext(csr->sig_pk, csr->sig_opts, &csr->pk, csr->sig_md, hash,
                              mbedtls_md_get_size(md), csr->sig.p, csr->sig.len) != 0)
        return err_set(e, "certificate request: its signature is not by the key it shows");
    return 0;
}

int csr_open(const char *pem, struct buf *spki, struct err *e)
{
    size_t n = strnlen(pem, PKI_PEM_MAX + 1);
    mbedtls_x509_csr csr;
    int r;

    if (n > PKI_PEM_MAX)
        return err_set(e, "certificate request: larger than %u bytes", PKI_PEM_MAX);
    mbedtls_x509_csr_init(&csr);
    r = mbedtls_x509_csr_parse(&csr, (const unsigned char *)pem, n + 1);
    if (r != 0)
        r = fail(e, "certificate request", r);
    else if ((r = csr_check(&csr, e)) == 0)
        r = pk_spki(&csr.pk, spki, e);
    mbedtls_x509_csr_free(&csr);
    return r;
}

/* ---- certificates ------------------------------------------------------------------------------
 */

/* the subjectKeyIdentifier, which this library leaves in the raw extensions */
static void read_key_id(const mbedtls_x509_crt *crt, struct cert_data *out)
{
    static const char oid[] = {0x55, 0x1d, 0x0e};
    struct slice in = slice_of((const char *)crt->v3_ext.p, crt->v3_ext.len);
    struct slice list, ext, field;
    unsigned tag;

    if (der_next(&in, &tag, &list) != 0 || tag != DER_SEQUENCE)
        return;
    while (der_next(&list, &tag, &ext) == 0) {
        if (der_next(&ext, &tag, &field) != 0 || !slice_eq(field, slice_of(oid, sizeof(oid))))
            continue;
        while (der_next(&ext, &tag, &field) == 0 && tag != DER_OCTET_STRING)
            ;
        if (tag == DER_OCTET_STRING && der_next(&field, &tag, &in) == 0 &&
            tag == DER_OCTET_STRING && in.n <= sizeof(out->key_id)) {
            memcpy(out->key_id, in.p, in.n);
            out->key_id_n = in.n;
        }
        return;
    }
}

static void read_info(const mbedtls_x509_crt *crt, struct pki_cert_info *out)
{
    size_t n = crt->serial.len;

    if (n > (sizeof(out->serial) - 1) / 2)
        n = (sizeof(out->serial) - 1) / 2;
    hex_encode(crt->serial.p, n, out->serial);
    cert_subject_cn(crt, out->subject_cn, sizeof(out->subject_cn));
    cert_issuer_cn(crt, out->issuer_cn, sizeof(out->issuer_cn));
    cert_sans_text(crt, out->sans, sizeof(out->sans));
    out->not_before = cert_not_before(crt);
    out->not_after = cert_not_after(crt);
}

int cert_parse(const char *pem, struct cert_data *out, struct err *e)
{
    size_t n = strnlen(pem, PKI_PEM_MAX + 1);
    mbedtls_x509_crt crt;
    int r;

    if (n > PKI_PEM_MAX)
        return err_set(e, "certificate: larger than %u bytes", PKI_PEM_MAX);
    mbedtls_x509_crt_init(&crt);
    r = mbedtls_x509_crt_parse(&crt, (const unsigned char *)pem, n + 1);
    if (r < 0 || crt.raw.p == NULL) {
        fail(e, "certificate", r);
        mbedtls_x509_crt_free(&crt);
        return -1;
    }
    read_info(&crt, &out->info);
    read_key_id(&crt, out);
    out->ca = crt.ca_istrue != 0 &&
              mbedtls_x509_crt_check_key_usage(&crt, MBEDTLS_X509_KU_KEY_CERT_SIGN) == 0;
    buf_append(&out->subject, crt.subject_raw.p, crt.subject_raw.len);
    r = pk_spki(&crt.pk, &out->spki, e);
    mbedtls_x509_crt_free(&crt);
    return r;
}
