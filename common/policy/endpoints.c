/* endpoints.c - who serves a Service: EndpointSlices, or the older Endpoints where there are none.
 *
 * A port of the Service and a port of an endpoint belong together by name, which resolves named
 * target ports.  The same address may stand in several slices; what they say is united.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/names.h"
#include "common/policy/mesh.h"

/* in order: IPv4 before IPv6, then by bytes */
static int ip_compare(const struct ip *a, const struct ip *b)
{
    return a->family != b->family ? a->family - b->family : memcmp(a->b, b->b, sizeof(a->b));
}

static int by_address(const void *a, const void *b)
{
    return ip_compare(&((const struct mesh_endpoint *)a)->ip,
                      &((const struct mesh_endpoint *)b)->ip);
}

/* what is known of an endpoint before it is united with others of its address */
struct found {
    const char *address, *hostname;
    bool ready, serving, terminating;
    const json_t *ports;
};

static void read_endpoint_ports(const struct mesh_service *s, const json_t *ports, uint16_t *out)
{
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *p = json_array_get(ports, i);
        int64_t number = json_int(p, "port", 0);
        if (strcmp(json_str(p, "protocol", "TCP"), "TCP") != 0 || number < 1 || number > 65535)
            continue;
        for (unsigned k = 0; k < s->n_ports; k++)
            if (strcmp(s->ports[k].name, json_str(p, "name", "")) == 0)
                out[k] = (uint16_t)number;
    }
}

/* it becomes part of names */
static bool is_hostname(const char *s)
{
    return s && kube_is_dns_label(s) == NULL;
}

static void add(struct mesh_service *s, const struct found *f)
{
    struct ip ip;

    if (!f->address || ip_parse(f->address, &ip) < 0)
        return;
    if ((s->n_endpoints & (s->n_endpoints - 1)) == 0) /* a power of two: full */
        s->endpoints = xreallocarray(s->endpoints, s->n_endpoints ? s->n_endpoints * 2 : 1,
                                     sizeof(*s->endpoints));
    struct mesh_endpoint *ep = &s->endpoints[s->n_endpoints++];
    *ep = (struct mesh_endpoint){
        .ip = ip,
        .hostname = is_hostname(f->hostname) ? xstrdup(f->hostname) : NULL,
        .ready = f->ready,
        .serving = f->serving,
        .terminating = f->terminating,
        .ports = xcalloc(s->n_ports + 1, sizeof(*ep->ports)),
    };
    read_endpoint_ports(s, f->ports, ep->ports);
}

static void read_slice(struct mesh_service *s, const json_t *slice)
{
    const json_t *list = json_object_get(slice, "endpoints");

    if (strcmp(json_str(slice, "addressType", ""), "FQDN") == 0)
        return;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *ep = json_array_get(list, i);
        const json_t *cond = json_object_get(ep, "conditions");
        const json_t *addresses = json_object_get(ep, "addresses");
        /* unknown readiness counts as ready, as the API defines it */
        bool ready = json_bool(cond, "ready", true) || s->publish_not_ready;
        struct found f = {
            .hostname = json_str(ep, "hostname", NULL),
            .ready = ready,
            .serving = json_bool(cond, "serving", ready),
            .terminating = json_bool(cond, "terminating", false),
            .ports = json_object_get(slice, "ports"),
        };
        /* all addresses of one endpoint are equivalent: the first is the one to use */
        f.address = json_string_value(json_array_get(addresses, 0));
        add(s, &f);
    }
}

static void read_addresses(struct mesh_service *s, const json_t *subset, const char *key,
                           bool ready)
{
    const json_t *list = json_object_get(subset, key);

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *a = json_array_get(list, i);
        struct found f = {
            .address = json_str(a, "ip", NULL),
            .hostname = json_str(a, "hostname", NULL),
            .ready = ready,
            .serving = ready,
            .ports = json_object_get(subset, "ports"),
        };
        add(s, &f);
    }
}

static void read_endpoints(struct mesh_service *s, const json_t *body)
{
    const json_t *subsets = json_object_get(body, "subsets");

    for (size_t i = 0; i < json_array_size(subsets); i++) {
        const json_t *subset = json_array_get(subsets, i);
        read_addresses(s, subset, "addresses", true);
        read_addresses(s, subset, "notReadyAddresses", s->publish_not_ready);
    }
}

/* takes what is in `from` */
static void unite(const struct mesh_service *s, struct mesh_endpoint *into,
                  struct mesh_endpoint *from)
{
    into->ready |= from->ready;
    into->serving |= from->serving;
    into->terminating &= from->terminating;
    for (unsigned i = 0; i < s->n_ports; i++)
        if (into->ports[i] == 0)
            into->ports[i] = from->ports[i];
    if (!into->hostname)
        into->hostname = from->hostname;
    else
        free(from->hostname);
    free(from->ports);
}

static void sort_and_unite(struct mesh_service *s)
{
    unsigned n = 0;

    if (s->n_endpoints == 0)
        return;
    qsort(s->endpoints, s->n_endpoints, sizeof(*s->endpoints), by_address);
    for (unsigned i = 1; i < s->n_endpoints; i++) {
        if (ip_eq(&s->endpoints[i].ip, &s->endpoints[n].ip))
            unite(s, &s->endpoints[n], &s->endpoints[i]);
        else
            s->endpoints[++n] = s->endpoints[i];
    }
    s->n_endpoints = n + 1;
}

/* The lowest port that any endpoint serves it on stands in the names of a named target: it stays
 * what it was while a rollout moves pods from one number to a higher one. */
static void resolve_targets(struct mesh_service *s)
{
    for (unsigned i = 0; i < s->n_ports; i++) {
        uint16_t lowest = 0;
        for (unsigned k = 0; k < s->n_endpoints && s->ports[i].target_name; k++) {
            uint16_t p = s->endpoints[k].ports[i];
            if (p && (lowest == 0 || p < lowest))
                lowest = p;
        }
        if (lowest)
            s->ports[i].target = lowest;
    }
}

void mesh_endpoints_read(struct mesh_service *s, const struct mesh_endpoint_source *src)
{
    for (unsigned i = 0; i < src->n_slices; i++)
        read_slice(s, src->slices[i]);
    if (src->n_slices == 0)
        read_endpoints(s, src->endpoints);
    sort_and_unite(s);
    resolve_targets(s);
}

const struct mesh_endpoint *mesh_service_endpoint(const struct mesh_service *s, const struct ip *ip)
{
    unsigned lo = 0, hi = s->n_endpoints;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int c = ip_compare(&s->endpoints[mid].ip, ip);
        if (c == 0)
            return &s->endpoints[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

void mesh_service_each_ready(const struct mesh_service *s, unsigned i, mesh_endpoint_fn *fn,
                             void *arg)
{
    bool any = false;

    for (unsigned k = 0; k < s->n_endpoints; k++)
        any |= s->endpoints[k].ports[i] && s->endpoints[k].ready;
    for (unsigned k = 0; k < s->n_endpoints; k++) {
        const struct mesh_endpoint *ep = &s->endpoints[k];
        if (ep->ports[i] && (any ? ep->ready : ep->serving && ep->terminating))
            fn(ep, arg);
    }
}
