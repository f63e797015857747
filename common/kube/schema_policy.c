/* schema_policy.c - policy.flomesh.io/v1alpha1: Egress, EgressGateway, IngressBackend,
 * AccessControl, AccessCert, Retry, UpstreamTrafficSetting.
 *
 * Only what one object can tell by itself is checked here; what two objects say together (two
 * IngressBackends for one port, a second EgressGateway) is the compiler's.
 */
#include <limits.h>
#include <string.h>
#include "common/kube/schemas.h"

#define U32_MAX 4294967295LL

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static KUBE_SCHEMA(secret_ref, NULL, KF_STR("name", .required = true),
                   KF_STR("namespace", .required = true));

/* ---- Egress --------------------------------------------------------------------------------- */

static KUBE_SCHEMA(egress_cert, NULL, KF_STR("sn"), KF_STRS("subjectAltNames"),
                   KF_STR("expiration"), KF_OBJ("secret", secret_ref));

static KUBE_SCHEMA(egress_mtls, NULL, KF_STR("issuer", .required = true),
                   KF_OBJ("cert", egress_cert));

static KUBE_SCHEMA(egress_source, NULL, KF_STR("kind", .required = true, .oneof = "ServiceAccount"),
                   KF_STR("name", .required = true, .syntax = kube_is_dns_subdomain),
                   KF_STR("namespace", .required = true, .syntax = kube_is_dns_label),
                   KF_OBJ("mtls", egress_mtls));

static KUBE_SCHEMA(egress_port, NULL, KF_INT("number", 1, 65535, .required = true),
                   KF_STR("protocol", .required = true,
                          .oneof = "http https tcp tcp-server-first"));

static KUBE_SCHEMA(egress_match, NULL, KF_STR("apiGroup", .required = true),
                   KF_STR("kind", .required = true,
                          .oneof = "HTTPRouteGroup UpstreamTrafficSetting"),
                   KF_STR("name", .required = true));

/* the group must be the kind's, and one UpstreamTrafficSetting is enough */
static void check_egress_matches(struct kube_checker *c, const json_t *matches)
{
    unsigned settings = 0;
    kube_enter(c, "matches");
    for (size_t i = 0; i < json_array_size(matches); i++) {
        const json_t *m = json_array_get(matches, i);
        bool routes = strcmp(text_of(m, "kind"), "HTTPRouteGroup") == 0;
        const char *want = routes ? "specs.smi-spec.io/v1alpha4" : "policy.flomesh.io/v1alpha1";
        kube_enter_index(c, i);
        if (strcmp(text_of(m, "apiGroup"), want) != 0)
            kube_fault_at(c, "apiGroup", "got \"%.60s\", expected %s for kind %s",
                          text_of(m, "apiGroup"), want, text_of(m, "kind"));
        settings += !routes;
        if (!routes && settings > 1)
            kube_fault(c, "a second UpstreamTrafficSetting, at most one is possible");
        kube_leave(c);
    }
    kube_leave(c);
}

static void check_egress(struct kube_checker *c, json_t *spec)
{
    check_egress_matches(c, json_object_get(spec, "matches"));
}

static KUBE_SCHEMA(egress_spec, check_egress,
                   KF_LIST("sources", egress_source, .required = true, .key = "namespace name"),
                   KF_STRS("hosts", .syntax = kube_is_host),
                   KF_STRS("ipAddresses", .syntax = kube_is_cidr),
                   KF_LIST("ports", egress_port, .required = true, .key = "number"),
                   KF_LIST("matches", egress_match));

KUBE_KIND_SCHEMA(kube_schema_egress, NULL, KF_OBJ("spec", egress_spec, .required = true),
                 KF_ANY("status"));

/* ---- EgressGateway -------------------------------------------------------------------------- */

static KUBE_SCHEMA(gateway_binding, NULL,
                   KF_STR("service", .required = true, .syntax = kube_is_dns1035_label),
                   KF_STR("namespace", .required = true, .syntax = kube_is_dns_label),
                   KF_INT("weight", 0, INT_MAX));

static KUBE_SCHEMA(egress_gateway_spec, NULL,
                   KF_LIST("global", gateway_binding, .key = "namespace service"), KF_ANY("rules"),
                   KF_ANY("matches"));

KUBE_KIND_SCHEMA(kube_schema_egress_gateway, NULL,
                 KF_OBJ("spec", egress_gateway_spec, .required = true), KF_ANY("status"));

/* ---- IngressBackend and AccessControl ------------------------------------------------------- */

