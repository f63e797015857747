/* store_test.c - order, change events, lookups by kind, and that 100,000 objects are quick. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/mem.h"
#include "common/kube/store.h"

struct seen {
    unsigned added, changed, deleted;
};

static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    struct seen *s = arg;
    s->added += !old && now;
    s->changed += old && now;
    s->deleted += old && !now;
}

static struct kube_object *config_map(const char *ns, const char *name, const char *value)
{
    json_t *body =
        json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                  "metadata", "name", name, "namespace", ns, "data", "k", value);
    struct kube_problems p = {NULL, 0};
    struct kube_object *o = kube_object_from_json(body, "", 0, NULL, &p);
    ck_assert_uint_eq(p.n, 0);
    return o;
}

START_TEST(puts_and_finds)
{
    struct kube_store *s = kube_store_new();
    struct seen seen = {0, 0, 0};
    kube_store_on_change(s, on_change, &seen);
    ck_assert_int_eq(kube_store_put(s, config_map("a", "x", "1")), 1);
    ck_assert_int_eq(kube_store_put(s, config_map("a", "x", "1")), 0);
    ck_assert_int_eq(kube_store_put(s, config_map("a", "x", "2")), 1);
    ck_assert_uint_eq(kube_store_generation(s), 2);
    const struct kube_object *o = kube_store_get(s, "ConfigMap", "a", "x");
    ck_assert_ptr_nonnull(o);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(o->body, "data"), "k")),
                     "2");
    ck_assert_ptr_null(kube_store_get(s, "ConfigMap", "a", "y"));
    ck_assert_ptr_null(kube_store_get(s, "Secret", "a", "x"));
    ck_assert_ptr_null(kube_store_get(s, "NoSuchKind", "a", "x"));
    ck_assert_int_eq(kube_store_del(s, "ConfigMap", "a", "x"), 1);
    ck_assert_int_eq(kube_store_del(s, "ConfigMap", "a", "x"), 0);
    ck_assert_uint_eq(seen.added, 1);
    ck_assert_uint_eq(seen.changed, 1);
    ck_assert_uint_eq(seen.deleted, 1);
    ck_assert_uint_eq(kube_store_count(s, "ConfigMap"), 0);
    kube_store_free(s);
}
END_TEST

static struct kube_object *pod(const char *ip, bool packed)
{
    json_t *body = json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s}},s:{s:[{s:s,s:s,s:[s]}]},s:{s:s}}",
                             "apiVersion", "v1", "kind", "Pod", "metadata", "name", "x",
                             "namespace", "a", "labels", "app", "x", "spec", "containers", "name",
                             "c", "image", "i", "command", "run", "status", "podIP", ip);
    struct kube_problems p = {NULL, 0};
    struct kube_object *o = kube_object_from_json(body, "", 0, NULL, &p);
    ck_assert_uint_eq(p.n, 0);
    if (packed)
        kube_object_pack(o);
    return o;
}

START_TEST(packed_objects_keep_what_is_used)
{
    struct kube_store *s = kube_store_new();
    ck_assert_int_eq(kube_store_put(s, pod("10.0.0.1", true)), 1);
    ck_assert_int_eq(kube_store_put(s, pod("10.0.0.1", true)), 0);
    const struct kube_object *o = kube_store_get(s, "Pod", "a", "x");
    ck_assert_ptr_null(o->body);
    json_t *ip = kube_object_at(o, "status.podIP"), *c = kube_object_at(o, "spec.containers");
    ck_assert_str_eq(json_string_value(ip), "10.0.0.1");
    ck_assert_ptr_nonnull(json_object_get(json_array_get(c, 0), "image"));
    ck_assert_ptr_null(json_object_get(json_array_get(c, 0), "command"));
    json_decref(ip);
    json_decref(c);
    ck_assert_ptr_null(kube_object_at(o, "status.none"));
    ck_assert_ptr_null(kube_object_at(NULL, ""));
    ck_assert_int_eq(kube_store_put(s, pod("10.0.0.2", true)), 1);
    ck_assert_int_eq(kube_store_put(s, pod("10.0.0.2", false)), 1); /* it says more */
    ck_assert_int_eq(kube_store_put(s, pod("10.0.0.2", false)), 0);
    kube_store_free(s);
    struct kube_object *map = config_map("a", "x", "1"); /* of which there are few */
    kube_object_pack(map);
    ck_assert_ptr_nonnull(map->body);
    kube_object_unref(map);
}
END_TEST

