/* policy_test.c - the compiler under change: what it keeps up to date must equal what it would
 * compile from nothing, and every patch must lead from the document before to the one after.
 * FSM_SCALE=5000 measures with that many Services; FSM_SEEDS=5000 tries that many sequences.
 */
#include "common/policy/policy.h"

#include <check.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define TS "2026-01-02T03:04:05.678Z"

static const struct policy_opts opts = {"fsm", "fsm-system", "cluster.local"};

static void put(struct kube_store *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* YAML of one or more objects */
static void put(struct kube_store *st, const char *fmt, ...)
{
    struct kube_problems problems = {0};
    struct kube_object **v = NULL;
    struct buf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    unsigned n = kube_load(buf_slice(&text), "test.yaml", NULL, &v, &problems);
    if (problems.n > 0) {
        char *words = kube_problem_text(&problems.v[0]);
        ck_abort_msg("%s", words);
    }
    for (unsigned i = 0; i < n; i++)
        kube_store_put(st, kube_object_ref(v[i]));
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    buf_free(&text);
}

static void put_ns(struct kube_store *st, const char *name, bool member)
{
    put(st, "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {tier: test%s}}}", name,
        member ? ", flomesh.io/monitored-by: fsm" : "");
}

static void put_pod(struct kube_store *st, const char *ns, const char *name, const char *ip,
                    const char *app, bool meshed)
{
    put(st,
        "{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, uid: u-%s, labels: "
        "{app: %s%s}}, spec: {serviceAccountName: sa-%s, containers: [{name: a, image: a}]}, "
        "status: {podIP: %s}}",
        name, ns, name, app, meshed ? ", fsm-proxy-uuid: u" : "", app, ip);
}

static void put_config(struct kube_store *st, const char *mode, bool permissive, bool egress)
{
    put(st,
        "{apiVersion: config.flomesh.io/v1alpha3, kind: MeshConfig, metadata: {name: "
        "fsm-mesh-config, namespace: fsm-system}, spec: {traffic: {serviceAccessMode: %s, "
        "enablePermissiveTrafficPolicyMode: %s, enableEgress: %s}}}",
        mode, permissive ? "true" : "false", egress ? "true" : "false");
}

static json_t *document_of(struct policy_proxy *px)
{
    struct buf text = BUF_INIT;
    struct err e = {""};

    policy_proxy_document(px, TS, &text);
    json_t *doc = json_parse(buf_slice(&text), (size_t)1 << 30, &e);
    ck_assert_msg(doc != NULL, "%s", e.text);
    buf_free(&text);
    return doc;
}

/* says where two values differ first */
static void same(const json_t *a, const json_t *b, const char *path)
{
    const char *key;
    json_t *v;

    if (json_equal(a, b))
        return;
    if (json_is_object(a) && json_is_object(b)) {
        json_object_foreach ((json_t *)a, key, v) {
            char *below = xasprintf("%s.%s", path, key);
            same(v, json_object_get(b, key), below);
            free(below);
        }
        json_object_foreach ((json_t *)b, key, v)
            ck_assert_msg(json_object_get(a, key) != NULL, "%s.%s is missing", path, key);
    }
    if (json_is_array(a) && json_is_array(b)) {
        for (size_t i = 0; i < json_array_size(a); i++)
            same(json_array_get(a, i), json_array_get(b, i), path);
    }
    struct buf x = BUF_INIT, y = BUF_INIT;
    json_print(a, &x);
    json_print(b, &y);
    ck_abort_msg("%s: kept up to date %.300s, from nothing %.300s", path, x.p, b ? y.p : "nothing");
}

static void same_document(const json_t *a, const json_t *b)
{
    json_t *x = document_present(a), *y = document_present(b);

    json_object_del(x, "Version"); /* the rest tells more */
    json_object_del(y, "Version");
    same(x, y, "");
    json_decref(x);
    json_decref(y);
}

/* a proxy, and the document that its sidecar would hold */
struct client {
    const char *ns, *name;
    struct policy_proxy *px;
    json_t *doc;
    uint64_t hash;
};

static void client_open(struct client *c, struct policy *p)
{
    c->px = policy_proxy_open(p, c->ns, c->name);
    ck_assert_msg(c->px != NULL, "%s/%s", c->ns, c->name);
    c->doc = document_of(c->px);
    c->hash = document_hash(c->doc);
}

static void client_close(struct client *c)
{
    policy_proxy_close(c->px);
    json_decref(c->doc);
    c->px = NULL;
    c->doc = NULL;
}

/* as a sidecar does; returns the bytes that travelled, 0 if nothing changed */
static size_t client_poll(struct client *c, bool *patched)
{
    char held[DOCUMENT_VERSION_MAX], now[DOCUMENT_VERSION_MAX];
    struct buf text = BUF_INIT;
    struct err e = {""};
    size_t bytes;

    *patched = false;
    document_version_text(c->hash, held);
    if (strcmp(policy_proxy_version(c->px, now), held) == 0) {
        policy_proxy_holds(c->px, held);
        return 0;
    }
    if (policy_proxy_patch(c->px, held, TS, &text)) {
        json_t *patch = json_parse(buf_slice(&text), (size_t)1 << 30, &e);
        ck_assert_msg(patch != NULL, "%s in %s", e.text, text.p);
        json_t *next = document_patch(c->doc, patch, &c->hash, &e);
        ck_assert_msg(next != NULL, "%s: %s", e.text, text.p);
        json_decref(c->doc);
        json_decref(patch);
        c->doc = next;
        *patched = true;
    } else {
        policy_proxy_document(c->px, TS, &text);
        json_decref(c->doc);
        c->doc = json_parse(buf_slice(&text), (size_t)1 << 30, &e);
        c->hash = document_hash(c->doc);
    }
    ck_assert_str_eq(document_version_text(c->hash, held), now);
    bytes = text.len;
    buf_free(&text);
    return bytes;
}

/* ---- random changes ----------------------------------------------------------------------------
 */

static unsigned pick(unsigned n)
{
    return (unsigned)rand() % n;
}

#define PODS 6

static void random_pod(struct kube_store *st)
{
    static const char *const spaces[] = {"a", "b"};
    const char *ns = spaces[pick(2)];
    unsigned i = pick(PODS);
    char name[16], ip[24], app[8];

    snprintf(name, sizeof(name), "p%u", i);
    if (pick(4) == 0) {
        kube_store_del(st, "Pod", ns, name);
        return;
    }
    /* addresses are shared now and then, as when one pod follows another */
    snprintf(ip, sizeof(ip), "10.42.%u.%u", *ns == 'a' ? 0 : pick(2), pick(8) ? i : pick(PODS));
    snprintf(app, sizeof(app), "s%u", pick(3));
    put_pod(st, ns, name, ip, app, pick(5) > 0);
}

static void random_ports(struct buf *out, unsigned shape, bool slice)
{
    static const char *const shapes[][2] = {
        {"{name: http, port: 80, targetPort: 8080}", "{name: http, port: 8080}"},
        {"{name: http, port: 80}, {name: tcp, port: 81}",
         "{name: http, port: 80}, {name: tcp, port: 81}"},
        {"{port: 8080}", "{name: '', port: 8080}"},
        {"{name: mysql, port: 80, targetPort: db}", "{name: mysql, port: 3306}"},
        {"{name: http-a, port: 80, targetPort: 81}, {name: http-b, port: 81, targetPort: 80}",
         "{name: http-a, port: 81}, {name: http-b, port: 80}"},
    };
    buf_puts(out, shapes[shape % 5][slice]);
}

static void random_service(struct kube_store *st)
{
    static const char *const spaces[] = {"a", "b", "c"};
    const char *ns = spaces[pick(3)];
    unsigned i = pick(4);
    struct buf ports = BUF_INIT;
    char name[8];

    snprintf(name, sizeof(name), "s%u", i);
    if (pick(5) == 0) {
        kube_store_del(st, "Service", ns, name);
        return;
    }
    random_ports(&ports, pick(5), false);
    char ip[24] = "None";
    if (pick(3))
        snprintf(ip, sizeof(ip), "10.43.%u.%u", (unsigned)*ns, i);
    put(st,
        "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s%s}, spec: {clusterIP: "
        "%s, selector: {app: s%u}, ports: [%s]}}",
        name, ns, pick(9) ? "" : ", annotations: {flomesh.io/service-exclusion: enabled}", ip, i,
        ports.p);
    buf_free(&ports);
}

static void random_slice(struct kube_store *st)
{
    static const char *const spaces[] = {"a", "b", "c"};
    const char *ns = spaces[pick(3)];
    unsigned i = pick(4), part = pick(2), n = pick(4);
    struct buf eps = BUF_INIT, ports = BUF_INIT;
    char name[16];

    snprintf(name, sizeof(name), "s%u-%u", i, part);
    if (pick(6) == 0) {
        kube_store_del(st, "EndpointSlice", ns, name);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        buf_printf(&eps, "%s{addresses: ['10.42.%u.%u'], conditions: {ready: %s}%s%u}",
                   k ? ", " : "", *ns == 'b', pick(PODS), pick(4) ? "true" : "false",
                   pick(3) ? ", nodeName: node" : ", hostname: h", pick(PODS));
    random_ports(&ports, pick(5), true);
    put(st,
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, namespace: "
        "%s, labels: {kubernetes.io/service-name: s%u}}, addressType: IPv4, ports: [%s], "
        "endpoints: [%s]}",
        name, ns, i, ports.p, eps.p ? eps.p : "");
    buf_free(&eps);
    buf_free(&ports);
}

static void random_change(struct kube_store *st)
{
    static const char *const modes[] = {"mixed", "domain", "ip"};
    unsigned what = pick(100);

    if (what < 35)
        random_slice(st);
    else if (what < 60)
        random_service(st);
    else if (what < 90)
        random_pod(st);
    else if (what < 95)
        put_ns(st, pick(2) ? "b" : "c", pick(3) > 0);
    else
        put_config(st, modes[pick(3)], pick(4) > 0, pick(2));
}

static struct kube_store *base_store(void)
{
    struct kube_store *st = kube_store_new();

    put_ns(st, "a", true);
    put_ns(st, "b", true);
    put_ns(st, "c", true);
    put_config(st, "mixed", true, true);
    put_pod(st, "a", "curl", "10.42.9.1", "curl", true);
    put_pod(st, "a", "web", "10.42.9.2", "s1", true);
    put_pod(st, "c", "curl", "10.42.9.3", "s2", true);
    return st;
}

static void compare_with_fresh(struct kube_store *st, struct client *clients, unsigned n)
{
    struct policy *fresh = policy_new(st, &opts);

    for (unsigned i = 0; i < n; i++) {
        struct policy_proxy *px = policy_proxy_open(fresh, clients[i].ns, clients[i].name);
        if (!px) {
            ck_assert(!clients[i].px || !policy_proxy_pod(clients[i].px));
            continue;
        }
        ck_assert_ptr_nonnull(policy_proxy_pod(clients[i].px));
        json_t *want = document_of(px), *is = document_of(clients[i].px);
        same_document(is, want);
        same_document(clients[i].doc, want);
        ck_assert_uint_eq(document_hash(want), clients[i].hash);
        json_decref(want);
        json_decref(is);
        policy_proxy_close(px);
    }
    policy_free(fresh);
    /* the dead policy listened to the store; nothing may change it from here on */
}

START_TEST(random_changes)
{
    srand(1000 + (unsigned)_i);
    struct kube_store *st = base_store(), *copy;
    struct policy *p = policy_new(st, &opts);
    struct client clients[] = {{"a", "curl"}, {"a", "web"}, {"c", "curl"}};
    unsigned n = sizeof(clients) / sizeof(*clients), patches = 0;
    bool patched;

    for (unsigned i = 0; i < n; i++)
        client_open(&clients[i], p);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned k = 1 + pick(3); k > 0; k--)
            random_change(st);
        policy_update(p);
        for (unsigned i = 0; i < n; i++) {
            if (!policy_proxy_pod(clients[i].px))
                continue;
            if (pick(3) > 0 || round % 8 == 7) { /* some sleep over a few changes */
                client_poll(&clients[i], &patched);
                patches += patched;
            }
        }
        if (round % 8 != 7)
            continue;
        /* a store of its own, because the policy that reads it listens to it */
        copy = kube_store_new();
        static const char *const kinds[] = {"Namespace", "Service", "EndpointSlice", "Pod",
                                            "MeshConfig"};
        for (unsigned k = 0; k < 5; k++) {
            const struct kube_object *o;
            void *it = NULL;
            while ((o = kube_store_next(st, kinds[k], NULL, &it)) != NULL)
                kube_store_put(copy, kube_object_ref((struct kube_object *)o));
        }
        compare_with_fresh(copy, clients, n);
        kube_store_free(copy);
    }
    ck_assert_uint_gt(patches, 0);
    for (unsigned i = 0; i < n; i++)
        client_close(&clients[i]);
    policy_free(p);
    kube_store_free(st);
}
END_TEST

