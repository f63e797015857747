/* uninstall.c - fsm uninstall mesh, cluster-wide-resources: what install made goes, and what stays
 * is named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cluster/apply.h"
#include "cli/cluster/install.h"
#include "cli/cluster/progress.h"
#include "cli/cluster/render.h"
#include "cli/mesh.h"
#include "cli/transport.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define TIMEOUT_MS 300000
#define NAMES_MAX  8
#define TRIES      3

static struct {
    const char *mesh, *ns;
    bool force, delete_namespace, all;
    long long timeout_ms;
} flags = {.timeout_ms = TIMEOUT_MS};

static const struct opt mesh_opts[] = {
    CLUSTER_OPTS,
    {0, "mesh-name", "NAME", "name of the mesh (default fsm)", OPT_STR(&flags.mesh)},
    {0, "fsm-namespace", "NAMESPACE", "namespace of the control plane (default fsm-system)",
     OPT_STR(&flags.ns)},
    {'f', "force", NULL, "do not ask", OPT_FLAG(&flags.force)},
    {0, "delete-namespace", NULL, "the control plane's namespace too, with all that is in it",
     OPT_FLAG(&flags.delete_namespace)},
    {'a', "delete-cluster-wide-resources", NULL,
     "the definitions (CRDs) too, and with them all objects of these kinds", OPT_FLAG(&flags.all)},
    {0, "timeout", "DURATION", "how long to wait until all is gone (default 5m)",
     OPT_MS(&flags.timeout_ms)},
    OPT_END};
static const struct opt wide_opts[] = {CLUSTER_OPTS,
                                       {'f', "force", NULL, "do not ask", OPT_FLAG(&flags.force)},
                                       {0, "timeout", "DURATION",
                                        "how long to wait until all is gone (default 5m)",
                                        OPT_MS(&flags.timeout_ms)},
                                       OPT_END};

/* ---- asking ---------------------------------------------------------------------------------- */

/* as users of fsm know it: three tries for y or n */
static bool confirmed(const char *question)
{
    char line[64];

    if (flags.force)
        return true;
    for (int i = 0; i < TRIES; i++) {
        printf("%s [y/n]: ", question);
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin))
            break;
        line[strcspn(line, "\r\n")] = 0;
        if (strcmp(line, "y") == 0 || strcmp(line, "yes") == 0)
            return true;
        if (strcmp(line, "n") == 0 || strcmp(line, "no") == 0)
            return false;
    }
    putchar('\n');
    return false;
}

/* ---- deleting -------------------------------------------------------------------------------- */

static const char *name_of(const json_t *object)
{
    return json_str(object, "metadata.name", "");
}

static bool is_kind(const json_t *object, const char *kind)
{
    return strcmp(json_str(object, "kind", ""), kind) == 0;
}

/* 1: it was there */
static int delete_one(struct cluster *c, const json_t *object, struct err *e)
{
    char *path = cluster_path_of(object, false);
    json_t *options = json_pack("{s:s}", "propagationPolicy", "Foreground");
    int status = path ? cluster_send(c, KUBE_DELETE, path, options, NULL, e)
                      : err_set(e, "%s %s: of a kind that this program does not know",
                                json_str(object, "kind", ""), name_of(object));

    free(path);
    json_decref(options);
    return cluster_is_good(status) ? 1 : status == 404 ? 0 : -1;
}

static int wait_gone(struct cluster *c, const json_t *object, struct err *e)
{
    char *path = cluster_path_of(object, false);
    int status = 200;
    json_t *now = NULL;

    while (cluster_is_good(status = cluster_get(c, path, &now, e)) && progress_wait()) {
        json_decref(now);
        now = NULL;
    }
    if (cluster_is_good(status)) {
        const json_t *finalizers = json_at(now, "metadata.finalizers");
        char *who = progress_names(finalizers, NAMES_MAX);
        err_set(e, "%s %s is not gone in time%s%s", json_str(object, "kind", ""), name_of(object),
                *who ? ": it waits for its finalizers " : "", who);
        free(who);
    }
    json_decref(now);
    free(path);
    return status == 404 ? 0 : -1;
}

static int delete_all(struct cluster *c, const json_t *objects, const char *what, struct err *e)
{
    size_t n = 0;

    /* last made, first gone: the webhook before who answers it, so that pods can be made */
    for (size_t i = json_array_size(objects); i > 0; i--) {
        int rc = delete_one(c, json_array_get(objects, i - 1), e);
        if (rc < 0)
            return -1;
        n += (size_t)rc;
    }
    for (size_t i = json_array_size(objects); i > 0; i--)
        if (wait_gone(c, json_array_get(objects, i - 1), e))
            return -1;
    progress("%zu %s deleted", n, what);
    return 0;
}

/* ---- what stays ------------------------------------------------------------------------------ */

