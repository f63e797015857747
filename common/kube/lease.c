/* lease.c - look, take or wait; see lease.h.
 *
 *   look ─► not there ─► create ─┐
 *    ▲ ├──► ours, or nobody's ───┼─► write ─► held ─► write ...      (renewals)
 *    │ └──► another's: wait      │
 *    └───────── 409, 404 ◄───────┘
 *
 * One call at a time.
 */
#include "common/kube/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/answer.h"
#include "common/kube/backoff.h"
#include "common/kube/micro.h"

#define GROUP        "coordination.k8s.io"
#define RETRY_MAX_MS 2000
#define ANSWER_MAX   (16u << 10) /* what a call keeps */
#define FOREIGN_MAX  3600        /* seconds that we believe another's record */

struct kube_lease {
    struct loop *loop;
    struct kube_api *api;
    char *ns, *name, *who;
    void (*changed)(bool held, void *arg);
    void *arg;

    struct kube_call *call;
    struct timer next, end; /* the next step; the hold's end */
    struct backoff backoff;
    uint64_t sent_ms; /* when the write that is under way was */
    bool releasing;

    bool held;
    uint64_t until_ms; /* held: monotonic */

    /* the record as it was seen last */
    char holder[KUBE_LEASE_WHO_MAX], version[64];
    uint64_t seen_ms, valid_ms; /* since when, and how long it says that it is valid */
    int64_t transitions;

    char problem[512]; /* "" = none */
};

static void look(void *arg);
static void write_record(struct kube_lease *l);

/* ---- what others see ------------------------------------------------------------------------- */

bool kube_lease_is_held(const struct kube_lease *l)
{
    return l->held && clock_mono_ms() < l->until_ms;
}

const char *kube_lease_holder(const struct kube_lease *l)
{
    return l->holder;
}

const char *kube_lease_problem(const struct kube_lease *l)
{
    return *l->problem ? l->problem : NULL;
}

static void set_problem(struct kube_lease *l, const char *text)
{
    if (strcmp(l->problem, text) == 0)
        return;
    snprintf(l->problem, sizeof l->problem, "%.511s", text);
    if (*text)
        log_warn("lease", "the lease can't be kept lease=%s/%s error=\"%s\"", l->ns, l->name, text);
}

static void set_held(struct kube_lease *l, bool held, const char *why)
{
    if (!held)
        timer_cancel(&l->end);
    if (l->held == held)
        return;
    l->held = held;
    if (held)
        log_info("lease", "this process writes lease=%s/%s who=%s", l->ns, l->name, l->who);
    else if (l->releasing)
        log_info("lease", "the lease is released lease=%s/%s", l->ns, l->name);
    else
        log_warn("lease", "this process does not write any more lease=%s/%s reason=\"%s\"", l->ns,
                 l->name, why);
    l->changed(held, l->arg);
}

static void on_end(void *arg)
{
    struct kube_lease *l = arg;

    if (l->held && !kube_lease_is_held(l))
        set_held(l, false, "no renewal was answered in time");
    else if (l->held)
        timer_set(&l->end, l->until_ms - clock_mono_ms());
}

/* ---- the record ------------------------------------------------------------------------------ */

static bool is_ours(const struct kube_lease *l)
{
    return strcmp(l->holder, l->who) == 0;
}

/* 0, or -1: it is none.  A version that we know is as old as it is. */
static int take_record(struct kube_lease *l, struct slice text)
{
    struct err e;
    json_t *doc = json_parse(text, ANSWER_MAX, &e);
    const char *version = json_str(doc, "metadata.resourceVersion", "");
    int64_t s = json_int(doc, "spec.leaseDurationSeconds", KUBE_LEASE_S);
    bool good = *version && strlen(version) < sizeof l->version;

    if (good) {
        if (strcmp(version, l->version) != 0)
            l->seen_ms = clock_mono_ms();
        snprintf(l->version, sizeof l->version, "%s", version);
        snprintf(l->holder, sizeof l->holder, "%.*s", KUBE_LEASE_WHO_MAX - 1,
                 json_str(doc, "spec.holderIdentity", ""));
        l->valid_ms = (uint64_t)(s < 1 ? 1 : s > FOREIGN_MAX ? FOREIGN_MAX : s) * 1000;
        l->transitions = json_int(doc, "spec.leaseTransitions", 0);
    }
    json_decref(doc);
    return good ? 0 : -1;
}

