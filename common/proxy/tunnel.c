/* tunnel.c - bytes: the codec of connections that are carried as they are, on either side.
 *
 * An end of stream is passed on when everything before it has left; the other direction goes on.
 * A reset on one side becomes a reset on the other.
 *
 * A guess (a silent client on an undeclared port): the connection's events still belong to its
 * detection and nothing is read here, until the upstream speaks or the client's bytes turn out to
 * be opaque; if they are HTTP the guess is dropped.
 */
#include <fcntl.h>
#include <stddef.h>
#include <unistd.h>
#include "common/proxy/down.h"
#include "common/proxy/chan.h"
#include "common/proxy/closing.h"
#include "common/proxy/upstream.h"

/* one side */
struct tun {
    struct worker *w;
    struct chan ch;
    struct stream *s;
    struct half *half;
    bool held;
    bool eof;
    bool closing; /* the stream is over; what waits is still sent */
    bool bulk;    /* much came at the last turn */
};

struct tunnel_down {
    struct tun t; /* first */
    struct down *d;
    struct loop_job job;
    bool guess;
    bool cancelled;
};

struct tunnel_up {
    struct upconn u; /* first */
    struct tun t;
};

/* ---- either side ----------------------------------------------------------------------------- */

/* what a failed read of that side means */
static enum reason reset_of(const struct tun *t)
{
    return t->half == &t->s->down ? REASON_DOWN_RESET : REASON_UP_RESET;
}

/* The peer's end was read and it takes nothing any more: what the other side still sends would
 * go nowhere.  A client that reset while its bytes had to wait gave them up with the rest; what a
 * server said before it left is still passed on. */
static void look_for_break(struct tun *t)
{
    bool given_up = t->s && t->held && t->half == &t->s->down && conn_gone(t->ch.c);
    if (t->s && ((t->eof && t->ch.broken) || given_up))
        stream_gone(t->half, reset_of(t));
}

static void flush_half(struct half *half);

static struct tun *tun_of(const struct half *h)
{
    return h->codec;
}

static bool is_tun(const struct half *h)
{
    return h->ops && h->ops->flush == flush_half;
}

static void pass_on(struct tun *t, const char *p, size_t n)
{
    stream_data(t->half, slice_of(p, n));
    gather_flush(t->w->gather);
    if (t->s)
        stream_flush(t->half);
}

/* as conn_read; what came is passed on */
static ssize_t copy_some(struct tun *t)
{
    char *buf = worker_rbuf(t->w);
    ssize_t n = conn_read(t->ch.c, buf, RBUF_SIZE);
    if (n > 0)
        pass_on(t, buf, (size_t)n);
    return n;
}

/* ---- bulk: inside the kernel ------------------------------------------------------------------
 * Bytes that come in plenty between two plaintext connections go through a pipe of the worker's,
 * from socket to socket.  The pipe is empty between two calls: what the other side does not take is
 * read out of it and waits as everything else. */

#define BULK_BYTES (16 * 1024) /* in one turn: below, a copy is cheaper than two more calls */
#define PIPE_BYTES (256 * 1024)

