/* json_walk_test.c - members and elements in the text: the same as a parser sees, or refused. */
#include "common/base/json_walk.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "test/unit/unit.h"

/* 1 if everything could be walked, in depth */
static int walk(struct slice text, json_t *same)
{
    struct json_walk w;
    struct buf key = BUF_INIT;
    size_t n = 0;
    int r;

    if (json_walk_begin(&w, text) < 0)
        return 0;
    while ((r = json_walk_next(&w)) > 0) {
        json_t *v = json_is_array(same) ? json_array_get(same, n) : NULL;
        if (json_is_object(same)) {
            ck_assert_int_eq(json_walk_key(&w, &key), 0);
            v = json_object_get(same, key.p ? key.p : "");
        }
        n++;
        if (same) {
            json_t *parsed = json_loadb(w.value.p, w.value.n, JSON_DECODE_ANY, NULL);
            ck_assert(v && parsed && json_equal(v, parsed));
            json_decref(parsed);
        }
        if (v && (json_is_object(v) || json_is_array(v)))
            ck_assert_int_eq(walk(w.value, v), 1);
    }
    if (same)
        ck_assert_uint_eq(n, json_is_array(same) ? json_array_size(same) : json_object_size(same));
    buf_free(&key);
    return r == 0;
}

static const char *const good[] = {
    "{}",
    "[]",
    " { } ",
    "[ 1 ,2,\t3\n]",
    "{\"a\":1}",
    "{\"a\" : [ {\"b\" : \"]}\"} , \"\\\"\" ]}",
    "{\"\\u00e4\\n\":null,\"\":true}",
    "[\"a\\\\\",\"b\"]",
    "[[[[]]],{\"x\":{}}]",
    "[-1.5e3,false]",
    "{\"\xc3\xa4\":\"\xc3\xa4\"}",
};
static const char *const refused[] = {
    "",          " ",       "1",        "\"a\"",      "{",
    "[",         "[1",      "[1,",      "[1,]",       "[,1]",
    "[1 2]",     "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
    "{\"a\" 1}", "[\"a]",   "[1]x",     "{}{}",       "{\"a\":1 \"b\":2}",
    "[{]",       "{:1}",    "[\"\\\"]", "{1:2}",      "{\"a\":[}",
    "[1:2]",
};

START_TEST(what_is_json_is_walked)
{
    json_t *same = json_loads(good[_i], JSON_DECODE_ANY, NULL);

    ck_assert_ptr_nonnull(same);
    ck_assert_msg(walk(slice_str(good[_i]), same), "%s", good[_i]);
    json_decref(same);
}
END_TEST

START_TEST(what_is_none_is_refused)
{
    ck_assert_msg(!walk(slice_str(refused[_i]), NULL), "%s", refused[_i]);
}
END_TEST

START_TEST(keys_that_are_no_text)
{
    static const char text[] = "{\"\xff\":1,\"a\x01\":1,\"\\u0000\":1}";
    struct json_walk w;
    struct buf key = BUF_INIT;

    ck_assert_int_eq(json_walk_begin(&w, slice_of(text, sizeof text - 1)), 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(json_walk_next(&w), 1);
        ck_assert_int_eq(json_walk_key(&w, &key), -1);
    }
    buf_free(&key);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("json_walk");
    TCase *tc = tcase_create("json_walk");
    SRunner *sr;
    int failed;

    tcase_add_loop_test(tc, what_is_json_is_walked, 0, (int)(sizeof good / sizeof *good));
    tcase_add_loop_test(tc, what_is_none_is_refused, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(tc, keys_that_are_no_text);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
