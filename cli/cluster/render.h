/* render.h - what an installation consists of: deploy/'s manifests with the values in their places.
 * Pure.
 */
#ifndef FSM_CLI_CLUSTER_RENDER_H
#define FSM_CLI_CLUSTER_RENDER_H

#include <jansson.h>
#include "common/base/err.h"

#define MESH_DEFAULT      "fsm"
#define NAMESPACE_DEFAULT "fsm-system"
#define VALUES_CONFIG_MAP "fsm-values" /* keeps what an installation was made with */
#define LABEL_NAME        "app.kubernetes.io/name"
#define LABEL_INSTANCE    "app.kubernetes.io/instance"
#define LABEL_VALUE       "flomesh.io"

struct rendered {
    char *mesh, *ns, *ca_secret;
    json_t *definitions; /* CustomResourceDefinitions */
    json_t *objects;     /* Namespace, rights, Deployments, Services, webhook, in that order */
    json_t *config;      /* the MeshConfig */
};

/* values: see values.h.  mesh, ns: NULL = what the values say, else the default.  -1 and e: a value
 * that its object does not take, named by its key */
int render(const json_t *values, const char *mesh, const char *ns, struct rendered *out,
           struct err *e);
void rendered_free(struct rendered *r);
/* The MeshConfig's fields that the values name, as a merge patch; returns owned. */
json_t *render_config_patch(const json_t *values);

#endif
