/* reach.h - how destinations are reached: which addresses, at which dialled port, mean what.
 *
 * A reach is one destination dialled at one port.  Two reaches that claim the same address at
 * the same port are neighbours; what is connected through neighbours is a group, and the items of
 * a group's match list are compiled together, because only there can claims collide.  Most groups
 * hold one or two reaches, so that a change to a Service recompiles next to nothing.
 *
 *   reach_index_remove(x, old); reach_index_add(x, new); ... reach_index_settle(x, fn, arg)
 *
 * One thread.
 */
#ifndef FSM_POLICY_REACH_H
#define FSM_POLICY_REACH_H

#include <stddef.h>
#include "common/policy/mesh.h"
#include "common/policy/settings.h"

/* how good a claim on an address is */
enum reach_rank {
    REACH_SERVICE,  /* the Service's own address */
    REACH_POD_PORT, /* a pod's address at the port that the pod serves there */
    REACH_POD,      /* a pod's address at the Service's port, which the pod serves elsewhere */
};
struct reach_addr {
    struct ip ip;
    enum reach_rank rank;
};
struct reach_group;
struct reach {
    struct mesh_dest dest;
    uint16_t port; /* dialled */
    struct reach_addr *addrs;
    unsigned n_addrs;
    struct reach_group *group; /* the index's */
    bool listed, gone;         /* the index's, while it settles */
};

/* does the address belong to a pod? */
typedef bool reach_is_pod(const struct ip *ip, void *arg);
/* All reaches of a Service, none without an address.  *out: array of n owned reaches, which
 * borrow s.  Returns n.  An endpoint that is no pod, an external server for which the Service
 * stands, is reached by the Service's address alone: who dials that server itself means it, and
 * not the Service. */
unsigned reach_of_service(const struct mesh_service *s, enum mesh_access access,
                          reach_is_pod *is_pod, void *arg, struct reach ***out);
void reach_free(struct reach *r);
/* who gets an address that both claim: < 0 if a does */
int reach_compare_claims(const struct reach *a, enum reach_rank a_rank, const struct reach *b,
                         enum reach_rank b_rank);

struct reach_index;
struct reach_index *reach_index_new(void);
/* the reaches must be gone */
void reach_index_free(struct reach_index *x);
/* takes r; the group it joins is compiled anew when the index settles */
void reach_index_add(struct reach_index *x, struct reach *r);
/* r is freed when the index settles: until then it must not be used any more */
void reach_index_remove(struct reach_index *x, struct reach *r);
/* Calls fn for every group that changed, after `gone` for everything that was compiled of the
 * groups that it replaces.  group->data is the caller's: what it compiled. */
struct reach_group {
    struct reach **v;
    unsigned n;
    unsigned slot; /* the index's */
    void *data;
};
typedef void reach_group_fn(struct reach_group *g, void *arg);
void reach_index_settle(struct reach_index *x, reach_group_fn *gone, reach_group_fn *fn, void *arg);
/* every group there is */
void reach_index_each(struct reach_index *x, reach_group_fn *fn, void *arg);

#endif
