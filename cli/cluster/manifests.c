/* manifests.c - see manifests.h. */
#include "cli/cluster/manifests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/kube/kind.h"
#include "common/kube/yaml.h"

/* The files one behind the other, each after a line "#file PATH" (Makefile: MANIFESTS). */
__asm__(".pushsection .rodata\n"
        ".global fsm_manifests\n"
        "fsm_manifests:\n"
        ".incbin \"" FSM_MANIFESTS "\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char fsm_manifests[];

#define MARK "#file "

/* the text of a file; p is NULL if there is none of that name */
static struct slice file_text(const char *path)
{
    size_t n = strlen(path);

    for (const char *p = fsm_manifests; p; p = strstr(p, "\n" MARK)) {
        p += *p == '\n';
        const char *name = p + strlen(MARK);
        if (strncmp(name, path, n) != 0 || name[n] != '\n')
            continue;
        const char *text = name + n + 1, *end = strstr(name, "\n" MARK);
        return slice_of(text, end ? (size_t)(end + 1 - text) : strlen(text));
    }
    return slice_of(NULL, 0);
}

struct reading {
    json_t *docs;
    bool bad;
};

static void take_doc(struct yaml_doc *doc, void *arg)
{
    struct reading *r = arg;

    r->bad = r->bad || doc->bad || !doc->json;
    if (doc->json)
        json_array_append(r->docs, doc->json);
}

/* the documents of a file; returns owned array, or NULL and e */
static json_t *documents(const char *path, struct err *e)
{
    struct kube_problems problems = {NULL, 0};
    struct reading r = {json_array(), false};
    struct slice text = file_text(path);

    yaml_each(text, path, &problems, take_doc, &r);
    if (!text.p || r.bad || problems.n) {
        err_set(e, "%s: %s", path, text.p ? "cannot be read" : "is not part of this program");
        json_decref(r.docs);
        r.docs = NULL;
    }
    kube_problems_free(&problems);
    return r.docs;
}

static json_t *member(json_t *of, const char *name)
{
    json_t *v = json_object_get(of, name);

    if (!v)
        json_object_set_new(of, name, v = json_object());
    return v;
}

static const struct kube_kind *kind_of(const json_t *object)
{
    struct slice rest = slice_str(json_str(object, "apiVersion", "")), group;
    char text[128];

    group = slice_cut(&rest, '/');
    snprintf(text, sizeof(text), "%.*s", rest.p ? (int)group.n : 0, group.p);
    return kube_kind_find(text, json_str(object, "kind", ""));
}

static void set_images(json_t *node, const json_t *images)
{
    const char *key, *image = json_str(node, "image", NULL);
    json_t *v;
    size_t i;

    for (i = 0; image && i < json_array_size(images); i++) {
        const json_t *one = json_array_get(images, i);
        if (strcmp(json_str(one, "name", ""), image) != 0)
            continue;
        json_object_set_new(node, "image",
                            json_sprintf("%s:%s", image, json_str(one, "newTag", "")));
        break;
    }
    json_object_foreach (node, key, v)
        set_images(v, images);
    json_array_foreach (node, i, v)
        set_images(v, images);
}

static int transform(json_t *object, const json_t *settings, struct err *e)
{
    const struct kube_kind *k = kind_of(object);
    const char *ns = json_str(settings, "namespace", NULL);
    const json_t *labels = json_object_get(settings, "labels");
    json_t *meta = member(object, "metadata");

    if (!k)
        return err_set(e, "%s %s: a kind that this program does not know",
                       json_str(object, "apiVersion", ""), json_str(object, "kind", ""));
    if (ns && k->namespaced)
        json_object_set_new(meta, "namespace", json_string(ns));
    for (size_t i = 0; i < json_array_size(labels); i++)
        json_object_update(member(meta, "labels"),
                           json_object_get(json_array_get(labels, i), "pairs"));
    set_images(object, json_object_get(settings, "images"));
    return 0;
}

/* what this program does not do would be missing without a word */
static int check_settings(const char *path, const json_t *settings, struct err *e)
{
    static const char *const known[] = {"apiVersion", "kind",   "namespace",
                                        "labels",     "images", "resources"};
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)(uintptr_t)settings, key, v) {
        size_t i = 0;
        while (i < sizeof(known) / sizeof(*known) && strcmp(known[i], key) != 0)
            i++;
        if (i == sizeof(known) / sizeof(*known))
            return err_set(e, "%s: %s: this program does not do that", path, key);
    }
    return 0;
}

static int add_file(json_t *out, const char *path, const json_t *settings, struct err *e)
{
    json_t *docs = documents(path, e);
    int rc = docs ? 0 : -1;

    for (size_t i = 0; rc == 0 && i < json_array_size(docs); i++) {
        json_t *object = json_array_get(docs, i);
        if ((rc = transform(object, settings, e)) == 0)
            json_array_append(out, object);
    }
    json_decref(docs);
    return rc;
}

json_t *manifests_of(const char *dir, struct err *e)
{
    char *path = xasprintf("%s/kustomization.yaml", dir);
    json_t *docs = documents(path, e), *out = json_array();
    const json_t *settings = json_array_get(docs, 0);
    const json_t *files = json_object_get(settings, "resources");
    int rc = docs ? check_settings(path, settings, e) : -1;

    for (size_t i = 0; rc == 0 && i < json_array_size(files); i++) {
        char *file = xasprintf("%s/%s", dir, json_string_value(json_array_get(files, i)));
        rc = add_file(out, file, settings, e);
        free(file);
    }
    json_decref(docs);
    free(path);
    if (rc == 0)
        return out;
    json_decref(out);
    return NULL;
}
