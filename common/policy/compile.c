/* compile.c - from the catalogue to the fragments that documents share: match items, clusters and
 * allowed addresses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/policy/policy_int.h"

static const struct mesh_pod *pod_at(const struct ip *ip, void *arg)
{
    return catalog_pod_at(arg, ip);
}

/* meshed or not */
static bool is_pod(const struct ip *ip, void *arg)
{
    const struct address *a = catalog_address(arg, ip);

    return a && a->n_pods > 0;
}

static struct outbound_ctx outbound_of(struct policy *p)
{
    return (struct outbound_ctx){p->trust_domain, p->settings.access, p->settings.mtls_disabled,
                                 pod_at, p};
}

/* ---- clusters
 * ------------------------------------------------------------------------------------ */

struct cluster_list {
    struct policy *p;
    struct outbound_ctx ctx;
    char **v;
    unsigned n;
};

static bool listed(char *const *v, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(v[i], name) == 0)
            return true;
    return false;
}

/* Two ports of a Service with one target make the same cluster: it is made once. */
static void add_cluster(struct cluster_list *l, const struct mesh_dest *d)
{
    struct buf name = BUF_INIT;

    mesh_dest_cluster(d, &name);
    if (listed(l->v, l->n, name.p)) {
        buf_free(&name);
        return;
    }
    json_t *value = outbound_cluster(&l->ctx, d);
    parts_set(l->p->clusters, 0, name.p, value, false);
    json_decref(value);
    l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
    l->v[l->n++] = buf_take(&name);
}

struct named_job {
    struct cluster_list *list;
    struct mesh_dest dest;
};

static void add_named(const struct mesh_endpoint *ep, void *arg)
{
    struct named_job *job = arg;

    if (!ep->hostname)
        return;
    job->dest.host = ep;
    add_cluster(job->list, &job->dest);
}

static void compile_clusters(struct policy *p, struct svc_entry *e)
{
    struct cluster_list l = {.p = p, .ctx = outbound_of(p)};

    for (unsigned i = 0; e->svc && i < e->svc->n_ports; i++) {
        struct named_job job = {&l, {.svc = e->svc, .port = i}};
        add_cluster(&l, &job.dest);
        if (e->svc->headless)
            mesh_service_each_ready(e->svc, i, add_named, &job);
    }
    for (unsigned i = 0; i < e->n_clusters; i++) {
        if (!listed(l.v, l.n, e->clusters[i]))
            parts_del(p->clusters, 0, e->clusters[i]);
        free(e->clusters[i]);
    }
    free(e->clusters);
    e->clusters = l.v;
    e->n_clusters = l.n;
}

/* ---- Services
 * ------------------------------------------------------------------------------------- */

/* NULL: none of the mesh */
static struct mesh_service *read_service(struct svc_entry *e)
{
    struct mesh_endpoint_source src;
    struct mesh_service *s;
    json_t **slices;

    free(e->note);
    e->note = NULL;
    if (!e->obj || !e->ns->info.in_mesh || mesh_namespace_excludes(&e->ns->info, e->name))
        return NULL;
    slices = xcalloc(e->n_slices + 1, sizeof(*slices));
    for (unsigned i = 0; i < e->n_slices; i++)
        slices[i] = kube_object_at(e->slices[i], "");
    src = (struct mesh_endpoint_source){slices, e->n_slices, kube_object_at(e->endpoints, "")};
    s = mesh_service_new(e->obj, &src, &e->note);
    for (unsigned i = 0; i < e->n_slices; i++)
        json_decref(slices[i]);
    json_decref(src.endpoints);
    free(slices);
    return s;
}

static void drop_reaches(struct policy *p, struct svc_entry *e)
{
    for (unsigned i = 0; i < e->n_reaches; i++)
        reach_index_remove(p->reaches, e->reaches[i]);
    free(e->reaches);
    e->reaches = NULL;
    e->n_reaches = 0;
}

void compile_service(struct policy *p, struct svc_entry *e)
{
    struct mesh_service *old = e->svc;

    p->compiled++;
    if (old)
        proxy_mark_served(p, old);
    drop_reaches(p, e);
    catalog_unuse(p, e);
    e->svc = read_service(e);
    catalog_use(p, e);
    if (e->svc) {
        proxy_mark_served(p, e->svc);
        e->n_reaches = reach_of_service(e->svc, p->settings.access, is_pod, p, &e->reaches);
        for (unsigned i = 0; i < e->n_reaches; i++)
            reach_index_add(p->reaches, e->reaches[i]);
    }
    compile_clusters(p, e);
    mesh_service_free(old);
}

void compile_drop(struct policy *p, struct svc_entry *e)
{
    if (e->svc)
        proxy_mark_served(p, e->svc);
    drop_reaches(p, e);
    catalog_unuse(p, e);
    mesh_service_free(e->svc);
    e->svc = NULL;
    compile_clusters(p, e);
}

