/* check.c - fsm check: asks the cluster, and prints what checks.c thinks of the answers. */
#include "cli/cluster/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cluster/checks.h"
#include "cli/cluster/cluster.h"
#include "cli/cluster/plane.h"
#include "cli/cluster/render.h"
#include "cli/cluster/rights.h"
#include "cli/cluster/stored.h"
#include "cli/cluster/values.h"
#include "cli/mesh.h"
#include "cli/output.h"
#include "cli/transport.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"

#define MINOR_LEAST 25 /* as fsm install */
#define PATIENCE_MS 10000
#define CONTROLLER  "fsm-controller"
#define INJECTOR    "fsm-injector"

static struct {
    const char *ns, *output;
    bool pre, proxy;
} flags;

const struct opt cli_check_opts[] = {
    CLUSTER_OPTS,
    {0, "fsm-namespace", "NAMESPACE", "namespace of the control plane (default fsm-system)",
     OPT_STR(&flags.ns)},
    {0, "pre", NULL, "only what must hold before 'fsm install'", OPT_FLAG(&flags.pre)},
    {0, "proxy", NULL, "the sidecars too", OPT_FLAG(&flags.proxy)},
    {'o', "output", "FORMAT", "json, yaml or table (default: text)", OPT_STR(&flags.output)},
    OPT_END};

struct run {
    struct checks checks;
    struct cluster *c;
    const char *ns;
    char *mesh;
    struct rendered wanted; /* with the values of the installation */
    json_t *namespaces, *pods, *configs, *config;
};

/* objects of a kind, or NULL after a row that says why not */
static json_t *list(struct run *r, const char *kind, const char *ns, const char *query)
{
    struct err e;
    int status;
    json_t *all = cluster_list(r->c, kube_kind_by_key(kind), ns, query, &status, &e);

    if (!all && status == 404)
        return json_array();
    if (!all) {
        char *name = xasprintf("%s can be read", kube_kind_by_key(kind)->plural);
        checks_add(&r->checks, name, CHECK_FAILED, e.text,
                   status == 403 ? "this user needs the right to list them" : "");
        free(name);
    }
    return all;
}

/* the object; NULL if it is not there or cannot be read */
static json_t *get(struct run *r, const char *kind, const char *ns, const char *name)
{
    struct err ignored;
    json_t *o = NULL;
    char *path = cluster_path(kube_kind_by_key(kind), ns, name);

    cluster_get(r->c, path, &o, &ignored);
    free(path);
    return o;
}

/* ---- the API server -------------------------------------------------------------------------- */

/* whether it is worth going on */
static bool check_server(struct run *r)
{
    struct err e;
    json_t *v = NULL;
    int status = cluster_get(r->c, "/version", &v, &e);

    checks_begin(&r->checks, "API server");
    if (!cluster_is_good(status)) {
        checks_add(&r->checks, "it answers", CHECK_FAILED, e.text,
                   "is the kubeconfig's context the right one, and its server up? 'kubectl "
                   "cluster-info'");
        return false;
    }
    checks_add(&r->checks, "it answers", CHECK_OK, "", "");
    char *message =
        xasprintf("%s: requires at least 1.%d", json_str(v, "gitVersion", "?"), MINOR_LEAST);
    bool good = strtol(json_str(v, "minor", "0"), NULL, 10) >= MINOR_LEAST;
    checks_add(&r->checks, "its version is supported", good ? CHECK_OK : CHECK_FAILED,
               good ? "" : message, good ? "" : "upgrade Kubernetes");
    free(message);
    json_decref(v);
    return true;
}

/* An object that is not kept has the server's time in it. */
static void check_time(struct run *r)
{
    struct err e;
    json_t *probe = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                              "metadata", "generateName", "fsm-check-", "namespace", "default");
    json_t *made = NULL;
    int64_t then_ms;
    int status = cluster_send(r->c, KUBE_CREATE, "/api/v1/namespaces/default/configmaps?dryRun=All",
                              probe, &made, &e);
    int64_t now = clock_wall_ms() / 1000;

    if (cluster_is_good(status) &&
        clock_parse_rfc3339(json_str(made, "metadata.creationTimestamp", ""), &then_ms) == 0)
        check_clock(&r->checks, now, then_ms / 1000);
    else
        checks_add(&r->checks, "clocks agree", CHECK_SKIPPED,
                   cluster_is_good(status) ? "the API server does not say its time" : e.text, "");
    json_decref(probe);
    json_decref(made);
}

