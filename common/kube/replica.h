/* replica.h - inside common/kube: the objects of one kind as an API server told them, kept in a
 * store.
 *
 *   replica_begin(r)  replica_put(r, object) ...  replica_end(r)      a list: what it has not, goes
 *   replica_put(r, object)  replica_del(r, object)                    events
 *
 * An object that is refused keeps its last good version and is a problem until a sound one comes
 * or it goes.  One replica per kind and scope; several of one kind must not overlap.
 */
#ifndef FSM_KUBE_REPLICA_H
#define FSM_KUBE_REPLICA_H

#include "common/kube/kind.h"
#include "common/kube/store.h"

struct replica;

/* ns: objects outside it are not ours; NULL = all.  Borrows all three. */
struct replica *replica_new(struct kube_store *st, const struct kube_kind *kind, const char *ns);
void replica_free(struct replica *r);
void replica_begin(struct replica *r);
/* takes body, an object without its resourceVersion.  -1 and e: it cannot even be named */
int replica_put(struct replica *r, json_t *body, struct err *e);
/* The same for an object that cannot be used at all, because of why; borrows body. */
int replica_refuse(struct replica *r, const json_t *body, const char *why, struct err *e);
/* borrows body */
int replica_del(struct replica *r, const json_t *body, struct err *e);
/* The list is complete.  partial: it held objects that could not be named, so nothing is deleted.
 * Returns how many went. */
unsigned replica_end(struct replica *r, bool partial);
/* the kind is gone, with all its objects */
void replica_clear(struct replica *r);
unsigned replica_count(const struct replica *r);
/* appends the problems of now */
void replica_problems(const struct replica *r, struct kube_problems *out);
/* grows with every change of the store or of the problems */
unsigned long replica_generation(const struct replica *r);

#endif
