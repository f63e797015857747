/* workload.c - what the controllers of workloads share; see workload.h. */
#include "cli/local/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "cli/local/sync.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define REFUSED_RETRY_MS 5000

/* ---- lists ----------------------------------------------------------------------------------- */

void list_get(struct local *l, const char *kind, const char *ns, const char *owner,
              struct object_list *out)
{
    const struct kube_object *o;

    *out = (struct object_list){0};
    for (void *it = NULL; (o = kube_store_next(l->store, kind, ns, &it)) != NULL;) {
        if (owner && strcmp(owner_uid(o->body), owner) != 0)
            continue;
        out->v = xreallocarray(out->v, out->n + 1, sizeof(*out->v));
        out->v[out->n++] = kube_object_ref((struct kube_object *)(uintptr_t)o);
    }
}

void list_free(struct object_list *list)
{
    for (unsigned i = 0; i < list->n; i++)
        kube_object_unref(list->v[i]);
    free(list->v);
    *list = (struct object_list){0};
}

/* ---- pods ------------------------------------------------------------------------------------ */

bool pod_is_ready(const struct kube_object *pod)
{
    const char *ready = condition_get(pod->body, "Ready");
    return ready && strcmp(ready, "True") == 0 && !is_terminating(pod);
}

bool pod_is_over(const struct kube_object *pod)
{
    const char *phase = json_str(pod->body, "status.phase", "");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* FNV-1a over the text with sorted keys: the same in every process, unlike the tables' hash */
void template_hash(const json_t *template, char *out)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char *text = json_dumps(template, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t h = 14695981039346656037ull;

    for (const char *p = text; p && *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211ull;
    for (int i = 0; i < 10; i++) {
        out[i] = alphabet[h % (sizeof(alphabet) - 1)];
        h /= sizeof(alphabet) - 1;
    }
    out[10] = '\0';
    free(text);
}

static json_t *member(json_t *o, const char *key)
{
    json_t *m = json_object_get(o, key);

    if (!json_is_object(m)) {
        m = json_object();
        json_object_set_new(o, key, m);
    }
    return m;
}

static json_t *pod_body(const struct kube_object *owner, const json_t *template, const char *name,
                        const json_t *labels, const json_t *spec_more)
{
    json_t *body = json_deep_copy(template);
    json_t *meta = member(body, "metadata");

    json_object_set_new(body, "apiVersion", json_string("v1"));
    json_object_set_new(body, "kind", json_string("Pod"));
    json_object_set_new(meta, "name", json_string(name));
    json_object_set_new(meta, "namespace", json_string(owner->ns));
    json_object_set_new(meta, "ownerReferences", json_pack("[o]", owner_reference(owner)));
    if (labels)
        json_object_update(member(meta, "labels"), (json_t *)(uintptr_t)labels);
    if (spec_more)
        json_object_update(member(body, "spec"), (json_t *)(uintptr_t)spec_more);
    return body;
}

int pod_create(struct local *l, const struct kube_object *owner, const json_t *template,
               const char *name, const json_t *labels, const json_t *spec_more, struct err *e)
{
    json_t *body = admit(l, pod_body(owner, template, name, labels, spec_more), e);

    if (body && res_create(l, body, e))
        return 0;
    local_event(l, owner, "Warning", "FailedCreate", "Error creating pod: %s", e->text);
    workload_again(l, REFUSED_RETRY_MS);
    return -1;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void workload_sync(struct local *l)
{
    deployments_sync(l);
    replicasets_sync(l);
    statefulsets_sync(l);
    daemonsets_sync(l);
    jobs_sync(l);
}
