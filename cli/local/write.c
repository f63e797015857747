/* write.c - apply, create and patch; see write.h. */
#include "cli/local/write.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/clusterip.h"
#include "cli/local/presets.h"
#include "cli/local/resources.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/kind.h"
#include "common/kube/selector.h"
#include "injector/inject.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

bool write_labels_match(const json_t *want, const json_t *labels)
{
    return !json_is_object(want) || kube_selector_match(want, labels);
}

/* ---- apply ----------------------------------------------------------------------------------- */

/* Members that `last` has and `now` has not are taken out of target, at every depth. */
static void drop_members(json_t *target, const json_t *last, const json_t *now)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)(uintptr_t)last, key, v) {
        const json_t *n = json_object_get(now, key);
        if (!n)
            json_object_del(target, key);
        else if (json_is_object(v) && json_is_object(n))
            drop_members(json_object_get(target, key), v, n);
    }
}

static json_t *child_object(json_t *parent, const char *key)
{
    json_t *c = json_object_get(parent, key);

    if (!json_is_object(c)) {
        c = json_object();
        json_object_set_new(parent, key, c);
    }
    return c;
}

static void remember_applied(json_t *body, const json_t *applied)
{
    char *text = json_dumps(applied, JSON_COMPACT);
    json_t *notes = child_object(child_object(body, "metadata"), "annotations");

    json_object_set_new(notes, LAST_APPLIED, json_string(text));
    free(text);
}

static json_t *last_applied(const struct kube_object *o)
{
    const char *text =
        json_string_value(json_object_get(json_at(o->body, "metadata.annotations"), LAST_APPLIED));
    json_t *j = text ? json_loads(text, 0, NULL) : NULL;

    return j ? j : json_object();
}

static const char *update_existing(struct local *l, const struct kube_object *o,
                                   const json_t *applied, struct err *e)
{
    json_t *body = res_edit(o), *last = last_applied(o);
    bool changed;

    drop_members(body, last, applied);
    json_decref(last);
    body = json_merge_patch(body, applied);
    remember_applied(body, applied);
    if (strcmp(o->kind, "Pod") == 0 &&
        !json_equal(json_object_get(body, "spec"), json_object_get(o->body, "spec"))) {
        /* what admission added is not in the manifest: only what was applied before can be
         * compared with what is applied now */
        json_t *before = last_applied(o);
        bool same = json_equal(json_object_get(before, "spec"), json_object_get(applied, "spec"));
        json_decref(before);
        if (!same) {
            json_decref(body);
            err_set(e, "the spec of a pod cannot be changed: delete it first, or use a Deployment");
            return NULL;
        }
        json_object_set(body, "spec", json_object_get(o->body, "spec"));
    }
    if (strcmp(o->kind, "Service") == 0 && clusterip_keep(l, o->body, body, e)) {
        json_decref(body);
        return NULL;
    }
    if (!res_update(l, body, &changed, e))
        return NULL;
    return changed ? "configured" : "unchanged";
}

static const char *create_new(struct local *l, const json_t *applied, bool create, struct err *e)
{
    json_t *body = json_deep_copy(applied);

    if (!create)
        remember_applied(body, applied);
    body = admit(l, body, e);
    const struct kube_object *o = body ? res_create(l, body, e) : NULL;
    /* what the next object of a manifest may need is there: the namespace's service account */
    if (o && strcmp(o->kind, "Namespace") == 0)
        presets_sync(l);
    return o ? "created" : NULL;
}

/* metadata that only the daemon writes */
static const char *const own_members[] = {"uid",
                                          "creationTimestamp",
                                          "generation",
                                          "resourceVersion",
                                          "deletionTimestamp",
                                          "deletionGracePeriodSeconds"};

static json_t *without_system(const json_t *body)
{
    json_t *copy = json_deep_copy(body), *meta = json_object_get(copy, "metadata");

    json_object_del(copy, "status");
    for (size_t i = 0; i < sizeof(own_members) / sizeof(*own_members); i++)
        json_object_del(meta, own_members[i]);
    return copy;
}

/* a patch cannot change them either */
static void keep_system(json_t *body, const json_t *now)
{
    json_t *meta = child_object(body, "metadata");
    const json_t *was = json_object_get(now, "metadata");

    for (size_t i = 0; i < sizeof(own_members) / sizeof(*own_members); i++) {
        json_t *v = json_object_get(was, own_members[i]);
        if (v)
            json_object_set(meta, own_members[i], v);
        else
            json_object_del(meta, own_members[i]);
    }
}

