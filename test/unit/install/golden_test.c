/* objects: cli/cluster/values.c cli/cluster/value_keys.c */
/* objects: cli/cluster/render.c cli/cluster/manifests.c */
/* golden_test.c - values in, what they change in the manifests out.
 *
 * Every test/golden/install/NAME.args holds words as after `fsm install`, a line each: --set TEXT,
 * --set-string TEXT, -f FILE, --mesh-name NAME, --fsm-namespace NAME.  NAME.txt holds each object
 * that is then another than without them, with each value that changed, or the error.
 * FSM_GOLDEN_UPDATE=1 writes the expectations instead of comparing; read the difference.
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cluster/render.h"
#include "cli/cluster/values.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/object.h"

#define ROOT "test/golden/install/"

static glob_t cases;

struct args {
    json_t *values;
    char *mesh, *ns;
};

static int read_line(struct slice line, struct args *a, struct err *e)
{
    struct slice word = slice_cut(&line, ' ');
    char *rest = line.p ? xstrndup(line.p, line.n) : xstrdup("");
    int rc = 0;

    if (slice_eq_str(word, "--set") || slice_eq_str(word, "--set-string")) {
        rc = values_set(a->values, rest, slice_eq_str(word, "--set-string"), e);
    } else if (slice_eq_str(word, "-f")) {
        char *path = xasprintf(ROOT "%s", rest);
        rc = values_file(a->values, path, e);
        free(path);
    } else if (slice_eq_str(word, "--mesh-name")) {
        a->mesh = xstrdup(rest);
    } else if (slice_eq_str(word, "--fsm-namespace")) {
        a->ns = xstrdup(rest);
    } else if (word.n && word.p[0] != '#') {
        ck_abort_msg("no such word: %.*s", SLICE_FMT(word));
    }
    free(rest);
    return rc;
}

static void print_leaf(const char *path, const json_t *from, const json_t *to, struct buf *out)
{
    buf_printf(out, "  %s: ", path);
    if (from)
        json_print(from, out);
    buf_puts(out, from ? " -> " : "");
    if (to)
        json_print(to, out);
    buf_puts(out, to ? "\n" : "nothing\n");
}

/* a line for each value that is another, wherever it stands */
static void print_diff(const char *path, const json_t *from, const json_t *to, struct buf *out)
{
    bool objects = json_is_object(from) && json_is_object(to);
    const char *key;
    json_t *v, *both = json_object();

    if (objects) {
        json_object_update(both, (json_t *)(uintptr_t)from);
        json_object_update(both, (json_t *)(uintptr_t)to);
    }
    json_object_foreach (both, key, v) {
        char *deeper = xasprintf("%s%s%s", path, *path ? "." : "", key);
        print_diff(deeper, json_object_get(from, key), json_object_get(to, key), out);
        free(deeper);
    }
    size_t n = json_is_array(from) && json_is_array(to) ? json_array_size(from) : 0;
    if (json_array_size(to) > n && n)
        n = json_array_size(to);
    for (size_t i = 0; i < n; i++) {
        char *deeper = xasprintf("%s[%zu]", path, i);
        print_diff(deeper, json_array_get(from, i), json_array_get(to, i), out);
        free(deeper);
    }
    if (!objects && !n && (!from || !to || !json_equal(from, to)))
        print_leaf(path, from, to, out);
    json_decref(both);
}

static void print_change(const json_t *from, const json_t *to, struct buf *out)
{
    if (json_equal(from, to))
        return;
    buf_printf(out, "%s %s\n", json_str(from, "kind", ""), json_str(from, "metadata.name", ""));
    print_diff("", from, to, out);
}

static void print_changes(const struct rendered *from, const struct rendered *to, struct buf *out)
{
    ck_assert_uint_eq(json_array_size(from->objects), json_array_size(to->objects));
    ck_assert(json_equal(from->definitions, to->definitions));
    for (size_t i = 0; i < json_array_size(from->objects); i++)
        print_change(json_array_get(from->objects, i), json_array_get(to->objects, i), out);
    print_change(from->config, to->config, out);
}

