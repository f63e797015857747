/* containers.c - the containers and the volume that a pod gets. */
#include <string.h>

#include "common/base/json.h"
#include "common/base/version.h"
#include "common/pki/pki.h"
#include "injector/inject_int.h"

#define IDENTITY_DIR "/var/run/secrets/fsm"

static bool is_set(const char *s)
{
    return s && *s;
}

/* MeshConfig's own field, else what the caller configured, else registry/NAME:tag; owned */
static json_t *image(const struct inj_job *job, const char *field, const char *configured,
                     const char *name)
{
    const json_t *mc = job->cfg->meshconfig;
    const char *s = inj_text(json_at(mc, "spec.sidecar"), field);

    if (is_set(s))
        return json_string(s);
    if (is_set(configured))
        return json_string(configured);
    return json_sprintf("%s/%s:%s", json_str(mc, "spec.image.registry", "flomesh"), name,
                        json_str(mc, "spec.image.tag", fsm_version));
}

/* takes img */
static json_t *new_container(const struct inj_job *job, const char *name, json_t *img)
{
    return json_pack("{s:s, s:o, s:s}", "name", name, "image", img, "imagePullPolicy",
                     json_str(job->cfg->meshconfig, "spec.image.pullPolicy", "IfNotPresent"));
}

static void add_env(json_t *env, const char *name, const char *value)
{
    json_array_append_new(env, json_pack("{s:s, s:s}", "name", name, "value", value));
}

static void add_field_env(json_t *env, const char *name, const char *field)
{
    json_array_append_new(env, json_pack("{s:s, s:{s:{s:s}}}", "name", name, "valueFrom",
                                         "fieldRef", "fieldPath", field));
}

/* podIP is the first of podIPs; both families are needed where rules name the pod's address */
static void add_ip_env(json_t *env)
{
    add_field_env(env, "POD_IP", "status.podIP");
    add_field_env(env, "POD_IPS", "status.podIPs");
}

static void add_copy(json_t *container, const char *key, const json_t *value)
{
    if (json_object_size(value) > 0)
        json_object_set_new(container, key, json_deep_copy(value));
}

/* ---- fsm-init -------------------------------------------------------------------------------- */

/* "--flag", "a,b,c" unless the list is empty */
static void add_list_flag(json_t *args, const char *flag, const json_t *list)
{
    struct buf text = BUF_INIT;
    const json_t *v;
    size_t i;

    json_array_foreach (list, i, v) {
        if (i)
            buf_putc(&text, ',');
        if (json_is_string(v))
            buf_puts(&text, json_string_value(v));
        else
            buf_printf(&text, "%d", (int)json_integer_value(v));
    }
    if (text.len) {
        json_array_append_new(args, json_string(flag));
        json_array_append_new(args, json_string(text.p));
    }
    buf_free(&text);
}

static json_t *init_args(const struct inj_job *job)
{
    const struct inj_lists *l = &job->lists;
    json_t *args = json_array();

    add_list_flag(args, "--inbound-port-exclude", l->in_port_exclude);
    add_list_flag(args, "--interface-exclude", l->if_exclude);
    add_list_flag(args, "--outbound-ip-exclude", l->out_ip_exclude);
    add_list_flag(args, "--outbound-port-exclude", l->out_port_exclude);
    add_list_flag(args, "--outbound-ip-include", l->out_ip_include);
    if (strcmp(json_str(job->cfg->meshconfig, "spec.sidecar.localProxyMode", ""), "PodIP") == 0) {
        json_array_append_new(args, json_string("--local-proxy-mode"));
        json_array_append_new(args, json_string("PodIP"));
    }
    return args;
}

/* Root, but with nothing beyond what the rules need. */
static json_t *init_security(const struct inj_job *job)
{
    bool privileged =
        json_bool(job->cfg->meshconfig, "spec.sidecar.enablePrivilegedInitContainer", false);
    json_t *s = json_pack("{s:b, s:{s:[s], s:[s,s]}, s:b, s:b, s:i, s:i}", "privileged", privileged,
                          "capabilities", "drop", "ALL", "add", "NET_ADMIN", "NET_RAW",
                          "readOnlyRootFilesystem", true, "runAsNonRoot", false, "runAsUser", 0,
                          "runAsGroup", 0);

    if (!privileged) /* the API server refuses this beside privileged */
        json_object_set_new(s, "allowPrivilegeEscalation", json_false());
    return s;
}

