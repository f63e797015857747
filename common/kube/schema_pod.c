/* schema_pod.c - Pod, PodTemplate and the pod templates of workloads (core/v1, 1.34). */
#include <limits.h>
#include <string.h>
#include "common/base/table.h"
#include "common/kube/schemas.h"

/* ---- scheduling ----------------------------------------------------------------------------- */

static KUBE_SCHEMA(node_requirement, NULL, KF_STR("key", .required = true),
                   KF_STR("operator", .required = true,
                          .oneof = "In NotIn Exists DoesNotExist Gt Lt"),
                   KF_STRS("values"));

static KUBE_SCHEMA(node_term, NULL, KF_LIST("matchExpressions", node_requirement),
                   KF_LIST("matchFields", node_requirement));

static KUBE_SCHEMA(node_selector, NULL, KF_LIST("nodeSelectorTerms", node_term, .required = true));

static KUBE_SCHEMA(preferred_node, NULL, KF_INT("weight", 1, 100, .required = true),
                   KF_OBJ("preference", node_term, .required = true));

#define REQUIRED  "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static KUBE_SCHEMA(node_affinity, NULL, KF_OBJ(REQUIRED, node_selector),
                   KF_LIST(PREFERRED, preferred_node));

static KUBE_SCHEMA(pod_term, NULL, KF_OBJ("labelSelector", kube_schema_selector),
                   KF_STRS("namespaces"), KF_STR("topologyKey", .required = true),
                   KF_OBJ("namespaceSelector", kube_schema_selector), KF_STRS("matchLabelKeys"),
                   KF_STRS("mismatchLabelKeys"));

static KUBE_SCHEMA(weighted_pod_term, NULL, KF_INT("weight", 1, 100, .required = true),
                   KF_OBJ("podAffinityTerm", pod_term, .required = true));

static KUBE_SCHEMA(pod_affinity, NULL, KF_LIST(REQUIRED, pod_term),
                   KF_LIST(PREFERRED, weighted_pod_term));

static KUBE_SCHEMA(affinity, NULL, KF_OBJ("nodeAffinity", node_affinity),
                   KF_OBJ("podAffinity", pod_affinity), KF_OBJ("podAntiAffinity", pod_affinity));

static KUBE_SCHEMA(toleration, NULL, KF_STR("key"),
                   KF_STR("operator", .oneof = "Exists Equal Lt Gt"), KF_STR("value"),
                   KF_STR("effect", .oneof = "NoSchedule PreferNoSchedule NoExecute"),
                   KF_INT("tolerationSeconds", LLONG_MIN, LLONG_MAX));

static KUBE_SCHEMA(topology_spread, NULL, KF_INT("maxSkew", 1, INT_MAX, .required = true),
                   KF_STR("topologyKey", .required = true),
                   KF_STR("whenUnsatisfiable", .required = true,
                          .oneof = "DoNotSchedule ScheduleAnyway"),
                   KF_OBJ("labelSelector", kube_schema_selector), KF_INT("minDomains", 1, INT_MAX),
                   KF_STR("nodeAffinityPolicy", .oneof = "Honor Ignore"),
                   KF_STR("nodeTaintsPolicy", .oneof = "Honor Ignore"), KF_STRS("matchLabelKeys"));

static KUBE_SCHEMA(readiness_gate, NULL, KF_STR("conditionType", .required = true));
static KUBE_SCHEMA(scheduling_gate, NULL, KF_STR("name", .required = true));
static KUBE_SCHEMA(pod_resource_claim, NULL, KF_STR("name", .required = true),
                   KF_STR("resourceClaimName"), KF_STR("resourceClaimTemplateName"));
static KUBE_SCHEMA(pod_os, NULL, KF_STR("name", .required = true, .oneof = "linux windows"));

/* ---- network and security ------------------------------------------------------------------- */

