/* chan.h - a connection with an output queue: what a codec writes to.
 *
 *   chan_put(ch, body);  chan_flush(ch);        one writev for everything put in between
 *   on CONN_EV_WRITE:    chan_write_more(ch);
 *
 * Bytes put are borrowed until chan_flush, which must come before their memory changes (the
 * worker's read buffer is read into again); at the latest it comes at the end of the turn.  What
 * the kernel does not take is then copied into pages.  The list of what was put lies in the worker,
 * not in the connection: an idle connection costs nothing, and putting to another channel flushes
 * the first.
 *
 * A failed write breaks the channel: later bytes are dropped, and the owner is woken to read,
 * where it meets the error.  One thread: the worker's.
 */
#ifndef FSM_PROXY_CHAN_H
#define FSM_PROXY_CHAN_H

#include <stdbool.h>
#include "common/base/slice.h"
#include "common/io/conn.h"
#include "common/proxy/closing.h"
#include "common/proxy/wmem.h"

#define GATHER_IOV  64
#define GATHER_TEXT (80 * 1024) /* heads are written here: more than a head may have */

struct chan;
struct gather {
    struct chan *owner; /* NULL = empty */
    struct wmem *mem;
    struct loop *loop;
    struct loop_job job; /* flushes at the end of the turn what was not flushed before */
    int n;
    size_t bytes;
    size_t text_used;
    struct iovec iov[GATHER_IOV];
    char text[GATHER_TEXT];
};

struct chan {
    struct conn *c;   /* owned by whoever owns the channel */
    struct gather *g; /* borrowed: the worker's */
    struct pageq out; /* not yet taken by the kernel */
    bool broken;      /* a write failed */
    bool shut_wanted; /* our end of stream follows `out` */
    bool shut;        /* it was sent */
    struct closing end;
};

/* once per worker */
void gather_init(struct gather *g, struct wmem *mem, struct loop *l);
/* flushes whatever was put to whichever channel */
static inline void gather_flush(struct gather *g);

void chan_init(struct chan *ch, struct conn *c, struct gather *g);
/* drops everything that waits; the connection stays its owner's */
void chan_release(struct chan *ch);
/* borrows p until chan_flush */
void chan_put(struct chan *ch, const void *p, size_t n);
/* Room for n bytes of text (n <= GATHER_TEXT) to be written into; then chan_text_put with what
 * was used. */
char *chan_text(struct chan *ch, size_t n);
void chan_text_put(struct chan *ch, const char *text, size_t n);
void chan_flush(struct chan *ch);
static inline void gather_flush(struct gather *g)
{
    if (g->owner)
        chan_flush(g->owner);
}
/* What the kernel did not take: above a mark the source must stop.  (What was put and not flushed
 * does not count: the kernel may take all of it.) */
static inline size_t chan_backlog(const struct chan *ch)
{
    return ch->out.bytes;
}
/* end of stream behind everything put so far */
void chan_shut(struct chan *ch);
/* the connection is writable again; true if everything has left */
bool chan_write_more(struct chan *ch);

#endif
