/* check.c - one line per thing that must hold. */
#include "interceptor/init/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "interceptor/init/backend.h"
#include "interceptor/init/live.h"

#define ARRIVE_MS 1000 /* what should arrive does so at once; this is only for a busy machine */
#define BYPASS_MS 200  /* what is redirected by mistake arrives at once, too */
#define NOBODY    65534u
#define TRIED_MAX 8 /* ranges and ports of a list that are tried; all are compared as rules */

struct check {
    int family;
    const struct backend *backend;
    const struct redirect *want; /* as told, or derived */
    struct redirect derived;     /* from the rules */
    struct rules rules;          /* as installed */
    struct before before[CHAIN_FIRST_OWN];
    uint32_t app_uid;
    struct ip_port target; /* an address that is to be redirected; family 0 = none found */
    unsigned failed;
};

static void say(const char *word, int family, const char *fmt, va_list ap)
{
    printf("%-5s", word);
    if (family)
        printf(" IPv%d:", family);
    putchar(' ');
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
}

static void __attribute__((format(printf, 3, 4)))
result(struct check *c, bool ok, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(ok ? "ok" : "FAIL", c->family, fmt, ap);
    va_end(ap);
    c->failed += !ok;
}

static void __attribute__((format(printf, 2, 3))) note(struct check *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say("note", c->family, fmt, ap);
    va_end(ap);
}

/* ---- choosing addresses ---------------------------------------------------------------------- */

static uint16_t verdict_port(const struct check *c, const struct ip_port *dst, const char *iface,
                             uint32_t uid)
{
    struct packet p = {
        .outbound = true, .iface = iface, .dst = dst->ip, .port = dst->port, .uid = uid};
    uint16_t port = 0;

    return rules_verdict(&c->rules, &p, &port) == RULE_REDIRECT ? port : 0;
}

static bool is_excluded_port(const struct check *c, uint16_t port)
{
    for (unsigned i = 0; i < c->want->out_port_exclude.n; i++)
        if (c->want->out_port_exclude.v[i] == port)
            return true;
    return false;
}

static uint16_t free_port(const struct check *c)
{
    uint16_t port = 80;

    while (is_excluded_port(c, port) && port < 65535)
        port++;
    return port;
}

/* the second address of a range: the first may be its network address */
static struct ip inside(const struct cidr *r)
{
    struct ip a = r->ip;
    unsigned n = a.family == 4 ? 4 : 16;

    if (r->bits < n * 8)
        a.b[n - 1] |= 1;
    return a;
}

/* Takes it as the target if there is a route to it and the rules redirect it. */
static bool try_target(struct check *c, const struct ip *ip)
{
    struct ip_port dst = {*ip, free_port(c)};
    char iface[IF_NAME_MAX];

    if (ip->family != c->family || live_route(ip, iface) != 0 ||
        verdict_port(c, &dst, iface, c->app_uid) != PORT_OUTBOUND)
        return false;
    c->target = dst;
    return true;
}

/* RFC 5737, RFC 3849: nobody has them, should a connection escape */
static const char *const nobody[] = {"192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1",
                                     "2001:db8:ffff::1"};

static bool ip_is_documentation(const struct ip *ip)
{
    struct ip one;

    for (unsigned i = 0; i < sizeof(nobody) / sizeof(*nobody); i++)
        if (ip_parse(nobody[i], &one) == 0 && ip_eq(&one, ip))
            return true;
    return false;
}

/* Documentation addresses first, then the ranges that are included, then a neighbour in the pod's
 * own network. */
static void find_target(struct check *c)
{
    struct ip ip;

    for (unsigned i = 0; i < sizeof(nobody) / sizeof(*nobody); i++)
        if (ip_parse(nobody[i], &ip) == 0 && try_target(c, &ip))
            return;
    for (unsigned i = 0; i < c->want->out_ip_include.n; i++) {
        ip = inside(&c->want->out_ip_include.v[i]);
        if (try_target(c, &ip))
            return;
    }
    if (live_own_address(c->family, &ip) == 0) {
        ip.b[c->family == 4 ? 3 : 15] ^= 1;
        try_target(c, &ip);
    }
}

