/* loop.c - the turn: readiness, timers, deferred work.
 *
 * Three descriptors of its own: an epoll set, an eventfd that other threads write to, and a timerfd
 * for the next visit of the wheel.  The last two are edge-triggered and never read: each write or
 * expiry is an edge of its own.  The timerfd is set only when the next visit is EARLIER than the
 * edge that is still to come; a wait that was called off wakes the loop once for nothing, which is
 * cheaper than a system call for every timer.
 *
 * libevent's base, where there is one, has the epoll set as one of its descriptors: two waits for
 * each turn.  The loops that carry traffic have none.
 */
#include "common/io/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "common/base/bug.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/wheel.h"

#define JOB_ROUNDS    16 /* jobs queued by jobs by jobs ... in one turn */
#define SIGNALS_MAX   8
#define LOG_FLUSH_MS  1000    /* a folded log line is told after at most that, if the loop turns */
#define LONG_WAIT_MS  1000    /* from here on waits share wake-ups */
#define LONG_WAIT_CUT 7       /* 1/128 of the wait: "about 1 %" */
#define READY_MAX     256     /* taken from the kernel at once */
#define LOOK_NS       1000000 /* what the kernel said is news for so long: a way of the network */

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct sig {
    struct event *ev;
    void (*fn)(int sig, void *arg);
    void *arg;
};

struct loop {
    int poll_fd, post_fd, timer_fd;
    struct loop_fd on_post, on_timer;
    struct event_base *base; /* NULL: nobody needs it */
    struct event *poll_ev;   /* our epoll set in it */
    int n_ready, at_ready;   /* of `ready`: how many there are, which one is told */
    struct epoll_event ready[READY_MAX];
    uint64_t armed_ms; /* of the edge of timer_fd that we have not seen yet, UINT64_MAX = none */
    uint64_t now_ms;
    uint64_t looked_ns; /* what was ready then has been told, or is in `ready` */
    bool now_known;     /* now_ms was read in this turn */
    bool stop;
    uint64_t flush_ms;
    TAILQ_HEAD(, loop_job) jobs;
    size_t n_jobs;
    _Atomic(struct post *) posts;     /* newest first */
    _Atomic(struct loop_note *) told; /* newest first */
    TAILQ_HEAD(loop_notes, loop_note) notes;
    struct sig sigs[SIGNALS_MAX];
    unsigned n_sigs;
    struct wheel wheel;
};

uint64_t loop_now_ms(const struct loop *cl)
{
    struct loop *l = (struct loop *)cl; /* a cache: the caller sees no change */

    if (!l->now_known) {
        l->now_ms = clock_mono_ms();
        l->now_known = true;
    }
    return l->now_ms;
}

uint64_t loop_next_ms(const struct loop *l)
{
    return l->wheel.count ? l->wheel.next : UINT64_MAX;
}

/* ---- making and ending ------------------------------------------------------------------- */

static struct event_base *new_base(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base = NULL;

    if (!cfg)
        return NULL;
    /* one thread: no locks; own timers: libevent need not look at the clock; and the environment
     * has no say in what this program runs on */
    if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_NO_CACHE_TIME |
                                       EVENT_BASE_FLAG_IGNORE_ENV) == 0 &&
        event_config_require_features(cfg, EV_FEATURE_O1) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

/* from the list that all may add to, into the loop's own, in the order told */
static void see_notes(struct loop *l)
{
    struct loop_note *n = atomic_exchange(&l->told, NULL), *next, *first = NULL;

    for (; n; n = next) {
        next = n->next;
        n->next = first;
        first = n;
    }
    for (; first; first = first->next) {
        first->seen = true;
        TAILQ_INSERT_TAIL(&l->notes, first, link);
    }
}

static void run_notes(struct loop *l)
{
    struct loop_note *n;

    see_notes(l);
    while ((n = TAILQ_FIRST(&l->notes))) {
        TAILQ_REMOVE(&l->notes, n, link);
        n->seen = false;
        n->fn(n);
    }
}

static void run_posts(struct loop *l)
{
    struct post *p = atomic_exchange(&l->posts, NULL), *next, *first = NULL;

    for (; p; p = next) { /* newest first: turn around */
        next = p->next;
        p->next = first;
        first = p;
    }
    for (p = first; p; p = next) {
        next = p->next;
        p->fn(p->arg);
        free(p);
    }
}

static void on_post(struct loop_fd *f, uint32_t events)
{
    struct loop *l = (struct loop *)((char *)f - offsetof(struct loop, on_post));

    run_posts(l);
    run_notes(l);
}

