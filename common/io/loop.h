/* loop.h - one event loop per thread: epoll for what is ours, libevent for what others bring.
 *
 *   struct loop *l = loop_new(&e);
 *   timer_init(&t, l, on_timeout, arg);  timer_set(&t, 5000);
 *   loop_run(l);                          (returns after loop_stop)
 *
 * Connections and listeners are watched by loop_watch: the kernel's answer reaches them as it is,
 * with an error told apart from bytes, and costs a connection no memory of ours but a pointer.
 * Signals and the descriptors of libraries are watched by libevent (loop_base), whose base has our
 * epoll set inside it; a loop that nobody asked for its base waits in epoll itself.  Timers are
 * ours: most of them are pushed forward on every request and never fire, so setting one costs O(1).
 * Everything but loop_post() and loop_tell() belongs to the loop's own thread.
 */
#ifndef FSM_IO_LOOP_H
#define FSM_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/base/err.h"

struct event_base;
struct loop;

struct loop *loop_new(struct err *e);
/* Runs what is deferred, drops what was posted and not run.  All of the loop's timers must be
 * unset and its conns closed.  NULL is fine. */
void loop_free(struct loop *l);
/* for event_new; made when it is first asked for */
struct event_base *loop_base(struct loop *l);
void loop_run(struct loop *l);
/* One turn: what is ready, then due timers, then deferred work.  block = false only looks.  For
 * tests and for threads that have a loop of their own around it. */
void loop_turn(struct loop *l, bool block);
/* ends loop_run after this turn; own thread only */
void loop_stop(struct loop *l);
/* CLOCK_MONOTONIC in ms, read once per turn */
uint64_t loop_now_ms(const struct loop *l);
/* when the loop next has to look at its timers (absolute ms; never later than the first due one),
 * UINT64_MAX if none is set.  A test in virtual time moves its clock there. */
uint64_t loop_next_ms(const struct loop *l);
/* fn(arg) runs on the loop's thread soon, in the order posted; may be called from any thread
 * while the loop lives (eventfd inside) */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);
/* The same without an allocation, for who comes often: embed it.  Told once at a time: not again
 * before fn was called or it was taken back. */
struct loop_note {
    void (*fn)(struct loop_note *note);
    struct loop_note *next;      /* told, not yet seen by the loop */
    TAILQ_ENTRY(loop_note) link; /* seen */
    bool seen;
};
/* any thread, while the loop lives; the last thing to be done with what the note is part of */
void loop_tell(struct loop *l, struct loop_note *note);
/* the loop's thread, when nobody can be about to tell it; fn is not called any more */
void loop_untell(struct loop *l, struct loop_note *note);
/* SIGTERM, SIGHUP ...: fn runs in the loop.  One loop per process takes signals.  -1: the signal
 * cannot be caught, or the loop has too many. */
int loop_on_signal(struct loop *l, int sig, void (*fn)(int sig, void *arg), void *arg);

/* A descriptor's readiness: fn(f, events) with bits of epoll_ctl(2).  Embed it. */
struct loop_fd {
    void (*fn)(struct loop_fd *f, uint32_t events);
};
/* events: EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLRDHUP, EPOLLET; errors and hang-ups are always told.
 * -1: errno
 */
int loop_watch(struct loop *l, int fd, struct loop_fd *f, uint32_t events);
/* before fd is closed; fn is not called any more, though an event was on its way.  Harmless for
 * what is not watched. */
void loop_unwatch(struct loop *l, int fd, struct loop_fd *f);

/* What the kernel knows of a watched descriptor has been told: nothing of this turn is still to
 * come, and the kernel was asked a moment ago.  So it is under load; after a wait it is not known,
 * and whoever wants to be sure has to ask. */
bool loop_is_still(const struct loop *l, const struct loop_fd *f);

/* Work for the end of this turn: flush what the turn produced, free what callbacks may still
 * have named.  Embed it; a job already queued is queued once.  Jobs queued by jobs run in the
 * same turn, up to a bound. */
struct loop_job {
    TAILQ_ENTRY(loop_job) link;
    void (*fn)(struct loop_job *job);
    bool queued;
};
/* legal from inside the job's own fn, which may also free the job's memory */
void loop_defer(struct loop *l, struct loop_job *job);
/* takes a queued job out again; harmless otherwise */
void loop_undefer(struct loop *l, struct loop_job *job);

/* A named wait.  Embed it.  Zeroed memory is an unset timer after timer_init. */
struct timer_link {
    struct timer_link *next, *prev;
};
struct timer {
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    uint64_t due_ms;  /* absolute; what the owner asked for */
    uint64_t slot_ms; /* where the wheel holds it; <= due_ms (pushed forward lazily) */
    struct timer_link link;
    bool set, linked;
};
void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg);
/* ms from now (from loop_now_ms, that is); resolution is 1 ms below 1 s and about 1 % above, so
 * that long waits share their wake-ups; sets anew if already set.  Timers of the same millisecond
 * fire in the order they were set.  The timer is unset when fn runs; fn may set it again or free
 * it. */
void timer_set(struct timer *t, uint64_t ms);
void timer_cancel(struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return t->set;
}

#endif
