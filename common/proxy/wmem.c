/* wmem.c - free lists over malloc; see wmem.h.
 *
 * A free object's first word links it to the next.  Pages come in two sizes: what waits is often
 * a small answer, and 16 KiB for each of them would waste memory with many slow readers.
 */
#include "common/proxy/wmem.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/base/poison.h"

#define KEEP (!FSM_ASAN)

#define N_BLOCKS   4
#define PAGE_SMALL 2048u
#define PAGE_LARGE 16384u

struct page {
    struct page *next;
    uint32_t cap; /* of data */
    uint32_t off, end;
    char data[];
};

struct wmem {
    size_t held, used, peak;
    struct wmem_slab block[N_BLOCKS];
    struct wmem_slab page_small, page_large;
    struct wmem_slab *objects; /* list of slabs in use */
};

static const uint32_t block_size[N_BLOCKS] = {1024, 4096, 16384, 65536};

struct wmem *wmem_new(void)
{
    struct wmem *m = xcalloc(1, sizeof *m);
    for (int i = 0; i < N_BLOCKS; i++)
        m->block[i].size = block_size[i];
    m->page_small.size = PAGE_SMALL;
    m->page_large.size = PAGE_LARGE;
    return m;
}

/* ---- slabs ----------------------------------------------------------------------------------- */

static void *slab_take(struct wmem *m, struct wmem_slab *s)
{
    void *p = s->free;
    if (p) {
        memcpy(&s->free, p, sizeof(void *));
        s->n_free--;
    } else {
        p = malloc(s->size);
        if (!p)
            return NULL;
        m->held += s->size;
        if (m->held > m->peak)
            m->peak = m->held;
    }
    m->used += s->size;
    if (++s->n_used > s->most)
        s->most = s->n_used;
    return p;
}

static void slab_give(struct wmem *m, struct wmem_slab *s, void *p)
{
    m->used -= s->size;
    s->n_used--;
    if (!KEEP || m->held - m->used > WMEM_IDLE_MAX) {
        m->held -= s->size;
        free(p);
        return;
    }
    memcpy(p, &s->free, sizeof(void *));
    s->free = p;
    s->n_free++;
}

static void slab_trim(struct wmem *m, struct wmem_slab *s, bool all)
{
    unsigned to = all ? 0 : s->most - s->n_used;

    s->most = s->n_used;
    while (s->n_free > to) {
        void *p = s->free;
        memcpy(&s->free, p, sizeof(void *));
        s->n_free--;
        m->held -= s->size;
        free(p);
    }
}

static void slab_begin(struct wmem *m, struct wmem_slab *s, size_t size)
{
    s->size = size;
    s->next = m->objects;
    m->objects = s;
}

void *wmem_obj(struct wmem *m, struct wmem_slab *s, size_t size)
{
    if (!s->size)
        slab_begin(m, s, size);
    BUG_ON(s->size != size);
    void *p = slab_take(m, s);
    return p ? memset(p, 0, size) : NULL;
}

void wmem_obj_put(struct wmem *m, struct wmem_slab *s, void *p)
{
    if (p)
        slab_give(m, s, p);
}

void wmem_trim(struct wmem *m, bool all)
{
    for (struct wmem_slab *s = m->objects; s; s = s->next)
        slab_trim(m, s, all);
    for (int i = 0; i < N_BLOCKS; i++)
        slab_trim(m, &m->block[i], all);
    slab_trim(m, &m->page_small, all);
    slab_trim(m, &m->page_large, all);
}

void wmem_free(struct wmem *m)
{
    if (!m)
        return;
    wmem_trim(m, true);
    free(m);
}

size_t wmem_held(const struct wmem *m)
{
    return m->held;
}

size_t wmem_peak(struct wmem *m)
{
    size_t peak = m->peak;
    m->peak = m->held;
    return peak;
}

