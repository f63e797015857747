/* entry.c - rules to ip_tables entries and back.
 *
 * An entry is a head (addresses, interfaces, protocol; its own struct per family), then matches,
 * then one target, each padded to XT_ALIGN.  Matches are the same in both families; the NAT
 * targets are not.
 */
#include "interceptor/init/entry.h"

#include "interceptor/init/iptc.h" /* first: the kernel's own if.h must see the C library's */

#include <arpa/inet.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <stddef.h>
#include <string.h>

#define PROTO_TCP 6

/* ---- writing --------------------------------------------------------------------------------- */

/* n zeroed, aligned bytes at the end of out */
static void *grow(struct buf *out, size_t n)
{
    char *p = buf_reserve(out, XT_ALIGN(n));

    memset(p, 0, XT_ALIGN(n));
    out->len += XT_ALIGN(n);
    return p;
}

static void *add_match(struct buf *out, const char *name, uint8_t revision, size_t size)
{
    struct xt_entry_match *m = grow(out, sizeof(*m) + size);

    m->u.match_size = (uint16_t)XT_ALIGN(sizeof(*m) + size);
    strncpy(m->u.user.name, name, sizeof(m->u.user.name) - 1);
    m->u.user.revision = revision;
    return m->data;
}

static void *add_target(struct buf *out, const char *name, uint8_t revision, size_t size)
{
    struct xt_entry_target *t = grow(out, sizeof(*t) + size);

    t->u.target_size = (uint16_t)XT_ALIGN(sizeof(*t) + size);
    strncpy(t->u.user.name, name, sizeof(t->u.user.name) - 1);
    t->u.user.revision = revision;
    return t->data;
}

static void add_matches(const struct rule *r, struct buf *out)
{
    if (r->n_ports == 1) {
        struct xt_tcp *m = add_match(out, "tcp", 0, sizeof(*m));

        m->spts[1] = 0xffff;
        m->dpts[0] = m->dpts[1] = r->ports[0];
    } else if (r->n_ports > 1) {
        struct xt_multiport_v1 *m = add_match(out, "multiport", 1, sizeof(*m));

        m->flags = XT_MULTIPORT_DESTINATION;
        m->count = (uint8_t)r->n_ports;
        memcpy(m->ports, r->ports, r->n_ports * sizeof(*r->ports));
    }
    if (r->owner != OWNER_ANY) {
        struct xt_owner_match_info *m = add_match(out, "owner", 1, sizeof(*m));

        m->uid_min = m->uid_max = r->uid;
        m->match = XT_OWNER_UID;
        m->invert = r->owner == OWNER_NOT ? XT_OWNER_UID : 0;
    }
}

/* the oldest revision that kernel and iptables command both know in every family: 2 for DNAT */
static void add_dnat(const struct rule *r, struct buf *out)
{
    struct nf_nat_range2 *t = add_target(out, "DNAT", 2, sizeof(*t));

    t->flags = NF_NAT_RANGE_MAP_IPS;
    memcpy(&t->min_addr, r->to.b, r->to.family == 4 ? 4 : 16);
    t->max_addr = t->min_addr;
}

static void add_redirect4(const struct rule *r, struct buf *out)
{
    struct nf_nat_ipv4_multi_range_compat *t = add_target(out, "REDIRECT", 0, sizeof(*t));

    t->rangesize = 1;
    t->range[0].flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    t->range[0].min.all = t->range[0].max.all = htons(r->port);
}

static void add_redirect6(const struct rule *r, struct buf *out)
{
    struct nf_nat_range *t = add_target(out, "REDIRECT", 0, sizeof(*t));

    t->flags = NF_NAT_RANGE_PROTO_SPECIFIED;
    t->min_proto.all = t->max_proto.all = htons(r->port);
}

