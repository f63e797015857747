/* h2.h - one HTTP/2 connection (RFC 9113) over nghttp2, server or client side; pure: bytes in,
 * callbacks and bytes out.
 *
 *   c = h2_new(pool, H2_SERVER, &limits, &callbacks, self);
 *   readable:     h2_recv(c, now, buf, n)       callbacks; < 0: flush what there is, then close
 *   end of turn:  while ((n = h2_output(c, iov, 8)) > 0) h2_sent(c, conn_writev(..iov, n..));
 *                 if (h2_done(c)) close
 *
 * CALLBACKS COME ONLY FROM h2_recv, h2_output and h2_free, never from inside the calls that
 * submit something.  Inside a callback everything may be called but these three.
 *
 * A stream (struct h2s) lives until its close callback returned, which comes exactly once for
 * every stream whose head was delivered (server) or that h2_request returned (client).
 *
 * Everything that RFC 9113 8 calls malformed, and what would change its meaning in HTTP/1, is
 * answered by resetting the stream and never delivered.  Bounds: struct h2_limits.
 * One thread per session and per pool.
 */
#ifndef FSM_HTTP_H2_H
#define FSM_HTTP_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "common/http/fault.h"
#include "common/http/message.h"

/* Memory that sessions of one thread share: nghttp2's objects, heads, output pages.  As much stays
 * as was in use at once since the last h2_pool_trim; beyond a bound what is free goes back to
 * malloc at once.  Outlives its sessions and heads. */
struct h2_pool;
struct h2_pool *h2_pool_new(void);
void h2_pool_free(struct h2_pool *p);
/* Gives back to malloc what was not needed since the last call, or all that lies free; call now and
 * then. */
void h2_pool_trim(struct h2_pool *p, bool all);
/* bytes held from malloc, in use or free */
size_t h2_pool_bytes(const struct h2_pool *p);
/* bytes of these that lie free */
size_t h2_pool_idle(const struct h2_pool *p);
/* the most it was since the last call of this */
size_t h2_pool_peak(struct h2_pool *p);

struct h2_limits {
    uint32_t max_streams;   /* the peer may have open (server) */
    uint32_t stream_window; /* bytes the peer may send ahead on one stream */
    uint32_t conn_window;   /* ... on the connection; given back as they arrive, but h2_tighten */
    /* stream_window after h2_tighten, of a peer that can be relied on to follow; 0 = any other */
    uint32_t tight_window;
    uint32_t header_bytes; /* decoded header list, as SETTINGS counts it: 431; 4 times: flood */
    uint16_t header_count; /* at most HTTP_FIELDS_MAX: 431 */
    uint16_t trailer_count;
    uint16_t info_heads;   /* 1xx responses on one stream */
    uint32_t resets_per_s; /* RST_STREAM from the peer, and streams it made us reset */
    /* SETTINGS, PRIORITY, unknown frames, empty DATA; PING and WINDOW_UPDATE beyond what the DATA
     * and HEADERS that we sent lately explain; the same on streams that ended, and what cannot have
     * been under way when we reset them */
    uint32_t control_per_s;
    uint32_t out_bytes;     /* output kept; above, h2_write takes nothing */
    uint16_t continuations; /* CONTINUATION frames of one header block */
};
#define H2_LIMITS_DEFAULT                                                                          \
    {                                                                                              \
        .max_streams = 256, .stream_window = 256 * 1024, .conn_window = 1024 * 1024,               \
        .header_bytes = 32768, .header_count = 100, .trailer_count = 32, .info_heads = 16,         \
        .resets_per_s = 200, .control_per_s = 1000, .out_bytes = 256 * 1024, .continuations = 8    \
    }
extern const struct h2_limits h2_limits_default;

/* why h2_recv refuses to go on; the names are log fields */
#define H2_ERRORS(X)                                                                               \
    X(PROTOCOL, "protocol_error") /* RFC 9113 5.4.1; the GOAWAY is in the output */                \
    X(PREFACE, "bad_preface")                                                                      \
    X(FLOOD, "flood") /* a rate of h2_limits was passed */                                         \
    X(NOMEM, "no_memory")
