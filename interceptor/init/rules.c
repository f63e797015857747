/* rules.c - building, comparing, reading back and evaluating the table of redirection rules. */
#include "interceptor/init/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/mem.h"

/* health and metrics ports: kubelet and Prometheus speak to them without a certificate */
static const uint16_t open_ports[] = {15010, 15901, 15902, 15903, 15904};
#define OPEN_PORTS (sizeof(open_ports) / sizeof(*open_ports))

static const char *const chain_names[CHAIN_COUNT] = {
    [CHAIN_PREROUTING] = "PREROUTING",       [CHAIN_OUTPUT] = "OUTPUT",
    [CHAIN_PROXY_INBOUND] = "PROXY_INBOUND", [CHAIN_PROXY_IN_REDIRECT] = "PROXY_IN_REDIRECT",
    [CHAIN_PROXY_OUTPUT] = "PROXY_OUTPUT",   [CHAIN_PROXY_REDIRECT] = "PROXY_REDIRECT",
};

const char *chain_name(enum chain c)
{
    return chain_names[c];
}

enum chain chain_find(struct slice name)
{
    enum chain c = 0;

    while (c < CHAIN_COUNT && !slice_eq_str(name, chain_names[c]))
        c++;
    return c;
}

void rules_add(struct rules *r, const struct rule *rule)
{
    r->v = xreallocarray(r->v, r->n + 1, sizeof(*r->v));
    r->v[r->n++] = *rule;
}

void rules_free(struct rules *r)
{
    free(r->v);
    *r = (struct rules){.family = r->family};
}

/* ---- building -------------------------------------------------------------------------------- */

static struct cidr loopback(int family)
{
    struct cidr c;

    BUG_ON(cidr_parse(family == 4 ? "127.0.0.1" : "::1", &c, NULL) != 0);
    return c;
}

/* one rule for up to RULE_PORTS ports */
static void add_port_rules(struct rules *out, enum chain chain, const struct ports *p)
{
    for (unsigned i = 0; i < p->n; i += RULE_PORTS) {
        struct rule r = {.chain = chain, .tcp = true, .action = RULE_RETURN};

        r.n_ports = p->n - i < RULE_PORTS ? p->n - i : RULE_PORTS;
        memcpy(r.ports, p->v + i, r.n_ports * sizeof(*r.ports));
        rules_add(out, &r);
    }
}

/* A range of all addresses matches everything: written without an address, as iptables-save
 * shows it. */
static void add_cidr_rules(struct rules *out, const struct cidrs *c, enum rule_action action)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct rule r = {.chain = CHAIN_PROXY_OUTPUT,
                         .action = action,
                         .target = action == RULE_JUMP ? CHAIN_PROXY_REDIRECT : 0};

        if (c->v[i].ip.family != out->family)
            continue;
        if (c->v[i].bits > 0)
            r.dst = c->v[i];
        rules_add(out, &r);
    }
}

static void add_iface_rules(struct rules *out, enum chain chain, const struct ifaces *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct rule r = {.chain = chain, .action = RULE_RETURN};

        memcpy(chain == CHAIN_PROXY_INBOUND ? r.in : r.out, f->v[i], IF_NAME_MAX);
        rules_add(out, &r);
    }
}

static void build_jumps(struct rules *out)
{
    rules_add(out, &(struct rule){.chain = CHAIN_PREROUTING,
                                  .tcp = true,
                                  .action = RULE_JUMP,
                                  .target = CHAIN_PROXY_INBOUND});
    rules_add(out, &(struct rule){.chain = CHAIN_OUTPUT,
                                  .tcp = true,
                                  .action = RULE_JUMP,
                                  .target = CHAIN_PROXY_OUTPUT});
}

static void build_inbound(const struct redirect *want, struct rules *out)
{
    add_port_rules(out, CHAIN_PROXY_INBOUND, &want->in_port_exclude);
    add_iface_rules(out, CHAIN_PROXY_INBOUND, &want->if_exclude);
    for (unsigned i = 0; i < OPEN_PORTS; i++)
        rules_add(out, &(struct rule){.chain = CHAIN_PROXY_INBOUND,
                                      .tcp = true,
                                      .ports = {open_ports[i]},
                                      .n_ports = 1,
                                      .action = RULE_RETURN});
    rules_add(out, &(struct rule){.chain = CHAIN_PROXY_INBOUND,
                                  .tcp = true,
                                  .action = RULE_JUMP,
                                  .target = CHAIN_PROXY_IN_REDIRECT});
    rules_add(out, &(struct rule){.chain = CHAIN_PROXY_IN_REDIRECT,
                                  .tcp = true,
                                  .action = RULE_REDIRECT,
                                  .port = PORT_INBOUND});
}

static struct cidr link_local6(void)
{
    return (struct cidr){.ip = {.family = 6, .b = {0xfe, 0x80}}, .bits = 10};
}

/* The order matters: what the sidecar sends to its own pod is an inbound call and passes the
 * inbound listener; other loopback traffic, and all other traffic of the sidecar, is left alone. */