static void on_timer(struct loop_fd *f, uint32_t events)
{
    struct loop *l = (struct loop *)((char *)f - offsetof(struct loop, on_timer));

    /* The turn runs the wheel, but for a time that may have been read before the edge: what is due
     * then needs another one. */
    l->armed_ms = UINT64_MAX;
}

/* tells what is ready by now, after at most so long */
static void take_ready(struct loop *l, int timeout_ms)
{
    /* before, not after: between the kernel's look and our return we may be kept from running */
    l->looked_ns = clock_mono_ns();
    l->n_ready = epoll_wait(l->poll_fd, l->ready, READY_MAX, timeout_ms);
    for (l->at_ready = 0; l->at_ready < l->n_ready; l->at_ready++) {
        const struct epoll_event *ev = &l->ready[l->at_ready];
        struct loop_fd *f = ev->data.ptr;

        if (f)
            f->fn(f, ev->events);
    }
    l->n_ready = 0;
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    take_ready(arg, 0);
}

int loop_watch(struct loop *l, int fd, struct loop_fd *f, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = f};

    return epoll_ctl(l->poll_fd, EPOLL_CTL_ADD, fd, &ev);
}

void loop_unwatch(struct loop *l, int fd, struct loop_fd *f)
{
    epoll_ctl(l->poll_fd, EPOLL_CTL_DEL, fd, NULL);
    for (int i = l->at_ready + 1; i < l->n_ready; i++)
        if (l->ready[i].data.ptr == f)
            l->ready[i].data.ptr = NULL;
}

bool loop_is_still(const struct loop *l, const struct loop_fd *f)
{
    for (int i = l->at_ready + 1; i < l->n_ready; i++)
        if (l->ready[i].data.ptr == f)
            return false;
    return clock_mono_ns() - l->looked_ns < LOOK_NS;
}

/* It is asked for when a program starts.  Level-triggered: what one look did not take is seen
 * again. */
struct event_base *loop_base(struct loop *l)
{
    if (!l->base) {
        l->base = new_base();
        BUG_ON(!l->base);
        l->poll_ev = event_new(l->base, l->poll_fd, EV_READ | EV_PERSIST, on_poll, l);
        BUG_ON(!l->poll_ev || event_add(l->poll_ev, NULL) < 0);
    }
    return l->base;
}

struct loop *loop_new(struct err *e)
{
    struct loop *l = xcalloc(1, sizeof(*l));

    TAILQ_INIT(&l->jobs);
    TAILQ_INIT(&l->notes);
    l->armed_ms = UINT64_MAX;
    wheel_init(&l->wheel, clock_mono_ms());
    l->on_post.fn = on_post;
    l->on_timer.fn = on_timer;
    l->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->post_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->poll_fd < 0 || loop_watch(l, l->post_fd, &l->on_post, EPOLLIN | EPOLLET) < 0 ||
        loop_watch(l, l->timer_fd, &l->on_timer, EPOLLIN | EPOLLET) < 0) {
        err_errno(e, "making an event loop (it takes a few descriptors: see ulimit -n)");
        loop_free(l);
        return NULL;
    }
    return l;
}

static void run_jobs(struct loop *l)
{
    for (int round = 0; round < JOB_ROUNDS && l->n_jobs > 0; round++) {
        for (size_t n = l->n_jobs; n > 0 && l->n_jobs > 0; n--) {
            struct loop_job *job = TAILQ_FIRST(&l->jobs);
            loop_undefer(l, job);
            job->fn(job);
        }
    }
}

static void drop_posts(struct loop *l)
{
    struct post *p = atomic_exchange(&l->posts, NULL), *next;

    for (; p; p = next) {
        next = p->next;
        free(p);
    }
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    run_jobs(l);
    BUG_ON(l->n_jobs > 0);
    BUG_ON(l->wheel.count > 0);
    BUG_ON(atomic_load(&l->told) || !TAILQ_EMPTY(&l->notes));
    drop_posts(l);
    for (unsigned i = 0; i < l->n_sigs; i++)
        event_free(l->sigs[i].ev);
    if (l->poll_ev)
        event_free(l->poll_ev);
    if (l->base)
        event_base_free(l->base);
    close_fd(l->post_fd);
    close_fd(l->timer_fd);
    close_fd(l->poll_fd);
    free(l);
}

/* ---- the turn ---------------------------------------------------------------------------- */

