/* Service-account tokens: JWT (RFC 7519) with ES256 (RFC 7518 3.4), and the claims Kubernetes
 * puts into the tokens it projects. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/pki/der.h"
#include "common/pki/pki_int.h"

#define TOKEN_MAX 16384u
#define LEEWAY_S  60  /* how far clocks may differ */
#define HALF      32u /* bytes of one of the two numbers of a P-256 signature */
#define SA_PREFIX "system:serviceaccount:"

/* ---- the signature's two forms
 * ------------------------------------------------------------------- JWS carries the two numbers
 * side by side, the libraries want DER. */

static int half_from_der(struct slice *in, uint8_t out[HALF])
{
    struct slice v;
    unsigned tag;

    if (der_next(in, &tag, &v) != 0 || tag != DER_INTEGER)
        return -1;
    while (v.n > 0 && v.p[0] == 0)
        v = slice_of(v.p + 1, v.n - 1);
    if (v.n > HALF)
        return -1;
    memset(out, 0, HALF - v.n);
    memcpy(out + HALF - v.n, v.p, v.n);
    return 0;
}

static int raw_from_der(struct slice der, uint8_t raw[2 * HALF])
{
    struct slice seq;
    unsigned tag;

    if (der_next(&der, &tag, &seq) != 0 || tag != DER_SEQUENCE)
        return -1;
    return half_from_der(&seq, raw) == 0 && half_from_der(&seq, raw + HALF) == 0 ? 0 : -1;
}

static void der_from_raw(const uint8_t raw[2 * HALF], struct buf *out)
{
    struct buf seq = BUF_INIT;

    der_put_uint(&seq, raw, HALF);
    der_put_uint(&seq, raw + HALF, HALF);
    der_wrap(out, DER_SEQUENCE, &seq);
}

/* ---- signing ------------------------------------------------------------------------------------
 */

static json_t *claims(const struct pki_token *t)
{
    json_int_t now = clock_wall_ms() / 1000;
    char sub[sizeof(SA_PREFIX) + sizeof(t->ns) + sizeof(t->sa)];

    snprintf(sub, sizeof(sub), SA_PREFIX "%s:%s", t->ns, t->sa);
    return json_pack("{s:[s], s:I, s:I, s:I, s:s, s:s, s:{s:s, s:{s:s, s:s}, s:{s:s}}}", "aud",
                     t->audience, "exp", (json_int_t)t->not_after, "iat", now, "nbf", now, "iss",
                     "fsm", "sub", sub, "kubernetes.io", "namespace", t->ns, "pod", "name", t->pod,
                     "uid", t->pod_uid, "serviceaccount", "name", t->sa);
}

char *pki_token_sign(const char *key_pem, const struct pki_token *t, struct err *e)
{
    struct buf text = BUF_INIT, body = BUF_INIT, der = BUF_INIT;
    struct pki_key *key = key_load(key_pem, e);
    uint8_t raw[2 * HALF];
    json_t *j = claims(t);
    char *token = NULL;

    if (j == NULL) {
        err_set(e, "token: a name in it is not UTF-8");
    } else if (key != NULL && !key_is_p256(key)) {
        err_set(e, "token: the issuer's key is not EC P-256, which ES256 needs");
    } else if (key != NULL) {
        base64url_encode("{\"alg\":\"ES256\",\"typ\":\"JWT\"}", 27, &text);
        buf_putc(&text, '.');
        json_print(j, &body);
        base64url_encode(body.p, body.len, &text);
        if (key_sign(key, text.p, text.len, &der, e) == 0 &&
            raw_from_der(buf_slice(&der), raw) == 0) {
            buf_putc(&text, '.');
            base64url_encode(raw, sizeof(raw), &text);
            token = buf_take(&text);
        }
    }
    json_decref(j);
    key_free(key);
    buf_free(&text);
    buf_free(&body);
    buf_free(&der);
    return token;
}

/* ---- verifying
 * ----------------------------------------------------------------------------------- */

