/* wheel.h - the hierarchical timing wheel behind loop.h's timers; private to common/io.
 *
 * Four levels of 256 buckets: 1 ms, 256 ms, 65.5 s and 4.7 h wide.  A timer waits in the level
 * that its distance calls for and moves one level down when its bucket's time comes; if its owner
 * has pushed it forward meanwhile, which costs nothing, it is put where it belongs then.
 * Virtual: it knows no clock, only the time that wheel_run is told.
 */
#ifndef FSM_IO_WHEEL_H
#define FSM_IO_WHEEL_H

#include "common/io/loop.h"

#define WHEEL_LEVELS  4
#define WHEEL_BITS    8 /* of time per level */
#define WHEEL_BUCKETS (1u << WHEEL_BITS)

struct wheel {
    uint64_t now;   /* every tick up to and including it has been run */
    uint64_t next;  /* no bucket has to be looked at before; UINT64_MAX if all are empty */
    unsigned count; /* timers linked */
    uint64_t used[WHEEL_LEVELS][WHEEL_BUCKETS / 64]; /* a bit per bucket that may hold timers */
    struct timer_link bucket[WHEEL_LEVELS][WHEEL_BUCKETS];
};

void wheel_init(struct wheel *w, uint64_t now);
/* links t by t->due_ms; a time that has passed means the next tick */
void wheel_add(struct wheel *w, struct timer *t);
void wheel_del(struct wheel *w, struct timer *t);
/* runs everything that is due up to now, in the order of time */
void wheel_run(struct wheel *w, uint64_t now);

#endif
