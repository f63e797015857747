/* lpm.c - longest-prefix map: for each address family a table of addresses, and a path-compressed
 * binary trie of wider ranges.
 *
 * Addresses stand in blocks of some twenty, told apart by a hash; a block is shared by copies of
 * the map until one of them changes it.  In the trie a node stands for a range; its children are
 * longer ranges inside it, told apart by the bit that follows.  A node without a value only joins
 * two branches.
 */
#include "common/base/cidr.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define BLOCK_FILL 24 /* addresses of a block when there are enough for more blocks */

struct node {
    struct cidr range;
    void *value; /* borrowed; NULL = a joint */
    struct node *child[2];
};

struct block {
    unsigned refs, n;
    void *values[]; /* n of them, then n addresses of the family's width */
};

struct hosts {
    unsigned width;
    unsigned n, n_blocks; /* the latter 0 or a power of two */
    struct block **v;     /* NULL: empty */
};

struct lpm {
    struct node *root4, *root6;
    struct hosts h4, h6;
};

/* ---- addresses --------------------------------------------------------------------------------
 */

static unsigned slot_of(const struct hosts *h, const uint8_t *ip)
{
    uint64_t x = 0x9e3779b97f4a7c15u, word;

    for (unsigned i = 0; i < h->width; i += 4) {
        uint32_t part;
        memcpy(&part, ip + i, 4);
        word = x ^ part;
        x = (word ^ word >> 29) * 0xbf58476d1ce4e5b9u;
    }
    return (unsigned)(x >> 32) & (h->n_blocks - 1);
}

static uint8_t *block_ips(const struct block *b)
{
    return (uint8_t *)(b->values + b->n);
}

static struct block *block_new(unsigned n, unsigned width)
{
    struct block *b = xmalloc(sizeof(*b) + n * (sizeof(void *) + width));

    b->refs = 1;
    b->n = n;
    return b;
}

static void block_unref(struct block *b)
{
    if (b && --b->refs == 0)
        free(b);
}

/* its place in the block, or n */
static unsigned block_find(const struct block *b, unsigned width, const uint8_t *ip)
{
    const uint8_t *ips = b ? block_ips(b) : NULL;
    unsigned n = b ? b->n : 0, i = 0;

    while (i < n && memcmp(ips + i * width, ip, width) != 0)
        i++;
    return i;
}

/* b without the place `out` (n: none), with room for `more` at the end; takes b's reference */
static struct block *block_remake(struct block *b, unsigned width, unsigned out, unsigned more)
{
    unsigned n = b ? b->n : 0, keep = out < n ? n - 1 : n, at = 0;
    struct block *now = block_new(keep + more, width);

    for (unsigned i = 0; i < n; i++) {
        if (i == out)
            continue;
        now->values[at] = b->values[i];
        memcpy(block_ips(now) + at++ * width, block_ips(b) + i * width, width);
    }
    block_unref(b);
    return now;
}

static void hosts_add(struct hosts *h, const uint8_t *ip, void *value)
{
    struct block **at = &h->v[slot_of(h, ip)], *b;
    unsigned n = *at ? (*at)->n : 0;

    b = *at = block_remake(*at, h->width, n, 1);
    b->values[n] = value;
    memcpy(block_ips(b) + n * h->width, ip, h->width);
    h->n++;
}

static void hosts_clear(struct hosts *h)
{
    for (unsigned i = 0; i < h->n_blocks; i++)
        block_unref(h->v[i]);
    free(h->v);
    h->v = NULL;
    h->n = h->n_blocks = 0;
}

static void hosts_grow(struct hosts *h)
{
    struct hosts now = {.width = h->width, .n_blocks = h->n_blocks ? 2 * h->n_blocks : 1};

    now.v = xcalloc(now.n_blocks, sizeof(struct block *));
    for (unsigned i = 0; i < h->n_blocks; i++)
        for (unsigned k = 0; h->v[i] && k < h->v[i]->n; k++)
            hosts_add(&now, block_ips(h->v[i]) + k * h->width, h->v[i]->values[k]);
    hosts_clear(h);
    *h = now;
}

static void hosts_copy(struct hosts *to, const struct hosts *from)
{
    *to = *from;
    if (!from->v)
        return;
    to->v = xcalloc(from->n_blocks, sizeof(struct block *));
    for (unsigned i = 0; i < from->n_blocks; i++)
        if ((to->v[i] = from->v[i]))
            to->v[i]->refs++;
}

static void *hosts_get(const struct hosts *h, const uint8_t *ip)
{
    const struct block *b = h->n_blocks ? h->v[slot_of(h, ip)] : NULL;
    unsigned i = block_find(b, h->width, ip);

    return b && i < b->n ? b->values[i] : NULL;
}

static void *hosts_put(struct hosts *h, const uint8_t *ip, void *value)
{
    if (h->n >= BLOCK_FILL * h->n_blocks)
        hosts_grow(h);
    struct block **at = &h->v[slot_of(h, ip)];
    unsigned i = block_find(*at, h->width, ip);
    void *old = NULL;

    if (*at && i < (*at)->n) {
        old = (*at)->values[i];
        if ((*at)->refs > 1) /* a copy's, too */
            *at = block_remake(*at, h->width, (*at)->n, 0);
        (*at)->values[i] = value;
    } else {
        hosts_add(h, ip, value);
    }
    return old;
}

