/* read.c - manifests from files and directories, once. */
#include "common/kube/read.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/claims.h"
#include "common/kube/walk.h"
#include "common/kube/yaml.h"

struct reader {
    const char *default_ns;
    struct kube_problems *problems;
    struct table *seen; /* key -> the object that holds it, borrowed from v */
    struct kube_object **v;
    unsigned n, cap;
    unsigned files;
};

/* takes o */
static void add(struct reader *r, struct kube_object *o)
{
    struct buf key = BUF_INIT;
    claims_key_of(o, &key);
    const struct kube_object *first = table_get(r->seen, buf_slice(&key));
    if (first) {
        claims_duplicate(first, o, r->problems);
        kube_object_unref(o);
    } else {
        if (r->n == r->cap) {
            r->cap = r->cap ? 2 * r->cap : 64;
            r->v = xreallocarray(r->v, r->cap, sizeof(struct kube_object *));
        }
        r->v[r->n++] = o;
        table_put(r->seen, buf_slice(&key), o);
    }
    buf_free(&key);
}

static void read_file(struct reader *r, const char *path)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    struct buf text = BUF_INIT;
    struct err e = {""};
    struct kube_object **v;
    r->files++;
    if (file_read(path, YAML_TEXT_MAX, &text, &e) < 0) {
        kube_problems_add(r->problems, name, 0, "", "", "%s", e.text);
    } else {
        unsigned n = kube_load(buf_slice(&text), name, r->default_ns, &v, r->problems);
        for (unsigned i = 0; i < n; i++)
            add(r, v[i]);
        free(v);
    }
    buf_free(&text);
}

static void on_file(const char *path, const struct stat *st, void *arg)
{
    read_file(arg, path);
}

static void on_trouble(const char *path, const char *what, int why, void *arg)
{
    struct reader *r = arg;
    kube_problems_add(r->problems, path, 0, "", "", "%s: %s", what, strerror(why));
}

unsigned kube_read(const char *const *paths, unsigned n, const char *default_ns,
                   struct kube_object ***out, struct kube_read_counts *counts,
                   struct kube_problems *problems)
{
    static const struct walk_calls calls = {.file = on_file, .trouble = on_trouble};
    struct reader r = {.default_ns = default_ns, .problems = problems, .seen = table_new(NULL)};
    for (unsigned i = 0; i < n; i++) {
        struct stat st;
        if (strcmp(paths[i], "-") != 0 && stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            walk_tree(paths[i], &calls, &r);
        else
            read_file(&r, paths[i]);
    }
    table_free(r.seen);
    if (counts)
        *counts = (struct kube_read_counts){r.files, r.n};
    *out = r.v;
    return r.n;
}
