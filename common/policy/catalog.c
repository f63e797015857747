/* catalog.c - what there is: namespaces, pods, Services with their endpoints, and who is at which
 * address.  Store changes only mark entries; catalog_update() reads what was marked. */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/policy_int.h"

#define SERVICE_LABEL "kubernetes.io/service-name"

void worklist_add(struct worklist *t, void *what, bool *flag)
{
    if (*flag)
        return;
    *flag = true;
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->v = xreallocarray(t->v, t->cap, sizeof(*t->v));
    }
    t->v[t->n++] = what;
}

static const struct kube_object *ref(const struct kube_object *o)
{
    return o ? kube_object_ref((struct kube_object *)o) : NULL;
}

static void unref(const struct kube_object *o)
{
    if (o)
        kube_object_unref((struct kube_object *)o);
}

/* ---- entries ----------------------------------------------------------------------------------
 */

struct ns_entry *catalog_ns(struct policy *p, const char *name)
{
    struct ns_entry *ns = table_get_str(p->namespaces, name);

    if (ns)
        return ns;
    ns = xcalloc(1, sizeof(*ns));
    ns->name = xstrdup(name);
    ns->services = table_new(NULL);
    ns->pods = table_new(NULL);
    ns->far = parts_new(p->book, PART_MATCH, ns);
    ns->near = parts_new(p->book, PART_MATCH, ns);
    TAILQ_INIT(&ns->proxies);
    table_put_str(p->namespaces, name, ns);
    return ns;
}

static struct svc_entry *service_entry(struct policy *p, const char *ns_name, const char *name)
{
    struct ns_entry *ns = catalog_ns(p, ns_name);
    struct svc_entry *e = table_get_str(ns->services, name);

    if (!e) {
        e = xcalloc(1, sizeof(*e));
        e->name = xstrdup(name);
        e->ns = ns;
        table_put_str(ns->services, name, e);
    }
    return e;
}

static struct pod_entry *pod_entry(struct policy *p, const char *ns_name, const char *name)
{
    struct ns_entry *ns = catalog_ns(p, ns_name);
    struct pod_entry *e = table_get_str(ns->pods, name);

    if (!e) {
        e = xcalloc(1, sizeof(*e));
        e->name = xstrdup(name);
        e->ns = ns;
        table_put_str(ns->pods, name, e);
    }
    return e;
}

static void mark_service(struct policy *p, struct svc_entry *e)
{
    worklist_add(&p->dirty_services, e, &e->dirty);
}

static void mark_pod(struct policy *p, struct pod_entry *e)
{
    worklist_add(&p->dirty_pods, e, &e->dirty);
}

static void mark_services(struct policy *p, struct ns_entry *ns)
{
    struct svc_entry *e;

    table_foreach (ns->services, it, NULL, &e)
        mark_service(p, e);
}

static void service_entry_free(struct policy *p, struct svc_entry *e)
{
    compile_drop(p, e);
    table_del(e->ns->services, slice_str(e->name));
    unref(e->obj);
    unref(e->endpoints);
    for (unsigned i = 0; i < e->n_slices; i++)
        unref(e->slices[i]);
    free(e->slices);
    free(e->note);
    free(e->name);
    free(e);
}

/* ---- store changes ------------------------------------------------------------------------------
 */

/* NULL: of none */
static struct svc_entry *service_of_slice(struct policy *p, const struct kube_object *slice)
{
    json_t *labels = kube_object_at(slice, "metadata.labels");
    const char *name = json_string_value(json_object_get(labels, SERVICE_LABEL));
    struct svc_entry *e = name && *name ? service_entry(p, slice->ns, name) : NULL;

    json_decref(labels);
    return e;
}

