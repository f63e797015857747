/* objects: cli/cluster/checks.c cli/cluster/progress.c cli/cluster/cluster.c */
/* objects: cli/cluster/plane.c */
/* checks_test.c - what fsm check says of objects that are right, and of each way to be wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cluster/checks.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/pki/pki.h"
#include "test/unit/unit.h"

#define NOW  1700000000
#define POD  "\"metadata\":{\"name\":\"web\",\"namespace\":\"app\""
#define MESH "\"metadata\":{\"name\":\"app\",\"labels\":{\"flomesh.io/monitored-by\":\"fsm\"},"

static struct checks c;

static void begin(void)
{
    c = (struct checks){.rows = json_array()};
    checks_begin(&c, "test");
}

static json_t *js(const char *text)
{
    json_t *j = json_loads(text, 0, NULL);

    ck_assert_msg(j != NULL, "no JSON: %s", text);
    return j;
}

/* row i has that status, and text in what it says; then the rows are forgotten */
static void row(size_t i, const char *status, const char *text)
{
    const json_t *r = json_array_get(c.rows, i);

    ck_assert_str_eq(json_str(r, "status", "none"), status);
    char *said = xasprintf("%s: %s -> %s", json_str(r, "name", ""), json_str(r, "message", ""),
                           json_str(r, "hint", ""));
    ck_assert_msg(strstr(said, text) != NULL, "\"%s\" has no \"%s\"", said, text);
    /* what is wrong comes with what to do */
    if (strcmp(status, "FAILED") == 0 || strcmp(status, "warning") == 0)
        ck_assert_msg(*json_str(r, "hint", ""), "\"%s\" does not say what to do", said);
    free(said);
}

static void one(const char *status, const char *text)
{
    ck_assert_uint_eq(json_array_size(c.rows), 1);
    row(0, status, text);
    json_array_clear(c.rows);
}

START_TEST(clocks)
{
    begin();
    check_clock(&c, NOW, NOW + 5);
    one("ok", "");
    check_clock(&c, NOW, NOW + 60);
    one("warning", "60 s");
    check_clock(&c, NOW + 3600, NOW);
    one("FAILED", "3600 s");
    ck_assert_uint_eq(c.failed, 1);
    ck_assert_uint_eq(c.warnings, 1);
    json_decref(c.rows);
}
END_TEST

#define CRD(served, established)                                                                   \
    "[{\"metadata\":{\"name\":\"a.b\"},\"spec\":{\"versions\":[{\"name\":\"v1\","                  \
    "\"served\":" served                                                                           \
    "}]},\"status\":{\"conditions\":[{\"type\":\"Established\",\"status\":\"" established          \
    "\"}]}}]"

START_TEST(definitions)
{
    static const struct {
        const char *found, *status, *text;
    } cases[] = {{CRD("true", "True"), "ok", ""},
                 {"[]", "FAILED", "a.b is missing"},
                 {CRD("true", "False"), "FAILED", "a.b is not established"},
                 {CRD("false", "True"), "FAILED", "a.b does not serve v1"}};
    json_t *wanted = js(CRD("true", "True"));

    begin();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *found = js(cases[i].found);
        check_definitions(&c, wanted, found);
        one(cases[i].status, cases[i].text);
        json_decref(found);
    }
    json_decref(wanted);
    json_decref(c.rows);
}
END_TEST

START_TEST(deployments)
{
    json_t *ready = js("{\"spec\":{\"replicas\":2},\"status\":{\"availableReplicas\":2}}");
    json_t *half = js("{\"spec\":{\"replicas\":2},\"status\":{\"availableReplicas\":1}}");
    json_t *none = js("{\"spec\":{\"replicas\":2},\"status\":{}}");
    json_t *zero = js("{\"spec\":{\"replicas\":0},\"status\":{}}");
    json_t *pods = js("[{\"metadata\":{\"name\":\"d-1\",\"labels\":{\"app\":\"d\"}},\"status\":{"
                      "\"containerStatuses\":[{\"state\":{\"waiting\":{\"reason\":"
                      "\"ImagePullBackOff\"}}}]}}]");

    begin();
    check_deployment(&c, "d", ready, NULL);
    one("ok", "d is ready");
    check_deployment(&c, "d", half, pods);
    one("warning", "1 of 2 replicas are available: d-1: ImagePullBackOff");
    check_deployment(&c, "other", none, pods);
    one("FAILED", "0 of 2 replicas are available ->");
    check_deployment(&c, "d", zero, NULL);
    one("FAILED", "scale it up");
    check_deployment(&c, "d", NULL, NULL);
    one("FAILED", "no such Deployment");
    json_decref(ready);
    json_decref(half);
    json_decref(none);
    json_decref(zero);
    json_decref(pods);
    json_decref(c.rows);
}
END_TEST

