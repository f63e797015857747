/* objects: injector/healthcheck/grpc.c */
/* grpc_test.c - the bytes of a health request, and what may come back. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "injector/healthcheck/grpc.h"

START_TEST(requests)
{
    struct buf out = BUF_INIT;
    char longer[201] = "";

    grpc_health_request(SLICE_LIT(""), &out);
    ck_assert_uint_eq(out.len, 5);
    ck_assert_mem_eq(out.p, "\0\0\0\0\0", 5);
    buf_clear(&out);
    grpc_health_request(SLICE_LIT("a.B"), &out);
    ck_assert_uint_eq(out.len, 10);
    ck_assert_mem_eq(out.p, "\0\0\0\0\5\x0a\3a.B", 10);
    buf_clear(&out);
    memset(longer, 'x', 200);
    grpc_health_request(slice_str(longer), &out);
    ck_assert_uint_eq(out.len, 5 + 3 + 200);
    ck_assert_mem_eq(out.p, "\0\0\0\0\xcb\x0a\xc8\1x", 9);
    buf_free(&out);
}
END_TEST

#define REPLY(bytes) grpc_health_reply(SLICE_LIT(bytes))

START_TEST(replies)
{
    ck_assert_int_eq(REPLY("\0\0\0\0\2\x08\1"), 1);
    ck_assert_int_eq(REPLY("\0\0\0\0\2\x08\2"), 2);
    ck_assert_int_eq(REPLY("\0\0\0\0\0"), 0);
    /* fields that are not known: varint, bytes, 32 and 64 bits; the last value counts */
    ck_assert_int_eq(REPLY("\0\0\0\0\x17\x08\3\x10\x96\1\x1a\2xy\x25zzzz\x29zzzzzzzz\x08\1"), -1);
    ck_assert_int_eq(REPLY("\0\0\0\0\x19\x08\3\x10\x96\1\x1a\2xy\x25zzzz\x29zzzzzzzz\x08\1"), 1);
    ck_assert_int_gt(REPLY("\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), 3);
}
END_TEST

START_TEST(garbage)
{
    ck_assert_int_eq(REPLY(""), -1);
    ck_assert_int_eq(REPLY("\0\0\0\0"), -1);
    ck_assert_int_eq(REPLY("\1\0\0\0\2\x08\1"), -1);    /* compressed */
    ck_assert_int_eq(REPLY("\0\0\0\0\3\x08\1"), -1);    /* too short */
    ck_assert_int_eq(REPLY("\0\0\0\0\1\x08\1"), -1);    /* something behind it */
    ck_assert_int_eq(REPLY("\0\0\0\0\1\x08"), -1);      /* no value */
    ck_assert_int_eq(REPLY("\0\0\0\0\2\x08\xff"), -1);  /* endless varint */
    ck_assert_int_eq(REPLY("\0\0\0\0\3\x12\x05x"), -1); /* longer than there is */
    ck_assert_int_eq(REPLY("\0\0\0\0\1\x0b"), -1);      /* a group */
    ck_assert_int_eq(REPLY("\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("injector/grpc");
    TCase *t = tcase_create("messages");
    SRunner *r;
    int failed;

    tcase_add_test(t, requests);
    tcase_add_test(t, replies);
    tcase_add_test(t, garbage);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
