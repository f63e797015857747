/* version.c - fsm version: of this program, and of the mesh in the cluster, if there is one. */
#include "cli/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/cluster/cluster.h"
#include "cli/output.h"
#include "cli/transport.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"

#define PATIENCE_MS 5000

static struct {
    const char *format;
    bool client_only;
} flags;

const struct opt cli_version_opts[] = {
    CLUSTER_OPTS,
    {0, "client-only", NULL, "ask no cluster", OPT_FLAG(&flags.client_only)},
    {'o', "output", "FORMAT", "json, yaml or table (default: text)", OPT_STR(&flags.format)},
    OPT_END};

static const struct out_column client_columns[] = {
    {.title = "VERSION", .path = "version"},   {.title = "COMMIT", .path = "commit"},
    {.title = "DATE", .path = "date"},         {.title = "TLS", .path = "tls"},
    {.title = "COMPILER", .path = "compiler"}, {.title = NULL}};
static const struct out_column plane_columns[] = {{.title = "COMPONENT", .path = "component"},
                                                  {.title = "NAMESPACE", .path = "namespace"},
                                                  {.title = "VERSION", .path = "version"},
                                                  {.title = "COUNT", .path = "count"},
                                                  {.title = NULL}};

/* ---- the cluster ----------------------------------------------------------------------------- */

/* what the image of that container is tagged with; borrowed, NULL if there is no such container */
static const char *tag_of(const json_t *containers, const char *name)
{
    const json_t *one = list_find(containers, "name", name);
    const char *tag = image_tag(json_str(one, "image", ""));

    return !one ? NULL : *tag ? tag : "unknown";
}

/* adds count to the row of that component, namespace and version */
static void count(json_t *rows, const char *component, const char *ns, const char *version,
                  int64_t n)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        if (strcmp(json_str(row, "component", ""), component) == 0 &&
            strcmp(json_str(row, "namespace", ""), ns) == 0 &&
            strcmp(json_str(row, "version", ""), version) == 0) {
            json_object_set_new(row, "count", json_integer(json_int(row, "count", 0) + n));
            return;
        }
    }
    json_array_append_new(rows,
                          json_pack("{s:s, s:s, s:s, s:I}", "component", component, "namespace", ns,
                                    "version", version, "count", (json_int_t)n));
}

static int add_plane(struct cluster *c, json_t *rows, struct err *e)
{
    json_t *all = cluster_list(c, kube_kind_by_key("Deployment"), NULL,
                               "labelSelector=app.kubernetes.io%2Fname%3Dflomesh.io", NULL, e);

    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *d = json_array_get(all, i);
        const char *name = json_str(d, "metadata.name", "");
        const char *tag = tag_of(json_at(d, "spec.template.spec.containers"), name);
        count(rows, name, json_str(d, "metadata.namespace", ""), tag ? tag : "unknown",
              json_int(d, "spec.replicas", 1));
    }
    json_decref(all);
    return all ? 0 : -1;
}

static int add_sidecars(struct cluster *c, json_t *rows, struct err *e)
{
    json_t *pods =
        cluster_list(c, kube_kind_by_key("Pod"), NULL, "labelSelector=fsm-proxy-uuid", NULL, e);

    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        const char *tag = tag_of(json_at(pod, "spec.initContainers"), "sidecar");
        if (!tag)
            tag = tag_of(json_at(pod, "spec.containers"), "sidecar");
        if (tag)
            count(rows, "sidecar", json_str(pod, "metadata.namespace", ""), tag, 1);
    }
    json_decref(pods);
    return pods ? 0 : -1;
}

/* rows, or NULL: no cluster is meant, or it was told why it cannot be asked.  A version is wanted
 * most when nothing works, so that is no failure. */
static json_t *plane_rows(void)
{
    bool said = transport_from.kubeconfig || transport_from.context || getenv("KUBECONFIG");
    struct err e;
    struct cluster *c = transport_cluster(&e);
    json_t *rows = c ? json_array() : NULL;

    if (c) {
        cluster_patience(c, PATIENCE_MS);
        if (add_plane(c, rows, &e) || add_sidecars(c, rows, &e)) {
            fprintf(stderr, "fsm: the cluster's versions are not known: %s\n", e.text);
            json_decref(rows);
            rows = NULL;
        }
    } else if (said) {
        fprintf(stderr, "fsm: the cluster's versions are not known: %s\n", e.text);
    }
    cluster_close(c);
    return rows;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int print_text(const json_t *plane)
{
    struct output out;

    opt_print_version("fsm");
    if (!json_array_size(plane))
        return 0;
    printf("\n");
    output_choose(&out, NULL);
    return output_list(&out, plane, plane_columns, false);
}

static int print_data(const struct output *out, json_t *plane)
{
    json_t *client =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "version", fsm_version, "commit", fsm_commit, "date",
                  fsm_build_date, "tls", fsm_tls, "compiler", __VERSION__);
    json_t *rows = json_pack("[O]", client);

    if (plane)
        json_object_set(client, "cluster", plane);
    int rc = output_list(out, rows, client_columns, true);
    if (rc == 0 && json_array_size(plane) && output_is_table(out)) {
        printf("\n");
        rc = output_list(out, plane, plane_columns, false);
    }
    json_decref(client);
    json_decref(rows);
    return rc;
}

int cli_version(int argc, char **argv)
{
    struct output out;
    int rc = 0;

    if (argc)
        return cli_usage("fsm version takes no operands");
    if (flags.format && (rc = output_choose(&out, flags.format)) != 0)
        return rc;
    json_t *plane = flags.client_only ? NULL : plane_rows();
    rc = flags.format ? print_data(&out, plane) : print_text(plane);
    json_decref(plane);
    return rc;
}