enum h2_error_index {
    H2_ERR_NONE,
#define X(id, name) H2_ERR_##id,
    H2_ERRORS(X)
#undef X
};
enum h2_error {
#define X(id, name) H2_E_##id = -(int)H2_ERR_##id,
    H2_ERRORS(X)
#undef X
};
const char *h2_error_name(int err);

/* RFC 9113 7; what h2_reset takes and the close callback gives */
enum h2_code {
    H2_NO_ERROR = 0,
    H2_PROTOCOL_ERROR = 1,
    H2_INTERNAL_ERROR = 2,
    H2_FLOW_CONTROL_ERROR = 3,
    H2_STREAM_CLOSED = 5,
    H2_REFUSED_STREAM = 7,
    H2_CANCEL = 8,
    H2_ENHANCE_YOUR_CALM = 11,
    H2_HTTP_1_1_REQUIRED = 13
};
const char *h2_code_name(uint32_t code);

struct h2c; /* a connection's session */

/* a stream; fields are read-only but user */
struct h2s {
    struct h2c *conn;
    void *user; /* the caller's; from h2_request, or set in the head callback */
    int32_t id;
    int fault; /* enum http_fault for which the session reset it, 0 = none */
};

/* A received head and its memory.  Owned by the head callback's receiver until h2_head_free(),
 * which may come at any time while the pool lives, also after the stream or session is gone. */
struct h2_head {
    struct http_head h; /* with HTTP_FIELDS_MAX places */
};
void h2_head_free(struct h2_head *hh);

/* how a stream came to its end */
enum h2_end {
    H2_END_DONE, /* both sides finished */
    H2_END_PEER_RESET,
    H2_END_LOCAL_RESET, /* h2_reset, or malformed input */
    H2_END_UNPROCESSED, /* the peer never acted on it (GOAWAY, REFUSED_STREAM): safe to retry */
    H2_END_CONN,        /* the connection went away beneath it */
};
const char *h2_end_name(enum h2_end e);

struct h2_callbacks {
    /* A request (server) or response (client; status < 200: more will follow).  takes hh.
     * end: nothing follows, `end` is not called for it. */
    void (*head)(struct h2s *s, struct h2_head *hh, bool end);
    /* p is valid until h2_recv returns; h2_consume() when it was passed on.  end: nothing follows,
     * `end` is not called for it. */
    void (*data)(struct h2s *s, struct slice p, bool end);
    /* the last thing of a message, no `end` follows; borrowed inside the callback */
    void (*trailers)(struct h2s *s, const struct http_field *f, unsigned n);
    /* the peer's half is complete */
    void (*end)(struct h2s *s);
    /* h2_write took less than it was given; now it will take more */
    void (*writable)(struct h2s *s);
    void (*close)(struct h2s *s, enum h2_end how, uint32_t code);
    /* the peer wants no new streams; those under way go on.  May be NULL */
    void (*goaway)(struct h2c *c, uint32_t code);
    /* the peer's SETTINGS arrived: h2_room() may have changed.  May be NULL */
    void (*settings)(struct h2c *c);
    /* answer to h2_ping.  May be NULL */
    void (*pong)(struct h2c *c);
    /* The session answered by itself: a stream reset as malformed, or 431 (the status of these
     * faults).  h: what was read of a request whose head was never delivered, else NULL; borrowed
     * inside the callback.  May be NULL */
    void (*refused)(struct h2c *c, int32_t id, enum http_fault fault, struct http_head *h);
};

enum h2_side { H2_CLIENT, H2_SERVER };
/* limits and callbacks: borrowed, must outlive the session; limits NULL = the defaults.
 * NULL when there is no memory. */
struct h2c *h2_new(struct h2_pool *pool, enum h2_side side, const struct h2_limits *limits,
                   const struct h2_callbacks *cb, void *user);
/* every stream left gets its close callback (H2_END_CONN) */
void h2_free(struct h2c *c);
/* What is to be written before a connection is closed in order (RFC 9113 5.4): what waits, and a
 * GOAWAY if none was sent that is final.  As h2_output, without callbacks; legal inside one.  For
 * the first n entries; h2_free follows. */
int h2_last_words(struct h2c *c, struct iovec *iov, int n);
void *h2_user(const struct h2c *c);

/* Feeds what the connection received.  now_ms: monotonic, for the rates.  0, or enum h2_error:
 * flush the output, then close. */
