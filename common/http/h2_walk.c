/* h2_walk.c - the frames that nghttp2 would let pass in silence.
 *
 * It forgets closed streams and ignores what still comes on them, skips PRIORITY frames and unknown
 * ones unseen, and resets a push before our SETTINGS are acknowledged.  So the input is walked from
 * frame header to frame header before nghttp2 reads it: a few instructions for a frame, none for
 * its payload.  The streams known are those before this piece of input, so that a frame on one that
 * the piece itself opens is never taken for a stray one.
 *
 * What it ignores, for whatever reason, is found by difference: frames are counted here, and
 * h2_cb.c takes off those that it is shown.
 */
#include "common/http/h2_int.h"

/* Frames that may still be under way on a stream that we reset are to be ignored; others on a
 * closed stream are an error (RFC 9113 5.1). */
bool h2_is_stray(const struct h2c *c, int32_t id)
{
    if (id % 2 == 0 || id > c->last_id || nghttp2_session_get_stream_user_data(c->ng, id))
        return false;
    if (c->n_reset_ids > RESETS_KEPT) /* more than can be remembered: be kind */
        return false;
    for (unsigned i = 0; i < c->n_reset_ids; i++)
        if (c->reset_ids[i] == id)
            return false;
    return true;
}

#define PEER_RESETS (sizeof(((struct h2c *)0)->walk.resets) / sizeof(int32_t))

static void peer_reset(struct h2c *c, int32_t id)
{
    c->walk.resets[c->walk.n_resets++ % PEER_RESETS] = id;
}

/* the peer closed the stream itself, maybe in this very piece */
static bool was_peer_reset(const struct h2c *c, int32_t id)
{
    for (unsigned i = 0; i < PEER_RESETS && i < c->walk.n_resets; i++)
        if (c->walk.resets[i] == id)
            return true;
    return false;
}

static int32_t id_at(const uint8_t *b)
{
    return (int32_t)((uint32_t)(b[0] & 0x7f) << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 |
                     b[3]);
}

static uint32_t payload_of(const uint8_t *b)
{
    return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static void check_header(struct h2c *c, const uint8_t *b)
{
    int32_t id = id_at(b + 5);

    switch (b[3]) {
    case NGHTTP2_DATA: /* HEADERS are looked at in their turn, see h2_cb.c */
        if (was_peer_reset(c, id) || h2_is_stray(c, id))
            h2_fail(c, H2_E_PROTOCOL, NGHTTP2_STREAM_CLOSED);
        c->walk.data += payload_of(b);
        c->walk.frames += payload_of(b) == 0;
        return;
    case NGHTTP2_RST_STREAM:
        peer_reset(c, id);
        return;
    case NGHTTP2_PUSH_PROMISE: /* no server answers a request before it has read our SETTINGS */
        h2_fail(c, H2_E_PROTOCOL, NGHTTP2_PROTOCOL_ERROR);
        return;
    case NGHTTP2_PRIORITY:
        h2_count_control(c);
        return;
    case NGHTTP2_HEADERS:
        c->walk.continuations = 0;
        c->walk.frames++;
        return;
    case NGHTTP2_WINDOW_UPDATE:
        c->walk.windows++;
        return;
    case NGHTTP2_CONTINUATION: /* nghttp2 would end it without a word */
        if (++c->walk.continuations > c->lim->continuations)
            h2_fail(c, H2_E_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    case NGHTTP2_SETTINGS: /* h2_cb.c is shown these */
    case NGHTTP2_PING:
    case NGHTTP2_GOAWAY:
        return;
    default: /* of extensions: ignored, RFC 9113 5.5 */
        h2_count_control(c);
        return;
    }
}

/* How many streams the peer may have believed open when we had closed them: those that we reset or
 * are about to, and those that it opened before it knew of our GOAWAY. */
static uint64_t streams_under_way(const struct h2c *c)
{
    return (uint64_t)c->n_reset_ids + c->n_streams + (c->final_goaway ? c->lim->max_streams : 0);
}

#define LATE_FRAMES    2     /* on one stream: trailers, or an empty DATA frame that ends it */
#define DEFAULT_WINDOW 65535 /* RFC 9113 6.9.2: before our SETTINGS were read */

/* A peer that has not heard of a reset may send as much more as the stream's window holds, which is
 * not given back, and end the stream (RFC 9113 5.1).  There is no time for it: how much it can be
 * is known, and so what is above it was not under way. */
void h2_walked(struct h2c *c)
{
    uint64_t streams, window = c->lim->stream_window;

    if (c->walk.frames <= 0 && c->walk.windows <= 0 && c->walk.data <= 0)
        return;
    streams = streams_under_way(c);
    for (; c->walk.frames > 0; c->walk.frames--) {
        if (c->late_frames < LATE_FRAMES * streams)
            c->late_frames++;
        else
            h2_count_control(c);
    }
    for (; c->walk.windows > 0; c->walk.windows--)
        h2_count_window(c);
    if (c->walk.data > 0) {
        c->late_bytes += (uint64_t)c->walk.data;
        c->walk.data = 0;
        if (c->late_bytes > streams * (window > DEFAULT_WINDOW ? window : DEFAULT_WINDOW))
            h2_fail(c, H2_E_PROTOCOL, NGHTTP2_STREAM_CLOSED);
    }
}

/* never allowed: on stream 0 (RFC 9113 6.3) and on itself (RFC 7540 5.3.1) */
static void check_priority(struct h2c *c, const uint8_t *b)
{
    int32_t id = id_at(b + 5);

    if (id == 0 || id == id_at(b + 9))
        h2_fail(c, H2_E_PROTOCOL, NGHTTP2_PROTOCOL_ERROR);
}

/* one more byte of a header, or of what PRIORITY depends on */
static void header_byte(struct h2c *c, uint8_t byte)
{
    uint8_t *b = c->walk.bytes;

    b[c->walk.have++] = byte;
    if (c->walk.have == 9) {
        check_header(c, b);
        if (b[3] == NGHTTP2_PRIORITY && payload_of(b) == 5)
            return;
        c->walk.left = payload_of(b);
        c->walk.have = 0;
    } else if (c->walk.have == 13) {
        check_priority(c, b);
        c->walk.left = 1;
        c->walk.have = 0;
    }
}

void h2_walk(struct h2c *c, const uint8_t *p, size_t n)
{
    while (n && !c->failed) {
        size_t part = c->walk.left < n ? c->walk.left : n;

        if (part) {
            c->walk.left -= (uint32_t)part;
        } else if (c->walk.have == 0 && n >= 9 && p[3] != NGHTTP2_PRIORITY) {
            check_header(c, p);
            c->walk.left = payload_of(p);
            part = 9;
        } else {
            header_byte(c, *p);
            part = 1;
        }
        p += part;
        n -= part;
    }
}
