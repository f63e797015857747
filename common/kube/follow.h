/* follow.h - inside common/kube: one kind at an API server, listed and then watched.
 *
 *   LIST page by page -> WATCH from the list's resourceVersion -> ... -> WATCH from the last one
 *
 *   a watch ends             the next begins where it ended, at most one a second; the same if its
 *                            connection breaks
 *   410, or an event of it   LIST anew; what the list has not, goes
 *   404                      another version; if there is none, the kind is not installed: looked
 *                            for every FOLLOW_ABSENT_MS; what was read goes after the third time
 *   403                      tried again every FOLLOW_SLOW_MS
 *   anything else            tried again after a back-off (backoff.h), Retry-After respected; a
 *                            list goes on at the page that failed
 *
 * Nothing is deleted for an answer that did not come.  One thread.
 */
#ifndef FSM_KUBE_FOLLOW_H
#define FSM_KUBE_FOLLOW_H

#include "common/kube/api.h"
#include "common/kube/source.h"

#define FOLLOW_PAGE       500 /* objects */
#define FOLLOW_OBJECT_MAX (8u << 20)
#define FOLLOW_ABSENT_MS  3000
#define FOLLOW_ABSENT_MIN 3 /* times that a kind must be missing before its objects go */
#define FOLLOW_SLOW_MS    10000
#define FOLLOW_WATCH_S    300  /* at least; at most twice that */
#define FOLLOW_SPACE_MS   1000 /* between the beginnings of two watches */
#define FOLLOW_HURRY_MS   100
#define FOLLOW_RELIST_MS  5000 /* between those of two lists that 410 asks for */

struct follow;

/* changed: objects, problems or synced did; not from inside follow_new() or follow_free().
 * Borrows want and its strings. */
struct follow *follow_new(struct loop *l, struct kube_api *api, const struct kube_want *want,
                          struct kube_store *st, void (*changed)(void *arg), void *arg,
                          struct err *e);
void follow_free(struct follow *f);
bool follow_synced(const struct follow *f);
/* lists anew soon */
void follow_refresh(struct follow *f);
/* Appends what is wrong now; what concerns the server as a whole is said once, by the first that
 * adds it. */
void follow_problems(const struct follow *f, struct kube_problems *out);
/* the server did not answer, or did not take our credentials, when it was asked last */
bool follow_is_cut_off(const struct follow *f);
/* The server is known to answer others: one that waits because it is cut off tries again soon. */
void follow_hurry(struct follow *f);
void follow_stats(const struct follow *f, struct kube_kind_stats *out);

#endif