size_t wmem_used(const struct wmem *m)
{
    return m->used;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static int block_class(size_t n)
{
    for (int i = 0; i < N_BLOCKS; i++)
        if (n <= block_size[i])
            return i;
    return -1;
}

void *wmem_block(struct wmem *m, size_t n, uint32_t *cap)
{
    int i = block_class(n);
    if (i < 0)
        return NULL;
    *cap = block_size[i];
    return slab_take(m, &m->block[i]);
}

void wmem_block_put(struct wmem *m, void *p, uint32_t cap)
{
    if (!p)
        return;
    int i = block_class(cap);
    BUG_ON(i < 0 || block_size[i] != cap);
    slab_give(m, &m->block[i], p);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static struct wmem_slab *page_slab(struct wmem *m, uint32_t cap)
{
    return cap + sizeof(struct page) <= PAGE_SMALL ? &m->page_small : &m->page_large;
}

static struct page *page_take(struct wmem *m, size_t want)
{
    struct wmem_slab *s = page_slab(m, want < PAGE_LARGE ? (uint32_t)want : PAGE_LARGE);
    struct page *p = slab_take(m, s);
    if (!p)
        return NULL;
    p->next = NULL;
    p->off = p->end = 0;
    p->cap = (uint32_t)(s->size - sizeof *p);
    return p;
}

static void page_give(struct wmem *m, struct page *p)
{
    slab_give(m, page_slab(m, p->cap), p);
}

static void page_list_give(struct wmem *m, struct page *p)
{
    while (p) {
        struct page *next = p->next;
        page_give(m, p);
        p = next;
    }
}

/* pages that hold n bytes, still empty; NULL: no memory */
static struct page *page_list_take(struct wmem *m, size_t n)
{
    struct page *first = NULL, **end = &first;
    for (size_t got = 0; got < n; got += (*end)->cap, end = &(*end)->next) {
        *end = page_take(m, n - got);
        if (!*end) {
            page_list_give(m, first);
            return NULL;
        }
    }
    return first;
}

static size_t page_fill(struct page *pg, const char *p, size_t n)
{
    size_t room = pg->cap - pg->end;
    if (n > room)
        n = room;
    memcpy(pg->data + pg->end, p, n);
    pg->end += (uint32_t)n;
    return n;
}

int pageq_append(struct wmem *m, struct pageq *q, const void *data, size_t n)
{
    const char *p = data;
    if (n == 0)
        return 0;
    size_t room = q->tail ? q->tail->cap - q->tail->end : 0;
    struct page *fresh = NULL;
    if (n > room) {
        fresh = page_list_take(m, n - room);
        if (!fresh)
            return -1;
    }
    q->bytes += n;
    if (room) {
        size_t k = page_fill(q->tail, p, n);
        p += k, n -= k;
    }
    if (!fresh)
        return 0;
    if (q->tail)
        q->tail->next = fresh;
    else
        q->head = fresh;
    for (struct page *pg = fresh; pg; pg = pg->next) {
        size_t k = page_fill(pg, p, n);
        p += k, n -= k;
        q->tail = pg;
    }
    return 0;
}

int pageq_iov(const struct pageq *q, struct iovec *iov, int max)
{
    int n = 0;
    for (const struct page *p = q->head; p && n < max; p = p->next, n++)
        iov[n] = (struct iovec){(char *)p->data + p->off, p->end - p->off};
    return n;
}

struct slice pageq_first(const struct pageq *q)
{
    if (!q->head)
        return slice_of(NULL, 0);
    return slice_of(q->head->data + q->head->off, q->head->end - q->head->off);
}

void pageq_consume(struct wmem *m, struct pageq *q, size_t n)
{
    BUG_ON(n > q->bytes);
    q->bytes -= n;
    while (q->head) {
        struct page *p = q->head;
        size_t have = p->end - p->off;
        if (n < have) {
            p->off += (uint32_t)n;
            return;
        }
        n -= have;
        q->head = p->next;
        page_give(m, p);
    }
    q->tail = NULL;
}

void pageq_clear(struct wmem *m, struct pageq *q)
{
    page_list_give(m, q->head);
    *q = (struct pageq){0};
}

void pageq_move(struct pageq *dst, struct pageq *src)
{
    if (!src->head)
        return;
    if (dst->tail)
        dst->tail->next = src->head;
    else
        dst->head = src->head;
    dst->tail = src->tail;
    dst->bytes += src->bytes;
    *src = (struct pageq){0};
}
