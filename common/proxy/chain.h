/* chain.h - what is done with a connection once its listener, address and port are known.
 *
 * Immutable once in a view; reference-counted so that views share what did not change.  All that
 * hangs on a chain (hosts, routes, filters) lies in its arena.  Built, referenced and released on
 * the control thread; read by any thread that holds the view.
 */
#ifndef FSM_PROXY_CHAIN_H
#define FSM_PROXY_CHAIN_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/cidr.h"
#include "common/base/table.h"
#include "common/proxy/cluster.h"
#include "common/proxy/hosts.h"
#include "common/proxy/ipset.h"
#include "common/proxy/route.h"

#define CHAIN_KINDS(X)                                                                             \
    X(HTTP, "http")     /* HTTP/1 or HTTP/2 by its preface, anything else 400 */                   \
    X(TCP, "tcp")       /* bytes, opaque at once */                                                \
    X(DETECT, "detect") /* by the first bytes: HTTP, or opaque */                                  \
    X(PASS, "pass")     /* bytes to the original destination */                                    \
    X(REFUSE, "refuse") /* close at once */
enum chain_kind {
#define X(id, text) CHAIN_##id,
    CHAIN_KINDS(X)
#undef X
};
const char *chain_kind_name(enum chain_kind k);

/* conditions on peers of an address range (inbound) */
struct source_rule {
    bool tls;         /* TLS with a client certificate is required */
    bool skip_verify; /* ... but any client will do */
    uint32_t n_principals;
    const char *const *principals; /* one of which the certificate must carry; n = 0: any */
};

struct chain {
    uint32_t refs;
    uint64_t tag;     /* what it was made from; equal = unchanged; 0 = never */
    const char *name; /* unique among the chains of a port and direction */
    enum chain_kind kind;
    enum reason refuse; /* CHAIN_REFUSE: why */
    bool inbound;
    bool always_h2;         /* the upstream is spoken to in HTTP/2 (grpc) */
    bool http1_per_request; /* a new endpoint for each request of an HTTP/1 connection */
    bool http2_per_request;
    struct hosts *adding;    /* before chain_seal */
    struct hosts_map *hosts; /* normal host -> struct vhost, or NULL */
    const struct vhost *any_host;
    const char *first_host;        /* of those added: the name for who names none */
    const struct vhost *sole_host; /* where all of them lead, NULL = not all to one */
    const struct split *tcp;       /* opaque target, or NULL */
    struct lpm *opaque;            /* destination -> struct split; goes before tcp */
    bool pass_without_target;      /* opaque, no target: the original destination */
    struct lpm *sources;           /* peer -> struct source_rule */
    struct ipset *allowed;         /* mesh peers; NULL = the view's */

    struct arena *mem;        /* owned: all of the above but the tables */
    struct matcher **regexes; /* to be released; in mem */
    uint32_t n_regexes, cap_regexes;
    uint32_t *slots; /* references held; in mem */
    uint32_t n_slots, cap_slots;
    const uint32_t *known_slots; /* chain_know_slots(): the next one's, and none held */
};

/* returns owned (one reference); name is copied */
struct chain *chain_new(const char *name, enum chain_kind kind, uint64_t tag);
struct chain *chain_ref(struct chain *c);
void chain_unref(struct cluster_slots *s, struct chain *c);

/* ---- building ---- */
/* the pattern is compiled into *m, which lies in the chain's arena */
int chain_regex(struct chain *c, struct matcher *m, const char *pattern, struct err *e);
/* The chain is made a second time, by any thread: chain_slot() gives these in their order, which
 * somebody else holds as long as the chain lives; borrowed. */
void chain_know_slots(struct chain *c, const uint32_t *slots);
/* the slot of a cluster, referenced as long as the chain lives */
uint32_t chain_slot(struct chain *c, struct cluster_slots *s, const char *cluster);
/* host may be "*" for any; v lies in the chain's arena.  -1: longer than a host can be */
int chain_add_host(struct chain *c, const char *host, const struct vhost *v);
/* after the last host; then hosts may be looked up */
void chain_seal(struct chain *c);

/* ---- a chain's place in a view ----
 * What a document says about thousands of destinations is turned into chains as they are asked for:
 * such a rule has been looked at once, and holds the slots of its clusters. */
struct rule {
    uint32_t refs;
    uint32_t n_slots;
    struct chain *chain; /* atomic; NULL: not made yet.  Owned */
    const char *name;    /* the chain's */
    uint32_t slots[];    /* references; then the name */
};
/* returns owned (one reference); takes c */
struct rule *rule_new(struct chain *c);
/* the same, but c is let go until somebody asks for it */
struct rule *rule_new_lazy(struct chain *c);
struct rule *rule_ref(struct rule *r);
void rule_unref(struct cluster_slots *s, struct rule *r);

/* ---- lookup ---- */
/* NULL if no host fits */
const struct vhost *chain_host(const struct chain *c, struct slice authority);
/* name: what it was found by, in buf (HOST_MAX); authority itself where any would have done */
const struct vhost *chain_host_by(const struct chain *c, struct slice authority, char *buf,
                                  struct slice *name);
/* The host of a request that names none (HTTP/1.0): if the address that was dialled leaves no
 * choice, one of its names.  Empty: there is a choice. */
struct slice chain_default_host(const struct chain *c);
/* where opaque bytes for dst go; NULL = nowhere */
const struct split *chain_opaque(const struct chain *c, const struct ip *dst);

#endif
