/* lease.h - of several processes the one that writes: a Lease (coordination.k8s.io/v1) of an API
 * server.
 *
 *   lease = kube_lease_new(loop, api, &conf, on_changed, self);
 *   if (kube_lease_is_held(lease))  write        ask before every write, not once
 *   kube_lease_release(lease);  ... kube_lease_free(lease)
 *
 *   acquire    a lease that is not there, has no holder, or whose record did not change for as long
 *              as it says it is valid, since we first saw it
 *   renew      every KUBE_LEASE_RENEW_MS or so; what fails is tried again sooner
 *   lost       another holds it, it was deleted, or no renewal was answered within
 *              KUBE_LEASE_HOLD_MS of having been sent
 *   release    at a stop: the next one need not wait
 *
 * No clock is compared with another machine's: the times in the record are for people.  A hold is
 * counted from before its renewal was sent, a foreign one from after it was seen, both by this
 * process's monotonic clock; and the server takes no change that does not name the version it is
 * made of.  So a holder has stopped KUBE_LEASE_S - KUBE_LEASE_HOLD_MS before another can begin,
 * however long a network keeps what was sent.  (Who deletes a Lease that is held lets the next one
 * begin at once: the holder learns of it with its next renewal.)  One thread: the loop's.
 */
#ifndef FSM_KUBE_LEASE_H
#define FSM_KUBE_LEASE_H

#include "common/kube/api.h"

#define KUBE_LEASE_S        15    /* what others wait for */
#define KUBE_LEASE_HOLD_MS  10000 /* of it we use, without an answer */
#define KUBE_LEASE_RENEW_MS 3000
#define KUBE_LEASE_CALL_MS  5000
#define KUBE_LEASE_SLOW_MS  10000 /* while we may not */
#define KUBE_LEASE_WHO_MAX  256

struct kube_lease_conf {
    const char *ns, *name;
    const char *who; /* of this process alone, also after a restart */
};

struct kube_lease;

/* Begins at once.  Copies conf's strings, but for those that are too long.  changed() is not called
 * from inside this call. */
struct kube_lease *kube_lease_new(struct loop *l, struct kube_api *api,
                                  const struct kube_lease_conf *conf,
                                  void (*changed)(bool held, void *arg), void *arg);
/* by the clock of this moment */
bool kube_lease_is_held(const struct kube_lease *l);
/* who was seen last; "" = nobody */
const char *kube_lease_holder(const struct kube_lease *l);
/* what keeps us from knowing; NULL: nothing */
const char *kube_lease_problem(const struct kube_lease *l);
/* From now on it is not held, and the server is told, once: the loop should run on a little. */
void kube_lease_release(struct kube_lease *l);
/* changed() does not come any more.  NULL is fine. */
void kube_lease_free(struct kube_lease *l);

#endif
