/* claims.h - inside common/kube: which file says what about an object, and who wins.
 *
 * Several files may hold the same object.  The one in force keeps it, and at a start the first in
 * name order gets it; the others are problems.  Claims are changed file by file
 * and take effect in the store together, in claims_apply(): an object that moves from one file to
 * another is never absent in between.
 */
#ifndef FSM_KUBE_CLAIMS_H
#define FSM_KUBE_CLAIMS_H

#include <stdbool.h>
#include "common/kube/store.h"

struct claims;

/* appends what names an object among all: "Kind/ns/name", kind being the kind's key */
void claims_key(const char *kind, const char *ns, const char *name, struct buf *out);
void claims_key_of(const struct kube_object *o, struct buf *out);

struct claims *claims_new(struct kube_store *st);
void claims_free(struct claims *c);
/* o is in the file of rank (rank, o->file): a lower rank, then the earlier name, wins.
 * refs o; file order within one file is the order of the calls. */
void claims_add(struct claims *c, unsigned rank, struct kube_object *o);
/* takes back what claims_add(c, rank, o) said */
void claims_drop(struct claims *c, unsigned rank, const struct kube_object *o);
/* claims_apply() would take an object out of the store */
bool claims_lose(const struct claims *c);
/* brings the store up to date with the claims */
void claims_apply(struct claims *c);
/* adds the problem that o stands in a second place */
void claims_duplicate(const struct kube_object *first, const struct kube_object *o,
                      struct kube_problems *out);
/* adds a problem for every object that another file holds too */
void claims_problems(const struct claims *c, struct kube_problems *out);

#endif