/* ---- single behaviours
 * ----------------------------------------------------------------------------- */

START_TEST(pod_that_leaves_has_no_document)
{
    struct kube_store *st = base_store();
    struct policy *p = policy_new(st, &opts);
    struct policy_proxy *px = policy_proxy_open(p, "a", "web");

    ck_assert_ptr_null(policy_proxy_open(p, "a", "nobody"));
    ck_assert_ptr_nonnull(policy_proxy_pod(px));
    put_pod(st, "a", "web", "10.42.9.2", "s1", false);
    ck_assert(policy_update(p));
    ck_assert_ptr_null(policy_proxy_pod(px));
    put_pod(st, "a", "web", "10.42.9.2", "s1", true);
    policy_update(p);
    ck_assert_ptr_nonnull(policy_proxy_pod(px));
    kube_store_del(st, "Pod", "a", "web");
    policy_update(p);
    ck_assert_ptr_null(policy_proxy_pod(px));
    ck_assert_ptr_null(policy_pod(p, "a", "web"));
    policy_proxy_close(px);
    policy_update(p);
    ck_assert(!policy_update(p));
    policy_free(p);
    kube_store_free(st);
}
END_TEST

START_TEST(versions_are_the_same_after_a_restart)
{
    char before[DOCUMENT_VERSION_MAX], after[DOCUMENT_VERSION_MAX];
    struct kube_store *st = base_store();

    for (unsigned i = 0; i < 30; i++)
        random_service(st);
    struct policy *p = policy_new(st, &opts);
    struct policy_proxy *px = policy_proxy_open(p, "a", "web");
    policy_proxy_version(px, before);
    policy_proxy_close(px);
    policy_free(p);
    p = policy_new(st, &opts);
    px = policy_proxy_open(p, "a", "web");
    policy_proxy_version(px, after);
    ck_assert_str_eq(before, after);
    policy_proxy_close(px);
    policy_free(p);
    kube_store_free(st);
}
END_TEST

