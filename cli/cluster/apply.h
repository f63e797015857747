/* apply.h - brings what was rendered into a cluster. */
#ifndef FSM_CLI_CLUSTER_APPLY_H
#define FSM_CLI_CLUSTER_APPLY_H

#include <stdbool.h>
#include "cli/cluster/cluster.h"
#include "cli/cluster/render.h"
#include "cli/cluster/stored.h"

struct apply {
    struct cluster *cluster;
    const struct rendered *now;
    const json_t *values; /* all of them */
    const json_t *given;  /* those that the user named this time */
    bool force;           /* take fields from other field managers */
};

/* Is there a mesh that this one must not stand beside?  0, or -1 and e */
int apply_check_others(const struct apply *a, struct err *e);
/* All of it, in order: namespace, definitions, certificate authority, objects, MeshConfig; what an
 * earlier installation made and this one does not have goes.  Says what it does (progress.h).
 * s: what was stored before, changed and saved. */
int apply_all(const struct apply *a, struct stored *s, struct err *e);

#endif
