/* clusterip.c - addresses of Services, and their translation; see clusterip.h.
 *
 * The table is generated whole and replaced in one transaction:
 *
 *   map services4 { address . protocol . port : goto s4_N }      prerouting and output
 *   chain s4_N    { dnat to one of the endpoints, at random (or by source with ClientIP) }
 *   what is still addressed to a Service after that has no endpoint, and is rejected
 *   a pod that meets itself behind its Service is masqueraded, or it would answer itself
 *   what leaves for other networks is masqueraded
 */
#include "cli/local/clusterip.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/local/endpoints.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct clusterip {
    struct local *l;
    struct proc *nft;
    int output_fd;
    bool again; /* something changed while nft ran */
    char *last; /* what the kernel has; NULL = unknown */
    char *under_way;
    char *why; /* nft refused, or NULL */
    struct timer retry;
};

/* ---- addresses ------------------------------------------------------------------------------- */

static bool in_use(struct local *l, const char *ip)
{
    const struct kube_object *o;

    for (void *it = NULL; (o = kube_store_next(l->store, "Service", NULL, &it)) != NULL;) {
        const json_t *ips = json_at(o->body, "spec.clusterIPs");
        for (size_t i = 0; i < json_array_size(ips); i++)
            if (strcmp(json_string_value(json_array_get(ips, i)) ?: "", ip) == 0)
                return true;
    }
    return false;
}

static void nth_address(const struct cidr *range, unsigned n, struct ip *out)
{
    unsigned len = range->ip.family == 4 ? 4 : 16;

    *out = range->ip;
    for (unsigned i = len - 1; n; i--, n >>= 8)
        out->b[i] = (uint8_t)(out->b[i] + (n & 0xff));
}

static unsigned range_size(const struct cidr *range)
{
    unsigned bits = (range->ip.family == 4 ? 32u : 128u) - range->bits;
    return 1u << (bits > 16 ? 16 : bits);
}

/* goes round, as pod addresses do */
static int next_free(struct local *l, const struct cidr *range, char *out, struct err *e)
{
    static unsigned next[2] = {1, 1};
    unsigned *n = &next[range->ip.family == 6], size = range_size(range);
    struct ip ip;

    for (unsigned tries = 0; tries < size; tries++) {
        nth_address(range, *n, &ip);
        *n = *n + 2 >= size ? 1 : *n + 1;
        if (!in_use(l, ip_format(&ip, out)))
            return 0;
    }
    return err_set(e, "no address is left in the service range: use a larger --service-cidr");
}

static int check_wanted(struct local *l, const char *text, struct err *e)
{
    const struct cidr *range;
    struct ip ip;

    if (ip_parse(text, &ip))
        return err_set(e, "spec.clusterIP: got \"%s\", expected an IP address or None", text);
    range = ip.family == 4 ? &l->in->services4 : &l->in->services6;
    if (!range->ip.family || !cidr_has(range, &ip)) {
        char r[IP_TEXT_MAX];
        return err_set(e, "spec.clusterIP: %s is not in the service range %s", text,
                       range->ip.family ? cidr_format(range, r) : "(no IPv6 here)");
    }
    if (in_use(l, text))
        return err_set(e, "spec.clusterIP: %s belongs to another Service", text);
    return 0;
}

/* "IPv4", "IPv6", or both, by what the Service says; returns owned */
static json_t *families_of(const struct local *l, const json_t *spec, struct err *e)
{
    const char *policy = json_str(spec, "ipFamilyPolicy", "SingleStack");
    const json_t *asked = json_object_get(spec, "ipFamilies");
    const char *first = json_string_value(json_array_get(asked, 0)) ?: "IPv4";
    const char *other = strcmp(first, "IPv6") == 0 ? "IPv4" : "IPv6";
    bool both = json_array_size(asked) > 1 || strcmp(policy, "SingleStack") != 0;
    bool have6 = l->in->services6.ip.family != 0;

    if (!have6 && (strcmp(policy, "RequireDualStack") == 0 || strcmp(first, "IPv6") == 0)) {
        err_set(e, "the Service asks for IPv6, which this machine does not have");
        return NULL;
    }
    return both && have6 ? json_pack("[s, s]", first, other) : json_pack("[s]", first);
}

