/* h1_up.c - HTTP/1.1 towards a server.
 *
 * One request at a time; between requests the connection lies in its endpoint's pool, readable, so
 * that its end is noticed.  Invariants: `s` is NULL while pooled; while `busy` the reading loop is
 * on the stack and decides at its end what becomes of the connection (`done`).
 */
#include "common/base/log.h"
#include "common/proxy/h1_common.h"
#include "common/proxy/inbuf.h"
#include "common/proxy/upstream.h"

struct h1_up {
    struct upconn u; /* first */
    struct worker *w;
    struct chan ch;
    struct stream *s;
    struct inbuf in;
    struct h1_asked asked;
    struct h1_parser parser;
    struct h1_partial *partial;
    struct h1_body body;
    struct h1_trail *trail;
    bool busy;
    bool done;    /* the stream let go while busy: reuse if nothing is left over */
    bool in_body; /* the final head was read */
    bool body_done;
    bool tunnel;
    bool held;
    bool keep; /* the server keeps the connection */
    bool req_chunked;
    bool eof;
    bool closing; /* what waits is still sent, then it closes */
};

static const struct half_ops h1_up_half;
static const struct upconn_ops h1_up_ops;

static struct h1_up *up_of(struct upconn *u)
{
    return (struct h1_up *)u;
}