static void build_output_static(const struct redirect *want, struct rules *out)
{
    const struct ip *pod_ip = out->family == 4 ? &want->pod_ip4 : &want->pod_ip6;
    struct rule lo = {.chain = CHAIN_PROXY_OUTPUT, .out = "lo", .uid = want->uid};
    struct rule r = lo;

    if (pod_ip->family) {
        r.dst = loopback(out->family);
        r.tcp = true;
        r.owner = OWNER_IS;
        r.action = RULE_DNAT;
        r.to = *pod_ip;
        rules_add(out, &r);
    }
    r = lo;
    r.dst = loopback(out->family);
    r.dst_not = true;
    r.owner = OWNER_IS;
    r.action = RULE_JUMP;
    r.target = CHAIN_PROXY_IN_REDIRECT;
    rules_add(out, &r);
    r = lo;
    r.owner = OWNER_NOT;
    rules_add(out, &r);
    r = (struct rule){.chain = CHAIN_PROXY_OUTPUT, .owner = OWNER_IS, .uid = want->uid};
    rules_add(out, &r);
    if (out->family == 6) { /* an address that means nothing without its interface */
        r = (struct rule){.chain = CHAIN_PROXY_OUTPUT, .dst = link_local6()};
        rules_add(out, &r);
    }
    r = (struct rule){.chain = CHAIN_PROXY_OUTPUT, .dst = loopback(out->family)};
    rules_add(out, &r);
}

static void build_output(const struct redirect *want, struct rules *out)
{
    struct rule rest = {.chain = CHAIN_PROXY_OUTPUT, .action = RULE_RETURN};

    build_output_static(want, out);
    add_iface_rules(out, CHAIN_PROXY_OUTPUT, &want->if_exclude);
    add_cidr_rules(out, &want->out_ip_exclude, RULE_RETURN);
    add_port_rules(out, CHAIN_PROXY_OUTPUT, &want->out_port_exclude);
    /* a list that includes only ranges of the other family includes nothing of this one */
    add_cidr_rules(out, &want->out_ip_include, RULE_JUMP);
    if (want->out_ip_include.n == 0) {
        rest.action = RULE_JUMP;
        rest.target = CHAIN_PROXY_REDIRECT;
    }
    rules_add(out, &rest);
    rules_add(out, &(struct rule){.chain = CHAIN_PROXY_REDIRECT,
                                  .tcp = true,
                                  .action = RULE_REDIRECT,
                                  .port = PORT_OUTBOUND});
}

