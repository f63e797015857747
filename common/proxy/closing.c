/* closing.c - see closing.h */
#include "common/proxy/closing.h"
#include "common/proxy/view.h"

#define NO_IDLE_MS 60000 /* the idle time where none is given */

static uint32_t half_time(const struct view_limits *lim)
{
    return ((lim->idle_ms ? lim->idle_ms : NO_IDLE_MS) + 1) / 2;
}

static void look_again(struct closing *cl, const struct conn *c, struct timer *t,
                       const struct view_limits *lim)
{
    cl->taken = conn_taken(c);
    cl->since_ms = loop_now_ms(c->loop);
    timer_set(t, half_time(lim));
}

void closing_begin(struct closing *cl, const struct conn *c, struct timer *t,
                   const struct view_limits *lim)
{
    cl->slow = 0;
    look_again(cl, c, t, lim);
}

bool closing_goes_on(struct closing *cl, const struct conn *c, struct timer *t,
                     const struct view_limits *lim)
{
    uint64_t ms = loop_now_ms(c->loop) - cl->since_ms, moved;
    if (ms < half_time(lim)) {
        timer_set(t, half_time(lim) - (uint32_t)ms);
        return true;
    }
    moved = conn_taken(c) - cl->taken;
    cl->slow = moved == 0 || moved < lim->min_rate * ms / 1000 ? cl->slow + 1 : 0;
    if (cl->slow >= 2)
        return false;
    look_again(cl, c, t, lim);
    return true;
}
