/* admin.c - health and metrics, over HTTP.  Labels come from fixed lists, never from a client. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/api.h"
#include "injector/webhook/wh.h"

static const double bounds[METRIC_BUCKETS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                              0.01,   0.025,   0.05,   0.1,   0.5,    2.5};
static const char *const result_names[WH_RESULTS] = {"injected", "skipped", "refused", "failed"};
/* what a request that is no review is answered */
static const unsigned bad_codes[] = {400, 404, 405, 415, 503};
#define N_BAD (sizeof(bad_codes) / sizeof(*bad_codes))

/* ---- counting -------------------------------------------------------------------------------- */

void wh_count_review(struct wh *wh, enum wh_result result, bool dry_run, double seconds)
{
    struct wh_metrics *m = &wh->metrics;

    metric_observe(&m->time, seconds);
    m->results[result][dry_run]++;
}

void wh_count_validation(struct wh *wh, enum check_verdict v, bool dry_run, double seconds)
{
    metric_observe(&wh->metrics.check_time, seconds);
    wh->metrics.verdicts[v][dry_run]++;
}

void wh_count_bad(struct wh *wh, unsigned status)
{
    for (unsigned i = 0; i < N_BAD; i++)
        if (bad_codes[i] == status)
            wh->metrics.bad[i]++;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_reviews(const struct wh_metrics *m, struct buf *out)
{
    uint64_t good = 0;

    metric_head(out, "fsm_injector_reviews_total", "counter",
                "Pods judged, by what became of them.");
    for (unsigned i = 0; i < WH_RESULTS; i++)
        for (unsigned dry = 0; dry < 2; dry++)
            buf_printf(out,
                       "fsm_injector_reviews_total{result=\"%s\",dry_run=\"%s\"} %" PRIu64 "\n",
                       result_names[i], dry ? "true" : "false", m->results[i][dry]);
    for (unsigned dry = 0; dry < 2; dry++)
        good += m->results[WH_INJECTED][dry] + m->results[WH_SKIPPED][dry];
    metric_head(out, "fsm_admission_webhook_response_total", "counter", "Reviews answered.");
    buf_printf(out,
               "fsm_admission_webhook_response_total{kind=\"Pod\",success=\"true\"} %" PRIu64
               "\nfsm_admission_webhook_response_total{kind=\"Pod\",success=\"false\"} %" PRIu64
               "\n",
               good, m->time.count - good);
    metric_head(out, "fsm_injector_bad_requests_total", "counter", "Requests that were no review.");
    for (unsigned i = 0; i < N_BAD; i++)
        buf_printf(out, "fsm_injector_bad_requests_total{code=\"%u\"} %" PRIu64 "\n", bad_codes[i],
                   m->bad[i]);
}

static void print_validations(const struct wh_metrics *m, struct buf *out)
{
    static const char *const names[CHECK_VERDICTS_N] = {
#define X(name) #name,
        CHECK_VERDICTS(X)
#undef X
    };

    metric_head(out, "fsm_injector_validations_total", "counter",
                "Resources of the mesh judged, by verdict.");
    for (unsigned i = 0; i < CHECK_VERDICTS_N; i++)
        for (unsigned dry = 0; dry < 2; dry++)
            buf_printf(
                out, "fsm_injector_validations_total{verdict=\"%s\",dry_run=\"%s\"} %" PRIu64 "\n",
                names[i], dry ? "true" : "false", m->verdicts[i][dry]);
    metric_head(out, "fsm_injector_validation_seconds", "histogram",
                "From the arrival of such a review to its answer.");
    metric_print_times(out, "fsm_injector_validation_seconds", "", &m->check_time);
}

static unsigned wrong_bundles(const struct wh *wh)
{
    unsigned n = 0;

    for (unsigned i = 0; i < WH_BUNDLES; i++)
        n += *wh->bundles[i].wrong != '\0';
    return n;
}

static void print_rest(const struct wh *wh, struct buf *out)
{
    const struct wh_metrics *m = &wh->metrics;

    metric_one(out, "fsm_injector_namespace_lookups_total", "counter",
               "Namespaces asked of the API server for a review.", m->lookups);
    metric_one(out, "fsm_injector_namespace_lookup_errors_total", "counter",
               "... without an answer.", m->lookups_failed);
    metric_one(out, "fsm_injector_ca_bundle_patches_total", "counter",
               "Corrections of the webhooks' configurations.", m->patches);
    metric_one(out, "fsm_injector_ca_bundle_patch_errors_total", "counter",
               "... that were refused.", m->patches_failed);
    metric_one(out, "fsm_injector_ca_bundle_wrong", "gauge",
               "Configurations of the webhooks that are not as they should be.", wrong_bundles(wh));
    metric_one(out, "fsm_injector_ready", "gauge", "1 while reviews are judged.", wh_is_ready(wh));
    metric_one(out, "fsm_injector_certificates_total", "counter", "Certificates of our own.",
               wh->own.made);
    metric_head(out, "fsm_injector_certificate_not_after_seconds", "gauge",
                "End of our certificate, in seconds since 1970.");
    buf_printf(out, "fsm_injector_certificate_not_after_seconds %" PRId64 "\n", wh->own.not_after);
    metric_version(out);
}

static void print(struct buf *out, void *self)
{
    const struct wh *wh = self;

    print_reviews(&wh->metrics, out);
    metric_head(out, "fsm_injector_review_seconds", "histogram",
                "From the arrival of a review to its answer.");
    metric_print_times(out, "fsm_injector_review_seconds", "", &wh->metrics.time);
    print_validations(&wh->metrics, out);
    print_rest(wh, out);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static bool is_ready(const void *self)
{
    return wh_is_ready(self);
}

static void problems(struct http_req *r, void *self)
{
    const struct wh *wh = self;
    const struct kube_problems *p = kube_source_problems(wh->source);
    json_t *list = json_array();

    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);
        json_array_append_new(list, json_pack("{s:s,s:s}", "severity", "error", "text", text));
        free(text);
    }
    const struct kube_api *api = kube_source_api(wh->source);
    if (api && kube_api_clock(api))
        json_array_append_new(
            list, json_pack("{s:s,s:s}", "severity", "error", "text", kube_api_clock(api)));
    for (unsigned i = 0; i < WH_BUNDLES; i++) {
        const struct wh_bundle *b = &wh->bundles[i];
        if (!*b->wrong)
            continue;
        char *text = xasprintf("%s %s: %s", b->kind, b->name, b->wrong);
        json_array_append_new(list, json_pack("{s:s,s:s}", "severity", "error", "text", text));
        free(text);
    }
    http_reply_json(r, 200, list);
    json_decref(list);
}

static const struct daemon_page pages[] = {
    {"GET", "/problems", problems, "what could not be read, and what is wrong with the webhooks",
     .local = true},
    {NULL},
};

int wh_admin_start(struct wh *wh, struct err *e)
{
    wh->metrics.time.bounds = wh->metrics.check_time.bounds = bounds;
    wh->admin = daemon_admin_start(
        wh->loop,
        &(struct daemon_admin_conf){.where = wh->conf.base.admin,
                                    .name = "fsm-injector",
                                    .ready = "200 when resources are read and pods are judged",
                                    .pages = pages,
                                    .is_ready = is_ready,
                                    .metrics = print,
                                    .self = wh},
        e);
    return wh->admin ? 0 : -1;
}
