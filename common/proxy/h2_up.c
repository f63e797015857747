/* h2_up.c - the server's side in HTTP/2: one session that many streams share; see stream.h,
 * upstream.h, h2_half.h.
 *
 * A request that got no answer in time says nothing of the connection: its server may only be slow.
 * But the connection may hang as well (a host that vanished, a process that stands still), and
 * would take each new request down with it until the kernel gives up.  So it is asked (PING), takes
 * no streams until it has answered, and is used no more if that takes too long; what is under way
 * on it has its own time.
 */
#include <stddef.h>
#include "common/base/log.h"
#include "common/proxy/h2_half.h"
#include "common/proxy/upstream.h"

#define PONG_MS 5000 /* a server that lives has answered a PING by then, over any network */

struct h2_up {
    struct upconn u; /* first */
    struct h2_io io;
    bool greeting;   /* plaintext: does the server speak HTTP/2 at all?  Its SETTINGS will tell */
    bool doubted;    /* a PING is out */
    uint32_t resets; /* of streams, by us */
    unsigned live;   /* streams that the engine still works on; the session may have others */
    bool freed;      /* the connection's owner let go; the session goes when it can */
};

static struct h2_up *of_io(struct h2_io *io)
{
    return (struct h2_up *)((char *)io - offsetof(struct h2_up, io));
}

static struct h2_up *of(const struct h2s *hs)
{
    return of_io(h2_user(hs->conn));
}

/* ---- the stream's sink and source, once the request has a head ------------------------------- */

static int no_second_head(struct half *h, const struct http_head *head, bool end)
{
    (void)h;
    (void)head;
    (void)end;
    return -1;
}

static void on_no_pong(void *arg)
{
    struct h2_up *up = arg;
    char addr[IP_TEXT_MAX];

    log_info("h2", "connection does not answer: no new requests for it cluster=%s addr=%s",
             up->u.ep->wc->name, ip_port_format(&up->u.ep->addr, addr));
    upconn_unlist(&up->u);
}

/* a request timed out */
static void doubt(struct h2_up *up)
{
    if (up->doubted || !up->u.in_shared)
        return;
    up->doubted = true;
    h2_ping(up->io.h2);
    timer_cancel(&up->u.timer);
    up->u.timer.fn = on_no_pong;
    timer_set(&up->u.timer, PONG_MS);
}

static void on_pong(struct h2c *c)
{
    struct h2_up *up = of_io(h2_user(c));

    up->doubted = false;
    timer_cancel(&up->u.timer);
}

/* Servers end a connection on which too many streams are reset, with all that it carries
 * (CVE-2023-44487), and our clients share it: whoever gives up requests of his own must not end
 * those of others.  So it is left at that many, and no more streams are on it than would make it
 * twice as many if all of them were given up at once.  The mesh's own proxies count no resets of
 * each other.  0: there is no bound. */
static uint32_t resets_most(const struct h2_up *up)
{
    const struct view *v = worker_view(up->io.w);

    return v && !up_kind_is_mesh(up->u.kind) ? v->limits.h2_up_resets : 0;
}

static void reset(struct h2s *hs, enum h2_code code)
{
    struct h2_up *up = of(hs);
    uint32_t most = resets_most(up);

    h2_reset(hs, code);
    if (++up->resets >= most && most)
        upconn_unlist(&up->u);
}

static void release(struct half *h, enum reason why)
{
    struct h2s *hs = h->codec;

    hs->user = NULL;
    of(hs)->live--;
    if (why == REASON_UP_TIMEOUT || why == REASON_REQUEST_TIMEOUT)
        doubt(of(hs));
    h2_io_wake(&of(hs)->io);
    /* given up, or answered before the request was whole; or its end waits for a window, which a
     * server that has answered need not give */
    if (why != REASON_OK || !h->complete || !h2_end_left(hs))
        reset(hs, H2_CANCEL);
}

static const struct half_ops half_ops = {H2_HALF_OPS, .head = no_second_head, .release = release};