static void compare(const char *args_path, const struct buf *now)
{
    char *path = xasprintf("%.*s.txt", (int)(strlen(args_path) - strlen(".args")), args_path);
    struct buf want = BUF_INIT;
    struct err e = {""};

    if (getenv("FSM_GOLDEN_UPDATE")) {
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

START_TEST(golden)
{
    const char *path = cases.gl_pathv[_i];
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct args a = {.values = json_object()};
    struct rendered plain, now;
    struct err e = {""};
    json_t *none = json_object();
    int rc = 0;

    ck_assert_msg(file_read(path, 1 << 20, &text, &e) == 0, "%s", e.text);
    for (struct slice rest = buf_slice(&text); rest.p && rc == 0;)
        rc = read_line(slice_cut(&rest, '\n'), &a, &e);
    ck_assert_msg(render(none, NULL, NULL, &plain, &e) == 0 || rc, "%s", e.text);
    if (rc == 0 && (rc = render(a.values, a.mesh, a.ns, &now, &e)) == 0) {
        print_changes(&plain, &now, &out);
        rendered_free(&now);
    }
    if (rc)
        buf_printf(&out, "error: %s\n", e.text);
    if (!out.len)
        buf_puts(&out, "no change\n");
    compare(path, &out);
    rendered_free(&plain);
    json_decref(none);
    json_decref(a.values);
    free(a.mesh);
    free(a.ns);
    buf_free(&text);
    buf_free(&out);
}
END_TEST

/* what is stored is read again as it was */
START_TEST(values_come_back)
{
    struct err e = {""};
    json_t *values = json_object(), *again = json_object();
    struct buf yaml = BUF_INIT;

    ck_assert_msg(values_set(values,
                             "fsm.enableEgress=false,fsm.outboundPortExclusionList={1,2},"
                             "fsm.image.tag=1,fsm.injector.resource.limits.cpu=500m,"
                             "fsm.tracing.sampledFraction=0.5,fsm.networkInterfaceExclusionList={}",
                             false, &e) == 0,
                  "%s", e.text);
    json_t *nested = values_nested(values);
    kube_to_yaml(nested, &yaml);
    ck_assert_msg(values_read(again, buf_slice(&yaml), "stored", &e) == 0, "%s", e.text);
    ck_assert_msg(json_equal(values, again), "%s", yaml.p);
    json_decref(nested);
    json_decref(values);
    json_decref(again);
    buf_free(&yaml);
}
END_TEST

/* every row leads somewhere: a field that the MeshConfig's schema knows, or a word of ours */
START_TEST(keys_lead_somewhere)
{
    for (const struct value_key *k = value_keys; k->key; k++) {
        ck_assert_msg(value_key_find(k->key) == k, "%s stands twice", k->key);
        ck_assert_msg(*k->to || k->note, "%s does nothing and does not say why", k->key);
        if (strncmp(k->to, "mesh ", 5) == 0)
            ck_assert_ptr_nonnull(value_key_of_field(k->to + 5));
    }
    ck_assert_ptr_null(value_key_of_field("spec.traffic.enableEgressX"));
}
END_TEST

/* broken in every way that a hand can type */
START_TEST(set_refuses)
{
    static const char *const bad[] = {
        "",
        "fsm.enableEgress",
        "=x",
        "fsm.enableEgress=",
        "fsm.outboundPortExclusionList={1,2",
        "fsm.outboundPortExclusionList={1}2",
        "fsm.outboundPortExclusionList=1,2",
        "fsm.outboundPortExclusionList[1]=2",
        "fsm.outboundPortExclusionList[x]=2",
        "fsm.outboundPortExclusionList[99999]=2",
        "fsm.outboundPortExclusionList[0][0]=2",
        "fsm.enableEgress.deeper=1",
        "fsm.enableEgress[0]=true",
        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.1.2.3.4.5.6.7=1",
        "fsm..enableEgress=true"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct err e = {""};
        json_t *values = json_object();
        ck_assert_msg(values_set(values, bad[i], false, &e) == -1, "\"%s\" was taken", bad[i]);
        ck_assert_msg(e.text[0], "\"%s\": nothing is said", bad[i]);
        json_decref(values);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("install");
    TCase *tc = tcase_create("install");

    if (glob(ROOT "*.args", 0, NULL, &cases) != 0) {
        fprintf(stderr, "no cases in " ROOT "\n");
        return 1;
    }
    tcase_add_loop_test(tc, golden, 0, (int)cases.gl_pathc);
    tcase_add_test(tc, values_come_back);
    tcase_add_test(tc, keys_lead_somewhere);
    tcase_add_test(tc, set_refuses);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    globfree(&cases);
    return failed != 0;
}
