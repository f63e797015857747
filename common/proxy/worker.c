/* worker.c - see worker.h */
#include "common/proxy/worker.h"
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/poison.h"
#include "common/proxy/accesslog.h"
#include "common/proxy/down.h"
#include "common/proxy/h2_io.h"
#include "common/proxy/lsock.h"
#include "common/proxy/stream.h"
#include "common/proxy/upstream.h"

#define TLS_SESSIONS_MAX 4096
#define TRIM_MS          5000
#define RELIEVE_MS       1000
#define BURST_BYTES      ((size_t)1024 * 1024)
#define BURST_CONNS      256 /* each had some memory of its own, with TLS 10 KiB and more */
#define LOOSE_BYTES      ((size_t)256 * 1024)
#define RBUFS            (FSM_ASAN ? 2 : 1)
#define GROWN_BYTES      ((size_t)512 * 1024)
#define TIGHT_MS         100
#define TIGHT_WINDOW     (64 * 1024)

static size_t held(const struct worker *w)
{
    return wmem_held(w->mem) + h2_pool_bytes(w->h2_pool);
}

/* did a burst end since this was asked last? */
static bool burst_ended(struct worker *w)
{
    uint64_t ended = w->stat[WSTAT_DOWN_CX] - w->stat[WSTAT_DOWN_CX_ACTIVE];
    size_t peak = wmem_peak(w->mem) + h2_pool_peak(w->h2_pool);
    bool many = ended - w->ended_seen >= BURST_CONNS;
    w->ended_seen = ended;
    return many || peak - held(w) >= BURST_BYTES;
}

/* has nothing begun since this was asked last? */
static bool at_rest(struct worker *w)
{
    uint64_t before = w->begun_seen;
    w->begun_seen = w->stat[WSTAT_DOWN_CX] + w->stat[WSTAT_DOWN_RQ];
    return w->begun_seen == before;
}

static void trim(struct worker *w, bool all)
{
    wmem_trim(w->mem, all);
    h2_pool_trim(w->h2_pool, all);
}

/* does anything lie free? */
static bool idle(const struct worker *w)
{
    return wmem_held(w->mem) > wmem_used(w->mem) || h2_pool_idle(w->h2_pool);
}

/* What a burst took lies free in the middle of malloc's heap, where its pages stay ours unless they
 * are asked back: a hundred slow readers left 14 MB behind.  Again at the end: until then what is
 * kept for reuse lies between, and what upstream connections took that are kept longer. */
static void on_trim(void *arg)
{
    struct worker *w = arg;
    size_t before = held(w);
    bool all = at_rest(w), ended = burst_ended(w);
    trim(w, all);
    bool more = tls_thread_trim(all) || idle(w);
    size_t loose = before - held(w);
    w->loose += loose;
    w->burst = ended || (w->burst && (all || loose >= LOOSE_BYTES));
    if (w->burst || w->loose >= (more ? BURST_BYTES : LOOSE_BYTES)) {
        malloc_trim(0);
        w->loose = 0;
    }
    if (more)
        timer_set(&w->trim, TRIM_MS);
    else
        w->burst = false;
}

/* Under AddressSanitizer two take turns, and the one before may not be touched. */
char *worker_rbuf(struct worker *w)
{
    gather_flush(w->gather);
    if (RBUFS > 1) {
        poison(w->rbuf, RBUF_SIZE);
        w->rbuf = w->rbuf == w->rbufs ? w->rbufs + RBUF_SIZE : w->rbufs;
        unpoison(w->rbuf, RBUF_SIZE);
    }
    return w->rbuf;
}

