/* err_test.c - error texts: set, prefixed, cut. */
#include <errno.h>
#include <string.h>
#include "common/base/err.h"
#include "test/unit/unit.h"

START_TEST(sets_and_prefixes)
{
    struct err e;

    ck_assert_int_eq(err_set(&e, "expected %s", "a number"), -1);
    ck_assert_int_eq(err_prefix(&e, "file %s, line %d", "x.yaml", 3), -1);
    ck_assert_str_eq(e.text, "file x.yaml, line 3: expected a number");
    ck_assert_int_eq(err_set(NULL, "nobody listens"), -1);
    ck_assert_int_eq(err_prefix(NULL, "nobody listens"), -1);
}
END_TEST

START_TEST(tells_errno_and_keeps_it)
{
    struct err e;

    errno = ENOENT;
    ck_assert_int_eq(err_errno(&e, "opening %s", "/x"), -1);
    ck_assert_str_eq(e.text, "opening /x: No such file or directory");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(err_errno(NULL, "x"), -1);
}
END_TEST

START_TEST(marks_what_was_cut)
{
    char big[3000];
    struct err e;
    size_t n;

    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    err_set(&e, "%s", big);
    n = strlen(e.text);
    ck_assert_uint_eq(n, sizeof(e.text) - 1);
    ck_assert_str_eq(e.text + n - 4, "x...");
    err_prefix(&e, "where");
    ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
    ck_assert_int_eq(strncmp(e.text, "where: xxx", 10), 0);
    err_prefix(&e, "%s", big);
    ck_assert_uint_eq(strlen(e.text), sizeof(e.text) - 1);
}
END_TEST

UNIT_MAIN("err", sets_and_prefixes, tells_errno_and_keeps_it, marks_what_was_cut)
