/* mesh.c - fsm mesh list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/mesh.h"
#include "cli/output.h"
#include "cli/transport.h"
#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define MONITORED_BY "flomesh.io/monitored-by"
#define SMI          "HTTPRouteGroup:v1alpha4,TCPRoute:v1alpha4,TrafficSplit:v1alpha4,TrafficTarget:v1alpha3"

static const char *output_format;

static const struct opt list_opts[] = {
    TRANSPORT_OPTS,
    {'o', "output", "FORMAT", "table, json or yaml", OPT_STR(&output_format)},
    OPT_END};

static const struct out_column columns[] = {{.title = "MESH NAME", .path = "mesh"},
                                            {.title = "MESH NAMESPACE", .path = "namespace"},
                                            {.title = "VERSION", .path = "version"},
                                            {.title = "ADDED NAMESPACES", .path = "added"},
                                            {.title = NULL}};
static const struct out_column smi_columns[] = {{.title = "MESH NAME", .path = "mesh"},
                                                {.title = "MESH NAMESPACE", .path = "namespace"},
                                                {.title = "SMI SUPPORTED", .path = "smi"},
                                                {.title = NULL}};

const char *mesh_name_of(const json_t *config)
{
    const json_t *labels = json_at(config, "metadata.labels");
    const char *name = json_string_value(json_object_get(labels, "app.kubernetes.io/instance"));

    return name ? name : "fsm";
}

static char *added_namespaces(const json_t *namespaces, const char *of)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < json_array_size(namespaces); i++) {
        const json_t *ns = json_array_get(namespaces, i);
        const char *mesh =
            json_string_value(json_object_get(json_at(ns, "metadata.labels"), MONITORED_BY));
        if (mesh && strcmp(mesh, of) == 0)
            buf_printf(&b, "%s%s", b.len ? "," : "", json_str(ns, "metadata.name", ""));
    }
    return buf_take(&b);
}

/* the row of one MeshConfig; NULL and e */
static json_t *mesh_row(struct transport *t, const json_t *config, const json_t *namespaces,
                        struct err *e)
{
    const char *ns = json_str(config, "metadata.namespace", ""), *mesh = mesh_name_of(config);
    char *added = added_namespaces(namespaces, mesh), *version = t->ops->version(t, ns, e);
    json_t *row = version ? json_pack("{s:s, s:s, s:s, s:s, s:s}", "mesh", mesh, "namespace", ns,
                                      "version", version, "added", added, "smi", SMI)
                          : NULL;

    free(added);
    free(version);
    return row;
}

/* returns owned array: one row per MeshConfig that is a mesh's; NULL and e */
static json_t *meshes(struct transport *t, struct err *e)
{
    json_t *configs = t->ops->list(t, "MeshConfig", NULL, e);
    json_t *namespaces = configs ? t->ops->list(t, "Namespace", NULL, e) : NULL;
    json_t *rows = namespaces ? json_array() : NULL;

    for (size_t i = 0; rows && i < json_array_size(configs); i++) {
        const json_t *config = json_array_get(configs, i);
        if (strcmp(json_str(config, "metadata.name", ""), MESH_CONFIG) != 0)
            continue;
        json_t *row = mesh_row(t, config, namespaces, e);
        if (row) {
            json_array_append_new(rows, row);
        } else {
            json_decref(rows);
            rows = NULL;
        }
    }
    json_decref(configs);
    json_decref(namespaces);
    return rows;
}

static int cmd_list(int argc, char **argv)
{
    struct output out;
    struct err e;
    int rc;

    if (argc)
        return cli_usage("fsm mesh list takes no operands");
    if ((rc = output_choose(&out, output_format)) != 0)
        return rc;
    struct transport *t = transport_open(&e);
    json_t *rows = t ? meshes(t, &e) : NULL;
    transport_close(t);
    if (!rows)
        return cli_fail("%s", e.text);
    if (!json_array_size(rows) && output_is_table(&out)) {
        printf("No fsm mesh control planes found\n");
    } else {
        rc = output_list(&out, rows, columns, false);
        if (output_is_table(&out)) {
            printf("\n");
            output_list(&out, rows, smi_columns, false);
        }
    }
    json_decref(rows);
    return rc;
}

const struct cli_command cli_mesh_commands[] = {
    {.name = "list",
     .args = "[-o FORMAT]",
     .summary = "list the meshes and the namespaces in them",
     .opts = list_opts,
     .run = cmd_list},
    {.name = NULL},
};
