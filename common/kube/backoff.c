/* backoff.c - exponential back-off; see backoff.h. */
#include "common/kube/backoff.h"

#include "common/base/codec.h"

#define STEPS_MAX 16 /* doublings, far above BACKOFF_MAX_MS */

/* 0 .. below */
static uint64_t random_below(uint64_t below)
{
    uint64_t r;
    random_bytes(&r, sizeof r);
    return below ? r % below : 0;
}

uint64_t backoff_next(struct backoff *b, uint64_t asked_ms)
{
    uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << b->failures;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    if (b->failures < STEPS_MAX)
        b->failures++;
    ms -= random_below(ms / 2 + 1);
    if (asked_ms > BACKOFF_ASKED_MAX_MS)
        asked_ms = BACKOFF_ASKED_MAX_MS;
    return asked_ms ? asked_ms + ms / 4 : ms;
}

uint64_t backoff_jitter(uint64_t ms)
{
    return ms - ms / 5 + random_below(2 * (ms / 5) + 1);
}