START_TEST(versions)
{
    json_t *d = js("[{\"metadata\":{\"name\":\"d\"},\"spec\":{\"template\":{\"spec\":{"
                   "\"containers\":[{\"image\":\"host:5000/d:1.2\"}]}}}}]");

    begin();
    check_versions(&c, "1.2", d);
    one("ok", "");
    check_versions(&c, "1.3", d);
    one("warning", "this command is 1.3, not: d 1.2");
    json_decref(d);
    json_decref(c.rows);
}
END_TEST

static json_t *hook_with(const char *bundle)
{
    return json_pack("{s:[{s:{s:s, s:{s:s}}}]}", "webhooks", "clientConfig", "caBundle", bundle,
                     "service", "namespace", "fsm-system");
}

START_TEST(webhooks)
{
    static const struct {
        enum check_hook which;
        const char *missing, *name;
    } both[] = {{CHECK_INJECTION, "pods get no sidecar", "the webhook's"},
                {CHECK_VALIDATION, "the mesh will not take", "the validating webhook's"}};
    struct buf b = BUF_INIT;

    begin();
    base64_encode("old\nroot\n", 9, &b);
    json_t *good = hook_with(b.p), *empty = hook_with(""), *none = js("{\"webhooks\":[]}");
    for (size_t i = 0; i < 2; i++) {
        enum check_hook h = both[i].which;
        ck_assert(!check_webhook(&c, h, NULL, "fsm-system", "root"));
        one("FAILED", both[i].missing);
        ck_assert(!check_webhook(&c, h, none, "fsm-system", "root"));
        one("FAILED", both[i].missing);
        ck_assert(check_webhook(&c, h, good, "fsm-system", "root\n"));
        row(0, "ok", "");
        row(1, "ok", both[i].name);
        json_array_clear(c.rows);
        check_webhook(&c, h, good, "fsm-system", "another\n");
        row(1, "FAILED", "does not hold the mesh's root");
        json_array_clear(c.rows);
        check_webhook(&c, h, good, "fsm-system", NULL);
        row(1, "skipped", "");
        json_array_clear(c.rows);
        check_webhook(&c, h, good, "elsewhere", "root\n");
        row(1, "FAILED", "another namespace");
        json_array_clear(c.rows);
        check_webhook(&c, h, empty, "fsm-system", "root\n");
        row(1, "FAILED", "there is none");
        json_array_clear(c.rows);
    }
    json_decref(good);
    json_decref(empty);
    json_decref(none);
    buf_free(&b);
    json_decref(c.rows);
}
END_TEST

START_TEST(accounts)
{
    json_t *none = json_array();
    json_t *some = js("[{\"verb\":\"list\",\"resource\":\"pods\",\"line\":\"{pods}\"},"
                      "{\"verb\":\"watch\",\"resource\":\"pods\",\"line\":\"{pods}\"},"
                      "{\"verb\":\"get\",\"resource\":\"leases\",\"line\":\"{leases}\"}]");

    begin();
    check_account(&c, "a may do its work", "ClusterRole a", none);
    one("ok", "a may do its work");
    check_account(&c, "a may do its work", "ClusterRole a", some);
    row(0, "FAILED", "it may not: list pods, watch pods and get leases");
    one("FAILED", "the ClusterRole a misses {pods} and {leases}; 'fsm upgrade --force-conflicts'");
    json_decref(none);
    json_decref(some);
    json_decref(c.rows);
}
END_TEST

START_TEST(authorities)
{
    char dir[] = "/tmp/fsm-checks-XXXXXX";
    struct err e;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    struct pki_ca *ca = pki_ca_open(dir, "cluster.local", &e);
    ck_assert_ptr_nonnull(ca);
    struct pki_cert_info info;
    ck_assert_int_eq(pki_cert_read(pki_ca_roots(ca), &info, &e), 0);
    begin();
    check_authority(&c, pki_ca_roots(ca), info.not_before + 1);
    one("ok", "");
    check_authority(&c, pki_ca_roots(ca), info.not_after - 86400);
    one("warning", "until");
    check_authority(&c, pki_ca_roots(ca), info.not_after + 1);
    one("FAILED", "until");
    check_authority(&c, pki_ca_roots(ca), info.not_before - 100);
    one("FAILED", "later");
    check_authority(&c, "no PEM", NOW);
    one("FAILED", "");
    check_authority(&c, NULL, NOW);
    one("skipped", "");
    check_no_authority(&c, "fsm-ca-bundle");
    one("FAILED", "the Secret fsm-ca-bundle is missing");
    pki_ca_free(ca);
    char *rm = xasprintf("rm -r %s", dir);
    ck_assert_int_eq(system(rm), 0);
    free(rm);
    json_decref(c.rows);
}
END_TEST

