/* job.c - pods that run to their end, until enough have succeeded. */
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define BACKOFF_LIMIT  6
#define BACKOFF_MAX_MS (360 * 1000) /* as Kubernetes */

struct job {
    struct local *l;
    const struct kube_object *o;
    struct object_list pods;
    int64_t completions, parallelism; /* completions -1: any one success ends it */
    int active, ready, succeeded, failed;
    int64_t last_failed_ms;
    json_t *status; /* owned; the new one */
};

static bool is_finished(const json_t *body)
{
    const char *done = condition_get(body, "Complete"), *failed = condition_get(body, "Failed");
    return (done && strcmp(done, "True") == 0) || (failed && strcmp(failed, "True") == 0);
}

static int64_t time_of(const json_t *o, const char *path)
{
    const char *text = json_str(o, path, NULL);
    int64_t ms;

    return text && clock_parse_rfc3339(text, &ms) == 0 ? ms : 0;
}

static int64_t failed_at(const struct kube_object *pod)
{
    const json_t *list = json_at(pod->body, "status.containerStatuses");
    int64_t latest = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        int64_t t = time_of(json_array_get(list, i), "state.terminated.finishedAt");
        latest = t > latest ? t : latest;
    }
    return latest;
}

/* restarts of containers count as failures too (restartPolicy OnFailure) */
static int restarts_of(const struct kube_object *pod)
{
    const json_t *list = json_at(pod->body, "status.containerStatuses");
    int n = 0;

    for (size_t i = 0; i < json_array_size(list); i++)
        n += (int)json_int(json_array_get(list, i), "restartCount", 0);
    return n;
}

