/* proxy.c - one proxy's document: its own part, the shared fragments that it shows, and the
 * versions it was served. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/inbound.h"
#include "common/policy/policy_int.h"
#include "common/policy/spec.h"

/* ---- which proxies a change concerns
 * -------------------------------------------------------------- */

void proxy_mark(struct policy_proxy *px)
{
    worklist_add(&px->policy->dirty_proxies, px, &px->dirty);
}

void proxy_mark_ns(struct ns_entry *ns)
{
    struct policy_proxy *px;

    TAILQ_FOREACH (px, &ns->proxies, link)
        proxy_mark(px);
}

void proxy_mark_all(struct policy *p)
{
    struct ns_entry *ns;

    table_foreach (p->namespaces, it, NULL, &ns)
        proxy_mark_ns(ns);
}

void proxy_mark_served(struct policy *p, const struct mesh_service *s)
{
    struct policy_proxy *px;

    TAILQ_FOREACH (px, &catalog_ns(p, s->ns)->proxies, link)
        if (px->entry->pod && inbound_serves(s, px->entry->pod))
            proxy_mark(px);
    /* endpoints written by hand may point into other namespaces */
    for (unsigned i = 0; i < s->n_endpoints; i++) {
        const struct address *a = catalog_address(p, &s->endpoints[i].ip);
        for (unsigned k = 0; a && k < a->n_pods; k++) {
            struct ns_entry *ns = catalog_ns(p, a->pods[k]->ns);
            struct pod_entry *e = table_get_str(ns->pods, a->pods[k]->name);
            if (e && e->proxy)
                proxy_mark(e->proxy);
        }
    }
}

/* ---- a proxy's own part
 * ----------------------------------------------------------------------------- */

struct found {
    const struct mesh_service **v;
    unsigned n;
};

static void found_add(struct found *f, const struct mesh_service *s)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->v[i] == s)
            return;
    f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
    f->v[f->n++] = s;
}

/* Services that lead to the pod: those of its namespace, and others that list its address */
static struct found services_of(struct policy *p, const struct pod_entry *e)
{
    struct found f = {0};
    struct svc_entry *svc;

    table_foreach (e->ns->services, it, NULL, &svc)
        if (svc->svc && inbound_serves(svc->svc, e->pod))
            found_add(&f, svc->svc);
    for (unsigned i = 0; i < e->pod->n_ips; i++) {
        const struct address *a = catalog_address(p, &e->pod->ips[i]);
        for (unsigned k = 0; a && k < a->n_services; k++)
            found_add(&f, a->services[k]->svc);
    }
    return f;
}

static json_t *compile_inbound(struct policy *p, const struct pod_entry *e)
{
    struct inbound_ctx ctx = {p->trust_domain, p->settings.access, p->settings.permissive};
    struct found f = services_of(p, e);
    json_t *out = inbound_compile(&ctx, e->pod, f.v, f.n);

    free(f.v);
    return out;
}

/* null: the sidecar takes plaintext from the mesh's pods */
static json_t *compile_certificate(const struct policy *p, const struct pod_entry *e)
{
    return p->settings.mtls_disabled ? json_null() : spec_certificate(e->pod, p->trust_domain);
}

static json_t *compile_own(struct policy *p, const struct pod_entry *e)
{
    json_t *full =
        json_pack("{s:b,s:o,s:o,s:o,s:o}", "Metrics", e->ns->info.metrics, "Spec",
                  spec_compile(&p->settings, e->pod), "Proxy", spec_proxy(e->pod, p->trust_domain),
                  "Certificate", compile_certificate(p, e), "Inbound", compile_inbound(p, e));
    json_t *own = document_strip_nulls(full);

    json_decref(full);
    return own;
}

static uint64_t own_hash(const json_t *own)
{
    uint64_t sum = 0;
    const char *key;
    json_t *member;

    json_object_foreach ((json_t *)own, key, member)
        sum += document_fragment_hash((const char *const[]){key, NULL}, member);
    return sum;
}

