/* settings.h - what a MeshConfig means: the effective values that the compiler works with.
 *
 * A MeshConfig that leaves a traffic or feature switch out means false, as its CRD defines; what
 * an installation begins with is kube_meshconfig_preset().  Pure; any thread.
 */
#ifndef FSM_POLICY_SETTINGS_H
#define FSM_POLICY_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define MESH_CONFIG_NAME "fsm-mesh-config"

/* which host names and addresses lead to a service (traffic.serviceAccessMode) */
enum mesh_access {
    MESH_ACCESS_MIXED,  /* names, the service's addresses and its endpoints' */
    MESH_ACCESS_DOMAIN, /* names only */
    MESH_ACCESS_IP,     /* addresses only */
};

struct mesh_settings {
    bool permissive;
    bool enable_egress;
    bool http1_per_request_lb, http2_per_request_lb;
    enum mesh_access access;
    char sidecar_log_level[16];
    int64_t sidecar_timeout_s; /* 0: none */
    bool proxy_pod_ip;         /* localProxyMode PodIP: the application is reached at its pod IP */
    bool active_health_checks, auto_default_route;
    bool mtls_disabled; /* sidecar.sidecarDisabledMTLS: sidecars speak plaintext to each other */
    int64_t cert_validity_ms;
    int64_t max_proxies; /* 0 = no limit */
    char fsm_log_level[16];
    const json_t *limits;        /* of sidecars; borrowed from the MeshConfig; may be NULL */
    const json_t *feature_flags; /* borrowed from the MeshConfig; may be NULL */
};

/* meshconfig: the object's body; borrowed, and by *out too */
void mesh_settings_read(const json_t *meshconfig, struct mesh_settings *out);

#endif
