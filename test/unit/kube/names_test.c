/* names_test.c - syntax of names, quantities, selectors, kinds, suggestions, the preset. */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/kube/kind.h"
#include "common/kube/meshconfig.h"
#include "common/kube/names.h"
#include "common/kube/object.h"
#include "common/kube/quantity.h"
#include "common/kube/selector.h"

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    kube_syntax *is;
    const char *text;
    bool fine;
} names[] = {
    {kube_is_dns_label, "a", true},
    {kube_is_dns_label, "0-a", true},
    {kube_is_dns_label, L63, true},
    {kube_is_dns_label, L63 "a", false},
    {kube_is_dns_label, "", false},
    {kube_is_dns_label, "-a", false},
    {kube_is_dns_label, "a-", false},
    {kube_is_dns_label, "a.b", false},
    {kube_is_dns_label, "A", false},
    {kube_is_dns1035_label, "a0", true},
    {kube_is_dns1035_label, "0a", false},
    {kube_is_dns_subdomain, "a.b-c.0", true},
    {kube_is_dns_subdomain, "a..b", false},
    {kube_is_dns_subdomain, "a.", false},
    {kube_is_dns_subdomain, ".a", false},
    {kube_is_path_segment, "system:x", true},
    {kube_is_path_segment, "a/b", false},
    {kube_is_path_segment, "..", false},
    {kube_is_host, "*.a.b", true},
    {kube_is_host, "*", true},
    {kube_is_host, "a.*", false},
    {kube_is_fqdn, "a.b", true},
    {kube_is_fqdn, "a", false},
    {kube_is_port_name, "http", true},
    {kube_is_port_name, "p-1", true},
    {kube_is_port_name, "a--b", false},
    {kube_is_port_name, "8080", false},
    {kube_is_port_name, "0123456789012345", false},
    {kube_is_label_key, "app", true},
    {kube_is_label_key, "a.b/C_d", true},
    {kube_is_label_key, "a.b/", false},
    {kube_is_label_key, "/a", false},
    {kube_is_label_key, "A.b/c", false},
    {kube_is_annotation_key, "A.b/c", true},
    {kube_is_label_value, "", true},
    {kube_is_label_value, "a_B.c-d", true},
    {kube_is_label_value, "_a", false},
    {kube_is_config_key, ".a_b-c.d", true},
    {kube_is_config_key, "..a", false},
    {kube_is_config_key, "a/b", false},
    {kube_is_env_name, "a b", true},
    {kube_is_env_name, "a=b", false},
    {kube_is_env_name, "", false},
    {kube_is_http_token, "x-a!", true},
    {kube_is_http_token, "a:b", false},
    {kube_is_absolute_path, "/a", true},
    {kube_is_absolute_path, "a", false},
    {kube_is_ip, "::1", true},
    {kube_is_ip, "1.2.3", false},
    {kube_is_ipv4, "::1", false},
    {kube_is_cidr, "10.0.0.0/8", true},
    {kube_is_cidr, "10.0.0.0", false},
    {kube_is_ip_or_cidr, "fd00::/8", true},
    {kube_is_ip_or_cidr, "1.2.3.4/33", false},
    {kube_is_duration, "1h30m", true},
    {kube_is_duration, "90", false},
    {kube_is_validity, "24h", true},
    {kube_is_validity, "1s", true},
    {kube_is_validity, "0s", false},
    {kube_is_validity, "-1h", false},
    {kube_is_validity, "999ms", false},
    {kube_is_interface, "eth0", true},
    {kube_is_interface, "br-ab.100@x", true},
    {kube_is_interface, "eth0;x", false},
    {kube_is_interface, "-i", false},
    {kube_is_interface, "sixteen-letters-", false},
    {kube_is_percent, "25%", true},
    {kube_is_percent, "25", false},
    {kube_is_base64, "aGk=", true},
    {kube_is_base64, "aG\nk=", true},
    {kube_is_base64, "aGk", false},
    {kube_is_rfc3339, "2026-01-02T03:04:05Z", true},
    {kube_is_rfc3339, "2026-01-02", false},
    {kube_is_schedule, "*/5 0-3 1,2 JAN ?", true},
    {kube_is_schedule, "@every 1h", true},
    {kube_is_schedule, "* * * *", false},
    {kube_is_schedule, "* * * * * *", false},
    {kube_is_regex, "/a.*", true},
    {kube_is_regex, "(", false},
    {kube_is_ratio, "0.5", true},
    {kube_is_ratio, "1.1", false},
};

