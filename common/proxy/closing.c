/* closing.c - see closing.h */
#include "common/proxy/closing.h"

#define NO_IDLE_MS 60000 /* the idle time where none is given */

uint32_t closing_ms(const struct view_limits *lim)
{
    return lim->idle_ms ? lim->idle_ms : NO_IDLE_MS;
}

static uint32_t half_time(const struct view_limits *lim)
{
    return (closing_ms(lim) + 1) / 2;
}

void closing_begin(struct chan *ch, struct timer *t, const struct view_limits *lim)
{
    ch->slow = 0;
    ch->taken = conn_taken(ch->c);
    timer_set(t, half_time(lim));
}

bool closing_goes_on(struct chan *ch, struct timer *t, const struct view_limits *lim)
{
    uint64_t taken = conn_taken(ch->c), moved = taken - ch->taken;
    uint64_t least = (uint64_t)lim->min_rate * half_time(lim) / 1000;
    ch->slow = moved == 0 || moved < least ? ch->slow + 1 : 0;
    ch->taken = taken;
    if (ch->slow >= 2)
        return false;
    timer_set(t, half_time(lim));
    return true;
}
