/* metrics.c - counters, and their text for Prometheus.  Labels come from resources and from fixed
 * lists, never from a client. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "controller/cp.h"

static const double bounds[METRIC_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                              0.05,   0.1,   0.25,   0.5,   1,    2.5};

struct cp_request_metric {
    uint64_t count;
    bool timed;
    struct metric_times time;
};

void cp_metrics_init(struct cp_metrics *m)
{
    m->events = table_new(free);
    m->requests = table_new(free);
    m->update_time.bounds = m->cert_time.bounds = m->review_time.bounds = bounds;
}

void cp_metrics_clear(struct cp_metrics *m)
{
    table_free(m->events);
    table_free(m->requests);
}

void cp_metrics_request(struct cp_metrics *m, unsigned code, const char *method, const char *path,
                        double seconds)
{
    char key[128];
    struct cp_request_metric *r;

    snprintf(key, sizeof(key), "code=\"%u\",method=\"%s\",path=\"%s\"", code, method, path);
    r = table_get_str(m->requests, key);
    if (!r) {
        r = xcalloc(1, sizeof(*r));
        r->time.bounds = bounds;
        table_put_str(m->requests, key, r);
    }
    r->count++;
    if (seconds >= 0) {
        r->timed = true;
        metric_observe(&r->time, seconds);
    }
}

enum { EV_ADDED, EV_MODIFIED, EV_DELETED, EV_KINDS };

void cp_metrics_event(struct cp_metrics *m, const struct kube_object *old,
                      const struct kube_object *now)
{
    const char *ns = (now ? now : old)->ns;
    uint64_t *counts = table_get_str(m->events, ns);

    if (!counts) {
        counts = xcalloc(EV_KINDS, sizeof(*counts));
        table_put_str(m->events, ns, counts);
    }
    counts[!old ? EV_ADDED : !now ? EV_DELETED : EV_MODIFIED]++;
}

/* ---- text
 * ---------------------------------------------------------------------------------------- */

static void print_events(const struct cp *cp, struct buf *out)
{
    static const char *const types[EV_KINDS] = {"added", "modified", "deleted"};
    struct slice ns;
    uint64_t *counts;

    metric_head(out, "fsm_k8s_api_event_count", "counter", "Changes of resources seen.");
    table_foreach (cp->metrics.events, it, &ns, &counts)
        for (unsigned i = 0; i < EV_KINDS; i++)
            if (counts[i])
                buf_printf(out,
                           "fsm_k8s_api_event_count{type=\"%s\",namespace=\"%.*s\"} %" PRIu64 "\n",
                           types[i], SLICE_FMT(ns), counts[i]);
    metric_one(out, "fsm_events_queued", "gauge", "Changes that wait for their batch to end.",
               cp->batch_events);
}

static void print_policy(const struct cp *cp, struct buf *out)
{
    struct policy_stats s;

    policy_stats(cp->policy, &s);
    metric_one(out, "fsm_resource_namespace_count", "gauge", "Namespaces in the mesh.",
               s.namespaces);
    metric_one(out, "fsm_resource_service_count", "gauge", "Services of the mesh.", s.services);
    metric_one(out, "fsm_resource_pod_count", "gauge", "Pods with a sidecar.", s.pods);
    metric_one(out, "fsm_policy_compiled_total", "counter", "Services compiled.", s.compiled);
    metric_one(out, "fsm_policy_fragment_bytes", "gauge",
               "Text of the fragments that documents share.", s.bytes);
    metric_one(out, "fsm_proxy_broadcast_event_count", "counter", "Batches of changes compiled.",
               cp->metrics.updates);
    metric_head(out, "fsm_proxy_config_update_time", "histogram",
                "Seconds from the first change of a batch to documents.");
    metric_print_times(out, "fsm_proxy_config_update_time",
                       "resource_type=\"document\",success=\"true\"", &cp->metrics.update_time);
}

static void print_proxy(const struct cp_proxy *px, const char *name, const char *type,
                        uint64_t value, struct buf *out)
{
    const struct mesh_pod *pod = policy_proxy_pod(px->px);
    struct buf id = BUF_INIT, uuid = BUF_INIT;

    mesh_identity(pod->sa, pod->ns, &id);
    mesh_pod_uuid(pod, &uuid);
    buf_printf(out, "%s{proxy_uuid=\"%s\",identity=\"%s\",type=\"%s\"} %" PRIu64 "\n", name, uuid.p,
               id.p, type, value);
    buf_free(&id);
    buf_free(&uuid);
}

