/* closing.h - the end of a connection that has nothing more to say: what waits is still sent, as
 * long as the peer takes it (engine-internal).
 *
 *   closing_begin(&ch, &timer, lim);           the stream is over, bytes wait
 *   on the timer:  if (!closing_goes_on(&ch, &timer, lim))  abort the connection
 *   when all was sent:  close it
 *
 * As with a stream (stream_pace.c) the peer is looked at twice in the idle time (a minute, if there
 * is none), and twice in a row less than the minimum rate, or nothing, ends it.  Then by a reset:
 * an orderly end would pass for the whole.
 */
#ifndef FSM_PROXY_CLOSING_H
#define FSM_PROXY_CLOSING_H

#include <stdbool.h>
#include "common/io/loop.h"
#include "common/proxy/chan.h"
#include "common/proxy/view.h"

/* the idle time, or what stands for it */
uint32_t closing_ms(const struct view_limits *lim);
void closing_begin(struct chan *ch, struct timer *t, const struct view_limits *lim);
/* false: the peer takes too little, and the timer is not set any more */
bool closing_goes_on(struct chan *ch, struct timer *t, const struct view_limits *lim);

#endif
