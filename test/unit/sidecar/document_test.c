/* document_test.c - documents become tables: every document that the controller's golden tests
 * expect is usable, what is wrong is named by its place, what did not change is shared. */
/* objects: sidecar/document.c */
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/policy/document.h"
#include "common/policy/document_store.h"
#include "common/proxy/engine.h"
#include "common/proxy/view.h"
#include "sidecar/document.h"
#include "test/unit/unit.h"

static struct loop *loop;
static struct engine *engine;

static void setup(void)
{
    const struct engine_opts o = {.workers = 0, .seed = 1, .access_fd = -1};
    struct err e;

    loop = loop_new(&e);
    engine = engine_new(loop, &o, &e);
}

static void teardown(void)
{
    engine_free(engine);
    loop_free(loop);
}

static struct view *view_of(struct document *doc, const struct document *before, struct err *e)
{
    const struct document_conf c = {.engine = engine, .before = before, .dry = true};

    return document_view(&c, doc, e);
}

static struct view *view_of_json(const json_t *j, struct err *e)
{
    struct document *d = document_of(j, e);
    struct view *v = d ? view_of(d, NULL, e) : NULL;

    document_unref(d);
    return v;
}

static json_t *parse(const char *text)
{
    struct err e;
    json_t *j = json_parse(slice_str(text), 1 << 26, &e);

    ck_assert_msg(j != NULL, "%s", e.text);
    return j;
}

START_TEST(every_golden_document_is_usable)
{
    glob_t g;

    ck_assert_int_eq(glob("test/golden/policy/*/expected.json", 0, NULL, &g), 0);
    ck_assert_uint_gt(g.gl_pathc, 20);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct buf text = BUF_INIT;
        struct err e;
        ck_assert_int_eq(file_read(g.gl_pathv[i], 1 << 24, &text, &e), 0);
        json_t *doc = parse(text.p), *wire = document_strip_nulls(doc);
        struct view *a = view_of_json(doc, &e);
        ck_assert_msg(a != NULL, "%s: %s", g.gl_pathv[i], e.text);
        struct view *b = view_of_json(wire, &e);
        ck_assert_msg(b != NULL, "%s, wire form: %s", g.gl_pathv[i], e.text);
        view_free(a);
        view_free(b);
        json_decref(doc);
        json_decref(wire);
        buf_free(&text);
    }
    globfree(&g);
}
END_TEST

static const char *const base =
    "{\"Spec\":{\"SidecarTimeout\":60,\"Traffic\":{\"EnableEgress\":false}},"
    "\"AllowedEndpoints\":{\"10.0.0.1\":\"a.b\"},"
    "\"Inbound\":{\"TrafficMatches\":{\"8080\":{\"Port\":8080,\"Protocol\":\"http\","
    "\"SourceIPRanges\":{\"10.9.0.0/16\":null,\"10.8.0.0/16\":{\"mTLS\":true,"
    "\"AuthenticatedPrincipals\":[\"x.y\"]}},"
    "\"HttpHostPort2Service\":{\"web\":\"web\"},\"HttpServiceRouteRules\":{\"web\":{\"/a\":"
    "{\"Methods\":[\"GET\"],\"Headers\":{\"x\":\"y.*\"},\"TargetClusters\":{\"w|l\":100},"
    "\"AllowedServices\":[\"sa.ns\"]},\".*\":[{\"TargetClusters\":{\"w|l\":1}}]}}}},"
    "\"ClustersConfigs\":{\"w|l\":{\"127.0.0.1:80\":100}}},"
    "\"Outbound\":{\"TrafficMatches\":{\"80\":[{\"DestinationIPRanges\":[\"10.1.1.1/32\"],"
    "\"Port\":80,\"Protocol\":\"http\",\"HttpHostPort2Service\":{\"db\":\"db\"},"
    "\"HttpServiceRouteRules\":{\"db\":{\".*\":{\"TargetClusters\":{\"c\":100}}}},"
    "\"OpaqueTargets\":{\"10.1.1.1/32\":{\"c\":100}}}]},"
    "\"ClustersConfigs\":{\"c\":{\"Endpoints\":{\"10.2.2.2:80\":{\"Weight\":100,"
    "\"Identity\":\"spiffe://td/ns/n/sa/s\"}}}}}}";

