/* memory.c - the allocator that libraries get too: what ld's --wrap does not see is seen here, as
 * the program's own malloc comes before that of the C library. */
#include <stddef.h>
#include <stdlib.h>
#include "test/fake/faults.h"
#include "test/torture/torture.h"

#ifdef __SANITIZE_ADDRESS__
#define NEXT(name) __interceptor_##name
#else
#define NEXT(name) __libc_##name
#endif

void *NEXT(malloc)(size_t n);
void *NEXT(calloc)(size_t n, size_t size);
void *NEXT(realloc)(void *p, size_t n);

/* called before the sanitizer is ready, and before main() */
#define EARLY __attribute__((no_sanitize("address", "undefined")))

static bool watched;

void torture_memory(void)
{
    watched = true;
}

EARLY void *malloc(size_t n)
{
    return watched && faults_memory("malloc") ? NULL : NEXT(malloc)(n);
}

EARLY void *calloc(size_t n, size_t size)
{
    return watched && faults_memory("calloc") ? NULL : NEXT(calloc)(n, size);
}

EARLY void *realloc(void *p, size_t n)
{
    return watched && faults_memory("realloc") ? NULL : NEXT(realloc)(p, n);
}
