/* verbs.c - what can be asked of the daemon. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/api.h"
#include "cli/local/pod.h"
#include "cli/local/resources.h"
#include "cli/local/status.h"
#include "cli/local/write.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/kube/kind.h"

/* ---- get, watch ------------------------------------------------------------------------------ */

struct query {
    const char *kind, *ns; /* ns NULL = all */
    const json_t *names;   /* array, or NULL = all */
    const json_t *labels;  /* {"matchLabels": ..}-like requirements, or NULL */
};

static bool query_read(struct api_request *r, struct query *q)
{
    const json_t *m = api_message(r);

    q->kind = json_str(m, "kind", "");
    q->ns = json_str(m, "namespace", NULL);
    q->names = json_object_get(m, "names");
    q->labels = json_object_get(m, "labels");
    if (!kube_kind_by_key(q->kind)) {
        api_fail(r, "unknown kind \"%s\"", q->kind);
        return false;
    }
    if (!kube_kind_is_namespaced(q->kind))
        q->ns = NULL;
    return true;
}

static bool has_name(const json_t *names, const char *name)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (strcmp(json_string_value(json_array_get(names, i)) ?: "", name) == 0)
            return true;
    return false;
}

static bool query_matches(const struct query *q, const struct kube_object *o)
{
    if (q->ns && strcmp(o->ns, q->ns) != 0)
        return false;
    if (json_is_array(q->names) && json_array_size(q->names) && !has_name(q->names, o->name))
        return false;
    return write_labels_match(q->labels, json_at(o->body, "metadata.labels"));
}

static void verb_get(struct api_request *r)
{
    struct local *l = api_local(r);
    json_t *items = json_array();
    const struct kube_object *o;
    struct query q;

    if (!query_read(r, &q)) {
        json_decref(items);
        return;
    }
    for (void *it = NULL; (o = kube_store_next(l->store, q.kind, q.ns, &it)) != NULL;)
        if (query_matches(&q, o))
            json_array_append(items, o->body);
    for (size_t i = 0; i < json_array_size(q.names); i++) {
        const char *name = json_string_value(json_array_get(q.names, i)) ?: "";
        if (!res_get(l, q.kind, q.ns ? q.ns : "", name)) {
            api_reply(r, json_pack("{s:o, s:s}", "items", items, "missing", name));
            return;
        }
    }
    api_reply(r, json_pack("{s:o}", "items", items));
}

struct watching {
    struct api_request *r;
    struct res_watch *w;
    struct query q;
};

static void watch_gone(struct api_request *r, void *arg)
{
    struct watching *wt = arg;

    res_watch_remove(api_local(r), wt->w);
    free(wt);
}

static void watch_event(const char *type, const struct kube_object *o, void *arg)
{
    struct watching *wt = arg;

    if (query_matches(&wt->q, o))
        api_send(wt->r, json_pack("{s:s, s:O}", "type", type, "object", o->body));
}

static void verb_watch(struct api_request *r)
{
    struct local *l = api_local(r);
    struct watching *wt = xcalloc(1, sizeof(*wt));
    const struct kube_object *o;

    wt->r = r;
    if (!query_read(r, &wt->q)) {
        free(wt);
        return;
    }
    for (void *it = NULL; (o = kube_store_next(l->store, wt->q.kind, wt->q.ns, &it)) != NULL;)
        watch_event("ADDED", o, wt);
    api_send(r, json_pack("{s:s}", "type", "SYNCED"));
    wt->w = res_watch_add(l, wt->q.kind, watch_event, wt);
    api_on_gone(r, watch_gone, wt);
}

/* ---- changing -------------------------------------------------------------------------------- */

static void verb_apply(struct api_request *r)
{
    const json_t *objects = json_object_get(api_message(r), "objects");
    bool create = json_bool(api_message(r), "create", false);
    json_t *results = json_array();

    for (size_t i = 0; i < json_array_size(objects); i++)
        json_array_append_new(results,
                              write_apply(api_local(r), json_array_get(objects, i), create));
    res_flush(api_local(r));
    api_reply(r, json_pack("{s:o}", "results", results));
}

static void verb_patch(struct api_request *r)
{
    const json_t *m = api_message(r);
    struct err e;
    bool changed = false;
    const struct kube_object *o =
        write_patch(api_local(r), json_str(m, "kind", ""), json_str(m, "namespace", ""),
                    json_str(m, "name", ""), json_str(m, "type", "merge"),
                    json_object_get(m, "patch"), &changed, &e);

    if (!o) {
        api_fail(r, "%s", e.text);
        return;
    }
    json_t *body = json_incref(o->body);
    res_flush(api_local(r));
    api_reply(r, json_pack("{s:o, s:b}", "object", body, "changed", changed));
}

