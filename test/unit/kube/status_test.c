/* status_test.c - conditions in virtual time: written where they differ, of the version that was
 * judged, and by nobody who may not. */
/* objects: test/fake/clock.c test/fake/api.c */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/status.h"
#include "test/fake/api.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define ONE   "/apis/config.flomesh.io/v1alpha3/namespaces/fsm-system/meshconfigs/fsm-mesh-config"
#define WRITE ONE "/status?fieldManager=fsm-test&force=true"

static struct loop *loop;
static struct kube_status *st;
static bool good = true;
static const char *message = "all of it";
static unsigned differed;

static json_t *wanted(const json_t *object, void *arg)
{
    ck_assert_str_eq(json_str(object, "kind", ""), "MeshConfig");
    return json_pack("[o]",
                     kube_condition("Accepted", good, good ? "InForce" : "Refused", message));
}

static void differs(const json_t *object, const json_t *list, void *arg)
{
    differed++;
}

static const struct kube_status_ops ops = {wanted, differs};

static void touch(void)
{
    kube_status_touch(st, kube_kind_by_key("MeshConfig"), "fsm-system", "fsm-mesh-config");
}

static void setup(void)
{
    struct err e = {""};

    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    st = kube_status_new(loop, NULL, "fsm-test", &ops, NULL);
    kube_status_enable(st, true);
    touch();
    fake_loop_run(loop, 5);
    ck_assert_str_eq(fake_api_path(), ONE);
}

static void teardown(void)
{
    kube_status_free(st);
    loop_free(loop);
}

static void object(const char *version, int generation, const char *conditions)
{
    char *text =
        xasprintf("{\"apiVersion\":\"config.flomesh.io/v1alpha3\",\"kind\":\"MeshConfig\","
                  "\"metadata\":{\"name\":\"fsm-mesh-config\",\"namespace\":\"fsm-system\","
                  "\"uid\":\"u-1\",\"generation\":%d,\"resourceVersion\":\"%s\"},\"spec\":{},"
                  "\"status\":{\"conditions\":[%s]}}",
                  generation, version, conditions);

    ck_assert_int_eq(fake_api_say(text), 0);
    fake_api_end(200, NULL);
    free(text);
}

#define CONDITION(status, reason, text, generation)                                                \
    "{\"type\":\"Accepted\",\"status\":\"" status "\",\"reason\":\"" reason                        \
    "\",\"message\":\"" text "\",\"observedGeneration\":" generation                               \
    ",\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"}"

static void sent_is(const char *at, const char *want)
{
    struct err e;

    ck_assert_ptr_nonnull(fake_api_body());
    ck_assert_str_eq(fake_api_path(), WRITE);
    json_t *j = json_parse(slice_str(fake_api_body()), 1 << 16, &e);
    ck_assert_msg(j != NULL, "%s", e.text);
    const json_t *c = json_array_get(json_at(j, "status.conditions"), 0);
    const char *got = strncmp(at, "metadata", 8) == 0 ? json_str(j, at, "") : json_str(c, at, "");
    ck_assert_str_eq(got, want);
    json_decref(j);
}

