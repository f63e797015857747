/* h2_pool.c - memory that the HTTP/2 sessions of one thread share.
 *
 * Blocks come in size classes, four to each doubling, with a small header that names the class;
 * freed ones wait in a list per class.  What waits is bounded (POOL_IDLE), and h2_pool_trim gives
 * back what was not needed since it was called last: a burst's memory goes back to malloc, that of
 * wave after wave stays.  Under a memory checker nothing waits, so that it sees every use after
 * free.
 */
#include <stdlib.h>
#include "common/base/poison.h"
#include "common/http/h2_int.h"

/* of some twelve hundred streams at once */
#define POOL_IDLE (FSM_ASAN ? 0 : (size_t)24 * 1024 * 1024)

#define CLASSES     40 /* 64 bytes ... 56 KiB */
#define CLASS_NONE  CLASSES
#define CLASS_FIRST 64

struct h2_free {
    struct h2_free *next;
};

struct h2_class {
    struct h2_free *next;
    unsigned n_free;
    unsigned n_used, most; /* handed out; the most at once since the last h2_pool_trim */
};

struct header {
    size_t size; /* bytes from malloc, this header included */
    unsigned class;
} __attribute__((aligned(16)));

/* 64 80 96 112 | 128 160 192 224 | ... */
static size_t class_size(unsigned class)
{
    return ((size_t)CLASS_FIRST << class / 4) / 4 * (4 + class % 4);
}

static unsigned class_of(size_t n)
{
    unsigned doubling, step;
    size_t base;

    if (n <= CLASS_FIRST)
        return 0;
    doubling = 63u - (unsigned)__builtin_clzll((n - 1) / CLASS_FIRST | 1);
    base = (size_t)CLASS_FIRST << doubling;
    step = n <= base ? 0 : (unsigned)((n - base + base / 4 - 1) / (base / 4));
    return doubling * 4 + step < CLASSES ? doubling * 4 + step : CLASS_NONE;
}

static void count_use(struct h2_class *c)
{
    if (++c->n_used > c->most)
        c->most = c->n_used;
}

static void *list_take(struct h2_pool *p, struct h2_class *c)
{
    struct h2_free *f = c->next;

    c->next = f->next;
    c->n_free--;
    p->idle -= ((struct header *)f - 1)->size;
    return f;
}

void *h2_alloc(struct h2_pool *p, size_t n)
{
    unsigned class = class_of(n + sizeof(struct header));
    struct h2_class *c = class == CLASS_NONE ? NULL : &p->lists[class];
    struct header *h;

    if (c && c->next) {
        count_use(c);
        return list_take(p, c);
    }
    n = class == CLASS_NONE ? n + sizeof(*h) : class_size(class);
    h = malloc(n);
    if (!h)
        return NULL;
    h->size = n;
    h->class = class;
    p->held += n;
    if (p->held > p->peak)
        p->peak = p->held;
    if (c)
        count_use(c);
    return h + 1;
}

void h2_release(struct h2_pool *p, void *mem)
{
    struct h2_free *f = mem;
    struct h2_class *c;
    struct header *h;

    if (!mem)
        return;
    h = (struct header *)mem - 1;
    c = h->class == CLASS_NONE ? NULL : &p->lists[h->class];
    if (c)
        c->n_used--;
    if (!c || p->idle + h->size > POOL_IDLE) {
        p->held -= h->size;
        free(h);
        return;
    }
    p->idle += h->size;
    f->next = c->next;
    c->next = f;
    c->n_free++;
}

static void list_trim(struct h2_pool *p, struct h2_class *c, bool all)
{
    unsigned to = all ? 0 : c->most - c->n_used;

    c->most = c->n_used;
    while (c->n_free > to) {
        struct header *h = (struct header *)list_take(p, c) - 1;

        p->held -= h->size;
        free(h);
    }
}

void h2_pool_trim(struct h2_pool *p, bool all)
{
    h2_release(p, p->reserve); /* made for the most streams there were */
    p->reserve = NULL;
    for (unsigned i = 0; i < CLASSES; i++)
        list_trim(p, &p->lists[i], all);
}

