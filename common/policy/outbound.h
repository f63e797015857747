/* outbound.h - what clients get: match items and clusters.  Pure; nothing here knows who asks.
 *
 * An item comes in two variants: `far` for clients of other namespaces, `near` for those of its
 * own, which may use bare service names too.
 */
#ifndef FSM_POLICY_OUTBOUND_H
#define FSM_POLICY_OUTBOUND_H

#include <jansson.h>
#include <stdbool.h>
#include "common/policy/reach.h"

/* the meshed pod that has the address, or NULL */
typedef const struct mesh_pod *outbound_pod_at(const struct ip *ip, void *arg);

struct outbound_ctx {
    const char *trust_domain;
    enum mesh_access access;
    bool plaintext; /* meshed endpoints get no identity */
    outbound_pod_at *pod_at;
    void *arg;
};

/* {"Endpoints": {...}} in wire form; returns owned */
json_t *outbound_cluster(const struct outbound_ctx *ctx, const struct mesh_dest *d);

/* One item of the match list of the group's port.  far and near are borrowed for the call; ns: of
 * the services in it; key: document_item_key() of both. */
typedef void outbound_item_fn(const char *ns, uint16_t port, const char *key, const json_t *far,
                              const json_t *near, void *arg);
/* Every address goes to its best claim.  HTTP services of a namespace that meet in a group share
 * one item, because there the Host tells them apart; a TCP service has one of its own. */
void outbound_items(const struct outbound_ctx *ctx, const struct reach_group *g,
                    outbound_item_fn *fn, void *arg);

#endif