static int assign_addresses(struct local *l, json_t *spec, const json_t *families, struct err *e)
{
    const char *asked = json_str(spec, "clusterIP", NULL);
    const json_t *asked_list = json_object_get(spec, "clusterIPs");
    json_t *list = json_array();

    for (size_t i = 0; i < json_array_size(families); i++) {
        char ip[IP_TEXT_MAX];
        const char *want = json_string_value(json_array_get(asked_list, i));
        bool v6 = strcmp(json_string_value(json_array_get(families, i)), "IPv6") == 0;
        if (!want && i == 0)
            want = asked;
        if (want && *want ? check_wanted(l, want, e)
                          : next_free(l, v6 ? &l->in->services6 : &l->in->services4, ip, e)) {
            json_decref(list);
            return -1;
        }
        json_array_append_new(list, json_string(want && *want ? want : ip));
    }
    json_object_set(spec, "clusterIP", json_array_get(list, 0));
    json_object_set_new(spec, "clusterIPs", list);
    return 0;
}

int clusterip_assign(struct local *l, json_t *service, struct err *e)
{
    json_t *spec = json_object_get(service, "spec");
    const char *asked = json_str(spec, "clusterIP", "");
    struct ip ip;

    if (!json_is_object(spec) || strcmp(json_str(spec, "type", ""), "ExternalName") == 0)
        return 0;
    if (!json_object_get(spec, "ipFamilies") && ip_parse(asked, &ip) == 0)
        json_object_set_new(spec, "ipFamilies", json_pack("[s]", ip.family == 6 ? "IPv6" : "IPv4"));
    json_t *families = families_of(l, spec, e);
    if (!families)
        return -1;
    json_object_set_new(spec, "ipFamilies", families);
    if (strcmp(asked, "None") == 0) {
        json_object_set_new(spec, "clusterIPs", json_pack("[s]", "None"));
        return 0;
    }
    return assign_addresses(l, spec, families, e);
}

static bool is_external(const json_t *service)
{
    return strcmp(json_str(service, "spec.type", ""), "ExternalName") == 0;
}

/* absent or empty means: as before */
static int keep(const json_t *was, json_t *spec, const char *key, struct err *e)
{
    const json_t *before = json_object_get(was, key), *now = json_object_get(spec, key);
    bool empty = !now || json_is_null(now) || (json_is_array(now) && !json_array_size(now)) ||
                 (json_is_string(now) && !json_string_length(now));

    if (before && empty)
        json_object_set(spec, key, (json_t *)(uintptr_t)before);
    if (!before || empty || json_equal(before, now))
        return 0;
    char *a = json_dumps(now, JSON_ENCODE_ANY | JSON_COMPACT);
    char *b = json_dumps(before, JSON_ENCODE_ANY | JSON_COMPACT);
    err_set(e,
            "spec.%s: got %.200s, expected %.200s: it cannot be changed, delete the Service first",
            key, a, b);
    free(a);
    free(b);
    return -1;
}

