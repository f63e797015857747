/* json_test.c - strict parsing, lookups, merge patches (RFC 7386 appendix A), the stable hash. */
#include <stdio.h>
#include <stdlib.h>
#include "common/base/json.h"
#include "test/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static json_t *parsed(const char *text)
{
    struct err e = {""};
    json_t *j = json_parse(slice_str(text), 1 << 20, &e);

    ck_assert_msg(j != NULL, "%s: %s", text, e.text);
    return j;
}

START_TEST(parsing_refuses)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "+1",
        "1.",
        ".5",
        "NaN",
        "nul",
        "[1] x",
        "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "\"\\x\"",
        "\"\\u0000\"",
        "\"a\nb\"",
        "\"\xff\"",
        "\"\\ud800\"",
        "// c\n1",
        "99999999999999999999999",
        "{\"a\" 1}",
        "[",
        "\"",
        "\xef\xbb\xbf{}",
    };
    struct err e;

    for (size_t i = 0; i < COUNT(bad); i++) {
        e.text[0] = 0;
        ck_assert_msg(json_parse(slice_str(bad[i]), 1000, &e) == NULL, "%s", bad[i]);
        ck_assert_msg(e.text[0], "%s", bad[i]);
    }
    ck_assert_ptr_null(json_parse(SLICE_LIT("{\"a\":1}\0"), 1000, NULL));
    ck_assert_ptr_null(json_parse(SLICE_LIT("8\0"), 1000, &e));
    ck_assert_str_eq(e.text, "a NUL byte at offset 1: no JSON has one");
    ck_assert_ptr_null(json_parse(SLICE_LIT("[8\0]"), 1000, &e));
    ck_assert_ptr_null(json_parse(SLICE_LIT("[1,2,3]"), 6, &e));
    ck_assert_str_eq(e.text, "JSON of 7 bytes: at most 6 are accepted");
    ck_assert_ptr_null(json_parse(SLICE_LIT("{\n  \"a\": 1,\n  \"a\": 2}"), 1000, &e));
    ck_assert_msg(strstr(e.text, "line 3") != NULL, "%s", e.text);
}
END_TEST

START_TEST(parsing_bounds_its_depth)
{
    struct buf b = BUF_INIT;
    struct err e;

    for (int i = 0; i < 100000; i++)
        buf_putc(&b, '[');
    ck_assert_ptr_null(json_parse(buf_slice(&b), b.len, &e));
    buf_free(&b);
}
END_TEST

START_TEST(printing_keeps_order)
{
    json_t *j = parsed("{ \"z\": [1, 2.5, null], \"a\": {\"y\": true, \"b\": \"\\u00e4\\n\"} }");
    struct buf b = BUF_INIT;

    json_print(j, &b);
    ck_assert_str_eq(b.p, "{\"z\":[1,2.5,null],\"a\":{\"y\":true,\"b\":\"\xc3\xa4\\n\"}}");
    buf_clear(&b);
    json_print_pretty(j, 1, true, &b);
    ck_assert_str_eq(
        b.p, "{\n \"a\": {\n  \"b\": \"\xc3\xa4\\n\",\n  \"y\": true\n },\n \"z\": [\n  1,\n"
             "  2.5,\n  null\n ]\n}");
    json_decref(j);
    buf_clear(&b);
    json_print(json_true(), &b);
    ck_assert_str_eq(b.p, "true");
    buf_free(&b);
}
END_TEST

START_TEST(lookups_by_path)
{
    json_t *j =
        parsed("{\"a\":{\"b\":{\"s\":\"x\",\"n\":5,\"t\":true,\"z\":null,\"r\":1.5}},\"l\":[1]}");

    ck_assert_str_eq(json_str(j, "a.b.s", "d"), "x");
    ck_assert_str_eq(json_str(j, "a.b.n", "d"), "d");
    ck_assert_str_eq(json_str(j, "a.x.s", "d"), "d");
    ck_assert_ptr_null(json_str(j, "a.b.z", NULL));
    ck_assert_int_eq(json_int(j, "a.b.n", 1), 5);
    ck_assert_int_eq(json_int(j, "a.b.r", 1), 1);
    ck_assert_int_eq(json_int(j, "a.b.s.n", 1), 1);
    ck_assert(json_bool(j, "a.b.t", false));
    ck_assert(json_bool(j, "a.b.n", true));
    ck_assert_ptr_null(json_at(j, "l.0"));
    ck_assert_ptr_null(json_at(j, "a..b"));
    ck_assert_ptr_null(json_at(j, ""));
    ck_assert_ptr_null(json_at(NULL, "a"));
    ck_assert_str_eq(json_str(json_at(j, "a.b"), "s", ""), "x");
    json_decref(j);
}
END_TEST

/* RFC 7386 appendix A: original, patch, result */
static const char *const rfc7386[][3] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
};

START_TEST(merge_patch_as_the_rfc_says)
{
    for (size_t i = 0; i < COUNT(rfc7386); i++) {
        json_t *target = parsed(rfc7386[i][0]), *patch = parsed(rfc7386[i][1]),
               *want = parsed(rfc7386[i][2]), *copy = json_deep_copy(patch);
        target = json_merge_patch(target, patch);
        ck_assert_msg(json_equal(target, want), "example %zu", i + 1);
        ck_assert_msg(json_equal(patch, copy), "the patch is only borrowed");
        json_decref(target);
        json_decref(patch);
        json_decref(want);
        json_decref(copy);
    }
}
END_TEST

