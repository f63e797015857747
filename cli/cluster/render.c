/* render.c - see render.h. */
#include "cli/cluster/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cluster/manifests.h"
#include "cli/cluster/values.h"
#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/kube/names.h"
#include "common/kube/object.h"

#define CRDS   "deploy/crds"
#define BASE   "deploy/kustomize/base"
#define CONFIG "deploy/kustomize/mesh-config"

/* names in the manifests that an installation may choose */
#define BASE_NAMESPACE "fsm-system"
#define BASE_WEBHOOK   "fsm-webhook-fsm"
#define BASE_VALIDATOR "fsm-validator-mesh-fsm"
#define BASE_CA        "fsm-ca-bundle"
#define BASE_REGISTRY  "flomesh/"
#define MONITORED_BY   "flomesh.io/monitored-by"

static const char *const cluster_wide[] = {"ClusterRole", "ClusterRoleBinding"};

/* ---- strings that name the mesh, its namespace, its Secret ------------------------------------
 */

struct renaming {
    const char *ns, *webhook, *validator, *ca;
};

/* text with from replaced by to, where it stands as a word between other characters than those of
 * names; returns owned */
static char *replace_word(const char *text, const char *from, const char *to)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    struct buf b = BUF_INIT;
    size_t n = strlen(from);

    for (const char *p = text; *p;) {
        bool begins = p == text || !strchr(name, p[-1]);
        if (begins && strncmp(p, from, n) == 0 && (!p[n] || !strchr(name, p[n]))) {
            buf_puts(&b, to);
            p += n;
        } else {
            buf_putc(&b, *p++);
        }
    }
    return buf_take(&b);
}

static json_t *renamed(const char *text, const struct renaming *to)
{
    char *a = replace_word(text, BASE_NAMESPACE, to->ns);
    char *b = replace_word(a, BASE_WEBHOOK, to->webhook);
    char *c = replace_word(b, BASE_CA, to->ca);
    char *d = replace_word(c, BASE_VALIDATOR, to->validator);
    json_t *v = json_string(d);

    free(d);
    free(a);
    free(b);
    free(c);
    return v;
}

static void rename_all(json_t *node, const struct renaming *to)
{
    const char *key;
    json_t *v;
    size_t i;

    json_object_foreach (node, key, v) {
        if (json_is_string(v))
            json_object_set_new(node, key, renamed(json_string_value(v), to));
        else
            rename_all(v, to);
    }
    json_array_foreach (node, i, v) {
        if (json_is_string(v))
            json_array_set_new(node, i, renamed(json_string_value(v), to));
        else
            rename_all(v, to);
    }
}

/* ---- the objects ----------------------------------------------------------------------------- */

static bool is_kind(const json_t *object, const char *kind)
{
    return strcmp(json_str(object, "kind", ""), kind) == 0;
}

static bool is_cluster_wide(const char *kind)
{
    for (size_t i = 0; i < sizeof(cluster_wide) / sizeof(*cluster_wide); i++)
        if (strcmp(kind, cluster_wide[i]) == 0)
            return true;
    return false;
}

/* a second mesh has rights of its own beside the first one's */
static void name_rights(json_t *object, const char *mesh)
{
    json_t *ref = json_object_get(object, "roleRef");

    if (is_cluster_wide(json_str(object, "kind", "")))
        json_object_set_new(json_object_get(object, "metadata"), "name",
                            json_sprintf("%s-%s", json_str(object, "metadata.name", ""), mesh));
    if (is_cluster_wide(json_str(ref, "kind", "")))
        json_object_set_new(ref, "name", json_sprintf("%s-%s", json_str(ref, "name", ""), mesh));
}

/* the webhook is asked about namespaces of this mesh */
static void select_mesh(json_t *object, const char *mesh, const json_t *values)
{
    json_t *hooks = json_object_get(object, "webhooks"), *hook, *one;
    const json_t *timeout = json_object_get(values, "fsm.injector.webhookTimeoutSeconds");
    size_t i, j;

    json_array_foreach (hooks, i, hook) {
        json_array_foreach (json_at(hook, "namespaceSelector.matchExpressions"), j, one)
            if (strcmp(json_str(one, "key", ""), MONITORED_BY) == 0)
                json_object_set_new(one, "values", json_pack("[s]", mesh));
        if (timeout)
            json_object_set(hook, "timeoutSeconds", (json_t *)(uintptr_t)timeout);
    }
}

/* the container that is called as the Deployment is */
static json_t *daemon_of(const json_t *object)
{
    json_t *c;
    size_t i;

    json_array_foreach (json_at(object, "spec.template.spec.containers"), i, c)
        if (strcmp(json_str(c, "name", ""), json_str(object, "metadata.name", "-")) == 0)
            return c;
    return NULL;
}

