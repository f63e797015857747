/* balance.c - see balance.h */
#include "common/proxy/balance.h"

static bool skipped(uint64_t skip, uint32_t i)
{
    return i < 64 && (skip >> i & 1);
}

void wrr_init(struct wrr_state *s, struct wrr *t, uint32_t n, uint32_t start)
{
    *s = (struct wrr_state){.n = n, .t = t, .start = n ? start % n : 0, .equal = n > 0};
    for (uint32_t i = 0; i < n; i++) {
        t[i].hits = 0;
        s->weights += t[i].weight;
        if (t[i].weight == 0 || t[i].weight != t[0].weight)
            s->equal = false;
    }
    s->next = s->start;
}

/* equal weights, nothing but turns to take: O(1) */
static int pick_turn(struct wrr_state *s, uint64_t skip)
{
    for (uint32_t tries = 0; tries < s->n; tries++) {
        uint32_t i = s->next;
        s->next = i + 1 < s->n ? i + 1 : 0;
        if (!skipped(skip, i))
            return (int)i;
    }
    return -1;
}

/* a.hits/a.weight < b.hits/b.weight without dividing */
static bool less_used(const struct wrr *a, const struct wrr *b)
{
    return (uint64_t)a->hits * b->weight < (uint64_t)b->hits * a->weight;
}

static int pick_least(const struct wrr_state *s, uint64_t skip)
{
    int best = -1;
    for (uint32_t k = 0; k < s->n; k++) {
        uint32_t i = s->start + k < s->n ? s->start + k : s->start + k - s->n;
        if (s->t[i].weight == 0 || skipped(skip, i))
            continue;
        if (best < 0 || less_used(&s->t[i], &s->t[best]))
            best = (int)i;
    }
    return best;
}

static void new_round(struct wrr_state *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->t[i].hits = 0;
    s->hits = 0;
}

int wrr_pick(struct wrr_state *s, uint64_t skip)
{
    if (s->equal)
        return pick_turn(s, skip);
    int i = pick_least(s, skip);
    if (i < 0)
        return -1;
    s->t[i].hits++;
    if (++s->hits >= s->weights)
        new_round(s);
    return i;
}

/* Marsaglia's xorshift: the same for all who begin alike, which is what tests want */
static uint32_t roll(uint32_t *dice)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    return *dice;
}

int wrr_rival(const struct wrr_state *s, uint32_t first, uint64_t skip, uint32_t *dice)
{
    if (s->n < 2)
        return -1;
    uint32_t i = roll(dice) % (s->n - 1);
    i += i >= first;
    return s->t[i].weight == 0 || skipped(skip, i) ? -1 : (int)i;
}

bool wrr_is_less_busy(const struct wrr_state *s, uint32_t rival, uint32_t rival_busy,
                      uint32_t first, uint32_t first_busy)
{
    return (uint64_t)rival_busy * s->t[first].weight < (uint64_t)first_busy * s->t[rival].weight;
}