void worker_touch(struct worker *w)
{
    if (!timer_is_set(&w->trim))
        timer_set(&w->trim, TRIM_MS);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void tighten(struct worker *w, bool on)
{
    w->tight = on;
    h2_io_tighten_all(w, on);
    if (on)
        timer_set(&w->tight_end, TIGHT_MS);
}

enum overload_level worker_overload(struct worker *w)
{
    uint64_t now = loop_now_ms(w->loop);
    bool grown = held(w) >= w->asked_held + GROWN_BYTES;
    enum overload_level level = overload_level(engine_shared(w->eng)->overload,
                                               worker_view(w)->limits.memory_mib, now, grown);
    if (grown || held(w) < w->asked_held)
        w->asked_held = held(w);
    /* what lies free here may be all that is too much */
    if (level != OVERLOAD_NONE && now - w->relieved_ms >= RELIEVE_MS) {
        w->relieved_ms = now;
        trim(w, true);
    }
    if (level != OVERLOAD_NONE && !w->tight)
        tighten(w, true);
    return level;
}

bool worker_tight(struct worker *w)
{
    worker_overload(w);
    return w->tight;
}

/* a peer that had no window left will not wake us; without such, what waits next asks again */
static void on_tight_end(void *arg)
{
    struct worker *w = arg;
    if (worker_overload(w) == OVERLOAD_NONE || LIST_EMPTY(&w->h2_ios))
        tighten(w, false);
    else
        timer_set(&w->tight_end, TIGHT_MS);
}

struct worker *worker_new(struct engine *e, unsigned index, struct loop *loop, uint32_t seed)
{
    struct worker *w = xcalloc(1, sizeof *w);
    w->eng = e;
    w->index = index;
    w->loop = loop;
    w->seed = seed;
    w->dice = seed ? seed : 1;
    w->mem = wmem_new();
    w->h2_pool = h2_pool_new();
    if (!w->h2_pool)
        mem_end(1);
    w->sessions = tls_sessions_new(TLS_SESSIONS_MAX);
    w->gather = xcalloc(1, sizeof *w->gather);
    gather_init(w->gather, w->mem, loop);
    w->rbuf = w->rbufs = xmalloc(RBUFS * RBUF_SIZE);
    w->scratch = xmalloc(SCRATCH_SIZE);
    w->pipe[0] = w->pipe[1] = -1;
    w->h1_limits = h1_limits_default;
    w->h2_limits = w->h2_trusted_limits = h2_limits_default;
    w->splits = table_new(free);
    w->peers = table_new(free);
    w->alog = access_log_new(engine_access_writer(e), loop);
    timer_init(&w->trim, loop, on_trim, w);
    timer_init(&w->revoke, loop, tunnels_revoke, w);
    timer_init(&w->tight_end, loop, on_tight_end, w);
    TAILQ_INIT(&w->tunnels);
    TAILQ_INIT(&w->lost);
    TAILQ_INIT(&w->patient);
    upstream_init(w);
    return w;
}

/* ---- views ----------------------------------------------------------------------------------- */

void worker_offer(struct worker *w, struct view *v)
{
    struct view *missed = __atomic_exchange_n(&w->next, v, __ATOMIC_ACQ_REL);
    if (missed)
        engine_view_put(w->eng, missed);
    loop_post(w->loop, worker_take, w);
}

struct wview *wview_hold(struct worker *w)
{
    w->cur->streams++;
    return w->cur;
}

static void wview_drop(struct worker *w, struct wview *wv)
{
    engine_view_put(w->eng, wv->view);
    free(wv);
}

void wview_release(struct worker *w, struct wview *wv)
{
    if (--wv->streams == 0 && wv->retired)
        wview_drop(w, wv);
}

static void wview_retire(struct worker *w, struct wview *wv)
{
    wv->retired = true;
    if (wv->streams == 0)
        wview_drop(w, wv);
}

/* ---- listeners ------------------------------------------------------------------------------- */

static void on_accept(struct listener *l, int fd, const struct ip_port *peer, void *arg)
{
    struct wlistener *wl = arg;
    (void)l;
    down_accept(wl->w, wl->rule, fd, peer);
}

static struct wlistener *listener_find(struct worker *w, uint64_t serial, unsigned sock)
{
    struct wlistener *wl;
    LIST_FOREACH (wl, &w->listeners, link) {
        if (wl->serial == serial && wl->sock == sock)
            return wl;
    }
    return NULL;
}

static void listener_open(struct worker *w, const struct view_listener *rule, unsigned sock)
{
    int fd = lsock_take(rule->sock, sock);
    struct err e;
    if (fd < 0)
        return; /* another worker gives it back yet, and then we are told */
    struct wlistener *wl = xcalloc(1, sizeof *wl);
    wl->w = w;
    wl->serial = lsock_serial(rule->sock);
    wl->sock = sock;
    wl->rule = rule;
    wl->l = listener_new(w->loop, fd, on_accept, wl, &e);
    if (!wl->l) {
        log_error("listener", "%s", e.text);
        free(wl);
        return;
    }
    listener_for_users(wl->l);
    LIST_INSERT_HEAD(&w->listeners, wl, link);
}

static void listener_close(struct wlistener *wl)
{
    LIST_REMOVE(wl, link);
    listener_free(wl->l);
    free(wl);
}

static void listener_give_back(struct wlistener *wl)
{
    LIST_REMOVE(wl, link);
    lsock_give(wl->rule->sock, wl->sock, listener_release(wl->l));
    free(wl);
}

static bool is_ours(const struct worker *w, const struct lsock *k, unsigned sock)
{
    return !w->retired && lsock_is_of(k, sock, w->index);
}

/* true: a socket went back */
static bool rule_sync(struct worker *w, const struct view_listener *rule)
{
    bool gave = false;
    for (unsigned i = 0; i < lsock_count(rule->sock); i++) {
        struct wlistener *wl = listener_find(w, lsock_serial(rule->sock), i);
        if (wl)
            wl->rule = rule;
        if (wl && !is_ours(w, rule->sock, i)) {
            listener_give_back(wl);
            gave = true;
        } else if (!wl && is_ours(w, rule->sock, i)) {
            listener_open(w, rule, i);
        }
    }
    return gave;
}

void worker_listen(void *arg)
{
    struct worker *w = arg;
    const struct view *v = worker_view(w);
    struct wlistener *wl, *next;
    bool gave = false;
    LIST_FOREACH (wl, &w->listeners, link)
        wl->rule = NULL;
    for (uint32_t i = 0; v && i < v->n_listeners; i++)
        gave |= rule_sync(w, &v->listeners[i]);
    for (wl = LIST_FIRST(&w->listeners); wl; wl = next) {
        next = LIST_NEXT(wl, link);
        if (!wl->rule)
            listener_close(wl);
    }
    if (gave)
        engine_listen_again(w->eng);
}

void worker_take(void *arg)
{
    struct worker *w = arg;
    struct view *v = __atomic_exchange_n(&w->next, NULL, __ATOMIC_ACQ_REL);
    if (!v)
        return; /* a later offer was taken already */
    struct wview *old = w->cur;
    w->cur = xcalloc(1, sizeof *w->cur);
    w->cur->view = v;
    w->h1_limits.head_bytes = v->limits.head_bytes;
    w->h1_limits.line_bytes = v->limits.line_bytes;
    w->h1_limits.fields = (uint16_t)v->limits.fields;
    w->h2_limits.header_bytes = v->limits.head_bytes;
    w->h2_limits.header_count = (uint16_t)v->limits.fields;
    w->h2_limits.max_streams = v->limits.h2_streams;
    w->h2_limits.resets_per_s = v->limits.h2_resets;
    w->h2_limits.control_per_s = v->limits.h2_control;
    w->h2_limits.continuations = (uint16_t)v->limits.h2_continuations;
    w->h2_limits.conn_window = v->limits.h2_window;
    w->h2_trusted_limits = w->h2_limits;
    w->h2_trusted_limits.resets_per_s = UINT32_MAX;
    w->h2_trusted_limits.tight_window = TIGHT_WINDOW;
    worker_listen(w);
    upstream_sync(w);
    if (old)
        wview_retire(w, old);
    streams_try_again(w);
    downs_try_again(w);
    tunnels_judge(w);
    log_debug("worker", "view taken worker=%u generation=%llu", w->index,
              (unsigned long long)v->generation);
}

/* ---- end ------------------------------------------------------------------------------------- */

void worker_drain(struct worker *w)
{
    struct down *d, *next;
    w->draining = true;
    for (d = LIST_FIRST(&w->downs); d; d = next) {
        next = LIST_NEXT(d, link);
        if (d->ops)
            d->ops->drain(d->codec);
    }
}

void worker_close(struct worker *w)
{
    struct wlistener *wl;
    struct down *d;
    while ((wl = LIST_FIRST(&w->listeners)))
        listener_close(wl);
    while ((d = LIST_FIRST(&w->downs)))
        down_close(d, REASON_DRAIN);
    upstream_free(w);
}

void worker_free(struct worker *w)
{
    struct view *missed = __atomic_exchange_n(&w->next, NULL, __ATOMIC_ACQ_REL);
    if (missed)
        engine_view_put(w->eng, missed);
    if (w->cur)
        wview_retire(w, w->cur);
    timer_cancel(&w->trim);
    timer_cancel(&w->revoke);
    timer_cancel(&w->tight_end);
    access_log_free(w->alog);
    table_free(w->splits);
    table_free(w->peers);
    tls_sessions_free(w->sessions);
    h2_pool_free(w->h2_pool);
    wmem_free(w->mem);
    free(w->gather);
    unpoison(w->rbufs, RBUFS * RBUF_SIZE);
    free(w->rbufs);
    free(w->scratch);
    if (w->pipe[0] >= 0) {
        close(w->pipe[0]);
        close(w->pipe[1]);
    }
    free(w);
}

/* ---- counters -------------------------------------------------------------------------------- */

void worker_count(struct worker *w, enum reason r)
{
    w->reasons[r]++;
}

void worker_collect(struct worker *w, struct stats *out)
{
    struct slice key;
    void *value;
    memcpy(out->w, w->stat, sizeof out->w);
    memcpy(out->reasons, w->reasons, sizeof out->reasons);
    out->w[WSTAT_MEM_HELD] = wmem_held(w->mem) + h2_pool_bytes(w->h2_pool);
    out->w[WSTAT_MEM_USED] = wmem_used(w->mem);
    upstream_collect(w, out);
    table_foreach (w->peers, it, &key, &value)
        *stats_peer(out, key) = *(const struct peer_stats *)value;
}
