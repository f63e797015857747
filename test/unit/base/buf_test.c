/* buf_test.c - growable buffers. */
#include <stdlib.h>
#include "common/base/buf.h"
#include "test/unit/unit.h"

START_TEST(grows_and_stays_terminated)
{
    struct buf b = BUF_INIT;

    for (int i = 0; i < 1000; i++) {
        buf_putc(&b, (char)('a' + i % 26));
        ck_assert_int_eq(b.p[b.len], 0);
    }
    ck_assert_uint_eq(b.len, 1000);
    ck_assert_int_eq(b.p[999], 'a' + 999 % 26);
    buf_append(&b, NULL, 0);
    ck_assert_uint_eq(b.len, 1000);
    buf_free(&b);
    ck_assert_ptr_null(b.p);
    buf_free(&b);
}
END_TEST

START_TEST(prints_short_and_long)
{
    struct buf b = BUF_INIT;
    char big[5000];

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    buf_printf(&b, "%s", "");
    ck_assert_str_eq(b.p, "");
    buf_printf(&b, "%d-%s-", 7, big);
    buf_printf(&b, "%s|", big);
    ck_assert_uint_eq(b.len, 3 + 4999 + 4999 + 1);
    ck_assert_uint_eq(b.len, strlen(b.p));
    buf_free(&b);
}
END_TEST

START_TEST(consumes_from_the_front)
{
    struct buf b = BUF_INIT;

    buf_consume(&b, 0);
    buf_puts(&b, "hello world");
    buf_consume(&b, 6);
    ck_assert_str_eq(b.p, "world");
    buf_put_slice(&b, SLICE_LIT("!"));
    ck_assert_str_eq(b.p, "world!");
    buf_consume(&b, b.len);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_str_eq(b.p, "");
    buf_free(&b);
}
END_TEST

START_TEST(takes_and_clears)
{
    struct buf b = BUF_INIT;
    char *p = buf_take(&b);

    ck_assert_str_eq(p, "");
    free(p);
    ck_assert_uint_eq(b.cap, 0);
    buf_puts(&b, "x");
    buf_clear(&b);
    ck_assert_str_eq(b.p, "");
    memcpy(buf_reserve(&b, 300), "abc", 3);
    b.len += 3;
    p = buf_take(&b);
    ck_assert_str_eq(p, "abc");
    free(p);
    ck_assert(slice_eq(buf_slice(&b), slice_str("")));
}
END_TEST

UNIT_MAIN("buf", grows_and_stays_terminated, prints_short_and_long, consumes_from_the_front,
          takes_and_clears)
