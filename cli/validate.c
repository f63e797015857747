/* validate.c - fsm validate: every problem of the given manifests, one per line, and a sum.
 *
 * First each object by itself (kube's schemas), then, with all of them in one store, what the
 * mesh's compiler has to say about them together.
 */
#include "cli/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/kube/read.h"
#include "common/kube/store.h"
#include "common/policy/policy.h"

static struct {
    struct opt_list files;
    const char *format, *namespace, *mesh_name, *fsm_namespace;
} flags;

const struct opt cli_validate_opts[] = {
    {'f', "file", "FILE", "a manifest or a directory of them, \"-\" = standard input (may repeat)",
     OPT_LIST(&flags.files)},
    {'n', "namespace", "NAMESPACE", "of objects that name none (default \"default\")",
     OPT_STR(&flags.namespace)},
    {'o', "output", "FORMAT", "text or table (default), json or yaml", OPT_STR(&flags.format)},
    {0, "mesh-name", "NAME", "name of the mesh (default fsm)", OPT_STR(&flags.mesh_name)},
    {0, "fsm-namespace", "NAMESPACE", "namespace of the control plane (default fsm-system)",
     OPT_STR(&flags.fsm_namespace)},
    OPT_END,
};

static const struct opt_prog prog = {
    .name = "fsm validate",
    .synopsis = "-f FILE...",
    .description = "Checks Kubernetes manifests as fsm reads them: syntax, fields, types, names, "
                   "references. Prints every problem with its file and line. Needs no cluster.",
    .opts = cli_validate_opts,
};

struct report {
    struct kube_read_counts counts;
    struct kube_problems problems;
    json_t *notes; /* [{object, message}]: worth knowing, but no problem */
};

/* ---- checks ---------------------------------------------------------------------------------- */

static void add_note(const char *object, const char *text, void *arg)
{
    struct report *r = arg;
    json_array_append_new(r->notes, json_pack("{s:s, s:s}", "object", object, "message", text));
}

/* What no object shows by itself: a Service without pods, a policy that nothing matches ... */
static void check_together(struct kube_store *st, struct report *r)
{
    struct policy_opts o = {flags.mesh_name ? flags.mesh_name : "fsm",
                            flags.fsm_namespace ? flags.fsm_namespace : "fsm-system",
                            "cluster.local"};
    struct policy *p = policy_new(st, &o);
    policy_notes(p, add_note, r);
    policy_free(p);
}

static void check(const char *const *paths, unsigned n, struct report *r)
{
    struct kube_store *st = kube_store_new();
    struct kube_object **v;
    unsigned objects = kube_read(paths, n, flags.namespace, &v, &r->counts, &r->problems);
    for (unsigned i = 0; i < objects; i++)
        kube_store_put(st, kube_object_ref(v[i]));
    check_together(st, r);
    kube_objects_free(v, objects);
    kube_store_free(st);
}

/* ---- output ---------------------------------------------------------------------------------- */

static const char *s_of(unsigned n)
{
    return n == 1 ? "" : "s";
}

static void print_text(const struct report *r)
{
    size_t i;
    json_t *note;
    for (unsigned k = 0; k < r->problems.n; k++) {
        char *text = kube_problem_text(&r->problems.v[k]);
        puts(text);
        free(text);
    }
    json_array_foreach (r->notes, i, note)
        printf("note: %s: %s\n", json_str(note, "object", ""), json_str(note, "message", ""));
    printf("%u object%s in %u file%s: ", r->counts.objects, s_of(r->counts.objects),
           r->counts.files, s_of(r->counts.files));
    if (r->problems.n > 0)
        printf("%u problem%s\n", r->problems.n, s_of(r->problems.n));
    else
        puts("no problems");
}

static void print_data(const struct report *r, bool yaml)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < r->problems.n; i++) {
        const struct kube_problem *p = &r->problems.v[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:i, s:s, s:s, s:s}", "file", p->file, "line",
                                        (int)p->line, "column", (int)p->column, "object", p->object,
                                        "field", p->field, "message", p->message));
    }
    json_t *all = json_pack("{s:i, s:i, s:o, s:O}", "files", (int)r->counts.files, "objects",
                            (int)r->counts.objects, "problems", list, "notes", r->notes);
    struct buf out = BUF_INIT;
    if (yaml)
        kube_to_yaml(all, &out);
    else
        json_print_pretty(all, 2, false, &out);
    fwrite(out.p, 1, out.len, stdout);
    if (!yaml)
        putchar('\n');
    buf_free(&out);
    json_decref(all);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int usage(const char *what)
{
    fprintf(stderr, "fsm validate: %s; see fsm validate --help\n", what);
    return 2;
}

static int run(const char *const *paths, unsigned n, const char *format)
{
    struct report r = {.notes = json_array()};
    check(paths, n, &r);
    if (strcmp(format, "json") == 0 || strcmp(format, "yaml") == 0)
        print_data(&r, format[0] == 'y');
    else
        print_text(&r);
    int status = r.problems.n > 0;
    kube_problems_free(&r.problems);
    json_decref(r.notes);
    return status;
}

int cli_validate(int argc, char **argv)
{
    int status;
    int first = opt_parse(&prog, argc, argv, NULL, &status);
    const char *format = flags.format ? flags.format : "text";
    if (first < 0)
        return status;
    if (strcmp(format, "text") != 0 && strcmp(format, "table") != 0 &&
        strcmp(format, "json") != 0 && strcmp(format, "yaml") != 0)
        return usage("-o takes text, table, json or yaml");
    unsigned n = flags.files.n + (unsigned)(argc - first);
    if (n == 0)
        return usage("nothing to check: name a manifest with -f");
    const char **paths = xcalloc(n, sizeof *paths);
    for (unsigned i = 0; i < n; i++) /* "-f *.yaml" makes all but the first an operand */
        paths[i] = i < flags.files.n ? flags.files.v[i] : argv[first + (int)(i - flags.files.n)];
    status = run(paths, n, format);
    free(paths);
    return status;
}
