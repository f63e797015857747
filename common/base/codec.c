/* codec.c - base64 (RFC 4648 4 and 5), hex, random bytes, UUIDs (RFC 9562 5.4). */
#include "common/base/codec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/random.h>
#include "common/base/bug.h"

void random_bytes(void *p, size_t n)
{
    unsigned char *at = p;

    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            BUG_ON(errno != EINTR);
            continue;
        }
        at += got;
        n -= (size_t)got;
    }
}

void uuid_v4(char out[37])
{
    unsigned char b[16];
    char hex[33];

    random_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    hex_encode(b, sizeof(b), hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static const char alphabet_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(const unsigned char *in, size_t n, const char *abc, bool pad, struct buf *out)
{
    char *o = buf_reserve(out, (n + 2) / 3 * 4);
    char *start = o;

    for (; n >= 3; n -= 3, in += 3) {
        *o++ = abc[in[0] >> 2];
        *o++ = abc[(in[0] & 3) << 4 | in[1] >> 4];
        *o++ = abc[(in[1] & 15) << 2 | in[2] >> 6];
        *o++ = abc[in[2] & 63];
    }
    if (n > 0) {
        unsigned second = n == 2 ? in[1] : 0;
        *o++ = abc[in[0] >> 2];
        *o++ = abc[(in[0] & 3u) << 4 | second >> 4];
        if (n == 2)
            *o++ = abc[(second & 15) << 2];
        for (size_t i = n; pad && i < 3; i++)
            *o++ = '=';
    }
    *o = 0;
    out->len += (size_t)(o - start);
}

/* 0-63, or -1 for a foreign byte */
static int value_of(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    if (c == (url ? '_' : '/'))
        return 63;
    return -1;
}

/* in: digits only, no padding; nothing is appended when it is refused */
static int decode(struct slice in, bool url, struct buf *out)
{
    size_t len = out->len;
    unsigned acc = 0, bits = 0;

    if (in.n % 4 == 1)
        return -1;
    buf_reserve(out, in.n / 4 * 3 + 3);
    for (size_t i = 0; i < in.n; i++) {
        int v = value_of(in.p[i], url);
        if (v < 0)
            return -1;
        acc = (acc << 6 | (unsigned)v) & 0xfff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out->p[len++] = (char)(acc >> bits);
        }
    }
    if (acc & ((1u << bits) - 1)) /* the unused bits must be zero: one text for one value */
        return -1;
    out->len = len;
    out->p[len] = 0;
    return 0;
}

void base64_encode(const void *p, size_t n, struct buf *out)
{
    encode(p, n, alphabet_std, true, out);
}

void base64url_encode(const void *p, size_t n, struct buf *out)
{
    encode(p, n, alphabet_url, false, out);
}

int base64_decode(struct slice in, struct buf *out)
{
    if (in.n % 4 != 0)
        return -1;
    for (int i = 0; i < 2 && in.n > 0 && in.p[in.n - 1] == '='; i++)
        in.n--;
    return decode(in, false, out);
}

int base64url_decode(struct slice in, struct buf *out)
{
    return decode(in, true, out);
}

void hex_encode(const void *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = p;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * n] = 0;
}
