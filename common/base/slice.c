/* slice.c - what can be asked of a borrowed run of bytes. */
#include "common/base/slice.h"

#include <stdint.h>

static inline unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool slice_starts(struct slice a, struct slice prefix)
{
    return a.n >= prefix.n && slice_eq(slice_of(a.p, prefix.n), prefix);
}

bool slice_ends(struct slice a, struct slice suffix)
{
    return a.n >= suffix.n &&
           (suffix.n == 0 || slice_eq(slice_of(a.p + a.n - suffix.n, suffix.n), suffix));
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct slice slice_cut(struct slice *rest, char sep)
{
    struct slice whole = *rest;
    const char *at = whole.n ? memchr(whole.p, sep, whole.n) : NULL;
    size_t n;

    if (!at) {
        *rest = (struct slice){NULL, 0};
        return whole;
    }
    n = (size_t)(at - whole.p);
    *rest = slice_of(at + 1, whole.n - n - 1);
    return slice_of(whole.p, n);
}

int slice_u64(struct slice s, unsigned long long max, unsigned long long *out)
{
    unsigned long long v = 0;

    if (s.n == 0)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned char)s.p[i] - (unsigned)'0';
        if (d > 9 || __builtin_mul_overflow(v, 10ull, &v) ||
            __builtin_add_overflow(v, (unsigned long long)d, &v) || v > max)
            return -1;
    }
    *out = v;
    return 0;
}

struct slice slice_digits(struct slice s)
{
    while (s.n > 1 && *s.p == '0') {
        s.p++;
        s.n--;
    }
    return s;
}
