/* h1.h - HTTP/1.0 and 1.1 on the wire (RFC 9112): strict, in place, without I/O or memory of its
 * own.
 *
 * Head:   struct http_field places[HTTP_FIELDS_MAX];
 *         struct http_head head = {.fields = places};
 *         struct h1_parser p;
 *         h1_parser_init(&p, &limits);
 *         n = h1_parse_request(&p, buf, len, &head);     again with more bytes while n == 0
 *         n > 0: the head is buf[0..n), head's slices point into buf; n < 0: enum http_fault
 * Body:   h1_body_init(&b, &head, &limits);
 *         while ((ev = h1_body_next(&b, &in, &data)) > H1_BODY_MORE) ...
 * Out:    n = h1_write_head(out, cap, &head, &how);
 *
 * What is ambiguous is refused, never repaired; no result depends on how the bytes were split.
 * Any thread; nothing is shared.
 */
#ifndef FSM_HTTP_H1_H
#define FSM_HTTP_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/http/fault.h"
#include "common/http/message.h"

struct h1_limits {
    uint32_t head_bytes;    /* the whole head: 431 */
    uint32_t line_bytes;    /* the request or status line without its CRLF: 414 */
    uint16_t fields;        /* at most HTTP_FIELDS_MAX; options of Connection as well: 431 */
    uint16_t ext_bytes;     /* chunk extensions of one chunk */
    uint32_t ext_total;     /* chunk extensions of one body */
    uint32_t trailer_bytes; /* the trailer section: 431 */
    uint16_t trailers;      /* its fields: 431 */
};
#define H1_LIMITS_DEFAULT                                                                          \
    {                                                                                              \
        .head_bytes = 32768, .line_bytes = 8192, .fields = 100, .ext_bytes = 256,                  \
        .ext_total = 16384, .trailer_bytes = 8192, .trailers = 32                                  \
    }
extern const struct h1_limits h1_limits_default;

/* Where an unfinished head stands.  A head that arrives byte by byte is read once, not once per
 * byte; the caller's buffer may move between calls as long as its bytes stay the same. */
struct h1_parser {
    const struct h1_limits *lim; /* borrowed */
    const char *base;            /* the buffer of the last call */
    uint32_t line;               /* offset of the first line not yet parsed */
    uint32_t scan;               /* offset up to which no line end was found */
    bool in_fields;              /* the first line is done */
    bool blank;                  /* the one empty line allowed before a request was met */
    uint16_t seen;               /* what the fields so far said */
    uint8_t host;                /* index of the Host field */
    uint16_t options;            /* in Connection fields */
    uint32_t question;           /* offset of '?' in the target, 0 = none */
    uint64_t length;             /* value of Content-Length */
};

/* limits: borrowed, must live as long as the parser, and may change between calls; NULL =
 * h1_limits_default */
void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits);

/* h->fields: set by the caller, HTTP_FIELDS_MAX places; everything else in *h is written here.
 * buf holds everything received so far from the head's first byte on; n only grows.
 * > 0 length of the head, 0 need more, < 0 enum http_fault (the parser is of no more use).
 * "Content-Length: 0" gives HTTP_BODY_NONE.  h->upgrade is not set for "Upgrade: h2c": that
 * request is served as if it had not asked (RFC 9110 7.8). */
ssize_t h1_parse_request(struct h1_parser *p, const char *buf, size_t n, struct http_head *h);
/* The bytes of an unfinished head lie at buf now: before *h is looked at without more of them. */
void h1_moved(struct h1_parser *p, const char *buf, struct http_head *h);

/* what the request was that a response answers */
struct h1_asked {
    enum http_method method;
    bool upgrade; /* it asked for an upgrade: 101 is allowed */
};
ssize_t h1_parse_response(struct h1_parser *p, const char *buf, size_t n,
                          const struct h1_asked *asked, struct http_head *h);

/* ---- bodies ---------------------------------------------------------------------------------- */

