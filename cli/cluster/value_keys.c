/* value_keys.c - the keys that --set and values files may name. */
#include <stddef.h>
#include <string.h>
#include "cli/cluster/values.h"

#define MESH(k, t, field)                                                                          \
    {                                                                                              \
        "fsm." k, VALUE_##t, "mesh spec." field, NULL                                              \
    }
#define PART(k, t, field, what)                                                                    \
    {                                                                                              \
        "fsm." k, VALUE_##t, "mesh spec." field, what                                              \
    }
#define FLAG(k, t, to)                                                                             \
    {                                                                                              \
        "fsm." k, VALUE_##t, "flag " to, NULL                                                      \
    }
#define OWN(k, t, word)                                                                            \
    {                                                                                              \
        "fsm." k, VALUE_##t, "own " word, NULL                                                     \
    }
#define NONE(k, t, why)                                                                            \
    {                                                                                              \
        "fsm." k, VALUE_##t, "", why                                                               \
    }
#define FEATURE(k) MESH("featureFlags." k, BOOL, "featureFlags." k)
/* of one Deployment; the chart says "resource" */
#define DEPLOYMENT(k, name)                                                                        \
    {"fsm." k ".replicaCount", VALUE_INT, "replicas " name, NULL},                                 \
        {"fsm." k ".resource", VALUE_ANY, "resources " name, NULL},                                \
        {"fsm." k ".resources", VALUE_ANY, "resources " name, NULL},                               \
        {"fsm." k ".podLabels", VALUE_ANY, "labels " name, NULL},                                  \
        {"fsm." k ".affinity", VALUE_ANY, "pod " name " affinity", NULL},                          \
        {"fsm." k ".tolerations", VALUE_ANY, "pod " name " tolerations", NULL},                    \
    {                                                                                              \
        "fsm." k ".nodeSelector", VALUE_ANY, "pod " name " nodeSelector", NULL                     \
    }

#define NO_INGRESS  "this version runs no ingress controller: the MeshConfig remembers the setting"
#define NO_GATEWAY  "this version runs no gateway: the MeshConfig remembers the setting"
#define NO_EBPF     "this version has no eBPF interceptor to debug"
#define NO_DEPLOY   "this version deploys none: install it by itself"
#define NO_PROVIDER "this version signs certificates itself and has no other provider"

