/* yaml_test.c - scalars against a table, random values through YAML and back, places, bounds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/yaml.h"

static struct kube_problems problems;

static void take(struct yaml_doc *doc, void *arg)
{
    json_t **out = arg;
    json_decref(*out);
    *out = doc->json;
    doc->json = NULL;
}

/* the last document, or NULL; its problems are in `problems` */
static json_t *parse(const char *text, size_t n)
{
    json_t *out = NULL;
    kube_problems_free(&problems);
    yaml_each(slice_of(text, n), "t.yaml", &problems, take, &out);
    return out;
}

static const struct {
    const char *yaml, *json;
} scalars[] = {
    {"y", "true"},
    {"Y", "true"},
    {"yes", "true"},
    {"Yes", "true"},
    {"YES", "true"},
    {"yEs", "\"yEs\""},
    {"on", "true"},
    {"True", "true"},
    {"tRue", "\"tRue\""},
    {"n", "false"},
    {"no", "false"},
    {"NO", "false"},
    {"off", "false"},
    {"False", "false"},
    {"~", "null"},
    {"null", "null"},
    {"NULL", "null"},
    {"nUll", "\"nUll\""},
    {"0", "0"},
    {"-0", "0"},
    {"+12", "12"},
    {"0777", "511"},
    {"0o777", "511"},
    {"0O17", "15"},
    {"08", "8"},
    {"0x1f", "31"},
    {"0XFF", "255"},
    {"-0xf", "-15"},
    {"0xg", "\"0xg\""},
    {"0b11", "3"},
    {"-0b11", "-3"},
    {"0b12", "\"0b12\""},
    {"1_000", "1000"},
    {"_1", "\"_1\""},
    {"1_", "1"},
    {"9223372036854775807", "9223372036854775807"},
    {"-9223372036854775808", "-9223372036854775808"},
    {"1.5", "1.5"},
    {"-1.5e3", "-1500"},
    {"1e3", "1000"},
    {"1e-3", "0.001"},
    {"1.", "1"},
    {".5", "0.5"},
    {".", "\".\""},
    {"1.2.3", "\"1.2.3\""},
    {"1e", "\"1e\""},
    {"80.0", "80"},
    {"12:30", "\"12:30\""},
    {"2001-12-14", "\"2001-12-14\""},
    {"2001-12-14T21:59:43Z", "\"2001-12-14T21:59:43Z\""},
    {"10.0.0.1", "\"10.0.0.1\""},
    {"1e400", "\"1e400\""},
    {"'1'", "\"1\""},
    {"\"yes\"", "\"yes\""},
    {"!!str 1", "\"1\""},
    {"!!int \"7\"", "7"},
    {"! yes", "\"yes\""},
};

START_TEST(scalar)
{
    char text[128];
    struct err e;
    snprintf(text, sizeof text, "v: %s\n", scalars[_i].yaml);
    json_t *doc = parse(text, strlen(text));
    ck_assert_uint_eq(problems.n, 0);
    snprintf(text, sizeof text, "{\"v\": %s}", scalars[_i].json);
    json_t *want = json_parse(slice_str(text), sizeof text, &e);
    struct buf got = BUF_INIT;
    json_print(doc, &got);
    ck_assert_msg(json_equal(doc, want), "%s: got %s, expected %s", scalars[_i].yaml, got.p,
                  scalars[_i].json);
    buf_free(&got);
    json_decref(doc);
    json_decref(want);
}
END_TEST

/* ---- random values through YAML and back ----------------------------------------------------- */

static char *random_text(unsigned max)
{
    static const char *const parts[] = {
        "a",
        "Z",
        "0",
        "1",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r",
        ":",
        ": ",
        "#",
        " #",
        "-",
        "- ",
        "---",
        "\n---\n",
        "...",
        "?",
        "? ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "'",
        "\"",
        "%",
        "@",
        "`",
        "\\",
        "=",
        "<<",
        "~",
        "yes",
        "no",
        "null",
        "true",
        "1.5",
        "0x1f",
        "\x01",
        "\x7f",
        "\xc2\x85",
        "\xc3\xa4",
        "\xe2\x80\xa8",
        "\xef\xbb\xbf",
        "\xf0\x9f\x98\x80",
        "\xc2\xa0",
        "\xef\xbf\xbe",
    };
    struct buf b = BUF_INIT;
    buf_puts(&b, "");
    for (unsigned n = (unsigned)rand() % max; n > 0; n--)
        buf_puts(&b, parts[(unsigned)rand() % (sizeof parts / sizeof *parts)]);
    return buf_take(&b);
}

