/* pool.c - upstream connections: dialled, secured, kept, shared, closed.
 *
 * Invariants: a connection in epool->idle has no stream; one in epool->shared may take streams
 * (now, or once it is open).  `waiting` is empty once the connection is open.  A closed upconn is
 * in no list and lives until the end of the turn.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include "common/base/log.h"
#include "common/proxy/closing.h"
#include "common/proxy/upstream.h"
#include "common/tls/tls.h"

static bool is_shared(enum up_kind k)
{
    return k == UP_H2 || k == UP_MESH_H2;
}

static uint64_t current_transport(const struct worker *w)
{
    const struct view *v = worker_view(w);
    return v && v->transport ? v->transport->serial : 0;
}

bool upconn_stale(const struct upconn *u)
{
    return u->ep->gone || (u->transport && u->transport != current_transport(u->ep->w));
}

/* ---- lists ----------------------------------------------------------------------------------- */

void upconn_unlist(struct upconn *u)
{
    if (u->in_idle) {
        TAILQ_REMOVE(&u->ep->idle, u, link);
        u->ep->n_idle--;
        u->in_idle = false;
        timer_cancel(&u->timer);
    }
    if (u->in_shared) {
        TAILQ_REMOVE(&u->ep->shared, u, link);
        u->in_shared = false;
        /* without streams nothing else would close it; one that still connects has none but those
         * that wait, and would outlive its worker */
        if (!u->closed && (u->open ? u->ops->idle(u) : TAILQ_EMPTY(&u->waiting)))
            upconn_close(u, REASON_CONFIG);
    }
}

/* ---- waiting streams ------------------------------------------------------------------------- */

/* counted by may_wait */
static void wait_for(struct upconn *u, struct stream *s)
{
    TAILQ_INSERT_TAIL(&u->waiting, s, waiting);
    s->dialing = u;
    u->ep->wc->stat[CSTAT_RQ_PENDING]++;
}

static void unwait(struct stream *s)
{
    struct upconn *u = s->dialing;
    TAILQ_REMOVE(&u->waiting, s, waiting);
    s->dialing = NULL;
    __atomic_sub_fetch(&u->ep->wc->shared->pending, 1, __ATOMIC_RELAXED);
    u->ep->wc->stat[CSTAT_RQ_PENDING]--;
}

void upstream_cancel(struct stream *s)
{
    struct upconn *u = s->dialing;
    if (!u)
        return;
    unwait(s);
    /* a connection of many will find other use, if it can be found; one of one stream, or to an
     * endpoint that left meanwhile, was dialled for nothing */
    if (TAILQ_EMPTY(&u->waiting) && (!u->in_shared || u->ep->gone))
        upconn_close(u, REASON_OK);
}

static void give(struct upconn *u, struct stream *s)
{
    s->reused = u->used;
    s->kind = u->kind;
    u->used = true;
    u->ops->attach(u, s);
    stream_event(s, SEV_UP_READY);
}

static void fail_stream(struct stream *s, enum reason why)
{
    s->fail = why;
    stream_event(s, SEV_UP_FAIL);
}

/* One more that waits: false if there may be no more.  Counted for all workers together, so that
 * the bound is what its name says. */
static bool may_wait(struct stream *s, struct epool *ep)
{
    uint32_t *pending = &ep->wc->shared->pending;
    if (__atomic_add_fetch(pending, 1, __ATOMIC_RELAXED) <= worker_view(s->w)->limits.pending)
        return true;
    __atomic_sub_fetch(pending, 1, __ATOMIC_RELAXED);
    ep->wc->stat[CSTAT_RQ_PENDING_OVERFLOW]++;
    fail_stream(s, REASON_PENDING_FULL);
    return false;
}

static void fail_waiting(struct upconn *u, enum reason why)
{
    struct stream *s;
    while ((s = TAILQ_FIRST(&u->waiting))) {
        unwait(s);
        u->ep->wc->stat[CSTAT_RQ_PENDING_EJECT]++;
        fail_stream(s, why);
    }
}

/* ---- closing --------------------------------------------------------------------------------- */

static void count_bytes(struct upconn *u)
{
    struct wcluster *wc = u->ep->wc;
    wc->stat[CSTAT_CX_RX] += u->conn->rx_bytes - u->rx_seen;
    wc->stat[CSTAT_CX_TX] += u->conn->tx_bytes - u->tx_seen;
    u->rx_seen = u->conn->rx_bytes;
    u->tx_seen = u->conn->tx_bytes;
}

