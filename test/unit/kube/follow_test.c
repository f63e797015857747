/* follow_test.c - lists, watches and everything that can go wrong with them, in virtual time. */
/* objects: test/fake/clock.c test/fake/api.c */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/log.h"
#include "common/kube/backoff.h"
#include "common/kube/follow.h"
#include "test/fake/api.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define FIRST_PAGE "limit=500"
#define POD_LIST   "/api/v1/pods?" FIRST_PAGE
#define POD_WATCH  "/api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds="

static struct loop *loop;
static struct kube_store *store;
static struct follow *follow;
static struct kube_problems problems;
static unsigned told;

static void changed(void *arg)
{
    told++;
}

static void setup(const struct kube_want *want)
{
    struct err e = {""};
    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    store = kube_store_new();
    follow = follow_new(loop, NULL, want, store, changed, NULL, &e);
    ck_assert_msg(follow != NULL, "%s", e.text);
    fake_loop_run(loop, 5);
}

static void teardown(void)
{
    follow_free(follow);
    kube_store_free(store);
    loop_free(loop);
    kube_problems_free(&problems);
}

static const struct kube_want pods = {.kind = "Pod"};
static const struct kube_want meshconfig = {.kind = "MeshConfig", .ns = "fsm-system"};

/* the problems of now, as text; "" = none */
static const char *wrong(void)
{
    static char text[2048];
    size_t n = 0;
    kube_problems_free(&problems);
    follow_problems(follow, &problems);
    text[0] = '\0';
    for (unsigned i = 0; i < problems.n; i++) {
        char *one = kube_problem_text(&problems.v[i]);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s\n", one);
        free(one);
    }
    return text;
}

#define POD(name, rv, ip)                                                                          \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"a\",\"resourceVersion\":\"" rv           \
    "\",\"managedFields\":[{}]},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],"      \
    "\"nodeName\":\"n1\"},\"status\":{\"podIP\":\"" ip "\",\"conditions\":[]}}"
#define LIST(rv, items)                                                                            \
    "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" rv          \
    "\"},\"items\":[" items "]}"
#define PAGE(rv, next, items)                                                                      \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" next      \
    "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(rv)                                                                               \
    EVENT("BOOKMARK", "{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"" rv "\"}}")
#define GONE                                                                                       \
    EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\","                     \
                   "\"message\":\"too old resource version\"}")

/* long waits are rounded up by about 1 % (loop.h) */
#define LONGEST_WAIT_MS (BACKOFF_MAX_MS + BACKOFF_MAX_MS / 100)

static void asked(const char *path)
{
    ck_assert_msg(fake_api_path() != NULL, "nothing was asked, expected %s", path);
    ck_assert_msg(strncmp(fake_api_path(), path, strlen(path)) == 0, "%s\nexpected %s",
                  fake_api_path(), path);
}

static void asked_watch_from(const char *rv)
{
    char *end;
    asked(POD_WATCH);
    unsigned long s = strtoul(fake_api_path() + strlen(POD_WATCH), &end, 10);
    ck_assert_uint_ge(s, FOLLOW_WATCH_S);
    ck_assert_uint_lt(s, 2 * FOLLOW_WATCH_S);
    ck_assert_msg(strncmp(end, "&resourceVersion=", 17) == 0 && strcmp(end + 17, rv) == 0,
                  "%s: expected version %s", fake_api_path(), rv);
}

static void answer(const char *text)
{
    ck_assert_int_eq(fake_api_say(text), 0);
    fake_api_end(200, NULL);
    fake_loop_run(loop, 5);
}

static void listed(const char *text)
{
    asked(POD_LIST);
    answer(text);
}

static const char *ip_of(const char *name)
{
    static char out[64];
    json_t *ip = kube_object_at(kube_store_get(store, "Pod", "a", name), "status.podIP");
    if (!ip)
        return NULL;
    snprintf(out, sizeof out, "%s", json_string_value(ip));
    json_decref(ip);
    return out;
}

static uint64_t errors(enum kube_trouble t)
{
    struct kube_kind_stats s;
    follow_stats(follow, &s);
    return s.errors[t];
}

/* ---- what goes well -------------------------------------------------------------------------- */

