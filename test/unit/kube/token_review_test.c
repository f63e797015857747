/* token_review_test.c - what is asked about a token, and which answers make it good. */
/* objects: test/fake/api.c */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/token_review.h"
#include "test/fake/api.h"
#include "test/unit/unit.h"

static struct token_review *review;
static enum token_verdict verdict;
static char *why, *who;
static uint64_t retry_after;

static void on_answer(const struct token_review_answer *a, void *arg)
{
    ck_assert_ptr_eq(arg, &review);
    review = NULL;
    verdict = a->verdict;
    retry_after = a->retry_after;
    free(why);
    free(who);
    why = xstrdup(a->why);
    who = a->verdict == TOKEN_GOOD ? xasprintf("%s/%s %s %s", a->ns, a->sa, a->pod, a->pod_uid)
                                   : xstrdup("");
}

static void ask(void)
{
    ck_assert_ptr_null(review);
    review = token_review_begin(NULL, slice_str("a.b.c"), "fsm", on_answer, &review);
    ck_assert_str_eq(fake_api_path(), "/apis/authentication.k8s.io/v1/tokenreviews");
}

/* the answer, with the status that a created object has */
static void says(const char *text)
{
    ask();
    if (fake_api_say(text) == 0)
        fake_api_end(201, NULL);
    ck_assert_ptr_null(review);
}

static void is(enum token_verdict want, const char *text)
{
    ck_assert_msg(verdict == want && strstr(why, text), "verdict %d: %s", verdict, why);
}

#define ANSWER(status) "{\"kind\":\"TokenReview\",\"metadata\":{},\"status\":" status "}"
#define GOOD(username, extra, audiences)                                                           \
    ANSWER("{\"authenticated\":true,\"user\":{\"username\":\"" username "\",\"groups\":[\"g\"],"   \
           "\"extra\":{" extra "}},\"audiences\":[" audiences "]}")
#define POD  "\"authentication.kubernetes.io/pod-name\":[\"web-0\"]"
#define UID  "\"authentication.kubernetes.io/pod-uid\":[\"u-1\"]"
#define USER "system:serviceaccount:app:web"

START_TEST(the_question)
{
    struct err e;
    ask();
    json_t *j = json_parse(slice_str(fake_api_body()), 4096, &e);
    ck_assert_str_eq(json_str(j, "apiVersion", ""), "authentication.k8s.io/v1");
    ck_assert_str_eq(json_str(j, "kind", ""), "TokenReview");
    ck_assert_str_eq(json_str(j, "spec.token", ""), "a.b.c");
    const json_t *audiences = json_at(j, "spec.audiences");
    ck_assert_uint_eq(json_array_size(audiences), 1);
    ck_assert_str_eq(json_string_value(json_array_get(audiences, 0)), "fsm");
    json_decref(j);
    token_review_cancel(review);
    ck_assert_ptr_null(fake_api_path());
    token_review_cancel(NULL);
    review = NULL;
}
END_TEST

START_TEST(good_is_a_pods_token_for_this_audience)
{
    says(GOOD(USER, POD "," UID, "\"fsm\""));
    is(TOKEN_GOOD, "");
    ck_assert_str_eq(who, "app/web web-0 u-1");
    says(GOOD(USER, POD "," UID, "\"api\",\"fsm\""));
    is(TOKEN_GOOD, "");
}
END_TEST