START_TEST(written_where_there_is_none)
{
    setup();
    object("7", 3, "");
    sent_is("metadata.resourceVersion", "7");
    sent_is("metadata.uid", "u-1");
    sent_is("metadata.namespace", "fsm-system");
    sent_is("status", "True");
    sent_is("reason", "InForce");
    sent_is("message", "all of it");
    sent_is("lastTransitionTime", "2026-01-01T00:00:00Z");
    fake_api_end(200, "{}");
    ck_assert_uint_eq(kube_status_written(st), 1);
    ck_assert_uint_eq(differed, 1);
    fake_loop_run(loop, 60000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

START_TEST(what_stands_there_is_left_alone)
{
    setup();
    object("7", 3, CONDITION("True", "InForce", "all of it", "3"));
    ck_assert_ptr_null(fake_api_path());
    ck_assert_uint_eq(kube_status_written(st), 0);
    teardown();
    setup(); /* of an older generation */
    object("7", 4, CONDITION("True", "InForce", "all of it", "3"));
    sent_is("lastTransitionTime", "2020-01-01T00:00:00Z");
    teardown();
    good = false;
    setup();
    object("7", 3, CONDITION("True", "InForce", "all of it", "3"));
    sent_is("status", "False");
    sent_is("lastTransitionTime", "2026-01-01T00:00:00Z");
    teardown();
    good = true;
}
END_TEST

START_TEST(one_that_is_touched_all_the_time)
{
    unsigned calls = 0;

    setup();
    object("7", 3, CONDITION("True", "InForce", "all of it", "3"));
    for (int i = 0; i < 100; i++) {
        touch();
        fake_loop_run(loop, 100);
        if (fake_api_path()) {
            calls++;
            object("7", 3, CONDITION("True", "InForce", "all of it", "3"));
        }
    }
    ck_assert_uint_ge(calls, 8);
    ck_assert_uint_le(calls, 10); /* in 10 s */
    teardown();
}
END_TEST

/* from inside of what the API server says nothing can be asked of it */
START_TEST(nothing_is_asked_before_the_turn_ends)
{
    struct err e = {""};

    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    st = kube_status_new(loop, NULL, "fsm-test", &ops, NULL);
    kube_status_enable(st, true);
    touch();
    touch();
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 5);
    ck_assert_str_eq(fake_api_path(), ONE);
    teardown();
}
END_TEST

START_TEST(touched_while_it_is_under_way)
{
    setup();
    touch();
    object("7", 3, CONDITION("True", "InForce", "all of it", "3"));
    fake_loop_run(loop, 1100);
    ck_assert_str_eq(fake_api_path(), ONE);
    object("8", 4, CONDITION("True", "InForce", "all of it", "4"));
    fake_loop_run(loop, 60000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

START_TEST(what_changed_meanwhile_is_judged_anew)
{
    setup();
    object("7", 3, "");
    fake_api_end(409, "{\"message\":\"the object has been modified\"}");
    ck_assert_ptr_null(kube_status_problem(st));
    fake_loop_run(loop, 300);
    good = false;
    ck_assert_str_eq(fake_api_path(), ONE);
    object("8", 4, "");
    sent_is("metadata.resourceVersion", "8");
    sent_is("status", "False");
    fake_api_end(200, "{}");
    ck_assert_uint_eq(differed, 2);
    good = true;
    teardown();
}
END_TEST

START_TEST(what_is_gone_is_forgotten)
{
    setup();
    fake_api_end(404, "{}");
    fake_loop_run(loop, 60000);
    ck_assert_ptr_null(fake_api_path());
    touch();
    fake_loop_run(loop, 100);
    object("7", 3, "");
    fake_api_end(404, "{}"); /* between the two, or its kind has no status */
    fake_loop_run(loop, 60000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

START_TEST(a_server_in_trouble)
{
    setup();
    fake_api_break("cannot connect");
    ck_assert_str_eq(kube_status_problem(st), "cannot connect");
    fake_loop_run(loop, 300);
    fake_api_end_later(429, "{\"message\":\"slow down\"}", 5000);
    fake_loop_run(loop, 4500);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 2000);
    object("7", 3, "");
    fake_api_end(403, "{\"message\":\"no\"}");
    ck_assert_str_eq(
        kube_status_problem(st),
        "may not patch meshconfigs/status: add {apiGroups: [\"config.flomesh.io\"], "
        "resources: [\"meshconfigs/status\"], verbs: [\"patch\"]} to the rules of this "
        "client's Role or ClusterRole (the API server says: no)");
    fake_loop_run(loop, KUBE_STATUS_SLOW_MS + 200);
    fake_api_end(403, "{}");
    ck_assert_ptr_nonnull(strstr(kube_status_problem(st), "may not get meshconfigs"));
    fake_loop_run(loop, KUBE_STATUS_SLOW_MS + 200);
    fake_api_say("{\"metadata\":");
    fake_api_end(200, NULL);
    fake_loop_run(loop, 11000);
    object("7", 3, "");
    fake_api_end(200, "{}");
    ck_assert_ptr_null(kube_status_problem(st));
    ck_assert_uint_eq(differed, 1); /* told once, however often it was tried */
    teardown();
}
END_TEST

START_TEST(who_may_not_write_does_not)
{
    setup();
    object("7", 3, "");
    ck_assert_ptr_nonnull(fake_api_body());
    kube_status_enable(st, false);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 60000);
    touch();
    fake_loop_run(loop, 60000);
    ck_assert_ptr_null(fake_api_path());
    kube_status_enable(st, true);
    fake_loop_run(loop, 5);
    ck_assert_str_eq(fake_api_path(), ONE);
    teardown();
}
END_TEST

UNIT_MAIN("status", written_where_there_is_none, what_stands_there_is_left_alone,
          one_that_is_touched_all_the_time, nothing_is_asked_before_the_turn_ends,
          touched_while_it_is_under_way, what_changed_meanwhile_is_judged_anew,
          what_is_gone_is_forgotten, a_server_in_trouble, who_may_not_write_does_not)
