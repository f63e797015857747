/* plane.c - see plane.h. */
#include "cli/cluster/plane.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/forward.h"

#define FORWARD_MS 10000
#define LIST_MAX   (64u << 20)

json_t *plane_pods(struct cluster *c, const char *ns, struct err *e)
{
    return cluster_list(c, kube_kind_by_key("Pod"), ns,
                        "labelSelector=app%20in%20(fsm-controller,fsm-injector)", NULL, e);
}

bool plane_is_ready(const json_t *pod, const char *app)
{
    return strcmp(json_str(pod, "metadata.labels.app", ""), app) == 0 &&
           object_has_condition(pod, "Ready");
}

int plane_get(const struct kube_access_from *from, const json_t *pod, const char *path,
              struct buf *out, struct err *e)
{
    struct kube_access access;

    if (kube_access_load(from, &access, e))
        return -1;
    int status = kube_forward_get(&access, json_str(pod, "metadata.namespace", ""),
                                  json_str(pod, "metadata.name", ""), PLANE_ADMIN_PORT, path,
                                  FORWARD_MS, out, e);
    kube_access_clear(&access);
    return status;
}

json_t *plane_lists(const struct kube_access_from *from, const json_t *pods, const char *app,
                    const char *path, struct err *e)
{
    json_t *all = NULL;

    err_set(e, "no pod of %s is ready", app);
    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        struct buf b = BUF_INIT;
        if (!plane_is_ready(pod, app))
            continue;
        int status = plane_get(from, pod, path, &b, e);
        json_t *list = status == 200 ? json_parse(buf_slice(&b), LIST_MAX, e) : NULL;
        if (json_is_array(list)) {
            all = all ? all : json_array();
            json_array_extend(all, list);
        }
        json_decref(list);
        buf_free(&b);
    }
    return all;
}
