/* h2_pair.h - two HTTP/2 sessions that talk through memory, and what each was told, as text. */
#ifndef FSM_TEST_H2_PAIR_H
#define FSM_TEST_H2_PAIR_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/buf.h"
#include "common/http/h2.h"

struct end {
    struct h2c *c;
    struct buf log;   /* a line for each callback */
    struct buf body;  /* data received */
    struct h2s *last; /* the stream of the last head, or of our own request */
    bool hold;        /* do not consume what `data` gives */
    bool echo;        /* server: answers at once with 200 and "hello" */
    size_t held;
    unsigned short_writes; /* echoes that did not fit */
    const char *to_send;   /* what `writable` goes on with */
    size_t to_send_n;
    size_t head_bytes;    /* of the last head's fields */
    struct h2_head *kept; /* the last head */
};

static struct h2_pool *pool;
static struct end client, server;
static uint64_t now = 1000000;

static inline struct end *end_of(struct h2s *s)
{
    return h2_user(s->conn);
}

static inline void say_head(struct end *e, struct h2s *s, const struct http_head *h, bool end)
{
    buf_printf(&e->log, "head %d ", s->id);
    if (h->request)
        buf_printf(&e->log, "%.*s %.*s %.*s %.*s", SLICE_FMT(h->method_text), SLICE_FMT(h->scheme),
                   SLICE_FMT(h->authority), SLICE_FMT(h->target));
    else
        buf_printf(&e->log, "%u", h->status);
    for (unsigned i = 0; i < h->n_fields; i++)
        buf_printf(&e->log, " %.*s=%.*s", SLICE_FMT(h->fields[i].name),
                   SLICE_FMT(h->fields[i].value));
    buf_puts(&e->log, end ? " end\n" : "\n");
}

static inline int respond(struct h2s *s, unsigned status, bool end)
{
    struct http_field none[HTTP_FIELDS_MAX];
    struct http_head h = {.version = HTTP_V11, .status = status, .fields = none};

    return h2_response(s, &h, &(struct h2_emit){.end = end});
}

static inline void on_head(struct h2s *s, struct h2_head *hh, bool end)
{
    struct end *e = end_of(s);

    say_head(e, s, &hh->h, end);
    e->last = s;
    h2_head_free(e->kept);
    e->kept = hh;
    if (e->echo) {
        ck_assert_int_eq(respond(s, 200, false), 0);
        e->short_writes += h2_write(s, "hello", 5, true) < 5;
    }
}

static inline void on_data(struct h2s *s, struct slice p, bool end)
{
    struct end *e = end_of(s);

    buf_put_slice(&e->body, p);
    if (e->hold)
        e->held += p.n;
    else
        h2_consume(s, p.n);
    if (end)
        buf_printf(&e->log, "end %d\n", s->id);
}

static inline void on_trailers(struct h2s *s, const struct http_field *f, unsigned n)
{
    struct buf *log = &end_of(s)->log;

    buf_printf(log, "trailers %d", s->id);
    for (unsigned i = 0; i < n; i++)
        if (!f[i].dropped)
            buf_printf(log, " %.*s=%.*s", SLICE_FMT(f[i].name), SLICE_FMT(f[i].value));
    buf_putc(log, '\n');
}

static inline void on_end(struct h2s *s)
{
    buf_printf(&end_of(s)->log, "end %d\n", s->id);
}

static inline void go_on(struct end *e, struct h2s *s)
{
    ssize_t n = h2_write(s, e->to_send, e->to_send_n, true);

    ck_assert_int_ge(n, 0);
    e->to_send += n;
    e->to_send_n -= (size_t)n;
}

static inline void on_writable(struct h2s *s)
{
    struct end *e = end_of(s);

    if (e->to_send_n)
        go_on(e, s);
    else
        buf_printf(&e->log, "writable %d\n", s->id);
}

