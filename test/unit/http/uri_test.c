/* authorities, absolute URIs, canonical paths, query parameters */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/http/uri.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

START_TEST(authorities)
{
    static const struct {
        const char *text, *host;
        int port; /* -2: refused */
    } rows[] = {{"a", "a", -1},
                {"a:80", "a", 80},
                {"a:", "a", -1},
                {"[::1]", "[::1]", -1},
                {"[::1]:8", "[::1]", 8},
                {"1.2.3.4:5", "1.2.3.4", 5},
                {"a:00080", "a", 80},
                {"a:65535", "a", 65535},
                {"", "", -2},
                {":80", "", -2},
                {"a:0", "", -2},
                {"a:65536", "", -2},
                {"a:99999999999", "", -2},
                {"a:8a", "", -2},
                {"a:80:", "", -2},
                {"a b", "", -2},
                {"u@a", "", -2},
                {"a%20", "", -2},
                {"[::1", "", -2},
                {"[]", "", -2},
                {"[1]", "", -2},
                {"[::1]a", "", -2},
                {"[::g]", "", -2},
                {"::1", "", -2},
                {"a/b", "", -2},
                {"a,b", "", -2},
                {"-_.~", "-_.~", -1}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice host;
        int port, r = uri_authority(slice_str(rows[i].text), &host, &port);

        ck_assert_msg((r < 0) == (rows[i].port == -2), "%s", rows[i].text);
        if (r == 0) {
            ck_assert(slice_eq_str(host, rows[i].host));
            ck_assert_int_eq(port, rows[i].port);
        }
        ck_assert_int_eq(uri_authority(slice_str(rows[i].text), NULL, NULL), r);
    }
}
END_TEST

START_TEST(authorities_that_are_the_same)
{
    static const struct {
        const char *a, *b;
        int port;
        bool same;
    } rows[] = {{"a", "A", 80, true},         {"a", "a:80", 80, true},   {"a:", "a:80", 80, true},
                {"a:080", "a:80", 1, true},   {"a", "a:80", 443, false}, {"a", "b", 80, false},
                {"[::A]", "[::a]", 80, true}, {"", "", 80, true},        {"a", "", 80, false},
                {"u@a", "a", 80, false}};

    for (size_t i = 0; i < COUNT(rows); i++)
        ck_assert_msg(uri_same_authority(slice_str(rows[i].a), slice_str(rows[i].b),
                                         rows[i].port) == rows[i].same,
                      "%s %s", rows[i].a, rows[i].b);
}
END_TEST

START_TEST(absolute_uris)
{
    static const struct {
        const char *text;
        int r;
        const char *authority, *path, *query; /* query NULL: there is none */
        bool bare;
    } rows[] = {{"http://a", 0, "a", "/", NULL, true},
                {"http://a/", 0, "a", "/", NULL, false},
                {"HTTPS://a:1/b?c", 0, "a:1", "/b", "c", false},
                {"http://a//", 0, "a", "//", NULL, false},
                {"http://a?x", 0, "a", "/", "x", false},
                {"http://a?", 0, "a", "/", "", false},
                {"http://a?x?/y", 0, "a", "/", "x?/y", false},
                {"http:/a", -1, NULL, NULL, NULL, false},
                {"/a", -1, NULL, NULL, NULL, false},
                {"", -1, NULL, NULL, NULL, false},
                {"://a", -1, NULL, NULL, NULL, false},
                {"1http://a", -1, NULL, NULL, NULL, false},
                {"ht_tp://a", -1, NULL, NULL, NULL, false},
                {"ftp://a", -2, NULL, NULL, NULL, false},
                {"h+p.x-://a", -1, NULL, NULL, NULL, false},
                {"http://", -3, NULL, NULL, NULL, false},
                {"http:///x", -3, NULL, NULL, NULL, false},
                {"http://u@a", -3, NULL, NULL, NULL, false},
                {"http://a?#", -4, NULL, NULL, NULL, false},
                {"http://a/#x", -4, NULL, NULL, NULL, false},
                {"http://a/ x", -4, NULL, NULL, NULL, false}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct uri u;

        ck_assert_msg(uri_absolute(slice_str(rows[i].text), &u) == rows[i].r, "%s", rows[i].text);
        if (rows[i].r == 0) {
            ck_assert(slice_eq_str(u.authority, rows[i].authority));
            ck_assert(slice_eq_str(u.path, rows[i].path));
            ck_assert(slice_eq_str(u.query, rows[i].query));
            ck_assert_int_eq(u.query.p != NULL, rows[i].query != NULL);
            ck_assert_int_eq(u.bare, rows[i].bare);
        }
    }
}
END_TEST