static void check_source(struct kube_checker *c, json_t *source)
{
    const char *kind = text_of(source, "kind"), *name = text_of(source, "name");
    if (strcmp(kind, "Service") == 0 && !*text_of(source, "namespace"))
        kube_fault_at(c, "namespace", "required with kind Service");
    if (strcmp(kind, "IPRange") == 0 && kube_is_cidr(name))
        kube_fault_at(c, "name", "got \"%.60s\", expected %s", name, kube_is_cidr(name));
}

static KUBE_SCHEMA(source, check_source,
                   KF_STR("kind", .required = true,
                          .oneof = "Service IPRange AuthenticatedPrincipal"),
                   KF_STR("name", .required = true),
                   KF_STR("namespace", .syntax = kube_is_dns_label));

static KUBE_SCHEMA(backend_tls, NULL, KF_BOOL("skipClientCertValidation"),
                   KF_STRS("sniHosts", .syntax = kube_is_host));

static KUBE_SCHEMA(ingress_port, NULL, KF_INT("number", 1, 65535, .required = true),
                   KF_STR("protocol", .required = true, .oneof = "http https grpc"));

static KUBE_SCHEMA(ingress_backend, NULL,
                   KF_STR("name", .required = true, .syntax = kube_is_dns1035_label),
                   KF_OBJ("port", ingress_port, .required = true), KF_OBJ("tls", backend_tls));

static bool has_principal(const json_t *sources)
{
    for (size_t i = 0; i < json_array_size(sources); i++) {
        if (strcmp(text_of(json_array_get(sources, i), "kind"), "AuthenticatedPrincipal") == 0)
            return true;
    }
    return false;
}

/* one name and port stand once */
static void check_backends_differ(struct kube_checker *c, const json_t *backends)
{
    json_t *pairs = json_array();
    for (size_t i = 0; i < json_array_size(backends); i++) {
        const json_t *b = json_array_get(backends, i);
        const json_t *port = json_object_get(json_object_get(b, "port"), "number");
        json_array_append_new(
            pairs, json_pack("{s:O, s:O}", "name", json_object_get(b, "name"), "port", port));
    }
    kube_enter(c, "backends");
    kube_check_unique(c, pairs, "name port");
    kube_leave(c);
    json_decref(pairs);
}

/* https means mutual TLS unless the client's certificate is explicitly not looked at */
static void check_ingress_backend(struct kube_checker *c, json_t *spec)
{
    const json_t *backends = json_object_get(spec, "backends");
    bool principal = has_principal(json_object_get(spec, "sources"));
    check_backends_differ(c, backends);
    kube_enter(c, "backends");
    for (size_t i = 0; i < json_array_size(backends); i++) {
        const json_t *b = json_array_get(backends, i);
        bool skip =
            json_is_true(json_object_get(json_object_get(b, "tls"), "skipClientCertValidation"));
        kube_enter_index(c, i);
        if (strcmp(text_of(json_object_get(b, "port"), "protocol"), "https") == 0 && !skip &&
            !principal)
            kube_fault(c, "https with client certificate validation needs at least one source of "
                          "kind AuthenticatedPrincipal");
        kube_leave(c);
    }
    kube_leave(c);
}

static KUBE_SCHEMA(ingress_backend_spec, check_ingress_backend,
                   KF_LIST("backends", ingress_backend, .required = true),
                   KF_LIST("sources", source, .required = true),
                   KF_LIST("matches", kube_schema_typed_ref));

KUBE_KIND_SCHEMA(kube_schema_ingress_backend, NULL,
                 KF_OBJ("spec", ingress_backend_spec, .required = true), KF_ANY("status"));

static KUBE_SCHEMA(access_port, NULL, KF_INT("number", 1, 65535, .required = true),
                   KF_STR("protocol", .required = true, .oneof = "http https grpc tcp"));

static KUBE_SCHEMA(access_backend, NULL,
                   KF_STR("name", .required = true, .syntax = kube_is_dns1035_label),
                   KF_OBJ("port", access_port, .required = true), KF_OBJ("tls", backend_tls));

static void check_access_control(struct kube_checker *c, json_t *spec)
{
    check_backends_differ(c, json_object_get(spec, "backends"));
}

static KUBE_SCHEMA(access_control_spec, check_access_control, KF_LIST("backends", access_backend),
                   KF_LIST("sources", source, .required = true),
                   KF_LIST("matches", kube_schema_typed_ref));

KUBE_KIND_SCHEMA(kube_schema_access_control, NULL,
                 KF_OBJ("spec", access_control_spec, .required = true), KF_ANY("status"));

static KUBE_SCHEMA(access_cert_spec, NULL,
                   KF_STRS("subjectAltNames", .required = true, .syntax = kube_is_host),
                   KF_OBJ("secret", secret_ref, .required = true));

KUBE_KIND_SCHEMA(kube_schema_access_cert, NULL, KF_OBJ("spec", access_cert_spec, .required = true),
                 KF_ANY("status"));

