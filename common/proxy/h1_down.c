/* h1_down.c - HTTP/1 towards a client; see h1_half.h.
 *
 * One request at a time: what a client sends ahead stays in `in` (or in the kernel) until the
 * response before it is done.
 *
 * A request that asks for a tunnel (CONNECT, Upgrade) leaves it open what the bytes behind it are:
 * until the response's head says so they are kept (`undecided`).  Behind an Upgrade that is refused
 * they are HTTP, as before.  Behind a CONNECT that is refused they may have been meant for another
 * server, by somebody for whom the client only carries them: they are read and dropped, and the
 * connection ends (RFC 9931: "Guidance for HTTP CONNECT").
 *
 * Between requests a client costs no codec: its connection is parked at the end of the turn and
 * begins anew with the next byte (a tenth of a microsecond for a request, 224 bytes less for each
 * idle connection).
 *
 * What is no request is answered by a stream that has only this to do (stream_refuse), so that it
 * is counted and logged like any other.
 */
#include <stddef.h>
#include "common/base/log.h"
#include "common/proxy/closing.h"
#include "common/proxy/down.h"
#include "common/proxy/h1_half.h"

struct h1_down {
    struct h1_half x; /* first */
    struct down *d;
    struct loop_job rest; /* parks it, if nothing came meanwhile */
    bool undecided;
    bool last;        /* the client said that it sends no request behind this one */
    bool close_after; /* no further request on this connection */
    bool until_close; /* the response ends with the connection */
    bool old_client;  /* HTTP/1.0 */
    bool head_reply;  /* the request was HEAD */
    bool connect;     /* ... was CONNECT: what stands behind it is a tunnel's or nobody's */
    bool lingering;   /* closing, and it is waited until the client has seen it (leave.c) */
    uint8_t n_turn;   /* requests taken in this turn */
};

/* a client that sends many ahead has so many answered before others have their turn */
#define REQUESTS_PER_TURN 32

static void on_event(struct conn *c, unsigned ev, void *arg);
static void rest_job(struct loop_job *job);
static const struct half_ops h1_down_half;
static const struct down_ops h1_down_ops;

static const struct view_limits *limits(const struct h1_down *h)
{
    return &worker_view(h->x.w)->limits;
}

/* the stream under way, NULL between requests */
static struct stream *stream_of(const struct h1_down *h)
{
    return h->x.half ? h->x.half->s : NULL;
}

/* ---- waiting for a request ------------------------------------------------------------------- */

static void wait_for(struct h1_down *h, uint32_t ms)
{
    if (ms)
        timer_set(&h->d->timer, ms);
    else
        timer_cancel(&h->d->timer);
}

/* none of which has come: in a drain not for long */
static void wait_for_request(struct h1_down *h, uint32_t ms)
{
    wait_for(h, h->x.w->draining && (ms == 0 || ms > DRAIN_IDLE_MS) ? DRAIN_IDLE_MS : ms);
}

/* for the rest of a head, some of which came; first: the first of it */
static void wait_for_rest(struct h1_down *h, bool first)
{
    const struct view_limits *lim = limits(h);
    if (!lim->head_ms)
        wait_for(h, lim->idle_ms); /* anew with each piece */
    else if (first)
        wait_for(h, lim->head_ms);
}

static void next_request(struct h1_down *h)
{
    h1_parser_init(&h->x.parser, &h->x.w->h1_limits);
    h->x.body_done = h->x.chunked = h->undecided = false;
    wait_for_request(h, limits(h)->idle_ms);
    h->rest.fn = rest_job;
    loop_defer(h->x.w->loop, &h->rest);
}

/* ---- parked ---------------------------------------------------------------------------------- */

/* nothing is on its way in or out */
static bool at_rest(const struct h1_down *h)
{
    const struct h1_half *x = &h->x;
    return !x->half && !x->closing && !x->eof && inbuf_empty(&x->in) && !x->partial &&
           !x->ch.broken && !chan_backlog(&x->ch) && !conn_may_read(x->conn);
}