static void set_flag(json_t *container, const char *flag, const char *value)
{
    json_t *args = json_object_get(container, "args"), *arg;
    size_t i, n = strlen(flag);

    json_array_foreach (args, i, arg) {
        const char *s = json_string_value(arg);
        if (strncmp(s, flag, n) == 0 && s[n] == '=') {
            json_array_set_new(args, i, json_sprintf("%s=%s", flag, value));
            return;
        }
    }
    json_array_append_new(args, json_sprintf("%s=%s", flag, value));
}

/* "flomesh/fsm-controller:0.1.0" with another registry, name, tag */
static void set_image(json_t *container, const json_t *values)
{
    const char *name = json_str(container, "name", ""), *image = json_str(container, "image", "");
    const char *policy = values_text(values, "fsm.image.pullPolicy", NULL);
    const char *key = strcmp(name, "fsm-controller") == 0 ? "fsm.image.name.fsmController"
                                                          : "fsm.image.name.fsmInjector";

    if (strncmp(image, BASE_REGISTRY, strlen(BASE_REGISTRY)) != 0)
        return;
    struct slice rest = slice_str(image + strlen(BASE_REGISTRY)), own = slice_cut(&rest, ':');
    char *base = xstrndup(own.p, own.n), *tag = xstrdup(rest.p ? rest.p : fsm_version);
    json_object_set_new(
        container, "image",
        json_sprintf("%s/%s:%s", values_text(values, "fsm.image.registry", "flomesh"),
                     values_text(values, key, base), values_text(values, "fsm.image.tag", tag)));
    if (policy)
        json_object_set_new(container, "imagePullPolicy", json_string(policy));
    free(base);
    free(tag);
}

/* what is not named stays as the manifest has it */
static void merge_resources(json_t *container, const json_t *v)
{
    json_t *now = json_incref(json_object_get(container, "resources"));

    json_object_set_new(container, "resources", json_merge_patch(now ? now : json_object(), v));
}

/* one value that goes into a Deployment; words: what stands in the table, "pod NAME FIELD" */
static void apply_value(json_t *object, const char *words, const json_t *v)
{
    struct slice rest = slice_str(words), what = slice_cut(&rest, ' '),
                 name = slice_cut(&rest, ' ');
    json_t *pod = json_at(object, "spec.template.spec"), *value = (json_t *)(uintptr_t)v;

    if (!slice_eq_str(name, "*") && !slice_eq_str(name, json_str(object, "metadata.name", "")))
        return;
    if (slice_eq_str(what, "flag"))
        set_flag(daemon_of(object), rest.p, json_string_value(v));
    else if (slice_eq_str(what, "replicas"))
        json_object_set(json_object_get(object, "spec"), "replicas", value);
    else if (slice_eq_str(what, "resources"))
        merge_resources(daemon_of(object), v);
    else if (slice_eq_str(what, "labels"))
        json_object_update(json_at(object, "spec.template.metadata.labels"), value);
    else if (slice_eq_str(what, "pod"))
        json_object_set(pod, rest.p, value);
}

static void set_deployment(json_t *object, const json_t *values, const char *mesh)
{
    const char *key;
    json_t *v, *container = daemon_of(object);
    const json_t *secrets = json_object_get(values, "fsm.imagePullSecrets");

    set_image(container, values);
    if (strcmp(mesh, MESH_DEFAULT) != 0)
        set_flag(container, "--mesh-name", mesh);
    if (secrets)
        json_object_set(json_at(object, "spec.template.spec"), "imagePullSecrets",
                        (json_t *)(uintptr_t)secrets);
    json_object_foreach ((json_t *)(uintptr_t)values, key, v)
        apply_value(object, value_key_find(key)->to, v);
}

static void set_object(json_t *object, const json_t *values, const struct rendered *r)
{
    json_t *labels = json_at(object, "metadata.labels");

    if (labels && json_object_get(labels, LABEL_INSTANCE))
        json_object_set_new(labels, LABEL_INSTANCE, json_string(r->mesh));
    if (strcmp(r->mesh, MESH_DEFAULT) != 0)
        name_rights(object, r->mesh);
    if (is_kind(object, "Deployment"))
        set_deployment(object, values, r->mesh);
    else if (json_object_get(object, "webhooks"))
        select_mesh(object, r->mesh, values);
}

/* ---- the MeshConfig -------------------------------------------------------------------------- */

/* {"a": {"b": v}} of "a.b"; returns owned */
static json_t *at_path(const char *path, const json_t *v)
{
    struct slice rest = slice_str(path), first = slice_cut(&rest, '.');
    json_t *inner = rest.p ? at_path(rest.p, v) : json_incref((json_t *)(uintptr_t)v);

    return json_pack("{s%:o}", first.p, first.n, inner);
}

