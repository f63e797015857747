/* inbuf.c - see inbuf.h */
#include "common/proxy/inbuf.h"
#include <string.h>

void inbuf_release(struct wmem *m, struct inbuf *b)
{
    wmem_block_put(m, b->p, b->cap);
    *b = (struct inbuf){0};
}

static int move_to_new(struct wmem *m, struct inbuf *b, const char *p, size_t n, size_t cap)
{
    struct inbuf fresh = {.end = (uint32_t)n};
    fresh.p = wmem_block(m, cap, &fresh.cap);
    if (!fresh.p)
        return -1;
    memcpy(fresh.p, p, n);
    inbuf_release(m, b);
    *b = fresh;
    return 0;
}

int inbuf_keep(struct wmem *m, struct inbuf *b, const char *p, size_t n)
{
    if (b->p && p >= b->p && p + n <= b->p + b->cap) {
        memmove(b->p, p, n);
        b->off = 0;
        b->end = (uint32_t)n;
        return 0;
    }
    return move_to_new(m, b, p, n, n + 1);
}

struct slice inbuf_room(struct wmem *m, struct inbuf *b)
{
    if (b->off) {
        memmove(b->p, b->p + b->off, b->end - b->off);
        b->end -= b->off;
        b->off = 0;
    }
    if (b->end == b->cap && move_to_new(m, b, b->p, b->end, b->end + 1) < 0)
        return slice_of(NULL, 0);
    return slice_of(b->p + b->end, b->cap - b->end);
}