static KUBE_SCHEMA(host_alias, NULL, KF_STR("ip", .required = true, .syntax = kube_is_ip),
                   KF_STRS("hostnames", .syntax = kube_is_dns_subdomain));

static KUBE_SCHEMA(dns_option, NULL, KF_STR("name", .required = true), KF_STR("value"));

static KUBE_SCHEMA(dns_config, NULL, KF_STRS("nameservers", .syntax = kube_is_ip),
                   KF_STRS("searches"), KF_LIST("options", dns_option));

static KUBE_SCHEMA(sysctl, NULL, KF_STR("name", .required = true), KF_STR("value"));

static KUBE_SCHEMA(pod_security, NULL, KF_ANY("seLinuxOptions"), KF_ANY("windowsOptions"),
                   KF_INT("runAsUser", 0, INT_MAX), KF_INT("runAsGroup", 0, INT_MAX),
                   KF_BOOL("runAsNonRoot"), KF_INTS("supplementalGroups", 0, INT_MAX),
                   KF_STR("supplementalGroupsPolicy", .oneof = "Merge Strict"),
                   KF_INT("fsGroup", 0, INT_MAX), KF_LIST("sysctls", sysctl, .key = "name"),
                   KF_STR("fsGroupChangePolicy", .oneof = "OnRootMismatch Always"),
                   KF_ANY("seccompProfile"), KF_ANY("appArmorProfile"),
                   KF_STR("seLinuxChangePolicy", .oneof = "Recursive MountOption"));

/* ---- the spec: what spans its lists --------------------------------------------------------- */

static const char *const container_lists[] = {"initContainers", "containers", "ephemeralContainers",
                                              NULL};

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static void check_container_names(struct kube_checker *c, const json_t *spec)
{
    struct table *seen = table_new(NULL); /* name -> the list it stands in */
    for (const char *const *list = container_lists; *list; list++) {
        const json_t *v = json_object_get(spec, *list);
        kube_enter(c, *list);
        for (size_t i = 0; i < json_array_size(v); i++) {
            const char *name = text_of(json_array_get(v, i), "name");
            const char *where = table_get_str(seen, name);
            kube_enter_index(c, i);
            if (where)
                kube_fault_at(c, "name", "\"%s\" is the name of another container in %s", name,
                              where);
            else
                table_put_str(seen, name, (char *)*list);
            kube_leave(c);
        }
        kube_leave(c);
    }
    table_free(seen);
}

static void check_mounts_of(struct kube_checker *c, const struct table *volumes,
                            const json_t *container)
{
    const json_t *mounts = json_object_get(container, "volumeMounts");
    kube_enter(c, "volumeMounts");
    for (size_t i = 0; i < json_array_size(mounts); i++) {
        const char *name = text_of(json_array_get(mounts, i), "name");
        kube_enter_index(c, i);
        if (!table_get_str(volumes, name))
            kube_fault_at(c, "name", "\"%s\" is not a name under volumes", name);
        kube_leave(c);
    }
    kube_leave(c);
}

static void check_mounts(struct kube_checker *c, const json_t *spec)
{
    const json_t *volumes = json_object_get(spec, "volumes");
    struct table *names = table_new(NULL); /* of volumes; the values say only "there" */
    for (size_t i = 0; i < json_array_size(volumes); i++) {
        json_t *volume = json_array_get(volumes, i);
        table_put_str(names, text_of(volume, "name"), volume);
    }
    for (const char *const *list = container_lists; *list; list++) {
        const json_t *v = json_object_get(spec, *list);
        kube_enter(c, *list);
        for (size_t i = 0; i < json_array_size(v); i++) {
            kube_enter_index(c, i);
            check_mounts_of(c, names, json_array_get(v, i));
            kube_leave(c);
        }
        kube_leave(c);
    }
    table_free(names);
}