/* one base64url part as a JSON object; returns owned */
static json_t *part_json(struct slice part, const char *what, struct err *e)
{
    struct buf text = BUF_INIT;
    json_t *j = NULL;

    if (base64url_decode(part, &text) != 0)
        err_set(e, "token: its %s is not base64url", what);
    else if ((j = json_parse(buf_slice(&text), TOKEN_MAX, e)) == NULL)
        err_prefix(e, "token: its %s", what);
    buf_free(&text);
    if (j != NULL && !json_is_object(j)) {
        err_set(e, "token: its %s is no JSON object", what);
        json_decref(j);
        j = NULL;
    }
    return j;
}

static int check_header(struct slice part, struct err *e)
{
    json_t *j = part_json(part, "header", e);
    int r = 0;

    if (j == NULL)
        return -1;
    /* The algorithm is ours; the token must only not claim another.  RFC 7515 4.1.11: "crit"
     * names what must be understood, and we understand none. */
    if (strcmp(json_str(j, "alg", ""), "ES256") != 0)
        r = err_set(e, "token: signed with \"%.32s\"; expected ES256", json_str(j, "alg", "none"));
    else if (json_object_get(j, "crit") != NULL)
        r = err_set(e, "token: has critical header fields that are not understood");
    json_decref(j);
    return r;
}

static int check_signature(const char *public_pem, struct slice signed_part, struct slice part,
                           struct err *e)
{
    struct pki_key *key = key_load_public(public_pem, e);
    struct buf raw = BUF_INIT, der = BUF_INIT;
    int r = -1;

    if (key == NULL)
        return err_prefix(e, "token verification key");
    if (!key_is_p256(key)) {
        err_set(e, "token verification key: not EC P-256, which ES256 needs");
    } else if (base64url_decode(part, &raw) != 0 || raw.len != 2 * HALF) {
        err_set(e, "token: its signature is not the 64 bytes of ES256 in base64url");
    } else {
        der_from_raw((const uint8_t *)raw.p, &der);
        if (key_verify(key, signed_part.p, signed_part.n, der.p, der.len))
            r = 0;
        else
            err_set(e, "token: its signature is not by the expected issuer");
    }
    key_free(key);
    buf_free(&raw);
    buf_free(&der);
    return r;
}

/* a NumericDate; 0: absent, -1: of a wrong kind */
static int take_time(const json_t *j, const char *name, int64_t *out)
{
    const json_t *v = json_object_get(j, name);

    if (v == NULL)
        return 0;
    if (json_is_integer(v))
        *out = json_integer_value(v);
    else if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < 1e15)
        *out = (int64_t)json_real_value(v);
    else
        return -1;
    return *out < 0 || *out > (int64_t)1 << 50 ? -1 : 1;
}

/* clock: NULL = by a clock that is not ours */
static int check_times(const json_t *j, const int64_t *clock, int64_t *exp, struct err *e)
{
    int64_t nbf = 0, iat = 0;

    if (take_time(j, "exp", exp) != 1 || take_time(j, "nbf", &nbf) < 0 ||
        take_time(j, "iat", &iat) < 0)
        return err_set(e, "token: exp, nbf and iat must be seconds since the epoch, and exp must "
                          "be there");
    if (!clock)
        return 0;
    int64_t now = *clock;
    if (now >= *exp + LEEWAY_S)
        return err_set(e, "token: expired %lld s ago", (long long)(now - *exp));
    if (nbf > now + LEEWAY_S || iat > now + LEEWAY_S)
        return err_set(e, "token: valid only in %lld s (check the clocks)",
                       (long long)((nbf > iat ? nbf : iat) - now));
    return 0;
}

static int check_audience(const json_t *j, const char *want, struct err *e)
{
    const json_t *aud = json_object_get(j, "aud"), *v;
    size_t i;

    if (json_is_string(aud) && strcmp(json_string_value(aud), want) == 0)
        return 0;
    json_array_foreach (aud, i, v)
        if (json_is_string(v) && strcmp(json_string_value(v), want) == 0)
            return 0;
    return err_set(e, "token: not for the audience \"%s\"", want);
}

