/* json_cut_fuzz.c - first byte: shape, mask, size of the parts; then the stream.
 *
 * In parts or as a whole, the pieces are the same; what is no JSON at all is never accepted as a
 * stream of objects; a piece that a JSON parser takes survives the mask as it does in memory.
 */
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/base/json_cut.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEPT_MAX 256

static const struct json_mask notes[] = {{"last", JSON_DROP}, {"*", NULL}, {NULL}};
static const struct json_mask meta[] = {{"n*", notes}, {"a", NULL}, {NULL}};
static const struct json_mask whole[] = {{"items", meta}, {"k*", NULL}, {NULL}};

static int collect(struct slice text, const char *why, void *arg, struct err *e)
{
    struct buf *out = arg;
    buf_printf(out, "%s%.*s\n", why ? why : "", SLICE_FMT(text));
    BUG_ON(text.n > KEPT_MAX);
    return 0;
}

/* 0 or -1; the pieces, and what stood around them, into out */
static int cut(enum json_cut_shape shape, const struct json_mask *mask, struct slice text,
               size_t part, struct buf *out)
{
    struct err e = {""};
    struct json_cut *c = json_cut_new(shape, mask, KEPT_MAX, collect, out);
    int r = 0;
    while (r == 0 && text.n > 0) {
        size_t n = part < text.n ? part : text.n;
        r = json_cut_feed(c, slice_of(text.p, n), &e);
        text = slice_of(text.p + n, text.n - n);
    }
    if (r == 0)
        r = json_cut_end(c, &e);
    if (r == 0 && shape == JSON_CUT_ITEMS)
        buf_put_slice(out, json_cut_rest(c));
    json_cut_free(c);
    return r;
}

/* the one object of the stream, masked as text, is what it is masked in memory */
static void check_mask(struct slice text)
{
    struct err e;
    json_t *j = json_parse(text, KEPT_MAX, &e), *masked;
    struct buf out = BUF_INIT;
    if (!json_is_object(j)) {
        json_decref(j);
        return;
    }
    BUG_ON(cut(JSON_CUT_STREAM, whole, text, text.n, &out) < 0);
    masked = json_parse(buf_slice(&out), SIZE_MAX, &e);
    json_mask_apply(whole, j);
    BUG_ON(!masked || !json_equal(masked, j));
    json_decref(masked);
    json_decref(j);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf one = BUF_INIT, other = BUF_INIT;
    if (size < 1)
        return 0;
    enum json_cut_shape shape = data[0] & 1 ? JSON_CUT_ITEMS : JSON_CUT_STREAM;
    const struct json_mask *mask = data[0] & 2 ? whole : NULL;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    int a = cut(shape, mask, text, text.n, &one);
    int b = cut(shape, mask, text, 1 + (data[0] >> 2), &other);
    BUG_ON(a != b);
    BUG_ON(a == 0 && !slice_eq(buf_slice(&one), buf_slice(&other)));
    if (text.n > 0 && !memchr(text.p, '\\', text.n)) /* a key may be escaped in many ways */
        check_mask(text);
    buf_free(&one);
    buf_free(&other);
    return 0;
}
