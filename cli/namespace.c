/* namespace.c - fsm namespace add, remove, ignore, list: which namespaces are in the mesh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/mesh.h"
#include "cli/output.h"
#include "cli/transport.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define MONITORED_BY "flomesh.io/monitored-by"
#define IGNORE       "flomesh.io/ignore"
#define INJECTION    "flomesh.io/sidecar-injection"
#define METRICS      "flomesh.io/metrics"
#define CONTROLLER   "fsm-controller"

static struct {
    const char *mesh, *output;
    bool disable_injection;
} flags;

static const char *mesh_name(void)
{
    return flags.mesh ? flags.mesh : "fsm";
}

static const struct opt add_opts[] = {
    TRANSPORT_OPTS,
    {0, "mesh-name", "NAME", "name of the mesh (default fsm)", OPT_STR(&flags.mesh)},
    {0, "disable-sidecar-injection", NULL, "in the mesh, but its pods get no sidecar by themselves",
     OPT_FLAG(&flags.disable_injection)},
    OPT_END};
static const struct opt remove_opts[] = {
    TRANSPORT_OPTS,
    {0, "mesh-name", "NAME", "name of the mesh (default fsm)", OPT_STR(&flags.mesh)},
    OPT_END};
static const struct opt ignore_opts[] = {TRANSPORT_OPTS, OPT_END};
static const struct opt list_opts[] = {
    TRANSPORT_OPTS,
    {0, "mesh-name", "NAME", "only namespaces of that mesh", OPT_STR(&flags.mesh)},
    {'o', "output", "FORMAT", "table, json, yaml or name", OPT_STR(&flags.output)},
    OPT_END};

/* ---- helpers --------------------------------------------------------------------------------- */

static const char *label(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(json_at(o, "metadata.labels"), key));
}

static const char *annotation(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(json_at(o, "metadata.annotations"), key));
}

static const json_t *find(const json_t *items, const char *name)
{
    for (size_t i = 0; i < json_array_size(items); i++)
        if (strcmp(json_str(json_array_get(items, i), "metadata.name", ""), name) == 0)
            return json_array_get(items, i);
    return NULL;
}

/* the namespace where the control plane of that mesh is; NULL if there is none */
static const char *control_plane(const json_t *configs)
{
    for (size_t i = 0; i < json_array_size(configs); i++) {
        const json_t *one = json_array_get(configs, i);
        if (strcmp(json_str(one, "metadata.name", ""), MESH_CONFIG) == 0 &&
            strcmp(mesh_name_of(one), mesh_name()) == 0)
            return json_str(one, "metadata.namespace", NULL);
    }
    return NULL;
}

struct session {
    struct transport *t;
    json_t *namespaces, *configs;
};

static void session_close(struct session *s)
{
    json_decref(s->namespaces);
    json_decref(s->configs);
    transport_close(s->t);
}

/* 0, or 1 after telling */
static int session_open(struct session *s)
{
    struct err e;

    *s = (struct session){.t = transport_open(&e)};
    if (s->t && (s->namespaces = s->t->ops->list(s->t, "Namespace", NULL, &e)) != NULL &&
        (s->configs = s->t->ops->list(s->t, "MeshConfig", NULL, &e)) != NULL)
        return 0;
    session_close(s);
    return cli_fail("%s", e.text);
}

static int change(struct session *s, const char *ns, json_t *labels, json_t *annotations)
{
    struct err e;
    json_t *meta = json_pack("{s:o}", "labels", labels);

    if (annotations)
        json_object_set_new(meta, "annotations", annotations);
    if (s->t->ops->patch(s->t, "Namespace", "", ns, json_pack("{s:o}", "metadata", meta), &e))
        return cli_fail("%s", e.text);
    return 0;
}

/* ---- add ------------------------------------------------------------------------------------- */

static int add_one(struct session *s, const char *plane, const char *name)
{
    const json_t *ns = find(s->namespaces, name);
    const char *ignored, *mesh;

    if (!ns)
        return cli_fail("Could not add namespace [%s] to mesh [%s]: namespace \"%s\" not found",
                        name, mesh_name(), name);
    if (strcmp(name, plane) == 0) {
        fprintf(stderr,
                "Namespace [%s] already has [%s] installed and cannot be added to mesh [%s]\n",
                name, CONTROLLER, mesh_name());
        return 0;
    }
    ignored = label(ns, IGNORE);
    if (ignored && strcmp(ignored, "true") == 0)
        return cli_fail("Cannot add ignored namespace [%s]: 'fsm namespace remove %s' ends that",
                        name, name);
    mesh = label(ns, MONITORED_BY);
    if (mesh && strcmp(mesh, mesh_name()) == 0) {
        printf("Namespace [%s] has already been added to mesh [%s]\n", name, mesh_name());
        return 0;
    }
    int rc =
        change(s, name, json_pack("{s:s}", MONITORED_BY, mesh_name()),
               json_pack("{s:s}", INJECTION, flags.disable_injection ? "disabled" : "enabled"));
    if (rc == 0)
        printf("Namespace [%s] successfully added to mesh [%s]\n", name, mesh_name());
    return rc;
}

