/* clock.c - the fake clock: the symbols of common/base/clock.c, moved by hand. */
#include "common/base/clock.h"

#include <stdatomic.h>
#include "test/fake/clock.h"

#define MONO_START_MS 1000000u
#define WALL_START_MS 1767225600000 /* 2026-01-01T00:00:00Z */

static atomic_uint_fast64_t mono_ms = MONO_START_MS;
static atomic_int_fast64_t wall_offset = WALL_START_MS - (int64_t)MONO_START_MS;

void fake_clock_advance(uint64_t ms)
{
    atomic_fetch_add(&mono_ms, ms);
}

void fake_clock_set_wall(int64_t wall_ms)
{
    atomic_store(&wall_offset, wall_ms - (int64_t)atomic_load(&mono_ms));
}

uint64_t clock_mono_ns(void)
{
    return atomic_load(&mono_ms) * 1000000u;
}

uint64_t clock_mono_ms(void)
{
    return atomic_load(&mono_ms);
}

int64_t clock_wall_ms(void)
{
    return (int64_t)atomic_load(&mono_ms) + atomic_load(&wall_offset);
}
