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
    const char *ns;            /* for objects that name none */
    struct kube_object **good; /* checked objects of the file */
    unsigned n_good;
};

static bool is_good(const struct reading *r, const char *kind, const char *ns, const char *name)
{
    for (unsigned i = 0; i < r->n_good; i++) {
        const struct kube_object *o = r->good[i];
        if (strcmp(json_str(o->body, "kind", ""), kind) == 0 && strcmp(o->name, name) == 0 &&
            (!*o->ns || strcmp(o->ns, ns) == 0))
            return true;
    }
    return false;
}

static void take_object(struct reading *r, json_t *body)
{
    const char *kind = json_str(body, "kind", ""), *name = json_str(body, "metadata.name", "");
    const char *ns = json_str(body, "metadata.namespace", r->ns);
    json_t *items = json_object_get(body, "items");
    size_t n = strlen(kind);

    if (n >= 4 && strcmp(kind + n - 4, "List") == 0 && json_is_array(items)) {
        for (size_t i = 0; i < json_array_size(items); i++)
            take_object(r, json_array_get(items, i));
        return;
    }
    if (!is_good(r, kind, ns, name))
        return;
    const char *key = kube_kind_of(kind);
    if (key && kube_kind_is_namespaced(key) && json_is_object(json_object_get(body, "metadata")))
        json_object_set_new(json_object_get(body, "metadata"), "namespace", json_string(ns));
    json_array_append(r->out, body);
}

static void take_document(struct yaml_doc *doc, void *arg)
{
    if (doc->json && !doc->bad)
        take_object(arg, doc->json);
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
    struct buf text = BUF_INIT;
    struct err e;

    if (file_read(path, FILE_LIMIT, &text, &e)) {
        cli_fail("%s", e.text);
        ++*bad;
        buf_free(&text);
        return;
    }
    r->n_good = kube_load(buf_slice(&text), path, r->ns, &r->good, &problems);
    *bad += tell_problems(&problems);
    yaml_each(buf_slice(&text), path, &again, take_document, r);
    kube_objects_free(r->good, r->n_good);
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
