/* h1_half.h - what both sides of an HTTP/1 connection do alike: bytes to messages and back, one
 * message at a time (engine-internal).
 *
 * half->codec is the struct h1_half, which is the first member of the side's own.  `half` is NULL
 * between messages.  While `busy` the side's reading loop is on the stack and goes on by itself;
 * otherwise whoever makes reading possible again asks for a callback (h1_half_wake).
 *
 *   read_once:  h1_half_read()  ─►  process:  h1_half_take_head(), h1_half_take_body()  ─►
 *               h1_half_keep_rest()
 */
#ifndef FSM_PROXY_H1_HALF_H
#define FSM_PROXY_H1_HALF_H

#include "common/http/h1.h"
#include "common/proxy/chan.h"
#include "common/proxy/inbuf.h"
#include "common/proxy/stream.h"

/* A head that did not arrive whole: what was parsed of it, kept until the rest comes. */
struct h1_partial {
    struct http_head head;
    uint32_t cap;
    struct http_field fields[HTTP_FIELDS_MAX];
};

struct h1_trail; /* memory for a message's trailers, taken only if there are any */

struct h1_half {
    struct worker *w;
    struct conn *conn; /* borrowed */
    struct half *half; /* of the stream under way, NULL = none */
    struct chan ch;
    struct inbuf in;
    struct h1_parser parser;
    struct h1_partial *partial;
    struct h1_body body; /* of the message being received */
    struct h1_trail *trail;
    bool busy;
    bool body_done;  /* the message was received whole */
    uint32_t pieces; /* of bodies, since h1_half_spend */
    bool tunnel;     /* bytes both ways, no more messages */
    bool held;       /* the stream takes nothing now */
    bool chunked;    /* what we send leaves in chunks */
    bool eof;        /* the peer has ended its side */
    bool closing;    /* only what waits is still sent */
    bool closed;     /* the connection is no longer ours to use */
};

void h1_half_start(struct h1_half *h, struct worker *w, struct conn *c);
/* the connection closes: gives back everything that is held */
void h1_half_close(struct h1_half *h);
/* asks for a callback to read, unless one is under way */
void h1_half_wake(struct h1_half *h);

/* ---- as a sink and a source: struct half_ops ------------------------------------------------- */

/* writes a head as text; -1: it does not fit or has what a head must not have */
int h1_half_head(struct h1_half *h, const struct http_head *head, const struct h1_emit *e);
size_t h1_half_data(struct half *half, struct slice p);
void h1_half_end(struct half *half, const struct http_field *trailers, unsigned n);
void h1_half_flush(struct half *half);
size_t h1_half_backlog(const struct half *half);
void h1_half_hold(struct half *half, bool on);
/* the fields of struct half_ops that are these */
#define H1_HALF_OPS                                                                                \
    .name = "h1", .data = h1_half_data, .end = h1_half_end, .flush = h1_half_flush,                \
    .backlog = h1_half_backlog, .read = h1_half_hold
/* the stream lets go: what is kept for its message goes back */
void h1_half_let_go(struct h1_half *h);

/* ---- reading --------------------------------------------------------------------------------- */

/* Reads once: behind the head that was begun, else up to `fresh` bytes into the worker's buffer.
 * > 0: *in is what there is to be taken now; 0 the end, CONN_AGAIN, CONN_ERROR as conn_read. */
#define H1_NO_ROOM (-3) /* no place for more of the head */
ssize_t h1_half_read(struct h1_half *h, size_t fresh, struct slice *in);
/* As h1_parse_request (asked NULL) and h1_parse_response; what is unfinished is kept.  When it
 * returned anything but 0, h1_half_drop_partial follows once *head is of no more use. */
ssize_t h1_half_take_head(struct h1_half *h, struct slice in, const struct h1_asked *asked,
                          struct http_head **head);
void h1_half_drop_partial(struct h1_half *h);
/* Gives body bytes from the front of *in, and the end with its trailers, to the stream; ask
 * whether `half` is still there.  0, or enum http_fault. */
int h1_half_take_body(struct h1_half *h, struct slice *in);
/* what is left of a turn's budget after a read of n bytes and what was made of them */
size_t h1_half_spend(struct h1_half *h, size_t budget, size_t n);
/* what process left over; -1: it cannot be kept */
int h1_half_keep_rest(struct h1_half *h, struct slice in);
/* what was put to any connection, and what the stream has for the other half, is written */
void h1_half_flush_all(struct h1_half *h);

#endif
