/* h1_up.c - HTTP/1.1 towards a server; see h1_half.h, upstream.h.
 *
 * One request at a time; between requests the connection lies in its endpoint's pool, readable, so
 * that its end is noticed.  While `busy` the reading loop is on the stack and decides at its end
 * what becomes of the connection (`done`).
 */
#include <stddef.h>
#include "common/base/log.h"
#include "common/proxy/h1_half.h"
#include "common/proxy/upstream.h"

struct h1_up {
    struct h1_half x; /* first */
    struct upconn u;
    struct h1_asked asked;
    bool done;    /* the stream let go while busy: reuse if nothing is left over */
    bool in_body; /* the final head was read */
    bool keep;    /* the server keeps the connection */
};

static const struct half_ops h1_up_half;
static const struct upconn_ops h1_up_ops;

static struct h1_up *up_of(struct upconn *u)
{
    return (struct h1_up *)((char *)u - offsetof(struct h1_up, u));
}

/* ---- reading --------------------------------------------------------------------------------- */

static void gone(struct h1_up *h, enum reason why)
{
    if (h->x.half)
        stream_gone(h->x.half, why);
    upconn_close(&h->u, why);
}

static void bad_response(struct h1_up *h, int fault)
{
    log_debug("h1", "bad response cluster=%s fault=%s", h->u.ep->wc->name, http_fault_name(fault));
    if (h->x.half)
        h->x.half->s->up_fault = (int16_t)fault;
    gone(h, REASON_UP_PROTOCOL);
}

/* false: more is needed, or it is over */
static bool take_head(struct h1_up *h, struct slice *in)
{
    struct h1_half *x = &h->x;
    struct http_head *head;
    ssize_t n = h1_half_take_head(x, *in, &h->asked, &head);
    if (n < 0)
        bad_response(h, (int)n);
    if (n <= 0)
        return false;
    in->p += n;
    in->n -= (size_t)n;
    if (head->status >= 200 || head->status == 101) {
        h->in_body = true;
        h->keep = head->keep_alive;
        x->tunnel = head->body == HTTP_BODY_TUNNEL;
        x->body_done = head->body == HTTP_BODY_NONE;
        h1_body_init(&x->body, head, &x->w->h1_limits);
    } else {
        h1_parser_init(&x->parser, &x->w->h1_limits);
    }
    stream_response(x->half->s, head, h->in_body && x->body_done);
    h1_half_drop_partial(x);
    return true;
}

static void take_body(struct h1_up *h, struct slice *in)
{
    int fault = h1_half_take_body(&h->x, in);
    if (fault < 0) {
        in->n = 0;
        bad_response(h, fault);
    }
}

static void process(struct h1_up *h, struct slice in)
{
    struct h1_half *x = &h->x;
    while (in.n && x->half && !x->closed) {
        if (x->tunnel) {
            stream_data(x->half, in);
            in.n = 0;
        } else if (h->in_body && !x->body_done) {
            take_body(h, &in);
        } else if (h->in_body || !take_head(h, &in)) {
            break;
        }
    }
    if (x->closed)
        return;
    if (in.n && (!x->half || h->in_body))
        gone(h, REASON_UP_PROTOCOL); /* bytes behind the response: whose would they be? */
    else if (h1_half_keep_rest(x, in) < 0)
        bad_response(h, FAULT_HEAD_LARGE);
}

static void at_eof(struct h1_up *h)
{
    struct h1_half *x = &h->x;
    x->eof = true;
    if (!x->half) {
        upconn_close(&h->u, REASON_OK);
    } else if (x->tunnel) {
        stream_end(x->half, NULL, 0);
    } else if (h->in_body && h1_body_eof(&x->body) == H1_BODY_END) {
        x->body_done = true;
        h->keep = false;
        stream_end(x->half, NULL, 0);
    } else {
        gone(h, REASON_UP_CLOSED);
    }
}

/* 1 went on, 0 stop for now */
static int read_once(struct h1_up *h, size_t *budget)
{
    struct slice in;
    /* what is left of a head must be kept */
    ssize_t n = h1_half_read(&h->x, h->in_body ? RBUF_SIZE : WMEM_BLOCK_MAX, &in);
    if (n > 0) {
        process(h, in);
        *budget = h1_half_spend(&h->x, *budget, (size_t)n);
        return *budget > 0;
    }
    if (n == H1_NO_ROOM)
        bad_response(h, FAULT_HEAD_LARGE);
    else if (n == 0)
        at_eof(h);
    else if (n != CONN_AGAIN)
        gone(h, REASON_UP_RESET);
    return 0;
}

/* pooled: whatever comes ends it */
static void unasked(struct h1_up *h)
{
    char byte;
    if (conn_read(h->u.conn, &byte, 1) != CONN_AGAIN)
        upconn_close(&h->u, REASON_OK);
}

