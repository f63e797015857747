/* root_maps.c - what a sidecar trusts before it has spoken to anybody: the ConfigMap fsm-root-ca,
 * which every namespace of the mesh has, and which the kubelet gives to each injected pod.
 *
 * The maps are among the resources that are read.  One that is missing or says something else is
 * written by server-side apply, one at a time, until what is read is right; a namespace's map is
 * written at most every TOLD_MS, whoever else writes it.  Every replica does so: they write the
 * same. Of a namespace that leaves the mesh the map stays, because its pods may be started again.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/answer.h"
#include "common/kube/backoff.h"
#include "common/policy/mesh.h"
#include "controller/cp.h"

#define KEY     "ca.crt"
#define CALL_MS 10000
#define TOLD_MS 5000 /* until what was written should have been read */

struct cp_root_maps {
    struct cp *cp;
    struct kube_call *call;
    char *ns;           /* that it is about */
    struct table *told; /* namespace -> uint64_t: loop time, left alone until then */
    struct timer timer; /* set: nothing is written before */
    struct backoff backoff;
    char *problem; /* NULL: none */
};

static void set_problem(struct cp_root_maps *m, char *text)
{
    if (text && (!m->problem || strcmp(m->problem, text) != 0))
        log_warn("roots", "ConfigMap " CP_ROOT_MAP " cannot be written error=\"%s\"", text);
    free(m->problem);
    m->problem = text;
}

static void told(struct cp_root_maps *m)
{
    uint64_t *until = xmalloc(sizeof(*until));

    *until = loop_now_ms(m->cp->loop) + TOLD_MS;
    table_put_str(m->told, m->ns, until);
}

/* ---- writing --------------------------------------------------------------------------------- */

static char *why_not(const struct cp_root_maps *m, const struct kube_answer *a)
{
    static const struct kube_right right = {.verb = "patch",
                                            .verbs = "\"create\", \"patch\"",
                                            .group = "",
                                            .plural = "configmaps",
                                            .where = "ClusterRole"};
    if (a->status == 0)
        return xasprintf("namespace %s: no answer from the API server: %s", m->ns, a->error);
    if (a->status == 403)
        return kube_answer_forbidden(a, &right);
    char *words = kube_answer_words(a);
    char *out = xasprintf("namespace %s: the API server answers %u: %s", m->ns, a->status, words);
    free(words);
    return out;
}

static void on_written(const struct kube_answer *a, void *arg)
{
    struct cp_root_maps *m = arg;

    m->call = NULL;
    told(m);
    if (a->status == 200 || a->status == 201) {
        log_info("roots", "ConfigMap " CP_ROOT_MAP " was written namespace=%s", m->ns);
        backoff_reset(&m->backoff);
        timer_set(&m->timer, 0);
    } else {
        set_problem(m, why_not(m, a));
        timer_set(&m->timer, backoff_next(&m->backoff, a->retry_after));
    }
}

/* the labels are what an uninstallation finds it by */
static void write_map(struct cp_root_maps *m, struct kube_api *api, const char *ns)
{
    char *path = xasprintf("/api/v1/namespaces/%s/configmaps/" CP_ROOT_MAP
                           "?fieldManager=fsm-controller&force=true",
                           ns);
    json_t *doc = json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s}},s:{s:s}}", "apiVersion", "v1", "kind",
                            "ConfigMap", "metadata", "name", CP_ROOT_MAP, "labels",
                            "app.kubernetes.io/name", "flomesh.io", "app.kubernetes.io/managed-by",
                            "fsm-controller", "data", KEY, pki_ca_roots(m->cp->ca));
    struct buf text = BUF_INIT;

    free(m->ns);
    m->ns = xstrdup(ns);
    json_print(doc, &text);
    m->call = kube_api_send(api, KUBE_APPLY, buf_slice(&text),
                            &(struct kube_call_spec){
                                .path = path, .timeout_ms = CALL_MS, .done = on_written, .arg = m});
    buf_free(&text);
    json_decref(doc);
    free(path);
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static bool needs_one(const struct cp *cp, const struct kube_object *o)
{
    json_t *body = kube_object_at(o, "");
    bool ends = json_str(body, "metadata.deletionTimestamp", NULL) != NULL;
    struct mesh_namespace ns;

    mesh_namespace_read(body, cp->conf.base.mesh_name, &ns);
    mesh_namespace_clear(&ns);
    json_decref(body);
    return ns.in_mesh && !ends;
}

static bool is_right(const struct cp *cp, const char *ns)
{
    const struct kube_object *o = kube_store_get(cp->store, "ConfigMap", ns, CP_ROOT_MAP);
    const json_t *data = o ? json_object_get(o->body, "data") : NULL;
    const char *roots = json_string_value(json_object_get(data, KEY));

    return roots && strcmp(roots, pki_ca_roots(cp->ca)) == 0;
}

/* The first namespace whose map is to be written now.  NULL: none; *again_ms is when one may be,
 * UINT64_MAX: all are right. */
static const char *next_wrong(struct cp_root_maps *m, uint64_t *again_ms)
{
    const struct cp *cp = m->cp;
    uint64_t now = loop_now_ms(cp->loop);
    const struct kube_object *o;

    *again_ms = UINT64_MAX;
    for (void *it = NULL; (o = kube_store_next(cp->store, "Namespace", NULL, &it)) != NULL;) {
        if (!needs_one(cp, o) || is_right(cp, o->name)) {
            table_del(m->told, slice_str(o->name));
            continue;
        }
        const uint64_t *until = table_get_str(m->told, o->name);
        if (!until || *until <= now)
            return o->name;
        if (*until - now < *again_ms)
            *again_ms = *until - now;
    }
    return NULL;
}

static void look(void *arg)
{
    struct cp_root_maps *m = arg;
    struct kube_api *api = kube_source_api(m->cp->source);
    uint64_t again_ms;

    const char *ns = next_wrong(m, &again_ms);
    if (ns)
        write_map(m, api, ns);
    else if (again_ms != UINT64_MAX)
        timer_set(&m->timer, again_ms);
    else
        set_problem(m, NULL);
}

/* ---- from outside ---------------------------------------------------------------------------- */

void cp_root_maps_start(struct cp *cp)
{
    struct cp_root_maps *m = xcalloc(1, sizeof(*m));

    cp->root_maps = m;
    m->cp = cp;
    m->told = table_new(free);
    timer_init(&m->timer, cp->loop, look, m);
}

void cp_root_maps_check(struct cp *cp)
{
    struct cp_root_maps *m = cp->root_maps;

    if (!cp->synced || !kube_source_api(cp->source) || m->call)
        return;
    /* a back-off is kept, a wait for what may have changed is not */
    if (!timer_is_set(&m->timer) || m->backoff.failures == 0)
        timer_set(&m->timer, 0);
}

void cp_root_maps_event(struct cp *cp, const struct kube_object *o)
{
    if (strcmp(o->kind, "Namespace") == 0 || strcmp(o->kind, "ConfigMap") == 0)
        cp_root_maps_check(cp);
}

const char *cp_root_maps_problem(const struct cp *cp)
{
    return cp->root_maps->problem;
}

void cp_root_maps_stop(struct cp *cp)
{
    struct cp_root_maps *m = cp->root_maps;

    if (!m)
        return;
    timer_cancel(&m->timer);
    kube_call_cancel(m->call);
    table_free(m->told);
    free(m->problem);
    free(m->ns);
    free(m);
    cp->root_maps = NULL;
}