const struct value_key value_keys[] = {
    /* the installation itself */
    OWN("meshName", TEXT, "mesh"),
    OWN("fsmNamespace", TEXT, "namespace"),
    OWN("enforceSingleMesh", BOOL, "single"),
    OWN("image.registry", TEXT, "registry"),
    OWN("image.tag", TEXT, "tag"),
    OWN("image.pullPolicy", TEXT, "pullPolicy"),
    OWN("image.name.fsmController", TEXT, "image"),
    OWN("image.name.fsmInjector", TEXT, "image"),
    OWN("imagePullSecrets", ANY, "pullSecrets"),
    OWN("caBundleSecretName", TEXT, "ca"),
    OWN("webhookConfigNamePrefix", TEXT, "prefix"),
    OWN("injector.webhookTimeoutSeconds", INT, "timeout"),
    FLAG("trustDomain", TEXT, "* --trust-domain"),
    DEPLOYMENT("fsmController", "fsm-controller"),
    DEPLOYMENT("injector", "fsm-injector"),
    /* traffic */
    MESH("enablePermissiveTrafficPolicy", BOOL, "traffic.enablePermissiveTrafficPolicyMode"),
    MESH("enableEgress", BOOL, "traffic.enableEgress"),
    MESH("outboundIPRangeExclusionList", TEXTS, "traffic.outboundIPRangeExclusionList"),
    MESH("outboundIPRangeInclusionList", TEXTS, "traffic.outboundIPRangeInclusionList"),
    MESH("outboundPortExclusionList", INTS, "traffic.outboundPortExclusionList"),
    MESH("inboundPortExclusionList", INTS, "traffic.inboundPortExclusionList"),
    MESH("networkInterfaceExclusionList", TEXTS, "traffic.networkInterfaceExclusionList"),
    MESH("trafficInterceptionMode", TEXT, "traffic.interceptionMode"),
    MESH("serviceAccessMode", TEXT, "traffic.serviceAccessMode"),
    MESH("http1PerRequestLoadBalancing", BOOL, "traffic.http1PerRequestLoadBalancing"),
    MESH("http2PerRequestLoadBalancing", BOOL, "traffic.http2PerRequestLoadBalancing"),
    MESH("inboundExternalAuthorization.enable", BOOL,
         "traffic.inboundExternalAuthorization.enable"),
    MESH("inboundExternalAuthorization.address", TEXT,
         "traffic.inboundExternalAuthorization.address"),
    MESH("inboundExternalAuthorization.port", INT, "traffic.inboundExternalAuthorization.port"),
    MESH("inboundExternalAuthorization.statPrefix", TEXT,
         "traffic.inboundExternalAuthorization.statPrefix"),
    MESH("inboundExternalAuthorization.timeout", TEXT,
         "traffic.inboundExternalAuthorization.timeout"),
    MESH("inboundExternalAuthorization.failureModeAllow", BOOL,
         "traffic.inboundExternalAuthorization.failureModeAllow"),
    /* sidecars */
    MESH("sidecar.image", TEXT, "sidecar.sidecarImage"),
    MESH("sidecar.initContainerImage", TEXT, "sidecar.initContainerImage"),
    MESH("sidecar.healthcheckImage", TEXT, "sidecar.healthcheckImage"),
    MESH("sidecar.sidecarLogLevel", TEXT, "sidecar.logLevel"),
    MESH("sidecar.sidecarTimeout", INT, "sidecar.sidecarTimeout"),
    MESH("sidecar.sidecarDisabledMTLS", BOOL, "sidecar.sidecarDisabledMTLS"),
    MESH("sidecar.resources", ANY, "sidecar.resources"),
    MESH("sidecar.initResources", ANY, "sidecar.initResources"),
    MESH("sidecar.healthcheckResources", ANY, "sidecar.healthcheckResources"),
    MESH("sidecar.limits", ANY, "sidecar.limits"),
    MESH("sidecar.tlsMinProtocolVersion", TEXT, "sidecar.tlsMinProtocolVersion"),
    MESH("sidecar.tlsMaxProtocolVersion", TEXT, "sidecar.tlsMaxProtocolVersion"),
    MESH("sidecar.cipherSuites", TEXTS, "sidecar.cipherSuites"),
    MESH("sidecar.ecdhCurves", TEXTS, "sidecar.ecdhCurves"),
    MESH("enablePrivilegedInitContainer", BOOL, "sidecar.enablePrivilegedInitContainer"),
    MESH("maxDataPlaneConnections", INT, "sidecar.maxDataPlaneConnections"),
    MESH("configResyncInterval", TEXT, "sidecar.configResyncInterval"),
    MESH("localProxyMode", TEXT, "sidecar.localProxyMode"),
    MESH("localDNSProxy.enable", BOOL, "sidecar.localDNSProxy.enable"),
    MESH("localDNSProxy.searchesWithNamespace", BOOL,
         "sidecar.localDNSProxy.searchesWithNamespace"),
    MESH("localDNSProxy.searchesWithTrustDomain", BOOL,
         "sidecar.localDNSProxy.searchesWithTrustDomain"),
    MESH("localDNSProxy.primaryUpstreamDNSServerIPAddr", TEXT,
         "sidecar.localDNSProxy.primaryUpstreamDNSServerIPAddr"),
    MESH("localDNSProxy.secondaryUpstreamDNSServerIPAddr", TEXT,
         "sidecar.localDNSProxy.secondaryUpstreamDNSServerIPAddr"),
    MESH("localDNSProxy.wildcard.enable", BOOL, "sidecar.localDNSProxy.wildcard.enable"),
    MESH("localDNSProxy.wildcard.ipv4", TEXTS, "sidecar.localDNSProxy.wildcard.ipv4"),
    MESH("localDNSProxy.db", ANY, "sidecar.localDNSProxy.db"),
    /* observability */
    MESH("controllerLogLevel", TEXT, "observability.fsmLogLevel"),
    MESH("enableDebugServer", BOOL, "observability.enableDebugServer"),
    MESH("tracing.enable", BOOL, "observability.tracing.enable"),
    MESH("tracing.address", TEXT, "observability.tracing.address"),
    MESH("tracing.port", INT, "observability.tracing.port"),
    MESH("tracing.endpoint", TEXT, "observability.tracing.endpoint"),
    MESH("tracing.sampledFraction", NUMBER_TEXT, "observability.tracing.sampledFraction"),
    MESH("remoteLogging.enable", BOOL, "observability.remoteLogging.enable"),
    MESH("remoteLogging.level", INT, "observability.remoteLogging.level"),
    MESH("remoteLogging.address", TEXT, "observability.remoteLogging.address"),
    MESH("remoteLogging.port", INT, "observability.remoteLogging.port"),
    MESH("remoteLogging.endpoint", TEXT, "observability.remoteLogging.endpoint"),
    MESH("remoteLogging.secretName", TEXT, "observability.remoteLogging.secretName"),
    MESH("remoteLogging.sampledFraction", NUMBER_TEXT,
         "observability.remoteLogging.sampledFraction"),
    /* certificates */
    MESH("certificateProvider.serviceCertValidityDuration", TEXT,
         "certificate.serviceCertValidityDuration"),
    MESH("certificateProvider.certKeyBitSize", INT, "certificate.certKeyBitSize"),
    OWN("certificateProvider.kind", TEXT, "provider"),
    /* switches */
    FEATURE("enableEgressPolicy"),
    FEATURE("enableIngressBackendPolicy"),
    FEATURE("enableAccessControlPolicy"),
    FEATURE("enableAccessCertPolicy"),
    FEATURE("enableRetryPolicy"),
    FEATURE("enablePluginPolicy"),
    FEATURE("enableAutoDefaultRoute"),
    FEATURE("enableSidecarActiveHealthChecks"),
    FEATURE("enableSidecarPrettyConfig"),
    FEATURE("enableSnapshotCacheMode"),
    FEATURE("enableAsyncProxyServiceMapping"),
    FEATURE("enableMulticlusterMode"),
    FEATURE("enableValidateGatewayListenerHostname"),
    FEATURE("enableValidateHTTPRouteHostnames"),
    FEATURE("enableValidateGRPCRouteHostnames"),
    FEATURE("enableValidateTLSRouteHostnames"),
    FEATURE("enableGatewayAgentService"),
    FEATURE("enableGatewayProxyTag"),
    MESH("pluginChains.inbound-tcp", ANY, "pluginChains.inbound-tcp"),
    MESH("pluginChains.inbound-http", ANY, "pluginChains.inbound-http"),
    MESH("pluginChains.outbound-tcp", ANY, "pluginChains.outbound-tcp"),
    MESH("pluginChains.outbound-http", ANY, "pluginChains.outbound-http"),
    MESH("clusterSet.isManaged", BOOL, "clusterSet.isManaged"),
    MESH("clusterSet.uid", TEXT, "clusterSet.uid"),
    MESH("clusterSet.region", TEXT, "clusterSet.region"),
    MESH("clusterSet.zone", TEXT, "clusterSet.zone"),
    MESH("clusterSet.group", TEXT, "clusterSet.group"),
    MESH("clusterSet.name", TEXT, "clusterSet.name"),
    MESH("clusterSet.controlPlaneUID", TEXT, "clusterSet.controlPlaneUID"),
    MESH("repoServer.ipaddr", TEXT, "repoServer.ipaddr"),
    MESH("repoServer.port", INT, "repoServer.port"),
    MESH("repoServer.codebase", TEXT, "repoServer.codebase"),
    MESH("curlImage", TEXT, "misc.curlImage"),
    MESH("repoServer.image", TEXT, "misc.repoServerImage"),
    /* edges of the mesh */
    PART("fsmIngress.enabled", BOOL, "ingress.enabled", NO_INGRESS),
    PART("fsmIngress.namespaced", BOOL, "ingress.namespaced", NO_INGRESS),
    PART("fsmIngress.http.enabled", BOOL, "ingress.http.enabled", NO_INGRESS),
    PART("fsmIngress.tls.enabled", BOOL, "ingress.tls.enabled", NO_INGRESS),
    PART("fsmIngress.tls.mTLS", BOOL, "ingress.tls.mTLS", NO_INGRESS),
    PART("fsmIngress.tls.sslPassthrough.enabled", BOOL, "ingress.tls.sslPassthrough.enabled",
         NO_INGRESS),
    PART("fsmIngress.tls.sslPassthrough.upstreamPort", INT,
         "ingress.tls.sslPassthrough.upstreamPort", NO_INGRESS),
    PART("fsmIngress.logLevel", TEXT, "ingress.logLevel", NO_INGRESS),
    PART("fsmGateway.enabled", BOOL, "gatewayAPI.enabled", NO_GATEWAY),
    PART("fsmGateway.logLevel", TEXT, "gatewayAPI.logLevel", NO_GATEWAY),
    PART("egressGateway.enabled", BOOL, "egressGateway.enabled",
         "this version runs no egress gateway: the MeshConfig remembers the setting"),
    MESH("egressGateway.logLevel", TEXT, "egressGateway.logLevel"),
    MESH("egressGateway.mode", TEXT, "egressGateway.mode"),
    MESH("egressGateway.port", INT, "egressGateway.port"),
    MESH("egressGateway.adminPort", INT, "egressGateway.adminPort"),
    MESH("egressGateway.replicaCount", INT, "egressGateway.replicas"),
    PART("serviceLB.enabled", BOOL, "serviceLB.enabled",
         "this version runs no load balancer: the MeshConfig remembers the setting"),
    PART("flb.enabled", BOOL, "flb.enabled",
         "this version drives no load balancer: the MeshConfig remembers the setting"),
    NONE("fsmInterceptor.debug", BOOL, NO_EBPF),
    NONE("fsmInterceptor.kernelTracing", BOOL, NO_EBPF),
    /* what the chart can install beside the mesh */
    NONE("deployPrometheus", BOOL, NO_DEPLOY),
    NONE("deployGrafana", BOOL, NO_DEPLOY),
    NONE("deployJaeger", BOOL, NO_DEPLOY),
    NONE("enableFluentbit", BOOL, NO_DEPLOY),
    NONE(
        "enableReconciler", BOOL,
        "fsm-injector keeps its webhook configuration right in any case; nothing else is restored"),
    {"smi.validateTrafficTarget", VALUE_BOOL, "",
     "the namespace of a TrafficTarget's destination is always checked"},
    {NULL, 0, NULL, NULL},
};

const struct value_key *value_key_find(const char *key)
{
    for (const struct value_key *k = value_keys; k->key; k++)
        if (strcmp(k->key, key) == 0)
            return k;
    return NULL;
}

const struct value_key *value_key_of_field(const char *path)
{
    for (const struct value_key *k = value_keys; k->key; k++) {
        if (strncmp(k->to, "mesh ", 5) != 0)
            continue;
        const char *field = k->to + 5;
        size_t n = strlen(field);
        if (strncmp(path, field, n) == 0 && strchr(".[", path[n]) != NULL)
            return k;
    }
    return NULL;
}
