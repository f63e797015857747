/* schema_mesh.c - MeshConfig (config.flomesh.io), and the one that the installer writes.
 *
 * Fields of v1alpha1 and v1alpha2 that are gone are accepted and have no effect.  A boolean that
 * is missing stays missing, which means false; only kube_meshconfig_preset() turns things on.
 */
#include "common/kube/meshconfig.h"

#include <limits.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/limits.h"
#include "common/base/version.h"
#include "common/kube/schemas.h"

static KUBE_SCHEMA(property, NULL, KF_STR("name", .required = true), KF_STR("value"));

static KUBE_SCHEMA(cluster_set, NULL, KF_BOOL("isManaged"), KF_STR("uid"), KF_STR("region"),
                   KF_STR("zone"), KF_STR("group"), KF_STR("name"), KF_STR("controlPlaneUID"),
                   KF_LIST("properties", property, .key = "name"));

/* ---- sidecar -------------------------------------------------------------------------------- */

#define LOG_LEVELS "trace debug info warning warn error critical off"

static KUBE_SCHEMA(dns_wildcard, NULL, KF_BOOL("enable"), KF_STRS("ipv4", .syntax = kube_is_ipv4));

static KUBE_SCHEMA(dns_entry, NULL, KF_STR("dn", .required = true, .syntax = kube_is_host),
                   KF_STRS("ipv4", .syntax = kube_is_ipv4));

static KUBE_SCHEMA(local_dns, NULL, KF_BOOL("enable"), KF_BOOL("searchesWithNamespace"),
                   KF_BOOL("searchesWithTrustDomain"),
                   KF_STR("primaryUpstreamDNSServerIPAddr", .syntax = kube_is_ip),
                   KF_STR("secondaryUpstreamDNSServerIPAddr", .syntax = kube_is_ip),
                   KF_OBJ("wildcard", dns_wildcard), KF_LIST("db", dns_entry, .key = "dn"));

#define TLS_VERSIONS "TLS_AUTO TLSv1_0 TLSv1_1 TLSv1_2 TLSv1_3"

static void check_tls_range(struct kube_checker *c, json_t *sidecar)
{
    const char *min = json_string_value(json_object_get(sidecar, "tlsMinProtocolVersion"));
    const char *max = json_string_value(json_object_get(sidecar, "tlsMaxProtocolVersion"));
    bool both = min && max && strcmp(min, "TLS_AUTO") != 0 && strcmp(max, "TLS_AUTO") != 0;
    if (both && strcmp(min, max) > 0)
        kube_fault_at(c, "tlsMaxProtocolVersion", "got %s, older than tlsMinProtocolVersion %s",
                      max, min);
}

#define X(field, key, normal, least, most) KF_INT(key, least, most),
static const struct kube_schema limits = {.fields = (const struct kube_field[]){LIMITS(X) KF_END}};
#undef X

static KUBE_SCHEMA(sidecar, check_tls_range, KF_BOOL("enablePrivilegedInitContainer"),
                   KF_STR("logLevel", .oneof = LOG_LEVELS, .dflt = "error"), KF_STR("sidecarImage"),
                   KF_STR("initContainerImage"), KF_STR("healthcheckImage"),
                   KF_BOOL("sidecarDisabledMTLS"), KF_INT("maxDataPlaneConnections", 0, INT_MAX),
                   KF_STR("configResyncInterval", .syntax = kube_is_duration),
                   KF_INT("sidecarTimeout", 0, 0), KF_OBJ("resources", kube_schema_resources),
                   KF_OBJ("initResources", kube_schema_resources),
                   KF_OBJ("healthcheckResources", kube_schema_resources),
                   KF_STR("tlsMinProtocolVersion", .oneof = TLS_VERSIONS),
                   KF_STR("tlsMaxProtocolVersion", .oneof = TLS_VERSIONS), KF_STRS("cipherSuites"),
                   KF_STRS("ecdhCurves"),
                   KF_STR("localProxyMode", .oneof = "Localhost PodIP", .dflt = "Localhost"),
                   KF_OBJ("localDNSProxy", local_dns), KF_OBJ("limits", limits),
                   /* v1alpha1, v1alpha2: no effect */
                   KF_STR("sidecarClass"), KF_ANY("sidecarDrivers"));

