/* kind.c - the table of kinds, and the ways to name one. */
#include "common/kube/kind.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base/slice.h"
#include "common/kube/object.h"
#include "common/kube/schemas.h"

#define GW           "gateway.networking.k8s.io"
#define CLUSTER_WIDE false
#define NAMESPACED   true

/* Sorted by key (kube_kind_by_key searches by halves). */
static const struct kube_kind kinds[] = {
#define K(kind, group, versions, plural, aliases, scope, schema)                                   \
    {                                                                                              \
        kind, kind, group, versions, plural, aliases, scope, schema                                \
    }
    K("APIService", "apiregistration.k8s.io", "v1", "apiservices", "", CLUSTER_WIDE, NULL),
    K("AccessCert", "policy.flomesh.io", "v1alpha1", "accesscerts", "", NAMESPACED,
      &kube_schema_access_cert),
    K("AccessControl", "policy.flomesh.io", "v1alpha1", "accesscontrols", "", NAMESPACED,
      &kube_schema_access_control),
    K("AccessControlPolicy", "gateway.flomesh.io", "v1alpha1", "accesscontrolpolicies", "",
      NAMESPACED, NULL),
    K("BackendTLSPolicy", GW, "v1 v1alpha3 v1alpha2", "backendtlspolicies", "btlspolicy",
      NAMESPACED, NULL),
    K("CircuitBreakingPolicy", "gateway.flomesh.io", "v1alpha1", "circuitbreakingpolicies", "",
      NAMESPACED, NULL),
    K("Cluster", "flomesh.io", "v1alpha1", "clusters", "mcl", CLUSTER_WIDE, NULL),
    K("ClusterRole", "rbac.authorization.k8s.io", "v1", "clusterroles", "", CLUSTER_WIDE, NULL),
    K("ClusterRoleBinding", "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "",
      CLUSTER_WIDE, NULL),
    K("ConfigMap", "", "v1", "configmaps", "cm", NAMESPACED, &kube_schema_config_map),
    K("ControllerRevision", "apps", "v1", "controllerrevisions", "", NAMESPACED, NULL),
    K("CronJob", "batch", "v1", "cronjobs", "cj", NAMESPACED, &kube_schema_cron_job),
    K("CustomResourceDefinition", "apiextensions.k8s.io", "v1", "customresourcedefinitions",
      "crd crds", CLUSTER_WIDE, NULL),
    K("DaemonSet", "apps", "v1", "daemonsets", "ds", NAMESPACED, &kube_schema_daemon_set),
    K("Deployment", "apps", "v1", "deployments", "deploy", NAMESPACED, &kube_schema_deployment),
    K("Egress", "policy.flomesh.io", "v1alpha1", "egresses", "", NAMESPACED, &kube_schema_egress),
    K("EgressGateway", "policy.flomesh.io", "v1alpha1", "egressgateways", "", NAMESPACED,
      &kube_schema_egress_gateway),
    K("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices", "", NAMESPACED,
      &kube_schema_endpoint_slice),
    K("Endpoints", "", "v1", "endpoints", "ep", NAMESPACED, &kube_schema_endpoints),
    K("Event", "", "v1", "events", "ev", NAMESPACED, NULL),
    K("FaultInjectionPolicy", "gateway.flomesh.io", "v1alpha1", "faultinjectionpolicies", "",
      NAMESPACED, NULL),
    K("GRPCRoute", GW, "v1 v1alpha2", "grpcroutes", "", NAMESPACED, NULL),
    K("Gateway", GW, "v1 v1beta1 v1alpha2", "gateways", "gtw", NAMESPACED, NULL),
    K("GatewayClass", GW, "v1 v1beta1 v1alpha2", "gatewayclasses", "gc", CLUSTER_WIDE, NULL),
    K("GatewayTLSPolicy", "gateway.flomesh.io", "v1alpha1", "gatewaytlspolicies", "", NAMESPACED,
      NULL),
    K("GlobalTrafficPolicy", "flomesh.io", "v1alpha1", "globaltrafficpolicies", "gtp", NAMESPACED,
      NULL),
    K("HTTPRoute", GW, "v1 v1beta1 v1alpha2", "httproutes", "", NAMESPACED, NULL),
    K("HTTPRouteGroup", "specs.smi-spec.io", "v1alpha4 v1alpha3", "httproutegroups", "htr",
      NAMESPACED, &kube_schema_http_route_group),
    K("HealthCheckPolicy", "gateway.flomesh.io", "v1alpha1", "healthcheckpolicies", "", NAMESPACED,
      NULL),
    K("HorizontalPodAutoscaler", "autoscaling", "v2 v1", "horizontalpodautoscalers", "hpa",
      NAMESPACED, NULL),
    K("Ingress", "networking.k8s.io", "v1", "ingresses", "ing", NAMESPACED, NULL),
    K("IngressBackend", "policy.flomesh.io", "v1alpha1", "ingressbackends", "", NAMESPACED,
      &kube_schema_ingress_backend),
    K("IngressClass", "networking.k8s.io", "v1", "ingressclasses", "", CLUSTER_WIDE, NULL),
    K("Isolation", "policy.flomesh.io", "v1alpha1", "isolations", "", CLUSTER_WIDE, NULL),
    K("Job", "batch", "v1", "jobs", "", NAMESPACED, &kube_schema_job),
    K("Lease", "coordination.k8s.io", "v1", "leases", "", NAMESPACED, NULL),
    K("LimitRange", "", "v1", "limitranges", "limits", NAMESPACED, NULL),
    K("LoadBalancerPolicy", "gateway.flomesh.io", "v1alpha1", "loadbalancerpolicies", "",
      NAMESPACED, NULL),
    K("MeshConfig", "config.flomesh.io", "v1alpha3 v1alpha2 v1alpha1", "meshconfigs", "meshconfig",
      NAMESPACED, &kube_schema_mesh_config),
    K("MutatingWebhookConfiguration", "admissionregistration.k8s.io", "v1",
      "mutatingwebhookconfigurations", "", CLUSTER_WIDE, NULL),
    K("Namespace", "", "v1", "namespaces", "ns", CLUSTER_WIDE, &kube_schema_namespace),
    K("NamespacedIngress", "flomesh.io", "v1alpha1", "namespacedingresses", "nsig", NAMESPACED,
      NULL),
    K("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies", "netpol", NAMESPACED, NULL),
    K("Node", "", "v1", "nodes", "no", CLUSTER_WIDE, NULL),
    K("PersistentVolume", "", "v1", "persistentvolumes", "pv", CLUSTER_WIDE, NULL),
    K("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims", "pvc", NAMESPACED, NULL),
    K("Plugin", "plugin.flomesh.io", "v1alpha1", "plugins", "", CLUSTER_WIDE, NULL),
    K("PluginChain", "plugin.flomesh.io", "v1alpha1", "pluginchains", "", NAMESPACED, NULL),
    K("PluginConfig", "plugin.flomesh.io", "v1alpha1", "pluginconfigs", "", NAMESPACED, NULL),
    K("Pod", "", "v1", "pods", "po", NAMESPACED, &kube_schema_pod),
    K("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", "pdb", NAMESPACED, NULL),
    K("PodTemplate", "", "v1", "podtemplates", "", NAMESPACED, &kube_schema_pod_template),
    K("PriorityClass", "scheduling.k8s.io", "v1", "priorityclasses", "pc", CLUSTER_WIDE, NULL),
    K("RateLimitPolicy", "gateway.flomesh.io", "v1alpha1", "ratelimitpolicies", "", NAMESPACED,
      NULL),
    K("ReferenceGrant", GW, "v1beta1 v1alpha2", "referencegrants", "refgrant", NAMESPACED, NULL),
    K("ReplicaSet", "apps", "v1", "replicasets", "rs", NAMESPACED, &kube_schema_replica_set),
    K("ReplicationController", "", "v1", "replicationcontrollers", "rc", NAMESPACED, NULL),
    K("ResourceQuota", "", "v1", "resourcequotas", "quota", NAMESPACED, NULL),
    K("Retry", "policy.flomesh.io", "v1alpha1", "retries", "", NAMESPACED, &kube_schema_retry),
    K("RetryPolicy", "gateway.flomesh.io", "v1alpha1", "retrypolicies", "", NAMESPACED, NULL),
    K("Role", "rbac.authorization.k8s.io", "v1", "roles", "", NAMESPACED, NULL),
    K("RoleBinding", "rbac.authorization.k8s.io", "v1", "rolebindings", "", NAMESPACED, NULL),
    K("RuntimeClass", "node.k8s.io", "v1", "runtimeclasses", "", CLUSTER_WIDE, NULL),
    K("Secret", "", "v1", "secrets", "", NAMESPACED, &kube_schema_secret),
    K("Service", "", "v1", "services", "svc", NAMESPACED, &kube_schema_service),
    K("ServiceAccount", "", "v1", "serviceaccounts", "sa", NAMESPACED,
      &kube_schema_service_account),
    K("ServiceExport", "flomesh.io", "v1alpha1", "serviceexports", "sexp svcex", NAMESPACED, NULL),
    K("ServiceImport", "flomesh.io", "v1alpha1", "serviceimports", "simp svcim", NAMESPACED, NULL),
    K("SessionStickyPolicy", "gateway.flomesh.io", "v1alpha1", "sessionstickypolicies", "",
      NAMESPACED, NULL),
    K("StatefulSet", "apps", "v1", "statefulsets", "sts", NAMESPACED, &kube_schema_stateful_set),
    K("StorageClass", "storage.k8s.io", "v1", "storageclasses", "sc", CLUSTER_WIDE, NULL),
    K("TCPRoute", "specs.smi-spec.io", "v1alpha4 v1alpha3", "tcproutes", "tr", NAMESPACED,
      &kube_schema_tcp_route),
    {"TCPRoute." GW, "TCPRoute", GW, "v1alpha2", "tcproutes", "", NAMESPACED, NULL},
    K("TLSRoute", GW, "v1 v1alpha3 v1alpha2", "tlsroutes", "", NAMESPACED, NULL),
    K("TrafficSplit", "split.smi-spec.io", "v1alpha4 v1alpha3 v1alpha2", "trafficsplits", "ts",
      NAMESPACED, &kube_schema_traffic_split),
    K("TrafficTarget", "access.smi-spec.io", "v1alpha3 v1alpha2", "traffictargets", "tt",
      NAMESPACED, &kube_schema_traffic_target),
    K("TrafficWarmup", "policy.flomesh.io", "v1alpha1", "trafficwarmups", "", NAMESPACED, NULL),
    K("UDPRoute", GW, "v1alpha2", "udproutes", "", NAMESPACED, NULL),
    K("UpstreamTLSPolicy", "gateway.flomesh.io", "v1alpha1", "upstreamtlspolicies", "", NAMESPACED,
      NULL),
    K("UpstreamTrafficSetting", "policy.flomesh.io", "v1alpha1", "upstreamtrafficsettings", "",
      NAMESPACED, &kube_schema_upstream_traffic_setting),
    K("ValidatingWebhookConfiguration", "admissionregistration.k8s.io", "v1",
      "validatingwebhookconfigurations", "", CLUSTER_WIDE, NULL),
    K("VirtualMachine", "machine.flomesh.io", "v1alpha1", "virtualmachines", "vm", NAMESPACED,
      NULL),
#undef K
};
#define N_KINDS (sizeof kinds / sizeof *kinds)

