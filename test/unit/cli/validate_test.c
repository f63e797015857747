/* validate_test.c - fsm validate: what it prints and how it ends. */
/* objects: cli/validate.c */
#include "cli/validate.h"

#include <check.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/mem.h"

static char dir[64], path[3][128], out_path[128];
static struct buf out;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/kube-validate-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path[0], sizeof path[0], "%s/a.yaml", dir);
    snprintf(path[1], sizeof path[1], "%s/sub", dir);
    snprintf(path[2], sizeof path[2], "%s/sub/b.yaml", dir);
    snprintf(out_path, sizeof out_path, "%s/.out", dir);
    ck_assert_int_eq(mkdir(path[1], 0755), 0);
}

static void teardown(void)
{
    struct err e;
    buf_free(&out);
    file_remove_tree(dir, &e);
}

static void write_file(const char *name, const char *text)
{
    struct err e = {""};
    ck_assert_msg(file_write(name, text, strlen(text), 0644, &e) == 0, "%s", e.text);
}

/* runs the command (words end with NULL) with standard output in a file; its text is in out then */
static int validate(const char *word, ...)
{
    static char *argv[16]; /* its flags keep pointing at the words */
    argv[0] = xstrdup("validate");
    int argc = 1;
    struct err e = {""};
    va_list ap;
    va_start(ap, word);
    for (; word; word = va_arg(ap, const char *))
        argv[argc++] = xstrdup(word);
    va_end(ap);
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    ck_assert_ptr_nonnull(freopen(out_path, "w", stdout));
    int status = cli_validate(argc, argv);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    ck_assert_msg(file_read(out_path, 1 << 20, &out, &e) == 0, "%s", e.text);
    return status;
}
#define VALIDATE(...) validate(__VA_ARGS__, NULL)

#define GOOD "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
#define BAD  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {k: 1}\n"

START_TEST(good_ends_with_0)
{
    write_file(path[0], GOOD);
    ck_assert_int_eq(VALIDATE("-f", path[0]), 0);
    ck_assert_str_eq(out.p, "1 object in 1 file: no problems\n");
}
END_TEST

START_TEST(bad_ends_with_1_and_says_where)
{
    char want[1024];
    write_file(path[0], GOOD "---\n" BAD);
    write_file(path[2], GOOD);
    ck_assert_int_eq(VALIDATE("-f", dir), 1);
    snprintf(want, sizeof want,
             "%s:8: ConfigMap default/b: data[k]: got 1 (integer), expected a string: quote it\n"
             "%s:1: ConfigMap default/a: defined before at %s:1; that one is used, remove one of "
             "them\n1 object in 2 files: 2 problems\n",
             path[0], path[2], path[0]);
    ck_assert_str_eq(out.p, want);
}
END_TEST

START_TEST(a_shell_pattern_behind_f_works)
{
    write_file(path[0], GOOD);
    write_file(path[2], BAD);
    ck_assert_int_eq(VALIDATE("-f", path[0], path[2]), 1);
    ck_assert_ptr_nonnull(strstr(out.p, "1 object in 2 files: 1 problem\n"));
}
END_TEST

START_TEST(json_for_machines)
{
    write_file(path[0], BAD);
    ck_assert_int_eq(VALIDATE("-f", path[0], "-o", "json"), 1);
    json_t *j = json_loads(out.p, 0, NULL);
    const json_t *p = json_array_get(json_object_get(j, "problems"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "files")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "objects")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(p, "line")), 4);
    ck_assert_str_eq(json_string_value(json_object_get(p, "field")), "data[k]");
    ck_assert_str_eq(json_string_value(json_object_get(p, "object")), "ConfigMap default/b");
    json_decref(j);
}
END_TEST

START_TEST(a_missing_file_is_a_problem)
{
    ck_assert_int_eq(VALIDATE("-f", path[0]), 1);
    ck_assert_ptr_nonnull(strstr(out.p, "No such file"));
}
END_TEST

START_TEST(what_objects_say_together_is_noted)
{
    write_file(path[0], "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: "
                        "{flomesh.io/monitored-by: fsm}}\n---\napiVersion: v1\nkind: Service\n"
                        "metadata: {name: docs, namespace: app}\nspec: {type: ExternalName, "
                        "externalName: example.com}\n");
    ck_assert_int_eq(VALIDATE("-f", path[0]), 0);
    ck_assert_ptr_nonnull(strstr(out.p, "note: Service app/docs: "));
}
END_TEST

START_TEST(wrong_usage_ends_with_2)
{
    if (_i == 0)
        ck_assert_int_eq(VALIDATE("-o", "json"), 2);
    else if (_i == 1)
        ck_assert_int_eq(VALIDATE("-f", path[0], "-o", "xml"), 2);
    else
        ck_assert_int_eq(VALIDATE("--no-such-flag"), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("validate");
    TCase *t = tcase_create("validate");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, good_ends_with_0);
    tcase_add_test(t, bad_ends_with_1_and_says_where);
    tcase_add_test(t, a_shell_pattern_behind_f_works);
    tcase_add_test(t, json_for_machines);
    tcase_add_test(t, a_missing_file_is_a_problem);
    tcase_add_test(t, what_objects_say_together_is_noted);
    tcase_add_loop_test(t, wrong_usage_ends_with_2, 0, 3);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
