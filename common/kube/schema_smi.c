/* schema_smi.c - the Service Mesh Interface: TrafficTarget, HTTPRouteGroup, TCPRoute,
 * TrafficSplit.
 */
#include <limits.h>
#include <string.h>
#include "common/kube/schemas.h"

/* ---- TrafficTarget -------------------------------------------------------------------------- */

static KUBE_SCHEMA(identity, NULL, KF_STR("kind", .required = true),
                   KF_STR("name", .required = true, .syntax = kube_is_dns_subdomain),
                   KF_STR("namespace", .syntax = kube_is_dns_label), KF_INT("port", 1, 65535));

static KUBE_SCHEMA(target_rule, NULL,
                   KF_STR("kind", .required = true, .oneof = "HTTPRouteGroup TCPRoute"),
                   KF_STR("name", .required = true), KF_STRS("matches"));

static KUBE_SCHEMA(traffic_target_spec, NULL, KF_OBJ("destination", identity, .required = true),
                   KF_LIST("sources", identity, .required = true),
                   KF_LIST("rules", target_rule, .required = true));

static void check_traffic_target(struct kube_checker *c, json_t *target)
{
    const json_t *meta = json_object_get(target, "metadata");
    const json_t *to = json_object_get(json_object_get(target, "spec"), "destination");
    const char *own = json_string_value(json_object_get(meta, "namespace"));
    const char *other = json_string_value(json_object_get(to, "namespace"));
    if (!other || strcmp(own, other) == 0)
        return;
    kube_enter(c, "spec");
    kube_enter(c, "destination");
    kube_fault_at(c, "namespace", "got \"%s\", expected the namespace of the TrafficTarget, \"%s\"",
                  other, own);
    kube_leave(c);
    kube_leave(c);
}

KUBE_KIND_SCHEMA(kube_schema_traffic_target, check_traffic_target,
                 KF_OBJ("spec", traffic_target_spec, .required = true), KF_ANY("status"));

/* ---- HTTPRouteGroup ------------------------------------------------------------------------- */

static void check_header(struct kube_checker *c, const char *name, const json_t *regex)
{
    const char *text = json_string_value(regex);
    char got[96];
    kube_enter_map(c, name);
    if (kube_is_http_token(name))
        kube_fault(c, "got key \"%.60s\", expected %s", name, kube_is_http_token(name));
    else if (!text)
        kube_fault(c, "got %s, expected a regular expression", kube_describe(c, regex, got));
    else if (kube_is_regex(text))
        kube_fault(c, "got \"%.60s\", expected %s", text, kube_is_regex(text));
    kube_leave(c);
}

/* headers: a list of maps, or one map, from name to regular expression */
static void check_headers(struct kube_checker *c, const json_t *headers)
{
    const char *name;
    json_t *v;
    if (json_is_array(headers)) {
        for (size_t i = 0; i < json_array_size(headers); i++) {
            kube_enter_index(c, i);
            if (json_is_object(json_array_get(headers, i)))
                check_headers(c, json_array_get(headers, i));
            else
                kube_fault(c, "expected a map from header name to regular expression");
            kube_leave(c);
        }
    } else if (json_is_object(headers)) {
        json_object_foreach ((json_t *)headers, name, v)
            check_header(c, name, v);
    } else if (headers && !json_is_null(headers)) {
        kube_fault(c, "expected a list of maps from header name to regular expression");
    }
}

static void check_match(struct kube_checker *c, json_t *match)
{
    kube_enter(c, "headers");
    check_headers(c, json_object_get(match, "headers"));
    kube_leave(c);
}

static KUBE_SCHEMA(http_match, check_match, KF_STR("name", .required = true),
                   KF_STR("pathRegex", .syntax = kube_is_regex),
                   KF_STRS("methods",
                           .oneof = "* GET HEAD PUT POST DELETE CONNECT OPTIONS TRACE PATCH"),
                   KF_ANY("headers"));

static KUBE_SCHEMA(http_route_spec, NULL, KF_LIST("matches", http_match, .key = "name"));

KUBE_KIND_SCHEMA(kube_schema_http_route_group, NULL,
                 KF_OBJ("spec", http_route_spec, .required = true), KF_ANY("status"));

/* ---- TCPRoute ------------------------------------------------------------------------------- */

static KUBE_SCHEMA(tcp_match, NULL, KF_STR("name"), KF_INTS("ports", 1, 65535, .key = "."));
static KUBE_SCHEMA(tcp_route_spec, NULL, KF_OBJ("matches", tcp_match));

KUBE_KIND_SCHEMA(kube_schema_tcp_route, NULL, KF_OBJ("spec", tcp_route_spec), KF_ANY("status"));

/* ---- TrafficSplit --------------------------------------------------------------------------- */

static KUBE_SCHEMA(split_backend, NULL, KF_STR("service", .required = true),
                   KF_INT("weight", 0, INT_MAX, .required = true));

static KUBE_SCHEMA(split_match, NULL, KF_STR("apiGroup"), KF_STR("kind", .oneof = "HTTPRouteGroup"),
                   KF_STR("name", .required = true));

static void check_split(struct kube_checker *c, json_t *spec)
{
    const json_t *backends = json_object_get(spec, "backends");
    long long total = 0;
    for (size_t i = 0; i < json_array_size(backends); i++)
        total += json_integer_value(json_object_get(json_array_get(backends, i), "weight"));
    if (total == 0)
        kube_fault_at(c, "backends", "the weights add up to 0: no backend would get traffic");
}

static KUBE_SCHEMA(traffic_split_spec, check_split, KF_STR("service", .required = true),
                   KF_LIST("backends", split_backend, .required = true, .key = "service"),
                   KF_LIST("matches", split_match));

KUBE_KIND_SCHEMA(kube_schema_traffic_split, NULL,
                 KF_OBJ("spec", traffic_split_spec, .required = true), KF_ANY("status"));
