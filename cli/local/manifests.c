/* manifests.c - the objects of files and directories, as the user wrote them.
 *
 * Every file is checked by the library that fsm-controller uses, so errors name file, line and
 * field; what is sent on is the object as written, without defaults, because apply compares it
 * with what was written the last time.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "cli/local/local_cli.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/kind.h"
#include "common/kube/object.h"
#include "common/kube/yaml.h"

#define FILE_LIMIT (64u << 20)

struct reading {
    json_t *out;
    const char *ns; /* for objects that name none */
    const char *file;
};

/* the object as fsm-controller would take it, or NULL (what is wrong with it was told already) */
static struct kube_object *settle(const struct reading *r, const json_t *body)
{
    struct kube_problems ignored = {0};
    struct kube_object *o =
        kube_object_from_json(json_deep_copy(body), r->file, 0, r->ns, &ignored);

    kube_problems_free(&ignored);
    return o;
}

static void take_object(struct reading *r, json_t *body)
{
    struct kube_object *o = settle(r, body);

    if (!o)
        return;
    /* whose it is, in the words it settled for; the rest as written */
    if (*o->ns)
        json_object_set_new(json_object_get(body, "metadata"), "namespace", json_string(o->ns));
    json_array_append(r->out, body);
    kube_object_unref(o);
}

/* an item of a ConfigMapList need not say that it is a ConfigMap */
static void name_kind(json_t *item, const json_t *list, const char *kind, size_t n)
{
    if (n == 0 || !json_is_object(item) || json_object_get(item, "kind"))
        return;
    json_object_set_new(item, "kind", json_stringn(kind, n));
    json_object_set(item, "apiVersion", json_object_get(list, "apiVersion"));
}

static void take(struct reading *r, json_t *body)
{
    const char *kind = json_str(body, "kind", "");
    json_t *items = json_object_get(body, "items");
    size_t n = strlen(kind);

    if (n < 4 || strcmp(kind + n - 4, "List") != 0 || !json_is_array(items)) {
        take_object(r, body);
        return;
    }
    for (size_t i = 0; i < json_array_size(items); i++) {
        name_kind(json_array_get(items, i), body, kind, n - 4);
        take(r, json_array_get(items, i));
    }
}

static void take_document(struct yaml_doc *doc, void *arg)
{
    if (doc->json && !doc->bad)
        take(arg, doc->json);
}

static unsigned tell_problems(const struct kube_problems *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);
        fprintf(stderr, "fsm: %s\n", text);
        free(text);
    }
    return p->n;
}

static void read_file(struct reading *r, const char *path, unsigned *bad)
{
    struct kube_problems problems = {0}, again = {0};
    struct kube_object **checked;
    struct buf text = BUF_INIT;
    struct err e;

    if (file_read(path, FILE_LIMIT, &text, &e)) {
        cli_fail("%s", e.text);
        ++*bad;
        buf_free(&text);
        return;
    }
    unsigned n = kube_load(buf_slice(&text), path, r->ns, &checked, &problems);
    *bad += tell_problems(&problems);
    kube_objects_free(checked, n);
    r->file = path;
    yaml_each(buf_slice(&text), path, &again, take_document, r);
    kube_problems_free(&problems);
    kube_problems_free(&again);
    buf_free(&text);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_manifest(const struct dirent *de)
{
    const char *dot = strrchr(de->d_name, '.');

    return de->d_name[0] != '.' && dot &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0 || strcmp(dot, ".json") == 0);
}

static void read_path(struct reading *r, const char *path, unsigned *bad)
{
    struct dirent **entries;
    struct stat st;

    if (strcmp(path, "-") == 0 || stat(path, &st) || !S_ISDIR(st.st_mode)) {
        read_file(r, path, bad);
        return;
    }
    int n = scandir(path, &entries, is_manifest, by_name);
    if (n <= 0) {
        cli_fail("%s: %s", path, n < 0 ? strerror(errno) : "no .yaml, .yml or .json file in it");
        ++*bad;
    }
    for (int i = 0; i < n; i++) {
        char *file = xasprintf("%s/%s", path, entries[i]->d_name);
        /* as the controller: what is no file is not waited for */
        if (stat(file, &st) || S_ISREG(st.st_mode))
            read_file(r, file, bad);
        free(file);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

json_t *manifests_read(const struct opt_list *files, const char *ns, unsigned *bad)
{
    struct reading r = {.out = json_array(), .ns = ns};

    *bad = 0;
    for (unsigned i = 0; i < files->n; i++)
        read_path(&r, files->v[i], bad);
    return r.out;
}
