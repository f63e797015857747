/* statefulset.c - pods with stable names, made in order and ended in reverse order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define REVISION_LABEL "controller-revision-hash"

struct set {
    struct local *l;
    const struct kube_object *sts;
    char revision[80];
    int64_t want;
    struct kube_object **pods; /* by ordinal: ref or NULL; n_pods >= want */
    int64_t n_pods;
    bool ordered;
};

/* "web-3" of "web" is 3; -1 if it is none of ours */
static int64_t ordinal_of(const char *set, const char *pod)
{
    size_t n = strlen(set);
    char *end;

    if (strncmp(set, pod, n) != 0 || pod[n] != '-' || pod[n + 1] < '0' || pod[n + 1] > '9')
        return -1;
    long v = strtol(pod + n + 1, &end, 10);
    return *end == '\0' && v < 100000 ? v : -1;
}

static void collect(struct set *s)
{
    struct object_list pods;

    list_get(s->l, "Pod", s->sts->ns, object_uid(s->sts), &pods);
    s->n_pods = s->want;
    for (unsigned i = 0; i < pods.n; i++) {
        int64_t o = ordinal_of(s->sts->name, pods.v[i]->name);
        if (o >= s->n_pods)
            s->n_pods = o + 1;
    }
    s->pods = xcalloc((size_t)s->n_pods + 1, sizeof(*s->pods));
    for (unsigned i = 0; i < pods.n; i++) {
        int64_t o = ordinal_of(s->sts->name, pods.v[i]->name);
        if (o >= 0)
            s->pods[o] = kube_object_ref(pods.v[i]);
    }
    list_free(&pods);
}

static void release(struct set *s)
{
    for (int64_t i = 0; i < s->n_pods; i++)
        if (s->pods[i])
            kube_object_unref(s->pods[i]);
    free(s->pods);
}

