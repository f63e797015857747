/* balance.c - see balance.h */
#include "common/proxy/balance.h"

static bool skipped(uint64_t skip, uint32_t i)
{
    return i < 64 && (skip >> i & 1);
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

/* ---- unequal weights: a binary heap of those that have one, the next to be picked on top
 * --------- */

static uint32_t behind_start(const struct wrr_state *s, uint32_t i)
{
    return i >= s->start ? i - s->start : i + s->n - s->start;
}

/* a.hits/a.weight < b.hits/b.weight without dividing */
static bool before(const struct wrr_state *s, uint32_t i, uint32_t k)
{
    const struct wrr *a = &s->t[i], *b = &s->t[k];
    uint64_t x = (uint64_t)a->hits * b->weight, y = (uint64_t)b->hits * a->weight;
    return x < y || (x == y && behind_start(s, i) < behind_start(s, k));
}

/* in the order of their first turns, which is that of a heap */
static void new_round(struct wrr_state *s)
{
    s->heaped = 0;
    s->hits = 0;
    for (uint32_t k = 0; k < s->n; k++) {
        uint32_t i = s->start + k < s->n ? s->start + k : s->start + k - s->n;
        s->t[i].hits = 0;
        if (s->t[i].weight)
            s->t[s->heaped++].heap = i;
    }
}

static void sink(struct wrr_state *s, uint32_t at)
{
    uint32_t i = s->t[at].heap, child;
    while ((child = 2 * at + 1) < s->heaped) {
        if (child + 1 < s->heaped && before(s, s->t[child + 1].heap, s->t[child].heap))
            child++;
        if (!before(s, s->t[child].heap, i))
            break;
        s->t[at].heap = s->t[child].heap;
        at = child;
    }
    s->t[at].heap = i;
}

/* The place of the first that is not skipped, at or below `at`; s->heaped if there is none.  Goes
 * on below skipped ones alone, and there are 64 of them at most. */
static uint32_t first_place(const struct wrr_state *s, uint32_t at, uint64_t skip)
{
    if (at >= s->heaped || !skipped(skip, s->t[at].heap))
        return at < s->heaped ? at : s->heaped;
    uint32_t a = first_place(s, 2 * at + 1, skip), b = first_place(s, 2 * at + 2, skip);
    if (a == s->heaped || b == s->heaped)
        return a < b ? a : b;
    return before(s, s->t[a].heap, s->t[b].heap) ? a : b;
}

static int pick_least(struct wrr_state *s, uint64_t skip)
{
    uint32_t at = first_place(s, 0, skip);
    if (at == s->heaped)
        return -1;
    uint32_t i = s->t[at].heap;
    s->next = i + 1 < s->n ? i + 1 : 0;
    s->t[i].hits++;
    if (++s->hits >= s->weights)
        new_round(s);
    else
        sink(s, at);
    return (int)i;
}

void wrr_init(struct wrr_state *s, struct wrr *t, uint32_t n, uint32_t start)
{
    *s = (struct wrr_state){.n = n, .t = t, .start = n ? start % n : 0, .equal = n > 0};
    for (uint32_t i = 0; i < n; i++) {
        s->weights += t[i].weight;
        if (t[i].weight == 0 || t[i].weight != t[0].weight)
            s->equal = false;
    }
    s->next = s->start;
    if (!s->equal)
        new_round(s);
}

int wrr_pick(struct wrr_state *s, uint64_t skip)
{
    return s->equal ? pick_turn(s, skip) : pick_least(s, skip);
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
