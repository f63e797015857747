/* inject.h - what the mesh adds to a pod: Pod in, JSON patch out (RFC 6902).
 *
 *   switch (inj_pod(pod, &cfg, &patch, &reason, &e)) {
 *   case INJ_PATCH:   pod = inj_apply_patch(pod, patch, &e); ...
 *   case INJ_SKIP:    left alone, reason says why
 *   case INJ_REFUSED: must not be created, e.text says which container or annotation, and why
 *   }
 *
 * A pure library (no I/O but warnings in the log, no clock): the admission webhook, `fsm inject`
 * and `fsm local` all get exactly the same answer, and the same input gives the same bytes.
 * Sources: spec 2.1 (ports, uid 1500, exclusion lists).  Any thread.
 *
 * What a pod gets (interceptionMode iptables):
 *   native_sidecar:  initContainers = fsm-init, sidecar, [fsm-healthcheck], then the pod's own.
 *     The pod's own init containers therefore already run inside the mesh, with a sidecar that is
 *     ready, and a Job's pod can complete: native sidecars do not keep it alive.
 *   otherwise:  fsm-init last of the initContainers, containers = the pod's own,
 *     [fsm-healthcheck], sidecar.  The pod's own init containers run before redirection.
 * and the volume fsm-identity, the label fsm-proxy-uuid, Prometheus annotations if the namespace
 * wants metrics, and health checks that reach the container although the kubelet is no mesh peer:
 *   httpGet               -> 15901/15902/15903 of the sidecar, headers Original-Http-Port, -Path
 *   httpGet with HTTPS    -> 15904 of fsm-healthcheck, header Original-Tcp-Port (connect check)
 *   tcpSocket             -> 15904, header Original-Tcp-Port
 *   grpc                  -> 15904, headers Original-Grpc-Port, Original-Grpc-Service
 *   lifecycle httpGet/tcpSocket hooks: as liveness probes; an httpGet hook is an action that not
 *     everybody who reaches the port may call, so it carries a key of the pod in the header
 *     Original-Hook-Key, and the sidecar is told the key's SHA-256
 * A check with a `host` of its own, or of a port that is excluded from inbound interception, is
 * left as it is: it never meets the sidecar.
 */
#ifndef FSM_INJECTOR_INJECT_H
#define FSM_INJECTOR_INJECT_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/err.h"

struct inj_config {
    const char *mesh_name;     /* "fsm" */
    const char *fsm_namespace; /* "fsm-system" */
    const char *trust_domain;  /* "cluster.local" */
    /* used where MeshConfig's spec.sidecar names no image; NULL or "" = made of spec.image's
     * registry and tag */
    const char *sidecar_image, *init_image, *healthcheck_image;
    bool native_sidecar;      /* init container with restartPolicy: Always */
    const json_t *meshconfig; /* the MeshConfig object, or NULL = all defaults; borrowed */
    /* the pod's Namespace; borrowed.  NULL = the caller wants this pod injected: membership of
     * the namespace is not asked, only the pod's own annotation can still say no. */
    const json_t *ns_object;
    const char *uuid;     /* for the fsm-proxy-uuid label; NULL = made here */
    const char *hook_key; /* NULL = made here, at random */
};

enum inj_verdict {
    INJ_PATCH,   /* *patch holds the operations */
    INJ_SKIP,    /* not to be injected; *reason says why */
    INJ_REFUSED, /* the pod must not be created; e says which container or annotation, and why */
};
/* Borrows pod.  *patch: returned owned (NULL unless INJ_PATCH).  *reason: static text. */
enum inj_verdict inj_pod(const json_t *pod, const struct inj_config *cfg, json_t **patch,
                         const char **reason, struct err *e);
/* Applies a patch (add, replace, remove, test).  takes doc; returns owned, or NULL and e */
json_t *inj_apply_patch(json_t *doc, const json_t *patch, struct err *e);

#endif
