/* golden_test.c - resources in, checked objects and problems out.
 *
 * Every directory test/golden/kube/NAME holds input.* (the text, named so in problems) and
 * expected.json (the objects that are loaded, in order) and expected.err (the problems, word for
 * word); one that is absent means "none".  Every object must come back equal from its own YAML.
 * FSM_GOLDEN_UPDATE=1 writes the expectations instead of comparing; read the difference.
 */
#include <check.h>
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/object.h"

#define ROOT "test/golden/kube"

static glob_t cases;

static struct buf read_input(const char *dir, const char **name)
{
    static char file[64];
    char *pattern = xasprintf("%s/input.*", dir);
    struct buf text = BUF_INIT;
    struct err e = {""};
    glob_t g;
    ck_assert_msg(glob(pattern, 0, NULL, &g) == 0 && g.gl_pathc == 1, "%s: no input", dir);
    ck_assert_msg(file_read(g.gl_pathv[0], 1 << 24, &text, &e) == 0, "%s", e.text);
    snprintf(file, sizeof file, "%s", strrchr(g.gl_pathv[0], '/') + 1);
    *name = file;
    globfree(&g);
    free(pattern);
    return text;
}

/* what `now` says must be in dir/name; nothing to say = no such file */
static void compare(const char *dir, const char *name, const struct buf *now)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct buf want = BUF_INIT;
    struct err e = {""};
    if (getenv("FSM_GOLDEN_UPDATE")) {
        unlink(path);
        if (now->len > 0)
            ck_assert_msg(file_write(path, now->p, now->len, 0644, &e) == 0, "%s", e.text);
    } else {
        file_read(path, 1 << 24, &want, &e);
        ck_assert_msg(slice_eq(buf_slice(now), buf_slice(&want)),
                      "%s differs; make golden-update rewrites it.  Now:\n%s", path,
                      now->p ? now->p : "(nothing)");
    }
    buf_free(&want);
    free(path);
}

/* load(emit(o)) must be o */
static void check_round_trip(const struct kube_object *o)
{
    struct buf yaml = BUF_INIT;
    struct kube_problems problems = {NULL, 0};
    struct kube_object **v;
    kube_to_yaml(o->body, &yaml);
    unsigned n = kube_load(buf_slice(&yaml), "emitted", NULL, &v, &problems);
    if (problems.n > 0)
        ck_abort_msg("%s in\n%s", problems.v[0].message, yaml.p);
    ck_assert_uint_eq(n, 1);
    ck_assert_msg(json_equal(v[0]->body, o->body), "does not come back equal:\n%s", yaml.p);
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    buf_free(&yaml);
}

static void print_objects(struct kube_object **v, unsigned n, struct buf *out)
{
    for (unsigned i = 0; i < n; i++) {
        check_round_trip(v[i]);
        buf_printf(out, i == 0 ? "[" : ",\n");
        json_print_pretty(v[i]->body, 2, true, out);
    }
    if (n > 0)
        buf_puts(out, "]\n");
}

static void print_problems(const struct kube_problems *p, struct buf *out)
{
    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);
        buf_printf(out, "%s\n", text);
        free(text);
    }
}

START_TEST(golden)
{
    const char *dir = cases.gl_pathv[_i], *name;
    struct buf text = read_input(dir, &name), objects = BUF_INIT, errors = BUF_INIT;
    struct kube_problems problems = {NULL, 0};
    struct kube_object **v;
    unsigned n = kube_load(buf_slice(&text), name, NULL, &v, &problems);
    print_objects(v, n, &objects);
    print_problems(&problems, &errors);
    ck_assert_msg(n + problems.n > 0 || strstr(dir, "/empty"), "%s: nothing came out", dir);
    compare(dir, "expected.json", &objects);
    compare(dir, "expected.err", &errors);
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    buf_free(&text);
    buf_free(&objects);
    buf_free(&errors);
}
END_TEST

int main(void)
{
    if (glob(ROOT "/*", 0, NULL, &cases) != 0 || cases.gl_pathc < 60) {
        fprintf(stderr, "%s: expected cases; run from the top of the tree\n", ROOT);
        return 1;
    }
    Suite *s = suite_create("kube/golden");
    TCase *t = tcase_create("cases");
    tcase_add_loop_test(t, golden, 0, (int)cases.gl_pathc);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    globfree(&cases);
    return failed != 0;
}
