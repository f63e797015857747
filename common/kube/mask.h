/* mask.h - which members of an object this program uses; what an API server sends beside them is
 * dropped while it is read.
 *
 * Pods, Services, EndpointSlices and Namespaces are many, and most of what they hold is for others:
 * of these only the members named in mask.c are kept.  Whoever reads a further one names it there;
 * the golden tests of the compilers run through these masks too.  Of any other kind everything is
 * kept but the notes of those who wrote it, and its status, which is ours: writing it changes
 * nothing.
 */
#ifndef FSM_KUBE_MASK_H
#define FSM_KUBE_MASK_H

#include "common/base/json_cut.h"
#include "common/kube/kind.h"

/* of an object; metadata.resourceVersion is let through, for who follows the object */
const struct json_mask *kube_mask_of(const struct kube_kind *k);
/* of a list of them, and of an event of a watch */
const struct json_mask *kube_mask_of_list(const struct kube_kind *k);
const struct json_mask *kube_mask_of_event(const struct kube_kind *k);
/* some members of every object are kept, or only those that are named */
bool kube_mask_is_narrow(const struct kube_kind *k);

#endif