static json_t *names_of(const json_t *objects, bool (*is)(const json_t *o, const void *arg),
                        const void *arg)
{
    json_t *names = json_array();

    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *o = json_array_get(objects, i);
        const char *ns = json_str(o, "metadata.namespace", NULL);
        if (!is || is(o, arg))
            json_array_append_new(names,
                                  json_sprintf("%s%s%s", ns ? ns : "", ns ? "/" : "", name_of(o)));
    }
    return names;
}

static bool is_member(const json_t *ns, const void *mesh)
{
    const json_t *labels = json_at(ns, "metadata.labels");
    const char *of = json_string_value(json_object_get(labels, "flomesh.io/monitored-by"));

    return of && strcmp(of, mesh) == 0;
}

static bool has_sidecar(const json_t *pod, const void *unused)
{
    return json_object_get(json_at(pod, "metadata.labels"), "fsm-proxy-uuid") != NULL;
}

/* "Kept: WHAT a, b: WHY" if there is any */
static void tell_kept(const char *what, const json_t *names, const char *why)
{
    char *text = progress_names(names, NAMES_MAX);

    if (*text)
        printf("Kept: %s %s: %s\n", what, text, why);
    free(text);
}

static void tell_listed(struct cluster *c, const char *kind, const char *query,
                        bool (*is)(const json_t *o, const void *arg), const void *arg,
                        const char *what, const char *why)
{
    struct err ignored;
    json_t *all = cluster_list(c, kube_kind_by_key(kind), NULL, query, NULL, &ignored);
    json_t *names = names_of(all, is, arg);

    tell_kept(what, names, why);
    json_decref(names);
    json_decref(all);
}

static void tell_rest(struct cluster *c, const char *mesh, const struct stored *s)
{
    tell_listed(c, "Namespace", NULL, is_member, mesh, "the label of namespaces",
                "users set it ('fsm namespace remove' takes it away)");
    tell_listed(c, "Pod", "labelSelector=fsm-proxy-uuid", has_sidecar, NULL, "the sidecars of pods",
                "they run on with what they know until the pods are restarted");
    tell_listed(c, "ConfigMap", "fieldSelector=metadata.name%3Dfsm-root-ca", NULL, NULL,
                "ConfigMaps", "the sidecars that still run read them");
    if (!flags.all)
        printf("Kept: the definitions (CRDs) and all objects of their kinds: 'fsm uninstall "
               "cluster-wide-resources' deletes both\n");
    if (!flags.delete_namespace)
        printf("Kept: the namespace: %s (--delete-namespace)\n",
               s->made_namespace ? "others may have put something into it"
                                 : "the installation found it there");
}

/* ---- fsm uninstall cluster-wide-resources -----------------------------------------------------
 */

static json_t *meshes(struct cluster *c, struct err *e)
{
    int status;
    json_t *configs = cluster_list(c, kube_kind_by_key("MeshConfig"), NULL, NULL, &status, e);
    json_t *found = json_array();

    for (size_t i = 0; i < json_array_size(configs); i++) {
        const json_t *one = json_array_get(configs, i);
        if (strcmp(name_of(one), MESH_CONFIG) == 0)
            json_array_append_new(found, json_sprintf("[%s] in namespace [%s]", mesh_name_of(one),
                                                      json_str(one, "metadata.namespace", "")));
    }
    json_decref(configs);
    if (configs || status == 404)
        return found;
    json_decref(found);
    return NULL;
}

static int delete_definitions(struct cluster *c, struct err *e)
{
    struct rendered r;
    json_t *none = json_object(), *left = meshes(c, e);
    int rc = left ? render(none, NULL, NULL, &r, e) : -1;

    json_decref(none);
    if (rc == 0 && json_array_size(left)) {
        char *names = progress_names(left, NAMES_MAX);
        rc = err_set(e, "there is the mesh %s: 'fsm uninstall mesh' first", names);
        free(names);
        rendered_free(&r);
    } else if (rc == 0) {
        rc = delete_all(c, r.definitions, "definitions (CRDs)", e);
        rendered_free(&r);
    }
    json_decref(left);
    return rc;
}

static int cmd_wide(int argc, char **argv)
{
    struct err e;

    if (argc)
        return cli_usage("fsm uninstall cluster-wide-resources takes no operands");
    if (!confirmed("Delete the definitions (CRDs) of FSM, and with them all objects of their "
                   "kinds in all namespaces?"))
        return cli_fail("nothing was deleted");
    progress_begin((unsigned long long)flags.timeout_ms);
    struct cluster *c = transport_cluster(&e);
    int rc = c ? delete_definitions(c, &e) : -1;
    cluster_close(c);
    if (rc)
        return cli_fail("%s", e.text);
    printf("Kept: the definitions of the Gateway API: they are not FSM's alone\n"
           "FSM cluster-wide resources deleted\n");
    return 0;
}

/* ---- fsm uninstall mesh -----------------------------------------------------------------------
 */

/* Without a record (kubectl applied the manifests) what this version would make, where it has the
 * mesh's label.  The Secret is not in it: whoever applied them brought it. */
