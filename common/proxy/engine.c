/* engine.c - workers, publication, listening sockets, collection, drain; see engine.h */
#include "common/proxy/engine.h"
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/bug.h"
#include "common/base/codec.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/proxy/accesslog.h"
#include "common/proxy/lsock.h"
#include "common/proxy/overload.h"
#include "common/proxy/worker.h"

#define RETIRED_POLL_MS 200

struct collect {
    struct engine *eng;
    engine_stats_fn *fn;
    void *arg;
    struct stats *sum;
    unsigned left;
};

struct engine {
    struct loop *control;
    unsigned n; /* workers that accept: w[0] .. w[n - 1] */
    struct worker *w[WORKERS_MAX];
    unsigned n_retired; /* threads that wait for their last connection to end */
    struct worker *retired[WORKERS_MAX];
    struct timer retired_poll;
    struct stats *gone; /* what workers that have left had counted */
    uint32_t seed;
    bool inline_worker;
    struct cluster_slots *slots;
    struct view *view; /* published last; a reference */
    uint64_t generation;
    struct lsocks *socks;
    struct access_log_writer *alog;
    struct engine_shared shared;
    bool draining;
    struct timer drain_poll;
    uint64_t drain_end_ms, drain_quiet_since_ms;
    unsigned drain_idle_ms;
    void (*drain_fn)(void *);
    void *drain_arg;
};

/* ---- start and end --------------------------------------------------------------------------- */

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    sigset_t all;
    sigfillset(&all); /* signals are the control thread's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    loop_run(w->loop);
    return NULL;
}

/* w[i]; its thread runs, without a view */
static int start_worker(struct engine *e, unsigned i, struct err *err)
{
    struct loop *l = e->inline_worker ? e->control : loop_new(err);
    if (!l)
        return -1;
    struct worker *w = e->w[i] = worker_new(e, i, l, e->seed + i);
    if (e->inline_worker)
        return 0;
    /* the signals must be blocked before the thread can get one */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int rc = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc)
        return err_set(err, "cannot start worker thread %u: %s", i, strerror(rc));
    w->threaded = true;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", i);
    pthread_setname_np(w->thread, name);
    return 0;
}

/* connections are closed by the thread that owns them; what is freed later is freed by the turn
 * that ends the loop */
static void stop_worker(void *arg)
{
    struct worker *w = arg;
    if (w->last)
        worker_collect(w, w->last);
    worker_close(w);
    loop_stop(w->loop);
}

/* its thread is gone; the worker is not, as what it posted may name it */
static void end_worker(struct worker *w)
{
    if (w->threaded) {
        loop_post(w->loop, stop_worker, w);
        pthread_join(w->thread, NULL);
    } else {
        worker_close(w);
        loop_turn(w->loop, false);
    }
}

static void free_ended(struct engine *e, struct worker *w)
{
    struct loop *l = w->loop;
    worker_free(w);
    if (!e->inline_worker)
        loop_free(l);
}

static void free_worker(struct engine *e, struct worker *w)
{
    end_worker(w);
    free_ended(e, w);
}

/* w[n] and above, after w[i] failed to start or with all that are left */
static void free_workers(struct engine *e, unsigned n)
{
    for (unsigned i = n; i < WORKERS_MAX; i++)
        if (e->w[i]) {
            free_worker(e, e->w[i]);
            e->w[i] = NULL;
        }
}

static int start_workers(struct engine *e, unsigned from, unsigned to, struct err *err)
{
    for (unsigned i = from; i < to; i++)
        if (start_worker(e, i, err) < 0) {
            free_workers(e, from);
            return -1;
        }
    return 0;
}

static void on_drain_poll(void *arg);
static void on_retired_poll(void *arg);

struct engine *engine_new(struct loop *control, const struct engine_opts *o, struct err *err)
{
    struct engine *e = xcalloc(1, sizeof *e);
    e->control = control;
    e->inline_worker = o->workers == 0;
    e->slots = cluster_slots_new();
    e->socks = lsocks_new(e->inline_worker ? 1 : o->workers);
    e->gone = stats_new();
    e->alog = access_log_writer_new(o->access_fd);
    e->shared.overload = overload_new();
    timer_init(&e->drain_poll, control, on_drain_poll, e);
    timer_init(&e->retired_poll, control, on_retired_poll, e);
    e->seed = o->seed;
    if (!e->seed)
        random_bytes(&e->seed, sizeof e->seed);
    if (start_workers(e, 0, e->inline_worker ? 1 : o->workers, err) < 0) {
        engine_free(e);
        return NULL;
    }
    e->n = e->inline_worker ? 1 : o->workers;
    return e;
}

