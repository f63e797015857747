/* event_test.c - Events in virtual time: created once, counted after that, bounded, and never
 * written by who may not. */
/* objects: test/fake/clock.c test/fake/api.c */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/event.h"
#include "test/fake/api.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define ALL "/apis/events.k8s.io/v1/namespaces/fsm-system/events"

static struct loop *loop;
static struct kube_events *ev;

static void setup(void)
{
    struct err e = {""};

    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    ev = kube_events_new(loop, NULL, "flomesh.io/fsm-controller", "fsm-controller-abc");
    kube_events_enable(ev, true);
}

static void teardown(void)
{
    kube_events_free(ev);
    loop_free(loop);
}

static void tell_of(const char *name, const char *note)
{
    kube_events_tell(ev, &(struct kube_event){.api_version = "config.flomesh.io/v1alpha3",
                                              .kind = "MeshConfig",
                                              .ns = "fsm-system",
                                              .name = name,
                                              .uid = "u-1",
                                              .warning = true,
                                              .reason = "Refused",
                                              .action = "Configure",
                                              .note = note});
}

static void tell(const char *note)
{
    tell_of("fsm-mesh-config", note);
}

static json_t *sent(void)
{
    struct err e;

    ck_assert_ptr_nonnull(fake_api_body());
    json_t *j = json_parse(slice_str(fake_api_body()), 1 << 16, &e);
    ck_assert_msg(j != NULL, "%s", e.text);
    return j;
}

START_TEST(the_event)
{
    setup();
    tell("spec.x: got 7");
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 5);
    ck_assert_str_eq(fake_api_path(), ALL);
    json_t *j = sent();
    ck_assert_str_eq(json_str(j, "apiVersion", ""), "events.k8s.io/v1");
    ck_assert_str_eq(json_str(j, "metadata.namespace", ""), "fsm-system");
    ck_assert_ptr_nonnull(strstr(json_str(j, "metadata.name", ""), "fsm-mesh-config."));
    ck_assert_str_eq(json_str(j, "regarding.kind", ""), "MeshConfig");
    ck_assert_str_eq(json_str(j, "regarding.namespace", ""), "fsm-system");
    ck_assert_str_eq(json_str(j, "regarding.uid", ""), "u-1");
    ck_assert_str_eq(json_str(j, "type", ""), "Warning");
    ck_assert_str_eq(json_str(j, "reason", ""), "Refused");
    ck_assert_str_eq(json_str(j, "action", ""), "Configure");
    ck_assert_str_eq(json_str(j, "note", ""), "spec.x: got 7");
    ck_assert_str_eq(json_str(j, "reportingController", ""), "flomesh.io/fsm-controller");
    ck_assert_str_eq(json_str(j, "reportingInstance", ""), "fsm-controller-abc");
    ck_assert_uint_eq(strlen(json_str(j, "eventTime", "")), strlen("2026-01-01T00:00:00.000000Z"));
    json_decref(j);
    fake_api_end(201, "{}");
    ck_assert_uint_eq(kube_events_written(ev), 1);
    fake_loop_run(loop, 100000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

START_TEST(the_same_again_is_counted)
{
    setup();
    tell("a");
    fake_loop_run(loop, 5);
    json_t *j = sent();
    char *name = xasprintf(ALL "/%s", json_str(j, "metadata.name", ""));
    json_decref(j);
    fake_api_end(201, "{}");
    for (int i = 0; i < 50; i++)
        tell("a");
    fake_loop_run(loop, KUBE_EVENT_SERIES_MS - 1000);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 2000);
    ck_assert_str_eq(fake_api_path(), name);
    j = sent();
    ck_assert_int_eq(json_int(j, "series.count", 0), 51);
    ck_assert_ptr_nonnull(json_at(j, "series.lastObservedTime"));
    ck_assert_ptr_null(json_at(j, "note")); /* servers let nothing but the series change */
    json_decref(j);
    fake_api_end(200, "{}");
    fake_loop_run(loop, 2 * KUBE_EVENT_SERIES_MS);
    ck_assert_ptr_null(fake_api_path());
    tell("a"); /* the server has forgotten it */
    fake_loop_run(loop, 5);
    fake_api_end(404, "{}");
    fake_loop_run(loop, 100);
    ck_assert_str_eq(fake_api_path(), ALL);
    fake_api_end(201, "{}");
    fake_loop_run(loop, KUBE_EVENT_FORGET_MS + 1000);
    tell("a"); /* and so have we */
    fake_loop_run(loop, 5);
    ck_assert_str_eq(fake_api_path(), ALL);
    free(name);
    teardown();
}
END_TEST

