/* json_fuzz.c - two JSON texts, split at a byte 0xff: parsing, printing, diff and patch agree. */
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/json.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_of((const char *)data, size), first = slice_cut(&rest, (char)0xff);
    struct err e;
    json_t *a = json_parse(first, BYTES_MAX, &e), *b;

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
