/* pki_int.h - private to common/pki.
 *
 * Certificates and requests are composed here, byte for byte the same in both builds
 * (pki_cert.c): mbedTLS 2.28 can write neither URI names nor extended key usage, and puts a
 * parameter into ECDSA's algorithm identifier that RFC 5758 forbids.  The provider parses,
 * verifies, and does everything with keys (pki_mbedtls.c, pki_openssl.c).
 */
#ifndef FSM_PKI_INT_H
#define FSM_PKI_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/pki/pki.h"

#define PKI_PEM_MAX    65536u /* of any PEM text we read */
#define PKI_KEY_ID_LEN 20u

/* ---- by provider ---- */
struct pki_key; /* a key, or the public half of one */

/* returns owned; NULL and e: not a usable key */
struct pki_key *key_load(const char *pem, struct err *e);
struct pki_key *key_load_public(const char *pem, struct err *e);
void key_free(struct pki_key *k);
bool key_is_p256(const struct pki_key *k);
bool key_is_rsa(const struct pki_key *k);
/* appends the SubjectPublicKeyInfo, DER */
int key_spki(const struct pki_key *k, struct buf *out, struct err *e);
/* SHA-256 of the bytes, signed (ECDSA: DER form); appends */
int key_sign(const struct pki_key *k, const void *p, size_t n, struct buf *out, struct err *e);
/* true: the signature (ECDSA: DER form) is this key's over the SHA-256 of the bytes */
bool key_verify(const struct pki_key *k, const void *p, size_t n, const void *sig, size_t sig_n);

/* A request's public key, when its own signature holds and the key is strong enough: appends the
 * SubjectPublicKeyInfo, DER */
int csr_open(const char *pem, struct buf *spki, struct err *e);

struct cert_data {
    struct pki_cert_info info;
    struct buf subject, spki; /* DER */
    uint8_t key_id[64];       /* subjectKeyIdentifier */
    size_t key_id_n;          /* 0: it has none */
    bool ca;
};
/* the first certificate in the PEM; cert_data_free() also after a failure */
int cert_parse(const char *pem, struct cert_data *out, struct err *e);
void cert_data_free(struct cert_data *d);

/* ---- shared ---- */
struct cert_spec {
    const struct pki_names *names;
    const struct buf *spki;           /* of the subject */
    const struct cert_data *issuer;   /* NULL: self-signed */
    const struct pki_key *issuer_key; /* the subject's own when self-signed */
    bool ca;
    int64_t not_before, not_after;
};
/* returns owned: PEM */
char *cert_make(const struct cert_spec *s, struct err *e);
/* appends "-----BEGIN label-----" ... */
void pem_write(const char *label, const void *der, size_t n, struct buf *out);

#endif
