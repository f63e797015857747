/* loop_mem.c - see loop_mem.h.
 *
 * The place is a stretch of address space; the kernel gives pages as they are first touched.  Once
 * it is full, or cannot be had, malloc serves as before.
 */
#include "common/io/loop_mem.h"
#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL ((size_t)24)              /* struct evmap_io of libevent 2.1 */
#define ROOM  ((size_t)8 * 1024 * 1024) /* 349,525 descriptors */

struct small {
    struct small *next;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char *place; /* NULL: none */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t used;          /* bytes from the beginning that were ever handed out */
static struct small *unused; /* of those, given back */

static void init(void)
{
    place = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    if (place == MAP_FAILED)
        place = NULL;
    event_set_mem_functions(loop_mem_alloc, loop_mem_realloc, loop_mem_free);
}

void loop_mem_init(void)
{
    pthread_once(&once, init);
}

bool loop_mem_is_small(const void *p)
{
    return place && (uintptr_t)p - (uintptr_t)place < ROOM;
}

/* NULL: no room */
static void *take_small(void)
{
    void *p = NULL;
    pthread_mutex_lock(&lock);
    if (unused) {
        p = unused;
        unused = unused->next;
    } else if (place && used + SMALL <= ROOM) {
        p = place + used;
        used += SMALL;
    }
    pthread_mutex_unlock(&lock);
    return p;
}

void *loop_mem_alloc(size_t n)
{
    void *p = n <= SMALL ? take_small() : NULL;
    return p ? p : malloc(n);
}

void loop_mem_free(void *p)
{
    struct small *s = p;
    if (!loop_mem_is_small(p)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    s->next = unused;
    unused = s;
    pthread_mutex_unlock(&lock);
}

void *loop_mem_realloc(void *p, size_t n)
{
    if (p && !loop_mem_is_small(p))
        return realloc(p, n);
    if (p && n > 0 && n <= SMALL)
        return p;
    void *fresh = n > 0 || !p ? loop_mem_alloc(n) : NULL;
    if (p && fresh)
        memcpy(fresh, p, SMALL);
    if (p && (fresh || n == 0))
        loop_mem_free(p);
    return fresh;
}