void rules_build(const struct redirect *want, int family, struct rules *out)
{
    *out = (struct rules){.family = family};
    build_jumps(out);
    build_inbound(want, out);
    build_output(want, out);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static bool cidr_eq(const struct cidr *a, const struct cidr *b)
{
    return ip_eq(&a->ip, &b->ip) && (a->ip.family == 0 || a->bits == b->bits);
}

static bool match_eq(const struct rule *a, const struct rule *b)
{
    return cidr_eq(&a->dst, &b->dst) && a->dst_not == b->dst_not && strcmp(a->in, b->in) == 0 &&
           strcmp(a->out, b->out) == 0 && a->tcp == b->tcp && a->n_ports == b->n_ports &&
           memcmp(a->ports, b->ports, a->n_ports * sizeof(*a->ports)) == 0 &&
           a->owner == b->owner && (a->owner == OWNER_ANY || a->uid == b->uid);
}

static bool action_eq(const struct rule *a, const struct rule *b)
{
    if (a->action != b->action)
        return false;
    switch (a->action) {
    case RULE_JUMP:
        return a->target == b->target;
    case RULE_REDIRECT:
        return a->port == b->port;
    case RULE_DNAT:
        return ip_eq(&a->to, &b->to);
    case RULE_RETURN:
        break;
    }
    return true;
}

bool rule_eq(const struct rule *a, const struct rule *b)
{
    return a->chain == b->chain && match_eq(a, b) && action_eq(a, b);
}

/* the next rule of a chain at or after *i; NULL at the end */
static const struct rule *next_in(const struct rules *r, enum chain chain, unsigned *i)
{
    while (*i < r->n && r->v[*i].chain != chain)
        (*i)++;
    return *i < r->n ? &r->v[(*i)++] : NULL;
}

bool rules_eq(const struct rules *a, const struct rules *b)
{
    if (a->family != b->family || a->n != b->n)
        return false;
    for (enum chain c = 0; c < CHAIN_COUNT; c++) {
        const struct rule *x, *y;
        unsigned i = 0, j = 0;

        do {
            x = next_in(a, c, &i);
            y = next_in(b, c, &j);
            if (!x != !y || (x && !rule_eq(x, y)))
                return false;
        } while (x);
    }
    return true;
}

/* ---- back to what was wanted ----------------------------------------------------------------- */

static void put_iface(struct ifaces *f, const char *name)
{
    f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
    memcpy(f->v[f->n++], name, IF_NAME_MAX);
}

static void put_ports(struct ports *p, const struct rule *r)
{
    p->v = xreallocarray(p->v, p->n + r->n_ports, sizeof(*p->v));
    memcpy(p->v + p->n, r->ports, r->n_ports * sizeof(*p->v));
    p->n += r->n_ports;
}

/* dst of a rule, "any" becoming the range of all addresses */
static void put_cidr(struct cidrs *c, const struct rule *r, int family)
{
    struct cidr all = {.ip.family = (uint8_t)family};

    c->v = xreallocarray(c->v, c->n + 1, sizeof(*c->v));
    c->v[c->n++] = r->dst.ip.family ? r->dst : all;
}

/* the fixed rules for health and metrics ports come last, one port each */
static void derive_inbound(const struct rule *r, struct redirect *out, bool *fixed)
{
    if (r->n_ports == 1 && r->ports[0] == open_ports[0])
        *fixed = true;
    if (r->action != RULE_RETURN || *fixed)
        return;
    if (r->n_ports)
        put_ports(&out->in_port_exclude, r);
    else if (r->in[0])
        put_iface(&out->if_exclude, r->in);
}

static bool is_loopback_return(const struct rule *r)
{
    return r->action == RULE_RETURN && r->dst.ip.family && ip_is_loopback(&r->dst.ip) &&
           r->dst.bits == (r->dst.ip.family == 4 ? 32 : 128);
}

/* `last`: the rule that decides about everything not yet decided */
static void derive_output(const struct rule *r, struct redirect *out, int family, bool *lists,
                          bool last)
{
    if (r->action == RULE_DNAT)
        *(family == 4 ? &out->pod_ip4 : &out->pod_ip6) = r->to;
    if (r->owner != OWNER_ANY) {
        out->uid = r->uid;
        return;
    }
    if (!*lists) { /* what follows the loopback rule comes from lists */
        *lists = is_loopback_return(r);
        return;
    }
    if (last || r->out[0])
        return; /* interfaces are known from the inbound chain */
    if (r->action == RULE_JUMP)
        put_cidr(&out->out_ip_include, r, family);
    else if (r->n_ports)
        put_ports(&out->out_port_exclude, r);
    else
        put_cidr(&out->out_ip_exclude, r, family);
}

static unsigned last_of(const struct rules *r, enum chain chain)
{
    unsigned last = r->n;

    for (unsigned i = 0; i < r->n; i++)
        if (r->v[i].chain == chain)
            last = i;
    return last;
}

void rules_derive(const struct rules *r, struct redirect *out)
{
    unsigned last = last_of(r, CHAIN_PROXY_OUTPUT);
    bool fixed = false, lists = false;

    *out = (struct redirect){0};
    for (unsigned i = 0; i < r->n; i++) {
        if (r->v[i].chain == CHAIN_PROXY_INBOUND)
            derive_inbound(&r->v[i], out, &fixed);
        else if (r->v[i].chain == CHAIN_PROXY_OUTPUT)
            derive_output(&r->v[i], out, r->family, &lists, i == last);
    }
    /* Everything left alone at the end: there was an inclusion list.  If none of it is of this
     * family, the other family's part stands for it. */
    if (last < r->n && r->v[last].action == RULE_RETURN && out->out_ip_include.n == 0) {
        struct rule other = {0};

        put_cidr(&out->out_ip_include, &other, r->family == 4 ? 6 : 4);
    }
}

/* ---- evaluating ------------------------------------------------------------------------------ */

static bool iface_matches(const char *want, const char *have)
{
    size_t n = strlen(want);

    if (n == 0)
        return true;
    if (want[n - 1] == '+')
        return strncmp(want, have, n - 1) == 0;
    return strcmp(want, have) == 0;
}

static bool port_matches(const struct rule *r, uint16_t port)
{
    for (unsigned i = 0; i < r->n_ports; i++)
        if (r->ports[i] == port)
            return true;
    return r->n_ports == 0;
}

static bool rule_matches(const struct rule *r, const struct packet *p)
{
    if (r->dst.ip.family && cidr_has(&r->dst, &p->dst) == r->dst_not)
        return false;
    if (!iface_matches(r->in, p->outbound ? "" : p->iface) ||
        !iface_matches(r->out, p->outbound ? p->iface : ""))
        return false;
    if (r->owner != OWNER_ANY && (r->uid == p->uid) != (r->owner == OWNER_IS))
        return false;
    return port_matches(r, p->port);
}

/* NULL = the chain was left without a decision */
static const struct rule *decide(const struct rules *r, enum chain chain, const struct packet *p,
                                 int depth)
{
    const struct rule *rule, *d;
    unsigned i = 0;

    while ((rule = next_in(r, chain, &i))) {
        if (!rule_matches(rule, p))
            continue;
        if (rule->action == RULE_RETURN)
            return NULL;
        if (rule->action != RULE_JUMP)
            return rule;
        d = depth > 0 ? decide(r, rule->target, p, depth - 1) : NULL;
        if (d)
            return d;
    }
    return NULL;
}

enum rule_action rules_verdict(const struct rules *r, const struct packet *p, uint16_t *port)
{
    const struct rule *d = decide(r, p->outbound ? CHAIN_OUTPUT : CHAIN_PREROUTING, p, CHAIN_COUNT);

    if (!d)
        return RULE_RETURN;
    if (d->action == RULE_REDIRECT)
        *port = d->port;
    return d->action;
}
