/* leave.c - the end of a client's connection once everything is the kernel's; see down.h.
 *
 * A close while the client still sends (a request that it had no need to hold back, the window
 * updates of what it reads) is answered by a reset, and that destroys what the client has not read
 * of our last answers, in its kernel and in ours.  So our side ends first, what comes is dropped,
 * and the connection is closed
 *   when the client has ended its side, as it does once it has read our end;
 *   LingerMs after its kernel had all of it, since it may never do so;
 *   when it takes less than the minimum rate (closing.h): by a reset.
 */
#include <stddef.h>
#include "common/proxy/closing.h"
#include "common/proxy/down.h"

#define LOOK_MS        500 /* between two looks whether all was taken */
#define READS_PER_TURN 8   /* then others have theirs */

struct leaving {
    struct down *d;
    struct closing end;
    bool taken; /* all of it; the client has LingerMs left */
    struct loop_job job;
    const struct down_ops *ops; /* of the codec that is to be freed, NULL = it was */
    void *codec;
};

static void free_codec(struct leaving *l)
{
    if (l->ops)
        l->ops->free(l->codec);
    l->ops = NULL;
}

static void free_codec_job(struct loop_job *job)
{
    free_codec((struct leaving *)((char *)job - offsetof(struct leaving, job)));
}

static void discard(struct down *d)
{
    for (unsigned i = 0; i < READS_PER_TURN; i++) {
        ssize_t n = conn_read(d->conn, worker_rbuf(d->w), RBUF_SIZE);
        if (n == CONN_AGAIN)
            return;
        if (n <= 0) {
            down_close(d, REASON_OK);
            return;
        }
    }
    conn_wake(d->conn, CONN_EV_READ);
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    (void)c;
    if (ev & CONN_EV_READ)
        discard(arg);
}

static void on_look(void *arg)
{
    struct leaving *l = arg;
    struct down *d = l->d;
    const struct view_limits *lim = &worker_view(d->w)->limits;
    if (l->taken) {
        down_close(d, REASON_OK);
    } else if (conn_unsent(d->conn) == 0) {
        l->taken = true;
        timer_set(&d->timer, lim->linger_ms);
    } else if (closing_goes_on(&l->end, d->conn, &d->timer, lim)) {
        timer_set(&d->timer, LOOK_MS);
    } else {
        worker_count(d->w, REASON_TOO_SLOW);
        down_abort(d, REASON_TOO_SLOW);
    }
}

static void drain(void *codec)
{
    (void)codec; /* it is on its way out */
}

static bool close_leaving(void *codec, enum reason why)
{
    struct leaving *l = codec;
    (void)why;
    loop_undefer(l->d->w->loop, &l->job);
    return false;
}

static void free_leaving(void *codec)
{
    struct leaving *l = codec;
    struct worker *w = l->d->w;
    free_codec(l);
    wmem_obj_put(w->mem, &w->s_leaving, l);
}

static const struct down_ops leaving_ops = {drain, close_leaving, free_leaving};

void down_leave(struct down *d, enum reason why)
{
    struct worker *w = d->w;
    bool said = !d->closed && d->conn->tx_bytes > 0; /* or nothing can be lost */
    struct leaving *l = said ? wmem_obj(w->mem, &w->s_leaving, sizeof *l) : NULL;
    if (!l) {
        down_close(d, why);
        return;
    }
    l->d = d;
    l->ops = d->ops;
    l->codec = d->codec;
    l->job.fn = free_codec_job;
    d->ops->close(d->codec, why);
    d->ops = &leaving_ops;
    d->codec = l;
    loop_defer(w->loop, &l->job);
    d->timer.fn = on_look;
    d->timer.arg = l;
    conn_set_cb(d->conn, on_event, d);
    conn_shut_write(d->conn);
    closing_begin(&l->end, d->conn, &d->timer, &worker_view(w)->limits);
    on_look(l);
    if (!d->closed && conn_may_read(d->conn))
        conn_wake(d->conn, CONN_EV_READ);
}
