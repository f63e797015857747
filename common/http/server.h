/* server.h - a small HTTP/1.1 server for control traffic: admin ports, the controller's API, the
 * injection webhook.  Not for user traffic.
 *
 *   hs = http_server_new(loop, fd, &opts, on_request, self, &e);
 *   on_request(req, self): http_reply_json(req, 200, body)  now or later, exactly once
 *
 * Bounded: head 16 KiB, body opts.max_body, connections opts.max_conns, of one address
 * opts.per_source, idle opts.idle_ms; a request has opts.slow_ms to arrive (408), a reply 60 s
 * without progress to be taken.  Who comes when a bound is reached takes the place of the
 * connection that has been without a request for longest, so that connections that say nothing keep
 * nobody out.  A TLS connection costs no TLS state before its first byte.  One thread.
 */
#ifndef FSM_HTTP_SERVER_H
#define FSM_HTTP_SERVER_H

#include <jansson.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/http/message.h"
#include "common/io/loop.h"
#include "common/tls/tls.h"

struct http_server;
struct http_req;

/* called with the whole request (body included) in hand */
typedef void http_req_cb(struct http_req *r, void *arg);

struct http_server_opts {
    struct tls_ctx *tls; /* NULL = plain; the server takes its own reference */
    size_t max_body;     /* 0 = 1 MiB; above: 413 */
    unsigned max_conns;  /* 0 = 256; when all have requests under way: 503 */
    unsigned per_source; /* connections from one address; 0 = half of max_conns */
    const char *name;    /* subsystem for the log; borrowed */
    unsigned slow_ms;    /* 0 = 15 s */
    unsigned first_ms;   /* time for a new connection's first byte; 0 = slow_ms */
    unsigned idle_ms;    /* between two requests; 0 = 60 s.  Clients that keep connections should
                            be the ones who close them: longer than they do */
    bool modest; /* while descriptors are short it has no more connections than its share of what
                    is kept back (descriptors.h), and one address half of it */
};
/* takes fd (a bound, listening socket: TCP or Unix) */
struct http_server *http_server_new(struct loop *l, int fd, const struct http_server_opts *o,
                                    http_req_cb *cb, void *arg, struct err *e);
/* new connections use this context from now on (certificate rotation) */
void http_server_set_tls(struct http_server *s, struct tls_ctx *ctx);
/* bytes of answers that clients have not taken yet: who makes large answers for many waits on it */
size_t http_server_pending(const struct http_server *s);
/* From now on each connection ends with its next answer (which says so). */
void http_server_drain(struct http_server *s);
/* Stops accepting; answers waiting requests 503 (their `gone` is called first: do not reply to them
 * any more); closes every connection, what the socket does not take at once is lost; frees. */
void http_server_free(struct http_server *s);

const struct http_head *http_req_head(const struct http_req *r);
/* "/v1/config" */
struct slice http_req_path(const struct http_req *r);
struct slice http_req_body(const struct http_req *r);
/* percent-decoded value of a query parameter into out; NULL if absent or too long */
const char *http_req_query(const struct http_req *r, const char *name, char *out, size_t size);
/* NULL on plain connections */
const struct tls_info *http_req_tls(const struct http_req *r);
const struct ip_port *http_req_peer(const struct http_req *r);
/* Told when the client goes away before the reply (long polls): the request is then dead, do not
 * reply any more.  Who does not ask to be told replies in any case; it goes nowhere. */
void http_req_on_gone(struct http_req *r, void (*fn)(struct http_req *r, void *arg), void *arg);
/* header for the reply; both copied */
void http_req_header(struct http_req *r, const char *name, const char *value);
/* copies body */
void http_reply(struct http_req *r, unsigned status, const char *content_type, struct slice body);
void http_reply_text(struct http_req *r, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* borrows body; pretty-printed */
void http_reply_json(struct http_req *r, unsigned status, const json_t *body);

#endif