/* one that was about to leave has asked for it on the control loop, which hears of it meanwhile */
static void free_retired(struct engine *e)
{
    unsigned n = e->n_retired;
    e->n_retired = 0;
    for (unsigned i = 0; i < n; i++)
        end_worker(e->retired[i]);
    loop_turn(e->control, false);
    for (unsigned i = 0; i < n; i++)
        free_ended(e, e->retired[i]);
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    e->drain_fn = NULL; /* figures for it may still come, and would set the timer again */
    timer_cancel(&e->drain_poll);
    timer_cancel(&e->retired_poll);
    free_workers(e, 0);
    e->n = 0;
    free_retired(e);
    if (e->view)
        engine_view_put(e, e->view);
    loop_turn(e->control, false); /* what workers posted at last: views to free, counters */
    access_log_writer_free(e->alog);
    stats_free(e->gone);
    lsocks_free(e->socks);
    overload_free(e->shared.overload);
    cluster_slots_free(e->slots);
    free(e);
}

/* fn(worker) on each one's own thread */
static void tell_all(struct engine *e, void (*fn)(void *worker))
{
    for (unsigned i = 0; i < e->n; i++)
        loop_post(e->w[i]->loop, fn, e->w[i]);
    for (unsigned i = 0; i < e->n_retired; i++)
        loop_post(e->retired[i]->loop, fn, e->retired[i]);
}

struct engine_shared *engine_shared(struct engine *e)
{
    return &e->shared;
}

struct cluster_slots *engine_slots(struct engine *e)
{
    return e->slots;
}

unsigned engine_workers(const struct engine *e)
{
    return e->n;
}

/* ---- publication ----------------------------------------------------------------------------- */

static void free_unused(struct loop_note *note)
{
    view_free((struct view *)((char *)note - offsetof(struct view, unused)));
}

/* Views are made and destroyed on the control thread only, so that nothing in them needs a
 * lock; whoever gives the last reference back tells it, without an allocation: it may be in the
 * middle of traffic. */
void engine_view_put(struct engine *e, struct view *v)
{
    if (__atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0)
        loop_tell(e->control, &v->unused);
}

static bool has_listener(const struct lsock *k, const void *view)
{
    const struct view *v = view;
    for (uint32_t i = 0; i < v->n_listeners; i++)
        if (v->listeners[i].sock == k)
            return true;
    return false;
}

void engine_publish(struct engine *e, struct view *v)
{
    struct view *old = e->view;
    lsocks_keep(e->socks, has_listener, v);
    v->generation = ++e->generation;
    v->unused.fn = free_unused;
    __atomic_store_n(&v->refs, (int32_t)(e->n + e->n_retired) + 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < e->n; i++)
        worker_offer(e->w[i], v);
    for (unsigned i = 0; i < e->n_retired; i++)
        worker_offer(e->retired[i], v);
    lsocks_unreserve(e->socks);
    e->view = v; /* our own reference, kept until the next one */
    if (old)
        engine_view_put(e, old);
}

const struct view *engine_view(const struct engine *e)
{
    return e->view;
}

/* ---- the number of workers ------------------------------------------------------------------- */

struct lsocks *engine_lsocks(struct engine *e)
{
    return e->socks;
}

static void listen_all(void *arg)
{
    tell_all(arg, worker_listen);
}

void engine_listen_again(struct engine *e)
{
    loop_post(e->control, listen_all, e);
}

void engine_stop_accepting(struct engine *e)
{
    lsocks_deal(e->socks, 0, NULL);
    listen_all(e);
}

static void retire(void *arg)
{
    struct worker *w = arg;
    w->retired = true;
    worker_listen(w);
    worker_drain(w);
}

static void leave(void *arg)
{
    struct worker *w = arg;
    struct engine *e = w->eng;
    unsigned i = 0;
    while (i < e->n_retired && e->retired[i] != w)
        i++;
    if (i == e->n_retired)
        return; /* asked twice */
    e->retired[i] = e->retired[--e->n_retired];
    struct stats *last = w->last = stats_new();
    free_worker(e, w);
    stats_drop_gauges(last);
    stats_merge(e->gone, last);
    stats_free(last);
    log_info("worker", "left, its last connection has ended still_leaving=%u", e->n_retired);
}

static void ask_to_leave(void *arg)
{
    struct worker *w = arg;
    if (w->leaving || !LIST_EMPTY(&w->downs) || w->stat[WSTAT_UP_CX_CLOSING])
        return;
    w->leaving = true;
    loop_post(w->eng->control, leave, w);
}

static void on_retired_poll(void *arg)
{
    struct engine *e = arg;
    for (unsigned i = 0; i < e->n_retired; i++)
        loop_post(e->retired[i]->loop, ask_to_leave, e->retired[i]);
    if (e->n_retired)
        timer_set(&e->retired_poll, RETIRED_POLL_MS);
}

static int add_workers(struct engine *e, unsigned n, struct err *err)
{
    if (start_workers(e, e->n, n, err) < 0)
        return -1;
    for (; e->n < n; e->n++)
        if (e->view) {
            __atomic_add_fetch(&e->view->refs, 1, __ATOMIC_ACQ_REL);
            worker_offer(e->w[e->n], e->view);
        }
    return 0;
}