START_TEST(name)
{
    const char *want = names[_i].is(names[_i].text);
    ck_assert_msg((want == NULL) == names[_i].fine, "row %d, \"%s\": %s", _i, names[_i].text,
                  want ? want : "accepted");
}
END_TEST

static const struct {
    const char *text;
    int64_t milli; /* INT64_MIN = no quantity */
} quantities[] = {
    {"0", 0},
    {"1", 1000},
    {"-1", -1000},
    {"+1", 1000},
    {"1.5", 1500},
    {".5", 500},
    {"1.", 1000},
    {"500m", 500},
    {"0.1m", 1}, /* rounded up */
    {"1n", 1},
    {"1u", 1},
    {"1000n", 1},
    {"1000u", 1},
    {"1k", 1000000},
    {"1Ki", 1024000},
    {"1.5Ki", 1536000},
    {"1e3", 1000000},
    {"1E-1", 100},
    {"64Mi", INT64_C(67108864000)},
    {"1E", INT64_MAX},
    {"8Ei", INT64_MAX},
    {"-9Ei", -INT64_MAX},
    {"1e9999", INT64_MAX},
    {"1e-9999", 1},
    {"0.000000000000000000000000000001", 1},
    {"123456789012345678901234567890", INT64_MAX},
    {"", INT64_MIN},
    {"m", INT64_MIN},
    {".", INT64_MIN},
    {"1K", INT64_MIN},
    {"1MB", INT64_MIN},
    {"1 Gi", INT64_MIN},
    {"1e", INT64_MIN},
    {"1.2.3", INT64_MIN},
    {"--1", INT64_MIN},
    {"0x10", INT64_MIN},
};

START_TEST(quantity)
{
    int64_t v = INT64_MIN;
    int rc = kube_quantity_milli(quantities[_i].text, &v);
    ck_assert_msg((rc < 0) == (quantities[_i].milli == INT64_MIN), "\"%s\": %d",
                  quantities[_i].text, rc);
    if (rc == 0)
        ck_assert_msg(v == quantities[_i].milli, "\"%s\": got %" PRId64, quantities[_i].text, v);
}
END_TEST

START_TEST(quantity_in_whole_units)
{
    int64_t v;
    ck_assert_int_eq(kube_quantity_value("1.5Ki", &v), 0);
    ck_assert_int_eq(v, 1536);
    ck_assert_int_eq(kube_quantity_value("100m", &v), 0);
    ck_assert_int_eq(v, 1);
    ck_assert_int_eq(kube_quantity_value("2Ei", &v), 0);
    ck_assert_int_eq(v, INT64_C(2) << 60);
}
END_TEST

static json_t *json_of(const char *text)
{
    struct err e = {""};
    json_t *j = json_parse(slice_str(text), 10000, &e);
    ck_assert_msg(j != NULL, "%s: %s", text, e.text);
    return j;
}

static const struct {
    const char *selector, *labels;
    bool match;
} selectors[] = {
    {"{}", "{}", true},
    {"{\"matchLabels\": {\"a\": \"1\"}}", "{\"a\": \"1\", \"b\": \"2\"}", true},
    {"{\"matchLabels\": {\"a\": \"1\"}}", "{\"a\": \"2\"}", false},
    {"{\"matchLabels\": {\"a\": \"1\"}}", "{}", false},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"In\", \"values\": [\"1\", \"2\"]}]}",
     "{\"a\": \"2\"}", true},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"In\", \"values\": [\"1\"]}]}", "{}",
     false},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"NotIn\", \"values\": [\"1\"]}]}",
     "{}", true},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"NotIn\", \"values\": [\"1\"]}]}",
     "{\"a\": \"1\"}", false},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"Exists\"}]}", "{\"a\": \"\"}", true},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"Exists\"}]}", "{}", false},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"DoesNotExist\"}]}", "{}", true},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"DoesNotExist\"}]}", "{\"a\": \"\"}",
     false},
    {"{\"matchExpressions\": [{\"key\": \"a\", \"operator\": \"Like\"}]}", "{\"a\": \"\"}", false},
    {"{\"matchLabels\": {\"a\": \"1\"}, \"matchExpressions\": [{\"key\": \"b\", \"operator\": "
     "\"Exists\"}]}",
     "{\"a\": \"1\"}", false},
};

