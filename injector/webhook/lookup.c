/* lookup.c - one namespace, asked of the API server: the copy that a watch keeps may be some
 * milliseconds old, and who made a namespace and then a pod in it should not have to know that. */
#include <stdlib.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "injector/webhook/wh.h"

#define LOOKUP_MS 5000 /* the API server waits 20 s for us */

struct wh_lookup {
    TAILQ_ENTRY(wh_lookup) link;
    struct wh *wh;
    struct kube_call *call;
    struct buf text;
    char *ns;
    wh_lookup_fn *done;
    void *arg;
};

/* takes l */
static void finish(struct wh_lookup *l, const json_t *ns, const struct err *e)
{
    TAILQ_REMOVE(&l->wh->lookups, l, link);
    l->wh->metrics.lookups_failed += ns == NULL;
    l->done(l->wh, ns, e, l->arg);
    buf_free(&l->text);
    free(l->ns);
    free(l);
}

static int on_data(struct slice bytes, void *arg)
{
    struct wh_lookup *l = arg;

    buf_put_slice(&l->text, bytes);
    return l->text.len <= WH_ANSWER_MAX ? 0 : -1;
}

static void on_done(const struct kube_answer *a, void *arg)
{
    struct wh_lookup *l = arg;
    struct err e = {""};
    json_t *ns = NULL;

    l->call = NULL;
    if (a->status == 200)
        ns = json_parse(buf_slice(&l->text), WH_ANSWER_MAX, &e);
    else if (a->status == 404)
        err_set(&e, "there is no such namespace");
    else if (a->status == 403)
        err_set(&e, "fsm-injector may not get namespaces: its ClusterRole misses {apiGroups: "
                    "[\"\"], resources: [namespaces], verbs: [get]}");
    else
        err_set(&e, "the API server does not say: %s (status %u)", a->error, a->status);
    if (ns && !json_is_object(json_object_get(ns, "metadata"))) {
        err_set(&e, "the API server answers with something else");
        json_decref(ns);
        ns = NULL;
    }
    err_prefix(&e, "namespace \"%.64s\"", l->ns);
    finish(l, ns, &e);
    json_decref(ns);
}

void wh_lookup(struct wh *wh, const char *ns, wh_lookup_fn *done, void *arg)
{
    struct wh_lookup *l = xcalloc(1, sizeof(*l));
    char *path = xasprintf("/api/v1/namespaces/%s", ns);

    l->wh = wh;
    l->ns = xstrdup(ns);
    l->done = done;
    l->arg = arg;
    TAILQ_INSERT_TAIL(&wh->lookups, l, link);
    wh->metrics.lookups++;
    l->call = kube_api_get(
        wh->api,
        &(struct kube_call_spec){
            .path = path, .timeout_ms = LOOKUP_MS, .data = on_data, .done = on_done, .arg = l});
    free(path);
}

void wh_lookups_end(struct wh *wh)
{
    struct wh_lookup *l;
    struct err e = {"fsm-injector is stopping"};

    while ((l = TAILQ_FIRST(&wh->lookups))) {
        kube_call_cancel(l->call);
        finish(l, NULL, &e);
    }
}
