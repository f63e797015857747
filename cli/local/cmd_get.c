/* cmd_get.c - fsm local get. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/local_cli.h"
#include "cli/output.h"
#include "common/base/json.h"
#include "common/io/frame.h"
#include "common/kube/kind.h"
#include "common/kube/object.h"

static struct {
    bool watch, no_headers, ignore_missing;
} flags;

const struct opt local_get_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    {'A', "all-namespaces", NULL, "objects of all namespaces",
     OPT_FLAG(&local_flags.all_namespaces)},
    LOCAL_OPT_SELECTOR,
    {'o', "output", "FORMAT", "table, wide, json, yaml, name or jsonpath=EXPRESSION",
     OPT_STR(&local_flags.output)},
    {'w', "watch", NULL, "print again what changes", OPT_FLAG(&flags.watch)},
    {0, "no-headers", NULL, "no line of titles", OPT_FLAG(&flags.no_headers)},
    {0, "ignore-not-found", NULL, "what is not there is no error", OPT_FLAG(&flags.ignore_missing)},
    OPT_END};

/* the names of one kind that were asked for; returns owned array, NULL = all */
static json_t *names_of(const struct object_refs *refs, const char *kind)
{
    json_t *names = json_array();

    for (unsigned i = 0; i < refs->n; i++)
        if (refs->v[i].kind == kind && refs->v[i].name)
            json_array_append_new(names, json_string(refs->v[i].name));
    if (json_array_size(names))
        return names;
    json_decref(names);
    return NULL;
}

static json_t *request(const char *verb, const char *kind, const struct object_refs *refs,
                       const json_t *labels)
{
    json_t *r =
        json_pack("{s:s, s:s, s:o*}", "verb", verb, "kind", kind, "names", names_of(refs, kind));

    if (!local_flags.all_namespaces)
        json_object_set_new(r, "namespace", json_string(local_ns()));
    if (labels)
        json_object_set(r, "labels", (json_t *)(uintptr_t)labels);
    return r;
}

static bool is_first_of_kind(const struct object_refs *refs, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (refs->v[k].kind == refs->v[i].kind)
            return false;
    return true;
}

static unsigned count_kinds(const struct object_refs *refs)
{
    unsigned n = 0;

    for (unsigned i = 0; i < refs->n; i++)
        n += is_first_of_kind(refs, i);
    return n;
}

/* appends to all; 0 or 1 */
static int fetch(const char *kind, const struct object_refs *refs, const json_t *labels,
                 json_t *all)
{
    struct err e;
    json_t *reply = client_call(NULL, request("get", kind, refs, labels), &e);

    if (!reply)
        return cli_fail("%s", e.text);
    const char *missing = json_str(reply, "missing", NULL);
    json_array_extend(all, json_object_get(reply, "items"));
    int rc = 0;
    if (missing && !flags.ignore_missing)
        rc = cli_fail("%s \"%s\" not found", kube_kind_by_key(kind)->plural, missing);
    json_decref(reply);
    return rc;
}

static void show_kind(struct output *out, const char *kind, const json_t *rows, bool single)
{
    out->with_namespace = local_flags.all_namespaces && kube_kind_is_namespaced(kind);
    output_list(out, rows, view_of(kind), single);
}

static int get_tables(struct output *out, const struct object_refs *refs, const json_t *labels)
{
    bool several = count_kinds(refs) > 1, any = false;
    int rc = 0;

    out->with_kind = several;
    for (unsigned i = 0; i < refs->n; i++) {
        json_t *rows = json_array();
        if (is_first_of_kind(refs, i))
            rc |= fetch(refs->v[i].kind, refs, labels, rows);
        if (json_array_size(rows)) {
            if (any)
                printf("\n");
            show_kind(out, refs->v[i].kind, rows, false);
            any = true;
        }
        json_decref(rows);
    }
    if (!any && rc == 0 && !flags.ignore_missing) {
        if (local_flags.all_namespaces)
            fprintf(stderr, "No resources found\n");
        else
            fprintf(stderr, "No resources found in %s namespace.\n", local_ns());
    }
    return rc;
}

static int get_data(struct output *out, const struct object_refs *refs, const json_t *labels)
{
    json_t *all = json_array();
    int rc = 0;

    for (unsigned i = 0; i < refs->n; i++)
        if (is_first_of_kind(refs, i))
            rc |= fetch(refs->v[i].kind, refs, labels, all);
    if (json_array_size(all) || rc == 0)
        rc |= output_list(out, all, view_of(refs->v[0].kind), refs->n == 1 && refs->v[0].name);
    json_decref(all);
    return rc;
}

static int watch(struct output *out, const struct object_refs *refs, const json_t *labels)
{
    struct err e;
    const char *kind = refs->v[0].kind;

    if (count_kinds(refs) > 1)
        return cli_usage("-w follows one kind at a time");
    int fd = client_open(NULL, request("watch", kind, refs, labels), &e);
    if (fd < 0)
        return cli_fail("%s", e.text);
    for (json_t *m; (m = frame_recv(fd, -1, &e)) != NULL; json_decref(m)) {
        json_t *o = json_object_get(m, "object");
        if (!o)
            continue;
        json_t *rows = json_pack("[O]", o);
        show_kind(out, kind, rows, true);
        out->no_headers = true;
        json_decref(rows);
    }
    close(fd);
    return e.text[0] ? cli_fail("%s", e.text) : 0;
}

int local_get(int argc, char **argv)
{
    struct object_refs refs;
    struct output out;
    struct err e;
    json_t *labels = NULL;
    int rc;

    if ((rc = output_choose(&out, local_flags.output)) != 0 ||
        (rc = refs_parse(argc, argv, &refs)) != 0)
        return rc;
    if (local_flags.selector && !(labels = selector_parse(local_flags.selector, &e))) {
        refs_free(&refs);
        return cli_usage("%s", e.text);
    }
    out.no_headers = flags.no_headers;
    if (flags.watch)
        rc = watch(&out, &refs, labels);
    else
        rc =
            output_is_table(&out) ? get_tables(&out, &refs, labels) : get_data(&out, &refs, labels);
    json_decref(labels);
    refs_free(&refs);
    return rc;
}
