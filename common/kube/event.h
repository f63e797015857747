/* event.h - Events (events.k8s.io/v1): what a user should read beside an object, in
 * `kubectl describe`.
 *
 *   ev = kube_events_new(loop, api, "flomesh.io/fsm-controller", pod_name);
 *   kube_events_enable(ev, true);                      only the one that holds the lease writes
 *   kube_events_tell(ev, &(struct kube_event){.regarding = ..., .reason = "Refused", ...});
 *
 * Fire and forget, and bounded.  The same event again is counted in the one that is there, at most
 * once in KUBE_EVENT_SERIES_MS; of one object KUBE_EVENTS_PER_OBJECT are kept apart, further ones
 * are counted together, by reason; KUBE_EVENTS_MAX are remembered, for KUBE_EVENT_FORGET_MS.  One
 * call at a time.  What the server does not take is tried KUBE_EVENT_TRIES times.
 * One thread: the loop's.
 */
#ifndef FSM_KUBE_EVENT_H
#define FSM_KUBE_EVENT_H

#include "common/kube/api.h"
#include "common/kube/kind.h"

#define KUBE_EVENTS_MAX        256
#define KUBE_EVENTS_PER_OBJECT 10
#define KUBE_EVENT_SERIES_MS   60000
#define KUBE_EVENT_FORGET_MS   (10 * 60 * 1000)
#define KUBE_EVENT_TRIES       8
#define KUBE_EVENT_NOTE_MAX    1024 /* bytes; the API takes no more */

/* borrowed for the call */
struct kube_event {
    const char *api_version, *kind, *ns, *name, *uid; /* of the object; ns "": cluster-wide, uid may
                                                         be NULL */
    bool warning;
    const char *reason, *action; /* "Refused", "Configure": words in CamelCase */
    const char *note;            /* for people; cut where it is too long */
};

struct kube_events;

/* Borrows controller (a qualified name); copies instance, which says which process it is. */
struct kube_events *kube_events_new(struct loop *l, struct kube_api *api, const char *controller,
                                    const char *instance);
/* Off (so it begins): nothing is written any more, at once, and what waits is forgotten. */
void kube_events_enable(struct kube_events *ev, bool on);
/* nothing while it is off */
void kube_events_tell(struct kube_events *ev, const struct kube_event *e);
/* written since the start; that nobody will read */
uint64_t kube_events_written(const struct kube_events *ev);
uint64_t kube_events_lost(const struct kube_events *ev);
/* why none can be written; NULL: nothing is known against it */
const char *kube_events_problem(const struct kube_events *ev);
/* NULL is fine */
void kube_events_free(struct kube_events *ev);

#endif
