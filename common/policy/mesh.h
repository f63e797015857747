/* mesh.h - what the mesh is made of: namespaces, pods, Services and their endpoints, as read from
 * Kubernetes objects.
 *
 * The readers are pure: objects in, structs out (owned by the caller), no store or clock.  What is
 * needed of every object stands in the struct; what is needed seldom is read from the object then,
 * because objects are kept packed.  One thread.
 */
#ifndef FSM_POLICY_MESH_H
#define FSM_POLICY_MESH_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/kube/object.h"
#include "common/policy/protocol.h"

/* ---- namespaces (namespace.c) ---------------------------------------------------------------- */

struct mesh_namespace {
    bool in_mesh;   /* monitored by this mesh and not ignored */
    bool metrics;   /* flomesh.io/metrics: enabled */
    char *excluded; /* the annotation's list of Services, or NULL */
};
void mesh_namespace_read(const json_t *body, const char *mesh_name, struct mesh_namespace *out);
bool mesh_namespace_eq(const struct mesh_namespace *a, const struct mesh_namespace *b);
/* ignores case, as the annotation does */
bool mesh_namespace_excludes(const struct mesh_namespace *ns, const char *service);
void mesh_namespace_clear(struct mesh_namespace *ns);
/* "enabled", "yes", "true" in any case */
bool mesh_switch_is_on(const char *text);

/* ---- pods (pod.c) ---------------------------------------------------------------------------- */

struct mesh_pod {
    const struct kube_object *obj; /* ref */
    const char *ns, *name, *uid;
    const char *sa;     /* a packed_word() */
    const char *bypass; /* the same: ports that its redirection leaves alone, "*" all; or NULL */
    struct ip *ips;
    unsigned n_ips;
    bool live;   /* has addresses of its own that are in use: no host network, not finished */
    bool meshed; /* live and carries a sidecar; its namespace has the last word */
};
struct mesh_pod *mesh_pod_new(const struct kube_object *obj);
void mesh_pod_free(struct mesh_pod *p);
/* what other proxies' documents depend on */
bool mesh_pod_same_place(const struct mesh_pod *a, const struct mesh_pod *b);
bool mesh_pod_has_ip(const struct mesh_pod *p, const struct ip *ip);
/* containerPort of that name over all containers that keep running; 0 if none */
uint16_t mesh_pod_port(const struct mesh_pod *p, const char *port_name);
/* connections to that port do not come to its sidecar: its redirection was told to leave them
 * alone (fsm-init's arguments, or where no such container is, the pod's annotation) */
bool mesh_pod_bypasses(const struct mesh_pod *p, uint16_t port);
/* returns owned, or NULL */
json_t *mesh_pod_labels(const struct mesh_pod *p);
/* appends what the injector numbered it with, if it did */
void mesh_pod_uuid(const struct mesh_pod *p, struct buf *out);
/* all containers of a pod's spec that run beside each other: restartable init containers, then the
 * others.  *it = 0 to begin; NULL at the end */
const json_t *mesh_pod_next_container(const json_t *spec, size_t *it);
/* who made the pod, as people name it: Deployment for a ReplicaSet's pods; appended */
void mesh_pod_workload(const struct mesh_pod *p, struct buf *kind, struct buf *name);

/* "sa.ns", "sa.ns.<td>", "spiffe://<td>/ns/<ns>/sa/<sa>"; append to out */
void mesh_identity(const char *sa, const char *ns, struct buf *out);
void mesh_principal(const char *sa, const char *ns, const char *trust_domain, struct buf *out);
void mesh_spiffe(const char *sa, const char *ns, const char *trust_domain, struct buf *out);

/* ---- Services (service.c, endpoints.c) ------------------------------------------------------- */

struct mesh_port {
    const char *name; /* "" if it has none; a packed_word() */
    uint16_t port;
    const char *target_name; /* a named targetPort, the same; else NULL */
    uint16_t target_number;  /* a numeric one, or port; 0 if it is named */
    uint16_t target;         /* what stands in names: from the endpoints, else target_number, else
                                port */
    struct mesh_port_protocol protocol;
};
struct mesh_endpoint {
    struct ip ip;
    char *hostname; /* owned, or NULL */
    bool ready, serving, terminating;
    uint16_t *ports; /* one per port of the Service, 0 = not there; owned */
};
struct mesh_service {
    const struct kube_object *obj; /* ref */
    const char *ns, *name;
    struct ip cluster_ips[2];
    unsigned n_cluster_ips;
    bool headless;
    bool publish_not_ready;
    const char *balancer;    /* constant; NULL: round robin */
    json_t *selector;        /* owned, or NULL */
    struct mesh_port *ports; /* TCP ports only */
    unsigned n_ports;
    struct mesh_endpoint *endpoints; /* every state, in order of address */
    unsigned n_endpoints;
};

/* where the endpoints of a Service are written down; borrowed */
struct mesh_endpoint_source {
    json_t *const *slices; /* EndpointSlice bodies, in order of name */
    unsigned n_slices;
    json_t *endpoints; /* the Endpoints body, used if there is no slice; or NULL */
};

/* NULL when the Service is none for the mesh; *note (owned) says why if a user may wonder, and
 * may also be set for a service that is returned; else NULL. */
struct mesh_service *mesh_service_new(const struct kube_object *obj,
                                      const struct mesh_endpoint_source *src, char **note);
void mesh_service_free(struct mesh_service *s);
/* fills s->endpoints and the ports' targets */
void mesh_endpoints_read(struct mesh_service *s, const struct mesh_endpoint_source *src);
const struct mesh_endpoint *mesh_service_endpoint(const struct mesh_service *s,
                                                  const struct ip *ip);
/* The endpoints that port i sends to: the ready ones; if there are none, those that still serve
 * while they terminate.  Calls fn for each, in order of address. */
typedef void mesh_endpoint_fn(const struct mesh_endpoint *ep, void *arg);
void mesh_service_each_ready(const struct mesh_service *s, unsigned i, mesh_endpoint_fn *fn,
                             void *arg);
bool mesh_service_selects(const struct mesh_service *s, const struct mesh_pod *p);

/* ---- destinations (hosts.c): a Service port, or that port of one named endpoint ---------------
 */

/* Host names of a headless Service's endpoint are "<hostname>.<service>". */
struct mesh_dest {
    const struct mesh_service *svc;
    unsigned port;                    /* index into svc->ports */
    const struct mesh_endpoint *host; /* the one endpoint, or NULL for all of the Service */
};
/* "svc" or "host.svc" */
void mesh_dest_name(const struct mesh_dest *d, struct buf *out);
/* "svc.ns.svc.<td>" */
void mesh_dest_fqdn(const struct mesh_dest *d, const char *trust_domain, struct buf *out);
/* "ns/svc|target" */
void mesh_dest_cluster(const struct mesh_dest *d, struct buf *out);
/* shorter FQDN first, then by text: the rule for who gets what two destinations claim */
int mesh_dest_compare(const struct mesh_dest *a, const struct mesh_dest *b);

/* Puts host -> rule into hosts unless the host is there already, with and without ":port".
 * bare: the short name too, which only clients of the same namespace and servers use. */
void mesh_hosts_add_names(json_t *hosts, const struct mesh_dest *d, const char *trust_domain,
                          uint16_t port, bool bare, json_t *rule);
/* the short name alone */
void mesh_hosts_add_bare(json_t *hosts, const struct mesh_dest *d, uint16_t port, json_t *rule);
void mesh_hosts_add_ip(json_t *hosts, const struct ip *ip, uint16_t port, json_t *rule);

#endif
