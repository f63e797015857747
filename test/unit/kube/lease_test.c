/* lease_test.c - who may write, in virtual time: what is asked of the API server, and what follows
 * from its answers or from there being none. */
/* objects: test/fake/clock.c test/fake/api.c */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/lease.h"
#include "test/fake/api.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define ALL "/apis/coordination.k8s.io/v1/namespaces/fsm-system/leases"
#define ONE ALL "/fsm-controller"

static struct loop *loop;
static struct kube_lease *lease;
static unsigned changes;

static void changed(bool held, void *arg)
{
    ck_assert_ptr_eq(arg, &changes);
    changes++;
}

static void setup(void)
{
    const struct kube_lease_conf conf = {"fsm-system", "fsm-controller", "me-1"};
    struct err e = {""};

    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    lease = kube_lease_new(loop, NULL, &conf, changed, &changes);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 5);
    ck_assert_str_eq(fake_api_path(), ONE);
    ck_assert_ptr_null(fake_api_body());
}

static void teardown(void)
{
    kube_lease_free(lease);
    loop_free(loop);
}

/* the record, with that version and holder; "": nobody */
static const char *record(const char *version, const char *holder, int seconds)
{
    static char text[512];

    snprintf(
        text, sizeof text,
        "{\"metadata\":{\"resourceVersion\":\"%s\"},\"spec\":{%s%s%s\"leaseDurationSeconds\":%d,"
        "\"leaseTransitions\":4}}",
        version, *holder ? "\"holderIdentity\":\"" : "", holder, *holder ? "\"," : "", seconds);
    return text;
}

/* the body that was sent, at a path */
static json_t *sent(const char *path)
{
    struct err e;

    ck_assert_ptr_nonnull(fake_api_body());
    ck_assert_str_eq(fake_api_path(), path);
    json_t *j = json_parse(slice_str(fake_api_body()), 4096, &e);
    ck_assert_msg(j != NULL, "%s", e.text);
    return j;
}

static void sent_text(const char *path, const char *at, const char *value)
{
    json_t *j = sent(path);

    ck_assert_str_eq(json_str(j, at, "(none)"), value);
    json_decref(j);
}

static void acquire(void)
{
    setup();
    fake_api_end(404, "{}");
    fake_api_end(201, record("7", "me-1", 15));
    ck_assert(kube_lease_is_held(lease));
}

START_TEST(one_that_is_not_there_is_created)
{
    setup();
    fake_api_end(404, "{}");
    json_t *j = sent(ALL);
    ck_assert_str_eq(json_str(j, "kind", ""), "Lease");
    ck_assert_str_eq(json_str(j, "metadata.name", ""), "fsm-controller");
    ck_assert_str_eq(json_str(j, "spec.holderIdentity", ""), "me-1");
    ck_assert_int_eq(json_int(j, "spec.leaseDurationSeconds", 0), KUBE_LEASE_S);
    ck_assert_uint_eq(strlen(json_str(j, "spec.renewTime", "")),
                      strlen("2026-01-01T00:00:00.000000Z"));
    ck_assert_str_eq(json_str(j, "spec.renewTime", ""), json_str(j, "spec.acquireTime", "-"));
    json_decref(j);
    ck_assert(!kube_lease_is_held(lease));
    fake_api_end(201, record("7", "me-1", 15));
    ck_assert(kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 1);
    ck_assert_str_eq(kube_lease_holder(lease), "me-1");
    teardown();
}
END_TEST

START_TEST(renewed_as_the_version_that_it_is)
{
    acquire();
    for (int i = 0; i < 5; i++) {
        fake_loop_run(loop, KUBE_LEASE_RENEW_MS / 2);
        ck_assert_ptr_null(fake_api_path());
        fake_loop_run(loop, KUBE_LEASE_RENEW_MS);
        char *version = xasprintf("%d", 7 + i), *next = xasprintf("%d", 8 + i);
        sent_text(ONE, "metadata.resourceVersion", version);
        sent_text(ONE, "spec.acquireTime", "(none)");
        fake_api_end(200, record(next, "me-1", 15));
        ck_assert(kube_lease_is_held(lease));
        free(version);
        free(next);
    }
    ck_assert_uint_eq(changes, 1);
    teardown();
}
END_TEST

