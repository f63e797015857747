/* outbound.c - match items and clusters of the client side (specification 1, outbound). */
#include "common/policy/outbound.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/policy/document.h"
#include "common/policy/route.h"

/* ---- clusters ----------------------------------------------------------------------------------
 */

struct cluster_job {
    const struct outbound_ctx *ctx;
    unsigned port; /* index */
    json_t *endpoints;
};

static void add_endpoint(const struct mesh_endpoint *ep, void *arg)
{
    struct cluster_job *job = arg;
    struct ip_port at = {ep->ip, ep->ports[job->port]};
    const struct mesh_pod *pod =
        job->ctx->plaintext ? NULL : job->ctx->pod_at(&ep->ip, job->ctx->arg);
    struct buf id = BUF_INIT;
    char key[IP_TEXT_MAX];
    json_t *value = json_pack("{s:i}", "Weight", 100);

    if (pod && !mesh_pod_bypasses(pod, at.port)) {
        mesh_spiffe(pod->sa, pod->ns, job->ctx->trust_domain, &id);
        json_object_set_new(value, "Identity", json_stringn(id.p, id.len));
    }
    json_object_set_new(job->endpoints, ip_port_format(&at, key), value);
    buf_free(&id);
}

json_t *outbound_cluster(const struct outbound_ctx *ctx, const struct mesh_dest *d)
{
    struct cluster_job job = {ctx, d->port, json_object()};

    if (d->host)
        add_endpoint(d->host, &job);
    else
        mesh_service_each_ready(d->svc, d->port, add_endpoint, &job);
    return json_pack("{s:o, s:s*}", "Endpoints", job.endpoints, "LoadBalancer",
                     d->host ? NULL : d->svc->balancer);
}

/* ---- who gets which address
 * ---------------------------------------------------------------------- */

struct claim {
    const struct reach_addr *addr;
    const struct reach *reach;
};

static bool is_tcp(const struct reach *r)
{
    return r->dest.svc->ports[r->dest.port].protocol.protocol == MESH_TCP;
}

static bool is_declared(const struct reach *r)
{
    return r->dest.svc->ports[r->dest.port].protocol.declared;
}

static int by_address_then_claim(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    int c = x->addr->ip.family - y->addr->ip.family;

    if (!c)
        c = memcmp(x->addr->ip.b, y->addr->ip.b, sizeof(x->addr->ip.b));
    return c ? c : reach_compare_claims(x->reach, x->addr->rank, y->reach, y->addr->rank);
}

/* the best claim of every address, in order of address; owned; *n: how many */
static struct claim *winners(const struct reach_group *g, unsigned *n)
{
    unsigned total = 0, kept = 0;
    struct claim *v;

    for (unsigned i = 0; i < g->n; i++)
        total += g->v[i]->n_addrs;
    v = xreallocarray(NULL, total + 1, sizeof(*v));
    total = 0;
    for (unsigned i = 0; i < g->n; i++)
        for (unsigned k = 0; k < g->v[i]->n_addrs; k++)
            v[total++] = (struct claim){&g->v[i]->addrs[k], g->v[i]};
    qsort(v, total, sizeof(*v), by_address_then_claim);
    for (unsigned i = 0; i < total; i++)
        if (kept == 0 || !ip_eq(&v[kept - 1].addr->ip, &v[i].addr->ip))
            v[kept++] = v[i];
    *n = kept;
    return v;
}

/* ---- items
 * ------------------------------------------------------------------------------------------ */

struct item_job {
    const struct outbound_ctx *ctx;
    const struct reach_group *g;
    const struct claim *won; /* of the whole group */
    unsigned n_won;
    outbound_item_fn *fn;
    void *arg;
};

/* what one item is made for: a TCP reach alone, or the HTTP reaches of a namespace */
struct subject {
    const char *ns;
    const struct reach *tcp; /* or NULL */
};

static bool is_of(const struct reach *r, const struct subject *s)
{
    return s->tcp ? r == s->tcp : !is_tcp(r) && strcmp(r->dest.svc->ns, s->ns) == 0;
}

static char *range_text(const struct ip *ip, char *out)
{
    struct cidr c = {*ip, ip->family == 6 ? 128 : 32};

    return cidr_format(&c, out);
}

