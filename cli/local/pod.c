/* pod.c - the life of a pod, from its object to its last process; see pod.h.
 *
 *   new --> sandbox, volumes --> init containers, in order --> containers --> (all done) --+
 *    |          (native sidecars among them are started, and stay)                         |
 *    +--- delete: no endpoint any more, lead time, containers stop, sidecars stop in ------+
 *         reverse order, everything is taken away, the object goes                finishing:
 * sidecars stop, the object stays
 */
#include "cli/local/pod.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/local/pod_files.h"
#include "cli/local/resources.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define RETRY_MS           1000         /* after the machine refused something */
#define BACKOFF_MAX_MS     (300 * 1000) /* as kubelet */
#define BACKOFF_RESET_MS   (600 * 1000) /* a run this long makes the next crash a first one */
#define SIDECAR_GRACE_MS   2000         /* what a sidecar gets at least */
#define GRACE_DEFAULT_S    30
#define REFRESH_MS         (20 * 1000) /* how often tokens are looked at */
#define SANDBOXES_PER_TURN 4

struct pods {
    struct local *l;
    TAILQ_HEAD(, pod) list;
    struct table *by_key; /* "ns/name" -> struct pod */
    struct res_watch *pods, *maps, *secrets;
    uint64_t turn_ms; /* of the loop; how many sandboxes were made in it */
    unsigned this_turn;
};

/* ---- finding --------------------------------------------------------------------------------- */

static char *pod_key(const char *ns, const char *name)
{
    return xasprintf("%s/%s", ns, name);
}

struct pod *pod_find(struct local *l, const char *ns, const char *name)
{
    char *key = pod_key(ns, name);
    struct pod *p = table_get_str(l->pods->by_key, key);

    free(key);
    return p;
}

struct pod *pod_next(struct local *l, struct pod *p)
{
    return p ? TAILQ_NEXT(p, link) : TAILQ_FIRST(&l->pods->list);
}

bool pods_any(struct local *l)
{
    return !TAILQ_EMPTY(&l->pods->list);
}

static struct container *container_by_name(struct pod *p, const char *name)
{
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (strcmp(p->ctrs[i].name, name) == 0)
            return &p->ctrs[i];
    return NULL;
}

struct container *pod_container(struct pod *p, const char *name)
{
    const json_t *notes = json_at(p->object->body, "metadata.annotations");
    const char *dflt =
        json_string_value(json_object_get(notes, "kubectl.kubernetes.io/default-container"));

    if (name)
        return container_by_name(p, name);
    if (dflt && container_by_name(p, dflt))
        return container_by_name(p, dflt);
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (p->ctrs[i].kind == CTR_MAIN)
            return &p->ctrs[i];
    return NULL;
}

const char *pod_hostname(const struct pod *p)
{
    return json_str(p->spec, "hostname", p->name);
}

/* ---- making ---------------------------------------------------------------------------------- */

static void pod_job(struct loop_job *job);

static void wake_timer(void *arg)
{
    pod_wake(arg);
}

static void lead_timer(void *arg)
{
    struct pod *p = arg;

    p->lead_over = true;
    pod_wake(p);
}

static void refresh_timer(void *arg)
{
    struct pod *p = arg;

    if (pod_token_due(p))
        volumes_refresh(p);
    timer_set(&p->refresh, REFRESH_MS);
}

static void add_containers(struct pod *p, const json_t *list, bool init)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *spec = json_array_get(list, i);
        bool stays = init && strcmp(json_str(spec, "restartPolicy", ""), "Always") == 0;
        container_init(&p->ctrs[p->n_ctrs++], p, spec,
                       stays  ? CTR_SIDECAR
                       : init ? CTR_INIT
                              : CTR_MAIN);
    }
}

static struct pod *pod_new(struct local *l, const struct kube_object *o)
{
    struct pod *p = xcalloc(1, sizeof(*p));
    const json_t *init, *main_list;

