/* json_cut_test.c - pieces of streams, however the bytes arrive; masks; what breaks a stream and
 * what costs only its piece. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json_cut.h"
#include "test/unit/unit.h"

#define KEPT_MAX 64

static struct buf got; /* the pieces, one a line */

static int on_piece(struct slice text, const char *why, void *arg, struct err *e)
{
    if (slice_eq_str(text, "\"stop\""))
        return err_set(e, "stopped");
    if (why)
        buf_printf(&got, "! %s\n", why);
    else
        buf_printf(&got, "%.*s\n", SLICE_FMT(text));
    return 0;
}

/* feeds text in parts of n bytes; "" or what was wrong.  rest may be NULL. */
static const char *cut(enum json_cut_shape shape, const struct json_mask *mask, const char *text,
                       size_t n, char *rest)
{
    static struct err e;
    struct json_cut *c = json_cut_new(shape, mask, KEPT_MAX, on_piece, NULL);
    size_t len = strlen(text);
    int r = 0;
    e.text[0] = '\0';
    buf_free(&got);
    buf_puts(&got, "");
    for (size_t at = 0; r == 0 && at < len; at += n)
        r = json_cut_feed(c, slice_of(text + at, len - at < n ? len - at : n), &e);
    if (r == 0)
        r = json_cut_end(c, &e);
    if (r == 0 && rest)
        snprintf(rest, 256, "%.*s", SLICE_FMT(json_cut_rest(c)));
    ck_assert((r == 0) == (e.text[0] == '\0'));
    json_cut_free(c);
    return e.text;
}

/* the same in parts of every size */
static void cuts(enum json_cut_shape shape, const struct json_mask *mask, const char *text,
                 const char *pieces, const char *want_rest)
{
    char rest[256] = "";
    for (size_t n = 1; n <= strlen(text); n++) {
        const char *wrong = cut(shape, mask, text, n, want_rest ? rest : NULL);
        ck_assert_msg(!*wrong, "%s: %s (parts of %zu)", text, wrong, n);
        ck_assert_msg(strcmp(got.p, pieces) == 0, "%s\nin parts of %zu gave\n%s", text, n, got.p);
        ck_assert_msg(!want_rest || strcmp(rest, want_rest) == 0, "rest: %s", rest);
    }
}

static const struct json_mask notes[] = {{"last", JSON_DROP}, {"*", NULL}, {NULL}};
static const struct json_mask meta[] = {{"name", NULL}, {"notes", notes}, {NULL}};
static const struct json_mask object[] = {{"meta", meta}, {"list", meta}, {"fsm*", NULL}, {NULL}};
static const struct json_mask list[] = {{"kind", NULL}, {"items", object}, {NULL}};

START_TEST(a_stream_is_values_one_after_the_other)
{
    cuts(JSON_CUT_STREAM, NULL, " {\"a\" : [1, 2 ,{}]}\n{\"b\":null}  [\"x\\\"]\"]\n",
         "{\"a\":[1,2,{}]}\n{\"b\":null}\n[\"x\\\"]\"]\n", NULL);
    cuts(JSON_CUT_STREAM, NULL, "", "", NULL);
}
END_TEST

START_TEST(items_are_pieces_and_the_rest_stays)
{
    cuts(JSON_CUT_ITEMS, NULL,
         "{\"kind\":\"L\",\"items\":[{\"a\":1},{\"items\":[2]},[],3],\"meta\":{\"rv\":\"7\"}}",
         "{\"a\":1}\n{\"items\":[2]}\n[]\n3\n",
         "{\"kind\":\"L\",\"items\":[],\"meta\":{\"rv\":\"7\"}}");
    cuts(JSON_CUT_ITEMS, NULL, "{\"items\":[]}", "", "{\"items\":[]}");
    cuts(JSON_CUT_ITEMS, NULL, "{\"items\":null,\"a\":{\"items\":[1]}}", "",
         "{\"items\":null,\"a\":{\"items\":[1]}}");
    cuts(JSON_CUT_ITEMS, NULL, "{\"\\\"items\":[1]}", "", "{\"\\\"items\":[1]}");
}
END_TEST

START_TEST(masks_drop_members_as_they_are_read)
{
    cuts(JSON_CUT_ITEMS, list,
         "{\"junk\":{\"a\":[\"}\"]},\"kind\":\"L\",\"items\":["
         "{\"junk\":1,\"meta\":{\"name\":\"a\",\"notes\":{\"last\":\"{\\\"}\",\"x\":1},\"z\":[]}},"
         "{\"meta\":{\"uid\":2},\"fsm\":1,\"fsm.x\":2,\"fs\":3},"
         "{\"list\":[{\"name\":1,\"b\":2},{\"b\":[{}]},4]}],\"also\":[[]]}",
         "{\"meta\":{\"name\":\"a\",\"notes\":{\"x\":1}}}\n"
         "{\"meta\":{},\"fsm\":1,\"fsm.x\":2}\n"
         "{\"list\":[{\"name\":1},{},4]}\n",
         "{\"kind\":\"L\",\"items\":[]}");
}
END_TEST

START_TEST(a_mask_does_the_same_to_values)
{
    json_t *v = json_loads("{\"junk\":1,\"meta\":{\"name\":1,\"notes\":{\"last\":2,\"x\":[3]}},"
                           "\"list\":[{\"name\":4,\"b\":5},6]}",
                           0, NULL),
           *want = json_loads("{\"meta\":{\"name\":1,\"notes\":{\"x\":[3]}},"
                              "\"list\":[{\"name\":4},6]}",
                              0, NULL);
    json_mask_apply(object, v);
    ck_assert(json_equal(v, want));
    json_mask_apply(NULL, v);
    ck_assert(json_equal(v, want));
    json_decref(v);
    json_decref(want);
}
END_TEST

