/* Composes certificates and requests: RFC 5280, RFC 2986, RFC 5758. */
#include <stdlib.h>
#include <string.h>
#include "common/base/cidr.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/pki/der.h"
#include "common/pki/pki_int.h"

#define CN_MAX    64   /* RFC 5280 A.1 ub-common-name; a longer one is left to the SANs */
#define DNS_MAX   253  /* RFC 1035, as text */
#define URI_MAX   2048 /* SPIFFE ID 2.3 */
#define NAMES_MAX 250

static const uint8_t oid_cn[] = {0x55, 0x04, 0x03};
static const uint8_t oid_org[] = {0x55, 0x04, 0x0a};
static const uint8_t oid_ecdsa_sha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
static const uint8_t oid_rsa_sha256[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b};
static const uint8_t oid_ski[] = {0x55, 0x1d, 0x0e};
static const uint8_t oid_key_usage[] = {0x55, 0x1d, 0x0f};
static const uint8_t oid_san[] = {0x55, 0x1d, 0x11};
static const uint8_t oid_constraints[] = {0x55, 0x1d, 0x13};
static const uint8_t oid_aki[] = {0x55, 0x1d, 0x23};
static const uint8_t oid_eku[] = {0x55, 0x1d, 0x25};
static const uint8_t oid_server_auth[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01};
static const uint8_t oid_client_auth[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02};

/* keyUsage as a named bit list: bits from the left, trailing zeros cut (X.690 11.2.2) */
static const uint8_t usage_sign[] = {DER_BIT_STRING, 2, 7, 0x80};     /* digitalSignature */
static const uint8_t usage_sign_enc[] = {DER_BIT_STRING, 2, 5, 0xa0}; /* + keyEncipherment */
static const uint8_t usage_ca[] = {DER_BIT_STRING, 2, 1, 0x06};       /* keyCertSign, cRLSign */

void pem_write(const char *label, const void *der, size_t n, struct buf *out)
{
    struct buf text = BUF_INIT;

    base64_encode(der, n, &text);
    buf_printf(out, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; at < text.len; at += 64) {
        buf_append(out, text.p + at, text.len - at < 64 ? text.len - at : 64);
        buf_putc(out, '\n');
    }
    buf_printf(out, "-----END %s-----\n", label);
    buf_free(&text);
}

char *pki_sha256_text(const char *s, char out[PKI_SHA256_TEXT])
{
    uint8_t hash[32];

    pki_sha256(s, strlen(s), hash);
    hex_encode(hash, sizeof(hash), out);
    return out;
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* printable ASCII but for some */
static bool text_ok(const char *s, size_t max, const char *not_these)
{
    size_t n = strlen(s);

    if (n == 0 || n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] > 0x7e || strchr(not_these, s[i]) != NULL)
            return false;
    return true;
}

static bool dns_ok(const char *s)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const char *rest = strncmp(s, "*.", 2) == 0 ? s + 2 : s;

    return strlen(s) <= DNS_MAX && *rest != '\0' && *rest != '.' &&
           strspn(rest, allowed) == strlen(rest) && strstr(rest, "..") == NULL;
}

static void put_attribute(struct buf *out, const uint8_t *oid, size_t oid_n, const char *value)
{
    struct buf set = BUF_INIT, seq = BUF_INIT;

    der_put(&seq, DER_OID, oid, oid_n);
    der_put(&seq, DER_UTF8, value, strlen(value));
    der_wrap(&set, DER_SEQUENCE, &seq);
    der_wrap(out, DER_SET, &set);
}

/* Name: O=fsm, and the CN where it fits */
static int put_subject(struct buf *out, const char *cn, struct err *e)
{
    struct buf name = BUF_INIT;

    if (cn != NULL && cn[0] != '\0' && !text_ok(cn, DNS_MAX + 64, ""))
        return err_set(e, "common name \"%s\": expected up to %d printable characters", cn,
                       DNS_MAX + 64);
    put_attribute(&name, oid_org, sizeof(oid_org), "fsm");
    if (cn != NULL && cn[0] != '\0' && strlen(cn) <= CN_MAX)
        put_attribute(&name, oid_cn, sizeof(oid_cn), cn);
    der_wrap(out, DER_SEQUENCE, &name);
    return 0;
}

