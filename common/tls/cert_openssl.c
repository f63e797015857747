/* cert_openssl.c - a certificate's names and dates, from OpenSSL's X509. */
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>
#include "common/tls/cert.h"

static bool general_name(const GENERAL_NAME *g, struct cert_san *out)
{
    const ASN1_STRING *s;

    switch (g->type) {
    case GEN_DNS:
        s = g->d.dNSName;
        out->type = CERT_SAN_DNS;
        break;
    case GEN_URI:
        s = g->d.uniformResourceIdentifier;
        out->type = CERT_SAN_URI;
        break;
    case GEN_IPADD:
        s = g->d.iPAddress;
        out->type = CERT_SAN_IP;
        break;
    default:
        return false;
    }
    out->p = ASN1_STRING_get0_data(s);
    out->n = (size_t)ASN1_STRING_length(s);
    return true;
}

void cert_each_san(const void *cert, cert_san_fn *fn, void *arg)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    struct cert_san san;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < CERT_SANS_MAX; i++)
        if (general_name(sk_GENERAL_NAME_value(names, i), &san) && !fn(&san, arg))
            break;
    GENERAL_NAMES_free(names);
}

static void name_cn(const X509_NAME *name, char *out, size_t size)
{
    const ASN1_STRING *s;
    const unsigned char *p;
    int at = -1, last = -1;
    size_t n;

    out[0] = '\0';
    while ((at = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0)
        last = at;
    if (last < 0)
        return;
    s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last));
    p = ASN1_STRING_get0_data(s);
    n = (size_t)ASN1_STRING_length(s);
    if (n >= size)
        return;
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e)
            return;
    memcpy(out, p, n);
    out[n] = '\0';
}

void cert_subject_cn(const void *cert, char *out, size_t size)
{
    name_cn(X509_get_subject_name(cert), out, size);
}

void cert_issuer_cn(const void *cert, char *out, size_t size)
{
    name_cn(X509_get_issuer_name(cert), out, size);
}

static int64_t epoch(const ASN1_TIME *t)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm);
}

int64_t cert_not_before(const void *cert)
{
    return epoch(X509_get0_notBefore(cert));
}

int64_t cert_not_after(const void *cert)
{
    return epoch(X509_get0_notAfter(cert));
}
