/* schema_core.c - Namespace, ServiceAccount, ConfigMap, Secret, Service and their endpoints. */
#include <limits.h>
#include <string.h>
#include "common/base/cidr.h"
#include "common/base/codec.h"
#include "common/kube/schemas.h"

#define DATA_MAX (1u << 20) /* a ConfigMap's or Secret's values together */

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

/* ---- Namespace, ServiceAccount -------------------------------------------------------------- */

/* the API server gives every namespace its name as a label, for namespace selectors */
static void label_with_name(struct kube_checker *c, json_t *ns)
{
    json_t *meta = json_object_get(ns, "metadata");
    json_t *labels = json_object_get(meta, "labels");
    if (!labels) {
        labels = json_object();
        json_object_set_new(meta, "labels", labels);
    }
    json_object_set(labels, "kubernetes.io/metadata.name", json_object_get(meta, "name"));
}

static KUBE_SCHEMA(namespace_spec, NULL, KF_STRS("finalizers"));

KUBE_KIND_SCHEMA(kube_schema_namespace, label_with_name, KF_OBJ("spec", namespace_spec),
                 KF_ANY("status"));

KUBE_KIND_SCHEMA(kube_schema_service_account, NULL, KF_LIST("secrets", kube_schema_reference),
                 KF_LIST("imagePullSecrets", kube_schema_local_ref),
                 KF_BOOL("automountServiceAccountToken"));

/* ---- ConfigMap and Secret ------------------------------------------------------------------- */

static void check_data_size(struct kube_checker *c, const json_t *object)
{
    static const char *const members[] = {"data", "binaryData", NULL};
    size_t total = 0;
    for (const char *const *m = members; *m; m++) {
        const char *key;
        json_t *v;
        json_object_foreach (json_object_get(object, *m), key, v)
            total += json_string_length(v);
    }
    if (total > DATA_MAX)
        kube_fault_at(c, "data", "%zu bytes altogether, at most %u", total, DATA_MAX);
}

static void check_config_map(struct kube_checker *c, json_t *map)
{
    const json_t *data = json_object_get(map, "data");
    const char *key;
    json_t *v;
    kube_enter(c, "binaryData");
    json_object_foreach (json_object_get(map, "binaryData"), key, v) {
        kube_enter_map(c, key);
        if (json_object_get(data, key))
            kube_fault(c, "the same key stands under data");
        kube_leave(c);
    }
    kube_leave(c);
    check_data_size(c, map);
}

KUBE_KIND_SCHEMA(kube_schema_config_map, check_config_map,
                 KF_MAP("data", .key_syntax = kube_is_config_key),
                 KF_MAP("binaryData", .key_syntax = kube_is_config_key, .syntax = kube_is_base64),
                 KF_BOOL("immutable"));

/* stringData is how people write data; it wins over a key that is in both */
static void merge_string_data(json_t *secret)
{
    json_t *data = json_object_get(secret, "data");
    const json_t *plain = json_object_get(secret, "stringData");
    const char *key;
    json_t *v;
    if (plain && !data) {
        data = json_object();
        json_object_set_new(secret, "data", data);
    }
    json_object_foreach ((json_t *)plain, key, v) {
        struct buf b = BUF_INIT;
        base64_encode(json_string_value(v), json_string_length(v), &b);
        json_object_set_new(data, key, json_stringn(b.len ? b.p : "", b.len));
        buf_free(&b);
    }
    json_object_del(secret, "stringData");
}

/* the keys that a Secret of a well-known type must have */
static void check_secret(struct kube_checker *c, json_t *secret)
{
    static const struct {
        const char *type, *keys[2];
    } types[] = {{"kubernetes.io/tls", {"tls.crt", "tls.key"}},
                 {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}},
                 {"kubernetes.io/dockercfg", {".dockercfg"}},
                 {"kubernetes.io/ssh-auth", {"ssh-privatekey"}}};
    const char *type = text_of(secret, "type");
    merge_string_data(secret);
    check_data_size(c, secret);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i].type) != 0)
            continue;
        for (unsigned k = 0; k < 2 && types[i].keys[k]; k++) {
            if (!json_object_get(json_object_get(secret, "data"), types[i].keys[k]))
                kube_fault_at(c, "data", "key \"%s\" is required for type %s", types[i].keys[k],
                              type);
        }
    }
}

