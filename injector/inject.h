/* inject.h - what the mesh adds to a pod: Pod in, JSON patch out (RFC 6902).
 *
 * A pure library (no I/O, no clock): the admission webhook, `fsm inject` and `fsm local` all get
 * exactly the same answer.  Sources: seed 2.1 (ports, uid 1500, exclusion lists).
 */
#ifndef FSM_INJECTOR_INJECT_H
#define FSM_INJECTOR_INJECT_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/err.h"

struct inj_config {
    const char *mesh_name;         /* "fsm" */
    const char *fsm_namespace;     /* "fsm-system" */
    const char *trust_domain;      /* "cluster.local" */
    const char *sidecar_image, *init_image, *healthcheck_image;
    bool native_sidecar;           /* init container with restartPolicy: Always */
    const json_t *meshconfig;      /* the MeshConfig object, defaults filled in; borrowed */
    const json_t *ns_object;       /* the pod's Namespace, or NULL; borrowed */
    const char *uuid;              /* for the fsm-proxy-uuid label; NULL = made here */
};

enum inj_verdict {
    INJ_PATCH,   /* *patch holds the operations */
    INJ_SKIP,    /* not to be injected; *reason says why */
    INJ_REFUSED, /* the pod must not be created; e says which container or annotation, and why */
};
/* Borrows pod.  *patch: returned owned (NULL unless INJ_PATCH).  *reason: static text. */
enum inj_verdict inj_pod(const json_t *pod, const struct inj_config *cfg, json_t **patch,
                         const char **reason, struct err *e);
/* Applies a patch made by inj_pod (add, replace, remove, test).  takes doc; returns owned, or
 * NULL and e */
json_t *inj_apply_patch(json_t *doc, const json_t *patch, struct err *e);

#endif
