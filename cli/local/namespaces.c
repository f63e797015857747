/* namespaces.c - deleting namespaces; see namespaces.h. */
#include "cli/local/namespaces.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/kube/kind.h"

struct found {
    const char *kind;
    char *name;
};

static void delete_all_of(struct local *l, const char *kind, const char *ns)
{
    size_t n = 0;
    struct found *found = NULL;
    const struct kube_object *o;
    struct err e;

    for (void *it = NULL; (o = kube_store_next(l->store, kind, ns, &it)) != NULL;) {
        found = xreallocarray(found, n + 1, sizeof(*found));
        found[n++] = (struct found){o->kind, xstrdup(o->name)};
    }
    for (size_t i = 0; i < n; i++) {
        if (res_get(l, found[i].kind, ns, found[i].name))
            res_delete(l, found[i].kind, ns, found[i].name, -1, &e);
        free(found[i].name);
    }
    free(found);
}

void namespace_delete(struct local *l, const char *name)
{
    const struct kube_object *o = res_get(l, "Namespace", "", name);

    if (o && !is_terminating(o)) {
        json_t *body = res_edit(o);
        json_object_set_new(json_object_get(body, "metadata"), "deletionTimestamp", time_now());
        json_object_set_new(body, "status", json_pack("{s:s}", "phase", "Terminating"));
        res_set(l, body);
    }
    for (unsigned i = 0; i < kube_kinds_count(); i++)
        if (kube_kind_at(i)->namespaced)
            delete_all_of(l, kube_kind_at(i)->key, name);
}

static bool is_empty(struct local *l, const char *ns)
{
    for (unsigned i = 0; i < kube_kinds_count(); i++) {
        void *it = NULL;
        if (kube_kind_at(i)->namespaced && kube_store_next(l->store, kube_kind_at(i)->key, ns, &it))
            return false;
    }
    return true;
}

void namespaces_sync(struct local *l)
{
    const struct kube_object *o;
    char *gone = NULL;

    /* one at a time: each removal brings us here again */
    for (void *it = NULL; (o = kube_store_next(l->store, "Namespace", NULL, &it)) != NULL;)
        if (is_terminating(o) && is_empty(l, o->name)) {
            gone = xstrdup(o->name);
            break;
        }
    if (gone)
        res_remove(l, "Namespace", "", gone);
    free(gone);
}
