/* stored.h - what an installation remembers of itself, in a ConfigMap beside it: the values that it
 * was made with, and the objects that it made, so that "uninstall" takes away those and no others.
 */
#ifndef FSM_CLI_CLUSTER_STORED_H
#define FSM_CLI_CLUSTER_STORED_H

#include <jansson.h>
#include <stdbool.h>
#include "cli/cluster/cluster.h"

struct stored {
    bool there;          /* there is a ConfigMap */
    bool made_namespace; /* the namespace was not there before */
    char *mesh;
    char *version;   /* of fsm that made it last */
    json_t *values;  /* see values.h */
    json_t *objects; /* what was made: {apiVersion, kind, metadata: {namespace, name}} */
};

/* of the control plane in ns; out is to be cleared in any case */
int stored_load(struct cluster *c, const char *ns, struct stored *out, struct err *e);
int stored_save(struct cluster *c, const char *ns, const struct stored *s, struct err *e);
void stored_clear(struct stored *s);
/* remembers an object, once; borrows it */
void stored_add(struct stored *s, const json_t *object);
bool stored_has(const json_t *objects, const json_t *object);
void stored_forget(struct stored *s, const json_t *object);

#endif
