/* hosts.c - see hosts.h.
 *
 * The map is one block: the values that differ, entries sorted by text, and the texts.  A text that
 * is the beginning of the next one lies in it.  "name" and "name:80" with one value are one entry.
 */
#include "common/proxy/hosts.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

struct entry {
    uint32_t value : 31; /* which */
    uint32_t bare : 1;   /* without the port, too (or it has none) */
    uint32_t at;         /* of the text */
    uint16_t len;
    uint16_t port; /* 0: none */
};

struct hosts_map {
    uint32_t n, n_values;
    const void *values[]; /* then the entries, then the texts */
};

struct added {
    char *text;
    uint16_t len, port;
    uint32_t seq, value;
};

struct hosts {
    struct added *added;
    uint32_t n, cap;
    const void **values;
    uint32_t n_values, cap_values;
};

struct hosts *hosts_new(void)
{
    return xcalloc(1, sizeof(struct hosts));
}

void hosts_free(struct hosts *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; i < h->n; i++)
        free(h->added[i].text);
    free(h->added);
    free(h->values);
    free(h);
}

/* "name:80" -> its port, and *name without it; 0: it has none that is written as numbers are */
static uint16_t cut_port(struct slice *name)
{
    unsigned long port = 0;
    size_t i = name->n;

    while (i > 0 && name->n - i < 6 && name->p[i - 1] >= '0' && name->p[i - 1] <= '9')
        i--;
    if (i == 0 || i == name->n || name->p[i - 1] != ':' || name->p[i] == '0')
        return 0;
    for (size_t k = i; k < name->n; k++)
        port = port * 10 + (unsigned long)(name->p[k] - '0');
    if (port > UINT16_MAX)
        return 0;
    name->n = i - 1;
    return (uint16_t)port;
}

/* mostly one after the other has the same */
static uint32_t value_index(struct hosts *h, const void *value)
{
    if (h->n_values && h->values[h->n_values - 1] == value)
        return h->n_values - 1;
    if (h->n_values == h->cap_values) {
        h->cap_values = h->cap_values ? 2 * h->cap_values : 4;
        h->values = xreallocarray(h->values, h->cap_values, sizeof(*h->values));
    }
    h->values[h->n_values] = value;
    return h->n_values++;
}

void hosts_add(struct hosts *h, struct slice name, const void *value)
{
    uint16_t port = cut_port(&name);

    BUG_ON(name.n > UINT16_MAX || h->n > INT32_MAX);
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 32;
        h->added = xreallocarray(h->added, h->cap, sizeof(*h->added));
    }
    h->added[h->n] = (struct added){xstrndup(name.n ? name.p : "", name.n), (uint16_t)name.n, port,
                                    h->n, value_index(h, value)};
    h->n++;
}

static int text_cmp(const char *a, size_t a_n, const char *b, size_t b_n)
{
    size_t n = a_n < b_n ? a_n : b_n;
    int c = n ? memcmp(a, b, n) : 0;

    return c ? c : (a_n > b_n) - (a_n < b_n);
}

/* the later of equal ones first */
static int by_text(const void *a, const void *b)
{
    const struct added *x = a, *y = b;
    int c = text_cmp(x->text, x->len, y->text, y->len);

    if (c == 0)
        c = (int)x->port - (int)y->port;
    return c ? c : (int)y->seq - (int)x->seq;
}

static bool same_text(const struct added *a, const struct added *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* Joins what is one entry; returns how many there are.  e->at stands for the text of added[at]. */
static uint32_t join(const struct hosts *h, struct entry *e)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < h->n; i++) {
        const struct added *a = &h->added[i], *before = i ? a - 1 : NULL;
        bool twin = before && same_text(before, a);
        if (twin && before->port == a->port)
            continue; /* replaced by it */
        if (twin && e[n - 1].bare && e[n - 1].port == 0 && e[n - 1].value == a->value)
            e[n - 1].port = a->port;
        else
            e[n++] = (struct entry){a->value, a->port == 0, i, a->len, a->port};
    }
    return n;
}

/* Places the texts, the last first: each may lie in the one that follows it.  Returns their
 * bytes; text NULL: only counts. */
static uint32_t place(const struct hosts *h, struct entry *e, uint32_t n, char *text)
{
    const char *next = NULL;
    uint32_t used = 0, next_at = 0, next_len = 0;

    for (uint32_t i = n; i-- > 0;) {
        const char *t = h->added[e[i].at].text;
        bool inside = next && e[i].len <= next_len && memcmp(next, t, e[i].len) == 0;
        if (!inside) {
            if (text)
                memcpy(text + used, t, e[i].len);
            next_at = used;
            used += e[i].len;
        }
        next = t;
        next_len = e[i].len;
        if (text)
            e[i].at = next_at;
    }
    return used;
}

static struct entry *entries_of(const struct hosts_map *m)
{
    return (struct entry *)(m->values + m->n_values);
}

struct hosts_map *hosts_seal(struct hosts *h)
{
    struct entry *all = xreallocarray(NULL, h->n + 1, sizeof(*all));
    struct hosts_map *m;
    uint32_t n;

    if (h->n)
        qsort(h->added, h->n, sizeof(*h->added), by_text);
    n = join(h, all);
    m = xmalloc(sizeof(*m) + h->n_values * sizeof(*m->values) + n * sizeof(*all) +
                place(h, all, n, NULL));
    m->n = n;
    m->n_values = h->n_values;
    if (h->n_values)
        memcpy(m->values, h->values, h->n_values * sizeof(*m->values));
    memcpy(entries_of(m), all, n * sizeof(*all));
    place(h, entries_of(m), n, (char *)(entries_of(m) + n));
    free(all);
    hosts_free(h);
    return m;
}

static int cmp_at(const struct hosts_map *m, uint32_t i, struct slice name)
{
    const struct entry *e = entries_of(m);

    return text_cmp((const char *)(e + m->n) + e[i].at, e[i].len, name.p, name.n);
}

const void *hosts_find(const struct hosts_map *m, struct slice name)
{
    uint16_t port = cut_port(&name);
    uint32_t lo = 0, hi = m->n;

    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (cmp_at(m, mid, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < m->n && cmp_at(m, lo, name) == 0; lo++) {
        const struct entry *e = entries_of(m) + lo;
        if (port ? e->port == port : e->bare)
            return m->values[e->value];
    }
    return NULL;
}