static int guess_objects(struct cluster *c, const char *ns, const char *mesh, struct stored *s,
                         struct err *e)
{
    struct rendered r;
    json_t *none = json_object();
    int rc = render(none, mesh, ns, &r, e);

    json_decref(none);
    if (rc)
        return rc;
    char *path = cluster_path(kube_kind_by_key("Deployment"), ns, "fsm-controller");
    json_t *now;
    int status = cluster_get(c, path, &now, e);
    const char *of =
        json_string_value(json_object_get(json_at(now, "metadata.labels"), LABEL_INSTANCE));
    if (status == 404 || (of && strcmp(of, mesh) != 0))
        rc = err_set(e, "no mesh [%s] in namespace [%s]", mesh, ns);
    else if (!cluster_is_good(status))
        rc = -1;
    for (size_t i = 0; rc == 0 && i < json_array_size(r.objects); i++)
        if (!is_kind(json_array_get(r.objects, i), "Namespace"))
            stored_add(s, json_array_get(r.objects, i));
    if (rc == 0)
        stored_add(s, r.config);
    json_decref(now);
    free(path);
    rendered_free(&r);
    return rc;
}

static json_t *object(const char *kind, const char *ns, const char *name)
{
    return json_pack("{s:s, s:s, s:{s:s*, s:s}}", "apiVersion", "v1", "kind", kind, "metadata",
                     "namespace", ns, "name", name);
}

static void tell_found(const struct stored *s)
{
    for (size_t i = 0; i < json_array_size(s->objects); i++)
        if (is_kind(json_array_get(s->objects, i), "Secret"))
            return;
    printf("Kept: the Secret of the certificate authority: the installation found it there\n");
}

static int delete_mesh(struct cluster *c, const char *ns, const char *mesh, struct stored *s,
                       struct err *e)
{
    json_t *map = object("ConfigMap", ns, VALUES_CONFIG_MAP),
           *space = object("Namespace", NULL, ns);
    json_t *last = json_array();
    int rc = s->there && strcmp(s->mesh, mesh) != 0
                 ? err_set(e, "namespace [%s] has the mesh [%s]: say --mesh-name %s", ns, s->mesh,
                           s->mesh)
                 : 0;

    if (rc == 0 && !s->there)
        rc = guess_objects(c, ns, mesh, s, e);
    if (rc == 0)
        rc = delete_all(c, s->objects, "objects", e);
    /* what remembers the rest goes last */
    json_array_append(last, map);
    if (flags.delete_namespace)
        json_array_append(last, space);
    if (rc == 0)
        rc = delete_all(c, last, flags.delete_namespace ? "(namespace and record)" : "(record)", e);
    if (rc == 0 && flags.all)
        rc = delete_definitions(c, e);
    json_decref(last);
    json_decref(map);
    json_decref(space);
    return rc;
}

static int cmd_mesh(int argc, char **argv)
{
    const char *ns = flags.ns ? flags.ns : NAMESPACE_DEFAULT;
    const char *mesh = flags.mesh ? flags.mesh : MESH_DEFAULT;
    struct stored s = {.there = false};
    struct err e;

    if (argc)
        return cli_usage("fsm uninstall mesh takes no operands: --mesh-name says which");
    char *question =
        xasprintf("Uninstall FSM [mesh name: %s] in namespace [%s]%s?", mesh, ns,
                  flags.all ? " and the definitions (CRDs) with all their objects" : "");
    bool yes = confirmed(question);
    free(question);
    if (!yes)
        return cli_fail("nothing was uninstalled");
    progress_begin((unsigned long long)flags.timeout_ms);
    struct cluster *c = transport_cluster(&e);
    int rc = c ? stored_load(c, ns, &s, &e) : -1;
    if (rc == 0 && (rc = delete_mesh(c, ns, mesh, &s, &e)) == 0) {
        if (!flags.delete_namespace)
            tell_found(&s);
        tell_rest(c, mesh, &s);
        printf("FSM [mesh name: %s] in namespace [%s] uninstalled\n", mesh, ns);
    }
    stored_clear(&s);
    cluster_close(c);
    return rc ? cli_fail("%s", e.text) : 0;
}

const struct cli_command cli_uninstall_commands[] = {
    {.name = "mesh",
     .args = "[flags]",
     .summary = "take a mesh's control plane and settings out of the cluster",
     .description =
         "Deletes exactly what 'fsm install' made, waits until it is gone, and says what "
         "it keeps and why.",
     .examples = "  fsm uninstall mesh\n"
                 "  fsm uninstall mesh -f --delete-namespace",
     .opts = mesh_opts,
     .run = cmd_mesh},
    {.name = "cluster-wide-resources",
     .args = "[flags]",
     .summary = "delete the definitions (CRDs) and all objects of their kinds",
     .description = "Refuses while there is a mesh.",
     .opts = wide_opts,
     .run = cmd_wide},
    {.name = NULL},
};