static json_t *random_value(unsigned depth)
{
    unsigned kind = (unsigned)rand() % (depth > 4 ? 7 : 10);
    if (kind == 7) {
        json_t *list = json_array();
        for (unsigned n = (unsigned)rand() % 4; n > 0; n--)
            json_array_append_new(list, random_value(depth + 1));
        return list;
    }
    if (kind > 7) {
        json_t *map = json_object();
        for (unsigned n = (unsigned)rand() % 4; n > 0; n--) {
            char *key = random_text(rand() % 50 == 0 ? 600 : 4);
            json_object_set_new(map, key, random_value(depth + 1));
            free(key);
        }
        return map;
    }
    if (kind == 0)
        return json_integer(
            (json_int_t)((uint64_t)rand() << 33 ^ (uint64_t)rand() << 3 ^ (uint64_t)rand()));
    if (kind == 1)
        return json_real((double)rand() / 1000003.0 + 0.5);
    if (kind == 2)
        return rand() % 2 ? json_boolean(rand() % 2) : json_null();
    char *text = random_text(kind == 3 ? 12 : 4);
    json_t *s = json_string(text);
    free(text);
    return s;
}

START_TEST(random_values_come_back_equal)
{
    srand(_i + 1);
    for (unsigned i = 0; i < 2000; i++) {
        json_t *v = json_pack("{s:o}", "v", random_value(0));
        struct buf yaml = BUF_INIT;
        kube_to_yaml(v, &yaml);
        json_t *back = parse(yaml.p, yaml.len);
        if (problems.n > 0)
            ck_abort_msg("%u:%u %s in\n%s", problems.v[0].line, problems.v[0].column,
                         problems.v[0].message, yaml.p);
        ck_assert_msg(json_equal(v, back), "does not come back equal:\n%s", yaml.p);
        buf_free(&yaml);
        json_decref(v);
        json_decref(back);
    }
}
END_TEST

START_TEST(yaml_looks_as_people_write_it)
{
    struct err e = {""};
    json_t *v = json_parse(slice_str("{\"b\": [{\"x\": 1, \"y\": [\"a\", [\"b\"]]}, {}], \"a\": "
                                     "{\"args\": [\"-c\", \"--x=1\", \"yes\", \"\"], \"t\": "
                                     "\"one\\ntwo\\n\"}, \"z\": []}"),
                           1000, &e);
    struct buf yaml = BUF_INIT;
    kube_to_yaml(v, &yaml);
    ck_assert_str_eq(yaml.p, "a:\n"
                             "  args:\n"
                             "  - -c\n"
                             "  - --x=1\n"
                             "  - \"yes\"\n"
                             "  - \"\"\n"
                             "  t: |\n"
                             "    one\n"
                             "    two\n"
                             "b:\n"
                             "- x: 1\n"
                             "  \"y\":\n"
                             "  - a\n"
                             "  - - b\n"
                             "- {}\n"
                             "z: []\n");
    buf_free(&yaml);
    json_decref(v);
}
END_TEST

/* what readers of YAML 1.1 take for a date or a number of base 60 */
START_TEST(dates_and_times_are_quoted)
{
    static const char *const quoted[] = {
        "2020-01-01", "2020-1-1", "2026-11-23T08:36:01Z", "2001-12-14 21:59:43.10 -5",
        "12:30:45",   "1:20",     "-190:20:30",           "+1_2:30.5"};
    static const char *const plain[] = {"10.0.0.1", "10.0.0.0/8", "v1-2020", "2020-01-01x", "a:80",
                                        "1h30m",    "2020",       "fsm:1.0", "20-01"};

    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < (i ? 9 : 8); k++) {
            json_t *v = json_pack("{s:s}", "v", i ? plain[k] : quoted[k]);
            struct buf yaml = BUF_INIT;
            kube_to_yaml(v, &yaml);
            bool is = strchr(yaml.p, '"') != NULL;
            bool number = strcmp(i ? plain[k] : "", "2020") == 0;
            ck_assert_msg(is == (i == 0 || number), "%s", yaml.p);
            buf_free(&yaml);
            json_decref(v);
        }
}
END_TEST

/* ---- places ---------------------------------------------------------------------------------- */