static void parked_event(struct conn *c, unsigned ev, void *arg)
{
    struct down *d = arg;
    (void)c;
    if (!(ev & CONN_EV_READ))
        return;
    if (h1_down_start(d) < 0) {
        down_abort(d, REASON_NO_MEMORY);
    } else if (!d->closed && d->ops == &h1_down_ops && at_rest(d->codec)) {
        /* it was nothing: a ticket of TLS, or the turn after an answer */
        timer_cancel(&d->timer);
        wait_for_request(d->codec, limits(d->codec)->idle_ms);
    }
}

static void parked_timer(void *arg)
{
    down_leave(arg, REASON_IDLE);
}

static void parked_drain(void *codec)
{
    struct down *d = codec;
    timer_set(&d->timer, DRAIN_IDLE_MS);
}

static bool parked_close(void *codec, enum reason why)
{
    (void)codec, (void)why; /* it holds nothing */
    return false;
}

static void parked_free(void *codec)
{
    (void)codec;
}

static const struct down_ops parked_ops = {parked_drain, parked_close, parked_free};

/* no call into the codec is under way; h is gone.  The timer goes on. */
static void park(struct h1_down *h)
{
    struct down *d = h->d;
    struct worker *w = h->x.w;
    h1_half_close(&h->x);
    wmem_obj_put(w->mem, &w->s_h1_down, h);
    d->ops = &parked_ops;
    d->codec = d;
    d->timer.fn = parked_timer;
    d->timer.arg = d;
    conn_set_cb(d->conn, parked_event, d);
}

