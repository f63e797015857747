/* pages_test.c - versions of a compressed map against a plain table, and what differs between
 * them. */
#include "common/base/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/table.h"
#include "test/unit/unit.h"

/* out takes 64 bytes */
static char *name_of(unsigned i, char *out)
{
    snprintf(out, 64, "10.%u.%u.%u:80", i % 7, i / 7 % 250, i % 11);
    return out;
}

static void check_same(const struct pages *p, const struct table *t, unsigned names)
{
    char name[64];

    ck_assert_uint_eq(pages_count(p), table_count(t));
    for (unsigned i = 0; i < names; i++) {
        struct buf b = BUF_INIT;
        const char *want = table_get_str(t, name_of(i, name));
        ck_assert_int_eq(pages_get(p, slice_str(name), &b), want != NULL);
        if (want)
            ck_assert_str_eq(b.p, want);
        buf_free(&b);
    }
}

/* texts from nothing to three pages long, in any order */
START_TEST(a_map_of_many_changes)
{
    struct pages *p = pages_new();
    struct table *t = table_new(free);
    uint64_t seed = 3;
    char name[64];

    pages_seal(p);
    for (unsigned round = 0; round < 3000; round++) {
        name_of((unsigned)(unit_random(&seed) % 200), name);
        if (unit_random(&seed) % 3 == 0) {
            pages_put(p, slice_str(name), slice_of(NULL, 0));
            table_del(t, slice_str(name));
        } else {
            size_t n = round % 100 == 0 ? 25000 : unit_random(&seed) % 900;
            char *text = xmalloc(n + 1);
            for (size_t i = 0; i < n; i++)
                text[i] = (char)('a' + unit_random(&seed) % (round % 2 ? 26 : 2));
            text[n] = '\0';
            pages_put(p, slice_str(name), slice_str(text));
            table_put_str(t, name, text);
        }
        if (round % 300 == 0)
            check_same(p, t, 200);
    }
    check_same(p, t, 200);
    pages_free(p);
    table_free(t);
}
END_TEST

struct seen {
    char last[64];
    unsigned gone, come, changed;
};

static int on_diff(const struct pages_entry *old, const struct pages_entry *now, void *arg)
{
    struct seen *s = arg;
    struct slice name = now->text.p ? now->name : old->name;
    char text[64];

    snprintf(text, sizeof text, "%.*s", SLICE_FMT(name));
    ck_assert_str_lt(s->last, text);
    memcpy(s->last, text, sizeof text);
    s->gone += !now->text.p;
    s->come += !old->text.p;
    s->changed += now->text.p && old->text.p;
    return 0;
}

static struct seen diff_of(const struct pages *a, const struct pages *b)
{
    struct seen s = {""};

    ck_assert_int_eq(pages_diff(a, b, on_diff, &s), 0);
    return s;
}

START_TEST(what_differs_between_versions)
{
    struct pages *a = pages_new(), *b;
    char name[64];

    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "n%05u", i);
        pages_append(a, slice_str(name), slice_str("some text of this entry"));
    }
    pages_seal(a);
    ck_assert_uint_lt(pages_bytes(a), 5000 * 12);
    b = pages_copy(a);
    struct seen s = diff_of(a, b);
    ck_assert_uint_eq(s.gone + s.come + s.changed, 0);
    pages_put(b, SLICE_LIT("n00017"), slice_of(NULL, 0));
    pages_put(b, SLICE_LIT("n02000x"), SLICE_LIT("new"));
    pages_put(b, SLICE_LIT("n04999"), SLICE_LIT("other"));
    pages_put(b, SLICE_LIT("zzz"), SLICE_LIT(""));
    pages_put(b, SLICE_LIT("nobody"), slice_of(NULL, 0));
    s = diff_of(a, b);
    ck_assert_uint_eq(s.gone, 1);
    ck_assert_uint_eq(s.come, 2);
    ck_assert_uint_eq(s.changed, 1);
    s = diff_of(b, a);
    ck_assert_uint_eq(s.gone, 2);
    ck_assert_uint_eq(s.come, 1);
    s = diff_of(NULL, b);
    ck_assert_uint_eq(s.come, 5001);
    pages_free(a); /* b does not need it */
    struct buf out = BUF_INIT;
    ck_assert(pages_get(b, SLICE_LIT("n02000x"), &out));
    ck_assert_str_eq(out.p, "new");
    ck_assert(!pages_get(b, SLICE_LIT("n00017"), &out));
    buf_free(&out);
    pages_free(b);
}
END_TEST

/* all of it goes, and comes again */
START_TEST(an_empty_map)
{
    struct pages *p = pages_new(), *none = pages_new();
    struct buf out = BUF_INIT;

    pages_seal(none);
    ck_assert(!pages_get(p, SLICE_LIT("a"), &out));
    pages_put(p, SLICE_LIT("a"), slice_of(NULL, 0));
    pages_put(p, SLICE_LIT("a"), SLICE_LIT("1"));
    pages_put(p, SLICE_LIT("a"), slice_of(NULL, 0));
    ck_assert_uint_eq(pages_count(p), 0);
    struct seen s = diff_of(p, none);
    ck_assert_uint_eq(s.gone + s.come + s.changed, 0);
    pages_free(p);
    pages_free(none);
    pages_free(NULL);
    buf_free(&out);
}
END_TEST

UNIT_MAIN("pages", a_map_of_many_changes, what_differs_between_versions, an_empty_map)
