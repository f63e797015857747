/* admission.c - what becomes of an object on its way in; see local.h. */
#include <stdlib.h>
#include <string.h>
#include "cli/local/clusterip.h"
#include "cli/local/images.h"
#include "cli/local/local.h"
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "injector/inject.h"

#define SIDECAR_UID 1500

static void default_string(json_t *o, const char *key, const char *value)
{
    if (!json_is_string(json_object_get(o, key)))
        json_object_set_new(o, key, json_string(value));
}

/* letters and digits that make no words, as Kubernetes' own */
void random_suffix(char *out, unsigned n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    uint8_t bytes[16];

    random_bytes(bytes, sizeof(bytes));
    for (unsigned i = 0; i < n; i++)
        out[i] = alphabet[bytes[i] % (sizeof(alphabet) - 1)];
    out[n] = '\0';
}

static void generate_name(json_t *body)
{
    json_t *meta = json_object_get(body, "metadata");
    const char *prefix = json_str(meta, "generateName", NULL);
    char suffix[6];

    if (!prefix || json_str(meta, "name", NULL))
        return;
    random_suffix(suffix, 5);
    char *name = xasprintf("%.57s%s", prefix, suffix);
    json_object_set_new(meta, "name", json_string(name));
    free(name);
}

/* ---- pods ------------------------------------------------------------------------------------ */

/* The sidecar's user, whose traffic is not redirected: what an image of the map says counts as much
 * as what the manifest says. */
static int check_image_users(const struct local *l, const json_t *pod, struct err *e)
{
    const json_t *list = json_at(pod, "spec.containers"), *c;
    bool all = json_is_integer(json_at(pod, "spec.securityContext.runAsUser"));
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, c) {
        const json_t *image = images_find(l->images, json_str(c, "image", ""));
        if (!all && !json_is_integer(json_at(c, "securityContext.runAsUser")) &&
            json_int(image, "user", 0) == SIDECAR_UID && strcmp(json_str(c, "name", ""), "sidecar"))
            return err_set(e,
                           "container \"%s\": the image map gives its image user %d, which is "
                           "reserved for the sidecar and would bypass it; choose another user ID",
                           json_str(c, "name", ""), SIDECAR_UID);
    }
    return 0;
}

static json_t *inject(struct local *l, json_t *pod, struct err *e)
{
    const char *ns = json_str(pod, "metadata.namespace", "default"), *reason;
    const struct kube_object *nso = res_get(l, "Namespace", "", ns);
    const struct kube_object *mc = res_get(l, "MeshConfig", MESH_NAMESPACE, "fsm-mesh-config");
    struct inj_config cfg = {.mesh_name = MESH_NAME,
                             .fsm_namespace = MESH_NAMESPACE,
                             .trust_domain = TRUST_DOMAIN,
                             .native_sidecar = l->in->native_sidecar,
                             .meshconfig = mc ? mc->body : NULL,
                             .ns_object = nso ? nso->body : NULL};
    json_t *patch = NULL;

    if (!nso)
        return pod;
    switch (inj_pod(pod, &cfg, &patch, &reason, e)) {
    case INJ_PATCH:
        if (check_image_users(l, pod, e)) {
            json_decref(patch);
            json_decref(pod);
            return NULL;
        }
        pod = inj_apply_patch(pod, patch, e);
        json_decref(patch);
        return pod;
    case INJ_REFUSED:
        json_decref(pod);
        return NULL;
    case INJ_SKIP:
        break;
    }
    return pod;
}

/* a kubelet's --max-pods */
static int check_room(const struct local *l, struct err *e)
{
    unsigned n = 0, most = network_capacity(l->net);
    const struct kube_object *o;

    for (void *it = NULL; (o = kube_store_next(l->store, "Pod", NULL, &it)) != NULL;)
        n += !pod_is_over(o);
    if (n < most)
        return 0;
    return err_set(e, "the instance is full: it has %u pods, as many as it can (see --pod-cidr)",
                   n);
}

static json_t *admit_pod(struct local *l, json_t *body, struct err *e)
{
    json_t *spec = json_object_get(body, "spec");
    const char *ns = json_str(body, "metadata.namespace", "default");

    if (check_room(l, e)) {
        json_decref(body);
        return NULL;
    }

    default_string(spec, "serviceAccountName", json_str(spec, "serviceAccount", "default"));
    default_string(spec, "nodeName", "local");
    const char *sa = json_str(spec, "serviceAccountName", "default");
    if (!res_get(l, "ServiceAccount", ns, sa)) {
        err_set(e, "pod \"%s\" is refused: service account %s/%s not found: create it first",
                json_str(body, "metadata.name", ""), ns, sa);
        json_decref(body);
        return NULL;
    }
    return l->in->controller ? inject(l, body, e) : body;
}

json_t *admit(struct local *l, json_t *body, struct err *e)
{
    const char *kind = json_str(body, "kind", "");

    generate_name(body);
    if (strcmp(kind, "Pod") == 0 && json_is_object(json_object_get(body, "spec")))
        return admit_pod(l, body, e);
    if (strcmp(kind, "Service") == 0 && clusterip_assign(l, body, e)) {
        json_decref(body);
        return NULL;
    }
    return body;
}
