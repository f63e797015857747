/* pki.h - the mesh's certificate authority, the requests made of it, and service-account tokens.
 *
 * Keys are ECDSA P-256.  Identity: DNS SAN "<sa>.<ns>.<trust-domain>" (also the CN) and URI SAN
 * "spiffe://<trust-domain>/ns/<ns>/sa/<sa>".  Uses the TLS provider's library of the build.
 * PEM strings returned are owned by the caller; key PEMs must be wiped with pki_wipe.
 */
#ifndef FSM_PKI_PKI_H
#define FSM_PKI_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/base/slice.h"

/* a fresh private key, PKCS#8 or SEC1 PEM; NULL and e on failure */
char *pki_key_new(struct err *e);
/* a PKCS#10 request signed with key; the CA decides the names, so the request carries only cn */
char *pki_csr_new(const char *key_pem, const char *cn, struct err *e);
/* overwrites and frees; NULL is fine */
void pki_wipe(char *pem);

void pki_sha256(const void *p, size_t n, uint8_t out[32]);
#define PKI_SHA256_TEXT 65 /* hexadecimal, and NUL */
/* of a string; returns out */
char *pki_sha256_text(const char *s, char out[PKI_SHA256_TEXT]);

struct pki_ca;
/* Opens the CA kept in dir (ca.crt, ca.key: 0600), or makes one on first use (valid 10 years).
 * May hold a next root (next.crt, next.key) that is distributed before it is used. */
struct pki_ca *pki_ca_open(const char *dir, const char *trust_domain, struct err *e);
void pki_ca_free(struct pki_ca *ca);
/* all roots a peer should trust now, concatenated PEM; borrowed */
const char *pki_ca_roots(const struct pki_ca *ca);
/* the root that signs now, PEM; borrowed until the next step of a rotation */
const char *pki_ca_signer(const struct pki_ca *ca);
/* begins a root rotation: makes the next root and adds it to pki_ca_roots(); it signs only after
 * pki_ca_promote() */
int pki_ca_prepare_next(struct pki_ca *ca, struct err *e);
int pki_ca_promote(struct pki_ca *ca, struct err *e);
/* drops the old root from the bundle */
int pki_ca_retire_old(struct pki_ca *ca, struct err *e);

/* Somebody else may write the directory (it may be a mounted Secret): reads it anew.
 *   SAME        nothing has changed
 *   CHANGED     what is there is in force: other roots, or one of those of before signs
 *   STRANGE     it is another root, which nobody was told of: pki_ca_roots() has it beside
 *               those of before; the one of before signs until pki_ca_adopt(), and is trusted
 *               until pki_ca_forget()
 *   UNREADABLE  and e: all is as it was */
enum pki_ca_news { PKI_CA_SAME, PKI_CA_CHANGED, PKI_CA_STRANGE, PKI_CA_UNREADABLE };
enum pki_ca_news pki_ca_refresh(struct pki_ca *ca, struct err *e);
/* a strange root is to be adopted */
bool pki_ca_waits(const struct pki_ca *ca);
void pki_ca_adopt(struct pki_ca *ca);
/* roots are trusted that the directory does not have */
bool pki_ca_keeps(const struct pki_ca *ca);
void pki_ca_forget(struct pki_ca *ca);

struct pki_names {
    const char *cn;
    const char *const *dns; /* NULL-terminated */
    const char *const *uri;
    const char *const *ip;
};
/* Signs a CSR: checks its self-signature and that its key is P-256, P-384 or RSA >= 2048; takes
 * only the public key from it, the names are the caller's.  serverAuth + clientAuth.
 * not_before is now - 60 s.  returns owned: leaf PEM followed by the issuer. */
char *pki_ca_sign(struct pki_ca *ca, const char *csr_pem, const struct pki_names *names,
                  int64_t validity_s, struct err *e);
/* key and certificate for one of our own servers; *key_pem is owned too */
char *pki_ca_issue(struct pki_ca *ca, const struct pki_names *names, int64_t validity_s,
                   char **key_pem, struct err *e);

struct pki_cert_info {
    char subject_cn[256];
    char issuer_cn[256];
    char serial[128];              /* hex */
    char sans[1024];               /* "DNS:a, URI:b" */
    int64_t not_before, not_after; /* seconds since the epoch */
};
/* of the first certificate in the PEM */
int pki_cert_read(const char *pem, struct pki_cert_info *out, struct err *e);

/* A service-account token as the local runtime and Kubernetes project it: a JWT, ES256. */
struct pki_token {
    char ns[64], sa[254], pod[254], pod_uid[64];
    char audience[128];
    int64_t not_after; /* seconds since the epoch */
};
/* key_pem: the issuer's private key.  returns owned */
char *pki_token_sign(const char *key_pem, const struct pki_token *t, struct err *e);
/* Checks signature (ES256 only; "alg" from the token is never trusted), times, audience. */
int pki_token_verify(const char *public_key_pem, struct slice token, const char *audience,
                     int64_t now_s, struct pki_token *out, struct err *e);
/* What a token says of itself, whoever signed it and how: form and audience are checked, the
 * signature is not, and times are left to its issuer's clock.  Enough to refuse it, or to know what
 * to ask its issuer; never to trust. */
int pki_token_claims(struct slice token, const char *audience, struct pki_token *out,
                     struct err *e);
/* the public half of a private key, PEM; returns owned */
char *pki_public_key(const char *key_pem, struct err *e);

#endif
