/* service-account tokens: ours, Kubernetes', and forged ones */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/pki/der.h"
#include "common/pki/pki.h"
#include "common/pki/pki_int.h"

static char *key, *pub, *other_key;
static int64_t now;

static void setup(void)
{
    struct err e = {""};

    key = pki_key_new(&e);
    other_key = pki_key_new(&e);
    pub = pki_public_key(key, &e);
    now = clock_wall_ms() / 1000;
}

static void teardown(void)
{
    pki_wipe(key);
    pki_wipe(other_key);
    free(pub);
}

static const struct pki_token web = {.ns = "shop",
                                     .sa = "web",
                                     .pod = "web-6d4c-x2x",
                                     .pod_uid = "0b1e7c9a-1111-4222-8333-444455556666",
                                     .audience = "fsm"};

static char *token_for(const char *k, int64_t not_after)
{
    struct pki_token t = web;
    struct err e = {""};
    char *text;

    t.not_after = not_after;
    text = pki_token_sign(k, &t, &e);
    ck_assert_msg(text != NULL, "%s", e.text);
    return text;
}

static int verify(const char *token, struct pki_token *out, struct err *e)
{
    return pki_token_verify(pub, slice_str(token), "fsm", now, out, e);
}

static void refused(const char *token, const char *says)
{
    struct pki_token t;
    struct err e = {""};

    ck_assert_int_eq(verify(token, &t, &e), -1);
    ck_assert_msg(strstr(e.text, says) != NULL, "\"%s\" should say \"%s\"", e.text, says);
}

/* any header and claims, signed with k as ES256 is */
static char *forge(const char *k, const char *header, const char *claims)
{
    struct buf text = BUF_INIT, sig = BUF_INIT;
    struct pki_key *pk = key_load(k, NULL);
    struct slice der, seq, v;
    unsigned char raw[64] = {0};
    unsigned tag;

    base64url_encode(header, strlen(header), &text);
    buf_putc(&text, '.');
    base64url_encode(claims, strlen(claims), &text);
    ck_assert_int_eq(key_sign(pk, text.p, text.len, &sig, NULL), 0);
    der = buf_slice(&sig);
    der_next(&der, &tag, &seq);
    for (int i = 0; i < 2; i++) {
        der_next(&seq, &tag, &v);
        while (v.n > 32)
            v = slice_of(v.p + 1, v.n - 1);
        memcpy(raw + 32 * i + 32 - v.n, v.p, v.n);
    }
    buf_putc(&text, '.');
    base64url_encode(raw, sizeof(raw), &text);
    buf_free(&sig);
    key_free(pk);
    return buf_take(&text);
}

#define ES256 "{\"alg\":\"ES256\",\"typ\":\"JWT\"}"
#define K8S                                                                                        \
    "\"sub\":\"system:serviceaccount:shop:web\",\"kubernetes.io\":{\"namespace\":\"shop\","        \
    "\"pod\":{\"name\":\"p\",\"uid\":\"u\"},\"serviceaccount\":{\"name\":\"web\",\"uid\":\"x\"}}"

static char *claims_with(const char *aud, const char *times, const char *rest)
{
    return xasprintf("{\"aud\":%s,%s,%s}", aud, times, rest);
}

static void forged_refused(const char *aud, const char *times, const char *rest, const char *says)
{
    char *claims = claims_with(aud, times, rest), *token = forge(key, ES256, claims);

    refused(token, says);
    free(claims);
    free(token);
}

START_TEST(what_is_signed_is_read)
{
    char *token = token_for(key, now + 600);
    struct pki_token t;
    struct err e = {""};

    ck_assert_msg(verify(token, &t, &e) == 0, "%s", e.text);
    ck_assert_str_eq(t.ns, "shop");
    ck_assert_str_eq(t.sa, "web");
    ck_assert_str_eq(t.pod, "web-6d4c-x2x");
    ck_assert_str_eq(t.pod_uid, web.pod_uid);
    ck_assert_str_eq(t.audience, "fsm");
    ck_assert_int_eq(t.not_after, now + 600);
    free(token);
}
END_TEST

