/* h2_frames.h - HTTP/2 frames by hand, also such as no library would send, and what came back. */
#ifndef FSM_TEST_H2_FRAMES_H
#define FSM_TEST_H2_FRAMES_H

#include <nghttp2/nghttp2.h>
#include "test/unit/http/h2_pair.h"

#define F_END_STREAM  1u
#define F_END_HEADERS 4u

static struct buf wire = BUF_INIT;    /* frames to be sent */
static nghttp2_hd_deflater *deflater; /* of the hand-made side */

static inline void put_u32(struct buf *b, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_putc(b, (char)(v >> shift));
}

static inline void frame(uint8_t type, unsigned flags, uint32_t id, const void *p, size_t n)
{
    buf_putc(&wire, (char)(n >> 16));
    buf_putc(&wire, (char)(n >> 8));
    buf_putc(&wire, (char)n);
    buf_putc(&wire, (char)type);
    buf_putc(&wire, (char)flags);
    put_u32(&wire, id);
    if (n)
        buf_append(&wire, p, n);
}

static inline void preface(void)
{
    buf_append(&wire, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
}

/* "name: value\n..."; a pseudo-header name keeps its first colon.  \0 cannot be in it. */
static inline size_t parse_fields(const char *text, nghttp2_nv *nv, size_t max)
{
    size_t n = 0;

    while (*text && n < max) {
        const char *eol = strchr(text, '\n'), *colon = strstr(text + 1, ": ");

        eol = eol ? eol : text + strlen(text);
        nv[n++] = (nghttp2_nv){(uint8_t *)text, (uint8_t *)colon + 2, (size_t)(colon - text),
                               (size_t)(eol - colon - 2), NGHTTP2_NV_FLAG_NONE};
        text = *eol ? eol + 1 : eol;
    }
    return n;
}

/* a header block in HPACK */
static inline struct buf block_of(const char *text)
{
    nghttp2_nv nv[256];
    size_t n = parse_fields(text, nv, 256);
    struct buf b = BUF_INIT;
    size_t bound = nghttp2_hd_deflate_bound(deflater, nv, n);
    ssize_t len = nghttp2_hd_deflate_hd(deflater, (uint8_t *)buf_reserve(&b, bound), bound, nv, n);

    ck_assert_int_ge(len, 0);
    b.len = (size_t)len;
    return b;
}

static inline void headers(uint32_t id, unsigned flags, const char *text)
{
    struct buf b = block_of(text);

    frame(NGHTTP2_HEADERS, flags | F_END_HEADERS, id, b.p, b.len);
    buf_free(&b);
}

/* ---- what came back -------------------------------------------------------------------------- */

static inline uint32_t get_u32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* the frames that end something, as "rst 1 CANCEL\n", "goaway CODE\n", and heads as "headers 1\n"
 */
static inline void frames_text(const char *p, size_t n, struct buf *out)
{
    while (n >= 9) {
        size_t len = get_u32(p) >> 8;
        uint32_t id = get_u32(p + 5);

        ck_assert_uint_ge(n, 9 + len);
        if (p[3] == NGHTTP2_RST_STREAM)
            buf_printf(out, "rst %u %s\n", id, nghttp2_http2_strerror(get_u32(p + 9)));
        else if (p[3] == NGHTTP2_GOAWAY)
            buf_printf(out, "goaway %s\n", nghttp2_http2_strerror(get_u32(p + 13)));
        else if (p[3] == NGHTTP2_HEADERS)
            buf_printf(out, "headers %u\n", id);
        p += 9 + len;
        n -= 9 + len;
    }
}

static inline void open_frames(enum h2_side side, const struct h2_limits *lim)
{
    pool = h2_pool_new();
    end_open(side == H2_SERVER ? &server : &client, side, lim);
    ck_assert_int_eq(nghttp2_hd_deflate_new(&deflater, 4096), 0);
    if (side == H2_SERVER)
        preface();
    frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static inline void close_frames(void)
{
    end_close(&client);
    end_close(&server);
    h2_pool_free(pool);
    pool = NULL;
    nghttp2_hd_deflate_del(deflater);
    buf_free(&wire);
}

/* everything in `wire` goes to e; what e sends is told in *back; returns h2_recv's result */
static inline int send_wire(struct end *e, struct buf *back)
{
    struct iovec iov[8];
    struct buf b = BUF_INIT;
    int n, r = h2_recv(e->c, now, wire.p, wire.len);

    buf_clear(&wire);
    while ((n = h2_output(e->c, iov, 8)) > 0) {
        size_t from = b.len;

        for (int i = 0; i < n; i++)
            buf_append(&b, iov[i].iov_base, iov[i].iov_len);
        h2_sent(e->c, b.len - from);
    }
    buf_clear(back);
    if (e == &client && b.len >= 24 && memcmp(b.p, "PRI ", 4) == 0)
        buf_consume(&b, 24);
    frames_text(b.p, b.len, back);
    buf_puts(back, "");
    buf_free(&b);
    return r;
}

#endif
