/* write.h - changes that users ask for: apply, create, patch; and label selectors of requests. */
#ifndef FSM_CLI_LOCAL_WRITE_H
#define FSM_CLI_LOCAL_WRITE_H

#include "cli/local/local.h"

/* One object, as `kubectl apply` (three-way: what the last apply said and this one does not, goes)
 * or, with create, as `kubectl create`.  Borrows body.  returns owned:
 * {"kind","namespace","name","action": "created"|"configured"|"unchanged"} or {.., "error"} */
json_t *write_apply(struct local *l, const json_t *body, bool create);
/* type: "merge" (RFC 7386), "json" (RFC 6902), "strategic" (taken as merge; lists replace) */
const struct kube_object *write_patch(struct local *l, const char *kind, const char *ns,
                                      const char *name, const char *type, const json_t *patch,
                                      bool *changed, struct err *e);
/* want: a LabelSelector; NULL matches everything */
bool write_labels_match(const json_t *want, const json_t *labels);

#endif