/* Another pod of the same name: its documents have nothing to do with the old one's. */
static void forget_if_other(struct policy_proxy *px, const json_t *was)
{
    const char *a = json_str(was, "Proxy.Principal", ""),
               *b = json_str(px->own, "Proxy.Principal", "");

    for (unsigned i = 0; strcmp(a, b) != 0 && i < POLICY_HISTORY; i++) {
        json_decref(px->history[i].own);
        px->history[i] = (struct served_version){0};
    }
}

static void update_proxy(struct policy_proxy *px)
{
    struct pod_entry *e = px->entry;
    json_t *was = px->own;

    px->dirty = false;
    px->own = e->pod && e->pod->meshed ? compile_own(px->policy, e) : NULL;
    px->own_hash = px->own ? own_hash(px->own) : 0;
    forget_if_other(px, was);
    json_decref(was);
}

void proxy_update(struct policy *p)
{
    for (unsigned i = 0; i < p->dirty_proxies.n; i++)
        update_proxy(p->dirty_proxies.v[i]);
    p->dirty_proxies.n = 0;
}

/* ---- opening and closing
 * --------------------------------------------------------------------------- */

static struct pod_entry *meshed_pod(const struct policy *p, const char *ns_name, const char *name)
{
    struct ns_entry *ns = table_get_str(p->namespaces, ns_name);
    struct pod_entry *e = ns ? table_get_str(ns->pods, name) : NULL;

    return e && e->pod && e->pod->meshed ? e : NULL;
}

struct policy_proxy *policy_proxy_open(struct policy *p, const char *ns, const char *name)
{
    struct pod_entry *e = meshed_pod(p, ns, name);
    struct policy_proxy *px;

    if (!e)
        return NULL;
    if (e->proxy) {
        e->proxy->opened++;
        return e->proxy;
    }
    px = xcalloc(1, sizeof(*px));
    px->policy = p;
    px->entry = e;
    px->opened = 1;
    e->proxy = px;
    TAILQ_INSERT_TAIL(&e->ns->proxies, px, link);
    compile_near(p, e->ns);
    update_proxy(px);
    return px;
}

static void undirty(struct policy_proxy *px)
{
    struct worklist *t = &px->policy->dirty_proxies;

    for (unsigned i = 0; px->dirty && i < t->n; i++) {
        if (t->v[i] == px) {
            t->v[i] = t->v[--t->n];
            return;
        }
    }
}

void policy_proxy_close(struct policy_proxy *px)
{
    if (!px || --px->opened > 0)
        return;
    undirty(px);
    TAILQ_REMOVE(&px->entry->ns->proxies, px, link);
    px->entry->proxy = NULL;
    /* without a pod the entry is of no more use: the next update frees it */
    worklist_add(&px->policy->dirty_pods, px->entry, &px->entry->dirty);
    for (unsigned i = 0; i < POLICY_HISTORY; i++)
        json_decref(px->history[i].own);
    json_decref(px->own);
    free(px);
}

const struct mesh_pod *policy_proxy_pod(const struct policy_proxy *px)
{
    return px->own ? px->entry->pod : NULL;
}

/* ---- versions
 * ----------------------------------------------------------------------------------------- */

bool proxy_shows(const struct policy_proxy *px, const struct parts *set)
{
    const struct ns_entry *own = px->entry->ns, *ns = parts_owner(set);

    if (set == px->policy->allowed)
        return true;
    if (!px->policy->settings.permissive)
        return false;
    return !ns || set == (ns == own ? ns->near : ns->far);
}

static void principal_of(const struct policy_proxy *px, struct buf *out)
{
    mesh_principal(px->entry->pod->sa, px->entry->ns->name, px->policy->trust_domain, out);
}

