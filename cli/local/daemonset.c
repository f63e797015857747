/* daemonset.c - one pod on every node; there is one node. */
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define REVISION_LABEL "controller-revision-hash"

static bool is_current(const struct kube_object *pod, const char *hash)
{
    const char *rev =
        json_string_value(json_object_get(json_at(pod->body, "metadata.labels"), REVISION_LABEL));
    return rev && strcmp(rev, hash) == 0;
}

static void make_pod(struct local *l, const struct kube_object *ds, const char *hash)
{
    json_t *labels = json_pack("{s:s}", REVISION_LABEL, hash);
    char suffix[6];
    struct err e;

    random_suffix(suffix, 5);
    char *name = xasprintf("%.57s-%s", ds->name, suffix);
    pod_create(l, ds, json_at(ds->body, "spec.template"), name, labels, NULL, &e);
    json_decref(labels);
    free(name);
}

/* a pod of an older template, one that is over, and any beyond the first are ended */
static bool should_end(const struct kube_object *ds, const struct kube_object *pod,
                       const char *hash, unsigned kept)
{
    bool on_delete =
        strcmp(json_str(ds->body, "spec.updateStrategy.type", "RollingUpdate"), "OnDelete") == 0;
    return pod_is_over(pod) || kept > 0 || (!on_delete && !is_current(pod, hash));
}

static void write_status(struct local *l, const struct kube_object *ds, const char *hash)
{
    struct object_list pods;
    int n = 0, ready = 0, updated = 0;

    list_get(l, "Pod", ds->ns, object_uid(ds), &pods);
    for (unsigned i = 0; i < pods.n; i++) {
        n += !is_terminating(pods.v[i]);
        ready += pod_is_ready(pods.v[i]);
        updated += is_current(pods.v[i], hash) && !is_terminating(pods.v[i]);
    }
    list_free(&pods);
    res_set_status(l, "DaemonSet", ds->ns, ds->name,
                   json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:I}", "desiredNumberScheduled", 1,
                             "currentNumberScheduled", n, "numberReady", ready, "numberAvailable",
                             ready, "updatedNumberScheduled", updated, "numberMisscheduled", 0,
                             "observedGeneration",
                             (json_int_t)json_int(ds->body, "metadata.generation", 1)));
}

static void sync_one(struct local *l, const struct kube_object *ds)
{
    struct object_list pods;
    struct err e;
    char hash[11];
    unsigned kept = 0;

    template_hash(json_at(ds->body, "spec.template"), hash);
    list_get(l, "Pod", ds->ns, object_uid(ds), &pods);
    for (unsigned i = 0; i < pods.n; i++) {
        if (!is_terminating(pods.v[i]) && should_end(ds, pods.v[i], hash, kept))
            res_delete(l, "Pod", ds->ns, pods.v[i]->name, -1, &e);
        else
            kept++; /* also one that is still ending: the new one waits for its place */
    }
    if (pods.n == 0)
        make_pod(l, ds, hash);
    list_free(&pods);
    write_status(l, ds, hash);
}

void daemonsets_sync(struct local *l)
{
    struct object_list all;

    list_get(l, "DaemonSet", NULL, NULL, &all);
    for (unsigned i = 0; i < all.n; i++)
        sync_one(l, all.v[i]);
    list_free(&all);
}