    p->l = l;
    p->ns = xstrdup(o->ns);
    p->name = xstrdup(o->name);
    p->uid = xstrdup(object_uid(o));
    p->object = kube_object_ref((struct kube_object *)(uintptr_t)o);
    p->spec = json_object_get(o->body, "spec");
    p->sb = (struct sandbox)SANDBOX_INIT;
    p->created_ms = clock_wall_ms();
    p->dir = xasprintf("%s/pods/%s", l->in->dir, p->uid);
    p->log_dir = xasprintf("%s/logs/pods/%.63s_%.100s_%s", l->in->dir, p->ns, p->name, p->uid);
    p->job.fn = pod_job;
    timer_init(&p->retry, l->loop, wake_timer, p);
    timer_init(&p->lead, l->loop, lead_timer, p);
    timer_init(&p->refresh, l->loop, refresh_timer, p);
    init = json_object_get(p->spec, "initContainers");
    main_list = json_object_get(p->spec, "containers");
    p->ctrs = xcalloc(json_array_size(init) + json_array_size(main_list) + 1, sizeof(*p->ctrs));
    add_containers(p, init, true);
    add_containers(p, main_list, false);
    return p;
}

static void remove_dirs(struct pod *p)
{
    struct err e;

    pod_unmount(p);
    if (file_remove_tree(p->dir, &e) || file_remove_tree(p->log_dir, &e))
        log_warn("pod", "%s", e.text);
}

static void pod_free(struct pod *p)
{
    for (unsigned i = 0; i < p->n_ctrs; i++)
        container_clear(&p->ctrs[i]);
    timer_cancel(&p->retry);
    timer_cancel(&p->lead);
    timer_cancel(&p->refresh);
    loop_undefer(p->l->loop, &p->job);
    kube_object_unref(p->object);
    free(p->ctrs);
    free(p->ns);
    free(p->name);
    free(p->uid);
    free(p->dir);
    free(p->log_dir);
    free(p);
}

void pod_wake(struct pod *p)
{
    loop_defer(p->l->loop, &p->job);
}

/* ---- sandbox and volumes --------------------------------------------------------------------- */

static void try_again(struct pod *p, const char *reason, const char *why)
{
    local_event(p->l, p->object, "Warning", reason, "%s", why);
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (p->ctrs[i].state == CTR_WAITING && p->ctrs[i].kind != CTR_MAIN)
            container_set_reason(&p->ctrs[i], "PodInitializing", why);
        else if (p->ctrs[i].state == CTR_WAITING)
            container_set_reason(&p->ctrs[i], "ContainerCreating", why);
    timer_set(&p->retry, RETRY_MS);
}

/* Making one takes the machine some ten milliseconds, in which nobody else is served: those of
 * many pods at once are spread over as many turns as it takes. */
static bool is_my_turn(struct pods *ps)
{
    uint64_t now = loop_now_ms(ps->l->loop);

    if (ps->turn_ms != now)
        ps->this_turn = 0;
    ps->turn_ms = now;
    return ps->this_turn++ < SANDBOXES_PER_TURN;
}

static bool ensure_sandbox(struct pod *p)
{
    struct err e;
    char hostname[64];

    if (p->has_sandbox)
        return true;
    if (!is_my_turn(p->l->pods)) {
        timer_set(&p->retry, 1);
        return false;
    }
    snprintf(hostname, sizeof(hostname), "%s", pod_hostname(p));
    if (network_sandbox(p->l->net, hostname, json_bool(p->spec, "hostNetwork", false), &p->sb,
                        &e)) {
        try_again(p, "FailedCreatePodSandBox", e.text);
        return false;
    }
    p->has_sandbox = true;
    p->started_ms = clock_wall_ms();
    return true;
}

static bool ensure_volumes(struct pod *p)
{
    struct err e;
    char *rootfs = xasprintf("%s/rootfs", p->dir);
    int rc = 0;

    if (!p->has_volumes)
        rc = file_mkdirs(rootfs, 0755, &e) || volumes_prepare(p, &e) || pod_write_files(p, &e);
    free(rootfs);
    if (rc) {
        try_again(p, "FailedMount", e.text);
        return false;
    }
    if (!p->has_volumes)
        timer_set(&p->refresh, REFRESH_MS);
    p->has_volumes = true;
    return true;
}

