/* buf.c - a growable byte buffer. */
#include "common/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

#define BUF_FIRST 64 /* bytes of the first allocation: most control texts are short */

char *buf_reserve(struct buf *b, size_t n)
{
    size_t need, cap;

    BUG_ON(n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4);
    need = b->len + n + 1;
    if (need > b->cap) {
        for (cap = b->cap ? b->cap : BUF_FIRST; cap < need;)
            cap *= 2;
        b->p = xrealloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->len;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    char *at = buf_reserve(b, n);

    if (n)
        memcpy(at, p, n);
    b->len += n;
    b->p[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_put_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.p, s.n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    size_t room;
    int n;

    buf_reserve(b, BUF_FIRST);
    room = b->cap - b->len;
    va_copy(again, ap);
    n = vsnprintf(b->p + b->len, room, fmt, ap);
    BUG_ON(n < 0);
    if ((size_t)n >= room) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
    BUG_ON(n > b->len);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
    b->p[b->len] = 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->p)
        b->p[0] = 0;
}

char *buf_take(struct buf *b)
{
    char *p;

    buf_reserve(b, 0);
    p = b->p;
    p[b->len] = 0;
    *b = (struct buf)BUF_INIT;
    return p;
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf)BUF_INIT;
}
