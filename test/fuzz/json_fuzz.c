/* json_fuzz.c - two JSON texts, split at a byte 0xff: parsing, printing, diff and patch agree,
 * and so do the two parsers. */
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/base/json_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX (1u << 16)

/* what is printed parses to the same value */
static void check_print(const json_t *j)
{
    struct buf text = BUF_INIT;
    struct err e;
    json_t *again;

    json_print(j, &text);
    again = json_parse(buf_slice(&text), SIZE_MAX, &e);
    BUG_ON(!again || !json_equal(j, again));
    BUG_ON(json_hash(j) != json_hash(again));
    json_decref(again);
    buf_free(&text);
}

static void check_pair(const json_t *a, const json_t *b)
{
    json_t *diff = json_merge_diff(a, b), *got;

    if (diff) {
        got = json_merge_patch(json_deep_copy(a), diff);
        BUG_ON(!json_equal(got, b));
        json_decref(got);
        json_decref(diff);
    }
    got = json_merge_patch(json_deep_copy(a), b);
    check_print(got);
    json_decref(got);
}

static bool same(const struct json_tree *t, const json_t *j)
{
    size_t i = 0;

    if (t->type != json_typeof(j) || json_tree_size(t) != json_object_size(j) + json_array_size(j))
        return false;
    if (t->type == JSON_STRING)
        return t->n == json_string_length(j) && memcmp(t->text, json_string_value(j), t->n) == 0;
    if (t->type == JSON_INTEGER)
        return t->integer == json_integer_value(j);
    if (t->type == JSON_REAL)
        return memcmp(&t->real, &(double){json_real_value(j)}, sizeof(double)) == 0;
    for (const struct json_tree *m = json_tree_size(t) ? t->first : NULL; m; m = m->next)
        if (!same(m, m->key ? json_object_get(j, m->key) : json_array_get(j, i++)))
            return false;
    return true;
}

/* both readers accept the same, but for depth, and read the same; j NULL: jansson refused it */
static void check_tree(struct slice text, const json_t *j)
{
    struct arena *mem = arena_new(4096);
    struct err e;
    const struct json_tree *t = json_tree_parse(mem, text, &e);

    BUG_ON(t && (!j || !same(t, j)));
    BUG_ON(!t && j && !strstr(e.text, "64 levels"));
    arena_free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size), first = slice_cut(&rest, (char)0xff);
    struct err e;
    json_t *a = json_parse(first, BYTES_MAX, &e), *b;

    if (first.n <= BYTES_MAX)
        check_tree(first, a);
    if (!a)
        return 0;
    check_print(a);
    b = rest.p ? json_parse(rest, BYTES_MAX, &e) : NULL;
    if (b)
        check_pair(a, b);
    json_decref(a);
    json_decref(b);
    return 0;
}