int h2_recv(struct h2c *c, uint64_t now_ms, const void *p, size_t n);
/* What is to be written: fills up to n entries, returns how many (0 = nothing).  The memory stays
 * valid until h2_sent. */
int h2_output(struct h2c *c, struct iovec *iov, int n);
/* the first n bytes of it were written */
void h2_sent(struct h2c *c, size_t n);
/* something waits to be written */
bool h2_wants_write(const struct h2c *c);
/* Server: the peer does not read, and more answers wait than its open streams can have (it resets
 * them and opens others): nothing more should be read of it. */
bool h2_congested(const struct h2c *c);
/* nothing more will come or go: close the connection */
bool h2_done(const struct h2c *c);

/* ---- submitting ------------------------------------------------------------------------------ */

/* How a head leaves.  Pseudo-header fields are made from the head; dropped fields, hop-by-hop
 * fields and Host are left out; Content-Length leaves as it is; names are lower-cased. */
struct h2_emit {
    struct slice scheme;    /* requests: p == NULL = the head's, else "http" */
    struct slice authority; /* p == NULL = the head's */
    struct slice target;    /* p == NULL = head->path and "?" head->query: the :path */
    bool end;               /* nothing follows */
    const struct http_field *add;
    unsigned n_add;
};
/* Client: streams that may be opened now; 0 when draining or at the peer's bound. */
unsigned h2_room(const struct h2c *c);
/* a header block has begun whose end has not come; since_ms: when, by the clock of h2_recv */
bool h2_mid_head(const struct h2c *c, uint64_t *since_ms);
/* streams open now, both sides */
unsigned h2_streams(const struct h2c *c);
/* Client.  NULL: no room, no memory, or an added field has characters it may not have. */
struct h2s *h2_request(struct h2c *c, const struct http_head *h, const struct h2_emit *e,
                       void *user);
/* Server: a 1xx (not 101) or the final response.  -1: the stream is closing, no memory, or bad
 * fields in e->add. */
int h2_response(struct h2s *s, const struct http_head *h, const struct h2_emit *e);
/* Takes bytes of the body as far as windows and the output bound allow: returns how many were
 * taken (copied).  Fewer than n: `writable` comes when it is worth trying again.  end counts only
 * when everything was taken.  -1: the stream is closing, drop the rest. */
ssize_t h2_write(struct h2s *s, const void *p, size_t n, bool end);
/* bytes h2_write would take now */
size_t h2_writable(const struct h2s *s);
/* As h2_write without an end, for who may learn of the end soon: what is taken is only borrowed,
 * until h2_push, h2_write or h2_trailers of this stream, one of which must come before the memory
 * changes and before h2_output.  So END_STREAM leaves with the last bytes, not behind them. */
ssize_t h2_put(struct h2s *s, const void *p, size_t n);
void h2_push(struct h2s *s);
/* Ends our half with trailers; those no trailer may have are left out.  -1 as above. */
int h2_trailers(struct h2s *s, const struct http_field *f, unsigned n);
/* The frame that ends our half is in the output; false also while the end waits for a window (RFC
 * 9113 6.9.1 would let it pass, nghttp2 does not). */
bool h2_end_left(struct h2s *s);
/* n bytes given by `data` were passed on: the peer may send as many more */
void h2_consume(struct h2s *s, size_t n);
/* Memory is short (until it is called with false): the peer's streams may send less ahead.  With
 * tight_window each of them so much, so that a slow one stops no other; the peer must read our
 * SETTINGS for that.  Else together conn_window, whatever it does: credit on the connection comes
 * back only with h2_consume. */
void h2_tighten(struct h2c *c, bool on);
/* ends the stream in both directions; the close callback still comes.  No more callbacks but it. */
void h2_reset(struct h2s *s, enum h2_code code);
/* Graceful: a GOAWAY now, the final one after a round trip (server, RFC 9113 6.8); streams under
 * way finish; then h2_done(). */
void h2_drain(struct h2c *c);
bool h2_draining(const struct h2c *c);
/* at once: GOAWAY with code; every stream ends */
void h2_terminate(struct h2c *c, enum h2_code code);
void h2_ping(struct h2c *c);

#endif
