/* pod_files.h - the small files that make a pod a machine of its own: resolv.conf, hosts,
 * hostname; and what else of a pod lives in the file system. */
#ifndef FSM_CLI_LOCAL_POD_FILES_H
#define FSM_CLI_LOCAL_POD_FILES_H

#include "cli/local/pod.h"

int pod_write_files(struct pod *p, struct err *e);
/* emptyDirs in memory are mounts of the daemon's */
void pod_unmount(struct pod *p);
/* a token of the pod's is in the last fifth of its life, as kubelet judges it */
bool pod_token_due(const struct pod *p);
/* The object was changed (labels, annotations, status): it is this one from now on.  The spec of
 * a pod cannot change, so pointers into it are moved over. */
void pod_take_object(struct pod *p, const struct kube_object *o);

#endif
