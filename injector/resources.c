/* resources.c - what the sidecar may use: pod annotation, then namespace annotation, then
 * MeshConfig; each of the eight values by itself. */
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/kube/quantity.h"
#include "injector/inject_int.h"

/* borrowed, or NULL where it is absent or unusable */
static const char *quantity_of(const json_t *o, const char *what, const char *key)
{
    const char *s = inj_annotation(o, key);
    int64_t milli;

    if (s && (kube_quantity_milli(s, &milli) != 0 || milli < 0)) {
        log_warn("inject",
                 "annotation skipped object=%s key=%s value=\"%s\" expected=\"a quantity such as "
                 "100m or 64Mi\"",
                 what, key, s);
        return NULL;
    }
    return s;
}

static void add_value(json_t *out, const json_t *pod, const json_t *ns_object, const char *kind,
                      const char *resource)
{
    char key[96];
    const char *s;

    snprintf(key, sizeof(key), "flomesh.io/sidecar-resource-%s-%s", kind, resource);
    s = quantity_of(pod, "pod", key);
    if (!s)
        s = quantity_of(ns_object, "namespace", key);
    if (s)
        json_object_set_new(out, resource, json_string(s));
}

json_t *inj_resources(const json_t *pod, const json_t *ns_object, const json_t *meshconfig)
{
    static const char *const kinds[] = {"limits", "requests"};
    static const char *const names[] = {"cpu", "memory", "storage", "ephemeral-storage"};
    const json_t *mesh = json_at(meshconfig, "spec.sidecar.resources");
    json_t *out = json_object();

    for (unsigned k = 0; k < 2; k++) {
        const json_t *base = inj_object(mesh, kinds[k]);
        json_t *values = base ? json_deep_copy(base) : json_object();

        for (unsigned i = 0; i < 4; i++)
            add_value(values, pod, ns_object, kinds[k], names[i]);
        if (json_object_size(values) > 0)
            json_object_set(out, kinds[k], values);
        json_decref(values);
    }
    if (json_object_size(out) > 0)
        return out;
    json_decref(out);
    return NULL;
}