int clusterip_keep(struct local *l, const json_t *was, json_t *body, struct err *e)
{
    static const char *const keys[] = {"clusterIP", "clusterIPs", "ipFamilies"};
    const json_t *old = json_object_get(was, "spec");
    json_t *spec = json_object_get(body, "spec");

    if (!json_is_object(spec))
        return 0;
    for (size_t i = 0; is_external(body) && i < 3; i++)
        json_object_del(spec, keys[i]);
    if (is_external(body))
        return 0;
    if (is_external(was))
        return clusterip_assign(l, body, e);
    /* one of the two alone may be written: it says both */
    if (json_object_get(spec, "clusterIP") && keep(old, spec, "clusterIP", e))
        return -1;
    for (size_t i = 0; i < 3; i++)
        if (keep(old, spec, keys[i], e))
            return -1;
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

struct rules {
    struct buf maps[2];  /* elements of services4, services6 */
    struct buf hairs[2]; /* pods that may meet themselves */
    struct buf chains;
    unsigned n_chains;
    struct table *seen; /* addresses in hairs */
};

/* one endpoint of a Service's port: "10.0.0.2 . 8080" */
static void add_target(struct rules *r, struct buf *targets, unsigned *n, const char *ip,
                       int64_t port)
{
    bool v6 = strchr(ip, ':') != NULL;

    buf_printf(targets, "%s%u : %s . %lld", *n ? ", " : "", *n, ip, (long long)port);
    ++*n;
    if (table_get_str(r->seen, ip))
        return;
    table_put_str(r->seen, ip, r);
    buf_printf(&r->hairs[v6], "%s%s . %s", r->hairs[v6].len ? ", " : "", ip, ip);
}

static int64_t slice_port(const json_t *slice, const json_t *service_port)
{
    const json_t *ports = json_object_get(slice, "ports");

    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *p = json_array_get(ports, i);
        if (strcmp(json_str(p, "name", ""), json_str(service_port, "name", "")) == 0 &&
            strcmp(json_str(p, "protocol", "TCP"), json_str(service_port, "protocol", "TCP")) == 0)
            return json_int(p, "port", 0);
    }
    return 0;
}

/* the endpoints of one family that take connections; returns how many */
static unsigned collect_targets(struct local *l, struct rules *r, const struct kube_object *svc,
                                const json_t *sp, bool v6, bool ending_too, struct buf *targets)
{
    const struct kube_object *s;
    unsigned n = 0;

    for (void *it = NULL; (s = kube_store_next(l->store, "EndpointSlice", svc->ns, &it)) != NULL;) {
        const char *of =
            json_string_value(json_object_get(json_at(s->body, "metadata.labels"), SERVICE_LABEL));
        int64_t port = slice_port(s->body, sp);
        const json_t *list = json_object_get(s->body, "endpoints");
        if (!of || strcmp(of, svc->name) != 0 || !port ||
            (strcmp(json_str(s->body, "addressType", ""), "IPv6") == 0) != v6)
            continue;
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *ep = json_array_get(list, i);
            const char *ip = json_string_value(json_array_get(json_object_get(ep, "addresses"), 0));
            if (ip && (ending_too ? endpoint_is_serving(ep) : endpoint_is_ready(ep)))
                add_target(r, targets, &n, ip, port);
        }
    }
    return n;
}

static const char *nft_protocol(const json_t *sp)
{
    const char *p = json_str(sp, "protocol", "TCP");
    return strcmp(p, "UDP") == 0 ? "udp" : strcmp(p, "SCTP") == 0 ? "sctp" : "tcp";
}

static void add_port(struct local *l, struct rules *r, const struct kube_object *svc,
                     const json_t *sp, const char *ip)
{
    bool v6 = strchr(ip, ':') != NULL;
    const char *family = v6 ? "ip6" : "ip", *protocol = nft_protocol(sp);
    bool sticky = strcmp(json_str(svc->body, "spec.sessionAffinity", ""), "ClientIP") == 0;
    struct buf targets = BUF_INIT;
    unsigned n = collect_targets(l, r, svc, sp, v6, false, &targets);

    if (!n)
        n = collect_targets(l, r, svc, sp, v6, true, &targets);
    if (n) {
        buf_printf(&r->chains, " chain s%u {\n  meta l4proto %s dnat %s to ", r->n_chains, protocol,
                   family);
        if (sticky)
            buf_printf(&r->chains, "jhash %s saddr", family);
        else
            buf_puts(&r->chains, "numgen random");
        buf_printf(&r->chains, " mod %u map { %s }\n }\n", n, targets.p);
        buf_printf(&r->maps[v6], "%s%s . %s . %lld : goto s%u", r->maps[v6].len ? ", " : "", ip,
                   protocol, (long long)json_int(sp, "port", 0), r->n_chains);
        r->n_chains++;
    }
    buf_free(&targets);
}

