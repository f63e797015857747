/* probes.h - ports 15901, 15902, 15903: the kubelet's HTTP checks, passed on to the application.
 *
 * The kubelet is no mesh peer, so its checks cannot come through the inbound listener; injection
 * sends them here (spec 2.1, injector/inject.h) with the headers
 *   Original-Http-Port, Original-Http-Path    what the check was meant for.
 * These ports are open to everybody who reaches the pod.  Therefore only the checks that the pod's
 * own manifest asks for (Spec.Probes of the document) are passed on; anything else is 403, so that
 * nobody gets around mutual TLS here.
 *
 *   p = probes_new(loop, &e);  probes_allow(p, document);  probes_free(p);
 *
 * One thread: the loop's.
 */
#ifndef FSM_SIDECAR_PROBES_H
#define FSM_SIDECAR_PROBES_H

#include <jansson.h>
#include "common/base/err.h"
#include "common/io/loop.h"

struct probes;

/* binds the three ports, both address families; NULL and e if one is taken */
struct probes *probes_new(struct loop *l, struct err *e);
/* the checks of this document (either form; borrowed) and no others from now on */
void probes_allow(struct probes *p, const json_t *document);
void probes_free(struct probes *p);

#endif