/* as an API server projects it */
START_TEST(a_kubernetes_token)
{
    char *claims = xasprintf(
        "{\"aud\":[\"other\",\"fsm\"],\"exp\":%lld,\"iat\":%lld,\"iss\":\"https://"
        "kubernetes.default."
        "svc.cluster.local\",\"jti\":\"x\",\"kubernetes.io\":{\"namespace\":\"shop\",\"node\":{"
        "\"name\":\"n1\",\"uid\":\"1\"},\"pod\":{\"name\":\"web-0\",\"uid\":\"2\"},"
        "\"serviceaccount\":{\"name\":\"web\",\"uid\":\"3\"},\"warnafter\":1},\"nbf\":%lld,\"sub\":"
        "\"system:serviceaccount:shop:web\"}",
        (long long)now + 3600, (long long)now, (long long)now);
    char *token = forge(key, "{\"alg\":\"ES256\",\"kid\":\"abc\"}", claims);
    struct pki_token t;
    struct err e = {""};

    ck_assert_msg(verify(token, &t, &e) == 0, "%s", e.text);
    ck_assert_str_eq(t.pod, "web-0");
    free(claims);
    free(token);
}
END_TEST

START_TEST(time_has_a_minute_of_leeway)
{
    char *token = token_for(key, now + 10);
    struct pki_token t;
    struct err e = {""};

    ck_assert_int_eq(pki_token_verify(pub, slice_str(token), "fsm", now + 69, &t, &e), 0);
    ck_assert_int_eq(pki_token_verify(pub, slice_str(token), "fsm", now + 70, &t, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "expired"));
    ck_assert_int_eq(pki_token_verify(pub, slice_str(token), "fsm", now - 59, &t, &e), 0);
    ck_assert_int_eq(pki_token_verify(pub, slice_str(token), "fsm", now - 62, &t, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "check the clocks"));
    free(token);
}
END_TEST

START_TEST(another_issuer_is_refused)
{
    char *token = token_for(other_key, now + 600);

    refused(token, "not by the expected issuer");
    free(token);
}
END_TEST

START_TEST(a_changed_token_is_refused)
{
    char *token = token_for(key, now + 600);
    struct pki_token t;

    for (size_t i = 0; token[i] != '\0'; i++) {
        struct err e = {""};
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        ck_assert_msg(verify(token, &t, &e) == -1, "byte %zu", i);
        token[i] = was;
    }
    free(token);
}
END_TEST

START_TEST(a_cut_or_longer_token_is_refused)
{
    char *token = token_for(key, now + 600), *more;
    struct pki_token t;
    struct err e;

    for (size_t n = 0; n < strlen(token); n++)
        ck_assert_int_eq(pki_token_verify(pub, slice_of(token, n), "fsm", now, &t, &e), -1);
    more = xasprintf("%sAA", token);
    refused(more, "64 bytes");
    free(more);
    more = xasprintf("%s.AA", token);
    refused(more, "three parts");
    free(more);
    more = xasprintf("%s=", token);
    refused(more, "base64url");
    free(more);
    more = xasprintf(" %s", token);
    refused(more, "base64url");
    free(more);
    free(token);
}
END_TEST

START_TEST(algorithms_are_not_taken_from_the_token)
{
    static const char *const headers[] = {"{\"alg\":\"none\"}",    "{\"alg\":\"HS256\"}",
                                          "{\"alg\":\"RS256\"}",   "{\"alg\":\"es256\"}",
                                          "{\"alg\":\"ES384\"}",   "{}",
                                          "{\"alg\":[\"ES256\"]}", "{\"alg\":null}"};
    char *claims = claims_with("\"fsm\"", "\"exp\":99999999999", K8S);

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        char *token = forge(key, headers[i], claims);
        refused(token, "expected ES256");
        free(token);
    }
    free(claims);
}
END_TEST

START_TEST(no_signature_is_none)
{
    struct buf b = BUF_INIT;
    char *claims = claims_with("\"fsm\"", "\"exp\":99999999999", K8S);

    base64url_encode("{\"alg\":\"none\"}", 14, &b);
    buf_putc(&b, '.');
    base64url_encode(claims, strlen(claims), &b);
    buf_putc(&b, '.');
    refused(b.p, "expected ES256");
    buf_clear(&b);
    base64url_encode(ES256, strlen(ES256), &b);
    buf_putc(&b, '.');
    base64url_encode(claims, strlen(claims), &b);
    buf_putc(&b, '.');
    refused(b.p, "64 bytes");
    for (int i = 0; i < 86; i++) /* r = s = 0, which a careless verifier accepts */
        buf_putc(&b, 'A');
    refused(b.p, "not by the expected issuer");
    buf_free(&b);
    free(claims);
}
END_TEST

