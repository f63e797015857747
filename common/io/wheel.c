/* wheel.c - the timing wheel.
 *
 * Bucket k of level n is visited when the time reaches a multiple of 256^n whose digit n (base
 * 256) is k.  A timer that is d ms away (1 <= d) waits in the lowest level with d < 256^(n+1), so
 * its bucket's visit is never behind it; the bucket that is being visited is always empty
 * afterwards, which is why a timer almost a whole turn away may already wait in it again.
 */
#include "common/io/wheel.h"

#include <stddef.h>

#define SPAN(level) (1ull << (WHEEL_BITS * (level))) /* ms that one bucket stands for */
#define FARTHEST    (SPAN(WHEEL_LEVELS) - 1)

static void list_init(struct timer_link *head)
{
    head->next = head->prev = head;
}

static void list_append(struct timer_link *head, struct timer_link *e)
{
    e->next = head;
    e->prev = head->prev;
    head->prev->next = e;
    head->prev = e;
}

static void list_remove(struct timer_link *e)
{
    e->prev->next = e->next;
    e->next->prev = e->prev;
}

/* everything of `from` goes to the empty list `to` */
static void list_move(struct timer_link *to, struct timer_link *from)
{
    list_init(to);
    if (from->next == from)
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

static struct timer *timer_of(struct timer_link *e)
{
    return (struct timer *)((char *)e - offsetof(struct timer, link));
}

void wheel_init(struct wheel *w, uint64_t now)
{
    *w = (struct wheel){.now = now, .next = UINT64_MAX};
    for (unsigned l = 0; l < WHEEL_LEVELS; l++)
        for (unsigned b = 0; b < WHEEL_BUCKETS; b++)
            list_init(&w->bucket[l][b]);
}

/* links t; slots before `earliest` have been visited */
static void place(struct wheel *w, struct timer *t, uint64_t earliest)
{
    uint64_t slot = t->due_ms > earliest ? t->due_ms : earliest, visit;
    unsigned level = 0, b;

    if (slot - w->now > FARTHEST)
        slot = w->now + FARTHEST;
    while (slot - w->now >= SPAN(level + 1))
        level++;
    b = (unsigned)(slot >> (WHEEL_BITS * level)) % WHEEL_BUCKETS;
    visit = slot & ~(SPAN(level) - 1);
    t->slot_ms = slot;
    t->linked = true;
    list_append(&w->bucket[level][b], &t->link);
    w->used[level][b / 64] |= 1ull << (b % 64);
    w->count++;
    if (visit < w->next)
        w->next = visit;
}

void wheel_add(struct wheel *w, struct timer *t)
{
    place(w, t, w->now + 1);
}

void wheel_del(struct wheel *w, struct timer *t)
{
    list_remove(&t->link); /* the bucket's bit may stay: its visit finds nothing */
    t->linked = false;
    w->count--;
}

/* The first bucket in use behind `from`, going around and ending with `from` itself; its distance
 * in buckets (1..256), or 0 if there is none */
static unsigned next_used(const uint64_t used[WHEEL_BUCKETS / 64], unsigned from)
{
    for (unsigned d = 1; d <= WHEEL_BUCKETS;) {
        unsigned b = (from + d) % WHEEL_BUCKETS;
        uint64_t rest = used[b / 64] >> (b % 64);
        if (rest) {
            d += (unsigned)__builtin_ctzll(rest);
            return d <= WHEEL_BUCKETS ? d : 0;
        }
        d += 64 - b % 64;
    }
    return 0;
}

static uint64_t next_visit(const struct wheel *w)
{
    uint64_t best = UINT64_MAX;

    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        uint64_t at = w->now >> (WHEEL_BITS * l);
        unsigned d = next_used(w->used[l], (unsigned)(at % WHEEL_BUCKETS));
        uint64_t visit = (at + d) << (WHEEL_BITS * l);
        if (d && visit < best)
            best = visit;
    }
    return best;
}

static void take_bucket(struct wheel *w, unsigned level, struct timer_link *out)
{
    unsigned b = (unsigned)(w->now >> (WHEEL_BITS * level)) % WHEEL_BUCKETS;

    list_move(out, &w->bucket[level][b]);
    w->used[level][b / 64] &= ~(1ull << (b % 64));
}

/* moves the bucket of `level` that begins now to the levels below */
static void descend(struct wheel *w, unsigned level)
{
    struct timer_link list;

    take_bucket(w, level, &list);
    while (list.next != &list) {
        struct timer *t = timer_of(list.next);
        wheel_del(w, t);
        place(w, t, w->now);
    }
}

/* The list is on this stack and the timers on it stay linked, so that what a callback cancels or
 * pushes forward is seen. */
static void fire(struct wheel *w)
{
    struct timer_link list;

    take_bucket(w, 0, &list);
    while (list.next != &list) {
        struct timer *t = timer_of(list.next);
        wheel_del(w, t);
        if (t->due_ms > w->now) {
            wheel_add(w, t);
            continue;
        }
        t->set = false;
        t->fn(t->arg);
    }
}

void wheel_run(struct wheel *w, uint64_t now)
{
    while (w->next <= now) {
        w->now = w->next;
        w->next = UINT64_MAX;
        for (unsigned l = WHEEL_LEVELS - 1; l > 0; l--)
            if ((w->now & (SPAN(l) - 1)) == 0)
                descend(w, l);
        fire(w);
        w->next = next_visit(w);
    }
    if (now > w->now)
        w->now = now;
}
