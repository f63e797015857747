/* mbedTLS 2.28 parses DNS names only; it keeps every SAN's raw tag and bytes, which is what is
 * read here. */
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/tls/cert.h"

#define TAG_NUMBER 0x1f

void cert_each_san(const void *cert, cert_san_fn *fn, void *arg)
{
    const mbedtls_x509_crt *crt = cert;
    const mbedtls_x509_sequence *s;
    unsigned left = CERT_SANS_MAX;

    if ((crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME) == 0)
        return;
    for (s = &crt->subject_alt_names; s != NULL && left > 0; s = s->next, left--) {
        int tag = s->buf.tag & TAG_NUMBER;
        struct cert_san san = {(enum cert_san_type)tag, s->buf.p, s->buf.len};

        if (s->buf.p == NULL || (tag != CERT_SAN_DNS && tag != CERT_SAN_URI && tag != CERT_SAN_IP))
            continue;
        if (!fn(&san, arg))
            return;
    }
}

static void name_cn(const mbedtls_x509_name *name, char *out, size_t size)
{
    out[0] = '\0';
    for (; name != NULL; name = name->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) != 0)
            continue;
        if (name->val.len >= size)
            continue;
        for (size_t i = 0; i < name->val.len; i++)
            if (name->val.p[i] < 0x20 || name->val.p[i] > 0x7e)
                return;
        memcpy(out, name->val.p, name->val.len);
        out[name->val.len] = '\0';
    }
}

void cert_subject_cn(const void *cert, char *out, size_t size)
{
    name_cn(&((const mbedtls_x509_crt *)cert)->subject, out, size);
}

void cert_issuer_cn(const void *cert, char *out, size_t size)
{
    name_cn(&((const mbedtls_x509_crt *)cert)->issuer, out, size);
}

static int64_t epoch(const mbedtls_x509_time *t)
{
    struct tm tm = {.tm_year = t->year - 1900,
                    .tm_mon = t->mon - 1,
                    .tm_mday = t->day,
                    .tm_hour = t->hour,
                    .tm_min = t->min,
                    .tm_sec = t->sec};

    return (int64_t)timegm(&tm);
}

int64_t cert_not_before(const void *cert)
{
    return epoch(&((const mbedtls_x509_crt *)cert)->valid_from);
}

int64_t cert_not_after(const void *cert)
{
    return epoch(&((const mbedtls_x509_crt *)cert)->valid_to);
}
