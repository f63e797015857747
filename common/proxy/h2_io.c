/* h2_io.c - see h2_io.h */
#include "common/proxy/h2_io.h"
#include <stddef.h>
#include "common/base/log.h"

#define READS_PER_EVENT 8 /* then others have their turn */
#define IOV_MAX_OUT     16

enum h2_code h2_code_of(enum reason why)
{
    switch (why) {
    case REASON_OK:
        return H2_NO_ERROR;
    case REASON_DOWN_PROTOCOL:
    case REASON_UP_PROTOCOL:
        return H2_PROTOCOL_ERROR;
    case REASON_DOWN_CLOSED:
    case REASON_DOWN_RESET:
    case REASON_SLOW_CLIENT:
    case REASON_TOO_SLOW:
    case REASON_IDLE:
        return H2_CANCEL;
    case REASON_UP_UNPROCESSED:
        return H2_REFUSED_STREAM;
    default:
        return H2_INTERNAL_ERROR;
    }
}

static void finish(struct h2_io *io)
{
    struct h2c *h2 = io->h2;

    if (!h2)
        return;
    loop_undefer(io->w->loop, &io->job);
    LIST_REMOVE(io, link);
    io->busy++; /* close callbacks end streams, which would end us again */
    h2_free(h2);
    io->h2 = NULL;
    io->ops->freed(io);
}

/* The peer learns that it was no accident, as far as the socket takes it. */
static void goodbye(struct h2_io *io)
{
    struct iovec iov[IOV_MAX_OUT];
    int n = io->conn->rdhup || io->conn->dead ? 0 : h2_last_words(io->h2, iov, IOV_MAX_OUT);

    if (n > 0)
        conn_writev(io->conn, iov, n);
}

void h2_io_end(struct h2_io *io, enum reason why)
{
    if (io->ended)
        return;
    io->ended = true;
    io->why = why;
    goodbye(io);
    if (!io->busy)
        finish(io);
}

/* a call into the session returned; false: io is gone */
static bool leave(struct h2_io *io)
{
    io->busy--;
    if (io->ended && !io->busy) {
        finish(io);
        return false;
    }
    return !io->ended;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* writes what the session has; if that was all there will be, end is told why; false: io is gone */
static bool flush(struct h2_io *io, void (*end)(struct h2_io *io, enum reason why),
                  enum reason done)
{
    struct iovec iov[IOV_MAX_OUT];
    ssize_t put = 0;
    int n;

    for (;;) {
        io->busy++;
        n = h2_output(io->h2, iov, IOV_MAX_OUT);
        if (!leave(io))
            return false;
        if (n <= 0)
            break;
        put = conn_writev(io->conn, iov, n);
        if (put <= 0)
            break;
        h2_sent(io->h2, (size_t)put);
    }
    if (put == CONN_ERROR) {
        io->ops->lost(io, REASON_DOWN_RESET);
        return false;
    }
    if (h2_done(io->h2)) {
        end(io, done);
        return false;
    }
    if (io->paused && !h2_congested(io->h2)) {
        io->paused = false;
        conn_wake(io->conn, CONN_EV_READ);
    }
    return true;
}

static void flush_job(struct loop_job *job)
{
    struct h2_io *io = (struct h2_io *)((char *)job - offsetof(struct h2_io, job));

    if (!io->ended && flush(io, io->ops->over, REASON_OK))
        io->ops->turn(io);
}

void h2_io_wake(struct h2_io *io)
{
    if (!io->ended)
        loop_defer(io->w->loop, &io->job);
}

void h2_io_tighten_all(struct worker *w, bool on)
{
    struct h2_io *io;

    LIST_FOREACH (io, &w->h2_ios, link) {
        h2_tighten(io->h2, on);
        h2_io_wake(io);
    }
}

/* ---- in -------------------------------------------------------------------------------------- */

/* The session refuses to go on: its GOAWAY leaves first.  Who floods is not waited for. */
static void broken(struct h2_io *io, int err)
{
    bool flood = err == H2_E_FLOOD;

    log_debug("h2", "connection ended reason=%s", h2_error_name(err));
    io->w->stat[WSTAT_H2_FLOODS] += flood;
    if (flush(io, flood ? io->ops->lost : io->ops->over, REASON_DOWN_PROTOCOL))
        io->ops->lost(io, REASON_DOWN_PROTOCOL);
}

/* false: io is gone */
static bool feed(struct h2_io *io, const char *p, size_t n)
{
    int rc;

    io->busy++;
    rc = h2_recv(io->h2, loop_now_ms(io->w->loop), p, n);
    if (!leave(io))
        return false;
    if (rc < 0) {
        broken(io, rc);
        return false;
    }
    return true;
}

static void read_all(struct h2_io *io)
{
    for (unsigned i = 0; i < READS_PER_EVENT; i++) {
        char *buf = worker_rbuf(io->w);
        ssize_t n;

        io->paused = h2_congested(io->h2);
        if (io->paused)
            break;
        n = conn_read(io->conn, buf, RBUF_SIZE);
        if (n == CONN_AGAIN)
            break;
        if (n <= 0) {
            io->ops->lost(io, n == 0 ? REASON_DOWN_CLOSED : REASON_DOWN_RESET);
            return;
        }
        if (!feed(io, buf, (size_t)n))
            return;
        if (!conn_may_read(io->conn))
            break;
        if (i + 1 == READS_PER_EVENT)
            conn_wake(io->conn, CONN_EV_READ);
    }
    h2_io_wake(io);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct h2_io *io = arg;

    (void)c;
    if (io->ended)
        return;
    if (ev & CONN_EV_FAIL) {
        io->ops->lost(io, REASON_DOWN_RESET);
        return;
    }
    if (ev & CONN_EV_WRITE)
        h2_io_wake(io);
    if (ev & CONN_EV_READ)
        read_all(io);
}

int h2_io_start(struct h2_io *io, struct worker *w, struct conn *c, enum h2_side side, bool trusted,
                const struct h2_callbacks *cb, const struct h2_io_ops *ops)
{
    io->ops = ops;
    io->w = w;
    io->conn = c;
    io->job.fn = flush_job;
    io->h2 = h2_new(w->h2_pool, side, trusted ? &w->h2_trusted_limits : &w->h2_limits, cb, io);
    if (!io->h2)
        return -1;
    LIST_INSERT_HEAD(&w->h2_ios, io, link);
    if (w->tight)
        h2_tighten(io->h2, true);
    conn_set_cb(c, on_event, io);
    if (conn_may_read(c))
        conn_wake(c, CONN_EV_READ);
    h2_io_wake(io);
    return 0;
}
