/* root_maps_test.c - who gets the ConfigMap with the roots, and how often it is written, in virtual
 * time. */
/* objects: controller/root_maps.c */
/* objects: test/fake/clock.c test/fake/api.c */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "controller/cp.h"
#include "test/fake/api.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define AFTER_MS 5100 /* a map that was written and is still not right is written again */

static struct cp cp;
static char dir[64];

static struct kube_api *some_api(const struct kube_source *s)
{
    return (struct kube_api *)&cp;
}
static struct kube_source_ops ops = {.api = some_api};
static struct kube_source source = {.ops = &ops};

static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    cp_root_maps_event(&cp, now ? now : old);
}

static void setup(void)
{
    struct err e = {""};

    log_set_level(LOG_OFF);
    snprintf(dir, sizeof(dir), "/tmp/fsm-root-maps-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    cp = (struct cp){.loop = loop_new(&e), .source = &source, .synced = true};
    cp.conf.base.mesh_name = "fsm";
    cp.ca = pki_ca_open(dir, "cluster.local", &e);
    ck_assert_msg(cp.ca != NULL, "%s", e.text);
    cp.store = kube_store_new();
    kube_store_on_change(cp.store, on_change, NULL);
    cp_root_maps_start(&cp);
    cp_root_maps_enable(&cp, true);
}

static void teardown(void)
{
    static const char *const files[] = {"ca.crt", "ca.key", "next.crt", "next.key"};
    char path[128];

    cp_root_maps_stop(&cp);
    ck_assert_ptr_null(fake_api_path());
    kube_store_free(cp.store);
    pki_ca_free(cp.ca);
    loop_free(cp.loop);
    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void put(char *text)
{
    struct kube_problems p = {NULL, 0};
    struct err e = {""};
    json_t *body = json_parse(slice_str(text), 1 << 20, &e);
    struct kube_object *o;

    ck_assert_msg(body != NULL, "%s: %s", text, e.text);
    o = kube_object_from_server(body, &p);
    ck_assert_msg(o != NULL, "%s", text);
    kube_store_put(cp.store, o);
    kube_problems_free(&p);
    free(text);
    fake_loop_run(cp.loop, 5);
}

/* more: members of its metadata */
static void namespace(const char *name, const char *label, const char *more)
{
    put(xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\","
                  "\"labels\":{\"flomesh.io/monitored-by\":\"%s\"}%s}}",
                  name, label, more));
}

/* what was written, as the watch brings it; NULL: what the CA has now */
static void read_back(const char *ns, const char *roots)
{
    json_t *o = json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                          "metadata", "name", CP_ROOT_MAP, "namespace", ns, "data", "ca.crt",
                          roots ? roots : pki_ca_roots(cp.ca));
    struct buf text = BUF_INIT;

    json_print(o, &text);
    json_decref(o);
    put(buf_take(&text));
}

/* the map of ns is being written, with the roots of now */
static void is_written(const char *ns)
{
    char *path = xasprintf("/api/v1/namespaces/%s/configmaps/fsm-root-ca"
                           "?fieldManager=fsm-controller&force=true",
                           ns);
    struct err e = {""};

    ck_assert_msg(fake_api_path() != NULL, "nothing is asked for %s", ns);
    ck_assert_str_eq(fake_api_path(), path);
    json_t *body = json_parse(slice_str(fake_api_body()), 1 << 20, &e);
    ck_assert_str_eq(json_str(body, "kind", ""), "ConfigMap");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "data"), "ca.crt")),
                     pki_ca_roots(cp.ca));
    json_decref(body);
    free(path);
}

static void quiet(uint64_t ms)
{
    unsigned calls = fake_api_calls();

    fake_loop_run(cp.loop, ms);
    ck_assert_uint_eq(fake_api_calls(), calls);
    ck_assert_ptr_null(fake_api_path());
}

static void answer(unsigned status, const char *body)
{
    fake_api_end(status, body);
    fake_loop_run(cp.loop, 5);
}

START_TEST(namespaces_of_the_mesh_have_one_and_no_other_has)
{
    setup();
    namespace("away", "other", "");
    namespace("ends", "fsm", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"");
    quiet(1000);
    namespace("app", "fsm", "");
    is_written("app");
    namespace("shop", "fsm", "");
    is_written("app"); /* one at a time */
    answer(201, NULL);
    is_written("shop");
    read_back("app", NULL);
    answer(200, NULL);
    read_back("shop", NULL);
    quiet(60000);
    ck_assert_ptr_null(cp_root_maps_problem(&cp));
    namespace("away", "fsm", "");
    is_written("away");
    teardown();
}
END_TEST