/* ---- connections ----------------------------------------------------------------------------- */

static const char *where(int landed)
{
    static const char *const names[] = {
        [LAND_OUTBOUND] = "it arrived on port 15001",
        [LAND_INBOUND] = "it arrived on port 15003",
        [LAND_OWN] = "it arrived directly",
        [LAND_NOWHERE] = "it was not redirected",
        [LAND_NO_ROUTE] = "there is no route (is the interface up?)",
    };

    return names[landed];
}

/* a connection of uid must come out at `expected`, with its destination intact if redirected */
static void expect(struct check *c, const struct live *l, uint32_t uid, const struct ip_port *dst,
                   int expected, const char *what)
{
    struct ip_port original = {{0}, 0};
    char to[IP_TEXT_MAX], was[IP_TEXT_MAX];
    int landed = live_connect(l, uid, dst, ARRIVE_MS, &original);

    ip_port_format(dst, to);
    if (landed < 0 && errno == EPERM)
        note(c, "%s: not tried, CAP_SETUID is missing; its rule is in place", what);
    else if (landed < 0)
        result(c, false, "%s: no socket: %s", what, strerror(errno));
    else if (landed != expected)
        result(c, false, "%s: connection to %s: %s; see '%s%s' for rules before fsm's", what, to,
               where(landed), c->family == 4 ? "ip" : "ip6", c->backend->save);
    else if (landed != LAND_OWN && !ip_port_eq(&original, dst))
        result(c, false,
               "%s: %s, but SO_ORIGINAL_DST says %s instead of %s; is connection "
               "tracking switched off?",
               what, where(landed), ip_port_format(&original, was), to);
    else
        result(c, true, "%s (%s%s)", what, to, landed == LAND_OWN ? "" : ", destination kept");
}

/* must not come out at either listener of the sidecar */
static void expect_bypass(struct check *c, const struct live *l, uint32_t uid,
                          const struct ip_port *dst, const char *what)
{
    struct ip_port original;
    char to[IP_TEXT_MAX];
    int landed = live_connect(l, uid, dst, BYPASS_MS, &original);

    ip_port_format(dst, to);
    if (landed < 0 && errno == EPERM)
        note(c, "%s: not tried, CAP_SETUID is missing; its rule is in place", what);
    else if (landed < 0)
        result(c, false, "%s: no socket: %s", what, strerror(errno));
    else if (landed == LAND_OUTBOUND || landed == LAND_INBOUND)
        result(c, false,
               "%s: connection to %s: %s; run fsm-init again, and see whether somebody "
               "else redirects",
               what, to, where(landed));
    else
        result(c, true, "%s (%s)", what, to);
}

static void check_excluded(struct check *c, const struct live *l)
{
    char iface[IF_NAME_MAX];

    for (unsigned i = 0; i < c->want->out_ip_exclude.n && i < TRIED_MAX; i++) {
        struct ip_port dst = {inside(&c->want->out_ip_exclude.v[i]), free_port(c)};

        if (dst.ip.family == c->family && live_route(&dst.ip, iface) == 0)
            expect_bypass(c, l, c->app_uid, &dst, "an excluded range is left alone");
    }
    for (unsigned i = 0; i < c->want->out_port_exclude.n && i < TRIED_MAX && c->target.port; i++) {
        struct ip_port dst = {c->target.ip, c->want->out_port_exclude.v[i]};

        expect_bypass(c, l, c->app_uid, &dst, "an excluded port is left alone");
    }
}