static void check_places(struct yaml_doc *doc, void *arg)
{
    const struct yaml_node *value = NULL;
    const struct yaml_node *key = yaml_member(doc->root, "b", &value);
    ck_assert_uint_eq(doc->line, 3);
    ck_assert_ptr_nonnull(key);
    ck_assert_uint_eq(key->line, 4);
    ck_assert_uint_eq(key->column, 1);
    ck_assert_uint_eq(value->n, 2);
    ck_assert_uint_eq(value->v[1]->line, 6);
    key = yaml_member(doc->root, "merged", &value);
    ck_assert_uint_eq(key->line, 3);
    ck_assert_uint_eq(key->column, 8);
    ck_assert_ptr_null(yaml_member(doc->root, "none", &value));
    ++*(unsigned *)arg;
}

START_TEST(nodes_know_their_place)
{
    unsigned calls = 0;
    kube_problems_free(&problems);
    yaml_each(slice_str("# first\n---\na: &a {merged: 1}\nb:\n- x\n- y\n<<: *a\n"), "t.yaml",
              &problems, check_places, &calls);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(problems.n, 0);
}
END_TEST

/* ---- bounds: each of these must end quickly ----------------------------------------------------
 */

static void repeat(struct buf *b, const char *s, unsigned n)
{
    while (n-- > 0)
        buf_puts(b, s);
}

static void many_keys(struct buf *b, unsigned n, bool same)
{
    for (unsigned i = 0; i < n; i++)
        buf_printf(b, "k%u: 1\n", same ? 0 : i);
}

static void many_aliases(struct buf *b)
{
    buf_puts(b, "a: &a [1]\nb:\n");
    repeat(b, "- *a\n", 200000);
}

static void nested_merges(struct buf *b)
{
    buf_puts(b, "x0: &x0 {a: 1, b: 2, c: 3}\n");
    for (unsigned i = 1; i < 60; i++)
        buf_printf(b, "x%u: &x%u {<<: [*x%u, *x%u]}\n", i, i, i - 1, i - 1);
}

START_TEST(hostile_text_ends_quickly)
{
    struct buf b = BUF_INIT;
    switch (_i) {
    case 0:
        repeat(&b, "[", 500000);
        break;
    case 1:
        repeat(&b, "{a: ", 500000);
        break;
    case 2:
        repeat(&b, "- ", 500000);
        break;
    case 3:
        repeat(&b, "? ", 500000);
        break;
    case 4:
        many_keys(&b, 200000, false);
        break;
    case 5:
        many_keys(&b, 200000, true);
        break;
    case 6:
        many_aliases(&b);
        break;
    case 7:
        nested_merges(&b);
        break;
    case 8:
        repeat(&b, "---\na\n", 100000);
        break;
    case 9:
        repeat(&b, "&a ", 200000);
        break;
    case 10:
        buf_puts(&b, "a: \"");
        repeat(&b, "\\x41", 1000000);
        buf_puts(&b, "\"\n");
        break;
    case 11:
        repeat(&b, "a: b: ", 200000);
        break;
    case 12:
        repeat(&b, "[a, ", 90);
        repeat(&b, "b, ", 300000);
        break;
    case 13:
        repeat(&b, "---\n", 500000);
        break;
    case 14:
        repeat(&b, "\n", 3000000);
        buf_puts(&b, "\t");
        break;
    case 15:
        repeat(&b, "!t ", 200000);
        break;
    }
    uint64_t start = clock_mono_ms();
    json_decref(parse(b.p, b.len));
    uint64_t took = clock_mono_ms() - start;
    ck_assert_msg(took < 15000, "case %d took %lu ms", _i, (unsigned long)took);
    printf("%d:%lu ", _i, (unsigned long)took);
    buf_free(&b);
}
END_TEST

START_TEST(too_large_is_refused)
{
    size_t n = YAML_TEXT_MAX + 1;
    char *text = xmalloc(n);
    memset(text, ' ', n);
    json_t *v = parse(text, n);
    ck_assert_ptr_null(v);
    ck_assert_uint_eq(problems.n, 1);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("yaml");
    TCase *t = tcase_create("yaml");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, scalar, 0, sizeof scalars / sizeof *scalars);
    tcase_add_loop_test(t, random_values_come_back_equal, 0, 5);
    tcase_add_test(t, yaml_looks_as_people_write_it);
    tcase_add_test(t, dates_and_times_are_quoted);
    tcase_add_test(t, nodes_know_their_place);
    tcase_add_loop_test(t, hostile_text_ends_quickly, 0, 16);
    tcase_add_test(t, too_large_is_refused);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
