/* deployment.c - ReplicaSets, one per version of the template, and the way from one to the next.
 *
 * Rolling update: there are never more than replicas + maxSurge pods, and never fewer than
 * replicas - maxUnavailable ready ones (as Kubernetes' own controller does it).
 */
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"

#define HASH_LABEL    "pod-template-hash"
#define HISTORY_LIMIT 10

struct rollout {
    struct local *l;
    const struct kube_object *d;
    struct object_list sets;       /* all it owns */
    const struct kube_object *now; /* of the current template; one of sets, or NULL */
    int64_t want, surge, unavailable;
};

static int64_t spec_replicas(const struct kube_object *rs)
{
    return json_int(rs->body, "spec.replicas", 0);
}

static int64_t ready_replicas(const struct kube_object *rs)
{
    return json_int(rs->body, "status.readyReplicas", 0);
}

#define PERCENT_DEFAULT 25 /* of Deployments that name none, or none that can be read */
#define PERCENT_MAX     10000

/* "25%" of the replicas, or a number */
static int64_t amount(const json_t *d, const char *path, int64_t replicas, bool up)
{
    const json_t *v = json_at(d, path);
    struct slice text = slice_str(json_string_value(v));
    unsigned long long percent;

    if (json_is_integer(v))
        return json_integer_value(v);
    if (slice_u64(slice_cut(&text, '%'), PERCENT_MAX, &percent) != 0)
        percent = PERCENT_DEFAULT;
    return (replicas * (int64_t)percent + (up ? 99 : 0)) / 100;
}

static void read_limits(struct rollout *r)
{
    const json_t *d = r->d->body;

    r->want = json_int(d, "spec.replicas", 1);
    r->surge = amount(d, "spec.strategy.rollingUpdate.maxSurge", r->want, true);
    r->unavailable = amount(d, "spec.strategy.rollingUpdate.maxUnavailable", r->want, false);
    if (r->surge == 0 && r->unavailable == 0)
        r->unavailable = 1;
}

/* ---- ReplicaSets ----------------------------------------------------------------------------- */

static json_t *with_hash(const json_t *labels, const char *hash)
{
    json_t *copy = json_is_object(labels) ? json_copy((json_t *)(uintptr_t)labels) : json_object();

    json_object_set_new(copy, HASH_LABEL, json_string(hash));
    return copy;
}

static json_t *new_set_body(const struct rollout *r, const char *hash, const char *name)
{
    const json_t *d = r->d->body;
    json_t *template = json_deep_copy(json_at(d, "spec.template"));
    json_t *selector = json_deep_copy(json_at(d, "spec.selector"));
    json_t *meta = json_object_get(template, "metadata");
    json_t *labels = with_hash(json_object_get(meta, "labels"), hash);

    json_object_set(meta, "labels", labels);
    json_object_set_new(selector, "matchLabels",
                        with_hash(json_object_get(selector, "matchLabels"), hash));
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:[o]}, s:{s:i, s:o, s:o}}", "apiVersion",
                     "apps/v1", "kind", "ReplicaSet", "metadata", "name", name, "namespace",
                     r->d->ns, "labels", labels, "ownerReferences", owner_reference(r->d), "spec",
                     "replicas", 0, "selector", selector, "template", template);
}

static void scale(struct rollout *r, const struct kube_object *rs, int64_t to)
{
    const struct kube_object *now = res_get(r->l, "ReplicaSet", rs->ns, rs->name);

    if (!now || spec_replicas(now) == to)
        return;
    json_t *body = res_edit(now);
    json_object_set_new(json_object_get(body, "spec"), "replicas", json_integer(to));
    res_set(r->l, body);
}

/* A set of that name may be another Deployment's, if the beginnings of their names and their
 * templates are the same: then the next number is tried.  returns owned */