/* ---- before that: the half is attached to the connection ------------------------------------- */

static int first_head(struct half *h, const struct http_head *head, bool end)
{
    struct h2_up *up = h->codec;
    bool mesh = up_kind_is_mesh(up->u.kind);
    const struct h2_emit e = {.end = end,
                              .add = mesh ? h->s->mesh_fields : NULL,
                              .n_add = mesh ? h->s->n_mesh_fields : 0};
    struct h2s *hs = up->io.ended ? NULL : h2_request(up->io.h2, head, &e, h);

    if (!hs)
        return -1;
    h->ops = &half_ops;
    h->codec = hs;
    up->live++;
    timer_cancel(&up->u.timer);
    h2_io_wake(&up->io);
    return 0;
}

static size_t nothing_taken(struct half *h, struct slice p)
{
    (void)h;
    (void)p;
    return 0;
}

static void no_end(struct half *h, const struct http_field *trailers, unsigned n)
{
    (void)h;
    (void)trailers;
    (void)n;
}

static void nothing_to_flush(struct half *h)
{
    (void)h;
}

static void release_unused(struct half *h, enum reason why)
{
    (void)h;
    (void)why;
}

static const struct half_ops attached_ops = {.name = "h2",
                                             .head = first_head,
                                             .data = nothing_taken,
                                             .end = no_end,
                                             .flush = nothing_to_flush,
                                             .backlog = h2_half_backlog,
                                             .read = h2_half_read,
                                             .release = release_unused};

/* ---- what the session says ------------------------------------------------------------------- */

static void on_head(struct h2s *hs, struct h2_head *hh, bool end)
{
    struct half *half = hs->user;

    if (half) {
        if (end)
            half->complete = true;
        stream_response(half->s, &hh->h, end); /* leaves with what follows it in this read */
    }
    h2_head_free(hh);
}

static enum reason reason_of(const struct h2_up *up, enum h2_end how, int fault)
{
    if (fault == FAULT_INFORMATIONAL)
        return REASON_UP_INFORMATIONAL;
    switch (how) {
    case H2_END_CONN:
        return up->io.why;
    case H2_END_LOCAL_RESET:
        return REASON_UP_PROTOCOL;
    case H2_END_PEER_RESET:
        return REASON_UP_RESET;
    case H2_END_UNPROCESSED:
        return REASON_UP_UNPROCESSED;
    default:
        return REASON_UP_CLOSED;
    }
}

static void on_close(struct h2s *hs, enum h2_end how, uint32_t code)
{
    struct h2_up *up = of(hs);
    struct half *half = hs->user;

    (void)code;
    hs->user = NULL;
    h2_io_wake(&up->io); /* it may have been the last */
    if (!half)
        return;
    up->live--;
    half->ops = NULL; /* nothing to be released any more */
    if (half->complete) {
        /* RFC 9113 8.1: the whole response came, the rest of the request is not wanted */
        half->ended = true;
        stream_check_end(half->s);
    } else {
        half->s->up_fault = (int16_t)hs->fault;
        /* a stream that was reset says nothing of the connection */
        half->s->reused &= how == H2_END_CONN;
        stream_gone(half, reason_of(up, how, hs->fault));
    }
}

/* No new streams; closes with the last one, at the end of the turn.  One that says so before it
 * took any is a failed attempt. */
static void on_goaway(struct h2c *c, uint32_t code)
{
    struct h2_up *up = of_io(h2_user(c));

    (void)code;
    if (up->greeting && !up->io.ended)
        upconn_close(&up->u, REASON_UP_CLOSED);
    else
        upconn_unlist(&up->u);
}

static void on_settings(struct h2c *c)
{
    struct h2_up *up = of_io(h2_user(c));

    /* RFC 9113 6.5.2: no stream is taken for now; it may be told otherwise while the time to
     * connect lasts */
    if (!up->greeting || up->io.ended || h2_room(c) == 0)
        return;
    up->greeting = false;
    upconn_ready(&up->u);
}

