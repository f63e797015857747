/* golden_test.c - every case of test/golden/inject: what goes in, and the patch, reason or error
 * that comes out, word for word.  GOLDEN_UPDATE=1 writes what comes out now; read the diff.
 *
 * NAME.yaml: native (default true), meshconfig, namespace (default: in the mesh, injection on;
 * null: not asked), pod.  Beside it NAME.json (a patch) or NAME.txt ("left alone: ...",
 * "refused: ...").
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/kube/yaml.h"
#include "injector/inject.h"

static glob_t cases;

static void take_document(struct yaml_doc *doc, void *arg)
{
    *(json_t **)arg = doc->json;
    doc->json = NULL;
}

static json_t *read_case(const char *path)
{
    struct kube_problems problems = {NULL, 0};
    struct buf text = BUF_INIT;
    struct err e = {""};
    json_t *out = NULL;

    ck_assert_msg(file_read(path, 1 << 20, &text, &e) == 0, "%s", e.text);
    yaml_each(buf_slice(&text), path, &problems, take_document, &out);
    ck_assert_msg(problems.n == 0, "%s:%u: %s", path, problems.v[0].line, problems.v[0].message);
    buf_free(&text);
    return out;
}

static json_t *default_namespace(void)
{
    return json_pack("{s:{s:s, s:{s:s}, s:{s:s}}}", "metadata", "name", "app", "labels",
                     "flomesh.io/monitored-by", "fsm", "annotations",
                     "flomesh.io/sidecar-injection", "enabled");
}

static enum inj_verdict inject(const json_t *c, const json_t *pod, const json_t *ns, json_t **patch,
                               const char **reason, struct err *e)
{
    struct inj_config cfg = {.mesh_name = "fsm",
                             .fsm_namespace = "fsm-system",
                             .trust_domain = "cluster.local",
                             .sidecar_image = "fsm-sidecar:test",
                             .init_image = "fsm-init:test",
                             .healthcheck_image = "fsm-healthcheck:test",
                             .native_sidecar = json_bool(c, "native", true),
                             .meshconfig = json_object_get(c, "meshconfig"),
                             .ns_object = json_is_null(ns) ? NULL : ns,
                             .uuid = "00000000-0000-4000-8000-000000000001",
                             .hook_key = "00112233445566778899aabbccddeeff"};

    return inj_pod(pod, &cfg, patch, reason, e);
}

/* The patch must fit the pod, and the result must be recognised and left alone. */
static void check_patch(const json_t *c, const json_t *pod, const json_t *ns, const json_t *patch)
{
    const char *reason;
    struct err e = {""};
    json_t *done = inj_apply_patch(json_deep_copy(pod), patch, &e), *again;

    ck_assert_msg(done != NULL, "%s", e.text);
    ck_assert_int_eq(inject(c, done, ns, &again, &reason, &e), INJ_SKIP);
    ck_assert_str_eq(reason, "the pod is injected already");
    json_decref(done);
}

static void print_verdict(const json_t *c, struct buf *out, const char **ending)
{
    const json_t *given = json_object_get(c, "namespace"), *pod = json_object_get(c, "pod");
    json_t *ns = given ? json_incref((json_t *)given) : default_namespace(), *patch, *twice;
    const char *reason;
    struct err e = {""};

    *ending = "txt";
    switch (inject(c, pod, ns, &patch, &reason, &e)) {
    case INJ_PATCH:
        *ending = "json";
        check_patch(c, pod, ns, patch);
        json_print_pretty(patch, 2, false, out);
        buf_putc(out, '\n');
        ck_assert_int_eq(inject(c, pod, ns, &twice, &reason, &e), INJ_PATCH);
        ck_assert(json_equal(patch, twice));
        json_decref(twice);
        break;
    case INJ_SKIP:
        buf_printf(out, "left alone: %s\n", reason);
        break;
    case INJ_REFUSED:
        buf_printf(out, "refused: %s\n", e.text);
        break;
    }
    json_decref(patch);
    json_decref(ns);
}

START_TEST(golden)
{
    const char *path = cases.gl_pathv[_i], *ending;
    struct buf got = BUF_INIT, want = BUF_INIT;
    struct err e = {""};
    json_t *c = read_case(path), *before = json_deep_copy(c);
    char file[512];

    print_verdict(c, &got, &ending);
    ck_assert_msg(json_equal(c, before), "%s: the input was changed", path);
    snprintf(file, sizeof(file), "%.*s%s", (int)strlen(path) - 4, path, ending);
    if (getenv("GOLDEN_UPDATE"))
        ck_assert_msg(file_write(file, got.p, got.len, 0644, &e) == 0, "%s", e.text);
    ck_assert_msg(file_read(file, 1 << 20, &want, &e) == 0, "%s\ngot:\n%s", e.text, got.p);
    ck_assert_msg(strcmp(got.p, want.p) == 0, "%s differs; got:\n%s", file, got.p);
    json_decref(c);
    json_decref(before);
    buf_free(&got);
    buf_free(&want);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("injector/golden");
    TCase *t = tcase_create("cases");
    SRunner *r;
    int failed;

    if (glob("test/golden/inject/*.yaml", 0, NULL, &cases) != 0 || cases.gl_pathc < 25) {
        fprintf(stderr, "test/golden/inject: expected cases; run from the top of the tree\n");
        return 1;
    }
    tcase_add_loop_test(t, golden, 0, (int)cases.gl_pathc);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    globfree(&cases);
    return failed ? 1 : 0;
}