/* the public key as the secret of an HMAC */
START_TEST(hs256_with_the_public_key)
{
    struct buf b = BUF_INIT;
    char *claims = claims_with("\"fsm\"", "\"exp\":99999999999", K8S);

    base64url_encode("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27, &b);
    buf_putc(&b, '.');
    base64url_encode(claims, strlen(claims), &b);
    char dir[] = "/tmp/pki-token-XXXXXX", *cmd;
    struct err e = {""};
    unsigned char mac[32];
    FILE *f;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    cmd = xasprintf("%s/in", dir);
    ck_assert_int_eq(file_write(cmd, b.p, b.len, 0600, &e), 0);
    free(cmd);
    cmd = xasprintf("%s/key", dir);
    ck_assert_int_eq(file_write(cmd, pub, strlen(pub), 0600, &e), 0);
    free(cmd);
    cmd = xasprintf("cd %s && openssl dgst -sha256 -mac HMAC -macopt hexkey:$(od -An -v -tx1 key | "
                    "tr -d ' \\n') -binary in",
                    dir);
    f = popen(cmd, "r");
    ck_assert_uint_eq(fread(mac, 1, sizeof(mac), f), sizeof(mac));
    pclose(f);
    free(cmd);
    file_remove_tree(dir, &e);
    buf_putc(&b, '.');
    base64url_encode(mac, sizeof(mac), &b);
    refused(b.p, "expected ES256");
    buf_free(&b);
    free(claims);
}
END_TEST

START_TEST(critical_headers_are_refused)
{
    char *claims = claims_with("\"fsm\"", "\"exp\":99999999999", K8S);
    char *token = forge(key, "{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}", claims);

    refused(token, "critical");
    free(token);
    token = forge(key, "{\"alg\":\"HS256\",\"alg\":\"ES256\"}", claims);
    refused(token, "header"); /* the same key twice */
    free(token);
    free(claims);
}
END_TEST

START_TEST(audiences)
{
    static const char *const bad[] = {"\"FSM\"",           "\"fs\"",      "\"fsm2\"", "[]",
                                      "[\"a\",[\"fsm\"]]", "{\"fsm\":1}", "null",     "1"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        forged_refused(bad[i], "\"exp\":99999999999", K8S, "audience");
}
END_TEST

START_TEST(times_must_be_numbers)
{
    static const char *const bad[] = {"\"nbf\":1",
                                      "\"exp\":\"99999999999\"",
                                      "\"exp\":-5",
                                      "\"exp\":null",
                                      "\"exp\":1e300",
                                      "\"exp\":99999999999,\"nbf\":\"1\"",
                                      "\"exp\":99999999999,\"iat\":[]"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        forged_refused("\"fsm\"", bad[i], K8S, "seconds since the epoch");
    forged_refused("\"fsm\"", "\"exp\":99999999999,\"nbf\":88888888888", K8S, "valid only in");
    forged_refused("\"fsm\"", "\"exp\":99999999999,\"iat\":88888888888", K8S, "valid only in");
}
END_TEST

START_TEST(identities)
{
    static const struct {
        const char *rest, *says;
    } t[] = {
        {"\"sub\":\"x\"", "kubernetes.io"},
        {"\"sub\":\"system:serviceaccount:shop:other\",\"kubernetes.io\":{\"namespace\":\"shop\","
         "\"serviceaccount\":{\"name\":\"web\"}}",
         "subject"},
        {"\"sub\":\"system:serviceaccount:a.b:web\",\"kubernetes.io\":{\"namespace\":\"a.b\","
         "\"serviceaccount\":{\"name\":\"web\"}}",
         "valid names"},
        {"\"sub\":\"system:serviceaccount:shop:../x\",\"kubernetes.io\":{\"namespace\":\"shop\","
         "\"serviceaccount\":{\"name\":\"../x\"}}",
         "valid names"},
        {"\"sub\":\"system:serviceaccount:shop:\",\"kubernetes.io\":{\"namespace\":\"shop\","
         "\"serviceaccount\":{\"name\":\"\"}}",
         "valid names"},
        {"\"sub\":\"system:serviceaccount:shop:web\",\"kubernetes.io\":{\"namespace\":\"shop\","
         "\"serviceaccount\":{\"name\":\"web\"},\"pod\":{\"name\":\"a/b\"}}",
         "valid names"},
        {"\"sub\":\"system:serviceaccount:shop:web\",\"kubernetes.io\":[]", "valid names"},
        {"\"sub\":\"system:serviceaccount:s\\u0000hop:web\",\"kubernetes.io\":{\"namespace\":"
         "\"s\\u0000hop\",\"serviceaccount\":{\"name\":\"web\"}}",
         "claims"},
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        forged_refused("\"fsm\"", "\"exp\":99999999999", t[i].rest, t[i].says);
}
END_TEST

START_TEST(keys_that_cannot_be_es256)
{
    struct pki_token t = web;
    struct err e = {""};
    char *token = token_for(key, now + 60);
    FILE *f = popen("openssl ecparam -name secp384r1 -genkey -noout", "r");
    char pem[2048];
    size_t n = fread(pem, 1, sizeof(pem) - 1, f);
    char *pub384;

    pem[n] = '\0';
    pclose(f);
    ck_assert_ptr_null(pki_token_sign(pem, &t, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "P-256"));
    pub384 = pki_public_key(pem, &e);
    ck_assert_int_eq(pki_token_verify(pub384, slice_str(token), "fsm", now, &t, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "P-256"));
    ck_assert_int_eq(pki_token_verify("nonsense", slice_str(token), "fsm", now, &t, &e), -1);
    ck_assert_ptr_null(pki_token_sign("nonsense", &t, &e));
    free(pub384);
    free(token);
}
END_TEST

START_TEST(a_huge_token_is_refused_at_once)
{
    char *big = xmalloc(1 << 20);

    memset(big, 'A', (1 << 20) - 1);
    big[(1 << 20) - 1] = '\0';
    refused(big, "longer than");
    free(big);
}
END_TEST

static int claims_of(const char *token, struct pki_token *out, struct err *e)
{
    return pki_token_claims(slice_str(token), "fsm", out, e);
}

static void claims_refused(const char *token, const char *says)
{
    struct pki_token t;
    struct err e = {""};

    ck_assert_int_eq(claims_of(token, &t, &e), -1);
    ck_assert_msg(strstr(e.text, says) != NULL, "\"%s\" should say \"%s\"", e.text, says);
}

/* what somebody else will verify: any algorithm and key, but no other form */
START_TEST(claims_without_the_signature)
{
    char *good = claims_with("[\"fsm\"]", "\"exp\":99999999999", K8S);
    char *old = claims_with("\"fsm\"", "\"exp\":5", K8S);
    char *other = claims_with("\"api\"", "\"exp\":99999999999", K8S);
    char *token = forge(other_key, "{\"alg\":\"RS256\",\"kid\":\"x\"}", good);
    struct pki_token t;
    struct err e = {""};

    ck_assert_msg(claims_of(token, &t, &e) == 0, "%s", e.text);
    ck_assert_str_eq(t.ns, "shop");
    ck_assert_str_eq(t.sa, "web");
    ck_assert_str_eq(t.pod, "p");
    ck_assert_str_eq(t.pod_uid, "u");
    ck_assert_int_eq(t.not_after, 99999999999);
    *strrchr(token, '.') = '\0';
    claims_refused(token, "three parts");
    free(token);
    token = forge(key, ES256, good);
    strrchr(token, '.')[1] = '\0';
    claims_refused(token, "signature");
    free(token);
    token = forge(key, ES256, old);
    ck_assert_msg(claims_of(token, &t, &e) == 0, "%s", e.text); /* by whose clock? */
    ck_assert_int_eq(t.not_after, 5);
    free(token);
    token = forge(key, ES256, other);
    claims_refused(token, "audience");
    free(token);
    claims_refused("", "three parts");
    claims_refused("YQ.YQ.YQ", "claims");
    claims_refused("YQ.YQ.YQ\"", "signature");
    char *timeless = claims_with("\"fsm\"", "\"nbf\":5", K8S);
    token = forge(key, ES256, timeless);
    claims_refused(token, "exp must be there");
    free(token);
    free(timeless);
    free(good);
    free(old);
    free(other);
}
END_TEST

/* signatures vary; their leading zeros must survive both forms */
START_TEST(many_signatures)
{
    for (int i = 0; i < 300; i++) {
        char *token = token_for(key, now + 600 + i);
        struct pki_token t;
        struct err e = {""};
        ck_assert_msg(verify(token, &t, &e) == 0, "%d: %s", i, e.text);
        free(token);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("token");
    TCase *t = tcase_create("token");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_is_signed_is_read);
    tcase_add_test(t, a_kubernetes_token);
    tcase_add_test(t, time_has_a_minute_of_leeway);
    tcase_add_test(t, another_issuer_is_refused);
    tcase_add_test(t, a_changed_token_is_refused);
    tcase_add_test(t, a_cut_or_longer_token_is_refused);
    tcase_add_test(t, algorithms_are_not_taken_from_the_token);
    tcase_add_test(t, no_signature_is_none);
    tcase_add_test(t, hs256_with_the_public_key);
    tcase_add_test(t, critical_headers_are_refused);
    tcase_add_test(t, audiences);
    tcase_add_test(t, times_must_be_numbers);
    tcase_add_test(t, identities);
    tcase_add_test(t, keys_that_cannot_be_es256);
    tcase_add_test(t, a_huge_token_is_refused_at_once);
    tcase_add_test(t, claims_without_the_signature);
    tcase_add_test(t, many_signatures);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