START_TEST(a_list_and_then_a_watch)
{
    setup(&pods);
    ck_assert(!follow_synced(follow));
    listed(LIST("7", POD("x", "3", "10.0.0.1") "," POD("y", "4", "10.0.0.2")));
    ck_assert(follow_synced(follow));
    ck_assert_uint_gt(told, 0);
    ck_assert_str_eq(wrong(), "");
    ck_assert_str_eq(ip_of("x"), "10.0.0.1");
    asked_watch_from("7");
    fake_api_say(EVENT("MODIFIED", POD("x", "8", "10.0.0.9")) EVENT("DELETED", POD("y", "9", "")));
    ck_assert_str_eq(ip_of("x"), "10.0.0.9");
    ck_assert_ptr_null(ip_of("y"));
    fake_api_say(EVENT("ADDED", POD("z", "10", "10.0.0.3")) BOOKMARK("12"));
    ck_assert_str_eq(ip_of("z"), "10.0.0.3");
    fake_api_end(200, NULL);
    fake_loop_run(loop, 1300);
    asked_watch_from("12");
    teardown();
}
END_TEST

START_TEST(what_nobody_uses_is_not_kept)
{
    setup(&pods);
    listed(LIST("7", POD("x", "3", "10.0.0.1")));
    json_t *body = kube_object_at(kube_store_get(store, "Pod", "a", "x"), "");
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(body);
    ck_assert_str_eq(text, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"x\","
                           "\"namespace\":\"a\"},\"spec\":{\"containers\":[{\"image\":\"i\","
                           "\"name\":\"c\"}],\"serviceAccountName\":\"default\"},\"status\":{"
                           "\"podIP\":\"10.0.0.1\"}}");
    free(text);
    unsigned long before = kube_store_generation(store);
    fake_api_say(EVENT("MODIFIED", POD("x", "8", "10.0.0.1"))); /* another version, nothing else */
    ck_assert_uint_eq(kube_store_generation(store), before);
    teardown();
}
END_TEST

START_TEST(pages_follow_each_other)
{
    setup(&pods);
    listed(PAGE("7", "a/b=", POD("x", "3", "10.0.0.1")));
    ck_assert(!follow_synced(follow));
    asked(POD_LIST "&continue=a%2Fb%3D");
    answer(LIST("7", POD("y", "4", "10.0.0.2")));
    ck_assert(follow_synced(follow));
    ck_assert_ptr_nonnull(ip_of("x"));
    ck_assert_ptr_nonnull(ip_of("y"));
    asked_watch_from("7");
    teardown();
}
END_TEST

START_TEST(scopes_and_selectors)
{
    static const struct kube_want want = {
        .kind = "MeshConfig", .ns = "fsm-system", .fields = "metadata.name=a b", .labels = "x!=y"};
    setup(&want);
    asked("/apis/config.flomesh.io/v1alpha3/namespaces/fsm-system/meshconfigs?" FIRST_PAGE
          "&fieldSelector=metadata.name%3Da%20b&labelSelector=x%21%3Dy");
    teardown();
}
END_TEST

/* ---- watches that end ------------------------------------------------------------------------ */

START_TEST(a_watch_cut_each_second_loses_nothing)
{
    setup(&pods);
    listed(LIST("7", ""));
    for (unsigned i = 0; i < 20; i++) {
        asked_watch_from("7");
        fake_loop_run(loop, 1000);
        unsigned calls = fake_api_calls();
        fake_api_end(200, NULL);
        fake_loop_run(loop, 10);
        ck_assert_uint_eq(fake_api_calls(), calls + 1);
    }
    ck_assert_str_eq(wrong(), "");
    ck_assert_uint_eq(errors(KUBE_TROUBLE_connect), 0);
    /* one that ends at once is not begun again at once */
    unsigned calls = fake_api_calls();
    fake_api_end(200, NULL);
    fake_loop_run(loop, 500);
    ck_assert_uint_eq(fake_api_calls(), calls);
    fake_loop_run(loop, 800);
    ck_assert_uint_eq(fake_api_calls(), calls + 1);
    teardown();
}
END_TEST

