/* h1_down.c - HTTP/1 towards a client.
 *
 * One request at a time: what a client sends ahead stays in `in` (or in the kernel) until the
 * response before it is done.  Invariants: `s` is NULL between requests; while `busy` the reading
 * loop is on the stack and goes on by itself, otherwise whoever makes reading possible again asks
 * for a callback.
 *
 * A request that asks for a tunnel (CONNECT, Upgrade) leaves it open what the bytes behind it are:
 * until the response's head says so they are kept (`undecided`).
 */
#include "common/base/log.h"
#include "common/proxy/down.h"
#include "common/proxy/h1_common.h"
#include "common/proxy/inbuf.h"

struct h1_down {
    struct down *d;
    struct chan ch;
    struct stream *s;
    struct inbuf in;
    struct h1_parser parser;
    struct h1_partial *partial;
    struct h1_body body;
    struct h1_trail *trail;
    bool busy;
    bool body_done; /* the request is complete */
    bool undecided;
    bool tunnel;
    bool held;        /* the stream takes nothing now */
    bool close_after; /* no further request on this connection */
    bool until_close; /* the response ends with the connection */
    bool chunked;     /* the response leaves in chunks */
    bool old_client;  /* HTTP/1.0 */
    bool head_reply;  /* the request was HEAD */
    bool eof;         /* the client has ended its side */
    bool closing;     /* only what waits is still sent, what comes is thrown away */
    bool lingering;   /* ... and it is waited until the client has seen it */
};

static void on_event(struct conn *c, unsigned ev, void *arg);
static const struct half_ops h1_down_half;
static const struct down_ops h1_down_ops;

static struct worker *worker_of(const struct h1_down *h)
{
    return h->d->w;
}

static const struct view_limits *limits(const struct h1_down *h)
{
    return &worker_view(worker_of(h))->limits;
}

static void wake(struct h1_down *h)
{
    if (!h->busy && !h->d->closed)
        conn_wake(h->d->conn, CONN_EV_READ);
}

/* ---- waiting for a request ------------------------------------------------------------------- */

static void wait_for_request(struct h1_down *h, uint32_t ms)
{
    if (worker_of(h)->draining && (ms == 0 || ms > DRAIN_IDLE_MS))
        ms = DRAIN_IDLE_MS;
    if (ms)
        timer_set(&h->d->timer, ms);
}

static void next_request(struct h1_down *h)
{
    h1_parser_init(&h->parser, &worker_of(h)->h1_limits);
    h->body_done = h->chunked = h->undecided = false;
    wait_for_request(h, limits(h)->idle_ms);
}

/* ---- closing --------------------------------------------------------------------------------- */

static void close_when_sent(struct h1_down *h)
{
    if (h->ch.broken || (h->ch.shut && !h->lingering))
        down_close(h->d, REASON_OK);
}

/* Our side is done.  A close with unread bytes would reset the connection and could destroy our
 * answer on its way: then it is read on for a while. */
static void finish(struct h1_down *h)
{
    h->closing = true;
    h->lingering = !h->eof && (!h->body_done || !inbuf_empty(&h->in) || conn_may_read(h->d->conn));
    inbuf_release(worker_of(h)->mem, &h->in);
    timer_set(&h->d->timer, h->lingering         ? limits(h)->linger_ms
                            : limits(h)->idle_ms ? limits(h)->idle_ms
                                                 : 60000);
    chan_flush(&h->ch);
    chan_shut(&h->ch);
    close_when_sent(h);
    wake(h);
}

/* an answer to what is no request */
static void answer_fault(struct h1_down *h, int error)
{
    enum reason why = h1_request_reason(error);
    struct worker *w = worker_of(h);
    const char *name = h1_error_name(error);
    struct http_field type = {.name = SLICE_LIT("content-type"),
                              .value = SLICE_LIT("text/plain"),
                              .id = HDR_CONTENT_TYPE};
    struct http_head head = {.status = h1_error_status(error), .n_fields = 1, .fields = &type};
    struct h1_emit e = {.body = HTTP_BODY_LENGTH, .content_length = strlen(name), .close = true};
    log_debug("h1", "request refused reason=%s fault=%s", reason_text(why), name);
    worker_count(w, why);
    w->stat[head.status < 500 ? WSTAT_DOWN_RQ_4XX : WSTAT_DOWN_RQ_5XX]++;
    if (h1_put_head(&h->ch, &head, &e) == 0)
        chan_put(&h->ch, name, strlen(name));
    finish(h);
}

