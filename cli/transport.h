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
    /* version of the control plane; returns owned, or NULL and e */
    char *(*version)(struct transport *t, struct err *e);
    void (*close)(struct transport *t);
};
struct transport {
    const struct transport_ops *ops;
};

/* what the flags say: --local NAME, else the one instance that is up on this machine */
struct transport *transport_open(struct err *e);
void transport_close(struct transport *t);

extern const char *transport_local; /* target of --local */
#define TRANSPORT_OPT                                                                              \
    {                                                                                              \
        0, "local", "NAME",                                                                        \
            "the instance of fsm local (default: fsm, or the only one that is up)",                \
            OPT_STR(&transport_local)                                                              \
    }

/* local/transport_local.c */
struct transport *transport_local_open(const char *name, struct err *e);

#endif
