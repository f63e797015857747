/* h2_pool_test.c - memory of HTTP/2 sessions: a wave finds what the one before left, and what is
 * not needed goes back. */
/* wrap: malloc */
#include "common/http/h2_int.h"
#include "test/unit/unit.h"

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
static unsigned mallocs;
void *__wrap_malloc(size_t n)
{
    mallocs++;
    return __real_malloc(n);
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#define WAVE 1000

/* what n streams take at once; how many allocations that costs */
static unsigned wave(struct h2_pool *p, unsigned n)
{
    static void *small[WAVE], *large[WAVE];
    unsigned before = mallocs;

    for (unsigned i = 0; i < n; i++) {
        small[i] = h2_alloc(p, 100 + i % 7 * 50);
        large[i] = h2_alloc(p, 15000);
    }
    for (unsigned i = 0; i < n; i++) {
        h2_release(p, small[i]);
        h2_release(p, large[i]);
    }
    return mallocs - before;
}

START_TEST(a_wave_finds_what_the_one_before_left)
{
    struct h2_pool *p = h2_pool_new();
    size_t bare = h2_pool_bytes(p);

    ck_assert_uint_eq(wave(p, WAVE), 2 * WAVE);
#ifndef SANITIZED
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(wave(p, WAVE), 0);
        h2_pool_trim(p, false);
    }
    size_t all = h2_pool_idle(p);
    wave(p, WAVE / 10);
    h2_pool_trim(p, false);
    ck_assert_uint_eq(wave(p, WAVE / 10), 0);
    ck_assert_uint_lt(h2_pool_idle(p), all / 8);
#endif
    h2_pool_trim(p, false);
    h2_pool_trim(p, false);
    ck_assert_uint_eq(h2_pool_idle(p), 0);
    ck_assert_uint_eq(h2_pool_bytes(p), bare);
    h2_pool_free(p);
}
END_TEST

START_TEST(what_lies_free_is_bounded)
{
    struct h2_pool *p = h2_pool_new();
    static void *mem[2000];

    for (size_t i = 0; i < 2000; i++)
        mem[i] = h2_alloc(p, 40000);
    for (size_t i = 0; i < 2000; i++)
        h2_release(p, mem[i]);
    ck_assert_uint_le(h2_pool_idle(p), 24u << 20);
    h2_pool_trim(p, true);
    ck_assert_uint_eq(h2_pool_idle(p), 0);
    h2_pool_free(p);
}
END_TEST

UNIT_MAIN("h2_pool", a_wave_finds_what_the_one_before_left, what_lies_free_is_bounded)