static void add_service(struct local *l, struct rules *r, const struct kube_object *svc)
{
    const json_t *ips = json_at(svc->body, "spec.clusterIPs");
    const json_t *ports = json_at(svc->body, "spec.ports");

    for (size_t i = 0; i < json_array_size(ips); i++) {
        const char *ip = json_string_value(json_array_get(ips, i)) ?: "None";
        for (size_t k = 0; strcmp(ip, "None") != 0 && k < json_array_size(ports); k++)
            add_port(l, r, svc, json_array_get(ports, k), ip);
    }
}

static void put_elements(struct buf *b, const struct buf *elements)
{
    if (elements->len)
        buf_printf(b, " elements = { %s };", elements->p);
    buf_puts(b, " }\n");
}

static void put_family(const struct instance *in, const struct rules *r, bool v6, struct buf *b)
{
    const char *type = v6 ? "ipv6_addr" : "ipv4_addr";

    buf_printf(b, " map services%c { type %s . inet_proto . inet_service : verdict;",
               v6 ? '6' : '4', type);
    put_elements(b, &r->maps[v6]);
    buf_printf(b, " set itself%c { type %s . %s;", v6 ? '6' : '4', type, type);
    put_elements(b, &r->hairs[v6]);
}

static void put_translation(const struct instance *in, bool v6, const char *chain, struct buf *b)
{
    const char *family = v6 ? "ip6" : "ip";
    const struct cidr *pods = v6 ? &in->pods6 : &in->pods4;
    const struct cidr *services = v6 ? &in->services6 : &in->services4;
    char p[IP_TEXT_MAX], s[IP_TEXT_MAX];

    if (!pods->ip.family)
        return;
    cidr_format(pods, p);
    cidr_format(services, s);
    if (strcmp(chain, "translate") == 0)
        buf_printf(b, "  %s daddr . meta l4proto . th dport vmap @services%c\n", family,
                   v6 ? '6' : '4');
    else if (strcmp(chain, "refuse") == 0)
        buf_printf(b,
                   "  %s daddr %s meta l4proto tcp reject with tcp reset\n"
                   "  %s daddr %s reject\n",
                   family, s, family, s);
    else
        buf_printf(b,
                   "  ct status dnat %s saddr . %s daddr @itself%c masquerade\n"
                   "  %s saddr %s %s daddr != %s oifname != \"%s\" masquerade\n",
                   family, family, v6 ? '6' : '4', family, p, family, p, in->bridge);
}

static void put_chain(const struct instance *in, const char *name, const char *kind,
                      const char *type, const char *hook, const char *priority, struct buf *b)
{
    buf_printf(b, " chain %s {\n  type %s hook %s priority %s;\n", name, type, hook, priority);
    put_translation(in, false, kind, b);
    put_translation(in, true, kind, b);
    buf_puts(b, " }\n");
}

static void put_chains(const struct instance *in, struct buf *b)
{
    put_chain(in, "from_pods", "translate", "nat", "prerouting", "-100", b);
    put_chain(in, "from_here", "translate", "nat", "output", "-100", b);
    put_chain(in, "no_endpoint_forward", "refuse", "filter", "forward", "0", b);
    put_chain(in, "no_endpoint_output", "refuse", "filter", "output", "0", b);
    put_chain(in, "source", "masquerade", "nat", "postrouting", "100", b);
    /* pods reach each other through us on purpose: they need not be told of shorter ways */
    buf_printf(b,
               " chain no_redirects {\n  type filter hook output priority 0;\n"
               "  oifname \"%s\" icmp type redirect drop\n"
               "  oifname \"%s\" icmpv6 type nd-redirect drop\n }\n",
               in->bridge, in->bridge);
}