START_TEST(an_expired_version_is_listed_anew_and_what_vanished_goes)
{
    setup(&pods);
    listed(LIST("7", POD("x", "3", "10.0.0.1") "," POD("y", "4", "10.0.0.2")));
    fake_loop_run(loop, 60000);
    ck_assert_int_eq(fake_api_say(GONE), -1);
    fake_loop_run(loop, 5);
    ck_assert_ptr_nonnull(ip_of("y")); /* until the list is complete */
    listed(LIST("90", POD("x", "3", "10.0.0.1")));
    ck_assert_ptr_nonnull(ip_of("x"));
    ck_assert_ptr_null(ip_of("y"));
    asked_watch_from("90");
    /* as an answer, too; but not twice within seconds */
    fake_api_end(410, "{\"kind\":\"Status\",\"code\":410}");
    unsigned calls = fake_api_calls();
    fake_loop_run(loop, 2000);
    ck_assert_uint_eq(fake_api_calls(), calls);
    fake_loop_run(loop, 6000);
    asked(POD_LIST);
    ck_assert_uint_eq(errors(KUBE_TROUBLE_expired), 2);
    ck_assert_str_eq(wrong(), "");
    teardown();
}
END_TEST

START_TEST(a_list_that_expires_in_the_middle_begins_again)
{
    setup(&pods);
    listed(PAGE("7", "p2", POD("x", "3", "10.0.0.1")));
    asked(POD_LIST "&continue=p2");
    fake_api_end(410, "{\"kind\":\"Status\",\"code\":410,\"metadata\":{\"continue\":\"z\"}}");
    fake_loop_run(loop, 7000);
    ck_assert_str_eq(fake_api_path(), POD_LIST);
    listed(LIST("9", POD("y", "4", "10.0.0.2")));
    ck_assert_ptr_null(ip_of("x"));
    ck_assert_ptr_nonnull(ip_of("y"));
    teardown();
}
END_TEST

START_TEST(refused_versions_lead_to_a_list)
{
    setup(&pods);
    listed(LIST("7", ""));
    for (unsigned i = 0; i < 3; i++) {
        asked(POD_WATCH);
        fake_api_end(504, "{\"kind\":\"Status\",\"message\":\"Too large resource version\"}");
        ck_assert_ptr_nonnull(strstr(wrong(), "answers 504 to watch pods: Too large resource"));
        fake_loop_run(loop, LONGEST_WAIT_MS);
    }
    asked(POD_LIST);
    teardown();
}
END_TEST

/* ---- a server in trouble --------------------------------------------------------------------- */

START_TEST(nothing_is_lost_while_the_server_is_away)
{
    setup(&pods);
    listed(LIST("7", POD("x", "3", "10.0.0.1")));
    asked_watch_from("7");
    fake_api_say(" "); /* it has begun: one that breaks is begun again, and nothing is wrong yet */
    fake_api_break("reset");
    ck_assert_str_eq(wrong(), "");
    fake_loop_run(loop, 1300);
    asked_watch_from("7");
    fake_api_break("Couldn't connect to server");
    uint64_t begin = loop_now_ms(loop);
    unsigned calls = fake_api_calls();
    while (loop_now_ms(loop) - begin < 120000) {
        fake_loop_run(loop, 100);
        if (fake_api_path())
            fake_api_break("Couldn't connect to server");
    }
    ck_assert_uint_ge(fake_api_calls() - calls, 120000 / BACKOFF_MAX_MS);
    ck_assert_uint_le(fake_api_calls() - calls, 40);
    ck_assert_str_eq(wrong(), "API server: no answer from the API server https://fake:6443: "
                              "Couldn't connect to server\n");
    ck_assert_str_eq(ip_of("x"), "10.0.0.1");
    ck_assert(follow_synced(follow));
    ck_assert(follow_is_cut_off(follow));
    ck_assert_ptr_null(fake_api_path());
    follow_hurry(follow);
    fake_loop_run(loop, 200);
    asked_watch_from("7");
    fake_api_say(BOOKMARK("8"));
    ck_assert(!follow_is_cut_off(follow));
    ck_assert_str_eq(wrong(), "");
    teardown();
}
END_TEST

