/* der.c - lengths and tags of X.690, written forwards and read within bounds. */
#include "common/pki/der.h"

#include <stdio.h>
#include <time.h>

static void put_length(struct buf *out, size_t n)
{
    int bytes = 0;

    if (n < 0x80) {
        buf_putc(out, (char)n);
        return;
    }
    while (n >> (8 * bytes) != 0)
        bytes++;
    buf_putc(out, (char)(0x80 | bytes));
    while (bytes-- > 0)
        buf_putc(out, (char)(n >> (8 * bytes)));
}

void der_put(struct buf *out, unsigned tag, const void *p, size_t n)
{
    buf_putc(out, (char)tag);
    put_length(out, n);
    buf_append(out, p, n);
}

void der_wrap(struct buf *out, unsigned tag, struct buf *inner)
{
    der_put(out, tag, inner->p, inner->len);
    buf_free(inner);
}

void der_put_uint(struct buf *out, const uint8_t *p, size_t n)
{
    while (n > 1 && p[0] == 0) {
        p++;
        n--;
    }
    buf_putc(out, DER_INTEGER);
    put_length(out, n + (p[0] >> 7));
    if (p[0] >> 7)
        buf_putc(out, 0);
    buf_append(out, p, n);
}

void der_put_bits(struct buf *out, const void *p, size_t n)
{
    buf_putc(out, DER_BIT_STRING);
    put_length(out, n + 1);
    buf_putc(out, 0);
    buf_append(out, p, n);
}

void der_put_time(struct buf *out, int64_t epoch_s)
{
    time_t at = (time_t)epoch_s;
    char text[32];
    struct tm tm;
    bool utc;

    gmtime_r(&at, &tm);
    utc = tm.tm_year < 150; /* 2050 */
    strftime(text, sizeof(text), utc ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &tm);
    der_put(out, utc ? DER_UTC_TIME : DER_GEN_TIME, text, strlen(text));
}

static int take_length(struct slice *in, size_t *n)
{
    unsigned first, bytes;

    if (in->n < 1)
        return -1;
    first = (unsigned char)in->p[0];
    *in = slice_of(in->p + 1, in->n - 1);
    *n = first;
    if (first < 0x80)
        return 0;
    bytes = first & 0x7f;
    if (bytes == 0 || bytes > 3 || bytes > in->n)
        return -1;
    *n = 0;
    for (unsigned i = 0; i < bytes; i++)
        *n = *n << 8 | (unsigned char)in->p[i];
    *in = slice_of(in->p + bytes, in->n - bytes);
    return *n < 0x80 || *n >> (8 * (bytes - 1)) == 0 ? -1 : 0;
}

int der_next(struct slice *in, unsigned *tag, struct slice *content)
{
    struct slice rest = *in;
    size_t n;

    if (rest.n < 2 || ((unsigned char)rest.p[0] & 0x1f) == 0x1f)
        return -1;
    *tag = (unsigned char)rest.p[0];
    rest = slice_of(rest.p + 1, rest.n - 1);
    if (take_length(&rest, &n) != 0 || n > rest.n)
        return -1;
    *content = slice_of(rest.p, n);
    *in = slice_of(rest.p + n, rest.n - n);
    return 0;
}