/* Every session has a buffer of 16 KiB in which nghttp2 puts a frame together.  Between two calls
 * of h2_pump, each of which takes out all that was put in, it holds nothing, and no two sessions of
 * a thread are pumped at once: they share one.  It is known by being all that nghttp2 asks for by
 * realloc while a session is made; what grows beyond it, or comes later, is memory as any other. */
#define FRAME_MIN 16384
#define FRAME_MAX 17000

static void *shared_frame(struct h2_pool *p, size_t n)
{
    if (!p->making || n < FRAME_MIN || n > FRAME_MAX)
        return NULL;
    if (!p->frame)
        p->frame = h2_alloc(p, FRAME_MAX);
    return p->frame;
}

/* ---- as nghttp2 wants it --------------------------------------------------------------------- */

/* nghttp2 before 1.64 frees an item twice when the queue of a session's streams that have DATA to
 * send cannot grow behind the head that was just sent: nghttp2_submit_data() frees it, and the
 * stream keeps pointing to it.  That queue is an array of pointers, four to begin with and doubled
 * by realloc, and no call of nghttp2_session_mem_send() makes it grow twice: so before each a block
 * lies ready that it fits into.  Everything else may fail. */
static size_t queue_size(unsigned streams)
{
    return sizeof(void *) * (streams < 4 ? 4 : 2 * (size_t)streams);
}

static size_t room_of(const void *mem)
{
    return ((const struct header *)mem - 1)->size - sizeof(struct header);
}

int h2_pool_reserve(struct h2_pool *p, unsigned streams)
{
    size_t n = queue_size(streams);

    if (p->reserve && n <= room_of(p->reserve))
        return 0;
    h2_release(p, p->reserve);
    p->reserve = h2_alloc(p, n);
    return p->reserve ? 0 : -1;
}

static void *grown(struct h2_pool *p, size_t n)
{
    void *mem = h2_alloc(p, n);

    if (mem || !p->reserve || n > room_of(p->reserve))
        return mem;
    mem = p->reserve;
    p->reserve = NULL;
    return mem;
}

static void *ng_malloc(size_t n, void *user)
{
    return h2_alloc(user, n);
}

static void ng_free(void *mem, void *user)
{
    struct h2_pool *p = user;

    if (mem != p->frame)
        h2_release(p, mem);
}

static void *ng_calloc(size_t n, size_t size, void *user)
{
    size_t bytes;
    void *mem;

    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    mem = h2_alloc(user, bytes);
    return mem ? memset(mem, 0, bytes) : NULL;
}

static void *ng_realloc(void *mem, size_t n, void *user)
{
    struct h2_pool *p = user;
    size_t room;
    void *fresh;

    if (!mem) {
        fresh = shared_frame(p, n);
        return fresh ? fresh : grown(p, n);
    }
    room = room_of(mem);
    if (n <= room)
        return mem;
    fresh = grown(p, n);
    if (!fresh)
        return NULL;
    memcpy(fresh, mem, room);
    ng_free(mem, p);
    return fresh;
}

struct h2_pool *h2_pool_new(void)
{
    struct h2_pool *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->lists = calloc(CLASSES, sizeof(*p->lists));
    p->callbacks = h2_callbacks_new();
    if (!p->lists || !p->callbacks) {
        h2_pool_free(p);
        return NULL;
    }
    p->mem = (nghttp2_mem){p, ng_malloc, ng_free, ng_calloc, ng_realloc};
    return p;
}

void h2_pool_free(struct h2_pool *p)
{
    if (!p)
        return;
    h2_release(p, p->frame);
    if (p->lists)
        h2_pool_trim(p, true);
    nghttp2_session_callbacks_del(p->callbacks);
    free(p->lists);
    free(p);
}

size_t h2_pool_peak(struct h2_pool *p)
{
    size_t peak = p->peak;

    p->peak = p->held;
    return peak;
}

size_t h2_pool_idle(const struct h2_pool *p)
{
    return p->idle;
}

size_t h2_pool_bytes(const struct h2_pool *p)
{
    return p->held;
}