static bool pipe_ready(struct worker *w)
{
    if (w->pipe[0] >= 0)
        return true;
    if (pipe2(w->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
        return false;
    fcntl(w->pipe[1], F_SETPIPE_SZ, PIPE_BYTES); /* refused: it stays smaller */
    return true;
}

/* where t's bytes may go past us; NULL: nowhere now */
static struct tun *splice_to(struct tun *t)
{
    struct stream *s = t->s;
    struct half *sink = t->half == &s->down ? &s->up : &s->down;
    struct tun *to = is_tun(sink) ? tun_of(sink) : NULL;
    if (!t->bulk || t->ch.c->urgent || !to || !sink->open || sink->wait.bytes || sink->ended ||
        to->ch.broken || chan_backlog(&to->ch) || t->ch.c->xport != &conn_plain ||
        to->ch.c->xport != &conn_plain)
        return NULL;
    return pipe_ready(t->w) ? to : NULL;
}

/* What is left in the pipe.  A pipe gives all it has; what it did not give is missing in this
 * tunnel, and it ends. */
static void empty_pipe(struct tun *t, size_t n)
{
    while (n && t->s) {
        char *buf = worker_rbuf(t->w);
        ssize_t got = read(t->w->pipe[0], buf, n < RBUF_SIZE ? n : RBUF_SIZE);
        if (got <= 0) {
            stream_gone(t->half, reset_of(t));
            break;
        }
        pass_on(t, buf, (size_t)got);
        n -= (size_t)got;
    }
    if (n) { /* the stream ended: what it had is of no use to the next */
        close(t->w->pipe[0]);
        close(t->w->pipe[1]);
        t->w->pipe[0] = t->w->pipe[1] = -1;
    }
}

/* as copy_some */
static ssize_t splice_some(struct tun *t, struct tun *to)
{
    ssize_t n = conn_splice_read(t->ch.c, t->w->pipe[1], PIPE_BYTES), put;
    size_t left = n > 0 ? (size_t)n : 0;
    gather_flush(t->w->gather); /* nothing may be overtaken */
    while (left && (put = conn_splice_write(to->ch.c, t->w->pipe[0], left)) > 0) {
        left -= (size_t)put;
        t->w->stat[WSTAT_SPLICED] += (uint64_t)put;
        stream_passed(t->half, (size_t)put);
    }
    empty_pipe(t, left);
    return n;
}

static void tun_read(struct tun *t)
{
    size_t moved = 0;
    while (t->s && !t->held && !t->eof) {
        struct tun *to = splice_to(t);
        ssize_t n = to ? splice_some(t, to) : copy_some(t);
        if (n == CONN_AGAIN)
            break;
        if (n < 0) {
            stream_gone(t->half, reset_of(t));
            return;
        }
        if (n == 0) {
            t->eof = true;
            stream_end(t->half, NULL, 0);
            return;
        }
        moved += (size_t)n;
        t->bulk |= moved >= BULK_BYTES;
        if (moved >= TURN_BYTES) {
            conn_wake(t->ch.c, CONN_EV_READ);
            break;
        }
    }
    t->bulk = moved >= BULK_BYTES;
}

static void tun_write(struct tun *t)
{
    chan_write_more(&t->ch);
    if (t->s)
        stream_writable(t->half);
}

/* nothing more will be sent */
static bool tun_sent(const struct tun *t)
{
    return t->ch.broken || t->ch.shut;
}

static size_t put_data(struct half *half, struct slice p)
{
    chan_put(&tun_of(half)->ch, p.p, p.n);
    return p.n;
}

static void put_end(struct half *half, const struct http_field *trailers, unsigned n)
{
    struct tun *t = tun_of(half);
    (void)trailers, (void)n;
    chan_flush(&t->ch);
    chan_shut(&t->ch);
}

static void flush_half(struct half *half)
{
    chan_flush(&tun_of(half)->ch);
}

static size_t backlog(const struct half *half)
{
    return chan_backlog(&tun_of(half)->ch);
}

static void hold(struct half *half, bool on)
{
    struct tun *t = tun_of(half);
    t->held = !on;
    if (on)
        conn_wake(t->ch.c, CONN_EV_READ);
}

/* ---- towards the client ---------------------------------------------------------------------- */

static struct tunnel_down *down_of(struct tun *t)
{
    return (struct tunnel_down *)t;
}

static void on_down_event(struct conn *c, unsigned ev, void *arg)
{
    struct tunnel_down *td = arg;
    (void)c;
    if (ev & CONN_EV_WRITE)
        tun_write(&td->t);
    if (!td->d->closed && td->t.closing && tun_sent(&td->t))
        down_close(td->d, REASON_OK);
    if (!td->d->closed && ev & CONN_EV_READ) {
        tun_read(&td->t);
        look_for_break(&td->t);
    }
}

void tunnel_down_commit(void *codec)
{
    struct tunnel_down *td = codec;
    if (!td->guess)
        return;
    td->guess = false;
    td->d->guessed = false;
    td->t.held = td->t.half->held;
    timer_cancel(&td->d->timer);
    conn_set_cb(td->d->conn, on_down_event, td);
    conn_wake(td->d->conn, CONN_EV_READ);
}

void tunnel_down_cancel(void *codec)
{
    struct tunnel_down *td = codec;
    td->cancelled = true;
    if (td->t.s)
        stream_close(td->t.s, REASON_OK);
}

static size_t put_down_data(struct half *half, struct slice p)
{
    tunnel_down_commit(half->codec);
    return put_data(half, p);
}

static void put_down_end(struct half *half, const struct http_field *trailers, unsigned n)
{
    tunnel_down_commit(half->codec);
    put_end(half, trailers, n);
}

static void free_job(struct loop_job *job)
{
    struct tunnel_down *td =
        (struct tunnel_down *)((char *)job - offsetof(struct tunnel_down, job));
    wmem_obj_put(td->t.w->mem, &td->t.w->s_tunnel_down, td);
}

static void on_down_closing(void *arg)
{
    struct tunnel_down *td = arg;
    struct chan *ch = &td->t.ch;
    if (closing_goes_on(&ch->end, ch->c, &td->d->timer, &worker_view(td->t.w)->limits))
        return;
    worker_count(td->t.w, REASON_TOO_SLOW);
    down_abort(td->d, REASON_TOO_SLOW);
}

static void end_down(struct tunnel_down *td)
{
    td->t.closing = true;
    if (tun_sent(&td->t)) {
        down_close(td->d, REASON_OK);
        return;
    }
    td->d->timer.fn = on_down_closing;
    td->d->timer.arg = td;
    closing_begin(&td->t.ch.end, td->d->conn, &td->d->timer, &worker_view(td->t.w)->limits);
}

static void release_down(struct half *half, enum reason why)
{
    struct tunnel_down *td = down_of(tun_of(half));
    struct down *d = td->d;
    td->t.s = NULL;
    if (d->closed)
        return;
    if (td->cancelled) {
        d->ops = NULL;
        chan_release(&td->t.ch);
        td->job.fn = free_job;
        loop_defer(td->t.w->loop, &td->job);
    } else if (why != REASON_OK) {
        down_abort(d, why);
    } else {
        end_down(td);
    }
}

static void drain(void *codec)
{
    (void)codec; /* it ends when its ends do */
}

static bool close_down(void *codec, enum reason why)
{
    struct tunnel_down *td = codec;
    bool cut = why != REASON_OK && (td->t.s || !tun_sent(&td->t));
    if (td->t.s)
        stream_close(td->t.s, why == REASON_OK ? REASON_DOWN_CLOSED : why);
    chan_release(&td->t.ch);
    return cut;
}

static void free_down(void *codec)
{
    struct tunnel_down *td = codec;
    wmem_obj_put(td->t.w->mem, &td->t.w->s_tunnel_down, td);
}

static const struct half_ops down_half = {
    .name = "tcp",
    .data = put_down_data,
    .end = put_down_end,
    .flush = flush_half,
    .backlog = backlog,
    .read = hold,
    .release = release_down,
};
static const struct down_ops tunnel_down_ops = {drain, close_down, free_down};

int tunnel_down_start(struct down *d, const struct chain *c, const struct split *split, bool guess)
{
    struct worker *w = d->w;
    struct tunnel_down *td = wmem_obj(w->mem, &w->s_tunnel_down, sizeof *td);
    struct stream *s = td ? stream_new(w, d, &down_half, td) : NULL;
    if (!s) {
        wmem_obj_put(w->mem, &w->s_tunnel_down, td);
        return -1;
    }
    td->d = d;
    td->guess = guess;
    td->t.w = w;
    td->t.s = s;
    td->t.half = &s->down;
    td->t.held = guess;
    chan_init(&td->t.ch, d->conn, w->gather);
    d->ops = &tunnel_down_ops;
    d->codec = td;
    if (!guess) {
        timer_cancel(&d->timer);
        conn_set_cb(d->conn, on_down_event, td);
        conn_wake(d->conn, CONN_EV_READ);
    }
    stream_begin_tunnel(s, c, split);
    return 0;
}

/* ---- towards the server ---------------------------------------------------------------------- */

static struct tunnel_up *up_of(struct tun *t)
{
    return (struct tunnel_up *)((char *)t - offsetof(struct tunnel_up, t));
}

static void on_up_event(struct conn *c, unsigned ev, void *arg)
{
    struct tunnel_up *tu = arg;
    (void)c;
    if (ev & CONN_EV_WRITE)
        tun_write(&tu->t);
    if (!tu->u.closed && tu->t.closing && tun_sent(&tu->t))
        upconn_close(&tu->u, REASON_OK);
    if (!tu->u.closed && ev & CONN_EV_READ) {
        tun_read(&tu->t);
        look_for_break(&tu->t);
    }
}

static void on_up_closing(void *arg)
{
    struct tunnel_up *tu = arg;
    upconn_closing_look(&tu->u, &tu->t.ch);
}

static void release_up(struct half *half, enum reason why)
{
    struct tunnel_up *tu = up_of(tun_of(half));
    tu->t.s = NULL;
    if (tu->u.closed)
        return;
    if (why != REASON_OK) {
        upconn_abort(&tu->u, why);
    } else {
        tu->t.closing = true;
        if (tun_sent(&tu->t))
            upconn_close(&tu->u, why);
        else
            upconn_closing(&tu->u, &tu->t.ch, on_up_closing);
    }
}

static const struct half_ops up_half = {
    .name = "tcp",
    .data = put_data,
    .end = put_end,
    .flush = flush_half,
    .backlog = backlog,
    .read = hold,
    .release = release_up,
};

static int open_up(struct upconn *u)
{
    struct tunnel_up *tu = (struct tunnel_up *)u;
    chan_init(&tu->t.ch, u->conn, tu->t.w->gather);
    conn_set_cb(u->conn, on_up_event, tu);
    return 0;
}

static unsigned room(const struct upconn *u)
{
    return ((const struct tunnel_up *)u)->t.s ? 0 : 1;
}

static bool idle(const struct upconn *u)
{
    return ((const struct tunnel_up *)u)->t.s == NULL;
}

static void attach(struct upconn *u, struct stream *s)
{
    struct tunnel_up *tu = (struct tunnel_up *)u;
    tu->t.s = s;
    tu->t.half = &s->up;
    s->up.ops = &up_half;
    s->up.codec = &tu->t;
    if (conn_may_read(u->conn))
        conn_wake(u->conn, CONN_EV_READ);
}

static void close_up(struct upconn *u, enum reason why)
{
    struct tunnel_up *tu = (struct tunnel_up *)u;
    if (tu->t.s)
        stream_gone(&tu->t.s->up, why);
    chan_release(&tu->t.ch);
}

static void free_up(struct upconn *u)
{
    struct tunnel_up *tu = (struct tunnel_up *)u;
    wmem_obj_put(tu->t.w->mem, &tu->t.w->s_tunnel_up, tu);
}

static const struct upconn_ops tunnel_up_ops = {open_up, room, idle, attach, close_up, free_up};

struct upconn *tunnel_up_new(struct worker *w)
{
    struct tunnel_up *tu = wmem_obj(w->mem, &w->s_tunnel_up, sizeof *tu);
    if (!tu)
        return NULL;
    tu->t.w = w;
    tu->u.ops = &tunnel_up_ops;
    return &tu->u;
}
