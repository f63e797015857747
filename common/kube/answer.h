/* answer.h - what an API server's refusal says, in words for people.  Pure. */
#ifndef FSM_KUBE_ANSWER_H
#define FSM_KUBE_ANSWER_H

#include "common/kube/api.h"

/* what a Status says, bounded, or the text's first bytes; returns owned */
char *kube_answer_words(const struct kube_answer *a);

/* a right that is missing, as RBAC writes it */
struct kube_right {
    const char *verb;  /* that was refused */
    const char *verbs; /* that the rule should hold: "\"list\", \"watch\"" */
    const char *group, *plural;
    const char *where; /* "Role", "ClusterRole" */
};
/* of a 403: which rule to add, and what the server says; returns owned */
char *kube_answer_forbidden(const struct kube_answer *a, const struct kube_right *right);
/* of a 401 to us; a constant */
extern const char kube_answer_unauthorized[];

#endif
