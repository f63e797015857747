/* member.c - which pods belong into the mesh. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "injector/inject_int.h"

#define SWITCH_KEY "flomesh.io/sidecar-injection"

int inj_switch(const char *s)
{
    static const char *const on[] = {"enabled", "yes", "true"};
    static const char *const off[] = {"disabled", "no", "false"};

    for (unsigned i = 0; i < 3; i++) {
        if (strcasecmp(s, on[i]) == 0)
            return 1;
        if (strcasecmp(s, off[i]) == 0)
            return 0;
    }
    return -1;
}

int inj_check_annotations(const json_t *o, const char *what, struct err *e)
{
    const json_t *annotations = inj_object(inj_object(o, "metadata"), "annotations");
    const char *key;
    const json_t *v;

    json_object_foreach ((json_t *)annotations, key, v)
        if (strncmp(key, "flomesh.io/", 11) == 0 && !json_is_string(v) && !json_is_null(v))
            return err_set(e,
                           "annotation \"%s\" of the %s: expected a string; put the value in "
                           "quotes",
                           key, what);
    return 0;
}

/* 1 on, 0 off, -1 not said, -2 unreadable and e */
static int switch_of(const json_t *o, const char *what, struct err *e)
{
    const char *s = inj_annotation(o, SWITCH_KEY);
    int v;

    if (!s)
        return -1;
    v = inj_switch(s);
    if (v < 0) {
        err_set(e,
                "Invalid annotation value for key \"" SWITCH_KEY "\": \"%s\" on the %s; expected "
                "enabled, yes, true, disabled, no or false",
                s, what);
        return -2;
    }
    return v;
}

static const char *namespace_of(const json_t *pod, const struct inj_config *cfg)
{
    const char *ns = json_str(pod, "metadata.namespace", NULL);

    if (!ns || !*ns)
        ns = json_str(cfg->ns_object, "metadata.name", "default");
    return ns;
}

/* NULL = it may be a member */
static const char *never_a_member(const json_t *pod, const struct inj_config *cfg)
{
    const char *ns = namespace_of(pod, cfg);

    if (json_bool(pod, "spec.hostNetwork", false))
        return "the pod uses the host network";
    if (strcmp(json_str(pod, "spec.os.name", "linux"), "linux") != 0)
        return "the pod is not a Linux pod";
    if (strcmp(ns, "kube-system") == 0 || strcmp(ns, "kube-public") == 0)
        return "the namespace belongs to Kubernetes";
    if (strcmp(ns, cfg->fsm_namespace) == 0)
        return "the namespace is the control plane's";
    return NULL;
}

/* NULL = the namespace is monitored by this mesh */
static const char *not_monitored(const struct inj_config *cfg)
{
    const char *by = inj_label(cfg->ns_object, "flomesh.io/monitored-by");

    if (inj_label(cfg->ns_object, "flomesh.io/ignore"))
        return "the namespace is ignored (label flomesh.io/ignore)";
    if (!by || strcmp(by, cfg->mesh_name) != 0)
        return "the namespace is not monitored by this mesh (label flomesh.io/monitored-by)";
    return NULL;
}

enum inj_verdict inj_member(const json_t *pod, const struct inj_config *cfg, const char **reason,
                            struct err *e)
{
    int on;

    *reason = never_a_member(pod, cfg);
    if (!*reason && cfg->ns_object)
        *reason = not_monitored(cfg);
    if (*reason)
        return INJ_SKIP;
    on = switch_of(pod, "pod", e);
    if (on == 0)
        *reason = "the pod's annotation " SWITCH_KEY " says no";
    if (on == -1) {
        on = cfg->ns_object ? switch_of(cfg->ns_object, "namespace", e) : 1;
        if (on == 0 || on == -1)
            *reason = "injection is not enabled (annotation " SWITCH_KEY ")";
    }
    if (on == -2)
        return INJ_REFUSED;
    return on == 1 ? INJ_PATCH : INJ_SKIP;
}

static const json_t *find_named(const json_t *list, const char *name)
{
    const json_t *v;
    size_t i;

    json_array_foreach (list, i, v) {
        const char *s = inj_text(v, "name");

        if (s && strcmp(s, name) == 0)
            return v;
    }
    return NULL;
}

static const json_t *find_container(const json_t *spec, const char *name)
{
    const json_t *c = find_named(inj_list(spec, "initContainers"), name);

    return c ? c : find_named(inj_list(spec, "containers"), name);
}

/* A pod that went through here before: the API server may ask again about its own result, and
 * people apply what `fsm inject` printed.  Names alone do not make a mesh pod: the sidecar must be
 * told our controller, and be the user that redirection leaves alone. */
bool inj_is_injected(const json_t *pod, const struct inj_config *cfg)
{
    const json_t *spec = inj_object(pod, "spec"), *sidecar = find_container(spec, INJ_SIDECAR);
    const json_t *args = inj_list(sidecar, "args");
    char *url = xasprintf(INJ_CONTROLLER_URL, cfg->fsm_namespace);
    const char *told = json_string_value(json_array_get(args, 1));
    bool ours = told && strcmp(told, url) == 0;

    free(url);
    return ours && inj_label(pod, INJ_LABEL) && find_named(inj_list(spec, "volumes"), INJ_VOLUME) &&
           json_int(sidecar, "securityContext.runAsUser", -1) == INJ_PROXY_UID;
}
