/* resources.c - what the sidecar may use: pod annotation, then namespace annotation, then
 * MeshConfig; each of the eight values by itself. */
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "injector/inject_int.h"

static const char *digits(const char *s)
{
    return s + strspn(s, "0123456789");
}

static bool is_suffix(const char *s)
{
    static const char *const suffixes[] = {"",  "n", "u",  "m",  "k",  "M",  "G",  "T",
                                           "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};

    for (unsigned i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++)
        if (strcmp(s, suffixes[i]) == 0)
            return true;
    if (*s != 'e' && *s != 'E')
        return false;
    s++;
    if (*s == '+' || *s == '-')
        s++;
    return *s && *digits(s) == '\0';
}

bool inj_is_quantity(const char *s)
{
    const char *p = s + (*s == '+'), *end = digits(p);
    size_t n = (size_t)(end - p);

    if (*end == '.') {
        p = end + 1;
        end = digits(p);
        n += (size_t)(end - p);
    }
    return n > 0 && n < 32 && is_suffix(end);
}

/* borrowed, or NULL where it is absent or unusable */
static const char *quantity_of(const json_t *o, const char *what, const char *key)
{
    const char *s = inj_annotation(o, key);

    if (s && !inj_is_quantity(s)) {
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