static void on_timer(void *arg)
{
    struct h1_down *h = arg;
    if (h->closing || h->s || inbuf_empty(&h->in)) {
        down_close(h->d, REASON_IDLE);
        return;
    }
    struct http_head head = {.status = 408};
    struct h1_emit e = {.body = HTTP_BODY_NONE, .close = true};
    worker_count(worker_of(h), REASON_HEAD_TIMEOUT);
    worker_of(h)->stat[WSTAT_DOWN_RQ_4XX]++;
    h1_put_head(&h->ch, &head, &e);
    finish(h);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void start_stream(struct h1_down *h, const struct http_head *head, struct slice raw)
{
    struct worker *w = worker_of(h);
    bool tunnel = head->method == HTTP_M_CONNECT || stream_asks_upgrade(head);
    timer_cancel(&h->d->timer);
    h->body_done = head->body == HTTP_BODY_NONE;
    h->undecided = tunnel;
    h->close_after = !head->keep_alive;
    h->old_client = head->version == HTTP_V10;
    h->head_reply = head->method == HTTP_M_HEAD;
    h1_body_init(&h->body, head, &w->h1_limits);
    h->s = stream_new(w, h->d, &h1_down_half, h);
    if (h->s)
        stream_request(h->s, head, raw, h->body_done && !tunnel);
    else
        down_abort(h->d, REASON_NO_MEMORY);
}

/* the rest of *in once a head was taken from it; false: more is needed, or it is over */
static bool take_head(struct h1_down *h, struct slice *in)
{
    struct worker *w = worker_of(h);
    struct http_head *head;
    ssize_t n = h1_parse_more(w, &h->parser, &h->partial, *in, NULL, &head);
    if (n > 0) {
        struct slice raw = slice_of(in->p, (size_t)n);
        in->p += n;
        in->n -= (size_t)n;
        start_stream(h, head, raw);
        h1_partial_drop(w, &h->partial);
        return true;
    }
    if (n < 0) {
        h1_partial_drop(w, &h->partial);
        in->n = 0;
        answer_fault(h, (int)n);
    } else if (inbuf_empty(&h->in)) {
        wait_for_request(h, limits(h)->head_ms); /* its first bytes */
    }
    return false;
}

static void take_body(struct h1_down *h, struct slice *in)
{
    struct half *half = &h->s->down;
    int r = h1_take_body(half, &h->body, in, &h->trail);
    if (!h->s)
        return;
    if (r < 0) {
        h->close_after = true;
        in->n = 0;
        stream_fail(h->s, h1_request_reason(r));
    } else if (r == 1) {
        struct h1_trail *t = h->trail;
        h->body_done = true;
        h->trail = NULL;
        stream_end(half, t ? t->t.fields : NULL, t ? t->t.n : 0);
        h1_trail_put(worker_of(h)->mem, t);
    }
}

/* can bytes be made use of now? */
static bool takes_bytes(const struct h1_down *h)
{
    if (h->closing || h->tunnel)
        return !h->held;
    if (!h->s)
        return chan_backlog(&h->ch) < STREAM_HIGH;
    return !h->body_done && !h->undecided && !h->held;
}

/* false: the connection is over */
static void process(struct h1_down *h, struct slice in)
{
    while (in.n && !h->d->closed) {
        if (h->closing) {
            in.n = 0;
        } else if (h->tunnel) {
            stream_data(&h->s->down, in);
            in.n = 0;
        } else if (!takes_bytes(h) && (h->body_done || h->undecided || !h->s)) {
            break;
        } else if (h->s) {
            take_body(h, &in);
        } else if (!take_head(h, &in)) {
            break;
        }
    }
    if (h->d->closed)
        return;
    if (h->in.p)
        gather_flush(worker_of(h)->gather); /* it may still be borrowed from */
    if (!in.n || h->closing)
        inbuf_release(worker_of(h)->mem, &h->in);
    else if (inbuf_keep(worker_of(h)->mem, &h->in, in.p, in.n) < 0)
        answer_fault(h, H1_E_HEAD_LARGE);
}

static void at_eof(struct h1_down *h)
{
    h->eof = true;
    if (h->closing || (!h->s && !chan_backlog(&h->ch))) {
        down_close(h->d, REASON_OK);
    } else if (!h->s) {
        h->body_done = true;
        finish(h);
    } else if (h->tunnel) {
        stream_end(&h->s->down, NULL, 0);
    } else if (!h->body_done) {
        stream_gone(&h->s->down, REASON_DOWN_CLOSED);
    } else {
        h->close_after = true; /* half closed: the response is still wanted */
    }
}

static void at_error(struct h1_down *h)
{
    if (h->s)
        stream_gone(&h->s->down, REASON_DOWN_RESET);
    down_close(h->d, REASON_DOWN_RESET);
}

/* Where the next bytes go: behind a head that was begun, else the shared buffer.  Not more is
 * read than could be kept, unless it is surely body. */
static struct slice read_place(struct h1_down *h)
{
    struct worker *w = worker_of(h);
    if (!inbuf_empty(&h->in))
        return inbuf_room(w->mem, &h->in);
    bool bulk = h->tunnel || h->closing ||
                (h->s && h->body.kind == HTTP_BODY_LENGTH && h->body.left > RBUF_SIZE);
    return slice_of(w->rbuf, bulk ? RBUF_SIZE : WMEM_BLOCK_MAX);
}

/* 1 went on, 0 stop for now */
static int read_once(struct h1_down *h, size_t *budget)
{
    struct slice at = read_place(h);
    if (!at.n) {
        answer_fault(h, H1_E_HEAD_LARGE);
        return 0;
    }
    ssize_t n = conn_read(h->d->conn, (char *)at.p, at.n);
    if (n == CONN_AGAIN)
        return 0;
    if (n <= 0) {
        if (n == 0)
            at_eof(h);
        else
            at_error(h);
        return 0;
    }
    struct slice in = slice_of(at.p, (size_t)n);
    if (at.p != worker_of(h)->rbuf) {
        h->in.end += (uint32_t)n;
        in = inbuf_slice(&h->in);
    }
    process(h, in);
    *budget -= (size_t)n < *budget ? (size_t)n : *budget;
    return *budget > 0;
}

static void flush(struct h1_down *h)
{
    gather_flush(worker_of(h)->gather);
    if (h->s)
        stream_flush(&h->s->down);
}

static void read_all(struct h1_down *h)
{
    size_t budget = TURN_BYTES;
    h->busy = true;
    if (takes_bytes(h) && !inbuf_empty(&h->in)) {
        process(h, inbuf_slice(&h->in));
        flush(h);
    }
    while (!h->d->closed && !h->eof && takes_bytes(h)) {
        int more = read_once(h, &budget);
        flush(h);
        if (!more)
            break;
    }
    h->busy = false;
    if (!budget)
        wake(h);
    /* the client had ended before the tunnel was agreed on */
    if (h->tunnel && h->eof && h->s)
        stream_end(&h->s->down, NULL, 0);
}

/* The response is awaited and bytes or an end came.  An end alone may be a half close; a reset
 * means that nobody waits any more. */
static void look_for_reset(struct h1_down *h)
{
    if (h->ch.broken || conn_gone(h->d->conn))
        at_error(h);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct h1_down *h = arg;
    (void)c;
    if (ev & CONN_EV_WRITE) {
        chan_write_more(&h->ch);
        if (h->s)
            stream_writable(&h->s->down);
        if (h->closing && !h->d->closed)
            close_when_sent(h);
        if (!h->d->closed)
            ev |= CONN_EV_READ; /* a backlog may have kept us from reading */
    }
    if (h->d->closed || !(ev & CONN_EV_READ))
        return;
    if (takes_bytes(h))
        read_all(h);
    else if (h->s)
        look_for_reset(h);
    if (h->tunnel && h->eof && h->ch.broken && h->s && !h->d->closed)
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
    bool final = head->status >= 200 || head->status == 101;
    struct h1_emit e = {.body = framing(h, head, end),
                        .content_length = head->content_length,
                        .head_reply = h->head_reply,
                        .upgrade = head->status == 101};
    if (final && e.body == HTTP_BODY_TUNNEL) {
        h->tunnel = true;
    } else if (final) {
        h->close_after |= worker_of(h)->draining || (!h->body_done && !half->complete);
        e.close = h->close_after;
        e.keep_alive = h->old_client && !h->close_after;
        h->chunked = e.body == HTTP_BODY_CHUNKED;
    }
    if (final)
        h->undecided = false;
    if (h1_put_head(&h->ch, head, &e) < 0)
        return -1;
    if (h->tunnel)
        wake(h);
    return 0;
}

static size_t put_data(struct half *half, struct slice p)
{
    struct h1_down *h = half->codec;
    h1_put_data(&h->ch, p, h->chunked);
    return p.n;
}

static void put_end(struct half *half, const struct http_field *trailers, unsigned n)
{
    struct h1_down *h = half->codec;
    if (h->tunnel) {
        chan_flush(&h->ch);
        chan_shut(&h->ch);
    } else if (h->chunked) {
        h1_put_last_chunk(&h->ch, trailers, n);
    }
}

static void flush_half(struct half *half)
{
    chan_flush(&((struct h1_down *)half->codec)->ch);
}

static size_t backlog(const struct half *half)
{
    return chan_backlog(&((const struct h1_down *)half->codec)->ch);
}

static void hold(struct half *half, bool on)
{
    struct h1_down *h = half->codec;
    h->held = !on;
    if (on)
        wake(h);
}

static void release(struct half *half, enum reason why)
{
    struct h1_down *h = half->codec;
    h->s = NULL;
    h->held = false;
    h1_trail_put(worker_of(h)->mem, h->trail);
    h->trail = NULL;
    if (h->d->closed)
        return;
    if (why != REASON_OK && (h->tunnel || h->until_close)) {
        down_abort(h->d, why); /* an orderly end would pass for the whole */
    } else if (why != REASON_OK || h->tunnel || h->close_after || h->eof || !h->body_done) {
        finish(h);
    } else {
        next_request(h);
        wake(h);
    }
}

static const struct half_ops h1_down_half = {
    .name = "h1",
    .head = put_head,
    .data = put_data,
    .end = put_end,
    .flush = flush_half,
    .backlog = backlog,
    .read = hold,
    .release = release,
};

/* ---- the connection -------------------------------------------------------------------------- */

static void drain(void *codec)
{
    struct h1_down *h = codec;
    if (!h->s && !h->closing)
        wait_for_request(h, DRAIN_IDLE_MS);
}

static void close_codec(void *codec, enum reason why)
{
    struct h1_down *h = codec;
    if (h->s)
        stream_close(h->s, why == REASON_OK ? REASON_DOWN_CLOSED : why);
    gather_flush(worker_of(h)->gather);
    inbuf_release(worker_of(h)->mem, &h->in);
    h1_partial_drop(worker_of(h), &h->partial);
    chan_release(&h->ch);
}

static void free_codec(void *codec)
{
    struct h1_down *h = codec;
    wmem_obj_put(worker_of(h)->mem, &worker_of(h)->s_h1_down, h);
}

static const struct down_ops h1_down_ops = {drain, close_codec, free_codec};

int h1_down_start(struct down *d)
{
    struct h1_down *h = wmem_obj(d->w->mem, &d->w->s_h1_down, sizeof *h);
    if (!h)
        return -1;
    h->d = d;
    chan_init(&h->ch, d->conn, d->w->gather);
    d->ops = &h1_down_ops;
    d->codec = h;
    timer_cancel(&d->timer);
    d->timer.fn = on_timer;
    d->timer.arg = h;
    conn_set_cb(d->conn, on_event, h);
    next_request(h);
    wait_for_request(h, limits(h)->head_ms);
    if (conn_may_read(d->conn))
        read_all(h);
    return 0;
}