json_t *inj_container_init(const struct inj_job *job)
{
    json_t *img = image(job, "initContainerImage", job->cfg->init_image, "fsm-init");
    json_t *c = new_container(job, INJ_INIT, img), *args = init_args(job), *env;

    if (json_array_size(args) > 0)
        json_object_set(c, "args", args);
    json_decref(args);
    env = json_array();
    add_ip_env(env);
    json_object_set_new(c, "env", env);
    add_copy(c, "resources", json_at(job->cfg->meshconfig, "spec.sidecar.initResources"));
    json_object_set_new(c, "securityContext", init_security(job));
    return c;
}

/* ---- sidecar --------------------------------------------------------------------------------- */

static json_t *unprivileged(int uid)
{
    return json_pack("{s:b, s:{s:[s]}, s:b, s:b, s:i, s:i, s:{s:s}}", "allowPrivilegeEscalation",
                     false, "capabilities", "drop", "ALL", "readOnlyRootFilesystem", true,
                     "runAsNonRoot", true, "runAsUser", uid, "runAsGroup", uid, "seccompProfile",
                     "type", "RuntimeDefault");
}

static void add_port(json_t *ports, int port, const char *name)
{
    json_array_append_new(ports, json_pack("{s:s, s:i}", "name", name, "containerPort", port));
}

static json_t *sidecar_ports(const struct inj_job *job)
{
    json_t *ports = json_array();

    add_port(ports, INJ_PORT_ADMIN, "proxy-admin");
    add_port(ports, INJ_PORT_INBOUND, "proxy-inbound");
    add_port(ports, INJ_PORT_METRICS, "proxy-metrics");
    if (job->liveness)
        add_port(ports, INJ_PORT_LIVENESS, "liveness-port");
    if (job->readiness)
        add_port(ports, INJ_PORT_READINESS, "readiness-port");
    if (job->startup)
        add_port(ports, INJ_PORT_STARTUP, "startup-port");
    return ports;
}

/* the owner that made the pod, or NULL */
static const json_t *controlling_owner(const json_t *pod)
{
    const json_t *v;
    size_t i;

    json_array_foreach (inj_list(inj_object(pod, "metadata"), "ownerReferences"), i, v)
        if (json_bool(v, "controller", false))
            return v;
    return NULL;
}

/* A Deployment's ReplicaSet is called DEPLOYMENT-HASH, and its pods carry the hash as a label;
 * a ReplicaSet of somebody's own stays what it is. */
static void add_owner_env(json_t *env, const json_t *pod)
{
    const json_t *owner = controlling_owner(pod);
    const char *kind = json_str(owner, "kind", ""), *name = json_str(owner, "name", "");
    const char *hash = inj_label(pod, "pod-template-hash");
    size_t n = strlen(name), h = hash ? strlen(hash) : 0;
    json_t *cut = NULL;

    if (!*kind || !*name)
        return;
    if (strcmp(kind, "ReplicaSet") == 0 && h > 0 && n > h + 1 && name[n - h - 1] == '-' &&
        strcmp(name + n - h, hash) == 0) {
        kind = "Deployment";
        cut = json_stringn(name, n - h - 1);
        name = json_string_value(cut);
    }
    add_env(env, "POD_CONTROLLER_KIND", kind);
    add_env(env, "POD_CONTROLLER_NAME", name);
    json_decref(cut);
}

static json_t *sidecar_env(const struct inj_job *job)
{
    json_t *env = json_array();

    add_env(env, "MESH_NAME", job->cfg->mesh_name);
    add_field_env(env, "POD_UID", "metadata.uid");
    add_field_env(env, "POD_NAME", "metadata.name");
    add_field_env(env, "POD_NAMESPACE", "metadata.namespace");
    add_ip_env(env);
    add_field_env(env, "SERVICE_ACCOUNT", "spec.serviceAccountName");
    add_owner_env(env, job->pod);
    return env;
}