START_TEST(patch_needs_a_known_version)
{
    struct kube_store *st = base_store();
    struct policy *p = policy_new(st, &opts);
    struct policy_proxy *px = policy_proxy_open(p, "a", "web");
    char held[DOCUMENT_VERSION_MAX];
    struct buf out = BUF_INIT;

    policy_proxy_version(px, held);
    put_pod(st, "b", "new", "10.42.1.1", "x", true);
    policy_update(p);
    ck_assert(!policy_proxy_patch(px, held, TS, &out)); /* never served */
    ck_assert(!policy_proxy_patch(px, "", TS, &out));
    ck_assert(!policy_proxy_patch(px, "no number", TS, &out));
    ck_assert_uint_eq(out.len, 0);
    policy_proxy_version(px, held);
    policy_proxy_holds(px, held); /* as after a restart of the controller */
    put_pod(st, "b", "newer", "10.42.1.2", "x", true);
    policy_update(p);
    ck_assert(policy_proxy_patch(px, held, TS, &out));
    ck_assert_ptr_nonnull(strstr(out.p, "\"10.42.1.2\":\"b.newer\""));
    ck_assert_ptr_null(strstr(out.p, "Outbound"));
    buf_free(&out);
    policy_proxy_close(px);
    policy_free(p);
    kube_store_free(st);
}
END_TEST