static json_t *merge_at(json_t *patch, const char *path, const json_t *v)
{
    json_t *one = at_path(path, v), *merged = json_merge_patch(patch, one);

    json_decref(one);
    return merged;
}

json_t *render_config_patch(const json_t *values)
{
    static const char *const own[][2] = {{"fsm.image.registry", "spec.image.registry"},
                                         {"fsm.image.tag", "spec.image.tag"},
                                         {"fsm.image.pullPolicy", "spec.image.pullPolicy"}};
    json_t *patch = json_object(), *v;
    const char *key;

    json_object_foreach ((json_t *)(uintptr_t)values, key, v) {
        const char *to = value_key_find(key)->to;
        if (strncmp(to, "mesh ", 5) == 0)
            patch = merge_at(patch, to + 5, v);
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        if ((v = json_object_get(values, own[i][0])) != NULL)
            patch = merge_at(patch, own[i][1], v);
    return patch;
}

/* the MeshConfig's own schema has the last word; what it says is told of the value's key */
static int check_config(const json_t *config, struct err *e)
{
    struct kube_problems problems = {NULL, 0};
    struct kube_object *o =
        kube_object_from_json(json_deep_copy(config), "MeshConfig", 0, NULL, &problems);

    if (problems.n) {
        const struct kube_problem *p = &problems.v[0];
        const struct value_key *k = value_key_of_field(p->field);
        err_set(e, "%s: %s", k ? k->key : p->field, p->message);
    }
    int rc = problems.n ? -1 : 0;
    kube_object_unref(o);
    kube_problems_free(&problems);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int check_names(const json_t *values, const struct rendered *r, struct err *e)
{
    const char *provider = values_text(values, "fsm.certificateProvider.kind", "tresor");
    const char *why = kube_is_dns_label(r->mesh);

    if (why)
        return err_set(e, "--mesh-name: got \"%s\", expected %s", r->mesh, why);
    if ((why = kube_is_dns_label(r->ns)) != NULL)
        return err_set(e, "--fsm-namespace: got \"%s\", expected %s", r->ns, why);
    if ((why = kube_is_dns_subdomain(r->ca_secret)) != NULL)
        return err_set(e, "fsm.caBundleSecretName: got \"%s\", expected %s", r->ca_secret, why);
    if (strcmp(provider, "tresor") != 0)
        return err_set(e,
                       "fsm.certificateProvider.kind: got \"%s\", expected tresor: fsm signs "
                       "certificates itself",
                       provider);
    return 0;
}

static int render_objects(const json_t *values, const struct renaming *to, struct rendered *r,
                          struct err *e)
{
    json_t *configs = NULL, *object;
    size_t i;

    if (!(r->definitions = manifests_of(CRDS, e)) || !(r->objects = manifests_of(BASE, e)) ||
        !(configs = manifests_of(CONFIG, e)))
        return -1;
    rename_all(r->objects, to);
    rename_all(configs, to);
    json_array_foreach (r->objects, i, object)
        set_object(object, values, r);
    json_t *patch = render_config_patch(values);
    r->config = json_merge_patch(json_incref(json_array_get(configs, 0)), patch);
    json_object_set_new(json_object_get(r->config, "metadata"), "labels",
                        json_pack("{s:s, s:s}", LABEL_NAME, LABEL_VALUE, LABEL_INSTANCE, r->mesh));
    json_decref(patch);
    json_decref(configs);
    return check_config(r->config, e);
}

int render(const json_t *values, const char *mesh, const char *ns, struct rendered *out,
           struct err *e)
{
    struct rendered r = {
        .mesh = xstrdup(mesh ? mesh : values_text(values, "fsm.meshName", MESH_DEFAULT)),
        .ns = xstrdup(ns ? ns : values_text(values, "fsm.fsmNamespace", NAMESPACE_DEFAULT)),
        .ca_secret = xstrdup(values_text(values, "fsm.caBundleSecretName", BASE_CA))};
    char *webhook = xasprintf(
        "%s-%s", values_text(values, "fsm.webhookConfigNamePrefix", "fsm-webhook"), r.mesh);
    char *validator = xasprintf("fsm-validator-mesh-%s", r.mesh);
    struct renaming to = {r.ns, webhook, validator, r.ca_secret};
    int rc = check_names(values, &r, e);

    if (rc == 0)
        rc = render_objects(values, &to, &r, e);
    free(webhook);
    free(validator);
    if (rc)
        rendered_free(&r);
    else
        *out = r;
    return rc;
}

void rendered_free(struct rendered *r)
{
    free(r->mesh);
    free(r->ns);
    free(r->ca_secret);
    json_decref(r->definitions);
    json_decref(r->objects);
    json_decref(r->config);
    *r = (struct rendered){NULL};
}