START_TEST(anothers_is_waited_for_and_taken_when_it_does_not_change)
{
    setup();
    fake_clock_set_wall(0); /* what our wall clock says has no part in it */
    fake_api_end(200, record("7", "other", 15));
    for (int i = 0; i < 3; i++) { /* it is renewed */
        char *version = xasprintf("%d", 8 + i);
        fake_loop_run(loop, KUBE_LEASE_RENEW_MS * 2);
        ck_assert_str_eq(fake_api_path(), ONE);
        ck_assert_ptr_null(fake_api_body());
        fake_api_end(200, record(version, "other", 15));
        free(version);
    }
    ck_assert_uint_eq(changes, 0);
    ck_assert_str_eq(kube_lease_holder(lease), "other");
    uint64_t waited = 0;
    while (waited < 14000) { /* and then no more */
        fake_loop_run(loop, 100);
        waited += 100;
        if (fake_api_path()) {
            ck_assert_ptr_null(fake_api_body());
            fake_api_end(200, record("10", "other", 15));
        }
    }
    while (!fake_api_path())
        fake_loop_run(loop, 100);
    fake_loop_run(loop, 1000);
    if (!fake_api_body())
        fake_api_end(200, record("10", "other", 15));
    sent_text(ONE, "metadata.resourceVersion", "10");
    json_t *j = sent(ONE);
    ck_assert_int_eq(json_int(j, "spec.leaseTransitions", 0), 5);
    ck_assert_ptr_nonnull(json_at(j, "spec.acquireTime"));
    json_decref(j);
    fake_api_end(200, record("11", "me-1", 15));
    ck_assert(kube_lease_is_held(lease));
    teardown();
}
END_TEST

START_TEST(nobodys_is_taken_at_once)
{
    setup();
    fake_api_end(200, record("7", "", 1));
    sent_text(ONE, "spec.holderIdentity", "me-1");
    fake_api_end(409, "{}"); /* somebody was faster */
    ck_assert_ptr_null(fake_api_body());
    fake_api_end(200, record("8", "other", 15));
    ck_assert(!kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 0);
    teardown();
}
END_TEST

START_TEST(what_another_took_is_lost_at_once)
{
    acquire();
    fake_loop_run(loop, KUBE_LEASE_RENEW_MS * 2);
    fake_api_end(409, "{}");
    ck_assert_ptr_null(fake_api_body());
    ck_assert(kube_lease_is_held(lease)); /* an answer of ours may have been lost */
    fake_api_end(200, record("9", "other", 15));
    ck_assert(!kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 2);
    teardown();
}
END_TEST

START_TEST(a_renewal_whose_answer_was_lost)
{
    acquire();
    fake_loop_run(loop, KUBE_LEASE_RENEW_MS * 2);
    fake_api_break("the connection broke");
    fake_loop_run(loop, 2500);
    sent_text(ONE, "metadata.resourceVersion", "7");
    fake_api_end(409, "{}"); /* it had arrived */
    fake_api_end(200, record("8", "me-1", 15));
    sent_text(ONE, "metadata.resourceVersion", "8");
    fake_api_end(200, record("9", "me-1", 15));
    ck_assert(kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 1);
    teardown();
}
END_TEST

START_TEST(a_deleted_one_is_lost_and_made_anew)
{
    acquire();
    fake_loop_run(loop, KUBE_LEASE_RENEW_MS * 2);
    fake_api_end(404, "{}");
    ck_assert(!kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 2);
    fake_api_end(404, "{}");
    sent_text(ALL, "spec.holderIdentity", "me-1");
    fake_api_end(201, record("1", "me-1", 15));
    ck_assert(kube_lease_is_held(lease));
    teardown();
}
END_TEST

/* ms until nothing is held any more, while every call ends so */
static uint64_t held_for(unsigned status)
{
    uint64_t ms = 0;

    while (kube_lease_is_held(lease)) {
        if (fake_api_path() && status)
            fake_api_end(status, "{\"message\":\"so it is\"}");
        else if (fake_api_path() && ms % 1000 == 0)
            fake_api_break("it takes too long");
        fake_loop_run(loop, 100);
        ms += 100;
        ck_assert_uint_lt(ms, 20000);
    }
    return ms;
}

START_TEST(without_answers_it_ends)
{
    static const unsigned ways[] = {0, 500, 403, 429, 401};

    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        changes = 0;
        acquire();
        uint64_t ms = held_for(ways[i]);
        ck_assert_uint_ge(ms, KUBE_LEASE_HOLD_MS - 200);
        ck_assert_uint_le(ms, KUBE_LEASE_HOLD_MS + 200);
        fake_loop_run(loop, 300); /* the timer may be late, the question is not */
        ck_assert_uint_eq(changes, 2);
        ck_assert_ptr_nonnull(kube_lease_problem(lease));
        teardown();
    }
}
END_TEST

