/* h2_int.h - what the h2*.c files share; nobody else includes it.
 *
 * h2.c       the session: recv, output, dispatch of events, windows, rates
 * h2_cb.c    what nghttp2 calls
 * h2_head.c  received heads: building and judging them
 * h2_send.c  heads, bodies and trailers going out
 * h2_walk.c  frames that nghttp2 would let pass
 * h2_pool.c  memory
 */
#ifndef FSM_HTTP_H2_INT_H
#define FSM_HTTP_H2_INT_H

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>
#include "common/http/h2.h"

/* ---- memory ---------------------------------------------------------------------------------- */

#define H2_PAGE (16384 - 16) /* bytes of an output page; with the pool's header a size class */

struct h2_page {
    TAILQ_ENTRY(h2_page) link;
    uint32_t start, end; /* data[start..end) waits to be written */
    char data[];
};
#define H2_PAGE_ROOM (H2_PAGE - sizeof(struct h2_page))

struct h2_pool {
    nghttp2_mem mem;
    nghttp2_session_callbacks *callbacks;
    struct h2_class *lists; /* free memory by size class */
    void *frame;            /* where sessions put frames together, see h2_pool.c */
    void *reserve;          /* for when there is no memory, see h2_pool.c */
    bool making;            /* a session is being made */
    size_t held, idle;      /* bytes from malloc; of those, in lists */
    size_t peak;            /* of held, since it was asked for */
};

void *h2_alloc(struct h2_pool *p, size_t n); /* NULL when there is no memory */
void h2_release(struct h2_pool *p, void *mem);
/* Before each nghttp2_session_mem_send() of a session with so many streams: what it cannot do
 * without lies ready.  -1: there is no memory, and it must not be called */
int h2_pool_reserve(struct h2_pool *p, unsigned streams);
nghttp2_session_callbacks *h2_callbacks_new(void);

/* ---- received heads -------------------------------------------------------------------------- */

/* NULL when there is no memory */
struct h2_head *h2_head_new(struct h2_pool *p, bool request);
enum h2_added { H2_ADDED, H2_ADD_TOO_LARGE, H2_ADD_BAD, H2_ADD_NOMEM };
/* one field of a header block, pseudo-header fields too; copies */
enum h2_added h2_head_add(struct h2_head *hh, const struct h2_limits *lim, struct slice name,
                          struct slice value);
/* The block is complete: fills in the rest of the head.  0, or enum http_fault: it is malformed.
 * asked: the method of the request that a response answers */
int h2_head_request(struct h2_head *hh, bool end);
int h2_head_response(struct h2_head *hh, enum http_method asked, bool end);
/* trailers that may not be are marked as dropped */
int h2_head_trailers(struct h2_head *hh, const struct h2_limits *lim);

/* ---- sessions -------------------------------------------------------------------------------- */

struct stream {
    struct h2s pub;           /* first: a struct h2s is a struct stream */
    TAILQ_ENTRY(stream) link; /* of the session */
    TAILQ_ENTRY(stream) blocked_link;
    struct h2_head *building; /* the header block being received, or refused */
    const char *src;          /* what h2_write is offering, src_n bytes */
    size_t src_n;
    struct slice kept;  /* h2_put took it; counted in the session's */
    size_t unconsumed;  /* given to `data`, not yet h2_consume'd */
    size_t owed;        /* the last of these, for which the connection has had no credit either */
    uint16_t infos;     /* 1xx heads so far */
    uint8_t method;     /* enum http_method of the request */
    bool too_large;     /* the header block passed a limit */
    bool bad_field;     /* it has a field that cannot be */
    bool final_head;    /* the request's or final response's head was received */
    bool delivered;     /* the head callback was called, or the request is ours */
    bool opened;        /* HEADERS were sent, or received */
    bool answered;      /* server: the final response was submitted */
    bool deferred;      /* nghttp2 waits for h2_write */
    bool want_eof;      /* our half ends with what is offered now */
    bool no_end_stream; /* ... but trailers follow */
    bool local_end;     /* our half has ended */
    bool remote_end;
    bool end_told; /* with the last data */
    bool peer_reset, local_reset;
    bool end_sent;     /* the frame that ends our half */
    bool reset_at_end; /* ... is still to come, and then the peer's half is not wanted */
    bool muted;        /* h2_reset, or malformed: nothing but close is told */
    bool refused;      /* malformed */
    bool closed;       /* nghttp2 knows it no more; the close event is queued */
    bool blocked;      /* in the session's blocked list */
    bool writable_queued;
};

enum event_type {
    EV_HEAD,
    EV_DATA,
    EV_TRAILERS,
    EV_END,
    EV_WRITABLE,
    EV_CLOSE,
    EV_GOAWAY,
    EV_SETTINGS,
    EV_PONG,
    EV_REFUSED
};

struct event {
    STAILQ_ENTRY(event) link;
    enum event_type type;
    struct stream *st; /* NULL: the connection */
    union {
        struct {
            struct h2_head *head;
            bool end;
        };
        struct slice data;
        uint32_t code;
        int fault;
    };
};