static void drop_workers(struct engine *e, unsigned n)
{
    while (e->n > n) {
        struct worker *w = e->w[--e->n];
        e->w[e->n] = NULL;
        e->retired[e->n_retired++] = w;
        loop_post(w->loop, retire, w);
    }
    timer_set(&e->retired_poll, RETIRED_POLL_MS);
}

int engine_set_workers(struct engine *e, unsigned n, struct err *err)
{
    unsigned before = e->n;
    if (n < 1 || n > WORKERS_MAX)
        return err_set(err, "workers: expected 1 to %u, not %u", WORKERS_MAX, n);
    if (e->inline_worker || e->draining)
        return err_set(err, "the number of workers cannot change %s",
                       e->draining ? "while draining" : "here");
    if (e->n_retired + (n < e->n ? e->n - n : n - e->n) > WORKERS_MAX)
        return err_set(err, "%u workers still wait for connections to end: try again later",
                       e->n_retired);
    if (n > e->n && add_workers(e, n, err) < 0)
        return -1;
    int rc = lsocks_deal(e->socks, n, err);
    if (rc < 0)
        drop_workers(e, before);
    else if (n < e->n)
        drop_workers(e, n);
    listen_all(e);
    return rc;
}

/* ---- statistics ------------------------------------------------------------------------------ */

struct part {
    struct collect *c;
    struct worker *w;
    struct stats *mine;
};

static void merge_part(void *arg)
{
    struct part *p = arg;
    struct collect *c = p->c;
    stats_merge(c->sum, p->mine);
    stats_free(p->mine);
    free(p);
    if (--c->left)
        return;
    c->sum->w[WSTAT_ACCESS_LOST] = access_log_lost(c->eng->alog);
    c->sum->w[WSTAT_MEMORY] = overload_used(c->eng->shared.overload);
    c->sum->w[WSTAT_MEMORY_LIMIT] =
        overload_limit(c->eng->shared.overload, c->eng->view ? c->eng->view->limits.memory_mib : 0);
    c->fn(c->sum, c->arg);
    stats_free(c->sum);
    free(c);
}

static void copy_part(void *arg)
{
    struct part *p = arg;
    worker_collect(p->w, p->mine);
    loop_post(p->c->eng->control, merge_part, p);
}

static void ask_part(struct collect *c, struct worker *w)
{
    struct part *p = xcalloc(1, sizeof *p);
    *p = (struct part){.c = c, .w = w, .mine = stats_new()};
    c->left++;
    loop_post(w->loop, copy_part, p);
}

void engine_collect(struct engine *e, engine_stats_fn *fn, void *arg)
{
    struct collect *c = xcalloc(1, sizeof *c);
    *c = (struct collect){.eng = e, .fn = fn, .arg = arg, .sum = stats_new()};
    stats_merge(c->sum, e->gone);
    for (unsigned i = 0; i < e->n; i++)
        ask_part(c, e->w[i]);
    for (unsigned i = 0; i < e->n_retired; i++)
        ask_part(c, e->retired[i]);
}

/* ---- access log ------------------------------------------------------------------------------ */

void engine_access_log(struct engine *e, enum access_format f)
{
    access_log_set_format(e->alog, f);
}

enum access_format engine_access_format(const struct engine *e)
{
    return access_log_format(e->alog);
}

struct access_log_writer *engine_access_writer(struct engine *e)
{
    return e->alog;
}

/* ---- drain ----------------------------------------------------------------------------------- */

#define DRAIN_POLL_MS 50

static void drain_worker(void *arg)
{
    worker_drain(arg);
}

static void drain_done(struct engine *e)
{
    void (*fn)(void *) = e->drain_fn;
    timer_cancel(&e->drain_poll);
    e->drain_fn = NULL;
    if (fn)
        fn(e->drain_arg);
}

static void on_drain_stats(const struct stats *s, void *arg)
{
    struct engine *e = arg;
    uint64_t now = loop_now_ms(e->control);
    if (!e->drain_fn)
        return;
    if (s->w[WSTAT_DOWN_CX_ACTIVE] || s->w[WSTAT_UP_CX_CLOSING])
        e->drain_quiet_since_ms = now;
    if (now >= e->drain_end_ms || now - e->drain_quiet_since_ms >= e->drain_idle_ms)
        drain_done(e);
    else
        timer_set(&e->drain_poll, DRAIN_POLL_MS);
}

static void on_drain_poll(void *arg)
{
    struct engine *e = arg;
    engine_collect(e, on_drain_stats, e);
}

void engine_drain(struct engine *e, unsigned ms, unsigned idle_ms, void (*fn)(void *), void *arg)
{
    uint64_t now = loop_now_ms(e->control);
    e->draining = true;
    e->drain_end_ms = now + ms;
    e->drain_quiet_since_ms = now;
    e->drain_idle_ms = idle_ms;
    e->drain_fn = fn;
    e->drain_arg = arg;
    tell_all(e, drain_worker);
    timer_set(&e->drain_poll, DRAIN_POLL_MS);
}

bool engine_draining(const struct engine *e)
{
    return e->draining;
}
