/* transport.c - which mesh a command talks about. */
#include "cli/transport.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/instance.h"
#include "common/base/mem.h"

const char *transport_local;

/* the default instance if it is there, else the only one */
static char *choose_instance(struct err *e)
{
    char **names = instance_list(), *chosen = NULL;
    unsigned n = 0;

    for (char **p = names; *p; p++, n++)
        if (!chosen || strcmp(*p, INSTANCE_DEFAULT) == 0) {
            free(chosen);
            chosen = xstrdup(*p);
        }
    if (n == 0)
        err_set(e, "no mesh is up on this machine: start one with 'fsm local up'");
    if (n > 1 && strcmp(chosen, INSTANCE_DEFAULT) != 0) {
        err_set(e, "%u instances are up on this machine: say which with --local NAME", n);
        free(chosen);
        chosen = NULL;
    }
    for (char **p = names; *p; p++)
        free(*p);
    free(names);
    return chosen;
}

struct transport *transport_open(struct err *e)
{
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
