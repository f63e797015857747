/* ipset.c - see ipset.h */
#include "common/proxy/ipset.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

struct list {
    uint8_t *v; /* n * width bytes, sorted after ipset_freeze */
    uint32_t n, cap, width;
};

struct ipset {
    uint32_t refs;
    struct list v4, v6;
    struct lpm *ranges; /* NULL if there are none */
    uint32_t n_ranges;
    bool frozen; /* sorted: what is added goes to its place */
};

struct ipset *ipset_new(void)
{
    struct ipset *s = xcalloc(1, sizeof *s);
    s->refs = 1;
    s->v4.width = 4;
    s->v6.width = 16;
    return s;
}

static const char there; /* the value of ranges */

/* of single addresses; NULL: it is a range */
static struct list *list_of(struct ipset *s, const struct cidr *c)
{
    if (c->ip.family == 4)
        return c->bits == 32 ? &s->v4 : NULL;
    return c->bits == 128 ? &s->v6 : NULL;
}

/* the place of b in a sorted list, or where it belongs */
static uint32_t list_search(const struct list *l, const uint8_t *b)
{
    uint32_t lo = 0, hi = l->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (memcmp(l->v + (size_t)mid * l->width, b, l->width) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void list_add(struct list *l, const uint8_t *b, uint32_t at)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap + l->cap / 2 : 8;
        l->v = xreallocarray(l->v, l->cap, l->width);
    }
    memmove(l->v + (size_t)(at + 1) * l->width, l->v + (size_t)at * l->width,
            (size_t)(l->n - at) * l->width);
    memcpy(l->v + (size_t)at * l->width, b, l->width);
    l->n++;
}

int ipset_add(struct ipset *s, const char *text, struct err *e)
{
    struct cidr c;
    if (cidr_parse(text, &c, e) < 0)
        return -1;
    struct list *l = list_of(s, &c);
    if (l) {
        list_add(l, c.ip.b, s->frozen ? list_search(l, c.ip.b) : l->n);
    } else {
        if (!s->ranges)
            s->ranges = lpm_new();
        lpm_put(s->ranges, &c, (void *)&there);
        s->n_ranges++;
    }
    return 0;
}

void ipset_remove(struct ipset *s, const char *text)
{
    struct cidr c;
    struct err e;
    if (cidr_parse(text, &c, &e) < 0)
        return;
    struct list *l = list_of(s, &c);
    if (!l && s->ranges) {
        lpm_del(s->ranges, &c, &there);
        s->n_ranges--;
    } else if (l) {
        uint32_t at = list_search(l, c.ip.b);
        if (at == l->n || memcmp(l->v + (size_t)at * l->width, c.ip.b, l->width) != 0)
            return;
        l->n--;
        memmove(l->v + (size_t)at * l->width, l->v + (size_t)(at + 1) * l->width,
                (size_t)(l->n - at) * l->width);
    }
}

static void list_copy(struct list *to, const struct list *from)
{
    *to = *from;
    to->cap = from->n + 16;
    to->v = xreallocarray(NULL, to->cap, to->width);
    if (from->n)
        memcpy(to->v, from->v, (size_t)from->n * from->width);
}

struct ipset *ipset_copy(const struct ipset *s)
{
    struct ipset *c = ipset_new();
    c->frozen = s->frozen;
    list_copy(&c->v4, &s->v4);
    list_copy(&c->v6, &s->v6);
    c->ranges = s->ranges ? lpm_copy(s->ranges) : NULL;
    c->n_ranges = s->n_ranges;
    return c;
}

static int cmp4(const void *a, const void *b)
{
    return memcmp(a, b, 4);
}

static int cmp16(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

void ipset_freeze(struct ipset *s)
{
    if (s->frozen) /* a copy, kept in order as it changed */
        return;
    s->frozen = true;
    if (s->v4.n)
        qsort(s->v4.v, s->v4.n, 4, cmp4);
    if (s->v6.n)
        qsort(s->v6.v, s->v6.n, 16, cmp16);
}

bool ipset_has(const struct ipset *s, const struct ip *ip)
{
    const struct list *l = ip->family == 4 ? &s->v4 : &s->v6;
    if (l->n && bsearch(ip->b, l->v, l->n, l->width, ip->family == 4 ? cmp4 : cmp16))
        return true;
    return s->ranges && lpm_get(s->ranges, ip);
}

uint32_t ipset_count(const struct ipset *s)
{
    return s->v4.n + s->v6.n + s->n_ranges;
}

struct ipset *ipset_ref(struct ipset *s)
{
    s->refs++;
    return s;
}

void ipset_unref(struct ipset *s)
{
    if (!s || --s->refs)
        return;
    free(s->v4.v);
    free(s->v6.v);
    lpm_free(s->ranges);
    free(s);
}