/* whoever borrowed the object may keep it while nothing changes */
START_TEST(an_equal_object_leaves_the_old_one_in_place)
{
    struct kube_store *s = kube_store_new();
    kube_store_put(s, config_map("a", "x", "1"));
    const struct kube_object *before = kube_store_get(s, "ConfigMap", "a", "x");
    struct kube_object *again = config_map("a", "x", "1");
    again->line = 7;
    ck_assert_int_eq(kube_store_put(s, again), 0);
    ck_assert_ptr_eq(kube_store_get(s, "ConfigMap", "a", "x"), before);
    ck_assert_uint_eq(before->line, 7);
    kube_store_put(s, kube_object_ref((struct kube_object *)before));
    ck_assert_uint_eq(before->refs, 1);
    kube_store_free(s);
}
END_TEST

START_TEST(walks_in_order)
{
    static const char *const names[][2] = {
        {"b", "1"}, {"a", "2"}, {"c", "0"}, {"a", "1"}, {"b", "0"}};
    struct kube_store *s = kube_store_new();
    char all[64] = "", one[64] = "";
    for (unsigned i = 0; i < 5; i++)
        kube_store_put(s, config_map(names[i][0], names[i][1], "v"));
    const struct kube_object *o;
    for (void *it = NULL; (o = kube_store_next(s, "ConfigMap", NULL, &it));)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s ", o->ns, o->name);
    for (void *it = NULL; (o = kube_store_next(s, "ConfigMap", "b", &it));)
        snprintf(one + strlen(one), sizeof one - strlen(one), "%s%s ", o->ns, o->name);
    ck_assert_str_eq(all, "a1 a2 b0 b1 c0 ");
    ck_assert_str_eq(one, "b0 b1 ");
    void *it = NULL;
    ck_assert_ptr_null(kube_store_next(s, "ConfigMap", "none", &it));
    kube_store_free(s);
}
END_TEST

/* A model: the same random puts and deletes on a plain array, compared after every step. */
START_TEST(agrees_with_a_model)
{
    enum { NAMES = 40, STEPS = 5000 };
    struct kube_store *s = kube_store_new();
    int model[NAMES] = {0};
    srand(7);
    for (int step = 0; step < STEPS; step++) {
        int i = rand() % NAMES, value = 1 + rand() % 3;
        char name[16], text[16];
        snprintf(name, sizeof name, "n%02d", i);
        snprintf(text, sizeof text, "%d", value);
        if (rand() % 3 == 0) {
            ck_assert_int_eq(kube_store_del(s, "ConfigMap", "m", name), model[i] != 0);
            model[i] = 0;
        } else {
            ck_assert_int_eq(kube_store_put(s, config_map("m", name, text)), model[i] != value);
            model[i] = value;
        }
        void *it = NULL;
        for (int k = 0; k < NAMES; k++) {
            if (!model[k])
                continue;
            const struct kube_object *o = kube_store_next(s, "ConfigMap", NULL, &it);
            ck_assert_ptr_nonnull(o);
            ck_assert_int_eq(strtol(o->name + 1, NULL, 10), k);
        }
        ck_assert_ptr_null(kube_store_next(s, "ConfigMap", NULL, &it));
    }
    kube_store_free(s);
}
END_TEST

START_TEST(is_quick_with_many)
{
    enum { N = 100000 };
    struct kube_object **v = xcalloc(N, sizeof *v);
    for (unsigned i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%06u", (i * 7919u) % N); /* a permutation: 7919 is prime */
        v[i] = config_map("big", name, "v");
    }
    struct kube_store *s = kube_store_new();
    clock_t start = clock(); /* of this process: others may have the machine */
    for (unsigned i = 0; i < N; i++)
        kube_store_put(s, v[i]);
    unsigned n = 0;
    for (void *it = NULL; kube_store_next(s, "ConfigMap", NULL, &it);)
        n++;
    for (unsigned i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "o%06u", i);
        ck_assert_ptr_nonnull(kube_store_get(s, "ConfigMap", "big", name));
    }
    unsigned long took = (unsigned long)(clock() - start) / (CLOCKS_PER_SEC / 1000);
    ck_assert_uint_eq(n, N);
    ck_assert_uint_eq(kube_store_count(s, "ConfigMap"), N);
    ck_assert_msg(took < 5000, "100,000 puts and gets took %lu ms", took);
    kube_store_free(s);
    free(v);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *t = tcase_create("store");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, puts_and_finds);
    tcase_add_test(t, packed_objects_keep_what_is_used);
    tcase_add_test(t, an_equal_object_leaves_the_old_one_in_place);
    tcase_add_test(t, walks_in_order);
    tcase_add_test(t, agrees_with_a_model);
    tcase_add_test(t, is_quick_with_many);
    suite_add_tcase(suite, t);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