START_TEST(many_of_one_object_are_combined)
{
    char note[16];
    unsigned created = 0;

    setup();
    for (int i = 0; i < 100; i++) {
        snprintf(note, sizeof note, "n%d", i);
        tell(note);
    }
    for (int i = 0; i < 1000 && created < 100; i++) {
        fake_loop_run(loop, 60);
        if (!fake_api_path())
            break;
        created++;
        json_t *j = sent();
        if (created == KUBE_EVENTS_PER_OBJECT + 1)
            ck_assert_str_eq(json_str(j, "note", ""), "(one of several) n10");
        json_decref(j);
        fake_api_end(201, "{}");
    }
    ck_assert_uint_eq(created, KUBE_EVENTS_PER_OBJECT + 1);
    fake_loop_run(loop, KUBE_EVENT_SERIES_MS + 2000);
    json_t *j = sent();
    ck_assert_int_eq(json_int(j, "series.count", 0), 90);
    json_decref(j);
    teardown();
}
END_TEST

START_TEST(memory_is_bounded)
{
    char name[16];

    setup();
    for (int i = 0; i < KUBE_EVENTS_MAX + 44; i++) {
        snprintf(name, sizeof name, "o%d", i);
        tell_of(name, "x");
    }
    ck_assert_uint_eq(kube_events_lost(ev), 44);
    for (int i = 0; i < 100; i++) {
        fake_loop_run(loop, 60);
        fake_api_end(201, "{}");
    }
    tell_of("another", "x"); /* in the place of one that was written */
    ck_assert_uint_eq(kube_events_lost(ev), 44);
    teardown();
}
END_TEST

START_TEST(who_may_not_write_does_not)
{
    setup();
    kube_events_enable(ev, false);
    tell("a");
    fake_loop_run(loop, 1000);
    ck_assert_ptr_null(fake_api_path());
    kube_events_enable(ev, true);
    tell("b");
    fake_loop_run(loop, 5);
    ck_assert_ptr_nonnull(fake_api_path());
    kube_events_enable(ev, false); /* what is under way is broken off */
    ck_assert_ptr_null(fake_api_path());
    kube_events_enable(ev, true);
    fake_loop_run(loop, 1000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

START_TEST(a_server_in_trouble)
{
    setup();
    tell("a");
    fake_loop_run(loop, 5);
    fake_api_end_later(429, "{\"message\":\"slow down\"}", 5000);
    tell("b"); /* waits, too */
    fake_loop_run(loop, 4000);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 2000);
    fake_api_end(403, "{\"message\":\"no\"}");
    ck_assert_str_eq(
        kube_events_problem(ev),
        "may not create events: add {apiGroups: [\"events.k8s.io\"], resources: "
        "[\"events\"], verbs: [\"create\", \"patch\"]} to the rules of this client's Role "
        "(the API server says: no)");
    fake_loop_run(loop, 31000);
    fake_api_end(409, "{}"); /* the name is taken */
    fake_loop_run(loop, 100);
    fake_api_end(201, "{}");
    ck_assert_ptr_null(kube_events_problem(ev));
    fake_loop_run(loop, 100);
    fake_api_end(422, "{\"message\":\"so it is\"}"); /* this one is at fault */
    ck_assert_uint_eq(kube_events_lost(ev), 1);
    fake_loop_run(loop, 100000);
    ck_assert_ptr_null(fake_api_path());
    tell("c");
    for (int i = 0; i < KUBE_EVENT_TRIES; i++) {
        fake_loop_run(loop, 12000);
        fake_api_break("cannot connect");
    }
    ck_assert_uint_eq(kube_events_lost(ev), 2);
    fake_loop_run(loop, 100000);
    ck_assert_ptr_null(fake_api_path());
    teardown();
}
END_TEST

START_TEST(notes_of_any_length_and_bytes)
{
    static char note[3000];

    setup();
    memset(note, 'x', 1019);
    for (size_t i = 1019; i + 2 < sizeof note; i += 2)
        memcpy(note + i, "\xc3\xa4", 2);
    tell(note);
    fake_loop_run(loop, 5);
    json_t *j = sent();
    ck_assert_uint_le(strlen(json_str(j, "note", "")), KUBE_EVENT_NOTE_MAX);
    ck_assert_ptr_nonnull(strstr(json_str(j, "note", ""), "x\xc3\xa4..."));
    json_decref(j);
    fake_api_end(201, "{}");
    tell("\xff\x01");
    fake_loop_run(loop, 100);
    j = sent();
    ck_assert_str_eq(json_str(j, "note", ""), "? ");
    json_decref(j);
    teardown();
}
END_TEST

UNIT_MAIN("event", the_event, the_same_again_is_counted, many_of_one_object_are_combined,
          memory_is_bounded, who_may_not_write_does_not, a_server_in_trouble,
          notes_of_any_length_and_bytes)
