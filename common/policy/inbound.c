/* inbound.c - the server side (specification 1, inbound).
 *
 * Matches are keyed by the port that the application listens on, because mesh connections are
 * dialled to pod address and target port.  Several Services may lead to one port: they share its
 * match, and the usual rule decides who gets a host that two of them claim.
 */
#include "common/policy/inbound.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/route.h"

/* one destination on one port of the pod */
struct served {
    struct mesh_dest dest;
    uint16_t port;
};

struct job {
    const struct inbound_ctx *ctx;
    const struct mesh_pod *pod;
    struct served *v;
    unsigned n;
    json_t *matches, *clusters;
};

static const struct mesh_endpoint *endpoint_of(const struct mesh_service *s,
                                               const struct mesh_pod *p)
{
    for (unsigned i = 0; i < p->n_ips; i++) {
        const struct mesh_endpoint *ep = mesh_service_endpoint(s, &p->ips[i]);
        if (ep)
            return ep;
    }
    return NULL;
}

bool inbound_serves(const struct mesh_service *s, const struct mesh_pod *p)
{
    return mesh_service_selects(s, p) || endpoint_of(s, p) != NULL;
}

/* Where the pod serves the port: as its endpoint says; until there is one, as the endpoint will,
 * so that the first request does not come before the match.  0: it does not serve it. */
static uint16_t port_on_pod(const struct mesh_service *s, unsigned i, const struct mesh_pod *p,
                            const struct mesh_endpoint *ep)
{
    const struct mesh_port *port = &s->ports[i];

    if (ep && ep->ports[i])
        return ep->ports[i];
    if (port->target_number)
        return port->target_number;
    return mesh_pod_port(p, port->target_name);
}

static bool is_open(const struct job *job, unsigned own, uint16_t port)
{
    for (unsigned i = 0; i < own; i++)
        if (job->v[i].port == port)
            return true;
    return false;
}

/* own: how many of job->v are of Services that may open a port; UINT_MAX: this one may */
static void add_served(struct job *job, const struct mesh_service *s, unsigned own)
{
    const struct mesh_endpoint *ep = endpoint_of(s, job->pod);

    for (unsigned i = 0; i < s->n_ports; i++) {
        uint16_t port = port_on_pod(s, i, job->pod, ep);
        if (port == 0 || (own != UINT_MAX && !is_open(job, own, port)))
            continue;
        job->v = xreallocarray(job->v, job->n + 2, sizeof(*job->v));
        job->v[job->n++] = (struct served){{.svc = s, .port = i}, port};
        if (s->headless && ep && ep->hostname)
            job->v[job->n++] = (struct served){{.svc = s, .port = i, .host = ep}, port};
    }
}

/* Which ports of a pod are open say the Services of its own namespace.  Others that list its
 * address in endpoints written by hand lead to those ports by more names, and to no other port. */
static void add_all_served(struct job *job, const struct mesh_service *const *services, unsigned n)
{
    unsigned own;

    for (unsigned i = 0; i < n; i++)
        if (strcmp(services[i]->ns, job->pod->ns) == 0)
            add_served(job, services[i], UINT_MAX);
    own = job->n;
    for (unsigned i = 0; i < n; i++)
        if (strcmp(services[i]->ns, job->pod->ns) != 0)
            add_served(job, services[i], own);
}

static int by_port_then_name(const void *a, const void *b)
{
    const struct served *x = a, *y = b;

    return x->port != y->port ? x->port - y->port : mesh_dest_compare(&x->dest, &y->dest);
}

/* "ns/svc|target|local"; returns owned */
static json_t *local_cluster(const struct mesh_dest *d)
{
    struct buf name = BUF_INIT;

    mesh_dest_cluster(d, &name);
    buf_puts(&name, "|local");
    json_t *out = json_stringn(name.p, name.len);
    buf_free(&name);
    return out;
}

/* adds the cluster and returns its name; owned */
static json_t *add_cluster(struct job *job, const struct served *s)
{
    json_t *name = local_cluster(&s->dest);
    char at[32];

    snprintf(at, sizeof(at), "127.0.0.1:%u", s->port);
    json_object_set_new(job->clusters, json_string_value(name), json_pack("{s:i}", at, 100));
    return name;
}

static json_t *add_rule(const struct job *job, json_t *rules, const struct served *s,
                        const char *cluster)
{
    struct buf fqdn = BUF_INIT;

    mesh_dest_fqdn(&s->dest, job->ctx->trust_domain, &fqdn);
    json_t *rule = job->ctx->routes ? route_any(cluster) : json_object();
    json_t *name = route_add(rules, fqdn.p, s->dest.svc->ports[s->dest.port].target, rule);
    buf_free(&fqdn);
    return name;
}

struct ip_hosts {
    json_t *hosts, *rule;
    uint16_t port, own;
};

static void add_ip(const struct ip_hosts *h, const struct ip *ip)
{
    mesh_hosts_add_ip(h->hosts, ip, h->port, h->rule);
    if (h->own != h->port)
        mesh_hosts_add_ip(h->hosts, ip, h->own, h->rule);
}