static int cmd_add(int argc, char **argv)
{
    struct session s;
    int rc = 0;

    if (argc == 0)
        return cli_usage("fsm namespace add NAMESPACE...");
    if (session_open(&s))
        return 1;
    const char *plane = control_plane(s.configs);
    if (!plane)
        rc = cli_fail("mesh [%s] does not exist, please specify another mesh using --mesh-name or "
                      "create a new mesh",
                      mesh_name());
    for (int i = 0; plane && i < argc; i++)
        rc |= add_one(&s, plane, argv[i]);
    session_close(&s);
    return rc;
}

/* ---- remove ---------------------------------------------------------------------------------- */

static int remove_one(struct session *s, const char *name)
{
    const json_t *ns = find(s->namespaces, name);
    const char *mesh = ns ? label(ns, MONITORED_BY) : NULL;

    if (!ns)
        return cli_fail("Could not get namespace [%s]: not found", name);
    if (!mesh && label(ns, IGNORE)) {
        int rc = change(s, name, json_pack("{s:n}", IGNORE), NULL);
        if (rc == 0)
            printf("Namespace [%s] is not ignored any more\n", name);
        return rc;
    }
    if (!mesh) {
        printf("Namespace [%s] already does not belong to any mesh\n", name);
        return 0;
    }
    if (strcmp(mesh, mesh_name()) != 0)
        return cli_fail("Namespace belongs to mesh [%s], not mesh [%s]. Please specify the correct "
                        "mesh",
                        mesh, mesh_name());
    int rc = change(s, name, json_pack("{s:n, s:n}", MONITORED_BY, IGNORE),
                    json_pack("{s:n, s:n}", INJECTION, METRICS));
    if (rc == 0)
        printf("Namespace [%s] successfully removed from mesh [%s]\n", name, mesh_name());
    return rc;
}

static int each(int argc, char **argv, int (*fn)(struct session *s, const char *name),
                const char *usage)
{
    struct session s;
    int rc = 0;

    if (argc == 0)
        return cli_usage("%s", usage);
    if (session_open(&s))
        return 1;
    for (int i = 0; i < argc; i++)
        rc |= fn(&s, argv[i]);
    session_close(&s);
    return rc;
}

static int cmd_remove(int argc, char **argv)
{
    return each(argc, argv, remove_one, "fsm namespace remove NAMESPACE...");
}

/* ---- ignore ---------------------------------------------------------------------------------- */

static int ignore_one(struct session *s, const char *name)
{
    if (!find(s->namespaces, name))
        return cli_fail("Could not get namespace [%s]: not found", name);
    int rc = change(s, name, json_pack("{s:s}", IGNORE, "true"), NULL);
    if (rc == 0)
        printf("Successfully configured namespace [%s] to be ignored\n", name);
    return rc;
}

static int cmd_ignore(int argc, char **argv)
{
    return each(argc, argv, ignore_one, "fsm namespace ignore NAMESPACE...");
}

/* ---- list ------------------------------------------------------------------------------------ */

static const struct out_column columns[] = {{.title = "NAMESPACE", .path = "namespace"},
                                            {.title = "MESH", .path = "mesh"},
                                            {.title = "SIDECAR-INJECTION", .path = "injection"},
                                            {.title = NULL}};

static json_t *row(const json_t *ns)
{
    const char *injection = annotation(ns, INJECTION), *ignored = label(ns, IGNORE);

    if (ignored && strcmp(ignored, "true") == 0)
        injection = "disabled (ignored)";
    return json_pack("{s:s, s:s, s:s}", "namespace", json_str(ns, "metadata.name", ""), "mesh",
                     label(ns, MONITORED_BY), "injection", injection ? injection : "-");
}

static int cmd_list(int argc, char **argv)
{
    struct output out;
    struct session s;
    int rc;

    if (argc)
        return cli_usage("fsm namespace list takes no operands");
    if ((rc = output_choose(&out, flags.output)) != 0 || (rc = session_open(&s)) != 0)
        return rc;
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(s.namespaces); i++) {
        const json_t *ns = json_array_get(s.namespaces, i);
        const char *mesh = label(ns, MONITORED_BY);
        if (mesh && (!flags.mesh || strcmp(mesh, flags.mesh) == 0))
            json_array_append_new(rows, row(ns));
    }
    if (json_array_size(rows) || !output_is_table(&out))
        rc = output_list(&out, rows, columns, false);
    else if (flags.mesh)
        printf("No namespaces in mesh [%s]\n", flags.mesh);
    else
        printf("No namespaces in any mesh\n");
    json_decref(rows);
    session_close(&s);
    return rc;
}

const struct cli_command cli_namespace_commands[] = {
    {.name = "add",
     .args = "NAMESPACE...",
     .summary = "put namespaces into the mesh",
     .description = "Pods made in them from now on get a sidecar; pods that are there already get "
                    "theirs when they are restarted.",
     .examples = "  fsm namespace add httpbin curl",
     .opts = add_opts,
     .run = cmd_add},
    {.name = "remove",
     .args = "NAMESPACE...",
     .summary = "take namespaces out of the mesh",
     .examples = "  fsm namespace remove httpbin",
     .opts = remove_opts,
     .run = cmd_remove},
    {.name = "ignore",
     .args = "NAMESPACE...",
     .summary = "never let namespaces join a mesh",
     .examples = "  fsm namespace ignore monitoring",
     .opts = ignore_opts,
     .run = cmd_ignore},
    {.name = "list",
     .args = "[--mesh-name NAME]",
     .summary = "list the namespaces in meshes",
     .examples = "  fsm namespace list -o json",
     .opts = list_opts,
     .run = cmd_list},
    {.name = NULL},
};