/* the key of the object's kind; apiVersion tells kinds of one name apart */
static const struct kube_kind *kind_of(const json_t *body, struct err *e)
{
    const char *version = json_str(body, "apiVersion", ""), *slash = strchr(version, '/');
    char *group = slash ? xstrndup(version, (size_t)(slash - version)) : xstrdup("");
    const struct kube_kind *k = kube_kind_find(group, json_str(body, "kind", ""));

    free(group);
    if (!k)
        err_set(e, "unknown kind \"%s\" (%s)", json_str(body, "kind", ""), version);
    return k;
}

static int check_namespace(struct local *l, const struct kube_kind *k, const char *ns,
                           struct err *e)
{
    if (!k->namespaced)
        return 0;
    const struct kube_object *o = res_get(l, "Namespace", "", ns);
    if (!o)
        return err_set(e, "namespaces \"%s\" not found", ns);
    if (is_terminating(o))
        return err_set(e, "namespace \"%s\" is being deleted", ns);
    return 0;
}

json_t *write_apply(struct local *l, const json_t *body, bool create)
{
    json_t *applied = without_system(body);
    struct err e = {""};
    const char *action = NULL, *ns = "", *name = json_str(applied, "metadata.name", "");
    const struct kube_kind *k = kind_of(applied, &e);

    if (k) {
        json_t *meta = child_object(applied, "metadata");
        if (k->namespaced && !json_str(meta, "namespace", NULL))
            json_object_set_new(meta, "namespace", json_string("default"));
        ns = k->namespaced ? json_str(meta, "namespace", "") : "";
    }
    if (k && check_namespace(l, k, ns, &e) == 0) {
        const struct kube_object *o = res_get(l, k->key, ns, name);
        if (o && create)
            err_set(&e, "%s \"%s\" already exists", k->plural, name);
        else
            action = o ? update_existing(l, o, applied, &e) : create_new(l, applied, create, &e);
    }
    json_t *result = json_pack("{s:s, s:s, s:s}", "kind", k ? k->key : "", "namespace",
                               json_str(applied, "metadata.namespace", ""), "name",
                               json_str(applied, "metadata.name", ""));
    json_object_set_new(result, action ? "action" : "error", text_json(action ? action : e.text));
    json_decref(applied);
    return result;
}

/* ---- patch ----------------------------------------------------------------------------------- */

/* what says which object it is: not a patch's to change */
static int check_identity(const json_t *body, const json_t *was, struct err *e)
{
    static const char *const paths[] = {"apiVersion", "kind", "metadata.name",
                                        "metadata.namespace"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        const char *now = json_str(body, paths[i], ""), *before = json_str(was, paths[i], "");
        if (strcmp(now, before) != 0)
            return err_set(e,
                           "%s: got \"%s\", expected \"%s\": a patch does not make another object",
                           paths[i], now, before);
    }
    return 0;
}

static int check_patched(struct local *l, const char *kind, json_t *body, const json_t *was,
                         struct err *e)
{
    if (check_identity(body, was, e))
        return -1;
    if (strcmp(kind, "Service") == 0)
        return clusterip_keep(l, was, body, e);
    if (strcmp(kind, "Pod") == 0 &&
        !json_equal(json_object_get(body, "spec"), json_object_get(was, "spec")))
        return err_set(e, "the spec of a pod cannot be changed: patch the workload that owns it");
    return 0;
}

const struct kube_object *write_patch(struct local *l, const char *kind, const char *ns,
                                      const char *name, const char *type, const json_t *patch,
                                      bool *changed, struct err *e)
{
    const struct kube_object *o = res_get(l, kind, kube_kind_is_namespaced(kind) ? ns : "", name);

    if (!o) {
        err_set(e, "%s \"%s\" not found", kind, name);
        return NULL;
    }
    json_t *body = res_edit(o);
    if (strcmp(type, "json") == 0) {
        body = inj_apply_patch(body, patch, e);
    } else if (json_is_object(patch)) {
        body = json_merge_patch(body, patch);
    } else {
        json_decref(body);
        body = NULL;
        err_set(e, "the patch is no JSON object");
    }
    if (!body)
        return NULL;
    if (check_patched(l, kind, body, o->body, e)) {
        json_decref(body);
        return NULL;
    }
    keep_system(body, o->body);
    return res_update(l, body, changed, e);
}
