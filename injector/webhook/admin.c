/* admin.c - health and metrics, over HTTP.  Labels come from fixed lists, never from a client. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/io/listener.h"
#include "common/kube/utf8.h"
#include "injector/webhook/wh.h"

#define BACKLOG 64

static const double bounds[WH_BUCKETS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
                                          0.01,   0.025,   0.05,   0.1,   0.5,    2.5};
static const char *const result_names[WH_RESULTS] = {"injected", "skipped", "refused", "failed"};
/* what a request that is no review is answered */
static const unsigned bad_codes[] = {400, 404, 405, 415, 503};
#define N_BAD (sizeof(bad_codes) / sizeof(*bad_codes))

/* ---- counting -------------------------------------------------------------------------------- */

void wh_count_review(struct wh *wh, enum wh_result result, bool dry_run, double seconds)
{
    struct wh_metrics *m = &wh->metrics;
    unsigned i = 0;

    while (i < WH_BUCKETS && seconds > bounds[i])
        i++;
    m->bucket[i]++;
    m->count++;
    m->sum += seconds;
    m->results[result][dry_run]++;
}

void wh_count_bad(struct wh *wh, unsigned status)
{
    for (unsigned i = 0; i < N_BAD; i++)
        if (bad_codes[i] == status)
            wh->metrics.bad[i]++;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    head(out, name, type, help);
    buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void print_reviews(const struct wh_metrics *m, struct buf *out)
{
    uint64_t good = 0;

    head(out, "fsm_injector_reviews_total", "counter", "Pods judged, by what became of them.");
    for (unsigned i = 0; i < WH_RESULTS; i++)
        for (unsigned dry = 0; dry < 2; dry++)
            buf_printf(out,
                       "fsm_injector_reviews_total{result=\"%s\",dry_run=\"%s\"} %" PRIu64 "\n",
                       result_names[i], dry ? "true" : "false", m->results[i][dry]);
    for (unsigned dry = 0; dry < 2; dry++)
        good += m->results[WH_INJECTED][dry] + m->results[WH_SKIPPED][dry];
    head(out, "fsm_admission_webhook_response_total", "counter", "Reviews answered.");
    buf_printf(out,
               "fsm_admission_webhook_response_total{kind=\"Pod\",success=\"true\"} %" PRIu64
               "\nfsm_admission_webhook_response_total{kind=\"Pod\",success=\"false\"} %" PRIu64
               "\n",
               good, m->count - good);
    head(out, "fsm_injector_bad_requests_total", "counter", "Requests that were no review.");
    for (unsigned i = 0; i < N_BAD; i++)
        buf_printf(out, "fsm_injector_bad_requests_total{code=\"%u\"} %" PRIu64 "\n", bad_codes[i],
                   m->bad[i]);
}

static void print_times(const struct wh_metrics *m, struct buf *out)
{
    static const char name[] = "fsm_injector_review_seconds";
    uint64_t sum = 0;

    head(out, name, "histogram", "From the arrival of a review to its answer.");
    for (unsigned i = 0; i < WH_BUCKETS; i++) {
        sum += m->bucket[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bounds[i], sum);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n", name,
               m->count, name, m->sum, name, m->count);
}

static void print_rest(const struct wh *wh, struct buf *out)
{
    const struct wh_metrics *m = &wh->metrics;

    one(out, "fsm_injector_namespace_lookups_total", "counter",
        "Namespaces asked of the API server for a review.", m->lookups);
    one(out, "fsm_injector_namespace_lookup_errors_total", "counter", "... without an answer.",
        m->lookups_failed);
    one(out, "fsm_injector_ca_bundle_patches_total", "counter",
        "Corrections of the webhook's configuration.", m->patches);
    one(out, "fsm_injector_ca_bundle_patch_errors_total", "counter", "... that were refused.",
        m->patches_failed);
    one(out, "fsm_injector_ca_bundle_wrong", "gauge",
        "1 while the webhook's configuration is not as it should be.", *wh->bundle.wrong != '\0');
    one(out, "fsm_injector_ready", "gauge", "1 while reviews are judged.", wh_is_ready(wh));
    one(out, "fsm_injector_certificates_total", "counter", "Certificates of our own.", m->certs);
    head(out, "fsm_injector_certificate_not_after_seconds", "gauge",
         "End of our certificate, in seconds since 1970.");
    buf_printf(out, "fsm_injector_certificate_not_after_seconds %" PRId64 "\n", wh->cert_not_after);
    head(out, "fsm_version_info", "gauge", "What this build is.");
    buf_printf(out, "fsm_version_info{version=\"%s\",build_date=\"%s\",git_commit=\"%s\"} 1\n",
               fsm_version, fsm_build_date, fsm_commit);
}

/* ---- pages ----------------------------------------------------------------------------------- */

typedef void page_fn(struct wh *wh, struct http_req *r);

static void health_ready(struct wh *wh, struct http_req *r)
{
    if (wh_is_ready(wh))
        http_reply_text(r, 200, "Service is ready\n");
    else
        http_reply_text(r, 503, "Readiness probe for fsm-injector indicates it is not ready\n");
}

static void health_alive(struct wh *wh, struct http_req *r)
{
    http_reply_text(r, 200, "Service is alive\n");
}

static void healthz(struct wh *wh, struct http_req *r)
{
    http_reply_text(r, 200, "Health OK\n");
}

static void metrics(struct wh *wh, struct http_req *r)
{
    struct buf out = BUF_INIT;

    print_reviews(&wh->metrics, &out);
    print_times(&wh->metrics, &out);
    print_rest(wh, &out);
    http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    buf_free(&out);
}

/* takes body */
static void reply(struct http_req *r, json_t *body)
{
    http_reply_json(r, 200, body);
    json_decref(body);
}

static void version(struct wh *wh, struct http_req *r)
{
    reply(r, json_pack("{s:s,s:s,s:s}", "version", fsm_version, "git_commit", fsm_commit,
                       "build_date", fsm_build_date));
}

static void problems(struct wh *wh, struct http_req *r)
{
    const struct kube_problems *p = kube_source_problems(wh->source);
    json_t *list = json_array();

    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);
        json_array_append_new(list, json_pack("{s:s,s:s}", "severity", "error", "text", text));
        free(text);
    }
    if (*wh->bundle.wrong) {
        char *text =
            xasprintf("MutatingWebhookConfiguration %s: %s", wh->conf.webhook, wh->bundle.wrong);
        json_array_append_new(list, json_pack("{s:s,s:s}", "severity", "error", "text", text));
        free(text);
    }
    reply(r, list);
}

