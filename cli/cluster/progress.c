/* progress.c - see progress.h. */
#include "cli/cluster/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cluster/plane.h"
#include "cli/cluster/render.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/utf8.h"

#define LOOK_MS 500

static uint64_t begun_ms, until_ms;

void progress_begin(unsigned long long timeout_ms)
{
    begun_ms = clock_mono_ms();
    until_ms = begun_ms + timeout_ms;
}

void progress(const char *fmt, ...)
{
    uint64_t ms = clock_mono_ms() - begun_ms;
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "[%3llu.%llu s] ", (unsigned long long)ms / 1000,
            (unsigned long long)ms % 1000 / 100);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

bool progress_wait(void)
{
    struct timespec t = {LOOK_MS / 1000, (LOOK_MS % 1000) * 1000000};

    if (clock_mono_ms() >= until_ms)
        return false;
    nanosleep(&t, NULL);
    return true;
}

char *progress_names(const json_t *names, size_t n)
{
    struct buf b = BUF_INIT;
    size_t all = json_array_size(names);

    for (size_t i = 0; i < all && i < n; i++)
        buf_printf(&b, "%s%s",
                   i == 0         ? ""
                   : i + 1 == all ? " and "
                                  : ", ",
                   json_string_value(json_array_get(names, i)));
    if (all > n)
        buf_printf(&b, " and %zu more", all - n);
    return buf_take(&b);
}

/* ---- are they ready? ------------------------------------------------------------------------- */

static bool is_ready(const json_t *d)
{
    int64_t want = json_int(d, "spec.replicas", 1);

    return json_int(d, "status.observedGeneration", 0) >= json_int(d, "metadata.generation", 1) &&
           json_int(d, "status.updatedReplicas", 0) >= want &&
           json_int(d, "status.replicas", 0) == want &&
           json_int(d, "status.availableReplicas", 0) >= want;
}

/* "fsm-controller 0/1, fsm-injector 2/2"; returns owned */
static char *state_of(const json_t *deployments, bool *ready)
{
    struct buf b = BUF_INIT;

    *ready = json_array_size(deployments) > 0;
    for (size_t i = 0; i < json_array_size(deployments); i++) {
        const json_t *d = json_array_get(deployments, i);
        buf_printf(&b, "%s%s %lld/%lld", b.len ? ", " : "", json_str(d, "metadata.name", ""),
                   (long long)json_int(d, "status.availableReplicas", 0),
                   (long long)json_int(d, "spec.replicas", 1));
        *ready = *ready && is_ready(d);
    }
    return buf_take(&b);
}

/* every webhook among the objects has a CA bundle */
static bool is_trusted(struct cluster *c, const json_t *objects)
{
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *o = json_array_get(objects, i);
        struct err ignored;
        json_t *now;
        if (!json_object_get(o, "webhooks"))
            continue;
        char *path = cluster_path_of(o, false);
        cluster_get(c, path, &now, &ignored);
        const json_t *hook = json_array_get(json_object_get(now, "webhooks"), 0);
        bool has = *json_str(hook, "clientConfig.caBundle", "");
        json_decref(now);
        free(path);
        if (!has)
            return false;
    }
    return true;
}

/* ---- and if not, why ------------------------------------------------------------------------- */

static void tell_waiting(const json_t *pod, const char *list)
{
    const json_t *all = json_at(pod, list);

    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *s = json_array_get(all, i);
        const char *reason = json_str(s, "state.waiting.reason", NULL);
        if (!reason)
            reason = json_str(s, "state.terminated.reason", NULL);
        if (!reason)
            continue;
        char *message = utf8_clean(json_str(s, "state.waiting.message", ""));
        fprintf(stderr, "  %s: container %s: %s %s\n", json_str(pod, "metadata.name", ""),
                json_str(s, "name", ""), reason, message);
        free(message);
    }
}

static void tell_pod(const json_t *pod)
{
    const json_t *conditions = json_at(pod, "status.conditions");

    fprintf(stderr, "Status for pod %s: %s\n", json_str(pod, "metadata.name", ""),
            json_str(pod, "status.phase", "unknown"));
    for (size_t i = 0; i < json_array_size(conditions); i++) {
        const json_t *one = json_array_get(conditions, i);
        if (strcmp(json_str(one, "status", ""), "True") == 0)
            continue;
        char *message = utf8_clean(json_str(one, "message", json_str(one, "reason", "")));
        fprintf(stderr, "  %s: not %s: %s\n", json_str(pod, "metadata.name", ""),
                json_str(one, "type", ""), message);
        free(message);
    }
    tell_waiting(pod, "status.initContainerStatuses");
    tell_waiting(pod, "status.containerStatuses");
}

static void tell_pods(struct cluster *c, const char *ns)
{
    struct err e;
    json_t *pods = plane_pods(c, ns, &e);

    for (size_t i = 0; i < json_array_size(pods); i++)
        tell_pod(json_array_get(pods, i));
    if (pods && !json_array_size(pods))
        fprintf(stderr, "There are no pods: do the Deployments' events say why?\n");
    json_decref(pods);
}

int rollout_wait(struct cluster *c, const char *ns, const char *mesh, const json_t *objects,
                 struct err *e)
{
    char *query = xasprintf("labelSelector=" LABEL_INSTANCE "%%3D%s", mesh), *last = xstrdup("");
    bool ready = false, timely = true;

    while (!ready && timely) {
        json_t *deployments = cluster_list(c, kube_kind_by_key("Deployment"), ns, query, NULL, e);
        char *state = deployments ? state_of(deployments, &ready) : xstrdup(e->text);
        if (ready && !is_trusted(c, objects)) {
            ready = false;
            free(state);
            state = xstrdup("fsm-injector writes the webhook's CA bundle");
        }
        if (strcmp(state, last) != 0)
            progress("%s%s", ready ? "ready: " : "waiting: ", state);
        free(last);
        last = state;
        json_decref(deployments);
        timely = ready || progress_wait();
    }
    free(query);
    if (!ready) {
        tell_pods(c, ns);
        err_set(e, "not ready in time: %s", last);
    }
    free(last);
    return ready ? 0 : -1;
}