/* The Services' own addresses first: they change least, and the first range names the item. */
static json_t *ranges_of(const struct item_job *job, const struct subject *s)
{
    json_t *out = json_array();
    char text[IP_TEXT_MAX];

    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < job->n_won; i++) {
            const struct claim *c = &job->won[i];
            if (is_of(c->reach, s) && (c->addr->rank != REACH_SERVICE) == pass)
                json_array_append_new(out, json_string(range_text(&c->addr->ip, text)));
        }
    }
    return out;
}

static json_t *cluster_name(const struct mesh_dest *d)
{
    struct buf name = BUF_INIT;

    mesh_dest_cluster(d, &name);
    json_t *out = json_stringn(name.p, name.len);
    buf_free(&name);
    return out;
}

static json_t *targets_of(const struct mesh_dest *d)
{
    json_t *name = cluster_name(d), *out = route_targets(json_string_value(name));

    json_decref(name);
    return out;
}

/* takes ranges */
static json_t *item_new(json_t *ranges, uint16_t port, enum mesh_protocol p)
{
    return json_pack("{s:o,s:i,s:s}", "DestinationIPRanges", ranges, "Port", port, "Protocol",
                     mesh_protocol_name(p));
}

static void emit(const struct item_job *job, const struct subject *s, json_t *far, json_t *near)
{
    job->fn(s->ns, job->g->v[0]->port, document_item_key(far), far, near, job->arg);
}

static void tcp_item(const struct item_job *job, const struct subject *s)
{
    json_t *item = item_new(ranges_of(job, s), s->tcp->port, MESH_TCP);

    json_object_set_new(item, "TargetClusters", targets_of(&s->tcp->dest));
    json_object_set_new(item, "AllowedEgressTraffic", json_false());
    emit(job, s, item, item);
    json_decref(item);
}

/* A Service's own port before the same Service's pods dialled directly; then by the usual rule. */
static int by_importance(const void *a, const void *b)
{
    const struct reach *x = *(struct reach *const *)a, *y = *(struct reach *const *)b;
    bool x_own = x->dest.svc->ports[x->dest.port].port == x->port;
    bool y_own = y->dest.svc->ports[y->dest.port].port == y->port;

    return x_own != y_own ? y_own - x_own : mesh_dest_compare(&x->dest, &y->dest);
}

struct http_item {
    const struct item_job *job;
    const struct subject *subject;
    const struct reach **members; /* in order of importance; owned */
    json_t **names;               /* the rule of each member; owned */
    unsigned n;
    json_t *hosts, *rules;
};

static void find_members(struct http_item *it)
{
    const struct reach_group *g = it->job->g;

    it->members = xcalloc(g->n, sizeof(*it->members));
    it->names = xcalloc(g->n, sizeof(*it->names));
    for (unsigned i = 0; i < g->n; i++)
        if (is_of(g->v[i], it->subject))
            it->members[it->n++] = g->v[i];
    qsort(it->members, it->n, sizeof(*it->members), by_importance);
}

static void add_rules(struct http_item *it)
{
    for (unsigned i = 0; i < it->n; i++) {
        const struct mesh_dest *d = &it->members[i]->dest;
        json_t *cluster = cluster_name(d);
        struct buf fqdn = BUF_INIT;
        mesh_dest_fqdn(d, it->job->ctx->trust_domain, &fqdn);
        it->names[i] = route_add(it->rules, fqdn.p, d->svc->ports[d->port].target,
                                 route_any(json_string_value(cluster)));
        buf_free(&fqdn);
        json_decref(cluster);
    }
}

/* Names lead to a Service's address at the Service's port, and to pods at any port only if the
 * Service is headless. */
static bool has_names(const struct http_item *it, const struct reach *r)
{
    const struct mesh_service *s = r->dest.svc;

    return it->job->ctx->access != MESH_ACCESS_IP &&
           (s->headless || s->ports[r->dest.port].port == r->port);
}

static json_t *rule_of(const struct http_item *it, const struct reach *r)
{
    for (unsigned i = 0; i < it->n; i++)
        if (it->members[i] == r)
            return it->names[i];
    return NULL;
}

