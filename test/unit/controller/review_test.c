/* review_test.c - what is remembered of tokens and when the API server is asked again, in virtual
 * time. */
/* objects: controller/auth.c controller/review.c */
/* objects: test/fake/clock.c test/fake/api.c */
#include <check.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/backoff.h"
#include "controller/cp.h"
#include "test/fake/api.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define MINUTE 60000

/* ---- requests without a server -----------------------------------------------------------------
 */

struct http_req {
    struct http_head head;
    struct http_field fields[1];
    char *line;
    unsigned status; /* 0: it waits; 200: passed on */
    unsigned retry_s;
    char *why;
    struct pki_token who;
    void (*gone)(struct http_req *r, void *arg);
    void *gone_arg;
};

const struct http_head *http_req_head(const struct http_req *r)
{
    return &r->head;
}

void http_req_on_gone(struct http_req *r, void (*fn)(struct http_req *r, void *arg), void *arg)
{
    r->gone = fn;
    r->gone_arg = arg;
}

void http_req_header(struct http_req *r, const char *name, const char *value)
{
    if (strcmp(name, "Retry-After") == 0)
        r->retry_s = (unsigned)strtoul(value, NULL, 10);
}

void cp_reply_text(struct cp *cp, struct http_req *r, unsigned status, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;

    ck_assert_uint_eq(r->status, 0);
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    r->status = status;
    r->why = buf_take(&text);
}

void metric_observe(struct metric_times *t, double seconds)
{
    t->count++;
}

static void passed(struct cp *cp, struct http_req *r, const struct pki_token *t, const void *arg)
{
    ck_assert_uint_eq(r->status, 0);
    ck_assert_ptr_eq(arg, &passed);
    ck_assert_ptr_null(r->gone);
    r->status = 200;
    r->who = *t;
}

/* ---- the fixture --------------------------------------------------------------------------------
 */

static struct cp cp;
static char *key, *token;
static struct kube_source_ops ops;
static struct kube_source source = {.ops = &ops};

static char *token_for(int64_t valid_s)
{
    struct pki_token t = {.ns = "app",
                          .sa = "web",
                          .pod = "web-0",
                          .pod_uid = "u-1",
                          .audience = "fsm",
                          .not_after = clock_wall_ms() / 1000 + valid_s};
    struct err e = {""};
    char *text = pki_token_sign(key, &t, &e);

    ck_assert_msg(text != NULL, "%s", e.text);
    return text;
}

static void setup(void)
{
    struct err e = {""};

    log_set_level(LOG_OFF);
    cp = (struct cp){.loop = loop_new(&e), .source = &source};
    ck_assert_int_eq(cp_auth_start(&cp, &e), 0);
    key = pki_key_new(&e);
    token = token_for(3600);
}

static void teardown(void)
{
    cp_auth_stop(&cp);
    loop_free(cp.loop);
    pki_wipe(key);
    pki_wipe(token);
}

static struct http_req *ask_with(const char *text)
{
    struct http_req *r = xcalloc(1, sizeof(*r));

    r->line = xasprintf("Bearer %s", text);
    r->fields[0] = (struct http_field){
        .id = HDR_AUTHORIZATION, .name = slice_str("authorization"), .value = slice_str(r->line)};
    r->head.fields = r->fields;
    r->head.n_fields = 1;
    cp_auth(&cp, r, passed, &passed);
    return r;
}

static unsigned end(struct http_req *r)
{
    unsigned status = r->status;

    free(r->line);
    free(r->why);
    free(r);
    return status;
}

/* a request that is answered at once, and with that */
static void is(unsigned status)
{
    struct http_req *r = ask_with(token);

    ck_assert_msg(r->status == status, "%u: %s", r->status, r->why ? r->why : "");
    end(r);
}

#define GOOD                                                                                       \
    "{\"kind\":\"TokenReview\",\"status\":{\"authenticated\":true,\"audiences\":[\"fsm\"],"        \
    "\"user\":{\"username\":\"system:serviceaccount:app:web\",\"extra\":{"                         \
    "\"authentication.kubernetes.io/pod-name\":[\"web-0\"],"                                       \
    "\"authentication.kubernetes.io/pod-uid\":[\"u-1\"]}}}}"
#define REFUSED "{\"kind\":\"TokenReview\",\"status\":{\"error\":\"revoked\"}}"

static void server_says(const char *text)
{
    ck_assert_ptr_nonnull(fake_api_path());
    fake_api_say(text);
    fake_api_end(201, NULL);
}

/* a request that waits for the answer */
static void is_when_asked(unsigned status, const char *text)
{
    struct http_req *r = ask_with(token);

    ck_assert_uint_eq(r->status, 0);
    server_says(text);
    ck_assert_uint_eq(end(r), status);
}

/* ---- checks
 * -------------------------------------------------------------------------------------- */

START_TEST(a_good_verdict_is_renewed_before_it_ends)
{
    setup();
    is_when_asked(200, GOOD);
    for (unsigned i = 0; i < 200; i++) {
        fake_loop_run(cp.loop, MINUTE / 4);
        is(200); /* nobody ever waits */
        if (fake_api_path())
            server_says(GOOD);
    }
    /* of 50 minutes, every 4 to 6 */
    ck_assert_uint_ge(fake_api_calls(), 1 + 50 / 7);
    ck_assert_uint_le(fake_api_calls(), 1 + 50 / 4);
    teardown();
}
END_TEST

