/* wheel_test.c - timers in virtual time: when they fire, in which order, and what it costs. */
/* objects: test/fake/clock.c */
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/io/loop.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

static struct loop *l;
static char fired[256];

struct named {
    struct timer t;
    char name;
    uint64_t at; /* when it fired */
    int count;
};

static void on_named(void *arg)
{
    struct named *n = arg;
    size_t len = strlen(fired);

    n->at = clock_mono_ms();
    n->count++;
    if (len + 1 < sizeof(fired)) {
        fired[len] = n->name;
        fired[len + 1] = 0;
    }
}

static void begin(void)
{
    struct err e;

    l = loop_new(&e);
    ck_assert_msg(l != NULL, "%s", e.text);
    fired[0] = 0;
}

static void named_init(struct named *n, char name)
{
    memset(n, 0, sizeof(*n));
    n->name = name;
    timer_init(&n->t, l, on_named, n);
}

START_TEST(fire_in_order_of_time_then_of_setting)
{
    struct named t[6];
    static const unsigned ms[6] = {30, 10, 20, 10, 0, 10};

    begin();
    for (int i = 0; i < 6; i++) {
        named_init(&t[i], (char)('a' + i));
        timer_set(&t[i].t, ms[i]);
    }
    fake_loop_run(l, 100);
    ck_assert_str_eq(fired, "ebdfca");
    loop_free(l);
}
END_TEST

START_TEST(a_late_turn_fires_in_order_too)
{
    struct named t[5];
    static const unsigned ms[5] = {900, 1, 300, 70, 299};

    begin();
    for (int i = 0; i < 5; i++) {
        named_init(&t[i], (char)('a' + i));
        timer_set(&t[i].t, ms[i]);
    }
    fake_clock_advance(100000);
    loop_turn(l, false);
    ck_assert_str_eq(fired, "bdeca");
    loop_free(l);
}
END_TEST

/* every distance below 1 s exactly, larger ones at most 1 % late, none early */
START_TEST(fire_when_they_should)
{
    uint64_t seed = 3, start, ms;
    struct named t;

    begin();
    named_init(&t, 'x');
    for (int i = 0; i < 1500; i++) {
        ms = i < 1000 ? (uint64_t)i : unit_random(&seed) % (1ull << (10 + i % 30));
        start = clock_mono_ms();
        t.count = 0;
        timer_set(&t.t, ms);
        ck_assert(timer_is_set(&t.t));
        fake_loop_run(l, ms ? ms - 1 : 0);
        ck_assert_msg(t.count == 0 || ms == 0, "%llu ms: early", (unsigned long long)ms);
        fake_loop_run(l, 1 + (ms < 1000 ? 0 : ms / 100));
        ck_assert_msg(t.count == 1, "%llu ms from %llu: %d times", (unsigned long long)ms,
                      (unsigned long long)start, t.count);
        ck_assert(!timer_is_set(&t.t));
        if (ms > 0 && ms < 1000)
            ck_assert_uint_eq(t.at, start + ms);
    }
    loop_free(l);
}
END_TEST

START_TEST(pushed_forward_never_fires)
{
    struct named t;

    begin();
    named_init(&t, 'x');
    for (int i = 0; i < 2000; i++) {
        timer_set(&t.t, 900);
        fake_loop_run(l, 1 + (unsigned)i % 899);
    }
    ck_assert_int_eq(t.count, 0);
    fake_loop_run(l, 900);
    ck_assert_int_eq(t.count, 1);
    loop_free(l);
}
END_TEST

START_TEST(pulled_back_fires_sooner)
{
    struct named t;
    uint64_t start;

    begin();
    named_init(&t, 'x');
    timer_set(&t.t, 1000000);
    fake_loop_run(l, 10);
    start = clock_mono_ms();
    timer_set(&t.t, 5);
    fake_loop_run(l, 50);
    ck_assert_int_eq(t.count, 1);
    ck_assert_uint_eq(t.at, start + 5);
    fake_loop_run(l, 2000000);
    ck_assert_int_eq(t.count, 1);
    loop_free(l);
}
END_TEST

START_TEST(cancelled_never_fires)
{
    struct named t;

    begin();
    named_init(&t, 'x');
    timer_cancel(&t.t);
    timer_set(&t.t, 5);
    timer_cancel(&t.t);
    ck_assert(!timer_is_set(&t.t));
    fake_loop_run(l, 100);
    ck_assert_int_eq(t.count, 0);
    ck_assert_uint_eq(loop_next_ms(l), UINT64_MAX);
    loop_free(l);
}
END_TEST

/* a callback may cancel, move and re-set others of its own millisecond, and itself */
static struct named victims[3];

static void on_meddle(void *arg)
{
    on_named(arg);
    timer_cancel(&victims[0].t);
    timer_set(&victims[1].t, 7);
    timer_set(&victims[2].t, 0);
    if (victims[0].count + ((struct named *)arg)->count < 3)
        timer_set(&((struct named *)arg)->t, 0);
}

