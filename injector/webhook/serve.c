/* serve.c - HTTPS: what is asked, and by which rules it is answered.
 *
 * Nothing is written anywhere on behalf of a review: a pod's identity is its own token, so that a
 * dry run is answered like any other and leaves nothing behind.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/names.h"
#include "injector/webhook/wh.h"

#define MUTATE   "/mutate-pod-creation"
#define VALIDATE "/validate"
/* An API server sends each review that is under way over a connection of its own. */
#define MAX_CONNS 4096
#define FIRST_MS  5000
/* It closes its idle connections after 90 s.  If we did first, a review could meet the closing. */
#define IDLE_MS 180000

/* one review, from its arrival to its answer */
struct job {
    struct http_req *r;
    struct review rv;
    uint64_t began_ns;
    bool asked; /* the namespace is what the API server says now */
};

/* ---- answers --------------------------------------------------------------------------------- */

static void refuse(struct wh *wh, struct http_req *r, unsigned status, const char *text)
{
    wh_count_bad(wh, status);
    log_debug("review", "request refused status=%u reason=\"%s\"", status, text);
    http_reply_text(r, status, "%s\n", text);
}

static double seconds_of(const struct job *j)
{
    return (double)(clock_mono_ns() - j->began_ns) / 1e9;
}

static void job_free(struct job *j)
{
    review_clear(&j->rv);
    free(j);
}

/* takes j and body */
static void answer(struct job *j, json_t *body)
{
    struct buf text = BUF_INIT;

    json_print(body, &text);
    http_reply(j->r, 200, "application/json", buf_slice(&text));
    buf_free(&text);
    json_decref(body);
    job_free(j);
}

/* of a pod; takes j and body */
static void conclude(struct wh *wh, struct job *j, enum wh_result result, json_t *body)
{
    wh_count_review(wh, result, j->rv.dry_run, seconds_of(j));
    answer(j, body);
}

/* takes j */
static void leave_alone(struct wh *wh, struct job *j, const char *warning)
{
    conclude(wh, j, WH_SKIPPED, review_allow(&j->rv, NULL, warning));
}

static const char *dry(const struct job *j)
{
    return j->rv.dry_run ? "true" : "false";
}

static void deny(struct wh *wh, struct job *j, const struct err *e)
{
    log_info("review", "pod refused pod=%s/%s dry_run=%s reason=\"%s\"", j->rv.ns, j->rv.name,
             dry(j), e->text);
    conclude(wh, j, WH_REFUSED, review_deny(&j->rv, 422, "Invalid", e->text));
}

/* not the pod's fault: who made it may try again */
static void fail(struct wh *wh, struct job *j, const struct err *e)
{
    log_warn("review", "a pod could not be judged pod=%s/%s dry_run=%s error=\"%s\"", j->rv.ns,
             j->rv.name, dry(j), e->text);
    conclude(wh, j, WH_FAILED, review_deny(&j->rv, 500, "InternalError", e->text));
}

static void inject(struct wh *wh, struct job *j, const json_t *patch)
{
    log_info("review", "pod injected pod=%s/%s dry_run=%s operations=%zu", j->rv.ns, j->rv.name,
             dry(j), json_array_size(patch));
    conclude(wh, j, WH_INJECTED, review_allow(&j->rv, patch, NULL));
}

static void skip(struct wh *wh, struct job *j, const char *reason)
{
    log_info("review", "pod left alone pod=%s/%s dry_run=%s reason=\"%s\"", j->rv.ns, j->rv.name,
             dry(j), reason);
    conclude(wh, j, WH_SKIPPED, review_allow(&j->rv, NULL, NULL));
}

/* ---- judging --------------------------------------------------------------------------------- */

static enum inj_verdict judge_in(const struct wh *wh, const struct job *j, const json_t *ns,
                                 json_t **patch, const char **reason, struct err *e)
{
    const struct inj_config cfg = {.mesh_name = wh->conf.base.mesh_name,
                                   .fsm_namespace = wh->conf.base.fsm_namespace,
                                   .trust_domain = wh->conf.base.trust_domain,
                                   .sidecar_image = wh->conf.sidecar_image,
                                   .init_image = wh->conf.init_image,
                                   .healthcheck_image = wh->conf.healthcheck_image,
                                   .native_sidecar = wh->native,
                                   .meshconfig = wh->meshconfig ? wh->meshconfig->body : NULL,
                                   .ns_object = ns};

    return inj_pod(j->rv.pod, &cfg, patch, reason, e);
}

/* The pod itself has nothing against it, so that it is the namespace that says no. */
static bool depends_on_namespace(const struct wh *wh, const struct job *j)
{
    struct err e = {""};
    const char *reason;
    json_t *patch;
    enum inj_verdict v = judge_in(wh, j, NULL, &patch, &reason, &e);

    json_decref(patch);
    return v != INJ_SKIP;
}

static void judge(struct wh *wh, struct job *j, const json_t *ns);

static void on_lookup(struct wh *wh, const json_t *ns, const struct err *e, void *arg)
{
    struct job *j = arg;

    j->asked = true;
    if (ns)
        judge(wh, j, ns);
    else
        fail(wh, j, e);
}

/* What the copy says may be a moment old; a no is asked again, because with it a pod would run
 * outside of the mesh for as long as it lives. */
static bool ask_again(struct wh *wh, struct job *j)
{
    if (j->asked || !wh->api)
        return false;
    wh_lookup(wh, j->rv.ns, on_lookup, j);
    return true;
}