static char *own_set_name(const struct rollout *r, const char *hash)
{
    char *name = xasprintf("%.52s-%s", r->d->name, hash);
    const struct kube_object *o;

    for (unsigned i = 1; (o = res_get(r->l, "ReplicaSet", r->d->ns, name)) != NULL &&
                         strcmp(owner_uid(o->body), object_uid(r->d)) != 0;
         i++) {
        free(name);
        name = xasprintf("%.48s-%s-%u", r->d->name, hash, i);
    }
    return name;
}

/* finds the sets, and makes the one of the current template */
static void find_sets(struct rollout *r)
{
    char hash[11];
    struct err e;

    template_hash(json_at(r->d->body, "spec.template"), hash);
    char *name = own_set_name(r, hash);
    if (!res_get(r->l, "ReplicaSet", r->d->ns, name) &&
        !res_create(r->l, new_set_body(r, hash, name), &e))
        log_error("deployment", "%s", e.text);
    list_get(r->l, "ReplicaSet", r->d->ns, object_uid(r->d), &r->sets);
    for (unsigned i = 0; i < r->sets.n; i++)
        if (strcmp(r->sets.v[i]->name, name) == 0)
            r->now = r->sets.v[i];
    free(name);
}

/* ---- rolling --------------------------------------------------------------------------------- */

struct totals {
    int64_t all, ready, old; /* wanted by all sets; ready in all; wanted by old sets */
};

static struct totals count(const struct rollout *r)
{
    struct totals t = {0};

