/* backoff.h - how long to wait before trying again: doubling, with jitter, so that a thousand
 * clients that lost the same server do not come back in the same millisecond.  Pure.
 */
#ifndef FSM_KUBE_BACKOFF_H
#define FSM_KUBE_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS   10000
/* what a server may ask for at most (Retry-After) */
#define BACKOFF_ASKED_MAX_MS (5 * 60 * 1000)

struct backoff {
    unsigned failures; /* since the last success; zeroed memory is a fresh one */
};

/* The wait after one more failure: half to all of BACKOFF_FIRST_MS * 2^failures (at most
 * BACKOFF_MAX_MS), and what the server asked for on top of a share of it, if it asked (0 = no). */
uint64_t backoff_next(struct backoff *b, uint64_t asked_ms);
static inline void backoff_reset(struct backoff *b)
{
    b->failures = 0;
}
/* ms, up to a fifth more or less */
uint64_t backoff_jitter(uint64_t ms);

#endif
