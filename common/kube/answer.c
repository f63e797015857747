/* answer.c - see answer.h. */
#include "common/kube/answer.h"

#include <stdint.h>
#include <stdlib.h>
#include "common/base/json.h"
#include "common/base/mem.h"

const char kube_answer_unauthorized[] =
    "the API server does not take our credentials (401): are they of this cluster, and still "
    "valid?";

char *kube_answer_words(const struct kube_answer *a)
{
    struct slice body = a->body;
    struct err e;
    json_t *status = json_parse(body, SIZE_MAX, &e);
    const char *message = json_str(status, "message", NULL);
    char *out = message ? xasprintf("%.400s", message)
                        : xasprintf("%.*s", (int)(body.n < 100 ? body.n : 100), body.p);
    json_decref(status);
    return out;
}

char *kube_answer_forbidden(const struct kube_answer *a, const struct kube_right *right)
{
    char *words = kube_answer_words(a);
    char *out = xasprintf("may not %s %s: add {apiGroups: [\"%s\"], resources: [\"%s\"], verbs: "
                          "[%s]} to the rules of this client's %s (the API server says: %s)",
                          right->verb, right->plural, right->group, right->plural, right->verbs,
                          right->where, words);
    free(words);
    return out;
}