START_TEST(a_page_that_fails_is_asked_for_again)
{
    setup(&pods);
    listed(PAGE("7", "p2", POD("x", "3", "10.0.0.1")));
    asked(POD_LIST "&continue=p2");
    fake_api_say("{\"items\":[" POD("y", "4", "10.0.0.2") ",{\"meta");
    fake_api_break("reset");
    fake_loop_run(loop, 1000);
    asked(POD_LIST "&continue=p2");
    answer(LIST("7", POD("y", "4", "10.0.0.2")));
    ck_assert(follow_synced(follow));
    ck_assert_ptr_nonnull(ip_of("x"));
    teardown();
}
END_TEST

START_TEST(retry_after_is_respected)
{
    setup(&pods);
    asked(POD_LIST);
    fake_api_end_later(429, "{\"kind\":\"Status\",\"message\":\"slow down\"}", 20000);
    ck_assert_str_eq(wrong(),
                     "Pod: not read yet: the API server answers 429 to list pods: slow down\n");
    fake_loop_run(loop, 19900);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 3000);
    asked(POD_LIST);
    ck_assert_uint_eq(errors(KUBE_TROUBLE_throttled), 1);
    fake_api_end(500, "<html>oops");
    fake_loop_run(loop, 2000);
    listed(LIST("7", ""));
    ck_assert_str_eq(wrong(), "");
    teardown();
}
END_TEST

START_TEST(garbage_changes_nothing)
{
    static const char *const lists[] = {"<html>",
                                        "{\"kind\":\"PodList\"}",
                                        LIST("8", "7"),
                                        LIST("8", "{\"metadata\":{}}"),
                                        LIST("8", "{\"metadata\":{\"name\":\"q\"}}"),
                                        LIST("8", "{\"metadata\":{\"name\":tru}}"),
                                        "{\"kind\":\"Status\",\"metadata\":{}}"};
    static const char *const events[] = {"null",
                                         "{}",
                                         "{\"type\":\"ADDED\"}",
                                         EVENT("ADDED", "[]"),
                                         EVENT("ADDED", "{}"),
                                         EVENT("NONSENSE", POD("x", "1", "10.9.9.9")),
                                         "{\"type\":\"ADDED\",\"object\":{\"a\"]"};
    setup(&pods);
    listed(LIST("7", POD("x", "3", "10.0.0.1")));
    for (unsigned i = 0; i < sizeof events / sizeof *events; i++) {
        asked_watch_from("7");
        if (fake_api_say(events[i]) == 0)
            fake_api_end(200, NULL);
        ck_assert_msg(strstr(wrong(), "answer cannot be read"), "%s: %s", events[i], wrong());
        fake_loop_run(loop, LONGEST_WAIT_MS);
    }
    follow_refresh(follow);
    fake_loop_run(loop, 5);
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++) {
        asked(POD_LIST);
        if (fake_api_say(lists[i]) == 0)
            fake_api_end(200, NULL);
        ck_assert_msg(strstr(wrong(), "answer cannot be read"), "%s: %s", lists[i], wrong());
        fake_loop_run(loop, LONGEST_WAIT_MS);
    }
    ck_assert_str_eq(ip_of("x"), "10.0.0.1");
    listed(LIST("7", POD("x", "3", "10.0.0.1")));
    ck_assert_str_eq(wrong(), "");
    teardown();
}
END_TEST

START_TEST(rbac_is_told_with_the_rule_that_is_missing)
{
    setup(&pods);
    asked(POD_LIST);
    fake_api_end(403, "{\"kind\":\"Status\",\"message\":\"pods is forbidden: User \\\"u\\\"\"}");
    ck_assert_str_eq(wrong(),
                     "Pod: not read yet: may not list pods: add {apiGroups: [\"\"], resources: "
                     "[\"pods\"], verbs: [\"list\", \"watch\"]} to the rules of this client's "
                     "ClusterRole (the API server says: pods is forbidden: User \"u\")\n");
    ck_assert_uint_eq(errors(KUBE_TROUBLE_forbidden), 1);
    fake_loop_run(loop, 7000);
    ck_assert_ptr_null(fake_api_path());
    fake_loop_run(loop, 6000);
    listed(LIST("7", ""));
    asked(POD_WATCH);
    fake_api_end(403, "{}");
    ck_assert_ptr_nonnull(strstr(wrong(), "Pod: may not watch pods"));
    teardown();
}
END_TEST

