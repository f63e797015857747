/* load.h - inside common/kube: loading that also says what it refused, for sources that keep the
 * last good version of an object.
 */
#ifndef FSM_KUBE_LOAD_H
#define FSM_KUBE_LOAD_H

#include <stdbool.h>
#include "common/kube/kind.h"
#include "common/kube/object.h"

/* an object that was recognised but refused */
struct kube_refused {
    const struct kube_kind *kind;
    char *ns, *name;
};

struct kube_loaded {
    struct kube_object **v; /* owned references */
    unsigned n;
    struct kube_refused *refused; /* owned */
    unsigned n_refused;
    bool unknown; /* something was refused that cannot be named: any object may have been there */
};

/* packed: of kinds that are many only what is used, packed */
void kube_load_text(struct slice text, const char *file, const char *default_ns, bool packed,
                    struct kube_loaded *out, struct kube_problems *problems);
void kube_loaded_free(struct kube_loaded *l);

#endif
