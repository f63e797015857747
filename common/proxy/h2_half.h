/* h2_half.h - what both sides of an HTTP/2 stream do alike as a half of a stream
 * (engine-internal).
 *
 * half->codec is the session's stream (struct h2s), whose user is that half, or NULL once its
 * struct stream let go.  The session's user is the struct h2_io.
 */
#ifndef FSM_PROXY_H2_HALF_H
#define FSM_PROXY_H2_HALF_H

#include "common/http/h2.h"
#include "common/proxy/h2_io.h"
#include "common/proxy/stream.h"

static inline struct h2_io *h2_half_io(const struct h2s *hs)
{
    return h2_user(hs->conn);
}

/* struct half_ops: the sink borrows what may be the last bytes until it is flushed or ended, copies
 * the rest, and is written at the end of the turn; the source is held by flow control alone */
size_t h2_half_data(struct half *h, struct slice p);
void h2_half_end(struct half *h, const struct http_field *trailers, unsigned n);
void h2_half_flush(struct half *h);
size_t h2_half_backlog(const struct half *h);
void h2_half_read(struct half *h, bool on);
void h2_half_consumed(struct half *h, size_t n);
/* the fields of struct half_ops that are these */
#define H2_HALF_OPS                                                                                \
    .name = "h2", .data = h2_half_data, .end = h2_half_end, .flush = h2_half_flush,                \
    .backlog = h2_half_backlog, .read = h2_half_read, .consumed = h2_half_consumed

/* struct h2_callbacks: what the session received goes to the half, if that still wants it */
void h2_half_on_data(struct h2s *hs, struct slice p, bool end);
void h2_half_on_trailers(struct h2s *hs, const struct http_field *f, unsigned n);
void h2_half_on_end(struct h2s *hs);
void h2_half_on_writable(struct h2s *hs);
/* the fields of struct h2_callbacks that are these */
#define H2_HALF_CALLBACKS                                                                          \
    .data = h2_half_on_data, .trailers = h2_half_on_trailers, .end = h2_half_on_end,               \
    .writable = h2_half_on_writable

#endif
