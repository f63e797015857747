/* h2_peer.c - a peer that speaks HTTP/2 frame by frame; see peer.h.  Only HPACK is a library's. */
#include <nghttp2/nghttp2.h>
#include "test/replay/peer.h"

#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define END_STREAM  1u
#define ACK         1u
#define END_HEADERS 4u
#define FRAME_MAX   16384u
#define SHOWN       64 /* bytes of a body that a line shows */

static uint32_t get_u32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static void put_u32(struct buf *b, uint32_t v)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_putc(b, (char)(v >> shift));
}

static void frame(struct peer *p, uint8_t type, unsigned flags, uint32_t id, struct slice body)
{
    struct buf b = BUF_INIT;
    put_u32(&b, (uint32_t)body.n << 8 | type);
    buf_putc(&b, (char)flags);
    put_u32(&b, id);
    buf_put_slice(&b, body);
    peer_send(p, buf_slice(&b));
    buf_free(&b);
}

/* ---- what we send ---------------------------------------------------------------------------- */

static void put_setting(struct buf *b, uint16_t id, uint32_t value)
{
    buf_putc(b, (char)(id >> 8));
    buf_putc(b, (char)id);
    put_u32(b, value);
}

void peer_h2(struct peer *p, bool client, uint32_t window, uint32_t streams)
{
    struct buf b = BUF_INIT;
    p->h2.on = true;
    p->h2.client = client;
    nghttp2_hd_deflate_new(&p->h2.def, 4096);
    nghttp2_hd_inflate_new(&p->h2.inf);
    if (window != H2_WINDOW_DEFAULT)
        put_setting(&b, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window);
    if (streams)
        put_setting(&b, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams);
    if (client)
        peer_send(p, SLICE_LIT(PREFACE));
    frame(p, NGHTTP2_SETTINGS, 0, 0, buf_slice(&b));
    buf_free(&b);
    /* what came before it was known to be frames */
    struct buf early = p->in;
    p->in = (struct buf)BUF_INIT;
    buf_puts(&p->in, "");
    const char *wrong = peer_h2_take(p, buf_slice(&early));
    if (wrong)
        buf_printf(&p->in, "BAD FRAMES: %s\n", wrong);
    buf_free(&early);
    buf_clear(&p->all);
    if (p->keep)
        buf_put_slice(&p->all, buf_slice(&p->in));
}

void peer_h2_heads(struct peer *p, uint32_t id, bool end, const char *const *fields, unsigned n)
{
    nghttp2_nv nv[32];
    uint8_t block[8192];
    for (unsigned i = 0; i < n; i++) {
        const char *eq = strchr(fields[i], '=');
        nv[i] = (nghttp2_nv){(uint8_t *)fields[i], (uint8_t *)eq + 1, (size_t)(eq - fields[i]),
                             strlen(eq + 1), NGHTTP2_NV_FLAG_NONE};
    }
    ssize_t len = nghttp2_hd_deflate_hd(p->h2.def, block, sizeof block, nv, n);
    if (len > 0)
        frame(p, NGHTTP2_HEADERS, END_HEADERS | (end ? END_STREAM : 0), id,
              slice_of((char *)block, (size_t)len));
}

void peer_h2_data(struct peer *p, uint32_t id, struct slice bytes, bool end)
{
    do {
        size_t n = bytes.n < FRAME_MAX ? bytes.n : FRAME_MAX;
        frame(p, NGHTTP2_DATA, end && n == bytes.n ? END_STREAM : 0, id, slice_of(bytes.p, n));
        bytes = slice_of(bytes.p + n, bytes.n - n);
    } while (bytes.n);
}

static void numbers(struct peer *p, uint8_t type, uint32_t id, uint32_t a, const uint32_t *b)
{
    struct buf body = BUF_INIT;
    put_u32(&body, a);
    if (b)
        put_u32(&body, *b);
    frame(p, type, 0, id, buf_slice(&body));
    buf_free(&body);
}

void peer_h2_resets(struct peer *p, uint32_t id, uint32_t code)
{
    numbers(p, NGHTTP2_RST_STREAM, id, code, NULL);
}

void peer_h2_goaway(struct peer *p, uint32_t last, uint32_t code)
{
    numbers(p, NGHTTP2_GOAWAY, 0, last, &code);
}

void peer_h2_credits(struct peer *p, uint32_t id, uint32_t n)
{
    numbers(p, NGHTTP2_WINDOW_UPDATE, id, n, NULL);
}

