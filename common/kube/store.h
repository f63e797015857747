/* store.h - the set of objects as last read: the snapshot that compilers work on.
 *
 *   st = kube_store_new();
 *   kube_store_on_change(st, on_change, self);
 *   src = kube_dir_source_new(loop, dir, st, &e);      (or the API source)
 *
 * Sources write, compilers read, in one thread.  An unchanged object (equal body) put again
 * causes no change event.
 */
#ifndef FSM_KUBE_STORE_H
#define FSM_KUBE_STORE_H

#include <stddef.h>
#include "common/kube/object.h"

struct kube_store;

struct kube_store *kube_store_new(void);
void kube_store_free(struct kube_store *s);

/* old or now may be NULL (added, deleted); both borrowed for the call */
typedef void kube_change_cb(const struct kube_object *old, const struct kube_object *now,
                            void *arg);
void kube_store_on_change(struct kube_store *s, kube_change_cb *cb, void *arg);

/* takes the reference.  1 if it was new or different; 0 if equal to what was there, which then
 * stays (only its file and line are brought up to date) */
int kube_store_put(struct kube_store *s, struct kube_object *o);
int kube_store_del(struct kube_store *s, const char *kind, const char *ns, const char *name);
/* borrowed, valid until the store changes */
const struct kube_object *kube_store_get(const struct kube_store *s, const char *kind,
                                         const char *ns, const char *name);
/* in order of namespace, then name; ns NULL = all.  *it = NULL to begin (an opaque cursor; the
 * store must not change meanwhile).  NULL at the end. */
const struct kube_object *kube_store_next(const struct kube_store *s, const char *kind,
                                          const char *ns, void **it);
size_t kube_store_count(const struct kube_store *s, const char *kind);
/* grows by one with every change */
unsigned long kube_store_generation(const struct kube_store *s);

#endif
