/* policy_int.h - inside the compiler: the catalogue of what there is (catalog.c), the shared
 * fragments made of it (compile.c), the proxies (proxy.c), and the order of an update (policy.c).
 */
#ifndef FSM_POLICY_POLICY_INT_H
#define FSM_POLICY_POLICY_INT_H

#include <sys/queue.h>
#include "common/base/table.h"
#include "common/policy/outbound.h"
#include "common/policy/parts.h"
#include "common/policy/policy.h"
#include "common/policy/reach.h"

TAILQ_HEAD(proxy_list, policy_proxy);

/* a namespace that something is in, member of the mesh or not */
struct ns_entry {
    char *name;
    struct mesh_namespace info;
    struct table *services; /* name -> struct svc_entry */
    struct table *pods;     /* name -> struct pod_entry */
    struct parts *far;      /* match items of its services for clients elsewhere */
    struct parts *near;     /* and for its own; empty until near_wanted */
    bool near_wanted;
    struct proxy_list proxies; /* of its pods */
    bool dirty;
};

struct svc_entry {
    char *name;
    struct ns_entry *ns;
    const struct kube_object *obj, *endpoints; /* refs, or NULL */
    const struct kube_object **slices;         /* refs, in order of name */
    unsigned n_slices;
    struct mesh_service *svc; /* as compiled; NULL: none of the mesh */
    char *note;
    struct reach **reaches; /* the index owns them */
    unsigned n_reaches;
    char **clusters; /* names of the fragments made of it */
    unsigned n_clusters;
    bool dirty;
};

struct pod_entry {
    char *name;
    struct ns_entry *ns;
    struct mesh_pod *pod; /* NULL: gone */
    struct policy_proxy *proxy;
    bool dirty;
};

/* everybody at one address */
struct address {
    struct mesh_pod **pods;
    struct svc_entry **services; /* that have it among their endpoints */
    unsigned n_pods, n_services;
};

/* things to look at in the next update: pointers, each once */
struct worklist {
    void **v;
    unsigned n, cap;
};

struct policy {
    struct kube_store *store;
    char *mesh_name, *fsm_namespace, *trust_domain;
    struct mesh_settings settings;
    const struct kube_object *meshconfig; /* ref, or NULL: then the preset counts */
    json_t *preset, *configured;          /* refs; configured: what the settings were read from */
    struct table *namespaces;             /* name -> struct ns_entry */
    struct table *addresses;              /* address -> struct address */
    struct worklist dirty_namespaces, dirty_services, dirty_pods, dirty_proxies;
    bool settings_dirty;

    struct parts_book *book;
    struct parts *clusters, *allowed;
    struct reach_index *reaches;
    struct table *stale;             /* items of regrouped reaches, until they are emitted again */
    uint64_t far_hash, far_identity; /* over all namespaces */
    size_t compiled;

    struct patch_cache *patches; /* those made since the last update (patch.c) */
};

/* what a proxy was served once */
struct served_version {
    uint64_t hash; /* 0: unused */
    uint64_t gen;
    bool permissive;
    json_t *own; /* ref */
};
struct policy_proxy {
    TAILQ_ENTRY(policy_proxy) link; /* in its namespace */
    struct policy *policy;
    struct pod_entry *entry;
    unsigned opened;
    json_t *own;       /* the members that are this proxy's alone; NULL without a pod */
    uint64_t own_hash; /* their share of the document's hash */
    struct served_version history[POLICY_HISTORY];
    unsigned next; /* place in history */
    bool dirty;
};

void worklist_add(struct worklist *t, void *what, bool *flag);

/* catalog.c */
struct ns_entry *catalog_ns(struct policy *p, const char *name); /* made if it is not there */
void catalog_change(struct policy *p, const struct kube_object *old, const struct kube_object *now);
void catalog_update(struct policy *p);
const struct mesh_pod *catalog_pod_at(const struct policy *p, const struct ip *ip);
const struct address *catalog_address(const struct policy *p, const struct ip *ip);
void catalog_use(struct policy *p, struct svc_entry *e); /* e->svc's endpoints are its own */
void catalog_unuse(struct policy *p, struct svc_entry *e);
void catalog_free(struct policy *p);

/* compile.c */
void compile_service(struct policy *p, struct svc_entry *e);
void compile_allowed(struct policy *p, const struct ip *ip);
void compile_settle(struct policy *p);
/* fills ns->near if that was not done before */
void compile_near(struct policy *p, struct ns_entry *ns);
void compile_drop(struct policy *p, struct svc_entry *e);

/* proxy.c */
void proxy_mark(struct policy_proxy *px);
void proxy_mark_ns(struct ns_entry *ns);
void proxy_mark_all(struct policy *p);
/* those whose Inbound depends on the Service */
void proxy_mark_served(struct policy *p, const struct mesh_service *s);
void proxy_update(struct policy *p);
/* hash of the document that it should have now */
uint64_t proxy_hash(const struct policy_proxy *px);
/* the document shows this set of fragments */
bool proxy_shows(const struct policy_proxy *px, const struct parts *set);

/* patch.c */
/* Members of the patch that proxies of one identity share, as text ("\"Outbound\":{...}," ...; ""
 * if there is no difference), from a generation to now.  NULL: it cannot be said any more.
 * Borrowed until the next update. */
const char *patch_shared(struct policy_proxy *px, uint64_t since);
void patch_cache_clear(struct policy *p);

#endif