uint64_t proxy_hash(const struct policy_proxy *px)
{
    const struct policy *p = px->policy;
    const struct ns_entry *ns = px->entry->ns;
    uint64_t sum = px->own_hash + parts_hash(p->allowed);
    struct buf principal = BUF_INIT;

    if (!p->settings.permissive)
        return sum;
    principal_of(px, &principal);
    sum += parts_hash(p->clusters) + p->far_hash - parts_hash(ns->far) + parts_hash(ns->near);
    sum += document_string_hash(principal.p) *
           (p->far_identity - parts_identity(ns->far) + parts_identity(ns->near));
    buf_free(&principal);
    return sum;
}

char *policy_proxy_version(const struct policy_proxy *px, char out[DOCUMENT_VERSION_MAX])
{
    return document_version_text(proxy_hash(px), out);
}

static struct served_version *find_version(struct policy_proxy *px, uint64_t hash)
{
    for (unsigned i = 0; i < POLICY_HISTORY; i++)
        if (px->history[i].own && px->history[i].hash == hash)
            return &px->history[i];
    return NULL;
}

/* the document of now is one that patches may start from */
static void remember_version(struct policy_proxy *px)
{
    uint64_t hash = proxy_hash(px);
    struct served_version *v = find_version(px, hash);

    if (!v) {
        v = &px->history[px->next];
        px->next = (px->next + 1) % POLICY_HISTORY;
    }
    json_t *own = json_incref(px->own);
    json_decref(v->own);
    *v = (struct served_version){hash, parts_generation(px->policy->book),
                                 px->policy->settings.permissive, own};
}

void policy_proxy_holds(struct policy_proxy *px, const char *version)
{
    char now[DOCUMENT_VERSION_MAX];

    if (px->own && strcmp(policy_proxy_version(px, now), version) == 0)
        remember_version(px);
}

/* ---- the whole document
 * --------------------------------------------------------------------------------- */

struct shown {
    const struct part **v;
    size_t n;
};

static void show(struct shown *s, const struct parts *set)
{
    const struct part *part;
    size_t it = 0;

    s->v = xreallocarray(s->v, s->n + parts_count(set) + 1, sizeof(*s->v));
    while ((part = parts_next(set, &it)) != NULL)
        s->v[s->n++] = part;
}

static int by_port(const void *a, const void *b)
{
    const struct part *x = *(const struct part *const *)a, *y = *(const struct part *const *)b;

    return x->port - y->port;
}

/* with quotes and escapes */
static void put_string(const char *text, struct buf *out)
{
    json_t *s = json_string(text);

    json_print(s, out);
    json_decref(s);
}

/* {"key":text,...} without the braces */
static void put_members(const struct parts *set, struct buf *out)
{
    const struct part *part;
    size_t it = 0;
    const char *sep = "";

    while ((part = parts_next(set, &it)) != NULL) {
        buf_puts(out, sep);
        put_string(part->key, out);
        buf_putc(out, ':');
        buf_append(out, part->text, part->len);
        sep = ",";
    }
}

/* the identity goes behind the last member */
static void put_item(const struct part *part, const char *principal, struct buf *out)
{
    if (part->identity == 0) {
        buf_append(out, part->text, part->len);
        return;
    }
    buf_append(out, part->text, part->len - 1);
    buf_puts(out, ",\"ServiceIdentity\":");
    put_string(principal, out);
    buf_putc(out, '}');
}

static void put_matches(const struct policy_proxy *px, struct buf *out)
{
    const struct policy *p = px->policy;
    struct shown s = {0};
    struct ns_entry *ns;
    struct buf principal = BUF_INIT;

    principal_of(px, &principal);
    table_foreach (p->namespaces, it, NULL, &ns)
        show(&s, ns == px->entry->ns ? ns->near : ns->far);
    if (s.n > 0)
        qsort(s.v, s.n, sizeof(*s.v), by_port);
    for (size_t i = 0; i < s.n; i++) {
        bool first = i == 0 || s.v[i]->port != s.v[i - 1]->port;
        bool last = i + 1 == s.n || s.v[i]->port != s.v[i + 1]->port;
        if (first)
            buf_printf(out, "%s\"%u\":[", i == 0 ? "" : ",", s.v[i]->port);
        put_item(s.v[i], principal.p, out);
        buf_puts(out, last ? "]" : ",");
    }
    buf_free(&principal);
    free(s.v);
}

