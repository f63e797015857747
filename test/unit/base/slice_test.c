/* slice_test.c - borrowed runs of bytes: comparing, cutting, numbers. */
#include "common/base/slice.h"
#include "test/unit/unit.h"

START_TEST(compares_bytes)
{
    ck_assert(slice_eq(slice_str(NULL), slice_str("")));
    ck_assert(slice_eq(SLICE_LIT("a\0b"), slice_of("a\0b", 3)));
    ck_assert(!slice_eq(SLICE_LIT("a\0b"), SLICE_LIT("a\0c")));
    ck_assert(!slice_eq(SLICE_LIT("ab"), SLICE_LIT("a")));
    ck_assert(slice_eq_str(SLICE_LIT("abc"), "abc"));
}
END_TEST

START_TEST(folds_ascii_case_only)
{
    ck_assert(slice_ieq(SLICE_LIT("Content-LENGTH"), SLICE_LIT("content-length")));
    ck_assert(!slice_ieq(SLICE_LIT("abc"), SLICE_LIT("abd")));
    ck_assert(!slice_ieq(SLICE_LIT("ab"), SLICE_LIT("abc")));
    /* '@' and '`', '[' and '{' differ by the case bit but are no letters */
    ck_assert(!slice_ieq(SLICE_LIT("@["), SLICE_LIT("`{")));
    /* bytes of UTF-8 are compared as they are */
    ck_assert(!slice_ieq(SLICE_LIT("\xc3\x84"), SLICE_LIT("\xc3\xa4")));
}
END_TEST

START_TEST(finds_ends)
{
    ck_assert(slice_starts(SLICE_LIT("abc"), SLICE_LIT("ab")));
    ck_assert(slice_starts(SLICE_LIT("abc"), SLICE_LIT("")));
    ck_assert(!slice_starts(SLICE_LIT("ab"), SLICE_LIT("abc")));
    ck_assert(slice_ends(SLICE_LIT("abc"), SLICE_LIT("bc")));
    ck_assert(slice_ends(slice_str(NULL), slice_str(NULL)));
    ck_assert(!slice_ends(SLICE_LIT("bc"), SLICE_LIT("abc")));
    ck_assert(!slice_ends(SLICE_LIT("abc"), SLICE_LIT("ab")));
}
END_TEST

START_TEST(trims_blanks)
{
    ck_assert(slice_eq_str(slice_trim(SLICE_LIT(" \t a b\t ")), "a b"));
    ck_assert(slice_eq_str(slice_trim(SLICE_LIT(" \t ")), ""));
    ck_assert(slice_eq_str(slice_trim(slice_str(NULL)), ""));
    ck_assert(slice_eq_str(slice_trim(SLICE_LIT("\na\r")), "\na\r"));
}
END_TEST

START_TEST(cuts_at_a_separator)
{
    struct slice rest = SLICE_LIT("a,,b");

    ck_assert(slice_eq_str(slice_cut(&rest, ','), "a"));
    ck_assert(slice_eq_str(slice_cut(&rest, ','), ""));
    ck_assert(rest.p != NULL);
    ck_assert(slice_eq_str(slice_cut(&rest, ','), "b"));
    ck_assert(rest.p == NULL && rest.n == 0);
    ck_assert(slice_cut(&rest, ',').n == 0);

    rest = SLICE_LIT("a,");
    ck_assert(slice_eq_str(slice_cut(&rest, ','), "a"));
    ck_assert_msg(rest.p != NULL, "an empty last part is a part");
    ck_assert(slice_eq_str(slice_cut(&rest, ','), ""));
    ck_assert(rest.p == NULL);
}
END_TEST

START_TEST(digits_lose_the_zeros_in_front)
{
    ck_assert(slice_eq_str(slice_digits(SLICE_LIT("0012")), "12"));
    ck_assert(slice_eq_str(slice_digits(SLICE_LIT("000")), "0"));
    ck_assert(slice_eq_str(slice_digits(SLICE_LIT("100")), "100"));
    ck_assert(slice_eq_str(slice_digits(SLICE_LIT("")), ""));
}
END_TEST

START_TEST(reads_decimal_numbers_strictly)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1e3",
                                      "1.",
                                      "1_0",
                                      "99x",
                                      "\xd9\xa1",
                                      "18446744073709551616",
                                      "99999999999999999999999999999999"};
    unsigned long long v = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(slice_u64(slice_str(bad[i]), ~0ull, &v) == -1, "\"%s\"", bad[i]);
    ck_assert_msg(v == 7, "a refused text changes nothing");
    ck_assert_int_eq(slice_u64(SLICE_LIT("18446744073709551615"), ~0ull, &v), 0);
    ck_assert_uint_eq(v, ~0ull);
    ck_assert_int_eq(slice_u64(SLICE_LIT("65535"), 65535, &v), 0);
    ck_assert_int_eq(slice_u64(SLICE_LIT("65536"), 65535, &v), -1);
    ck_assert_int_eq(slice_u64(SLICE_LIT("007"), 10, &v), 0);
    ck_assert_uint_eq(v, 7);
}
END_TEST

UNIT_MAIN("slice", compares_bytes, folds_ascii_case_only, finds_ends, trims_blanks,
          cuts_at_a_separator, reads_decimal_numbers_strictly, digits_lose_the_zeros_in_front)