START_TEST(configs)
{
    json_t *good = js("{\"apiVersion\":\"config.flomesh.io/v1alpha3\",\"kind\":\"MeshConfig\","
                      "\"metadata\":{\"name\":\"fsm-mesh-config\",\"namespace\":\"fsm-system\"},"
                      "\"spec\":{\"traffic\":{\"enableEgress\":true}}}");

    begin();
    check_config(&c, good);
    one("ok", "");
    json_object_set_new(json_at(good, "spec.traffic"), "enableEgress", json_string("yes"));
    check_config(&c, good);
    one("FAILED", "spec.traffic.enableEgress: got");
    check_config(&c, NULL);
    one("FAILED", "there is no MeshConfig");
    json_decref(good);
    json_decref(c.rows);
}
END_TEST

START_TEST(members)
{
    json_t *ns = js("[{" MESH "\"annotations\":{\"flomesh.io/sidecar-injection\":\"enabled\"}}},"
                    "{\"metadata\":{\"name\":\"lost\",\"labels\":{\"flomesh.io/monitored-by\":"
                    "\"green\"}}},{\"metadata\":{\"name\":\"torn\",\"labels\":{"
                    "\"flomesh.io/monitored-by\":\"fsm\",\"flomesh.io/ignore\":\"true\"}}}]");
    json_t *meshes = js("[\"fsm\"]");
    static const struct {
        const char *pod, *status;
    } cases[] = {
        {"[{" POD "}}]", "warning"},
        {"[{" POD ",\"labels\":{\"fsm-proxy-uuid\":\"u\"}}}]", "ok"},
        {"[{" POD "},\"spec\":{\"hostNetwork\":true}}]", "ok"},
        {"[{" POD "},\"status\":{\"phase\":\"Succeeded\"}}]", "ok"},
        {"[{" POD ",\"annotations\":{\"flomesh.io/sidecar-injection\":\"no\"}}}]", "ok"},
        {"[{\"metadata\":{\"name\":\"x\",\"namespace\":\"elsewhere\"}}]", "ok"},
        {"[{\"metadata\":{\"name\":\"x\",\"namespace\":\"torn\"}}]", "ok"},
    };

    begin();
    check_namespaces(&c, ns, meshes, "fsm");
    row(0, "warning", "lost (green)");
    row(1, "warning", "torn");
    json_array_clear(c.rows);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *pods = js(cases[i].pod);
        check_injected(&c, ns, pods, "fsm");
        one(cases[i].status, "");
        json_decref(pods);
    }
    json_decref(ns);
    json_decref(meshes);
    json_decref(c.rows);
}
END_TEST

#define MESHED POD ",\"labels\":{\"fsm-proxy-uuid\":\"u\"}}"

START_TEST(sidecars)
{
    json_t *good = js("[{" MESHED ",\"spec\":{\"initContainers\":[{\"name\":\"sidecar\",\"image\":"
                      "\"flomesh/fsm-sidecar:1.2\"}]},\"status\":{\"initContainerStatuses\":[{"
                      "\"name\":\"sidecar\",\"ready\":true}]}}]");
    json_t *bad = js("[{" MESHED ",\"status\":{\"containerStatuses\":[{\"name\":\"sidecar\","
                     "\"ready\":false}]}}]");

    begin();
    check_sidecars_ready(&c, good);
    one("ok", "");
    check_sidecars_ready(&c, bad);
    one("FAILED", "app/web");
    check_sidecars_versions(&c, good, "1.2");
    one("ok", "");
    check_sidecars_versions(&c, good, "1.3");
    one("warning", "app/web");
    json_decref(good);
    json_decref(bad);
    json_decref(c.rows);
}
END_TEST

START_TEST(proxies)
{
    json_t *good =
        js("[{\"pod\":\"a/b\",\"connected\":true,\"lagMs\":0,\"certNotAfter\":1700000001,"
           "\"rejected\":null}]");
    json_t *bad = js("[{\"pod\":\"a/b\",\"connected\":false,\"lagMs\":60000,\"certNotAfter\":1,"
                     "\"rejected\":\"7\",\"reason\":\"no such thing\"}]");

    begin();
    check_proxies(&c, good, NOW);
    for (size_t i = 0; i < 4; i++)
        row(i, "ok", "");
    json_array_clear(c.rows);
    check_proxies(&c, bad, NOW);
    row(0, "warning", "a/b");
    row(1, "warning", "a/b");
    row(2, "FAILED", "no such thing");
    row(3, "FAILED", "a/b");
    json_decref(good);
    json_decref(bad);
    json_decref(c.rows);
}
END_TEST

START_TEST(problems)
{
    json_t *list =
        js("[{\"text\":\"Service a/b: spec\"},{\"object\":\"Retry x\",\"message\":\"m\"}]");
    json_t *none = json_array();

    begin();
    check_problems(&c, list);
    one("warning", "Service a/b: spec and Retry x: m");
    check_problems(&c, none);
    one("ok", "");
    json_decref(list);
    json_decref(none);
    json_decref(c.rows);
}
END_TEST

UNIT_MAIN("checks", clocks, definitions, deployments, versions, webhooks, accounts, authorities,
          configs, members, sidecars, proxies, problems)
