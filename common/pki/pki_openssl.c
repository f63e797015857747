/* pki_openssl.c - keys, requests and certificates read by OpenSSL 3.0. */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/pki/pki_int.h"
#include "common/tls/cert.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

struct pki_key {
    EVP_PKEY *pk;
};

static int fail(struct err *e, const char *what)
{
    const char *s = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return err_set(e, "%s: %s", what, s != NULL ? s : "cannot be read");
}

void pki_sha256(const void *p, size_t n, uint8_t out[32])
{
    BUG_ON(EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) != 1);
}

/* an encrypted key must not make the library ask the terminal */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
    return -1;
}

static BIO *pem_bio(const char *pem, size_t n)
{
    BIO *b = BIO_new_mem_buf(pem, (int)n);

    BUG_ON(b == NULL);
    return b;
}

/* ---- keys --------------------------------------------------------------------------------------
 */

static int curve_of(const EVP_PKEY *pk)
{
    char name[64];
    int nid;

    if (EVP_PKEY_get_base_id(pk) != EVP_PKEY_EC ||
        EVP_PKEY_get_group_name(pk, name, sizeof(name), NULL) != 1)
        return NID_undef;
    nid = OBJ_sn2nid(name);
    return nid != NID_undef ? nid : EC_curve_nist2nid(name);
}

/* P-256, P-384 or RSA of a sane size: what we sign for and with */
static int pk_acceptable(const EVP_PKEY *pk, const char *what, struct err *e)
{
    int bits = EVP_PKEY_get_bits(pk), curve = curve_of(pk);

    if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1)
        return 0;
    if (EVP_PKEY_get_base_id(pk) == EVP_PKEY_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX)
        return 0;
    return err_set(e,
                   "%s: its key is %s of %d bits; expected EC P-256 or P-384, or RSA of %d to "
                   "%d bits",
                   what, OBJ_nid2sn(EVP_PKEY_get_base_id(pk)), bits, RSA_BITS_MIN, RSA_BITS_MAX);
}

static struct pki_key *key_checked(EVP_PKEY *pk, const char *what, struct err *e)
{
    struct pki_key *k;

    if (pk == NULL) {
        fail(e, what);
        return NULL;
    }
    if (pk_acceptable(pk, what, e) != 0) {
        EVP_PKEY_free(pk);
        return NULL;
    }
    k = xcalloc(1, sizeof(*k));
    k->pk = pk;
    return k;
}

struct pki_key *key_load(const char *pem, struct err *e)
{
    BIO *b = pem_bio(pem, strlen(pem));
    EVP_PKEY *pk = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);

    BIO_free(b);
    return key_checked(pk, "private key", e);
}

struct pki_key *key_load_public(const char *pem, struct err *e)
{
    BIO *b = pem_bio(pem, strlen(pem));
    EVP_PKEY *pk = PEM_read_bio_PUBKEY(b, NULL, no_passphrase, NULL);

    BIO_free(b);
    return key_checked(pk, "public key", e);
}

void key_free(struct pki_key *k)
{
    if (k == NULL)
        return;
    EVP_PKEY_free(k->pk);
    free(k);
}

bool key_is_p256(const struct pki_key *k)
{
    return curve_of(k->pk) == NID_X9_62_prime256v1;
}

bool key_is_rsa(const struct pki_key *k)
{
    return EVP_PKEY_get_base_id(k->pk) == EVP_PKEY_RSA;
}

static int pk_spki(const EVP_PKEY *pk, struct buf *out, struct err *e)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(pk, &der);

    if (n <= 0)
        return fail(e, "public key");
    buf_append(out, der, (size_t)n);
    OPENSSL_free(der);
    return 0;
}

int key_spki(const struct pki_key *k, struct buf *out, struct err *e)
{
    return pk_spki(k->pk, out, e);
}

int key_sign(const struct pki_key *k, const void *p, size_t n, struct buf *out, struct err *e)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char sig[RSA_BITS_MAX / 8 + 64];
    size_t len = sizeof(sig);
    int ok = md != NULL && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->pk) == 1 &&
             EVP_DigestSign(md, sig, &len, p, n) == 1;

    EVP_MD_CTX_free(md);
    if (!ok)
        return fail(e, "signing");
    buf_append(out, sig, len);
    return 0;
}

bool key_verify(const struct pki_key *k, const void *p, size_t n, const void *sig, size_t sig_n)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md != NULL && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, k->pk) == 1 &&
              EVP_DigestVerify(md, sig, sig_n, p, n) == 1;

    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return ok;
}

