/* mesh_test.c - the readers of resources: protocols, settings, namespaces, pods, Services, names.
 */
#include "common/policy/mesh.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/meshconfig.h"
#include "common/policy/settings.h"

static json_t *parse(const char *text)
{
    struct err e = {""};
    json_t *j = json_parse(slice_str(text), 1 << 20, &e);

    ck_assert_msg(j != NULL, "%s in %s", e.text, text);
    return j;
}

/* an object as a store holds it, without the loader's checks: the readers must bear anything */
static struct kube_object *object(const char *kind, const char *text)
{
    json_t *body = parse(text);

    return kube_object_new(kind, "", json_str(body, "metadata.namespace", "a"),
                           json_str(body, "metadata.name", "x"), body, NULL, 0);
}

/* ---- protocols and settings
 * ------------------------------------------------------------------------- */

START_TEST(protocols)
{
    static const struct {
        const char *app, *name;
        enum mesh_protocol protocol;
        bool declared;
    } table[] = {
        {NULL, NULL, MESH_HTTP, false},
        {"", "", MESH_HTTP, false},
        {NULL, "http", MESH_HTTP, true},
        {NULL, "http-web", MESH_HTTP, true},
        {NULL, "httpd", MESH_HTTP, false},
        {NULL, "web", MESH_HTTP, false},
        {NULL, "grpc", MESH_GRPC, true},
        {NULL, "grpc-api", MESH_GRPC, true},
        {NULL, "grpc-web", MESH_HTTP, true},
        {NULL, "grpc-web-api", MESH_HTTP, true},
        {NULL, "tcp", MESH_TCP, true},
        {NULL, "tcp-x", MESH_TCP, true},
        {NULL, "tcp-server-first-x", MESH_TCP, true},
        {NULL, "https", MESH_TCP, true},
        {NULL, "tls-x", MESH_TCP, true},
        {NULL, "mysql", MESH_TCP, true},
        {"http", "tcp-x", MESH_HTTP, true},
        {"GRPC", NULL, MESH_GRPC, true},
        {"kubernetes.io/h2c", NULL, MESH_HTTP, true},
        {"kubernetes.io/ws", NULL, MESH_HTTP, true},
        {"kubernetes.io/wss", NULL, MESH_TCP, true},
        {"tcp-server-first", NULL, MESH_TCP, true},
        {"http-web", NULL, MESH_HTTP, false}, /* prefixes are for names only */
        {"example.com/own", "http", MESH_HTTP, false},
    };

    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct mesh_port_protocol p = mesh_protocol_of(table[i].app, table[i].name);
        ck_assert_msg(p.protocol == table[i].protocol && p.declared == table[i].declared,
                      "appProtocol %s, name %s: %s, %d", table[i].app, table[i].name,
                      mesh_protocol_name(p.protocol), p.declared);
    }
}
END_TEST

START_TEST(settings_of_an_installation)
{
    json_t *preset = kube_meshconfig_preset("fsm-system");
    struct mesh_settings s;

    mesh_settings_read(preset, &s);
    ck_assert(s.permissive);
    ck_assert(s.enable_egress);
    ck_assert(s.http2_per_request_lb);
    ck_assert(!s.http1_per_request_lb);
    ck_assert_int_eq(s.access, MESH_ACCESS_MIXED);
    ck_assert_str_eq(s.sidecar_log_level, "error");
    ck_assert_int_eq(s.sidecar_timeout_s, 60);
    ck_assert_int_eq(s.cert_validity_ms, 24 * 3600 * 1000);
    ck_assert_str_eq(s.fsm_log_level, "info");
    ck_assert_int_eq(s.max_proxies, 0);
    json_decref(preset);
}
END_TEST

START_TEST(settings_that_are_missing_or_odd)
{
    static const char *const texts[] = {
        "{}",
        "{\"spec\": null}",
        ("{\"spec\": {\"traffic\": 1, \"sidecar\": [], \"certificate\": "
         "{\"serviceCertValidityDuration\": \"soon\"}}}"),
        "{\"spec\": {\"certificate\": {\"serviceCertValidityDuration\": \"-5m\"}}}",
    };
    struct mesh_settings s;

    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        json_t *j = parse(texts[i]);
        mesh_settings_read(j, &s);
        ck_assert(!s.permissive && !s.enable_egress);
        ck_assert_int_eq(s.access, MESH_ACCESS_MIXED);
        ck_assert_int_eq(s.cert_validity_ms, 24 * 3600 * 1000);
        json_decref(j);
    }
    json_t *j = parse("{\"spec\": {\"sidecar\": {\"sidecarTimeout\": -5}}}");
    mesh_settings_read(j, &s);
    ck_assert_int_eq(s.sidecar_timeout_s, 0);
    json_decref(j);
}
END_TEST

