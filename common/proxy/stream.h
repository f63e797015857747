/* stream.h - one request and its response, or one tunnel (engine-internal).
 *
 * A stream has two halves: `down` towards the client, `up` towards the server.  A half is a codec
 * (HTTP/1, HTTP/2, bytes) seen through half_ops; to the stream they are all the same.  What one
 * half's peer sends the codec gives to the stream (stream_request, stream_response, stream_data,
 * stream_end, stream_gone), and the stream gives it to the other half's sink (ops->head, data,
 * end, flush).
 *
 *   codec reads          stream                               other codec
 *   head          ─────► routes, filters, picks, connects ──► head    kept, not yet written
 *   body slices   ─────► counts                           ──► data    kept or taken
 *   end of buffer ─────► stream_flush                     ──► flush   one write for all of it
 *
 * Slices are borrowed until stream_flush.  Back-pressure: when what waits at a sink passes
 * STREAM_HIGH the source is told to stop reading, below STREAM_LOW to go on.
 *
 * How a message ends, per half (source side):
 *
 *   error eof complete   HTTP/1                      HTTP/2              tunnel
 *     0    0     0       more to come                more to come        more to come
 *     0    0     1       connection reusable         END_STREAM          -
 *     0    1     0       cut short: stream_gone      stream_gone         -
 *     0    1     1       complete, not reusable      complete            half closed
 *     1    *     0       stream_gone                 RST: stream_gone    stream_gone
 *     1    *     1       complete, not reusable      complete            stream_gone
 *
 * (A response without length is complete by eof alone.)  The stream ends well when both messages
 * are complete and were given to the sinks.  It also ends when the response is complete and the
 * request is not: the rest of the request is of no interest any more.
 *
 * There is one way in for what is not data (stream_event) and one way out (stream_close, also
 * legal inside any callback; idempotent).  A stream's memory stays until the end of the loop
 * turn.  After giving anything to a stream a codec must look whether it still has it.
 */
#ifndef FSM_PROXY_STREAM_H
#define FSM_PROXY_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/http/h2.h"
#include "common/http/message.h"
#include "common/io/loop.h"
#include "common/proxy/chain.h"
#include "common/proxy/reason.h"
#include "common/proxy/worker.h"

#define STREAM_HIGH (64u * 1024) /* bytes waiting at a sink: stop its source */
#define STREAM_LOW  (16u * 1024) /* go on */
/* bytes one connection moves before others get their turn */
#define TURN_BYTES (512 * 1024)
#define TURN_PIECE 256 /* what a piece of a body costs beside its bytes: chunks may be tiny */

/* what is spoken to the upstream */
enum up_kind {
    UP_H1,         /* plaintext HTTP/1.1, pooled */
    UP_H2,         /* plaintext HTTP/2, shared */
    UP_MESH_H2,    /* ALPN fsm-h2, shared */
    UP_MESH_HTTP1, /* ALPN fsm-http/1.1, one request that may become a tunnel */
    UP_TCP,        /* bytes */
    UP_MESH_TCP,   /* ALPN fsm-tcp */
};
const char *up_kind_name(enum up_kind k);

struct half;
struct half_ops {
    const char *name; /* "h1", "h2", "tcp" */
    /* -- as a sink -- */
    /* down: a response (also 1xx); up: the request.  end: no body follows.  -1: can't be said */
    int (*head)(struct half *h, const struct http_head *head, bool end);
    /* takes bytes (borrowed until flush), returns how many; the rest is offered again after
     * stream_writable() */
    size_t (*data)(struct half *h, struct slice p);
    /* the message is complete; trailers may be none */
    void (*end)(struct half *h, const struct http_field *trailers, unsigned n);
    void (*flush)(struct half *h);
    /* bytes taken but not yet given to the kernel */
    size_t (*backlog)(const struct half *h);
    /* -- as a source -- */
    void (*read)(struct half *h, bool on);
    /* n bytes went on their way (flow control); NULL = not needed */
    void (*consumed)(struct half *h, size_t n);
    /* -- both -- the stream lets go.  OK: both messages ended well as far as it goes (what the
     * half has not complete is visible in its bits); else abort. */
    void (*release)(struct half *h, enum reason why);
};

struct kept_trailers {
    unsigned n;
    struct http_field *fields;
};
struct stream_block; /* stream_head.c */

