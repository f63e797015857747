/* view.h - a snapshot: everything a proxy does, frozen.
 *
 * A translator (one per daemon) turns its document into a view, sharing with the view before it
 * what did not change:
 *
 *   v = view_new(engine, base);                       base: the view in use, or NULL
 *   view_put_cluster(v, view_keep_cluster(base, name, tag) ?: cluster_new(...));
 *   l = view_add_listener(v, ...);  listener rules ...
 *   engine_publish(engine, v);                        takes it; from here on it is const
 *
 * Built and destroyed on the control thread.  A worker reads it while it holds its part of the
 * reference count (worker.h).
 */
#ifndef FSM_PROXY_VIEW_H
#define FSM_PROXY_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/proxy/chain.h"
#include "common/proxy/cluster.h"
#include "common/proxy/ipset.h"
#include "common/base/limits.h"
#include "common/tls/tls.h"

struct engine;

/* What TLS between two meshes' proxies needs; one object per generation of the certificate, so
 * that a connection made with an older one is told apart. */
struct transport {
    uint32_t refs;
    uint64_t serial;        /* of the generation, never 0 */
    struct tls_ctx *server; /* mesh ALPNs, client certificate required; NULL: no certificate */
    struct tls_ctx *plain_server; /* no ALPN asked: clients that are no mesh proxies, verified */
    struct tls_ctx *open_server;  /* the same, any client */
    struct tls_ctx *h2, *http1, *tcp; /* client side, one per ALPN */
};
/* returns owned, all contexts NULL; whoever fills it gives its references to it */
struct transport *transport_new(void);
struct transport *transport_ref(struct transport *t);
void transport_unref(struct transport *t);

#define MESH_ALPN_H2    "fsm-h2"
#define MESH_ALPN_HTTP1 "fsm-http/1.1"
#define MESH_ALPN_TCP   "fsm-tcp"

/* Views that differ a little share what did not change by the block. */
#define VIEW_BLOCK 64

struct rule_block {
    uint32_t refs, n;
    struct rule *v[VIEW_BLOCK]; /* references */
};

/* rules of one destination port */
struct port_rules {
    uint32_t refs;
    uint64_t tag;
    uint16_t port;
    bool overlaps;              /* two rules have the same range: which has it hangs on the order */
    struct lpm *by_addr;        /* original destination -> struct rule, or NULL */
    struct rule *any;           /* else this, or NULL */
    struct rule_block **blocks; /* references; none is empty; the rules are in order of name */
    uint32_t n_blocks, cap_blocks;
    uint32_t n; /* rules */
};
struct port_rules *port_rules_new(uint16_t port, uint64_t tag);
/* takes the rule; for ranges: then port_rules_range with each */
void port_rules_add(struct port_rules *p, struct rule *r);
void port_rules_range(struct port_rules *p, const struct cidr *range, struct rule *r);
/* the reverse of both: first the ranges, then the rule, whose reference is given back */
void port_rules_unrange(struct port_rules *p, const struct cidr *range, const struct rule *r);
void port_rules_remove(struct cluster_slots *s, struct port_rules *p, struct rule *r);
/* borrowed; NULL if there is none of that name */
struct rule *port_rules_find(const struct port_rules *p, const char *name);
/* the first whose name is not before this one; borrowed, NULL if there is none */
struct rule *port_rules_from(const struct port_rules *p, const char *name);
struct port_rules *port_rules_ref(struct port_rules *p);
void port_rules_unref(struct cluster_slots *s, struct port_rules *p);

struct ports {
    uint32_t n, cap;
    struct port_rules **v; /* sorted by port */
};

struct cluster_block {
    uint32_t refs;
    struct cluster *v[VIEW_BLOCK]; /* references; NULL = not in this view */
};

struct lsock; /* the sockets of one address, shared by views: lsock.h */

struct view_listener {
    const char *name; /* "outbound"; owned */
    bool inbound;
    bool transparent;       /* the original destination counts */
    struct ip_port pretend; /* not transparent: this counts as the original destination */
    struct lsock *sock;     /* ref */
};

/* makes the chains of rules that were let go */
struct view_maker {
    /* Any thread that holds the view.  Returns owned, with the rule's slots (chain_know_slots);
     * NULL: it cannot be made, which was to be found out before. */
    struct chain *(*make)(const struct rule *r, void *arg);
    void (*free)(void *arg); /* control thread */
    void *arg;
};

struct view {
    int32_t refs;            /* atomic */
    struct loop_note unused; /* told by whoever gave the last reference back */
    struct engine *engine;
    uint64_t generation;
    struct cluster_block **clusters; /* by slot / VIEW_BLOCK; NULL = none */
    uint32_t n_clusters;             /* slots that there is room for */
    uint32_t *local;                 /* slots of those that are CLUSTER_LOCAL */
    uint32_t n_local;
    struct ports ports[2];     /* outbound, inbound */
    struct chain *fallback[2]; /* what no rule names */
    struct view_listener *listeners;
    uint32_t n_listeners;
    struct ipset *allowed;       /* mesh peers that may connect inbound; NULL = none */
    bool mesh_tls;               /* peers in `allowed` must use mutual TLS */
    struct transport *transport; /* NULL = no certificate yet */
    struct view_limits limits;
    struct view_maker maker; /* .make NULL: all chains are there */
};

/* returns owned, empty but for the limits' defaults */
struct view *view_new(struct engine *e);
/* control thread; frees a view that was never published, or that nobody uses any more */
void view_free(struct view *v);

/* a reference to base's cluster of that name if its tag is the same (and not 0), else NULL */
struct cluster *view_keep_cluster(const struct view *base, struct cluster_slots *s,
                                  const char *name, uint64_t tag);
/* takes c */
void view_put_cluster(struct view *v, struct cluster *c);
/* references to all of base's clusters that are not CLUSTER_LOCAL; v has none yet */
void view_share_clusters(struct view *v, const struct view *base);
void view_drop_cluster(struct view *v, const char *name);
/* a reference to base's rules of that port if the tag is the same (and not 0), else NULL */
struct port_rules *view_keep_ports(const struct view *base, bool inbound, uint16_t port,
                                   uint64_t tag);
/* takes p, which replaces the port's rules */
void view_put_ports(struct view *v, bool inbound, struct port_rules *p);
/* references to all of base's rules of that direction; v has none yet */
void view_share_ports(struct view *v, const struct view *base, bool inbound);
/* The rules of a port for v alone, to be changed: made, or copied if they are shared.  borrowed */
struct port_rules *view_edit_ports(struct view *v, bool inbound, uint16_t port);
/* takes ports without rules out */
void view_tidy_ports(struct view *v, bool inbound);
/* takes c */
void view_set_fallback(struct view *v, bool inbound, struct chain *c);
/* Opens the sockets if no view has them.  -1 and e when the address cannot be bound. */
int view_add_listener(struct view *v, const char *name, const struct ip_port *addr, bool inbound,
                      const struct ip_port *pretend, struct err *e);

/* ---- lookup: any thread that holds v ---- */
struct chain *view_chain(const struct view *v, bool inbound, const struct ip_port *dst);
static inline struct cluster *view_cluster(const struct view *v, uint32_t slot)
{
    const struct cluster_block *b = slot < v->n_clusters ? v->clusters[slot / VIEW_BLOCK] : NULL;
    return b ? b->v[slot % VIEW_BLOCK] : NULL;
}

#endif
