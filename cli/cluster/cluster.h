/* cluster.h - an API server for commands, which ask one thing after the other and wait.
 *
 *   struct cluster *c = cluster_open(&from, &e);
 *   int status = cluster_get(c, "/api/v1/namespaces", &list, &e);
 *   cluster_close(c);
 *
 * Statuses are HTTP's, or -1: nobody answered.  Whatever is not 2xx leaves in e what was asked and
 * what the server says.  What may pass (429, 5xx, a connection that broke) is tried again for some
 * seconds.  One thread.
 */
#ifndef FSM_CLI_CLUSTER_CLUSTER_H
#define FSM_CLI_CLUSTER_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/kube/api.h"
#include "common/kube/kind.h"

#define FIELD_MANAGER "fsm"

struct cluster;
/* NULL and e: no server is named, or credentials cannot be read; nothing is asked yet */
struct cluster *cluster_open(const struct kube_access_from *from, struct err *e);
void cluster_close(struct cluster *c);
/* as told in messages: "https://10.0.0.1:6443"; borrowed, until the next request */
const char *cluster_server(const struct cluster *c);
/* of one request, and no second try: for questions whose answer may be "no"; 0 = the default */
void cluster_patience(struct cluster *c, unsigned ms);

/* out: owned, NULL where there is no JSON to return; may be NULL */
int cluster_get(struct cluster *c, const char *path, json_t **out, struct err *e);
/* the answer's bytes, whatever they are; at most max */
int cluster_text(struct cluster *c, const char *path, size_t max, struct buf *out, struct err *e);
int cluster_send(struct cluster *c, enum kube_change how, const char *path, const json_t *body,
                 json_t **out, struct err *e);
/* all of them, page by page; ns NULL: of all namespaces; query: "labelSelector=...", or NULL.
 * Returns owned array, each with its kind; NULL and e, *status (may be NULL) as above. */
json_t *cluster_list(struct cluster *c, const struct kube_kind *k, const char *ns,
                     const char *query, int *status, struct err *e);

/* "/apis/apps/v1/namespaces/NS/deployments/NAME"; ns for kinds that have one, NULL = none; name
 * NULL: the collection.  Returns owned. */
char *cluster_path(const struct kube_kind *k, const char *ns, const char *name);
/* of an object with apiVersion and kind, in the version it has; NULL: its kind is not known */
char *cluster_path_of(const json_t *object, bool collection);
/* NULL: not known */
const struct kube_kind *cluster_kind_of(const json_t *object);
bool cluster_is_good(int status);

/* ---- what objects say ---- */

/* status.conditions has one of that type that is True */
bool object_has_condition(const json_t *object, const char *type);
/* "1.2" of "host:5000/name:1.2"; "" if there is none; borrowed */
const char *image_tag(const char *image);
/* the element of a list whose member at path is that; borrowed, or NULL */
const json_t *list_find(const json_t *list, const char *path, const char *value);

#endif
