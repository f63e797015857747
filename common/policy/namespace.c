/* namespace.c - which namespaces belong to the mesh. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/mesh.h"

static const char *metadata(const json_t *body, const char *map, const char *key)
{
    const json_t *m = json_object_get(json_object_get(body, "metadata"), map);

    return json_string_value(json_object_get(m, key));
}

bool mesh_switch_is_on(const char *text)
{
    return text && (strcasecmp(text, "enabled") == 0 || strcasecmp(text, "yes") == 0 ||
                    strcasecmp(text, "true") == 0);
}

void mesh_namespace_read(const json_t *body, const char *mesh_name, struct mesh_namespace *out)
{
    const char *by = metadata(body, "labels", "flomesh.io/monitored-by");
    const char *metrics = metadata(body, "annotations", "flomesh.io/metrics");
    const char *excluded = metadata(body, "annotations", "flomesh.io/service-exclusion-list");
    bool ignored = metadata(body, "labels", "flomesh.io/ignore") != NULL;

    *out = (struct mesh_namespace){
        .in_mesh = by && strcmp(by, mesh_name) == 0 && !ignored,
        .metrics = metrics && strcasecmp(metrics, "enabled") == 0,
        .excluded = excluded ? xstrdup(excluded) : NULL,
    };
}

bool mesh_namespace_eq(const struct mesh_namespace *a, const struct mesh_namespace *b)
{
    return a->in_mesh == b->in_mesh && a->metrics == b->metrics &&
           strcmp(a->excluded ? a->excluded : "", b->excluded ? b->excluded : "") == 0;
}

bool mesh_namespace_excludes(const struct mesh_namespace *ns, const char *service)
{
    struct slice rest = slice_str(ns->excluded);

    while (rest.p) {
        struct slice name = slice_trim(slice_cut(&rest, ','));
        if (slice_ieq(name, slice_str(service)))
            return true;
    }
    return false;
}

void mesh_namespace_clear(struct mesh_namespace *ns)
{
    free(ns->excluded);
    ns->excluded = NULL;
}
