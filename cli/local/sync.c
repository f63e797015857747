/* sync.c - everything that follows the objects; see sync.h. */
#include "cli/local/sync.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/clusterip.h"
#include "cli/local/component.h"
#include "cli/local/controller.h"
#include "cli/local/dns.h"
#include "cli/local/endpoints.h"
#include "cli/local/fetch.h"
#include "cli/local/namespaces.h"
#include "cli/local/presets.h"
#include "cli/local/probe.h"
#include "cli/local/resources.h"
#include "cli/local/workload.h"
#include "common/base/mem.h"
#include "common/io/conn.h"

#define READY_POLL_MS 20
#define READY_MAX_MS  20000

/* what has to look again */
#define DUE_NAMESPACES 1u
#define DUE_WORKLOADS  2u
#define DUE_ENDPOINTS  4u
#define DUE_SERVICES   8u

struct sync {
    struct local *l;
    struct res_watch *watch;
    unsigned due;
    struct timer workloads; /* workload_again() */
    struct timer ready;     /* until all answer */
    uint64_t ready_end_ms;
    struct conn *dns;
    bool dns_up, controller_up, asking;
    void (*tell)(const char *fmt, ...);
};

static const struct {
    const char *kind;
    unsigned due;
} concerns[] = {{"Namespace", DUE_NAMESPACES | DUE_WORKLOADS},
                {"Pod", DUE_WORKLOADS | DUE_ENDPOINTS},
                {"Service", DUE_ENDPOINTS | DUE_SERVICES},
                {"EndpointSlice", DUE_SERVICES},
                {"Deployment", DUE_WORKLOADS},
                {"ReplicaSet", DUE_WORKLOADS},
                {"StatefulSet", DUE_WORKLOADS},
                {"DaemonSet", DUE_WORKLOADS},
                {"Job", DUE_WORKLOADS},
                /* a workload may wait for one of these */
                {"ServiceAccount", DUE_WORKLOADS},
                {"MeshConfig", DUE_WORKLOADS}};

static void on_change(const char *type, const struct kube_object *o, void *arg)
{
    struct sync *s = arg;

    for (size_t i = 0; i < sizeof(concerns) / sizeof(*concerns); i++)
        if (strcmp(concerns[i].kind, o->kind) == 0)
            s->due |= concerns[i].due;
    /* whatever goes may be the last thing in a namespace that waits for it */
    if (strcmp(type, "DELETED") == 0)
        s->due |= DUE_NAMESPACES;
}

static void on_workloads(void *arg)
{
    struct sync *s = arg;

    s->due |= DUE_WORKLOADS;
    loop_defer(s->l->loop, &s->l->reconcile);
}

void workload_again(struct local *l, uint64_t ms)
{
    struct timer *t = &l->sync->workloads;

    if (!timer_is_set(t) || t->due_ms > loop_now_ms(l->loop) + ms)
        timer_set(t, ms);
}

/* In this order: pods appear and go, then endpoints follow, then names and addresses. */
void sync_run(struct local *l)
{
    struct sync *s = l->sync;

    if (!s)
        return;
    unsigned due = s->due;
    s->due = 0;
    if (due & DUE_NAMESPACES && !l->stopping) {
        presets_sync(l);
        namespaces_sync(l);
    }
    if (due & DUE_WORKLOADS && !l->stopping)
        workload_sync(l);
    if (due & DUE_ENDPOINTS)
        endpoints_sync(l);
    if (due & DUE_SERVICES || s->due & DUE_SERVICES) {
        s->due &= ~DUE_SERVICES;
        dns_sync(l);
        clusterip_sync(l);
    }
}

/* ---- until all answer ------------------------------------------------------------------------ */

static void answer(struct sync *s, const char *who)
{
    char *words = component_last_words(s->l, who);

    for (char *p = words; *p; p++)
        if (*p == '\n')
            *p = ' ';
    s->tell("failed: %s did not become ready; its last words: %s", who, words);
    free(words);
    loop_stop(s->l->loop);
}

static void on_dns(struct conn *c, unsigned events, void *arg)
{
    struct sync *s = arg;

    s->dns_up = events & CONN_EV_OPEN;
    if (s->dns_up)
        s->tell("dns: answers");
    conn_close(c);
    s->dns = NULL;
}

static void ask_dns(struct sync *s)
{
    struct ip_port to = {.ip = s->l->in->gw4, .port = 53};
    struct conn_dial_opts o = {.timeout_ms = 1000};
    struct err e;

    if (!s->dns_up && !s->dns)
        s->dns = conn_dial(s->l->loop, &to, &o, on_dns, s, &e);
}

static void on_controller(bool up, void *arg)
{
    struct sync *s = arg;

    s->asking = false;
    if (up && !s->controller_up)
        s->tell("controller: ready");
    s->controller_up = up;
}

static void on_ready_timer(void *arg)
{
    struct sync *s = arg;

    if (s->dns_up && s->controller_up) {
        s->tell("ready");
        return;
    }
    if (loop_now_ms(s->l->loop) > s->ready_end_ms) {
        answer(s, s->dns_up ? "controller" : "dns");
        return;
    }
    ask_dns(s);
    if (!s->controller_up && !s->asking) {
        s->asking = true;
        controller_ask_ready(s->l, on_controller, s);
    }
    timer_set(&s->ready, READY_POLL_MS);
}

void sync_when_ready(struct local *l, void (*tell)(const char *fmt, ...))
{
    struct sync *s = l->sync;

    s->tell = tell;
    s->controller_up = !l->in->controller;
    s->ready_end_ms = loop_now_ms(l->loop) + READY_MAX_MS;
    timer_set(&s->ready, 1);
}

/* ---- life ------------------------------------------------------------------------------------ */

int sync_open(struct local *l, struct err *e)
{
    struct sync *s = xcalloc(1, sizeof(*s));

    s->l = l;
    s->due = ~0u;
    l->sync = s;
    s->watch = res_watch_add(l, NULL, on_change, s);
    timer_init(&s->ready, l->loop, on_ready_timer, s);
    timer_init(&s->workloads, l->loop, on_workloads, s);
    l->components = components_new(l);
    l->clusterip = clusterip_new(l);
    sync_run(l);
    res_flush(l);
    if (dns_open(l, e))
        return -1;
    return l->in->controller ? controller_open(l, e) : 0;
}

void sync_close(struct local *l)
{
    struct sync *s = l->sync;

    if (!s)
        return;
    timer_cancel(&s->ready);
    timer_cancel(&s->workloads);
    conn_close(s->dns);
    res_watch_remove(l, s->watch);
    components_free(l->components);
    clusterip_free(l->clusterip);
    controller_close(l);
    free(s);
    l->sync = NULL;
}