/* libiptc turns names of chains and verdicts into what the kernel wants */
static void add_action(const struct rule *r, int family, struct buf *out)
{
    if (r->action == RULE_RETURN)
        add_target(out, "RETURN", 0, sizeof(int));
    else if (r->action == RULE_JUMP)
        add_target(out, chain_name(r->target), 0, sizeof(int));
    else if (r->action == RULE_DNAT)
        add_dnat(r, out);
    else if (family == 4)
        add_redirect4(r, out);
    else
        add_redirect6(r, out);
}

/* exact match includes the NUL, a prefix ("eth+") stops before the '+' */
static void put_iface(const char *name, char *out, unsigned char *mask)
{
    size_t n = strlen(name);

    if (n == 0)
        return;
    memcpy(out, name, n + 1);
    memset(mask, 0xff, name[n - 1] == '+' ? n - 1 : n + 1);
}

static void put_mask(void *out, size_t size, unsigned bits)
{
    unsigned char *b = out;

    for (size_t i = 0; i < size; i++, bits -= bits < 8 ? bits : 8)
        b[i] = (unsigned char)(bits >= 8 ? 0xff : 0xff00u >> bits);
}

static void add_head4(const struct rule *r, struct buf *out)
{
    struct ipt_entry *h = grow(out, sizeof(*h));

    if (r->dst.ip.family) {
        memcpy(&h->ip.dst, r->dst.ip.b, 4);
        put_mask(&h->ip.dmsk, 4, r->dst.bits);
        h->ip.invflags = r->dst_not ? IPT_INV_DSTIP : 0;
    }
    put_iface(r->in, h->ip.iniface, h->ip.iniface_mask);
    put_iface(r->out, h->ip.outiface, h->ip.outiface_mask);
    h->ip.proto = r->tcp ? PROTO_TCP : 0;
}

static void add_head6(const struct rule *r, struct buf *out)
{
    struct ip6t_entry *h = grow(out, sizeof(*h));

    if (r->dst.ip.family) {
        memcpy(&h->ipv6.dst, r->dst.ip.b, 16);
        put_mask(&h->ipv6.dmsk, 16, r->dst.bits);
        h->ipv6.invflags = r->dst_not ? IP6T_INV_DSTIP : 0;
    }
    put_iface(r->in, h->ipv6.iniface, h->ipv6.iniface_mask);
    put_iface(r->out, h->ipv6.outiface, h->ipv6.outiface_mask);
    h->ipv6.proto = r->tcp ? PROTO_TCP : 0;
    h->ipv6.flags = r->tcp ? IP6T_F_PROTO : 0;
}

