/* manifests.h - the manifests of deploy/, which are built into the program: what `kubectl apply -k`
 * would apply is what `fsm install` applies.
 *
 * Of kustomize that is: resources, namespace, labels.pairs and images.newTag.  A kustomization that
 * says anything else is refused, so that the two can never differ unseen.
 */
#ifndef FSM_CLI_CLUSTER_MANIFESTS_H
#define FSM_CLI_CLUSTER_MANIFESTS_H

#include <jansson.h>
#include "common/base/err.h"

/* The objects of a kustomization, "deploy/kustomize/base", in its order; returns owned array, or
 * NULL and e. */
json_t *manifests_of(const char *dir, struct err *e);

#endif