/* old in base -> new gives an error that begins with path */
static const struct {
    const char *old, *new, *path;
} faults[] = {
    {"\"SidecarTimeout\":60", "\"SidecarTimeout\":-1", "document: Spec.SidecarTimeout: "},
    {"\"SidecarTimeout\":60", "\"Limits\":7", "document: Spec.Limits: "},
    {"\"SidecarTimeout\":60", "\"Limits\":{\"Pending\":7}",
     "document: Spec.Limits.Pending: no limit"},
    {"\"SidecarTimeout\":60", "\"Limits\":{\"HeadFields\":129}",
     "document: Spec.Limits.HeadFields: expected a number from 8 to 128"},
    {"\"10.0.0.1\":\"a.b\"", "\"10.0.0\":\"a.b\"", "document: AllowedEndpoints[\"10.0.0\"]: "},
    {"\"8080\":{", "\"808O\":{", "document: Inbound.TrafficMatches.808O: "},
    {"\"Protocol\":\"http\",\"Sou", "\"Protocol\":\"smtp\",\"Sou",
     "document: Inbound.TrafficMatches.8080.Protocol: "},
    {"10.9.0.0/16", "10.9.0.0/99", "document: Inbound.TrafficMatches.8080.SourceIPRanges[\"10.9"},
    {"[\"x.y\"]", "[7]", "document: Inbound.TrafficMatches.8080.SourceIPRanges[\"10.8.0.0/16\"]."},
    {"{\"web\":\"web\"}", "{\"web\":\"wob\"}",
     "document: Inbound.TrafficMatches.8080.HttpHostPort2Service.web: "},
    {"\"/a\":{", "\"/a(\":{",
     "document: Inbound.TrafficMatches.8080.HttpServiceRouteRules.web[\"/a(\"]: "},
    {"[\"GET\"]", "[\"G T\"]",
     "document: Inbound.TrafficMatches.8080.HttpServiceRouteRules.web[\"/a\"].Methods[0]: "},
    {"\"y.*\"", "\"y[\"",
     "document: Inbound.TrafficMatches.8080.HttpServiceRouteRules.web[\"/a\"].Headers.x: "},
    {"[\"sa.ns\"]", "[\"sa\"]",
     "document: Inbound.TrafficMatches.8080.HttpServiceRouteRules.web[\"/a\"].AllowedServices[0]"},
    {"{\"w|l\":1}", "{\"w|l\":\"1\"}",
     "document: Inbound.TrafficMatches.8080.HttpServiceRouteRules.web[\".*\"][0].TargetClusters["},
    {"{\"127.0.0.1:80\":100}", "{\"127.0.0.1\":100}",
     "document: Inbound.ClustersConfigs[\"w|l\"][\"127.0.0.1\"]: "},
    {"[\"10.1.1.1/32\"]", "[\"10.1.1.1/x\"]",
     "document: Outbound.TrafficMatches.80[\"10.1.1.1/x\"].DestinationIPRanges[0]: "},
    {"{\"10.1.1.1/32\":{", "{\"somewhere\":{",
     "document: Outbound.TrafficMatches.80[\"10.1.1.1/32\"].OpaqueTargets.somewhere: "},
    {"\"10.2.2.2:80\"", "\"10.2.2.2:0\"",
     "document: Outbound.ClustersConfigs.c.Endpoints[\"10.2.2.2:0\"]: "},
    {"\"Weight\":100", "\"Weight\":-5",
     "document: Outbound.ClustersConfigs.c.Endpoints[\"10.2.2.2:80\"].Weight: "},
    {"\"spiffe://td/ns/n/sa/s\"", "true",
     "document: Outbound.ClustersConfigs.c.Endpoints[\"10.2.2.2:80\"].Identity: "},
    {"\"80\":[{", "\"80\":[7,{", "document: Outbound.TrafficMatches.80[\"\"]: "},
    /* what we put into header fields cannot split a message */
    {"\"Port\":80,", "\"Port\":80,\"ServiceIdentity\":\"a\\r\\nX: y\",",
     "document: Outbound.TrafficMatches.80[\"10.1.1.1/32\"].ServiceIdentity: expected a name"},
    {"{\"Spec\":{", "{\"Proxy\":{\"Pod\":\"a\\nX: y\"},\"Spec\":{",
     "document: Proxy: expected names"},
};

