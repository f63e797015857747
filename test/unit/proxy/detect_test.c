/* detect_test.c - the protocol of the first bytes, and that no split of them changes it. */
#include <string.h>
#include "common/proxy/detect.h"
#include "test/unit/unit.h"

static const struct {
    const char *bytes;
    size_t n;
    enum detected want, want_http;
} cases[] = {
#define ROW(s, want, http)                                                                         \
    {                                                                                              \
        s, sizeof(s) - 1, want, http                                                               \
    }
    ROW("", DETECT_MORE, DETECT_MORE),
    ROW("G", DETECT_MORE, DETECT_HTTP1),
    ROW("GET / HTTP/1.1\r\n", DETECT_HTTP1, DETECT_HTTP1),
    ROW("GET / HTTP/1.0\n", DETECT_HTTP1, DETECT_HTTP1),
    ROW("M-SEARCH * HTTP/1.1\r\n", DETECT_HTTP1, DETECT_HTTP1),
    ROW("GET / HTTP/1.1", DETECT_MORE, DETECT_HTTP1),
    ROW("GET key\r\n", DETECT_OTHER, DETECT_HTTP1),
    ROW("get / HTTP/1.1\r\n", DETECT_OTHER, DETECT_HTTP1),
    ROW("EHLO me\r\n", DETECT_OTHER, DETECT_HTTP1),
    ROW("GET / HTTP/2.0\r\n", DETECT_OTHER, DETECT_HTTP1),
    ROW("AAAAAAAAAAAAAAAAAAAAAAAA", DETECT_OTHER, DETECT_HTTP1),
    ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DETECT_HTTP2, DETECT_HTTP2),
    ROW("PRI * HTTP/2.0\r\n\r\nS", DETECT_MORE, DETECT_MORE),
    ROW("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", DETECT_OTHER, DETECT_HTTP1),
    ROW("\x16\x03\x01\x02\x00", DETECT_TLS, DETECT_HTTP1),
    ROW("\x16", DETECT_MORE, DETECT_HTTP1),
    ROW("\x16\x02", DETECT_OTHER, DETECT_HTTP1),
    ROW("*1\r\n$4\r\nPING\r\n", DETECT_OTHER, DETECT_HTTP1),
    ROW("\x00\x00\x00\x08", DETECT_OTHER, DETECT_HTTP1),
    ROW("SSH-2.0-x\r\n", DETECT_OTHER, DETECT_HTTP1),
};

START_TEST(each_beginning_is_told)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice s = slice_of(cases[i].bytes, cases[i].n);
        ck_assert_msg(detect_protocol(s) == cases[i].want, "case %zu", i);
        ck_assert_msg(detect_http(s) == cases[i].want_http, "http, case %zu", i);
    }
}
END_TEST

/* once something else than MORE was said, further bytes must not change it; and the answer for
 * the whole is the first that was not MORE */
START_TEST(the_answer_never_changes)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum detected said = DETECT_MORE;
        for (size_t n = 0; n <= cases[i].n; n++) {
            enum detected d = detect_protocol(slice_of(cases[i].bytes, n));
            if (said != DETECT_MORE)
                ck_assert_msg(d == said, "case %zu at %zu", i, n);
            said = d;
        }
    }
}
END_TEST

START_TEST(a_line_without_end_is_http_when_it_is_too_long)
{
    static char line[DETECT_MAX];

    memset(line, 'a', sizeof line);
    memcpy(line, "GET /", 5);
    ck_assert_int_eq(detect_protocol(slice_of(line, sizeof line - 1)), DETECT_MORE);
    ck_assert_int_eq(detect_protocol(slice_of(line, sizeof line)), DETECT_HTTP1);
}
END_TEST

UNIT_MAIN("detect", each_beginning_is_told, the_answer_never_changes,
          a_line_without_end_is_http_when_it_is_too_long)
