/* patch.c - the part of patches that proxies share: the fragments that changed.
 *
 * All proxies of a namespace and ServiceAccount see the same fragments, so what changed since a
 * generation is printed once for them and kept until the next update.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/policy_int.h"

struct patch_cache {
    struct table *texts; /* "<generation>/<ns>/<sa>" -> text; "-" for one that cannot be made */
};

void patch_cache_clear(struct policy *p)
{
    if (!p->patches)
        return;
    table_free(p->patches->texts);
    free(p->patches);
    p->patches = NULL;
}

/* One place of the document.  An address may pass from a Service of one namespace to one of
 * another, and its item from one set to another: for a proxy that is one change of one item. */
struct place {
    enum part_place where;
    const struct part *old, *now;
};
struct patch_job {
    const struct policy_proxy *px;
    const char *principal;
    struct table *places; /* "<where>/<name>" -> struct place */
    json_t *matches, *clusters, *allowed;
};

/* the object below `parent` for that key, made if it is not there */
static json_t *below(json_t *parent, const char *key)
{
    json_t *o = json_object_get(parent, key);

    if (!o) {
        o = json_object();
        json_object_set_new(parent, key, o);
    }
    return o;
}

static json_t *value_of(const struct part *part)
{
    return json_loadb(part->text, part->len, JSON_DECODE_ANY, NULL);
}

/* what turns old into now; owned */
static json_t *difference(const struct patch_job *job, const struct part *old,
                          const struct part *now)
{
    json_t *b = now ? value_of(now) : NULL, *a, *diff;

    if (!now)
        return json_null();
    if (!old) {
        if (now->identity)
            json_object_set_new(b, "ServiceIdentity", json_string(job->principal));
        return b;
    }
    a = value_of(old);
    diff = json_merge_diff(a, b);
    json_decref(a);
    json_decref(b);
    return diff;
}

static void add_change(const struct parts *set, const struct part *old, const struct part *now,
                       void *arg)
{
    struct patch_job *job = arg;
    const struct part *any = now ? now : old;
    struct buf key = BUF_INIT;

    if (!any || !proxy_shows(job->px, set))
        return;
    buf_printf(&key, "%d/%s", (int)parts_place(set), any->name);
    struct place *place = table_get(job->places, buf_slice(&key));
    if (!place) {
        place = xcalloc(1, sizeof(*place));
        place->where = parts_place(set);
        table_put(job->places, buf_slice(&key), place);
    }
    place->old = old ? old : place->old;
    place->now = now ? now : place->now;
    buf_free(&key);
}

static void put_change(struct patch_job *job, const struct place *p)
{
    const struct part *any = p->now ? p->now : p->old;
    char port[8];

    if (p->old && p->now && p->old->hash == p->now->hash)
        return;
    json_t *diff = difference(job, p->old, p->now);
    switch (p->where) {
    case PART_MATCH:
        snprintf(port, sizeof(port), "%u", any->port);
        json_object_set_new(below(job->matches, port), any->key, diff);
        break;
    case PART_CLUSTER:
        json_object_set_new(job->clusters, any->key, diff);
        break;
    case PART_ALLOWED:
        json_object_set_new(job->allowed, any->key, diff);
        break;
    }
}

static void put(struct buf *out, const char *before, const json_t *members, const char *after)
{
    buf_puts(out, before);
    json_print(members, out);
    buf_puts(out, after);
}

/* owned text, NULL when the log is too short */
static char *make(struct policy_proxy *px, uint64_t since, const char *principal)
{
    struct patch_job job = {.px = px,
                            .principal = principal,
                            .places = table_new(free),
                            .matches = json_object(),
                            .clusters = json_object(),
                            .allowed = json_object()};
    struct buf out = BUF_INIT;
    struct place *place;
    int known = parts_changes(px->policy->book, since, add_change, &job);

    table_foreach (job.places, it, NULL, &place)
        put_change(&job, place);
    bool matches = json_object_size(job.matches) > 0, clusters = json_object_size(job.clusters) > 0;
    if (matches || clusters)
        buf_puts(&out, ",\"Outbound\":{");
    if (matches)
        put(&out, "\"TrafficMatches\":", job.matches, clusters ? "," : "");
    if (clusters)
        put(&out, "\"ClustersConfigs\":", job.clusters, "");
    if (matches || clusters)
        buf_puts(&out, "}");
    if (json_object_size(job.allowed) > 0)
        put(&out, ",\"AllowedEndpoints\":", job.allowed, "");
    table_free(job.places);
    json_decref(job.matches);
    json_decref(job.clusters);
    json_decref(job.allowed);
    if (known >= 0)
        return buf_take(&out);
    buf_free(&out);
    return NULL;
}

const char *patch_shared(struct policy_proxy *px, uint64_t since)
{
    struct policy *p = px->policy;
    struct buf key = BUF_INIT, principal = BUF_INIT;
    const struct mesh_pod *pod = px->entry->pod;
    char *text;

    if (!p->patches) {
        p->patches = xcalloc(1, sizeof(*p->patches));
        p->patches->texts = table_new(free);
    }
    buf_printf(&key, "%llu/%s/%s", (unsigned long long)since, pod->ns, pod->sa);
    text = table_get(p->patches->texts, buf_slice(&key));
    if (!text) {
        mesh_principal(pod->sa, pod->ns, p->trust_domain, &principal);
        text = make(px, since, principal.p);
        if (!text)
            text = xstrdup("-");
        table_put(p->patches->texts, buf_slice(&key), text);
    }
    buf_free(&key);
    buf_free(&principal);
    return strcmp(text, "-") == 0 ? NULL : text;
}
