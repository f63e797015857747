/* inbound.h - what a pod's own sidecar accepts.  Pure; any thread. */
#ifndef FSM_POLICY_INBOUND_H
#define FSM_POLICY_INBOUND_H

#include <jansson.h>
#include <stdbool.h>
#include "common/policy/mesh.h"
#include "common/policy/settings.h"

struct inbound_ctx {
    const char *trust_domain;
    enum mesh_access access;
    bool routes; /* false: nobody is allowed yet, the matches come without routes */
};

/* True if the Service's traffic reaches the pod: it selects the pod, or lists one of its
 * addresses among its endpoints, ready or not. */
bool inbound_serves(const struct mesh_service *s, const struct mesh_pod *p);
/* The Inbound section in wire form; an empty object for a pod that serves nothing.  services:
 * those that inbound_serves() the pod, in any order.  returns owned */
json_t *inbound_compile(const struct inbound_ctx *ctx, const struct mesh_pod *p,
                        const struct mesh_service *const *services, unsigned n);

#endif