static char *replaced(const char *text, const char *old, const char *new)
{
    const char *at = strstr(text, old);
    struct buf b = BUF_INIT;

    ck_assert_msg(at != NULL, "no %s", old);
    buf_append(&b, text, (size_t)(at - text));
    buf_puts(&b, new);
    buf_puts(&b, at + strlen(old));
    return buf_take(&b);
}

START_TEST(a_fault_is_named_by_its_place)
{
    struct err e;
    json_t *good = parse(base);
    struct view *v = view_of_json(good, &e);

    ck_assert_msg(v != NULL, "%s", e.text);
    view_free(v);
    json_decref(good);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char *text = replaced(base, faults[i].old, faults[i].new);
        json_t *j = parse(text);
        e.text[0] = '\0';
        ck_assert_msg(view_of_json(j, &e) == NULL, "taken: %s", faults[i].new);
        ck_assert_msg(strncmp(e.text, faults[i].path, strlen(faults[i].path)) == 0,
                      "%s:\n%s\nwanted %s", faults[i].new, e.text, faults[i].path);
        json_decref(j);
        free(text);
    }
}
END_TEST

START_TEST(the_tables_say_what_the_document_says)
{
    struct err e;
    json_t *doc = parse(base);
    struct view *v = view_of_json(doc, &e);
    struct ip_port dst;
    struct ip peer;

    ip_port_parse("10.1.1.1:80", &dst);
    struct chain *c = view_chain(v, false, &dst);
    ck_assert_int_eq(c->kind, CHAIN_DETECT);
    ck_assert_ptr_nonnull(chain_host(c, SLICE_LIT("DB")));
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("web")));
    const struct split *s = chain_opaque(c, &dst.ip);
    ck_assert_ptr_nonnull(s);
    ck_assert_str_eq(view_cluster(v, s->t[0].slot)->name, "c");
    ck_assert_str_eq(view_cluster(v, s->t[0].slot)->eps[0].identity, "spiffe://td/ns/n/sa/s");
    ip_port_parse("10.1.1.2:80", &dst);
    ck_assert_int_eq(view_chain(v, false, &dst)->kind, CHAIN_REFUSE);
    ip_port_parse("1.2.3.4:8080", &dst);
    c = view_chain(v, true, &dst);
    ck_assert_int_eq(c->kind, CHAIN_HTTP);
    ck_assert_str_eq(chain_host(c, SLICE_LIT("web"))->routes[0].allowed[0],
                     "spiffe://cluster.local/ns/ns/sa/sa");
    ip_parse("10.8.1.1", &peer);
    ck_assert(((struct source_rule *)lpm_get(c->sources, &peer))->tls);
    ip_parse("10.9.1.1", &peer);
    ck_assert(!((struct source_rule *)lpm_get(c->sources, &peer))->tls);
    ip_parse("10.0.0.1", &peer);
    ck_assert(ipset_has(v->allowed, &peer));
    dst.port = 81;
    ck_assert_int_eq(view_chain(v, true, &dst)->refuse, REASON_PORT_UNKNOWN);
    view_free(v);
    json_decref(doc);
}
END_TEST

static struct document *next_of(const struct document *d, const char *text)
{
    json_t *patch = parse(text);
    static const char leads[] = "the patch leads to version ";
    struct err e = {""};

    /* the error says which version it leads to */
    json_object_set_new(patch, "Version", json_string("?"));
    ck_assert_ptr_null(document_update(d, patch, &e));
    ck_assert_msg(strncmp(e.text, leads, strlen(leads)) == 0, "%s", e.text);
    const char *at = e.text + strlen(leads);
    json_object_set_new(patch, "Version", json_stringn(at, strcspn(at, ",")));
    struct document *n = document_update(d, patch, &e);
    ck_assert_msg(n != NULL, "%s", e.text);
    json_decref(patch);
    return n;
}