START_TEST(selector)
{
    json_t *s = json_of(selectors[_i].selector), *l = json_of(selectors[_i].labels);
    ck_assert_msg(kube_selector_match(s, l) == selectors[_i].match, "%s on %s",
                  selectors[_i].selector, selectors[_i].labels);
    json_decref(s);
    json_decref(l);
}
END_TEST

START_TEST(selectors_that_select_nothing)
{
    json_t *labels = json_of("{\"a\": \"1\"}"), *empty = json_object();
    ck_assert(!kube_selector_match(NULL, labels));
    ck_assert(!kube_labels_match(NULL, labels));
    ck_assert(!kube_labels_match(empty, labels));
    ck_assert(kube_labels_match(labels, labels));
    ck_assert(!kube_labels_match(labels, NULL));
    json_decref(labels);
    json_decref(empty);
}
END_TEST

START_TEST(kinds_are_in_order_and_found_by_any_name)
{
    for (unsigned i = 1; i < kube_kinds_count(); i++)
        ck_assert_msg(strcmp(kube_kind_at(i - 1)->key, kube_kind_at(i)->key) < 0, "%s",
                      kube_kind_at(i)->key);
    for (unsigned i = 0; i < kube_kinds_count(); i++) {
        const struct kube_kind *k = kube_kind_at(i);
        char words[256];
        ck_assert_ptr_eq(kube_kind_by_key(k->key), k);
        ck_assert_ptr_eq(kube_kind_find(k->group, k->kind), k);
        snprintf(words, sizeof words, "%s.%s", k->plural, k->group);
        ck_assert_ptr_eq(kube_kind_by_word(words), k);
    }
    ck_assert_str_eq(kube_kind_of("svc"), "Service");
    ck_assert_str_eq(kube_kind_of("services"), "Service");
    ck_assert_str_eq(kube_kind_of("service"), "Service");
    ck_assert_str_eq(kube_kind_of("meshconfig"), "MeshConfig");
    ck_assert_str_eq(kube_kind_of("tcproutes.gateway.networking.k8s.io"),
                     "TCPRoute.gateway.networking.k8s.io");
    ck_assert_ptr_null(kube_kind_of("nothings"));
    ck_assert_ptr_null(kube_kind_of(""));
    ck_assert_int_eq(kube_kind_is_namespaced("Pod"), 1);
    ck_assert_int_eq(kube_kind_is_namespaced("Namespace"), 0);
}
END_TEST