static void slice_leaves(struct policy *p, const struct kube_object *slice)
{
    struct svc_entry *e = service_of_slice(p, slice);

    if (!e)
        return;
    for (unsigned i = 0; i < e->n_slices; i++) {
        if (strcmp(e->slices[i]->name, slice->name) == 0) {
            unref(e->slices[i]);
            e->n_slices--;
            memmove(&e->slices[i], &e->slices[i + 1], (e->n_slices - i) * sizeof(*e->slices));
            break;
        }
    }
    mark_service(p, e);
}

static void slice_joins(struct policy *p, const struct kube_object *slice)
{
    struct svc_entry *e = service_of_slice(p, slice);
    unsigned at = 0;

    if (!e)
        return;
    while (at < e->n_slices && strcmp(e->slices[at]->name, slice->name) < 0)
        at++;
    e->slices = xreallocarray(e->slices, e->n_slices + 1, sizeof(*e->slices));
    memmove(&e->slices[at + 1], &e->slices[at], (e->n_slices - at) * sizeof(*e->slices));
    e->slices[at] = ref(slice);
    e->n_slices++;
    mark_service(p, e);
}

static void set_object(const struct kube_object **where, const struct kube_object *now)
{
    unref(*where);
    *where = ref(now);
}

void catalog_change(struct policy *p, const struct kube_object *old, const struct kube_object *now)
{
    const struct kube_object *o = now ? now : old;

    if (strcmp(o->kind, "EndpointSlice") == 0) {
        if (old)
            slice_leaves(p, old);
        if (now)
            slice_joins(p, now);
    } else if (strcmp(o->kind, "Endpoints") == 0) {
        struct svc_entry *e = service_entry(p, o->ns, o->name);
        set_object(&e->endpoints, now);
        mark_service(p, e);
    } else if (strcmp(o->kind, "Service") == 0) {
        struct svc_entry *e = service_entry(p, o->ns, o->name);
        set_object(&e->obj, now);
        mark_service(p, e);
    } else if (strcmp(o->kind, "Pod") == 0) {
        mark_pod(p, pod_entry(p, o->ns, o->name));
    } else if (strcmp(o->kind, "Namespace") == 0) {
        struct ns_entry *ns = catalog_ns(p, o->name);
        worklist_add(&p->dirty_namespaces, ns, &ns->dirty);
    } else if (strcmp(o->kind, "MeshConfig") == 0 && strcmp(o->name, MESH_CONFIG_NAME) == 0 &&
               strcmp(o->ns, p->fsm_namespace) == 0) {
        set_object(&p->meshconfig, now);
        p->settings_dirty = true;
    }
}

/* ---- addresses
 * ----------------------------------------------------------------------------------- */

static struct slice address_key(const struct ip *ip)
{
    return slice_of((const char *)ip, sizeof(*ip)); /* bytes only, no padding (cidr.h) */
}

const struct address *catalog_address(const struct policy *p, const struct ip *ip)
{
    return table_get(p->addresses, address_key(ip));
}

static struct address *address_at(struct policy *p, const struct ip *ip)
{
    struct address *a = table_get(p->addresses, address_key(ip));

    if (!a) {
        a = xcalloc(1, sizeof(*a));
        table_put(p->addresses, address_key(ip), a);
    }
    return a;
}

static void address_tidy(struct policy *p, struct address *a, const struct ip *ip)
{
    if (a->n_pods > 0 || a->n_services > 0)
        return;
    table_del(p->addresses, address_key(ip));
    free(a->pods);
    free(a->services);
    free(a);
}

static void address_add_pod(struct policy *p, const struct ip *ip, struct mesh_pod *pod)
{
    struct address *a = address_at(p, ip);

    a->pods = xreallocarray(a->pods, a->n_pods + 1, sizeof(*a->pods));
    a->pods[a->n_pods++] = pod;
}

static void address_del_pod(struct policy *p, const struct ip *ip, const struct mesh_pod *pod)
{
    struct address *a = address_at(p, ip);

    for (unsigned i = 0; i < a->n_pods; i++) {
        if (a->pods[i] == pod) {
            a->pods[i] = a->pods[--a->n_pods];
            break;
        }
    }
    address_tidy(p, a, ip);
}

