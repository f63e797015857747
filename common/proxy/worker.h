/* worker.h - what belongs to one thread: its loop, memory, connections, counters (engine-internal).
 *
 * Nothing here is touched by another thread but `next`, by an atomic exchange.  How a view comes
 * and goes (style "config life"):
 *   publish: refs = workers + 1, counted before anyone can see it; each worker's `next` is
 *            exchanged, one not yet taken is put back
 *   take:    exchange(&next, NULL); the old one retires
 *   stream:  counts itself in its wview with a plain int; a retired wview without streams does
 *            the one atomic put
 */
#ifndef FSM_PROXY_WORKER_H
#define FSM_PROXY_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/base/table.h"
#include "common/http/h1.h"
#include "common/http/h2.h"
#include "common/io/listener.h"
#include "common/io/loop.h"
#include "common/proxy/chan.h"
#include "common/proxy/engine.h"
#include "common/proxy/overload.h"
#include "common/proxy/stats.h"
#include "common/proxy/view.h"
#include "common/proxy/wmem.h"

#define RBUF_SIZE (128 * 1024) /* one read; measured best for 64 KiB bodies */

#define SCRATCH_SIZE (64 * 1024)

/* a worker's hold on a view */
struct wview {
    struct view *view;
    unsigned streams;
    bool retired;
};

struct down;
struct stream;
struct wcluster;
struct access_log;

struct wlistener {
    LIST_ENTRY(wlistener) link;
    struct worker *w;
    struct listener *l;
    uint64_t serial;                  /* lsock_serial */
    unsigned sock;                    /* which one of it */
    const struct view_listener *rule; /* in the current view */
};

struct worker {
    struct engine *eng;
    unsigned index;
    uint32_t seed; /* where round robin begins */
    uint32_t dice; /* of wrr_rival() */
    struct loop *loop;
    pthread_t thread;
    bool threaded;
    bool draining;
    bool retired;       /* accepts nothing and leaves when its connections have ended */
    bool leaving;       /* the control thread was told that they have */
    struct stats *last; /* where to copy the counters at the end, or NULL */
    struct view *next;  /* atomic */
    struct wview *cur;  /* NULL before the first */

    struct wmem *mem;
    struct wmem_slab s_down, s_leaving, s_stick, s_stream, s_h1_down, s_h2_down, s_tunnel_down,
        s_h1_up, s_h2_up, s_tunnel_up;
    struct h2_pool *h2_pool;
    struct tls_sessions *sessions;
    struct gather *gather;
    char *scratch;                             /* SCRATCH_SIZE, for the length of a call */
    char *rbufs;                               /* what rbuf is in */
    char *rbuf;                                /* taken by worker_rbuf() alone */
    struct http_head head;                     /* being parsed; likewise */
    struct http_field fields[HTTP_FIELDS_MAX]; /* its fields */
    int pipe[2]; /* for the length of a call: splice (tunnel.c); -1 = none */
    struct h1_limits h1_limits;
    struct h2_limits h2_limits;
    /* Of servers, and of other proxies of the mesh, which keep their own clients in bounds: one of
     * them gives up as many streams at once as its clients had under way, and others share the
     * connection. */
    struct h2_limits h2_trusted_limits;

    LIST_HEAD(, wlistener) listeners;
    LIST_HEAD(, down) downs;
    LIST_HEAD(, upconn) upconns;  /* wherever they are: none may outlive the worker */
    uint32_t n_patient_downs;     /* that wait for a view which lets them in */
    TAILQ_HEAD(, stream) patient; /* wait for a view in which their cluster has an endpoint */
    uint32_t n_patient;
    TAILQ_HEAD(streams, stream) tunnels; /* bytes both ways */
    struct streams lost;        /* ... that are not allowed any more, the longest so first */
    struct timer revoke;        /* those that are not allowed any more end then */
    struct wcluster **clusters; /* by slot; NULL = not used yet */
    uint32_t n_clusters;
    struct wcluster *passthrough; /* counts what goes to original destinations */
    struct table *splits;         /* split key -> struct wsplit */
    struct timer trim;            /* buffers go back some time after a burst */
    size_t loose;                 /* given back to malloc, not yet by it to the kernel */
    uint64_t ended_seen;          /* connections that had ended at the last look */
    uint64_t begun_seen;          /* connections and requests that had begun at the last look */
    uint64_t relieved_ms;         /* all that lay free was given back for want of memory */
    size_t asked_held;            /* what was held when the kernel was asked for the process's */
    bool tight;                   /* memory is short */
    struct timer tight_end;       /* is it still? */
    LIST_HEAD(, h2_io) h2_ios;    /* HTTP/2 connections */
    bool burst;                   /* one ended, and not all of its memory is given back */

    uint64_t stat[WSTAT_COUNT];
    uint64_t reasons[REASON_COUNT];
    struct table *peers; /* fsm-stats text -> struct peer_stats */
    struct access_log *alog;
};

/* runs on the control thread; the loop is run by the caller (a thread, or tests) */
struct worker *worker_new(struct engine *e, unsigned index, struct loop *loop, uint32_t seed);
/* The buffer that everybody reads into, RBUF_SIZE.  What channels still borrow of it is written
 * first, so whoever reads may have returned without doing so; slices of it end here.  The worker's
 * own thread. */
char *worker_rbuf(struct worker *w);
/* the worker's own thread: closes every listener and connection */
void worker_close(struct worker *w);
/* after worker_close and the end of the loop's turn */
void worker_free(struct worker *w);

/* any thread: hands over a reference that was already counted */
void worker_offer(struct worker *w, struct view *v);
/* the worker's own thread: takes what was offered */
void worker_take(void *worker);
/* the worker's own thread: takes the listening sockets that are its own by now, and gives back
 * those that are not; then the others must be told to look (engine.c) */
void worker_listen(void *worker);
/* the worker's own thread */
void worker_drain(struct worker *w);
void worker_collect(struct worker *w, struct stats *out);

static inline const struct view *worker_view(const struct worker *w)
{
    return w->cur ? w->cur->view : NULL;
}
/* revoke.c: a new view was taken */
void tunnels_judge(struct worker *w);
void tunnels_revoke(void *worker);
/* a stream begins / ends with the current view */
struct wview *wview_hold(struct worker *w);
void wview_release(struct worker *w, struct wview *wv);

/* engine.c: listening sockets were given back; any thread */
void engine_listen_again(struct engine *e);
/* engine.c: gives back one reference; any thread */
void engine_view_put(struct engine *e, struct view *v);
/* counts an end and its reason; for connections that never became a stream */
void worker_count(struct worker *w, enum reason r);
/* is the process short of memory? */
enum overload_level worker_overload(struct worker *w);
/* Bytes begin to wait: must there be as few as can be? */
bool worker_tight(struct worker *w);
/* buffers were used: shrink them some time later */
void worker_touch(struct worker *w);

#endif
