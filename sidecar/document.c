/* document.c - see document.h.
 *
 * Every reader gets the path of what it reads, so that an error can name it; a refused document
 * is thrown away whole.  Keys that are not known are passed over: a newer controller may say more.
 */
#include "sidecar/document.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/json_tree.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/policy/document_store.h"
#include "common/proxy/engine.h"
#include "common/proxy/filter/mesh.h"
#include "common/proxy/view.h"

#define ROUTES_MAX  10000 /* of one rule */
#define WEIGHT_MAX  1000000
#define FIELDS_LIST 64    /* methods, headers of one route */
#define TREE_BYTES  32768 /* for most fragments */

struct build {
    const struct document_conf *conf;
    struct document *whole;
    const json_t *doc;       /* its part that is no fragments */
    const struct view *base; /* to share clusters with, or NULL */
    const struct view
        *matches; /* to share matches with: NULL when what they all depend on changed */
    struct view *v;
    struct cluster_slots *slots;
    const char *trust_domain;
    char stats[128]; /* what fsm-stats says about us */
    bool http1_per_request, http2_per_request;
    struct arena *tree; /* of the fragment being read; owned */
    uint16_t *again;    /* outbound ports to be read as a whole; owned */
    size_t n_again;
    struct err *e;
};

/* where we are in the document; lives on the stack */
struct at {
    const struct at *up;
    const char *key;
    int index; /* in a list, if key is NULL */
};

static void at_text(const struct at *a, struct buf *out)
{
    if (!a)
        return;
    at_text(a->up, out);
    if (!a->key)
        buf_printf(out, "[%d]", a->index);
    else if (!*a->key || strpbrk(a->key, ".|/*: "))
        buf_printf(out, "[\"%s\"]", a->key);
    else
        buf_printf(out, "%s%s", out->len ? "." : "", a->key);
}

static int bad(const struct build *b, const struct at *a, const char *expected)
{
    struct buf path = BUF_INIT;
    at_text(a, &path);
    err_set(b->e, "document: %s: %s", path.p, expected);
    buf_free(&path);
    return -1;
}

static bool is_absent(const json_t *j)
{
    return !j || json_is_null(j);
}

static bool absent(const struct json_tree *j)
{
    return json_tree_absent(j);
}

static bool is_object(const struct json_tree *j)
{
    return json_tree_is(j, JSON_OBJECT);
}

static bool is_array(const struct json_tree *j)
{
    return json_tree_is(j, JSON_ARRAY);
}

/* members or elements, none of anything else */
#define tree_foreach(v, of)                                                                        \
    for (const struct json_tree *v = json_tree_size(of) ? (of)->first : NULL; v; v = (v)->next)

static uint64_t tag_of(const json_t *j)
{
    return (uint64_t)(uintptr_t)j;
}

/* ---- weights and splits ---------------------------------------------------------------------- */

static int read_weight(const struct build *b, const struct at *a, const struct json_tree *j,
                       uint32_t *out)
{
    if (!json_tree_is(j, JSON_INTEGER) || j->integer < 0 || j->integer > WEIGHT_MAX)
        return bad(b, a, "expected a weight from 0 to 1000000");
    *out = (uint32_t)j->integer;
    return 0;
}

/* {cluster: weight}; NULL without an error when there is none */
static int read_split(struct build *b, struct chain *c, const struct at *a,
                      const struct json_tree *j, const struct split **out)
{
    uint32_t n = 0;
    *out = NULL;
    if (absent(j) || (is_object(j) && json_tree_size(j) == 0))
        return 0;
    if (!is_object(j))
        return bad(b, a, "expected an object of cluster names and weights");
    struct split *s = split_new(c->mem, (uint32_t)json_tree_size(j));
    tree_foreach(w, j)
    {
        const char *name = w->key;
        struct at here = {a, name, 0};
        if (read_weight(b, &here, w, &s->t[n].weight) < 0)
            return -1;
        s->t[n++].slot = chain_slot(c, b->slots, name);
    }
    split_seal(s);
    *out = s;
    return 0;
}

/* ---- clusters -------------------------------------------------------------------------------- */

static int read_endpoint(const struct build *b, const struct at *a, const char *addr,
                         struct endpoint *ep)
{
    if (ip_port_parse(addr, &ep->addr) < 0 || ep->addr.port == 0)
        return bad(b, a, "expected the key to be an address and port");
    return 0;
}

static int read_mesh_endpoint(const struct build *b, const struct at *a, const char *addr,
                              const struct json_tree *j, struct endpoint *ep)
{
    const struct json_tree *weight = json_tree_get(j, "Weight"), *id = json_tree_get(j, "Identity");
    struct at at_weight = {a, "Weight", 0}, at_id = {a, "Identity", 0};
    *ep = (struct endpoint){.weight = 100};
    if (!is_object(j))
        return bad(b, a, "expected an object");
    if (read_endpoint(b, a, addr, ep) < 0)
        return -1;
    if (!absent(weight) && read_weight(b, &at_weight, weight, &ep->weight) < 0)
        return -1;
    if (!absent(id) && !json_tree_is(id, JSON_STRING))
        return bad(b, &at_id, "expected a SPIFFE identity");
    ep->identity = absent(id) ? NULL : json_tree_text(id);
    return 0;
}

/* flags: of the balancer, CLUSTER_*; takes eps */
static void put_cluster(struct build *b, const char *name, uint64_t tag, struct endpoint *eps,
                        uint32_t n, uint32_t flags)
{
    static const struct ip_port source = {.ip = {.family = 4, .b = {127, 0, 0, 6}}};
    struct cluster_def def = {.name = name,
                              .tag = tag,
                              .eps = eps,
                              .n = n,
                              .flags = flags | (tag ? CLUSTER_LOCAL : 0),
                              .source = tag ? &source : NULL};
    view_put_cluster(b->v, cluster_new(b->slots, &def));
    free(eps);
}

