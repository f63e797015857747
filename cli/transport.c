/* transport.c - which mesh a command talks about. */
#include "cli/transport.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cluster/cluster.h"
#include "cli/local/instance.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

const char *transport_local;
struct kube_access_from transport_from;

static void names_free(char **names)
{
    for (char **p = names; *p; p++)
        free(*p);
    free(names);
}

static void err_several(char *const *names, struct err *e)
{
    struct buf list = BUF_INIT;

    for (char *const *p = names; *p; p++)
        buf_printf(&list, "%s%s", p == names ? "" : p[1] ? ", " : " and ", *p);
    err_set(e, "the instances %s are up on this machine: say which with --local NAME", list.p);
    buf_free(&list);
}

/* the default instance if it is there, else the only one; NULL and e, which is empty if none is */
static char *choose_instance(struct err *e)
{
    char **names = instance_list(), *chosen = NULL;

    e->text[0] = 0;
    for (char **p = names; *p && !chosen; p++)
        if (strcmp(*p, INSTANCE_DEFAULT) == 0)
            chosen = xstrdup(*p);
    if (!chosen && names[0] && names[1])
        err_several(names, e);
    else if (!chosen && names[0])
        chosen = xstrdup(names[0]);
    names_free(names);
    return chosen;
}

static struct transport *open_local(const char *name, struct err *e)
{
    if (getuid() != 0) {
        err_set(e, "the mesh of this machine is root's: try 'sudo fsm ...'");
        return NULL;
    }
    return transport_local_open(name, e);
}

/* the credentials of this pod, unless a kubeconfig is there */
static void settle_from(void)
{
    struct kube_access access;
    struct err ignored;

    if (transport_from.kubeconfig || transport_from.context || getenv("KUBECONFIG"))
        return;
    if (!kube_access_is_in_cluster())
        return;
    transport_from.in_cluster = kube_access_load(&transport_from, &access, &ignored) != 0;
    if (!transport_from.in_cluster)
        kube_access_clear(&access);
}

struct cluster *transport_cluster(struct err *e)
{
    settle_from();
    struct cluster *c = cluster_open(&transport_from, e);
    if (!c)
        err_prefix(e, "no cluster");
    return c;
}

struct transport *transport_open(struct err *e)
{
    bool said = transport_from.kubeconfig || transport_from.context;
    struct transport *t;

    if (transport_local && said) {
        err_set(e, "--local excludes --kubeconfig and --context: which mesh is meant?");
        return NULL;
    }
    if (transport_local)
        return open_local(transport_local, e);
    if (!said && !getenv("KUBECONFIG")) {
        char *name = choose_instance(e);
        t = name ? open_local(name, e) : NULL;
        if (name || e->text[0]) {
            free(name);
            return t;
        }
    }
    settle_from();
    t = transport_cluster_open(&transport_from, e);
    if (t || said || getenv("KUBECONFIG"))
        return t;
    if (getuid() != 0)
        err_set(e,
                "no kubeconfig names a cluster, and the mesh of this machine is root's: try 'sudo "
                "fsm ...', or say --kubeconfig FILE");
    else
        err_set(e,
                "no mesh is up on this machine, and no kubeconfig names a cluster: start one with "
                "'fsm local up', or say --kubeconfig FILE");
    return t;
}

void transport_close(struct transport *t)
{
    if (t)
        t->ops->close(t);
}
