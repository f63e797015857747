/* stream.c - the states of a stream: the one way in for events, the one way out; see stream.h. */
#include "common/proxy/stream.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/log.h"
#include "common/http/uri.h"
#include "common/proxy/accesslog.h"
#include "common/proxy/down.h"
#include "common/proxy/upstream.h"

#define ATTEMPTS_MAX 3
#define UNSEEN_MAX   8  /* attempts that did no harm: their connections were about to end */
#define INFOS_MAX    16 /* 1xx responses to one request: RFC 9110 15.2 sets no bound */

static void stop_waiting(struct stream *s);

static void enter(struct stream *s, enum stream_state to)
{
    static const char *const names[] = {
#define X(id) #id,
        STREAM_STATES(X)
#undef X
    };
    log_trace("stream", "%p %s -> %s", (void *)s, names[s->state], names[to]);
    s->state = to;
}

/* ---- making and ending ----------------------------------------------------------------------- */

static void on_idle(void *arg)
{
    stream_event(arg, SEV_IDLE);
}

static void on_deadline(void *arg)
{
    stream_event(arg, SEV_TIMEOUT);
}

static void on_pace(void *arg)
{
    stream_pace_look(arg);
}

struct stream *stream_new(struct worker *w, struct down *d, const struct half_ops *ops, void *codec)
{
    struct stream *s = w->cur ? wmem_obj(w->mem, &w->s_stream, sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->w = w;
    s->conn = d;
    s->wv = wview_hold(w);
    s->down = (struct half){.ops = ops, .codec = codec, .s = s};
    s->up.s = s;
    s->begin_ms = loop_now_ms(w->loop);
    timer_init(&s->idle, w->loop, on_idle, s);
    timer_init(&s->deadline, w->loop, on_deadline, s);
    timer_init(&s->pace, w->loop, on_pace, s);
    if (s->wv->view->limits.idle_ms) {
        timer_set(&s->idle, s->wv->view->limits.idle_ms);
        timer_set(&s->pace, s->wv->view->limits.idle_ms / 2);
    }
    if (s->wv->view->limits.request_ms)
        timer_set(&s->deadline, s->wv->view->limits.request_ms);
    worker_touch(w);
    return s;
}

static void free_job(struct loop_job *job)
{
    struct stream *s = (struct stream *)((char *)job - offsetof(struct stream, job));
    wmem_obj_put(s->w->mem, &s->w->s_stream, s);
}

static void run_end_filters(struct stream *s)
{
    const struct filter_list *f = s->route ? &s->route->filters : NULL;
    for (uint32_t i = f ? f->n : 0; i-- > 0;)
        if (f->calls[i].filter->end)
            f->calls[i].filter->end(s, f->calls[i].conf);
}

static void count_begin(struct stream *s)
{
    uint64_t *c = s->ep->wc->stat;
    c[CSTAT_RQ]++;
    c[CSTAT_RQ_ACTIVE]++;
    s->ep->st.rq_total++;
    s->ep->st.rq_active++;
    s->up_ms = loop_now_ms(s->w->loop);
}

static void uncount(struct stream *s)
{
    if (!s->up_ms)
        return;
    s->ep->wc->stat[CSTAT_RQ_ACTIVE]--;
    s->ep->st.rq_active--;
    s->up_ms = 0;
}

static void count_end(struct stream *s, enum reason why)
{
    struct worker *w = s->w;
    worker_count(w, why);
    if (s->bytes_only)
        w->stat[WSTAT_TUNNELS_ACTIVE]--;
    else
        w->stat[WSTAT_DOWN_RQ_ACTIVE]--;
    if (s->up_ms) {
        if (why == REASON_UP_TIMEOUT || why == REASON_REQUEST_TIMEOUT)
            s->ep->wc->stat[CSTAT_RQ_TIMEOUT]++;
        if (why == REASON_UP_RESET || why == REASON_UP_CLOSED || why == REASON_UP_UNPROCESSED)
            s->ep->wc->stat[CSTAT_RQ_RX_RESET]++;
        else if (why != REASON_OK)
            s->ep->wc->stat[CSTAT_RQ_TX_RESET]++;
        uncount(s);
    }
    if (access_log_on(w->alog))
        access_log_stream(w->alog, s, why);
}

static void release(struct half *h, enum reason why)
{
    const struct half_ops *ops = h->ops;
    h->ops = NULL;
    if (ops)
        ops->release(h, why);
}

void stream_close(struct stream *s, enum reason why)
{
    struct worker *w = s->w;
    if (s->closed)
        return;
    s->closed = true;
    stop_waiting(s);
    enter(s, STREAM_DONE);
    timer_cancel(&s->idle);
    timer_cancel(&s->deadline);
    timer_cancel(&s->pace);
    if (s->tunnel)
        tunnel_gone(s);
    upstream_cancel(s);
    bool up_well = s->up.complete && s->up.ended && (!s->tunnel || why == REASON_OK);
    bool down_well = s->down.ended && (!s->tunnel || why == REASON_OK);
    release(&s->up, up_well ? REASON_OK : why != REASON_OK ? why : REASON_DOWN_CLOSED);
    release(&s->down, down_well ? REASON_OK : why);
    run_end_filters(s);
    count_end(s, why);
    pageq_clear(w->mem, &s->down.wait);
    pageq_clear(w->mem, &s->up.wait);
    stream_free_head(s);
    epool_unref(s->ep);
    wview_release(w, s->wv);
    worker_touch(w);
    s->job.fn = free_job;
    loop_defer(w->loop, &s->job);
}

/* ---- local answers --------------------------------------------------------------------------- */

static void drop_upstream(struct stream *s, enum reason why)
{
    upstream_cancel(s);
    release(&s->up, why);
    pageq_clear(s->w->mem, &s->up.wait);
    s->up.open = s->up.ended = s->up.end_waits = s->up.held = false;
    s->up.unconsumed = 0;
}

/* what the client is answered in the end */
static void count_answer(struct stream *s, unsigned status)
{
    s->status = (uint16_t)status;
    if (status >= 100 && status < 600)
        s->w->stat[WSTAT_DOWN_RQ_1XX + status / 100 - 1]++;
}

/* 204 has no length (RFC 9110 8.6), and 405 says what is allowed (15.5.6): of TRACE, the only
 * method that it answers, nothing but to be asked about */
static unsigned fields_of_answer(unsigned status)
{
    return status == 204 ? 0 : status == 405 ? 3 : 2;
}

void stream_answer(struct stream *s, unsigned status, struct slice body, enum reason why)
{
    char length[24];
    struct http_field fields[] = {{.name = SLICE_LIT("content-type"),
                                   .value = SLICE_LIT("text/plain"),
                                   .id = HDR_CONTENT_TYPE},
                                  {.name = SLICE_LIT("content-length"), .id = HDR_CONTENT_LENGTH},
                                  {.name = SLICE_LIT("allow"), .value = SLICE_LIT("OPTIONS")}};
    struct http_head h = {.status = status,
                          .version = HTTP_V11,
                          .body = body.n ? HTTP_BODY_LENGTH : HTTP_BODY_NONE,
                          .content_length = body.n,
                          .n_fields = fields_of_answer(status),
                          .fields = fields};
    snprintf(length, sizeof length, "%zu", body.n);
    fields[1].value = slice_str(length);
    BUG_ON(s->response);
    stop_waiting(s);
    drop_upstream(s, why);
    s->local = s->response = true;
    s->why = why;
    count_answer(s, status);
    s->up.complete = true;
    bool end = body.n == 0 || s->req->method == HTTP_M_HEAD;
    if (s->down.ops->head(&s->down, &h, end) < 0) {
        stream_close(s, why);
        return;
    }
    s->down.open = true;
    if (end) {
        s->down.ended = true;
    } else {
        size_t n = s->down.ops->data(&s->down, body);
        s->rsp_bytes = body.n;
        if (n < body.n && pageq_append(s->w->mem, &s->down.wait, body.p + n, body.n - n) < 0) {
            stream_close(s, why);
            return;
        }
        s->down.end_waits = true;
        stream_give_waiting(&s->down);
    }
    stream_check_end(s);
}

void stream_fail(struct stream *s, enum reason why)
{
    if (s->closed)
        return;
    if (s->response || !s->req || !s->down.ops || !reason_status(why))
        stream_close(s, why);
    else
        stream_answer(s, reason_status(why), slice_str(reason_body(why)), why);
}

/* ---- beginning: chain, host, route, filters -------------------------------------------------- */

static void pick(struct stream *s);

static void run_filters(struct stream *s)
{
    const struct filter_list *f = &s->route->filters;
    enter(s, STREAM_FILTER);
    while (s->next_filter < f->n) {
        const struct filter_call *c = &f->calls[s->next_filter++];
        enum filter_verdict v = c->filter->request ? c->filter->request(s, c->conf) : FILTER_NEXT;
        if (v != FILTER_NEXT)
            return;
    }
    pick(s);
}

/* Where paths decide, one form of the path is matched and forwarded, and what a server could still
 * read as another is refused.  Elsewhere the bytes pass as they came (RFC 9110 7.7): an application
 * may mean them, or have signed them. */
static enum reason route_of(struct stream *s)
{
    /* RFC 9112 3.2: HTTP/1.0 may do without Host, a server of HTTP/1.1 may not */
    if (!s->req->authority.n && s->req->version == HTTP_V10)
        s->req->authority = chain_default_host(s->chain);
    char buf[HOST_MAX];
    struct slice host;
    const struct vhost *v = chain_host_by(s->chain, s->req->authority, buf, &host);
    enum reason why = REASON_HOST_UNKNOWN;
    if (!v)
        return why;
    if (stream_set_authority(s, host) < 0)
        return REASON_NO_MEMORY;
    if (stream_canonical_path(s, v->paths_decide ? URI_UNAMBIGUOUS : 0, v->paths_decide) < 0)
        return REASON_PATH;
    struct route_query q = {
        .path = s->req->path, .head = s->req, .identity = s->conn->id ? s->conn->id->spiffe : NULL};
    s->route = route_find(v, &q, &why);
    return s->route ? REASON_OK : why;
}

static void find_route(struct stream *s)
{
    enum reason why = route_of(s);
    if (why != REASON_OK) {
        log_debug("route", "refused reason=%s host=%.*s path=%.*s", reason_text(why),
                  SLICE_FMT(s->req->authority), SLICE_FMT(s->req->path));
        stream_fail(s, why);
        return;
    }
    s->split = s->route->split;
    why = s->split ? stream_max_forwards(s) : REASON_NO_TARGET;
    if (why == REASON_MAX_FORWARDS && s->req->method == HTTP_M_OPTIONS)
        stream_answer(s, 204, slice_of(NULL, 0), why);
    else if (why != REASON_OK)
        stream_fail(s, why);
    else
        run_filters(s);
}

static bool is_grpc(const struct http_head *req)
{
    const struct http_field *type = http_find(req, HDR_CONTENT_TYPE);
    return type && slice_starts(type->value, SLICE_LIT("application/grpc"));
}

static void begin_http(struct stream *s)
{
    s->chain = down_chain(s->conn);
    if (!s->chain)
        return; /* the connection is closed, and the stream with it */
    if (s->conn->denied) {
        stream_fail(s, REASON_DENIED);
        return;
    }
    if (s->chain->kind != CHAIN_HTTP && s->chain->kind != CHAIN_DETECT) {
        stream_close(s, REASON_CONFIG);
        return;
    }
    s->wants_upgrade = stream_asks_upgrade(s->req);
    s->needs_h2 = s->chain->always_h2 || is_grpc(s->req);
    s->app_h2 = s->chain->always_h2 || (s->req->version == HTTP_V2 && !s->conn->mesh);
    http_drop_hop_by_hop(s->req, s->wants_upgrade);
    if (s->req->version == HTTP_V10) /* ignored (RFC 9110 10.1.1), and not to be revived */
        head_drop(s->req, HDR_EXPECT);
    find_route(s);
}

static void on_begin(struct stream *s)
{
    if (worker_overload(s->w) >= OVERLOAD_REQUESTS)
        stream_fail(s, REASON_OVERLOAD);
    else if (s->bytes_only)
        pick(s);
    else
        begin_http(s);
}

static void count_request(struct stream *s)
{
    s->w->stat[WSTAT_DOWN_RQ]++;
    s->w->stat[WSTAT_DOWN_RQ_ACTIVE]++;
}

static void begin(struct stream *s, bool end)
{
    s->down.complete = end;
    s->up.end_waits = end;
    stream_event(s, SEV_BEGIN);
}

void stream_request(struct stream *s, const struct http_head *h, struct slice raw, bool end)
{
    count_request(s);
    if (stream_keep_head(s, h, raw) < 0)
        stream_close(s, REASON_NO_MEMORY);
    else
        begin(s, end);
}

void stream_refuse(struct stream *s, const struct http_head *h, struct slice raw, enum reason why)
{
    count_request(s);
    s->down.complete = true;
    if (stream_keep_head(s, h, raw) < 0)
        stream_close(s, REASON_NO_MEMORY);
    else
        stream_fail(s, why);
}

void stream_refused_h2(struct worker *w, struct down *d, struct http_head *h, unsigned status,
                       enum reason why)
{
    struct stream *s = stream_new(w, d, NULL, NULL);
    if (!s) {
        worker_count(w, why);
        return;
    }
    count_request(s);
    s->req = h;
    count_answer(s, status);
    stream_close(s, why);
}

void stream_request_h2(struct stream *s, struct h2_head *hh, bool end)
{
    s->h2_head = hh;
    s->req = &hh->h;
    s->max_fields = HTTP_FIELDS_MAX;
    count_request(s);
    begin(s, end);
}

void stream_begin_tunnel(struct stream *s, const struct chain *c, const struct split *split)
{
    s->bytes_only = s->down.open = true;
    stream_becomes_tunnel(s);
    s->chain = c;
    s->split = split;
    s->w->stat[WSTAT_TUNNELS]++;
    s->w->stat[WSTAT_TUNNELS_ACTIVE]++;
    stream_event(s, SEV_BEGIN);
}

/* ---- the upstream ---------------------------------------------------------------------------- */

static void connect_to(struct stream *s)
{
    enter(s, STREAM_CONNECT);
    upstream_connect(s);
}

/* An endpoint may be known to the controller and not yet to us: the stream waits for the next
 * views a little.  false: it has waited enough. */
static bool wait_for_view(struct stream *s)
{
    struct worker *w = s->w;
    const struct view_limits *lim = &worker_view(w)->limits;
    uint64_t waited = loop_now_ms(w->loop) - s->begin_ms;
    if (s->conn->inbound || waited >= lim->patience_ms || w->n_patient >= lim->patient)
        return false;
    s->patient = true;
    w->n_patient++;
    TAILQ_INSERT_TAIL(&w->patient, s, waiting);
    timer_set(&s->idle, lim->patience_ms - waited);
    return true;
}

static void stop_waiting(struct stream *s)
{
    uint32_t idle = s->wv->view->limits.idle_ms;
    if (!s->patient)
        return;
    s->patient = false;
    s->w->n_patient--;
    TAILQ_REMOVE(&s->w->patient, s, waiting);
    timer_cancel(&s->idle);
    if (idle)
        timer_set(&s->idle, idle);
}

void streams_try_again(struct worker *w)
{
    struct stream *s;
    for (uint32_t n = w->n_patient; n > 0 && (s = TAILQ_FIRST(&w->patient)); n--)
        stream_event(s, SEV_VIEW);
}

static void pick(struct stream *s)
{
    enter(s, STREAM_PICK);
    s->ep = upstream_pick(s);
    if (s->ep)
        connect_to(s);
    else if (errno == ENOMEM)
        stream_fail(s, REASON_NO_MEMORY);
    else if (!wait_for_view(s))
        stream_fail(s, REASON_NO_TARGET);
}

/* What stands behind the head is a tunnel's, if the server agrees to one (RFC 9110 9.3.6, 7.8): a
 * server that does not would take it for the next request. */
static bool asks_tunnel(const struct stream *s)
{
    return s->req && (s->wants_upgrade || s->req->method == HTTP_M_CONNECT);
}

static void on_up_ready(struct stream *s)
{
    struct half *up = &s->up;
    bool waits = asks_tunnel(s);
    count_begin(s);
    enter(s, STREAM_RELAY);
    if (s->req) {
        bool end = !waits && up->end_waits && !up->wait.bytes && !up->trailers;
        if (up->ops->head(up, s->req, end) < 0) {
            stream_fail(s, REASON_NO_MEMORY);
            return;
        }
        if (end) {
            up->end_waits = false;
            up->ended = true;
        }
    }
    up->open = !waits;
    stream_writable(up);
}

/* Another endpoint after a failed attempt.  When there is none and the last one broke off a
 * handshake (it restarted, or changes its certificate), the same once more. */
static struct epool *pick_other(struct stream *s)
{
    bool again = reason_class(s->fail) == REASON_BY_UP && s->split && ++s->attempts < ATTEMPTS_MAX;
    struct epool *ep = again ? upstream_pick(s) : NULL;
    if (ep || !again || s->attempts > 1 || (s->fail != REASON_UP_TLS && s->fail != REASON_UP_RESET))
        return ep;
    s->tried = 0;
    return upstream_pick(s);
}

static void on_up_fail(struct stream *s)
{
    struct epool *failed = s->ep;
    upstream_note_failure(s);
    s->ep = pick_other(s);
    if (!s->ep) {
        s->ep = failed;
        stream_fail(s, s->fail);
        return;
    }
    s->ep->wc->stat[CSTAT_RQ_RETRY]++;
    epool_unref(failed);
    connect_to(s);
}

/* ---- the response ---------------------------------------------------------------------------- */

static void count_response(struct stream *s, unsigned status)
{
    count_answer(s, status);
    if (status >= 100 && status < 600)
        s->ep->wc->stat[CSTAT_RQ_1XX + status / 100 - 1]++;
}

/* the request that asked for a tunnel got none: it ends where its head ended */
static void no_tunnel(struct stream *s)
{
    s->up.ended = true;
    s->up.ops->end(&s->up, NULL, 0);
    stream_drop_waiting(&s->up);
}

/* RFC 9110 7.8: no server may switch to a protocol that the request did not name
 * (stream_asks_upgrade: it named one) */
static bool asked_for(const struct http_head *req, const struct http_head *response)
{
    const struct http_field *asked = http_find(req, HDR_UPGRADE);
    for (unsigned i = 0; asked && i < response->n_fields; i++)
        if (response->fields[i].id == HDR_UPGRADE &&
            !slice_ieq(response->fields[i].value, asked->value))
            return false;
    return asked != NULL;
}

static void final_response(struct stream *s, struct http_head *h, bool end)
{
    const struct filter_list *f = &s->route->filters;
    bool tunnel = h->body == HTTP_BODY_TUNNEL; /* the codecs go by the same */
    if (h->status == 101 && !asked_for(s->req, h)) {
        s->up_fault = FAULT_UNASKED_101;
        stream_fail(s, REASON_UP_PROTOCOL);
        return;
    }
    http_drop_hop_by_hop(h, h->status == 101);
    for (uint32_t i = f->n; i-- > 0;)
        if (f->calls[i].filter->response)
            f->calls[i].filter->response(s, f->calls[i].conf, h);
    count_response(s, h->status);
    s->response = true;
    if (tunnel)
        stream_becomes_tunnel(s);
    else if (asks_tunnel(s))
        no_tunnel(s);
    if (s->down.ops->head(&s->down, h, end) < 0) {
        stream_close(s, REASON_NO_MEMORY);
        return;
    }
    s->down.open = true;
    if (end) {
        s->up.complete = true;
        s->down.ended = true;
        stream_check_end(s);
    } else if (tunnel) {
        s->up.open = true;
        stream_writable(&s->up);
    }
}

void stream_response(struct stream *s, struct http_head *h, bool end)
{
    if (s->closed || s->local)
        return;
    uint32_t idle = s->wv->view->limits.idle_ms;
    if (!s->first_ms)
        s->first_ms = loop_now_ms(s->w->loop);
    if (idle)
        timer_set(&s->idle, idle);
    if (h->status >= 200 || h->status == 101) {
        final_response(s, h, end);
    } else if (++s->infos > INFOS_MAX) {
        stream_fail(s, REASON_UP_INFORMATIONAL);
    } else if (s->req->version != HTTP_V10) {
        /* RFC 9110 15.2: a 1.0 client does not know them */
        http_drop_hop_by_hop(h, false);
        if (s->down.ops->head(&s->down, h, false) < 0)
            stream_close(s, REASON_NO_MEMORY);
    }
}

/* ---- ends that were not asked for ------------------------------------------------------------ */

static bool idempotent(enum http_method m)
{
    return m == HTTP_M_GET || m == HTTP_M_HEAD || m == HTTP_M_OPTIONS || m == HTTP_M_TRACE ||
           m == HTTP_M_PUT || m == HTTP_M_DELETE;
}

/* A kept connection that the server closed just as we used it says nothing about the request;
 * what cannot do harm twice, or was never looked at, is sent again on a new one. */
static bool may_repeat(const struct stream *s, enum reason why)
{
    bool closed = why == REASON_UP_CLOSED || why == REASON_UP_RESET;
    if (!s->req || s->tunnel || s->first_ms || s->sent_body)
        return false;
    if (why == REASON_UP_UNPROCESSED)
        return s->unseen < UNSEEN_MAX;
    return closed && s->reused && idempotent(s->req->method) && s->attempts + 1 < ATTEMPTS_MAX;
}

/* RFC 9113 8.7: what no server looked at a client of HTTP/2 may send again itself.  It has the
 * body, which is gone here. */
static bool client_may_repeat(const struct stream *s, enum reason why)
{
    return why == REASON_UP_UNPROCESSED && s->sent_body && !s->fresh && s->req->version == HTTP_V2;
}

static void repeat(struct stream *s, enum reason why)
{
    bool end = s->down.complete;
    struct pageq body = s->up.wait;
    s->up.wait = (struct pageq){0};
    drop_upstream(s, why);
    s->up.wait = body;
    s->up.end_waits = end;
    if (why == REASON_UP_UNPROCESSED) {
        s->unseen++;
    } else {
        s->attempts++;
        s->fresh = true;
    }
    uncount(s);
    s->ep->wc->stat[CSTAT_RQ_RETRY]++;
    connect_to(s);
}

void stream_gone(struct half *from, enum reason why)
{
    struct stream *s = from->s;
    if (s->closed)
        return;
    if (from == &s->down) {
        stream_close(s, why);
        return;
    }
    if (s->ep)
        s->ep->wc->stat[CSTAT_CX_DESTROY_REMOTE]++;
    /* it began to answer, so it did look at the request; a client that was told otherwise would
     * send it again */
    if (why == REASON_UP_UNPROCESSED && s->first_ms)
        why = REASON_UP_RESET;
    if (may_repeat(s, why))
        repeat(s, why);
    else if (client_may_repeat(s, why))
        stream_close(s, why);
    else
        stream_fail(s, why);
}

/* who let the stream stand still? */
static void on_stalled(struct stream *s)
{
    bool down_stuck = s->down.wait.bytes || (s->down.ops && s->down.ops->backlog(&s->down));
    bool up_stuck = s->up.wait.bytes || (s->up.ops && s->up.ops->backlog(&s->up));
    if (s->tunnel)
        stream_close(s, REASON_IDLE);
    else if (down_stuck || (!s->down.complete && !up_stuck && !s->response && !asks_tunnel(s)))
        stream_fail(s, REASON_SLOW_CLIENT);
    else
        stream_fail(s, REASON_UP_TIMEOUT);
}

static void on_no_endpoint(struct stream *s)
{
    stop_waiting(s);
    stream_fail(s, REASON_NO_TARGET);
}

void stream_event(struct stream *s, enum stream_ev ev)
{
    if (s->closed)
        return;
    switch (ev) {
    case SEV_BEGIN:
        on_begin(s);
        return;
    case SEV_RESUME:
        run_filters(s);
        return;
    case SEV_UP_READY:
        on_up_ready(s);
        return;
    case SEV_UP_FAIL:
        on_up_fail(s);
        return;
    case SEV_VIEW:
        stop_waiting(s);
        pick(s);
        return;
    case SEV_IDLE:
        if (s->patient)
            on_no_endpoint(s);
        else if (s->state == STREAM_RELAY && !stream_still_taken(s))
            on_stalled(s);
        else /* connecting and filters that wait have times of their own */
            timer_set(&s->idle, s->wv->view->limits.idle_ms);
        return;
    case SEV_TIMEOUT:
        stream_fail(s, REASON_REQUEST_TIMEOUT);
        return;
    }
}
