/* probe.c - when to probe, and what follows from the answers; lifecycle hooks.  See probe.h. */
#include "cli/local/probe.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/fetch.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct probes {
    struct fetcher *fetcher;
};

#define EAGER_MS 100 /* between looks at a container that has not been ready yet */

struct probe {
    struct container *c;
    enum probe_kind kind;
    struct timer timer;
    struct check *check;
    uint64_t due_ms; /* loop time of the next attempt that counts */
    bool counts;     /* the attempt under way does */
    bool eager;
    unsigned successes, failures; /* in a row */
};

struct hook {
    struct container *c;
    struct check *check;
    void (*done)(struct container *c, bool ok, const char *why);
};

static const char *const keys[PROBE_KINDS] = {"startupProbe", "livenessProbe", "readinessProbe"};

struct probes *probes_new(struct local *l, struct err *e)
{
    struct fetcher *f = fetcher_new(l->loop, e);

    if (!f)
        return NULL;
    struct probes *ps = xcalloc(1, sizeof(*ps));
    ps->fetcher = f;
    return ps;
}

void probes_free(struct probes *ps)
{
    if (!ps)
        return;
    fetcher_free(ps->fetcher);
    free(ps);
}

struct fetcher *probes_fetcher(struct local *l)
{
    return l->probes->fetcher;
}

static struct check *start_check(struct container *c, const json_t *handler, unsigned timeout_ms,
                                 check_cb *cb, void *arg)
{
    return check_start(c->pod->l->probes->fetcher, c, handler, timeout_ms, cb, arg);
}

/* ---- one probe ------------------------------------------------------------------------------- */

static const json_t *probe_spec(const struct probe *p)
{
    return json_object_get(p->c->spec, keys[p->kind]);
}

static uint64_t period_ms(const struct probe *p)
{
    return seconds_ms(probe_spec(p), "periodSeconds", 10);
}

static void start_kind(struct container *c, enum probe_kind kind);

static void startup_passed(struct container *c)
{
    c->started = true;
    start_kind(c, PROBE_LIVENESS);
    start_kind(c, PROBE_READINESS);
    if (!c->probes[PROBE_READINESS])
        c->ready = true;
    pod_wake(c->pod);
}

/* the container is ended and, by the pod's policy, started again */
static void kill_unhealthy(struct probe *p)
{
    struct container *c = p->c;
    uint64_t grace_ms = seconds_ms(probe_spec(p), "terminationGracePeriodSeconds",
                                   json_int(c->pod->spec, "terminationGracePeriodSeconds", 30));

    local_event(c->pod->l, c->pod->object, "Normal", "Killing",
                "Container %s failed %s, will be restarted", c->name,
                p->kind == PROBE_STARTUP ? "startup probe" : "liveness probe");
    container_stop(c, grace_ms);
}

static void passed(struct probe *p)
{
    struct container *c = p->c;
    bool enough = p->successes >= (unsigned)json_int(probe_spec(p), "successThreshold", 1);

    if (!enough)
        return;
    p->eager = false;
    if (p->kind == PROBE_STARTUP && !c->started) {
        timer_cancel(&p->timer);
        startup_passed(c);
    } else if (p->kind == PROBE_READINESS && !c->ready) {
        c->ready = true;
        pod_wake(c->pod);
    }
}

static void failed(struct probe *p, const char *why)
{
    struct container *c = p->c;

    local_event(c->pod->l, c->pod->object, "Warning", "Unhealthy", "container %s: %s failed: %s",
                c->name, keys[p->kind], why);
    if (p->failures < (unsigned)json_int(probe_spec(p), "failureThreshold", 3))
        return;
    if (p->kind != PROBE_READINESS) {
        kill_unhealthy(p);
    } else if (c->ready) {
        c->ready = false;
        pod_wake(c->pod);
    }
}

static void schedule(struct probe *p)
{
    uint64_t now = loop_now_ms(p->c->pod->l->loop), wait = p->due_ms > now ? p->due_ms - now : 0;

    timer_set(&p->timer, p->eager && wait > EAGER_MS ? EAGER_MS : wait);
}

