/* plane.h - asking the daemons of a control plane: their admin ports, by port-forward to their
 * pods.
 */
#ifndef FSM_CLI_CLUSTER_PLANE_H
#define FSM_CLI_CLUSTER_PLANE_H

#include <jansson.h>
#include "cli/cluster/cluster.h"
#include "common/kube/access.h"

#define PLANE_ADMIN_PORT 9091

/* the control plane's pods; returns owned array, NULL and e */
json_t *plane_pods(struct cluster *c, const char *ns, struct err *e);
/* whether it is a pod of that daemon, and ready to be asked */
bool plane_is_ready(const json_t *pod, const char *app);
/* GET path of the pod's admin port; the HTTP status, or -1 and e */
int plane_get(const struct kube_access_from *from, const json_t *pod, const char *path,
              struct buf *out, struct err *e);
/* the same for all ready pods of a daemon: the elements of the lists that they answer with, one
 * behind the other.  Returns owned array; NULL and e if none could be asked. */
json_t *plane_lists(const struct kube_access_from *from, const json_t *pods, const char *app,
                    const char *path, struct err *e);

#endif