struct half {
    const struct half_ops *ops; /* NULL = not there (yet) */
    void *codec;
    struct stream *s;
    struct pageq wait;              /* for the sink, which did not take it */
    struct kept_trailers *trailers; /* to follow `wait` */
    size_t unconsumed;              /* from the source, credit not yet given back */
    /* source side */
    bool complete; /* the message has come to its end */
    bool held;     /* was told to stop reading */
    /* sink side */
    bool open;      /* the head was given (or there is none): data may follow */
    bool end_waits; /* the end follows `wait` */
    bool ended;     /* the end was given */
};

#define STREAM_STATES(X) X(NEW) X(FILTER) X(PICK) X(CONNECT) X(RELAY) X(DONE)
enum stream_state {
#define X(id) STREAM_##id,
    STREAM_STATES(X)
#undef X
};

#define STREAM_EVENTS(X)                                                                           \
    X(BEGIN)    /* the head is there (or the tunnel was accepted) */                               \
    X(RESUME)   /* a filter that waited goes on */                                                 \
    X(UP_READY) /* s->up has a codec */                                                            \
    X(UP_FAIL)  /* no connection: s->fail says why */                                              \
    X(VIEW)     /* there is a newer view, for which it waited */                                   \
    X(IDLE)     /* nothing moved for the idle time */                                              \
    X(TIMEOUT)  /* the request timeout */
enum stream_ev {
#define X(id) SEV_##id,
    STREAM_EVENTS(X)
#undef X
};

struct epool;
struct upconn;

struct stream {
    struct half down, up;
    struct worker *w;
    struct down *conn;         /* borrowed: outlives its streams */
    struct wview *wv;          /* held */
    const struct chain *chain; /* of that view, like route and split */
    const struct route *route;
    const struct split *split;
    struct http_head *req;       /* NULL in a tunnel that never was HTTP */
    struct h2_head *h2_head;     /* owned: where req lies, or NULL */
    struct stream_block *block;  /* owned: where req lies otherwise, and what filters need */
    struct epool *ep;            /* ref: the endpoint chosen last */
    struct upconn *dialing;      /* waits for this one */
    TAILQ_ENTRY(stream) waiting; /* in it, or in w->patient */
    TAILQ_ENTRY(stream) tunnels; /* of the worker, if tunnel: lost if lost_ms */
    uint64_t tried;              /* endpoints of the cluster that failed, by index */
    struct timer idle, deadline, pace;
    struct loop_job job;         /* frees */
    uint64_t begin_ms, first_ms; /* loop time: begun; first byte of the response */
    uint64_t up_ms;              /* upstream ready */
    uint64_t req_bytes, rsp_bytes;
    uint64_t pace_done; /* stream_pace.c: at the last look */
    uint64_t lost_ms;   /* revoke.c: since when a tunnel is not allowed; 0 = it is */
    enum stream_state state;
    enum reason fail; /* of the last attempt */
    enum reason why;  /* of a local answer under way */
    enum up_kind kind;
    uint16_t max_fields; /* places in req->fields */
    uint16_t status;     /* of the final response given to the client; 0 = none */
    int16_t up_fault;    /* enum http_fault of the response that could not be used, 0 = none */
    uint8_t attempts;
    uint8_t unseen; /* more of them, that no server looked at */
    uint8_t next_filter;
    uint8_t infos; /* 1xx responses so far */
    uint8_t pace_kind, slow_looks;
    bool tunnel;        /* bytes both ways: no more messages */
    bool bytes_only;    /* never was HTTP */
    bool wants_upgrade; /* asked for 101 */
    bool app_h2;        /* the application is spoken to in HTTP/2 */
    bool needs_h2;      /* ... and cannot be in HTTP/1.1: gRPC */
    bool reused;        /* the upstream connection had served before */
    bool response;      /* a final response head went to the client */
    bool local;         /* we answered */
    bool sent_body;     /* body bytes were given to an upstream: no second attempt */
    bool fresh;         /* a server may have seen it: only a new connection will do */
    bool patient;       /* in w->patient, by `waiting` */
    bool closed;
    /* added to the request if the endpoint is a mesh proxy; borrowed from the view */
    const struct http_field *mesh_fields;
    unsigned n_mesh_fields;
    char stats_peer[128]; /* fsm-stats of the answer */
};

static inline bool up_kind_is_mesh(enum up_kind k)
{
    return k == UP_MESH_H2 || k == UP_MESH_HTTP1 || k == UP_MESH_TCP;
}

/* ---- for codecs ------------------------------------------------------------------------------ */

/* NULL: no memory, or no view yet */
struct stream *stream_new(struct worker *w, struct down *d, const struct half_ops *ops,
                          void *codec);
