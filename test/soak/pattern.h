/* pattern.h - what call.c and serve.c say to each other, so that both can check every byte.
 *
 * HTTP: GET or POST /ID/N, all numbers decimal.  The body of a request is pattern(~ID), as long as
 * it likes; the answer is N bytes of pattern(ID).  A request with "content-type: application/grpc"
 * is answered with trailers, "grpc-status: 0".  What the server finds wrong is answered 400. TCP:
 * bytes come back as they are.
 */
#ifndef FSM_TEST_SOAK_PATTERN_H
#define FSM_TEST_SOAK_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* byte number `at` of pattern(id) */
static inline unsigned char pattern_byte(uint64_t id, size_t at)
{
    return (unsigned char)(id * 31 + at * 7 + (at >> 8));
}

static inline void pattern_fill(uint64_t id, size_t at, unsigned char *to, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = pattern_byte(id, at + i);
}

static inline bool pattern_is(uint64_t id, size_t at, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != pattern_byte(id, at + i))
            return false;
    return true;
}

#endif
