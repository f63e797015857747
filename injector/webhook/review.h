/* review.h - AdmissionReview v1 (admission.k8s.io): what the API server asks, and our answers.
 *
 *   if (review_read(body, &rv, &e) < 0)  400, e.text says what is wrong with it
 *   answer = review_allow(&rv, patch, NULL)  or  review_deny(&rv, 422, "Invalid", text)
 *   review_clear(&rv)
 *
 * The body is hostile: only what is named here is looked at, each member with its type.
 * No I/O.  Any thread.
 */
#ifndef FSM_INJECTOR_WEBHOOK_REVIEW_H
#define FSM_INJECTOR_WEBHOOK_REVIEW_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/err.h"
#include "common/base/slice.h"

#define REVIEW_MAX      (6u << 20) /* bytes; an API server takes objects of 3 MiB at most */
#define REVIEW_UID_MAX  256
#define REVIEW_NAME_MAX 320

struct review {
    json_t *doc;                /* owned; what the others point into */
    const char *uid;            /* goes back as it came */
    const char *ns;             /* NULL: of none */
    const char *operation;      /* CREATE, UPDATE ... */
    bool subresource;           /* not of the object itself: status, binding ... */
    const json_t *object, *old; /* as they came: any JSON, or NULL */
    const json_t *pod;          /* NULL: not the creation of a pod */
    char name[REVIEW_NAME_MAX]; /* for people: "NAME" or "GENERATENAME*" */
    bool dry_run;
};

/* 0, or -1 and e: it is no review of this version.  rv must be cleared after 0. */
int review_read(struct slice body, struct review *rv, struct err *e);
void review_clear(struct review *rv);
/* The whole AdmissionReview; returns owned.  Borrows patch (NULL: nothing to change) and warning
 * (NULL: none), which kubectl prints. */
json_t *review_allow(const struct review *rv, const json_t *patch, const char *warning);
/* adds warnings, an array of texts, to such an answer; borrows them */
void review_warn(json_t *answer, const json_t *warnings);
/* code and reason as in a Status of the API: 422 "Invalid" */
json_t *review_deny(const struct review *rv, unsigned code, const char *reason, const char *text);

#endif
