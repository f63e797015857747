/* pod_status.c - a pod's status, as kubelet reports it, from what is. */
#include "cli/local/pod.h"

#include <stdio.h>
#include <string.h>
#include "cli/local/resources.h"
#include "common/base/json.h"
#include "common/base/log.h"

const char *ctr_state_name(enum ctr_state s)
{
    static const char *const names[] = {
#define X(id, text) text,
        CTR_STATES(X)
#undef X
    };
    return names[s];
}

static json_t *waiting_json(const struct container *c)
{
    json_t *w = json_pack("{s:s}", "reason", c->reason ? c->reason : "ContainerCreating");

    if (c->message)
        json_object_set_new(w, "message", json_string(c->message));
    return json_pack("{s:o}", "waiting", w);
}

json_t *container_terminated_json(const struct container *c)
{
    json_t *t = json_pack("{s:i, s:s, s:o, s:o}", "exitCode", c->exit_code, "reason",
                          c->reason ? c->reason : "Error", "startedAt", time_json(c->started_ms),
                          "finishedAt", time_json(c->ended_ms));
    if (c->message)
        json_object_set_new(t, "message", json_string(c->message));
    return t;
}

static json_t *state_json(const struct container *c)
{
    if (c->state == CTR_RUNNING)
        return json_pack("{s:{s:o}}", "running", "startedAt", time_json(c->started_ms));
    if (c->state == CTR_ENDED && c->runs > 0)
        return json_pack("{s:o}", "terminated", container_terminated_json(c));
    return waiting_json(c);
}

static json_t *container_json(const struct container *c)
{
    bool up = c->state == CTR_RUNNING;
    bool done = c->kind == CTR_INIT && c->state == CTR_ENDED && c->exit_code == 0;
    json_t *j = json_pack("{s:s, s:b, s:b, s:i, s:s, s:s, s:o}", "name", c->name, "ready",
                          done || (up && c->ready), "started", up && c->started, "restartCount",
                          (int)c->restarts, "image", json_str(c->spec, "image", ""), "imageID", "",
                          "state", state_json(c));

    json_object_set_new(j, "lastState",
                        c->last ? json_pack("{s:O}", "terminated", c->last) : json_object());
    return j;
}

struct summary {
    bool initialized, ready, begun;
};

static struct summary summarize(const struct pod *p)
{
    struct summary s = {.initialized = true, .ready = true};

    for (unsigned i = 0; i < p->n_ctrs; i++) {
        const struct container *c = &p->ctrs[i];
        bool up = c->state == CTR_RUNNING;
        if (c->kind == CTR_MAIN && c->runs > 0)
            s.begun = true;
        if (c->kind == CTR_INIT && (c->state != CTR_ENDED || c->exit_code != 0))
            s.initialized = false;
        if (c->kind == CTR_SIDECAR && !(up && c->started))
            s.initialized = false;
        if (c->kind != CTR_INIT && !(up && c->ready))
            s.ready = false;
    }
    s.initialized = s.initialized || s.begun;
    return s;
}

static bool all_ended(const struct pod *p)
{
    for (unsigned i = 0; i < p->n_ctrs; i++)
        if (container_is_active(&p->ctrs[i]))
            return false;
    return true;
}

static const char *phase(const struct pod *p, const struct summary *s)
{
    if (p->finishing && all_ended(p))
        return p->failed ? "Failed" : "Succeeded";
    return s->begun ? "Running" : "Pending";
}

static void put_addresses(const struct pod *p, json_t *status)
{
    const struct ip *ips[] = {&p->sb.ip4, &p->sb.ip6};
    json_t *list = json_array();
    char text[IP_TEXT_MAX];

    json_object_set_new(status, "hostIP", json_string(ip_format(&p->l->in->gw4, text)));
    for (size_t i = 0; i < 2; i++)
        if (ips[i]->family)
            json_array_append_new(list, json_pack("{s:s}", "ip", ip_format(ips[i], text)));
    if (json_array_size(list)) {
        json_object_set(status, "podIP", json_object_get(json_array_get(list, 0), "ip"));
        json_object_set(status, "podIPs", list);
    }
    json_decref(list);
}

static void put_conditions(const struct pod *p, const struct summary *s, json_t *status)
{
    const char *why =
        p->finishing ? (p->failed ? "PodFailed" : "PodCompleted") : "ContainersNotReady";
    bool ready = s->ready && s->initialized && !p->finishing;

    condition_set(status, "PodScheduled", true, NULL, NULL);
    condition_set(status, "Initialized", s->initialized, s->initialized ? NULL : why, NULL);
    condition_set(status, "ContainersReady", ready, ready ? NULL : why, NULL);
    condition_set(status, "Ready", ready, ready ? NULL : why, NULL);
}

static void put_containers(const struct pod *p, json_t *status)
{
    json_t *init = json_array(), *others = json_array();

    for (unsigned i = 0; i < p->n_ctrs; i++)
        json_array_append_new(p->ctrs[i].kind == CTR_MAIN ? others : init,
                              container_json(&p->ctrs[i]));
    if (json_array_size(init))
        json_object_set(status, "initContainerStatuses", init);
    json_object_set_new(status, "containerStatuses", others);
    json_decref(init);
}

void pod_publish(struct pod *p)
{
    const json_t *old = json_object_get(p->object->body, "status");
    json_t *status = json_object();
    struct summary s = summarize(p);

    /* conditions know when they changed: they are carried over */
    if (json_object_get(old, "conditions"))
        json_object_set_new(status, "conditions",
                            json_deep_copy(json_object_get(old, "conditions")));
    json_object_set_new(status, "phase", json_string(phase(p, &s)));
    json_object_set_new(status, "qosClass", json_string("BestEffort"));
    if (p->fail_reason)
        json_object_set_new(status, "reason", json_string(p->fail_reason));
    if (p->started_ms)
        json_object_set_new(status, "startTime", time_json(p->started_ms));
    put_addresses(p, status);
    put_conditions(p, &s, status);
    put_containers(p, status);
    res_set_status(p->l, "Pod", p->ns, p->name, status);
}