/* ---- match items
 * ----------------------------------------------------------------------------------- */

/* an item that a group made */
struct item {
    struct ns_entry *ns;
    uint16_t port;
    char *key;
};
struct items {
    struct item *v;
    unsigned n;
};

struct item_job {
    struct policy *p;
    struct items *items;
    struct ns_entry *only; /* near variants of this namespace, and nothing else */
};

/* the name under which an item waits to be emitted again or dropped */
static struct slice stale_key(const struct item *i, struct buf *out)
{
    buf_clear(out);
    buf_printf(out, "%s/%u/%s", i->ns->name, i->port, i->key);
    return buf_slice(out);
}

static void item_free(struct item *i)
{
    free(i->key);
    free(i);
}

static void group_gone(struct reach_group *g, void *arg)
{
    struct policy *p = arg;
    struct items *items = g->data;
    struct buf key = BUF_INIT;

    for (unsigned i = 0; items && i < items->n; i++) {
        struct item *stale = xcalloc(1, sizeof(*stale));
        *stale = items->v[i];
        struct item *there = table_get(p->stale, stale_key(stale, &key));
        if (there)
            item_free(there);
        table_put(p->stale, buf_slice(&key), stale);
    }
    buf_free(&key);
    if (items)
        free(items->v);
    free(items);
    g->data = NULL;
}

static void unstale(struct policy *p, const struct item *i)
{
    struct buf key = BUF_INIT;
    struct item *stale = table_get(p->stale, stale_key(i, &key));

    if (stale) {
        table_del(p->stale, buf_slice(&key));
        item_free(stale);
    }
    buf_free(&key);
}

static void put_item(const char *ns_name, uint16_t port, const char *key, const json_t *far,
                     const json_t *near, void *arg)
{
    struct item_job *job = arg;
    struct item i = {catalog_ns(job->p, ns_name), port, NULL};

    parts_set(i.ns->far, port, key, far, true);
    if (i.ns->near_wanted)
        parts_set(i.ns->near, port, key, near, true);
    i.key = xstrdup(key);
    unstale(job->p, &i);
    job->items->v = xreallocarray(job->items->v, job->items->n + 1, sizeof(*job->items->v));
    job->items->v[job->items->n++] = i;
}

static void group_compile(struct reach_group *g, void *arg)
{
    struct policy *p = arg;
    struct outbound_ctx ctx = outbound_of(p);
    struct item_job job = {.p = p, .items = xcalloc(1, sizeof(*job.items))};

    outbound_items(&ctx, g, put_item, &job);
    g->data = job.items;
}

static void drop_stale(struct policy *p)
{
    struct item *i;

    table_foreach (p->stale, it, NULL, &i) {
        parts_del(i->ns->far, i->port, i->key);
        parts_del(i->ns->near, i->port, i->key);
        item_free(i);
    }
    table_free(p->stale);
    p->stale = table_new(NULL);
}

static void sum_far(struct policy *p)
{
    struct ns_entry *ns;

    p->far_hash = p->far_identity = 0;
    table_foreach (p->namespaces, it, NULL, &ns) {
        p->far_hash += parts_hash(ns->far);
        p->far_identity += parts_identity(ns->far);
    }
}

void compile_settle(struct policy *p)
{
    reach_index_settle(p->reaches, group_gone, group_compile, p);
    if (table_count(p->stale) > 0)
        drop_stale(p);
    sum_far(p);
}

static void put_near(const char *ns_name, uint16_t port, const char *key, const json_t *far,
                     const json_t *near, void *arg)
{
    struct item_job *job = arg;

    if (strcmp(ns_name, job->only->name) == 0)
        parts_set(job->only->near, port, key, near, true);
}

static void group_near(struct reach_group *g, void *arg)
{
    struct item_job *job = arg;
    struct outbound_ctx ctx = outbound_of(job->p);

    for (unsigned i = 0; i < g->n; i++) {
        if (strcmp(g->v[i]->dest.svc->ns, job->only->name) == 0) {
            outbound_items(&ctx, g, put_near, job);
            return;
        }
    }
}

void compile_near(struct policy *p, struct ns_entry *ns)
{
    struct item_job job = {.p = p, .only = ns};

    if (ns->near_wanted)
        return;
    ns->near_wanted = true;
    parts_set_quiet(ns->near, true);
    reach_index_each(p->reaches, group_near, &job);
    parts_set_quiet(ns->near, false);
}

/* ---- allowed addresses
 * ------------------------------------------------------------------------------ */

void compile_allowed(struct policy *p, const struct ip *ip)
{
    const struct mesh_pod *pod = catalog_pod_at(p, ip);
    char key[IP_TEXT_MAX];

    ip_format(ip, key);
    if (!pod) {
        parts_del(p->allowed, 0, key);
        return;
    }
    json_t *value = json_sprintf("%s.%s", pod->ns, pod->name);
    parts_set(p->allowed, 0, key, value, false);
    json_decref(value);
}
