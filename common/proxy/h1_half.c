/* h1_half.c - see h1_half.h */
#include "common/proxy/h1_half.h"
#include <stdalign.h>
#include <string.h>
#include "common/io/conn.h"

struct h1_trail {
    struct h1_trailers t;
    uint32_t cap;
};

void h1_half_start(struct h1_half *h, struct worker *w, struct conn *c)
{
    h->w = w;
    h->conn = c;
    chan_init(&h->ch, c, w->gather);
}

static void drop_trail(struct h1_half *h)
{
    if (h->trail)
        wmem_block_put(h->w->mem, h->trail, h->trail->cap);
    h->trail = NULL;
}

void h1_half_close(struct h1_half *h)
{
    h->closed = true;
    gather_flush(h->w->gather);
    inbuf_release(h->w->mem, &h->in);
    h1_half_drop_partial(h);
    chan_release(&h->ch);
}

void h1_half_wake(struct h1_half *h)
{
    if (!h->busy && !h->closed)
        conn_wake(h->conn, CONN_EV_READ);
}

/* ---- as a sink and a source ------------------------------------------------------------------ */

int h1_half_head(struct h1_half *h, const struct http_head *head, const struct h1_emit *e)
{
    size_t bound = h1_head_bound(head, e);
    if (bound > GATHER_TEXT)
        return -1;
    char *text = chan_text(&h->ch, bound);
    ssize_t n = h1_write_head(text, bound, head, e);
    if (n < 0)
        return -1;
    chan_text_put(&h->ch, text, (size_t)n);
    return 0;
}

size_t h1_half_data(struct half *half, struct slice p)
{
    struct h1_half *h = half->codec;
    if (h->chunked) {
        char *text = chan_text(&h->ch, H1_CHUNK_HEAD_MAX);
        chan_text_put(&h->ch, text, h1_write_chunk_head(text, p.n));
    }
    chan_put(&h->ch, p.p, p.n);
    if (h->chunked)
        chan_put(&h->ch, "\r\n", 2);
    return p.n;
}

static void put_last_chunk(struct chan *ch, const struct http_field *trailers, unsigned n)
{
    size_t bound = 16;
    for (unsigned i = 0; i < n; i++)
        bound += trailers[i].name.n + trailers[i].value.n + 4;
    if (n == 0 || bound > GATHER_TEXT) {
        chan_put(ch, H1_LAST_CHUNK, sizeof H1_LAST_CHUNK - 1);
        return;
    }
    char *text = chan_text(ch, bound);
    ssize_t len = h1_write_trailers(text, bound, trailers, n);
    if (len > 0)
        chan_text_put(ch, text, (size_t)len);
    else
        chan_put(ch, H1_LAST_CHUNK, sizeof H1_LAST_CHUNK - 1);
}

void h1_half_end(struct half *half, const struct http_field *trailers, unsigned n)
{
    struct h1_half *h = half->codec;
    if (h->tunnel) {
        chan_flush(&h->ch);
        chan_shut(&h->ch);
    } else if (h->chunked) {
        put_last_chunk(&h->ch, trailers, n);
    }
}

void h1_half_flush(struct half *half)
{
    chan_flush(&((struct h1_half *)half->codec)->ch);
}

size_t h1_half_backlog(const struct half *half)
{
    return chan_backlog(&((const struct h1_half *)half->codec)->ch);
}

void h1_half_hold(struct half *half, bool on)
{
    struct h1_half *h = half->codec;
    h->held = !on;
    if (on)
        h1_half_wake(h);
}

void h1_half_let_go(struct h1_half *h)
{
    h->half = NULL;
    h->held = false;
    drop_trail(h);
}

/* ---- reading --------------------------------------------------------------------------------- */

ssize_t h1_half_read(struct h1_half *h, size_t fresh, struct slice *in)
{
    bool begun = !inbuf_empty(&h->in);
    struct slice at = begun ? inbuf_room(h->w->mem, &h->in) : slice_of(worker_rbuf(h->w), fresh);
    if (!at.n)
        return H1_NO_ROOM;
    ssize_t n = conn_read(h->conn, (char *)at.p, at.n);
    if (n <= 0)
        return n;
    if (begun)
        h->in.end += (uint32_t)n;
    *in = begun ? inbuf_slice(&h->in) : slice_of(at.p, (size_t)n);
    return n;
}

