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

/* the place of the first rule that is not before name */
static uint32_t chains_search(const struct port_rules *p, const char *name)
{
    uint32_t lo = 0, hi = p->n;
    if (hi && strcmp(p->rules[hi - 1]->name, name) < 0)
        return hi; /* mostly they come in order */
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (strcmp(p->rules[mid]->name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void port_rules_add(struct port_rules *p, struct rule *r)
{
    uint32_t at = chains_search(p, r->name);
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap + p->cap / 4 + 1 : 2;
        p->rules = xreallocarray(p->rules, p->cap, sizeof *p->rules);
    }
    memmove(p->rules + at + 1, p->rules + at, (p->n - at) * sizeof *p->rules);
    p->rules[at] = r;
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
    uint32_t at = chains_search(p, r->name);
    while (at < p->n && p->rules[at] != r)
        at++;
    BUG_ON(at == p->n);
    p->n--;
    memmove(p->rules + at, p->rules + at + 1, (p->n - at) * sizeof *p->rules);
    if (p->any == r)
        p->any = NULL;
    rule_unref(s, r);
}

struct rule *port_rules_find(const struct port_rules *p, const char *name)
{
    uint32_t at = chains_search(p, name);
    return at < p->n && strcmp(p->rules[at]->name, name) == 0 ? p->rules[at] : NULL;
}

static struct port_rules *port_rules_copy(const struct port_rules *p)
{
    struct port_rules *q = port_rules_new(p->port, 0);
    q->overlaps = p->overlaps;
    q->any = p->any;
    q->n = p->n;
    q->cap = p->n + 1;
    q->by_addr = p->by_addr ? lpm_copy(p->by_addr) : NULL;
    q->rules = xreallocarray(NULL, q->cap, sizeof *q->rules);
    for (uint32_t i = 0; i < p->n; i++)
        q->rules[i] = rule_ref(p->rules[i]);
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
    for (uint32_t i = 0; i < p->n; i++)
        rule_unref(s, p->rules[i]);
    lpm_free(p->by_addr);
    free(p->rules);
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

void view_free(struct view *v)
{
    if (!v)
        return;
    struct cluster_slots *s = engine_slots(v->engine);
    for (uint32_t i = 0; i < v->n_clusters; i++)
        cluster_unref(s, v->clusters[i]);
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
    free(v);
}

struct cluster *view_keep_cluster(const struct view *base, struct cluster_slots *s,
                                  const char *name, uint64_t tag)
{
    int64_t slot = base && tag ? cluster_slot_find(s, name) : -1;
    struct cluster *c = slot >= 0 ? view_cluster(base, (uint32_t)slot) : NULL;
    return c && c->tag == tag ? cluster_ref(c) : NULL;
}

void view_put_cluster(struct view *v, struct cluster *c)
{
    if (c->slot >= v->n_clusters) {
        uint32_t n = cluster_slots_count(engine_slots(v->engine));
        n = n > c->slot ? n + n / 8 : c->slot + 1;
        v->clusters = xreallocarray(v->clusters, n, sizeof *v->clusters);
        memset(v->clusters + v->n_clusters, 0, (n - v->n_clusters) * sizeof *v->clusters);
        v->n_clusters = n;
    }
    cluster_unref(engine_slots(v->engine), v->clusters[c->slot]);
    v->clusters[c->slot] = c;
}

void view_share_clusters(struct view *v, const struct view *base)
{
    for (uint32_t i = 0; i < base->n_clusters; i++)
        if (base->clusters[i] && !(base->clusters[i]->flags & CLUSTER_LOCAL))
            view_put_cluster(v, cluster_ref(base->clusters[i]));
}

void view_drop_cluster(struct view *v, const char *name)
{
    struct cluster_slots *s = engine_slots(v->engine);
    int64_t slot = cluster_slot_find(s, name);
    if (slot < 0 || slot >= v->n_clusters)
        return;
    cluster_unref(s, v->clusters[slot]);
    v->clusters[slot] = NULL;
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
