/* inject_int.h - what the files of the injector share; see inject.h for what they do together. */
#ifndef FSM_INJECTOR_INJECT_INT_H
#define FSM_INJECTOR_INJECT_INT_H

#include "common/base/buf.h"
#include "injector/inject.h"

#define INJ_PROXY_UID   1500
#define INJ_LABEL       "fsm-proxy-uuid"
#define INJ_VOLUME      "fsm-identity"
#define INJ_SIDECAR     "sidecar"
#define INJ_INIT        "fsm-init"
#define INJ_HEALTHCHECK "fsm-healthcheck"

/* of the namespace of the control plane */
#define INJ_CONTROLLER_URL "https://fsm-controller.%s.svc:6060"

#define INJ_HOOK_KEY 32 /* hexadecimal digits, 128 bits */

#define INJ_PORT_ADMIN       15000
#define INJ_PORT_OUTBOUND    15001
#define INJ_PORT_INBOUND     15003
#define INJ_PORT_METRICS     15010
#define INJ_PORT_LIVENESS    15901
#define INJ_PORT_READINESS   15902
#define INJ_PORT_STARTUP     15903
#define INJ_PORT_HEALTHCHECK 15904

/* What is not (or only) redirected: MeshConfig and the pod's annotations merged (spec 2.1).
 * All members are owned arrays, without duplicates, in the order they are told to fsm-init. */
struct inj_lists {
    json_t *out_ip_exclude, *out_ip_include;    /* strings: canonical CIDRs */
    json_t *out_port_exclude, *in_port_exclude; /* integers */
    json_t *if_exclude;                         /* strings */
};
/* -1 and e naming annotation or field; lists must be freed on every path */
int inj_lists_read(struct inj_lists *l, const json_t *pod, const json_t *meshconfig, struct err *e);
bool inj_lists_in_port_excluded(const struct inj_lists *l, json_int_t port);
void inj_lists_free(struct inj_lists *l);

/* One injection under way. */
struct inj_job {
    const json_t *pod;
    const struct inj_config *cfg;
    struct inj_lists lists;
    json_t *patch;                     /* owned until returned */
    bool liveness, readiness, startup; /* the sidecar serves rewritten probes of this kind */
    json_t *allow; /* owned; strings "tcp:PORT", "grpc:PORT": what fsm-healthcheck may
                      be asked to check; empty = it is not needed */
    char hook_key[INJ_HOOK_KEY + 1]; /* "" = no hook needs one */
    struct err *e;
};

/* member.c: spec "which pods"; INJ_PATCH = go on */
enum inj_verdict inj_member(const json_t *pod, const struct inj_config *cfg, const char **reason,
                            struct err *e);
/* A number or boolean where text is meant would be taken for "not said".  -1 and e */
int inj_check_annotations(const json_t *o, const char *what, struct err *e);
/* by this mesh: our containers are there, as inj_pod makes them */
bool inj_is_injected(const json_t *pod, const struct inj_config *cfg);
/* enabled/yes/true = 1, disabled/no/false = 0, anything else -1; any case */
int inj_switch(const char *s);

/* refuse.c: reserved uid, ports and names; -1 and e */
int inj_check_pod(const json_t *pod, struct err *e);
/* of a pod that was injected before: what is not ours; -1 and e */
int inj_check_injected(const json_t *pod, struct err *e);
/* what uses that port of a meshed pod; NULL = it is free */
const char *inj_use_of_port(json_int_t port);

/* probes.c: adds the rewriting operations to job->patch; -1 and job->e */
int inj_probes(struct inj_job *job);

/* containers.c: new containers and the volume, owned */
json_t *inj_container_init(const struct inj_job *job);
json_t *inj_container_sidecar(const struct inj_job *job);
json_t *inj_container_healthcheck(const struct inj_job *job);
json_t *inj_identity_volume(void);

/* resources.c: the sidecar's resources, owned; NULL if none are set */
json_t *inj_resources(const json_t *pod, const json_t *ns_object, const json_t *meshconfig);

/* patch.c: appends one operation; path is copied, value taken (NULL for remove) */
void inj_op(json_t *patch, const char *op, const char *path, json_t *value);
/* appends "/" and key with ~ and / escaped (RFC 6901) */
void inj_path_key(struct buf *path, const char *key);

/* lookups that do not split at dots; NULL if absent or of another type; all borrowed */
const json_t *inj_list(const json_t *o, const char *key);
const json_t *inj_object(const json_t *o, const char *key);
const char *inj_text(const json_t *o, const char *key);
const char *inj_annotation(const json_t *o, const char *key);
const char *inj_label(const json_t *o, const char *key);

#endif