/* ---- rights ---------------------------------------------------------------------------------- */

/* 1, 0, or -1: it cannot be asked */
static int may(struct run *r, const struct kube_kind *k, const char *verb, const char *ns)
{
    struct err ignored;
    json_t *answer = NULL;
    json_t *ask = json_pack("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s*}}}", "apiVersion",
                            "authorization.k8s.io/v1", "kind", "SelfSubjectAccessReview", "spec",
                            "resourceAttributes", "group", k->group, "resource", k->plural, "verb",
                            verb, "namespace", k->namespaced ? ns : NULL);
    int status =
        cluster_send(r->c, KUBE_CREATE, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                     ask, &answer, &ignored);
    int yes = cluster_is_good(status) ? json_bool(answer, "status.allowed", false) : -1;

    json_decref(ask);
    json_decref(answer);
    return yes;
}

static void check_kind(struct run *r, const struct kube_kind *k)
{
    static const char *const verbs[] = {"get", "create", "patch", "delete"};
    struct buf missing = BUF_INIT;
    bool known = true;

    for (size_t i = 0; known && i < sizeof(verbs) / sizeof(*verbs); i++) {
        int yes = may(r, k, verbs[i], r->ns);
        known = yes >= 0;
        if (yes == 0)
            buf_printf(&missing, "%s%s", missing.len ? ", " : "", verbs[i]);
    }
    char *name = xasprintf("may install %s", k->plural);
    char *message = xasprintf("may not: %s", missing.p);
    char *hint =
        xasprintf("a ClusterRole of this user needs {apiGroups: [\"%s\"], resources: [\"%s\"], "
                  "verbs: [get, create, patch, delete]}",
                  k->group, k->plural);
    if (!known)
        checks_add(&r->checks, name, CHECK_SKIPPED, "the API server does not review it", "");
    else
        checks_add(&r->checks, name, missing.len ? CHECK_FAILED : CHECK_OK,
                   missing.len ? message : "", missing.len ? hint : "");
    free(name);
    free(message);
    free(hint);
    buf_free(&missing);
}

/* every kind that install makes, once */
static void check_rights(struct run *r)
{
    json_t *done = json_object();
    const json_t *sets[] = {r->wanted.definitions, r->wanted.objects};

    checks_begin(&r->checks, "rights");
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; i < json_array_size(sets[s]); i++) {
            const json_t *o = json_array_get(sets[s], i);
            const char *kind = json_str(o, "kind", "");
            if (json_object_get(done, kind))
                continue;
            json_object_set_new(done, kind, json_true());
            check_kind(r, cluster_kind_of(o));
        }
    check_kind(r, kube_kind_by_key("Secret"));
    check_kind(r, kube_kind_by_key("ConfigMap"));
    check_kind(r, kube_kind_by_key("MeshConfig"));
    json_decref(done);
}

static void check_others(struct run *r)
{
    struct buf others = BUF_INIT;

    checks_begin(&r->checks, "other meshes");
    for (size_t i = 0; i < json_array_size(r->configs); i++) {
        const json_t *one = json_array_get(r->configs, i);
        const char *ns = json_str(one, "metadata.namespace", "");
        if (strcmp(json_str(one, "metadata.name", ""), MESH_CONFIG) == 0 && strcmp(ns, r->ns) != 0)
            buf_printf(&others, "%s[%s] in namespace [%s]", others.len ? ", " : "",
                       mesh_name_of(one), ns);
    }
    checks_add(&r->checks, "there is none", others.len ? CHECK_WARNING : CHECK_OK,
               others.len ? others.p : "",
               others.len ? "--set fsm.enforceSingleMesh=false, --mesh-name and --fsm-namespace "
                            "make a second one"
                          : "");
    buf_free(&others);
}

/* ---- the control plane ----------------------------------------------------------------------- */

/* PEM of the mesh's root, or NULL; owned; *status as cluster_get().  The key beside it is
 * forgotten at once. */
static char *read_root(struct run *r, int *status)
{
    struct buf pem = BUF_INIT;
    struct err ignored;
    json_t *secret = NULL;
    char *path = cluster_path(kube_kind_by_key("Secret"), r->ns, r->wanted.ca_secret);

    json_wipe(true);
    *status = cluster_get(r->c, path, &secret, &ignored);
    const char *text =
        json_string_value(json_object_get(json_object_get(secret, "data"), "ca.crt"));
    bool good = text && base64_decode(slice_str(text), &pem) == 0;
    json_decref(secret);
    json_wipe(false);
    free(path);
    if (good)
        return buf_take(&pem);
    buf_free(&pem);
    return NULL;
}