char *pki_key_new(struct err *e)
{
    EVP_PKEY *pk = EVP_EC_gen("P-256");
    BIO *b = BIO_new(BIO_s_secmem());
    char *pem = NULL, *p;
    long n;

    if (pk != NULL && b != NULL &&
        PEM_write_bio_PKCS8PrivateKey(b, pk, NULL, NULL, 0, NULL, NULL) == 1) {
        n = BIO_get_mem_data(b, &p);
        pem = xstrndup(p, (size_t)n);
    } else {
        fail(e, "making a key");
    }
    BIO_free(b);
    EVP_PKEY_free(pk);
    return pem;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static int csr_check(X509_REQ *csr, EVP_PKEY *pk, struct err *e)
{
    int md = NID_undef, kind;

    if (pk == NULL)
        return fail(e, "certificate request");
    if (pk_acceptable(pk, "certificate request", e) != 0)
        return -1;
    OBJ_find_sigid_algs(X509_REQ_get_signature_nid(csr), &md, &kind);
    if (md != NID_sha256 && md != NID_sha384 && md != NID_sha512)
        return err_set(e, "certificate request: signed with a weak hash; expected SHA-256, "
                          "SHA-384 or SHA-512");
    if (X509_REQ_verify(csr, pk) == 1)
        return 0;
    ERR_clear_error();
    return err_set(e, "certificate request: its signature is not by the key it shows");
}

int csr_open(const char *pem, struct buf *spki, struct err *e)
{
    size_t n = strnlen(pem, PKI_PEM_MAX + 1);
    X509_REQ *csr;
    BIO *b;
    int r = -1;

    if (n > PKI_PEM_MAX)
        return err_set(e, "certificate request: larger than %u bytes", PKI_PEM_MAX);
    b = pem_bio(pem, n);
    csr = PEM_read_bio_X509_REQ(b, NULL, no_passphrase, NULL);
    BIO_free(b);
    if (csr == NULL)
        return fail(e, "certificate request");
    if (csr_check(csr, X509_REQ_get0_pubkey(csr), e) == 0)
        r = pk_spki(X509_REQ_get0_pubkey(csr), spki, e);
    X509_REQ_free(csr);
    return r;
}

/* ---- certificates ------------------------------------------------------------------------------
 */

static void read_info(X509 *x, struct pki_cert_info *out)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
    size_t n = (size_t)ASN1_STRING_length(serial);

    if (n > (sizeof(out->serial) - 1) / 2)
        n = (sizeof(out->serial) - 1) / 2;
    hex_encode(ASN1_STRING_get0_data(serial), n, out->serial);
    cert_subject_cn(x, out->subject_cn, sizeof(out->subject_cn));
    cert_issuer_cn(x, out->issuer_cn, sizeof(out->issuer_cn));
    cert_sans_text(x, out->sans, sizeof(out->sans));
    out->not_before = cert_not_before(x);
    out->not_after = cert_not_after(x);
}

static int read_cert(X509 *x, struct cert_data *out, struct err *e)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(x);
    unsigned char *der = NULL;
    int n = i2d_X509_NAME(X509_get_subject_name(x), &der);

    read_info(x, &out->info);
    out->ca = X509_check_ca(x) == 1;
    if (id != NULL && (size_t)ASN1_STRING_length(id) <= sizeof(out->key_id)) {
        out->key_id_n = (size_t)ASN1_STRING_length(id);
        memcpy(out->key_id, ASN1_STRING_get0_data(id), out->key_id_n);
    }
    if (n > 0)
        buf_append(&out->subject, der, (size_t)n);
    OPENSSL_free(der);
    if (n <= 0 || X509_get0_pubkey(x) == NULL)
        return fail(e, "certificate");
    return pk_spki(X509_get0_pubkey(x), &out->spki, e);
}

int cert_parse(const char *pem, struct cert_data *out, struct err *e)
{
    size_t n = strnlen(pem, PKI_PEM_MAX + 1);
    BIO *b;
    X509 *x;
    int r;

    if (n > PKI_PEM_MAX)
        return err_set(e, "certificate: larger than %u bytes", PKI_PEM_MAX);
    b = pem_bio(pem, n);
    x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
    BIO_free(b);
    if (x == NULL)
        return fail(e, "certificate");
    r = read_cert(x, out, e);
    X509_free(x);
    return r;
}