START_TEST(credentials_that_are_not_taken)
{
    setup(&pods);
    fake_api_end(401, "{}");
    ck_assert_ptr_nonnull(strstr(wrong(), "API server: the API server does not take our cred"));
    ck_assert_ptr_nonnull(strstr(wrong(), "Pod: not read yet\n"));
    ck_assert_uint_eq(errors(KUBE_TROUBLE_unauthorized), 1);
    fake_loop_run(loop, 1000);
    listed(LIST("7", ""));
    ck_assert_str_eq(wrong(), "");
    teardown();
}
END_TEST

/* ---- kinds that come and go ------------------------------------------------------------------ */

#define MC_AT(version)                                                                             \
    "/apis/config.flomesh.io/" version "/namespaces/fsm-system/meshconfigs?" FIRST_PAGE
#define MC                                                                                         \
    "{\"apiVersion\":\"config.flomesh.io/v1alpha3\",\"kind\":\"MeshConfig\",\"metadata\":{"        \
    "\"name\":\"fsm-mesh-config\",\"namespace\":\"fsm-system\"},\"spec\":{}}"

static void absent(void)
{
    asked(MC_AT("v1alpha3"));
    fake_api_end(404, "404 page not found\n");
    fake_loop_run(loop, 5);
    asked(MC_AT("v1alpha2"));
    fake_api_end(404, "404 page not found\n");
    fake_loop_run(loop, 5);
    asked(MC_AT("v1alpha1"));
    fake_api_end(404, "404 page not found\n");
}

START_TEST(a_kind_may_not_be_there_and_come)
{
    setup(&meshconfig);
    for (unsigned i = 0; i < 3; i++) {
        absent();
        ck_assert(follow_synced(follow));
        ck_assert_str_eq(wrong(), "");
        fake_loop_run(loop, 4000);
    }
    asked(MC_AT("v1alpha3"));
    answer(LIST("7", MC));
    ck_assert_uint_eq(kube_store_count(store, "MeshConfig"), 1);
    teardown();
}
END_TEST

START_TEST(a_kind_that_goes_takes_its_objects_when_it_is_sure)
{
    setup(&meshconfig);
    asked(MC_AT("v1alpha3"));
    answer(LIST("7", MC));
    fake_api_end(404, "404 page not found\n"); /* the watch */
    fake_loop_run(loop, 5);
    asked(MC_AT("v1alpha2"));
    fake_api_end(404, "");
    fake_loop_run(loop, 5);
    fake_api_end(404, "");
    ck_assert_uint_eq(kube_store_count(store, "MeshConfig"), 1);
    fake_loop_run(loop, 4000);
    absent();
    ck_assert_uint_eq(kube_store_count(store, "MeshConfig"), 1);
    fake_loop_run(loop, 4000);
    absent();
    ck_assert_uint_eq(kube_store_count(store, "MeshConfig"), 0);
    fake_loop_run(loop, 4000);
    asked(MC_AT("v1alpha3"));
    answer(LIST("9", MC));
    ck_assert_uint_eq(kube_store_count(store, "MeshConfig"), 1);
    teardown();
}
END_TEST

START_TEST(a_core_kind_is_always_there)
{
    setup(&pods);
    fake_api_end(404, "not here");
    ck_assert(!follow_synced(follow));
    ck_assert_ptr_nonnull(strstr(wrong(), "is it an API server?"));
    teardown();
}
END_TEST

/* ---- objects that are refused ---------------------------------------------------------------- */

#define BAD_POD(name) "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"a\"},\"spec\":{}}"

START_TEST(a_refused_object_keeps_its_last_good_version)
{
    setup(&pods);
    listed(LIST("7", POD("x", "3", "10.0.0.1") "," BAD_POD("y")));
    ck_assert_str_eq(wrong(), "Pod a/y: spec.containers: required, but missing\n");
    fake_api_say(EVENT("MODIFIED", BAD_POD("x")));
    ck_assert_str_eq(ip_of("x"), "10.0.0.1");
    ck_assert_ptr_nonnull(strstr(wrong(), "Pod a/x: spec.containers"));
    fake_api_say(EVENT("MODIFIED", POD("x", "8", "10.0.0.2")) EVENT("DELETED", BAD_POD("y")));
    ck_assert_str_eq(ip_of("x"), "10.0.0.2");
    ck_assert_str_eq(wrong(), "");
    /* one that is refused in a list is there all the same; one that is not in it has no problem */
    fake_api_say(EVENT("ADDED", BAD_POD("z")));
    follow_refresh(follow);
    fake_loop_run(loop, 5);
    listed(LIST("9", BAD_POD("x")));
    ck_assert_str_eq(ip_of("x"), "10.0.0.2");
    ck_assert_str_eq(wrong(), "Pod a/x: spec.containers: required, but missing\n");
    teardown();
}
END_TEST