/* of this installation, as it is in the cluster now, or NULL; owned */
static json_t *get_hook(struct run *r, const char *kind)
{
    const json_t *wanted = list_find(r->wanted.objects, "kind", kind);

    return get(r, kind, NULL, json_str(wanted, "metadata.name", ""));
}

/* a namespace whose pods get sidecars, or NULL; borrowed */
static const char *member_namespace(const struct run *r)
{
    for (size_t i = 0; i < json_array_size(r->namespaces); i++) {
        const json_t *ns = json_array_get(r->namespaces, i);
        const json_t *labels = json_at(ns, "metadata.labels"),
                     *notes = json_at(ns, "metadata.annotations");
        const char *of = json_string_value(json_object_get(labels, "flomesh.io/monitored-by"));
        const char *on = json_string_value(json_object_get(notes, "flomesh.io/sidecar-injection"));
        if (of && strcmp(of, r->mesh) == 0 && on && strcmp(on, "enabled") == 0 &&
            !json_object_get(labels, "flomesh.io/ignore"))
            return json_str(ns, "metadata.name", NULL);
    }
    return NULL;
}

static json_t *probe_pod(void)
{
    return json_pack(
        "{s:s, s:s, s:{s:s}, s:{s:{s:b, s:i, s:{s:s}}, s:[{s:s, s:s, s:{s:b, s:{s:[s]}}}]}}",
        "apiVersion", "v1", "kind", "Pod", "metadata", "generateName", "fsm-check-", "spec",
        "securityContext", "runAsNonRoot", 1, "runAsUser", 65532, "seccompProfile", "type",
        "RuntimeDefault", "containers", "name", "check", "image", "check:1", "securityContext",
        "allowPrivilegeEscalation", 0, "capabilities", "drop", "ALL");
}

/* A pod that is not kept shows what the API server and the injector make of one. */
static void check_injection(struct run *r)
{
    static const char name[] = "the API server reaches the webhook";
    const char *ns = member_namespace(r);
    struct err e;
    json_t *made = NULL, *pod = probe_pod();

    if (!ns) {
        checks_add(&r->checks, name, CHECK_SKIPPED, "no namespace gets sidecars yet", "");
        json_decref(pod);
        return;
    }
    char *path = xasprintf("/api/v1/namespaces/%s/pods?dryRun=All", ns);
    int status = cluster_send(r->c, KUBE_CREATE, path, pod, &made, &e);
    const json_t *labels = json_at(made, "metadata.labels");
    if (cluster_is_good(status) && json_object_get(labels, "fsm-proxy-uuid"))
        checks_add(&r->checks, name, CHECK_OK, "", "");
    else if (cluster_is_good(status))
        checks_add(&r->checks, name, CHECK_FAILED, "a pod came back without a sidecar",
                   "does the webhook configuration select the namespace, and is fsm-injector of "
                   "this mesh?");
    else if (status == 403 && !strstr(e.text, "webhook") && !strstr(e.text, "PodSecurity"))
        checks_add(&r->checks, name, CHECK_SKIPPED, e.text, "");
    else
        checks_add(&r->checks, name, CHECK_FAILED, e.text,
                   "is fsm-injector ready, its Service there, and does no NetworkPolicy stand "
                   "between? No pod can be made in the mesh until then");
    free(path);
    json_decref(made);
    json_decref(pod);
}

/* What only fsm-injector refuses: an API server that takes it did not ask. */
static void check_validation(struct run *r)
{
    static const char name[] = "the API server reaches the validating webhook";
    struct err e;
    json_t *bad = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:[{s:s, s:s, s:[s]}]}}", "apiVersion",
                            "specs.smi-spec.io/v1alpha4", "kind", "HTTPRouteGroup", "metadata",
                            "name", "fsm-check", "namespace", r->ns, "spec", "matches", "name",
                            "check", "pathRegex", "(", "methods", "GET");
    char *path = cluster_path_of(bad, true), *dry = xasprintf("%s?dryRun=All", path);
    int status = cluster_send(r->c, KUBE_CREATE, dry, bad, NULL, &e);

    if (cluster_is_good(status))
        checks_add(&r->checks, name, CHECK_FAILED,
                   "a regular expression that nobody can read was taken",
                   "is fsm-injector ready, its Service there, and does no NetworkPolicy stand "
                   "between? Until then a wrong setting is stored, and told by fsm-controller "
                   "alone");
    else if (strstr(e.text, "admission webhook"))
        checks_add(&r->checks, name, CHECK_OK, "", "");
    else
        checks_add(&r->checks, name, CHECK_SKIPPED, e.text, "");
    free(path);
    free(dry);
    json_decref(bad);
}