static void judge(struct wh *wh, struct job *j, const json_t *ns)
{
    struct err e = {""};
    const char *reason;
    json_t *patch;

    switch (judge_in(wh, j, ns, &patch, &reason, &e)) {
    case INJ_PATCH:
        inject(wh, j, patch);
        json_decref(patch);
        break;
    case INJ_SKIP:
        if (!depends_on_namespace(wh, j) || !ask_again(wh, j))
            skip(wh, j, reason);
        break;
    case INJ_REFUSED:
        deny(wh, j, &e);
        break;
    }
}

static void begin(struct wh *wh, struct job *j)
{
    json_t *ns = wh_namespace(wh, j->rv.ns);
    struct err e = {""};

    if (kube_is_dns_label(j->rv.ns)) {
        err_set(&e, "request.namespace: expected %s", kube_is_dns_label(j->rv.ns));
        deny(wh, j, &e);
    } else if (ns) {
        judge(wh, j, ns);
    } else if (!ask_again(wh, j)) {
        err_set(&e, "namespace \"%s\" is not among the resources that fsm-injector reads",
                j->rv.ns);
        fail(wh, j, &e);
    }
    json_decref(ns);
}

/* ---- validating ------------------------------------------------------------------------------ */

/* takes j */
static void tell_verdict(struct wh *wh, struct job *j, const struct check_result *res)
{
    json_t *body;

    if (res->verdict == CHECK_refused) {
        log_info("review", "object refused operation=%s dry_run=%s reason=\"%s\"", j->rv.operation,
                 dry(j), res->why);
        body = review_deny(&j->rv, 422, "Invalid", res->why);
    } else {
        body = review_allow(&j->rv, NULL, NULL);
    }
    review_warn(body, res->warnings);
    wh_count_validation(wh, res->verdict, j->rv.dry_run, seconds_of(j));
    answer(j, body);
}

/* takes j */
static void validate(struct wh *wh, struct job *j)
{
    json_t *ns = j->rv.ns ? wh_namespace(wh, j->rv.ns) : NULL;
    const struct check_world w = {.mesh_name = wh->conf.base.mesh_name,
                                  .fsm_namespace = wh->conf.base.fsm_namespace,
                                  .meshconfig = wh->meshconfig ? wh->meshconfig->body : NULL,
                                  .ns = ns};
    struct check_result res;
    struct err e = {""};

    if (j->rv.subresource ||
        (strcmp(j->rv.operation, "CREATE") != 0 && strcmp(j->rv.operation, "UPDATE") != 0)) {
        leave_alone(wh, j,
                    "fsm-injector judges objects that are created or updated, and nothing "
                    "else: the webhook's rules ask it too often");
    } else if (check_object(&j->rv, &w, &res, &e) < 0) {
        refuse(wh, j->r, 400, e.text);
        job_free(j);
    } else {
        tell_verdict(wh, j, &res);
        check_clear(&res);
    }
    json_decref(ns);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* "application/json", whatever parameters follow */
static bool is_json(const struct http_req *r)
{
    const struct http_field *f = http_find_name(http_req_head(r), SLICE_LIT("content-type"));
    struct slice value = f ? f->value : slice_str("");

    return slice_ieq(slice_trim(slice_cut(&value, ';')), SLICE_LIT("application/json"));
}

/* true and answered: it is not for us */
static bool is_refused(struct wh *wh, struct http_req *r)
{
    if (!slice_eq_str(http_req_path(r), MUTATE) && !slice_eq_str(http_req_path(r), VALIDATE)) {
        refuse(wh, r, 404, "no such path: expected POST " MUTATE " or POST " VALIDATE);
    } else if (http_req_head(r)->method != HTTP_M_POST) {
        http_req_header(r, "Allow", "POST");
        refuse(wh, r, 405, "expected POST");
    } else if (!is_json(r)) {
        refuse(wh, r, 415, "expected content type application/json");
    } else if (http_req_body(r).n == 0) {
        refuse(wh, r, 400, "the body is empty: expected an AdmissionReview of admission.k8s.io/v1");
    } else if (!wh->synced || !wh->native_known) {
        http_req_header(r, "Retry-After", "1");
        refuse(wh, r, 503, "fsm-injector is starting: it has not read the mesh's resources yet");
    } else {
        return false;
    }
    return true;
}

static void on_request(struct http_req *r, void *arg)
{
    struct wh *wh = arg;
    struct err e = {""};
    struct job *j;

    if (is_refused(wh, r))
        return;
    j = xcalloc(1, sizeof(*j));
    j->r = r;
    j->began_ns = clock_mono_ns();
    if (review_read(http_req_body(r), &j->rv, &e) < 0) {
        free(j);
        refuse(wh, r, 400, e.text);
    } else if (slice_eq_str(http_req_path(r), VALIDATE)) {
        validate(wh, j);
    } else if (!j->rv.pod) {
        leave_alone(wh, j,
                    "fsm-injector changes pods when they are created, and nothing else: the "
                    "webhook's rules ask it too often");
    } else {
        begin(wh, j);
    }
}

int wh_serve_start(struct wh *wh, struct err *e)
{
    struct http_server_opts o = {.max_body = REVIEW_MAX,
                                 .max_conns = MAX_CONNS,
                                 .per_source = MAX_CONNS,
                                 .first_ms = FIRST_MS,
                                 .idle_ms = IDLE_MS,
                                 .name = "webhook"};

    wh->https = daemon_own_serve(&wh->own, wh->loop, &o, 9090, on_request, wh, e);
    return wh->https ? 0 : -1;
}