static KUBE_SCHEMA(repo_server, NULL, KF_STR("ipaddr"), KF_INT("port", 0, 65535),
                   KF_STR("codebase"));

/* ---- traffic -------------------------------------------------------------------------------- */

static KUBE_SCHEMA(external_authorization, NULL, KF_BOOL("enable"), KF_STR("address"),
                   KF_INT("port", 0, 65535), KF_STR("statPrefix"),
                   KF_STR("timeout", .syntax = kube_is_duration), KF_BOOL("failureModeAllow"));

static KUBE_SCHEMA(traffic, NULL,
                   KF_STR("interceptionMode", .oneof = "iptables ebpf none", .dflt = "iptables"),
                   KF_BOOL("enableEgress"), KF_BOOL("enablePermissiveTrafficPolicyMode"),
                   KF_STR("serviceAccessMode", .oneof = "ip domain mixed", .dflt = "mixed"),
                   KF_STRS("outboundIPRangeExclusionList", .syntax = kube_is_ip_or_cidr),
                   KF_STRS("outboundIPRangeInclusionList", .syntax = kube_is_ip_or_cidr),
                   KF_INTS("outboundPortExclusionList", 1, 65535),
                   KF_INTS("inboundPortExclusionList", 1, 65535),
                   KF_STRS("networkInterfaceExclusionList", .syntax = kube_is_interface),
                   KF_BOOL("http1PerRequestLoadBalancing"), KF_BOOL("http2PerRequestLoadBalancing"),
                   KF_OBJ("inboundExternalAuthorization", external_authorization));

/* ---- observability, certificates, flags ----------------------------------------------------- */

/* v1alpha1 had a number here */
#define SAMPLED KF_ANY("sampledFraction")

static void check_sampled(struct kube_checker *c, json_t *v)
{
    const json_t *fraction = json_object_get(v, "sampledFraction");
    const char *text = json_string_value(fraction);
    double number = json_number_value(fraction);
    char got[96];
    if (!fraction || (text && !kube_is_ratio(text)) ||
        (json_is_number(fraction) && number >= 0 && number <= 1))
        return;
    kube_fault_at(c, "sampledFraction", "got %s, expected a number 0.0..1.0 as text",
                  kube_describe(c, fraction, got));
}

static KUBE_SCHEMA(tracing, check_sampled, KF_BOOL("enable"), KF_INT("port", 1, 65535),
                   KF_STR("address"), KF_STR("endpoint"), SAMPLED);

static KUBE_SCHEMA(remote_logging, check_sampled, KF_BOOL("enable"), KF_INT("level", 0, INT_MAX),
                   KF_INT("port", 1, 65535), KF_STR("address"), KF_STR("endpoint"),
                   KF_STR("authorization", .secret = true), SAMPLED, KF_STR("secretName"));

static KUBE_SCHEMA(observability, NULL,
                   KF_STR("fsmLogLevel",
                          .oneof = "trace debug info warn error fatal panic disabled",
                          .dflt = "info"),
                   KF_BOOL("enableDebugServer"), KF_OBJ("tracing", tracing),
                   KF_OBJ("remoteLogging", remote_logging));

static KUBE_SCHEMA(secret_ref, NULL, KF_STR("name", .required = true),
                   KF_STR("namespace", .required = true));

static KUBE_SCHEMA(ingress_certificate, NULL, KF_STRS("subjectAltNames"),
                   KF_STR("validityDuration", .syntax = kube_is_duration),
                   KF_OBJ("secret", secret_ref));

static KUBE_SCHEMA(certificate, NULL,
                   KF_STR("serviceCertValidityDuration", .syntax = kube_is_validity),
                   KF_INT("certKeyBitSize", 0, 65536),
                   KF_OBJ("ingressGateway", ingress_certificate));

static KUBE_SCHEMA(feature_flags, NULL, KF_BOOL("enableEgressPolicy"),
                   KF_BOOL("enableIngressBackendPolicy"), KF_BOOL("enableAccessControlPolicy"),
                   KF_BOOL("enableAccessCertPolicy"), KF_BOOL("enableRetryPolicy"),
                   KF_BOOL("enablePluginPolicy"), KF_BOOL("enableAutoDefaultRoute"),
                   KF_BOOL("enableSidecarActiveHealthChecks"), KF_BOOL("enableSidecarPrettyConfig"),
                   KF_BOOL("enableSnapshotCacheMode"), KF_BOOL("enableAsyncProxyServiceMapping"),
                   KF_BOOL("enableMulticlusterMode"), KF_BOOL("enableWASMStats"),
                   KF_BOOL("enableValidateGatewayListenerHostname"),
                   KF_BOOL("enableValidateHTTPRouteHostnames"),
                   KF_BOOL("enableValidateGRPCRouteHostnames"),
                   KF_BOOL("enableValidateTLSRouteHostnames"), KF_BOOL("enableGatewayAgentService"),
                   KF_BOOL("enableGatewayProxyTag"));