static void add_hosts(struct http_item *it)
{
    for (unsigned i = 0; i < it->n; i++)
        if (has_names(it, it->members[i]))
            mesh_hosts_add_names(it->hosts, &it->members[i]->dest, it->job->ctx->trust_domain,
                                 it->members[i]->port, false, it->names[i]);
    if (it->job->ctx->access == MESH_ACCESS_DOMAIN)
        return;
    for (unsigned i = 0; i < it->job->n_won; i++) {
        const struct claim *c = &it->job->won[i];
        if (is_of(c->reach, it->subject))
            mesh_hosts_add_ip(it->hosts, &c->addr->ip, c->reach->port, rule_of(it, c->reach));
    }
}

/* what is not HTTP goes where its address says, for ports that do not say what they speak */
static json_t *opaque_targets(const struct http_item *it)
{
    json_t *out = json_object();
    char text[IP_TEXT_MAX];

    for (unsigned i = 0; i < it->job->n_won; i++) {
        const struct claim *c = &it->job->won[i];
        if (is_of(c->reach, it->subject) && !is_declared(c->reach))
            json_object_set_new(out, range_text(&c->addr->ip, text), targets_of(&c->reach->dest));
    }
    return out;
}

static enum mesh_protocol protocol_of(const struct http_item *it)
{
    for (unsigned i = 0; i < it->n; i++) {
        const struct mesh_dest *d = &it->members[i]->dest;
        if (d->svc->ports[d->port].protocol.protocol != MESH_GRPC)
            return MESH_HTTP;
    }
    return MESH_GRPC;
}

/* the item with the given hosts; everything else is shared.  borrows hosts and opaque */
static json_t *http_variant(const struct http_item *it, json_t *ranges, json_t *hosts,
                            json_t *opaque)
{
    json_t *item = item_new(json_incref(ranges), it->members[0]->port, protocol_of(it));

    json_object_set(item, "HttpHostPort2Service", hosts);
    json_object_set(item, "HttpServiceRouteRules", it->rules);
    if (json_object_size(opaque) > 0)
        json_object_set(item, "OpaqueTargets", opaque);
    json_object_set_new(item, "AllowedEgressTraffic", json_false());
    return item;
}

static json_t *near_hosts(const struct http_item *it)
{
    json_t *out = json_copy(it->hosts);

    for (unsigned i = 0; i < it->n; i++)
        if (has_names(it, it->members[i]))
            mesh_hosts_add_bare(out, &it->members[i]->dest, it->members[i]->port, it->names[i]);
    return out;
}

static void http_item(const struct item_job *job, const struct subject *s)
{
    struct http_item it = {
        .job = job, .subject = s, .hosts = json_object(), .rules = json_object()};

    find_members(&it);
    add_rules(&it);
    add_hosts(&it);
    json_t *ranges = ranges_of(job, s), *opaque = opaque_targets(&it), *near = near_hosts(&it);
    json_t *far_item = http_variant(&it, ranges, it.hosts, opaque);
    json_t *near_item = http_variant(&it, ranges, near, opaque);
    emit(job, s, far_item, near_item);
    json_decref(far_item);
    json_decref(near_item);
    json_decref(ranges);
    json_decref(opaque);
    json_decref(near);
    json_decref(it.hosts);
    json_decref(it.rules);
    for (unsigned i = 0; i < it.n; i++)
        json_decref(it.names[i]);
    free(it.members);
    free(it.names);
}

/* no winner before the i-th belongs to the same item */
static bool is_first_of(const struct item_job *job, unsigned i, const struct subject *s)
{
    for (unsigned k = 0; k < i; k++)
        if (is_of(job->won[k].reach, s))
            return false;
    return true;
}

void outbound_items(const struct outbound_ctx *ctx, const struct reach_group *g,
                    outbound_item_fn *fn, void *arg)
{
    struct item_job job = {.ctx = ctx, .g = g, .fn = fn, .arg = arg};
    struct claim *won = winners(g, &job.n_won);

    job.won = won;
    for (unsigned i = 0; i < job.n_won; i++) {
        const struct reach *r = won[i].reach;
        struct subject s = {r->dest.svc->ns, is_tcp(r) ? r : NULL};
        if (!is_first_of(&job, i, &s))
            continue;
        if (s.tcp)
            tcp_item(&job, &s);
        else
            http_item(&job, &s);
    }
    free(won);
}