void entry_encode(const struct rule *r, int family, struct buf *out)
{
    size_t target;

    if (family == 4)
        add_head4(r, out);
    else
        add_head6(r, out);
    add_matches(r, out);
    target = out->len;
    add_action(r, family, out);
    if (family == 4) {
        ((struct ipt_entry *)out->p)->target_offset = (uint16_t)target;
        ((struct ipt_entry *)out->p)->next_offset = (uint16_t)out->len;
    } else {
        ((struct ip6t_entry *)out->p)->target_offset = (uint16_t)target;
        ((struct ip6t_entry *)out->p)->next_offset = (uint16_t)out->len;
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

/* what both heads come down to */
struct head {
    const void *dst, *dmsk;
    const char *in, *out;
    const unsigned char *in_mask, *out_mask;
    unsigned proto;
    bool dst_not, odd; /* odd: matches something that no rule of ours does */
    size_t size, target;
};

static bool all_zero(const void *p, size_t n)
{
    const unsigned char *b = p;

    while (n > 0 && b[n - 1] == 0)
        n--;
    return n == 0;
}

static struct head head4(const struct ipt_entry *h)
{
    return (struct head){.dst = &h->ip.dst,
                         .dmsk = &h->ip.dmsk,
                         .in = h->ip.iniface,
                         .out = h->ip.outiface,
                         .in_mask = h->ip.iniface_mask,
                         .out_mask = h->ip.outiface_mask,
                         .proto = h->ip.proto,
                         .dst_not = h->ip.invflags & IPT_INV_DSTIP,
                         .odd = (h->ip.invflags & ~IPT_INV_DSTIP) || h->ip.flags ||
                                !all_zero(&h->ip.smsk, 4),
                         .size = sizeof(*h),
                         .target = h->target_offset};
}

static struct head head6(const struct ip6t_entry *h)
{
    return (struct head){.dst = &h->ipv6.dst,
                         .dmsk = &h->ipv6.dmsk,
                         .in = h->ipv6.iniface,
                         .out = h->ipv6.outiface,
                         .in_mask = h->ipv6.iniface_mask,
                         .out_mask = h->ipv6.outiface_mask,
                         .proto = h->ipv6.proto,
                         .dst_not = h->ipv6.invflags & IP6T_INV_DSTIP,
                         .odd = (h->ipv6.invflags & ~IP6T_INV_DSTIP) ||
                                (h->ipv6.flags & ~IP6T_F_PROTO) || !all_zero(&h->ipv6.smsk, 16),
                         .size = sizeof(*h),
                         .target = h->target_offset};
}

enum entry_reach entry_reach(const void *entry, int family)
{
    struct head h = family == 4 ? head4(entry) : head6(entry);
    size_t size = family == 4 ? 4 : 16;

    if (h.proto != 0 && h.proto != IPPROTO_TCP)
        return ENTRY_NO_TCP;
    if (h.odd || h.dst_not || h.in[0] || h.out[0] || h.target != h.size || !all_zero(h.dmsk, size))
        return ENTRY_SOME_TCP;
    return ENTRY_ALL_TCP;
}

static int get_iface(const char *name, const unsigned char *mask, char *out)
{
    size_t n = strnlen(name, IF_NAME_MAX - 1);

    memcpy(out, name, n);
    out[n] = '\0';
    if (n > 0 && mask[n] == 0 && mask[n - 1]) { /* a prefix: libiptc may not keep the '+' */
        if (n + 1 >= IF_NAME_MAX)
            return -1;
        out[n] = '+';
        out[n + 1] = '\0';
    }
    return 0;
}

/* contiguous masks only */
static int get_dst(const struct head *h, int family, struct rule *out)
{
    size_t size = family == 4 ? 4 : 16;
    unsigned char again[16];
    unsigned bits = 0;

    while (bits < size * 8 && ((const unsigned char *)h->dmsk)[bits / 8] & (0x80 >> bits % 8))
        bits++;
    put_mask(again, size, bits);
    if (memcmp(again, h->dmsk, size) != 0)
        return -1;
    if (bits == 0)
        return h->dst_not ? -1 : 0;
    out->dst.ip.family = (uint8_t)family;
    memcpy(out->dst.ip.b, h->dst, size);
    out->dst.bits = (uint8_t)bits;
    out->dst_not = h->dst_not;
    return 0;
}

static int get_tcp(const struct xt_tcp *m, struct rule *out)
{
    if (m->spts[0] || m->spts[1] != 0xffff || m->dpts[0] != m->dpts[1] || m->option ||
        m->flg_mask || m->invflags || out->n_ports)
        return -1;
    out->ports[0] = m->dpts[0];
    out->n_ports = 1;
    return 0;
}

static int get_multiport(const struct xt_multiport_v1 *m, struct rule *out)
{
    if (m->flags != XT_MULTIPORT_DESTINATION || m->invert || m->count > RULE_PORTS ||
        m->count < 2 || out->n_ports || !all_zero(m->pflags, sizeof(m->pflags)))
        return -1;
    memcpy(out->ports, m->ports, m->count * sizeof(*out->ports));
    out->n_ports = m->count;
    return 0;
}

static int get_owner(const struct xt_owner_match_info *m, struct rule *out)
{
    if (m->match != XT_OWNER_UID || m->uid_min != m->uid_max || (m->invert & ~XT_OWNER_UID))
        return -1;
    out->uid = m->uid_min;
    out->owner = m->invert ? OWNER_NOT : OWNER_IS;
    return 0;
}

static int get_match(const struct xt_entry_match *m, struct rule *out)
{
    if (strcmp(m->u.user.name, "tcp") == 0)
        return get_tcp((const struct xt_tcp *)m->data, out);
    if (strcmp(m->u.user.name, "multiport") == 0 && m->u.user.revision == 1)
        return get_multiport((const struct xt_multiport_v1 *)m->data, out);
    if (strcmp(m->u.user.name, "owner") == 0 && m->u.user.revision == 1)
        return get_owner((const struct xt_owner_match_info *)m->data, out);
    return -1;
}

static int get_matches(const char *entry, const struct head *h, struct rule *out)
{
    for (size_t at = h->size; at < h->target;) {
        const struct xt_entry_match *m = (const void *)(entry + at);

        if (m->u.match_size < sizeof(*m) || get_match(m, out) != 0)
            return -1;
        at += m->u.match_size;
    }
    return 0;
}

static int get_dnat(const struct nf_nat_range2 *t, int family, struct rule *out)
{
    out->to.family = (uint8_t)family;
    memcpy(out->to.b, &t->min_addr, family == 4 ? 4 : 16);
    if (t->flags != NF_NAT_RANGE_MAP_IPS || memcmp(&t->max_addr, &t->min_addr, 16) != 0)
        return -1;
    return 0;
}

static int get_redirect4(const struct nf_nat_ipv4_multi_range_compat *t, struct rule *out)
{
    out->port = ntohs(t->range[0].min.all);
    if (t->rangesize != 1 || t->range[0].flags != NF_NAT_RANGE_PROTO_SPECIFIED ||
        t->range[0].max.all != t->range[0].min.all)
        return -1;
    return 0;
}

static int get_redirect6(const struct nf_nat_range *t, struct rule *out)
{
    out->port = ntohs(t->min_proto.all);
    if (t->flags != NF_NAT_RANGE_PROTO_SPECIFIED || t->max_proto.all != t->min_proto.all)
        return -1;
    return 0;
}

static int get_nat(const struct xt_entry_target *t, int family, struct rule *out)
{
    const void *data = t->data;

    if (strcmp(t->u.user.name, "DNAT") == 0) {
        out->action = RULE_DNAT;
        return t->u.user.revision == 2 ? get_dnat(data, family, out) : -1;
    }
    out->action = RULE_REDIRECT;
    return family == 4 ? get_redirect4(data, out) : get_redirect6(data, out);
}

static int get_action(const struct xt_entry_target *t, const char *target, int family,
                      struct rule *out)
{
    if (strcmp(target, "RETURN") == 0) {
        out->action = RULE_RETURN;
        return 0;
    }
    if (strcmp(target, "REDIRECT") == 0 || strcmp(target, "DNAT") == 0)
        return get_nat(t, family, out);
    out->action = RULE_JUMP;
    out->target = chain_find(slice_str(target));
    return out->target >= CHAIN_FIRST_OWN && out->target < CHAIN_COUNT ? 0 : -1;
}

int entry_decode(const void *entry, const char *target, int family, enum chain chain,
                 struct rule *out)
{
    struct head h = family == 4 ? head4(entry) : head6(entry);

    *out = (struct rule){.chain = chain, .tcp = h.proto == PROTO_TCP};
    if (h.odd || (h.proto && !out->tcp))
        return -1;
    if (get_iface(h.in, h.in_mask, out->in) != 0 || get_iface(h.out, h.out_mask, out->out) != 0 ||
        get_dst(&h, family, out) != 0 || get_matches(entry, &h, out) != 0)
        return -1;
    return get_action((const void *)((const char *)entry + h.target), target, family, out);
}