    for (unsigned i = 0; i < r->sets.n; i++) {
        t.all += spec_replicas(r->sets.v[i]);
        t.ready += ready_replicas(r->sets.v[i]);
        if (r->sets.v[i] != r->now)
            t.old += spec_replicas(r->sets.v[i]);
    }
    return t;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* old sets lose up to `budget` pods, those first that serve nobody */
static void shrink_old(struct rollout *r, int64_t budget, bool unready_only)
{
    for (unsigned i = 0; i < r->sets.n && budget > 0; i++) {
        const struct kube_object *rs = r->sets.v[i];
        if (rs == r->now)
            continue;
        int64_t has = spec_replicas(rs);
        int64_t drop = least(budget, unready_only ? has - ready_replicas(rs) : has);
        if (drop <= 0)
            continue;
        scale(r, rs, has - drop);
        budget -= drop;
    }
}

static void roll(struct rollout *r)
{
    struct totals t = count(r);
    int64_t new_has = spec_replicas(r->now), room = r->want + r->surge - t.all;

    if (new_has > r->want) {
        scale(r, r->now, r->want);
        return;
    }
    if (new_has < r->want && room > 0) {
        scale(r, r->now, least(r->want, new_has + room));
        return; /* the next change brings us here again */
    }
    if (!t.old)
        return;
    int64_t floor = r->want - r->unavailable;
    int64_t new_unready = new_has - ready_replicas(r->now);
    int64_t budget = t.all - floor - new_unready;
    int64_t unready_old = t.old - (t.ready - ready_replicas(r->now));
    if (budget > 0 && unready_old > 0)
        shrink_old(r, budget, true);
    else if (t.ready > floor)
        shrink_old(r, least(budget, t.ready - floor), false);
}

/* strategy Recreate: all old pods are gone before the first new one */
static bool old_pods_left(const struct rollout *r)
{
    bool left = false;

    for (unsigned i = 0; i < r->sets.n; i++) {
        struct object_list pods;
        if (r->sets.v[i] == r->now)
            continue;
        list_get(r->l, "Pod", r->d->ns, object_uid(r->sets.v[i]), &pods);
        left = left || pods.n > 0;
        list_free(&pods);
    }
    return left;
}

static void recreate(struct rollout *r)
{
    shrink_old(r, INT64_MAX, false);
    if (!old_pods_left(r))
        scale(r, r->now, r->want);
}

static void advance(struct rollout *r)
{
    const char *type = json_str(r->d->body, "spec.strategy.type", "RollingUpdate");

    if (json_bool(r->d->body, "spec.paused", false))
        return;
    if (count(r).old == 0)
        scale(r, r->now, r->want);
    else if (strcmp(type, "Recreate") == 0)
        recreate(r);
    else
        roll(r);
}

/* ---- history, status ------------------------------------------------------------------------- */

static void drop_history(struct rollout *r)
{
    int64_t keep = json_int(r->d->body, "spec.revisionHistoryLimit", HISTORY_LIMIT), empty = 0;
    struct err e;

    for (unsigned i = 0; i < r->sets.n; i++)
        empty += r->sets.v[i] != r->now && spec_replicas(r->sets.v[i]) == 0 &&
                 json_int(r->sets.v[i]->body, "status.replicas", 0) == 0;
    for (unsigned i = 0; i < r->sets.n && empty > keep; i++) {
        const struct kube_object *rs = r->sets.v[i];
        if (rs == r->now || spec_replicas(rs) || json_int(rs->body, "status.replicas", 0))
            continue;
        res_delete(r->l, "ReplicaSet", rs->ns, rs->name, -1, &e);
        empty--;
    }
}

static void put_conditions(const struct rollout *r, int64_t ready, bool complete, json_t *status)
{
    const struct kube_object *rs = r->now;
    const char *failed = rs ? condition_get(rs->body, "ReplicaFailure") : NULL;
    bool available = ready >= r->want - r->unavailable;

    condition_set(status, "Available", available,
                  available ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable", NULL);
    condition_set(status, "Progressing", true,
                  complete ? "NewReplicaSetAvailable" : "ReplicaSetUpdated", NULL);
    if (failed && strcmp(failed, "True") == 0) {
        const json_t *list = json_at(rs->body, "status.conditions");
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *c = json_array_get(list, i);
            if (strcmp(json_str(c, "type", ""), "ReplicaFailure") == 0)
                condition_set(status, "ReplicaFailure", true, "FailedCreate",
                              json_str(c, "message", NULL));
        }
    } else {
        condition_drop(status, "ReplicaFailure");
    }
}

static void write_status(const struct rollout *r)
{
    int64_t pods = 0, ready = 0;
    int64_t updated = r->now ? json_int(r->now->body, "status.replicas", 0) : 0;
    const json_t *old = json_object_get(r->d->body, "status");
    json_t *status = json_object();

    for (unsigned i = 0; i < r->sets.n; i++) {
        pods += json_int(r->sets.v[i]->body, "status.replicas", 0);
        ready += ready_replicas(r->sets.v[i]);
    }
    if (json_object_get(old, "conditions"))
        json_object_set_new(status, "conditions",
                            json_deep_copy(json_object_get(old, "conditions")));
    json_t *counts =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "replicas", (json_int_t)pods, "updatedReplicas",
                  (json_int_t)updated, "readyReplicas", (json_int_t)ready, "availableReplicas",
                  (json_int_t)ready, "unavailableReplicas",
                  (json_int_t)(r->want > ready ? r->want - ready : 0), "observedGeneration",
                  (json_int_t)json_int(r->d->body, "metadata.generation", 1));
    json_object_update(status, counts);
    json_decref(counts);
    put_conditions(r, ready, updated == r->want && pods == r->want && ready == r->want, status);
    res_set_status(r->l, "Deployment", r->d->ns, r->d->name, status);
}

static void sync_one(struct local *l, const struct kube_object *d)
{
    struct rollout r = {.l = l, .d = d};

    read_limits(&r);
    find_sets(&r);
    if (r.now) {
        advance(&r);
        drop_history(&r);
    }
    write_status(&r);
    list_free(&r.sets);
}

void deployments_sync(struct local *l)
{
    struct object_list all;

    list_get(l, "Deployment", NULL, NULL, &all);
    for (unsigned i = 0; i < all.n; i++)
        sync_one(l, all.v[i]);
    list_free(&all);
}