/* ---- what came ------------------------------------------------------------------------------- */

static const char *show_block(struct peer *p, struct slice block)
{
    nghttp2_nv nv;
    int flags;
    for (;;) {
        ssize_t n =
            nghttp2_hd_inflate_hd2(p->h2.inf, &nv, &flags, (const uint8_t *)block.p, block.n, 1);
        if (n < 0)
            return "a header block that is no HPACK";
        block = slice_of(block.p + n, block.n - (size_t)n);
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            buf_printf(&p->in, " %.*s=%.*s", (int)nv.namelen, nv.name, (int)nv.valuelen, nv.value);
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
        if (!block.n && !(flags & NGHTTP2_HD_INFLATE_EMIT))
            break;
    }
    nghttp2_hd_inflate_end_headers(p->h2.inf);
    return NULL;
}

static const char *on_headers(struct peer *p, uint32_t id, unsigned flags, struct slice body)
{
    bool *headed = &p->h2.headed[id / 2 % H2_STREAMS_MAX];
    if (!(flags & END_HEADERS))
        return "a head in several frames";
    buf_printf(&p->in, "%s %u%s", *headed ? "TRAILERS" : "HEADERS", id,
               flags & END_STREAM ? " end" : "");
    *headed = true;
    const char *wrong = show_block(p, body);
    buf_putc(&p->in, '\n');
    return wrong;
}

static void on_data(struct peer *p, uint32_t id, unsigned flags, struct slice body)
{
    size_t shown = body.n < SHOWN ? body.n : SHOWN;
    p->h2.data[id / 2 % H2_STREAMS_MAX] += body.n;
    buf_printf(&p->in, "DATA %u%s n=%zu %.*s\n", id, flags & END_STREAM ? " end" : "", body.n,
               (int)shown, body.p);
}

static const char *on_frame(struct peer *p, uint8_t type, unsigned flags, uint32_t id,
                            struct slice body)
{
    switch (type) {
    case NGHTTP2_DATA:
        on_data(p, id, flags, body);
        break;
    case NGHTTP2_HEADERS:
        return on_headers(p, id, flags, body);
    case NGHTTP2_RST_STREAM:
        buf_printf(&p->in, "RST_STREAM %u %s\n", id, nghttp2_http2_strerror(get_u32(body.p)));
        break;
    case NGHTTP2_GOAWAY:
        buf_printf(&p->in, "GOAWAY last=%u %s\n", get_u32(body.p) & 0x7fffffff,
                   nghttp2_http2_strerror(get_u32(body.p + 4)));
        break;
    case NGHTTP2_WINDOW_UPDATE:
        buf_printf(&p->in, "WINDOW %u n=%u\n", id, get_u32(body.p));
        break;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        if (flags & ACK)
            break;
        buf_puts(&p->in, type == NGHTTP2_PING ? "PING\n" : "SETTINGS\n");
        frame(p, type, ACK, 0, type == NGHTTP2_PING ? body : slice_of(NULL, 0));
        break;
    default:
        return "an unexpected type of frame";
    }
    return NULL;
}

const char *peer_h2_take(struct peer *p, struct slice bytes)
{
    struct h2_peer *h = &p->h2;
    const char *wrong = NULL;
    buf_put_slice(&h->raw, bytes);
    if (!h->client && !h->greeted) {
        if (h->raw.len < sizeof PREFACE - 1)
            return NULL;
        if (memcmp(h->raw.p, PREFACE, sizeof PREFACE - 1) != 0)
            return "no preface";
        h->greeted = true;
        buf_consume(&h->raw, sizeof PREFACE - 1);
    }
    while (!wrong && h->raw.len >= 9) {
        size_t n = get_u32(h->raw.p) >> 8;
        if (h->raw.len < 9 + n)
            break;
        wrong = on_frame(p, (uint8_t)h->raw.p[3], (unsigned char)h->raw.p[4], get_u32(h->raw.p + 5),
                         slice_of(h->raw.p + 9, n));
        buf_consume(&h->raw, 9 + n);
    }
    return wrong;
}

void peer_h2_free(struct peer *p)
{
    if (p->h2.def)
        nghttp2_hd_deflate_del(p->h2.def);
    if (p->h2.inf)
        nghttp2_hd_inflate_del(p->h2.inf);
    buf_free(&p->h2.raw);
}
