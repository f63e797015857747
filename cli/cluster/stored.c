/* stored.c - see stored.h. */
#include "cli/cluster/stored.h"

#include <stdlib.h>
#include <string.h>
#include "cli/cluster/render.h"
#include "cli/cluster/values.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/kube/object.h"

static char *path_of(const char *ns)
{
    return cluster_path(kube_kind_by_key("ConfigMap"), ns, VALUES_CONFIG_MAP);
}

static int read_map(const json_t *map, struct stored *out, struct err *e)
{
    const json_t *data = json_object_get(map, "data");
    const char *objects = json_str(data, "objects", "[]");

    out->there = true;
    out->mesh = xstrdup(json_str(data, "mesh", MESH_DEFAULT));
    out->version = xstrdup(json_str(data, "version", ""));
    out->made_namespace = strcmp(json_str(data, "namespace", ""), "made") == 0;
    json_decref(out->objects);
    out->objects = json_parse(slice_str(objects), strlen(objects), e);
    if (!json_is_array(out->objects))
        return err_set(e, "ConfigMap %s: objects: expected a list", VALUES_CONFIG_MAP);
    return values_read(out->values,
                       slice_str(json_string_value(json_object_get(data, "values.yaml"))),
                       "ConfigMap " VALUES_CONFIG_MAP, e);
}

int stored_load(struct cluster *c, const char *ns, struct stored *out, struct err *e)
{
    char *path = path_of(ns);
    json_t *map;
    int status = cluster_get(c, path, &map, e);

    free(path);
    *out = (struct stored){.values = json_object(), .objects = json_array()};
    int rc = cluster_is_good(status) ? read_map(map, out, e) : status == 404 ? 0 : -1;
    json_decref(map);
    return rc;
}

int stored_save(struct cluster *c, const char *ns, const struct stored *s, struct err *e)
{
    struct buf yaml = BUF_INIT, objects = BUF_INIT;
    json_t *nested = values_nested(s->values);

    kube_to_yaml(nested, &yaml);
    json_print_pretty(s->objects, 1, false, &objects);
    json_t *map = json_pack(
        "{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}}, s:{s:s, s:s, s:s, s:s, s:s}}", "apiVersion", "v1",
        "kind", "ConfigMap", "metadata", "name", VALUES_CONFIG_MAP, "namespace", ns, "labels",
        LABEL_NAME, LABEL_VALUE, LABEL_INSTANCE, s->mesh, "data", "version", fsm_version, "mesh",
        s->mesh, "namespace", s->made_namespace ? "made" : "found", "values.yaml",
        yaml.p ? yaml.p : "", "objects", objects.p ? objects.p : "[]");
    char *path = path_of(ns), *to = xasprintf("%s?fieldManager=" FIELD_MANAGER "&force=true", path);
    int status = cluster_send(c, KUBE_APPLY, to, map, NULL, e);
    json_decref(map);
    json_decref(nested);
    free(path);
    free(to);
    buf_free(&yaml);
    buf_free(&objects);
    return cluster_is_good(status) ? 0 : -1;
}

void stored_clear(struct stored *s)
{
    free(s->mesh);
    free(s->version);
    json_decref(s->values);
    json_decref(s->objects);
    *s = (struct stored){.mesh = NULL};
}

/* the version of an API does not tell two objects apart */
static bool is_same(const json_t *a, const json_t *b)
{
    return cluster_kind_of(a) == cluster_kind_of(b) &&
           strcmp(json_str(a, "metadata.name", ""), json_str(b, "metadata.name", "")) == 0 &&
           strcmp(json_str(a, "metadata.namespace", ""), json_str(b, "metadata.namespace", "")) ==
               0;
}

bool stored_has(const json_t *objects, const json_t *object)
{
    for (size_t i = 0; i < json_array_size(objects); i++)
        if (is_same(json_array_get(objects, i), object))
            return true;
    return false;
}

void stored_add(struct stored *s, const json_t *object)
{
    if (stored_has(s->objects, object))
        return;
    json_array_append_new(s->objects,
                          json_pack("{s:s, s:s, s:{s:s*, s:s}}", "apiVersion",
                                    json_str(object, "apiVersion", ""), "kind",
                                    json_str(object, "kind", ""), "metadata", "namespace",
                                    json_str(object, "metadata.namespace", NULL), "name",
                                    json_str(object, "metadata.name", "")));
}

void stored_forget(struct stored *s, const json_t *object)
{
    for (size_t i = json_array_size(s->objects); i > 0; i--)
        if (is_same(json_array_get(s->objects, i - 1), object))
            json_array_remove(s->objects, i - 1);
}
