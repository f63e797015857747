/* h2_half.c - see h2_half.h */
#include "common/proxy/h2_half.h"

size_t h2_half_data(struct half *h, struct slice p)
{
    struct h2s *hs = h->codec;
    ssize_t n = h2_put(hs, p.p, p.n);

    h2_io_wake(h2_half_io(hs));
    return n < 0 ? p.n : (size_t)n; /* a stream that closes takes everything: its close follows */
}

void h2_half_end(struct half *h, const struct http_field *trailers, unsigned n)
{
    struct h2s *hs = h->codec;

    h2_io_wake(h2_half_io(hs));
    if (n)
        h2_trailers(hs, trailers, n);
    else
        h2_write(hs, NULL, 0, true);
}

void h2_half_flush(struct half *h)
{
    h2_push(h->codec);
}

size_t h2_half_backlog(const struct half *h)
{
    (void)h;
    return 0; /* h2_write takes no more than its bound */
}

void h2_half_read(struct half *h, bool on)
{
    (void)h;
    (void)on;
}

void h2_half_consumed(struct half *h, size_t n)
{
    struct h2s *hs = h->codec;

    h2_consume(hs, n);
    h2_io_wake(h2_half_io(hs));
}

void h2_half_on_data(struct h2s *hs, struct slice p, bool end)
{
    struct half *half = hs->user;

    if (!half) {
        h2_consume(hs, p.n);
        return;
    }
    stream_data(half, p);
    if (end && hs->user)
        stream_end(half, NULL, 0);
    if (hs->user)
        stream_flush(half);
}

void h2_half_on_trailers(struct h2s *hs, const struct http_field *f, unsigned n)
{
    struct half *half = hs->user;

    if (!half)
        return;
    stream_end(half, f, n);
    if (hs->user)
        stream_flush(half);
}

void h2_half_on_end(struct h2s *hs)
{
    h2_half_on_trailers(hs, NULL, 0);
}

void h2_half_on_writable(struct h2s *hs)
{
    if (hs->user)
        stream_writable(hs->user);
}