/* ---- namespaces and pods
 * --------------------------------------------------------------------------------- */

START_TEST(namespaces)
{
    static const struct {
        const char *labels;
        bool in;
    } table[] = {{"{}", false},
                 {"{\"flomesh.io/monitored-by\": \"fsm\"}", true},
                 {"{\"flomesh.io/monitored-by\": \"other\"}", false},
                 {"{\"flomesh.io/monitored-by\": \"fsm\", \"flomesh.io/ignore\": \"\"}", false}};
    struct mesh_namespace ns;

    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char *text = xasprintf("{\"metadata\": {\"labels\": %s}}", table[i].labels);
        json_t *body = parse(text);
        mesh_namespace_read(body, "fsm", &ns);
        ck_assert_int_eq(ns.in_mesh, table[i].in);
        mesh_namespace_clear(&ns);
        json_decref(body);
        free(text);
    }
    json_t *body = parse("{\"metadata\": {\"annotations\": {\"flomesh.io/metrics\": \"enabled\", "
                         "\"flomesh.io/service-exclusion-list\": \" One,TWO , three\"}}}");
    mesh_namespace_read(body, "fsm", &ns);
    ck_assert(ns.metrics);
    ck_assert(mesh_namespace_excludes(&ns, "one"));
    ck_assert(mesh_namespace_excludes(&ns, "two"));
    ck_assert(mesh_namespace_excludes(&ns, "three"));
    ck_assert(!mesh_namespace_excludes(&ns, "thre"));
    mesh_namespace_clear(&ns);
    json_decref(body);
    mesh_namespace_read(NULL, "fsm", &ns);
    ck_assert(!ns.in_mesh);
    ck_assert(!mesh_namespace_excludes(&ns, "one"));
}
END_TEST

START_TEST(pods)
{
    struct kube_object *o = object(
        "Pod",
        "{\"metadata\": {\"name\": \"web-7f-x\", \"namespace\": \"a\", \"labels\": "
        "{\"fsm-proxy-uuid\": \"u\", \"pod-template-hash\": \"7f\"}, \"ownerReferences\": "
        "[{\"kind\": \"Other\", \"name\": \"o\"}, {\"controller\": true, \"kind\": "
        "\"ReplicaSet\", \"name\": \"web-7f\"}]}, \"spec\": {\"initContainers\": [{\"name\": "
        "\"once\", \"ports\": [{\"name\": \"p\", \"containerPort\": 1}]}, {\"name\": \"side\", "
        "\"restartPolicy\": \"Always\", \"ports\": [{\"name\": \"p\", \"containerPort\": 2, "
        "\"protocol\": \"UDP\"}, {\"name\": \"s\", \"containerPort\": 3}]}], \"containers\": "
        "[{\"name\": \"c\", \"ports\": [{\"name\": \"p\", \"containerPort\": 4}]}]}, "
        "\"status\": {\"podIP\": \"10.0.0.1\", \"podIPs\": [{\"ip\": \"10.0.0.1\"}, {\"ip\": "
        "\"fd00::1\"}, {\"ip\": \"nonsense\"}]}}");
    struct mesh_pod *p = mesh_pod_new(o);
    struct buf name = BUF_INIT, kind = BUF_INIT;
    struct ip ip;

    ck_assert(p->live && p->meshed);
    ck_assert_str_eq(p->sa, "default");
    ck_assert_uint_eq(p->n_ips, 2);
    ip_parse("fd00::1", &ip);
    ck_assert(mesh_pod_has_ip(p, &ip));
    ck_assert_uint_eq(mesh_pod_port(p, "p"), 4);
    ck_assert_uint_eq(mesh_pod_port(p, "s"), 3);
    ck_assert_uint_eq(mesh_pod_port(p, "none"), 0);
    mesh_pod_workload(p, &kind, &name);
    ck_assert_str_eq(kind.p, "Deployment");
    ck_assert_str_eq(name.p, "web");
    buf_free(&name);
    buf_free(&kind);
    mesh_pod_free(p);
    kube_object_unref(o);
}
END_TEST

START_TEST(pods_without_an_address_of_their_own)
{
    static const char *const texts[] = {
        "{\"status\": {\"phase\": \"Succeeded\", \"podIP\": \"10.0.0.1\"}}",
        "{\"status\": {\"phase\": \"Failed\", \"podIP\": \"10.0.0.1\"}}",
        "{\"spec\": {\"hostNetwork\": true}, \"status\": {\"podIP\": \"10.0.0.1\"}}"};

    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct kube_object *o = object("Pod", texts[i]);
        struct mesh_pod *p = mesh_pod_new(o);
        ck_assert(!p->live && !p->meshed && p->n_ips == 0);
        mesh_pod_free(p);
        kube_object_unref(o);
    }
}
END_TEST

