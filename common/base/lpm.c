/* lpm.c - longest-prefix map: one path-compressed binary trie per address family.
 *
 * A node stands for a range; its children are longer ranges inside it, told apart by the bit that
 * follows.  A node without a value only joins two branches.
 */
#include "common/base/cidr.h"

#include <stdlib.h>
#include "common/base/mem.h"

struct node {
    struct cidr range;
    void *value; /* borrowed; NULL = a joint */
    struct node *child[2];
};

struct lpm {
    struct node *root4, *root6;
};

struct lpm *lpm_new(void)
{
    return xcalloc(1, sizeof(struct lpm));
}

static void node_free(struct node *n) /* at most 129 deep */
{
    if (!n)
        return;
    node_free(n->child[0]);
    node_free(n->child[1]);
    free(n);
}

void lpm_free(struct lpm *m)
{
    if (!m)
        return;
    node_free(m->root4);
    node_free(m->root6);
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

void lpm_put(struct lpm *m, const struct cidr *c, void *value)
{
    struct node **at = c->ip.family == 4 ? &m->root4 : &m->root6;
    struct node *n, *joint;
    unsigned same;

    for (; (n = *at); at = &n->child[bit_at(&c->ip, n->range.bits)]) {
        same = common_bits(&n->range, c);
        if (same < n->range.bits)
            break;
        if (n->range.bits == c->bits) {
            n->value = value;
            return;
        }
    }
    if (!n) {
        *at = node_new(c, value);
        return;
    }
    /* n leaves c's path at bit `same`: a node between them, c itself or a joint of both */
    struct cidr upper = shortened(c, same);
    joint = node_new(&upper, same == c->bits ? value : NULL);
    joint->child[bit_at(&n->range.ip, same)] = n;
    if (same < c->bits)
        joint->child[bit_at(&c->ip, same)] = node_new(c, value);
    *at = joint;
}

void *lpm_get(const struct lpm *m, const struct ip *ip)
{
    const struct node *n = ip->family == 4 ? m->root4 : ip->family == 6 ? m->root6 : NULL;
    unsigned max = ip->family == 4 ? 32 : 128;
    void *best = NULL;

    while (n && cidr_has(&n->range, ip)) {
        if (n->value)
            best = n->value;
        if (n->range.bits == max)
            break;
        n = n->child[bit_at(ip, n->range.bits)];
    }
    return best;
}
