/* check.h - what the validating webhook says of an object of the mesh: the checks are those of
 * `fsm validate`, by the same code; beside them stand things that are legal and surely not meant.
 *
 *   check_object(&rv, &world, &out)
 *   out.verdict, out.why (refused), out.warnings;  check_clear(&out)
 *
 * Refused is what the mesh would not take either: it would keep the last good version in force, or
 * leave the object out.  An update that changes neither spec nor what stands beside it is never
 * refused, so that labels and finalizers of an object that is older than its checks can be changed.
 * Pure.  Any thread.
 */
#ifndef FSM_INJECTOR_WEBHOOK_CHECK_H
#define FSM_INJECTOR_WEBHOOK_CHECK_H

#include <jansson.h>
#include "common/base/err.h"
#include "injector/webhook/review.h"

#define CHECK_WARNINGS_MAX 8
#define CHECK_PROBLEMS_MAX 8 /* told in a refusal; the rest is counted */

#define CHECK_VERDICTS(X) X(good) X(warned) X(refused)
enum check_verdict {
#define X(name) CHECK_##name,
    CHECK_VERDICTS(X)
#undef X
        CHECK_VERDICTS_N
};

/* what is known beside the object; borrowed */
struct check_world {
    const char *mesh_name, *fsm_namespace;
    const json_t *meshconfig; /* the one in force, or NULL */
    const json_t *ns;         /* the object's Namespace, or NULL: not known */
};

struct check_result {
    enum check_verdict verdict;
    char *why;        /* refused: owned; object, field, what was expected */
    json_t *warnings; /* owned array of texts */
};

/* rv: of the creation or the update of an object.  -1 and e: it is no such review. */
int check_object(const struct review *rv, const struct check_world *w, struct check_result *out,
                 struct err *e);
void check_clear(struct check_result *r);

#endif