/* ---- canonical paths ------------------------------------------------------------------------- */

struct path_row {
    const char *in;
    unsigned flags;
    const char *want; /* or an error's name */
};

static const char *error_name(int r)
{
    static const char *const names[] = {"",      "percent", "nul",  "root", "slash",
                                        "space", "char",    "utf8", "dots"};

    return names[-r];
}

static const struct path_row paths[] = {
    {"/", 0, "/"},
    {"*", 0, "*"},
    {"/a/b", 0, "/a/b"},
    {"/a/b/", 0, "/a/b/"},
    {"/%41%7e%2D%2e%5F", 0, "/A~-._"},
    {"/%c3%a4", 0, "/%C3%A4"},
    {"/a%2fb%2Fc", 0, "/a%2Fb%2Fc"},
    {"/a%25b", 0, "/a%25b"},
    {"/%2541", 0, "/%2541"}, /* decoded once, not twice */
    {"/a;b=c", 0, "/a;b=c"},
    {"/.", 0, "/"},
    {"/./", 0, "/"},
    {"/a/.", 0, "/a/"},
    {"/a/./b", 0, "/a/b"},
    {"/a/..", 0, "/"},
    {"/a/../", 0, "/"},
    {"/a/../b", 0, "/b"},
    {"/a/b/../../c", 0, "/c"},
    {"/a/%2e%2E/b", 0, "/b"},
    {"/a/.%2e/b", 0, "/b"},
    {"/a/%2e/b", 0, "/a/b"},
    {"/a/...", 0, "/a/..."},
    {"/.a/..b/c..", 0, "/.a/..b/c.."},
    {"/a/..;/b", 0, "dots"}, /* "/b" to a server that takes ";" for a parameter's beginning */
    {"/a/..;x", 0, "dots"},
    {"/.;/b", 0, "dots"},
    {"/a/%2e%2E;/b", 0, "dots"},
    {"/a/..%3b/b", 0, "dots"}, /* the same to one behind a server that decodes it */
    {"/a/..%3B/b", 0, "dots"},
    {"/a/.%3b", 0, "dots"},
    {"/a/%2e%2e%3bx=y/b", 0, "dots"},
    {"/a/...%3b/b", 0, "/a/...%3B/b"},
    {"/a/.b%3b/b", 0, "/a/.b%3B/b"},
    {"/a/..%3a/b", 0, "/a/..%3A/b"},
    {"/a/..%253b/b", 0, "/a/..%253b/b"}, /* decoded once, it is a file of that name */
    {"/a/...;/b", 0, "/a/...;/b"},
    {"/a/.b;/c;d", 0, "/a/.b;/c;d"},
    {"/%c0%ae%c0%ae/a", 0, "utf8"},
    {"/a%C0%AFb", 0, "utf8"},
    {"/a%c1%9cb", 0, "utf8"},
    {"/a%e0%80%afb", 0, "utf8"},
    {"/a%f0%80%80%afb", 0, "utf8"},
    {"/%e0%a0%80", 0, "/%E0%A0%80"},
    {"/%f0%90%80%80", 0, "/%F0%90%80%80"},
    {"/%c0", 0, "/%C0"},
    {"/%c0x%80", 0, "/%C0x%80"},
    {"//", 0, "//"},
    {"//a//b", 0, "//a//b"},
    {"//a//b//", URI_MERGE_SLASHES, "/a/b/"},
    {"///", URI_MERGE_SLASHES, "/"},
    {"/a//../b", 0, "/a/b"},
    {"/a//../b", URI_MERGE_SLASHES, "/b"},
    {"/a/%2f/b", URI_MERGE_SLASHES, "/a/%2F/b"},
    {"/a/.//b", URI_MERGE_SLASHES, "/a/b"},
    {"/a%2Fb", URI_REFUSE_SLASH, "slash"},
    {"/a%5cb", URI_REFUSE_SLASH, "slash"},
    {"/a%5cb", 0, "/a%5Cb"},
    {"/..", 0, "root"},
    {"/../a", 0, "root"},
    {"/a/../../b", 0, "root"},
    {"/%2e%2e", 0, "root"},
    {"/./..", 0, "root"},
    {"//..", URI_MERGE_SLASHES, "root"},
    {"//..", 0, "/"},
    {"/%00", 0, "nul"},
    {"/a%", 0, "percent"},
    {"/a%4", 0, "percent"},
    {"/a%zz", 0, "percent"},
    {"/%4", 0, "percent"},
    {"/%u0041", 0, "percent"},
    {"/%%41", 0, "percent"},
    {"", 0, "char"},
    {"a", 0, "char"},
    {"/a b", 0, "char"},
    {"/a?b", 0, "char"},
    {"/a#b", 0, "char"},
    {"/a\\b", 0, "char"},
    {"/\xc3\xa4", 0, "char"},
    {"/a\x01", 0, "char"},
};

