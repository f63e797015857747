/* namespaces.h - a namespace that is deleted goes when nothing is left in it. */
#ifndef FSM_CLI_LOCAL_NAMESPACES_H
#define FSM_CLI_LOCAL_NAMESPACES_H

#include "cli/local/local.h"

/* begins: marks it, and deletes what is in it */
void namespace_delete(struct local *l, const char *name);
void namespaces_sync(struct local *l);

#endif
