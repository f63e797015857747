/* rights.h - whether the control plane's service accounts may do what their roles say.
 *
 * Asked of the API server, right by right, so that a binding, a role or a line of it that is
 * missing shows, whoever took it away.
 */
#ifndef FSM_CLI_CLUSTER_RIGHTS_H
#define FSM_CLI_CLUSTER_RIGHTS_H

#include "cli/cluster/checks.h"
#include "cli/cluster/cluster.h"

/* objects: what is installed, with roles and their bindings; ns: the control plane's namespace */
void rights_check(struct checks *checks, struct cluster *c, const json_t *objects, const char *ns);

#endif