START_TEST(another_pod_of_the_same_name_starts_anew)
{
    struct kube_store *st = base_store();
    struct policy *p = policy_new(st, &opts);
    struct policy_proxy *px = policy_proxy_open(p, "a", "web");
    char held[DOCUMENT_VERSION_MAX];
    struct buf out = BUF_INIT;

    json_decref(document_of(px));
    policy_proxy_version(px, held);
    put_pod(st, "a", "web", "10.42.9.2", "other", true);
    policy_update(p);
    ck_assert(!policy_proxy_patch(px, held, TS, &out));
    policy_proxy_close(px);
    policy_free(p);
    kube_store_free(st);
}
END_TEST

static void put_headless(struct kube_store *st, const char *ns, const char *ip)
{
    put(st,
        "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: %s}, spec: {clusterIP: "
        "None, ports: [{name: http, port: 80}]}}",
        ns);
    put(st,
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: db-1, namespace: "
        "%s, labels: {kubernetes.io/service-name: db}}, addressType: IPv4, ports: [{name: http, "
        "port: 80}], endpoints: [{addresses: [%s]}]}",
        ns, ip);
}

/* the same address, first one Service's, then another's: for a client it is one item that changes
 */
START_TEST(an_address_passes_to_another_namespace)
{
    struct kube_store *st = base_store();
    struct policy *p = policy_new(st, &opts);
    struct client c = {"c", "curl"};
    bool patched;

    put_headless(st, "a", "192.0.2.1");
    policy_update(p);
    client_open(&c, p);
    for (unsigned i = 0; i < 4; i++) {
        put_headless(st, i % 2 ? "a" : "b", "192.0.2.1");
        kube_store_del(st, "EndpointSlice", i % 2 ? "b" : "a", "db-1");
        policy_update(p);
        ck_assert_uint_gt(client_poll(&c, &patched), 0);
        ck_assert(patched); /* client_poll checks that it leads to the version */
    }
    client_close(&c);
    policy_free(p);
    kube_store_free(st);
}
END_TEST

