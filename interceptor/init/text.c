/* text.c - rules as iptables-save prints them: one grammar, written and read. */
#include <stdio.h>
#include <string.h>

#include "interceptor/init/rules.h"

/* ---- writing --------------------------------------------------------------------------------- */

static void print_match(const struct rule *r, struct buf *out)
{
    char text[IP_TEXT_MAX];

    if (r->dst.ip.family)
        buf_printf(out, "%s -d %s", r->dst_not ? " !" : "", cidr_format(&r->dst, text));
    if (r->in[0])
        buf_printf(out, " -i %s", r->in);
    if (r->out[0])
        buf_printf(out, " -o %s", r->out);
    if (r->tcp)
        buf_puts(out, " -p tcp");
    if (r->n_ports == 1)
        buf_printf(out, " -m tcp --dport %u", r->ports[0]);
    for (unsigned i = 0; r->n_ports > 1 && i < r->n_ports; i++)
        buf_printf(out, "%s%u", i ? "," : " -m multiport --dports ", r->ports[i]);
    if (r->owner != OWNER_ANY)
        buf_printf(out, " -m owner%s --uid-owner %u", r->owner == OWNER_NOT ? " !" : "", r->uid);
}

static void print_action(const struct rule *r, struct buf *out)
{
    char text[IP_TEXT_MAX];

    switch (r->action) {
    case RULE_RETURN:
        buf_puts(out, " -j RETURN");
        break;
    case RULE_JUMP:
        buf_printf(out, " -j %s", chain_name(r->target));
        break;
    case RULE_REDIRECT:
        buf_printf(out, " -j REDIRECT --to-ports %u", r->port);
        break;
    case RULE_DNAT:
        buf_printf(out, " -j DNAT --to-destination %s", ip_format(&r->to, text));
        break;
    }
}

void rule_print(const struct rule *r, struct buf *out)
{
    buf_printf(out, "-A %s", chain_name(r->chain));
    print_match(r, out);
    print_action(r, out);
}

void rules_print(const struct rules *r, struct buf *out)
{
    buf_puts(out, "*nat\n");
    for (enum chain c = CHAIN_FIRST_OWN; c < CHAIN_COUNT; c++)
        buf_printf(out, ":%s - [0:0]\n", chain_name(c));
    for (unsigned i = 0; i < r->n; i++) {
        rule_print(&r->v[i], out);
        buf_putc(out, '\n');
    }
    buf_puts(out, "COMMIT\n");
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_u16(struct slice s, uint16_t *out)
{
    unsigned long long v;

    if (slice_u64(s, 65535, &v) != 0)
        return -1;
    *out = (uint16_t)v;
    return 0;
}

static int read_text(struct slice s, char *out, size_t size)
{
    if (s.n >= size)
        return -1;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    return 0;
}

static int read_dst(struct slice s, struct rule *r)
{
    char text[IP_TEXT_MAX];

    return read_text(s, text, sizeof(text)) == 0 ? cidr_parse(text, &r->dst, NULL) : -1;
}

static int read_ports(struct slice list, struct rule *r)
{
    while (list.p) {
        if (r->n_ports == RULE_PORTS || read_u16(slice_cut(&list, ','), &r->ports[r->n_ports]) != 0)
            return -1;
        r->n_ports++;
    }
    return 0;
}

static int read_uid(struct slice s, bool negated, struct rule *r)
{
    unsigned long long v;

    if (slice_u64(s, UINT32_MAX, &v) != 0)
        return -1;
    r->uid = (uint32_t)v;
    r->owner = negated ? OWNER_NOT : OWNER_IS;
    return 0;
}

static int read_target(struct slice s, struct rule *r)
{
    if (slice_eq_str(s, "RETURN")) {
        r->action = RULE_RETURN;
    } else if (slice_eq_str(s, "REDIRECT")) {
        r->action = RULE_REDIRECT;
    } else if (slice_eq_str(s, "DNAT")) {
        r->action = RULE_DNAT;
    } else {
        r->action = RULE_JUMP;
        r->target = chain_find(s);
        return r->target >= CHAIN_FIRST_OWN && r->target < CHAIN_COUNT ? 0 : -1;
    }
    return 0;
}

static int read_to(struct slice s, struct rule *r)
{
    char text[IP_TEXT_MAX];

    return read_text(s, text, sizeof(text)) == 0 ? ip_parse(text, &r->to) : -1;
}

/* the modules that the options below belong to; the options themselves say what is matched */
static bool is_known_module(struct slice s)
{
    return slice_eq_str(s, "tcp") || slice_eq_str(s, "multiport") || slice_eq_str(s, "owner");
}

static int read_option(struct slice key, struct slice value, bool negated, struct rule *r)
{
    if (slice_eq_str(key, "-d")) {
        r->dst_not = negated;
        return read_dst(value, r);
    }
    if (slice_eq_str(key, "--uid-owner"))
        return read_uid(value, negated, r);
    if (negated)
        return -1;
    if (slice_eq_str(key, "-A"))
        return (r->chain = chain_find(value)) < CHAIN_COUNT ? 0 : -1;
    if (slice_eq_str(key, "-i"))
        return read_text(value, r->in, sizeof(r->in));
    if (slice_eq_str(key, "-o"))
        return read_text(value, r->out, sizeof(r->out));
    if (slice_eq_str(key, "-p"))
        return (r->tcp = slice_eq_str(value, "tcp")) ? 0 : -1;
    if (slice_eq_str(key, "-m"))
        return is_known_module(value) ? 0 : -1;
    if (slice_eq_str(key, "--dport") || slice_eq_str(key, "--dports"))
        return read_ports(value, r);
    if (slice_eq_str(key, "-j"))
        return read_target(value, r);
    if (slice_eq_str(key, "--to-ports"))
        return read_u16(value, &r->port);
    if (slice_eq_str(key, "--to-destination"))
        return read_to(value, r);
    return -1;
}

/* An action that lacks its argument is none of ours; nor is a rule that only counts. */
static bool is_complete(const struct rule *r, bool decides)
{
    if (r->chain >= CHAIN_COUNT || !decides)
        return false;
    return (r->action == RULE_REDIRECT) == (r->port != 0) &&
           (r->action == RULE_DNAT) == (r->to.family != 0);
}

int rule_parse(struct slice line, struct rule *out)
{
    struct slice rest = line;
    bool decides = false;

    *out = (struct rule){.chain = CHAIN_COUNT};
    while (rest.p) {
        struct slice key = slice_cut(&rest, ' ');
        bool negated = slice_eq_str(key, "!");

        if (negated)
            key = slice_cut(&rest, ' ');
        if (!rest.p || read_option(key, slice_cut(&rest, ' '), negated, out) != 0)
            return -1;
        decides |= slice_eq_str(key, "-j");
    }
    return is_complete(out, decides) ? 0 : -1;
}
