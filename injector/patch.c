/* patch.c - JSON patches (RFC 6902): making operations and applying them. */
#include <string.h>

#include "common/base/mem.h"
#include "common/base/slice.h"
#include "injector/inject_int.h"

void inj_op(json_t *patch, const char *op, const char *path, json_t *value)
{
    json_t *o = json_object();

    json_object_set_new(o, "op", json_string(op));
    json_object_set_new(o, "path", json_string(path));
    if (value)
        json_object_set_new(o, "value", value);
    json_array_append_new(patch, o);
}

void inj_path_key(struct buf *path, const char *key)
{
    buf_putc(path, '/');
    for (; *key; key++) {
        if (*key == '~')
            buf_puts(path, "~0");
        else if (*key == '/')
            buf_puts(path, "~1");
        else
            buf_putc(path, *key);
    }
}

/* undoes the escapes of one reference token; NULL if there is a bare '~' (RFC 6901 3) */
static char *unescape(struct slice token)
{
    char *out = xmalloc(token.n + 1), *w = out;

    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] != '~') {
            *w++ = token.p[i];
        } else if (i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1')) {
            *w++ = token.p[++i] == '0' ? '~' : '/';
        } else {
            free(out);
            return NULL;
        }
    }
    *w = '\0';
    return out;
}

/* the place an array token names: an index below limit, or limit for "-"; -1 if neither */
static long array_index(const char *token, size_t limit, bool may_append)
{
    unsigned long long i;

    if (may_append && strcmp(token, "-") == 0)
        return (long)limit;
    if (token[0] == '0' && token[1])
        return -1;
    if (slice_u64(slice_str(token), 1u << 30, &i) != 0)
        return -1;
    if (i < limit || (may_append && i == limit))
        return (long)i;
    return -1;
}

static json_t *member(json_t *parent, const char *token)
{
    if (json_is_object(parent))
        return json_object_get(parent, token);
    if (json_is_array(parent)) {
        long i = array_index(token, json_array_size(parent), false);

        return i < 0 ? NULL : json_array_get(parent, (size_t)i);
    }
    return NULL;
}

/* Walks path to the parent of what it names; *last = the final token, owned.  NULL if there is
 * no such place. */
static json_t *walk(json_t *doc, const char *path, char **last)
{
    struct slice rest = slice_str(path);
    json_t *at = doc;

    *last = NULL;
    if (rest.n == 0 || rest.p[0] != '/')
        return NULL;
    rest = slice_of(rest.p + 1, rest.n - 1);
    while (at) {
        char *token = unescape(slice_cut(&rest, '/'));

        if (!token)
            return NULL;
        if (!rest.p) {
            *last = token;
            return at;
        }
        at = member(at, token);
        free(token);
    }
    return NULL;
}

static int put(json_t *parent, const char *token, json_t *value, bool insert)
{
    if (json_is_object(parent)) {
        if (!insert && !json_object_get(parent, token))
            return -1;
        return json_object_set(parent, token, value);
    }
    if (json_is_array(parent)) {
        long i = array_index(token, json_array_size(parent), insert);

        if (i < 0)
            return -1;
        return insert ? json_array_insert(parent, (size_t)i, value)
                      : json_array_set(parent, (size_t)i, value);
    }
    return -1;
}

static int drop(json_t *parent, const char *token)
{
    if (json_is_object(parent))
        return json_object_del(parent, token);
    if (json_is_array(parent)) {
        long i = array_index(token, json_array_size(parent), false);

        return i < 0 ? -1 : json_array_remove(parent, (size_t)i);
    }
    return -1;
}

/* value is copied: the patch stays whole however often it is applied */
static int apply_at(json_t *parent, const char *token, const char *op, const json_t *value)
{
    json_t *copy;
    int rc;

    if (strcmp(op, "remove") == 0)
        return drop(parent, token);
    if (!value)
        return -1;
    if (strcmp(op, "test") == 0)
        return json_equal(member(parent, token), value) ? 0 : -1;
    if (strcmp(op, "add") != 0 && strcmp(op, "replace") != 0)
        return -1;
    copy = json_deep_copy(value);
    rc = put(parent, token, copy, op[0] == 'a');
    json_decref(copy);
    return rc;
}

static int apply_op(json_t *doc, const json_t *o, struct err *e)
{
    const char *op = inj_text(o, "op"), *path = inj_text(o, "path");
    json_t *parent;
    char *token;
    int rc;

    if (!op || !path)
        return err_set(e, "\"op\" and \"path\" must be strings");
    parent = walk(doc, path, &token);
    rc = parent ? apply_at(parent, token, op, json_object_get(o, "value")) : -1;
    free(token);
    if (rc != 0)
        return err_set(e, "%s \"%s\" does not fit the document", op, path);
    return 0;
}

json_t *inj_apply_patch(json_t *doc, const json_t *patch, struct err *e)
{
    const json_t *o;
    size_t i;

    if (!json_is_array(patch)) {
        err_set(e, "a JSON patch is a list of operations");
        json_decref(doc);
        return NULL;
    }
    json_array_foreach (patch, i, o) {
        if (apply_op(doc, o, e) != 0) {
            err_prefix(e, "operation %zu", i);
            json_decref(doc);
            return NULL;
        }
    }
    return doc;
}

const json_t *inj_list(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_array(v) ? v : NULL;
}

const json_t *inj_object(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_object(v) ? v : NULL;
}

const char *inj_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

const char *inj_annotation(const json_t *o, const char *key)
{
    return inj_text(inj_object(inj_object(o, "metadata"), "annotations"), key);
}

const char *inj_label(const json_t *o, const char *key)
{
    return inj_text(inj_object(inj_object(o, "metadata"), "labels"), key);
}
