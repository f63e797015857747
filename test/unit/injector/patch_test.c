/* patch_test.c - RFC 6902: what applies, and what must not. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "injector/inject.h"

static const struct {
    const char *doc, *patch, *want; /* want: the result, or a part of the error */
} cases[] = {
    /* RFC 6902 appendix A, what injection uses of it */
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
     "{\"foo\":\"bar\",\"baz\":\"qux\"}"},
    {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
     "{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
    {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
     "{\"foo\":\"bar\"}"},
    {"{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
     "{\"foo\":[\"bar\",\"baz\"]}"},
    {"{\"baz\":\"qux\"}", "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":1}]", "{\"baz\":1}"},
    {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"}]",
     "{\"baz\":\"qux\"}"},
    {"{\"foo\":[\"a\",2]}", "[{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
     "{\"foo\":[\"a\",2]}"},
    {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
     "{\"/\":9,\"~1\":10}"},
    {"{\"/\":9,\"~1\":10}", "[{\"op\":\"remove\",\"path\":\"/~1\"}]", "{\"~1\":10}"},
    {"{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\"]}]",
     "{\"foo\":[\"bar\",[\"abc\"]]}"},
    {"{\"a\":{}}", "[{\"op\":\"add\",\"path\":\"/a/\",\"value\":null}]", "{\"a\":{\"\":null}}"},
    {"{\"a\":1}",
     "[{\"op\":\"add\",\"path\":\"/a\",\"value\":2},"
     "{\"op\":\"add\",\"path\":\"/b\",\"value\":3}]",
     "{\"a\":2,\"b\":3}"},
    {"{}", "[]", "{}"},
    /* refused */
    {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]",
     "operation 0: test \"/baz\""},
    {"{}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "operation 0"},
    {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":1}]",
     "\"/baz/bat\" does not fit"},
    {"{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", "replace"},
    {"{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "remove"},
    {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":1}]", "/a/2"},
    {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/01\",\"value\":1}]", "/a/01"},
    {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":1}]", "/a/x"},
    {"{\"a\":[1]}", "[{\"op\":\"remove\",\"path\":\"/a/-\"}]", "/a/-"},
    {"{\"a\":[1]}", "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":1}]", "/a/1"},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", "\"a\" does not fit"},
    {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"\"}]", "does not fit"},
    {"{\"~2\":1}", "[{\"op\":\"remove\",\"path\":\"/~2\"}]", "does not fit"},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\"}]", "does not fit"},
    {"{\"a\":1}", "[{\"op\":\"move\",\"path\":\"/a\",\"value\":1}]", "move"},
    {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":1}]",
     "operation 1: \"op\" and \"path\" must be strings"},
    {"{}", "{}", "list of operations"},
};
#define CASES (int)(sizeof(cases) / sizeof(*cases))

START_TEST(applies)
{
    json_t *doc = json_loads(cases[_i].doc, 0, NULL), *patch = json_loads(cases[_i].patch, 0, NULL),
           *want = json_loads(cases[_i].want, 0, NULL), *before = json_deep_copy(patch), *got;
    struct err e = {""};

    ck_assert(doc && patch);
    got = inj_apply_patch(doc, patch, &e);
    if (want)
        ck_assert_msg(got && json_equal(got, want), "%s: %s", cases[_i].patch, e.text);
    else
        ck_assert_msg(!got && strstr(e.text, cases[_i].want), "%s: \"%s\"", cases[_i].patch,
                      e.text);
    ck_assert(json_equal(patch, before));
    json_decref(got);
    json_decref(patch);
    json_decref(before);
    json_decref(want);
}
END_TEST

/* what was added is a copy: changing the document leaves the patch whole */
START_TEST(shares_nothing)
{
    json_t *patch = json_loads("[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}}]", 0, NULL);
    json_t *doc = inj_apply_patch(json_object(), patch, NULL);

    json_object_set_new(json_object_get(doc, "a"), "x", json_true());
    ck_assert_uint_eq(json_object_size(json_object_get(json_array_get(patch, 0), "value")), 0);
    json_decref(doc);
    json_decref(patch);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("injector/patch");
    TCase *t = tcase_create("patch");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, applies, 0, CASES);
    tcase_add_test(t, shares_nothing);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