START_TEST(stats_and_notes)
{
    struct kube_store *st = base_store();
    struct policy_stats stats;

    put(st, "{apiVersion: v1, kind: Service, metadata: {name: docs, namespace: a}, spec: {type: "
            "ExternalName, externalName: example.com}}");
    put(st,
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: a}, spec: {clusterIP: "
        "10.43.0.1, ports: [{port: 80}]}}");
    struct policy *p = policy_new(st, &opts);
    policy_stats(p, &stats);
    ck_assert_uint_eq(stats.namespaces, 3);
    ck_assert_uint_eq(stats.services, 1);
    ck_assert_uint_eq(stats.pods, 3);
    ck_assert_uint_eq(stats.items, 1);
    ck_assert_uint_eq(stats.clusters, 1);
    ck_assert_uint_gt(stats.bytes, 300);
    policy_free(p);
    kube_store_free(st);
}
END_TEST

/* ---- scale
 * -------------------------------------------------------------------------------------------- */

static void put_scale_slice(struct kube_store *st, unsigned s, unsigned endpoints, unsigned skip)
{
    struct buf eps = BUF_INIT;

    for (unsigned k = 0; k < endpoints; k++) {
        unsigned n = s * endpoints + k + (k == endpoints - 1 ? skip : 0);
        buf_printf(&eps, "%s{addresses: ['10.%u.%u.%u'], conditions: {ready: true}}", k ? ", " : "",
                   100 + (n >> 16), n >> 8 & 255, n & 255);
    }
    put(st,
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s%u-a, namespace: "
        "n%u, labels: {kubernetes.io/service-name: s%u}}, addressType: IPv4, ports: [{name: http, "
        "port: 8080}], endpoints: [%s]}",
        s, s % 20, s, eps.p);
    buf_free(&eps);
}

static double ms_since(uint64_t ns)
{
    return (double)(clock_mono_ns() - ns) / 1e6;
}

static size_t heap_kb(void)
{
    struct mallinfo2 m = mallinfo2();

    return (m.uordblks + m.hblkhd) / 1024;
}