static void check_loopback(struct check *c, const struct live *l)
{
    struct ip_port dst = {.port = l->own_port};

    ip_parse(c->family == 4 ? "127.0.0.1" : "::1", &dst.ip);
    expect(c, l, c->app_uid, &dst, LAND_OWN, "loopback is left alone");
    if (live_own_address(c->family, &dst.ip) != 0)
        return;
    expect(c, l, c->app_uid, &dst, LAND_OWN, "the pod's own address is left alone");
    expect(c, l, c->want->uid, &dst, LAND_INBOUND,
           "the sidecar's call to its own pod arrives on port 15003");
}

/* ---- beside a running sidecar ---------------------------------------------------------------- */

/* a connection of uid to where nobody listens is answered, by the sidecar, or is not */
static void expect_answer(struct check *c, uint32_t uid, const struct ip_port *dst, bool answered,
                          const char *what)
{
    char to[IP_TEXT_MAX];
    int rc = live_answered(c->family, uid, dst, answered ? ARRIVE_MS : BYPASS_MS);

    ip_port_format(dst, to);
    if (rc < 0 && errno == EPERM)
        note(c, "%s: not tried, CAP_SETUID is missing; its rule is in place", what);
    else if (rc < 0)
        result(c, false, "%s: no socket: %s", what, strerror(errno));
    else if (rc == answered)
        result(c, true, "%s (%s)", what, to);
    else
        result(c, false, "%s: connection to %s: it was %s; see '%s%s' for rules before fsm's", what,
               to, rc ? "redirected" : "not redirected", c->family == 4 ? "ip" : "ip6",
               c->backend->save);
}

/* Its ports are taken: who answers where nobody is must be the sidecar.  True if OUTPUT was tried.
 */
static bool check_beside(struct check *c)
{
    struct ip_port dst;
    int held;

    note(c, "ports 15001 and 15003 are in use: taken for the sidecar, which answers what is "
            "redirected");
    find_target(c);
    if (c->target.port && ip_is_documentation(&c->target.ip)) {
        expect_answer(c, c->app_uid, &c->target, true, "an outbound connection is answered");
        expect_answer(c, c->want->uid, &c->target, false,
                      "the sidecar's own traffic is left alone");
    } else {
        note(c, "there is no route to an address that nobody has: outbound redirection was "
                "compared as rules only");
    }
    held = live_own_address(c->family, &dst.ip) == 0 ? live_hold_port(c->family, &dst.port) : -1;
    if (held >= 0) {
        expect_answer(c, c->want->uid, &dst, true, "the sidecar's call to its own pod is answered");
        close(held);
    }
    return c->target.port;
}

