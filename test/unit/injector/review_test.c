/* objects: injector/webhook/review.c */
/* review_test.c - AdmissionReview v1: what is read, what is refused, what is answered. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "injector/webhook/review.h"
#include "test/unit/unit.h"

#define HEAD  "\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\""
#define PODS  "\"resource\":{\"group\":\"\",\"version\":\"v1\",\"resource\":\"pods\"}"
#define POD   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\"},\"spec\":{}}"
#define NAMED "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"generateName\":\"web-\"}}"
/* a review of the creation of a pod; more: further members of the request */
#define REVIEW(pod, more)                                                                          \
    "{" HEAD ",\"request\":{\"uid\":\"u-1\",\"operation\":\"CREATE\",\"namespace\":\"shop\"," PODS \
    ",\"object\":" pod more "}}"

static struct review rv;
static struct err e;

static int read_text(const char *text)
{
    e.text[0] = '\0';
    return review_read(slice_str(text), &rv, &e);
}

static void refused(const char *text, const char *why)
{
    ck_assert_msg(read_text(text) < 0, "accepted: %s", text);
    ck_assert_msg(strstr(e.text, why) != NULL, "\"%s\" is not in \"%s\"", why, e.text);
    ck_assert_ptr_null(rv.doc);
}

static void accepted(const char *text)
{
    ck_assert_msg(read_text(text) == 0, "%s: %s", e.text, text);
}

START_TEST(a_pods_creation)
{
    accepted(REVIEW(POD, ",\"dryRun\":true"));
    ck_assert_str_eq(rv.uid, "u-1");
    ck_assert_str_eq(rv.ns, "shop");
    ck_assert_str_eq(rv.name, "web");
    ck_assert(rv.dry_run);
    ck_assert_ptr_nonnull(json_object_get(rv.pod, "spec"));
    review_clear(&rv);
    accepted(REVIEW(NAMED, ",\"dryRun\":false,\"name\":\"\",\"subResource\":\"\""));
    ck_assert_str_eq(rv.name, "web-*");
    ck_assert(!rv.dry_run);
    review_clear(&rv);
    accepted(REVIEW(NAMED, ",\"name\":\"chosen\",\"dryRun\":null"));
    ck_assert_str_eq(rv.name, "chosen");
    review_clear(&rv);
}
END_TEST

START_TEST(what_is_not_a_pods_creation_is_not_ours)
{
    static const char *const requests[] = {
        "\"operation\":\"UPDATE\"," PODS,
        "\"operation\":\"DELETE\",\"object\":null," PODS,
        "\"operation\":\"CREATE\",\"subResource\":\"binding\"," PODS,
        "\"operation\":\"CREATE\",\"resource\":{\"group\":\"apps\",\"version\":\"v1\","
        "\"resource\":\"deployments\"}",
        "\"operation\":\"CREATE\",\"resource\":{\"group\":\"metrics.k8s.io\",\"version\":\"v1\","
        "\"resource\":\"pods\"}",
    };

    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        char *text = xasprintf("{" HEAD ",\"request\":{\"uid\":\"u\",%s}}", requests[i]);
        accepted(text);
        ck_assert_ptr_null(rv.pod);
        review_clear(&rv);
        free(text);
    }
}
END_TEST

START_TEST(what_is_no_review_is_refused)
{
    refused("", "no JSON");
    refused("{", "no JSON: line 1");
    refused("null", "expected AdmissionReview of admission.k8s.io/v1");
    refused("[]", "expected AdmissionReview");
    refused("{}", "got kind \"\" of \"\"");
    refused("{\"apiVersion\":\"admission.k8s.io/v1beta1\",\"kind\":\"AdmissionReview\"}",
            "of \"admission.k8s.io/v1beta1\"");
    refused("{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}", "got kind \"Pod\" of \"v1\"");
    refused("{" HEAD "}", "request: expected an object");
    refused("{" HEAD ",\"request\":[]}", "request: expected an object");
    refused("{" HEAD ",\"request\":{}}", "request.uid");
    refused("{" HEAD ",\"request\":{\"uid\":7}}", "request.uid");
    refused("{" HEAD ",\"request\":{\"uid\":\"u\"}}", "request.operation");
    refused("{" HEAD ",\"request\":{\"uid\":\"u\",\"operation\":\"CREATE\"}}", "request.resource");
    refused(REVIEW("null", ""), "request.object");
    refused(REVIEW("\"x\"", ""), "request.object");
    refused(REVIEW("{\"apiVersion\":\"v1\",\"kind\":\"Node\"}", ""), "kind Pod of v1");
    refused("{" HEAD ",\"request\":{\"uid\":\"u\",\"operation\":\"CREATE\"," PODS ",\"object\":" POD
            "}}",
            "request.namespace");
    /* of two members of one name it would not be known which one the API server means */
    refused(REVIEW(POD, ",\"namespace\":\"other\""), "duplicate");
}
END_TEST