/* ---- Services and endpoints
 * ----------------------------------------------------------------------------------- */

static struct mesh_service *service(const char *text, const char *const *slices, unsigned n,
                                    const char *endpoints)
{
    struct kube_object *o = object("Service", text);
    json_t *s[4] = {NULL}, *eps = endpoints ? parse(endpoints) : NULL;
    char *note;

    for (unsigned i = 0; i < n; i++)
        s[i] = parse(slices[i]);
    struct mesh_endpoint_source src = {s, n, eps};
    struct mesh_service *out = mesh_service_new(o, &src, &note);
    free(note);
    for (unsigned i = 0; i < n; i++)
        json_decref(s[i]);
    json_decref(eps);
    kube_object_unref(o);
    return out;
}

static void add_ip(const struct mesh_endpoint *ep, void *arg)
{
    char text[IP_TEXT_MAX];

    buf_printf(arg, "%s ", ip_format(&ep->ip, text));
}

static void ready_are(const struct mesh_service *s, unsigned port, const char *want)
{
    struct buf got = BUF_INIT;

    buf_puts(&got, "");
    mesh_service_each_ready(s, port, add_ip, &got);
    ck_assert_str_eq(got.p, want);
    buf_free(&got);
}

static const char web[] = "{\"metadata\": {\"name\": \"web\", \"namespace\": \"a\"}, \"spec\": "
                          "{\"clusterIP\": \"10.43.0.1\", \"clusterIPs\": [\"10.43.0.1\", "
                          "\"fd01::1\", \"10.43.0.9\"], \"ports\": [{\"name\": \"http\", \"port\": "
                          "80, \"targetPort\": \"main\"}, {\"name\": \"dns\", \"port\": 53, "
                          "\"protocol\": \"UDP\"}, {\"name\": \"b\", \"port\": 90}]}}";

START_TEST(slices_are_united)
{
    static const char *const slices[] = {
        "{\"addressType\": \"IPv4\", \"ports\": [{\"name\": \"http\", \"port\": 9090}], "
        "\"endpoints\": [{\"addresses\": [\"10.0.0.3\"]}, {\"addresses\": [\"10.0.0.1\"], "
        "\"conditions\": {\"ready\": false}}, {\"addresses\": [\"10.0.0.4\"], \"hostname\": "
        "\"Bad_Name\"}]}",
        "{\"addressType\": \"IPv4\", \"ports\": [{\"name\": \"http\", \"port\": 8080}, {\"name\": "
        "\"b\", \"port\": 91}, {\"name\": \"b\", \"port\": 70000}, {\"name\": \"dns\", \"port\": "
        "53, "
        "\"protocol\": \"UDP\"}], \"endpoints\": [{\"addresses\": [\"10.0.0.2\"]}, {\"addresses\": "
        "[\"10.0.0.3\"], \"hostname\": \"h\"}, {\"addresses\": []}, {\"addresses\": [\"bad\"]}, "
        "7]}",
        "{\"addressType\": \"FQDN\", \"ports\": [{\"name\": \"http\", \"port\": 1}], "
        "\"endpoints\": "
        "[{\"addresses\": [\"10.0.0.9\"]}]}"};
    struct mesh_service *s = service(web, slices, 3,
                                     "{\"subsets\": [{\"addresses\": [{\"ip\": "
                                     "\"10.0.0.8\"}]}]}");
    struct ip ip;

    ck_assert_uint_eq(s->n_ports, 2);
    ck_assert_uint_eq(s->n_cluster_ips, 2);
    ck_assert_uint_eq(s->n_endpoints, 4); /* Endpoints do not count beside slices */
    ck_assert_uint_eq(s->ports[0].target, 8080);
    ck_assert_uint_eq(s->ports[1].target, 90); /* a number says itself */
    ready_are(s, 0, "10.0.0.2 10.0.0.3 10.0.0.4 ");
    ready_are(s, 1, "10.0.0.2 10.0.0.3 ");
    ip_parse("10.0.0.3", &ip);
    const struct mesh_endpoint *ep = mesh_service_endpoint(s, &ip);
    ck_assert_str_eq(ep->hostname, "h");
    ck_assert_uint_ne(ep->ports[0], 0);
    ck_assert_uint_eq(ep->ports[1], 91);
    ip_parse("10.0.0.4", &ip);
    ck_assert_ptr_null(mesh_service_endpoint(s, &ip)->hostname);
    ip_parse("10.0.0.9", &ip);
    ck_assert_ptr_null(mesh_service_endpoint(s, &ip));
    mesh_service_free(s);
}
END_TEST