KUBE_KIND_SCHEMA(kube_schema_secret, check_secret, KF_STR("type", .dflt = "Opaque"),
                 KF_MAP("data", .key_syntax = kube_is_config_key, .syntax = kube_is_base64,
                        .secret = true),
                 KF_MAP("stringData", .key_syntax = kube_is_config_key, .secret = true),
                 KF_BOOL("immutable"));

/* ---- Service -------------------------------------------------------------------------------- */

static void settle_target_port(struct kube_checker *c, json_t *port)
{
    json_t *target = json_object_get(port, "targetPort");
    if (!target || (json_is_string(target) && json_string_length(target) == 0))
        json_object_set(port, "targetPort", json_object_get(port, "port"));
}

static KUBE_SCHEMA(service_port, settle_target_port, KF_STR("name", .syntax = kube_is_dns_label),
                   KF_STR("protocol", .oneof = "TCP UDP SCTP", .dflt = "TCP"),
                   KF_STR("appProtocol", .syntax = kube_is_label_key),
                   KF_INT("port", 1, 65535, .required = true),
                   KF_INTSTR("targetPort", 1, 65535, .syntax = kube_is_port_name),
                   KF_INT("nodePort", 0, 65535));

static KUBE_SCHEMA(client_ip, NULL, KF_INT("timeoutSeconds", 1, 86400));
static KUBE_SCHEMA(affinity_config, NULL, KF_OBJ("clientIP", client_ip));

static const char *is_cluster_ip(const char *s)
{
    return strcmp(s, "None") == 0 || !kube_is_ip(s) ? NULL : "an address, None or nothing";
}

static void check_port_names(struct kube_checker *c, const json_t *ports)
{
    kube_enter(c, "ports");
    kube_check_unique(c, ports, "name");
    for (size_t i = 0; json_array_size(ports) > 1 && i < json_array_size(ports); i++) {
        kube_enter_index(c, i);
        if (!*text_of(json_array_get(ports, i), "name"))
            kube_fault_at(c, "name", "required where a Service has several ports");
        kube_leave(c);
    }
    kube_leave(c);
}

/* clusterIP is clusterIPs[0]; whoever writes one of them means both */
static void settle_cluster_ips(struct kube_checker *c, json_t *spec)
{
    const char *ip = text_of(spec, "clusterIP");
    json_t *ips = json_object_get(spec, "clusterIPs");
    const char *first = json_string_value(json_array_get(ips, 0));
    if (*ip && !first)
        json_object_set_new(spec, "clusterIPs", json_pack("[s]", ip));
    else if (first && !*ip)
        json_object_set_new(spec, "clusterIP", json_string(first));
    else if (first && strcmp(first, ip) != 0)
        kube_fault_at(c, "clusterIPs", "got \"%s\" first, expected the clusterIP \"%s\"", first,
                      ip);
}

static void check_service(struct kube_checker *c, json_t *spec)
{
    const char *type = text_of(spec, "type");
    const json_t *ports = json_object_get(spec, "ports");
    bool external = strcmp(type, "ExternalName") == 0;
    bool headless = strcmp(text_of(spec, "clusterIP"), "None") == 0;
    settle_cluster_ips(c, spec);
    check_port_names(c, ports);
    if (json_array_size(ports) == 0 && !external && !headless)
        kube_fault_at(c, "ports", "required, but missing");
    if (external && !*text_of(spec, "externalName"))
        kube_fault_at(c, "externalName", "required with type ExternalName");
    if (headless && (strcmp(type, "NodePort") == 0 || strcmp(type, "LoadBalancer") == 0))
        kube_fault_at(c, "clusterIP", "None is not possible with type %s", type);
}

static KUBE_SCHEMA(
    service_spec, check_service, KF_LIST("ports", service_port, .key = "port protocol"),
    KF_MAP("selector", .key_syntax = kube_is_label_key, .syntax = kube_is_label_value),
    KF_STR("clusterIP", .syntax = is_cluster_ip), KF_STRS("clusterIPs", .syntax = is_cluster_ip),
    KF_STR("type", .oneof = "ClusterIP NodePort LoadBalancer ExternalName", .dflt = "ClusterIP"),
    KF_STRS("externalIPs", .syntax = kube_is_ip),
    KF_STR("sessionAffinity", .oneof = "None ClientIP", .dflt = "None"),
    KF_STR("loadBalancerIP", .syntax = kube_is_ip),
    KF_STRS("loadBalancerSourceRanges", .syntax = kube_is_ip_or_cidr),
    KF_STR("externalName", .syntax = kube_is_dns_subdomain),
    KF_STR("externalTrafficPolicy", .oneof = "Cluster Local"),
    KF_INT("healthCheckNodePort", 0, 65535), KF_BOOL("publishNotReadyAddresses"),
    KF_OBJ("sessionAffinityConfig", affinity_config), KF_STRS("ipFamilies", .oneof = "IPv4 IPv6"),
    KF_STR("ipFamilyPolicy", .oneof = "SingleStack PreferDualStack RequireDualStack"),
    KF_BOOL("allocateLoadBalancerNodePorts"), KF_STR("loadBalancerClass"),
    KF_STR("internalTrafficPolicy", .oneof = "Cluster Local"),
    KF_STR("trafficDistribution", .oneof = "PreferClose PreferSameZone PreferSameNode"));

