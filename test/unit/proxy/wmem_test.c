/* wmem_test.c - page queues keep bytes and order whatever the sizes; nothing is lost or left. */
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

UNIT_MAIN("wmem", a_queue_is_a_queue, a_cleared_queue_gives_everything_back,
          small_things_take_small_pages, blocks_and_objects_come_back)
