/* token_review.h - whose a service-account token is, by the word of the API server that issued it
 * (authentication.k8s.io/v1, TokenReview).
 *
 *   review = token_review_begin(api, token, "fsm", on_reviewed, self);
 *   ... on_reviewed(&answer, self)                    or token_review_cancel(review)
 *
 * Good is a token that the server takes, for this audience, of a service account, bound to a pod
 * that exists.  An answer that does not say all of that is never good.  The token is in no message.
 * One thread: the loop's.
 */
#ifndef FSM_KUBE_TOKEN_REVIEW_H
#define FSM_KUBE_TOKEN_REVIEW_H

#include "common/kube/api.h"

#define TOKEN_REVIEW_MS 8000 /* for the answer: less than a sidecar waits for its own */

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_REFUSED,
    TOKEN_UNKNOWN, /* this answer says nothing about the token */
    TOKEN_AWAY,    /* the same, and the next token would get no better one: no server, no right */
    TOKEN_VERDICTS_N,
};

/* borrowed for the call */
struct token_review_answer {
    enum token_verdict verdict;
    const char *ns, *sa, *pod, *pod_uid; /* good: not empty, of any length */
    const char *why;                     /* not good: bounded */
    uint64_t retry_after;                /* ms, 0 = the server did not say */
};

struct token_review;

/* Borrows the token and the audience for the call.  done() comes once, later. */
struct token_review *
token_review_begin(struct kube_api *api, struct slice token, const char *audience,
                   void (*done)(const struct token_review_answer *a, void *arg), void *arg);
/* done() does not come any more.  NULL is fine. */
void token_review_cancel(struct token_review *t);

#endif