static const struct rule *rule_at(const struct view *v, const char *text)
{
    struct ip_port dst;

    ip_port_parse(text, &dst);
    return lpm_get(v->ports[0].v[0]->by_addr, &dst.ip);
}

/* Nothing stands in memory of what nobody asked for; what somebody did ask for stays, holds no
 * slots of its own, and outlives the document that it was made of. */
START_TEST(chains_are_made_as_they_are_asked_for)
{
    static const char two[] =
        "{\"Outbound\":{\"TrafficMatches\":{\"80\":["
        "{\"DestinationIPRanges\":[\"10.1.1.1\"],\"Protocol\":\"tcp\",\"TargetClusters\":{\"c\":1}}"
        ","
        "{\"DestinationIPRanges\":[\"10.1.1.2\"],\"Protocol\":\"tcp\",\"TargetClusters\":{\"d\":1}}"
        "]},"
        "\"ClustersConfigs\":{\"c\":{\"Endpoints\":{}},\"d\":{\"Endpoints\":{}}}}}";
    struct err e;
    json_t *parsed = parse(two);
    struct document *doc = document_of(parsed, &e);
    struct document *next =
        next_of(doc, "{\"Outbound\":{\"TrafficMatches\":{\"80\":{\"10.1.1.2\":null}}}}");
    struct view *a = view_of(doc, NULL, &e), *b;
    struct ip_port dst;

    document_unref(doc); /* a holds it */
    const struct rule *one = rule_at(a, "10.1.1.1:80"), *other = rule_at(a, "10.1.1.2:80");
    ck_assert_ptr_null(one->chain);
    ck_assert_uint_eq(one->n_slots, 1);
    ip_port_parse("10.1.1.1:80", &dst);
    struct chain *c = view_chain(a, false, &dst);
    ck_assert_ptr_eq(c, one->chain);
    ck_assert_ptr_null(other->chain);
    ck_assert_uint_eq(c->n_slots, 0);
    ck_assert_uint_eq(c->tcp->t[0].slot, one->slots[0]);
    ck_assert_str_eq(view_cluster(a, one->slots[0])->name, "c");
    engine_publish(engine, a);
    loop_turn(loop, false);
    b = view_of(next, doc, &e);
    ck_assert_ptr_eq(view_chain(b, false, &dst), c);
    engine_publish(engine, b);
    loop_turn(loop, false);
    loop_turn(loop, false); /* a is freed here */
    ck_assert_ptr_eq(view_chain(b, false, &dst), c);
    document_unref(next);
    json_decref(parsed);
}
END_TEST

#define ASKERS 4
static pthread_barrier_t at_once;

struct asker {
    const struct view *view;
    struct chain *got[32];
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct ip_port dst;

    ip_port_parse("10.1.1.0:80", &dst);
    for (unsigned i = 0; i < 32; i++) {
        dst.ip.b[3] = (uint8_t)i;
        pthread_barrier_wait(&at_once);
        a->got[i] = view_chain(a->view, false, &dst);
    }
    return NULL;
}

/* several workers meet a new destination at one time: all get the same */
START_TEST(workers_agree_on_a_chain)
{
    json_t *items = json_array(), *doc;
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];
    struct err e;

    for (int i = 0; i < 32; i++) {
        char range[16];
        snprintf(range, sizeof range, "10.1.1.%d", i);
        json_array_append_new(items, json_pack("{s:[s],s:s,s:{s:i}}", "DestinationIPRanges", range,
                                               "Protocol", "tcp", "TargetClusters", "c", 1));
    }
    doc = json_pack("{s:{s:{s:o}}}", "Outbound", "TrafficMatches", "80", items);
    struct view *v = view_of_json(doc, &e);
    pthread_barrier_init(&at_once, NULL, ASKERS);
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i].view = v;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (unsigned i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 32; i++)
        for (unsigned k = 0; k < ASKERS; k++) {
            ck_assert_ptr_nonnull(askers[k].got[i]);
            ck_assert_ptr_eq(askers[k].got[i], askers[0].got[i]);
        }
    pthread_barrier_destroy(&at_once);
    view_free(v);
    json_decref(doc);
}
END_TEST

