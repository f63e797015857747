/* inject.c - one injection from question to patch; the order of things. */
#include <string.h>

#include "common/base/codec.h"
#include "common/base/json.h"
#include "injector/inject_int.h"

/* sets parent[key] where parent is metadata's "labels" or "annotations"; nothing if it is so */
static void set_metadata(struct inj_job *job, const char *parent, const json_t *add)
{
    const json_t *now = inj_object(inj_object(job->pod, "metadata"), parent);
    const char *key;
    const json_t *value;
    struct buf path = BUF_INIT;

    buf_printf(&path, "/metadata/%s", parent);
    if (!now) {
        inj_op(job->patch, "add", path.p, json_deep_copy(add));
        buf_free(&path);
        return;
    }
    json_object_foreach ((json_t *)add, key, value) {
        size_t base = path.len;
        const json_t *old = json_object_get(now, key);

        inj_path_key(&path, key);
        if (!json_equal(old, value))
            inj_op(job->patch, old ? "replace" : "add", path.p, json_deep_copy(value));
        path.len = base;
        path.p[base] = '\0';
    }
    buf_free(&path);
}

static void add_annotations(struct inj_job *job)
{
    const char *metrics = inj_annotation(job->cfg->ns_object, "flomesh.io/metrics");
    json_t *add;

    if (!metrics || inj_switch(metrics) != 1)
        return;
    add = json_pack("{s:s, s:s, s:s}", "prometheus.io/scrape", "true", "prometheus.io/port",
                    "15010", "prometheus.io/path", "/stats/prometheus");
    set_metadata(job, "annotations", add);
    json_decref(add);
}

static void add_label(struct inj_job *job)
{
    char uuid[37];
    json_t *add;

    if (!job->cfg->uuid)
        uuid_v4(uuid);
    add = json_pack("{s:s}", INJ_LABEL, job->cfg->uuid ? job->cfg->uuid : uuid);
    set_metadata(job, "labels", add);
    json_decref(add);
}

/* Puts new items (takes it) into a list of spec: before what is there, or behind. */
static void add_to_list(struct inj_job *job, const char *list, json_t *items, bool first)
{
    const json_t *now = inj_list(inj_object(job->pod, "spec"), list);
    struct buf path = BUF_INIT;
    json_t *v;
    size_t i;

    if (!now && json_array_size(items) > 0) {
        buf_printf(&path, "/spec/%s", list);
        inj_op(job->patch, "add", path.p, json_incref(items));
    }
    if (now) {
        json_array_foreach (items, i, v) {
            buf_clear(&path);
            if (first)
                buf_printf(&path, "/spec/%s/%zu", list, i);
            else
                buf_printf(&path, "/spec/%s/-", list);
            inj_op(job->patch, "add", path.p, json_incref(v));
        }
    }
    buf_free(&path);
    json_decref(items);
}

/* iptables: redirection is an init container's work.  -1 and e on an unknown mode. */
static int wants_init(const struct inj_job *job, bool *out)
{
    const char *mode = json_str(job->cfg->meshconfig, "spec.traffic.interceptionMode", "iptables");

    *out = strcmp(mode, "iptables") == 0 || !*mode;
    if (*out || strcmp(mode, "ebpf") == 0 || strcmp(mode, "none") == 0)
        return 0;
    return err_set(job->e,
                   "MeshConfig spec.traffic.interceptionMode: got \"%s\", expected iptables, ebpf "
                   "or none",
                   mode);
}

/* inject.h says which order, and why */
static int add_containers(struct inj_job *job)
{
    bool native = job->cfg->native_sidecar, helper = json_array_size(job->allow) > 0, redirect;
    json_t *init, *plain, *rest;

    if (wants_init(job, &redirect) != 0)
        return -1;
    init = json_array();
    plain = json_array();
    rest = native ? init : plain;
    if (redirect)
        json_array_append_new(init, inj_container_init(job));
    if (helper && !native)
        json_array_append_new(rest, inj_container_healthcheck(job));
    json_array_append_new(rest, inj_container_sidecar(job));
    if (helper && native)
        json_array_append_new(rest, inj_container_healthcheck(job));
    add_to_list(job, "initContainers", init, native);
    add_to_list(job, "containers", plain, false);
    return 0;
}

static int build(struct inj_job *job)
{
    if (inj_lists_read(&job->lists, job->pod, job->cfg->meshconfig, job->e) != 0)
        return -1;
    if (!inj_object(job->pod, "metadata")) /* a Job's template may have none */
        inj_op(job->patch, "add", "/metadata", json_object());
    add_annotations(job);
    add_label(job);
    if (inj_probes(job) != 0 || add_containers(job) != 0)
        return -1;
    add_to_list(job, "volumes", json_pack("[o]", inj_identity_volume()), false);
    return 0;
}

enum inj_verdict inj_pod(const json_t *pod, const struct inj_config *cfg, json_t **patch,
                         const char **reason, struct err *e)
{
    struct inj_job job = {.pod = pod, .cfg = cfg, .e = e};
    enum inj_verdict v;

    *patch = NULL;
    *reason = NULL;
    if (inj_check_annotations(pod, "pod", e) != 0 ||
        inj_check_annotations(cfg->ns_object, "namespace", e) != 0)
        return INJ_REFUSED;
    v = inj_member(pod, cfg, reason, e);
    if (v != INJ_PATCH)
        return v;
    if (inj_is_injected(pod, cfg)) {
        *reason = "the pod is injected already";
        return inj_check_injected(pod, e) < 0 ? INJ_REFUSED : INJ_SKIP;
    }
    if (inj_check_pod(pod, e) != 0)
        return INJ_REFUSED;
    job.patch = json_array();
    job.allow = json_array();
    if (build(&job) == 0)
        *patch = json_incref(job.patch);
    json_decref(job.patch);
    json_decref(job.allow);
    inj_lists_free(&job.lists);
    return *patch ? INJ_PATCH : INJ_REFUSED;
}