static int read_balancer(const struct build *b, const struct at *up, const struct json_tree *j,
                         uint32_t *flags)
{
    struct at a = {up, "LoadBalancer", 0};
    const struct json_tree *name = json_tree_get(j, a.key);
    *flags = 0;
    const char *text = absent(name)                      ? "RoundRobinLoadBalancer"
                       : json_tree_is(name, JSON_STRING) ? json_tree_text(name)
                                                         : "";
    if (strcmp(text, "LeastConnectionLoadBalancer") == 0)
        *flags = CLUSTER_LEAST;
    else if (strcmp(text, "RoundRobinLoadBalancer") != 0)
        return bad(b, &a, "expected RoundRobinLoadBalancer or LeastConnectionLoadBalancer");
    return 0;
}

/* tag: 0 = outbound, {"Endpoints": {address: endpoint}, "LoadBalancer": name}; else
 * {address: weight} */
static int read_cluster(struct build *b, const struct at *a, const char *name, uint64_t tag,
                        const struct json_tree *j)
{
    const struct json_tree *list = tag ? j : json_tree_get(j, "Endpoints");
    struct at at_list = {a, "Endpoints", 0};
    uint32_t n = 0, flags = 0;
    if (!is_object(j) || (!absent(list) && !is_object(list)))
        return bad(b, tag ? a : &at_list, "expected an object of endpoints");
    if (!tag && read_balancer(b, a, j, &flags) < 0)
        return -1;
    struct endpoint *eps = xcalloc(json_tree_size(list) + 1, sizeof *eps);
    tree_foreach(ep, list)
    {
        struct at here = {tag ? a : &at_list, ep->key, 0};
        int rc = !tag ? read_mesh_endpoint(b, &here, ep->key, ep, &eps[n])
                 : read_endpoint(b, &here, ep->key, &eps[n]) < 0
                     ? -1
                     : read_weight(b, &here, ep, &eps[n].weight);
        if (rc < 0) {
            free(eps);
            return -1;
        }
        n++;
    }
    put_cluster(b, name, tag, eps, n, flags);
    return 0;
}

/* what stands there, until the next one is read; NULL: nested too deeply */
static const struct json_tree *tree_of(struct build *b, const struct at *a, struct slice text)
{
    struct err why;
    arena_reset(b->tree);
    const struct json_tree *t = json_tree_parse(b->tree, text, &why);
    if (!t)
        bad(b, a, why.text);
    return t;
}

static const struct json_tree *tree_of_value(struct build *b, const struct at *a, const json_t *j)
{
    struct buf text = BUF_INIT;
    json_print(j, &text);
    const struct json_tree *t = tree_of(b, a, buf_slice(&text));
    buf_free(&text);
    return t;
}

/* Inbound: few, and kept when the value is the same */
static int read_local_clusters(struct build *b, const struct at *up, const json_t *dir)
{
    struct at a = {up, "ClustersConfigs", 0};
    const json_t *all = json_object_get(dir, a.key);
    const char *name;
    json_t *j;
    if (is_absent(all))
        return 0;
    if (!json_is_object(all))
        return bad(b, &a, "expected an object");
    json_object_foreach ((json_t *)all, name, j) {
        struct at here = {&a, name, 0};
        struct cluster *kept = view_keep_cluster(b->base, b->slots, name, tag_of(j));
        const struct json_tree *t = kept ? NULL : tree_of_value(b, &here, j);
        if (kept)
            view_put_cluster(b->v, kept);
        else if (!t || read_cluster(b, &here, name, tag_of(j), t) < 0)
            return -1;
    }
    return 0;
}

static const struct at at_outbound = {NULL, "Outbound", 0};

static int on_cluster(const struct document_fragment *old, const struct document_fragment *now,
                      void *arg)
{
    struct build *b = arg;
    struct at a = {&at_outbound, "ClustersConfigs", 0}, here = {&a, NULL, 0};
    const struct slice *name_of = now->text.p ? &now->name : &old->name;
    char *name = xstrndup(name_of->p, name_of->n);
    int rc = 0;
    here.key = name;
    const struct json_tree *t = now->text.p ? tree_of(b, &here, now->text) : NULL;
    if (!now->text.p)
        view_drop_cluster(b->v, name);
    else
        rc = t ? read_cluster(b, &here, name, 0, t) : -1;
    free(name);
    return rc;
}

