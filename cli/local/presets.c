/* presets.c - what is there before a user makes anything; see presets.h. */
#include "cli/local/presets.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/meshconfig.h"
#include "common/pki/pki.h"

#define ROOT_CONFIG_MAP "fsm-root-ca"
#define ROOT_KEY        "ca.crt"
#define CA_MAX          (1u << 20)
#define CONTROLLER_PORT 6060

static json_t *object(const char *kind, const char *ns, const char *name)
{
    json_t *o = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", kind, "metadata",
                          "name", name);

    if (*ns)
        json_object_set_new(json_object_get(o, "metadata"), "namespace", json_string(ns));
    return o;
}

static int create(struct local *l, json_t *body, struct err *e)
{
    return res_create(l, body, e) ? 0 : err_prefix(e, "preset");
}

static int create_namespaces(struct local *l, struct err *e)
{
    static const char *const names[] = {"default", "kube-system", MESH_NAMESPACE};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        json_t *o = object("Namespace", "", names[i]);
        json_object_set_new(json_object_get(o, "metadata"), "labels",
                            json_pack("{s:s}", "kubernetes.io/metadata.name", names[i]));
        if (create(l, o, e))
            return -1;
    }
    return 0;
}

/* The controller runs on the machine itself; pods reach it by the name it has in a cluster. */
static int create_controller_service(struct local *l, struct err *e)
{
    json_t *s = object("Service", MESH_NAMESPACE, "fsm-controller");
    json_t *ep = object("EndpointSlice", MESH_NAMESPACE, "fsm-controller-local");
    char ip[IP_TEXT_MAX];

    json_object_set_new(s, "spec",
                        json_pack("{s:[{s:s, s:i, s:i, s:s}]}", "ports", "name", "config", "port",
                                  CONTROLLER_PORT, "targetPort", CONTROLLER_PORT, "protocol",
                                  "TCP"));
    s = admit(l, s, e);
    if (!s || create(l, s, e)) {
        json_decref(ep);
        return -1;
    }
    json_object_set_new(ep, "apiVersion", json_string("discovery.k8s.io/v1"));
    json_object_set_new(json_object_get(ep, "metadata"), "labels",
                        json_pack("{s:s}", "kubernetes.io/service-name", "fsm-controller"));
    json_object_set_new(ep, "addressType", json_string("IPv4"));
    json_object_set_new(ep, "ports",
                        json_pack("[{s:s, s:i, s:s}]", "name", "config", "port", CONTROLLER_PORT,
                                  "protocol", "TCP"));
    json_object_set_new(ep, "endpoints",
                        json_pack("[{s:[s], s:{s:b, s:b, s:b}}]", "addresses",
                                  ip_format(&l->in->gw4, ip), "conditions", "ready", 1, "serving",
                                  1, "terminating", 0));
    return create(l, ep, e);
}

static int create_mesh(struct local *l, struct err *e)
{
    char *ca_dir = instance_path(l->in, "ca");
    struct pki_ca *ca = pki_ca_open(ca_dir, TRUST_DOMAIN, e);

    free(ca_dir);
    if (!ca)
        return -1;
    pki_ca_free(ca);
    if (create(l, kube_meshconfig_preset(MESH_NAMESPACE), e))
        return -1;
    return create_controller_service(l, e);
}

int presets_create(struct local *l, struct err *e)
{
    if (create_namespaces(l, e) || (l->in->controller && create_mesh(l, e)))
        return -1;
    presets_sync(l);
    return 0;
}

/* ---- every namespace ---------------------------------------------------------------------------
 */

/* all roots the mesh trusts now, as fsm-controller keeps them on disk; returns owned or NULL */
static char *read_roots(const struct local *l)
{
    char *dir = instance_path(l->in, "ca");
    struct err e;
    struct pki_ca *ca = pki_ca_open(dir, TRUST_DOMAIN, &e);
    char *roots = ca ? xstrdup(pki_ca_roots(ca)) : NULL;

    if (!ca)
        log_error("presets", "the mesh's CA cannot be read: %s", e.text);
    pki_ca_free(ca);
    free(dir);
    return roots;
}

static void ensure_roots(struct local *l, const char *ns, const char *roots)
{
    const struct kube_object *o = res_get(l, "ConfigMap", ns, ROOT_CONFIG_MAP);
    struct err e;

    if (o &&
        strcmp(json_string_value(json_object_get(json_object_get(o->body, "data"), ROOT_KEY)) ?: "",
               roots) == 0)
        return;
    json_t *body = o ? res_edit(o) : object("ConfigMap", ns, ROOT_CONFIG_MAP);
    json_object_set_new(body, "data", json_pack("{s:s}", ROOT_KEY, roots));
    if (!(o ? res_update(l, body, NULL, &e) : res_create(l, body, &e)))
        log_error("presets", "%s", e.text);
}

static void ensure_account(struct local *l, const char *ns)
{
    struct err e;

    if (!res_get(l, "ServiceAccount", ns, "default") &&
        !res_create(l, object("ServiceAccount", ns, "default"), &e))
        log_error("presets", "%s", e.text);
}

static char **namespace_names(struct local *l)
{
    char **names = xcalloc(kube_store_count(l->store, "Namespace") + 1, sizeof(*names));
    const struct kube_object *o;
    size_t n = 0;

    for (void *it = NULL; (o = kube_store_next(l->store, "Namespace", NULL, &it)) != NULL;)
        if (!is_terminating(o))
            names[n++] = xstrdup(o->name);
    return names;
}

void presets_sync(struct local *l)
{
    char **names = namespace_names(l);
    char *roots = l->in->controller ? read_roots(l) : NULL;

    for (char **n = names; *n; n++) {
        ensure_account(l, *n);
        if (roots)
            ensure_roots(l, *n, roots);
        free(*n);
    }
    free(names);
    free(roots);
}