static void on_check(bool ok, const char *why, void *arg)
{
    struct probe *p = arg;

    p->check = NULL;
    schedule(p);
    if (!ok && !p->counts)
        return;
    p->successes = ok ? p->successes + 1 : 0;
    p->failures = ok ? 0 : p->failures + 1;
    /* p may be gone after either: the container is being ended */
    if (ok)
        passed(p);
    else
        failed(p, why);
}

/* Attempts that count come every period, as the manifest says.  In between, a container that has
 * not been ready yet is looked at more often, and only a success of those means anything: on one
 * machine nobody wants to wait for the next period. */
static void on_due(void *arg)
{
    struct probe *p = arg;
    unsigned timeout = ms_unsigned(seconds_ms(probe_spec(p), "timeoutSeconds", 1));
    uint64_t now = loop_now_ms(p->c->pod->l->loop);

    p->counts = now >= p->due_ms;
    if (p->counts)
        p->due_ms = now + period_ms(p);
    p->check = start_check(p->c, probe_spec(p), timeout, on_check, p);
}

static void start_kind(struct container *c, enum probe_kind kind)
{
    const json_t *spec = json_object_get(c->spec, keys[kind]);

    if (!json_is_object(spec) || c->probes[kind])
        return;
    struct probe *p = xcalloc(1, sizeof(*p));
    p->c = c;
    p->kind = kind;
    /* a command inside the container costs more than a packet; liveness is never in a hurry */
    p->eager = kind != PROBE_LIVENESS && !json_object_get(spec, "exec") &&
               json_int(spec, "successThreshold", 1) == 1;
    p->due_ms = loop_now_ms(c->pod->l->loop) + seconds_ms(spec, "initialDelaySeconds", 0);
    timer_init(&p->timer, c->pod->l->loop, on_due, p);
    timer_set(&p->timer, seconds_ms(spec, "initialDelaySeconds", 0));
    c->probes[kind] = p;
}

/* ---- a container's probes -------------------------------------------------------------------- */

static void begin(struct container *c)
{
    start_kind(c, PROBE_STARTUP);
    if (!c->probes[PROBE_STARTUP])
        startup_passed(c);
}

static void post_start_done(struct container *c, bool ok, const char *why)
{
    if (ok) {
        begin(c);
        return;
    }
    local_event(c->pod->l, c->pod->object, "Warning", "FailedPostStartHook", "container %s: %s",
                c->name, why);
    container_stop(c, 1000);
}

void probes_start(struct container *c)
{
    if (!hook_start(c, "postStart", 3600 * 1000, post_start_done))
        begin(c);
}

void probes_stop(struct container *c)
{
    for (unsigned i = 0; i < PROBE_KINDS; i++) {
        struct probe *p = c->probes[i];
        if (!p)
            continue;
        timer_cancel(&p->timer);
        check_cancel(p->check);
        free(p);
        c->probes[i] = NULL;
    }
    c->ready = false;
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static void on_hook(bool ok, const char *why, void *arg)
{
    struct hook *h = arg;
    struct container *c = h->c;
    void (*done)(struct container *, bool, const char *) = h->done;

    c->hook = NULL;
    free(h);
    done(c, ok, why);
}

bool hook_start(struct container *c, const char *which, unsigned timeout_ms,
                void (*done)(struct container *c, bool ok, const char *why))
{
    const json_t *handler = json_object_get(json_object_get(c->spec, "lifecycle"), which);

    if (!json_is_object(handler) || c->state != CTR_RUNNING)
        return false;
    hook_cancel(c);
    struct hook *h = xcalloc(1, sizeof(*h));
    h->c = c;
    h->done = done;
    c->hook = h;
    h->check = start_check(c, handler, timeout_ms, on_hook, h);
    return true;
}

void hook_cancel(struct container *c)
{
    if (!c->hook)
        return;
    check_cancel(c->hook->check);
    free(c->hook);
    c->hook = NULL;
}