static void count(struct job *j)
{
    bool on_failure =
        strcmp(json_str(j->o->body, "spec.template.spec.restartPolicy", ""), "OnFailure") == 0;

    for (unsigned i = 0; i < j->pods.n; i++) {
        const struct kube_object *p = j->pods.v[i];
        const char *phase = json_str(p->body, "status.phase", "");
        if (strcmp(phase, "Succeeded") == 0) {
            j->succeeded++;
        } else if (strcmp(phase, "Failed") == 0) {
            int64_t at = failed_at(p);
            j->failed++;
            j->last_failed_ms = at > j->last_failed_ms ? at : j->last_failed_ms;
        } else if (!is_terminating(p)) {
            j->active++;
            j->ready += pod_is_ready(p);
            if (on_failure)
                j->failed += restarts_of(p);
        }
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void end_active(struct job *j)
{
    struct err e;

    for (unsigned i = 0; i < j->pods.n; i++)
        if (!pod_is_over(j->pods.v[i]) && !is_terminating(j->pods.v[i]))
            res_delete(j->l, "Pod", j->o->ns, j->pods.v[i]->name, -1, &e);
}

static void finish(struct job *j, const char *type, const char *reason, const char *message)
{
    condition_set(j->status, type, true, reason, message);
    if (strcmp(type, "Complete") == 0)
        json_object_set_new(j->status, "completionTime", time_now());
    local_event(j->l, j->o, strcmp(type, "Failed") == 0 ? "Warning" : "Normal",
                reason ? reason : "Completed", "%s", message ? message : "Job completed");
    end_active(j);
    j->active = j->ready = 0;
}

static bool over_deadline(struct job *j)
{
    int64_t limit = (int64_t)seconds_ms(j->o->body, "spec.activeDeadlineSeconds", 0);
    int64_t left = time_of(j->o->body, "metadata.creationTimestamp") + limit - clock_wall_ms();

    if (!limit)
        return false;
    if (left > 0)
        workload_again(j->l, (uint64_t)left);
    return left <= 0;
}

/* true when the Job has come to an end just now */
static bool judge(struct job *j)
{
    int64_t need = j->completions < 0 ? 1 : j->completions;
    bool waits = j->completions < 0 && j->active > 0; /* a work queue: all pods finish */

    if (j->succeeded >= need && !waits)
        finish(j, "Complete", NULL, NULL);
    else if (j->failed > json_int(j->o->body, "spec.backoffLimit", BACKOFF_LIMIT))
        finish(j, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    else if (over_deadline(j))
        finish(j, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline");
    else
        return false;
    return true;
}

/* ---- more pods ------------------------------------------------------------------------------- */

/* ms that a new pod has to wait after the last failure, which doubles each time */
static int64_t backoff_left(const struct job *j)
{
    int64_t wait = j->l->in->backoff_ms;

    if (!j->failed)
        return 0;
    for (int i = 1; i < j->failed && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    return j->last_failed_ms + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS) - clock_wall_ms();
}

static void make_pods(struct job *j, int64_t n)
{
    const char *uid = object_uid(j->o);
    json_t *labels =
        json_pack("{s:s, s:s, s:s, s:s}", "job-name", j->o->name, "batch.kubernetes.io/job-name",
                  j->o->name, "controller-uid", uid, "batch.kubernetes.io/controller-uid", uid);
    struct err e;
    int rc = 0;

    for (; n > 0 && rc == 0; n--) {
        char suffix[6];
        random_suffix(suffix, 5);
        char *name = xasprintf("%.57s-%s", j->o->name, suffix);
        rc = pod_create(j->l, j->o, json_at(j->o->body, "spec.template"), name, labels, NULL, &e);
        if (rc == 0)
            j->active++;
        free(name);
    }
    json_decref(labels);
}

static void keep_busy(struct job *j)
{
    int64_t want = j->parallelism, wait = backoff_left(j);

    if (j->completions >= 0 && want > j->completions - j->succeeded)
        want = j->completions - j->succeeded;
    if (j->completions < 0 && j->succeeded > 0)
        want = 0;
    if (json_bool(j->o->body, "spec.suspend", false)) {
        end_active(j);
        return;
    }
    if (want <= j->active)
        return;
    if (wait > 0)
        workload_again(j->l, (uint64_t)wait);
    else
        make_pods(j, want - j->active);
}

static void expire(struct local *l, const struct kube_object *o)
{
    bool has_ttl = json_is_integer(json_at(o->body, "spec.ttlSecondsAfterFinished"));
    int64_t ttl_ms = (int64_t)seconds_ms(o->body, "spec.ttlSecondsAfterFinished", 0);
    int64_t end = time_of(o->body, "status.completionTime");
    struct err e;

    if (!has_ttl || !end)
        return;
    int64_t left = end + ttl_ms - clock_wall_ms();
    if (left > 0)
        workload_again(l, (uint64_t)left);
    else
        res_delete(l, "Job", o->ns, o->name, -1, &e);
}

static void sync_one(struct local *l, const struct kube_object *o)
{
    struct job j = {.l = l, .o = o, .completions = -1};

    if (is_finished(o->body)) {
        expire(l, o);
        return;
    }
    j.parallelism = json_int(o->body, "spec.parallelism", 1);
    if (json_is_integer(json_at(o->body, "spec.completions")))
        j.completions = json_int(o->body, "spec.completions", 1);
    else if (j.parallelism == 1)
        j.completions = 1;
    j.status = json_deep_copy(json_object_get(o->body, "status")) ?: json_object();
    if (!json_object_get(j.status, "startTime"))
        json_object_set_new(j.status, "startTime", time_now());
    list_get(l, "Pod", o->ns, object_uid(o), &j.pods);
    count(&j);
    if (!judge(&j))
        keep_busy(&j);
    json_object_set_new(j.status, "active", json_integer(j.active));
    json_object_set_new(j.status, "ready", json_integer(j.ready));
    json_object_set_new(j.status, "succeeded", json_integer(j.succeeded));
    json_object_set_new(j.status, "failed", json_integer(j.failed));
    res_set_status(l, "Job", o->ns, o->name, j.status);
    list_free(&j.pods);
}

void jobs_sync(struct local *l)
{
    struct object_list all;

    list_get(l, "Job", NULL, NULL, &all);
    for (unsigned i = 0; i < all.n; i++)
        sync_one(l, all.v[i]);
    list_free(&all);
}
