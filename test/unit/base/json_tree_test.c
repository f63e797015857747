/* json_tree_test.c - what jansson reads is read the same, what it refuses is refused. */
#include "common/base/json_tree.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/json.h"
#include "test/unit/unit.h"

/* returns owned */
static json_t *value_of(const struct json_tree *t)
{
    json_t *out = NULL;

    switch (t->type) {
    case JSON_OBJECT:
        out = json_object();
        for (const struct json_tree *m = t->first; m; m = m->next)
            json_object_set_new(out, m->key, value_of(m));
        ck_assert_uint_eq(json_object_size(out), t->n);
        return out;
    case JSON_ARRAY:
        out = json_array();
        for (const struct json_tree *m = t->first; m; m = m->next)
            json_array_append_new(out, value_of(m));
        ck_assert_uint_eq(json_array_size(out), t->n);
        return out;
    case JSON_STRING:
        ck_assert_uint_eq(strlen(t->text), t->n);
        return json_string(t->text);
    case JSON_INTEGER:
        return json_integer(t->integer);
    case JSON_REAL:
        return json_real(t->real);
    default:
        return t->type == JSON_NULL ? json_null() : json_boolean(t->type == JSON_TRUE);
    }
}

static const char *const good[] = {
    "1",
    "-0",
    "0",
    "-12",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "-2e3",
    "1E+2",
    "1e-400",
    "0.0",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\"",
    " [ ] ",
    "{}",
    "[1,2,[3]]",
    "{\"a\":{\"b\":[{\"c\":null}]},\"\":1}",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u00e4\\u20ac\"",
    "\"\\ud83d\\ude00\"",
    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
    "\"x\\u0041y\\\\\"",
    "{\"k\\u0041\":\"v\"}",
    "\t\n\r 7 \n",
    "\"\x7f\"",
    "\"\xef\xbf\xbf\"",
};
static const char *const refused[] = {
    "",
    " ",
    "tru",
    "nul",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "--1",
    "0x1",
    "[",
    "]",
    "[1",
    "[1,]",
    "[,]",
    "[1 2]",
    "{",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{1:2}",
    "1 2",
    "\"",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\ud800x\"",
    "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "\"\x01\"",
    "\"\n\"",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xc3\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe2\x82\"",
    "{\"a\":1,\"a\":2}",
    "{\"a\":1,\"\\u0061\":2}",
    "9223372036854775808",
    "1e400",
    "[1}",
    "{\"a\":1]",
    "nan",
};

START_TEST(what_is_json_reads_the_same)
{
    struct slice text = slice_str(good[_i]);
    struct arena *mem = arena_new(256);
    struct err e;
    json_t *want = json_parse(text, SIZE_MAX, &e);
    const struct json_tree *t = json_tree_parse(mem, text, &e);

    ck_assert_msg(want != NULL, "%s", good[_i]);
    ck_assert_msg(t != NULL, "%s: %s", good[_i], e.text);
    json_t *got = value_of(t);
    ck_assert_msg(json_equal(want, got), "%s", good[_i]);
    json_decref(want);
    json_decref(got);
    arena_free(mem);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
    struct slice text = slice_str(refused[_i]);
    struct arena *mem = arena_new(256);
    struct err e = {""};

    ck_assert_msg(!json_parse(text, SIZE_MAX, &e), "%s", refused[_i]);
    e.text[0] = '\0';
    ck_assert_msg(!json_tree_parse(mem, text, &e), "%s", refused[_i]);
    ck_assert_msg(e.text[0] != '\0', "%s", refused[_i]);
    arena_free(mem);
}
END_TEST

START_TEST(a_nul_is_no_end)
{
    struct arena *mem = arena_new(256);
    struct err e;

    ck_assert_ptr_null(json_tree_parse(mem, SLICE_LIT("[1]\0"), &e));
    ck_assert_ptr_null(json_tree_parse(mem, SLICE_LIT("[\0]"), &e));
    ck_assert_ptr_null(json_tree_parse(mem, SLICE_LIT("\"a\0b\""), &e));
    ck_assert_ptr_null(json_tree_parse(mem, SLICE_LIT("1\0"), &e));
    arena_free(mem);
}
END_TEST

/* n keys, the last one as given */
static bool parses(unsigned n, const char *last)
{
    struct arena *mem = arena_new(4096);
    struct buf text = BUF_INIT;
    struct err e;

    buf_putc(&text, '{');
    for (unsigned i = 0; i < n; i++)
        buf_printf(&text, "\"k%u\":%u,", i, i);
    buf_printf(&text, "\"%s\":true}", last);
    const struct json_tree *t = json_tree_parse(mem, buf_slice(&text), &e);
    bool all = t && json_tree_is(json_tree_get(t, last), JSON_TRUE) && t->n == n + 1;
    buf_free(&text);
    arena_free(mem);
    return all;
}

START_TEST(no_key_stands_twice)
{
    for (unsigned n = 1; n < 200; n += 7) {
        ck_assert(parses(n, "last"));
        ck_assert(!parses(n, "k0"));
        ck_assert(!parses(n, n > 1 ? "k1" : "k0"));
    }
}
END_TEST

START_TEST(depth_is_bounded)
{
    struct arena *mem = arena_new(4096);
    struct buf text = BUF_INIT;
    struct err e;

    for (unsigned depth = 63; depth <= 65; depth++) {
        buf_clear(&text);
        for (unsigned i = 0; i < depth; i++)
            buf_putc(&text, '[');
        for (unsigned i = 0; i < depth; i++)
            buf_putc(&text, ']');
        const struct json_tree *t = json_tree_parse(mem, buf_slice(&text), &e);
        ck_assert((t != NULL) == (depth <= 64));
    }
    ck_assert_str_eq(e.text, "byte 64: expected at most 64 levels");
    buf_free(&text);
    arena_free(mem);
}
END_TEST

static bool null_in(const char *text)
{
    struct arena *mem = arena_new(256);
    struct err e;
    bool has = json_tree_has_null(json_tree_parse(mem, slice_str(text), &e));

    arena_free(mem);
    return has;
}

START_TEST(nulls_are_seen_where_they_mean_absent)
{
    ck_assert(null_in("{\"a\":null}"));
    ck_assert(null_in("{\"a\":[{\"b\":{\"c\":null}}]}"));
    ck_assert(!null_in("[null]"));
    ck_assert(!null_in("null"));
    ck_assert(!null_in("{\"a\":[1,\"null\"]}"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json_tree");
    TCase *tc = tcase_create("json_tree");
    SRunner *sr;
    int failed;

    tcase_add_loop_test(tc, what_is_json_reads_the_same, 0, (int)(sizeof good / sizeof *good));
    tcase_add_loop_test(tc, what_is_none_is_refused, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(tc, a_nul_is_no_end);
    tcase_add_test(tc, no_key_stands_twice);
    tcase_add_test(tc, depth_is_bounded);
    tcase_add_test(tc, nulls_are_seen_where_they_mean_absent);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
