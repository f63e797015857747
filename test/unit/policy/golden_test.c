/* golden_test.c - resources in, document out.
 *
 * Every directory test/golden/policy/NAME holds input/ (YAML files), proxy ("ns/pod" whose document
 * is wanted) and expected.json: the document as people see it, without its time.  A fragment*.json
 * is an excerpt of the specification, as printed there: it must be found in the document, with
 * whole matches ({"Outbound": {"TrafficMatches": {PORT: [...]}}}) or settings ({"Spec": ...}).
 * notes, if there, holds what the compiler has to say, one per line.
 * Every case is compiled twice: from what the files hold, and from what an API server's list of the
 * same objects leaves of them; nobody may tell the difference.
 * FSM_GOLDEN_UPDATE=1 writes expected.json and notes instead of comparing; read the difference.
 */
#include <check.h>
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/mask.h"
#include "common/kube/replica.h"
#include "common/policy/policy.h"

#define ROOT "test/golden/policy"

static char *cases[512];
static int n_cases;

static void load_file(struct kube_store *st, const char *path)
{
    struct kube_problems problems = {0};
    struct kube_object **v = NULL;
    struct buf text = BUF_INIT;
    struct err e = {""};

    ck_assert_msg(file_read(path, 1 << 22, &text, &e) == 0, "%s", e.text);
    unsigned n = kube_load(buf_slice(&text), path, NULL, &v, &problems);
    for (unsigned i = 0; i < problems.n; i++) {
        char *words = kube_problem_text(&problems.v[i]);
        fprintf(stderr, "%s\n", words);
        free(words);
    }
    ck_assert_msg(problems.n == 0, "%s has problems", path);
    for (unsigned i = 0; i < n; i++)
        kube_store_put(st, kube_object_ref(v[i]));
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    buf_free(&text);
}

static void load_input(struct kube_store *st, const char *dir)
{
    char *pattern = xasprintf("%s/input/*.yaml", dir);
    glob_t g;

    ck_assert_msg(glob(pattern, 0, NULL, &g) == 0, "%s: no input", dir);
    for (size_t i = 0; i < g.gl_pathc; i++)
        load_file(st, g.gl_pathv[i]);
    globfree(&g);
    free(pattern);
}

/* "" if it is not there */
static struct buf read_text(const char *dir, const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct buf out = BUF_INIT;
    struct err e;

    file_read(path, 1 << 22, &out, &e);
    free(path);
    if (!out.p)
        buf_puts(&out, "");
    return out;
}

static void write_text(const char *dir, const char *name, const struct buf *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct err e = {""};

    ck_assert_msg(file_write(path, text->p, text->len, 0644, &e) == 0, "%s", e.text);
    free(path);
}

static json_t *compile(struct policy *p, const char *dir)
{
    struct buf proxy = read_text(dir, "proxy"), text = BUF_INIT;
    char version[DOCUMENT_VERSION_MAX], hashed[DOCUMENT_VERSION_MAX];
    struct err e = {""};

    proxy.p[strcspn(proxy.p, "\n")] = '\0';
    char *slash = strchr(proxy.p, '/');
    ck_assert_msg(slash != NULL, "%s/proxy: expected \"ns/pod\"", dir);
    *slash = '\0';
    struct policy_proxy *px = policy_proxy_open(p, proxy.p, slash + 1);
    ck_assert_msg(px != NULL, "%s: no pod %s/%s in the mesh", dir, proxy.p, slash + 1);
    policy_proxy_document(px, "2026-01-02T03:04:05.678Z", &text);
    policy_proxy_version(px, version);
    policy_proxy_close(px);
    json_t *wire = json_parse(buf_slice(&text), 1 << 24, &e);
    ck_assert_msg(wire != NULL, "%s: %s in %s", dir, e.text, text.p);
    ck_assert_str_eq(json_str(wire, "Version", ""), version);
    ck_assert_str_eq(document_version(wire, hashed), version);
    json_t *stripped = document_strip_nulls(wire), *shown = document_present(wire);
    ck_assert_msg(json_equal(stripped, wire), "%s: the wire form has nulls", dir);
    json_object_del(shown, "Ts");
    json_decref(stripped);
    json_decref(wire);
    buf_free(&proxy);
    buf_free(&text);
    return shown;
}

static bool updating(void)
{
    return getenv("FSM_GOLDEN_UPDATE") != NULL;
}

static void compare(const char *dir, const char *name, const struct buf *now)
{
    struct buf want = read_text(dir, name);

    if (updating() && (now->len > 0 || want.len > 0))
        write_text(dir, name, now);
    else
        ck_assert_msg(strcmp(now->p ? now->p : "", want.p) == 0,
                      "%s/%s differs; FSM_GOLDEN_UPDATE=1 rewrites it. Now:\n%s", dir, name,
                      now->p ? now->p : "");
    buf_free(&want);
}

