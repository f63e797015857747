/* h2_down.c - the client's side in HTTP/2: one session, many streams; see stream.h, h2_half.h. */
#include "common/base/log.h"
#include "common/proxy/closing.h"
#include "common/proxy/down.h"
#include "common/proxy/h2_half.h"

struct h2_down {
    struct h2_io io; /* first */
    struct down *d;
    struct closing end; /* while the client does not take what waits */
    unsigned live;      /* streams that the engine still works on; the session may have others */
};

static struct h2_down *of(const struct h2s *hs)
{
    return h2_user(hs->conn);
}

/* ---- the stream's sink and source ------------------------------------------------------------ */

static int sink_head(struct half *h, const struct http_head *head, bool end)
{
    struct h2s *hs = h->codec;
    const struct h2_emit e = {.end = end};

    h2_io_wake(&of(hs)->io);
    return h2_response(hs, head, &e);
}

static void release(struct half *h, enum reason why)
{
    struct h2s *hs = h->codec;

    hs->user = NULL;
    of(hs)->live--;
    h2_io_wake(&of(hs)->io);
    /* RFC 9113 8.1: answered without the rest of the request */
    if (why != REASON_OK || !h->complete)
        h2_reset(hs, h2_code_of(why));
}

static const struct half_ops half_ops = {H2_HALF_OPS, .head = sink_head, .release = release};

/* ---- what the session says ------------------------------------------------------------------- */

static void on_head(struct h2s *hs, struct h2_head *hh, bool end)
{
    struct h2_down *h = of(hs);
    struct stream *s = h->io.ended ? NULL : stream_new(h->io.w, h->d, &half_ops, hs);

    if (!s) {
        h2_head_free(hh);
        h2_reset(hs, H2_REFUSED_STREAM);
        return;
    }
    h->live++;
    hs->user = &s->down;
    stream_request_h2(s, hh, end); /* leaves with what follows it in this read */
}

static void on_close(struct h2s *hs, enum h2_end how, uint32_t code)
{
    struct h2_down *h = of(hs);
    struct half *half = hs->user;

    (void)code;
    hs->user = NULL;
    h2_io_wake(&h->io); /* it may have been the last */
    if (!half)
        return;
    h->live--;
    /* released by the session's end, not by the stream: nothing to be told any more */
    half->ops = NULL;
    stream_gone(half, hs->fault                   ? reason_of_fault(hs->fault)
                      : how == H2_END_CONN        ? h->io.why
                      : how == H2_END_PEER_RESET  ? REASON_DOWN_RESET
                      : how == H2_END_LOCAL_RESET ? REASON_DOWN_PROTOCOL
                                                  : REASON_DOWN_CLOSED);
}

static void on_refused(struct h2c *c, int32_t id, enum http_fault fault, struct http_head *head)
{
    struct h2_down *h = h2_user(c);
    enum reason why = reason_of_fault(fault);

    log_debug("h2", "refused stream=%d reason=%s", (int)id, reason_text(why));
    h->io.w->stat[WSTAT_H2_REFUSED]++;
    if (!head) /* a stream's: its end tells */
        return;
    if (!head->path.p) {
        struct slice rest = head->target;
        head->path = slice_cut(&rest, '?');
    }
    stream_refused_h2(h->io.w, h->d, head, fault == FAULT_HEAD_LARGE ? 431 : 0, why);
}

static const struct h2_callbacks callbacks = {
    .head = on_head, H2_HALF_CALLBACKS, .close = on_close, .refused = on_refused};

/* ---- the connection -------------------------------------------------------------------------- */

static const struct view_limits *limits(const struct h2_down *h)
{
    return &worker_view(h->io.w)->limits;
}

static void io_lost(struct h2_io *io, enum reason why)
{
    down_close(((struct h2_down *)io)->d, why);
}

static void io_over(struct h2_io *io, enum reason why)
{
    down_leave(((struct h2_down *)io)->d, why);
}

/* a head was begun and does not end; it keeps everything else on the connection waiting */
static void on_head_late(void *arg)
{
    struct h2_down *h = arg;

    worker_count(h->io.w, REASON_HEAD_TIMEOUT);
    h2_terminate(h->io.h2, H2_ENHANCE_YOUR_CALM);
    down_leave(h->d, REASON_HEAD_TIMEOUT);
}

/* A head was begun, and has a time: left_ms of it are left.  It runs from the head's first byte
 * whatever else the timer waits for meanwhile. */
static bool head_has_time(const struct h2_down *h, uint64_t *left_ms)
{
    uint64_t most = limit_first_ms(limits(h)), since, passed;

    if (!h2_mid_head(h->io.h2, &since) || !most)
        return false;
    passed = loop_now_ms(h->io.w->loop) - since;
    *left_ms = passed < most ? most - passed : 0;
    return true;
}

