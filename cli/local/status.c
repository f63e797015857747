/* status.c - the report of `fsm local status`; see status.h. */
#include "cli/local/status.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/clusterip.h"
#include "cli/local/component.h"
#include "cli/local/controller.h"
#include "cli/local/pod.h"
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define WARNINGS_MAX 20

/* the report while the controller is asked */
struct report {
    struct api_request *r; /* NULL: whoever asked has gone */
    struct local *l;
    json_t *problems, *proxies; /* owned; NULL = no answer */
};

/* ---- pods ------------------------------------------------------------------------------------ */

static const struct container *sidecar_of(const struct pod *p)
{
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (strcmp(p->ctrs[i].name, "sidecar") == 0)
            return &p->ctrs[i];
    return NULL;
}

/* what the pod's sidecar told the controller last; NULL if it never did */
static const json_t *proxy_of(const json_t *proxies, const struct pod *p)
{
    char *key = xasprintf("%s/%s", p->ns, p->name);
    const json_t *found = NULL;

    for (size_t i = 0; !found && i < json_array_size(proxies); i++)
        if (strcmp(json_str(json_array_get(proxies, i), "pod", ""), key) == 0)
            found = json_array_get(proxies, i);
    free(key);
    return found;
}

static char *sidecar_text(const struct container *c)
{
    if (!c)
        return xstrdup("-");
    if (c->restarts)
        return xasprintf("%s, restarted %u times", ctr_state_name(c->state), c->restarts);
    return xstrdup(c->state == CTR_RUNNING && !c->ready ? "not ready" : ctr_state_name(c->state));
}

static char *config_text(const json_t *proxy)
{
    const char *rejected = json_str(proxy, "rejected", NULL);

    if (!proxy)
        return xstrdup("-");
    if (rejected)
        return xasprintf("%s (refused %s: %s)", json_str(proxy, "applied", "none"), rejected,
                         json_str(proxy, "reason", ""));
    return xstrdup(json_str(proxy, "applied", "none"));
}

struct counts {
    int ready, all, restarts;
};

static struct counts count(const struct pod *p)
{
    struct counts n = {0};

    for (unsigned i = 0; i < p->n_ctrs; i++) {
        const struct container *c = &p->ctrs[i];
        n.restarts += (int)c->restarts;
        n.all += c->kind != CTR_INIT;
        n.ready += c->kind != CTR_INIT && c->state == CTR_RUNNING && c->ready;
    }
    return n;
}

/* the first reason a container of the pod waits for, else the phase */
static const char *pod_state(const struct pod *p)
{
    if (p->deleting)
        return "Terminating";
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (p->ctrs[i].state == CTR_WAITING && p->ctrs[i].message && p->ctrs[i].reason)
            return p->ctrs[i].reason;
    return json_str(p->object->body, "status.phase", "Pending");
}

static bool pod_is_well(const struct pod *p)
{
    return p->deleting || pod_is_ready(p->object) ||
           strcmp(json_str(p->object->body, "status.phase", ""), "Succeeded") == 0;
}

static json_t *pod_row(const struct pod *p, const json_t *proxies)
{
    struct counts n = count(p);
    char *ready = xasprintf("%d/%d", n.ready, n.all);
    char *sidecar = sidecar_text(sidecar_of(p)), *config = config_text(proxy_of(proxies, p));
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "namespace", p->ns, "name",
                            p->name, "ready", ready, "state", pod_state(p), "restarts", n.restarts,
                            "ip", json_str(p->object->body, "status.podIP", ""), "sidecar", sidecar,
                            "config", config);

    free(ready);
    free(sidecar);
    free(config);
    return row;
}

static json_t *pods_report(struct local *l, const json_t *proxies, bool *healthy)
{
    json_t *out = json_array();

    for (struct pod *p = pod_next(l, NULL); p; p = pod_next(l, p)) {
        json_array_append_new(out, pod_row(p, proxies));
        if (!pod_is_well(p))
            *healthy = false;
    }
    return out;
}

/* ---- what is wrong --------------------------------------------------------------------------- */

/* worth knowing, but nothing is wrong: "severity": "note" */
static bool is_note(const json_t *problem)
{
    return strcmp(json_str(problem, "severity", ""), "note") == 0;
}