static void wake(struct h1_up *h)
{
    if (!h->busy && !h->u.closed)
        conn_wake(h->u.conn, CONN_EV_READ);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void gone(struct h1_up *h, enum reason why)
{
    struct stream *s = h->s;
    if (s)
        stream_gone(&s->up, why);
    upconn_close(&h->u, why);
}

static void bad_response(struct h1_up *h, int error)
{
    log_debug("h1", "bad response cluster=%s fault=%s", h->u.ep->wc->name, h1_error_name(error));
    gone(h, REASON_UP_PROTOCOL);
}

/* false: more is needed, or it is over */
static bool take_head(struct h1_up *h, struct slice *in)
{
    struct http_head *head;
    ssize_t n = h1_parse_more(h->w, &h->parser, &h->partial, *in, &h->asked, &head);
    if (n < 0)
        bad_response(h, (int)n);
    if (n <= 0)
        return false;
    in->p += n;
    in->n -= (size_t)n;
    if (head->status >= 200 || head->status == 101) {
        h->in_body = true;
        h->keep = head->keep_alive;
        h->tunnel = head->body == HTTP_BODY_TUNNEL;
        h->body_done = head->body == HTTP_BODY_NONE;
        h1_body_init(&h->body, head, &h->w->h1_limits);
    } else {
        h1_parser_init(&h->parser, &h->w->h1_limits);
    }
    stream_response(h->s, head, h->in_body && h->body_done);
    h1_partial_drop(h->w, &h->partial);
    return true;
}

static void take_body(struct h1_up *h, struct slice *in)
{
    struct half *half = &h->s->up;
    int r = h1_take_body(half, &h->body, in, &h->trail);
    if (!h->s)
        return;
    if (r < 0) {
        in->n = 0;
        bad_response(h, r);
    } else if (r == 1) {
        struct h1_trail *t = h->trail;
        h->trail = NULL;
        h->body_done = true;
        stream_end(half, t ? t->t.fields : NULL, t ? t->t.n : 0);
        h1_trail_put(h->w->mem, t);
    }
}

static void process(struct h1_up *h, struct slice in)
{
    while (in.n && h->s && !h->u.closed) {
        if (h->tunnel) {
            stream_data(&h->s->up, in);
            in.n = 0;
        } else if (h->in_body && !h->body_done) {
            take_body(h, &in);
        } else if (h->in_body || !take_head(h, &in)) {
            break;
        }
    }
    if (h->u.closed)
        return;
    if (h->in.p)
        gather_flush(h->w->gather); /* it may still be borrowed from */
    if (!in.n)
        inbuf_release(h->w->mem, &h->in);
    else if (!h->s || h->in_body)
        gone(h, REASON_UP_PROTOCOL); /* bytes behind the response: whose would they be? */
    else if (inbuf_keep(h->w->mem, &h->in, in.p, in.n) < 0)
        bad_response(h, H1_E_HEAD_LARGE);
}

static void at_eof(struct h1_up *h)
{
    h->eof = true;
    if (!h->s) {
        upconn_close(&h->u, REASON_OK);
    } else if (h->tunnel) {
        stream_end(&h->s->up, NULL, 0);
    } else if (h->in_body && h1_body_eof(&h->body) == H1_BODY_END) {
        h->body_done = true;
        h->keep = false;
        stream_end(&h->s->up, NULL, 0);
    } else {
        gone(h, REASON_UP_CLOSED);
    }
}

/* 1 went on, 0 stop for now */
static int read_once(struct h1_up *h, size_t *budget)
{
    struct slice at = slice_of(h->w->rbuf, RBUF_SIZE);
    if (!inbuf_empty(&h->in))
        at = inbuf_room(h->w->mem, &h->in);
    else if (!h->in_body)
        at.n = WMEM_BLOCK_MAX; /* what is left of a head must be kept */
    if (!at.n) {
        bad_response(h, H1_E_HEAD_LARGE);
        return 0;
    }
    ssize_t n = conn_read(h->u.conn, (char *)at.p, at.n);
    if (n == CONN_AGAIN)
        return 0;
    if (n <= 0) {
        if (n == 0)
            at_eof(h);
        else
            gone(h, REASON_UP_RESET);
        return 0;
    }
    struct slice in = slice_of(at.p, (size_t)n);
    if (at.p != h->w->rbuf) {
        h->in.end += (uint32_t)n;
        in = inbuf_slice(&h->in);
    }
    process(h, in);
    *budget -= (size_t)n < *budget ? (size_t)n : *budget;
    return *budget > 0;
}

static void flush(struct h1_up *h)
{
    gather_flush(h->w->gather);
    if (h->s)
        stream_flush(&h->s->up);
}

static void read_all(struct h1_up *h)
{
    size_t budget = TURN_BYTES;
    h->busy = true;
    while (!h->u.closed && !h->eof && !h->held && h->s) {
        int more = read_once(h, &budget);
        flush(h);
        if (!more)
            break;
    }
    h->busy = false;
    if (h->done && !h->u.closed) {
        h->done = false;
        if (h->eof)
            upconn_close(&h->u, REASON_OK);
        else
            upconn_idle(&h->u);
    } else if (!budget) {
        wake(h);
    }
}

/* pooled: whatever comes ends it */
static void unasked(struct h1_up *h)
{
    char byte;
    if (conn_read(h->u.conn, &byte, 1) != CONN_AGAIN)
        upconn_close(&h->u, REASON_OK);
}

static void close_when_sent(struct h1_up *h)
{
    if (h->ch.broken || h->ch.shut)
        upconn_close(&h->u, REASON_OK);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct h1_up *h = arg;
    (void)c;
    if (ev & CONN_EV_WRITE) {
        chan_write_more(&h->ch);
        if (h->s)
            stream_writable(&h->s->up);
        if (h->closing && !h->u.closed)
            close_when_sent(h);
    }
    if (h->u.closed || !(ev & CONN_EV_READ) || h->closing)
        return;
    if (h->s)
        read_all(h);
    else
        unasked(h);
    if (h->tunnel && h->eof && h->ch.broken && h->s && !h->u.closed)
        gone(h, REASON_UP_RESET); /* as in tunnel.c */
}

/* ---- the stream's sink ----------------------------------------------------------------------- */

static int put_head(struct half *half, const struct http_head *req, bool end)
{
    struct h1_up *h = half->codec;
    struct h1_emit e = {.body = req->body, .content_length = req->content_length};
    if (end || req->body == HTTP_BODY_NONE)
        e.body = HTTP_BODY_NONE;
    else if (req->body != HTTP_BODY_LENGTH)
        e.body = HTTP_BODY_CHUNKED;
    if (req->method == HTTP_M_CONNECT)
        e.body = HTTP_BODY_NONE;
    e.upgrade = half->s->wants_upgrade;
    if (up_kind_is_mesh(h->u.kind)) {
        e.add = half->s->mesh_fields;
        e.n_add = half->s->n_mesh_fields;
    }
    h->req_chunked = e.body == HTTP_BODY_CHUNKED;
    h->asked = (struct h1_asked){.method = req->method, .upgrade = e.upgrade};
    return h1_put_head(&h->ch, req, &e);
}

static size_t put_data(struct half *half, struct slice p)
{
    struct h1_up *h = half->codec;
    h1_put_data(&h->ch, p, h->req_chunked && !h->tunnel);
    return p.n;
}

static void put_end(struct half *half, const struct http_field *trailers, unsigned n)
{
    struct h1_up *h = half->codec;
    if (h->tunnel) {
        chan_flush(&h->ch);
        chan_shut(&h->ch);
    } else if (h->req_chunked) {
        h1_put_last_chunk(&h->ch, trailers, n);
    }
}

static void flush_half(struct half *half)
{
    chan_flush(&((struct h1_up *)half->codec)->ch);
}

static size_t backlog(const struct half *half)
{
    return chan_backlog(&((const struct h1_up *)half->codec)->ch);
}

static void hold(struct half *half, bool on)
{
    struct h1_up *h = half->codec;
    h->held = !on;
    if (on)
        wake(h);
}

static void end_tunnel(struct h1_up *h)
{
    h->closing = true;
    close_when_sent(h);
}

static void release(struct half *half, enum reason why)
{
    struct h1_up *h = half->codec;
    bool reusable = why == REASON_OK && h->keep && h->body_done && half->ended && !h->tunnel &&
                    !h->ch.broken && !chan_backlog(&h->ch) && h->u.kind == UP_H1;
    h->s = NULL;
    h->held = false;
    h1_trail_put(h->w->mem, h->trail);
    h->trail = NULL;
    if (h->u.closed)
        return;
    if (reusable && h->busy)
        h->done = true;
    else if (reusable)
        upconn_idle(&h->u);
    else if (h->tunnel && why == REASON_OK)
        end_tunnel(h);
    else if (h->tunnel)
        upconn_abort(&h->u, why);
    else
        upconn_close(&h->u, why);
}

static const struct half_ops h1_up_half = {
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

static int open_codec(struct upconn *u)
{
    struct h1_up *h = up_of(u);
    chan_init(&h->ch, u->conn, h->w->gather);
    conn_set_cb(u->conn, on_event, h);
    return 0;
}

static unsigned room(const struct upconn *u)
{
    return ((const struct h1_up *)u)->s ? 0 : 1;
}

static bool idle(const struct upconn *u)
{
    return ((const struct h1_up *)u)->s == NULL;
}

static void attach(struct upconn *u, struct stream *s)
{
    struct h1_up *h = up_of(u);
    h->s = s;
    h->in_body = h->body_done = h->tunnel = h->held = h->keep = h->done = false;
    h1_parser_init(&h->parser, &h->w->h1_limits);
    s->up.ops = &h1_up_half;
    s->up.codec = h;
}

static void close_codec(struct upconn *u, enum reason why)
{
    struct h1_up *h = up_of(u);
    if (h->s)
        stream_gone(&h->s->up, why);
    gather_flush(h->w->gather);
    inbuf_release(h->w->mem, &h->in);
    h1_partial_drop(h->w, &h->partial);
    chan_release(&h->ch);
}

static void free_codec(struct upconn *u)
{
    struct h1_up *h = up_of(u);
    wmem_obj_put(h->w->mem, &h->w->s_h1_up, h);
}

static const struct upconn_ops h1_up_ops = {open_codec, room,        idle,
                                            attach,     close_codec, free_codec};

struct upconn *h1_up_new(struct worker *w)
{
    struct h1_up *h = wmem_obj(w->mem, &w->s_h1_up, sizeof *h);
    if (!h)
        return NULL;
    h->w = w;
    h->u.ops = &h1_up_ops;
    return &h->u;
}
