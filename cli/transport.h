/* transport.h - the mesh that a command talks about: an instance of fsm local, or a cluster.
 *
 *   struct transport *t = transport_open(&e);
 *   json_t *items = t->ops->list(t, "Namespace", NULL, &e);
 *   transport_close(t);
 *
 * Commands see objects and pods, never how they are reached.
 */
#ifndef FSM_CLI_TRANSPORT_H
#define FSM_CLI_TRANSPORT_H

#include <jansson.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/opt.h"
#include "common/kube/access.h"

struct transport;
struct transport_ops {
    const char *name;
    /* objects of a kind, all namespaces if ns is NULL; returns owned array, or NULL and e */
    json_t *(*list)(struct transport *t, const char *kind, const char *ns, struct err *e);
    /* takes patch (RFC 7386) */
    int (*patch)(struct transport *t, const char *kind, const char *ns, const char *name,
                 json_t *patch, struct err *e);
    /* GET http://127.0.0.1:port/path inside the pod; appends the body.  HTTP status, or -1 and e.
     * The pod must be in the mesh and run. */
    int (*pod_get)(struct transport *t, const char *ns, const char *pod, unsigned port,
                   const char *path, struct buf *out, struct err *e);
    /* of the control plane in a namespace; returns owned, or NULL and e */
    char *(*version)(struct transport *t, const char *ns, struct err *e);
    void (*close)(struct transport *t);
};
struct transport {
    const struct transport_ops *ops;
};

/* What the flags say: --local NAME; else --kubeconfig, --context or $KUBECONFIG; else the one
 * instance that is up on this machine; else the cluster of ~/.kube/config or of this pod. */
struct transport *transport_open(struct err *e);
void transport_close(struct transport *t);

extern const char *transport_local; /* target of --local */
extern struct kube_access_from transport_from;
#define CLUSTER_OPTS                                                                               \
    {0, "kubeconfig", "FILE", "of the cluster (default: $KUBECONFIG, else ~/.kube/config)",        \
     OPT_STR(&transport_from.kubeconfig)},                                                         \
    {                                                                                              \
        0, "context", "NAME", "this context of the kubeconfig (default: its current-context)",     \
            OPT_STR(&transport_from.context)                                                       \
    }
#define TRANSPORT_OPTS                                                                             \
    {0, "local", "NAME", "an instance of fsm local (default: fsm, or the only one that is up)",    \
     OPT_STR(&transport_local)},                                                                   \
        CLUSTER_OPTS

/* the cluster that the flags name, for commands that know clusters only; transport_from is filled
 * in.  NULL and e */
struct cluster;
struct cluster *transport_cluster(struct err *e);

/* local/transport_local.c */
struct transport *transport_local_open(const char *name, struct err *e);
/* cluster/transport_cluster.c; from's strings must live on */
struct transport *transport_cluster_open(const struct kube_access_from *from, struct err *e);

#endif
