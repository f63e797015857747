/* kubeconfig.h - inside common/kube: what a kubeconfig says; see access.h. */
#ifndef FSM_KUBE_KUBECONFIG_H
#define FSM_KUBE_KUBECONFIG_H

#include "common/kube/access.h"

/* path, context: NULL = as kubectl finds them.  Fills what the context, its cluster and its user
 * say; -1 and e, out to be cleared by the caller */
int kubeconfig_load(const char *path, const char *context, struct kube_access *out, struct err *e);

#endif
