/* inject.c - fsm inject: what the admission webhook would do, to manifests in files.
 *
 * Pods and the pod templates of workloads come out injected; every other document, and a pod that
 * the mesh leaves alone, comes out byte for byte as it went in.  Nothing is printed if anything
 * is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/inject.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/opt.h"
#include "common/kube/object.h"
#include "common/kube/yaml.h"
#include "injector/inject.h"

static struct {
    struct opt_list files;
    const char *meshconfig, *mesh_name, *fsm_namespace, *native, *format, *uuid, *hook_key;
    const char *sidecar_image, *init_image, *healthcheck_image;
    bool patch;
} flags;

const struct opt cli_inject_opts[] = {
    {'f', "file", "FILE", "the manifest, \"-\" = standard input (may repeat)",
     OPT_LIST(&flags.files)},
    {'o', "output", "FORMAT", "yaml (default) or json", OPT_STR(&flags.format)},
    {0, "patch", NULL, "print the JSON patch (RFC 6902) instead of the manifest",
     OPT_FLAG(&flags.patch)},
    {0, "meshconfig", "FILE", "the MeshConfig to go by (default: every field's default)",
     OPT_STR(&flags.meshconfig)},
    {0, "mesh-name", "NAME", "name of the mesh (default fsm)", OPT_STR(&flags.mesh_name)},
    {0, "fsm-namespace", "NAMESPACE", "namespace of the control plane (default fsm-system)",
     OPT_STR(&flags.fsm_namespace)},
    {0, "native-sidecar", "BOOL",
     "true (default): the sidecar is an init container that keeps running; false: a plain one",
     OPT_STR(&flags.native)},
    {0, "sidecar-image", "IMAGE", "image of the sidecar", OPT_STR(&flags.sidecar_image)},
    {0, "init-image", "IMAGE", "image of fsm-init", OPT_STR(&flags.init_image)},
    {0, "healthcheck-image", "IMAGE", "image of fsm-healthcheck",
     OPT_STR(&flags.healthcheck_image)},
    {0, "proxy-uuid", "UUID", "value of the label fsm-proxy-uuid (default: a new one)",
     OPT_STR(&flags.uuid)},
    {0, "hook-key", "KEY",
     "key that the pod's lifecycle hooks show to the sidecar (default: a random one)",
     OPT_STR(&flags.hook_key)},
    OPT_END,
};

static const struct opt_prog prog = {
    .name = "fsm inject",
    .synopsis = "-f FILE...",
    .description = "Adds the sidecar to the pods and workloads of a manifest and prints the "
                   "result. What the mesh does not concern is printed unchanged.",
    .opts = cli_inject_opts,
};

/* one run over all files */
struct run {
    struct inj_config cfg;
    const char *file;
    struct slice piece;      /* the document as written */
    struct buf out;          /* YAML */
    json_t *items, *patches; /* for -o json, for --patch */
    struct kube_problems problems;
    bool failed;
};

/* ---- one object ------------------------------------------------------------------------------ */

/* where a kind keeps its pod; NULL = it has none */
static const char *template_of(const json_t *object)
{
    static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet",
                                        "ReplicaSet", "Job",         "ReplicationController"};
    const char *kind = json_str(object, "kind", "");

    if (strcmp(kind, "Pod") == 0)
        return "";
    if (strcmp(kind, "CronJob") == 0)
        return "spec.jobTemplate.spec.template";
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (strcmp(kind, kinds[i]) == 0)
            return "spec.template";
    return NULL;
}

static void complain(struct run *r, const json_t *object, const char *what)
{
    fprintf(stderr, "fsm inject: %s: %s %s: %s\n", r->file, json_str(object, "kind", "object"),
            json_str(object, "metadata.name", "(no name)"), what);
}

/* The template's pod is created in the workload's namespace, with no namespace of its own. */
static json_t *pod_of(const json_t *object, const json_t *template)
{
    json_t *pod = json_deep_copy(template);
    const char *ns = json_str(object, "metadata.namespace", NULL);
    json_t *metadata = json_object_get(pod, "metadata");

    if (template != object && ns && json_is_object(metadata))
        json_object_set_new(metadata, "namespace", json_string(ns));
    return pod;
}

/* "spec.template" as the beginning of JSON pointers */
static void move_patch(json_t *patch, const char *template)
{
    json_t *op;
    size_t i;

    json_array_foreach (patch, i, op) {
        struct buf path = BUF_INIT;

        if (*template)
            buf_printf(&path, "/%s", template);
        for (size_t k = 0; k < path.len; k++)
            if (path.p[k] == '.')
                path.p[k] = '/';
        buf_puts(&path, json_str(op, "path", ""));
        json_object_set_new(op, "path", json_string(path.p));
        buf_free(&path);
    }
}

