/* cluster.h - a set of endpoints as a snapshot knows it: immutable and shared by snapshots that
 * did not change it.
 *
 * Every cluster name has a slot: a small number that stays the same as long as any snapshot knows
 * the name.  Routes name clusters by slot, so that a route survives a change of the endpoints
 * behind it.  What a worker keeps about a cluster (pools, balancer, counters) is upstream.h.
 *
 * Made, referenced and released on the control thread; read by any thread that holds a view.
 */
#ifndef FSM_PROXY_CLUSTER_H
#define FSM_PROXY_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/cidr.h"
#include "common/base/table.h"

struct endpoint {
    struct ip_port addr;
    uint32_t weight;
    const char *identity; /* SPIFFE URI its certificate must carry; NULL = plaintext */
};

#define CLUSTER_LOCAL                                                                              \
    0x1u /* the application beside us: one choice per connection; an IPv6                          \
            connection goes to [::1] */

#define CLUSTER_DUAL 0x2u /* endpoints of both address families; cluster_new() finds out */

#define CLUSTER_LEAST 0x4u /* of two endpoints the one with fewer requests under way */

/* what workers count together about a cluster; lives as long as the slots */
struct cluster_shared {
    uint32_t pending; /* atomic: streams that wait for a connection */
};

struct cluster {
    uint32_t refs;
    uint32_t slot;
    uint64_t tag;     /* hash of what it was made from: equal = unchanged */
    uint64_t serial;  /* never used twice */
    const char *name; /* the slot's */
    uint32_t n;
    uint32_t flags;
    bool has_source;
    struct ip_port source;         /* dial from here */
    struct cluster_shared *shared; /* its slot's */
    struct endpoint eps[];         /* then the identities, each once */
};

/* Hands out slots and interns names; owned by the engine, control thread only. */
struct cluster_slots;
struct cluster_slots *cluster_slots_new(void);
void cluster_slots_free(struct cluster_slots *s);
/* number of slots ever in use at once */
uint32_t cluster_slots_count(const struct cluster_slots *s);
/* the slot of that name, taken if it is new; every call is a reference to give back */
uint32_t cluster_slot_ref(struct cluster_slots *s, const char *name);
/* the slot of a known name, without a reference; -1 if it is not known */
int64_t cluster_slot_find(const struct cluster_slots *s, const char *name);
void cluster_slot_unref(struct cluster_slots *s, uint32_t slot);
/* for what goes to no cluster */
struct cluster_shared *cluster_slots_shared(struct cluster_slots *s);

struct cluster_def {
    const char *name;
    uint64_t tag;
    const struct endpoint *eps; /* copied */
    uint32_t n;
    uint32_t flags;
    const struct ip_port *source; /* or NULL */
};
/* returns owned (one reference) */
struct cluster *cluster_new(struct cluster_slots *s, const struct cluster_def *def);
struct cluster *cluster_ref(struct cluster *c);
void cluster_unref(struct cluster_slots *s, struct cluster *c);

#endif
