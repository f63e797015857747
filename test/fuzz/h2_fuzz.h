/* h2_fuzz.h - an HTTP/2 session under fuzzing: its user's side, which checks what h2.h promises. */
#ifndef FSM_TEST_H2_FUZZ_H
#define FSM_TEST_H2_FUZZ_H

#include <stdlib.h>
#include "common/http/h2.h"
#include "common/http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

struct fuzz;

/* a stream as its user knows it */
struct seen {
    struct fuzz *z;
    int32_t id;
    bool head, ended; /* the final head came; nothing may follow */
    bool reset;       /* by us: only close may follow */
    size_t held;      /* bytes not yet consumed */
    struct seen *next;
};

struct fuzz {
    struct h2_pool *pool;
    struct h2c *c;
    bool server;
    bool telling; /* inside a call that may call back */
    void (*on_head)(struct h2s *s, struct seen *x);
    struct seen *all;
    unsigned open;
};

static inline struct seen *fuzz_seen(struct fuzz *z, const struct h2s *s)
{
    struct seen *x = calloc(1, sizeof(*x));

    x->z = z;
    x->id = s->id;
    x->next = z->all;
    z->all = x;
    z->open++;
    return x;
}

static inline struct seen *told(struct h2s *s)
{
    struct seen *x = s->user;

    CHECK(x->z->telling && !x->ended && !x->reset && s->id == x->id);
    return x;
}

static inline void check_fields(const struct http_field *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        CHECK(http_is_token(f[i].name) && http_is_field_value(f[i].value));
        CHECK(f[i].id == http_hdr_id(f[i].name));
        switch (f[i].id) {
        case HDR_CONNECTION:
        case HDR_TRANSFER_ENCODING:
        case HDR_UPGRADE:
        case HDR_KEEP_ALIVE:
        case HDR_PROXY_CONNECTION:
            abort();
        default:
            break;
        }
    }
}

static inline void check_request(const struct http_head *h)
{
    CHECK(http_is_token(h->method_text) && uri_authority(h->authority, NULL, NULL) == 0);
    if (h->method == HTTP_M_CONNECT)
        return;
    CHECK(uri_is_origin_form(h->target) ||
          (h->method == HTTP_M_OPTIONS && slice_eq_str(h->target, "*")));
    CHECK(h->scheme.n == 4 || h->scheme.n == 5);
}

static inline void fuzz_on_head(struct h2s *s, struct h2_head *hh, bool end)
{
    struct fuzz *z = h2_user(s->conn);
    struct seen *x;

    if (z->server)
        s->user = fuzz_seen(z, s);
    x = told(s);
    CHECK(!x->head && hh->h.request == z->server);
    check_fields(hh->h.fields, hh->h.n_fields);
    if (z->server)
        check_request(&hh->h);
    else
        CHECK(hh->h.status >= 100 && hh->h.status <= 599 && hh->h.status != 101);
    x->head = z->server || hh->h.status >= 200;
    CHECK(x->head || !end);
    x->ended = end;
    h2_head_free(hh);
    if (x->head)
        z->on_head(s, x);
}

static inline void fuzz_on_data(struct h2s *s, struct slice p, bool end)
{
    struct seen *x = told(s);

    CHECK(x->head && !x->ended);
    x->ended = end;
    x->held += p.n;
    if (x->held > 10) { /* late, and never all */
        h2_consume(s, x->held - 3);
        x->held = 3;
    }
}

static inline void fuzz_on_trailers(struct h2s *s, const struct http_field *f, unsigned n)
{
    struct seen *x = told(s);

    CHECK(x->head);
    check_fields(f, n);
    for (unsigned i = 0; i < n; i++)
        CHECK(f[i].dropped == !http_trailer_allowed(&f[i]));
    x->ended = true;
}

static inline void fuzz_on_end(struct h2s *s)
{
    struct seen *x = told(s);

    CHECK(x->head && !x->ended);
    x->ended = true;
}

static inline void fuzz_write(struct h2s *s)
{
    static const char zeros[20000];

    if (h2_put(s, zeros, sizeof(zeros)) > 0)
        h2_put(s, zeros, sizeof(zeros));
    h2_push(s);
}

static inline void fuzz_on_writable(struct h2s *s)
{
    struct seen *x = s->user;

    CHECK(x->z->telling);
    CHECK(h2_writable(s) > 0);
    fuzz_write(s);
}

static inline void fuzz_on_close(struct h2s *s, enum h2_end how, uint32_t code)
{
    struct seen *x = s->user;

    CHECK(x->z->telling && x->z->open > 0);
    CHECK(h2_write(s, "x", 1, true) == -1);
    h2_consume(s, 1);
    h2_reset(s, H2_CANCEL);
    x->z->open--;
    s->user = NULL;
}

static const struct h2_callbacks fuzz_callbacks = {
    .head = fuzz_on_head,
    .data = fuzz_on_data,
    .trailers = fuzz_on_trailers,
    .end = fuzz_on_end,
    .writable = fuzz_on_writable,
    .close = fuzz_on_close,
};

static inline void fuzz_begin(struct fuzz *z, enum h2_side side,
                              void (*on_head)(struct h2s *s, struct seen *x))
{
    *z = (struct fuzz){.pool = h2_pool_new(), .server = side == H2_SERVER, .on_head = on_head};
    z->c = h2_new(z->pool, side, NULL, &fuzz_callbacks, z);
}

static inline void fuzz_flush(struct fuzz *z)
{
    struct iovec iov[3];
    int n;

    z->telling = true;
    for (int round = 0; round < 100 && (n = h2_output(z->c, iov, 3)) > 0; round++)
        h2_sent(z->c, iov[0].iov_len - (n > 1 ? 0 : iov[0].iov_len / 3));
    z->telling = false;
}

/* in pieces of `step` bytes, 0 = all; output is taken now and then */
static inline void fuzz_feed(struct fuzz *z, const uint8_t *p, size_t n, size_t step)
{
    static uint64_t now;

    for (unsigned round = 0; n; round++) {
        size_t part = step && step < n ? step : n;
        uint8_t *copy = malloc(part);

        memcpy(copy, p, part); /* of exact size, gone afterwards */
        z->telling = true;
        h2_recv(z->c, now += 3, copy, part);
        z->telling = false;
        free(copy);
        if (round % 3 == 0)
            fuzz_flush(z);
        p += part;
        n -= part;
    }
}

static inline void fuzz_end(struct fuzz *z)
{
    fuzz_flush(z);
    z->telling = true;
    h2_free(z->c);
    CHECK(z->open == 0);
    CHECK(z->all || h2_pool_bytes(z->pool) < 1000000);
    h2_pool_free(z->pool);
    while (z->all) {
        struct seen *x = z->all;

        z->all = x->next;
        free(x);
    }
}

#endif
