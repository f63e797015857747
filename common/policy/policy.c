/* policy.c - the compiler's life, and the order of an update. */
#include "common/policy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/kube/meshconfig.h"
#include "common/policy/policy_int.h"

/* Patches start from versions at most this many changes back: enough for the proxies that a busy
 * moment leaves behind, small enough to be forgotten. */
#define LOG_ENTRIES 8192
#define LOG_BYTES   (32u << 20)

static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    catalog_change(arg, old, now);
}

static void read_store(struct policy *p)
{
    static const char *const kinds[] = {"Namespace", "Service", "EndpointSlice",
                                        "Endpoints", "Pod",     "MeshConfig"};

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const struct kube_object *o;
        void *it = NULL;
        while ((o = kube_store_next(p->store, kinds[i], NULL, &it)) != NULL)
            catalog_change(p, NULL, o);
    }
}

struct policy *policy_new(struct kube_store *st, const struct policy_opts *o)
{
    struct policy *p = xcalloc(1, sizeof(*p));

    p->store = st;
    p->mesh_name = xstrdup(o->mesh_name);
    p->fsm_namespace = xstrdup(o->fsm_namespace);
    p->trust_domain = xstrdup(o->trust_domain);
    p->namespaces = table_new(NULL);
    p->addresses = table_new(NULL);
    p->stale = table_new(NULL);
    p->book = parts_book_new(LOG_ENTRIES, LOG_BYTES);
    p->clusters = parts_new(p->book, PART_CLUSTER, NULL);
    p->allowed = parts_new(p->book, PART_ALLOWED, NULL);
    p->reaches = reach_index_new();
    p->preset = kube_meshconfig_preset(p->fsm_namespace);
    p->settings_dirty = true;
    read_store(p);
    kube_store_on_change(st, on_change, p);
    policy_update(p);
    return p;
}

void policy_free(struct policy *p)
{
    if (!p)
        return;
    patch_cache_clear(p);
    catalog_free(p);
    table_free(p->stale);
    reach_index_free(p->reaches);
    parts_free(p->clusters);
    parts_free(p->allowed);
    parts_book_free(p->book);
    json_decref(p->preset);
    free(p->mesh_name);
    free(p->fsm_namespace);
    free(p->trust_domain);
    free(p);
}

static bool has_changes(const struct policy *p)
{
    return p->settings_dirty || p->dirty_namespaces.n > 0 || p->dirty_services.n > 0 ||
           p->dirty_pods.n > 0;
}

bool policy_update(struct policy *p)
{
    if (!has_changes(p))
        return false;
    parts_next_generation(p->book);
    patch_cache_clear(p);
    catalog_update(p);
    compile_settle(p);
    proxy_update(p);
    return true;
}

const struct mesh_settings *policy_settings(const struct policy *p)
{
    return &p->settings;
}

const struct mesh_pod *policy_pod(const struct policy *p, const char *ns_name, const char *name)
{
    const struct ns_entry *ns = table_get_str(p->namespaces, ns_name);
    const struct pod_entry *e = ns ? table_get_str(ns->pods, name) : NULL;

    return e ? e->pod : NULL;
}

void policy_notes(const struct policy *p, policy_note_fn *fn, void *arg)
{
    struct ns_entry *ns;
    struct svc_entry *svc;

    if (p->settings.mtls_disabled)
        fn("MeshConfig",
           "spec.sidecar.sidecarDisabledMTLS is true: traffic between sidecars is "
           "neither encrypted nor authenticated",
           arg);
    table_foreach (p->namespaces, it, NULL, &ns) {
        table_foreach (ns->services, sit, NULL, &svc) {
            if (!svc->note)
                continue;
            char *object = xasprintf("Service %s/%s", ns->name, svc->name);
            fn(object, svc->note, arg);
            free(object);
        }
    }
}

void policy_stats(const struct policy *p, struct policy_stats *out)
{
    struct ns_entry *ns;
    struct svc_entry *svc;
    struct pod_entry *pod;

    *out = (struct policy_stats){.clusters = parts_count(p->clusters),
                                 .bytes = parts_bytes(p->clusters) + parts_bytes(p->allowed),
                                 .compiled = p->compiled};
    table_foreach (p->namespaces, it, NULL, &ns) {
        out->namespaces += ns->info.in_mesh;
        out->items += parts_count(ns->far);
        out->bytes += parts_bytes(ns->far) + parts_bytes(ns->near);
        table_foreach (ns->services, sit, NULL, &svc)
            out->services += svc->svc != NULL;
        table_foreach (ns->pods, pit, NULL, &pod)
            out->pods += pod->pod && pod->pod->meshed;
    }
}