static void add_endpoint_ip(const struct mesh_endpoint *ep, void *arg)
{
    add_ip(arg, &ep->ip);
}

static void add_ip_hosts(const struct job *job, json_t *hosts, const struct served *s, json_t *rule)
{
    const struct mesh_service *svc = s->dest.svc;
    struct ip_hosts h = {hosts, rule, svc->ports[s->dest.port].port, s->port};

    for (unsigned i = 0; i < svc->n_cluster_ips && !s->dest.host; i++)
        mesh_hosts_add_ip(hosts, &svc->cluster_ips[i], h.port, rule);
    for (unsigned i = 0; i < job->pod->n_ips; i++)
        add_ip(&h, &job->pod->ips[i]);
    if (!s->dest.host)
        mesh_service_each_ready(svc, s->dest.port, add_endpoint_ip, &h);
}

static void add_hosts(const struct job *job, json_t *hosts, const struct served *s, json_t *rule)
{
    const struct mesh_service *svc = s->dest.svc;
    uint16_t port = svc->ports[s->dest.port].port;

    if (job->ctx->access != MESH_ACCESS_IP) {
        mesh_hosts_add_names(hosts, &s->dest, job->ctx->trust_domain, port, true, rule);
        if (svc->headless && s->port != port)
            mesh_hosts_add_names(hosts, &s->dest, job->ctx->trust_domain, s->port, true, rule);
    }
    if (job->ctx->access != MESH_ACCESS_DOMAIN)
        add_ip_hosts(job, hosts, s, rule);
}

static const struct mesh_port *port_of(const struct served *s)
{
    return &s->dest.svc->ports[s->dest.port];
}

static enum mesh_protocol protocol_of(const struct served *v, unsigned n)
{
    bool tcp = true, grpc = true;

    for (unsigned i = 0; i < n; i++) {
        enum mesh_protocol p = port_of(&v[i])->protocol.protocol;
        tcp &= p == MESH_TCP;
        grpc &= p == MESH_GRPC || p == MESH_TCP;
    }
    return tcp ? MESH_TCP : grpc ? MESH_GRPC : MESH_HTTP;
}

/* the first destination whose bytes may be other than HTTP, or NULL */
static const struct served *opaque_of(const struct served *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!port_of(&v[i])->protocol.declared || port_of(&v[i])->protocol.protocol == MESH_TCP)
            return &v[i];
    return NULL;
}

/* borrows match; names[i]: local cluster of v[i] */
static void add_http(struct job *job, json_t *match, const struct served *v, unsigned n,
                     json_t *const *names)
{
    json_t *hosts = json_object(), *rules = json_object();
    const struct served *opaque = opaque_of(v, n);

    for (unsigned i = 0; i < n; i++) {
        if (port_of(&v[i])->protocol.protocol == MESH_TCP)
            continue;
        json_t *rule = add_rule(job, rules, &v[i], json_string_value(names[i]));
        add_hosts(job, hosts, &v[i], rule);
        json_decref(rule);
    }
    json_object_set_new(match, "HttpHostPort2Service", hosts);
    json_object_set_new(match, "HttpServiceRouteRules", rules);
    if (opaque && job->ctx->routes)
        json_object_set_new(match, "OpaqueTargets",
                            route_targets(json_string_value(names[opaque - v])));
}

/* the match of one port: v[0..n) */
static void add_match(struct job *job, const struct served *v, unsigned n)
{
    enum mesh_protocol protocol = protocol_of(v, n);
    json_t *match =
        json_pack("{s:i,s:s}", "Port", v->port, "Protocol", mesh_protocol_name(protocol));
    json_t **names = xcalloc(n, sizeof(*names));
    char key[8];

    for (unsigned i = 0; i < n; i++)
        names[i] = add_cluster(job, &v[i]);
    if (protocol != MESH_TCP)
        add_http(job, match, v, n, names);
    else if (job->ctx->routes)
        json_object_set_new(match, "TargetClusters", route_targets(json_string_value(names[0])));
    snprintf(key, sizeof(key), "%u", v->port);
    json_object_set_new(job->matches, key, match);
    for (unsigned i = 0; i < n; i++)
        json_decref(names[i]);
    free(names);
}

json_t *inbound_compile(const struct inbound_ctx *ctx, const struct mesh_pod *p,
                        const struct mesh_service *const *services, unsigned n)
{
    struct job job = {.ctx = ctx, .pod = p, .matches = json_object(), .clusters = json_object()};
    json_t *out = json_object();

    add_all_served(&job, services, n);
    if (job.n > 0)
        qsort(job.v, job.n, sizeof(*job.v), by_port_then_name);
    for (unsigned i = 0, k; i < job.n; i = k) {
        for (k = i; k < job.n && job.v[k].port == job.v[i].port; k++)
            ;
        add_match(&job, job.v + i, k - i);
    }
    if (job.n > 0) {
        json_object_set(out, "TrafficMatches", job.matches);
        json_object_set(out, "ClustersConfigs", job.clusters);
    }
    json_decref(job.matches);
    json_decref(job.clusters);
    free(job.v);
    return out;
}
