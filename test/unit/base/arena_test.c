/* arena_test.c - memory by lifetime: alignment, large requests, reuse. */
#include "common/base/arena.h"
#include "test/unit/unit.h"

START_TEST(gives_aligned_memory_of_its_own)
{
    struct arena *a = arena_new(1000);
    unsigned char *p[200];
    uint64_t seed = 1;
    size_t n[200];

    for (int i = 0; i < 200; i++) {
        n[i] = unit_random(&seed) % 700;
        p[i] = arena_alloc(a, n[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
        memset(p[i], i, n[i]);
    }
    for (int i = 0; i < 200; i++)
        for (size_t k = 0; k < n[i]; k++)
            ck_assert_int_eq(p[i][k], i);
    arena_free(a);
}
END_TEST

START_TEST(large_requests_leave_the_chunk_in_use)
{
    struct arena *a = arena_new(1024);
    char *first = arena_alloc(a, 16), *next;

    memset(arena_alloc(a, 100000), 1, 100000);
    next = arena_alloc(a, 16);
    ck_assert_msg(next == first + 16, "the rest of the chunk is still used");
    arena_free(a);
}
END_TEST

START_TEST(reset_keeps_one_chunk)
{
    struct arena *a = arena_new(512);
    size_t empty = arena_size(a);
    char *first = arena_alloc(a, 1);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 100; i++)
            arena_alloc(a, 100);
        arena_alloc(a, 5000);
        ck_assert_uint_gt(arena_size(a), 15000);
        arena_reset(a);
        ck_assert_uint_eq(arena_size(a), empty);
        ck_assert_ptr_eq(arena_alloc(a, 1), first);
    }
    arena_free(a);
    arena_free(NULL);
}
END_TEST

START_TEST(copies_text)
{
    struct arena *a = arena_new(0);
    struct slice s = arena_slice(a, SLICE_LIT("a\0b"));
    unsigned char *z;

    ck_assert_uint_eq(s.n, 3);
    ck_assert_int_eq(s.p[3], 0);
    ck_assert_str_eq(arena_slice(a, slice_str(NULL)).p, "");
    ck_assert_str_eq(arena_strdup(a, "hello"), "hello");
    ck_assert_str_eq(arena_printf(a, "%s=%d", "k", 5), "k=5");
    memset(arena_alloc(a, 64), 0xff, 64);
    z = arena_zalloc(a, 64);
    for (int i = 0; i < 64; i++)
        ck_assert_int_eq(z[i], 0);
    arena_free(a);
}
END_TEST

UNIT_MAIN("arena", gives_aligned_memory_of_its_own, large_requests_leave_the_chunk_in_use,
          reset_keeps_one_chunk, copies_text)
