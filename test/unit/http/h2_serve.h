/* h2_serve.h - a small HTTP/2 server over io/conn for tests with real clients.
 *
 *   GET /hello     "hello"                     POST /echo      what was sent, as fast as it is read
 *   GET /big       5,000,000 bytes             GET /trailers   "hello" and x-sum: 1
 *   GET /hints     103, then "hello"           GET /reset      RST_STREAM
 *   GET /drain     "hello", then GOAWAY
 */
#ifndef FSM_TEST_H2_SERVE_H
#define FSM_TEST_H2_SERVE_H

#include <stdlib.h>
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/http/h2.h"
#include "common/io/conn.h"
#include "common/io/listener.h"

#define BIG 5000000u

struct h2_serve {
    struct loop *loop;
    struct listener *listener;
    struct h2_pool *pool;
    LIST_HEAD(, peer) peers;
};

struct peer {
    LIST_ENTRY(peer) link;
    struct h2_serve *srv;
    struct conn *conn;
    struct h2c *h2;
    struct loop_job flush;
    bool closing;
};

struct reply {
    struct h2_head *head;
    struct buf left; /* what h2_write took up to `sent`, and what it has not */
    size_t sent;
    bool echo, ended, trailers;
};

static inline void serve_head(struct h2s *s, unsigned status, bool end)
{
    struct http_field f[1] = {{SLICE_LIT("Server"), SLICE_LIT("test"), HDR_SERVER, false}};
    struct http_head h = {.status = status, .fields = f, .n_fields = 1};

    h2_response(s, &h, &(struct h2_emit){.end = end});
}

/* what waits goes as far as it can; the bytes of an echo are consumed as they leave */
static inline void serve_more(struct h2s *s, struct reply *r)
{
    struct http_field sum = {SLICE_LIT("x-sum"), SLICE_LIT("1"), HDR_OTHER, false};
    bool end = r->ended && !r->trailers;
    size_t all = r->left.len - r->sent;
    ssize_t n;

    if (all == 0 && !r->ended)
        return;
    n = h2_write(s, r->left.p + r->sent, all, end);
    if (n < 0)
        return;
    if (r->echo)
        h2_consume(s, (size_t)n);
    r->sent += (size_t)n;
    if ((size_t)n < all)
        return;
    buf_clear(&r->left);
    r->sent = 0;
    if (r->ended && r->trailers)
        h2_trailers(s, &sum, 1);
}

static inline void serve_on_head(struct h2s *s, struct h2_head *hh, bool end)
{
    struct reply *r = xcalloc(1, sizeof(*r));
    struct slice path = hh->h.path;

    s->user = r;
    r->head = hh;
    if (slice_eq_str(path, "/reset")) {
        h2_reset(s, H2_CANCEL);
        return;
    }
    if (slice_eq_str(path, "/hints"))
        serve_head(s, 103, false);
    if (slice_eq_str(path, "/drain"))
        h2_drain(s->conn);
    serve_head(s, 200, false);
    if (slice_eq_str(path, "/echo")) {
        r->echo = true;
        r->ended = end;
    } else {
        r->ended = true;
        r->trailers = slice_eq_str(path, "/trailers");
        if (slice_eq_str(path, "/big")) {
            memset(buf_reserve(&r->left, BIG), 'b', BIG);
            r->left.len = BIG;
        } else {
            buf_puts(&r->left, "hello");
        }
    }
    serve_more(s, r);
}

static inline void serve_on_data(struct h2s *s, struct slice p, bool end)
{
    struct reply *r = s->user;

    if (r->echo)
        buf_put_slice(&r->left, p);
    else
        h2_consume(s, p.n);
    r->ended |= end && r->echo;
    if (r->echo)
        serve_more(s, r);
}

static inline void serve_on_end(struct h2s *s)
{
    struct reply *r = s->user;

    if (r->echo) {
        r->ended = true;
        serve_more(s, r);
    }
}

static inline void serve_on_trailers(struct h2s *s, const struct http_field *f, unsigned n)
{
    serve_on_end(s);
}

static inline void serve_on_writable(struct h2s *s)
{
    serve_more(s, s->user);
}

static inline void serve_on_close(struct h2s *s, enum h2_end how, uint32_t code)
{
    struct reply *r = s->user;

    h2_head_free(r->head);
    buf_free(&r->left);
    free(r);
}

static const struct h2_callbacks serve_callbacks = {
    .head = serve_on_head,
    .data = serve_on_data,
    .trailers = serve_on_trailers,
    .end = serve_on_end,
    .writable = serve_on_writable,
    .close = serve_on_close,
};

static inline void peer_close(struct peer *p)
{
    loop_undefer(p->srv->loop, &p->flush);
    LIST_REMOVE(p, link);
    h2_free(p->h2);
    conn_close(p->conn);
    free(p);
}

static inline void peer_flush(struct loop_job *job)
{
    struct peer *p = (struct peer *)((char *)job - offsetof(struct peer, flush));
    struct iovec iov[16];
    int n;

    while ((n = h2_output(p->h2, iov, 16)) > 0) {
        ssize_t put = conn_writev(p->conn, iov, n);

        if (put == CONN_AGAIN)
            return;
        if (put < 0) {
            peer_close(p);
            return;
        }
        h2_sent(p->h2, (size_t)put);
    }
    if (p->closing || h2_done(p->h2))
        peer_close(p);
}

static inline void peer_event(struct conn *c, unsigned events, void *arg)
{
    static char in[65536];
    struct peer *p = arg;
    ssize_t n = CONN_AGAIN;

    if (events & CONN_EV_READ) {
        while ((n = conn_read(c, in, sizeof(in))) > 0)
            if (h2_recv(p->h2, loop_now_ms(p->srv->loop), in, (size_t)n) < 0)
                p->closing = true;
        if (n != CONN_AGAIN) {
            peer_close(p);
            return;
        }
    }
    loop_defer(p->srv->loop, &p->flush);
}

static inline void serve_accept(struct listener *l, int fd, const struct ip_port *from, void *arg)
{
    struct peer *p = xcalloc(1, sizeof(*p));

    p->srv = arg;
    p->flush.fn = peer_flush;
    p->conn = conn_accepted(p->srv->loop, fd, from, peer_event, p, NULL);
    p->h2 = h2_new(p->srv->pool, H2_SERVER, NULL, &serve_callbacks, p);
    LIST_INSERT_HEAD(&p->srv->peers, p, link);
    loop_defer(p->srv->loop, &p->flush);
}

/* takes fd, which listens */
static inline void serve_start(struct h2_serve *s, int fd)
{
    s->loop = loop_new(NULL);
    s->pool = h2_pool_new();
    LIST_INIT(&s->peers);
    s->listener = listener_new(s->loop, fd, serve_accept, s, NULL);
}

/* the loop is still the caller's to free, when nobody can be about to post to it */
static inline void serve_stop(struct h2_serve *s)
{
    listener_free(s->listener);
    while (!LIST_EMPTY(&s->peers))
        peer_close(LIST_FIRST(&s->peers));
    h2_pool_free(s->pool);
}

#endif