START_TEST(paths_have_one_form)
{
    for (size_t i = 0; i < COUNT(paths); i++) {
        const struct path_row *p = &paths[i];
        char out[256], again[256], text[512];
        struct slice canon, twice;
        int r = uri_canonical(slice_str(p->in), p->flags, out, sizeof(out), &canon);

        snprintf(text, sizeof(text), "%.*s", r < 0 ? 20 : (int)canon.n,
                 r < 0 ? error_name(r) : canon.p);
        ck_assert_msg(strcmp(text, p->want) == 0, "%s: got %s, want %s", p->in, text, p->want);
        if (r < 0)
            continue;
        ck_assert_int_eq(uri_canonical(canon, p->flags, again, sizeof(again), &twice), 0);
        ck_assert_msg(slice_eq(canon, twice), "%s: not the same again", p->in);
    }
}
END_TEST

START_TEST(a_canonical_path_is_not_copied)
{
    struct slice path = SLICE_LIT("/a/b.c/d"), canon;

    ck_assert_int_eq(uri_canonical(path, URI_MERGE_SLASHES, NULL, 0, &canon), 0);
    ck_assert_ptr_eq(canon.p, path.p);
    path = SLICE_LIT("/%41");
    ck_assert_int_eq(uri_canonical(path, 0, NULL, 0, &canon), URI_E_SPACE);
}
END_TEST

/* ---- queries --------------------------------------------------------------------------------- */

START_TEST(query_parameters)
{
    static const struct {
        const char *query, *name, *want; /* NULL: -1 */
    } rows[] = {{"a=1&b=2", "a", "1"},
                {"a=1&b=2", "b", "2"},
                {"a=1&a=2", "a", "1"},
                {"a=1", "b", NULL},
                {"", "a", NULL},
                {"a", "a", ""},
                {"a=", "a", ""},
                {"a=b=c", "a", "b=c"},
                {"a=%41+%20", "a", "A  "},
                {"a=%4", "a", NULL},
                {"a=%zz", "a", NULL},
                {"a=%00", "a", NULL},
                {"xa=1", "a", NULL},
                {"&&a=1", "a", "1"},
                {"a=123456789", "a", NULL},
                {"a=12345678", "a", NULL},
                {"a=1234567", "a", "1234567"}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[8];
        ssize_t n =
            uri_query_get(slice_str(rows[i].query), slice_str(rows[i].name), out, sizeof(out));

        if (!rows[i].want) {
            ck_assert_msg(n == -1, "%s", rows[i].query);
        } else {
            ck_assert_int_eq(n, (ssize_t)strlen(rows[i].want));
            ck_assert_str_eq(out, rows[i].want);
        }
    }
    ck_assert_int_eq(uri_query_get(slice_of(NULL, 0), SLICE_LIT("a"), (char[1]){0}, 1), -1);
}
END_TEST

START_TEST(characters)
{
    ck_assert(uri_is_origin_form(SLICE_LIT("/a?b?c")));
    ck_assert(!uri_is_origin_form(SLICE_LIT("a")));
    ck_assert(!uri_is_origin_form(SLICE_LIT("")));
    ck_assert(!uri_is_origin_form(SLICE_LIT("/a?b#")));
    for (int c = 0; c < 256; c++) {
        char text[1] = {(char)c};
        bool query = c > 0x20 && c < 0x7f && c != '#';

        ck_assert_int_eq(uri_is_query(slice_of(text, 1)), query);
        ck_assert_int_eq(uri_is_path(slice_of(text, 1)), query && !strchr("?\"<>\\", c));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uri");
    TCase *t = tcase_create("uri");
    SRunner *r;
    int failed;

    tcase_add_test(t, authorities);
    tcase_add_test(t, authorities_that_are_the_same);
    tcase_add_test(t, absolute_uris);
    tcase_add_test(t, paths_have_one_form);
    tcase_add_test(t, a_canonical_path_is_not_copied);
    tcase_add_test(t, query_parameters);
    tcase_add_test(t, characters);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
