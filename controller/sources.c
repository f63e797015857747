/* sources.c - resources in: changes are collected into batches, each compiled once. */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/notify.h"
#include "common/kube/api.h"
#include "common/policy/settings.h"
#include "controller/cp.h"

/* -v on the command line is not undone by the MeshConfig */
static void follow_log_level(struct cp *cp)
{
    const char *text = policy_settings(cp->policy)->fsm_log_level;
    enum log_level level;

    if (cp->conf.verbose > 0 || log_parse_level(text, &level) < 0 || level == log_get_level())
        return;
    log_info("controller", "log level follows the MeshConfig level=%s", text);
    log_set_level(level);
}

/* the more a compile took, with the answers to proxies, the later the next one */
static void pace(struct cp *cp, uint64_t began_ns)
{
    uint64_t ms = (clock_mono_ns() - began_ns) * CP_SHARE / 1000000;

    ms = ms < CP_PACE_MS ? CP_PACE_MS : ms > CP_PACE_MAX ? CP_PACE_MAX : ms;
    cp->compile_ms = loop_now_ms(cp->loop) + ms;
}

static void end_batch(void *arg)
{
    struct cp *cp = arg;
    uint64_t since = cp->batch_since_ms, begin = clock_mono_ns();
    unsigned changes = cp->batch_events;

    cp->batch_since_ms = cp->batch_events = 0;
    if (!policy_update(cp->policy))
        return;
    double compiled = (double)(clock_mono_ns() - begin) / 1e9;
    follow_log_level(cp);
    cp_proxies_refresh(cp);
    cp_polls_check(cp);
    cp->metrics.updates++;
    metric_observe(&cp->metrics.update_time,
                   compiled + (since ? (double)(loop_now_ms(cp->loop) - since) / 1e3 : 0));
    log_debug("policy", "compiled changes=%u ms=%.3f", changes, compiled * 1e3);
    pace(cp, begin);
}

/* the source ends the batch: what it read together is compiled together */
static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    struct cp *cp = arg;

    cp_metrics_event(&cp->metrics, old, now);
    cp_writer_changed(cp, now ? now : old);
    cp_root_maps_event(cp, now ? now : old);
    if (cp->batch_events++ == 0)
        cp->batch_since_ms = loop_now_ms(cp->loop);
}

static void on_source_batch(struct kube_source *s, void *arg)
{
    struct cp *cp = arg;
    struct policy_stats stats;

    cp_writer_problems(cp);
    if (cp->synced) {
        uint64_t now = loop_now_ms(cp->loop);
        if (cp->batch_events > 0 && !timer_is_set(&cp->batch_timer))
            timer_set(&cp->batch_timer, cp->compile_ms > now ? cp->compile_ms - now : 0);
        return;
    }
    if (!kube_source_synced(s))
        return;
    cp->synced = true;
    end_batch(cp);
    cp_root_maps_check(cp);
    notify_manager("READY=1");
    policy_stats(cp->policy, &stats);
    log_info("controller", "resources read namespaces=%zu services=%zu pods=%zu problems=%u",
             stats.namespaces, stats.services, stats.pods, kube_source_problems(s)->n);
}

/* What the compiler reads.  Endpoints are left out: the control plane of a cluster mirrors every
 * one into EndpointSlices.  Finished pods are nobody's peer, and the only MeshConfig that counts
 * has a name.  ConfigMaps are read to see whether those with the roots are right. */
static void set_wants(struct cp *cp)
{
    const struct kube_want wants[CP_WANTS] = {
        {.kind = "Namespace"},
        {.kind = "Service"},
        {.kind = "EndpointSlice"},
        {.kind = "Pod", .fields = "status.phase!=Succeeded,status.phase!=Failed"},
        {.kind = "MeshConfig",
         .ns = cp->conf.base.fsm_namespace,
         .fields = "metadata.name=" MESH_CONFIG_NAME},
        {.kind = "ConfigMap", .fields = "metadata.name=" CP_ROOT_MAP},
    };

    memcpy(cp->wants, wants, sizeof(wants));
}

static struct kube_source *source_new(struct cp *cp, struct err *e)
{
    const struct opt_list *files = &cp->conf.base.files;

    if (files->n > 0)
        return kube_paths_source_new(cp->loop, files->v, files->n, cp->store, e);
    set_wants(cp);
    return kube_api_source_new(cp->loop, &cp->conf.base.api, cp->wants, CP_WANTS, cp->store, e);
}

int cp_sources_start(struct cp *cp, struct err *e)
{
    struct policy_opts o = {cp->conf.base.mesh_name, cp->conf.base.fsm_namespace,
                            cp->conf.base.trust_domain};

    timer_init(&cp->batch_timer, cp->loop, end_batch, cp);
    cp->store = kube_store_new();
    cp->policy = policy_new(cp->store, &o);
    kube_store_on_change(cp->store, on_change, cp);
    cp->source = source_new(cp, e);
    if (!cp->source)
        return -1;
    kube_source_on_batch(cp->source, on_source_batch, cp);
    return 0;
}

void cp_sources_stop(struct cp *cp)
{
    timer_cancel(&cp->batch_timer);
    if (cp->source)
        kube_source_free(cp->source);
    policy_free(cp->policy);
    if (cp->store)
        kube_store_free(cp->store);
}

static void add_note(const char *object, const char *text, void *arg)
{
    json_array_append_new(
        arg, json_pack("{s:s,s:s,s:s}", "severity", "note", "object", object, "message", text));
}

/* text: NULL = nothing is wrong with it */
static void add_error(json_t *out, const char *object, const char *text)
{
    if (text)
        json_array_append_new(out, json_pack("{s:s,s:s,s:s}", "severity", "error", "object", object,
                                             "message", text));
}

json_t *cp_problems(const struct cp *cp)
{
    const struct kube_problems *p = kube_source_problems(cp->source);
    json_t *out = json_array();

    for (unsigned i = 0; i < p->n; i++) {
        const struct kube_problem *v = &p->v[i];
        char *text = kube_problem_text(v);
        json_array_append_new(out, json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s}", "severity", "error",
                                             "file", v->file ? v->file : "", "line", (int)v->line,
                                             "object", v->object ? v->object : "", "field",
                                             v->field ? v->field : "", "message",
                                             v->message ? v->message : "", "text", text));
        free(text);
    }
    struct kube_api *api = kube_source_api(cp->source);
    add_error(out, "clock", api ? kube_api_clock(api) : NULL);
    add_error(out, "TokenReview", cp_reviews_problem(cp));
    add_error(out, "CA", cp_ca_problem(cp));
    cp_writer_tell(cp, out);
    add_error(out, "ConfigMap " CP_ROOT_MAP, cp_root_maps_problem(cp));
    policy_notes(cp->policy, add_note, out);
    return out;
}