static json_t *ready_probe(int period, int failures)
{
    return json_pack("{s:{s:s, s:i}, s:i, s:i, s:i}", "httpGet", "path", "/ready", "port",
                     INJ_PORT_METRICS, "periodSeconds", period, "timeoutSeconds", 3,
                     "failureThreshold", failures);
}

/* Ready on the metrics port, because the kubelet cannot reach the admin port on loopback.  The
 * startup probe waits long: without a controller a new pod waits rather than restarts. */
static void add_readiness(json_t *c)
{
    json_object_set_new(c, "startupProbe", ready_probe(1, 600));
    json_object_set_new(c, "readinessProbe", ready_probe(5, 3));
}

static void add_native(const struct inj_job *job, json_t *c)
{
    if (job->cfg->native_sidecar)
        json_object_set_new(c, "restartPolicy", json_string("Always"));
}

/* the hash: what the sidecar is told can be seen in places where the hook's header cannot */
static void add_hook_flag(json_t *args, const char *key)
{
    char hash[PKI_SHA256_TEXT];

    json_array_append_new(args, json_string("--hook-key"));
    json_array_append_new(args, json_string(pki_sha256_text(key, hash)));
}

json_t *inj_container_sidecar(const struct inj_job *job)
{
    json_t *img = image(job, "sidecarImage", job->cfg->sidecar_image, "fsm-sidecar");
    json_t *c = new_container(job, INJ_SIDECAR, img), *resources;

    add_native(job, c);
    json_object_set_new(c, "args",
                        json_pack("[s, o, s, s, s, s]", "--controller",
                                  json_sprintf(INJ_CONTROLLER_URL, job->cfg->fsm_namespace),
                                  "--token-file", IDENTITY_DIR "/token", "--ca-file",
                                  IDENTITY_DIR "/ca.crt"));
    if (job->hook_key[0])
        add_hook_flag(json_object_get(c, "args"), job->hook_key);
    json_object_set_new(c, "env", sidecar_env(job));
    json_object_set_new(c, "ports", sidecar_ports(job));
    add_readiness(c);
    resources = inj_resources(job->pod, job->cfg->ns_object, job->cfg->meshconfig);
    if (resources)
        json_object_set_new(c, "resources", resources);
    json_object_set_new(c, "securityContext", unprivileged(INJ_PROXY_UID));
    json_object_set_new(c, "volumeMounts",
                        json_pack("[{s:s, s:s, s:b}]", "name", INJ_VOLUME, "mountPath",
                                  IDENTITY_DIR, "readOnly", true));
    return c;
}

/* ---- fsm-healthcheck ------------------------------------------------------------------------- */

/* Not the sidecar's user: what it connects to inside the pod must not be taken for the mesh's. */
#define HEALTHCHECK_UID 65534

json_t *inj_container_healthcheck(const struct inj_job *job)
{
    json_t *img = image(job, "healthcheckImage", job->cfg->healthcheck_image, "fsm-healthcheck");
    json_t *c = new_container(job, INJ_HEALTHCHECK, img), *args = json_array(), *env, *ports;

    add_native(job, c);
    add_list_flag(args, "--allow", job->allow);
    json_object_set_new(c, "args", args);
    env = json_array();
    add_ip_env(env);
    json_object_set_new(c, "env", env);
    ports = json_array();
    add_port(ports, INJ_PORT_HEALTHCHECK, "healthcheck");
    json_object_set_new(c, "ports", ports);
    add_copy(c, "resources", json_at(job->cfg->meshconfig, "spec.sidecar.healthcheckResources"));
    json_object_set_new(c, "securityContext", unprivileged(HEALTHCHECK_UID));
    return c;
}

json_t *inj_identity_volume(void)
{
    return json_pack("{s:s, s:{s:[{s:{s:s, s:i, s:s}}, {s:{s:s, s:[{s:s, s:s}]}}]}}", "name",
                     INJ_VOLUME, "projected", "sources", "serviceAccountToken", "audience", "fsm",
                     "expirationSeconds", 3600, "path", "token", "configMap", "name", "fsm-root-ca",
                     "items", "key", "ca.crt", "path", "ca.crt");
}