unsigned kube_kinds_count(void)
{
    return N_KINDS;
}

const struct kube_kind *kube_kind_at(unsigned i)
{
    return &kinds[i];
}

unsigned kube_kind_index(const struct kube_kind *k)
{
    return (unsigned)(k - kinds);
}

static int compare_key(const void *key, const void *kind)
{
    return strcmp(key, ((const struct kube_kind *)kind)->key);
}

const struct kube_kind *kube_kind_by_key(const char *key)
{
    return bsearch(key, kinds, N_KINDS, sizeof *kinds, compare_key);
}

const struct kube_kind *kube_kind_find(const char *group, const char *kind)
{
    const struct kube_kind *k = kube_kind_by_key(kind);
    if (k && strcmp(k->group, group) == 0)
        return k;
    for (unsigned i = 0; k && i < N_KINDS; i++) {
        if (strcmp(kinds[i].kind, kind) == 0 && strcmp(kinds[i].group, group) == 0)
            return &kinds[i];
    }
    return NULL;
}

static bool has_word(const char *list, struct slice word)
{
    struct slice rest = slice_str(list);
    while (rest.p) {
        struct slice one = slice_cut(&rest, ' ');
        if (one.n > 0 && slice_ieq(one, word))
            return true;
    }
    return false;
}

const struct kube_kind *kube_kind_by_word(const char *word)
{
    struct slice group = slice_str(word);
    struct slice name = slice_cut(&group, '.');
    for (unsigned i = 0; i < N_KINDS; i++) {
        const struct kube_kind *k = &kinds[i];
        if (group.p && !slice_eq_str(group, k->group))
            continue;
        if (slice_ieq(name, slice_str(k->kind)) || slice_ieq(name, slice_str(k->plural)) ||
            has_word(k->aliases, name))
            return k;
    }
    return NULL;
}

const struct kube_kind *kube_kind_nearest(const char *kind)
{
    const struct kube_kind *best = NULL;
    unsigned least = kube_name_distance_limit(kind) + 1;
    for (unsigned i = 0; i < N_KINDS; i++) {
        unsigned d = kube_name_distance(kind, kinds[i].kind);
        if (d < least) {
            least = d;
            best = &kinds[i];
        }
    }
    return best;
}

const char *kube_kind_of(const char *word)
{
    const struct kube_kind *k = kube_kind_by_word(word);
    return k ? k->key : NULL;
}

int kube_kind_is_namespaced(const char *kind)
{
    const struct kube_kind *k = kube_kind_by_key(kind);
    return k ? k->namespaced : 1;
}
