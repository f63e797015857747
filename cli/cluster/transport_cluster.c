/* transport_cluster.c - a cluster as the mesh of mesh-wide commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cluster/cluster.h"
#include "cli/transport.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/forward.h"

#define FORWARD_MS 15000
#define CONTROLLER "fsm-controller"

struct cluster_transport {
    struct transport t;
    struct cluster *cluster;
    struct kube_access_from from;
};

static struct cluster *of(struct transport *t)
{
    return ((struct cluster_transport *)t)->cluster;
}

static json_t *list(struct transport *t, const char *kind, const char *ns, struct err *e)
{
    const struct kube_kind *k = kube_kind_by_key(kind);
    int status;
    json_t *items = cluster_list(of(t), k, ns, NULL, &status, e);

    /* a cluster where fsm was never installed has no MeshConfigs */
    return !items && status == 404 ? json_array() : items;
}

static int merge(struct transport *t, const char *kind, const char *ns, const char *name,
                 json_t *patch, struct err *e)
{
    char *path = cluster_path(kube_kind_by_key(kind), ns, name);
    int status = cluster_send(of(t), KUBE_MERGE, path, patch, NULL, e);

    free(path);
    json_decref(patch);
    return cluster_is_good(status) ? 0 : -1;
}

/* why a pod has no sidecar to ask, or 0 */
static int check_pod(const json_t *pod, struct err *e)
{
    const char *name = json_str(pod, "metadata.name", ""),
               *phase = json_str(pod, "status.phase", "");

    if (!json_object_get(json_at(pod, "metadata.labels"), "fsm-proxy-uuid"))
        return err_set(e,
                       "pod %s has no sidecar: it was not injected (is its namespace in the mesh, "
                       "and was the pod made after that?)",
                       name);
    if (strcmp(phase, "Running") != 0)
        return err_set(e, "pod %s does not run: its phase is %s", name, phase);
    return 0;
}

static int pod_get(struct transport *t, const char *ns, const char *name, unsigned port,
                   const char *path, struct buf *out, struct err *e)
{
    struct cluster_transport *ct = (struct cluster_transport *)t;
    char *object = cluster_path(kube_kind_by_key("Pod"), ns, name);
    struct kube_access access;
    json_t *pod;
    int status = cluster_get(ct->cluster, object, &pod, e);

    free(object);
    if (!cluster_is_good(status) || check_pod(pod, e) || kube_access_load(&ct->from, &access, e)) {
        json_decref(pod);
        return -1;
    }
    status = kube_forward_get(&access, ns, name, port, path, FORWARD_MS, out, e);
    kube_access_clear(&access);
    json_decref(pod);
    return status;
}

/* what the controller's image is tagged with: asking it would take a port-forward */
static char *version(struct transport *t, const char *ns, struct err *e)
{
    char *path = cluster_path(kube_kind_by_key("Deployment"), ns, CONTROLLER);
    json_t *deployment;
    int status = cluster_get(of(t), path, &deployment, e);
    const json_t *first = json_array_get(json_at(deployment, "spec.template.spec.containers"), 0);
    const char *tag = image_tag(json_str(first, "image", ""));
    char *v = cluster_is_good(status) || status == 404 ? xstrdup(*tag ? tag : "unknown") : NULL;

    free(path);
    json_decref(deployment);
    return v;
}

static void close_it(struct transport *t)
{
    cluster_close(of(t));
    free(t);
}

static const struct transport_ops ops = {.name = "cluster",
                                         .list = list,
                                         .patch = merge,
                                         .pod_get = pod_get,
                                         .version = version,
                                         .close = close_it};

struct transport *transport_cluster_open(const struct kube_access_from *from, struct err *e)
{
    struct cluster *c = cluster_open(from, e);

    if (!c)
        return NULL;
    struct cluster_transport *ct = xcalloc(1, sizeof(*ct));
    ct->t.ops = &ops;
    ct->cluster = c;
    ct->from = *from;
    return &ct->t;
}