static void list(struct wh *wh, struct http_req *r);

static const struct page {
    const char *path;
    page_fn *fn;
    const char *what;
} pages[] = {
    {"/", list, "this list"},
    {"/health/ready", health_ready, "200 when resources are read and pods are judged"},
    {"/health/alive", health_alive, "200 while the process runs"},
    {"/healthz", healthz, "the same"},
    {"/metrics", metrics, "Prometheus text"},
    {"/version", version, "what this build is"},
    {"/problems", problems, "what could not be read, and what is wrong with the webhook"},
};
#define N_PAGES (sizeof(pages) / sizeof(*pages))

static void list(struct wh *wh, struct http_req *r)
{
    struct buf out = BUF_INIT;

    for (unsigned i = 0; i < N_PAGES; i++)
        buf_printf(&out, "%-14s %s\n", pages[i].path, pages[i].what);
    http_reply(r, 200, "text/plain; charset=utf-8", buf_slice(&out));
    buf_free(&out);
}

static void on_request(struct http_req *r, void *arg)
{
    enum http_method m = http_req_head(r)->method;

    for (unsigned i = 0; i < N_PAGES; i++) {
        if (!slice_eq_str(http_req_path(r), pages[i].path))
            continue;
        if (m == HTTP_M_GET || m == HTTP_M_HEAD) {
            pages[i].fn(arg, r);
        } else {
            http_req_header(r, "Allow", "GET");
            http_reply_text(r, 405, "expected GET\n");
        }
        return;
    }
    http_reply_text(r, 404, "no such page: see /\n");
}

/* ---- the server ------------------------------------------------------------------------------ */

static int bind_admin(const char *where, struct err *e)
{
    struct ip_port at;

    if (strncmp(where, "unix:", 5) == 0)
        return listener_bind_unix(where + 5, 0600, e);
    if (ip_port_parse(where, &at) < 0)
        return err_set(e, "%s: expected ADDRESS:PORT or unix:/path", where);
    return listener_bind(&at, 0, BACKLOG, e);
}

void wh_admin_stop(struct wh *wh)
{
    if (!wh->admin)
        return;
    http_server_free(wh->admin);
    if (strncmp(wh->conf.admin, "unix:", 5) == 0)
        unlink(wh->conf.admin + 5);
}

int wh_admin_start(struct wh *wh, struct err *e)
{
    struct http_server_opts o = {.name = "admin"};
    int fd = bind_admin(wh->conf.admin, e);

    if (fd < 0)
        return err_prefix(e, "--admin");
    wh->admin = http_server_new(wh->loop, fd, &o, on_request, wh, e);
    return wh->admin ? 0 : -1;
}