static char *repeat(const char *what, size_t n)
{
    struct buf out = BUF_INIT;

    for (size_t i = 0; i < n; i++)
        buf_puts(&out, what);
    return buf_take(&out);
}

START_TEST(hostile_bodies_are_bounded)
{
    char *deep = repeat("[", 100000), *longer = repeat("x", REVIEW_UID_MAX + 1);
    char *text = xasprintf("{" HEAD ",\"request\":%s", deep);
    refused(text, "no JSON");
    free(text);
    text = xasprintf("{" HEAD ",\"request\":{\"uid\":\"%s\"}}", longer);
    refused(text, "request.uid");
    free(text);
    free(longer);
    free(deep);
    /* a name of any length is cut, for people only */
    longer = repeat("n", 5000);
    text = xasprintf(
        REVIEW("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"}}", ""),
        longer);
    accepted(text);
    ck_assert_uint_eq(strlen(rv.name), 253);
    review_clear(&rv);
    free(text);
    free(longer);
    /* too much, whatever it is */
    longer = repeat("                ", REVIEW_MAX / 16 + 1);
    refused(longer, "are accepted");
    free(longer);
}
END_TEST

/* takes body */
static void expect_body(json_t *body, const char *expected)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);

    ck_assert_str_eq(text, expected);
    free(text);
    json_decref(body);
}

START_TEST(answers)
{
    json_t *patch = json_pack("[{s:s,s:s,s:s}]", "op", "add", "path", "/x", "value", "\xc3\xa4");
    struct buf back = BUF_INIT;

    accepted(REVIEW(POD, ""));
    expect_body(review_allow(&rv, NULL, NULL),
                "{" HEAD ",\"response\":{\"allowed\":true,\"uid\":\"u-1\"}}");
    expect_body(review_allow(&rv, NULL, "careful"),
                "{" HEAD
                ",\"response\":{\"allowed\":true,\"uid\":\"u-1\",\"warnings\":[\"careful\"]}}");
    expect_body(review_deny(&rv, 422, "Invalid", "container \"a\": no"),
                "{" HEAD ",\"response\":{\"allowed\":false,\"status\":{\"code\":422,\"message\":"
                "\"container \\\"a\\\": no\",\"reason\":\"Invalid\",\"status\":\"Failure\"},"
                "\"uid\":\"u-1\"}}");
    expect_body(
        review_deny(&rv, 500, "InternalError", "cut: \xc3"),
        "{" HEAD ",\"response\":{\"allowed\":false,\"status\":{\"code\":500,\"message\":"
        "\"cut: ?\",\"reason\":\"InternalError\",\"status\":\"Failure\"},\"uid\":\"u-1\"}}");
    json_t *doc = review_allow(&rv, patch, NULL);
    ck_assert_str_eq(json_str(doc, "response.patchType", ""), "JSONPatch");
    ck_assert_int_eq(base64_decode(slice_str(json_str(doc, "response.patch", "")), &back), 0);
    json_t *again = json_loadb(back.p, back.len, 0, NULL);
    ck_assert(json_equal(again, patch));
    json_decref(again);
    json_decref(doc);
    json_decref(patch);
    buf_free(&back);
    review_clear(&rv);
}
END_TEST

/* each byte of a review changed, and each beginning of it: nothing but a verdict */
START_TEST(broken_reviews_are_survived)
{
    static const char good[] = REVIEW(POD, ",\"dryRun\":true");
    char text[sizeof(good)];
    uint64_t seed = 88172645463325252ull;

    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        memcpy(text, good, sizeof(good));
        if (review_read(slice_of(text, i), &rv, &e) == 0)
            ck_abort_msg("half a review was accepted");
        for (unsigned k = 0; k < 8; k++) {
            text[i] = (char)unit_random(&seed);
            if (review_read(slice_of(text, sizeof(good) - 1), &rv, &e) < 0)
                continue;
            json_decref(review_deny(&rv, 422, "Invalid", "x"));
            review_clear(&rv);
        }
    }
}
END_TEST

UNIT_MAIN("review", a_pods_creation, what_is_not_a_pods_creation_is_not_ours,
          what_is_no_review_is_refused, hostile_bodies_are_bounded, answers,
          broken_reviews_are_survived)
