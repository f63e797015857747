/* names, methods, reasons, hop-by-hop fields */
#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "common/http/message.h"

static enum http_hdr id(const char *name)
{
    return http_hdr_id(slice_str(name));
}

START_TEST(every_name_is_found_in_any_case)
{
    for (int i = 1; i < HDR_COUNT; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%s", http_hdr_name((enum http_hdr)i));
        ck_assert_str_ne(name, "");
        ck_assert_int_eq(id(name), i);
        for (char *p = name; *p; p++) {
            *p = (char)toupper((unsigned char)*p);
            ck_assert_int_eq(id(name), i);
        }
    }
    ck_assert_str_eq(http_hdr_name(HDR_OTHER), "");
    ck_assert_str_eq(http_hdr_name(HDR_COUNT), "");
}
END_TEST

/* any other byte anywhere in a name makes it another name */
START_TEST(no_near_miss_is_taken_for_a_name)
{
    for (int i = 1; i < HDR_COUNT; i++) {
        char name[64];
        size_t n = strlen(http_hdr_name((enum http_hdr)i));

        for (size_t at = 0; at < n; at++) {
            for (int c = 0; c < 256; c++) {
                enum http_hdr got;

                memcpy(name, http_hdr_name((enum http_hdr)i), n + 1);
                name[at] = (char)c;
                got = http_hdr_id(slice_of(name, n));
                if (got != HDR_OTHER)
                    ck_assert(slice_ieq(slice_of(name, n), slice_str(http_hdr_name(got))));
                else
                    ck_assert_int_ne(tolower(c), tolower(http_hdr_name((enum http_hdr)i)[at]));
            }
        }
        ck_assert_int_eq(http_hdr_id(slice_of(http_hdr_name((enum http_hdr)i), n - 1)), HDR_OTHER);
    }
    ck_assert_int_eq(id(""), HDR_OTHER);
    ck_assert_int_eq(id("x"), HDR_OTHER);
    ck_assert_int_eq(id("a-name-that-is-longer-than-all-of-ours"), HDR_OTHER);
}
END_TEST

START_TEST(methods_are_case_sensitive)
{
    static const struct {
        const char *text;
        enum http_method id;
    } rows[] = {
        {"GET", HTTP_M_GET},         {"HEAD", HTTP_M_HEAD},      {"POST", HTTP_M_POST},
        {"PUT", HTTP_M_PUT},         {"DELETE", HTTP_M_DELETE},  {"CONNECT", HTTP_M_CONNECT},
        {"OPTIONS", HTTP_M_OPTIONS}, {"TRACE", HTTP_M_TRACE},    {"PATCH", HTTP_M_PATCH},
        {"get", HTTP_M_OTHER},       {"GE", HTTP_M_OTHER},       {"GETS", HTTP_M_OTHER},
        {"", HTTP_M_OTHER},          {"PROPFIND", HTTP_M_OTHER}, {"DELET", HTTP_M_OTHER},
        {"SEARCH", HTTP_M_OTHER}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_int_eq(http_method_id(slice_str(rows[i].text)), rows[i].id);
}
END_TEST

START_TEST(reasons)
{
    ck_assert_str_eq(http_reason(200), "OK");
    ck_assert_str_eq(http_reason(404), "Not Found");
    ck_assert_str_eq(http_reason(299), "");
}
END_TEST

START_TEST(characters)
{
    ck_assert(http_is_token(SLICE_LIT("a-B_c.d!#$%&'*+^`|~09")));
    ck_assert(!http_is_token(SLICE_LIT("")));
    for (int c = 0; c < 256; c++) {
        char text[3] = {'a', (char)c, 'b'};
        bool token = (c > 0 && c < 128 && isalnum(c)) || (c && strchr("!#$%&'*+-.^_`|~", c));

        ck_assert_int_eq(http_is_token(slice_of(text, 3)), token);
        ck_assert_int_eq(http_is_field_value(slice_of(text, 3)), c == 9 || (c >= 32 && c != 127));
    }
    ck_assert(http_is_field_value(SLICE_LIT("")));
    ck_assert(!http_is_field_value(SLICE_LIT(" a")));
    ck_assert(!http_is_field_value(SLICE_LIT("a\t")));
}
END_TEST

/* ---- heads ----------------------------------------------------------------------------------- */

static struct http_field fields[HTTP_FIELDS_MAX];
static struct http_head head;

/* name, value, ... NULL */
static void make(const char *const *f)
{
    head = (struct http_head){.fields = fields};
    for (; *f; f += 2) {
        fields[head.n_fields] = (struct http_field){slice_str(f[0]), slice_str(f[1]), 0, false};
        fields[head.n_fields++].id = (uint16_t)id(f[0]);
    }
}

static const char *left(void)
{
    static char text[1024];
    size_t n = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < head.n_fields; i++)
        if (!fields[i].dropped)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", n ? " " : "",
                                  SLICE_FMT(fields[i].name));
    return text;
}