/* a renewal is worth what is left since it was sent, not since it was answered */
START_TEST(a_late_answer_is_worth_less)
{
    acquire();
    while (!fake_api_path())
        fake_loop_run(loop, 10);
    fake_loop_run(loop, 4000);
    fake_api_end(200, record("8", "me-1", 15));
    ck_assert(kube_lease_is_held(lease));
    uint64_t ms = held_for(500);
    ck_assert_uint_le(ms, KUBE_LEASE_HOLD_MS - 4000 + 200);
    teardown();
    changes = 0;
    setup(); /* and one that comes after all of it is worth nothing */
    fake_api_end(200, record("7", "", 1));
    fake_clock_advance(KUBE_LEASE_HOLD_MS);
    fake_api_end(200, record("8", "me-1", 15));
    ck_assert(!kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 0);
    teardown();
}
END_TEST

START_TEST(rights_that_are_missing)
{
    setup();
    fake_api_end(403, "{\"message\":\"leases is forbidden\"}");
    ck_assert_str_eq(kube_lease_problem(lease),
                     "may not get leases: add {apiGroups: [\"coordination.k8s.io\"], resources: "
                     "[\"leases\"], verbs: [\"get\", \"create\", \"patch\"]} to the rules of this "
                     "client's Role (the API server says: leases is forbidden)");
    fake_loop_run(loop, KUBE_LEASE_SLOW_MS + 200);
    fake_api_end(404, "{}");
    fake_api_end(403, "{}");
    ck_assert_ptr_nonnull(strstr(kube_lease_problem(lease), "may not create leases"));
    fake_loop_run(loop, KUBE_LEASE_SLOW_MS + 200);
    fake_api_end(200, record("7", "", 1));
    fake_api_end(200, record("8", "me-1", 15));
    ck_assert_ptr_null(kube_lease_problem(lease));
    ck_assert(kube_lease_is_held(lease));
    teardown();
}
END_TEST

START_TEST(answers_that_are_none)
{
    setup();
    fake_api_end(200, "{\"metadata\":{\"resourc");
    ck_assert_ptr_nonnull(kube_lease_problem(lease));
    fake_loop_run(loop, 2500);
    fake_api_end(200, "{}");
    fake_loop_run(loop, 2500);
    fake_api_end(200, record("7", "", 1));
    fake_api_end(200, record("8", "somebody", 15)); /* our write, and not our name in it */
    ck_assert(!kube_lease_is_held(lease));
    teardown();
}
END_TEST

START_TEST(released_at_the_end)
{
    acquire();
    kube_lease_release(lease);
    ck_assert(!kube_lease_is_held(lease));
    ck_assert_uint_eq(changes, 2);
    json_t *j = sent(ONE);
    ck_assert(json_is_null(json_at(j, "spec.holderIdentity")));
    ck_assert_str_eq(json_str(j, "metadata.resourceVersion", ""), "7");
    json_decref(j);
    fake_api_end(200, record("8", "", 1));
    fake_loop_run(loop, 30000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
    /* in the middle of a renewal: what version there is has to be looked up */
    changes = 0;
    acquire();
    fake_loop_run(loop, KUBE_LEASE_RENEW_MS * 2);
    ck_assert_ptr_nonnull(fake_api_body());
    kube_lease_release(lease);
    ck_assert_ptr_null(fake_api_body());
    fake_api_end(200, record("8", "me-1", 15));
    sent_text(ONE, "metadata.resourceVersion", "8");
    fake_api_end(200, record("9", "", 1));
    ck_assert_ptr_null(fake_api_path());
    teardown();
    /* one that others hold is theirs */
    setup();
    fake_api_end(200, record("7", "other", 15));
    kube_lease_release(lease);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

UNIT_MAIN("lease", one_that_is_not_there_is_created, renewed_as_the_version_that_it_is,
          anothers_is_waited_for_and_taken_when_it_does_not_change, nobodys_is_taken_at_once,
          what_another_took_is_lost_at_once, a_renewal_whose_answer_was_lost,
          a_deleted_one_is_lost_and_made_anew, without_answers_it_ends, a_late_answer_is_worth_less,
          rights_that_are_missing, answers_that_are_none, released_at_the_end)
