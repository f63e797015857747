/* objects: cli/jsonpath.c cli/run.c cli/output.c cli/local/names.c */
/* output_test.c - JSONPath, ages, label selectors and names of objects, as users type them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/local/local_cli.h"
#include "cli/output.h"
#include "common/base/clock.h"
#include "common/kube/selector.h"
#include "test/unit/unit.h"

/* what run.c looks words up in */
const struct cli_command cli_commands[] = {{.name = NULL}};

static char *path_text(const char *expression, const char *json)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    json_t *data = json_loads(json, 0, NULL);
    int rc = output_jsonpath(f, expression, data);

    fclose(f);
    json_decref(data);
    if (rc == 0)
        return text;
    free(text);
    return NULL;
}

static void expect_path(const char *expression, const char *json, const char *want)
{
    char *got = path_text(expression, json);

    if (want)
        ck_assert_str_eq(got, want);
    else
        ck_assert_ptr_null(got);
    free(got);
}

START_TEST(jsonpath)
{
    static const char data[] = "{\"items\":[{\"name\":\"a\",\"n\":1},{\"name\":\"b\"}],"
                               "\"labels\":{\"app.io/x\":\"y\",\"k\":\"v\"}}";

    expect_path("{.items[0].name}", data, "a");
    expect_path("{.items[*].name}", data, "a b");
    expect_path("{.items[0].n}", data, "1");
    expect_path("{.items[9].name}", data, "");
    expect_path("{.labels['app.io/x']}", data, "y");
    expect_path("{.labels.app\\.io/x}", data, "y");
    expect_path("{.labels.*}", data, "y v");
    expect_path("{$.labels.k}", data, "v");
    expect_path("x{.labels.k}{\"\\n\"}y", data, "xv\ny");
    expect_path("{.labels}", data, "{\"app.io/x\":\"y\",\"k\":\"v\"}");
    expect_path("{.items[x]}", data, NULL);
    expect_path("{.items", data, NULL);
    expect_path("{items}", data, NULL);
}
END_TEST

static void expect_age(int64_t seconds, const char *want)
{
    char stamp[32];

    clock_rfc3339(clock_wall_ms() - seconds * 1000, stamp);
    char *got = output_age(stamp);
    ck_assert_str_eq(got, want);
    free(got);
}

START_TEST(ages)
{
    expect_age(0, "0s");
    expect_age(119, "119s");
    expect_age(120, "2m");
    expect_age(599, "9m59s");
    expect_age(600, "10m");
    expect_age(3 * 3600 - 1, "179m");
    expect_age(3 * 3600, "3h");
    expect_age(3 * 3600 + 60, "3h1m");
    expect_age(9 * 3600 + 60, "9h");
    expect_age(48 * 3600, "2d");
    char *none = output_age("yesterday");
    ck_assert_str_eq(none, "<unknown>");
    free(none);
}
END_TEST

static bool selects(const char *selector, const char *labels)
{
    struct err e = {""};
    json_t *s = selector_parse(selector, &e), *l = json_loads(labels, 0, NULL);
    bool yes = s && kube_selector_match(s, l);

    json_decref(s);
    json_decref(l);
    return yes;
}

START_TEST(selectors)
{
    static const char web[] = "{\"app\":\"web\",\"tier\":\"front\"}";
    static const char *const yes[] = {"app=web",
                                      "app==web",
                                      "app!=db",
                                      "app",
                                      "!gone",
                                      "app in (db, web)",
                                      "app notin (db,x)",
                                      "gone!=1",
                                      "app=web,tier in (front)",
                                      " app = web , tier "};
    static const char *const no[] = {
        "app=db",          "app!=web",         "gone", "!app", "app in (db)",
        "app notin (web)", "app=web,tier=back"};
    static const char *const wrong[] = {"", ",", "app in web", "app=web,,tier"};
    struct err e;

    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
        ck_assert_msg(selects(yes[i], web), "%s does not select", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
        ck_assert_msg(!selects(no[i], web), "%s selects", no[i]);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        json_t *s = selector_parse(wrong[i], &e);
        ck_assert_msg(!s, "\"%s\" is taken", wrong[i]);
    }
}
END_TEST

static unsigned parse_words(const char *const *words, struct object_refs *refs)
{
    char *argv[8];
    int n = 0;

    for (; words[n]; n++)
        argv[n] = (char *)(uintptr_t)words[n];
    return (unsigned)refs_parse(n, argv, refs);
}

START_TEST(references)
{
    struct object_refs r;

    ck_assert_uint_eq(parse_words((const char *const[]){"po", "a", "b", NULL}, &r), 0);
    ck_assert_uint_eq(r.n, 2);
    ck_assert_str_eq(r.v[1].kind, "Pod");
    ck_assert_str_eq(r.v[1].name, "b");
    refs_free(&r);
    ck_assert_uint_eq(parse_words((const char *const[]){"svc/a", "deploy/b", NULL}, &r), 0);
    ck_assert_str_eq(r.v[0].kind, "Service");
    ck_assert_str_eq(r.v[1].kind, "Deployment");
    refs_free(&r);
    ck_assert_uint_eq(parse_words((const char *const[]){"pods,services", NULL}, &r), 0);
    ck_assert_uint_eq(r.n, 2);
    ck_assert_ptr_null(r.v[0].name);
    refs_free(&r);
    ck_assert_uint_eq(parse_words((const char *const[]){"all", NULL}, &r), 0);
    ck_assert_uint_eq(r.n, 7);
    refs_free(&r);
    ck_assert_uint_eq(parse_words((const char *const[]){NULL}, &r), 2);
    ck_assert_uint_eq(parse_words((const char *const[]){"pod/", NULL}, &r), 2);
    refs_free(&r);
    ck_assert_uint_eq(parse_words((const char *const[]){"pod/a", "b", NULL}, &r), 2);
    refs_free(&r);
    ck_assert_uint_eq(parse_words((const char *const[]){"nonsense", NULL}, &r), 2);
    refs_free(&r);
    char *text = ref_text("Deployment", "web");
    ck_assert_str_eq(text, "deployment.apps/web");
    free(text);
}
END_TEST

START_TEST(suggestions)
{
    static const struct cli_command table[] = {
        {.name = "status"}, {.name = "scale"}, {.name = NULL}};

    ck_assert_str_eq(cli_nearest(table, "statsu")->name, "status");
    ck_assert_str_eq(cli_nearest(table, "scal")->name, "scale");
    ck_assert_ptr_null(cli_nearest(table, "xyzzy"));
}
END_TEST

UNIT_MAIN("output", jsonpath, ages, selectors, references, suggestions)