static const struct h2_callbacks callbacks = {.head = on_head,
                                              H2_HALF_CALLBACKS,
                                              .close = on_close,
                                              .goaway = on_goaway,
                                              .settings = on_settings,
                                              .pong = on_pong};

/* ---- the connection -------------------------------------------------------------------------- */

/* what a lost connection means for the streams on it, seen from this side */
static enum reason as_upstream(enum reason why)
{
    return why == REASON_DOWN_PROTOCOL ? REASON_UP_PROTOCOL
           : why == REASON_DOWN_RESET  ? REASON_UP_RESET
           : why == REASON_OK          ? REASON_UP_CLOSED
           : why == REASON_DOWN_CLOSED ? REASON_UP_CLOSED
                                       : why;
}

static void io_lost(struct h2_io *io, enum reason why)
{
    struct h2_up *up = of_io(io);

    if (up->greeting)
        upconn_no_http2(&up->u, why == REASON_DOWN_PROTOCOL);
    else
        upconn_close(&up->u, as_upstream(why));
}

static void on_idle_time(void *arg)
{
    upconn_unlist(arg);
}

/* The session may have streams still that nobody wants: a server that does not read cannot be told
 * of their ends. */
static void io_turn(struct h2_io *io)
{
    struct h2_up *up = of_io(io);
    const struct view *v = worker_view(io->w);

    if (up->live > 0 || up->greeting)
        return;
    if (!up->u.in_shared) {
        upconn_close(&up->u, REASON_OK);
    } else if (v && v->limits.idle_ms && !timer_is_set(&up->u.timer)) {
        up->u.timer.fn = on_idle_time;
        timer_set(&up->u.timer, v->limits.idle_ms);
    }
}

/* the session went after the connection's owner had let go */
static void io_freed(struct h2_io *io)
{
    struct h2_up *up = of_io(io);

    if (up->freed)
        wmem_obj_put(io->w->mem, &io->w->s_h2_up, up);
}

static const struct h2_io_ops io_ops = {
    .lost = io_lost, .over = io_lost, .turn = io_turn, .freed = io_freed};

static int up_open(struct upconn *u)
{
    struct h2_up *up = (struct h2_up *)u;

    up->greeting = u->kind == UP_H2;
    return h2_io_start(&up->io, u->ep->w, u->conn, H2_CLIENT, true, &callbacks, &io_ops) < 0 ? -1
           : up->greeting                                                                    ? 1
                                                                                             : 0;
}

static unsigned up_room(const struct upconn *u)
{
    const struct h2_up *up = (const struct h2_up *)u;

    if (up->io.ended || up->doubted)
        return 0;
    unsigned room = h2_room(up->io.h2);
    uint64_t most = 2 * (uint64_t)resets_most(up), used = up->resets + h2_streams(up->io.h2);
    if (most == 0 || used + room <= most)
        return room;
    return used < most ? (unsigned)(most - used) : 0;
}

static bool up_idle(const struct upconn *u)
{
    const struct h2_up *up = (const struct h2_up *)u;

    return up->io.ended || up->live == 0;
}

static void up_attach(struct upconn *u, struct stream *s)
{
    s->up.ops = &attached_ops;
    s->up.codec = u;
}

static void up_close(struct upconn *u, enum reason why)
{
    h2_io_end(&((struct h2_up *)u)->io, why);
}

static void up_free(struct upconn *u)
{
    struct h2_up *up = (struct h2_up *)u;

    if (up->io.h2)
        up->freed = true;
    else
        wmem_obj_put(up->io.w->mem, &up->io.w->s_h2_up, up);
}

static const struct upconn_ops up_ops = {.open = up_open,
                                         .room = up_room,
                                         .idle = up_idle,
                                         .attach = up_attach,
                                         .close = up_close,
                                         .free = up_free};

struct upconn *h2_up_new(struct worker *w)
{
    struct h2_up *up = wmem_obj(w->mem, &w->s_h2_up, sizeof *up);

    if (!up)
        return NULL;
    up->u.ops = &up_ops;
    up->io.w = w;
    return &up->u;
}
