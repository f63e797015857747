/* loop_test.c - turns, deferred jobs, posts from other threads, signals, real timers. */
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include "common/base/clock.h"
#include "test/unit/io/io_test.h"

/* ---- jobs -------------------------------------------------------------------------------- */

struct counted {
    struct loop_job job; /* first: a job is its counted */
    int runs, again;
};

static void on_job(struct loop_job *job)
{
    struct counted *c = (struct counted *)job;

    c->runs++;
    if (c->again-- > 0)
        loop_defer(l, job);
}

START_TEST(jobs_run_once_at_the_end_of_the_turn)
{
    struct counted a = {.job.fn = on_job}, b = {.job.fn = on_job};

    io_begin();
    loop_defer(l, &a.job);
    loop_defer(l, &a.job);
    loop_defer(l, &b.job);
    loop_undefer(l, &b.job);
    loop_undefer(l, &b.job);
    ck_assert_int_eq(a.runs, 0);
    loop_turn(l, true); /* does not block: there is work */
    ck_assert_int_eq(a.runs, 1);
    ck_assert_int_eq(b.runs, 0);
    io_end();
}
END_TEST

START_TEST(jobs_of_jobs_run_in_the_same_turn_up_to_a_bound)
{
    struct counted a = {.job.fn = on_job, .again = 5}, b = {.job.fn = on_job, .again = 1000};

    io_begin();
    loop_defer(l, &a.job);
    loop_turn(l, false);
    ck_assert_int_eq(a.runs, 6);
    loop_defer(l, &b.job);
    loop_turn(l, true);
    ck_assert_int_lt(b.runs, 100);
    IO_UNTIL(b.runs == 1001);
    io_end();
}
END_TEST

static void on_free_job(struct loop_job *job)
{
    free(job);
}

START_TEST(a_job_may_free_itself_and_loop_free_runs_the_rest)
{
    struct counted *c = calloc(1, sizeof(*c));

    io_begin();
    c->job.fn = on_free_job;
    loop_defer(l, &c->job);
    io_end();
}
END_TEST

/* ---- posts ------------------------------------------------------------------------------- */

enum { THREADS = 4, POSTS = 5000 };

static struct poster {
    pthread_t thread;
    uintptr_t next; /* what must come next from this thread */
} posters[THREADS];
static unsigned posted;

static void on_post(void *arg)
{
    uintptr_t v = (uintptr_t)arg, who = v % THREADS;

    ck_assert_msg(v / THREADS == posters[who].next++, "posts of one thread keep their order");
    posted++;
}

static void *post_many(void *arg)
{
    struct poster *p = arg;
    uintptr_t who = (uintptr_t)(p - posters);

    for (uintptr_t i = 0; i < POSTS; i++)
        loop_post(l, on_post, (void *)(i * THREADS + who));
    return NULL;
}

START_TEST(posts_come_from_any_thread_in_order)
{
    io_begin();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    IO_UNTIL(posted == THREADS * POSTS);
    for (int i = 0; i < THREADS; i++)
        pthread_join(posters[i].thread, NULL);
    io_end();
}
END_TEST

static void post_again(void *arg)
{
    if (++posted < 10)
        loop_post(l, post_again, NULL);
}

START_TEST(a_post_may_post)
{
    io_begin();
    loop_post(l, post_again, NULL);
    IO_UNTIL(posted == 10);
    loop_post(l, post_again, NULL); /* not run: freed with the loop */
    io_end();
    ck_assert_uint_eq(posted, 10);
}
END_TEST

/* ---- notes ------------------------------------------------------------------------------- */

static struct loop_note notes[THREADS][POSTS];
static unsigned heard[THREADS];

static void on_note(struct loop_note *n)
{
    size_t at = (size_t)(n - notes[0]), who = at / POSTS;

    ck_assert_msg(at % POSTS == heard[who]++, "notes of one thread keep their order");
    posted++;
}

static void *tell_many(void *arg)
{
    struct loop_note *mine = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        mine[i].fn = on_note;
        loop_tell(l, &mine[i]);
    }
    return NULL;
}

START_TEST(notes_come_from_any_thread_in_order)
{
    pthread_t t[THREADS];

    io_begin();
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, tell_many, notes[i]), 0);
    IO_UNTIL(posted == THREADS * POSTS);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    io_end();
}
END_TEST

static void count_note(struct loop_note *n)
{
    posted++;
}

/* taking one back takes it out of either list, and leaves the others and their wake-up */
static void take_back(struct loop_note *n)
{
    posted++;
    loop_untell(l, &notes[0][3]);
}

