/* replicaset.c - so many pods of one template. */
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/json.h"
#include "common/base/mem.h"

/* Which pod goes first when there are too many: one that is not ready, then the youngest. */
static int by_worth(const void *a, const void *b)
{
    const struct kube_object *x = *(struct kube_object *const *)a;
    const struct kube_object *y = *(struct kube_object *const *)b;

    if (pod_is_ready(x) != pod_is_ready(y))
        return pod_is_ready(x) ? 1 : -1;
    int c = strcmp(json_str(y->body, "metadata.creationTimestamp", ""),
                   json_str(x->body, "metadata.creationTimestamp", ""));
    return c ? c : strcmp(y->name, x->name);
}

/* drops pods that are over or on their way out */
static void keep_active(struct object_list *pods)
{
    unsigned n = 0;

    for (unsigned i = 0; i < pods->n; i++) {
        if (is_terminating(pods->v[i]) || pod_is_over(pods->v[i]))
            kube_object_unref(pods->v[i]);
        else
            pods->v[n++] = pods->v[i];
    }
    pods->n = n;
}

static void add_pods(struct local *l, const struct kube_object *rs, int64_t n)
{
    struct err e, *ok = &e;
    char suffix[6];

    for (; n > 0 && ok; n--) {
        random_suffix(suffix, 5);
        char *name = xasprintf("%.57s-%s", rs->name, suffix);
        /* what one pod is refused for, the next would be too */
        if (pod_create(l, rs, json_at(rs->body, "spec.template"), name, NULL, NULL, &e))
            ok = NULL;
        free(name);
    }
    json_t *status = json_deep_copy(json_object_get(rs->body, "status")) ?: json_object();
    if (ok)
        condition_drop(status, "ReplicaFailure");
    else
        condition_set(status, "ReplicaFailure", true, "FailedCreate", e.text);
    res_set_status(l, "ReplicaSet", rs->ns, rs->name, status);
}

static void remove_pods(struct local *l, struct object_list *pods, int64_t n)
{
    struct err e;

    qsort(pods->v, pods->n, sizeof(*pods->v), by_worth);
    for (unsigned i = 0; i < pods->n && n > 0; i++, n--)
        res_delete(l, "Pod", pods->v[i]->ns, pods->v[i]->name, -1, &e);
}

static void write_status(struct local *l, const struct kube_object *rs,
                         const struct object_list *pods)
{
    /* newer than the reference: add_pods may have written a condition */
    const struct kube_object *now = res_get(l, "ReplicaSet", rs->ns, rs->name);
    int ready = 0;

    if (!now)
        return;
    for (unsigned i = 0; i < pods->n; i++)
        ready += pod_is_ready(pods->v[i]);
    json_t *status = json_deep_copy(json_object_get(now->body, "status")) ?: json_object();
    json_t *counts =
        json_pack("{s:i, s:i, s:i, s:i, s:I}", "replicas", (int)pods->n, "fullyLabeledReplicas",
                  (int)pods->n, "readyReplicas", ready, "availableReplicas", ready,
                  "observedGeneration", (json_int_t)json_int(now->body, "metadata.generation", 1));
    json_object_update(status, counts);
    json_decref(counts);
    res_set_status(l, "ReplicaSet", rs->ns, rs->name, status);
}

static void sync_one(struct local *l, const struct kube_object *rs)
{
    int64_t want = json_int(rs->body, "spec.replicas", 1);
    struct object_list pods;

    list_get(l, "Pod", rs->ns, object_uid(rs), &pods);
    keep_active(&pods);
    if ((int64_t)pods.n < want)
        add_pods(l, rs, want - pods.n);
    else if ((int64_t)pods.n > want)
        remove_pods(l, &pods, pods.n - want);
    list_free(&pods);
    list_get(l, "Pod", rs->ns, object_uid(rs), &pods);
    keep_active(&pods);
    write_status(l, rs, &pods);
    list_free(&pods);
}

void replicasets_sync(struct local *l)
{
    struct object_list sets;

    list_get(l, "ReplicaSet", NULL, NULL, &sets);
    for (unsigned i = 0; i < sets.n; i++)
        sync_one(l, sets.v[i]);
    list_free(&sets);
}
