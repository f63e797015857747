/* h1_common.h - what the HTTP/1 codecs towards clients and servers share. */
#ifndef FSM_PROXY_H1_COMMON_H
#define FSM_PROXY_H1_COMMON_H

#include "common/http/h1.h"
#include "common/proxy/chan.h"
#include "common/proxy/reason.h"
#include "common/proxy/stream.h"

/* bytes one connection moves before others get their turn */
#define TURN_BYTES (512 * 1024)

/* writes a head as text; -1: it does not fit or has what a head must not have */
int h1_put_head(struct chan *ch, const struct http_head *h, const struct h1_emit *e);
/* body bytes, as a chunk if chunked */
void h1_put_data(struct chan *ch, struct slice p, bool chunked);
/* the end of a chunked body */
void h1_put_last_chunk(struct chan *ch, const struct http_field *trailers, unsigned n);

/* A head that did not arrive whole: what was parsed of it, kept until the rest comes. */
struct h1_partial {
    struct http_head head;
    uint32_t cap;
    struct http_field fields[HTTP_FIELDS_MAX];
};
/* Parses with what is kept, or into *head (its fields: the worker's).  As h1_parse_*; on 0 *part
 * holds what was parsed; otherwise the caller ends with h1_partial_drop(). */
ssize_t h1_parse_more(struct worker *w, struct h1_parser *p, struct h1_partial **part,
                      struct slice in, const struct h1_asked *asked, struct http_head **head);
void h1_partial_drop(struct worker *w, struct h1_partial **part);

/* memory for a message's trailers, taken only if there are any */
struct h1_trail {
    struct h1_trailers t; /* first */
    uint32_t cap;
};
struct h1_trail *h1_trail_get(struct wmem *m, const struct h1_limits *lim);
void h1_trail_put(struct wmem *m, struct h1_trail *t);

/* Gives the body bytes in *in to the stream's half.  1 complete (*in = what is behind), 0 more
 * to come, < 0 enum h1_error.  *trail: taken when needed; 0 with *trail NULL cannot happen. */
int h1_take_body(struct half *src, struct h1_body *b, struct slice *in, struct h1_trail **trail);

enum reason h1_request_reason(int h1_error);

#endif
