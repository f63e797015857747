/* time_text.c - times and durations as text: RFC 3339, and Go's durations as Kubernetes uses. */
#include "common/base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_MS 1000000

void clock_rfc3339(int64_t wall_ms, char *out)
{
    int64_t s = wall_ms / 1000, ms = wall_ms % 1000;
    struct tm tm;
    time_t t;

    if (ms < 0) {
        ms += 1000;
        s--;
    }
    t = (time_t)s;
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
        snprintf(out, 32, "0000-00-00T00:00:00.000Z"); /* not a time that the format can name */
        return;
    }
    snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100,
             (unsigned)ms % 1000);
}

/* exactly n digits; moves *s */
static int take_digits(const char **s, int n, int *out)
{
    int v = 0;

    for (int i = 0; i < n; i++, (*s)++) {
        if (**s < '0' || **s > '9')
            return -1;
        v = v * 10 + (**s - '0');
    }
    *out = v;
    return 0;
}

static int take_char(const char **s, char upper)
{
    char c = **s;

    if (c != upper && !(upper >= 'A' && upper <= 'Z' && c == (upper | 0x20)))
        return -1;
    (*s)++;
    return 0;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
        return 29;
    return days[month - 1];
}

static int take_date(const char **s, struct tm *tm)
{
    int year, month, day;

    if (take_digits(s, 4, &year) || take_char(s, '-') || take_digits(s, 2, &month) ||
        take_char(s, '-') || take_digits(s, 2, &day))
        return -1;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return -1;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    tm->tm_mday = day;
    return 0;
}

static int take_time(const char **s, struct tm *tm)
{
    if (take_digits(s, 2, &tm->tm_hour) || take_char(s, ':') || take_digits(s, 2, &tm->tm_min) ||
        take_char(s, ':') || take_digits(s, 2, &tm->tm_sec))
        return -1;
    /* 60 is a leap second (RFC 3339 5.7); it counts as the next minute's first */
    return tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec <= 60 ? 0 : -1;
}

/* ".123" into milliseconds; finer digits are dropped */
static int take_fraction(const char **s, int *ms)
{
    int scale = 100;

    *ms = 0;
    if (**s != '.')
        return 0;
    (*s)++;
    if (**s < '0' || **s > '9')
        return -1;
    for (; **s >= '0' && **s <= '9'; (*s)++, scale /= 10)
        *ms += (**s - '0') * scale;
    return 0;
}

/* "Z" or "+01:00", in minutes east of UTC */
static int take_zone(const char **s, int *minutes)
{
    int hours, mins, sign;

    *minutes = 0;
    if (take_char(s, 'Z') == 0)
        return 0;
    sign = **s == '-' ? -1 : 1;
    if (**s != '+' && **s != '-')
        return -1;
    (*s)++;
    if (take_digits(s, 2, &hours) || take_char(s, ':') || take_digits(s, 2, &mins) || hours > 23 ||
        mins > 59)
        return -1;
    *minutes = sign * (hours * 60 + mins);
    return 0;
}

int clock_parse_rfc3339(const char *s, int64_t *wall_ms)
{
    struct tm tm = {0};
    int ms, zone;

    if (take_date(&s, &tm) || take_char(&s, 'T') || take_time(&s, &tm) || take_fraction(&s, &ms) ||
        take_zone(&s, &zone) || *s)
        return -1;
    *wall_ms = ((int64_t)timegm(&tm) - zone * 60) * 1000 + ms;
    return 0;
}

/* nanoseconds of the unit at *s, or 0; the longer names first, "m" must not eat "ms" */
static int64_t take_unit(const char **s)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1},         {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
        {"ms", NS_PER_MS}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
    };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].name);
        if (strncmp(*s, units[i].name, n) == 0) {
            *s += n;
            return units[i].ns;
        }
    }
    return 0;
}

/* one "1.5h": adds its nanoseconds to *sum */
static int take_term(const char **s, int64_t *sum)
{
    int64_t whole = 0, frac = 0, scale = 1, unit, part;
    bool any = false;

    for (; **s >= '0' && **s <= '9'; (*s)++, any = true)
        if (__builtin_mul_overflow(whole, (int64_t)10, &whole) ||
            __builtin_add_overflow(whole, (int64_t)(**s - '0'), &whole))
            return -1;
    if (**s == '.')
        for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, any = true)
            if (scale < 1000000000000000) { /* finer than that is below a nanosecond anyway */
                frac = frac * 10 + (**s - '0');
                scale *= 10;
            }
    unit = take_unit(s);
    if (!any || unit == 0 || __builtin_mul_overflow(whole, unit, &whole))
        return -1;
    part = (int64_t)((__int128)frac * unit / scale);
    return __builtin_add_overflow(*sum, whole, sum) || __builtin_add_overflow(*sum, part, sum) ? -1
                                                                                               : 0;
}

int clock_parse_duration(const char *s, int64_t *ms)
{
    int64_t ns = 0;
    bool negative = *s == '-';

    if (*s == '-' || *s == '+')
        s++;
    if (strcmp(s, "0") == 0) {
        *ms = 0;
        return 0;
    }
    do {
        if (take_term(&s, &ns) < 0)
            return -1;
    } while (*s);
    *ms = (negative ? -ns : ns) / NS_PER_MS;
    return 0;
}

void clock_format_duration(int64_t ms, char *out)
{
    uint64_t v = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    unsigned long long h = v / 3600000;
    unsigned m = (unsigned)(v / 60000 % 60), frac = (unsigned)(v % 1000);
    const char *sign = ms < 0 ? "-" : "";
    char sec[8];
    int n;

    if (v > 0 && v < 1000) {
        snprintf(out, 32, "%s%ums", sign, frac);
        return;
    }
    n = snprintf(sec, sizeof(sec), "%u.%03u", (unsigned)(v / 1000 % 60), frac);
    while (sec[n - 1] == '0')
        n--;
    sec[sec[n - 1] == '.' ? n - 1 : n] = 0;
    if (h > 0)
        snprintf(out, 32, "%s%lluh%um%ss", sign, h, m, sec);
    else if (m > 0)
        snprintf(out, 32, "%s%um%ss", sign, m, sec);
    else
        snprintf(out, 32, "%s%ss", sign, sec);
}
