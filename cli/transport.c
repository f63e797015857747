/* transport.c - which mesh a command talks about. */
#include "cli/transport.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/instance.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

const char *transport_local;

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

/* the default instance if it is there, else the only one */
static char *choose_instance(struct err *e)
{
    char **names = instance_list(), *chosen = NULL;

    for (char **p = names; *p && !chosen; p++)
        if (strcmp(*p, INSTANCE_DEFAULT) == 0)
            chosen = xstrdup(*p);
    if (!chosen && !names[0])
        err_set(e, "no mesh is up on this machine: start one with 'fsm local up'");
    else if (!chosen && names[1])
        err_several(names, e);
    else if (!chosen)
        chosen = xstrdup(names[0]);
    names_free(names);
    return chosen;
}

struct transport *transport_open(struct err *e)
{
    if (getuid() != 0) {
        err_set(e, "the mesh of this machine is root's: try 'sudo fsm ...'");
        return NULL;
    }
    char *name = transport_local ? xstrdup(transport_local) : choose_instance(e);
    struct transport *t = name ? transport_local_open(name, e) : NULL;

    free(name);
    return t;
}

void transport_close(struct transport *t)
{
    if (t)
        t->ops->close(t);
}