/* `part` must be in `whole`: the outer `depth` levels may hold more, what is below may not */
static void contains(const char *path, const json_t *whole, const json_t *part, unsigned depth)
{
    const char *key;
    json_t *want;

    if (depth == 0 || !json_is_object(part)) {
        ck_assert_msg(json_equal(whole, part), "%s: not as printed in the specification", path);
        return;
    }
    json_object_foreach ((json_t *)part, key, want) {
        const json_t *is = json_object_get(whole, key);
        ck_assert_msg(is != NULL, "%s: no \"%s\"", path, key);
        contains(path, is, want, depth - 1);
    }
}

static void check_fragments(const char *dir, const json_t *shown)
{
    char *pattern = xasprintf("%s/fragment*.json", dir);
    struct err e = {""};
    glob_t g;

    if (glob(pattern, 0, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++) {
            struct buf text = BUF_INIT;
            ck_assert_msg(file_read(g.gl_pathv[i], 1 << 20, &text, &e) == 0, "%s", e.text);
            json_t *part = json_parse(buf_slice(&text), 1 << 20, &e);
            ck_assert_msg(part != NULL, "%s: %s", g.gl_pathv[i], e.text);
            contains(g.gl_pathv[i], shown, part, 3); /* section, TrafficMatches, port */
            json_decref(part);
            buf_free(&text);
        }
        globfree(&g);
    }
    free(pattern);
}

static void add_note(const char *object, const char *text, void *arg)
{
    buf_printf(arg, "%s: %s\n", object, text);
}

static void check_case(const char *dir, struct kube_store *st)
{
    struct policy_opts opts = {"fsm", "fsm-system", "cluster.local"};
    struct buf now = BUF_INIT, notes = BUF_INIT;
    struct policy *p = policy_new(st, &opts);
    json_t *shown = compile(p, dir);

    json_print_pretty(shown, 1, false, &now);
    buf_putc(&now, '\n');
    compare(dir, "expected.json", &now);
    policy_notes(p, add_note, &notes);
    compare(dir, "notes", &notes);
    check_fragments(dir, shown);
    json_decref(shown);
    policy_free(p);
    buf_free(&now);
    buf_free(&notes);
}

static int put_item(struct slice text, const char *why, void *arg, struct err *e)
{
    json_t *object = json_parse(text, SIZE_MAX, e);

    ck_assert_msg(object != NULL, "%s", e->text);
    json_object_del(json_object_get(object, "metadata"), "resourceVersion");
    return replica_put(arg, object, e);
}

/* all objects of a kind, as one list */
static void serve(const struct kube_store *from, struct kube_store *to,
                  const struct kube_kind *kind)
{
    struct replica *r = replica_new(to, kind, NULL);
    struct json_cut *cut =
        json_cut_new(JSON_CUT_ITEMS, kube_mask_of_list(kind), 1 << 20, put_item, r);
    struct kube_problems problems = {0};
    struct buf list = BUF_INIT;
    const struct kube_object *o;
    struct err e = {""};
    void *it = NULL;

    buf_puts(&list, "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[");
    while ((o = kube_store_next(from, kind->key, NULL, &it)) != NULL) {
        buf_puts(&list, list.p[list.len - 1] == '[' ? "" : ",");
        json_print(o->body, &list);
    }
    buf_puts(&list, "]}");
    ck_assert_msg(json_cut_feed(cut, buf_slice(&list), &e) == 0, "%s", e.text);
    ck_assert_msg(json_cut_end(cut, &e) == 0, "%s", e.text);
    replica_problems(r, &problems);
    ck_assert_uint_eq(problems.n, 0);
    json_cut_free(cut);
    replica_free(r);
    buf_free(&list);
}

START_TEST(golden)
{
    char *dir = xasprintf("%s/%s", ROOT, cases[_i]);
    struct kube_store *files = kube_store_new(), *server = kube_store_new();

    load_input(files, dir);
    check_case(dir, files);
    for (unsigned i = 0; i < kube_kinds_count(); i++)
        serve(files, server, kube_kind_at(i));
    check_case(dir, server);
    kube_store_free(files);
    kube_store_free(server);
    free(dir);
}
END_TEST

static int is_case(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

int main(void)
{
    struct dirent **found = NULL;
    Suite *s = suite_create("policy golden");
    TCase *tc = tcase_create("golden");
    int n = scandir(ROOT, &found, is_case, alphasort);

    for (int i = 0; i < n; i++) {
        if (n_cases < (int)(sizeof(cases) / sizeof(*cases)))
            cases[n_cases++] = xstrdup(found[i]->d_name);
        free(found[i]);
    }
    free(found);
    if (n_cases == 0) {
        fprintf(stderr, "no cases in %s: run it from the top of the tree\n", ROOT);
        return 1;
    }
    tcase_add_loop_test(tc, golden, 0, n_cases);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    for (int i = 0; i < n_cases; i++)
        free(cases[i]);
    return failed ? 1 : 0;
}
