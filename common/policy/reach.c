/* reach.c - claims on addresses, and the groups that they make. */
#include "common/policy/reach.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/base/table.h"

/* ---- the reaches of a Service
 * -------------------------------------------------------------------- */

struct list {
    struct reach **v;
    unsigned n;
    struct mesh_dest dest; /* whose reaches are being made */
    unsigned from;         /* they begin here in v */
    reach_is_pod *is_pod;
    void *arg;
};

static struct reach *reach_at(struct list *l, uint16_t port)
{
    for (unsigned i = l->from; i < l->n; i++)
        if (l->v[i]->port == port)
            return l->v[i];
    l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
    struct reach *r = l->v[l->n++] = xcalloc(1, sizeof(*r));
    r->dest = l->dest;
    r->port = port;
    return r;
}

static void add_addr(struct reach *r, const struct ip *ip, enum reach_rank rank)
{
    if ((r->n_addrs & (r->n_addrs - 1)) == 0) /* a power of two: full */
        r->addrs = xreallocarray(r->addrs, r->n_addrs ? r->n_addrs * 2 : 1, sizeof(*r->addrs));
    r->addrs[r->n_addrs++] = (struct reach_addr){*ip, rank};
}

/* at the Service's port, as documented, and at the pod's own, as a client that was told the pod's
 * address dials it */
static void add_endpoint(const struct mesh_endpoint *ep, void *arg)
{
    struct list *l = arg;
    uint16_t port = l->dest.svc->ports[l->dest.port].port, own = ep->ports[l->dest.port];

    if (l->dest.svc->n_cluster_ips > 0 && !l->is_pod(&ep->ip, l->arg))
        return;
    add_addr(reach_at(l, port), &ep->ip, own == port ? REACH_POD_PORT : REACH_POD);
    if (own != port)
        add_addr(reach_at(l, own), &ep->ip, REACH_POD_PORT);
}

static void add_named_endpoint(const struct mesh_endpoint *ep, void *arg)
{
    struct list *l = arg;

    if (!ep->hostname)
        return;
    l->dest.host = ep;
    l->from = l->n;
    add_endpoint(ep, l);
}

unsigned reach_of_service(const struct mesh_service *s, enum mesh_access access,
                          reach_is_pod *is_pod, void *arg, struct reach ***out)
{
    struct list l = {.is_pod = is_pod, .arg = arg};
    bool by_endpoint = s->n_cluster_ips == 0 || access != MESH_ACCESS_DOMAIN;

    for (unsigned i = 0; i < s->n_ports; i++) {
        l.from = l.n;
        l.dest = (struct mesh_dest){.svc = s, .port = i};
        for (unsigned k = 0; k < s->n_cluster_ips; k++)
            add_addr(reach_at(&l, s->ports[i].port), &s->cluster_ips[k], REACH_SERVICE);
        if (by_endpoint)
            mesh_service_each_ready(s, i, add_endpoint, &l);
        if (s->headless)
            mesh_service_each_ready(s, i, add_named_endpoint, &l);
    }
    *out = l.v;
    return l.n;
}

void reach_free(struct reach *r)
{
    if (!r)
        return;
    free(r->addrs);
    free(r);
}

int reach_compare_claims(const struct reach *a, enum reach_rank a_rank, const struct reach *b,
                         enum reach_rank b_rank)
{
    const struct mesh_port *pa = &a->dest.svc->ports[a->dest.port];
    const struct mesh_port *pb = &b->dest.svc->ports[b->dest.port];

    if (a_rank != b_rank)
        return a_rank < b_rank ? -1 : 1;
    if (pa->protocol.declared != pb->protocol.declared)
        return pa->protocol.declared ? -1 : 1;
    if (!a->dest.host != !b->dest.host) /* the endpoint itself before the Service around it */
        return a->dest.host ? -1 : 1;
    return mesh_dest_compare(&a->dest, &b->dest);
}

/* ---- the index
 * ------------------------------------------------------------------------------------ */

/* the reaches that claim one address at one port */
struct claim {
    struct reach **v;
    unsigned n;
};

struct reach_index {
    struct table *claims; /* port and address -> struct claim */
    struct reach_group **groups;
    unsigned n_groups;
    struct reach **loose; /* to be grouped anew */
    unsigned n_loose, cap_loose;
    struct reach_group **dissolved;
    unsigned n_dissolved;
};

struct claim_key {
    uint8_t b[2 + 1 + 16];
};

static struct slice claim_key(struct claim_key *k, uint16_t port, const struct ip *ip)
{
    k->b[0] = (uint8_t)(port >> 8);
    k->b[1] = (uint8_t)port;
    k->b[2] = ip->family;
    memcpy(k->b + 3, ip->b, sizeof(ip->b));
    return slice_of((const char *)k->b, sizeof(k->b));
}

static void claim_free(void *p)
{
    struct claim *c = p;

    free(c->v);
    free(c);
}

struct reach_index *reach_index_new(void)
{
    struct reach_index *x = xcalloc(1, sizeof(*x));

    x->claims = table_new(claim_free);
    return x;
}

static void group_free(struct reach_group *g)
{
    free(g->v);
    free(g);
}

