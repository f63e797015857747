/* clock.h - virtual time: link test/fake/clock.c and common/base/clock.c stays out.
 *
 *   fake_clock_advance(5000);                time moves when the test says so, and only then
 *   fake_loop_run(loop, 5000);               the same, with the loop seeing every step of it
 *
 * Begins at 1,000,000 ms monotonic and 2026-01-01T00:00:00Z.  Any thread.
 */
#ifndef FSM_TEST_FAKE_CLOCK_H
#define FSM_TEST_FAKE_CLOCK_H

#include <stdint.h>
#include "common/io/loop.h"

void fake_clock_advance(uint64_t ms);
/* the wall clock may be set back, the monotonic one never is */
void fake_clock_set_wall(int64_t wall_ms);

/* Lets ms pass: stops wherever a timer is due, and turns the loop there (and once at the start and
 * at the end) until it has nothing more to do at that moment. */
static inline void fake_loop_run(struct loop *l, uint64_t ms)
{
    uint64_t now, end, next;

    loop_turn(l, false);
    now = loop_now_ms(l);
    end = now + ms;
    while (now < end) {
        next = loop_next_ms(l);
        if (next > end)
            next = end;
        if (next > now)
            fake_clock_advance(next - now);
        now = next;
        loop_turn(l, false);
        loop_turn(l, false); /* what the first one caused: bytes sent to ourselves */
    }
}

#endif