START_TEST(a_note_may_be_taken_back)
{
    io_begin();
    notes[0][0].fn = notes[0][2].fn = count_note;
    notes[0][1].fn = take_back;
    notes[0][3].fn = on_note;
    for (unsigned i = 0; i < 4; i++)
        loop_tell(l, &notes[0][i]);
    loop_untell(l, &notes[0][2]);
    loop_untell(l, &notes[0][2]); /* no harm */
    IO_UNTIL(posted == 2);
    loop_turn(l, false);
    ck_assert_uint_eq(posted, 2);
    io_end();
}
END_TEST

static void *post_later(void *arg)
{
    usleep(20000);
    loop_post(l, io_ring, arg);
    return NULL;
}

START_TEST(a_post_wakes_a_sleeping_loop)
{
    bool rang = false;
    pthread_t t;

    io_begin();
    ck_assert_int_eq(pthread_create(&t, NULL, post_later, &rang), 0);
    IO_UNTIL(rang);
    pthread_join(t, NULL);
    io_end();
}
END_TEST

/* ---- signals, stop, time ----------------------------------------------------------------- */

static int signalled;

static void on_signal(int sig, void *arg)
{
    signalled = sig;
    loop_stop(l);
}

START_TEST(signals_run_in_the_loop)
{
    io_begin();
    ck_assert_int_eq(loop_on_signal(l, SIGHUP, on_signal, NULL), 0);
    kill(getpid(), SIGHUP);
    loop_run(l);
    ck_assert_int_eq(signalled, SIGHUP);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(loop_on_signal(l, SIGUSR1, on_signal, NULL), 0);
    ck_assert_int_eq(loop_on_signal(l, SIGUSR2, on_signal, NULL), -1);
    io_end();
}
END_TEST

START_TEST(real_timers_wake_the_loop)
{
    uint64_t start = clock_mono_ms(), took;

    io_begin();
    for (unsigned ms = 1; ms < 60; ms += 7) {
        start = clock_mono_ms();
        io_for(ms);
        took = clock_mono_ms() - start;
        ck_assert_msg(took + 1 >= ms && took < ms + 1000, "%u ms took %u", ms, (unsigned)took);
    }
    io_end();
}
END_TEST

