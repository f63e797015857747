/* cert.h - what is read from an X.509 certificate, alike with both providers.
 *
 * `cert` is the provider's own certificate object (const mbedtls_x509_crt *, const X509 *).
 * Names come from a peer, so a name with a byte outside printable ASCII (an embedded NUL, a line
 * feed) is never shown and never matches.  Pure; any thread.
 */
#ifndef FSM_TLS_CERT_H
#define FSM_TLS_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/tls/tls.h"

/* the GeneralName tag numbers of RFC 5280 4.2.1.6 that we use */
enum cert_san_type { CERT_SAN_DNS = 2, CERT_SAN_URI = 6, CERT_SAN_IP = 7 };

struct cert_san {
    enum cert_san_type type;
    const unsigned char *p; /* borrowed, valid during the call */
    size_t n;
};
/* no more names than these are looked at */
#define CERT_SANS_MAX 256

/* return false to end the walk */
typedef bool cert_san_fn(const struct cert_san *san, void *arg);

/* ---- by provider (cert_mbedtls.c, cert_openssl.c) ---- */
/* DNS, URI and IP names in the certificate's order */
void cert_each_san(const void *cert, cert_san_fn *fn, void *arg);
/* the last CN of the subject (or issuer), "" if there is none or it is not printable */
void cert_subject_cn(const void *cert, char *out, size_t size);
void cert_issuer_cn(const void *cert, char *out, size_t size);
/* seconds since the epoch */
int64_t cert_not_before(const void *cert);
int64_t cert_not_after(const void *cert);

/* ---- shared (cert.c) ---- */
/* Exactly this name is among the SANs: a URI (it has a colon) as a URI, any other as a DNS name;
 * and there are not two spiffe:// names (SPIFFE X509-SVID 2). */
bool cert_has_identity(const void *cert, const char *identity);
/* RFC 6125 and 9525: DNS SANs (a wildcard is the whole left-most label and stands for one), IP
 * SANs for an address; the CN never counts */
bool cert_has_host(const void *cert, const char *host);
/* fills everything but present */
void cert_peer(const void *cert, struct tls_peer *out);
/* "DNS:a, URI:b, IP:c", cut at the size */
void cert_sans_text(const void *cert, char *out, size_t size);
/* does the DNS name of a certificate cover the host?  both without NULs */
bool cert_dns_matches(struct slice pattern, struct slice host);

#endif
