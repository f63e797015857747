/* selector.h - label selectors.  Pure; arguments are borrowed; any thread. */
#ifndef FSM_KUBE_SELECTOR_H
#define FSM_KUBE_SELECTOR_H

#include <jansson.h>
#include <stdbool.h>

/* A LabelSelector {matchLabels, matchExpressions} against an object's labels (NULL = none).
 * NULL or null selects nothing, an empty selector everything. */
bool kube_selector_match(const json_t *selector, const json_t *labels);
/* A plain map, as Service.spec.selector: every pair must be there.  NULL or an empty map selects
 * nothing (such a Service has no pods of its own). */
bool kube_labels_match(const json_t *map, const json_t *labels);

#endif