/* an init container that ends has no use for probes; one that stays (a sidecar) has */
static void check_init_containers(struct kube_checker *c, const json_t *spec)
{
    static const char *const live[] = {"livenessProbe", "readinessProbe", "startupProbe",
                                       "lifecycle", NULL};
    const json_t *v = json_object_get(spec, "initContainers");
    kube_enter(c, "initContainers");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *container = json_array_get(v, i);
        const char *which;
        if (strcmp(text_of(container, "restartPolicy"), "Always") == 0 ||
            kube_count_members(container, live, &which) == 0)
            continue;
        kube_enter_index(c, i);
        kube_fault_at(c, which, "only with restartPolicy: Always in an init container");
        kube_leave(c);
    }
    kube_leave(c);
}

/* serviceAccount is the old name of serviceAccountName */
static void settle_service_account(json_t *spec)
{
    const char *name = text_of(spec, "serviceAccountName");
    if (!*name)
        name = text_of(spec, "serviceAccount");
    json_object_set_new(spec, "serviceAccountName", json_string(*name ? name : "default"));
}

static void check_spec_with_claims(struct kube_checker *c, json_t *spec)
{
    settle_service_account(spec);
    check_container_names(c, spec);
    check_init_containers(c, spec);
    if (strcmp(text_of(spec, "dnsPolicy"), "None") == 0 &&
        json_array_size(json_object_get(json_object_get(spec, "dnsConfig"), "nameservers")) == 0)
        kube_fault_at(c, "dnsConfig", "nameservers are required with dnsPolicy None");
}

static void check_spec(struct kube_checker *c, json_t *spec)
{
    check_spec_with_claims(c, spec);
    check_mounts(c, spec);
}

static const struct kube_field spec_fields[] = {
    KF_LIST("volumes", kube_schema_volume, .key = "name"),
    KF_LIST("initContainers", kube_schema_container),
    KF_LIST("containers", kube_schema_container, .required = true),
    KF_LIST("ephemeralContainers", kube_schema_ephemeral_container),
    KF_STR("restartPolicy", .oneof = "Always OnFailure Never", .dflt = "Always"),
    KF_INT("terminationGracePeriodSeconds", 0, LLONG_MAX, .dflt = "30"),
    KF_INT("activeDeadlineSeconds", 1, LLONG_MAX),
    KF_STR("dnsPolicy", .oneof = "ClusterFirst ClusterFirstWithHostNet Default None",
           .dflt = "ClusterFirst"),
    KF_MAP("nodeSelector", .key_syntax = kube_is_label_key),
    KF_STR("serviceAccountName", .syntax = kube_is_dns_subdomain),
    KF_STR("serviceAccount", .syntax = kube_is_dns_subdomain),
    KF_BOOL("automountServiceAccountToken"),
    KF_STR("nodeName"),
    KF_BOOL("hostNetwork"),
    KF_BOOL("hostPID"),
    KF_BOOL("hostIPC"),
    KF_BOOL("hostUsers"),
    KF_BOOL("shareProcessNamespace"),
    KF_OBJ("securityContext", pod_security),
    KF_LIST("imagePullSecrets", kube_schema_local_ref),
    KF_STR("hostname", .syntax = kube_is_dns_label),
    KF_STR("subdomain", .syntax = kube_is_dns_label),
    KF_STR("hostnameOverride", .syntax = kube_is_dns_subdomain),
    KF_BOOL("setHostnameAsFQDN"),
    KF_OBJ("affinity", affinity),
    KF_STR("schedulerName"),
    KF_LIST("tolerations", toleration),
    KF_LIST("hostAliases", host_alias),
    KF_STR("priorityClassName"),
    KF_INT("priority", INT_MIN, INT_MAX),
    KF_STR("preemptionPolicy", .oneof = "Never PreemptLowerPriority"),
    KF_OBJ("dnsConfig", dns_config),
    KF_LIST("readinessGates", readiness_gate),
    KF_STR("runtimeClassName", .syntax = kube_is_dns_subdomain),
    KF_BOOL("enableServiceLinks"),
    KF_QTYS("overhead"),
    KF_LIST("topologySpreadConstraints", topology_spread),
    KF_OBJ("os", pod_os),
    KF_LIST("schedulingGates", scheduling_gate, .key = "name"),
    KF_LIST("resourceClaims", pod_resource_claim, .key = "name"),
    KF_OBJ("resources", kube_schema_resources),
    KF_ANY("workloadRef"),
    KF_ANY("schedulingGroup"),
    KF_ANY("evictionResponders"),
    KF_END,
};

