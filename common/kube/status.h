/* status.h - what a controller thinks of objects, written into their status.conditions: by
 * server-side apply on the status subresource, and only where it differs from what stands there.
 *
 *   st = kube_status_new(loop, api, "fsm-controller", &ops, self);
 *   kube_status_enable(st, true);                     only the one that holds the lease writes
 *   kube_status_touch(st, kind, ns, name);            what was written may be out of date
 *
 * An object that was touched is read from the server, and wanted() says what its status should be,
 * of exactly that version: what is written names it, so that of an object that changed meanwhile,
 * or went and came again under its name, nothing is said (409, and it is read anew).  Conditions
 * keep their lastTransitionTime while their status stays.  One call at a time; one object at most
 * every KUBE_STATUS_SPACE_MS, all of them at most one every KUBE_STATUS_PACE_MS; what the server
 * does not do is tried again after a back-off.  An object that is gone is forgotten. One thread:
 * the loop's.
 */
#ifndef FSM_KUBE_STATUS_H
#define FSM_KUBE_STATUS_H

#include <jansson.h>
#include "common/kube/api.h"
#include "common/kube/kind.h"

#define KUBE_STATUS_SPACE_MS 1000
#define KUBE_STATUS_PACE_MS  50
#define KUBE_STATUS_SLOW_MS  10000 /* while we may not */

struct kube_status_ops {
    /* What the conditions of that object should be: an array of {type, status, reason, message},
     * the caller's; NULL: nothing is to be said of it. */
    json_t *(*wanted)(const json_t *object, void *arg);
    /* They differ from what stands there, and are about to be written; once per version of the
     * object.  May be NULL. */
    void (*differs)(const json_t *object, const json_t *wanted, void *arg);
};

struct kube_status;

/* Borrows manager (the fieldManager) and ops. */
struct kube_status *kube_status_new(struct loop *l, struct kube_api *api, const char *manager,
                                    const struct kube_status_ops *ops, void *arg);
/* Off (so it begins): nothing is read or written any more, at once.  What was touched meanwhile is
 * looked at when it is on again. */
void kube_status_enable(struct kube_status *st, bool on);
void kube_status_touch(struct kube_status *st, const struct kube_kind *kind, const char *ns,
                       const char *name);
/* a condition for wanted() */
json_t *kube_condition(const char *type, bool status, const char *reason, const char *message);
/* the condition of that type among an object's, or NULL; borrowed */
const json_t *kube_condition_of(const json_t *object, const char *type);
/* written since the start */
uint64_t kube_status_written(const struct kube_status *st);
/* what keeps statuses from being written; NULL: nothing */
const char *kube_status_problem(const struct kube_status *st);
/* NULL is fine */
void kube_status_free(struct kube_status *st);

#endif