static void check_plane(struct run *r)
{
    json_t *controller, *injector, *found, *both = json_array(), *pods;
    struct err e;

    checks_begin(&r->checks, "control plane");
    if ((found = list(r, "CustomResourceDefinition", NULL, NULL)) != NULL)
        check_definitions(&r->checks, r->wanted.definitions, found);
    json_decref(found);
    controller = get(r, "Deployment", r->ns, CONTROLLER);
    injector = get(r, "Deployment", r->ns, INJECTOR);
    pods = plane_pods(r->c, r->ns, &e);
    check_deployment(&r->checks, CONTROLLER, controller, pods);
    check_deployment(&r->checks, INJECTOR, injector, pods);
    if (controller)
        json_array_append(both, controller);
    if (injector)
        json_array_append(both, injector);
    check_versions(&r->checks, fsm_version, both);
    check_config(&r->checks, r->config);
    json_t *problems = plane_lists(&transport_from, pods, CONTROLLER, "/problems", &e);
    if (problems)
        check_problems(&r->checks, problems);
    else
        checks_add(&r->checks, "the controller finds nothing wrong with the resources",
                   CHECK_SKIPPED, e.text, "");
    json_decref(problems);
    json_decref(controller);
    json_decref(injector);
    json_decref(both);
    json_decref(pods);
}

static void check_trust(struct run *r)
{
    json_t *injection = get_hook(r, "MutatingWebhookConfiguration"),
           *validation = get_hook(r, "ValidatingWebhookConfiguration");
    int status;
    char *root = read_root(r, &status);

    checks_begin(&r->checks, "webhooks and certificates");
    if (status == 404)
        check_no_authority(&r->checks, r->wanted.ca_secret);
    else
        check_authority(&r->checks, root, clock_wall_ms() / 1000);
    if (check_webhook(&r->checks, CHECK_INJECTION, injection, r->ns, root))
        check_injection(r);
    if (check_webhook(&r->checks, CHECK_VALIDATION, validation, r->ns, root))
        check_validation(r);
    json_decref(injection);
    json_decref(validation);
    free(root);
}

/* ---- the members ----------------------------------------------------------------------------- */

static json_t *mesh_names(const struct run *r)
{
    json_t *names = json_array();

    for (size_t i = 0; i < json_array_size(r->configs); i++) {
        const json_t *one = json_array_get(r->configs, i);
        if (strcmp(json_str(one, "metadata.name", ""), MESH_CONFIG) == 0)
            json_array_append_new(names, json_string(mesh_name_of(one)));
    }
    return names;
}

static void check_members(struct run *r)
{
    json_t *names = mesh_names(r);

    checks_begin(&r->checks, "namespaces and pods");
    if (r->namespaces) {
        check_namespaces(&r->checks, r->namespaces, names, r->mesh);
        if (r->pods)
            check_injected(&r->checks, r->namespaces, r->pods, r->mesh);
    }
    json_decref(names);
}

/* with several controllers: of each proxy the row of the one that it is connected to */
static json_t *best_rows(const json_t *rows)
{
    json_t *by_pod = json_object(), *out = json_array(), *v;
    const char *key;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const char *pod = json_str(row, "pod", "");
        if (!json_bool(json_object_get(by_pod, pod), "connected", false))
            json_object_set(by_pod, pod, row);
    }
    json_object_foreach (by_pod, key, v)
        json_array_append(out, v);
    json_decref(by_pod);
    return out;
}