static int put_sans(struct buf *out, const struct pki_names *names, struct err *e)
{
    unsigned n = 0;

    for (const char *const *s = names->dns; s != NULL && *s != NULL; s++, n++) {
        if (!dns_ok(*s))
            return err_set(e,
                           "DNS name \"%s\": expected letters, digits, '-', '_' and '.', at "
                           "most %d",
                           *s, DNS_MAX);
        der_put(out, DER_CONTEXT + 2, *s, strlen(*s));
    }
    for (const char *const *s = names->uri; s != NULL && *s != NULL; s++, n++) {
        if (!text_ok(*s, URI_MAX, " \"<>\\^`{|}") || strchr(*s, ':') == NULL)
            return err_set(e, "URI \"%s\": expected scheme:..., at most %d", *s, URI_MAX);
        der_put(out, DER_CONTEXT + 6, *s, strlen(*s));
    }
    for (const char *const *s = names->ip; s != NULL && *s != NULL; s++, n++) {
        struct ip ip;
        if (ip_parse(*s, &ip) != 0)
            return err_set(e, "IP address \"%s\": expected IPv4 or IPv6", *s);
        der_put(out, DER_CONTEXT + 7, ip.b, ip.family == 4 ? 4 : 16);
    }
    if (n > NAMES_MAX)
        return err_set(e, "%u names for one certificate; at most %d are possible", n, NAMES_MAX);
    return 0;
}

/* ---- extensions --------------------------------------------------------------------------------
 */

static void put_ext(struct buf *out, const uint8_t *oid, bool critical, const void *value, size_t n)
{
    static const uint8_t yes = 0xff;
    struct buf ext = BUF_INIT;

    der_put(&ext, DER_OID, oid, 3);
    if (critical)
        der_put(&ext, DER_BOOLEAN, &yes, 1);
    der_put(&ext, DER_OCTET_STRING, value, n);
    der_wrap(out, DER_SEQUENCE, &ext);
}

static void put_ext_buf(struct buf *out, const uint8_t *oid, bool critical, unsigned tag,
                        struct buf *inner)
{
    struct buf value = BUF_INIT;

    der_wrap(&value, tag, inner);
    put_ext(out, oid, critical, value.p, value.len);
    buf_free(&value);
}

/* RFC 7093 2, method 4, cut to 160 bits as method 1 is: no SHA-1 */
static void key_id(const struct buf *spki, uint8_t out[PKI_KEY_ID_LEN])
{
    uint8_t hash[32];

    pki_sha256(spki->p, spki->len, hash);
    memcpy(out, hash, PKI_KEY_ID_LEN);
}

static void put_constraints(struct buf *out, bool ca)
{
    static const uint8_t yes = 0xff, zero;
    struct buf seq = BUF_INIT;

    if (ca) {
        der_put(&seq, DER_BOOLEAN, &yes, 1);
        der_put_uint(&seq, &zero, 1); /* pathlen 0: it signs leaves only */
    }
    put_ext_buf(out, oid_constraints, true, DER_SEQUENCE, &seq);
}

static void put_usage(struct buf *out, const struct cert_spec *s)
{
    /* RSA's SubjectPublicKeyInfo says so in the OID that starts like rsa_sha256's */
    bool rsa = memmem(s->spki->p, s->spki->len < 32 ? s->spki->len : 32, oid_rsa_sha256, 8) != NULL;
    struct buf seq = BUF_INIT;

    if (s->ca) {
        put_ext(out, oid_key_usage, true, usage_ca, sizeof(usage_ca));
        return;
    }
    put_ext(out, oid_key_usage, true, rsa ? usage_sign_enc : usage_sign, sizeof(usage_sign));
    der_put(&seq, DER_OID, oid_server_auth, sizeof(oid_server_auth));
    der_put(&seq, DER_OID, oid_client_auth, sizeof(oid_client_auth));
    put_ext_buf(out, oid_eku, false, DER_SEQUENCE, &seq);
}

static void put_key_ids(struct buf *out, const struct cert_spec *s)
{
    struct buf own = BUF_INIT, aki = BUF_INIT;
    uint8_t id[PKI_KEY_ID_LEN];

    key_id(s->spki, id);
    der_put(&own, DER_OCTET_STRING, id, sizeof(id));
    put_ext(out, oid_ski, false, own.p, own.len);
    buf_free(&own);
    if (s->issuer == NULL)
        der_put(&aki, DER_CONTEXT, id, sizeof(id));
    else if (s->issuer->key_id_n > 0)
        der_put(&aki, DER_CONTEXT, s->issuer->key_id, s->issuer->key_id_n);
    else
        return;
    put_ext_buf(out, oid_aki, false, DER_SEQUENCE, &aki);
}

static int put_extensions(struct buf *out, const struct cert_spec *s, struct err *e)
{
    struct buf list = BUF_INIT, sans = BUF_INIT, seq = BUF_INIT;

    put_constraints(&list, s->ca);
    put_usage(&list, s);
    put_key_ids(&list, s);
    if (put_sans(&sans, s->names, e) != 0) {
        buf_free(&list);
        buf_free(&sans);
        return -1;
    }
    if (sans.len > 0)
        put_ext_buf(&list, oid_san, false, DER_SEQUENCE, &sans);
    buf_free(&sans);
    der_wrap(&seq, DER_SEQUENCE, &list);
    der_wrap(out, DER_CONTEXT_CONSTRUCTED + 3, &seq);
    return 0;
}