/* Done with a request.  When the last read filled its buffer nobody knows yet whether more came:
 * unasked it would be found by the next request, whose answer would raise no event. */
static void pool(struct h1_up *h)
{
    if (conn_may_read(h->u.conn))
        unasked(h);
    if (!h->u.closed)
        upconn_idle(&h->u);
}

static void read_all(struct h1_up *h)
{
    struct h1_half *x = &h->x;
    size_t budget = TURN_BYTES;
    x->busy = true;
    while (!x->closed && !x->eof && !x->held && x->half) {
        int more = read_once(h, &budget);
        h1_half_flush_all(x);
        if (!more)
            break;
    }
    x->busy = false;
    if (h->done && !x->closed) {
        h->done = false;
        if (x->eof)
            upconn_close(&h->u, REASON_OK);
        else
            pool(h);
    } else if (!budget) {
        h1_half_wake(x);
    }
}

static void close_when_sent(struct h1_up *h)
{
    if (h->x.ch.broken || h->x.ch.shut)
        upconn_close(&h->u, REASON_OK);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct h1_up *h = arg;
    struct h1_half *x = &h->x;
    (void)c;
    if (ev & CONN_EV_WRITE) {
        chan_write_more(&x->ch);
        if (x->half)
            stream_writable(x->half);
        if (x->closing && !x->closed)
            close_when_sent(h);
    }
    if (x->closed || !(ev & CONN_EV_READ) || x->closing)
        return;
    if (x->half)
        read_all(h);
    else
        unasked(h);
    if (x->tunnel && x->eof && x->ch.broken && x->half && !x->closed)
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
    h->x.chunked = e.body == HTTP_BODY_CHUNKED;
    h->asked = (struct h1_asked){.method = req->method, .upgrade = e.upgrade};
    return h1_half_head(&h->x, req, &e);
}

static void on_closing(void *arg)
{
    struct h1_up *h = up_of(arg);
    upconn_closing_look(&h->u, &h->x.ch);
}

static void end_tunnel(struct h1_up *h)
{
    h->x.closing = true;
    close_when_sent(h);
    if (!h->u.closed)
        upconn_closing(&h->u, &h->x.ch, on_closing);
}

static void release(struct half *half, enum reason why)
{
    struct h1_up *h = half->codec;
    struct h1_half *x = &h->x;
    /* whether CONNECT made a tunnel is no question to disagree with a server about */
    bool reusable = why == REASON_OK && h->keep && x->body_done && half->ended && !x->tunnel &&
                    h->asked.method != HTTP_M_CONNECT && !x->ch.broken && !chan_backlog(&x->ch) &&
                    h->u.kind == UP_H1;
    h1_half_let_go(x);
    if (x->closed)
        return;
    if (reusable && x->busy)
        h->done = true;
    else if (reusable)
        pool(h);
    else if (x->tunnel && why == REASON_OK)
        end_tunnel(h);
    else if (x->tunnel)
        upconn_abort(&h->u, why);
    else
        upconn_close(&h->u, why);
}

static const struct half_ops h1_up_half = {H1_HALF_OPS, .head = put_head, .release = release};

/* ---- the connection -------------------------------------------------------------------------- */

static int open_codec(struct upconn *u)
{
    struct h1_up *h = up_of(u);
    h1_half_start(&h->x, h->x.w, u->conn);
    conn_set_cb(u->conn, on_event, h);
    return 0;
}

static bool idle(const struct upconn *u)
{
    return ((const struct h1_up *)((const char *)u - offsetof(struct h1_up, u)))->x.half == NULL;
}

static unsigned room(const struct upconn *u)
{
    return idle(u) ? 1 : 0;
}

static void attach(struct upconn *u, struct stream *s)
{
    struct h1_up *h = up_of(u);
    struct h1_half *x = &h->x;
    x->half = &s->up;
    h->in_body = x->body_done = x->tunnel = x->held = h->keep = h->done = false;
    h1_parser_init(&x->parser, &x->w->h1_limits);
    s->up.ops = &h1_up_half;
    s->up.codec = h;
}

static void close_codec(struct upconn *u, enum reason why)
{
    struct h1_up *h = up_of(u);
    h->x.closed = true;
    if (h->x.half)
        stream_gone(h->x.half, why);
    h1_half_close(&h->x);
}

static void free_codec(struct upconn *u)
{
    struct h1_up *h = up_of(u);
    wmem_obj_put(h->x.w->mem, &h->x.w->s_h1_up, h);
}

static const struct upconn_ops h1_up_ops = {open_codec, room,        idle,
                                            attach,     close_codec, free_codec};

struct upconn *h1_up_new(struct worker *w)
{
    struct h1_up *h = wmem_obj(w->mem, &w->s_h1_up, sizeof *h);
    if (!h)
        return NULL;
    h->x.w = w;
    h->u.ops = &h1_up_ops;
    return &h->u;
}