START_TEST(fields_are_found_by_id_and_name)
{
    make((const char *const[]){"Host", "a", "X-Y", "1", "x-y", "2", "Cookie", "c", NULL});
    ck_assert(slice_eq_str(http_find(&head, HDR_HOST)->value, "a"));
    ck_assert_ptr_null(http_find(&head, HDR_DATE));
    ck_assert(slice_eq_str(http_find_name(&head, SLICE_LIT("x-Y"))->value, "1"));
    fields[1].dropped = true;
    ck_assert(slice_eq_str(http_find_name(&head, SLICE_LIT("X-Y"))->value, "2"));
    ck_assert(slice_eq_str(http_find_name(&head, SLICE_LIT("COOKIE"))->value, "c"));
    ck_assert_ptr_null(http_find_name(&head, SLICE_LIT("x")));
    fields[0].dropped = true;
    ck_assert_ptr_null(http_find(&head, HDR_HOST));
}
END_TEST

START_TEST(hop_by_hop_fields_are_dropped)
{
    make((const char *const[]){"X-Before",
                               "1",
                               "Connection",
                               "close, X-Before , x-after,,b3",
                               "Keep-Alive",
                               "5",
                               "Proxy-Connection",
                               "close",
                               "TE",
                               "gzip",
                               "Transfer-Encoding",
                               "chunked",
                               "Upgrade",
                               "h2c",
                               "HTTP2-Settings",
                               "A",
                               "X-After",
                               "2",
                               "B3",
                               "3",
                               "Accept",
                               "4",
                               NULL});
    http_drop_hop_by_hop(&head, false);
    ck_assert_str_eq(left(), "Accept");
}
END_TEST

START_TEST(an_upgrade_and_te_trailers_may_stay)
{
    make((const char *const[]){"Connection", "upgrade, te", "Upgrade", "websocket", "TE",
                               "Trailers", NULL});
    http_drop_hop_by_hop(&head, true);
    ck_assert_str_eq(left(), "Upgrade TE");
    http_drop_hop_by_hop(&head, false);
    ck_assert_str_eq(left(), "TE");
}
END_TEST

START_TEST(the_peer_cannot_take_host_or_length_away)
{
    make((const char *const[]){"Host", "a", "Content-Length", "5", "Connection",
                               "host, content-length, X", "X", "1", NULL});
    http_drop_hop_by_hop(&head, false);
    ck_assert_str_eq(left(), "Host Content-Length");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("message");
    TCase *t = tcase_create("message");
    SRunner *r;
    int failed;

    tcase_add_test(t, every_name_is_found_in_any_case);
    tcase_add_test(t, no_near_miss_is_taken_for_a_name);
    tcase_add_test(t, methods_are_case_sensitive);
    tcase_add_test(t, reasons);
    tcase_add_test(t, characters);
    tcase_add_test(t, fields_are_found_by_id_and_name);
    tcase_add_test(t, hop_by_hop_fields_are_dropped);
    tcase_add_test(t, an_upgrade_and_te_trailers_may_stay);
    tcase_add_test(t, the_peer_cannot_take_host_or_length_away);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