/* a Kubernetes name or uid: it becomes part of certificates and file names */
static int copy_name(char *out, size_t size, const char *v)
{
    size_t n = strlen(v);

    if (n >= size || strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEF0123456789-.") != n ||
        (n > 0 && (v[0] == '.' || v[0] == '-')))
        return -1;
    memcpy(out, v, n + 1);
    return 0;
}

static int take_identity(const json_t *j, struct pki_token *out, struct err *e)
{
    const json_t *k = json_object_get(j, "kubernetes.io");
    char sub[sizeof(SA_PREFIX) + sizeof(out->ns) + sizeof(out->sa)];

    if (copy_name(out->ns, sizeof(out->ns), json_str(k, "namespace", "")) != 0 ||
        copy_name(out->sa, sizeof(out->sa), json_str(k, "serviceaccount.name", "")) != 0 ||
        copy_name(out->pod, sizeof(out->pod), json_str(k, "pod.name", "")) != 0 ||
        copy_name(out->pod_uid, sizeof(out->pod_uid), json_str(k, "pod.uid", "")) != 0 ||
        out->ns[0] == '\0' || out->sa[0] == '\0' || strchr(out->ns, '.') != NULL)
        return err_set(e, "token: \"kubernetes.io\" must name the namespace and the service "
                          "account by valid names");
    snprintf(sub, sizeof(sub), SA_PREFIX "%s:%s", out->ns, out->sa);
    if (strcmp(json_str(j, "sub", ""), sub) != 0)
        return err_set(e, "token: its subject is not \"%s\"", sub);
    return 0;
}

static int check_claims(struct slice part, const char *audience, const int64_t *clock,
                        struct pki_token *out, struct err *e)
{
    json_t *j = part_json(part, "claims", e);
    int r = -1;

    if (j == NULL)
        return -1;
    if (check_times(j, clock, &out->not_after, e) == 0 && check_audience(j, audience, e) == 0 &&
        take_identity(j, out, e) == 0)
        r = 0;
    if (r == 0)
        snprintf(out->audience, sizeof(out->audience), "%s", audience);
    json_decref(j);
    return r;
}

/* the three parts, and the two that are signed as one */
struct parts {
    struct slice header, body, signature, signed_part;
};

static int split(struct slice token, struct parts *out, struct err *e)
{
    struct slice rest = token;

    if (token.n > TOKEN_MAX)
        return err_set(e, "token: longer than %u bytes", TOKEN_MAX);
    out->header = slice_cut(&rest, '.');
    if (rest.p == NULL)
        return err_set(e, "token: expected three parts with dots between");
    out->body = slice_cut(&rest, '.');
    if (rest.p == NULL || memchr(rest.p, '.', rest.n) != NULL)
        return err_set(e, "token: expected three parts with dots between");
    out->signature = rest;
    out->signed_part = slice_of(token.p, out->header.n + 1 + out->body.n);
    return 0;
}

int pki_token_verify(const char *public_key_pem, struct slice token, const char *audience,
                     int64_t now_s, struct pki_token *out, struct err *e)
{
    struct parts p;

    memset(out, 0, sizeof(*out));
    /* the claims are not looked at before the signature holds */
    if (split(token, &p, e) != 0 || check_header(p.header, e) != 0 ||
        check_signature(public_key_pem, p.signed_part, p.signature, e) != 0)
        return -1;
    return check_claims(p.body, audience, &now_s, out, e);
}

int pki_token_claims(struct slice token, const char *audience, struct pki_token *out, struct err *e)
{
    struct buf signature = BUF_INIT;
    struct parts p;
    int r = -1;

    memset(out, 0, sizeof(*out));
    if (split(token, &p, e) != 0)
        return -1;
    if (base64url_decode(p.signature, &signature) != 0 || signature.len == 0)
        err_set(e, "token: its signature is not base64url");
    else
        r = check_claims(p.body, audience, NULL, out, e);
    buf_free(&signature);
    return r;
}