KUBE_KIND_SCHEMA(kube_schema_service, NULL, KF_OBJ("spec", service_spec, .required = true),
                 KF_ANY("status"));

/* ---- Endpoints and EndpointSlice ------------------------------------------------------------ */

static KUBE_SCHEMA(endpoint_address, NULL, KF_STR("ip", .required = true, .syntax = kube_is_ip),
                   KF_STR("hostname", .syntax = kube_is_dns_label), KF_STR("nodeName"),
                   KF_OBJ("targetRef", kube_schema_reference));

static KUBE_SCHEMA(endpoint_port, NULL, KF_STR("name", .syntax = kube_is_dns_label),
                   KF_INT("port", 1, 65535, .required = true),
                   KF_STR("protocol", .oneof = "TCP UDP SCTP", .dflt = "TCP"),
                   KF_STR("appProtocol", .syntax = kube_is_label_key));

static KUBE_SCHEMA(subset, NULL, KF_LIST("addresses", endpoint_address),
                   KF_LIST("notReadyAddresses", endpoint_address),
                   KF_LIST("ports", endpoint_port, .key = "name"));

KUBE_KIND_SCHEMA(kube_schema_endpoints, NULL, KF_LIST("subsets", subset));

static KUBE_SCHEMA(endpoint_conditions, NULL, KF_BOOL("ready"), KF_BOOL("serving"),
                   KF_BOOL("terminating"));

static KUBE_SCHEMA(endpoint, NULL, KF_STRS("addresses", .required = true),
                   KF_OBJ("conditions", endpoint_conditions),
                   KF_STR("hostname", .syntax = kube_is_dns_label),
                   KF_OBJ("targetRef", kube_schema_reference), KF_MAP("deprecatedTopology"),
                   KF_STR("nodeName"), KF_STR("zone"), KF_ANY("hints"));

static KUBE_SCHEMA(slice_port, NULL, KF_STR("name", .syntax = kube_is_dns_label),
                   KF_STR("protocol", .oneof = "TCP UDP SCTP", .dflt = "TCP"),
                   KF_INT("port", 1, 65535), KF_STR("appProtocol", .syntax = kube_is_label_key));

static bool address_has_type(const char *address, const char *type)
{
    struct ip ip;
    if (strcmp(type, "FQDN") == 0)
        return !kube_is_dns_subdomain(address);
    return ip_parse(address, &ip) == 0 && ip.family == (strcmp(type, "IPv4") == 0 ? 4 : 6);
}

static void check_addresses(struct kube_checker *c, const json_t *addresses, const char *type)
{
    kube_enter(c, "addresses");
    for (size_t i = 0; i < json_array_size(addresses); i++) {
        const char *address = json_string_value(json_array_get(addresses, i));
        kube_enter_index(c, i);
        if (!address_has_type(address, type))
            kube_fault(c, "got \"%.60s\", expected an address of addressType %s", address, type);
        kube_leave(c);
    }
    kube_leave(c);
}

static void check_endpoint_slice(struct kube_checker *c, json_t *slice)
{
    const json_t *endpoints = json_object_get(slice, "endpoints");
    const char *type = text_of(slice, "addressType");
    kube_enter(c, "endpoints");
    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        kube_enter_index(c, i);
        check_addresses(c, json_object_get(json_array_get(endpoints, i), "addresses"), type);
        kube_leave(c);
    }
    kube_leave(c);
}

KUBE_KIND_SCHEMA(kube_schema_endpoint_slice, check_endpoint_slice,
                 KF_STR("addressType", .required = true, .oneof = "IPv4 IPv6 FQDN"),
                 KF_LIST("endpoints", endpoint), KF_LIST("ports", slice_port, .key = "name"));
