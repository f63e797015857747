/* wmem.h - a worker's memory for requests: objects, blocks and pages kept on free lists, so that
 * a warm worker asks malloc for nothing.
 *
 *   struct thing *t = wmem_obj(m, &slab, sizeof *t);  wmem_obj_put(m, &slab, t);
 *   char *p = wmem_block(m, 3000, &cap);         wmem_block_put(m, p, cap);
 *   pageq_append(m, &q, p, n);  n = pageq_iov(&q, iov, 8);  pageq_consume(m, &q, written);
 *
 * Everything that hands out memory may return NULL (or -1): the caller answers 503 or closes.
 * As much stays as was in use at once since the last wmem_trim, so that a wave of requests finds
 * what the one before it left; what is free beyond WMEM_IDLE_MAX goes back to malloc at once. Under
 * a sanitizer nothing is kept, so that a use after free is seen.  One thread per wmem.
 */
#ifndef FSM_PROXY_WMEM_H
#define FSM_PROXY_WMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "common/base/slice.h"

struct wmem;

#define WMEM_IDLE_MAX ((size_t)16 * 1024 * 1024) /* of some thousands of requests at once */

struct wmem *wmem_new(void);
/* everything handed out must be back */
void wmem_free(struct wmem *m);
/* Gives back to malloc what was not needed since the last call, or all that lies free; call now and
 * then. */
void wmem_trim(struct wmem *m, bool all);
/* bytes held from malloc, in use or free */
size_t wmem_held(const struct wmem *m);
/* the most that was held since the last call of this */
size_t wmem_peak(struct wmem *m);
/* bytes handed out and not yet returned; the rest of wmem_held lies free */
size_t wmem_used(const struct wmem *m);

/* ---- objects of one size; a zeroed slab is an empty one ---- */
struct wmem_slab {
    void *free;
    unsigned n_free;
    unsigned n_used, most; /* handed out; the most at once since the last wmem_trim */
    size_t size;
    struct wmem_slab *next; /* of the same wmem */
};
/* zeroed; size is the same for every call with that slab */
void *wmem_obj(struct wmem *m, struct wmem_slab *s, size_t size);
void wmem_obj_put(struct wmem *m, struct wmem_slab *s, void *p);

/* ---- blocks: 1, 4, 16, 64 KiB ---- */
#define WMEM_BLOCK_MAX 65536u
/* at least n bytes, n <= WMEM_BLOCK_MAX; *cap = what it really holds, to be given back */
void *wmem_block(struct wmem *m, size_t n, uint32_t *cap);
void wmem_block_put(struct wmem *m, void *p, uint32_t cap);

/* ---- queues of pages: bytes that must wait ---- */
struct page;
struct pageq {
    struct page *head, *tail;
    size_t bytes;
};
/* copies; -1: no memory (nothing was added) */
int pageq_append(struct wmem *m, struct pageq *q, const void *p, size_t n);
/* the first bytes as up to max entries; returns how many */
int pageq_iov(const struct pageq *q, struct iovec *iov, int max);
/* the first run of bytes, empty if there is none */
struct slice pageq_first(const struct pageq *q);
/* drops the first n bytes */
void pageq_consume(struct wmem *m, struct pageq *q, size_t n);
void pageq_clear(struct wmem *m, struct pageq *q);
/* appends everything of src to dst without copying; src is empty afterwards */
void pageq_move(struct pageq *dst, struct pageq *src);

#endif
