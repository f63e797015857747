/* loop_mem.h - libevent's memory (loop.c only).
 *
 * For each number of a descriptor that it has ever watched, libevent keeps 24 bytes until the end
 * of its base.  From malloc they would lie between what came with the connections, one in each page
 * or two: after a burst of 5,000 requests 9 MB of free memory could not go back to the kernel for
 * their sake.  So what is that small lies together, in a place of its own.
 */
#ifndef FSM_IO_LOOP_MEM_H
#define FSM_IO_LOOP_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* before the first call of libevent; any thread, any number of times */
void loop_mem_init(void);

/* what libevent is given; any thread */
void *loop_mem_alloc(size_t n);
void *loop_mem_realloc(void *p, size_t n);
void loop_mem_free(void *p);
/* does it lie among the small ones? */
bool loop_mem_is_small(const void *p);

#endif
