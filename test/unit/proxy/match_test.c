/* match_test.c - patterns: what becomes a comparison must match exactly what the expression would.
 */
#include <stdlib.h>
#include <string.h>
#include "common/proxy/match.h"
#include "test/unit/unit.h"

static struct arena *a;
static struct matcher m;

static bool fits(const char *pattern, const char *subject)
{
    struct err e;
    bool r;

    a = arena_new(1024);
    ck_assert_msg(matcher_init_regex(&m, a, pattern, &e) == 0, "%s: %s", pattern, e.text);
    r = matcher_test(&m, slice_str(subject));
    matcher_release(&m);
    arena_free(a);
    return r;
}

static enum match_kind kind_of(const char *pattern)
{
    enum match_kind k;
    struct err e;

    a = arena_new(1024);
    ck_assert_int_eq(matcher_init_regex(&m, a, pattern, &e), 0);
    k = (enum match_kind)m.kind;
    matcher_release(&m);
    arena_free(a);
    return k;
}

START_TEST(the_whole_subject_must_match)
{
    ck_assert(fits(".*", ""));
    ck_assert(fits(".*", "/any\nthing"));
    ck_assert(fits("/get", "/get"));
    ck_assert(!fits("/get", "/get/"));
    ck_assert(!fits("/get", "x/get"));
    ck_assert(fits("/status/[0-9]+", "/status/200"));
    ck_assert(!fits("/status/[0-9]+", "/status/200x"));
    ck_assert(!fits("a|ab", "abc"));
    ck_assert(fits("a|ab", "ab"));
    ck_assert(fits("/a.*", "/abc"));
    ck_assert(!fits("/a.*", "/b"));
    ck_assert(fits("/books\\.list", "/books.list"));
    ck_assert(!fits("/books\\.list", "/booksxlist"));
    ck_assert(fits("/books.list", "/booksxlist"));
    ck_assert(fits("", ""));
    ck_assert(!fits("", "x"));
}
END_TEST

START_TEST(plain_patterns_need_no_expression)
{
    ck_assert_int_eq(kind_of(".*"), MATCH_ANY);
    ck_assert_int_eq(kind_of("/headers"), MATCH_EXACT);
    ck_assert_int_eq(kind_of("/v1\\.0/x"), MATCH_EXACT);
    ck_assert_int_eq(kind_of("/api/.*"), MATCH_PREFIX);
    ck_assert_int_eq(kind_of("/a[b]"), MATCH_REGEX);
    ck_assert_int_eq(kind_of("/a\\d"), MATCH_REGEX);
    ck_assert_int_eq(kind_of("/a.*b"), MATCH_REGEX);
    ck_assert_int_eq(kind_of("/a\\"
                             "\\.*"),
                     MATCH_PREFIX);
}
END_TEST

START_TEST(a_bad_pattern_is_refused_with_its_place)
{
    struct err e;
    char *lots = calloc(1, MATCH_PATTERN_MAX + 2);

    a = arena_new(1024);
    ck_assert_int_eq(matcher_init_regex(&m, a, "/a(b", &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "offset"));
    memset(lots, 'a', MATCH_PATTERN_MAX + 1);
    ck_assert_int_eq(matcher_init_regex(&m, a, lots, &e), -1);
    free(lots);
    arena_free(a);
}
END_TEST

START_TEST(a_runaway_expression_gives_up_and_does_not_match)
{
    uint64_t before = matcher_limits_hit();
    char subject[64];

    memset(subject, 'a', sizeof subject - 1);
    subject[sizeof subject - 2] = 'b';
    subject[sizeof subject - 1] = '\0';
    ck_assert(!fits("(a+)+c|(a*)*d", subject));
    ck_assert_uint_gt(matcher_limits_hit(), before);
}
END_TEST

UNIT_MAIN("match", the_whole_subject_must_match, plain_patterns_need_no_expression,
          a_bad_pattern_is_refused_with_its_place, a_runaway_expression_gives_up_and_does_not_match)
