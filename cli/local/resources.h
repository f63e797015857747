/* resources.h - the objects of an instance: the store, its files, its watchers.
 *
 * The part of an API server: every object that gets in is checked and given its defaults by
 * common/kube; gets uid, creationTimestamp, generation and resourceVersion here; is written to
 * resources/KIND.NAMESPACE.NAME.yaml (a long NAME in short) by rename at the end of the turn
 * (however often it changed);
 * and is shown to who watches.  Objects returned are borrowed and valid until the next change.
 */
#ifndef FSM_CLI_LOCAL_RESOURCES_H
#define FSM_CLI_LOCAL_RESOURCES_H

#include "cli/local/local.h"

struct resources *res_new(struct local *l, struct err *e);
/* after the loop has ended */
void res_free(struct resources *r);

const struct kube_object *res_get(const struct local *l, const char *kind, const char *ns,
                                  const char *name);
/* takes body.  NULL and e: exists already, or refused by the kind's schema */
const struct kube_object *res_create(struct local *l, json_t *body, struct err *e);
/* takes body; the object must exist.  Keeps uid and creationTimestamp; moves generation when
 * something outside metadata and status differs.  *changed (may be NULL) says whether anything
 * did. */
const struct kube_object *res_update(struct local *l, json_t *body, bool *changed, struct err *e);
/* res_update for parts that the daemon writes itself: a refusal is our fault and is logged */
void res_set(struct local *l, json_t *body);
/* takes status: replaces the object's status, if it is still there */
void res_set_status(struct local *l, const char *kind, const char *ns, const char *name,
                    json_t *status);
/* gone, with its file */
void res_remove(struct local *l, const char *kind, const char *ns, const char *name);
/* What "kubectl delete" means for the kind: a pod is ended first, owned objects go too
 * (background), a namespace takes everything in it.  grace_s < 0: the object's own. */
int res_delete(struct local *l, const char *kind, const char *ns, const char *name, long grace_s,
               struct err *e);
/* a copy to change and hand back to res_update; returns owned */
json_t *res_edit(const struct kube_object *o);
/* texts: what could not be written, and why; it is tried again */
void res_problems(const struct local *l, json_t *out);
/* writes what is still to be written, now */
void res_flush(struct local *l);

/* ---- watching: fn gets "ADDED", "MODIFIED" or "DELETED" and the body, both borrowed ---- */
struct res_watch;
typedef void res_watch_cb(const char *type, const struct kube_object *o, void *arg);
struct res_watch *res_watch_add(struct local *l, const char *kind, res_watch_cb *cb, void *arg);
void res_watch_remove(struct local *l, struct res_watch *w);

#endif
