/* wmem_test.c - page queues keep bytes and order whatever the sizes; nothing is lost or left. */
/* wrap: malloc */
#include <stdlib.h>
#include <string.h>
#include "common/proxy/wmem.h"
#include "test/unit/unit.h"

START_TEST(a_queue_is_a_queue)
{
    struct wmem *m = wmem_new();
    struct pageq q = {0}, r = {0};
    uint64_t seed = 7;
    size_t in = 0, out = 0;
    static unsigned char data[300000];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)unit_random(&seed);
    while (out < sizeof data) {
        size_t n = unit_random(&seed) % 40000;
        if (n > sizeof data - in)
            n = sizeof data - in;
        ck_assert_int_eq(pageq_append(m, &q, data + in, n), 0);
        in += n;
        if (unit_random(&seed) % 5 == 0) { /* through a second queue and back */
            pageq_move(&r, &q);
            ck_assert_uint_eq(q.bytes, 0);
            pageq_move(&q, &r);
        }
        ck_assert_uint_eq(q.bytes, in - out);
        struct iovec iov[3];
        int k = pageq_iov(&q, iov, 3);
        size_t take = 0;
        for (int i = 0; i < k; i++) {
            ck_assert_int_eq(memcmp(iov[i].iov_base, data + out + take, iov[i].iov_len), 0);
            take += iov[i].iov_len;
        }
        take = take ? unit_random(&seed) % take + 1 : 0;
        pageq_consume(m, &q, take);
        out += take;
    }
    ck_assert_ptr_null(q.head);
    ck_assert_uint_eq(wmem_used(m), 0);
    wmem_free(m);
}
END_TEST

START_TEST(a_cleared_queue_gives_everything_back)
{
    struct wmem *m = wmem_new();
    struct pageq q = {0};
    char *big = calloc(1, 100000);

    pageq_append(m, &q, big, 100000);
    pageq_append(m, &q, big, 1);
    ck_assert_uint_gt(wmem_used(m), 100000);
    pageq_clear(m, &q);
    ck_assert_uint_eq(wmem_used(m), 0);
    ck_assert_uint_eq(q.bytes, 0);
    free(big);
    wmem_free(m);
}
END_TEST

START_TEST(small_things_take_small_pages)
{
    struct wmem *m = wmem_new();
    struct pageq q = {0};

    pageq_append(m, &q, "hello", 5);
    ck_assert_uint_le(wmem_used(m), 4096);
    pageq_clear(m, &q);
    wmem_free(m);
}
END_TEST

START_TEST(blocks_and_objects_come_back)
{
    struct wmem *m = wmem_new();
    struct wmem_slab slab = {0};
    uint32_t cap;

    ck_assert_ptr_null(wmem_block(m, WMEM_BLOCK_MAX + 1, &cap));
    for (size_t n = 1; n <= WMEM_BLOCK_MAX; n = n * 3 + 1) {
        char *p = wmem_block(m, n, &cap);
        ck_assert_uint_ge(cap, n);
        memset(p, 0xff, cap);
        wmem_block_put(m, p, cap);
    }
    for (int i = 0; i < 3; i++) {
        unsigned char *p = wmem_obj(m, &slab, 100);
        for (int k = 0; k < 100; k++)
            ck_assert_uint_eq(p[k], 0);
        memset(p, 0xff, 100);
        wmem_obj_put(m, &slab, p);
    }
    ck_assert_uint_eq(wmem_used(m), 0);
    for (int i = 0; i < 30; i++)
        wmem_trim(m, false);
    ck_assert_uint_eq(wmem_held(m) <= 70000, 1);
    wmem_free(m);
}
END_TEST

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
static unsigned mallocs;
void *__wrap_malloc(size_t n)
{
    mallocs++;
    return __real_malloc(n);
}

#define WAVE 1000

/* n requests at once; how many allocations they cost */
static unsigned wave(struct wmem *m, struct wmem_slab *slab, unsigned n)
{
    static void *obj[WAVE], *block[WAVE];
    static uint32_t cap[WAVE];
    static struct pageq q[WAVE];
    unsigned before = mallocs;
    int rc = 0;

    for (unsigned i = 0; i < n; i++) {
        obj[i] = wmem_obj(m, slab, 600);
        block[i] = wmem_block(m, i % 10 ? 700 : 20000, &cap[i]);
        rc |= pageq_append(m, &q[i], "hello", 5);
    }
    for (unsigned i = 0; i < n; i++) {
        wmem_obj_put(m, slab, obj[i]);
        wmem_block_put(m, block[i], cap[i]);
        pageq_clear(m, &q[i]);
    }
    before = mallocs - before;
    ck_assert_int_eq(rc, 0);
    return before;
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ... until fewer come */
START_TEST(a_wave_finds_what_the_one_before_left)
{
    struct wmem *m = wmem_new();
    struct wmem_slab slab = {0};

    ck_assert_uint_eq(wave(m, &slab, WAVE), 3 * WAVE);
#ifndef SANITIZED
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(wave(m, &slab, WAVE), 0);
        wmem_trim(m, false);
    }
    size_t all = wmem_held(m);
    wave(m, &slab, WAVE / 10);
    wmem_trim(m, false);
    ck_assert_uint_eq(wave(m, &slab, WAVE / 10), 0);
    ck_assert_uint_lt(wmem_held(m), all / 8);
    ck_assert_uint_gt(wmem_held(m), all / 12);
#endif
    wmem_trim(m, false);
    wmem_trim(m, false);
    ck_assert_uint_eq(wmem_held(m), 0);
    wmem_free(m);
}
END_TEST

START_TEST(what_lies_free_is_bounded)
{
    struct wmem *m = wmem_new();
    static void *block[2 * WMEM_IDLE_MAX / WMEM_BLOCK_MAX];
    size_t n = sizeof block / sizeof *block;
    uint32_t cap;

    for (size_t i = 0; i < n; i++)
        block[i] = wmem_block(m, WMEM_BLOCK_MAX, &cap);
    ck_assert_uint_gt(wmem_used(m), WMEM_IDLE_MAX);
    for (size_t i = 0; i < n; i++)
        wmem_block_put(m, block[i], WMEM_BLOCK_MAX);
    ck_assert_uint_eq(wmem_used(m), 0);
    ck_assert_uint_le(wmem_held(m), WMEM_IDLE_MAX);
    wmem_trim(m, true);
    ck_assert_uint_eq(wmem_held(m), 0);
    wmem_free(m);
}
END_TEST

UNIT_MAIN("wmem", a_queue_is_a_queue, a_cleared_queue_gives_everything_back,
          small_things_take_small_pages, blocks_and_objects_come_back,
          a_wave_finds_what_the_one_before_left, what_lies_free_is_bounded)