void catalog_use(struct policy *p, struct svc_entry *e)
{
    for (unsigned i = 0; e->svc && i < e->svc->n_endpoints; i++) {
        struct address *a = address_at(p, &e->svc->endpoints[i].ip);
        a->services = xreallocarray(a->services, a->n_services + 1, sizeof(*a->services));
        a->services[a->n_services++] = e;
    }
}

void catalog_unuse(struct policy *p, struct svc_entry *e)
{
    for (unsigned i = 0; e->svc && i < e->svc->n_endpoints; i++) {
        const struct ip *ip = &e->svc->endpoints[i].ip;
        struct address *a = address_at(p, ip);
        for (unsigned k = 0; k < a->n_services; k++) {
            if (a->services[k] == e) {
                a->services[k] = a->services[--a->n_services];
                break;
            }
        }
        address_tidy(p, a, ip);
    }
}

/* of two pods' metadata: < 0 if a is the one to go */
static int compare_age(const json_t *a, const json_t *b)
{
    bool a_ends = json_str(a, "deletionTimestamp", NULL) != NULL;
    bool b_ends = json_str(b, "deletionTimestamp", NULL) != NULL;
    if (a_ends != b_ends)
        return a_ends ? -1 : 1;
    return strcmp(json_str(a, "creationTimestamp", ""), json_str(b, "creationTimestamp", ""));
}

/* Two pods at one address are a moment in which one of them is on its way out. */
static bool is_better(const struct mesh_pod *a, const struct mesh_pod *b)
{
    json_t *a_meta = kube_object_at(a->obj, "metadata");
    json_t *b_meta = kube_object_at(b->obj, "metadata");
    int c = compare_age(a_meta, b_meta);
    json_decref(a_meta);
    json_decref(b_meta);
    if (c == 0)
        c = strcmp(a->name, b->name);
    if (c == 0)
        c = strcmp(a->ns, b->ns);
    return c > 0;
}

const struct mesh_pod *catalog_pod_at(const struct policy *p, const struct ip *ip)
{
    const struct address *a = catalog_address(p, ip);
    const struct mesh_pod *best = NULL;

    for (unsigned i = 0; a && i < a->n_pods; i++)
        if (!best || is_better(a->pods[i], best))
            best = a->pods[i];
    return best && best->meshed ? best : NULL;
}

/* ---- an update
 * ------------------------------------------------------------------------------------ */

static void update_settings(struct policy *p)
{
    struct mesh_settings was = p->settings;
    struct ns_entry *ns;

    p->settings_dirty = false;
    json_decref(p->configured);
    p->configured = p->meshconfig ? kube_object_at(p->meshconfig, "") : json_incref(p->preset);
    mesh_settings_read(p->configured, &p->settings);
    if (was.access != p->settings.access || was.mtls_disabled != p->settings.mtls_disabled)
        table_foreach (p->namespaces, it, NULL, &ns)
            mark_services(p, ns);
    proxy_mark_all(p);
}

static void update_namespace(struct policy *p, struct ns_entry *ns)
{
    const struct kube_object *obj = kube_store_get(p->store, "Namespace", "", ns->name);
    json_t *body = kube_object_at(obj, "");
    struct mesh_namespace now;
    struct pod_entry *pod;

    ns->dirty = false;
    mesh_namespace_read(body, p->mesh_name, &now);
    json_decref(body);
    if (mesh_namespace_eq(&ns->info, &now)) {
        mesh_namespace_clear(&now);
        return;
    }
    mesh_namespace_clear(&ns->info);
    ns->info = now;
    mark_services(p, ns);
    table_foreach (ns->pods, it, NULL, &pod)
        mark_pod(p, pod);
    proxy_mark_ns(ns);
}