/* ---- certificate and request -------------------------------------------------------------------
 */

static void put_algorithm(struct buf *out, const struct pki_key *k)
{
    struct buf seq = BUF_INIT;

    if (key_is_rsa(k)) {
        der_put(&seq, DER_OID, oid_rsa_sha256, sizeof(oid_rsa_sha256));
        der_put(&seq, DER_NULL, NULL, 0);
    } else {
        der_put(&seq, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
    }
    der_wrap(out, DER_SEQUENCE, &seq);
}

/* body, algorithm, signature as one SEQUENCE in PEM; body is freed.  returns owned */
static char *sign(struct buf *body, const struct pki_key *k, const char *label, struct err *e)
{
    struct buf sig = BUF_INIT, seq = BUF_INIT, der = BUF_INIT, pem = BUF_INIT;

    if (key_sign(k, body->p, body->len, &sig, e) == 0) {
        buf_append(&seq, body->p, body->len);
        put_algorithm(&seq, k);
        der_put_bits(&seq, sig.p, sig.len);
        der_wrap(&der, DER_SEQUENCE, &seq);
        pem_write(label, der.p, der.len, &pem);
    }
    buf_free(body);
    buf_free(&sig);
    buf_free(&der);
    return pem.p; /* NULL when the signature failed */
}

static void put_serial(struct buf *out)
{
    uint8_t serial[16];

    random_bytes(serial, sizeof(serial));
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and always 16 bytes */
    der_put_uint(out, serial, sizeof(serial));
}

static int put_tbs(struct buf *tbs, const struct cert_spec *s, struct err *e)
{
    static const uint8_t v3 = 2;
    struct buf version = BUF_INIT, times = BUF_INIT, subject = BUF_INIT;

    if (put_subject(&subject, s->names->cn, e) != 0)
        return -1;
    der_put_uint(&version, &v3, 1);
    der_wrap(tbs, DER_CONTEXT_CONSTRUCTED, &version);
    put_serial(tbs);
    put_algorithm(tbs, s->issuer_key);
    buf_put_slice(tbs, buf_slice(s->issuer != NULL ? &s->issuer->subject : &subject));
    der_put_time(&times, s->not_before);
    der_put_time(&times, s->not_after);
    der_wrap(tbs, DER_SEQUENCE, &times);
    buf_put_slice(tbs, buf_slice(&subject));
    buf_free(&subject);
    buf_put_slice(tbs, buf_slice(s->spki));
    return put_extensions(tbs, s, e);
}

char *cert_make(const struct cert_spec *s, struct err *e)
{
    struct buf tbs = BUF_INIT, der = BUF_INIT;

    if (put_tbs(&tbs, s, e) != 0) {
        buf_free(&tbs);
        return NULL;
    }
    der_wrap(&der, DER_SEQUENCE, &tbs);
    return sign(&der, s->issuer_key, "CERTIFICATE", e);
}

static int put_request(struct buf *body, const struct pki_key *k, const char *cn, struct err *e)
{
    static const uint8_t v1 = 0;

    der_put_uint(body, &v1, 1);
    if (put_subject(body, cn, e) != 0 || key_spki(k, body, e) != 0)
        return -1;
    der_put(body, DER_CONTEXT_CONSTRUCTED, NULL, 0); /* no attributes */
    return 0;
}

char *pki_csr_new(const char *key_pem, const char *cn, struct err *e)
{
    struct pki_key *k = key_load(key_pem, e);
    struct buf body = BUF_INIT, der = BUF_INIT;
    char *pem = NULL;

    if (k == NULL)
        return NULL;
    if (put_request(&body, k, cn, e) == 0) {
        der_wrap(&der, DER_SEQUENCE, &body);
        pem = sign(&der, k, "CERTIFICATE REQUEST", e);
    }
    buf_free(&body);
    key_free(k);
    return pem;
}

char *pki_public_key(const char *key_pem, struct err *e)
{
    struct pki_key *k = key_load(key_pem, e);
    struct buf der = BUF_INIT, pem = BUF_INIT;

    if (k == NULL)
        return NULL;
    if (key_spki(k, &der, e) == 0)
        pem_write("PUBLIC KEY", der.p, der.len, &pem);
    buf_free(&der);
    key_free(k);
    return pem.p;
}

void pki_wipe(char *pem)
{
    if (pem == NULL)
        return;
    explicit_bzero(pem, strlen(pem));
    free(pem);
}

void cert_data_free(struct cert_data *d)
{
    buf_free(&d->subject);
    buf_free(&d->spki);
}

int pki_cert_read(const char *pem, struct pki_cert_info *out, struct err *e)
{
    struct cert_data d = {.key_id_n = 0};
    int r = cert_parse(pem, &d, e);

    if (r == 0)
        *out = d.info;
    cert_data_free(&d);
    return r;
}
