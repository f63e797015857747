/* poison.h - memory that is not to be touched for now, so that AddressSanitizer tells who does.
 *
 * FSM_ASAN is 1 in a build with it, else 0, and then the two functions do nothing.
 */
#ifndef FSM_BASE_POISON_H
#define FSM_BASE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FSM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FSM_ASAN 1
#endif
#endif
#ifndef FSM_ASAN
#define FSM_ASAN 0
#endif

#if FSM_ASAN
#include <sanitizer/asan_interface.h>
#endif

static inline void poison(const void *p, size_t n)
{
#if FSM_ASAN
    __asan_poison_memory_region(p, n);
#else
    (void)p, (void)n;
#endif
}

static inline void unpoison(const void *p, size_t n)
{
#if FSM_ASAN
    __asan_unpoison_memory_region(p, n);
#else
    (void)p, (void)n;
#endif
}

#endif
