/* parts_test.c - fragments, their sums, and the log of changes with its bounds. */
#include "common/policy/parts.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include "common/base/json.h"
#include "common/policy/document.h"

static json_t *object(int n)
{
    return json_pack("{s:i}", "n", n);
}

static bool put(struct parts *p, const char *key, int n)
{
    json_t *v = object(n);
    bool changed = parts_set(p, 80, key, v, true);

    json_decref(v);
    return changed;
}

struct seen {
    unsigned n;
    char text[512];
};

static void see(const struct parts *set, const struct part *old, const struct part *now, void *arg)
{
    struct seen *s = arg;
    size_t at = strlen(s->text);

    s->n++;
    snprintf(s->text + at, sizeof(s->text) - at, "%s:%s>%s;", (now ? now : old)->key,
             old ? old->text : "-", now ? now->text : "-");
}

START_TEST(sums_follow_the_fragments)
{
    struct parts_book *b = parts_book_new(16, 1 << 20);
    struct parts *p = parts_new(b, PART_MATCH, NULL);

    ck_assert(put(p, "1.1.1.1/32", 1));
    ck_assert(!put(p, "1.1.1.1/32", 1)); /* equal */
    uint64_t one = parts_hash(p), weight = parts_identity(p);
    ck_assert(put(p, "2.2.2.2/32", 1));
    ck_assert_uint_ne(parts_hash(p), one);
    ck_assert(parts_del(p, 80, "2.2.2.2/32"));
    ck_assert(!parts_del(p, 80, "2.2.2.2/32"));
    ck_assert_uint_eq(parts_hash(p), one);
    ck_assert_uint_eq(parts_identity(p), weight);
    ck_assert_uint_eq(parts_count(p), 1);
    ck_assert_uint_eq(parts_bytes(p), strlen("{\"n\":1}"));
    json_t *v = object(1);
    const char *const path[] = {"Outbound", "TrafficMatches", "80", "1.1.1.1/32", NULL};
    ck_assert_uint_eq(one, document_fragment_hash(path, v));
    json_decref(v);
    size_t it = 0;
    const struct part *part = parts_next(p, &it);
    ck_assert_str_eq(part->key, "1.1.1.1/32");
    ck_assert_uint_eq(part->port, 80);
    ck_assert_ptr_null(parts_next(p, &it));
    parts_free(p);
    parts_book_free(b);
}
END_TEST

START_TEST(changes_are_told_once_with_their_first_value)
{
    struct parts_book *b = parts_book_new(16, 1 << 20);
    struct parts *p = parts_new(b, PART_CLUSTER, NULL);
    struct seen s = {0};

    put(p, "a", 1);
    put(p, "b", 1);
    uint64_t since = parts_generation(b);
    ck_assert_int_eq(parts_changes(b, since, see, &s), 0);
    parts_next_generation(b);
    put(p, "a", 2);
    parts_next_generation(b);
    put(p, "a", 3);
    parts_del(p, 0, "b");
    put(p, "c", 1);
    ck_assert_int_eq(parts_changes(b, since, see, &s), 3);
    ck_assert_str_eq(s.text, "a:{\"n\":1}>{\"n\":3};b:{\"n\":1}>-;c:->{\"n\":1};");
    memset(&s, 0, sizeof(s));
    ck_assert_int_eq(parts_changes(b, since + 1, see, &s), 3);
    ck_assert_str_eq(s.text, "a:{\"n\":2}>{\"n\":3};b:{\"n\":1}>-;c:->{\"n\":1};");
    parts_free(p);
    parts_book_free(b);
}
END_TEST

START_TEST(the_log_is_bounded_by_entries)
{
    struct parts_book *b = parts_book_new(4, 1 << 20);
    struct parts *p = parts_new(b, PART_CLUSTER, NULL);
    struct seen s = {0};
    uint64_t first = parts_generation(b), third = 0;

    for (int i = 0; i < 6; i++) {
        parts_next_generation(b);
        put(p, "a", i);
        if (i == 2)
            third = parts_generation(b);
    }
    ck_assert_int_eq(parts_changes(b, first, see, &s), -1);
    ck_assert_int_eq(parts_changes(b, third, see, &s), 1);
    ck_assert_str_eq(s.text, "a:{\"n\":2}>{\"n\":5};");
    parts_free(p);
    parts_book_free(b);
}
END_TEST

START_TEST(the_log_is_bounded_by_bytes)
{
    struct parts_book *b = parts_book_new(1000, 20); /* "{"n":N}" is 7 */
    struct parts *p = parts_new(b, PART_CLUSTER, NULL);
    struct seen s = {0};
    uint64_t gens[6];

    put(p, "a", 0);
    for (int i = 1; i < 6; i++) {
        gens[i] = parts_next_generation(b);
        put(p, "a", i);
    }
    ck_assert_int_eq(parts_changes(b, gens[2], see, &s), -1);
    ck_assert_int_eq(parts_changes(b, gens[3], see, &s), 1);
    parts_free(p);
    parts_book_free(b);
}
END_TEST

START_TEST(quiet_and_freed_sets_leave_no_trace)
{
    struct parts_book *b = parts_book_new(16, 1 << 20);
    struct parts *p = parts_new(b, PART_CLUSTER, NULL), *q = parts_new(b, PART_ALLOWED, NULL);
    struct seen s = {0};
    uint64_t since = parts_generation(b);

    parts_next_generation(b);
    parts_set_quiet(p, true);
    put(p, "a", 1);
    put(p, "a", 2);
    parts_set_quiet(p, false);
    put(q, "1.1.1.1", 1);
    parts_free(q);
    ck_assert_int_eq(parts_changes(b, since, see, &s), 0);
    put(p, "a", 3);
    ck_assert_int_eq(parts_changes(b, since, see, &s), 1);
    ck_assert_str_eq(s.text, "a:{\"n\":2}>{\"n\":3};");
    parts_free(p);
    parts_book_free(b);
}
END_TEST

START_TEST(two_sets_may_use_one_name)
{
    struct parts_book *b = parts_book_new(16, 1 << 20);
    struct parts *p = parts_new(b, PART_MATCH, "p"), *q = parts_new(b, PART_MATCH, "q");
    struct seen s = {0};
    uint64_t since = parts_generation(b);

    parts_next_generation(b);
    put(p, "a", 1);
    put(q, "a", 2);
    ck_assert_int_eq(parts_changes(b, since, see, &s), 2);
    ck_assert_str_eq(s.text, "a:->{\"n\":1};a:->{\"n\":2};");
    ck_assert_str_eq(parts_owner(p), "p");
    ck_assert_int_eq(parts_place(q), PART_MATCH);
    parts_free(p);
    parts_free(q);
    parts_book_free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("parts");
    TCase *tc = tcase_create("parts");

    tcase_add_test(tc, sums_follow_the_fragments);
    tcase_add_test(tc, changes_are_told_once_with_their_first_value);
    tcase_add_test(tc, the_log_is_bounded_by_entries);
    tcase_add_test(tc, the_log_is_bounded_by_bytes);
    tcase_add_test(tc, quiet_and_freed_sets_leave_no_trace);
    tcase_add_test(tc, two_sets_may_use_one_name);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