static KUBE_SCHEMA(plugin, NULL, KF_STR("plugin", .required = true), KF_NUM("priority", 0, 0),
                   KF_BOOL("disable"));

static KUBE_SCHEMA(plugin_chains, NULL, KF_LIST("inbound-tcp", plugin),
                   KF_LIST("inbound-http", plugin), KF_LIST("outbound-tcp", plugin),
                   KF_LIST("outbound-http", plugin));

/* ---- gateways, images ----------------------------------------------------------------------- */

/* upstream's only accepted spelling was "sock5": objects carry that one */
static void settle_egress_mode(struct kube_checker *c, json_t *gateway)
{
    const char *mode = json_string_value(json_object_get(gateway, "mode"));
    if (strcmp(mode, "socks5") == 0)
        json_object_set_new(gateway, "mode", json_string("sock5"));
}

static KUBE_SCHEMA(egress_gateway, settle_egress_mode, KF_BOOL("enabled"),
                   KF_STR("logLevel", .oneof = LOG_LEVELS, .dflt = "error"),
                   KF_STR("mode", .oneof = "http2tunnel sock5 socks5", .dflt = "http2tunnel"),
                   KF_INT("port", 1, 65535, .dflt = "1080"),
                   KF_INT("adminPort", 1, 65535, .dflt = "6060"),
                   KF_INT("replicas", 0, INT_MAX, .dflt = "1"),
                   KF_OBJ("resources", kube_schema_resources));

static KUBE_SCHEMA(image, NULL, KF_STR("registry"), KF_STR("tag"),
                   KF_STR("pullPolicy", .oneof = "Always Never IfNotPresent"));

static KUBE_SCHEMA(misc, NULL, KF_STR("curlImage"), KF_STR("repoServerImage"));

static KUBE_SCHEMA(via_gateway, NULL, KF_STR("clusterIP"), KF_STR("externalIP"),
                   KF_STR("ingressAddr"), KF_INT("ingressHTTPPort", 0, 65535),
                   KF_INT("ingressGRPCPort", 0, 65535), KF_STR("egressAddr"),
                   KF_INT("egressHTTPPort", 0, 65535), KF_INT("egressGRPCPort", 0, 65535));

static KUBE_SCHEMA(connector, NULL, KF_OBJ("viaGateway", via_gateway));

static KUBE_SCHEMA(mesh_config_spec, NULL, KF_OBJ("clusterSet", cluster_set),
                   KF_OBJ("sidecar", sidecar), KF_OBJ("repoServer", repo_server),
                   KF_OBJ("traffic", traffic), KF_OBJ("observability", observability),
                   KF_OBJ("certificate", certificate), KF_OBJ("featureFlags", feature_flags),
                   KF_OBJ("pluginChains", plugin_chains), KF_ANY("ingress"), KF_ANY("gatewayAPI"),
                   KF_ANY("serviceLB"), KF_ANY("flb"), KF_OBJ("egressGateway", egress_gateway),
                   KF_OBJ("image", image), KF_OBJ("misc", misc), KF_OBJ("connector", connector));

KUBE_KIND_SCHEMA(kube_schema_mesh_config, NULL, KF_OBJ("spec", mesh_config_spec, .dflt = "{}"),
                 KF_ANY("status"));

/* ---- the preset ----------------------------------------------------------------------------- */

