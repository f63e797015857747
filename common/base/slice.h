/* slice.h - a borrowed run of bytes.
 *
 * A slice never owns memory and is not NUL-terminated; it is valid as long as what it points
 * into.  Pass it by value.  All functions are pure and may be called from any thread.
 */
#ifndef FSM_BASE_SLICE_H
#define FSM_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

/* a slice of a string literal, usable in constant initialisers */
#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
/* for printf("%.*s") */
#define SLICE_FMT(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){p, n};
}

/* a NULL string gives the empty slice */
static inline struct slice slice_str(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

/* ASCII case folded only: locale must not decide what a header is called */
bool slice_ieq(struct slice a, struct slice b);
bool slice_starts(struct slice a, struct slice prefix);
bool slice_ends(struct slice a, struct slice suffix);
/* without leading and trailing space and tab */
struct slice slice_trim(struct slice s);
/* cuts *rest at the first sep; returns what stood before it, *rest becomes what follows (p ==
 * NULL when nothing is left). */
struct slice slice_cut(struct slice *rest, char sep);
/* decimal digits only, no sign, no space; 0 and *out, or -1 on anything else or above max */
int slice_u64(struct slice s, unsigned long long max, unsigned long long *out);
/* digits without the zeros in front of the number */
struct slice slice_digits(struct slice s);

#endif
