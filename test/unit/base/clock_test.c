/* clock_test.c - the clocks move; times and durations as text. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/clock.h"
#include "test/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

START_TEST(clocks_move)
{
    uint64_t ns = clock_mono_ns(), ms = clock_mono_ms();
    int64_t wall = clock_wall_ms();

    ck_assert_uint_ge(ms, ns / 1000000);
    ck_assert_uint_gt(clock_mono_ns(), ns);
    /* time() is a coarse clock, a tick or two behind */
    ck_assert_int_le(llabs((long long)time(NULL) * 1000 - wall), 1100);
}
END_TEST

START_TEST(rfc3339_is_printed)
{
    char text[32];

    clock_rfc3339(0, text);
    ck_assert_str_eq(text, "1970-01-01T00:00:00.000Z");
    clock_rfc3339(1767325445678, text);
    ck_assert_str_eq(text, "2026-01-02T03:44:05.678Z");
    clock_rfc3339(-1, text);
    ck_assert_str_eq(text, "1969-12-31T23:59:59.999Z");
    clock_rfc3339(INT64_MAX, text);
    ck_assert_str_eq(text, "0000-00-00T00:00:00.000Z");
    clock_rfc3339(INT64_MIN, text);
    ck_assert_str_eq(text, "0000-00-00T00:00:00.000Z");
}
END_TEST

START_TEST(rfc3339_is_read)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-02T03:44:05.678Z", 1767325445678},
        {"2026-01-02t03:44:05.678z", 1767325445678},
        {"2026-01-02T04:44:05.678+01:00", 1767325445678},
        {"2026-01-01T22:14:05.678-05:30", 1767325445678},
        {"2026-01-02T03:44:05.678999999Z", 1767325445678},
        {"2026-01-02T03:44:05.6Z", 1767325445600},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"2016-12-31T23:59:60Z", 1483228800000},
    };
    static const char *const bad[] = {
        "",
        "2026-01-02",
        "2026-01-02T03:44:05",
        "2026-01-02 03:44:05Z",
        "2026-13-02T03:44:05Z",
        "2026-00-02T03:44:05Z",
        "2026-02-29T03:44:05Z",
        "1900-02-29T03:44:05Z",
        "2026-01-00T03:44:05Z",
        "2026-01-32T03:44:05Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:44:61Z",
        "2026-01-02T03:44:05.Z",
        "2026-01-02T03:44:05Zx",
        "2026-01-02T03:44:05+0100",
        "2026-01-02T03:44:05+24:00",
        "2026-01-02T03:44:05+01:60",
        "+026-01-02T03:44:05Z",
        "2026-1-2T03:44:05Z",
        "2026-01-02T03:44:05.678",
        "20260102T034405Z",
    };
    int64_t ms;

    for (size_t i = 0; i < COUNT(good); i++) {
        ck_assert_msg(clock_parse_rfc3339(good[i].text, &ms) == 0, "%s", good[i].text);
        ck_assert_int_eq(ms, good[i].ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(clock_parse_rfc3339(bad[i], &ms) == -1, "\"%s\"", bad[i]);
}
END_TEST

START_TEST(durations_are_read)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"0", 0},
        {"+0", 0},
        {"-0", 0},
        {"0s", 0},
        {"90s", 90000},
        {"1h30m", 5400000},
        {"1.5h", 5400000},
        {"250ms", 250},
        {".5s", 500},
        {"1.s", 1000},
        {"-1.5s", -1500},
        {"+5s", 5000},
        {"1500us", 1},
        {"1500\xc2\xb5s", 1},
        {"1500\xce\xbcs", 1},
        {"999999ns", 0},
        {"1h1m1s1ms", 3661001},
        {"1s1h", 3601000},
        {"1m1m", 120000},
        {"0.000000001h", 0},
        {"2562047h47m16.854s", 9223372036854},
        {"0.3333333333333333333333333333s", 333},
    };
    static const char *const bad[] = {
        "",
        "s",
        "5",
        "-",
        "+",
        ".",
        ".s",
        "1",
        "1.5",
        "5 s",
        " 5s",
        "5s ",
        "5d",
        "5S",
        "5sec",
        "1h30",
        "1h-30m",
        "--5s",
        "1e3s",
        "0x5s",
        "1,5s",
        "5m\n",
        "9223372036854775808ns",
        "2562048h",
        "99999999999999999999h",
        "inf",
        "1.5.5s",
        "\xce\xbcs",
    };
    int64_t ms;

    for (size_t i = 0; i < COUNT(good); i++) {
        ck_assert_msg(clock_parse_duration(good[i].text, &ms) == 0, "%s", good[i].text);
        ck_assert_msg(ms == good[i].ms, "%s: %lld", good[i].text, (long long)ms);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(clock_parse_duration(bad[i], &ms) == -1, "\"%s\"", bad[i]);
}
END_TEST

START_TEST(durations_are_printed)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0s"},           {1, "1ms"},
        {999, "999ms"},      {1000, "1s"},
        {1500, "1.5s"},      {61000, "1m1s"},
        {3600000, "1h0m0s"}, {5400001, "1h30m0.001s"},
        {-1500, "-1.5s"},    {86400000, "24h0m0s"},
        {10000, "10s"},      {600000, "10m0s"},
    };
    char text[32];
    int64_t back;

    for (size_t i = 0; i < COUNT(cases); i++) {
        clock_format_duration(cases[i].ms, text);
        ck_assert_str_eq(text, cases[i].text);
        ck_assert_int_eq(clock_parse_duration(text, &back), 0);
        ck_assert_int_eq(back, cases[i].ms);
    }
    clock_format_duration(INT64_MIN, text);
    ck_assert_str_eq(text, "-2562047788015h12m55.808s");
}
END_TEST

UNIT_MAIN("clock", clocks_move, rfc3339_is_printed, rfc3339_is_read, durations_are_read,
          durations_are_printed)