static void look_at_head_in_time(struct h2_down *h)
{
    struct timer *t = &h->d->timer;
    uint64_t left;

    if (head_has_time(h, &left) && loop_now_ms(t->loop) + left < t->due_ms)
        timer_set(t, left);
}

/* What was sent is not taken, by us or by the kernel: as long as some of it is, the client has
 * time. Whatever streams there are: none of them can get any further. */
static void on_stuck(void *arg)
{
    struct h2_down *h = arg;
    struct conn *c = h->io.conn;
    uint64_t left;

    if (head_has_time(h, &left) && left == 0) {
        on_head_late(h);
    } else if (c->can_write) {
        return; /* a turn follows */
    } else if (closing_goes_on(&h->end, c, &h->d->timer, limits(h))) {
        look_at_head_in_time(h);
    } else {
        worker_count(h->io.w, REASON_TOO_SLOW);
        down_abort(h->d, REASON_TOO_SLOW);
    }
}

static void wait_until_taken(struct h2_down *h)
{
    struct timer *t = &h->d->timer;

    if (!timer_is_set(t) || t->fn != on_stuck) {
        t->fn = on_stuck;
        t->arg = h;
        closing_begin(&h->end, h->io.conn, t, limits(h));
    }
    look_at_head_in_time(h);
}

static void wait_for_head(struct h2_down *h)
{
    struct timer *t = &h->d->timer;
    uint64_t left;

    timer_cancel(t);
    t->fn = on_head_late;
    t->arg = h;
    if (head_has_time(h, &left))
        timer_set(t, left);
}

/* told that it is to end, it has a moment to answer (h2_drain) */
static void on_idle(void *arg)
{
    struct h2_down *h = arg;

    if (h2_draining(h->io.h2)) {
        down_leave(h->d, REASON_IDLE);
    } else {
        h2_drain(h->io.h2);
        h2_io_wake(&h->io);
    }
}

/* ms: 0 = for ever.  It is the time since the last answer was taken: one that waits for a slow
 * client begins it anew. */
static void wait_idle(struct h2_down *h, uint32_t ms)
{
    struct timer *t = &h->d->timer;

    if (timer_is_set(t) && t->fn == on_idle)
        return;
    timer_cancel(t);
    t->fn = on_idle;
    t->arg = h;
    if (ms)
        timer_set(t, ms);
}

/* A connection without streams is let go after the idle time, politely.  So is one with streams
 * that are over but for their end, which the client gives no window to. */
static void io_turn(struct h2_io *io)
{
    struct h2_down *h = (struct h2_down *)io;
    const struct view_limits *lim = limits(h);
    bool soon = h2_draining(io->h2) && h2_streams(io->h2) == 0;
    uint64_t since;

    if (!io->conn->can_write)
        wait_until_taken(h);
    else if (h2_mid_head(io->h2, &since))
        wait_for_head(h);
    else if (h->live == 0)
        wait_idle(h, soon ? DRAIN_IDLE_MS : lim->idle_ms);
    else
        timer_cancel(&h->d->timer);
}

static void io_freed(struct h2_io *io)
{
    wmem_obj_put(io->w->mem, &io->w->s_h2_down, io);
}

static const struct h2_io_ops io_ops = {
    .lost = io_lost, .over = io_over, .turn = io_turn, .freed = io_freed};

static void down_drain(void *codec)
{
    struct h2_down *h = codec;

    if (h->io.ended)
        return;
    h2_drain(h->io.h2);
    if (h->d->timer.fn == on_idle)
        timer_cancel(&h->d->timer); /* it has less time now */
    h2_io_wake(&h->io);
}

static bool codec_close(void *codec, enum reason why)
{
    struct h2_down *h = codec;

    timer_cancel(&h->d->timer);
    h2_io_end(&h->io, why);
    return false; /* each stream says its own end */
}

/* the session decides when (io_freed) */
static void codec_free(void *codec)
{
    (void)codec;
}

static const struct down_ops down_ops = {
    .drain = down_drain, .close = codec_close, .free = codec_free};

int h2_down_start(struct down *d)
{
    struct worker *w = d->w;
    struct h2_down *h = wmem_obj(w->mem, &w->s_h2_down, sizeof *h);

    if (!h)
        return -1;
    h->d = d;
    h->live = 0;
    if (h2_io_start(&h->io, w, d->conn, H2_SERVER, d->mesh, &callbacks, &io_ops) < 0) {
        wmem_obj_put(w->mem, &w->s_h2_down, h);
        return -1;
    }
    d->ops = &down_ops;
    d->codec = h;
    timer_cancel(&d->timer);
    /* one that was in its handshake when the others were told */
    if (w->draining)
        down_drain(h);
    return 0;
}