static void print_proxies(const struct cp *cp, struct buf *out)
{
    static const char good[] = "fsm_proxy_response_send_success_count";
    static const char bad[] = "fsm_proxy_response_send_error_count";
    const struct cp_metrics *m = &cp->metrics;
    struct cp_proxy *px;

    metric_one(out, "fsm_proxy_connect_count", "gauge", "Proxies connected.",
               cp_proxies_connected(cp));
    metric_one(out, "fsm_proxy_waiting_count", "gauge", "Polls that wait.", cp->n_waiting);
    metric_one(out, "fsm_proxy_reconnect_count", "counter",
               "Proxies that came with a version this process did not serve.", m->reconnects);
    metric_one(out, "fsm_proxy_max_connections_rejected", "counter", "Proxies above the limit.",
               m->rejected);
    metric_one(out, "fsm_proxy_document_bytes_total", "counter", "Whole documents sent.",
               m->document_bytes);
    metric_one(out, "fsm_proxy_patch_bytes_total", "counter", "Patches sent.", m->patch_bytes);
    metric_one(out, "fsm_proxy_not_modified_total", "counter", "Polls that ended without news.",
               m->not_modified);
    metric_head(out, good, "counter", "Documents and patches answered.");
    table_foreach (cp->proxies, it, NULL, &px) {
        print_proxy(px, good, "document", px->documents, out);
        print_proxy(px, good, "patch", px->patches, out);
    }
    metric_head(out, bad, "counter", "Documents that the proxy refused.");
    table_foreach (cp->proxies, it, NULL, &px)
        print_proxy(px, bad, "document", px->errors, out);
}

static void print_certs(const struct cp *cp, struct buf *out)
{
    metric_one(out, "fsm_cert_issued_count", "counter", "Certificates issued to proxies.",
               cp->metrics.certs);
    metric_head(out, "fsm_cert_issued_time", "histogram", "Seconds to issue one.");
    metric_print_times(out, "fsm_cert_issued_time", "", &cp->metrics.cert_time);
    metric_head(out, "fsm_error_err_code_count", "counter",
                "Errors by code; E4013: a certificate could "
                "not be issued.");
    buf_printf(out, "fsm_error_err_code_count{err_code=\"E4013\"} %" PRIu64 "\n",
               cp->metrics.cert_errors);
}

static void print_requests(const struct cp *cp, struct buf *out)
{
    struct cp_request_metric *r;
    struct slice labels;

    metric_head(out, "fsm_http_response_total", "counter", "Requests answered.");
    table_foreach (cp->metrics.requests, it, &labels, &r)
        buf_printf(out, "fsm_http_response_total{%.*s} %" PRIu64 "\n", SLICE_FMT(labels), r->count);
    metric_head(out, "fsm_http_response_duration", "histogram",
                "Seconds to answer, polls left out.");
    table_foreach (cp->metrics.requests, it, &labels, &r) {
        if (!r->timed)
            continue;
        char *text = xstrndup(labels.p, labels.n);
        metric_print_times(out, "fsm_http_response_duration", text, &r->time);
        free(text);
    }
}

static void print_features(const struct cp *cp, struct buf *out)
{
    const char *flag;
    json_t *value;

    metric_head(out, "fsm_feature_flag_enabled", "gauge", "Feature flags of the MeshConfig.");
    json_object_foreach ((json_t *)policy_settings(cp->policy)->feature_flags, flag, value)
        buf_printf(out, "fsm_feature_flag_enabled{feature_flag=\"%s\"} %d\n", flag,
                   json_is_true(value));
    metric_version(out);
}

struct kinds {
    struct kube_kind_stats v[CP_WANTS];
    unsigned n;
};

static void add_kind(const struct kube_kind_stats *k, void *arg)
{
    struct kinds *all = arg;

    if (all->n < CP_WANTS)
        all->v[all->n++] = *k;
}