/* Returns owned: the injected object, or NULL if it stays as it is (or was refused: r->failed). */
static json_t *inject(struct run *r, const json_t *object)
{
    const char *where = template_of(object), *reason;
    const json_t *template = where && *where ? json_at(object, where) : where ? object : NULL;
    struct err e = {""};
    json_t *pod, *patch, *out = NULL;

    if (!json_is_object(template))
        return NULL;
    pod = pod_of(object, template);
    switch (inj_pod(pod, &r->cfg, &patch, &reason, &e)) {
    case INJ_PATCH:
        move_patch(patch, where);
        json_array_append(r->patches, patch);
        out = inj_apply_patch(json_deep_copy(object), patch, &e);
        json_decref(patch);
        if (out)
            break;
        /* fall through */
    case INJ_REFUSED:
        complain(r, object, e.text);
        r->failed = true;
        break;
    case INJ_SKIP:
        complain(r, object, reason);
        break;
    }
    json_decref(pod);
    return out;
}

#define LISTS_MAX 4 /* a List within a List ... */

static json_t *inject_object(struct run *r, json_t *object, unsigned depth, bool *changed);

/* an item of a PodList need not say that it is a Pod */
static json_t *named(const json_t *list, json_t *item)
{
    const char *kind = json_str(list, "kind", "");
    size_t n = strlen(kind) - strlen("List");
    json_t *copy;

    if (n == 0 || !json_is_object(item) || json_object_get(item, "kind"))
        return json_incref(item);
    copy = json_copy(item);
    json_object_set_new(copy, "kind", json_stringn(kind, n));
    json_object_set(copy, "apiVersion", json_object_get(list, "apiVersion"));
    return copy;
}

/* true if anything in the list was injected */
static bool inject_items(struct run *r, const json_t *list, unsigned depth)
{
    json_t *items = json_object_get(list, "items"), *v;
    bool any = false;
    size_t i;

    json_array_foreach (items, i, v) {
        bool changed;
        json_t *out = inject_object(r, named(list, v), depth + 1, &changed);

        if (changed)
            json_array_set(items, i, out);
        json_decref(out);
        any = any || changed;
    }
    return any;
}

static bool is_list(const json_t *object)
{
    const char *kind = json_str(object, "kind", "");
    size_t n = strlen(kind);

    return n >= 4 && strcmp(kind + n - 4, "List") == 0 &&
           json_is_array(json_object_get(object, "items"));
}

/* takes object; returns owned, *changed if it is not what it was */
static json_t *inject_object(struct run *r, json_t *object, unsigned depth, bool *changed)
{
    json_t *out;

    *changed = false;
    if (is_list(object) && depth == LISTS_MAX) {
        complain(r, object, "a List within a List, nested too deep");
        r->failed = true;
        return object;
    }
    if (is_list(object)) {
        *changed = inject_items(r, object, depth);
        return object;
    }
    out = inject(r, object);
    *changed = out != NULL;
    if (!out)
        return object;
    json_decref(object);
    return out;
}

/* ---- documents ------------------------------------------------------------------------------- */

static void print_document(struct run *r, const json_t *object, bool changed)
{
    if (r->out.len)
        buf_puts(&r->out, "---\n");
    if (changed)
        kube_to_yaml(object, &r->out);
    else
        buf_put_slice(&r->out, r->piece);
    if (r->out.len && r->out.p[r->out.len - 1] != '\n')
        buf_putc(&r->out, '\n');
}

static void on_document(struct yaml_doc *doc, void *arg)
{
    struct run *r = arg;
    bool changed = false;

    if (!doc->json || doc->bad) {
        r->failed = true;
        return;
    }
    doc->json = inject_object(r, doc->json, 0, &changed);
    print_document(r, doc->json, changed);
    json_array_append(r->items, doc->json);
}

/* The piece is read behind as many empty lines as came before it, so that errors name its lines. */
static void read_piece(struct run *r, unsigned lines_before)
{
    struct buf padded = BUF_INIT;

    for (unsigned i = 0; i < lines_before; i++)
        buf_putc(&padded, '\n');
    buf_put_slice(&padded, r->piece);
    if (padded.len)
        yaml_each(buf_slice(&padded), r->file, &r->problems, on_document, r);
    buf_free(&padded);
}

/* a line that ends one document and begins the next (YAML 1.2, 9.1.2) */
static bool is_separator(struct slice line)
{
    return slice_starts(line, SLICE_LIT("---")) &&
           (line.n == 3 || line.p[3] == ' ' || line.p[3] == '\t' || line.p[3] == '\r');
}

static void read_text(struct run *r, struct slice text)
{
    struct slice rest = text;
    const char *begin = text.p;
    unsigned line = 0, first = 0;

    while (rest.p) {
        const char *at = rest.p;
        struct slice row = slice_cut(&rest, '\n');

        if (is_separator(row)) {
            r->piece = slice_of(begin, (size_t)(at - begin));
            read_piece(r, first);
            /* what follows "---" on its line belongs to the document, but a bare one does not */
            begin = slice_trim(slice_of(row.p + 3, row.n - 3)).n || !rest.p ? at : rest.p;
            first = line + (begin != at);
        }
        line++;
    }
    r->piece = slice_of(begin, (size_t)(text.p + text.n - begin));
    read_piece(r, first);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int read_file(struct run *r, const char *file)
{
    struct buf text = BUF_INIT;
    struct err e = {""};

    r->file = strcmp(file, "-") == 0 ? "standard input" : file;
    if (file_read(file, YAML_TEXT_MAX, &text, &e) != 0) {
        fprintf(stderr, "fsm inject: %s\n", e.text);
        r->failed = true;
    } else if (text.len) {
        read_text(r, buf_slice(&text));
    }
    buf_free(&text);
    return r->failed ? -1 : 0;
}

static void print_problems(const struct kube_problems *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);

        fprintf(stderr, "fsm inject: %s\n", text);
        free(text);
    }
}