static void verb_delete(struct api_request *r)
{
    const json_t *m = api_message(r);
    const char *kind = json_str(m, "kind", "");
    const char *ns = kube_kind_is_namespaced(kind) ? json_str(m, "namespace", "") : "";
    struct err e;

    long grace = json_int(m, "grace", -1) < 0 ? -1 : (long)(seconds_ms(m, "grace", 0) / 1000);

    const struct kube_object *o = res_get(api_local(r), kind, ns, json_str(m, "name", ""));
    char *uid = xstrdup(o ? object_uid(o) : "");
    if (res_delete(api_local(r), kind, ns, json_str(m, "name", ""), grace, &e))
        api_fail(r, "%s", e.text);
    else
        api_reply(r, json_pack("{s:s}", "uid", uid));
    free(uid);
}

/* ---- containers ------------------------------------------------------------------------------ */

static struct container *find_container(struct api_request *r)
{
    const json_t *m = api_message(r);
    const char *ns = json_str(m, "namespace", "default"), *name = json_str(m, "pod", "");
    const char *container = json_str(m, "container", NULL);
    struct pod *p = pod_find(api_local(r), ns, name);

    if (!p) {
        api_fail(r, "pod \"%s\" not found in namespace \"%s\"", name, ns);
        return NULL;
    }
    struct container *c = pod_container(p, container);
    if (!c && container && strcmp(container, "sidecar") == 0)
        api_fail(r, "pod \"%s\" in namespace \"%s\" is not in the mesh: it has no sidecar", name,
                 ns);
    else if (!c)
        api_fail(r, "container \"%s\" is not in pod \"%s\"", container ? container : "", name);
    return c;
}

/* The caller is root on this machine, as we are: it runs the shim itself, with its own streams. */
static void verb_exec(struct api_request *r)
{
    const json_t *m = api_message(r);
    struct container *c = find_container(r);
    struct err e;

    if (!c)
        return;
    json_t *spec = spec_exec(c, NULL, json_bool(m, "tty", false), &e);
    if (!spec) {
        api_fail(r, "%s", e.text);
        return;
    }
    char *shim = xasprintf("%s/fsm-local-shim", c->pod->l->in->bin_dir);
    api_reply(r, json_pack("{s:o, s:s, s:s}", "spec", spec, "shim", shim, "container", c->name));
    free(shim);
}

/* the first process of a container, in the machine's numbers: where its namespaces are */
static void verb_process(struct api_request *r)
{
    struct container *c = find_container(r);

    if (c && c->proc)
        api_reply(r, json_pack("{s:i}", "pid", (int)proc_pid(c->proc)));
    else if (c)
        api_fail(r, "container \"%s\" of pod \"%s\" is not running (%s)", c->name, c->pod->name,
                 ctr_state_name(c->state));
}

static void verb_logs(struct api_request *r)
{
    struct container *c = find_container(r);

    if (!c)
        return;
    char *file = xasprintf("%s/%s.log", c->pod->log_dir, c->name);
    api_reply(r, json_pack("{s:s, s:b, s:i}", "file", file, "running", container_is_active(c),
                           "runs", (int)c->runs));
    free(file);
}

/* ---- the daemon itself ----------------------------------------------------------------------- */

static void verb_ping(struct api_request *r)
{
    api_reply(r, json_pack("{s:s, s:i}", "version", fsm_version, "pid", (int)getpid()));
}

static void verb_stop(struct api_request *r)
{
    daemon_stop(api_local(r), (unsigned)json_int(api_message(r), "grace", 0));
    api_reply(r, json_pack("{s:b}", "stopping", 1));
}

static const struct {
    const char *verb;
    void (*run)(struct api_request *r);
} verbs[] = {{"apply", verb_apply}, {"delete", verb_delete},   {"exec", verb_exec},
             {"get", verb_get},     {"logs", verb_logs},       {"patch", verb_patch},
             {"ping", verb_ping},   {"process", verb_process}, {"status", status_reply},
             {"stop", verb_stop},   {"watch", verb_watch}};

void api_dispatch(struct api_request *r)
{
    const char *verb = json_str(api_message(r), "verb", "");

    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
        if (strcmp(verbs[i].verb, verb) == 0) {
            verbs[i].run(r);
            return;
        }
    api_fail(r, "unknown request \"%s\": is the daemon older than this fsm?", verb);
}
