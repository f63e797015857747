/* schemas.h - inside common/kube: the schemas that more than one file uses. */
#ifndef FSM_KUBE_SCHEMAS_H
#define FSM_KUBE_SCHEMAS_H

#include "common/kube/schema.h"

/* shared pieces */
extern const struct kube_schema kube_schema_selector;  /* LabelSelector */
extern const struct kube_schema kube_schema_reference; /* ObjectReference */
extern const struct kube_schema kube_schema_local_ref; /* LocalObjectReference */
extern const struct kube_schema kube_schema_typed_ref; /* {apiGroup, kind, name} */
extern const struct kube_schema kube_schema_resources; /* ResourceRequirements */
extern const struct kube_schema kube_schema_volume;
extern const struct kube_schema kube_schema_claim; /* PersistentVolumeClaim, as a template */
extern const struct kube_schema kube_schema_container;
extern const struct kube_schema kube_schema_ephemeral_container;

/* pod templates; the second does not ask that every volumeMount has its volume (a StatefulSet
 * adds volumes from its claims) */
extern const struct kube_schema kube_schema_template;
extern const struct kube_schema kube_schema_template_with_claims;

/* kinds */
extern const struct kube_schema kube_schema_pod, kube_schema_pod_template, kube_schema_namespace,
    kube_schema_service_account, kube_schema_config_map, kube_schema_secret, kube_schema_service,
    kube_schema_endpoints, kube_schema_endpoint_slice, kube_schema_deployment,
    kube_schema_stateful_set, kube_schema_daemon_set, kube_schema_replica_set, kube_schema_job,
    kube_schema_cron_job, kube_schema_mesh_config, kube_schema_traffic_target,
    kube_schema_http_route_group, kube_schema_tcp_route, kube_schema_traffic_split,
    kube_schema_egress, kube_schema_egress_gateway, kube_schema_ingress_backend, kube_schema_retry,
    kube_schema_upstream_traffic_setting, kube_schema_access_control, kube_schema_access_cert;

/* the selector under spec must be there, not be empty, and match spec.template's labels */
void kube_check_workload(struct kube_checker *c, json_t *spec);
/* of the members named (NULL-terminated): how many are there; *which gets the first */
unsigned kube_count_members(const json_t *object, const char *const *names, const char **which);
/* exactly one of the members must be there */
void kube_check_exactly_one(struct kube_checker *c, const json_t *object, const char *const *names);

#endif
