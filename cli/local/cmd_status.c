/* cmd_status.c - fsm local status: is everything well? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/local/local_cli.h"
#include "cli/output.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/object.h"
#include "common/kube/utf8.h"

const struct opt local_status_opts[] = {
    LOCAL_OPT_NAME,
    {'o', "output", "FORMAT", "table, json or yaml", OPT_STR(&local_flags.output)},
    OPT_END};

static const struct out_column component_columns[] = {
    {.title = "COMPONENT", .path = "name"},    {.title = "STATE", .path = "state"},
    {.title = "PID", .path = "pid"},           {.title = "UPTIME", .path = "uptime"},
    {.title = "RESTARTS", .path = "restarts"}, {.title = NULL}};

static const struct out_column pod_columns[] = {{.title = "NAMESPACE", .path = "namespace"},
                                                {.title = "POD", .path = "name"},
                                                {.title = "READY", .path = "ready"},
                                                {.title = "STATUS", .path = "state"},
                                                {.title = "RESTARTS", .path = "restarts"},
                                                {.title = "IP", .path = "ip"},
                                                {.title = "SIDECAR", .path = "sidecar"},
                                                {.title = "CONFIG", .path = "config"},
                                                {.title = NULL}};

static void section(const struct output *out, const char *title, const json_t *rows,
                    const struct out_column *columns)
{
    if (!json_array_size(rows))
        return;
    if (*title)
        printf("\n%s\n", title);
    output_list(out, rows, columns, false);
}

static void lines(const char *title, const json_t *list)
{
    if (!json_array_size(list))
        return;
    printf("\n%s\n", title);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *line = utf8_clean(json_string_value(json_array_get(list, i)) ?: "");
        printf("  %s\n", line);
        free(line);
    }
}

static void print_tables(const struct output *out, const json_t *s)
{
    printf("instance \"%s\": %s   bridge %s   pods %s %s   services %s %s\n\n",
           json_str(s, "name", ""), json_bool(s, "healthy", false) ? "healthy" : "NOT healthy",
           json_str(s, "bridge", ""), json_str(s, "podCidr", ""), json_str(s, "podCidr6", ""),
           json_str(s, "serviceCidr", ""), json_str(s, "serviceCidr6", ""));
    section(out, "", json_object_get(s, "components"), component_columns);
    section(out, "Pods", json_object_get(s, "pods"), pod_columns);
    lines("Problems", json_object_get(s, "problems"));
    lines("Warnings", json_object_get(s, "warnings"));
}

int local_status(int argc, char **argv)
{
    struct output out;
    struct err e;
    int rc;

    if (argc)
        return cli_usage("fsm local status takes no operands");
    if ((rc = output_choose(&out, local_flags.output)) != 0)
        return rc;
    json_t *s = client_call(NULL, json_pack("{s:s}", "verb", "status"), &e);
    if (!s)
        return cli_fail("%s", e.text);
    if (output_is_table(&out)) {
        print_tables(&out, s);
    } else {
        json_t *rows = json_pack("[O]", s);
        rc = output_list(&out, rows, component_columns, true);
        json_decref(rows);
    }
    rc = rc ? rc : json_bool(s, "healthy", false) ? 0 : 1;
    json_decref(s);
    return rc;
}
