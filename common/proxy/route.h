/* route.h - from host, path, method, headers and identity to targets.
 *
 * Built once per snapshot into the chain's arena, read by any thread.  A virtual host's routes
 * are tried in order.  Routes that name the caller's identity go before those open to anybody.
 */
#ifndef FSM_PROXY_ROUTE_H
#define FSM_PROXY_ROUTE_H

#include "common/base/arena.h"
#include "common/base/table.h"
#include "common/http/message.h"
#include "common/proxy/filter.h"
#include "common/proxy/match.h"
#include "common/proxy/reason.h"

/* weighted clusters; what a worker keeps about the turns is keyed by `key` */
struct split_target {
    uint32_t slot; /* cluster.h */
    uint32_t weight;
};
struct split {
    uint64_t key; /* hash of the content: the turns go on when a snapshot changes elsewhere */
    uint32_t n;
    struct split_target t[];
};

struct header_match {
    struct slice name;
    uint16_t id; /* enum http_hdr */
    struct matcher value;
};

struct route {
    struct matcher path;
    uint32_t methods; /* bit per enum http_method; 0 = any */
    uint32_t n_headers;
    struct header_match *headers;
    const struct slice *method_names; /* those that have no number, ended by n == 0, or NULL */
    uint32_t n_allowed;
    const char *const *allowed; /* identities, sorted; NULL = anybody */
    const struct split *split;  /* NULL = no target: 404 */
    struct filter_list filters;
};

struct vhost {
    const char *name;
    uint32_t n;
    struct route *routes;
    bool paths_decide; /* some route is for some paths only */
};

#define HOST_MAX 320 /* bytes of a Host that can match: a DNS name and a port */

/* Host as it is looked up: lower case, without the dot that ends a DNS name.  out takes HOST_MAX;
 * empty if it is too long. */
struct slice host_normal(struct slice authority, char *out);

struct route_query {
    struct slice path; /* canonical */
    const struct http_head *head;
    const char *identity; /* of the caller, verified; NULL = none */
};
/* NULL and *why: NO_ROUTE, or DENIED when only the identity did not fit */
const struct route *route_find(const struct vhost *v, const struct route_query *q,
                               enum reason *why);

/* room for n targets, key not yet set; then split_seal */
struct split *split_new(struct arena *a, uint32_t n);
/* computes the key */
void split_seal(struct split *s);

#endif