static void free_job(struct loop_job *job)
{
    struct upconn *u = (struct upconn *)((char *)job - offsetof(struct upconn, job));
    struct epool *ep = u->ep;
    u->ops->free(u);
    epool_unref(ep);
}

static void close_any(struct upconn *u, enum reason why, bool reset)
{
    if (u->closed)
        return;
    u->closed = true;
    LIST_REMOVE(u, all);
    upconn_unlist(u);
    timer_cancel(&u->timer);
    count_bytes(u);
    u->ep->wc->stat[CSTAT_CX_ACTIVE]--;
    u->ep->st.cx_active--;
    if (u->closing)
        u->ep->w->stat[WSTAT_UP_CX_CLOSING]--;
    worker_touch(u->ep->w);
    if (u->started)
        u->ops->close(u, why);
    if (reset)
        conn_abort(u->conn);
    else
        conn_close(u->conn);
    fail_waiting(u, why);
    u->job.fn = free_job;
    loop_defer(u->ep->w->loop, &u->job);
}

void upconn_close(struct upconn *u, enum reason why)
{
    close_any(u, why, false);
}

void upconn_abort(struct upconn *u, enum reason why)
{
    close_any(u, why, true);
}

void upconn_closing(struct upconn *u, struct chan *ch, void (*fn)(void *u))
{
    struct worker *w = u->ep->w;
    u->closing = true;
    w->stat[WSTAT_UP_CX_CLOSING]++;
    u->timer.fn = fn;
    closing_begin(&ch->end, ch->c, &u->timer, &worker_view(w)->limits);
}

