/* schema_container.c - containers of a pod (core/v1 Container): ports, environment, probes. */
#include <limits.h>
#include <string.h>
#include "common/kube/schemas.h"

/* ---- environment ---------------------------------------------------------------------------- */

static KUBE_SCHEMA(field_selector, NULL, KF_STR("apiVersion", .dflt = "v1"),
                   KF_STR("fieldPath", .required = true));

static KUBE_SCHEMA(resource_selector, NULL, KF_STR("containerName"),
                   KF_STR("resource", .required = true), KF_QTY("divisor"));

static KUBE_SCHEMA(key_selector, NULL, KF_STR("name", .required = true),
                   KF_STR("key", .required = true, .syntax = kube_is_config_key),
                   KF_BOOL("optional"));

static KUBE_SCHEMA(file_key, NULL, KF_STR("volumeName", .required = true),
                   KF_STR("path", .required = true), KF_STR("key", .required = true),
                   KF_BOOL("optional"));

static void check_env_source(struct kube_checker *c, json_t *source)
{
    static const char *const sources[] = {"fieldRef",     "resourceFieldRef", "configMapKeyRef",
                                          "secretKeyRef", "fileKeyRef",       NULL};
    kube_check_exactly_one(c, source, sources);
}

static KUBE_SCHEMA(env_source, check_env_source, KF_OBJ("fieldRef", field_selector),
                   KF_OBJ("resourceFieldRef", resource_selector),
                   KF_OBJ("configMapKeyRef", key_selector), KF_OBJ("secretKeyRef", key_selector),
                   KF_OBJ("fileKeyRef", file_key));

static void check_env(struct kube_checker *c, json_t *env)
{
    if (json_string_length(json_object_get(env, "value")) > 0 && json_object_get(env, "valueFrom"))
        kube_fault_at(c, "valueFrom", "not together with value");
}

static KUBE_SCHEMA(env_var, check_env, KF_STR("name", .required = true, .syntax = kube_is_env_name),
                   KF_STR("value"), KF_OBJ("valueFrom", env_source));

static KUBE_SCHEMA(env_ref, NULL, KF_STR("name", .required = true), KF_BOOL("optional"));

static void check_env_from(struct kube_checker *c, json_t *from)
{
    static const char *const sources[] = {"configMapRef", "secretRef", NULL};
    kube_check_exactly_one(c, from, sources);
}

static KUBE_SCHEMA(env_from, check_env_from, KF_STR("prefix", .syntax = kube_is_env_name),
                   KF_OBJ("configMapRef", env_ref), KF_OBJ("secretRef", env_ref));

/* ---- probes and hooks ----------------------------------------------------------------------- */

static KUBE_SCHEMA(exec_action, NULL, KF_STRS("command", .required = true));

static KUBE_SCHEMA(http_header, NULL,
                   KF_STR("name", .required = true, .syntax = kube_is_http_token), KF_STR("value"));

static KUBE_SCHEMA(http_action, NULL, KF_STR("path", .dflt = "/"),
                   KF_INTSTR("port", 1, 65535, .required = true, .syntax = kube_is_port_name),
                   KF_STR("host"), KF_STR("scheme", .oneof = "HTTP HTTPS", .dflt = "HTTP"),
                   KF_LIST("httpHeaders", http_header), KF_STR("protocol"));

static KUBE_SCHEMA(tcp_action, NULL,
                   KF_INTSTR("port", 1, 65535, .required = true, .syntax = kube_is_port_name),
                   KF_STR("host"));

static KUBE_SCHEMA(grpc_action, NULL, KF_INT("port", 1, 65535, .required = true), KF_STR("service"),
                   KF_STR("mode"));

static KUBE_SCHEMA(sleep_action, NULL, KF_INT("seconds", 0, LLONG_MAX, .required = true));

static void check_probe(struct kube_checker *c, json_t *probe)
{
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "grpc", NULL};
    kube_check_exactly_one(c, probe, handlers);
}

static KUBE_SCHEMA(probe, check_probe, KF_OBJ("exec", exec_action), KF_OBJ("httpGet", http_action),
                   KF_OBJ("tcpSocket", tcp_action), KF_OBJ("grpc", grpc_action),
                   KF_INT("initialDelaySeconds", 0, INT_MAX),
                   KF_INT("timeoutSeconds", 1, INT_MAX, .dflt = "1"),
                   KF_INT("periodSeconds", 1, INT_MAX, .dflt = "10"),
                   KF_INT("successThreshold", 1, INT_MAX, .dflt = "1"),
                   KF_INT("failureThreshold", 1, INT_MAX, .dflt = "3"),
                   KF_INT("terminationGracePeriodSeconds", 1, LLONG_MAX));

static void check_hook(struct kube_checker *c, json_t *hook)
{
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "sleep", NULL};
    kube_check_exactly_one(c, hook, handlers);
}

static KUBE_SCHEMA(hook, check_hook, KF_OBJ("exec", exec_action), KF_OBJ("httpGet", http_action),
                   KF_OBJ("tcpSocket", tcp_action), KF_OBJ("sleep", sleep_action));

static KUBE_SCHEMA(lifecycle, NULL, KF_OBJ("postStart", hook), KF_OBJ("preStop", hook),
                   KF_STR("stopSignal"));

/* ---- the rest ------------------------------------------------------------------------------- */