START_TEST(near_names)
{
    ck_assert_uint_eq(kube_name_distance("targetport", "targetPort"), 1);
    ck_assert_uint_eq(kube_name_distance("port", "ports"), 2);
    ck_assert_uint_eq(kube_name_distance("prot", "port"), 2);
    ck_assert_uint_eq(kube_name_distance("", "ab"), 4);
    ck_assert_str_eq(kube_kind_nearest("Deploymnet")->kind, "Deployment");
    ck_assert_ptr_null(kube_kind_nearest("Frobnicator"));
    char longest[5000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    ck_assert_uint_gt(kube_name_distance(longest, "a"), 1000);
}
END_TEST

START_TEST(the_preset_is_sound_and_complete)
{
    struct kube_problems problems = {NULL, 0};
    json_t *preset = kube_meshconfig_preset("fsm-system");
    struct kube_object *o = kube_object_from_json(json_deep_copy(preset), "", 0, NULL, &problems);
    if (problems.n > 0)
        ck_abort_msg("%s: %s", problems.v[0].field, problems.v[0].message);
    ck_assert_ptr_nonnull(o);
    ck_assert_msg(json_equal(o->body, preset), "checking the preset changed it");
    ck_assert_str_eq(o->name, "fsm-mesh-config");
    ck_assert_str_eq(o->ns, "fsm-system");
    ck_assert(json_bool(preset, "spec.traffic.enableEgress", false));
    ck_assert(json_bool(preset, "spec.traffic.enablePermissiveTrafficPolicyMode", false));
    ck_assert_str_eq(json_str(preset, "spec.traffic.serviceAccessMode", ""), "mixed");
    ck_assert_str_eq(json_str(preset, "spec.observability.tracing.address", ""),
                     "jaeger.fsm-system.svc.cluster.local");
    kube_object_unref(o);
    json_decref(preset);
}
END_TEST

/* a MeshConfig that says nothing gets what the CRD says: switches stay off */
START_TEST(a_sparse_meshconfig_has_no_switches_on)
{
    struct kube_problems problems = {NULL, 0};
    struct kube_object *o = kube_object_from_json(
        json_of("{\"apiVersion\": \"config.flomesh.io/v1alpha3\", \"kind\": \"MeshConfig\", "
                "\"metadata\": {\"name\": \"fsm-mesh-config\"}, \"spec\": {\"traffic\": {}}}"),
        "", 0, "fsm-system", &problems);
    ck_assert_ptr_nonnull(o);
    ck_assert(!json_bool(o->body, "spec.traffic.enableEgress", false));
    ck_assert_str_eq(o->ns, "fsm-system");
    kube_object_unref(o);
}
END_TEST

START_TEST(objects_from_memory_are_checked)
{
    struct kube_problems problems = {NULL, 0};
    ck_assert_ptr_null(kube_object_from_json(json_array(), "f", 3, NULL, &problems));
    ck_assert_ptr_null(kube_object_from_json(
        json_of("{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": "
                "\"a\"}, \"spec\": {\"ports\": [{\"port\": 80.0}]}}"),
        "f", 3, NULL, &problems));
    ck_assert_uint_eq(problems.n, 2);
    char *text = kube_problem_text(&problems.v[1]);
    ck_assert_str_eq(text, "f:3: Service default/a: spec.ports[0].port: got 80 (number), expected "
                           "an integer 1..65535");
    free(text);
    kube_problems_free(&problems);
}
END_TEST

/* a newer API server knows fields that we do not; what it got wrong is still told */
START_TEST(objects_from_a_server_may_say_more)
{
    struct kube_problems problems = {NULL, 0};
    const char *text =
        "{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"a\", "
        "\"namespace\": \"b\", \"newIn\": {\"v\": 2}}, \"spec\": {\"trafficSecret\": null, "
        "\"clusterIP\": \"10.0.0.1\", \"ports\": [{\"port\": 80, \"wormhole\": [1]}]}}";
    struct kube_object *o = kube_object_from_json(json_of(text), "", 0, NULL, &problems);

    ck_assert_ptr_null(o);
    ck_assert_uint_gt(problems.n, 0);
    kube_problems_free(&problems);
    o = kube_object_from_server(json_of(text), &problems);
    ck_assert_ptr_nonnull(o);
    ck_assert_uint_eq(problems.n, 0);
    ck_assert_str_eq(o->ns, "b");
    ck_assert_int_eq(json_int(o->body, "metadata.newIn.v", 0), 2);
    ck_assert_str_eq(json_str(o->body, "spec.type", ""), "ClusterIP");
    kube_object_unref(o);
    ck_assert_ptr_null(kube_object_from_server(
        json_of("{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": "
                "\"a\"}, \"spec\": {\"ports\": [{\"port\": \"x\"}]}}"),
        &problems));
    ck_assert_uint_eq(problems.n, 1);
    kube_problems_free(&problems);
}
END_TEST

#define ROWS(v) (int)(sizeof(v) / sizeof *(v))

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *t = tcase_create("names");
    tcase_add_loop_test(t, name, 0, ROWS(names));
    tcase_add_loop_test(t, quantity, 0, ROWS(quantities));
    tcase_add_test(t, quantity_in_whole_units);
    tcase_add_loop_test(t, selector, 0, ROWS(selectors));
    tcase_add_test(t, selectors_that_select_nothing);
    tcase_add_test(t, kinds_are_in_order_and_found_by_any_name);
    tcase_add_test(t, near_names);
    tcase_add_test(t, the_preset_is_sound_and_complete);
    tcase_add_test(t, a_sparse_meshconfig_has_no_switches_on);
    tcase_add_test(t, objects_from_memory_are_checked);
    tcase_add_test(t, objects_from_a_server_may_say_more);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