static bool is_current(const struct set *s, const struct kube_object *pod)
{
    const char *rev =
        json_string_value(json_object_get(json_at(pod->body, "metadata.labels"), REVISION_LABEL));
    return rev && strcmp(rev, s->revision) == 0;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* claims of the set become volumes of the pod, each with a claim of its own */
static json_t *volumes_with_claims(const struct set *s, const char *pod)
{
    const json_t *claims = json_at(s->sts->body, "spec.volumeClaimTemplates");
    json_t *list = json_deep_copy(json_at(s->sts->body, "spec.template.spec.volumes"));

    if (!json_is_array(list))
        list = json_array();
    for (size_t i = 0; i < json_array_size(claims); i++) {
        const char *name = json_str(json_array_get(claims, i), "metadata.name", "");
        char *claim = xasprintf("%s-%s", name, pod);
        json_array_append_new(list, json_pack("{s:s, s:{s:s}}", "name", name,
                                              "persistentVolumeClaim", "claimName", claim));
        free(claim);
    }
    return list;
}

static int make_pod(struct set *s, int64_t ordinal)
{
    struct err e;
    char *name = xasprintf("%s-%lld", s->sts->name, (long long)ordinal);
    char *index = xasprintf("%lld", (long long)ordinal);
    json_t *labels = json_pack("{s:s, s:s, s:s}", "statefulset.kubernetes.io/pod-name", name,
                               "apps.kubernetes.io/pod-index", index, REVISION_LABEL, s->revision);
    json_t *more = json_pack("{s:s, s:s, s:o}", "hostname", name, "subdomain",
                             json_str(s->sts->body, "spec.serviceName", ""), "volumes",
                             volumes_with_claims(s, name));

    if (!*json_str(s->sts->body, "spec.serviceName", ""))
        json_object_del(more, "subdomain");
    int rc =
        pod_create(s->l, s->sts, json_at(s->sts->body, "spec.template"), name, labels, more, &e);
    json_decref(labels);
    json_decref(more);
    free(index);
    free(name);
    return rc;
}

static void end_pod(struct set *s, int64_t ordinal)
{
    struct err e;

    res_delete(s->l, "Pod", s->sts->ns, s->pods[ordinal]->name, -1, &e);
}

/* true when nothing stands in the way of the next step */
static bool fill_up(struct set *s)
{
    bool settled = true;

    for (int64_t i = 0; i < s->want; i++) {
        struct kube_object *p = s->pods[i];
        if (!p && make_pod(s, i))
            return false; /* what one is refused for, the next would be too */
        if (!p)
            settled = false;
        else if (pod_is_over(p) && !is_terminating(p))
            end_pod(s, i);
        else if (pod_is_ready(p))
            continue;
        settled = false;
        if (s->ordered)
            return false;
    }
    return settled;
}

/* one at a time from the end when ordered; true when nothing is left to end */
static bool cut_down(struct set *s)
{
    bool done = true;

    for (int64_t i = s->n_pods - 1; i >= s->want; i--) {
        if (!s->pods[i])
            continue;
        done = false;
        if (!is_terminating(s->pods[i]))
            end_pod(s, i);
        if (s->ordered)
            return false;
    }
    return done;
}

/* the newest template, from the end, one pod at a time */
static void update(struct set *s)
{
    const json_t *b = s->sts->body;
    int64_t partition = json_int(b, "spec.updateStrategy.rollingUpdate.partition", 0);

    if (strcmp(json_str(b, "spec.updateStrategy.type", "RollingUpdate"), "OnDelete") == 0)
        return;
    for (int64_t i = s->want - 1; i >= partition; i--)
        if (s->pods[i] && !is_current(s, s->pods[i])) {
            end_pod(s, i);
            return;
        }
}

/* A pod that cannot become ready must not stand in the way of the template that would mend it. */
static bool replace_broken(struct set *s)
{
    for (int64_t i = s->want - 1; i >= 0; i--) {
        struct kube_object *p = s->pods[i];
        if (p && !pod_is_ready(p) && !is_terminating(p) && !is_current(s, p)) {
            end_pod(s, i);
            return true;
        }
    }
    return false;
}

static void write_status(const struct set *s)
{
    int n = 0, ready = 0, updated = 0;
    struct object_list pods;

    list_get(s->l, "Pod", s->sts->ns, object_uid(s->sts), &pods);
    for (unsigned i = 0; i < pods.n; i++) {
        n++;
        ready += pod_is_ready(pods.v[i]);
        updated += is_current(s, pods.v[i]) && !is_terminating(pods.v[i]);
    }
    list_free(&pods);
    res_set_status(s->l, "StatefulSet", s->sts->ns, s->sts->name,
                   json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:I}", "replicas", n,
                             "readyReplicas", ready, "availableReplicas", ready, "currentReplicas",
                             updated, "updatedReplicas", updated, "currentRevision", s->revision,
                             "updateRevision", s->revision, "observedGeneration",
                             (json_int_t)json_int(s->sts->body, "metadata.generation", 1)));
}

static void sync_one(struct local *l, const struct kube_object *sts)
{
    struct set s = {.l = l, .sts = sts, .want = json_int(sts->body, "spec.replicas", 1)};
    char hash[11];

    template_hash(json_at(sts->body, "spec.template"), hash);
    snprintf(s.revision, sizeof(s.revision), "%.52s-%s", sts->name, hash);
    s.ordered =
        strcmp(json_str(sts->body, "spec.podManagementPolicy", "OrderedReady"), "Parallel") != 0;
    collect(&s);
    if (!replace_broken(&s) && fill_up(&s) && cut_down(&s))
        update(&s);
    write_status(&s);
    release(&s);
}

void statefulsets_sync(struct local *l)
{
    struct object_list all;

    list_get(l, "StatefulSet", NULL, NULL, &all);
    for (unsigned i = 0; i < all.n; i++)
        sync_one(l, all.v[i]);
    list_free(&all);
}
