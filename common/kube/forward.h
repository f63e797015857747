/* forward.h - a port of a pod, by way of the API server: WebSocket to the pod's subresource
 * "portforward", subprotocol v4.channel.k8s.io, which every API server and kubelet speaks.
 *
 * What listens on the pod's loopback can be reached this way, with no more than the right to "get"
 * (newer servers: "create") pods/portforward.  It waits: for commands, not for daemons.
 */
#ifndef FSM_KUBE_FORWARD_H
#define FSM_KUBE_FORWARD_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/kube/access.h"

#define FORWARD_ANSWER_MAX (64u << 20)

/* GET path from the pod's port, HTTP/1.0; appends the body to out.  The HTTP status, or -1 and e.
 */
int kube_forward_get(const struct kube_access *a, const char *ns, const char *pod, unsigned port,
                     const char *path, unsigned timeout_ms, struct buf *out, struct err *e);

/* For tests.  One frame at the front of in: its opcode, *payload within in, and *used bytes that it
 * takes; 0 = not all of it is there yet; -1: no frame that a server may send. */
int kube_forward_frame(struct slice in, struct slice *payload, size_t *used);
/* A client's frame: binary, masked. */
void kube_forward_put(struct buf *out, unsigned opcode, struct slice payload);
/* Status and body of an HTTP answer that ended with its connection; -1: it is none. */
int kube_forward_answer(struct slice bytes, struct slice *body);

#endif