START_TEST(too_much_costs_only_the_piece)
{
    struct buf text = BUF_INIT;
    buf_puts(&text, "{\"items\":[{\"meta\":{\"name\":\"");
    for (unsigned i = 0; i < KEPT_MAX; i++)
        buf_puts(&text, "xy");
    buf_puts(&text, "\",\"more\":[1,{\"a\":2}]}},{\"meta\":{\"name\":\"b\"}}]}");
    cuts(JSON_CUT_ITEMS, list, text.p, "! larger than is accepted\n{\"meta\":{\"name\":\"b\"}}\n",
         "{\"items\":[]}");
    buf_free(&text);
    /* what is dropped does not count */
    buf_puts(&text, "{\"junk\":\"");
    for (unsigned i = 0; i < KEPT_MAX; i++)
        buf_puts(&text, "xy");
    buf_puts(&text, "\",\"meta\":{}}");
    cuts(JSON_CUT_STREAM, object, text.p, "{\"meta\":{}}\n", NULL);
    buf_free(&text);
}
END_TEST

START_TEST(too_deep_costs_only_the_piece)
{
    struct buf text = BUF_INIT;
    for (unsigned i = 0; i < JSON_CUT_DEPTH + 5; i++)
        buf_puts(&text, i % 2 ? "[" : "[{\"a\":");
    buf_puts(&text, "1");
    for (unsigned i = JSON_CUT_DEPTH + 5; i-- > 0;)
        buf_puts(&text, i % 2 ? "]" : "}]");
    buf_puts(&text, " {}");
    ck_assert_str_eq(cut(JSON_CUT_STREAM, NULL, text.p, 7, NULL), "");
    ck_assert_str_eq(got.p, "! nested too deeply\n{}\n");
    buf_free(&text);
}
END_TEST

START_TEST(what_breaks_a_stream)
{
    static const struct {
        enum json_cut_shape shape;
        const char *text, *wrong;
    } cases[] = {
        {JSON_CUT_STREAM, "{\"a\":1", "ends in the middle"},
        {JSON_CUT_STREAM, "{\"a\":\"", "ends in the middle"},
        {JSON_CUT_STREAM, "{\"a\":}", "expected a value"},
        {JSON_CUT_STREAM, "{\"a\" 1}", "expected a colon"},
        {JSON_CUT_STREAM, "{1:2}", "expected a key"},
        {JSON_CUT_STREAM, "{\"a\":1,}", "expected a key"},
        {JSON_CUT_STREAM, "[1,]", "expected a value"},
        {JSON_CUT_STREAM, "[1}", "a bracket closes"},
        {JSON_CUT_STREAM, "[\"a\" \"b\"]", "expected a comma"},
        {JSON_CUT_STREAM, "]", "expected a value"},
        {JSON_CUT_STREAM, "{} \"stop\" {}", "stopped"},
        {JSON_CUT_ITEMS, "", "ends in the middle"},
        {JSON_CUT_ITEMS, "{\"items\":[1", "ends in the middle"},
        {JSON_CUT_ITEMS, "{\"junk\":[1", "ends in the middle"},
        {JSON_CUT_ITEMS, "<html>", "expected an object"},
        {JSON_CUT_ITEMS, "[]", "expected an object"},
        {JSON_CUT_ITEMS, "{}{}", "something stands behind"},
        {JSON_CUT_ITEMS, "{\"junk\":,\"kind\":1}", "expected a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t n = 1; n < 12; n++) {
            const char *wrong = cut(cases[i].shape, cases[i].shape == JSON_CUT_ITEMS ? list : NULL,
                                    cases[i].text, n, NULL);
            ck_assert_msg(strstr(wrong, cases[i].wrong) != NULL, "%s: %s", cases[i].text, wrong);
        }
    }
}
END_TEST

START_TEST(the_rest_is_bounded)
{
    struct err e = {""};
    struct json_cut *c = json_cut_new(JSON_CUT_ITEMS, NULL, KEPT_MAX, on_piece, NULL);
    int r = json_cut_feed(c, slice_str("{\"kind\":\""), &e);
    char part[1024];
    memset(part, 'x', sizeof part);
    for (unsigned i = 0; r == 0 && i < 100; i++)
        r = json_cut_feed(c, slice_of(part, sizeof part), &e);
    ck_assert_int_eq(r, -1);
    ck_assert_ptr_nonnull(strstr(e.text, "around the items"));
    ck_assert_int_eq(json_cut_feed(c, slice_str(" "), &e), -1);
    json_cut_free(c);
}
END_TEST

START_TEST(an_object_without_end_is_given_up)
{
    struct err e = {""};
    struct json_cut *c = json_cut_new(JSON_CUT_STREAM, object, KEPT_MAX, on_piece, NULL);
    static char part[1 << 20];
    int r = json_cut_feed(c, slice_str("{\"junk\":\""), &e);
    memset(part, 'x', sizeof part);
    for (unsigned i = 0; r == 0 && i < (JSON_CUT_RAW_MAX >> 20) + 2; i++)
        r = json_cut_feed(c, slice_of(part, sizeof part), &e);
    ck_assert_int_eq(r, -1);
    json_cut_free(c);
}
END_TEST

UNIT_MAIN("json_cut", a_stream_is_values_one_after_the_other, items_are_pieces_and_the_rest_stays,
          masks_drop_members_as_they_are_read, a_mask_does_the_same_to_values,
          too_much_costs_only_the_piece, too_deep_costs_only_the_piece, what_breaks_a_stream,
          the_rest_is_bounded, an_object_without_end_is_given_up)