/* pods that could not be made: refused by injection or by a missing service account */
static void add_refusals(struct local *l, json_t *out)
{
    static const char *const kinds[] = {"ReplicaSet", "StatefulSet", "DaemonSet", "Job"};
    const struct kube_object *ev;

    for (void *it = NULL; (ev = kube_store_next(l->store, "Event", NULL, &it)) != NULL;) {
        const json_t *about = json_object_get(ev->body, "involvedObject");
        const char *kind = json_str(about, "kind", ""), *name = json_str(about, "name", "");
        if (strcmp(json_str(ev->body, "reason", ""), "FailedCreate") != 0)
            continue;
        for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
            const struct kube_object *o =
                strcmp(kinds[i], kind) == 0 ? res_get(l, kind, ev->ns, name) : NULL;
            struct object_list pods;
            if (!o)
                continue;
            list_get(l, "Pod", o->ns, object_uid(o), &pods);
            if (pods.n == 0)
                json_array_append_new(out, json_sprintf("%s %s/%s: %s", kind, ev->ns, name,
                                                        json_str(ev->body, "message", "")));
            list_free(&pods);
        }
    }
}

static json_t *problems_report(struct local *l, const json_t *list, bool *healthy)
{
    json_t *out = json_array();

    if (l->in->controller && !list)
        json_array_append_new(out, json_string("the controller does not answer"));
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_note(json_array_get(list, i)))
            json_array_append(out, json_object_get(json_array_get(list, i), "text"));
    add_refusals(l, out);
    res_problems(l, out);
    if (clusterip_problem(l))
        json_array_append_new(out, text_json(clusterip_problem(l)));
    if (json_array_size(out))
        *healthy = false;
    return out;
}

static void add_notes(json_t *out, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (is_note(v))
            json_array_append_new(
                out, json_sprintf("%s: %s", json_str(v, "object", ""), json_str(v, "message", "")));
    }
}

static json_t *warnings_report(struct local *l, const json_t *list)
{
    json_t *out = json_array();
    const struct kube_object *ev;

    for (void *it = NULL; (ev = kube_store_next(l->store, "Event", NULL, &it)) != NULL;) {
        const json_t *about = json_object_get(ev->body, "involvedObject");
        const struct kube_object *o =
            res_get(l, json_str(about, "kind", ""), json_str(about, "namespace", ""),
                    json_str(about, "name", ""));
        /* what a pod that is ready now went through while it started is history */
        if (strcmp(json_str(ev->body, "type", ""), "Warning") != 0 || !o || pod_is_ready(o))
            continue;
        json_array_append_new(out, json_sprintf("%s %s %s/%s: %s: %s (%lld times)",
                                                json_str(ev->body, "lastTimestamp", ""), o->kind,
                                                ev->ns, o->name, json_str(ev->body, "reason", ""),
                                                json_str(ev->body, "message", ""),
                                                (long long)json_int(ev->body, "count", 1)));
        if (json_array_size(out) > WARNINGS_MAX)
            json_array_remove(out, 0);
    }
    add_notes(out, list);
    return out;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void put_range(json_t *out, const char *key, const struct cidr *c)
{
    char text[IP_TEXT_MAX];

    json_object_set_new(out, key, json_string(c->ip.family ? cidr_format(c, text) : ""));
}

static json_t *build(struct report *rep)
{
    struct local *l = rep->l;
    bool healthy = true;
    json_t *components = components_status(l, &healthy);
    json_t *pods = pods_report(l, rep->proxies, &healthy);
    json_t *problems = problems_report(l, rep->problems, &healthy);
    json_t *out =
        json_pack("{s:s, s:b, s:s, s:o, s:o, s:o, s:o}", "name", l->in->name, "healthy", healthy,
                  "bridge", l->in->bridge, "components", components, "pods", pods, "problems",
                  problems, "warnings", warnings_report(l, rep->problems));

    put_range(out, "podCidr", &l->in->pods4);
    put_range(out, "serviceCidr", &l->in->services4);
    put_range(out, "podCidr6", &l->in->pods6);
    put_range(out, "serviceCidr6", &l->in->services6);
    return out;
}

static void finish(struct report *rep)
{
    if (rep->r)
        api_reply(rep->r, build(rep));
    json_decref(rep->problems);
    json_decref(rep->proxies);
    free(rep);
}

static void on_proxies(const json_t *answer, void *arg)
{
    struct report *rep = arg;

    rep->proxies = answer ? json_incref((json_t *)(uintptr_t)answer) : NULL;
    finish(rep);
}

static void on_problems(const json_t *answer, void *arg)
{
    struct report *rep = arg;

    rep->problems = answer ? json_incref((json_t *)(uintptr_t)answer) : NULL;
    controller_ask(rep->l, "/proxies", on_proxies, rep);
}

static void on_gone(struct api_request *r, void *arg)
{
    ((struct report *)arg)->r = NULL;
}

void status_reply(struct api_request *r)
{
    struct report *rep = xcalloc(1, sizeof(*rep));

    rep->r = r;
    rep->l = api_local(r);
    if (!rep->l->in->controller) {
        finish(rep);
        return;
    }
    api_on_gone(r, on_gone, rep);
    controller_ask(rep->l, "/problems", on_problems, rep);
}
