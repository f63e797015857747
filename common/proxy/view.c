/* view.c - see view.h */
#include "common/proxy/view.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/proxy/engine.h"
#include "common/proxy/lsock.h"

/* ---- transport ------------------------------------------------------------------------------- */

struct transport *transport_new(void)
{
    static uint64_t serial; /* control thread only */
    struct transport *t = xcalloc(1, sizeof *t);
    t->refs = 1;
    t->serial = ++serial;
    return t;
}

struct transport *transport_ref(struct transport *t)
{
    t->refs++;
    return t;
}

void transport_unref(struct transport *t)
{
    if (!t || --t->refs)
        return;
    struct tls_ctx *all[] = {t->server, t->plain_server, t->open_server, t->h2, t->http1, t->tcp};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i])
            tls_ctx_unref(all[i]);
    free(t);
}

/* ---- rules of a port ------------------------------------------------------------------------- */

struct port_rules *port_rules_new(uint16_t port, uint64_t tag)
{
    struct port_rules *p = xcalloc(1, sizeof *p);
    p->refs = 1;
    p->port = port;
    p->tag = tag;
    return p;
}

/* the last block that begins with name or before it, or the first */
static uint32_t block_search(const struct port_rules *p, const char *name)
{
    uint32_t lo = 0, hi = p->n_blocks;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (strcmp(p->blocks[mid]->v[0]->name, name) <= 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* the place of the first rule that is not before name */
static uint32_t rule_search(const struct rule_block *b, const char *name)
{
    uint32_t lo = 0, hi = b->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (strcmp(b->v[mid]->name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void rule_block_unref(struct cluster_slots *s, struct rule_block *b)
{
    if (--b->refs)
        return;
    for (uint32_t i = 0; i < b->n; i++)
        rule_unref(s, b->v[i]);
    free(b);
}

/* an empty one, at that place */
static struct rule_block *block_insert(struct port_rules *p, uint32_t at)
{
    struct rule_block *b = xcalloc(1, sizeof *b);
    b->refs = 1;
    if (p->n_blocks == p->cap_blocks) {
        p->cap_blocks = p->cap_blocks ? p->cap_blocks + p->cap_blocks / 4 + 1 : 1;
        p->blocks = xreallocarray(p->blocks, p->cap_blocks, sizeof *p->blocks);
    }
    memmove(p->blocks + at + 1, p->blocks + at, (p->n_blocks - at) * sizeof *p->blocks);
    p->blocks[at] = b;
    p->n_blocks++;
    return b;
}

/* the block for p alone */
static struct rule_block *block_edit(struct port_rules *p, uint32_t i)
{
    struct rule_block *shared = p->blocks[i], *b;
    if (shared->refs == 1)
        return shared;
    b = p->blocks[i] = xmalloc(sizeof *b);
    *b = *shared;
    b->refs = 1;
    for (uint32_t k = 0; k < b->n; k++)
        rule_ref(b->v[k]);
    shared->refs--;
    return b;
}

/* Makes room in the full block i: its second half goes to the next one.  They mostly come in
 * order: then nothing does. */
static void block_split(struct port_rules *p, uint32_t i, bool at_end)
{
    struct rule_block *next = block_insert(p, i + 1), *b = p->blocks[i];
    uint32_t keep = at_end ? b->n : b->n / 2;
    next->n = b->n - keep;
    memcpy(next->v, b->v + keep, next->n * sizeof *b->v);
    b->n = keep;
}

void port_rules_add(struct port_rules *p, struct rule *r)
{
    uint32_t i = block_search(p, r->name);
    struct rule_block *b = p->n_blocks ? block_edit(p, i) : block_insert(p, 0);
    uint32_t at = rule_search(b, r->name);
    if (b->n == VIEW_BLOCK) {
        block_split(p, i, at == b->n && i + 1 == p->n_blocks);
        if (at >= b->n) {
            at -= b->n;
            b = p->blocks[i + 1];
        }
    }
    memmove(b->v + at + 1, b->v + at, (b->n - at) * sizeof *b->v);
    b->v[at] = r;
    b->n++;
    p->n++;
}

void port_rules_range(struct port_rules *p, const struct cidr *range, struct rule *r)
{
    if (!p->by_addr)
        p->by_addr = lpm_new();
    const void *other = lpm_put(p->by_addr, range, r);
    p->overlaps |= other && other != r;
}

void port_rules_unrange(struct port_rules *p, const struct cidr *range, const struct rule *r)
{
    if (p->by_addr)
        lpm_del(p->by_addr, range, r);
}

void port_rules_remove(struct cluster_slots *s, struct port_rules *p, struct rule *r)
{
    BUG_ON(port_rules_find(p, r->name) != r);
    uint32_t i = block_search(p, r->name);
    struct rule_block *b = block_edit(p, i);
    uint32_t at = rule_search(b, r->name);
    b->n--;
    memmove(b->v + at, b->v + at + 1, (b->n - at) * sizeof *b->v);
    p->n--;
    if (b->n == 0) {
        free(b);
        p->n_blocks--;
        memmove(p->blocks + i, p->blocks + i + 1, (p->n_blocks - i) * sizeof *p->blocks);
    }
    if (p->any == r)
        p->any = NULL;
    rule_unref(s, r);
}

struct rule *port_rules_from(const struct port_rules *p, const char *name)
{
    uint32_t i = block_search(p, name), at;
    if (p->n == 0)
        return NULL;
    at = rule_search(p->blocks[i], name);
    if (at < p->blocks[i]->n)
        return p->blocks[i]->v[at];
    return i + 1 < p->n_blocks ? p->blocks[i + 1]->v[0] : NULL;
}

struct rule *port_rules_find(const struct port_rules *p, const char *name)
{
    struct rule *r = port_rules_from(p, name);
    return r && strcmp(r->name, name) == 0 ? r : NULL;
}

static struct port_rules *port_rules_copy(const struct port_rules *p)
{
    struct port_rules *q = port_rules_new(p->port, 0);
    q->overlaps = p->overlaps;
    q->any = p->any;
    q->n = p->n;
    q->by_addr = p->by_addr ? lpm_copy(p->by_addr) : NULL;
    q->n_blocks = p->n_blocks;
    q->cap_blocks = p->n_blocks + 1;
    q->blocks = xreallocarray(NULL, q->cap_blocks, sizeof *q->blocks);
    for (uint32_t i = 0; i < p->n_blocks; i++) {
        q->blocks[i] = p->blocks[i];
        q->blocks[i]->refs++;
    }
    return q;
}

struct port_rules *port_rules_ref(struct port_rules *p)
{
    p->refs++;
    return p;
}

void port_rules_unref(struct cluster_slots *s, struct port_rules *p)
{
    if (!p || --p->refs)
        return;
    for (uint32_t i = 0; i < p->n_blocks; i++)
        rule_block_unref(s, p->blocks[i]);
    lpm_free(p->by_addr);
    free(p->blocks);
    free(p);
}

/* ---- the view -------------------------------------------------------------------------------- */

struct view *view_new(struct engine *e)
{
    struct view *v = xcalloc(1, sizeof *v);
    v->engine = e;
    v->limits = limits_default;
    return v;
}

static void cluster_block_unref(struct cluster_slots *s, struct cluster_block *b)
{
    if (!b || --b->refs)
        return;
    for (uint32_t i = 0; i < VIEW_BLOCK; i++)
        cluster_unref(s, b->v[i]);
    free(b);
}

void view_free(struct view *v)
{
    if (!v)
        return;
    struct cluster_slots *s = engine_slots(v->engine);
    for (uint32_t i = 0; i < v->n_clusters / VIEW_BLOCK; i++)
        cluster_block_unref(s, v->clusters[i]);
    for (int d = 0; d < 2; d++) {
        for (uint32_t i = 0; i < v->ports[d].n; i++)
            port_rules_unref(s, v->ports[d].v[i]);
        free(v->ports[d].v);
        chain_unref(s, v->fallback[d]);
    }
    for (uint32_t i = 0; i < v->n_listeners; i++) {
        free((char *)v->listeners[i].name);
        lsock_unref(v->listeners[i].sock);
    }
    ipset_unref(v->allowed);
    transport_unref(v->transport);
    if (v->maker.free)
        v->maker.free(v->maker.arg);
    free(v->listeners);
    free(v->clusters);
    free(v->local);
    free(v);
}

struct cluster *view_keep_cluster(const struct view *base, struct cluster_slots *s,
                                  const char *name, uint64_t tag)
{
    int64_t slot = base && tag ? cluster_slot_find(s, name) : -1;
    struct cluster *c = slot >= 0 ? view_cluster(base, (uint32_t)slot) : NULL;
    return c && c->tag == tag ? cluster_ref(c) : NULL;
}

static void clusters_grow(struct view *v, uint32_t slots)
{
    uint32_t had = v->n_clusters / VIEW_BLOCK, n = (slots + VIEW_BLOCK - 1) / VIEW_BLOCK;
    if (n <= had)
        return;
    v->clusters = xreallocarray(v->clusters, n, sizeof *v->clusters);
    memset(v->clusters + had, 0, (n - had) * sizeof *v->clusters);
    v->n_clusters = n * VIEW_BLOCK;
}

/* the slot's place in a block that is v's alone; v has room for it */
static struct cluster **cluster_edit(struct view *v, uint32_t slot)
{
    struct cluster_block **at = &v->clusters[slot / VIEW_BLOCK], *shared = *at;
    if (!shared || shared->refs > 1) {
        *at = xcalloc(1, sizeof **at);
        if (shared) {
            **at = *shared;
            shared->refs--;
        }
        (*at)->refs = 1;
        for (uint32_t i = 0; shared && i < VIEW_BLOCK; i++)
            if ((*at)->v[i])
                cluster_ref((*at)->v[i]);
    }
    return &(*at)->v[slot % VIEW_BLOCK];
}

void view_put_cluster(struct view *v, struct cluster *c)
{
    if (c->slot >= v->n_clusters) {
        uint32_t n = cluster_slots_count(engine_slots(v->engine));
        clusters_grow(v, n > c->slot ? n + n / 8 : c->slot + 1);
    }
    struct cluster **at = cluster_edit(v, c->slot);
    cluster_unref(engine_slots(v->engine), *at);
    *at = c;
    if (c->flags & CLUSTER_LOCAL) {
        v->local = xreallocarray(v->local, v->n_local + 1, sizeof *v->local);
        v->local[v->n_local++] = c->slot;
    }
}

static void drop_slot(struct view *v, uint32_t slot)
{
    if (!view_cluster(v, slot))
        return;
    struct cluster **at = cluster_edit(v, slot);
    cluster_unref(engine_slots(v->engine), *at);
    *at = NULL;
}

void view_share_clusters(struct view *v, const struct view *base)
{
    clusters_grow(v, base->n_clusters);
    for (uint32_t i = 0; i < base->n_clusters / VIEW_BLOCK; i++) {
        BUG_ON(v->clusters[i]);
        v->clusters[i] = base->clusters[i];
        if (v->clusters[i])
            v->clusters[i]->refs++;
    }
    for (uint32_t i = 0; i < base->n_local; i++) {
        const struct cluster *c = view_cluster(base, base->local[i]);
        if (c && c->flags & CLUSTER_LOCAL)
            drop_slot(v, base->local[i]);
    }
}

void view_drop_cluster(struct view *v, const char *name)
{
    int64_t slot = cluster_slot_find(engine_slots(v->engine), name);
    if (slot >= 0)
        drop_slot(v, (uint32_t)slot);
}

/* the place of port, or where it belongs */
static uint32_t ports_search(const struct ports *p, uint16_t port)
{
    uint32_t lo = 0, hi = p->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (p->v[mid]->port < port)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct port_rules *ports_find(const struct ports *p, uint16_t port)
{
    uint32_t i = ports_search(p, port);
    return i < p->n && p->v[i]->port == port ? p->v[i] : NULL;
}

struct port_rules *view_keep_ports(const struct view *base, bool inbound, uint16_t port,
                                   uint64_t tag)
{
    struct port_rules *p = base && tag ? ports_find(&base->ports[inbound], port) : NULL;
    return p && p->tag == tag ? port_rules_ref(p) : NULL;
}

void view_put_ports(struct view *v, bool inbound, struct port_rules *p)
{
    struct ports *ps = &v->ports[inbound];
    uint32_t at = ports_search(ps, p->port);
    if (at < ps->n && ps->v[at]->port == p->port) {
        port_rules_unref(engine_slots(v->engine), ps->v[at]);
        ps->v[at] = p;
        return;
    }
    if (ps->n == ps->cap) {
        ps->cap = ps->cap ? 2 * ps->cap : 8;
        ps->v = xreallocarray(ps->v, ps->cap, sizeof *ps->v);
    }
    memmove(ps->v + at + 1, ps->v + at, (ps->n - at) * sizeof *ps->v);
    ps->v[at] = p;
    ps->n++;
}

void view_share_ports(struct view *v, const struct view *base, bool inbound)
{
    for (uint32_t i = 0; i < base->ports[inbound].n; i++)
        view_put_ports(v, inbound, port_rules_ref(base->ports[inbound].v[i]));
}

struct port_rules *view_edit_ports(struct view *v, bool inbound, uint16_t port)
{
    struct port_rules *p = ports_find(&v->ports[inbound], port);
    if (p && p->refs == 1)
        return p;
    p = p ? port_rules_copy(p) : port_rules_new(port, 0);
    view_put_ports(v, inbound, p);
    return p;
}

void view_tidy_ports(struct view *v, bool inbound)
{
    struct ports *ps = &v->ports[inbound];
    uint32_t n = 0;
    for (uint32_t i = 0; i < ps->n; i++)
        if (ps->v[i]->n)
            ps->v[n++] = ps->v[i];
        else
            port_rules_unref(engine_slots(v->engine), ps->v[i]);
    ps->n = n;
}

void view_set_fallback(struct view *v, bool inbound, struct chain *c)
{
    chain_unref(engine_slots(v->engine), v->fallback[inbound]);
    v->fallback[inbound] = c;
}

int view_add_listener(struct view *v, const char *name, const struct ip_port *addr, bool inbound,
                      const struct ip_port *pretend, struct err *e)
{
    struct lsock *sock = lsock_open(engine_lsocks(v->engine), addr, e);
    if (!sock)
        return err_prefix(e, "listener %s", name);
    v->listeners = xreallocarray(v->listeners, v->n_listeners + 1, sizeof *v->listeners);
    struct view_listener *l = &v->listeners[v->n_listeners++];
    *l = (struct view_listener){
        .name = xstrdup(name), .inbound = inbound, .transparent = !pretend, .sock = sock};
    if (pretend)
        l->pretend = *pretend;
    return 0;
}

/* The first who asks makes it; of two at one time one's is thrown away. */
static struct chain *make_chain(const struct view *v, struct rule *r)
{
    struct chain *none = NULL, *made = v->maker.make ? v->maker.make(r, v->maker.arg) : NULL;
    if (!made)
        return NULL;
    if (__atomic_compare_exchange_n(&r->chain, &none, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return made;
    chain_unref(NULL, made);
    return none;
}

static struct chain *rule_chain(const struct view *v, struct rule *r)
{
    struct chain *c = __atomic_load_n(&r->chain, __ATOMIC_ACQUIRE);
    return c ? c : make_chain(v, r);
}

struct chain *view_chain(const struct view *v, bool inbound, const struct ip_port *dst)
{
    const struct port_rules *p = ports_find(&v->ports[inbound], dst->port);
    struct rule *r = p && p->by_addr ? lpm_get(p->by_addr, &dst->ip) : NULL;
    if (!r && p)
        r = p->any;
    return r ? rule_chain(v, r) : v->fallback[inbound];
}
