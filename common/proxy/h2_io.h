/* h2_io.h - what both HTTP/2 codecs of the engine do alike: session to connection and back
 * (engine-internal).
 *
 * The session calls back from inside h2_recv and h2_output; whatever happens there may close the
 * connection.  Then the session is only marked, and freed when these have returned:
 *
 *   h2_io_read(io)    everything the connection has, into the session
 *   h2_io_flush(io)   asked for by h2_io_wake; runs once at the end of the turn
 *   h2_io_end(io)     now, or as soon as no call into the session is under way
 */
#ifndef FSM_PROXY_H2_IO_H
#define FSM_PROXY_H2_IO_H

#include <stdbool.h>
#include "common/http/h2.h"
#include "common/io/conn.h"
#include "common/proxy/reason.h"
#include "common/proxy/worker.h"

struct h2_io;
struct h2_io_ops {
    /* the connection is of no more use; close it (comes at most once, not after h2_io_end) */
    void (*lost)(struct h2_io *io, enum reason why);
    /* the same, but it works, and everything that was to be said is the kernel's */
    void (*over)(struct h2_io *io, enum reason why);
    /* something may have ended: the last stream, a drain */
    void (*turn)(struct h2_io *io);
    /* the session is gone: the memory may go too */
    void (*freed)(struct h2_io *io);
};

struct h2_io {
    const struct h2_io_ops *ops;
    struct worker *w;
    LIST_ENTRY(h2_io) link; /* of the worker, as long as there is a session */
    struct conn *conn;      /* borrowed */
    struct h2c *h2;         /* owned */
    struct loop_job job;    /* the flush */
    enum reason why;        /* of the end, for the streams that are left */
    uint8_t busy;           /* calls into the session under way */
    bool ended;
    bool paused; /* not read, until the peer has read (h2_congested) */
};

/* trusted: resets are not counted, see h2_trusted_limits.  -1: no memory.  Takes over the
 * connection's callback. */
int h2_io_start(struct h2_io *io, struct worker *w, struct conn *c, enum h2_side side, bool trusted,
                const struct h2_callbacks *cb, const struct h2_io_ops *ops);
/* something was submitted, or is to be looked at: flush at the end of the turn */
void h2_io_wake(struct h2_io *io);
/* every stream left gets its close callback; io->why says why */
void h2_io_end(struct h2_io *io, enum reason why);
/* memory is short on this worker, or no longer (h2_tighten) */
void h2_io_tighten_all(struct worker *w, bool on);
/* what to tell the peer of a stream that ended this way */
enum h2_code h2_code_of(enum reason why);

#endif
