/* rules.h - the redirection of one pod as a table of rules: built from what is wanted, written
 * and read by several backends (text for iptables-restore, libiptc entries).
 *
 *   rules_build(&want, 4, &r);  backend->apply(&r, &e);  rules_free(&r);
 *
 * Chains and their meaning by spec 2.1; everything of ours lives in four chains of table nat and
 * in one jump from PREROUTING and one from OUTPUT.  Pure; any thread.
 */
#ifndef FSM_INIT_RULES_H
#define FSM_INIT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/err.h"

#define PORT_OUTBOUND 15001u /* the sidecar's outbound listener */
#define PORT_INBOUND  15003u /* its inbound listener */
#define RULE_PORTS    15u    /* what one multiport match can hold */
#define IF_NAME_MAX   16u    /* IFNAMSIZ */

/* ---- what is wanted -------------------------------------------------------------------------- */

struct cidrs {
    struct cidr *v;
    unsigned n;
};
struct ports {
    uint16_t *v;
    unsigned n;
};
struct ifaces {
    char (*v)[IF_NAME_MAX]; /* a last '+' stands for any ending, as in iptables */
    unsigned n;
};

/* Lists hold both families and no duplicates. */
struct redirect {
    uint32_t uid; /* the sidecar's: its traffic is not redirected */
    /* localProxyMode PodIP: what the sidecar sends to loopback goes to these (family 0 = none) */
    struct ip pod_ip4, pod_ip6;
    struct cidrs out_ip_exclude, out_ip_include;
    struct ports out_port_exclude, in_port_exclude;
    struct ifaces if_exclude;
};
/* Each adds the items of a comma list ("80,443"), once each.  -1 and e naming the item. */
int redirect_add_ports(struct ports *p, const char *list, struct err *e);
int redirect_add_cidrs(struct cidrs *c, const char *list, struct err *e);
int redirect_add_ifaces(struct ifaces *i, const char *list, struct err *e);
/* The order of a list means nothing: this one makes equal lists equal. */
void redirect_sort(struct redirect *r);
void redirect_free(struct redirect *r);
/* ports of the sidecar's own, which no list needs to name: what for, or NULL */
const char *redirect_reserved(uint16_t port);

/* ---- the table ------------------------------------------------------------------------------- */

enum chain {
    CHAIN_PREROUTING,
    CHAIN_OUTPUT,
    CHAIN_PROXY_INBOUND,     /* traffic entering the pod */
    CHAIN_PROXY_IN_REDIRECT, /* to the inbound listener */
    CHAIN_PROXY_OUTPUT,      /* traffic of the pod's own processes */
    CHAIN_PROXY_REDIRECT,    /* to the outbound listener */
    CHAIN_COUNT
};
#define CHAIN_FIRST_OWN CHAIN_PROXY_INBOUND
const char *chain_name(enum chain c);
/* CHAIN_COUNT if it is none of these */
enum chain chain_find(struct slice name);

enum rule_action { RULE_RETURN, RULE_JUMP, RULE_REDIRECT, RULE_DNAT };
enum rule_owner { OWNER_ANY, OWNER_IS, OWNER_NOT };

struct rule {
    enum chain chain; /* it is appended here */
    struct cidr dst;  /* family 0 = any */
    bool dst_not;
    char in[IF_NAME_MAX], out[IF_NAME_MAX]; /* "" = any */
    bool tcp;
    uint16_t ports[RULE_PORTS]; /* destination */
    unsigned n_ports;           /* 0 = any; 1 = match tcp; more = match multiport */
    enum rule_owner owner;
    uint32_t uid;
    enum rule_action action;
    enum chain target; /* RULE_JUMP */
    uint16_t port;     /* RULE_REDIRECT */
    struct ip to;      /* RULE_DNAT */
};
struct rules {
    int family; /* 4 or 6 */
    struct rule *v;
    unsigned n;
};
/* The rules of one family, in order of evaluation; free with rules_free. */
void rules_build(const struct redirect *want, int family, struct rules *out);
void rules_add(struct rules *r, const struct rule *rule);
void rules_free(struct rules *r);
bool rule_eq(const struct rule *a, const struct rule *b);
/* as rule_eq for all; order within each chain matters, the order of the chains does not */
bool rules_eq(const struct rules *a, const struct rules *b);
/* The other way round: what must have been wanted if these are fsm-init's rules.  Compare
 * rules_build() of the result with r to know whether they are.  Free with redirect_free. */
void rules_derive(const struct rules *r, struct redirect *out);

/* What the rules do to the first packet of a connection. */
struct packet {
    bool outbound;     /* made in the pod: OUTPUT; else it comes in: PREROUTING */
    const char *iface; /* leaves or enters by it */
    struct ip dst;
    uint16_t port;
    uint32_t uid; /* outbound only */
};
enum rule_action rules_verdict(const struct rules *r, const struct packet *p, uint16_t *port);

/* ---- as text --------------------------------------------------------------------------------- */

/* one line as iptables-save prints it, "-A CHAIN ..." without a newline */
void rule_print(const struct rule *r, struct buf *out);
/* reads such a line; -1 if it is not one that rule_print could have made */
int rule_parse(struct slice line, struct rule *out);
/* a whole table for iptables-restore --noflush on a namespace that has no rules of ours */
void rules_print(const struct rules *r, struct buf *out);

#endif