static const char preset[] =
    "{\"apiVersion\":\"config.flomesh.io/v1alpha3\",\"kind\":\"MeshConfig\","
    "\"metadata\":{\"name\":\"fsm-mesh-config\"},"
    "\"spec\":{"
    "\"clusterSet\":{\"isManaged\":false,\"uid\":\"\",\"region\":\"default\",\"zone\":\"default\","
    "\"group\":\"default\",\"name\":\"local\",\"controlPlaneUID\":\"\",\"properties\":[]},"
    "\"sidecar\":{\"enablePrivilegedInitContainer\":false,\"logLevel\":\"error\","
    "\"sidecarImage\":\"\",\"sidecarDisabledMTLS\":false,\"maxDataPlaneConnections\":0,"
    "\"configResyncInterval\":\"90s\",\"sidecarTimeout\":60,\"resources\":{},"
    "\"localProxyMode\":\"Localhost\",\"localDNSProxy\":{\"enable\":false,"
    "\"searchesWithNamespace\":true,\"searchesWithTrustDomain\":true,"
    "\"wildcard\":{\"enable\":false,\"ipv4\":[\"127.0.0.2\"]},\"db\":[]}},"
    "\"repoServer\":{\"ipaddr\":\"127.0.0.1\",\"port\":6060,\"codebase\":\"\"},"
    "\"traffic\":{\"interceptionMode\":\"iptables\",\"enableEgress\":true,"
    "\"enablePermissiveTrafficPolicyMode\":true,\"serviceAccessMode\":\"mixed\","
    "\"outboundIPRangeExclusionList\":[],\"outboundIPRangeInclusionList\":[],"
    "\"outboundPortExclusionList\":[],\"inboundPortExclusionList\":[],"
    "\"networkInterfaceExclusionList\":[],\"http1PerRequestLoadBalancing\":false,"
    "\"http2PerRequestLoadBalancing\":true,"
    "\"inboundExternalAuthorization\":{\"enable\":false,\"timeout\":\"1s\"}},"
    "\"observability\":{\"fsmLogLevel\":\"info\",\"enableDebugServer\":false,"
    "\"tracing\":{\"enable\":false,\"port\":9411,\"endpoint\":\"/api/v2/spans\","
    "\"sampledFraction\":\"1.0\"},"
    "\"remoteLogging\":{\"enable\":false,\"level\":2,\"port\":30514,\"address\":\"\","
    "\"endpoint\":\"/?query=insert%20into%20log(message)%20format%20JSONAsString\","
    "\"sampledFraction\":\"1.0\",\"secretName\":\"fsm-remote-logging-secret\"}},"
    "\"certificate\":{\"serviceCertValidityDuration\":\"24h\",\"certKeyBitSize\":2048},"
    "\"featureFlags\":{\"enableEgressPolicy\":true,\"enableIngressBackendPolicy\":true,"
    "\"enableAccessControlPolicy\":true,\"enableAccessCertPolicy\":false,"
    "\"enableRetryPolicy\":true,\"enablePluginPolicy\":false,\"enableAutoDefaultRoute\":false,"
    "\"enableSidecarActiveHealthChecks\":false,\"enableSidecarPrettyConfig\":true,"
    "\"enableSnapshotCacheMode\":false,\"enableAsyncProxyServiceMapping\":false,"
    "\"enableValidateGatewayListenerHostname\":true,\"enableValidateHTTPRouteHostnames\":true,"
    "\"enableValidateGRPCRouteHostnames\":true,\"enableValidateTLSRouteHostnames\":true,"
    "\"enableGatewayAgentService\":false,\"enableGatewayProxyTag\":false},"
    "\"pluginChains\":{\"inbound-tcp\":[],\"inbound-http\":[],\"outbound-tcp\":[],"
    "\"outbound-http\":[]},"
    "\"egressGateway\":{\"enabled\":false,\"logLevel\":\"error\",\"mode\":\"http2tunnel\","
    "\"port\":1080,\"adminPort\":6060,\"replicas\":1},"
    "\"image\":{\"registry\":\"flomesh\",\"pullPolicy\":\"IfNotPresent\"}}}";

json_t *kube_meshconfig_preset(const char *fsm_namespace)
{
    json_t *config = json_loads(preset, JSON_REJECT_DUPLICATES, NULL);
    BUG_ON(!config);
    json_object_set_new(json_object_get(config, "metadata"), "namespace",
                        json_string(fsm_namespace));
    json_t *spec = json_object_get(config, "spec");
    json_object_set_new(json_object_get(spec, "image"), "tag", json_string(fsm_version));
    json_t *trace = json_object_get(json_object_get(spec, "observability"), "tracing");
    json_object_set_new(trace, "address",
                        json_sprintf("jaeger.%s.svc.cluster.local", fsm_namespace));
    return config;
}
