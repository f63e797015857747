/* closing.h - the end of a connection that has nothing more to say: what waits is still sent, as
 * long as the peer takes it (engine-internal).
 *
 *   closing_begin(&cl, conn, &timer, lim);     the stream is over, bytes wait
 *   on the timer:  if (!closing_goes_on(&cl, conn, &timer, lim))  abort the connection
 *   when all was sent:  close it
 *
 * As with a stream (stream_pace.c) the peer is looked at twice in the idle time (a minute, if there
 * is none), and twice in a row less than the minimum rate, or nothing, ends it.  Then by a reset:
 * an orderly end would pass for the whole.
 */
#ifndef FSM_PROXY_CLOSING_H
#define FSM_PROXY_CLOSING_H

#include <stdbool.h>
#include <stdint.h>
#include "common/io/conn.h"
#include "common/io/loop.h"

struct view_limits;

struct closing {
    uint64_t taken;    /* by the peer, when it was last looked at */
    uint64_t since_ms; /* when that was */
    uint8_t slow;      /* looks in a row at which it had taken too little */
};

void closing_begin(struct closing *cl, const struct conn *c, struct timer *t,
                   const struct view_limits *lim);
/* May be asked earlier than the timer says.  false: the peer takes too little, and the timer is not
 * set any more */
bool closing_goes_on(struct closing *cl, const struct conn *c, struct timer *t,
                     const struct view_limits *lim);

#endif