START_TEST(the_last_ones_serve_while_they_terminate)
{
    static const char head[] =
        "{\"addressType\": \"IPv4\", \"ports\": [{\"name\": \"http\", \"port\": "
        "80}], \"endpoints\": [";
    static const struct {
        const char *conditions[2];
        const char *ready;
    } table[] = {
        {{"\"ready\": true", "\"ready\": false, \"serving\": true, \"terminating\": true"},
         "10.0.0.1 "},
        {{"\"ready\": false, \"serving\": false, \"terminating\": true",
          "\"ready\": false, \"serving\": true, \"terminating\": true"},
         "10.0.0.2 "},
        {{"\"ready\": false", "\"ready\": false, \"serving\": true"}, ""},
        {{"\"ready\": null", "\"ready\": false"}, "10.0.0.1 "},
    };

    for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
        char *slice = xasprintf("%s{\"addresses\": [\"10.0.0.1\"], \"conditions\": {%s}}, "
                                "{\"addresses\": [\"10.0.0.2\"], \"conditions\": {%s}}]}",
                                head, table[i].conditions[0], table[i].conditions[1]);
        struct mesh_service *s = service(web, (const char *const[]){slice}, 1, NULL);
        ready_are(s, 0, table[i].ready);
        mesh_service_free(s);
        free(slice);
    }
}
END_TEST

START_TEST(services_that_are_none)
{
    static const char *const texts[] = {
        "{\"spec\": {\"type\": \"ExternalName\", \"externalName\": \"example.com\"}}",
        "{\"metadata\": {\"annotations\": {\"flomesh.io/service-exclusion\": \"TRUE\"}}}"};

    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        ck_assert_ptr_null(service(texts[i], NULL, 0, NULL));
    struct mesh_service *s = service("{}", NULL, 0, NULL); /* odd, and harmless */
    ck_assert_uint_eq(s->n_ports + s->n_endpoints + s->n_cluster_ips, 0);
    mesh_service_free(s);
}
END_TEST

/* ---- names
 * --------------------------------------------------------------------------------------------------------
 */

START_TEST(names_of_a_destination)
{
    struct mesh_service *s = service(web, NULL, 0, NULL);
    struct mesh_endpoint ep = {.hostname = (char *)"web-0"};
    struct mesh_dest d = {s, 0, NULL}, one = {s, 0, &ep};
    json_t *hosts = json_object(), *rule = json_string("r");
    struct buf b = BUF_INIT;

    mesh_dest_fqdn(&d, "cluster.local", &b);
    buf_putc(&b, ' ');
    mesh_dest_cluster(&one, &b);
    ck_assert_str_eq(b.p, "web.a.svc.cluster.local a/web-0.web|80");
    ck_assert_int_lt(mesh_dest_compare(&d, &one), 0);
    mesh_hosts_add_names(hosts, &d, "cluster.local", 80, false, rule);
    ck_assert_uint_eq(json_object_size(hosts), 8);
    mesh_hosts_add_bare(hosts, &d, 80, rule);
    ck_assert_uint_eq(json_object_size(hosts), 10);
    ck_assert_ptr_nonnull(json_object_get(hosts, "web.a.svc.cluster:80"));
    json_t *other = json_string("other");
    mesh_hosts_add_bare(hosts, &d, 80, other); /* who was first stays */
    ck_assert_str_eq(json_string_value(json_object_get(hosts, "web")), "r");
    mesh_hosts_add_names(hosts, &d, "example", 80, false, rule);
    ck_assert_ptr_nonnull(json_object_get(hosts, "web.a.svc.example"));
    json_decref(other);
    json_decref(hosts);
    json_decref(rule);
    buf_free(&b);
    mesh_service_free(s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mesh");
    TCase *tc = tcase_create("mesh");

    tcase_add_test(tc, protocols);
    tcase_add_test(tc, settings_of_an_installation);
    tcase_add_test(tc, settings_that_are_missing_or_odd);
    tcase_add_test(tc, namespaces);
    tcase_add_test(tc, pods);
    tcase_add_test(tc, pods_without_an_address_of_their_own);
    tcase_add_test(tc, slices_are_united);
    tcase_add_test(tc, the_last_ones_serve_while_they_terminate);
    tcase_add_test(tc, services_that_are_none);
    tcase_add_test(tc, names_of_a_destination);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