/* a cluster more than there were: everything else is the same object */
START_TEST(what_did_not_change_is_shared)
{
    struct err e;
    json_t *parsed = parse(base);
    struct document *doc = document_of(parsed, &e);
    struct document *next =
        next_of(doc, "{\"Outbound\":{\"ClustersConfigs\":{\"d\":{\"Endpoints\":{}}}}}");
    struct view *a = view_of(doc, NULL, &e), *b;
    struct ip_port dst;

    engine_publish(engine, a);
    loop_turn(loop, false);
    b = view_of(next, doc, &e);
    ck_assert_ptr_nonnull(b);
    ip_port_parse("10.1.1.1:80", &dst);
    struct chain *ca = view_chain(a, false, &dst), *cb = view_chain(b, false, &dst);
    ck_assert_ptr_eq(ca, cb);
    ck_assert_ptr_eq(a->ports[0].v[0], b->ports[0].v[0]);
    ck_assert_ptr_eq(a->ports[1].v[0], b->ports[1].v[0]);
    uint32_t slot = chain_opaque(ca, &dst.ip)->t[0].slot;
    ck_assert_ptr_eq(view_cluster(a, slot), view_cluster(b, slot));
    ck_assert_ptr_eq(a->allowed, b->allowed);
    engine_publish(engine, b);
    loop_turn(loop, false);
    loop_turn(loop, false); /* a is freed here; b still stands */
    ck_assert_str_eq(view_cluster(engine_view(engine), slot)->name, "c");
    document_unref(next);
    document_unref(doc);
    json_decref(parsed);
}
END_TEST

/* ---- many documents, one after the other ----------------------------------------------------- */

static json_t *random_item(uint64_t *seed, unsigned i)
{
    unsigned kind = (unsigned)(unit_random(seed) % 8);
    char range[32], cluster[16];
    json_t *item = json_pack("{s:i,s:s}", "Port", 80, "Protocol", kind == 7 ? "grpc" : "tcp");

    snprintf(range, sizeof range, "10.1.%u.%u/%d", i, (unsigned)(unit_random(seed) % 3),
             kind == 0 ? 24 : 32);
    snprintf(cluster, sizeof cluster, "c%u", (unsigned)(unit_random(seed) % 9));
    if (kind != 7 && kind != 6) {
        json_t *ranges = json_pack("[s]", range);
        if (kind == 1) /* somebody else's */
            json_array_append_new(ranges, json_string("10.1.3.1/32"));
        if (kind == 2)
            json_array_append_new(ranges, json_sprintf("fd00::%u/128", i));
        json_object_set_new(item, "DestinationIPRanges", ranges);
    }
    if (kind == 7)
        json_object_set_new(item, "HttpHostPort2Service", json_object());
    json_object_set_new(item, "TargetClusters", json_pack("{s:i}", cluster, 100));
    return item;
}

/* a document of some of everything */
static json_t *random_document(uint64_t *seed)
{
    json_t *ports = json_object(), *clusters = json_object(), *allowed = json_object();

    for (unsigned p = 0; p < 3; p++) {
        json_t *list = json_array();
        for (unsigned i = 0; i < 8; i++)
            if (unit_random(seed) % 3)
                json_array_append_new(list, random_item(seed, i));
        json_object_set_new(ports, p == 0 ? "80" : p == 1 ? "81" : "8080", list);
    }
    for (unsigned i = 0; i < 9; i++) {
        char name[8], ep[32];
        snprintf(name, sizeof name, "c%u", i);
        snprintf(ep, sizeof ep, "10.2.%u.%u:80", i, (unsigned)(unit_random(seed) % 3));
        if (unit_random(seed) % 4)
            json_object_set_new(clusters, name,
                                json_pack("{s:{s:{s:i}}}", "Endpoints", ep, "Weight", 100));
    }
    for (unsigned i = 0; i < 9; i++)
        if (unit_random(seed) % 3)
            json_object_set_new(allowed,
                                i < 6 ? (char[]){'1', '.', '1', '.', '1', '.', (char)('0' + i), 0}
                                : i == 6 ? "9.0.0.0/8"
                                         : "fd00::9",
                                json_string("x"));
    return json_pack("{s:{s:i,s:{s:b}},s:{s:o,s:o},s:o}", "Spec", "SidecarTimeout",
                     unit_random(seed) % 8 ? 60 : 50, "Traffic", "EnableEgress", 1, "Outbound",
                     "TrafficMatches", ports, "ClustersConfigs", clusters, "AllowedEndpoints",
                     allowed);
}

