/* images.c - image names to commands of this machine; see images.h. */
#include "cli/local/images.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/yaml.h"

#define FILE_MAX_BYTES (1u << 20)

struct images {
    json_t *list; /* of all files, in order */
};

struct reading {
    struct images *im;
    const char *file;
    struct err *e;
    bool bad;
};

static const char *const keys[] = {"match", "command", "args", "env", "user", "workingDir"};

static bool is_key(const char *k)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (strcmp(k, keys[i]) == 0)
            return true;
    return false;
}

static bool is_strings(const json_t *v)
{
    bool ok = !v || json_is_array(v);

    for (size_t i = 0; ok && i < json_array_size(v); i++)
        ok = json_is_string(json_array_get(v, i));
    return ok;
}

static int check_entry(const char *file, size_t i, json_t *entry, struct err *e)
{
    const char *k;
    json_t *v;

    if (!json_is_object(entry) || !json_str(entry, "match", NULL))
        return err_set(e, "%s: images[%zu]: expected an object with \"match\"", file, i);
    json_object_foreach (entry, k, v) {
        if (!is_key(k))
            return err_set(e,
                           "%s: images[%zu].%s: unknown field: expected match, command, args, "
                           "env, user or workingDir",
                           file, i, k);
    }
    if (!is_strings(json_object_get(entry, "command")) ||
        !is_strings(json_object_get(entry, "args")))
        return err_set(e, "%s: images[%zu]: command and args are lists of strings", file, i);
    v = json_object_get(entry, "user");
    if (v && !json_is_integer(v))
        return err_set(e, "%s: images[%zu].user: expected a number", file, i);
    return 0;
}

static void take_document(struct yaml_doc *doc, void *arg)
{
    struct reading *r = arg;
    const json_t *list = json_object_get(doc->json, "images");

    if (r->bad)
        return;
    if (doc->bad || !json_is_array(list)) {
        err_set(r->e, "%s:%u: expected \"images:\" and a list", r->file, doc->line);
        r->bad = true;
        return;
    }
    for (size_t i = 0; i < json_array_size(list) && !r->bad; i++) {
        json_t *entry = json_array_get(list, i);
        r->bad = check_entry(r->file, i, entry, r->e) != 0;
        if (!r->bad)
            json_array_append(r->im->list, entry);
    }
}

static int load_file(struct images *im, const char *file, struct err *e)
{
    struct buf text = BUF_INIT;
    struct kube_problems problems = {0};
    struct reading r = {.im = im, .file = file, .e = e};

    if (file_read(file, FILE_MAX_BYTES, &text, e)) {
        buf_free(&text);
        return -1;
    }
    yaml_each(buf_slice(&text), file, &problems, take_document, &r);
    if (problems.n) {
        char *t = kube_problem_text(&problems.v[0]);
        err_set(e, "%s", t);
        free(t);
        r.bad = true;
    }
    kube_problems_free(&problems);
    buf_free(&text);
    return r.bad ? -1 : 0;
}

/* beside an installed fsm, or in the tree it was built in (build/VARIANT/bin) */
static char *own_map(const struct instance *in)
{
    static const char *const places[] = {"/../share/fsm/images.yaml",
                                         "/../../../deploy/local/images.yaml",
                                         "/../../deploy/local/images.yaml"};

    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        struct buf b = BUF_INIT;
        buf_puts(&b, in->bin_dir);
        buf_puts(&b, places[i]);
        if (access(b.p, R_OK) == 0)
            return buf_take(&b);
        buf_free(&b);
    }
    return NULL;
}

struct images *images_load(const struct instance *in, struct err *e)
{
    struct images *im = xcalloc(1, sizeof(*im));
    char *own = own_map(in);

    im->list = json_array();
    for (char **f = in->images; *f; f++)
        if (load_file(im, *f, e))
            goto fail;
    if (own && load_file(im, own, e))
        goto fail;
    free(own);
    return im;
fail:
    free(own);
    images_free(im);
    return NULL;
}

void images_free(struct images *im)
{
    if (!im)
        return;
    json_decref(im->list);
    free(im);
}

/* "docker.io/library/nginx:1.25" also goes by "nginx:1.25" */
static const char *without_registry(const char *image)
{
    const char *slash = strchr(image, '/');

    if (!slash || !memchr(image, '.', (size_t)(slash - image)))
        return image;
    image = slash + 1;
    return strncmp(image, "library/", 8) == 0 ? image + 8 : image;
}

const json_t *images_find(const struct images *im, const char *image)
{
    const char *shorter = without_registry(image);

    for (size_t i = 0; i < json_array_size(im->list); i++) {
        const json_t *entry = json_array_get(im->list, i);
        const char *pattern = json_str(entry, "match", "");
        if (fnmatch(pattern, image, 0) == 0 || fnmatch(pattern, shorter, 0) == 0)
            return entry;
    }
    return NULL;
}