/* ---- Retry ---------------------------------------------------------------------------------- */

static KUBE_SCHEMA(retry_source, NULL, KF_STR("kind", .required = true, .oneof = "ServiceAccount"),
                   KF_STR("name", .required = true),
                   KF_STR("namespace", .required = true, .syntax = kube_is_dns_label));

static KUBE_SCHEMA(retry_destination, NULL, KF_STR("kind", .required = true, .oneof = "Service"),
                   KF_STR("name", .required = true),
                   KF_STR("namespace", .required = true, .syntax = kube_is_dns_label));

static KUBE_SCHEMA(retry_policy, NULL, KF_STR("retryOn", .required = true),
                   KF_STR("perTryTimeout", .syntax = kube_is_duration),
                   KF_INT("numRetries", 0, U32_MAX),
                   KF_STR("retryBackoffBaseInterval", .syntax = kube_is_duration));

static KUBE_SCHEMA(retry_spec, NULL, KF_OBJ("source", retry_source, .required = true),
                   KF_LIST("destinations", retry_destination, .required = true),
                   KF_OBJ("retryPolicy", retry_policy, .required = true));

KUBE_KIND_SCHEMA(kube_schema_retry, NULL, KF_OBJ("spec", retry_spec, .required = true),
                 KF_ANY("status"));

/* ---- UpstreamTrafficSetting ----------------------------------------------------------------- */

static KUBE_SCHEMA(tcp_settings, NULL, KF_INT("maxConnections", 0, U32_MAX),
                   KF_STR("connectTimeout", .syntax = kube_is_duration));

static KUBE_SCHEMA(circuit_breaking, NULL,
                   KF_STR("statTimeWindow", .required = true, .syntax = kube_is_duration),
                   KF_INT("minRequestAmount", 0, U32_MAX, .required = true),
                   KF_STR("degradedTimeWindow", .required = true, .syntax = kube_is_duration),
                   KF_STR("slowTimeThreshold", .syntax = kube_is_duration),
                   KF_INT("slowAmountThreshold", 0, U32_MAX), KF_NUM("slowRatioThreshold", 0, 1),
                   KF_INT("errorAmountThreshold", 0, U32_MAX), KF_NUM("errorRatioThreshold", 0, 1),
                   KF_INT("degradedStatusCode", 200, 599), KF_STR("degradedResponseContent"));

static KUBE_SCHEMA(http_settings, NULL, KF_INT("maxRequests", 0, U32_MAX),
                   KF_INT("maxRequestsPerConnection", 0, U32_MAX),
                   KF_INT("maxPendingRequests", 0, U32_MAX), KF_INT("maxRetries", 0, U32_MAX),
                   KF_OBJ("circuitBreaking", circuit_breaking));

static KUBE_SCHEMA(connection_settings, NULL, KF_OBJ("tcp", tcp_settings),
                   KF_OBJ("http", http_settings));

static KUBE_SCHEMA(add_header, NULL, KF_STR("name", .required = true, .syntax = kube_is_http_token),
                   KF_STR("value"));

#define UNITS "second minute hour"

static KUBE_SCHEMA(tcp_limit, NULL, KF_INT("connections", 1, U32_MAX, .required = true),
                   KF_STR("unit", .required = true, .oneof = UNITS), KF_INT("burst", 0, U32_MAX));

static KUBE_SCHEMA(http_limit, NULL, KF_INT("requests", 1, U32_MAX, .required = true),
                   KF_STR("unit", .required = true, .oneof = UNITS), KF_INT("burst", 0, U32_MAX),
                   KF_INT("responseStatusCode", 400, 599),
                   KF_LIST("responseHeadersToAdd", add_header));

static KUBE_SCHEMA(local_limits, NULL, KF_OBJ("tcp", tcp_limit), KF_OBJ("http", http_limit));
static KUBE_SCHEMA(rate_limit, NULL, KF_OBJ("local", local_limits));
static KUBE_SCHEMA(route_rate_limit, NULL, KF_OBJ("local", http_limit));

static KUBE_SCHEMA(http_route, NULL, KF_STR("path", .required = true, .syntax = kube_is_regex),
                   KF_OBJ("rateLimit", route_rate_limit));

static KUBE_SCHEMA(upstream_spec, NULL, KF_STR("host", .required = true, .syntax = kube_is_fqdn),
                   KF_OBJ("connectionSettings", connection_settings),
                   KF_OBJ("rateLimit", rate_limit),
                   KF_LIST("httpRoutes", http_route, .key = "path"));

KUBE_KIND_SCHEMA(kube_schema_upstream_traffic_setting, NULL,
                 KF_OBJ("spec", upstream_spec, .required = true), KF_ANY("status"));