static void hosts_del(struct hosts *h, const uint8_t *ip, const void *value)
{
    struct block **at = h->n_blocks ? &h->v[slot_of(h, ip)] : NULL;
    unsigned i = at ? block_find(*at, h->width, ip) : 0;

    if (!at || !*at || i == (*at)->n || (*at)->values[i] != value)
        return;
    *at = block_remake(*at, h->width, i, 0);
    h->n--;
}

static struct hosts *hosts_of(struct lpm *m, const struct cidr *c)
{
    if (c->ip.family == 4)
        return c->bits == 32 ? &m->h4 : NULL;
    return c->bits == 128 ? &m->h6 : NULL;
}

/* ---- ranges -----------------------------------------------------------------------------------
 */

struct lpm *lpm_new(void)
{
    struct lpm *m = xcalloc(1, sizeof(struct lpm));

    m->h4.width = 4;
    m->h6.width = 16;
    return m;
}

static void node_free(struct node *n) /* at most 129 deep */
{
    if (!n)
        return;
    node_free(n->child[0]);
    node_free(n->child[1]);
    free(n);
}

static struct node *node_copy(const struct node *n)
{
    struct node *c;

    if (!n)
        return NULL;
    c = xmalloc(sizeof(*c));
    *c = *n;
    c->child[0] = node_copy(n->child[0]);
    c->child[1] = node_copy(n->child[1]);
    return c;
}

struct lpm *lpm_copy(const struct lpm *m)
{
    struct lpm *c = lpm_new();

    c->root4 = node_copy(m->root4);
    c->root6 = node_copy(m->root6);
    hosts_copy(&c->h4, &m->h4);
    hosts_copy(&c->h6, &m->h6);
    return c;
}

void lpm_free(struct lpm *m)
{
    if (!m)
        return;
    node_free(m->root4);
    node_free(m->root6);
    hosts_clear(&m->h4);
    hosts_clear(&m->h6);
    free(m);
}

static unsigned bit_at(const struct ip *ip, unsigned i)
{
    return ip->b[i / 8] >> (7 - i % 8) & 1;
}

/* how many leading bits two ranges share, at most the shorter one's */
static unsigned common_bits(const struct cidr *a, const struct cidr *b)
{
    unsigned max = a->bits < b->bits ? a->bits : b->bits, i = 0;

    while (i + 8 <= max && a->ip.b[i / 8] == b->ip.b[i / 8])
        i += 8;
    while (i < max && bit_at(&a->ip, i) == bit_at(&b->ip, i))
        i++;
    return i;
}

static struct node *node_new(const struct cidr *range, void *value)
{
    struct node *n = xcalloc(1, sizeof(*n));

    n->range = *range;
    n->value = value;
    return n;
}

/* the range of the first `bits` bits of c */
static struct cidr shortened(const struct cidr *c, unsigned bits)
{
    struct cidr s = {.ip = {.family = c->ip.family}, .bits = (uint8_t)bits};

    for (unsigned i = 0; i < bits; i++)
        s.ip.b[i / 8] |= (uint8_t)(bit_at(&c->ip, i) << (7 - i % 8));
    return s;
}

void *lpm_put(struct lpm *m, const struct cidr *c, void *value)
{
    struct hosts *h = hosts_of(m, c);
    struct node **at = c->ip.family == 4 ? &m->root4 : &m->root6;
    struct node *n, *joint;
    unsigned same = 0;

    if (h)
        return hosts_put(h, c->ip.b, value);
    for (; (n = *at); at = &n->child[bit_at(&c->ip, n->range.bits)]) {
        same = common_bits(&n->range, c);
        if (same < n->range.bits)
            break;
        if (n->range.bits == c->bits) {
            void *old = n->value;
            n->value = value;
            return old;
        }
    }
    if (!n) {
        *at = node_new(c, value);
        return NULL;
    }
    /* n leaves c's path at bit `same`: a node between them, c itself or a joint of both */
    struct cidr upper = shortened(c, same);
    joint = node_new(&upper, same == c->bits ? value : NULL);
    joint->child[bit_at(&n->range.ip, same)] = n;
    if (same < c->bits)
        joint->child[bit_at(&c->ip, same)] = node_new(c, value);
    *at = joint;
    return NULL;
}

/* a node that loses its value stays as a joint */
void lpm_del(struct lpm *m, const struct cidr *c, const void *value)
{
    struct hosts *h = hosts_of(m, c);
    struct node *n = c->ip.family == 4 ? m->root4 : m->root6;

    if (h) {
        hosts_del(h, c->ip.b, value);
        return;
    }
    while (n && n->range.bits < c->bits && cidr_has(&n->range, &c->ip))
        n = n->child[bit_at(&c->ip, n->range.bits)];
    if (n && n->range.bits == c->bits && ip_eq(&n->range.ip, &c->ip) && n->value == value)
        n->value = NULL;
}

void *lpm_get(const struct lpm *m, const struct ip *ip)
{
    const struct node *n = ip->family == 4 ? m->root4 : ip->family == 6 ? m->root6 : NULL;
    const struct hosts *h = ip->family == 4 ? &m->h4 : ip->family == 6 ? &m->h6 : NULL;
    void *best = h ? hosts_get(h, ip->b) : NULL;

    if (best)
        return best;
    while (n && cidr_has(&n->range, ip)) {
        if (n->value)
            best = n->value;
        n = n->child[bit_at(ip, n->range.bits)];
    }
    return best;
}
