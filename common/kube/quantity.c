/* quantity.c - a quantity is digits, a point perhaps, and a suffix that scales by 10 or 1024. */
#include "common/kube/quantity.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18 /* significant digits kept; more only decide about rounding */

struct amount {
    bool minus;
    uint64_t digits;
    int exponent; /* of ten */
    int shift;    /* of two */
    bool more;    /* digits were dropped: round up */
};

static int parse_digits(const char **s, struct amount *a)
{
    const char *p = *s;
    bool point = false, any = false;
    unsigned kept = 0;
    for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        any = true;
        if (kept < DIGITS_MAX) {
            a->digits = a->digits * 10 + (uint64_t)(*p - '0');
            kept += a->digits > 0;
            a->exponent -= point;
        } else {
            a->more = a->more || *p != '0';
            a->exponent += !point;
        }
    }
    *s = p;
    return any ? 0 : -1;
}

static int parse_suffix(const char *s, struct amount *a)
{
    static const struct {
        const char *text;
        int exponent, shift;
    } suffixes[] = {{"", 0, 0},    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0},
                    {"k", 3, 0},   {"M", 6, 0},   {"G", 9, 0},   {"T", 12, 0},
                    {"P", 15, 0},  {"E", 18, 0},  {"Ki", 0, 10}, {"Mi", 0, 20},
                    {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60}};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (strcmp(s, suffixes[i].text) == 0) {
            a->exponent += suffixes[i].exponent;
            a->shift = suffixes[i].shift;
            return 0;
        }
    }
    if (*s != 'e' && *s != 'E')
        return -1;
    const char *p = s + 1;
    p += *p == '-' || *p == '+';
    size_t n = strspn(p, "0123456789");
    if (n == 0 || n > 4 || p[n])
        return -1;
    a->exponent += (int)strtol(s + 1, NULL, 10);
    return 0;
}

/* |a| * 10^extra, rounded up */
static uint64_t scaled(const struct amount *a, int extra)
{
    unsigned __int128 v = a->digits;
    bool rest = a->more;
    v <<= a->shift; /* at most 60 + 60 bits */
    int e = a->exponent + extra;
    for (; e < 0 && v > 0; e++) {
        rest = rest || v % 10 != 0;
        v /= 10;
    }
    for (; e > 0 && v > 0 && v <= INT64_MAX; e--)
        v *= 10;
    v += rest;
    return v > INT64_MAX ? INT64_MAX : (uint64_t)v;
}

static int parse(const char *s, int extra, int64_t *out)
{
    struct amount a = {.minus = *s == '-'};
    s += *s == '-' || *s == '+';
    if (parse_digits(&s, &a) < 0 || parse_suffix(s, &a) < 0)
        return -1;
    int64_t v = (int64_t)scaled(&a, extra);
    *out = a.minus ? -v : v;
    return 0;
}

int kube_quantity_milli(const char *s, int64_t *milli)
{
    return parse(s, 3, milli);
}

int kube_quantity_value(const char *s, int64_t *value)
{
    return parse(s, 0, value);
}

const char *kube_quantity_text(const json_t *j, char *out)
{
    if (json_is_string(j))
        return json_string_value(j);
    if (json_is_integer(j))
        snprintf(out, 32, "%lld", (long long)json_integer_value(j));
    else if (json_is_real(j))
        snprintf(out, 32, "%.15g", json_real_value(j));
    else
        return NULL;
    return out;
}