static KUBE_SCHEMA(container_port, NULL, KF_STR("name", .syntax = kube_is_port_name),
                   KF_INT("hostPort", 0, 65535),
                   KF_INT("containerPort", 1, 65535, .required = true),
                   KF_STR("protocol", .oneof = "TCP UDP SCTP", .dflt = "TCP"),
                   KF_STR("hostIP", .syntax = kube_is_ip));

static void check_mount(struct kube_checker *c, json_t *mount)
{
    if (json_string_length(json_object_get(mount, "subPath")) > 0 &&
        json_string_length(json_object_get(mount, "subPathExpr")) > 0)
        kube_fault_at(c, "subPathExpr", "not together with subPath");
}

static KUBE_SCHEMA(volume_mount, check_mount, KF_STR("name", .required = true), KF_BOOL("readOnly"),
                   KF_STR("recursiveReadOnly", .oneof = "Disabled IfPossible Enabled"),
                   KF_STR("mountPath", .required = true), KF_STR("subPath"),
                   KF_STR("mountPropagation", .oneof = "None HostToContainer Bidirectional"),
                   KF_STR("subPathExpr"), KF_STRS("bindMountOptions"));

static KUBE_SCHEMA(volume_device, NULL, KF_STR("name", .required = true),
                   KF_STR("devicePath", .required = true));

static KUBE_SCHEMA(resize_policy, NULL, KF_STR("resourceName", .required = true),
                   KF_STR("restartPolicy", .required = true,
                          .oneof = "NotRequired RestartContainer"));

static KUBE_SCHEMA(restart_exit_codes, NULL,
                   KF_STR("operator", .required = true, .oneof = "In NotIn"),
                   KF_INTS("values", 0, 255));

static KUBE_SCHEMA(restart_rule, NULL,
                   KF_STR("action", .required = true, .oneof = "Restart RestartAllContainers"),
                   KF_OBJ("exitCodes", restart_exit_codes));

static KUBE_SCHEMA(capabilities, NULL, KF_STRS("add"), KF_STRS("drop"));

static KUBE_SCHEMA(security_context, NULL, KF_OBJ("capabilities", capabilities),
                   KF_BOOL("privileged"), KF_ANY("seLinuxOptions"), KF_ANY("windowsOptions"),
                   KF_INT("runAsUser", 0, INT_MAX), KF_INT("runAsGroup", 0, INT_MAX),
                   KF_BOOL("runAsNonRoot"), KF_BOOL("readOnlyRootFilesystem"),
                   KF_BOOL("allowPrivilegeEscalation"),
                   KF_STR("procMount", .oneof = "Default Unmasked"), KF_ANY("seccompProfile"),
                   KF_ANY("appArmorProfile"));

static const char *is_image(const char *s)
{
    size_t n = strlen(s);
    return !strchr(" \t\n", s[0]) && !strchr(" \t\n", s[n - 1])
               ? NULL
               : "an image name without white space around it";
}

/* list-map key of every list whose elements have names */
#define BY_NAME .key = "name"

#define CONTAINER_FIELDS                                                                           \
    KF_STR("name", .required = true, .syntax = kube_is_dns_label),                                 \
        KF_STR("image", .required = true, .syntax = is_image), KF_STRS("command"),                 \
        KF_STRS("args"), KF_STR("workingDir"), KF_LIST("ports", container_port, BY_NAME),          \
        KF_LIST("envFrom", env_from), KF_LIST("env", env_var),                                     \
        KF_OBJ("resources", kube_schema_resources), KF_LIST("resizePolicy", resize_policy),        \
        KF_STR("restartPolicy", .oneof = "Always OnFailure Never"),                                \
        KF_LIST("restartPolicyRules", restart_rule),                                               \
        KF_LIST("volumeMounts", volume_mount, .key = "mountPath"),                                 \
        KF_LIST("volumeDevices", volume_device, .key = "devicePath"),                              \
        KF_OBJ("livenessProbe", probe), KF_OBJ("readinessProbe", probe),                           \
        KF_OBJ("startupProbe", probe), KF_OBJ("lifecycle", lifecycle),                             \
        KF_STR("terminationMessagePath"),                                                          \
        KF_STR("terminationMessagePolicy", .oneof = "File FallbackToLogsOnError"),                 \
        KF_STR("imagePullPolicy", .oneof = "Always Never IfNotPresent"),                           \
        KF_OBJ("securityContext", security_context), KF_BOOL("stdin"), KF_BOOL("stdinOnce"),       \
        KF_BOOL("tty")

/* a probe that may kill must not wait for several successes */
static void check_threshold(struct kube_checker *c, const json_t *container, const char *which)
{
    const json_t *p = json_object_get(container, which);
    if (!p || json_integer_value(json_object_get(p, "successThreshold")) == 1)
        return;
    kube_enter(c, which);
    kube_fault_at(c, "successThreshold", "must be 1 for a %s", which);
    kube_leave(c);
}

static void check_container(struct kube_checker *c, json_t *container)
{
    check_threshold(c, container, "livenessProbe");
    check_threshold(c, container, "startupProbe");
}

KUBE_SCHEMA(kube_schema_container, check_container, CONTAINER_FIELDS);
KUBE_SCHEMA(kube_schema_ephemeral_container, NULL, CONTAINER_FIELDS, KF_STR("targetContainerName"));