static void check_all_proxies(struct run *r)
{
    struct err e;
    json_t *pods = plane_pods(r->c, r->ns, &e);
    json_t *rows = plane_lists(&transport_from, pods, CONTROLLER, "/proxies", &e);

    checks_begin(&r->checks, "sidecars");
    if (r->pods) {
        check_sidecars_ready(&r->checks, r->pods);
        check_sidecars_versions(&r->checks, r->pods,
                                json_str(r->config, "spec.image.tag", fsm_version));
    }
    json_t *best = rows ? best_rows(rows) : NULL;
    if (best)
        check_proxies(&r->checks, best, clock_wall_ms() / 1000);
    else
        checks_add(&r->checks, "sidecars are connected to the controller", CHECK_SKIPPED, e.text,
                   "");
    json_decref(best);
    json_decref(rows);
    json_decref(pods);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* what the installation would be made of now; 0, or -1 and e */
static int load_wanted(struct run *r, struct err *e)
{
    struct stored s;
    int rc = stored_load(r->c, r->ns, &s, e);

    /* without the right to read it, or with values of another version: the defaults */
    if (rc || render(s.values, s.mesh, r->ns, &r->wanted, e)) {
        json_t *none = json_object();
        rc = render(none, NULL, r->ns, &r->wanted, e);
        json_decref(none);
    }
    stored_clear(&s);
    if (rc == 0)
        r->mesh = xstrdup(r->wanted.mesh);
    return rc;
}

static void check_everything(struct run *r, bool pre, bool proxy)
{
    if (!check_server(r))
        return;
    check_time(r);
    r->configs = list(r, "MeshConfig", NULL, NULL);
    if (pre) {
        check_rights(r);
        check_others(r);
        return;
    }
    r->config = get(r, "MeshConfig", r->ns, MESH_CONFIG);
    r->namespaces = list(r, "Namespace", NULL, NULL);
    r->pods = list(r, "Pod", NULL, NULL);
    check_plane(r);
    rights_check(&r->checks, r->c, r->wanted.objects, r->ns);
    check_trust(r);
    check_members(r);
    if (proxy)
        check_all_proxies(r);
}

static void print_text(const struct checks *c)
{
    const char *category = "";

    for (size_t i = 0; i < json_array_size(c->rows); i++) {
        const json_t *row = json_array_get(c->rows, i);
        const char *own = json_str(row, "category", ""), *message = json_str(row, "message", ""),
                   *hint = json_str(row, "hint", "");
        if (strcmp(own, category) != 0)
            printf("%s%s\n", *category ? "\n" : "", own);
        category = own;
        printf("  %-8s %s\n", json_str(row, "status", ""), json_str(row, "name", ""));
        if (*message)
            printf("             %s\n", message);
        if (*hint)
            printf("             -> %s\n", hint);
    }
    printf("\n%zu checks, %u failed, %u warnings\n", json_array_size(c->rows), c->failed,
           c->warnings);
}

static int print(const struct checks *c)
{
    static const struct out_column columns[] = {
        {.title = "CATEGORY", .path = "category"}, {.title = "CHECK", .path = "name"},
        {.title = "STATUS", .path = "status"},     {.title = "MESSAGE", .path = "message"},
        {.title = "HINT", .path = "hint"},         {.title = NULL}};
    struct output out;

    if (!flags.output) {
        print_text(c);
        return 0;
    }
    output_choose(&out, flags.output);
    return output_list(&out, c->rows, columns, false);
}

static void run_clear(struct run *r)
{
    json_decref(r->namespaces);
    json_decref(r->pods);
    json_decref(r->configs);
    json_decref(r->config);
    rendered_free(&r->wanted);
    free(r->mesh);
}

json_t *check_collect(struct cluster *c, const char *ns, struct err *e)
{
    struct run r = {.checks = {.rows = json_array()}, .c = c, .ns = ns};

    if (load_wanted(&r, e) == 0) {
        check_everything(&r, false, true);
    } else {
        json_decref(r.checks.rows);
        r.checks.rows = NULL;
    }
    run_clear(&r);
    return r.checks.rows;
}

int cli_check(int argc, char **argv)
{
    struct run r = {.checks = {.rows = json_array()},
                    .ns = flags.ns ? flags.ns : NAMESPACE_DEFAULT};
    struct output out;
    struct err e;
    int rc = 0;

    if (argc)
        rc = cli_usage("fsm check takes no operands");
    else if (flags.pre && flags.proxy)
        rc = cli_usage("--pre and --proxy exclude each other: before there is a mesh there is no "
                       "sidecar");
    else if (flags.output)
        rc = output_choose(&out, flags.output);
    if (rc == 0 && !(r.c = transport_cluster(&e)))
        rc = cli_fail("%s", e.text);
    if (rc == 0) {
        cluster_patience(r.c, PATIENCE_MS);
        rc = load_wanted(&r, &e) ? cli_fail("%s", e.text) : 0;
    }
    if (rc == 0) {
        check_everything(&r, flags.pre, flags.proxy);
        rc = print(&r.checks);
        rc = rc ? rc : r.checks.failed > 0;
    }
    json_decref(r.checks.rows);
    run_clear(&r);
    cluster_close(r.c);
    return rc;
}
