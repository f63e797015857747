/* buf.h - a growable byte buffer for control paths (not for bodies of user traffic).
 *
 *   struct buf b = BUF_INIT;
 *   buf_printf(&b, "%d", 1); write(fd, b.p, b.len); buf_free(&b);
 *
 * b.p is always NUL-terminated once anything was appended; the NUL is not counted in len.
 * Growth cannot fail (mem.h).  One thread at a time.
 */
#ifndef FSM_BASE_BUF_H
#define FSM_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include "common/base/slice.h"

struct buf {
    char *p;
    size_t len;
    size_t cap;
};
#define BUF_INIT                                                                                   \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

void buf_append(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_put_slice(struct buf *b, struct slice s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* room for n more bytes at the returned place; add to b->len what was written */
char *buf_reserve(struct buf *b, size_t n);
/* drops the first n bytes */
void buf_consume(struct buf *b, size_t n);
/* len = 0, memory kept */
void buf_clear(struct buf *b);
/* returns owned: the text, NUL-terminated, "" if empty; b is empty afterwards */
char *buf_take(struct buf *b);
void buf_free(struct buf *b);
static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->p, b->len);
}

#endif