/* owned; NULL after telling why */
static json_t *read_meshconfig(const char *file)
{
    struct kube_problems problems = {NULL, 0};
    struct kube_object **objects = NULL;
    struct buf text = BUF_INIT;
    struct err e = {""};
    json_t *found = NULL;
    unsigned n = 0;

    if (file_read(file, YAML_TEXT_MAX, &text, &e) != 0)
        fprintf(stderr, "fsm inject: --meshconfig: %s\n", e.text);
    else
        n = kube_load(buf_slice(&text), file, NULL, &objects, &problems);
    print_problems(&problems);
    for (unsigned i = 0; i < n && problems.n == 0; i++)
        if (!found && strcmp(objects[i]->kind, "MeshConfig") == 0)
            found = json_incref(objects[i]->body);
    if (!found && problems.n == 0 && !e.text[0])
        fprintf(stderr, "fsm inject: --meshconfig: %s: expected an object of kind MeshConfig\n",
                file);
    kube_objects_free(objects, n);
    kube_problems_free(&problems);
    buf_free(&text);
    return found;
}

static int wrong(const char *flag, const char *value, const char *expected)
{
    fprintf(stderr, "fsm inject: %s: \"%s\" is not valid: expected %s\n", flag, value, expected);
    return -1;
}

static int check_flags(void)
{
    if (flags.files.n == 0) {
        fprintf(stderr, "fsm inject: which manifest? give -f FILE, or -f - for standard input\n");
        return -1;
    }
    if (strcmp(flags.format, "yaml") != 0 && strcmp(flags.format, "json") != 0)
        return wrong("--output", flags.format, "yaml or json");
    if (strcmp(flags.native, "true") != 0 && strcmp(flags.native, "false") != 0)
        return wrong("--native-sidecar", flags.native, "true or false");
    return 0;
}

static void print_json(const json_t *j)
{
    struct buf out = BUF_INIT;

    json_print_pretty(j, 2, false, &out);
    printf("%s\n", out.p);
    buf_free(&out);
}

static int print_result(const struct run *r)
{
    json_t *list;

    if (flags.patch) {
        if (json_array_size(r->patches) != 1) {
            fprintf(stderr,
                    "fsm inject: --patch: expected one pod or workload to inject, found %zu\n",
                    json_array_size(r->patches));
            return 1;
        }
        print_json(json_array_get(r->patches, 0));
    } else if (strcmp(flags.format, "json") == 0 && json_array_size(r->items) == 1) {
        print_json(json_array_get(r->items, 0));
    } else if (strcmp(flags.format, "json") == 0) {
        list = json_pack("{s:s, s:s, s:O}", "apiVersion", "v1", "kind", "List", "items", r->items);
        print_json(list);
        json_decref(list);
    } else {
        fwrite(r->out.p, 1, r->out.len, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static int inject_files(json_t *meshconfig)
{
    struct run r = {.cfg = {.mesh_name = flags.mesh_name,
                            .fsm_namespace = flags.fsm_namespace,
                            .trust_domain = "cluster.local",
                            .sidecar_image = flags.sidecar_image,
                            .init_image = flags.init_image,
                            .healthcheck_image = flags.healthcheck_image,
                            .native_sidecar = strcmp(flags.native, "true") == 0,
                            .meshconfig = meshconfig,
                            .uuid = flags.uuid,
                            .hook_key = flags.hook_key},
                    .items = json_array(),
                    .patches = json_array()};
    int status;

    for (unsigned i = 0; i < flags.files.n; i++)
        read_file(&r, flags.files.v[i]);
    print_problems(&r.problems);
    status = r.failed || r.problems.n ? 1 : print_result(&r);
    kube_problems_free(&r.problems);
    json_decref(r.items);
    json_decref(r.patches);
    buf_free(&r.out);
    return status;
}

int cli_inject(int argc, char **argv)
{
    json_t *meshconfig = NULL;
    int status, first;

    flags.mesh_name = "fsm";
    flags.fsm_namespace = "fsm-system";
    flags.native = "true";
    flags.format = "yaml";
    first = opt_parse(&prog, argc, argv, NULL, &status);
    if (first < 0)
        return status;
    if (first < argc) {
        wrong("argument", argv[first], "flags only");
        return 2;
    }
    if (check_flags() != 0)
        return 2;
    if (flags.meshconfig && !(meshconfig = read_meshconfig(flags.meshconfig)))
        return 1;
    status = inject_files(meshconfig);
    json_decref(meshconfig);
    opt_list_free(&flags.files);
    return status;
}