static void put_outbound(const struct policy_proxy *px, struct buf *out)
{
    const struct policy *p = px->policy;
    bool items = false;
    struct ns_entry *ns;

    if (!p->settings.permissive)
        return;
    table_foreach (p->namespaces, it, NULL, &ns)
        items |= parts_count(ns == px->entry->ns ? ns->near : ns->far) > 0;
    if (!items && parts_count(p->clusters) == 0)
        return;
    buf_puts(out, ",\"Outbound\":{");
    if (items) {
        buf_puts(out, "\"TrafficMatches\":{");
        put_matches(px, out);
        buf_puts(out, "}");
    }
    if (parts_count(p->clusters) > 0) {
        buf_printf(out, "%s\"ClustersConfigs\":{", items ? "," : "");
        put_members(p->clusters, out);
        buf_puts(out, "}");
    }
    buf_puts(out, "}");
}

static void put_own(const struct policy_proxy *px, struct buf *out)
{
    const char *key;
    json_t *member;

    json_object_foreach (px->own, key, member) {
        buf_printf(out, ",\"%s\":", key);
        json_print(member, out);
    }
}

void policy_proxy_document(struct policy_proxy *px, const char *ts, struct buf *out)
{
    BUG_ON(!px->own);
    buf_printf(out, "{\"Ts\":\"%s\",\"Version\":\"%" PRIu64 "\"", ts, proxy_hash(px));
    put_own(px, out);
    put_outbound(px, out);
    if (parts_count(px->policy->allowed) > 0) {
        buf_puts(out, ",\"AllowedEndpoints\":{");
        put_members(px->policy->allowed, out);
        buf_puts(out, "}");
    }
    buf_puts(out, "}");
    remember_version(px);
}

/* ---- patches
 * ------------------------------------------------------------------------------------------------
 */

/* about as long as the document would be */
static size_t document_size(const struct policy_proxy *px)
{
    const struct policy *p = px->policy;
    size_t n = 4096 + parts_bytes(p->allowed) + parts_bytes(p->clusters);
    struct ns_entry *ns;

    table_foreach (p->namespaces, it, NULL, &ns)
        n += parts_bytes(ns->far);
    return n;
}

static void put_own_patch(const struct policy_proxy *px, const struct served_version *from,
                          struct buf *out)
{
    json_t *diff = json_merge_diff(from->own, px->own), *member;
    const char *key;

    json_object_foreach (diff, key, member) {
        buf_printf(out, ",\"%s\":", key);
        json_print(member, out);
    }
    json_decref(diff);
}

bool policy_proxy_patch(struct policy_proxy *px, const char *from, const char *ts, struct buf *out)
{
    unsigned long long hash;
    const struct served_version *base;
    const char *shared;
    size_t before = out->len;

    if (!px->own || slice_u64(slice_str(from), UINT64_MAX, &hash) < 0)
        return false;
    base = find_version(px, hash);
    if (!base || base->permissive != px->policy->settings.permissive)
        return false;
    shared = patch_shared(px, base->gen);
    if (!shared)
        return false;
    buf_printf(out, "{\"Ts\":\"%s\",\"Version\":\"%" PRIu64 "\"", ts, proxy_hash(px));
    put_own_patch(px, base, out);
    buf_printf(out, "%s}", shared);
    if (out->len - before > document_size(px)) {
        out->len = before;
        return false;
    }
    remember_version(px);
    return true;
}
