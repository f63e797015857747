/* upstream.h - what a worker keeps about clusters: turns, connections, counters
 * (engine-internal).
 *
 *   wcluster   one per cluster in use, keyed by slot and name; outlives snapshots
 *   epool      one per endpoint in use: its connections; reference-counted
 *   upconn     one connection; the codecs (h1_up.c, h2_up.c, tunnel.c) embed it first
 *
 *   s->ep = upstream_pick(s)   cluster and endpoint
 *   upstream_connect(s)        finds or dials a connection; SEV_UP_READY or SEV_UP_FAIL
 *                              follows, maybe at once
 */
#ifndef FSM_PROXY_UPSTREAM_H
#define FSM_PROXY_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/proxy/balance.h"
#include "common/proxy/stream.h"

struct wcluster {
    uint32_t refs;       /* the table's and one per epool */
    struct cluster *def; /* borrowed from the worker's current view; NULL = removed */
    uint64_t serial;     /* of def */
    char *name;
    uint32_t n;
    struct epool **ep; /* by endpoint; NULL = not used yet.  Local clusters: n more for
                          the IPv6 twins */
    struct wrr *weights;
    struct wrr_state turns;
    struct cluster_shared *shared; /* borrowed from the slots */
    uint64_t stat[CSTAT_COUNT];
};

struct epool {
    uint32_t refs;
    struct worker *w;
    struct wcluster *wc; /* ref */
    struct ip_port addr, source;
    bool has_source;
    bool gone;                   /* not in the current view: nothing new goes there */
    char *identity;              /* owned; NULL = plaintext */
    TAILQ_HEAD(, upconn) idle;   /* HTTP/1, most recently used first */
    TAILQ_HEAD(, upconn) shared; /* HTTP/2, also those still connecting */
    uint32_t n_idle;
    uint64_t http1_until_ms; /* it did not understand HTTP/2: not tried again before */
    struct endpoint_stats st;
};

struct upconn_ops {
    /* the connection is open: start the codec.  -1: no memory; 1: upconn_ready or upconn_no_http2
     * follows */
    int (*open)(struct upconn *u);
    /* streams it can take now */
    unsigned (*room)(const struct upconn *u);
    /* no stream uses it */
    bool (*idle)(const struct upconn *u);
    /* gives s->up its codec */
    void (*attach)(struct upconn *u, struct stream *s);
    /* ends streams and releases buffers; the connection is closed by upconn_close */
    void (*close)(struct upconn *u, enum reason why);
    void (*free)(struct upconn *u);
};

struct upconn {
    LIST_ENTRY(upconn) all;   /* of the worker, until it is closed */
    TAILQ_ENTRY(upconn) link; /* in the epool's idle or shared list */
    const struct upconn_ops *ops;
    struct epool *ep;             /* ref */
    struct conn *conn;            /* owned */
    TAILQ_HEAD(, stream) waiting; /* for it to open; HTTP/1 and tunnels: one */
    struct timer timer;           /* idle */
    struct loop_job job;
    uint64_t transport;        /* serial of the certificate it was made with; 0 = plaintext */
    uint64_t rx_seen, tx_seen; /* bytes of the connection already counted */
    enum up_kind kind;
    bool started;            /* its codec */
    bool open;               /* takes streams */
    bool in_idle, in_shared; /* which list */
    bool used;               /* has served a request */
    bool closing;            /* its stream is over: what waits is still sent */
    bool closed;
};

/* a connection to s->ep */
void upstream_connect(struct stream *s);
/* cluster and endpoint for the stream; a reference, NULL = no target, or (ENOMEM) no memory */
struct epool *upstream_pick(struct stream *s);
/* the stream does not want its connection any more (before it got one) */
void upstream_cancel(struct stream *s);
/* the attempt failed: the endpoint is passed over from now on */
void upstream_note_failure(struct stream *s);

void upconn_close(struct upconn *u, enum reason why);
/* as upconn_close, but the peer sees a reset */
void upconn_abort(struct upconn *u, enum reason why);
/* Its stream is over and bytes wait in ch for the server: counted, so that a worker waits for them
 * before it leaves; fn (with u) is called now and then and calls upconn_closing_look. */
void upconn_closing(struct upconn *u, struct chan *ch, void (*fn)(void *u));
/* aborts it when the server takes too little */
void upconn_closing_look(struct upconn *u, struct chan *ch);
/* the codec is ready for streams now */
void upconn_ready(struct upconn *u);
/* The server does not speak HTTP/2; sure: it said so, else it left without a word.  Whoever waits
 * and can do without goes on in HTTP/1.1. */
void upconn_no_http2(struct upconn *u, bool sure);
/* HTTP/1: done with a request; kept for the next one or closed */
void upconn_idle(struct upconn *u);
/* no new streams; closes by its codec once the last one ended */
void upconn_unlist(struct upconn *u);
/* made with a certificate that is not the current one any more, or its endpoint is gone */
bool upconn_stale(const struct upconn *u);

void upstream_init(struct worker *w);
/* the worker's current view changed */
void upstream_sync(struct worker *w);
/* the worker ends: everything is closed */
void upstream_free(struct worker *w);
void upstream_collect(struct worker *w, struct stats *out);

struct epool *epool_ref(struct epool *ep);
void epool_unref(struct epool *ep);

/* ---- the codecs ---- */
/* NULL: no memory; ops are set */
struct upconn *h1_up_new(struct worker *w);
struct upconn *h2_up_new(struct worker *w);
struct upconn *tunnel_up_new(struct worker *w);

#endif
