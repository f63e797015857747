/* transport_local.c - an instance of fsm local as the mesh of mesh-wide commands. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/local/instance.h"
#include "cli/local/local_cli.h"
#include "cli/transport.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/http/client.h"

#define GET_MS 10000

struct local_transport {
    struct transport t;
    char *name;
};

static const char *name_of(struct transport *t)
{
    return ((struct local_transport *)t)->name;
}

static json_t *local_list(struct transport *t, const char *kind, const char *ns, struct err *e)
{
    json_t *reply = client_call(
        name_of(t), json_pack("{s:s, s:s, s:s*}", "verb", "get", "kind", kind, "namespace", ns), e);
    json_t *items = reply ? json_incref(json_object_get(reply, "items")) : NULL;

    json_decref(reply);
    return items;
}

static int local_merge(struct transport *t, const char *kind, const char *ns, const char *name,
                       json_t *patch, struct err *e)
{
    json_t *reply =
        client_call(name_of(t),
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "verb", "patch", "kind", kind,
                              "namespace", ns, "name", name, "type", "merge", "patch", patch),
                    e);

    json_decref(reply);
    return reply ? 0 : -1;
}

static char *local_version(struct transport *t, const char *ns, struct err *e)
{
    json_t *reply = client_call(name_of(t), json_pack("{s:s}", "verb", "ping"), e);
    char *v = reply ? xstrdup(json_str(reply, "version", "")) : NULL;

    json_decref(reply);
    return v;
}

/* The process goes over into the pod's network for good: a command asks one pod.  What it needs
 * of the machine it has asked for before. */
static int enter_network(int pid, struct err *e)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 || setns(fd, CLONE_NEWNET) ? err_errno(e, "the pod's network namespace") : 0;
    if (fd >= 0)
        close(fd);
    return rc;
}

static int local_pod_get(struct transport *t, const char *ns, const char *pod, unsigned port,
                         const char *path, struct buf *out, struct err *e)
{
    json_t *reply = client_call(name_of(t),
                                json_pack("{s:s, s:s, s:s, s:s}", "verb", "process", "namespace",
                                          ns, "pod", pod, "container", "sidecar"),
                                e);
    int pid = (int)json_int(reply, "pid", 0);

    json_decref(reply);
    if (!pid)
        return -1;
    if (enter_network(pid, e))
        return -1;
    char *base = xasprintf("http://127.0.0.1:%u", port);
    int status = http_fetch(base, "GET", path, NULL, slice_of(NULL, 0), GET_MS, out, e);
    free(base);
    return status;
}

static void local_close(struct transport *t)
{
    struct local_transport *lt = (struct local_transport *)t;

    free(lt->name);
    free(lt);
}

static const struct transport_ops ops = {.name = "local",
                                         .list = local_list,
                                         .patch = local_merge,
                                         .pod_get = local_pod_get,
                                         .version = local_version,
                                         .close = local_close};

struct transport *transport_local_open(const char *name, struct err *e)
{
    struct instance *in = instance_load(name, e);

    if (!in)
        return NULL;
    instance_free(in);
    struct local_transport *lt = xcalloc(1, sizeof(*lt));
    lt->t.ops = &ops;
    lt->name = xstrdup(name);
    return &lt->t;
}