#define RESETS_KEPT 16 /* streams we reset whose late frames are told from stray ones */

struct h2c {
    struct h2_pool *pool;
    nghttp2_session *ng;
    const struct h2_limits *lim;
    const struct h2_callbacks *cb;
    void *user;
    TAILQ_HEAD(, stream) streams;
    TAILQ_HEAD(, stream) blocked;
    STAILQ_HEAD(, event) events;
    TAILQ_HEAD(h2_pages, h2_page) out;
    size_t out_len;
    size_t kept; /* bytes borrowed by h2_put: room and windows are set aside for them */
    uint64_t now_ms, window_ms; /* of the rates */
    uint32_t resets, controls;  /* in the present second */
    uint32_t window_updates;    /* that may still come for what we sent */
    uint32_t pings_paid;        /* likewise */
    unsigned n_streams;
    int failed;       /* enum h2_error, 0 = none */
    uint32_t goodbye; /* code of the GOAWAY to be sent for it, 0 = none */
    bool server;
    bool dead; /* nghttp2 must not be called any more */
    bool draining, drain_sent;
    bool tight, tight_told;    /* h2_tighten; what our last SETTINGS said of it */
    unsigned settings_unacked; /* sent, not acknowledged */
    uint32_t refusals;         /* streams above max_streams, ever */
    bool final_goaway;         /* was sent */
    bool mid_head;             /* HEADERS came without its end */
    uint64_t head_ms;          /* when that was */
    size_t head_decoded;       /* bytes of the present header block */
    bool goaway_received;
    bool dispatching;
    bool unblock_due;  /* windows grew: blocked streams may go on */
    bool out_was_full; /* blocked streams may go on when output was written */
    int32_t last_id;   /* the highest stream opened */
    int32_t reset_ids[RESETS_KEPT];
    unsigned n_reset_ids; /* ever */
    struct {
        uint8_t bytes[13]; /* a frame's header, and of PRIORITY its dependency */
        unsigned have;
        uint32_t left;          /* payload still to come */
        int32_t resets[4];      /* streams that the peer reset last */
        unsigned n_resets;      /* ever */
        unsigned continuations; /* of the present header block */
        /* Frames that were seen and that nghttp2 has not shown to h2_cb.c: what it passed over,
         * once it has read as far (below zero: shown after they were judged). */
        int frames;   /* DATA without bytes, and HEADERS */
        int windows;  /* WINDOW_UPDATE */
        int64_t data; /* bytes of DATA */
    } walk;
    uint64_t late_frames, late_bytes; /* passed over as being under way, ever */
    unsigned pings;                   /* sent, whose answer has not come */
};

struct stream *h2_stream_new(struct h2c *c, int32_t id);
/* queues an event; NULL when there is no memory (the session fails) */
struct event *h2_event(struct h2c *c, enum event_type type, struct stream *st);
/* writes what nghttp2 has to send into the output pages, up to their bound, and what st offers (or
 * NULL) even beyond it */
void h2_pump_for(struct h2c *c, const struct stream *st);
static inline void h2_pump(struct h2c *c)
{
    h2_pump_for(c, NULL);
}
/* appends to the output; -1 when there is no memory */
int h2_out(struct h2c *c, const void *p, size_t n);
/* the session is over; goodbye: the code of the GOAWAY to be sent, 0 = none */
void h2_fail(struct h2c *c, int err, uint32_t goodbye);
/* what a function of nghttp2 returned that only queues: without memory the connection is over, as
 * the peer would wait for ever for what it was not told */
void h2_said(struct h2c *c, int rc);
/* counts against a rate; the session fails when it is passed */
void h2_count_reset(struct h2c *c);
void h2_count_control(struct h2c *c);
/* a stream that h2_write could not satisfy waits here */
void h2_block(struct stream *st);
/* the window opened: queues `writable` for a blocked stream, if it may send now */
void h2_unblock(struct stream *st);
void h2_unblock_all(struct h2c *c);
/* looks at the frames of the next n bytes of input before nghttp2 reads them */
void h2_walk(struct h2c *c, const uint8_t *p, size_t n);
/* nghttp2 has read them: what it passed over is counted */
void h2_walked(struct h2c *c);
/* a peer may send a few for each DATA frame of ours; more is counted */
void h2_count_window(struct h2c *c);
/* DATA or HEADERS on a stream that is closed, and not because we reset it */
bool h2_is_stray(const struct h2c *c, int32_t id);
/* Nothing more is told of a stream because of what the peer sent, but that it was refused.  A head
 * that nobody saw stays in `building` until then. */
void h2_refused(struct stream *st, int fault);
/* nghttp2's read callback: how much of st->src goes into the next DATA frame */
ssize_t h2_read_source(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user);
int h2_send_431(struct stream *st);
/* credit on the connection for what exceeds n of what the stream owes */
void h2_repay(struct stream *st, size_t n);
/* the peer acknowledged our SETTINGS: what they said may have changed since */
void h2_settings_acked(struct h2c *c);
/* forgets what h2_put took: the stream ends */
void h2_unkeep(struct stream *st);

#endif