/* true if connections showed what OUTPUT does */
static bool check_live(struct check *c)
{
    struct live l;
    struct err e = {""};
    int rc = live_open(&l, c->family, &e);

    if (rc > 0)
        return check_beside(c);
    if (rc < 0) {
        result(c, false, "%s", e.text);
        return false;
    }
    find_target(c);
    if (c->target.port) {
        expect(c, &l, c->app_uid, &c->target, LAND_OUTBOUND,
               "an outbound connection arrives on port 15001");
        expect_bypass(c, &l, c->want->uid, &c->target, "the sidecar's own traffic is left alone");
    } else {
        note(c, "there is no route to any address that would be redirected: outbound "
                "redirection was compared as rules only");
    }
    check_loopback(c, &l);
    check_excluded(c, &l);
    live_close(&l);
    return c->target.port;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static bool redirects_inbound(const struct check *c, uint16_t port)
{
    struct packet p = {.iface = "eth0", .dst.family = (uint8_t)c->family, .port = port};
    uint16_t to = 0;

    return rules_verdict(&c->rules, &p, &to) == RULE_REDIRECT && to == PORT_INBOUND;
}

/* The installed rules are what fsm-init writes for the lists they hold, and those are the lists
 * that were told, in whatever order. */
static bool is_as_written(struct check *c, const struct found *f, const struct redirect *told)
{
    struct rules own = {0}, should = {0};
    bool same;

    rules_build(&c->derived, c->family, &own);
    same = f->foreign == 0 && rules_eq(&f->rules, &own);
    rules_free(&own);
    if (!same || !told)
        return same;
    redirect_sort(&c->derived);
    rules_build(&c->derived, c->family, &own);
    rules_build(told, c->family, &should);
    same = rules_eq(&own, &should);
    rules_free(&own);
    rules_free(&should);
    return same;
}

/* Connections show what OUTPUT does; from in here none can be made that comes in by PREROUTING. */
static void check_before(struct check *c, enum chain chain, const char *direction, bool tried)
{
    const struct before *b = &c->before[chain];
    const char *ip = c->family == 4 ? "ip" : "ip6";

    if (b->n && b->all && !tried)
        result(c, false,
               "somebody's rule in %s is asked before fsm's and takes all TCP connections: %s ones "
               "are NOT intercepted; remove it, see '%s%s': %s",
               chain_name(chain), direction, ip, c->backend->save, b->text);
    else if (b->n)
        note(c,
             "%u rule%s of somebody's in %s are asked before fsm's: %s connections that they take "
             "are not intercepted; see '%s%s': %s",
             b->n, b->n == 1 ? "" : "s", chain_name(chain), direction, ip, c->backend->save,
             b->text);
}

/* fills c->rules; false if there is nothing to go on with */
static bool check_rules(struct check *c, const struct redirect *told)
{
    struct found f = {0};
    struct err e = {""};
    bool same;

    if (c->backend->read(c->family, &f, &e) != BACKEND_OK) {
        result(c, false, "%s", e.text);
        found_free(&f);
        return false;
    }
    if (found_ours(&f)) {
        rules_derive(&f.rules, &c->derived);
        c->want = told ? told : &c->derived;
        same = is_as_written(c, &f, told);
        result(c, same,
               same ? "the rules are as fsm-init writes them (%u)"
                    : "the rules are not as fsm-init writes them for these flags (%u, "
                      "and %u foreign); run fsm-init again",
               f.rules.n, f.foreign);
        c->rules = f.rules;
        memcpy(c->before, f.before, sizeof(c->before));
        result(c, redirects_inbound(c, 1) && !redirects_inbound(c, 15010),
               "inbound connections go to port 15003, metrics and probes do not (by the rules)");
        return true;
    }
    found_free(&f);
    return false;
}

static void check_missing(struct check *c, const char *backend)
{
    struct ip own;

    if (c->family == 4 || live_own_address(6, &own) == 0)
        result(c, false, "no rules of fsm-init (%s): traffic is NOT intercepted; run fsm-init",
               backend);
    else
        note(c, "no rules, and no address beyond link-local: nothing to intercept");
}

static unsigned check_family(int family, const struct backend *b, const struct redirect *told)
{
    struct check c = {.family = family, .backend = b};

    if (check_rules(&c, told)) {
        c.app_uid = geteuid() == c.want->uid ? NOBODY : geteuid();
        check_before(&c, CHAIN_OUTPUT, "outbound", check_live(&c));
        check_before(&c, CHAIN_PREROUTING, "inbound", false);
        rules_free(&c.rules);
        redirect_free(&c.derived);
    } else if (c.failed == 0) {
        check_missing(&c, b->name);
    }
    return c.failed;
}

unsigned check_run(const struct redirect *want)
{
    struct check c = {0};
    struct choice choice;
    struct err e = {""};

    if (backend_choose("auto", &choice, &e) != 0) {
        result(&c, false, "%s", e.text);
        return c.failed;
    }
    note(&c, "backend %s: %s", choice.backend->name, choice.why);
    c.failed += check_family(4, choice.backend, want);
    if (access("/proc/net/if_inet6", F_OK) != 0)
        note(&c, "IPv6 is not available in this kernel: nothing to intercept");
    else
        c.failed += check_family(6, choice.backend, want);
    return c.failed;
}