static inline void on_close(struct h2s *s, enum h2_end how, uint32_t code)
{
    struct end *e = end_of(s);

    buf_printf(&e->log, "close %d %s %s\n", s->id, h2_end_name(how), h2_code_name(code));
    if (e->last == s)
        e->last = NULL;
}

static inline void on_goaway(struct h2c *c, uint32_t code)
{
    buf_printf(&((struct end *)h2_user(c))->log, "goaway %s\n", h2_code_name(code));
}

static inline void on_pong(struct h2c *c)
{
    buf_puts(&((struct end *)h2_user(c))->log, "pong\n");
}

static inline void on_refused(struct h2c *c, int32_t id, enum http_fault fault, struct http_head *h)
{
    buf_printf(&((struct end *)h2_user(c))->log, "refused %d %s\n", id, http_fault_name(fault));
}

static const struct h2_callbacks callbacks = {
    .head = on_head,
    .data = on_data,
    .trailers = on_trailers,
    .end = on_end,
    .writable = on_writable,
    .close = on_close,
    .goaway = on_goaway,
    .pong = on_pong,
    .refused = on_refused,
};

static inline void end_open(struct end *e, enum h2_side side, const struct h2_limits *lim)
{
    memset(e, 0, sizeof(*e));
    e->c = h2_new(pool, side, lim, &callbacks, e);
    ck_assert_ptr_nonnull(e->c);
}

static inline void end_close(struct end *e)
{
    h2_free(e->c);
    h2_head_free(e->kept);
    buf_free(&e->log);
    buf_free(&e->body);
    memset(e, 0, sizeof(*e));
}

static inline void pair_open(const struct h2_limits *client_lim, const struct h2_limits *server_lim)
{
    pool = h2_pool_new();
    ck_assert_ptr_nonnull(pool);
    end_open(&client, H2_CLIENT, client_lim);
    end_open(&server, H2_SERVER, server_lim);
}

static inline void pair_close(void)
{
    end_close(&client);
    end_close(&server);
    h2_pool_free(pool);
    pool = NULL;
}

/* everything one side has to say, to the other; bytes moved */
static inline size_t carry(struct end *from, struct end *to)
{
    struct iovec iov[4];
    size_t total = 0;
    int n;

    while ((n = h2_output(from->c, iov, 4)) > 0) {
        struct buf b = BUF_INIT;

        for (int i = 0; i < n; i++)
            buf_append(&b, iov[i].iov_base, iov[i].iov_len);
        h2_sent(from->c, b.len);
        if (to)
            h2_recv(to->c, now, b.p, b.len);
        total += b.len;
        buf_free(&b);
    }
    return total;
}

/* until both are quiet */
static inline void talk(void)
{
    while (carry(&client, &server) + carry(&server, &client) > 0)
        ;
}

/* what was told since the last look */
static inline void expect_log(struct end *e, const char *want)
{
    ck_assert_str_eq(e->log.p ? e->log.p : "", want);
    buf_clear(&e->log);
    if (e->log.p)
        e->log.p[0] = '\0';
}

/* a request: fields as name, value, ... NULL */
static inline struct h2s *request(const char *method, const char *target, bool end,
                                  const char *const *fields)
{
    struct http_field f[HTTP_FIELDS_MAX];
    struct http_head h = {.request = true, .version = HTTP_V11, .fields = f};
    struct slice t = slice_str(target);

    h.method_text = slice_str(method);
    h.method = http_method_id(h.method_text);
    h.authority = SLICE_LIT("a.test");
    h.path = slice_cut(&t, '?');
    h.query = t;
    for (; fields && fields[0]; fields += 2) {
        f[h.n_fields] = (struct http_field){slice_str(fields[0]), slice_str(fields[1]), 0, false};
        f[h.n_fields].id = (uint16_t)http_hdr_id(f[h.n_fields].name);
        h.n_fields++;
    }
    client.last = h2_request(client.c, &h, &(struct h2_emit){.end = end}, NULL);
    return client.last;
}

#endif
