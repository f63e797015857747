/* view.c - see view.h */
#include "common/proxy/view.h"
#include <stdlib.h>
#include <string.h>
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

void port_rules_add(struct port_rules *p, struct chain *c)
{
    p->chains = xreallocarray(p->chains, p->n + 1, sizeof *p->chains);
    p->chains[p->n++] = c;
}

void port_rules_range(struct port_rules *p, const struct cidr *range, struct chain *c)
{
    if (!p->by_addr)
        p->by_addr = lpm_new();
    lpm_put(p->by_addr, range, c);
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
        chain_unref(s, p->chains[i]);
    lpm_free(p->by_addr);
    free(p->chains);
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
    if (ps->n == ps->cap) {
        ps->cap = ps->cap ? 2 * ps->cap : 8;
        ps->v = xreallocarray(ps->v, ps->cap, sizeof *ps->v);
    }
    memmove(ps->v + at + 1, ps->v + at, (ps->n - at) * sizeof *ps->v);
    ps->v[at] = p;
    ps->n++;
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

struct chain *view_chain(const struct view *v, bool inbound, const struct ip_port *dst)
{
    const struct port_rules *p = ports_find(&v->ports[inbound], dst->port);
    if (p) {
        struct chain *c = p->by_addr ? lpm_get(p->by_addr, &dst->ip) : NULL;
        if (c || (c = p->any))
            return c;
    }
    return v->fallback[inbound];
}