/* where the trailer section is kept; memory of the caller, needed only if there is one */
struct h1_trailers {
    char *mem; /* the section's text; fields' slices point here */
    uint32_t size, len;
    struct http_field *fields;
    uint16_t max, n;
};

enum h1_body_event {
    H1_BODY_MORE = 0,     /* all input taken, more is needed */
    H1_BODY_DATA = 1,     /* a slice of payload, pointing into the input */
    H1_BODY_END = 2,      /* complete; what is left of the input is behind the message */
    H1_BODY_WANT_MEM = 3, /* trailers are coming: h1_body_trailers(), then call again */
};

struct h1_body {
    const struct h1_limits *lim; /* borrowed */
    enum http_body kind;
    uint8_t state;
    uint8_t digits; /* of the chunk size */
    uint16_t ext;   /* extension bytes of this chunk */
    uint32_t ext_total;
    uint32_t line; /* in trailers: offset of the unfinished line in mem */
    uint64_t left; /* payload bytes of the body or the chunk still to come */
    struct h1_trailers *trailers;
};

/* borrows limits (NULL = h1_limits_default).  h: what a parser filled in */
void h1_body_init(struct h1_body *b, const struct http_head *h, const struct h1_limits *limits);
/* Takes bytes from the front of *in; *data is set with H1_BODY_DATA.  Returns enum h1_body_event,
 * or enum http_fault: the message, and its connection, are then of no more use. */
int h1_body_next(struct h1_body *b, struct slice *in, struct slice *data);
/* borrows t until the body's end */
void h1_body_trailers(struct h1_body *b, struct h1_trailers *t);
/* the connection has ended: H1_BODY_END if that ends the body, else FAULT_TRUNCATED */
int h1_body_eof(struct h1_body *b);
static inline bool h1_body_done(const struct h1_body *b)
{
    return b->state == 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* How a head leaves.  Framing and hop-by-hop fields are ours: Host (first), Content-Length,
 * Transfer-Encoding, Connection, Keep-Alive, Proxy-Connection, TE, Upgrade and HTTP2-Settings of
 * the head are not copied but written anew from here.  Everything else leaves in its order unless
 * it is dropped; the cookie fields of an HTTP/2 head are joined (RFC 9113 8.2.3). */
struct h1_emit {
    struct slice target;    /* requests: p == NULL = head->path and "?" head->query (so a filter
                               may replace the path by its canonical form), CONNECT: authority */
    struct slice authority; /* requests: p == NULL = the head's authority */
    enum http_body body;    /* NONE, LENGTH, CHUNKED (also for STREAM), CLOSE or TUNNEL */
    uint64_t content_length;
    bool http10;                  /* write HTTP/1.0 as the version */
    bool head_reply;              /* the response answers HEAD: its Content-Length is passed on */
    bool close;                   /* "Connection: close" */
    bool keep_alive;              /* "Connection: keep-alive" (to an HTTP/1.0 peer) */
    bool upgrade;                 /* "Connection: upgrade" and the head's Upgrade field */
    const struct http_field *add; /* fields added behind; those marked dropped are not */
    unsigned n_add;
};
/* Bytes written, or -1: it does not fit, or an added field is no token or has a character that
 * no field may have (nothing that could split a message leaves), or chunks to HTTP/1.0. */
ssize_t h1_write_head(char *out, size_t cap, const struct http_head *h, const struct h1_emit *e);
/* a size that h1_write_head fits into for sure */
size_t h1_head_bound(const struct http_head *h, const struct h1_emit *e);

#define H1_CHUNK_HEAD_MAX 18 /* 16 digits, CRLF */
/* "1f4\r\n"; behind the n bytes of payload the caller puts "\r\n".  n > 0 */
size_t h1_write_chunk_head(char out[H1_CHUNK_HEAD_MAX], uint64_t n);
#define H1_LAST_CHUNK "0\r\n\r\n"
/* "0\r\n", the fields that are not dropped and that a trailer may have, "\r\n"; -1 = no room */
ssize_t h1_write_trailers(char *out, size_t cap, const struct http_field *f, unsigned n);

#endif
