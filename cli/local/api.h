/* api.h - requests to the daemon: one JSON object in, one or more out, on daemon.sock (frame.h).
 *
 *   -> {"verb": "get", "kind": "Pod", "namespace": "default"}
 *   <- {"items": [...]}                        or {"error": "..."}
 *   -> {"verb": "watch", ...}  <- {"type": "ADDED", "object": {...}} ...
 *
 * One request per connection.  The socket is root's alone (0600 in a 0700 directory).
 */
#ifndef FSM_CLI_LOCAL_API_H
#define FSM_CLI_LOCAL_API_H

#include "cli/local/local.h"

struct api *api_new(struct local *l, struct err *e);
void api_free(struct api *a);

/* ---- between api.c and verbs.c ---- */
struct api_request;
struct local *api_local(struct api_request *r);
const json_t *api_message(const struct api_request *r);
/* takes msg; the connection is closed behind it, and r is gone */
void api_reply(struct api_request *r, json_t *msg);
void api_fail(struct api_request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* takes msg; more follow.  false when the peer is gone or too slow: end the request */
bool api_send(struct api_request *r, json_t *msg);
/* told when the peer goes away before the reply */
void api_on_gone(struct api_request *r, void (*fn)(struct api_request *r, void *arg), void *arg);
/* looks the verb up and runs it */
void api_dispatch(struct api_request *r);

#endif