static void print_trouble(const struct kinds *all, struct buf *out)
{
    metric_head(out, "fsm_kube_errors_total", "counter", "Lists and watches that failed, and why.");
    for (unsigned i = 0; i < all->n; i++)
        for (unsigned t = 0; t < KUBE_TROUBLES_N; t++)
            buf_printf(out, "fsm_kube_errors_total{kind=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                       all->v[i].kind, kube_trouble_names[t], all->v[i].errors[t]);
}

/* one number of each kind; at: its offset in struct kube_kind_stats */
static void per_kind(const struct kinds *all, const char *name, const char *type, const char *help,
                     size_t at, struct buf *out)
{
    metric_head(out, name, type, help);
    for (unsigned i = 0; i < all->n; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&all->v[i] + at, sizeof(value));
        buf_printf(out, "%s{kind=\"%s\"} %" PRIu64 "\n", name, all->v[i].kind, value);
    }
}

static void print_ages(const struct cp *cp, const struct kinds *all, struct buf *out)
{
    uint64_t now = loop_now_ms(cp->loop);

    metric_head(out, "fsm_kube_synced", "gauge", "1 once all objects of the kind were read.");
    for (unsigned i = 0; i < all->n; i++)
        buf_printf(out, "fsm_kube_synced{kind=\"%s\"} %d\n", all->v[i].kind, all->v[i].synced);
    metric_head(out, "fsm_kube_last_event_age_seconds", "gauge",
                "Since the API server last said something about the kind.");
    for (unsigned i = 0; i < all->n; i++)
        if (all->v[i].heard_ms)
            buf_printf(out, "fsm_kube_last_event_age_seconds{kind=\"%s\"} %.3f\n", all->v[i].kind,
                       (double)(now - all->v[i].heard_ms) / 1e3);
}

/* nothing where resources are files */
static void print_kinds(const struct cp *cp, struct buf *out)
{
    struct kinds all = {.n = 0};

    kube_source_stats(cp->source, add_kind, &all);
    if (all.n == 0)
        return;
    per_kind(&all, "fsm_kube_objects", "gauge", "Objects of an API server that are held.",
             offsetof(struct kube_kind_stats, objects), out);
    per_kind(&all, "fsm_kube_lists_total", "counter", "Lists begun.",
             offsetof(struct kube_kind_stats, lists), out);
    per_kind(&all, "fsm_kube_watches_total", "counter", "Watches begun.",
             offsetof(struct kube_kind_stats, watches), out);
    per_kind(&all, "fsm_kube_events_total", "counter", "Events of watches, bookmarks too.",
             offsetof(struct kube_kind_stats, events), out);
    print_ages(cp, &all, out);
    print_trouble(&all, out);
}

/* nothing where a key verifies tokens */
static void print_reviews(const struct cp *cp, struct buf *out)
{
    static const char *const names[TOKEN_VERDICTS_N] = {[TOKEN_GOOD] = "good",
                                                        [TOKEN_REFUSED] = "refused",
                                                        [TOKEN_UNKNOWN] = "unknown",
                                                        [TOKEN_AWAY] = "away"};

    if (!cp->reviews)
        return;
    metric_head(out, "fsm_token_reviews_total", "counter",
                "Tokens that the API server was asked about; away: nothing could be asked.");
    for (unsigned i = 0; i < TOKEN_VERDICTS_N; i++)
        buf_printf(out, "fsm_token_reviews_total{verdict=\"%s\"} %" PRIu64 "\n", names[i],
                   cp->metrics.reviews[i]);
    metric_one(out, "fsm_token_reviews_waiting", "gauge",
               "Tokens that are asked about, or will be.", cp_reviews_n(cp));
    metric_head(out, "fsm_token_review_time", "histogram",
                "Seconds until the API server answered.");
    metric_print_times(out, "fsm_token_review_time", "", &cp->metrics.review_time);
}

void cp_metrics_print(struct buf *out, void *arg)
{
    struct cp *cp = arg;

    print_events(cp, out);
    print_kinds(cp, out);
    print_policy(cp, out);
    print_proxies(cp, out);
    print_certs(cp, out);
    print_reviews(cp, out);
    cp_writer_print(cp, out);
    print_requests(cp, out);
    print_features(cp, out);
}