void upconn_closing_look(struct upconn *u, struct chan *ch)
{
    struct worker *w = u->ep->w;
    if (closing_goes_on(&ch->end, ch->c, &u->timer, &worker_view(w)->limits))
        return;
    worker_count(w, REASON_UP_TIMEOUT);
    upconn_abort(u, REASON_UP_TIMEOUT);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static enum reason reason_of(enum conn_fail f)
{
    switch (f) {
    case CONN_FAIL_REFUSED:
        return REASON_CONNECT_REFUSED;
    case CONN_FAIL_CONNECT_TIMEOUT:
        return REASON_CONNECT_TIMEOUT;
    case CONN_FAIL_TLS:
        return REASON_UP_TLS;
    case CONN_FAIL_NO_FDS:
        return REASON_NO_FDS;
    case CONN_FAIL_RESET:
        return REASON_UP_RESET;
    default:
        return REASON_CONNECT_UNREACHABLE;
    }
}

static void connect_failed(struct upconn *u, enum reason why)
{
    char addr[IP_TEXT_MAX];
    const char *words = u->conn->xport == &conn_plain ? "" : tls_conn_error(u->conn);
    log_debug("upstream", "connect failed cluster=%s addr=%s reason=%s %s", u->ep->wc->name,
              ip_port_format(&u->ep->addr, addr), reason_text(why), words ? words : "");
    u->ep->wc
        ->stat[why == REASON_CONNECT_TIMEOUT ? CSTAT_CX_CONNECT_TIMEOUT : CSTAT_CX_CONNECT_FAIL]++;
    upconn_close(u, why);
}

/* the peer must speak what we asked for: another ALPN is no mesh proxy of ours */
static bool alpn_right(const struct upconn *u, const struct tls_info *info)
{
    const char *want = u->kind == UP_MESH_H2      ? MESH_ALPN_H2
                       : u->kind == UP_MESH_HTTP1 ? MESH_ALPN_HTTP1
                                                  : MESH_ALPN_TCP;
    return info && slice_eq(slice_str(info->alpn), slice_str(want));
}

static void opened(struct upconn *u)
{
    struct worker *w = u->ep->w;
    if (up_kind_is_mesh(u->kind)) {
        const struct tls_info *info = tls_conn_info(u->conn);
        if (!alpn_right(u, info)) {
            connect_failed(u, REASON_UP_TLS);
            return;
        }
        w->stat[WSTAT_TLS_UP]++;
        w->stat[WSTAT_TLS_UP_RESUMED] += info->resumed;
        tls_conn_forget_info(u->conn);
    }
    int later = u->ops->open(u);
    if (later < 0) {
        upconn_close(u, REASON_NO_MEMORY);
        return;
    }
    u->started = true;
    if (!later)
        upconn_ready(u);
}

void upconn_ready(struct upconn *u)
{
    struct stream *s;
    bool served = false;
    timer_cancel(&u->timer);
    u->open = true;
    while (!u->closed && (s = TAILQ_FIRST(&u->waiting)) && u->ops->room(u)) {
        served = true;
        unwait(s);
        give(u, s);
    }
    /* one that takes nobody is a failed attempt: another would be no better */
    if (!served && !TAILQ_EMPTY(&u->waiting))
        upconn_close(u, REASON_UP_CLOSED);
    /* more than the peer takes at once: they look for another */
    while ((s = TAILQ_FIRST(&u->waiting))) {
        unwait(s);
        upstream_connect(s);
    }
}

#define HTTP1_SURE_MS  60000 /* it may be replaced by one that speaks HTTP/2 */
#define HTTP1_GUESS_MS 1000  /* it may as well have been about to end */

/* the first that waits and can do without; anything may happen to the others meanwhile */
static struct stream *without_http2(struct upconn *u)
{
    struct stream *s;
    TAILQ_FOREACH (s, &u->waiting, waiting) {
        if (!s->needs_h2)
            return s;
    }
    return NULL;
}

void upconn_no_http2(struct upconn *u, bool sure)
{
    struct epool *ep = u->ep;
    struct stream *s;
    ep->http1_until_ms = loop_now_ms(ep->w->loop) + (sure ? HTTP1_SURE_MS : HTTP1_GUESS_MS);
    while ((s = without_http2(u))) {
        unwait(s);
        upstream_connect(s);
    }
    upconn_close(u, sure ? REASON_UP_PROTOCOL : REASON_UP_CLOSED);
}

static int secure(struct upconn *u, struct err *e)
{
    struct worker *w = u->ep->w;
    const struct transport *t = worker_view(w)->transport;
    char key[IP_TEXT_MAX + 300], addr[IP_TEXT_MAX];
    if (!t)
        return err_set(e, "there is no certificate yet");
    struct tls_ctx *ctx = u->kind == UP_MESH_H2      ? t->h2
                          : u->kind == UP_MESH_HTTP1 ? t->http1
                                                     : t->tcp;
    snprintf(key, sizeof key, "%s/%d/%s", ip_port_format(&u->ep->addr, addr), u->kind,
             u->ep->identity);
    struct tls_start start = {
        .verify_identity = u->ep->identity, .sessions = w->sessions, .session_key = key};
    u->transport = t->serial;
    return tls_conn_start(u->conn, ctx, &start, e);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct upconn *u = arg;
    struct err e;
    if (ev & CONN_EV_FAIL) {
        connect_failed(u, reason_of(c->fail));
    } else if (ev & CONN_EV_OPEN) {
        if (!up_kind_is_mesh(u->kind) || c->xport != &conn_plain) {
            opened(u);
        } else if (secure(u, &e) < 0) {
            log_warn("upstream", "mutual TLS cannot begin: %s", e.text);
            connect_failed(u, REASON_UP_TLS);
        }
    }
}

/* the whole of connecting, handshake included, has one time limit */
static void on_connect_timeout(void *arg)
{
    connect_failed(arg, REASON_CONNECT_TIMEOUT);
}

static int upconn_dial(struct upconn *u, struct epool *ep, enum up_kind kind, enum reason *why)
{
    struct worker *w = ep->w;
    const struct conn_dial_opts o = {.source = ep->has_source ? &ep->source : NULL,
                                     .for_users = true};
    struct err e;
    u->kind = kind;
    u->conn = conn_dial(w->loop, &ep->addr, &o, on_event, u, &e);
    if (!u->conn) {
        *why = errno == EMFILE || errno == ENFILE ? REASON_NO_FDS : REASON_CONNECT_UNREACHABLE;
        log_warn("upstream", "cannot connect: %s", e.text);
        u->ops->free(u);
        return -1;
    }
    u->ep = epool_ref(ep);
    LIST_INSERT_HEAD(&w->upconns, u, all);
    TAILQ_INIT(&u->waiting);
    timer_init(&u->timer, w->loop, on_connect_timeout, u);
    if (worker_view(w)->limits.connect_ms)
        timer_set(&u->timer, worker_view(w)->limits.connect_ms);
    ep->wc->stat[CSTAT_CX]++;
    ep->wc->stat[CSTAT_CX_ACTIVE]++;
    ep->st.cx_total++;
    ep->st.cx_active++;
    return 0;
}

static struct upconn *upconn_new(struct worker *w, enum up_kind kind)
{
    if (is_shared(kind))
        return h2_up_new(w);
    return kind == UP_TCP || kind == UP_MESH_TCP ? tunnel_up_new(w) : h1_up_new(w);
}

static void dial_for(struct stream *s, struct epool *ep, enum up_kind kind)
{
    enum reason why = REASON_NO_MEMORY;
    struct upconn *u = upconn_new(s->w, kind);
    if (!u || upconn_dial(u, ep, kind, &why) < 0) {
        __atomic_sub_fetch(&ep->wc->shared->pending, 1, __ATOMIC_RELAXED);
        fail_stream(s, why);
        return;
    }
    if (is_shared(kind) && !ep->gone) {
        TAILQ_INSERT_HEAD(&ep->shared, u, link);
        u->in_shared = true;
    }
    wait_for(u, s);
}

/* ---- keeping --------------------------------------------------------------------------------- */

static void on_idle_timeout(void *arg)
{
    upconn_close(arg, REASON_IDLE);
}

void upconn_idle(struct upconn *u)
{
    struct epool *ep = u->ep;
    const struct view *v = worker_view(ep->w);
    count_bytes(u);
    /* an end that came with the last bytes raises no further event */
    if (ep->w->draining || u->conn->rdhup || upconn_stale(u) ||
        ep->n_idle >= v->limits.idle_conns) {
        upconn_close(u, REASON_OK);
        return;
    }
    TAILQ_INSERT_HEAD(&ep->idle, u, link);
    ep->n_idle++;
    u->in_idle = true;
    u->timer.fn = on_idle_timeout;
    if (v->limits.idle_ms)
        timer_set(&u->timer, v->limits.idle_ms);
}

/* What the server did since the loop last looked may lie unread still: an end, which would cost a
 * request that may not be repeated, or bytes that nobody asked for, which would be taken for the
 * next answer (RFC 9112 9.2).  So the loop is asked, and where it may not know, the kernel. */
static struct upconn *idle_take(struct epool *ep)
{
    struct upconn *u;
    while ((u = TAILQ_FIRST(&ep->idle))) {
        upconn_unlist(u);
        if (conn_is_quiet(u->conn))
            break;
        upconn_close(u, REASON_OK);
    }
    return u;
}

/* As idle_take; what lies unread may be of any kind, and is told by the session in time. */
static bool shared_ended(const struct upconn *u)
{
    return u->open && u->ops->idle(u) && conn_has_ended(u->conn);
}

/* a shared connection with room, else one that still connects, else NULL */
static struct upconn *shared_find(struct epool *ep, enum up_kind kind)
{
    struct upconn *u, *next, *soon = NULL;
    for (u = TAILQ_FIRST(&ep->shared); u; u = next) {
        next = TAILQ_NEXT(u, link);
        if (upconn_stale(u) || (u->kind == kind && shared_ended(u)))
            upconn_unlist(u);
        else if (u->kind == kind && !u->open)
            soon = u;
        else if (u->kind == kind && u->ops->room(u))
            return u;
    }
    return soon;
}

static enum up_kind kind_for(const struct stream *s, const struct epool *ep)
{
    if (s->bytes_only)
        return ep->identity ? UP_MESH_TCP : UP_TCP;
    bool one = s->wants_upgrade || s->req->method == HTTP_M_CONNECT;
    if (ep->identity)
        return one ? UP_MESH_HTTP1 : UP_MESH_H2;
    bool h2 = s->needs_h2 || loop_now_ms(ep->w->loop) >= ep->http1_until_ms;
    return s->app_h2 && !one && h2 ? UP_H2 : UP_H1;
}

void upstream_connect(struct stream *s)
{
    struct epool *ep = s->ep;
    enum up_kind kind = kind_for(s, ep);
    struct upconn *u = NULL;
    if (is_shared(kind))
        u = shared_find(ep, kind);
    else if (kind == UP_H1 && !s->fresh)
        u = idle_take(ep);
    if (u && u->open) {
        give(u, s);
    } else if (!may_wait(s, ep)) {
        return;
    } else if (u) {
        wait_for(u, s);
    } else {
        dial_for(s, ep, kind);
    }
}

const char *up_kind_name(enum up_kind k)
{
    static const char *const names[] = {"http/1.1",      "h2",  MESH_ALPN_H2,
                                        MESH_ALPN_HTTP1, "tcp", MESH_ALPN_TCP};
    return names[k];
}