/* what stands in other documents about the pod's addresses is to be compiled again */
static void touch_addresses(struct policy *p, const struct mesh_pod *pod)
{
    for (unsigned i = 0; pod && i < pod->n_ips; i++) {
        const struct address *a = catalog_address(p, &pod->ips[i]);
        for (unsigned k = 0; a && k < a->n_services; k++)
            mark_service(p, a->services[k]);
        compile_allowed(p, &pod->ips[i]);
    }
}

/* then who of them counts may change with more than its place */
static bool shares_address(const struct policy *p, const struct mesh_pod *pod)
{
    for (unsigned i = 0; i < pod->n_ips; i++)
        if (catalog_address(p, &pod->ips[i])->n_pods > 1)
            return true;
    return false;
}

static void update_pod(struct policy *p, struct pod_entry *e)
{
    const struct kube_object *obj = kube_store_get(p->store, "Pod", e->ns->name, e->name);
    struct mesh_pod *old = e->pod, *now = obj ? mesh_pod_new(obj) : NULL;

    e->dirty = false;
    if (now)
        now->meshed &= e->ns->info.in_mesh;
    e->pod = now;
    for (unsigned i = 0; old && i < old->n_ips; i++)
        address_del_pod(p, &old->ips[i], old);
    for (unsigned i = 0; now && i < now->n_ips; i++)
        address_add_pod(p, &now->ips[i], now);
    if (!old || !now || !mesh_pod_same_place(old, now) || shares_address(p, now)) {
        touch_addresses(p, old);
        touch_addresses(p, now);
    }
    if (e->proxy)
        proxy_mark(e->proxy);
    mesh_pod_free(old);
    if (!now && !e->proxy) {
        table_del(e->ns->pods, slice_str(e->name));
        free(e->name);
        free(e);
    }
}

static void update_service(struct policy *p, struct svc_entry *e)
{
    e->dirty = false;
    if (!e->obj && !e->endpoints && e->n_slices == 0)
        service_entry_free(p, e);
    else
        compile_service(p, e);
}

void catalog_update(struct policy *p)
{
    if (p->settings_dirty)
        update_settings(p);
    for (unsigned i = 0; i < p->dirty_namespaces.n; i++)
        update_namespace(p, p->dirty_namespaces.v[i]);
    for (unsigned i = 0; i < p->dirty_pods.n; i++)
        update_pod(p, p->dirty_pods.v[i]);
    for (unsigned i = 0; i < p->dirty_services.n; i++)
        update_service(p, p->dirty_services.v[i]);
    p->dirty_namespaces.n = p->dirty_pods.n = p->dirty_services.n = 0;
}

/* ---- the end
 * --------------------------------------------------------------------------------------- */

static void pod_entry_free(struct policy *p, struct pod_entry *e)
{
    for (unsigned i = 0; e->pod && i < e->pod->n_ips; i++)
        address_del_pod(p, &e->pod->ips[i], e->pod);
    mesh_pod_free(e->pod);
    free(e->name);
    free(e);
}

static void ns_entry_free(struct policy *p, struct ns_entry *ns)
{
    struct svc_entry *svc;
    struct pod_entry *pod;

    table_foreach (ns->services, it, NULL, &svc)
        service_entry_free(p, svc);
    compile_settle(p);
    table_foreach (ns->pods, it, NULL, &pod)
        pod_entry_free(p, pod);
    table_free(ns->services);
    table_free(ns->pods);
    mesh_namespace_clear(&ns->info);
}

void catalog_free(struct policy *p)
{
    struct ns_entry *ns;

    table_foreach (p->namespaces, it, NULL, &ns)
        ns_entry_free(p, ns);
    table_foreach (p->namespaces, it, NULL, &ns) {
        parts_free(ns->far);
        parts_free(ns->near);
        free(ns->name);
        free(ns);
    }
    table_free(p->namespaces);
    table_free(p->addresses);
    unref(p->meshconfig);
    json_decref(p->configured);
    free(p->dirty_namespaces.v);
    free(p->dirty_services.v);
    free(p->dirty_pods.v);
    free(p->dirty_proxies.v);
}