/* returns owned: a transaction that replaces the table */
static char *build_rules(struct local *l)
{
    struct rules r = {.seen = table_new(NULL)};
    struct buf b = BUF_INIT;
    const struct kube_object *svc;

    for (void *it = NULL; (svc = kube_store_next(l->store, "Service", NULL, &it)) != NULL;)
        add_service(l, &r, svc);
    buf_printf(&b, "table inet %s {}\ndelete table inet %s\ntable inet %s {\n", l->in->table,
               l->in->table, l->in->table);
    buf_put_slice(&b, buf_slice(&r.chains));
    put_family(l->in, &r, false, &b);
    put_family(l->in, &r, true, &b);
    put_chains(l->in, &b);
    buf_puts(&b, "}\n");
    for (int i = 0; i < 2; i++) {
        buf_free(&r.maps[i]);
        buf_free(&r.hairs[i]);
    }
    buf_free(&r.chains);
    table_free(r.seen);
    return buf_take(&b);
}

/* ---- giving it to the kernel -------------------------------------------------------------------
 */

static void keep_failure(struct clusterip *c)
{
    char text[600];
    ssize_t n = pread(c->output_fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    free(c->why);
    c->why = xasprintf("addresses of Services are not up to date: nft refused: %s", text);
    log_error("clusterip", "%s", c->why);
}

const char *clusterip_problem(const struct local *l)
{
    return l->clusterip ? l->clusterip->why : NULL;
}

static void on_nft(struct proc *p, int status, void *arg)
{
    struct clusterip *c = arg;

    c->nft = NULL;
    if (status) {
        keep_failure(c);
        free(c->under_way);
        timer_set(&c->retry, 1000);
    } else {
        free(c->last);
        free(c->why);
        c->last = c->under_way;
        c->why = NULL;
    }
    c->under_way = NULL;
    close(c->output_fd);
    c->output_fd = -1;
    if (c->again)
        clusterip_sync(c->l);
}

static int memory_file(const char *text)
{
    int fd = memfd_create("fsm-local-nft", MFD_CLOEXEC);
    size_t n = strlen(text);

    if (fd >= 0 && (write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void run_nft(struct clusterip *c)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    struct proc_spec ps = PROC_SPEC_INIT;
    struct err e = {"memory file"};

    ps.argv = argv;
    ps.stdin_fd = memory_file(c->under_way);
    ps.stdout_fd = ps.stderr_fd = c->output_fd = memory_file("");
    if (ps.stdin_fd >= 0 && c->output_fd >= 0)
        c->nft = proc_spawn(c->l->procs, &ps, on_nft, c, &e);
    if (ps.stdin_fd >= 0)
        close(ps.stdin_fd);
    if (c->nft)
        return;
    log_error("clusterip", "nft cannot be started: %s", e.text);
    free(c->under_way);
    c->under_way = NULL;
    timer_set(&c->retry, 1000);
}

void clusterip_sync(struct local *l)
{
    struct clusterip *c = l->clusterip;

    c->again = c->nft != NULL;
    if (c->again)
        return;
    char *text = build_rules(l);
    if (c->last && strcmp(text, c->last) == 0) {
        free(text);
        return;
    }
    c->under_way = text;
    run_nft(c);
}

static void on_retry(void *arg)
{
    clusterip_sync(((struct clusterip *)arg)->l);
}

struct clusterip *clusterip_new(struct local *l)
{
    struct clusterip *c = xcalloc(1, sizeof(*c));

    c->l = l;
    c->output_fd = -1;
    timer_init(&c->retry, l->loop, on_retry, c);
    return c;
}

void clusterip_free(struct clusterip *c)
{
    if (!c)
        return;
    proc_forget(c->nft);
    timer_cancel(&c->retry);
    if (c->output_fd >= 0)
        close(c->output_fd);
    free(c->last);
    free(c->under_way);
    free(c->why);
    free(c);
}