START_TEST(a_nul_character_costs_only_its_object)
{
    setup(&pods);
    listed(LIST("7", POD("x", "3", "a\\u0000b") "," POD("y", "4", "10.0.0.2")));
    ck_assert_ptr_null(ip_of("x"));
    ck_assert_str_eq(ip_of("y"), "10.0.0.2");
    ck_assert_ptr_nonnull(strstr(wrong(), "Pod a/x: holds a NUL character"));
    fake_api_say(EVENT("MODIFIED", POD("y", "9", "\\u0000")));
    ck_assert_str_eq(ip_of("y"), "10.0.0.2");
    teardown();
}
END_TEST

START_TEST(an_object_too_large_keeps_nobody_out)
{
    static char huge[FOLLOW_OBJECT_MAX + 100];
    setup(&pods);
    listed(LIST("7", POD("x", "3", "10.0.0.1")));
    follow_refresh(follow);
    fake_loop_run(loop, 5);
    asked(POD_LIST);
    memset(huge, 'x', sizeof huge - 1);
    fake_api_say("{\"items\":[{\"metadata\":{\"name\":\"");
    fake_api_say(huge);
    fake_api_say("\"}}," POD("y", "4", "10.0.0.2") "],\"metadata\":{\"resourceVersion\":\"9\"}}");
    fake_api_end(200, NULL);
    fake_loop_run(loop, 5);
    ck_assert_ptr_nonnull(ip_of("y"));
    ck_assert_ptr_nonnull(ip_of("x")); /* who knows who it was */
    asked_watch_from("9");
    teardown();
}
END_TEST

/* ---- back-off -------------------------------------------------------------------------------- */

START_TEST(the_back_off_doubles_and_spreads)
{
    for (unsigned round = 0; round < 200; round++) {
        struct backoff b = {0};
        uint64_t full = BACKOFF_FIRST_MS;
        for (unsigned i = 0; i < 40; i++) {
            uint64_t ms = backoff_next(&b, 0);
            ck_assert_uint_ge(ms, full / 2);
            ck_assert_uint_le(ms, full);
            full = 2 * full < BACKOFF_MAX_MS ? 2 * full : BACKOFF_MAX_MS;
        }
        backoff_reset(&b);
        ck_assert_uint_le(backoff_next(&b, 0), BACKOFF_FIRST_MS);
        uint64_t asked_ms = backoff_next(&b, 5000);
        ck_assert_uint_ge(asked_ms, 5000);
        ck_assert_uint_le(asked_ms, 5000 + BACKOFF_MAX_MS);
        ck_assert_uint_le(backoff_next(&b, UINT64_MAX), BACKOFF_ASKED_MAX_MS + BACKOFF_MAX_MS);
        uint64_t j = backoff_jitter(1000);
        ck_assert(j >= 800 && j <= 1200);
    }
}
END_TEST

UNIT_MAIN("follow", a_list_and_then_a_watch, what_nobody_uses_is_not_kept, pages_follow_each_other,
          scopes_and_selectors, a_watch_cut_each_second_loses_nothing,
          an_expired_version_is_listed_anew_and_what_vanished_goes,
          a_list_that_expires_in_the_middle_begins_again, refused_versions_lead_to_a_list,
          nothing_is_lost_while_the_server_is_away, a_page_that_fails_is_asked_for_again,
          retry_after_is_respected, garbage_changes_nothing,
          rbac_is_told_with_the_rule_that_is_missing, credentials_that_are_not_taken,
          a_kind_may_not_be_there_and_come, a_kind_that_goes_takes_its_objects_when_it_is_sure,
          a_core_kind_is_always_there, a_refused_object_keeps_its_last_good_version,
          a_nul_character_costs_only_its_object, an_object_too_large_keeps_nobody_out,
          the_back_off_doubles_and_spreads)