static void rest_job(struct loop_job *job)
{
    struct h1_down *h = (struct h1_down *)((char *)job - offsetof(struct h1_down, rest));
    if (at_rest(h))
        park(h);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void close_when_sent(struct h1_down *h)
{
    if (h->x.ch.broken || (h->x.ch.shut && !h->lingering))
        down_close(h->d, REASON_OK);
    else if (h->x.ch.shut)
        down_leave(h->d, REASON_OK);
}

/* Our side is done.  A client that did not say that it sends nothing more may do so at any moment,
 * and what meets a closed connection destroys our answer on its way: leave.c. */
static void finish(struct h1_down *h)
{
    struct h1_half *x = &h->x;
    x->closing = true;
    h->lingering = !x->eof && (!h->last || !x->body_done || h->connect || !inbuf_empty(&x->in) ||
                               conn_may_read(x->conn));
    inbuf_release(x->w->mem, &x->in);
    chan_flush(&x->ch);
    chan_shut(&x->ch);
    closing_begin(&x->ch.end, x->conn, &h->d->timer, limits(h));
    close_when_sent(h);
    if (!x->closed)
        h1_half_wake(x);
}

/* ---- what is no request ---------------------------------------------------------------------- */

/* a stream for a request that is at hand; NULL: the connection is closed */
static struct stream *new_stream(struct h1_down *h)
{
    struct stream *s = stream_new(h->x.w, h->d, &h1_down_half, h);
    if (s)
        h->x.half = &s->down;
    else
        down_abort(h->d, REASON_NO_MEMORY);
    return s;
}

/* as much as is known of it: what the parser took before it stopped */
static struct http_head known(const struct http_head *head)
{
    struct http_head h = head ? *head : (struct http_head){.request = true};
    struct slice rest = h.target;
    const struct http_field *host = http_find(&h, HDR_HOST);
    h.method = http_method_id(h.method_text);
    h.path = slice_cut(&rest, '?');
    h.authority = host ? host->value : h.authority;
    h.body = HTTP_BODY_NONE;
    return h;
}

/* answers and ends it; head: what was parsed of it, which lies in raw, or NULL */
static void refuse(struct h1_down *h, const struct http_head *head, struct slice raw,
                   enum reason why, uint32_t since_ms)
{
    struct http_head k = known(head);
    struct stream *s = new_stream(h);
    if (!s)
        return;
    timer_cancel(&h->d->timer);
    h->last = false;
    h->close_after = true;
    h->old_client = false;
    h->head_reply = k.method == HTTP_M_HEAD;
    s->begin_ms -= since_ms;
    /* what was parsed lies in front of that, whatever the limit was then */
    if (raw.n > limit_defs[LIMIT_head_bytes].most)
        raw.n = limit_defs[LIMIT_head_bytes].most;
    stream_refuse(s, &k, raw, why);
}

/* what was parsed of the head in x->in, or NULL */
static const struct http_head *partial_head(struct h1_down *h)
{
    struct h1_half *x = &h->x;
    if (!x->partial || inbuf_empty(&x->in))
        return NULL;
    h1_moved(&x->parser, inbuf_slice(&x->in).p, &x->partial->head);
    return &x->partial->head;
}

/* more of a head than there is place for */
static void head_too_large(struct h1_down *h)
{
    if (h->x.half)
        down_abort(h->d, REASON_NO_MEMORY);
    else
        refuse(h, partial_head(h), inbuf_slice(&h->x.in), REASON_FAULT_HEAD_LARGE, 0);
}

/* The client has ended its side: hardly one of HTTP does so and still waits.  It gets a little time
 * for the response to begin; then the request is given up, as the server would see it without us.
 */
static void half_closed(struct h1_down *h)
{
    if (!stream_of(h)->first_ms && !timer_is_set(&h->d->timer) && limits(h)->half_closed_ms)
        timer_set(&h->d->timer, limits(h)->half_closed_ms);
}

/* the rest of a head did not come */
static void head_late(struct h1_down *h)
{
    const struct view_limits *lim = limits(h);
    bool idle = !lim->head_ms;
    refuse(h, partial_head(h), inbuf_slice(&h->x.in),
           idle ? REASON_SLOW_CLIENT : REASON_HEAD_TIMEOUT, idle ? lim->idle_ms : lim->head_ms);
}

/* does the client take too little of what waits? */
static void on_closing(struct h1_down *h)
{
    if (closing_goes_on(&h->x.ch.end, h->x.conn, &h->d->timer, limits(h)))
        return;
    worker_count(h->x.w, REASON_TOO_SLOW);
    down_abort(h->d, REASON_TOO_SLOW);
}

static void on_timer(void *arg)
{
    struct h1_down *h = arg;
    if (h->x.closing) {
        on_closing(h);
        return;
    }
    if (h->x.half) {
        if (!stream_of(h)->first_ms)
            stream_gone(h->x.half, REASON_DOWN_CLOSED);
        return;
    }
    if (!inbuf_empty(&h->x.in))
        head_late(h);
    else if (chan_backlog(&h->x.ch))
        finish(h); /* the last answer has not left yet */
    else
        down_leave(h->d, REASON_IDLE);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void start_stream(struct h1_down *h, const struct http_head *head, struct slice raw)
{
    bool tunnel = head->method == HTTP_M_CONNECT || stream_asks_upgrade(head);
    timer_cancel(&h->d->timer);
    h->x.body_done = head->body == HTTP_BODY_NONE;
    h->undecided = tunnel;
    h->last = h->close_after = !head->keep_alive;
    h->old_client = head->version == HTTP_V10;
    h->head_reply = head->method == HTTP_M_HEAD;
    h->connect = head->method == HTTP_M_CONNECT;
    h1_body_init(&h->x.body, head, &h->x.w->h1_limits);
    struct stream *s = new_stream(h);
    if (s)
        stream_request(s, head, raw, h->x.body_done && !tunnel);
}

/* the rest of *in once a head was taken from it; false: more is needed, or it is over */
static bool take_head(struct h1_down *h, struct slice *in)
{
    struct http_head *head;
    struct slice raw = *in;
    bool first = !h->x.partial; /* its first bytes, which may have come behind another request */
    ssize_t n = h1_half_take_head(&h->x, *in, NULL, &head);
    if (n == 0) {
        wait_for_rest(h, first);
        return false;
    }
    if (n > 0) {
        raw.n = (size_t)n;
        in->p += n;
        in->n -= (size_t)n;
        start_stream(h, head, raw);
    } else {
        in->n = 0;
        refuse(h, head, raw, reason_of_fault((int)n), 0);
    }
    h1_half_drop_partial(&h->x);
    return n > 0;
}

static void take_body(struct h1_down *h, struct slice *in)
{
    int fault = h1_half_take_body(&h->x, in);
    if (fault < 0) {
        h->close_after = true;
        in->n = 0;
        stream_fail(stream_of(h), reason_of_fault(fault));
    }
}

/* can bytes be made use of now? */
static bool takes_bytes(const struct h1_down *h)
{
    const struct h1_half *x = &h->x;
    if (x->closing || x->tunnel)
        return !x->held;
    if (!x->half)
        return chan_backlog(&x->ch) < STREAM_HIGH;
    return !x->body_done && !h->undecided && !x->held;
}

static void process(struct h1_down *h, struct slice in)
{
    struct h1_half *x = &h->x;
    while (in.n && !x->closed) {
        if (x->closing) {
            in.n = 0;
        } else if (x->tunnel) {
            stream_data(x->half, in);
            in.n = 0;
        } else if (!takes_bytes(h) && (x->body_done || h->undecided || !x->half)) {
            break;
        } else if (x->half) {
            take_body(h, &in);
        } else if (h->n_turn == REQUESTS_PER_TURN || !take_head(h, &in)) {
            break;
        } else {
            h->n_turn++;
        }
    }
    if (!x->closed && h1_half_keep_rest(x, x->closing ? slice_of(NULL, 0) : in) < 0)
        head_too_large(h);
}

static void at_eof(struct h1_down *h)
{
    struct h1_half *x = &h->x;
    x->eof = true;
    if (x->closing) {
        h->lingering = false;
        close_when_sent(h);
    } else if (!x->half && !chan_backlog(&x->ch)) {
        down_close(h->d, REASON_OK);
    } else if (!x->half) {
        x->body_done = true;
        finish(h);
    } else if (x->tunnel) {
        stream_end(x->half, NULL, 0);
    } else if (!x->body_done) {
        stream_gone(x->half, REASON_DOWN_CLOSED);
    } else {
        h->close_after = true;
        half_closed(h);
    }
}

static void at_error(struct h1_down *h)
{
    if (h->x.half)
        stream_gone(h->x.half, REASON_DOWN_RESET);
    down_close(h->d, REASON_DOWN_RESET);
}

/* 1 went on, 0 stop for now */
static int read_once(struct h1_down *h, size_t *budget)
{
    struct h1_half *x = &h->x;
    struct slice in;
    /* not more is read than could be kept, unless it is surely body */
    bool bulk = x->tunnel || x->closing ||
                (x->half && x->body.kind == HTTP_BODY_LENGTH && x->body.left > RBUF_SIZE);
    ssize_t n = h1_half_read(x, bulk ? RBUF_SIZE : WMEM_BLOCK_MAX, &in);
    if (n > 0) {
        process(h, in);
        *budget = h1_half_spend(x, *budget, (size_t)n);
        return *budget > 0;
    }
    if (n == H1_NO_ROOM)
        head_too_large(h);
    else if (n == 0)
        at_eof(h);
    else if (n != CONN_AGAIN)
        at_error(h);
    return 0;
}

static void read_all(struct h1_down *h)
{
    struct h1_half *x = &h->x;
    size_t budget = TURN_BYTES;
    x->busy = true;
    h->n_turn = 0;
    if (takes_bytes(h) && !inbuf_empty(&x->in)) {
        process(h, inbuf_slice(&x->in));
        h1_half_flush_all(x);
    }
    while (!x->closed && !x->eof && takes_bytes(h) && h->n_turn < REQUESTS_PER_TURN) {
        int more = read_once(h, &budget);
        h1_half_flush_all(x);
        if (!more)
            break;
    }
    x->busy = false;
    if (!budget || h->n_turn == REQUESTS_PER_TURN)
        h1_half_wake(x);
    /* the client had ended before the tunnel was agreed on */
    if (x->tunnel && x->eof && x->half)
        stream_end(x->half, NULL, 0);
}

/* The response is awaited and bytes or an end came.  An end alone may be a half close; a reset
 * means that nobody waits any more. */
static void look_for_end(struct h1_down *h)
{
    if (h->x.ch.broken || conn_gone(h->x.conn))
        at_error(h);
    else if (h->x.conn->rdhup && !h->x.tunnel)
        half_closed(h);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct h1_down *h = arg;
    struct h1_half *x = &h->x;
    (void)c;
    if (ev & CONN_EV_WRITE) {
        chan_write_more(&x->ch);
        if (x->half)
            stream_writable(x->half);
        if (x->closing && !x->closed)
            close_when_sent(h);
        if (!x->closed)
            ev |= CONN_EV_READ; /* a backlog may have kept us from reading */
    }
    if (x->closed || !(ev & CONN_EV_READ))
        return;
    if (takes_bytes(h))
        read_all(h);
    else if (x->half)
        look_for_end(h);
    if (x->tunnel && x->eof && x->ch.broken && x->half && !x->closed)
        at_error(h); /* as in tunnel.c */
}

/* ---- the stream's sink ----------------------------------------------------------------------- */

/* how the response's body leaves */
static enum http_body framing(struct h1_down *h, const struct http_head *head, bool end)
{
    if (head->status < 200 && head->status != 101)
        return HTTP_BODY_NONE;
    if (head->body == HTTP_BODY_TUNNEL)
        return HTTP_BODY_TUNNEL;
    if (end || head->body == HTTP_BODY_NONE)
        return HTTP_BODY_NONE;
    if (head->body == HTTP_BODY_LENGTH)
        return HTTP_BODY_LENGTH;
    if (!h->old_client)
        return HTTP_BODY_CHUNKED;
    h->close_after = h->until_close = true;
    return HTTP_BODY_CLOSE;
}

static int put_head(struct half *half, const struct http_head *head, bool end)
{
    struct h1_down *h = half->codec;
    struct h1_half *x = &h->x;
    bool final = head->status >= 200 || head->status == 101;
    struct h1_emit e = {.body = framing(h, head, end),
                        .content_length = head->content_length,
                        .head_reply = h->head_reply,
                        .upgrade = head->status == 101};
    if (final && e.body == HTTP_BODY_TUNNEL) {
        x->tunnel = true;
    } else if (final) {
        h->close_after |= x->w->draining || h->connect || (!x->body_done && !half->complete);
        e.close = h->close_after;
        e.keep_alive = h->old_client && !h->close_after;
        x->chunked = e.body == HTTP_BODY_CHUNKED;
    }
    if (final)
        h->undecided = false;
    if (h1_half_head(x, head, &e) < 0)
        return -1;
    if (x->tunnel)
        h1_half_wake(x);
    return 0;
}

static void release(struct half *half, enum reason why)
{
    struct h1_down *h = half->codec;
    struct h1_half *x = &h->x;
    h1_half_let_go(x);
    if (x->closed)
        return;
    timer_cancel(&h->d->timer);
    if (why != REASON_OK && (x->tunnel || h->until_close)) {
        down_abort(h->d, why); /* an orderly end would pass for the whole */
    } else if (why != REASON_OK || x->tunnel || h->close_after || x->eof || !x->body_done) {
        finish(h);
    } else {
        next_request(h);
        h1_half_wake(x);
    }
}

static const struct half_ops h1_down_half = {H1_HALF_OPS, .head = put_head, .release = release};

/* ---- the connection -------------------------------------------------------------------------- */

static void drain(void *codec)
{
    struct h1_down *h = codec;
    if (!h->x.half && !h->x.closing && inbuf_empty(&h->x.in))
        wait_for_request(h, DRAIN_IDLE_MS);
}

static bool close_codec(void *codec, enum reason why)
{
    struct h1_down *h = codec;
    bool cut = why != REASON_OK && (h->x.tunnel || h->until_close) &&
               (h->x.half || chan_backlog(&h->x.ch));
    h->x.closed = true;
    loop_undefer(h->x.w->loop, &h->rest);
    if (h->x.half)
        stream_close(stream_of(h), why == REASON_OK ? REASON_DOWN_CLOSED : why);
    h1_half_close(&h->x);
    return cut;
}

static void free_codec(void *codec)
{
    struct h1_down *h = codec;
    wmem_obj_put(h->x.w->mem, &h->x.w->s_h1_down, h);
}

static const struct down_ops h1_down_ops = {drain, close_codec, free_codec};

int h1_down_start(struct down *d)
{
    struct h1_down *h = wmem_obj(d->w->mem, &d->w->s_h1_down, sizeof *h);
    if (!h)
        return -1;
    h->d = d;
    h1_half_start(&h->x, d->w, d->conn);
    d->ops = &h1_down_ops;
    d->codec = h;
    timer_cancel(&d->timer);
    d->timer.fn = on_timer;
    d->timer.arg = h;
    conn_set_cb(d->conn, on_event, h);
    next_request(h);
    wait_for_request(h, limit_first_ms(limits(h)));
    if (conn_may_read(d->conn))
        read_all(h);
    return 0;
}