static struct h1_partial *partial_new(struct worker *w, const struct http_head *h)
{
    uint32_t cap;
    struct h1_partial *p = wmem_block(w->mem, sizeof *p, &cap);
    if (!p)
        return NULL;
    p->cap = cap;
    p->head = *h;
    p->head.fields = p->fields;
    memcpy(p->fields, h->fields, h->n_fields * sizeof *h->fields);
    return p;
}

void h1_half_drop_partial(struct h1_half *h)
{
    if (h->partial)
        wmem_block_put(h->w->mem, h->partial, h->partial->cap);
    h->partial = NULL;
}

ssize_t h1_half_take_head(struct h1_half *h, struct slice in, const struct h1_asked *asked,
                          struct http_head **head)
{
    struct worker *w = h->w;
    if (h->partial) {
        *head = &h->partial->head;
    } else {
        w->head = (struct http_head){.fields = w->fields};
        *head = &w->head;
    }
    ssize_t n = asked ? h1_parse_response(&h->parser, in.p, in.n, asked, *head)
                      : h1_parse_request(&h->parser, in.p, in.n, *head);
    if (n == 0 && !h->partial && !(h->partial = partial_new(w, *head)))
        return FAULT_HEAD_LARGE;
    return n;
}

static struct h1_trail *trail_new(struct wmem *m, const struct h1_limits *lim)
{
    size_t fields = lim->trailers * sizeof(struct http_field);
    uint32_t cap;
    struct h1_trail *t = wmem_block(m, sizeof *t + fields + lim->trailer_bytes, &cap);
    if (!t)
        return NULL;
    _Static_assert(alignof(struct http_field) <= alignof(struct h1_trail), "fields follow");
    t->cap = cap;
    t->t = (struct h1_trailers){.fields = (struct http_field *)(t + 1),
                                .max = lim->trailers,
                                .mem = (char *)(t + 1) + fields,
                                .size = lim->trailer_bytes};
    return t;
}

static void complete(struct h1_half *h)
{
    struct h1_trail *t = h->trail;
    h->body_done = true;
    h->trail = NULL; /* the stream may end, and another begin, before this returns */
    stream_end(h->half, t ? t->t.fields : NULL, t ? t->t.n : 0);
    if (t)
        wmem_block_put(h->w->mem, t, t->cap);
}

int h1_half_take_body(struct h1_half *h, struct slice *in)
{
    struct slice data;
    while (h->half) {
        int ev = h1_body_next(&h->body, in, &data);
        if (ev == H1_BODY_DATA) {
            h->pieces++;
            stream_data(h->half, data);
        } else if (ev == H1_BODY_WANT_MEM) {
            if (!h->trail && !(h->trail = trail_new(h->w->mem, h->body.lim)))
                return FAULT_TRAILERS_LARGE;
            h1_body_trailers(&h->body, &h->trail->t);
        } else {
            if (ev == H1_BODY_END)
                complete(h);
            return ev < 0 ? ev : 0;
        }
    }
    return 0;
}

size_t h1_half_spend(struct h1_half *h, size_t budget, size_t n)
{
    size_t cost = n + (size_t)TURN_PIECE * h->pieces;
    h->pieces = 0;
    return cost < budget ? budget - cost : 0;
}

int h1_half_keep_rest(struct h1_half *h, struct slice in)
{
    if (h->in.p)
        h1_half_flush_all(h); /* it may still be borrowed from */
    if (in.n)
        return inbuf_keep(h->w->mem, &h->in, in.p, in.n);
    inbuf_release(h->w->mem, &h->in);
    return 0;
}

void h1_half_flush_all(struct h1_half *h)
{
    gather_flush(h->w->gather);
    if (h->half)
        stream_flush(h->half);
}
