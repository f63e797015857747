/* probes.h - ports 15901, 15902, 15903: the kubelet's HTTP checks, passed on to the application.
 *
 * The kubelet is no mesh peer, so its checks cannot come through the inbound listener; injection
 * sends them here (spec 2.1, injector/inject.h) with the headers
 *   Original-Http-Port, Original-Http-Path    what the check was meant for.
 * These ports are open to everybody who reaches the pod.  Therefore only the checks that the pod's
 * own manifest asks for (Spec.Probes of the document) are passed on, each kind on its own port and
 * with the manifest's headers alone; anything else is 403, so that nobody gets around mutual TLS
 * here.  A lifecycle hook does something, so it must also show the pod's key (Original-Hook-Key),
 * of which the sidecar knows the SHA-256.  Before the first document liveness checks pass and
 * others fail: a sidecar that restarts while the controller is away gets nobody killed.
 *
 *   p = probes_new(loop, hook_key, &e);  probes_allow(p, document);  probes_free(p);
 *
 * One thread: the loop's.
 */
#ifndef FSM_SIDECAR_PROBES_H
#define FSM_SIDECAR_PROBES_H

#include <jansson.h>
#include "common/base/err.h"
#include "common/io/loop.h"

struct probes;

/* Binds the three ports, both address families; NULL and e if one is taken.  hook_key: the
 * SHA-256 of the pod's key, hexadecimal, copied; NULL = no hook is served. */
struct probes *probes_new(struct loop *l, const char *hook_key, struct err *e);
/* the checks of this document (either form; borrowed) and no others from now on */
void probes_allow(struct probes *p, const json_t *document);
void probes_free(struct probes *p);

#endif