START_TEST(an_outage_of_minutes_is_noticed_by_nobody_and_a_longer_one_is)
{
    unsigned tries = 0;

    setup();
    is_when_asked(200, GOOD);
    for (uint64_t ms = 0; ms < 9 * MINUTE + 50000; ms += 1000) {
        fake_loop_run(cp.loop, 1000);
        is(200);
        if (fake_api_path()) {
            ck_assert_uint_ge(ms, 3 * MINUTE);
            fake_api_break("cannot connect");
            tries++;
        }
    }
    ck_assert_uint_ge(tries, 4 * MINUTE / (BACKOFF_MAX_MS + 1000));
    ck_assert_ptr_nonnull(cp_reviews_problem(&cp));
    fake_loop_run(cp.loop, 20000);
    is_when_asked(200, GOOD); /* it came back after the end: the request waits for the answer */
    ck_assert_ptr_null(cp_reviews_problem(&cp));
    fake_loop_run(cp.loop, 11 * MINUTE);
    struct http_req *r = ask_with(token);
    fake_api_break("cannot connect");
    ck_assert_uint_eq(r->status, 503);
    ck_assert_uint_ge(r->retry_s, 1);
    end(r);
    is(503); /* without a question */
    teardown();
}
END_TEST

START_TEST(a_renewal_that_is_refused_counts_at_once)
{
    setup();
    is_when_asked(200, GOOD);
    fake_loop_run(cp.loop, 7 * MINUTE);
    is(200);
    server_says(REFUSED);
    is(401);
    fake_loop_run(cp.loop, 4900);
    is(401);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(cp.loop, 200);
    is_when_asked(200, GOOD);
    teardown();
}
END_TEST

START_TEST(a_renewal_without_an_answer_changes_nothing)
{
    setup();
    is_when_asked(200, GOOD);
    fake_loop_run(cp.loop, 7 * MINUTE);
    is(200);
    fake_api_end(500, "oops");
    is(200);
    ck_assert_ptr_null(fake_api_path()); /* not at once again */
    fake_loop_run(cp.loop, 1100);
    is(200);
    server_says(GOOD);
    is(200);
    teardown();
}
END_TEST

START_TEST(a_verdict_ends_with_its_token)
{
    setup();
    pki_wipe(token);
    token = token_for(30);
    is_when_asked(200, GOOD);
    fake_loop_run(cp.loop, 29000);
    is(200);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(cp.loop, 1100);
    is_when_asked(401, REFUSED);
    fake_loop_run(cp.loop, MINUTE);
    is_when_asked(200, GOOD); /* by the API server's clock it is good: nothing to remember */
    is_when_asked(200, GOOD);
    teardown();
}
END_TEST

START_TEST(what_the_wall_clock_does_ends_no_token_early)
{
    setup();
    is_when_asked(200, GOOD);
    fake_clock_set_wall(clock_wall_ms() - 24 * 3600 * 1000LL);
    is(200);
    fake_loop_run(cp.loop, 11 * MINUTE);
    is_when_asked(200, GOOD); /* from the future, but who issued it knows better */
    teardown();
}
END_TEST

START_TEST(others_share_the_question_and_may_leave)
{
    setup();
    struct http_req *a = ask_with(token), *b = ask_with(token), *c = ask_with(token);
    ck_assert_uint_eq(fake_api_calls(), 1);
    ck_assert_uint_eq(cp_reviews_n(&cp), 1);
    b->gone(b, b->gone_arg);
    server_says(GOOD);
    ck_assert_uint_eq(end(a), 200);
    ck_assert_uint_eq(end(b), 0);
    ck_assert_str_eq(c->who.pod, "web-0");
    ck_assert_uint_eq(end(c), 200);
    ck_assert_uint_eq(cp_reviews_n(&cp), 0);
    teardown();
}
END_TEST

START_TEST(a_reason_is_one_line)
{
    setup();
    struct http_req *r = ask_with(token);
    fake_api_end(503, "{\"message\":\"a\\nb\\r\\tc\"}");
    ck_assert_ptr_nonnull(strstr(r->why, "answers 503 to create tokenreviews: a b  c\n"));
    ck_assert_ptr_nonnull(strstr(cp_reviews_problem(&cp), "a b  c"));
    end(r);
    fake_loop_run(cp.loop, BACKOFF_MAX_MS + BACKOFF_MAX_MS / 100); /* rounded up: loop.h */
    r = ask_with(token);
    server_says("{\"kind\":\"TokenReview\",\"status\":{\"error\":\"a\\nb\"}}");
    ck_assert_str_eq(r->why, "token: the API server does not take it: a b\n");
    end(r);
    teardown();
}
END_TEST

START_TEST(a_stop_in_the_middle)
{
    setup();
    struct http_req *r = ask_with(token);
    r->gone(r, r->gone_arg); /* as the server's end does */
    ck_assert_ptr_nonnull(fake_api_path());
    teardown();
    ck_assert_ptr_null(fake_api_path());
    end(r);
}
END_TEST

UNIT_MAIN("review", a_good_verdict_is_renewed_before_it_ends,
          an_outage_of_minutes_is_noticed_by_nobody_and_a_longer_one_is,
          a_renewal_that_is_refused_counts_at_once, a_renewal_without_an_answer_changes_nothing,
          a_verdict_ends_with_its_token, what_the_wall_clock_does_ends_no_token_early,
          others_share_the_question_and_may_leave, a_reason_is_one_line, a_stop_in_the_middle)
