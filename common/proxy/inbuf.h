/* inbuf.h - where a head is put together, and what was read ahead is kept.
 *
 * Most heads arrive whole and are parsed in the worker's read buffer.  What is left over (a part
 * of a head, a pipelined request) is copied here, and later reads go behind it until it is used
 * up; then the block goes back.  One thread.
 */
#ifndef FSM_PROXY_INBUF_H
#define FSM_PROXY_INBUF_H

#include "common/proxy/wmem.h"

struct inbuf {
    char *p; /* a wmem block, or NULL */
    uint32_t cap, off, end;
};

static inline struct slice inbuf_slice(const struct inbuf *b)
{
    return slice_of(b->p + b->off, b->end - b->off);
}
static inline bool inbuf_empty(const struct inbuf *b)
{
    return b->end == b->off;
}
/* keeps n bytes (which may lie in the block itself); -1: no memory, or more than WMEM_BLOCK_MAX */
int inbuf_keep(struct wmem *m, struct inbuf *b, const char *p, size_t n);
/* room to read at least one byte into behind what is there; n = 0: full */
struct slice inbuf_room(struct wmem *m, struct inbuf *b);
void inbuf_release(struct wmem *m, struct inbuf *b);

#endif