START_TEST(an_answer_that_leaves_something_out_is_not_good)
{
    static const char audience[] = "does not say that the token is for this audience";
    static const char account[] = "not a service account's", pod[] = "not bound to a pod";

    says(GOOD(USER, POD "," UID, ""));
    is(TOKEN_REFUSED, audience);
    says(GOOD(USER, POD "," UID, "\"api\""));
    is(TOKEN_REFUSED, audience);
    says(GOOD(USER, POD "," UID, "1,null,\"fs\",\"fsm2\""));
    is(TOKEN_REFUSED, audience);
    says(ANSWER("{\"authenticated\":true,\"user\":{\"username\":\"" USER "\"}}"));
    is(TOKEN_REFUSED, audience);
    says(GOOD("jane", POD "," UID, "\"fsm\""));
    is(TOKEN_REFUSED, account);
    says(GOOD("system:serviceaccount:app", POD "," UID, "\"fsm\""));
    is(TOKEN_REFUSED, account);
    says(GOOD("system:serviceaccount::web", POD "," UID, "\"fsm\""));
    is(TOKEN_REFUSED, account);
    says(GOOD("system:serviceaccount:app:", POD "," UID, "\"fsm\""));
    is(TOKEN_REFUSED, account);
    says(GOOD("system:serviceaccount:app:web:x", POD "," UID, "\"fsm\""));
    is(TOKEN_REFUSED, account);
    says(GOOD(USER, "", "\"fsm\""));
    is(TOKEN_REFUSED, pod);
    says(GOOD(USER, POD, "\"fsm\""));
    is(TOKEN_REFUSED, pod);
    says(GOOD(USER, UID, "\"fsm\""));
    is(TOKEN_REFUSED, pod);
    says(GOOD(USER, POD ",\"authentication.kubernetes.io/pod-uid\":[\"u-1\",\"u-2\"]", "\"fsm\""));
    is(TOKEN_REFUSED, pod);
    says(GOOD(USER, POD ",\"authentication.kubernetes.io/pod-uid\":\"u-1\"", "\"fsm\""));
    is(TOKEN_REFUSED, pod);
    says(GOOD(USER, POD ",\"authentication.kubernetes.io/pod-uid\":[\"\"]", "\"fsm\""));
    is(TOKEN_REFUSED, pod);
}
END_TEST

START_TEST(refused_with_the_servers_reason)
{
    says(ANSWER("{\"user\":{},\"error\":\"[invalid bearer token, it has expired]\"}"));
    is(TOKEN_REFUSED, "does not take it: [invalid bearer token, it has expired]");
    says(ANSWER("{\"authenticated\":false}"));
    is(TOKEN_REFUSED, "no reason given");
    says(ANSWER("{\"authenticated\":\"true\"}"));
    is(TOKEN_REFUSED, "no reason given");
}
END_TEST

START_TEST(garbage_says_nothing_about_the_token)
{
    static const char *const texts[] = {"<html>",
                                        "",
                                        "null",
                                        "[]",
                                        "{}",
                                        "{\"kind\":\"TokenReview\"}",
                                        ANSWER("null"),
                                        ANSWER("true"),
                                        "{\"kind\":\"Status\",\"status\":{\"authenticated\":true}}",
                                        "{\"kind\":\"TokenReview\",\"status\":{\"authentica"};
    static char huge[70000];

    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        says(texts[i]);
        is(TOKEN_UNKNOWN, "answer is no TokenReview");
    }
    memset(huge, ' ', sizeof huge - 1);
    says(huge);
    is(TOKEN_UNKNOWN, "too long");
}
END_TEST

START_TEST(a_server_in_trouble)
{
    ask();
    fake_api_break("cannot connect");
    is(TOKEN_AWAY, "no answer from the API server: cannot connect");
    ask();
    fake_api_end_later(429, "{\"message\":\"slow down\"}", 3000);
    is(TOKEN_AWAY, "answers 429 to create tokenreviews: slow down");
    ck_assert_uint_eq(retry_after, 3000);
    ask();
    fake_api_end(401, "{}");
    is(TOKEN_AWAY, "does not take our credentials");
    ask();
    fake_api_end(403, "{\"message\":\"tokenreviews is forbidden\"}");
    is(TOKEN_AWAY, "may not create tokenreviews: add {apiGroups: [\"authentication.k8s.io\"], "
                   "resources: [\"tokenreviews\"], verbs: [\"create\"]} to the rules of this "
                   "client's ClusterRole (the API server says: tokenreviews is forbidden)");
    ask();
    fake_api_end(500, "<html>oops");
    is(TOKEN_UNKNOWN, "answers 500 to create tokenreviews: <html>oops");
    free(why);
    free(who);
    why = who = NULL;
}
END_TEST

UNIT_MAIN("token_review", the_question, good_is_a_pods_token_for_this_audience,
          an_answer_that_leaves_something_out_is_not_good, refused_with_the_servers_reason,
          garbage_says_nothing_about_the_token, a_server_in_trouble)