START_TEST(what_others_write_or_delete_is_written_again_but_not_all_the_time)
{
    unsigned calls;

    setup();
    namespace("app", "fsm", "");
    answer(201, NULL);
    quiet(4000); /* it is on its way */
    fake_loop_run(cp.loop, AFTER_MS - 4000);
    is_written("app"); /* or is not */
    answer(200, NULL);
    read_back("app", NULL);
    quiet(60000);
    read_back("app", "nonsense");
    is_written("app");
    calls = fake_api_calls();
    for (unsigned i = 0; i < 200; i++) { /* somebody is as sure as we are */
        if (fake_api_path())
            answer(200, NULL);
        read_back("app", i % 2 ? "nonsense" : "more of it");
        fake_loop_run(cp.loop, 100);
    }
    ck_assert_uint_le(fake_api_calls() - calls, 5);
    ck_assert_uint_ge(fake_api_calls() - calls, 3);
    if (fake_api_path())
        answer(200, NULL);
    read_back("app", NULL);
    quiet(60000);
    kube_store_del(cp.store, "ConfigMap", "app", CP_ROOT_MAP);
    fake_loop_run(cp.loop, 5);
    is_written("app");
    teardown();
}
END_TEST

START_TEST(new_roots_go_everywhere)
{
    struct err e = {""};

    setup();
    namespace("app", "fsm", "");
    answer(201, NULL);
    read_back("app", NULL);
    quiet(1000);
    ck_assert_int_eq(pki_ca_prepare_next(cp.ca, &e), 0);
    cp_root_maps_check(&cp);
    fake_loop_run(cp.loop, 5);
    is_written("app");
    teardown();
}
END_TEST

START_TEST(a_right_that_is_missing_is_named_and_waited_for)
{
    unsigned calls;

    setup();
    namespace("app", "fsm", "");
    answer(403, "{\"kind\":\"Status\",\"message\":\"no such right\"}");
    ck_assert_ptr_nonnull(cp_root_maps_problem(&cp));
    ck_assert_ptr_nonnull(strstr(cp_root_maps_problem(&cp), "may not patch configmaps"));
    ck_assert_ptr_nonnull(strstr(cp_root_maps_problem(&cp), "resources: [\"configmaps\"]"));
    calls = fake_api_calls();
    for (unsigned i = 0; i < 600; i++) {
        fake_loop_run(cp.loop, 100);
        if (fake_api_path())
            answer(403, "{}");
        cp_root_maps_check(&cp); /* others change */
    }
    ck_assert_uint_le(fake_api_calls() - calls, 14);
    ck_assert_uint_ge(fake_api_calls() - calls, 5);
    fake_loop_run(cp.loop, 15000);
    is_written("app");
    answer(201, NULL);
    read_back("app", NULL);
    fake_loop_run(cp.loop, 5);
    ck_assert_ptr_null(cp_root_maps_problem(&cp));
    teardown();
}
END_TEST

START_TEST(a_namespace_that_refuses_keeps_nobody_waiting_for_long)
{
    setup();
    namespace("a", "fsm", "");
    namespace("b", "fsm", "");
    is_written("a");
    answer(403, "{\"message\":\"because it is being terminated\"}");
    fake_loop_run(cp.loop, 1000);
    is_written("b");
    answer(201, NULL);
    read_back("b", NULL);
    ck_assert_ptr_nonnull(cp_root_maps_problem(&cp));
    namespace("a", "fsm", ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"");
    quiet(30000);
    ck_assert_ptr_null(cp_root_maps_problem(&cp));
    teardown();
}
END_TEST

START_TEST(only_the_one_that_writes_writes)
{
    setup();
    cp_root_maps_enable(&cp, false);
    namespace("app", "fsm", "");
    quiet(60000);
    cp_root_maps_enable(&cp, true);
    fake_loop_run(cp.loop, 5);
    is_written("app");
    cp_root_maps_enable(&cp, false); /* in the middle */
    quiet(60000);
    cp_root_maps_check(&cp);
    quiet(60000);
    cp_root_maps_enable(&cp, true);
    fake_loop_run(cp.loop, 5);
    is_written("app");
    answer(403, "{}");
    ck_assert_ptr_nonnull(cp_root_maps_problem(&cp));
    cp_root_maps_enable(&cp, false);
    ck_assert_ptr_null(cp_root_maps_problem(&cp)); /* it is another's now */
    quiet(60000);
    teardown();
}
END_TEST

START_TEST(a_stop_in_the_middle)
{
    setup();
    namespace("app", "fsm", "");
    is_written("app");
    teardown();
}
END_TEST

UNIT_MAIN("root_maps", namespaces_of_the_mesh_have_one_and_no_other_has,
          what_others_write_or_delete_is_written_again_but_not_all_the_time,
          new_roots_go_everywhere, a_right_that_is_missing_is_named_and_waited_for,
          a_namespace_that_refuses_keeps_nobody_waiting_for_long, only_the_one_that_writes_writes,
          a_stop_in_the_middle)