START_TEST(merge_patch_shares_nothing_with_the_patch)
{
    json_t *patch = parsed("{\"a\":{\"l\":[1,{\"x\":1}]}}"),
           *target = json_merge_patch(json_object(), patch);

    json_object_set_new(json_array_get(json_at(target, "a.l"), 1), "x", json_integer(2));
    ck_assert_int_eq(json_int(json_array_get(json_at(patch, "a.l"), 1), "x", 0), 1);
    json_decref(target);
    json_decref(patch);
}
END_TEST

START_TEST(merge_diff_says_what_changed)
{
    static const char *const cases[][3] = {
        {"{\"a\":1}", "{\"a\":1}", "{}"},
        {"{\"a\":1}", "{\"b\":1}", "{\"a\":null,\"b\":1}"},
        {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":3}}", "{\"a\":{\"c\":3}}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":{}}", "{\"a\":{\"b\":null}}"},
        {"{\"a\":{}}", "{\"a\":{}}", "{}"},
        {"{}", "{\"a\":{}}", "{\"a\":{}}"},
        {"{\"a\":5}", "{\"a\":{}}", "{\"a\":{}}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"a\":[1,null]}", "{\"a\":[null]}", "{\"a\":[null]}"},
        {"{\"a\":null,\"b\":1}", "{\"a\":null,\"b\":2}", "{\"b\":2}"},
        {"{\"a\":1}", "[1]", "[1]"},
        {"[1]", "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":1}}"},
        {"{\"a\":1}", "{\"a\":1.0}", "{\"a\":1.0}"},
        {"{\"a\":[{\"b\":null}]}", "{\"a\":[{\"c\":null}]}", "{\"a\":[{\"c\":null}]}"},
    };
    static const char *const impossible[][2] = {
        {"{}", "{\"a\":null}"},
        {"{\"a\":1}", "{\"a\":null}"},
        {"{\"a\":{}}", "{\"a\":{\"b\":null}}"},
        {"{\"a\":1}", "{\"a\":{\"b\":{\"c\":null}}}"},
        {"[]", "{\"a\":null}"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *a = parsed(cases[i][0]), *b = parsed(cases[i][1]), *want = parsed(cases[i][2]),
               *got = json_merge_diff(a, b);
        ck_assert_msg(got && json_equal(got, want), "case %zu", i);
        json_decref(a);
        json_decref(b);
        json_decref(want);
        json_decref(got);
    }
    for (size_t i = 0; i < COUNT(impossible); i++) {
        json_t *a = parsed(impossible[i][0]), *b = parsed(impossible[i][1]);
        ck_assert_msg(json_merge_diff(a, b) == NULL, "case %zu", i);
        json_decref(a);
        json_decref(b);
    }
}
END_TEST

/* a value without null members; small sets of keys and values, so that much is equal */
static json_t *random_value(uint64_t *seed, int depth)
{
    switch (unit_random(seed) % (depth > 0 ? 6 : 4)) {
    case 0:
        return json_integer((json_int_t)(unit_random(seed) % 3));
    case 1:
        return json_string(unit_random(seed) & 1 ? "x" : "y");
    case 2:
        return json_boolean(unit_random(seed) & 1);
    case 3:
        return json_pack("[n,i]", (int)(unit_random(seed) % 2));
    default:
        break;
    }
    json_t *o = json_object();
    for (unsigned n = (unsigned)(unit_random(seed) % 5); n > 0; n--) {
        char key[2] = {(char)('a' + unit_random(seed) % 5), 0};
        json_object_set_new(o, key, random_value(seed, depth - 1));
    }
    return o;
}

START_TEST(diff_and_patch_are_inverse)
{
    uint64_t seed = 99;

    for (int i = 0; i < 20000; i++) {
        json_t *a = random_value(&seed, 4), *b = random_value(&seed, 4),
               *patch = json_merge_diff(a, b);
        ck_assert_ptr_nonnull(patch);
        a = json_merge_patch(a, patch);
        ck_assert(json_equal(a, b));
        ck_assert_uint_eq(json_hash(a), json_hash(b));
        json_decref(a);
        json_decref(b);
        json_decref(patch);
    }
}
END_TEST

START_TEST(hash_tells_values_apart)
{
    static const char *const different[] = {
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "0.0",
        "1.0",
        "\"\"",
        "\"1\"",
        "\"a\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[1]",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[1,[2]]",
        "{\"a\":1}",
        "{\"a\":2}",
        "{\"b\":1}",
        "{\"a\":1,\"b\":2}",
        "{\"a\":2,\"b\":1}",
        "{\"a\":{\"b\":1}}",
        "{\"a\":\"\"}",
        "{\"a\":null}",
        "{\"a\":[null]}",
        "{\"1\":\"a\"}",
        "{\"a\":\"1\"}",
    };
    uint64_t h[COUNT(different)];
    json_t *a = parsed("{\"x\":{\"p\":1,\"q\":[1,2]},\"y\":\"z\"}"),
           *b = parsed("{\"y\":\"z\",\"x\":{\"q\":[1,2],\"p\":1}}");

    ck_assert_uint_eq(json_hash(a), json_hash(b));
    ck_assert_msg(json_hash(a) == 0xe0378f23fa5a4c8bull, "versions travel between builds: %llx",
                  (unsigned long long)json_hash(a));
    json_decref(a);
    json_decref(b);
    for (size_t i = 0; i < COUNT(different); i++) {
        json_t *j = parsed(different[i]);
        h[i] = json_hash(j);
        json_decref(j);
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(h[k] != h[i], "%s and %s", different[k], different[i]);
    }
}
END_TEST

UNIT_MAIN("json", parsing_refuses, parsing_bounds_its_depth, printing_keeps_order, lookups_by_path,
          merge_patch_as_the_rfc_says, merge_patch_shares_nothing_with_the_patch,
          merge_diff_says_what_changed, diff_and_patch_are_inverse, hash_tells_values_apart)
