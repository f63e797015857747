/* arena.h - memory by lifetime: everything taken from an arena goes in one call.
 *
 * arena_alloc returns 16-byte aligned memory, uninitialised; it cannot fail (mem.h).
 * An arena belongs to one thread at a time.
 */
#ifndef FSM_BASE_ARENA_H
#define FSM_BASE_ARENA_H

#include <stddef.h>
#include "common/base/slice.h"

struct arena;

/* chunk: bytes asked from malloc at a time (larger requests get a chunk of their own) */
struct arena *arena_new(size_t chunk);
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *s);
/* copies, adds a NUL behind */
struct slice arena_slice(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* keeps the first chunk for reuse, frees the rest */
void arena_reset(struct arena *a);
/* bytes held from malloc */
size_t arena_size(const struct arena *a);
void arena_free(struct arena *a);

#endif
