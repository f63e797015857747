/* engine.c - workers, publication, listening sockets, collection, drain; see engine.h */
#include "common/proxy/engine.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/bug.h"
#include "common/base/codec.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/proxy/accesslog.h"
#include "common/proxy/worker.h"

#define LISTEN_BACKLOG 4096

struct lsock {
    LIST_ENTRY(lsock) link;
    struct ip_port addr;
    uint64_t serial;
    uint32_t refs;
    unsigned n;
    int fd[]; /* one per worker; -1 = that worker has it.  atomic */
};

struct collect {
    struct engine *eng;
    engine_stats_fn *fn;
    void *arg;
    struct stats *sum;
    unsigned left;
};

struct engine {
    struct loop *control;
    unsigned n; /* workers */
    struct worker **w;
    bool inline_worker;
    struct cluster_slots *slots;
    struct view *view; /* published last; a reference */
    uint64_t generation;
    LIST_HEAD(, lsock) socks;
    uint64_t sock_serial;
    struct access_log_writer *alog;
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

static int start_worker(struct engine *e, unsigned i, uint32_t seed, struct err *err)
{
    struct loop *l = e->inline_worker ? e->control : loop_new(err);
    if (!l)
        return -1;
    struct worker *w = e->w[i] = worker_new(e, i, l, seed + i);
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
    return 0;
}

static void on_drain_poll(void *arg);

struct engine *engine_new(struct loop *control, const struct engine_opts *o, struct err *err)
{
    struct engine *e = xcalloc(1, sizeof *e);
    e->control = control;
    e->inline_worker = o->workers == 0;
    e->n = e->inline_worker ? 1 : o->workers;
    e->w = xcalloc(e->n, sizeof(struct worker *));
    e->slots = cluster_slots_new();
    e->alog = access_log_writer_new(o->access_fd);
    timer_init(&e->drain_poll, control, on_drain_poll, e);
    uint32_t seed = o->seed;
    if (!seed)
        random_bytes(&seed, sizeof seed);
    for (unsigned i = 0; i < e->n; i++)
        if (start_worker(e, i, seed, err) < 0) {
            engine_free(e);
            return NULL;
        }
    return e;
}

/* connections are closed by the thread that owns them; what is freed later is freed by the turn
 * that ends the loop */
static void stop_worker(void *arg)
{
    struct worker *w = arg;
    worker_close(w);
    loop_stop(w->loop);
}

static void free_worker(struct engine *e, struct worker *w)
{
    struct loop *l = w->loop;
    if (w->threaded) {
        loop_post(l, stop_worker, w);
        pthread_join(w->thread, NULL);
    } else {
        worker_close(w);
        loop_turn(l, false);
    }
    worker_free(w);
    if (!e->inline_worker)
        loop_free(l);
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    timer_cancel(&e->drain_poll);
    for (unsigned i = 0; i < e->n; i++)
        if (e->w[i])
            free_worker(e, e->w[i]);
    if (e->view)
        engine_view_put(e, e->view);
    loop_turn(e->control, false); /* what workers posted at last: views to free, counters */
    access_log_writer_free(e->alog);
    cluster_slots_free(e->slots);
    free(e->w);
    free(e);
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

static void free_posted(void *view)
{
    view_free(view);
}

/* Views are made and destroyed on the control thread only, so that nothing in them needs a
 * lock; whoever gives the last reference back posts it there. */
void engine_view_put(struct engine *e, struct view *v)
{
    if (__atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) == 0)
        loop_post(e->control, free_posted, v);
}

void engine_publish(struct engine *e, struct view *v)
{
    struct view *old = e->view;
    v->generation = ++e->generation;
    __atomic_store_n(&v->refs, (int32_t)e->n + 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < e->n; i++)
        worker_offer(e->w[i], v);
    e->view = v; /* our own reference, kept until the next one */
    if (old)
        engine_view_put(e, old);
}

const struct view *engine_view(const struct engine *e)
{
    return e->view;
}

/* ---- listening sockets ----------------------------------------------------------------------- */

static struct lsock *lsock_find(struct engine *e, const struct ip_port *addr)
{
    struct lsock *s;
    LIST_FOREACH (s, &e->socks, link) {
        if (ip_port_eq(&s->addr, addr))
            return s;
    }
    return NULL;
}

struct lsock *lsock_open(struct engine *e, const struct ip_port *addr, struct err *err)
{
    static const struct ip any = {.family = 6};
    unsigned flags = LISTEN_REUSEPORT | (ip_eq(&addr->ip, &any) ? LISTEN_DUAL : 0);
    struct lsock *s = lsock_find(e, addr);
    if (s) {
        s->refs++;
        return s;
    }
    s = xcalloc(1, sizeof *s + e->n * sizeof s->fd[0]);
    s->addr = *addr;
    s->refs = 1;
    s->serial = ++e->sock_serial;
    LIST_INSERT_HEAD(&e->socks, s, link);
    for (s->n = 0; s->n < e->n; s->n++) {
        s->fd[s->n] = listener_bind(addr, flags, LISTEN_BACKLOG, err);
        if (s->fd[s->n] < 0) {
            lsock_unref(e, s);
            return NULL;
        }
    }
    return s;
}

void lsock_unref(struct engine *e, struct lsock *s)
{
    (void)e;
    if (!s || --s->refs)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        int fd = lsock_take(s, i);
        if (fd >= 0)
            close(fd);
    }
    LIST_REMOVE(s, link);
    free(s);
}

const struct ip_port *lsock_addr(const struct lsock *s)
{
    return &s->addr;
}

uint64_t lsock_serial(const struct lsock *s)
{
    return s->serial;
}

int lsock_take(struct lsock *s, unsigned worker)
{
    return __atomic_exchange_n(&s->fd[worker], -1, __ATOMIC_ACQ_REL);
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

void engine_collect(struct engine *e, engine_stats_fn *fn, void *arg)
{
    struct collect *c = xcalloc(1, sizeof *c);
    *c = (struct collect){.eng = e, .fn = fn, .arg = arg, .sum = stats_new(), .left = e->n};
    for (unsigned i = 0; i < e->n; i++) {
        struct part *p = xcalloc(1, sizeof *p);
        *p = (struct part){.c = c, .w = e->w[i], .mine = stats_new()};
        loop_post(e->w[i]->loop, copy_part, p);
    }
}

/* ---- access log ------------------------------------------------------------------------------ */

void engine_access_log(struct engine *e, enum access_format f)
{
    access_log_set_format(e->alog, f);
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
    if (s->w[WSTAT_DOWN_CX_ACTIVE])
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
    for (unsigned i = 0; i < e->n; i++)
        loop_post(e->w[i]->loop, drain_worker, e->w[i]);
    timer_set(&e->drain_poll, DRAIN_POLL_MS);
}

bool engine_draining(const struct engine *e)
{
    return e->draining;
}