START_TEST(an_idle_loop_sleeps)
{
    struct timespec cpu;
    uint64_t ns;

    io_begin();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
    io_for(300);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    ns = (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec - ns;
    ck_assert_msg(ns < 100000000u, "%u us of CPU in 300 ms of nothing", (unsigned)(ns / 1000));
    io_end();
}
END_TEST

START_TEST(now_is_read_once_a_turn)
{
    uint64_t now;

    io_begin();
    now = loop_now_ms(l);
    usleep(5000);
    ck_assert_uint_eq(loop_now_ms(l), now);
    loop_turn(l, false);
    ck_assert_uint_ge(loop_now_ms(l), now + 5);
    io_end();
}
END_TEST

/* An event of libevent's that comes before our epoll set in the turn, reads the time and takes
 * longer than the timer: the timer's edge is then seen in a turn whose time is before it.  A loop
 * that forgets it sleeps for ever. */
static void on_slow_event(evutil_socket_t fd, short what, void *arg)
{
    loop_now_ms(l);
    usleep(20000);
}

static void nothing(void *arg)
{
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

START_TEST(a_timer_due_while_libevent_is_busy_is_not_lost)
{
    bool fired = false;
    struct timer t;

    io_begin();
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    struct event *slow = event_new(loop_base(l), fd, EV_READ | EV_ET, on_slow_event, NULL);
    event_add(slow, NULL);
    loop_post(l, nothing, NULL); /* both are ready */
    timer_init(&t, l, set_flag, &fired);
    timer_set(&t, 10);
    while (!fired)
        loop_turn(l, true);
    event_free(slow);
    close(fd);
    io_end();
}
END_TEST

/* ---- descriptors ------------------------------------------------------------------------ */

struct watched {
    struct loop_fd ready; /* first */
    int fd, told;
    uint32_t events;
    struct watched *rival; /* not watched any more once this one was told */
};

static void on_watched(struct loop_fd *f, uint32_t events)
{
    struct watched *w = (struct watched *)f;

    w->told++;
    w->events = events;
    if (w->rival)
        loop_unwatch(l, w->rival->fd, &w->rival->ready);
}

static void watch_ready(struct watched *w)
{
    w->ready.fn = on_watched;
    w->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    ck_assert_int_eq(loop_watch(l, w->fd, &w->ready, EPOLLIN | EPOLLET), 0);
}

/* both are ready at once */
static void tell_one_of_two(bool libevent)
{
    struct watched a = {.told = 0}, b = {.told = 0};

    io_begin();
    if (libevent)
        ck_assert_ptr_nonnull(loop_base(l));
    a.rival = &b;
    b.rival = &a;
    watch_ready(&a);
    watch_ready(&b);
    IO_UNTIL(a.told || b.told);
    ck_assert_uint_eq((a.told ? &a : &b)->events, EPOLLIN);
    loop_turn(l, false);
    ck_assert_int_eq(a.told + b.told, 1);
    close(a.fd);
    close(b.fd);
    io_end();
}

START_TEST(what_is_not_watched_any_more_is_not_told)
{
    tell_one_of_two(false);
}
END_TEST

START_TEST(a_base_of_libevent_changes_nothing)
{
    tell_one_of_two(true);
}
END_TEST

START_TEST(an_error_is_told_though_nobody_asked_for_it)
{
    struct watched w = {.ready.fn = on_watched};
    int fd[2];

    io_begin();
    io_pair(fd);
    ck_assert_int_eq(loop_watch(l, fd[0], &w.ready, EPOLLOUT | EPOLLET), 0);
    IO_UNTIL(w.told);
    ck_assert_uint_eq(w.events, EPOLLOUT);
    close(fd[1]);
    IO_UNTIL(w.told > 1);
    ck_assert_uint_ne(w.events & (EPOLLHUP | EPOLLERR), 0);
    loop_unwatch(l, fd[0], &w.ready);
    close(fd[0]);
    io_end();
}
END_TEST

/* of two that are ready at once, the first knows that the other is not still, and the third is */
struct looker {
    struct loop_fd ready;
    struct loop_fd *others[2];
    bool *met, first, still[2], after_a_while;
};

static void on_look(struct loop_fd *f, uint32_t events)
{
    struct looker *k = (struct looker *)f;

    if (*k->met)
        return;
    *k->met = k->first = true;
    for (unsigned i = 0; i < 2; i++)
        k->still[i] = loop_is_still(l, k->others[i]);
    usleep(5000);
    k->after_a_while = loop_is_still(l, k->others[1]);
}

START_TEST(what_waits_in_the_turn_or_came_since_is_not_still)
{
    bool met = false;
    struct loop_fd quiet = {.fn = on_look};
    struct looker k[2] = {{.ready.fn = on_look, .met = &met}, {.ready.fn = on_look, .met = &met}};
    int fd[3];

    io_begin();
    for (unsigned i = 0; i < 2; i++) {
        k[i].others[0] = &k[!i].ready;
        k[i].others[1] = &quiet;
        fd[i] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        ck_assert_int_eq(loop_watch(l, fd[i], &k[i].ready, EPOLLIN | EPOLLET), 0);
    }
    fd[2] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    ck_assert_int_eq(loop_watch(l, fd[2], &quiet, EPOLLIN | EPOLLET), 0);
    loop_turn(l, false);
    ck_assert(met);
    const struct looker *first = k[0].first ? &k[0] : &k[1];
    ck_assert(!first->still[0]);
    ck_assert(first->still[1]);
    ck_assert(!first->after_a_while);
    for (unsigned i = 0; i < 3; i++)
        close(fd[i]);
    io_end();
}
END_TEST

START_TEST(nothing_stays_open)
{
    unsigned before = io_open_fds();

    io_begin();
    ck_assert_int_eq(loop_on_signal(l, SIGHUP, on_signal, NULL), 0);
    loop_turn(l, false);
    io_end();
    ck_assert_uint_eq(io_open_fds(), before);
    loop_free(NULL);
}
END_TEST

UNIT_MAIN("loop", jobs_run_once_at_the_end_of_the_turn,
          jobs_of_jobs_run_in_the_same_turn_up_to_a_bound,
          a_job_may_free_itself_and_loop_free_runs_the_rest, posts_come_from_any_thread_in_order,
          a_post_may_post, notes_come_from_any_thread_in_order, a_note_may_be_taken_back,
          a_post_wakes_a_sleeping_loop, signals_run_in_the_loop, real_timers_wake_the_loop,
          an_idle_loop_sleeps, now_is_read_once_a_turn,
          a_timer_due_while_libevent_is_busy_is_not_lost, what_is_not_watched_any_more_is_not_told,
          a_base_of_libevent_changes_nothing, an_error_is_told_though_nobody_asked_for_it,
          what_waits_in_the_turn_or_came_since_is_not_still, nothing_stays_open)
