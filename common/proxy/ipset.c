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
    uint64_t tag;
    struct list v4, v6;
    struct lpm *ranges; /* NULL if there are none */
    uint32_t n_ranges;
};

struct ipset *ipset_new(uint64_t tag)
{
    struct ipset *s = xcalloc(1, sizeof *s);
    s->refs = 1;
    s->tag = tag;
    s->v4.width = 4;
    s->v6.width = 16;
    return s;
}

uint64_t ipset_tag(const struct ipset *s)
{
    return s->tag;
}

static void list_add(struct list *l, const uint8_t *b)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap + l->cap / 2 : 8;
        l->v = xreallocarray(l->v, l->cap, l->width);
    }
    memcpy(l->v + (size_t)l->n++ * l->width, b, l->width);
}

int ipset_add(struct ipset *s, const char *text, struct err *e)
{
    struct cidr c;
    if (cidr_parse(text, &c, e) < 0)
        return -1;
    if (c.ip.family == 4 && c.bits == 32) {
        list_add(&s->v4, c.ip.b);
    } else if (c.ip.family == 6 && c.bits == 128) {
        list_add(&s->v6, c.ip.b);
    } else {
        if (!s->ranges)
            s->ranges = lpm_new();
        lpm_put(s->ranges, &c, s);
        s->n_ranges++;
    }
    return 0;
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