static const struct kube_schema pod_spec = {spec_fields, check_spec};
static const struct kube_schema pod_spec_with_claims = {spec_fields, check_spec_with_claims};

/* ---- status --------------------------------------------------------------------------------- */

static KUBE_SCHEMA(condition, NULL, KF_STR("type", .required = true),
                   KF_STR("status", .required = true, .oneof = "True False Unknown"),
                   KF_INT("observedGeneration", 0, LLONG_MAX),
                   KF_STR("lastProbeTime", .syntax = kube_is_rfc3339),
                   KF_STR("lastTransitionTime", .syntax = kube_is_rfc3339), KF_STR("reason"),
                   KF_STR("message"));

static KUBE_SCHEMA(address, NULL, KF_STR("ip", .syntax = kube_is_ip));

static KUBE_SCHEMA(container_status, NULL, KF_STR("name", .required = true), KF_ANY("state"),
                   KF_ANY("lastState"), KF_BOOL("ready"), KF_INT("restartCount", 0, INT_MAX),
                   KF_STR("image"), KF_STR("imageID"), KF_STR("containerID"), KF_BOOL("started"),
                   KF_ANY("allocatedResources"), KF_ANY("resources"), KF_ANY("volumeMounts"),
                   KF_ANY("user"), KF_ANY("allocatedResourcesStatus"), KF_STR("stopSignal"));

static KUBE_SCHEMA(pod_status, NULL, KF_INT("observedGeneration", 0, LLONG_MAX),
                   KF_STR("phase", .oneof = "Pending Running Succeeded Failed Unknown"),
                   KF_LIST("conditions", condition, .key = "type"), KF_STR("message"),
                   KF_STR("reason"), KF_STR("nominatedNodeName"),
                   KF_STR("hostIP", .syntax = kube_is_ip), KF_LIST("hostIPs", address),
                   KF_STR("podIP", .syntax = kube_is_ip), KF_LIST("podIPs", address),
                   KF_STR("startTime", .syntax = kube_is_rfc3339),
                   KF_LIST("initContainerStatuses", container_status),
                   KF_LIST("containerStatuses", container_status), KF_STR("qosClass"),
                   KF_LIST("ephemeralContainerStatuses", container_status), KF_STR("resize"),
                   KF_ANY("resourceClaimStatuses"), KF_ANY("extendedResourceClaimStatus"),
                   KF_ANY("allocatedResources"), KF_ANY("resources"),
                   KF_ANY("nodeAllocatableResourceClaimStatuses"), KF_ANY("volumeHealth"));

/* ---- kinds ---------------------------------------------------------------------------------- */

KUBE_KIND_SCHEMA(kube_schema_pod, NULL, KF_OBJ("spec", pod_spec, .required = true),
                 KF_OBJ("status", pod_status));

KUBE_SCHEMA(kube_schema_template, NULL, KF_OBJ("metadata", kube_schema_metadata),
            KF_OBJ("spec", pod_spec, .required = true));

KUBE_SCHEMA(kube_schema_template_with_claims, NULL, KF_OBJ("metadata", kube_schema_metadata),
            KF_OBJ("spec", pod_spec_with_claims, .required = true));

KUBE_KIND_SCHEMA(kube_schema_pod_template, NULL,
                 KF_OBJ("template", kube_schema_template, .required = true));