void reach_index_free(struct reach_index *x)
{
    if (!x)
        return;
    BUG_ON(x->n_loose > 0 || x->n_dissolved > 0 || table_count(x->claims) > 0);
    table_free(x->claims);
    free(x->groups);
    free(x->loose);
    free(x->dissolved);
    free(x);
}

static void loosen(struct reach_index *x, struct reach *r)
{
    if (r->listed)
        return;
    r->listed = true;
    if (x->n_loose == x->cap_loose) {
        x->cap_loose = x->cap_loose ? x->cap_loose * 2 : 64;
        x->loose = xreallocarray(x->loose, x->cap_loose, sizeof(struct reach *));
    }
    x->loose[x->n_loose++] = r;
}

/* its reaches are to be grouped anew, what was compiled of it goes */
static void dissolve(struct reach_index *x, struct reach_group *g)
{
    if (!g || g->n == 0)
        return;
    for (unsigned i = 0; i < g->n; i++) {
        g->v[i]->group = NULL;
        loosen(x, g->v[i]);
    }
    g->n = 0;
    x->groups[g->slot] = x->groups[--x->n_groups];
    x->groups[g->slot]->slot = g->slot;
    x->dissolved = xreallocarray(x->dissolved, x->n_dissolved + 1, sizeof(struct reach_group *));
    x->dissolved[x->n_dissolved++] = g;
}

static struct claim *claim_at(const struct reach_index *x, uint16_t port, const struct ip *ip)
{
    struct claim_key k;

    return table_get(x->claims, claim_key(&k, port, ip));
}

static void claim_add(struct reach_index *x, struct reach *r, const struct ip *ip)
{
    struct claim *c = claim_at(x, r->port, ip);
    struct claim_key k;

    if (!c) {
        c = xcalloc(1, sizeof(*c));
        table_put(x->claims, claim_key(&k, r->port, ip), c);
    }
    for (unsigned i = 0; i < c->n; i++)
        dissolve(x, c->v[i]->group);
    c->v = xreallocarray(c->v, c->n + 1, sizeof(struct reach *));
    c->v[c->n++] = r;
}

static void claim_remove(struct reach_index *x, struct reach *r, const struct ip *ip)
{
    struct claim *c = claim_at(x, r->port, ip);
    struct claim_key k;

    for (unsigned i = 0; c && i < c->n; i++) {
        if (c->v[i] == r) {
            c->v[i] = c->v[--c->n];
            break;
        }
    }
    if (c && c->n == 0)
        table_del(x->claims, claim_key(&k, r->port, ip));
}

void reach_index_add(struct reach_index *x, struct reach *r)
{
    for (unsigned i = 0; i < r->n_addrs; i++)
        claim_add(x, r, &r->addrs[i].ip);
    loosen(x, r);
}

void reach_index_remove(struct reach_index *x, struct reach *r)
{
    dissolve(x, r->group);
    loosen(x, r);
    for (unsigned i = 0; i < r->n_addrs; i++)
        claim_remove(x, r, &r->addrs[i].ip);
    r->gone = true;
    r->n_addrs = 0;
}

/* everything connected with r, r included */
static struct reach_group *group_around(struct reach_index *x, struct reach *r)
{
    struct reach_group *g = xcalloc(1, sizeof(*g));

    g->v = xreallocarray(NULL, 1, sizeof(struct reach *));
    g->v[g->n++] = r;
    r->group = g;
    for (unsigned i = 0; i < g->n; i++) {
        for (unsigned k = 0; k < g->v[i]->n_addrs; k++) {
            struct claim *c = claim_at(x, r->port, &g->v[i]->addrs[k].ip);
            for (unsigned m = 0; m < c->n; m++) {
                if (c->v[m]->group)
                    continue;
                c->v[m]->group = g;
                g->v = xreallocarray(g->v, g->n + 1, sizeof(struct reach *));
                g->v[g->n++] = c->v[m];
            }
        }
    }
    return g;
}

static void forget_dissolved(struct reach_index *x, reach_group_fn *gone, void *arg)
{
    for (unsigned i = 0; i < x->n_dissolved; i++) {
        gone(x->dissolved[i], arg);
        group_free(x->dissolved[i]);
    }
    x->n_dissolved = 0;
}

static void add_group(struct reach_index *x, struct reach_group *g)
{
    if ((x->n_groups & (x->n_groups - 1)) == 0)
        x->groups = xreallocarray(x->groups, x->n_groups ? x->n_groups * 2 : 1,
                                  sizeof(struct reach_group *));
    g->slot = x->n_groups;
    x->groups[x->n_groups++] = g;
}

void reach_index_settle(struct reach_index *x, reach_group_fn *gone, reach_group_fn *fn, void *arg)
{
    unsigned kept = 0;

    forget_dissolved(x, gone, arg);
    for (unsigned i = 0; i < x->n_loose; i++) {
        struct reach *r = x->loose[i];
        r->listed = false;
        if (r->gone)
            reach_free(r);
        else
            x->loose[kept++] = r;
    }
    x->n_loose = 0;
    for (unsigned i = 0; i < kept; i++) {
        if (x->loose[i]->group)
            continue;
        struct reach_group *g = group_around(x, x->loose[i]);
        add_group(x, g);
        fn(g, arg);
    }
}

void reach_index_each(struct reach_index *x, reach_group_fn *fn, void *arg)
{
    for (unsigned i = 0; i < x->n_groups; i++)
        fn(x->groups[i], arg);
}