/* Outbound: many; build_all() has taken over what the view before has, what differs is made */
static int read_clusters(struct build *b)
{
    return document_diff(b->base ? b->conf->before : NULL, b->whole, DOCUMENT_CLUSTER, on_cluster,
                         b);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static int read_methods(struct build *b, struct chain *c, const struct at *a,
                        const struct json_tree *j, struct route *r)
{
    struct slice *names = NULL;
    uint32_t n = 0;
    int i = 0;
    if (absent(j))
        return 0;
    if (!is_array(j) || json_tree_size(j) > FIELDS_LIST)
        return bad(b, a, "expected a list of at most 64 methods");
    tree_foreach(m, j)
    {
        struct at here = {a, NULL, i++};
        struct slice name = slice_str(json_tree_text(m));
        enum http_method id = http_method_id(name);
        if (slice_eq_str(name, "*")) {
            r->methods = 0;
            return 0;
        }
        if (!http_is_token(name))
            return bad(b, &here, "expected a method");
        if (id != HTTP_M_OTHER) {
            r->methods |= 1u << id;
            continue;
        }
        if (!names)
            names = arena_zalloc(c->mem, (json_tree_size(j) + 1) * sizeof *names);
        names[n++] = arena_slice(c->mem, name);
    }
    r->method_names = names;
    return 0;
}

static int read_headers(struct build *b, struct chain *c, const struct at *a,
                        const struct json_tree *j, struct route *r)
{
    if (absent(j))
        return 0;
    if (!is_object(j) || json_tree_size(j) > FIELDS_LIST)
        return bad(b, a, "expected an object of at most 64 header names and patterns");
    r->headers = arena_zalloc(c->mem, json_tree_size(j) * sizeof *r->headers);
    tree_foreach(value, j)
    {
        const char *name = value->key;
        struct at here = {a, name, 0};
        struct header_match *m = &r->headers[r->n_headers++];
        struct err why;
        if (!json_tree_is(value, JSON_STRING) || !http_is_token(slice_str(name)))
            return bad(b, &here, "expected a header name and a pattern");
        m->name = arena_slice(c->mem, slice_str(name));
        m->id = (uint16_t)http_hdr_id(m->name);
        if (chain_regex(c, &m->value, json_tree_text(value), &why) < 0)
            return bad(b, &here, why.text);
    }
    return 0;
}

/* "sa.ns" -> "spiffe://td/ns/ns/sa/sa"; a namespace has no dots, an account may */
static const char *identity_of(struct build *b, struct chain *c, const char *service)
{
    const char *dot = strrchr(service, '.');
    if (!dot || dot == service || !dot[1])
        return NULL;
    return arena_printf(c->mem, "spiffe://%s/ns/%s/sa/%.*s", b->trust_domain, dot + 1,
                        (int)(dot - service), service);
}

static int cmp_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_allowed(struct build *b, struct chain *c, const struct at *a,
                        const struct json_tree *j, struct route *r)
{
    int i = 0;
    if (absent(j))
        return 0;
    if (!is_array(j))
        return bad(b, a, "expected a list of identities");
    const char **list = arena_zalloc(c->mem, (json_tree_size(j) + 1) * sizeof *list);
    tree_foreach(one, j)
    {
        struct at here = {a, NULL, i};
        const char *text = json_tree_text(one);
        if (text && strcmp(text, "*") == 0)
            return 0; /* anybody */
        list[i] = text ? identity_of(b, c, text) : NULL;
        if (!list[i++])
            return bad(b, &here, "expected SERVICEACCOUNT.NAMESPACE");
    }
    r->n_allowed = (uint32_t)json_tree_size(j);
    qsort(list, r->n_allowed, sizeof *list, cmp_text);
    r->allowed = list;
    return 0;
}

static int read_route(struct build *b, struct chain *c, const struct at *a, const char *path,
                      const struct json_tree *j, const struct filter_list *filters, struct route *r)
{
    struct at methods = {a, "Methods", 0}, headers = {a, "Headers", 0},
              targets = {a, "TargetClusters", 0}, allowed = {a, "AllowedServices", 0};
    struct err why;
    if (!is_object(j))
        return bad(b, a, "expected a route: an object");
    if (chain_regex(c, &r->path, path, &why) < 0)
        return bad(b, a, why.text);
    r->filters = *filters;
    if (read_methods(b, c, &methods, json_tree_get(j, "Methods"), r) < 0 ||
        read_headers(b, c, &headers, json_tree_get(j, "Headers"), r) < 0 ||
        read_allowed(b, c, &allowed, json_tree_get(j, "AllowedServices"), r) < 0)
        return -1;
    return read_split(b, c, &targets, json_tree_get(j, "TargetClusters"), &r->split);
}

static size_t count_routes(const struct json_tree *rule)
{
    size_t n = 0;
    tree_foreach(j, rule) n += is_array(j) ? json_tree_size(j) : 1;
    return n;
}

static struct vhost *read_rule(struct build *b, struct chain *c, const struct at *a,
                               const char *name, const struct json_tree *j,
                               const struct filter_list *f)
{
    if (!is_object(j) || count_routes(j) > ROUTES_MAX) {
        bad(b, a, "expected an object of at most 10000 routes");
        return NULL;
    }
    struct vhost *v = arena_zalloc(c->mem, sizeof *v);
    v->name = arena_strdup(c->mem, name);
    v->routes = arena_zalloc(c->mem, count_routes(j) * sizeof *v->routes);
    tree_foreach(one, j)
    {
        const char *path = one->key;
        struct at here = {a, path, 0};
        int i = 0;
        if (!is_array(one)) {
            if (read_route(b, c, &here, path, one, f, &v->routes[v->n++]) < 0)
                return NULL;
            continue;
        }
        tree_foreach(item, one)
        {
            struct at in_list = {&here, NULL, i++};
            if (read_route(b, c, &in_list, path, item, f, &v->routes[v->n++]) < 0)
                return NULL;
        }
    }
    for (uint32_t r = 0; r < v->n; r++)
        v->paths_decide |= v->routes[r].path.kind != MATCH_ANY;
    return v;
}

/* rules by name, then the hosts that lead to them */
static int read_rules(struct build *b, struct chain *c, const struct at *a,
                      const struct json_tree *rules, const struct filter_list *f,
                      struct table *by_name)
{
    if (absent(rules))
        return 0;
    if (!is_object(rules))
        return bad(b, a, "expected an object of rules");
    tree_foreach(j, rules)
    {
        const char *name = j->key;
        struct at here = {a, name, 0};
        struct vhost *v = read_rule(b, c, &here, name, j, f);
        if (!v)
            return -1;
        table_put_str(by_name, name, v);
    }
    return 0;
}

static int read_hosts(struct build *b, struct chain *c, const struct at *a,
                      const struct json_tree *hosts, const struct table *by_name)
{
    if (absent(hosts))
        return 0;
    if (!is_object(hosts))
        return bad(b, a, "expected an object of hosts and rule names");
    tree_foreach(j, hosts)
    {
        const char *host = j->key;
        struct at here = {a, host, 0};
        const char *rule = json_tree_text(j);
        const struct vhost *v = rule ? table_get_str(by_name, rule) : NULL;
        if (!v)
            return bad(b, &here, "expected the name of a rule in HttpServiceRouteRules");
        if (chain_add_host(c, host, v) < 0)
            return bad(b, &here, "this is no host name");
    }
    return 0;
}

static int read_http(struct build *b, struct chain *c, const struct at *a,
                     const struct json_tree *j, const struct filter_list *f)
{
    struct at rules = {a, "HttpServiceRouteRules", 0}, hosts = {a, "HttpHostPort2Service", 0};
    struct table *by_name = table_new(NULL);
    int rc = read_rules(b, c, &rules, json_tree_get(j, rules.key), f, by_name);
    if (rc == 0)
        rc = read_hosts(b, c, &hosts, json_tree_get(j, hosts.key), by_name);
    table_free(by_name);
    chain_seal(c);
    return rc;
}

/* ---- matches --------------------------------------------------------------------------------- */

static int read_protocol(const struct build *b, const struct at *up, const struct json_tree *j,
                         enum chain_kind *kind, bool *h2)
{
    struct at a = {up, "Protocol", 0};
    const char *p = json_tree_text(json_tree_get(j, a.key));
    bool detect = !absent(json_tree_get(j, "OpaqueTargets"));
    *h2 = p && strcmp(p, "grpc") == 0;
    if (p && strcmp(p, "tcp") == 0)
        *kind = CHAIN_TCP;
    else if (p && (strcmp(p, "http") == 0 || *h2))
        *kind = detect ? CHAIN_DETECT : CHAIN_HTTP;
    else
        return bad(b, &a, "expected \"http\", \"grpc\" or \"tcp\"");
    return 0;
}

/* name: unique among the chains of its port */
static struct chain *new_chain(struct build *b, const struct at *a, const char *name,
                               const struct json_tree *j, bool inbound)
{
    enum chain_kind kind;
    bool h2;
    if (!is_object(j)) {
        bad(b, a, "expected a match: an object");
        return NULL;
    }
    if (read_protocol(b, a, j, &kind, &h2) < 0)
        return NULL;
    struct chain *c = chain_new(name, kind, 0);
    c->inbound = inbound;
    c->always_h2 = h2;
    c->http1_per_request = b->http1_per_request;
    c->http2_per_request = b->http2_per_request;
    return c;
}

/* the filters of every route of a chain */
static struct filter_list filters_of(struct chain *c, const struct filter *f, const void *conf)
{
    struct filter_call *call = arena_zalloc(c->mem, sizeof *call);
    *call = (struct filter_call){f, conf};
    return (struct filter_list){1, call};
}

static int read_range(const struct build *b, const struct at *a, const char *text, struct cidr *out)
{
    struct err why;
    return cidr_parse(text ? text : "", out, &why) < 0 ? bad(b, a, why.text) : 0;
}

/* OUTMATCH OpaqueTargets: {range: {cluster: weight}} */
static int read_opaque_out(struct build *b, struct chain *c, const struct at *up,
                           const struct json_tree *j)
{
    struct at a = {up, "OpaqueTargets", 0};
    const struct json_tree *all = json_tree_get(j, a.key);
    if (absent(all))
        return 0;
    if (!is_object(all))
        return bad(b, &a, "expected an object of address ranges");
    c->opaque = lpm_new();
    tree_foreach(targets, all)
    {
        const char *range = targets->key;
        struct at here = {&a, range, 0};
        const struct split *s;
        struct cidr net;
        if (read_range(b, &here, range, &net) < 0 || read_split(b, c, &here, targets, &s) < 0)
            return -1;
        if (s)
            lpm_put(c->opaque, &net, (void *)s);
    }
    return 0;
}

static int read_out_ranges(struct build *b, struct port_rules *p, struct rule *r,
                           const struct at *up, const struct json_tree *j)
{
    struct at a = {up, "DestinationIPRanges", 0};
    const struct json_tree *all = json_tree_get(j, a.key);
    int i = 0;
    struct cidr net;
    if (absent(all))
        return 0;
    if (!is_array(all))
        return bad(b, &a, "expected a list of address ranges");
    tree_foreach(one, all)
    {
        struct at here = {&a, NULL, i++};
        if (read_range(b, &here, json_tree_text(one), &net) < 0)
            return -1;
        port_rules_range(p, &net, r);
    }
    return 0;
}

/* Only of an item without addresses may a destination be outside the mesh. */
static bool names_addresses(const struct json_tree *j)
{
    const struct json_tree *ranges = json_tree_get(j, "DestinationIPRanges");
    return !absent(ranges) && json_tree_size(ranges) > 0;
}

static int fill_outbound(struct build *b, struct chain *c, const struct at *a,
                         const struct json_tree *j)
{
    struct at targets = {a, "TargetClusters", 0};
    const struct json_tree *id = json_tree_get(j, "ServiceIdentity");
    const char *own = json_tree_is(id, JSON_STRING) ? json_tree_text(id) : "";
    struct at own_at = {a, "ServiceIdentity", 0};
    if (!http_is_field_value(slice_str(own)))
        return bad(b, &own_at, "expected a name: it leaves in a header field");
    struct filter_list f = filters_of(c, &mesh_out_filter, mesh_out_conf_new(c->mem, own));
    c->pass_without_target = json_tree_is(json_tree_get(j, "AllowedEgressTraffic"), JSON_TRUE) ||
                             (json_bool(b->doc, "Spec.Traffic.EnableEgress", false) &&
                              (c->kind == CHAIN_TCP || !names_addresses(j)));
    if (read_split(b, c, &targets, json_tree_get(j, targets.key), &c->tcp) < 0 ||
        read_opaque_out(b, c, a, j) < 0)
        return -1;
    return c->kind == CHAIN_TCP ? 0 : read_http(b, c, a, j, &f);
}

/* ---- outbound items --------------------------------------------------------------------------
 * A port may have thousands, so each is made, and taken away, by itself.  Where two have the same
 * range the order decides who gets it; such a port is read as a whole whenever it changes. */

static bool reads_again(const struct build *b, uint16_t port)
{
    for (size_t i = 0; i < b->n_again; i++)
        if (b->again[i] == port)
            return true;
    return false;
}

static void read_again(struct build *b, uint16_t port)
{
    if (reads_again(b, port))
        return;
    b->again = xreallocarray(b->again, b->n_again + 1, sizeof *b->again);
    b->again[b->n_again++] = port;
}

/* an item on its way */
struct item {
    char *name, *port, *label; /* owned */
    uint16_t number;           /* of the port; 0 = it is none */
    struct at matches, at_port, at;
    const struct json_tree *value;
};

static void item_open(struct build *b, struct item *it, const struct document_fragment *f)
{
    struct slice port = document_item_port(f->name), label = document_item_label(f->name);
    unsigned long long number;
    it->name = xstrndup(f->name.p, f->name.n);
    it->port = xstrndup(port.p, port.n);
    it->label = xstrndup(label.p, label.n);
    it->number = slice_u64(port, 65535, &number) < 0 ? 0 : (uint16_t)number;
    it->matches = (struct at){&at_outbound, "TrafficMatches", 0};
    it->at_port = (struct at){&it->matches, it->port, 0};
    it->at = (struct at){&it->at_port, it->label, 0};
    it->value = tree_of(b, &it->at, f->text);
}

static void item_close(struct item *it)
{
    free(it->name);
    free(it->port);
    free(it->label);
}

static void drop_item(struct build *b, const struct item *it)
{
    const struct json_tree *ranges = json_tree_get(it->value, "DestinationIPRanges");
    struct port_rules *p = view_edit_ports(b->v, false, it->number);
    struct rule *r = port_rules_find(p, it->name);
    if (p->overlaps)
        read_again(b, it->number);
    tree_foreach(one, ranges)
    {
        struct cidr net;
        struct err why;
        if (cidr_parse(json_tree_text(one), &net, &why) == 0)
            port_rules_unrange(p, &net, r);
    }
    port_rules_remove(b->slots, p, r);
}

static int on_old_item(const struct document_fragment *old, const struct document_fragment *now,
                       void *arg)
{
    struct item it;
    (void)now;
    if (!old->text.p)
        return 0;
    item_open(arg, &it, old);
    drop_item(arg, &it);
    item_close(&it);
    return 0;
}

/* slots: of the chain that was made of it before, or NULL; returns owned */
static struct chain *item_chain(struct build *b, const struct item *it, const uint32_t *slots)
{
    struct chain *c = it->value ? new_chain(b, &it->at, it->name, it->value, false) : NULL;
    if (c && slots)
        chain_know_slots(c, slots);
    if (!c || fill_outbound(b, c, &it->at, it->value) == 0)
        return c;
    chain_unref(b->slots, c);
    return NULL;
}

/* The chain is made to see whether it can be, and let go. */
static int put_item(struct build *b, const struct item *it)
{
    if (it->number == 0)
        return bad(b, &it->at_port, "expected the key to be a port");
    struct chain *c = item_chain(b, it, NULL);
    if (!c)
        return -1;
    struct rule *r = rule_new_lazy(c);
    struct port_rules *p = view_edit_ports(b->v, false, it->number);
    port_rules_add(p, r);
    if (read_out_ranges(b, p, r, &it->at, it->value) < 0)
        return -1;
    if (p->overlaps && b->matches)
        read_again(b, it->number);
    return 0;
}

static int on_new_item(const struct document_fragment *old, const struct document_fragment *now,
                       void *arg)
{
    struct item it;
    (void)old;
    if (!now->text.p)
        return 0;
    item_open(arg, &it, now);
    int rc = put_item(arg, &it);
    item_close(&it);
    return rc;
}

static int on_item_again(const struct document_fragment *old, const struct document_fragment *now,
                         void *arg)
{
    unsigned long long number;
    if (slice_u64(document_item_port(now->name), 65535, &number) < 0 ||
        !reads_again(arg, (uint16_t)number))
        return 0;
    return on_new_item(old, now, arg);
}

/* Without ranges: for the addresses that nobody has; the first by name.  They stand behind those
 * with ranges. */
static void choose_any(struct port_rules *p)
{
    char first[16];
    snprintf(first, sizeof first, "%u/1", p->port);
    struct rule *r = port_rules_from(p, first);
    p->any = r && document_item_is_rangeless(slice_str(r->name)) ? r : NULL;
}

static int read_items(struct build *b)
{
    const struct document *before = b->matches ? b->conf->before : NULL;
    if (b->matches)
        view_share_ports(b->v, b->matches, false);
    if (before)
        document_diff(before, b->whole, DOCUMENT_ITEM, on_old_item, b);
    if (document_diff(before, b->whole, DOCUMENT_ITEM, on_new_item, b) < 0)
        return -1;
    for (size_t i = 0; i < b->n_again; i++)
        view_put_ports(b->v, false, port_rules_new(b->again[i], 0));
    if (b->n_again && document_diff(NULL, b->whole, DOCUMENT_ITEM, on_item_again, b) < 0)
        return -1;
    view_tidy_ports(b->v, false);
    for (uint32_t i = 0; i < b->v->ports[0].n; i++)
        if (b->v->ports[0].v[i]->refs == 1)
            choose_any(b->v->ports[0].v[i]);
    return 0;
}

/* what stands in place of the maps of fragments is wrong */
static int read_outbound(struct build *b)
{
    const json_t *out = json_object_get(b->doc, "Outbound");
    const json_t *ports = json_object_get(out, "TrafficMatches");
    struct at matches = {&at_outbound, "TrafficMatches", 0},
              clusters = {&at_outbound, "ClustersConfigs", 0};
    const char *port;
    json_t *j;
    if (!is_absent(out) && !json_is_object(out))
        return bad(b, &at_outbound, "expected an object or null");
    if (!is_absent(ports) && !json_is_object(ports))
        return bad(b, &matches, "expected an object of ports");
    json_object_foreach ((json_t *)ports, port, j) {
        struct at here = {&matches, port, 0};
        return bad(b, &here, "expected a list of matches");
    }
    if (!is_absent(json_object_get(out, "ClustersConfigs")))
        return bad(b, &clusters, "expected an object");
    return read_clusters(b) < 0 ? -1 : read_items(b);
}

/* ---- inbound ----------------------------------------------------------------------------------
 */

/* one of SourceIPRanges: null or {} for plaintext */
static int read_source(struct build *b, struct chain *c, const struct at *a, const char *range,
                       const struct json_tree *j)
{
    struct source_rule *r = arena_zalloc(c->mem, sizeof *r);
    struct at at_names = {a, "AuthenticatedPrincipals", 0};
    const struct json_tree *names = json_tree_get(j, at_names.key);
    struct cidr net;
    if (read_range(b, a, range, &net) < 0)
        return -1;
    if (!absent(j) && !is_object(j))
        return bad(b, a, "expected null or an object");
    r->tls = json_tree_is(json_tree_get(j, "mTLS"), JSON_TRUE);
    r->skip_verify = json_tree_is(json_tree_get(j, "SkipClientCertValidation"), JSON_TRUE);
    if (!absent(names) && !is_array(names))
        return bad(b, &at_names, "expected a list of principals");
    const char **list = arena_zalloc(c->mem, (json_tree_size(names) + 1) * sizeof *list);
    tree_foreach(one, names)
    {
        if (!json_tree_is(one, JSON_STRING))
            return bad(b, &at_names, "expected a list of principals");
        list[r->n_principals++] = arena_strdup(c->mem, json_tree_text(one));
    }
    r->principals = list;
    lpm_put(c->sources, &net, r);
    return 0;
}

static int read_sources(struct build *b, struct chain *c, const struct at *up,
                        const struct json_tree *j)
{
    struct at a = {up, "SourceIPRanges", 0};
    const struct json_tree *all = json_tree_get(j, a.key);
    if (absent(all))
        return 0;
    if (!is_object(all))
        return bad(b, &a, "expected an object of address ranges");
    c->sources = lpm_new();
    tree_foreach(rule, all)
    {
        const char *range = rule->key;
        struct at here = {&a, range, 0};
        if (read_source(b, c, &here, range, rule) < 0)
            return -1;
    }
    return 0;
}

/* {address or range: text}; NULL without an error when there is none */
static int read_endpoints(struct build *b, const struct at *a, const struct json_tree *j,
                          struct ipset **out)
{
    *out = NULL;
    if (absent(j))
        return 0;
    if (!is_object(j))
        return bad(b, a, "expected an object of addresses");
    struct ipset *s = ipset_new();
    tree_foreach(text, j)
    {
        const char *addr = text->key;
        struct at here = {a, addr, 0};
        struct err why;
        if (ipset_add(s, addr, &why) < 0) {
            ipset_unref(s);
            return bad(b, &here, why.text);
        }
    }
    ipset_freeze(s);
    *out = s;
    return 0;
}

static int read_inbound_port(struct build *b, struct port_rules *p, const struct at *a,
                             const struct json_tree *j)
{
    struct at targets = {a, "TargetClusters", 0}, opaque = {a, "OpaqueTargets", 0},
              allowed = {a, "AllowedEndpoints", 0};
    struct chain *c = new_chain(b, a, a->key, j, true);
    if (!c)
        return -1;
    p->any = rule_new(c);
    port_rules_add(p, p->any);
    struct at *tcp = c->kind == CHAIN_DETECT ? &opaque : &targets;
    struct filter_list f = filters_of(c, &mesh_in_filter, mesh_in_conf_new(c->mem, b->stats));
    if (read_split(b, c, tcp, json_tree_get(j, tcp->key), &c->tcp) < 0 ||
        read_endpoints(b, &allowed, json_tree_get(j, allowed.key), &c->allowed) < 0 ||
        read_sources(b, c, a, j) < 0)
        return -1;
    return c->kind == CHAIN_TCP ? 0 : read_http(b, c, a, j, &f);
}

static int read_port(struct build *b, const struct at *a, const char *key, const json_t *j)
{
    unsigned long long port;
    if (slice_u64(slice_str(key), 65535, &port) < 0 || port == 0)
        return bad(b, a, "expected the key to be a port");
    struct port_rules *p = view_keep_ports(b->matches, true, (uint16_t)port, tag_of(j));
    if (p) {
        view_put_ports(b->v, true, p);
        return 0;
    }
    const struct json_tree *t = tree_of_value(b, a, j);
    p = port_rules_new((uint16_t)port, tag_of(j));
    int rc = t ? read_inbound_port(b, p, a, t) : -1;
    if (rc < 0)
        port_rules_unref(b->slots, p);
    else
        view_put_ports(b->v, true, p);
    return rc;
}

static int read_inbound(struct build *b)
{
    struct at top = {NULL, "Inbound", 0};
    struct at a = {&top, "TrafficMatches", 0};
    const json_t *dir = json_object_get(b->doc, top.key);
    const json_t *all = json_object_get(dir, a.key);
    const char *port;
    json_t *j;
    if (is_absent(dir))
        return 0;
    if (!json_is_object(dir))
        return bad(b, &top, "expected an object or null");
    if (!is_absent(all) && !json_is_object(all))
        return bad(b, &a, "expected an object of ports");
    json_object_foreach ((json_t *)all, port, j) {
        struct at here = {&a, port, 0};
        if (read_port(b, &here, port, j) < 0)
            return -1;
    }
    return read_local_clusters(b, &top, dir);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void set_fallbacks(struct build *b)
{
    bool egress = json_bool(b->doc, "Spec.Traffic.EnableEgress", false);
    struct chain *out = chain_new("egress", egress ? CHAIN_PASS : CHAIN_REFUSE, 0);
    struct chain *in = chain_new("inbound-unknown", CHAIN_REFUSE, 0);
    out->refuse = REASON_EGRESS_REFUSED;
    in->refuse = REASON_PORT_UNKNOWN;
    view_set_fallback(b->v, false, out);
    view_set_fallback(b->v, true, in);
}

static const struct limit_def *limit_find(const char *key)
{
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        if (strcmp(limit_defs[i].key, key) == 0)
            return &limit_defs[i];
    return NULL;
}

/* A limit whose name is not known is no limit at all, and refused. */
static int read_limits(struct build *b, const struct at *spec)
{
    struct at a = {spec, "Limits", 0};
    const json_t *all = json_object_get(json_object_get(b->doc, "Spec"), a.key);
    const char *key;
    json_t *j;
    char words[80];
    if (is_absent(all))
        return 0;
    if (!json_is_object(all))
        return bad(b, &a, "expected an object of limits and numbers");
    json_object_foreach ((json_t *)all, key, j) {
        const struct limit_def *d = limit_find(key);
        struct at here = {&a, key, 0};
        if (!d)
            return bad(b, &here, "no limit has that name, see fsm-document(5)");
        snprintf(words, sizeof words, "expected a number from %u to %u", d->least, d->most);
        if (!json_is_integer(j) || json_integer_value(j) < d->least ||
            json_integer_value(j) > d->most)
            return bad(b, &here, words);
        *limit_at(&b->v->limits, d) = (uint32_t)json_integer_value(j);
    }
    return 0;
}

static int read_spec(struct build *b)
{
    struct at spec = {NULL, "Spec", 0}, a = {&spec, "SidecarTimeout", 0};
    const json_t *t = json_object_get(json_object_get(b->doc, "Spec"), a.key);
    struct view_limits *lim = &b->v->limits;
    if (!is_absent(t)) {
        if (!json_is_integer(t) || json_integer_value(t) < 0 || json_integer_value(t) > 86400)
            return bad(b, &a, "expected seconds, 0 to 86400");
        uint32_t ms = (uint32_t)json_integer_value(t) * 1000;
        lim->idle_ms = ms;
        if (ms)
            lim->connect_ms = lim->head_ms = ms;
    }
    lim->patience_ms = b->conf->patience_ms;
    if (read_limits(b, &spec) < 0)
        return -1;
    return 0;
}

/* what every chain depends on: who we are, which leaves in a header field, and Spec.Traffic */
static int read_common(struct build *b)
{
    struct at a = {NULL, "Proxy", 0};
    b->http1_per_request = json_bool(b->doc, "Spec.Traffic.HTTP1PerRequestLoadBalancing", false);
    b->http2_per_request = json_bool(b->doc, "Spec.Traffic.HTTP2PerRequestLoadBalancing", true);
    b->trust_domain = json_str(b->doc, "Proxy.TrustDomain", "cluster.local");
    snprintf(b->stats, sizeof b->stats, "%s,%s,%s,%s", json_str(b->doc, "Proxy.Namespace", ""),
             json_str(b->doc, "Proxy.Workload.Kind", ""),
             json_str(b->doc, "Proxy.Workload.Name", ""), json_str(b->doc, "Proxy.Pod", ""));
    if (is_absent(json_object_get(b->doc, a.key)))
        b->stats[0] = '\0';
    if (!http_is_field_value(slice_str(b->stats)))
        return bad(b, &a,
                   "expected names in Namespace, Pod, Workload.Kind, Workload.Name: they "
                   "leave in a header field");
    return 0;
}

static int on_allowed(const struct document_fragment *old, const struct document_fragment *now,
                      void *arg)
{
    struct build *b = arg;
    struct at a = {NULL, "AllowedEndpoints", 0}, here = {&a, NULL, 0};
    const struct slice *name = now->text.p ? &now->name : &old->name;
    char *addr = xstrndup(name->p, name->n);
    struct ipset *base = b->base ? b->base->allowed : NULL;
    struct err why;
    int rc = 0;
    here.key = addr;
    if (!b->v->allowed)
        b->v->allowed = base ? ipset_copy(base) : ipset_new();
    if (old->text.p && !now->text.p)
        ipset_remove(b->v->allowed, addr);
    else if (!old->text.p && ipset_add(b->v->allowed, addr, &why) < 0)
        rc = bad(b, &here, why.text);
    free(addr);
    return rc;
}

static int read_allowed_endpoints(struct build *b)
{
    struct at a = {NULL, "AllowedEndpoints", 0};
    if (!is_absent(json_object_get(b->doc, a.key)))
        return bad(b, &a, "expected an object of addresses");
    if (document_diff(b->base ? b->conf->before : NULL, b->whole, DOCUMENT_ALLOWED, on_allowed, b) <
        0)
        return -1;
    if (b->v->allowed)
        ipset_freeze(b->v->allowed);
    else if (b->base && b->base->allowed)
        b->v->allowed = ipset_ref(b->base->allowed);
    return 0;
}

static int read_static_listener(struct build *b, const struct at *a, const json_t *j)
{
    const char *addr = json_str(j, "Address", ""), *dir = json_str(j, "Direction", ""),
               *dst = json_str(j, "OriginalDst", "");
    struct at at_addr = {a, "Address", 0}, at_dir = {a, "Direction", 0},
              at_dst = {a, "OriginalDst", 0};
    struct ip_port listen, pretend;
    struct err why;
    if (ip_port_parse(addr, &listen) < 0)
        return bad(b, &at_addr, "expected an address and port");
    if (ip_port_parse(dst, &pretend) < 0)
        return bad(b, &at_dst, "expected an address and port");
    if (strcmp(dir, "Inbound") != 0 && strcmp(dir, "Outbound") != 0)
        return bad(b, &at_dir, "expected \"Inbound\" or \"Outbound\"");
    if (b->conf->dry)
        return 0;
    if (view_add_listener(b->v, addr, &listen, strcmp(dir, "Inbound") == 0, &pretend, &why) < 0)
        return bad(b, a, why.text);
    return 0;
}

static int read_static_listeners(struct build *b, const json_t *list)
{
    struct at a = {NULL, "Listeners", 0};
    size_t i;
    json_t *j;
    if (!json_is_array(list))
        return bad(b, &a, "expected a list");
    json_array_foreach (list, i, j) {
        struct at here = {&a, NULL, (int)i};
        if (read_static_listener(b, &here, j) < 0)
            return -1;
    }
    return 0;
}

/* Both, whatever the document says: a port that traffic is redirected to must not be left to
 * whoever binds it, and what no rule allows is refused by rule. */
int document_listeners(struct view *v, const struct document_conf *c, struct err *e)
{
    if (view_add_listener(v, "outbound-listener", &c->outbound, false, NULL, e) < 0)
        return -1;
    return view_add_listener(v, "inbound-listener", &c->inbound, true, NULL, e);
}

static int add_listeners(struct build *b)
{
    const json_t *fixed = json_object_get(b->doc, "Listeners");
    if (!is_absent(fixed))
        return read_static_listeners(b, fixed);
    return b->conf->dry ? 0 : document_listeners(b->v, b->conf, b->e);
}

/* ---- chains, as they are asked for -------------------------------------------------------------
 */

/* any thread: it only reads the document, which the view holds */
static struct chain *make_item(const struct rule *r, void *arg)
{
    struct document *doc = arg;
    struct buf text = BUF_INIT;
    struct err e = {""};
    struct build b = {
        .whole = doc, .doc = document_rest(doc), .tree = arena_new(TREE_BYTES), .e = &e};
    struct document_fragment f = {.name = slice_str(r->name)};
    struct chain *c = NULL;
    struct item it;
    if (document_fragment_text(doc, DOCUMENT_ITEM, f.name, &text) && read_common(&b) == 0) {
        f.text = buf_slice(&text);
        item_open(&b, &it, &f);
        c = item_chain(&b, &it, r->slots);
        item_close(&it);
    }
    if (!c)
        log_error("document", "an item that was read before cannot be read again: %s", e.text);
    arena_free(b.tree);
    buf_free(&text);
    return c;
}

static void free_maker(void *arg)
{
    document_unref(arg);
}

static bool same_part(const json_t *a, const json_t *b, const char *key)
{
    return json_object_get(a, key) == json_object_get(b, key);
}

static void choose_base(struct build *b)
{
    const json_t *before = b->conf->before ? document_rest(b->conf->before) : NULL;
    b->base = before ? engine_view(b->conf->engine) : NULL;
    bool same = before && same_part(before, b->doc, "Spec") && same_part(before, b->doc, "Proxy");
    b->matches = same ? b->base : NULL;
}

static int build_all(struct build *b)
{
    choose_base(b);
    if (b->base)
        view_share_clusters(b->v, b->base);
    if (read_common(b) < 0 || read_spec(b) < 0 || read_inbound(b) < 0 || read_outbound(b) < 0 ||
        read_allowed_endpoints(b) < 0)
        return -1;
    set_fallbacks(b);
    b->v->maker = (struct view_maker){make_item, free_maker, document_ref(b->whole)};
    b->v->mesh_tls = !is_absent(json_object_get(b->doc, "Certificate"));
    b->v->transport = b->conf->transport ? transport_ref(b->conf->transport) : NULL;
    return add_listeners(b);
}

struct view *document_view(const struct document_conf *c, struct document *doc, struct err *e)
{
    struct build b = {.conf = c,
                      .whole = doc,
                      .doc = document_rest(doc),
                      .v = view_new(c->engine),
                      .slots = engine_slots(c->engine),
                      .tree = arena_new(TREE_BYTES),
                      .e = e};
    int rc = build_all(&b);
    arena_free(b.tree);
    free(b.again);
    if (rc == 0)
        return b.v;
    view_free(b.v);
    return NULL;
}
