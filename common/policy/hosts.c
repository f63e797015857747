/* hosts.c - the names of a destination: rule, cluster, and every Host that means it. */
#include <stdio.h>
#include <string.h>

#include "common/policy/mesh.h"

void mesh_dest_name(const struct mesh_dest *d, struct buf *out)
{
    if (d->host)
        buf_printf(out, "%s.", d->host->hostname);
    buf_puts(out, d->svc->name);
}

void mesh_dest_fqdn(const struct mesh_dest *d, const char *trust_domain, struct buf *out)
{
    mesh_dest_name(d, out);
    buf_printf(out, ".%s.svc.%s", d->svc->ns, trust_domain);
}

void mesh_dest_cluster(const struct mesh_dest *d, struct buf *out)
{
    buf_printf(out, "%s/", d->svc->ns);
    mesh_dest_name(d, out);
    buf_printf(out, "|%u", d->svc->ports[d->port].target);
}

static size_t name_length(const struct mesh_dest *d)
{
    return strlen(d->svc->name) + (d->host ? strlen(d->host->hostname) + 1 : 0) +
           strlen(d->svc->ns);
}

static int compare_names(const struct mesh_dest *a, const struct mesh_dest *b)
{
    struct buf x = BUF_INIT, y = BUF_INIT;

    mesh_dest_fqdn(a, "", &x);
    mesh_dest_fqdn(b, "", &y);
    int c = strcmp(x.p, y.p);
    buf_free(&x);
    buf_free(&y);
    return c;
}

int mesh_dest_compare(const struct mesh_dest *a, const struct mesh_dest *b)
{
    size_t la = name_length(a), lb = name_length(b);

    if (la != lb)
        return la < lb ? -1 : 1;
    int c = compare_names(a, b);
    return c ? c : a->svc->ports[a->port].port - b->svc->ports[b->port].port;
}

/* host and host:port */
static void add(json_t *hosts, const char *host, size_t n, uint16_t port, json_t *rule)
{
    char with_port[384];

    if (!json_object_getn(hosts, host, n))
        json_object_setn(hosts, host, n, rule);
    int len = snprintf(with_port, sizeof(with_port), "%.*s:%u", (int)n, host, port);
    if (len < (int)sizeof(with_port) && !json_object_getn(hosts, with_port, (size_t)len))
        json_object_setn(hosts, with_port, (size_t)len, rule);
}

void mesh_hosts_add_bare(json_t *hosts, const struct mesh_dest *d, uint16_t port, json_t *rule)
{
    struct buf name = BUF_INIT;

    mesh_dest_name(d, &name);
    add(hosts, name.p, name.len, port, rule);
    buf_free(&name);
}

void mesh_hosts_add_names(json_t *hosts, const struct mesh_dest *d, const char *trust_domain,
                          uint16_t port, bool bare, json_t *rule)
{
    struct buf name = BUF_INIT;

    if (bare)
        mesh_hosts_add_bare(hosts, d, port, rule);
    mesh_dest_name(d, &name);
    buf_printf(&name, ".%s", d->svc->ns);
    add(hosts, name.p, name.len, port, rule);
    buf_puts(&name, ".svc");
    add(hosts, name.p, name.len, port, rule);
    for (struct slice rest = slice_str(trust_domain); rest.p;) {
        struct slice label = slice_cut(&rest, '.');
        buf_printf(&name, ".%.*s", SLICE_FMT(label));
        add(hosts, name.p, name.len, port, rule);
    }
    buf_free(&name);
}

void mesh_hosts_add_ip(json_t *hosts, const struct ip *ip, uint16_t port, json_t *rule)
{
    char text[IP_TEXT_MAX], host[IP_TEXT_MAX + 2];

    ip_format(ip, text);
    /* an IPv6 address stands in brackets in a Host (RFC 3986 3.2.2) */
    int n = snprintf(host, sizeof(host), ip->family == 6 ? "[%s]" : "%s", text);
    add(hosts, host, (size_t)n, port, rule);
}