static void arm(struct loop *l)
{
    uint64_t next = loop_next_ms(l);
    struct itimerspec its = {0};

    if (next >= l->armed_ms)
        return;
    its.it_value.tv_sec = (time_t)(next / 1000);
    its.it_value.tv_nsec = (long)(next % 1000) * 1000000;
    if (next == 0)
        its.it_value.tv_nsec = 1; /* all zero would mean "off" */
    BUG_ON(timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL) < 0);
    l->armed_ms = next;
}

void loop_turn(struct loop *l, bool block)
{
    arm(l);
    l->now_known = false;
    block = block && l->n_jobs == 0;
    if (l->base)
        event_base_loop(l->base, block ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    else
        take_ready(l, block ? -1 : 0);
    wheel_run(&l->wheel, loop_now_ms(l));
    run_jobs(l);
    if (l->now_ms - l->flush_ms >= LOG_FLUSH_MS) {
        log_flush();
        l->flush_ms = l->now_ms;
    }
}

void loop_run(struct loop *l)
{
    l->stop = false;
    while (!l->stop)
        loop_turn(l, true);
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

static void wake(struct loop *l)
{
    const uint64_t one = 1;

    BUG_ON(write(l->post_fd, &one, sizeof(one)) < 0 && errno != EAGAIN);
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct post *p = xmalloc(sizeof(*p)), *head = atomic_load(&l->posts);

    p->fn = fn;
    p->arg = arg;
    do
        p->next = head;
    while (!atomic_compare_exchange_weak(&l->posts, &head, p));
    /* whoever found the list empty wakes the loop; the others know that somebody does */
    if (!head)
        wake(l);
}

void loop_tell(struct loop *l, struct loop_note *note)
{
    struct loop_note *head = atomic_load(&l->told);

    do
        note->next = head;
    while (!atomic_compare_exchange_weak(&l->told, &head, note));
    if (!head)
        wake(l);
}

void loop_untell(struct loop *l, struct loop_note *note)
{
    see_notes(l); /* the wake-up for the others is on its way */
    if (!note->seen)
        return;
    note->seen = false;
    TAILQ_REMOVE(&l->notes, note, link);
}

void loop_defer(struct loop *l, struct loop_job *job)
{
    if (job->queued)
        return;
    job->queued = true;
    TAILQ_INSERT_TAIL(&l->jobs, job, link);
    l->n_jobs++;
}

void loop_undefer(struct loop *l, struct loop_job *job)
{
    if (!job->queued)
        return;
    job->queued = false;
    TAILQ_REMOVE(&l->jobs, job, link);
    l->n_jobs--;
}

/* ---- signals ----------------------------------------------------------------------------- */

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    const struct sig *s = arg;

    s->fn((int)sig, s->arg);
}

int loop_on_signal(struct loop *l, int sig, void (*fn)(int sig, void *arg), void *arg)
{
    struct sig *s = &l->sigs[l->n_sigs];

    if (l->n_sigs == SIGNALS_MAX)
        return -1;
    s->fn = fn;
    s->arg = arg;
    s->ev = evsignal_new(loop_base(l), sig, on_signal, s);
    if (!s->ev)
        return -1;
    if (event_add(s->ev, NULL) < 0) {
        event_free(s->ev);
        return -1;
    }
    l->n_sigs++;
    return 0;
}

/* ---- timers ------------------------------------------------------------------------------ */

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg)
{
    *t = (struct timer){.loop = l, .fn = fn, .arg = arg};
}

/* long waits are rounded up to a grid of about 1 % of them */
static uint64_t due_of(uint64_t now, uint64_t ms)
{
    uint64_t due, grid = 1;

    if (__builtin_add_overflow(now, ms, &due) || due > UINT64_MAX / 2)
        due = UINT64_MAX / 2;
    if (ms >= LONG_WAIT_MS)
        grid = 1ull << (63 - __builtin_clzll(ms >> LONG_WAIT_CUT));
    return (due + grid - 1) & ~(grid - 1);
}

void timer_set(struct timer *t, uint64_t ms)
{
    struct loop *l = t->loop;

    t->due_ms = due_of(loop_now_ms(l), ms);
    t->set = true;
    if (t->linked) {
        if (t->slot_ms <= t->due_ms)
            return; /* its bucket's visit will find the new time */
        wheel_del(&l->wheel, t);
    }
    wheel_add(&l->wheel, t);
}

void timer_cancel(struct timer *t)
{
    t->set = false;
    if (t->linked)
        wheel_del(&t->loop->wheel, t);
}