/* The request's head, whose slices lie in raw (or are constants); copied.  end: no body follows. */
void stream_request(struct stream *s, const struct http_head *h, struct slice raw, bool end);
/* takes hh */
void stream_request_h2(struct stream *s, struct h2_head *hh, bool end);
/* A request that is none: h is what was read of it, in raw as above.  Answers, counts and ends it.
 */
void stream_refuse(struct stream *s, const struct http_head *h, struct slice raw, enum reason why);
/* The same for one that the session answered with `status` (0: it only reset the stream): counted
 * and logged.  Borrows h. */
void stream_refused_h2(struct worker *w, struct down *d, struct http_head *h, unsigned status,
                       enum reason why);
/* a tunnel to split, or with split == NULL to the connection's original destination; both of the
 * current view */
void stream_begin_tunnel(struct stream *s, const struct chain *c, const struct split *split);
/* a response head, 1xx included; slices need not outlive the call */
void stream_response(struct stream *s, struct http_head *h, bool end);
void stream_data(struct half *from, struct slice p);
/* n bytes of a tunnel went to the other half's connection past both codecs */
void stream_passed(struct half *from, size_t n);
void stream_end(struct half *from, const struct http_field *trailers, unsigned n);
/* what was given since the last flush may be written now; its memory may change afterwards */
void stream_flush(struct half *from);
/* this sink has room again (or its backlog went down) */
void stream_writable(struct half *sink);
/* This half's peer is gone, or what it sends can't be used.  REASON_UP_UNPROCESSED: the server says
 * that it did not act on the request, so any may be tried again; not believed of one that began to
 * answer. */
void stream_gone(struct half *from, enum reason why);
/* a request that can't be served: answers and ends */
void stream_fail(struct stream *s, enum reason why);

void stream_event(struct stream *s, enum stream_ev ev);
/* a newer view was taken: those that waited for one look again */
void streams_try_again(struct worker *w);
void stream_close(struct stream *s, enum reason why);

/* ---- for filters ----------------------------------------------------------------------------- */

/* n bytes that live as long as the stream; NULL: no memory */
void *stream_alloc(struct stream *s, size_t n);
/* drops every field of that name */
void head_drop(struct http_head *h, enum http_hdr id);
/* Replaces a field of the request; value must live as long as the stream.  -1: no place */
int stream_set_header(struct stream *s, enum http_hdr id, struct slice value);
/* adds to a response on its way; borrowed value.  -1: no place */
int head_add(struct http_head *h, enum http_hdr id, struct slice value);
/* Answers in place of the upstream and ends the stream */
void stream_answer(struct stream *s, unsigned status, struct slice body, enum reason why);
/* stream_head.c: -1 when there is no memory */
int stream_keep_head(struct stream *s, const struct http_head *h, struct slice raw);
int stream_keep_trailers(struct stream *s, struct half *for_sink, const struct http_field *f,
                         unsigned n);
void stream_free_head(struct stream *s);
/* One canonical path (flags of uri_canonical); replace: it is what is forwarded, too.  -1: there is
 * none */
int stream_canonical_path(struct stream *s, unsigned flags, bool replace);
/* The form of the host that was matched is what is forwarded.  -1: no memory */
int stream_set_authority(struct stream *s, struct slice host);
/* TRACE and OPTIONS may pass so many intermediaries (RFC 9110 7.6.2): counts us.  MAX_FORWARDS: it
 * goes no further; or NO_MEMORY */
enum reason stream_max_forwards(struct stream *s);
/* asks for an upgrade that we carry */
bool stream_asks_upgrade(const struct http_head *h);

/* stream_relay.c: gives what waits to a sink that opened */
void stream_give_waiting(struct half *sink);
/* stream_relay.c: what waits for a sink is not wanted any more; its source has the credit */
void stream_drop_waiting(struct half *sink);
/* stream_pace.c: the pace timer's look, which sets it again or ends the stream */
void stream_pace_look(struct stream *s);
/* nothing moves here, but the client takes what the kernel holds */
bool stream_still_taken(const struct stream *s);
/* revoke.c: bytes both ways from now on; stream_close ends it */
void stream_becomes_tunnel(struct stream *s);
/* revoke.c: it ends */
void tunnel_gone(struct stream *s);
/* both directions looked at: ends the stream when it is over */
void stream_check_end(struct stream *s);

/* a filter that returned FILTER_WAIT goes on */
static inline void stream_resume(struct stream *s)
{
    stream_event(s, SEV_RESUME);
}

#endif