static void scale(unsigned services, unsigned endpoints, unsigned proxies, bool print)
{
    struct kube_store *st = kube_store_new();
    char name[16];

    put_config(st, "mixed", true, true);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        put_ns(st, name, true);
    }
    for (unsigned s = 0; s < services; s++) {
        put(st,
            "{apiVersion: v1, kind: Service, metadata: {name: s%u, namespace: n%u}, spec: "
            "{clusterIP: 10.%u.%u.%u, selector: {app: s%u}, ports: [{name: http, port: 80, "
            "targetPort: 8080}]}}",
            s, s % 20, 200 + (s >> 16), s >> 8 & 255, s & 255, s);
        put_scale_slice(st, s, endpoints, 0);
    }
    for (unsigned i = 0; i < proxies; i++) {
        char ip[24];
        snprintf(name, sizeof(name), "p%u", i);
        snprintf(ip, sizeof(ip), "10.1.%u.%u", i >> 8, i & 255);
        put_pod(st, "n0", name, ip, name, true);
    }
    size_t heap = heap_kb();
    uint64_t t = clock_mono_ns();
    struct policy *p = policy_new(st, &opts);
    double first = ms_since(t);
    size_t heap_compiled = heap_kb();
    struct policy_stats stats, after;
    policy_stats(p, &stats);

    struct client c = {"n0", "p0"};
    t = clock_mono_ns();
    client_open(&c, p);
    double open = ms_since(t);
    struct buf text = BUF_INIT;
    t = clock_mono_ns();
    policy_proxy_document(c.px, TS, &text);
    double whole = ms_since(t);
    struct policy_proxy **px = xcalloc(proxies, sizeof(*px));
    char held[DOCUMENT_VERSION_MAX];
    for (unsigned i = 1; i < proxies; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        px[i] = policy_proxy_open(p, "n0", name);
        policy_proxy_holds(px[i], policy_proxy_version(px[i], held));
    }
    size_t heap_after = heap_kb();
    double worst = 0, sum = 0, patching = 0;
    size_t bytes = 0;
    unsigned rounds = 50;
    policy_stats(p, &stats);
    for (unsigned i = 0; i < rounds; i++) {
        bool patched;
        put_scale_slice(st, i * 7 % services, endpoints, 1 + services * endpoints + i);
        t = clock_mono_ns();
        policy_update(p);
        double ms = ms_since(t);
        sum += ms;
        worst = ms > worst ? ms : worst;
        t = clock_mono_ns();
        for (unsigned k = 1; k < proxies; k++) {
            struct buf patch = BUF_INIT;
            policy_proxy_version(px[k], held);
            policy_proxy_holds(px[k], held);
            buf_free(&patch);
        }
        patching += ms_since(t);
        bytes += client_poll(&c, &patched);
        ck_assert(patched);
    }
    policy_stats(p, &after);
    ck_assert_uint_eq(after.compiled - stats.compiled, rounds);
    ck_assert_uint_lt(bytes / rounds, 4096);
    if (print) {
        printf("services=%u endpoints=%u proxies=%u\n", services, services * endpoints, proxies);
        printf("first compile      %8.1f ms (%zu items, %zu clusters, %zu KiB of text)\n", first,
               stats.items, stats.clusters, stats.bytes / 1024);
        printf("heap               %8zu KiB store, %zu KiB compiler, %zu KiB client's document and "
               "%u proxies\n",
               heap, heap_compiled - heap, heap_after - heap_compiled, proxies);
        printf("first proxy        %8.1f ms (near variants of its namespace, document, parse)\n",
               open);
        printf("whole document     %8.1f ms, %zu KiB\n", whole, text.len / 1024);
        printf("endpoint change    %8.3f ms mean, %.3f ms worst\n", sum / rounds, worst);
        printf("versions of %4u   %8.3f ms\n", proxies, patching / rounds);
        printf("patch              %8zu bytes mean\n", bytes / rounds);
    }
    for (unsigned i = 1; i < proxies; i++)
        policy_proxy_close(px[i]);
    free(px);
    client_close(&c);
    buf_free(&text);
    policy_free(p);
    kube_store_free(st);
}

START_TEST(a_change_costs_what_it_touches)
{
    const char *n = getenv("FSM_SCALE");

    if (n)
        scale((unsigned)strtoul(n, NULL, 10), 10, 200, true);
    else
        scale(200, 5, 5, false);
}
END_TEST

int main(void)
{
    const char *seeds = getenv("FSM_SEEDS");
    Suite *s = suite_create("policy");
    TCase *tc = tcase_create("policy");
    tcase_add_loop_test(tc, random_changes, 0, seeds ? (int)strtol(seeds, NULL, 10) : 60);
    tcase_add_test(tc, an_address_passes_to_another_namespace);
    tcase_add_test(tc, pod_that_leaves_has_no_document);
    tcase_add_test(tc, versions_are_the_same_after_a_restart);
    tcase_add_test(tc, patch_needs_a_known_version);
    tcase_add_test(tc, another_pod_of_the_same_name_starts_anew);
    tcase_add_test(tc, stats_and_notes);
    tcase_add_test(tc, a_change_costs_what_it_touches);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
