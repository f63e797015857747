/* stream_relay.c - moving bodies between the halves, with back-pressure; see stream.h. */
#include "common/proxy/stream.h"

static struct half *other(struct half *h)
{
    return h == &h->s->down ? &h->s->up : &h->s->down;
}

static size_t queued(const struct half *sink)
{
    return sink->wait.bytes + (sink->ops ? sink->ops->backlog(sink) : 0);
}

static void touch(struct stream *s)
{
    uint32_t ms = s->wv->view->limits.idle_ms;
    if (ms)
        timer_set(&s->idle, ms);
}

/* ---- back-pressure --------------------------------------------------------------------------- */

static void credit(struct half *src, size_t n)
{
    if (src->ops && src->ops->consumed && n)
        src->ops->consumed(src, n);
}

/* With little memory left nothing more is taken while anything waits. */
static bool full(struct half *src, const struct half *sink)
{
    size_t n = queued(sink);
    return n && (n >= STREAM_HIGH || worker_tight(src->s->w));
}

static bool hold_if_full(struct half *src, const struct half *sink)
{
    if (!full(src, sink))
        return src->held;
    if (!src->held && src->ops && !src->complete) {
        src->held = true;
        src->ops->read(src, false);
    }
    return true;
}

/* What came was passed on, or waits: then it is credited when it no longer does. */
static void settle(struct half *src, const struct half *sink)
{
    size_t n = src->unconsumed;
    if (hold_if_full(src, sink))
        return;
    src->unconsumed = 0;
    credit(src, n);
}

static void resume_if_drained(struct half *src, const struct half *sink)
{
    size_t n = src->unconsumed;
    bool held = src->held;
    if (!(held || n) || queued(sink) > (src->s->w->tight ? 0 : STREAM_LOW))
        return;
    src->held = false;
    src->unconsumed = 0;
    credit(src, n);
    if (held && src->ops)
        src->ops->read(src, true);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void count(struct half *src, size_t n)
{
    struct stream *s = src->s;
    if (src == &s->down)
        s->req_bytes += n;
    else
        s->rsp_bytes += n;
}

/* what the sink takes now; the rest waits.  -1: no memory */
static int give(struct half *sink, struct slice p)
{
    struct stream *s = sink->s;
    if (sink->open && !sink->wait.bytes) {
        size_t n = sink->ops->data(sink, p);
        if (sink == &s->up && n)
            s->sent_body = true;
        p.p += n;
        p.n -= n;
    }
    return p.n ? pageq_append(s->w->mem, &sink->wait, p.p, p.n) : 0;
}

void stream_data(struct half *src, struct slice p)
{
    struct stream *s = src->s;
    struct half *sink = other(src);
    if (s->closed || p.n == 0)
        return;
    count(src, p.n);
    /* the response is complete without the rest of the request, or was made by us */
    if (sink->ended || (s->local && src == &s->up)) {
        credit(src, p.n);
        return;
    }
    if (give(sink, p) < 0) {
        stream_close(s, REASON_NO_MEMORY);
        return;
    }
    src->unconsumed += p.n;
    hold_if_full(src, sink);
    touch(s);
}

void stream_passed(struct half *src, size_t n)
{
    count(src, n);
    touch(src->s);
}

void stream_flush(struct half *src)
{
    struct half *sink = other(src);
    if (src->s->closed)
        return;
    if (sink->ops)
        sink->ops->flush(sink);
    settle(src, sink);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void give_end(struct half *sink)
{
    const struct kept_trailers *t = sink->trailers;
    sink->end_waits = false;
    sink->ended = true;
    sink->ops->end(sink, t ? t->fields : NULL, t ? t->n : 0);
}

void stream_check_end(struct stream *s)
{
    if (s->closed)
        return;
    /* the upstream connection is free for others while a slow client still reads */
    if (s->up.complete && s->up.ended && s->up.ops && !s->tunnel) {
        const struct half_ops *ops = s->up.ops;
        s->up.ops = NULL;
        ops->release(&s->up, REASON_OK);
    }
    bool over = s->tunnel ? s->up.complete && s->up.ended && s->down.complete && s->down.ended
                          : s->up.complete && s->down.ended;
    if (over)
        stream_close(s, s->why);
}

void stream_end(struct half *src, const struct http_field *trailers, unsigned n)
{
    struct stream *s = src->s;
    struct half *sink = other(src);
    if (s->closed || src->complete)
        return;
    src->complete = true;
    if (!sink->ended && n && stream_keep_trailers(s, sink, trailers, n) < 0) {
        stream_close(s, REASON_NO_MEMORY);
        return;
    }
    if (sink->open && !sink->wait.bytes && !sink->ended)
        give_end(sink);
    else if (!sink->ended)
        sink->end_waits = true;
    touch(s);
    stream_check_end(s);
}

/* ---- sinks that open or drain ---------------------------------------------------------------- */

void stream_give_waiting(struct half *sink)
{
    struct stream *s = sink->s;
    while (sink->wait.bytes && sink->open) {
        struct slice p = pageq_first(&sink->wait);
        size_t n = sink->ops->data(sink, p);
        if (n == 0)
            break;
        if (sink == &s->up)
            s->sent_body = true;
        if (n == sink->wait.bytes && sink->end_waits && !sink->ended)
            give_end(sink); /* together with the last bytes */
        /* the sink may only borrow the page until it is flushed */
        sink->ops->flush(sink);
        pageq_consume(s->w->mem, &sink->wait, n);
        if (n < p.n)
            break;
    }
    if (sink->open && sink->end_waits && !sink->wait.bytes && !sink->ended)
        give_end(sink);
}

void stream_drop_waiting(struct half *sink)
{
    pageq_clear(sink->s->w->mem, &sink->wait);
    resume_if_drained(other(sink), sink);
}

void stream_writable(struct half *sink)
{
    struct stream *s = sink->s;
    if (s->closed)
        return;
    touch(s);
    stream_give_waiting(sink);
    resume_if_drained(other(sink), sink);
    stream_check_end(s);
}