static json_t *spec_of(const struct kube_lease *l, bool anew)
{
    char now[KUBE_MICRO_MAX];
    json_t *spec;

    kube_micro_time(now);
    if (l->releasing)
        return json_pack("{s:n,s:i,s:s}", "holderIdentity", "leaseDurationSeconds", 1, "renewTime",
                         now);
    spec = json_pack("{s:s,s:i,s:s}", "holderIdentity", l->who, "leaseDurationSeconds",
                     KUBE_LEASE_S, "renewTime", now);
    if (anew) {
        json_object_set_new(spec, "acquireTime", json_string(now));
        json_object_set_new(spec, "leaseTransitions",
                            json_integer(*l->version ? l->transitions + 1 : 0));
    }
    return spec;
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step_in(struct kube_lease *l, uint64_t ms)
{
    if (!l->releasing)
        timer_set(&l->next, ms);
}

/* The server does not do what was asked of it; a hold lasts as long as it lasts. */
static void fail(struct kube_lease *l, const char *verb, const struct kube_answer *a)
{
    const struct kube_right right = {.verb = verb,
                                     .verbs = "\"get\", \"create\", \"patch\"",
                                     .group = GROUP,
                                     .plural = "leases",
                                     .where = "Role"};
    uint64_t ms = backoff_next(&l->backoff, 0);
    char *text;

    if (a->status == 403) {
        text = kube_answer_forbidden(a, &right);
        ms = KUBE_LEASE_SLOW_MS;
    } else if (a->status == 0) {
        text = xasprintf("no answer from the API server: %s", a->error);
    } else {
        char *words = kube_answer_words(a);
        text = xasprintf("the API server answers %u to %s leases: %s", a->status, verb, words);
        free(words);
    }
    set_problem(l, text);
    free(text);
    if (a->status != 403 && ms > RETRY_MAX_MS)
        ms = RETRY_MAX_MS;
    step_in(l, a->retry_after > ms ? a->retry_after : ms);
}

/* the version that we know is not the last one, or there is none any more */
static void forget_record(struct kube_lease *l)
{
    l->version[0] = '\0';
    l->holder[0] = '\0';
}

/* The server took our record.  What it holds for us was counted before it was sent. */
static void hold(struct kube_lease *l)
{
    backoff_reset(&l->backoff);
    set_problem(l, "");
    l->until_ms = l->sent_ms + KUBE_LEASE_HOLD_MS;
    uint64_t now = clock_mono_ms();
    step_in(l, backoff_jitter(KUBE_LEASE_RENEW_MS));
    if (now >= l->until_ms)
        return;
    timer_set(&l->end, l->until_ms - now);
    set_held(l, true, NULL);
}

static void on_written(const struct kube_answer *a, void *arg)
{
    struct kube_lease *l = arg;

    l->call = NULL;
    if (l->releasing) {
        if (a->status == 409)
            look(l);
    } else if ((a->status == 200 || a->status == 201) && take_record(l, a->body) == 0 &&
               is_ours(l)) {
        hold(l);
    } else if (a->status == 409) {
        look(l); /* somebody was faster, or an answer of ours got lost */
    } else if (a->status == 404 && *l->version) {
        forget_record(l);
        set_held(l, false, "the lease was deleted");
        look(l);
    } else {
        fail(l, *l->version ? "patch" : "create", a);
    }
}

static char *path_of(const struct kube_lease *l, const char *name)
{
    return xasprintf("/apis/" GROUP "/v1/namespaces/%s/leases%s%s", l->ns, *name ? "/" : "", name);
}

static void send_record(struct kube_lease *l, enum kube_change how, const char *name, json_t *doc)
{
    struct buf text = BUF_INIT;
    char *path = path_of(l, name);

    json_print(doc, &text);
    l->sent_ms = clock_mono_ms();
    l->call = kube_api_send(
        l->api, how, buf_slice(&text),
        &(struct kube_call_spec){
            .path = path, .timeout_ms = KUBE_LEASE_CALL_MS, .done = on_written, .arg = l});
    buf_free(&text);
    json_decref(doc);
    free(path);
}

static void create(struct kube_lease *l)
{
    send_record(l, KUBE_CREATE, "",
                json_pack("{s:s,s:s,s:{s:s,s:s},s:o}", "apiVersion", GROUP "/v1", "kind", "Lease",
                          "metadata", "name", l->name, "namespace", l->ns, "spec",
                          spec_of(l, true)));
}

/* of exactly the version that was seen: any other, and the server says 409 */
static void write_record(struct kube_lease *l)
{
    send_record(l, KUBE_MERGE, l->name,
                json_pack("{s:{s:s},s:o}", "metadata", "resourceVersion", l->version, "spec",
                          spec_of(l, !is_ours(l))));
}

static void wait_for_holder(struct kube_lease *l)
{
    uint64_t gone = clock_mono_ms() - l->seen_ms,
             left = l->valid_ms > gone ? l->valid_ms - gone : 0;
    uint64_t ms = backoff_jitter(KUBE_LEASE_RENEW_MS);

    set_held(l, false, "another process holds it");
    step_in(l, left && left < ms ? left : ms);
}

static void judge_record(struct kube_lease *l)
{
    backoff_reset(&l->backoff);
    set_problem(l, "");
    if (l->releasing) {
        if (is_ours(l))
            write_record(l);
    } else if (is_ours(l) || !*l->holder || clock_mono_ms() - l->seen_ms >= l->valid_ms) {
        write_record(l);
    } else {
        wait_for_holder(l);
    }
}

static void on_looked(const struct kube_answer *a, void *arg)
{
    struct kube_lease *l = arg;

    l->call = NULL;
    if (a->status == 404) {
        forget_record(l);
        set_held(l, false, "the lease was deleted");
        if (!l->releasing)
            create(l);
    } else if (a->status != 200) {
        fail(l, "get", a);
    } else if (take_record(l, a->body) < 0) {
        fail(l, "get", &(struct kube_answer){.error = "its Lease cannot be read"});
    } else {
        judge_record(l);
    }
}

static void look(void *arg)
{
    struct kube_lease *l = arg;
    char *path = path_of(l, l->name);

    l->call = kube_api_get(
        l->api, &(struct kube_call_spec){
                    .path = path, .timeout_ms = KUBE_LEASE_CALL_MS, .done = on_looked, .arg = l});
    free(path);
}

/* a renewal needs no look, as long as nobody else writes */
static void on_next(void *arg)
{
    struct kube_lease *l = arg;

    if (l->held && *l->version && is_ours(l))
        write_record(l);
    else
        look(l);
}

/* ---- from outside ---------------------------------------------------------------------------- */

struct kube_lease *kube_lease_new(struct loop *loop, struct kube_api *api,
                                  const struct kube_lease_conf *conf,
                                  void (*changed)(bool held, void *arg), void *arg)
{
    struct kube_lease *l = xcalloc(1, sizeof *l);

    l->loop = loop;
    l->api = api;
    l->ns = xstrdup(conf->ns);
    l->name = xstrdup(conf->name);
    l->who = xstrndup(conf->who, strnlen(conf->who, KUBE_LEASE_WHO_MAX - 1));
    l->changed = changed;
    l->arg = arg;
    timer_init(&l->next, loop, on_next, l);
    timer_init(&l->end, loop, on_end, l);
    timer_set(&l->next, 0);
    return l;
}

void kube_lease_release(struct kube_lease *l)
{
    bool under_way = l->call != NULL;

    if (l->releasing)
        return;
    l->releasing = true;
    timer_cancel(&l->next);
    kube_call_cancel(l->call);
    l->call = NULL;
    if (!l->held)
        return;
    set_held(l, false, "it was released");
    if (under_way)
        look(l); /* whether what was sent has arrived is not known */
    else
        write_record(l);
}

void kube_lease_free(struct kube_lease *l)
{
    if (!l)
        return;
    timer_cancel(&l->next);
    timer_cancel(&l->end);
    kube_call_cancel(l->call);
    free(l->ns);
    free(l->name);
    free(l->who);
    free(l);
}
