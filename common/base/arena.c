/* arena.c - memory by lifetime.
 *
 * A list of chunks; the head is the one being filled.  A request that is large for a chunk gets
 * one of its own behind the head, so that the rest of the head is not lost.
 */
#include "common/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

#define ALIGN 16u

struct chunk {
    struct chunk *next;
    size_t size; /* usable bytes behind this header */
    size_t used;
    size_t pad; /* keeps what follows 16-byte aligned */
};
_Static_assert(sizeof(struct chunk) % ALIGN == 0, "what follows a chunk's header is aligned");

struct arena {
    struct chunk *head;  /* being filled */
    struct chunk *first; /* kept by arena_reset */
    size_t chunk_size;
    size_t held;
};

static struct chunk *chunk_new(struct arena *a, size_t size)
{
    struct chunk *c = xmalloc(sizeof(*c) + size);

    c->next = NULL;
    c->size = size;
    c->used = 0;
    a->held += sizeof(*c) + size;
    return c;
}

struct arena *arena_new(size_t chunk)
{
    struct arena *a = xcalloc(1, sizeof(*a));

    a->chunk_size = (chunk + ALIGN - 1) / ALIGN * ALIGN;
    if (a->chunk_size == 0)
        a->chunk_size = ALIGN;
    a->head = a->first = chunk_new(a, a->chunk_size);
    return a;
}

static void *chunk_take(struct chunk *c, size_t n)
{
    void *p = (char *)(c + 1) + c->used;

    c->used += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    struct chunk *c = a->head;

    BUG_ON(n > SIZE_MAX / 2);
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (n <= c->size - c->used)
        return chunk_take(c, n);
    if (n > a->chunk_size / 4) {
        struct chunk *own = chunk_new(a, n);
        own->next = c->next;
        c->next = own;
        return chunk_take(own, n);
    }
    a->head = chunk_new(a, a->chunk_size);
    a->head->next = c;
    return chunk_take(a->head, n);
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

char *arena_strdup(struct arena *a, const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(arena_alloc(a, n), s, n);
}

struct slice arena_slice(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return slice_of(p, s.n);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *p;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    BUG_ON(n < 0);
    p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

static void free_chunks(struct arena *a, const struct chunk *keep)
{
    struct chunk *c, *next;

    for (c = a->head; c; c = next) {
        next = c->next;
        if (c == keep)
            continue;
        a->held -= sizeof(*c) + c->size;
        free(c);
    }
}

void arena_reset(struct arena *a)
{
    free_chunks(a, a->first);
    a->first->next = NULL;
    a->first->used = 0;
    a->head = a->first;
}

size_t arena_size(const struct arena *a)
{
    return a->held;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    free_chunks(a, NULL);
    free(a);
}