START_TEST(callbacks_may_do_anything)
{
    struct named m;
    uint64_t start;

    begin();
    named_init(&m, 'm');
    m.t.fn = on_meddle;
    timer_set(&m.t, 10);
    for (int i = 0; i < 3; i++) {
        named_init(&victims[i], (char)('0' + i));
        timer_set(&victims[i].t, 10);
    }
    start = clock_mono_ms();
    fake_loop_run(l, 10);
    ck_assert_str_eq(fired, "m2");
    fake_loop_run(l, 100);
    ck_assert_int_eq(victims[0].count, 0);
    ck_assert_int_eq(m.count, 3);
    ck_assert_int_eq(victims[1].count, 1);
    ck_assert_uint_eq(victims[1].at, start + 10 + 2 + 7);
    ck_assert_int_ge(victims[2].count, 1);
    loop_free(l);
}
END_TEST

static void on_free(void *arg)
{
    free(arg);
    fired[0] = 'F';
}

START_TEST(a_callback_may_free_its_timer)
{
    struct timer *t = malloc(sizeof(*t));

    begin();
    timer_init(t, l, on_free, t);
    timer_set(t, 3);
    fake_loop_run(l, 10);
    ck_assert_int_eq(fired[0], 'F');
    loop_free(l);
}
END_TEST

/* many timers, set, moved and cancelled at random, against a plain array */
START_TEST(does_what_a_model_does)
{
    enum { N = 200 };
    static struct named t[N];
    uint64_t due[N] = {0}, seed = 11;

    begin();
    for (int i = 0; i < N; i++)
        named_init(&t[i], 'x');
    for (int step = 0; step < 5000; step++) {
        unsigned i = (unsigned)(unit_random(&seed) % N);
        uint64_t ms = unit_random(&seed) % (1 + (1ull << (unit_random(&seed) % 22))), now, slack;
        if (unit_random(&seed) % 4 == 0) {
            timer_cancel(&t[i].t);
            due[i] = 0;
        } else {
            timer_set(&t[i].t, ms);
            due[i] = loop_now_ms(l) + (ms ? ms : 1);
        }
        t[i].count = 0;
        if (step % 10)
            continue;
        fake_loop_run(l, unit_random(&seed) % 3000);
        now = clock_mono_ms();
        for (int k = 0; k < N; k++) {
            ck_assert_msg(!t[k].count || (due[k] && t[k].at >= due[k]), "early or cancelled");
            slack = due[k] && t[k].t.due_ms > due[k] ? t[k].t.due_ms - due[k] : 0;
            ck_assert_uint_le(slack, 1 << 15);
            ck_assert_msg(!due[k] || t[k].count == (now >= t[k].t.due_ms && now >= due[k]),
                          "timer %d: %d times, due %llu, now %llu", k, t[k].count,
                          (unsigned long long)due[k], (unsigned long long)now);
            if (t[k].count) {
                due[k] = 0;
                t[k].count = 0;
            }
        }
    }
    for (int i = 0; i < N; i++)
        timer_cancel(&t[i].t);
    loop_free(l);
}
END_TEST

START_TEST(long_waits_share_wake_ups)
{
    enum { N = 1000 };
    static struct named t[N];
    unsigned wakes = 0;
    uint64_t end;

    begin();
    for (int i = 0; i < N; i++) {
        named_init(&t[i], 'x');
        timer_set(&t[i].t, 15000);
        fake_loop_run(l, 1);
    }
    end = clock_mono_ms() + 16000;
    while (loop_next_ms(l) <= end) {
        fake_clock_advance(loop_next_ms(l) - clock_mono_ms());
        loop_turn(l, false);
        wakes++;
    }
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(t[i].count, 1);
    ck_assert_msg(wakes < 100, "%u wake-ups for %d timers of 15 s set over a second", wakes, N);
    loop_free(l);
}
END_TEST

START_TEST(beyond_the_last_level)
{
    const uint64_t days = 24ull * 3600 * 1000;
    struct named t;

    begin();
    named_init(&t, 'x');
    timer_set(&t.t, 400 * days);
    fake_loop_run(l, 399 * days);
    ck_assert_int_eq(t.count, 0);
    fake_loop_run(l, 5 * days);
    ck_assert_int_eq(t.count, 1);
    timer_set(&t.t, UINT64_MAX);
    fake_loop_run(l, 1000 * days);
    ck_assert_int_eq(t.count, 1);
    timer_cancel(&t.t);
    loop_free(l);
}
END_TEST

UNIT_MAIN("wheel", fire_in_order_of_time_then_of_setting, a_late_turn_fires_in_order_too,
          fire_when_they_should, pushed_forward_never_fires, pulled_back_fires_sooner,
          cancelled_never_fires, callbacks_may_do_anything, a_callback_may_free_its_timer,
          does_what_a_model_does, long_waits_share_wake_ups, beyond_the_last_level)
