/* json.c - what jansson lacks: lookups by path, merge patches (RFC 7386), a stable hash. */
#include "common/base/json.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/hash.h"
#include "common/base/mem.h"

/* Who uses jansson does not ask after each call whether there was memory: half a document would be
 * another document.  So it gets what mem.h promises. */
static void __attribute__((constructor)) never_without_memory(void)
{
    json_set_alloc_funcs(xmalloc, free);
}

static void wipe(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

void json_wipe(bool on)
{
    json_set_alloc_funcs(xmalloc, on ? wipe : free);
}

json_t *json_parse(struct slice text, size_t max, struct err *e)
{
    json_error_t je;
    json_t *j;

    if (text.n > max) {
        err_set(e, "JSON of %zu bytes: at most %zu are accepted", text.n, max);
        return NULL;
    }
    if (text.n == 0) {
        err_set(e, "expected JSON, got nothing");
        return NULL;
    }
    /* jansson passes over one behind a number */
    const char *nul = memchr(text.p, '\0', text.n);
    if (nul) {
        err_set(e, "a NUL byte at offset %zu: no JSON has one", (size_t)(nul - text.p));
        return NULL;
    }
    j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!j)
        err_set(e, "line %d, column %d: %s", je.line, je.column, je.text);
    return j;
}

static int to_buf(const char *p, size_t n, void *arg)
{
    buf_append(arg, p, n);
    return 0;
}

void json_print(const json_t *j, struct buf *out)
{
    json_dump_callback(j, to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

void json_print_pretty(const json_t *j, int indent, bool sorted, struct buf *out)
{
    json_dump_callback(j, to_buf, out,
                       JSON_INDENT((size_t)indent) | JSON_ENCODE_ANY |
                           (sorted ? JSON_SORT_KEYS : 0));
}

json_t *json_at(const json_t *root, const char *path)
{
    struct slice rest = slice_str(path);

    while (root && rest.p) {
        struct slice name = slice_cut(&rest, '.');
        root = json_object_getn(root, name.p, name.n);
    }
    return (json_t *)root;
}

const char *json_str(const json_t *root, const char *path, const char *dflt)
{
    const json_t *v = json_at(root, path);

    return json_is_string(v) ? json_string_value(v) : dflt;
}

bool json_bool(const json_t *root, const char *path, bool dflt)
{
    const json_t *v = json_at(root, path);

    return json_is_boolean(v) ? json_is_true(v) : dflt;
}

int64_t json_int(const json_t *root, const char *path, int64_t dflt)
{
    const json_t *v = json_at(root, path);

    return json_is_integer(v) ? json_integer_value(v) : dflt;
}

json_t *json_merge_patch(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;

    if (!json_is_object(patch)) {
        json_decref(target);
        return json_deep_copy(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
    }
    json_object_foreach ((json_t *)patch, key, value) {
        if (json_is_null(value)) {
            json_object_del(target, key);
        } else {
            json_t *old = json_incref(json_object_get(target, key));
            json_object_set_new_nocheck(target, key, json_merge_patch(old, value));
        }
    }
    return target;
}

/* a member of an object, at any depth but not inside an array, is null */
static bool has_null_member(const json_t *j)
{
    const char *key;
    json_t *value;

    if (!json_is_object(j))
        return false;
    json_object_foreach ((json_t *)j, key, value) {
        if (json_is_null(value) || has_null_member(value))
            return true;
    }
    return false;
}

static int diff_member(json_t *patch, const char *key, const json_t *from, const json_t *to)
{
    json_t *sub;

    if (from && !(json_is_object(from) && json_is_object(to)) && json_equal(from, to))
        return 0;
    if (json_is_null(to))
        return -1;
    sub = json_merge_diff(from, to);
    if (!sub)
        return -1;
    if (json_is_object(from) && json_is_object(to) && json_object_size(sub) == 0) {
        json_decref(sub);
        return 0;
    }
    return json_object_set_new_nocheck(patch, key, sub);
}

json_t *json_merge_diff(const json_t *a, const json_t *b)
{
    json_t *patch, *value;
    const char *key;

    if (!json_is_object(a) || !json_is_object(b))
        return has_null_member(b) ? NULL : json_deep_copy(b);
    patch = json_object();
    json_object_foreach ((json_t *)a, key, value) {
        if (!json_object_get(b, key))
            json_object_set_new_nocheck(patch, key, json_null());
    }
    json_object_foreach ((json_t *)b, key, value) {
        if (diff_member(patch, key, json_object_get(a, key), value) < 0) {
            json_decref(patch);
            return NULL;
        }
    }
    return patch;
}

/* no secret: the hash must be the same everywhere */
static const struct hash_key stable_key = {0x66736d2d6a736f6eull, 0x6d657267652d7631ull};

static uint64_t hash_tagged(char tag, uint64_t v)
{
    unsigned char in[9] = {(unsigned char)tag};

    for (int i = 0; i < 8; i++)
        in[1 + i] = (unsigned char)(v >> (8 * i));
    return hash_sip13(stable_key, in, sizeof(in));
}

static uint64_t hash_text(char tag, const char *p, size_t n)
{
    return hash_tagged(tag, hash_sip13(stable_key, p, n));
}

/* the sum does not depend on the order of the members */
static uint64_t hash_object(const json_t *j)
{
    uint64_t sum = 0;
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)j, key, value) {
        uint64_t h = hash_text('k', key, strlen(key));
        sum += hash_tagged('m', h * 3 + json_hash(value));
    }
    return hash_tagged('{', sum + json_object_size(j));
}

static uint64_t hash_array(const json_t *j)
{
    uint64_t h = json_array_size(j);

    for (size_t i = 0; i < json_array_size(j); i++)
        h = hash_tagged(',', h * 3 + json_hash(json_array_get(j, i)));
    return hash_tagged('[', h);
}

static uint64_t hash_real(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return hash_tagged('r', bits);
}

uint64_t json_hash(const json_t *j)
{
    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_OBJECT:
        return hash_object(j);
    case JSON_ARRAY:
        return hash_array(j);
    case JSON_STRING:
        return hash_text('s', json_string_value(j), json_string_length(j));
    case JSON_INTEGER:
        return hash_tagged('i', (uint64_t)json_integer_value(j));
    case JSON_REAL:
        return hash_real(json_real_value(j));
    case JSON_TRUE:
        return hash_tagged('b', 1);
    case JSON_FALSE:
        return hash_tagged('b', 0);
    case JSON_NULL:
        break;
    }
    return hash_tagged('n', 0);
}