/* which targets the two views have for one address */
static void same_answer(const struct view *a, const struct view *b, const char *text)
{
    struct ip_port dst;

    ip_port_parse(text, &dst);
    const struct chain *ca = view_chain(a, false, &dst), *cb = view_chain(b, false, &dst);
    ck_assert_msg(strcmp(ca->name, cb->name) == 0, "%s: %s and %s", text, ca->name, cb->name);
    if (ca->tcp)
        ck_assert_uint_eq(ca->tcp->t[0].slot, cb->tcp->t[0].slot);
    ck_assert_int_eq(a->allowed && ipset_has(a->allowed, &dst.ip),
                     b->allowed && ipset_has(b->allowed, &dst.ip));
}

static void same_views(const struct view *a, const struct view *b)
{
    static const char *const ports[] = {"80", "81", "8080", "82"};
    char text[64];

    for (unsigned p = 0; p < 4; p++)
        for (unsigned i = 0; i < 8; i++) {
            for (unsigned k = 0; k < 4; k++) {
                snprintf(text, sizeof text, "10.1.%u.%u:%s", i, k, ports[p]);
                same_answer(a, b, text);
            }
            snprintf(text, sizeof text, "[fd00::%u]:%s", i, ports[p]);
            same_answer(a, b, text);
            snprintf(text, sizeof text, "1.1.1.%u:%s", i, ports[p]);
            same_answer(a, b, text);
        }
    same_answer(a, b, "9.1.1.1:80");
    ck_assert_uint_eq(a->ports[0].n, b->ports[0].n);
    for (uint32_t i = 0; i < a->n_clusters || i < b->n_clusters; i++) {
        const struct cluster *ca = view_cluster(a, i), *cb = view_cluster(b, i);
        ck_assert_int_eq(ca != NULL, cb != NULL);
        if (ca)
            ck_assert(ca->n == cb->n && ip_port_eq(&ca->eps[0].addr, &cb->eps[0].addr));
    }
}

/* A view that was made from the one before it says what one made from nothing says, however the
 * document changed: items that share ranges, that have none, that come and go. */
START_TEST(a_change_leads_where_the_whole_leads)
{
    struct document *before = NULL;
    uint64_t seed = 11;
    struct err e;

    for (unsigned round = 0; round < 400; round++) {
        json_t *j = random_document(&seed);
        struct document *d = document_of(j, &e);
        ck_assert_msg(d != NULL, "%s", e.text);
        struct view *step = view_of(d, before, &e);
        ck_assert_msg(step != NULL, "%s", e.text);
        struct view *whole = view_of(d, NULL, &e);
        same_views(whole, step);
        view_free(whole);
        engine_publish(engine, step);
        loop_turn(loop, false);
        document_unref(before);
        before = d;
        json_decref(j);
    }
    document_unref(before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("document");
    TCase *tc = tcase_create("document");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_golden_document_is_usable);
    tcase_add_test(tc, a_fault_is_named_by_its_place);
    tcase_add_test(tc, the_tables_say_what_the_document_says);
    tcase_add_test(tc, what_did_not_change_is_shared);
    tcase_add_test(tc, chains_are_made_as_they_are_asked_for);
    tcase_add_test(tc, workers_agree_on_a_chain);
    tcase_add_test(tc, a_change_leads_where_the_whole_leads);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