/* ---- restarts -------------------------------------------------------------------------------- */

static bool wants_restart(const struct container *c)
{
    const char *policy = json_str(c->pod->spec, "restartPolicy", "Always");

    switch (c->kind) {
    case CTR_SIDECAR:
        return true;
    case CTR_INIT:
        return c->exit_code != 0 && strcmp(policy, "Never") != 0;
    case CTR_MAIN:
        break;
    }
    if (strcmp(policy, "Always") == 0)
        return true;
    return strcmp(policy, "OnFailure") == 0 && c->exit_code != 0;
}

/* The first restart is immediate, then each waits twice as long as the one before (as kubelet). */
static void schedule_restart(struct container *c)
{
    char why[128];

    json_decref(c->last);
    c->last = container_terminated_json(c);
    if (c->ended_ms - c->started_ms > BACKOFF_RESET_MS)
        c->backoff_ms = 0;
    c->restarts++;
    c->state = CTR_WAITING;
    if (c->backoff_ms == 0) {
        c->backoff_ms = c->pod->l->in->backoff_ms;
        container_set_reason(c, "ContainerCreating", NULL);
        return;
    }
    snprintf(why, sizeof(why), "back-off %u ms restarting failed container", c->backoff_ms);
    container_set_reason(c, "CrashLoopBackOff", why);
    local_event(c->pod->l, c->pod->object, "Warning", "BackOff",
                "Back-off restarting failed container %s", c->name);
    timer_set(&c->backoff, c->backoff_ms);
    c->backoff_ms = c->backoff_ms > BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

/* A container whose specification cannot be built is no crash: it waits for what is missing and
 * keeps its reason. */
static bool waits_for_config(const struct container *c)
{
    return c->reason && strcmp(c->reason, "CreateContainerConfigError") == 0;
}

/* it ended, and that was the last time */
static bool is_final(const struct container *c)
{
    return c->state == CTR_ENDED && !waits_for_config(c) && !wants_restart(c);
}

static void restart_ended(struct pod *p)
{
    for (unsigned i = 0; i < p->n_ctrs; i++) {
        struct container *c = &p->ctrs[i];
        if (c->state != CTR_ENDED)
            continue;
        if (waits_for_config(c)) {
            local_event(p->l, p->object, "Warning", "Failed", "container %s: %s", c->name,
                        c->message);
            c->state = CTR_WAITING;
            timer_set(&c->backoff, RETRY_MS);
        } else if (wants_restart(c)) {
            schedule_restart(c);
        }
    }
}

static void start_if_due(struct container *c)
{
    if (c->state == CTR_WAITING && !timer_is_set(&c->backoff))
        container_start(c);
}

/* ---- running --------------------------------------------------------------------------------- */

static void fail_pod(struct pod *p, const char *reason)
{
    p->finishing = p->failed = true;
    p->fail_reason = reason;
}

/* true when all init containers have done their part */
static bool init_done(struct pod *p)
{
    for (unsigned i = 0; i < p->n_ctrs && p->ctrs[i].kind != CTR_MAIN; i++) {
        struct container *c = &p->ctrs[i];
        start_if_due(c);
        if (c->kind == CTR_SIDECAR) {
            if (c->state != CTR_RUNNING || !c->started)
                return false;
        } else if (is_final(c) && c->exit_code != 0) {
            fail_pod(p, NULL);
            return false;
        } else if (!is_final(c)) {
            return false;
        }
    }
    return true;
}

/* Once the containers run, the init containers' order is history: a sidecar that ended starts
 * again by itself. */
static bool main_begun(const struct pod *p)
{
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (p->ctrs[i].kind == CTR_MAIN && p->ctrs[i].runs > 0)
            return true;
    return false;
}

static bool main_over(const struct pod *p, bool *failed)
{
    *failed = false;
    for (unsigned i = 0; i < p->n_ctrs; i++) {
        const struct container *c = &p->ctrs[i];
        if (c->kind == CTR_MAIN && !is_final(c))
            return false;
        if (c->kind == CTR_MAIN && c->exit_code != 0)
            *failed = true;
    }
    return true;
}

static void step_run(struct pod *p)
{
    bool failed;

    if (!ensure_sandbox(p) || !ensure_volumes(p))
        return;
    restart_ended(p);
    if (!main_begun(p) && !init_done(p))
        return;
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (p->ctrs[i].kind != CTR_INIT)
            start_if_due(&p->ctrs[i]);
    if (main_over(p, &failed)) {
        p->finishing = true;
        p->failed = failed;
    }
}

/* ---- ending ---------------------------------------------------------------------------------- */

static uint64_t own_grace_ms(const struct pod *p)
{
    return seconds_ms(p->spec, "terminationGracePeriodSeconds", GRACE_DEFAULT_S);
}

static uint64_t grace_left(const struct pod *p)
{
    uint64_t now = loop_now_ms(p->l->loop);
    return p->deadline_ms > now ? p->deadline_ms - now : 0;
}

/* everything but sidecars; true when it has ended */
static bool stop_mains(struct pod *p, uint64_t grace_ms)
{
    bool over = true;

    for (unsigned i = 0; i < p->n_ctrs; i++) {
        struct container *c = &p->ctrs[i];
        if (c->kind == CTR_SIDECAR)
            continue;
        container_stop(c, grace_ms);
        over = over && !container_is_active(c);
    }
    return over;
}

/* one after the other, the last started first; true when all have ended */
static bool stop_sidecars(struct pod *p, uint64_t grace_ms)
{
    for (unsigned i = p->n_ctrs; i-- > 0;) {
        struct container *c = &p->ctrs[i];
        if (c->kind != CTR_SIDECAR)
            continue;
        container_stop(c, grace_ms);
        if (container_is_active(c))
            return false;
    }
    return true;
}

static void release(struct pod *p)
{
    timer_cancel(&p->refresh);
    if (p->has_sandbox)
        network_release(p->l->net, &p->sb, p->l->stopping ? NULL : p->l->procs);
    p->has_sandbox = false;
}

static void step_finish(struct pod *p)
{
    uint64_t grace_ms = own_grace_ms(p);

    if (stop_mains(p, grace_ms) && stop_sidecars(p, grace_ms))
        release(p);
}

/* The pod leaves its Services first (endpoints.c sees deletionTimestamp), and those who use them
 * get a moment to hear of it. */
static bool lead_is_over(struct pod *p)
{
    const char *ready = condition_get(p->object->body, "Ready");

    if (p->lead_over || timer_is_set(&p->lead))
        return p->lead_over;
    if (grace_left(p) == 0 || !ready || strcmp(ready, "True") != 0 || p->l->in->lead_ms == 0)
        p->lead_over = true;
    else
        timer_set(&p->lead, p->l->in->lead_ms);
    return p->lead_over;
}

static void pod_gone(struct pod *p)
{
    struct local *l = p->l;
    char *key = pod_key(p->ns, p->name);

    p->gone = true;
    release(p);
    remove_dirs(p);
    TAILQ_REMOVE(&l->pods->list, p, link);
    table_del(l->pods->by_key, slice_str(key));
    free(key);
    res_remove(l, "Pod", p->ns, p->name);
}

static void step_delete(struct pod *p)
{
    uint64_t left = grace_left(p);

    if (!lead_is_over(p) || !stop_mains(p, left))
        return;
    uint64_t sidecars = left == 0 ? 0 : left < SIDECAR_GRACE_MS ? SIDECAR_GRACE_MS : left;
    if (stop_sidecars(p, sidecars))
        pod_gone(p);
}

static void pod_job(struct loop_job *job)
{
    struct pod *p = (struct pod *)((char *)job - offsetof(struct pod, job));

    if (!p->deleting && !p->finishing)
        step_run(p);
    if (!p->deleting && p->finishing)
        step_finish(p);
    if (p->deleting)
        step_delete(p);
    if (p->gone)
        pod_free(p);
    else
        pod_publish(p);
}

static void mark_deleted(struct pod *p, uint64_t grace_ms)
{
    json_t *body = res_edit(p->object);
    json_t *meta = json_object_get(body, "metadata");

    json_object_set_new(meta, "deletionTimestamp", time_json(clock_wall_ms() + (int64_t)grace_ms));
    json_object_set_new(meta, "deletionGracePeriodSeconds",
                        json_integer((json_int_t)(grace_ms / 1000)));
    res_set(p->l, body);
}

void pod_delete(struct local *l, const char *ns, const char *name, long grace_s)
{
    struct pod *p = pod_find(l, ns, name);

    if (!p) {
        res_remove(l, "Pod", ns, name);
        return;
    }
    uint64_t grace_ms = grace_s < 0 ? own_grace_ms(p) : (uint64_t)grace_s * 1000;
    uint64_t deadline = loop_now_ms(l->loop) + grace_ms;
    if (p->deleting && deadline >= p->deadline_ms)
        return;
    p->deadline_ms = deadline;
    if (!p->deleting)
        mark_deleted(p, grace_ms);
    p->deleting = true;
    pod_wake(p);
}

void pods_kill_all(struct local *l)
{
    struct pod *p;

    TAILQ_FOREACH (p, &l->pods->list, link)
        for (unsigned i = 0; i < p->n_ctrs; i++)
            if (p->ctrs[i].proc)
                proc_kill(p->ctrs[i].proc, SIGKILL);
}

/* what a kubelet would heed, and we do not: told, once */
static void tell_ignored(struct pod *p)
{
    static const char *const fields[] = {"shareProcessNamespace",
                                         "hostPID",
                                         "hostIPC",
                                         "activeDeadlineSeconds",
                                         "securityContext.sysctls",
                                         "ephemeralContainers",
                                         "setHostnameAsFQDN"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const json_t *v = json_at(p->spec, fields[i]);
        if (v && !json_is_null(v) && !json_is_false(v))
            local_event(p->l, p->object, "Warning", "FieldIgnored",
                        "spec.%s has no effect with fsm local", fields[i]);
    }
}

/* ---- following the store --------------------------------------------------------------------- */

static void on_pod(const char *type, const struct kube_object *o, void *arg)
{
    struct pods *ps = arg;
    struct pod *p;

    if (strcmp(type, "ADDED") == 0) {
        char *key = pod_key(o->ns, o->name);
        p = pod_new(ps->l, o);
        TAILQ_INSERT_TAIL(&ps->list, p, link);
        table_put_str(ps->by_key, key, p);
        free(key);
        tell_ignored(p);
        pod_wake(p);
    } else if (strcmp(type, "MODIFIED") == 0 && (p = pod_find(ps->l, o->ns, o->name)) != NULL) {
        pod_take_object(p, o);
    }
}

static void on_map(const char *type, const struct kube_object *o, void *arg)
{
    struct pods *ps = arg;
    struct pod *p;

    TAILQ_FOREACH (p, &ps->list, link) {
        if (strcmp(p->ns, o->ns) != 0)
            continue;
        if (p->has_volumes && !p->finishing && volumes_uses(p, o->kind, o->name))
            volumes_refresh(p);
        else if (timer_is_set(&p->retry))
            pod_wake(p);
    }
}

struct pods *pods_new(struct local *l, struct err *e)
{
    struct pods *ps = xcalloc(1, sizeof(*ps));

    ps->l = l;
    TAILQ_INIT(&ps->list);
    ps->by_key = table_new(NULL);
    ps->pods = res_watch_add(l, "Pod", on_pod, ps);
    ps->maps = res_watch_add(l, "ConfigMap", on_map, ps);
    ps->secrets = res_watch_add(l, "Secret", on_map, ps);
    return ps;
}

void pods_free(struct pods *ps)
{
    struct pod *p;

    if (!ps)
        return;
    res_watch_remove(ps->l, ps->pods);
    res_watch_remove(ps->l, ps->maps);
    res_watch_remove(ps->l, ps->secrets);
    while ((p = TAILQ_FIRST(&ps->list)) != NULL) {
        TAILQ_REMOVE(&ps->list, p, link);
        pod_free(p);
    }
    table_free(ps->by_key);
    free(ps);
}
