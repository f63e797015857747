/* the HTTP/1 codec: hostile messages, however they are split; writing; limits */
#include <check.h>
#include "test/unit/http/h1_cases.h"
#include "test/unit/http/h1_text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct buf got = BUF_INIT;

static const char *shown(const struct h1_case *c)
{
    static char text[2048];
    size_t n = 0;

    for (size_t i = 0; i < c->n && n < sizeof(text) - 5; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              c->text[i] < 0x20 || c->text[i] == 0x7f ? "\\x%02x" : "%c",
                              (unsigned char)c->text[i]);
    return text;
}

static void check_row(const struct h1_case *c, const char *how)
{
    ck_assert_msg(strcmp(got.p ? got.p : "", c->want) == 0,
                  "%s\n  %s: got  \"%s\"\n  RFC %s: want \"%s\"", shown(c), how, got.p, c->clause,
                  c->want);
}

static void check_heads(const struct h1_case *rows, size_t n, bool request)
{
    for (size_t i = 0; i < n; i++) {
        const struct h1_case *c = &rows[i];

        head_text(c->text, c->n, c->asked, request, WHOLE, 0, NULL, &got);
        check_row(c, "whole");
        head_text(c->text, c->n, c->asked, request, BYTES, 0, NULL, &got);
        check_row(c, "byte by byte");
        head_text(c->text, c->n, c->asked, request, BYTES_MOVING, 0, NULL, &got);
        check_row(c, "byte by byte, the buffer moving");
        for (size_t cut = 0; cut < c->n; cut++) {
            head_text(c->text, c->n, c->asked, request, IN_TWO, cut, NULL, &got);
            check_row(c, "in two");
        }
    }
}

START_TEST(requests_come_to_what_the_rfc_says)
{
    ck_assert_uint_ge(COUNT(requests), 150);
    check_heads(requests, COUNT(requests), true);
}
END_TEST

START_TEST(responses_come_to_what_the_rfc_says)
{
    check_heads(responses, COUNT(responses), false);
}
END_TEST

START_TEST(chunked_bodies_come_to_what_the_rfc_says)
{
    for (size_t i = 0; i < COUNT(chunked); i++) {
        for (size_t step = 0; step <= chunked[i].n; step++) {
            chunked_text(chunked[i].text, chunked[i].n, step, NULL, &got);
            if (strcmp(chunked[i].want, "more") == 0 && chunked[i].n == 0)
                continue;
            check_row(&chunked[i], step ? "in pieces" : "whole");
        }
    }
}
END_TEST

START_TEST(every_error_has_a_name_and_a_status)
{
    for (int e = 1; e < FAULT_COUNT; e++) {
        ck_assert_str_ne(http_fault_name(-e), "");
        ck_assert_uint_ge(http_fault_status(-e), 400);
    }
    ck_assert_str_eq(http_fault_name(0), "");
    ck_assert_str_eq(http_fault_name(-1000), "");
    ck_assert_uint_eq(http_fault_status(FAULT_LINE_LONG), 414);
    ck_assert_uint_eq(http_fault_status(FAULT_HEAD_LARGE), 431);
    ck_assert_uint_eq(http_fault_status(FAULT_CODING_UNKNOWN), 501);
    ck_assert_uint_eq(http_fault_status(FAULT_VERSION_UNSUPPORTED), 505);
}
END_TEST

/* ---- limits ---------------------------------------------------------------------------------- */

static void check_all_splits(const char *text, size_t n, const struct h1_limits *lim,
                             const char *want)
{
    static const enum split ways[] = {WHOLE, BYTES, BYTES_MOVING};

    for (size_t i = 0; i < COUNT(ways); i++) {
        head_text(text, n, NULL, true, ways[i], 0, lim, &got);
        ck_assert_str_eq(got.p, want);
    }
}

static char *line_of(size_t n, const char *end)
{
    char *text = malloc(n + strlen(end) + 1);

    memset(text, 'a', n);
    memcpy(text, "GET /", 5);
    memcpy(text + n - 9, " HTTP/1.1", 9);
    memcpy(text + n, end, strlen(end) + 1);
    return text;
}

START_TEST(the_request_line_has_a_limit)
{
    struct h1_limits lim = H1_LIMITS_DEFAULT;
    char *text = line_of(100, "\r\nHost: a\r\n\r\n");

    lim.line_bytes = 100;
    head_text(text, strlen(text), NULL, true, WHOLE, 0, &lim, &got);
    ck_assert_ptr_nonnull(strstr(got.p, "GET a /aaa"));
    lim.line_bytes = 99;
    check_all_splits(text, strlen(text), &lim, "request_line_too_long");
    check_all_splits(text, 101, &lim, "request_line_too_long"); /* known before its end */
    lim.line_bytes = 99;
    text[50] = ' '; /* what is wrong inside the limit is told as such */
    check_all_splits(text, strlen(text), &lim, "bad_version");
    free(text);
}
END_TEST

START_TEST(the_head_has_a_limit)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 123456789\r\n\r\n";
    struct h1_limits lim = H1_LIMITS_DEFAULT;

    lim.head_bytes = sizeof(text) - 1;
    check_all_splits(text, sizeof(text) - 1, &lim, "GET a / none keep");
    for (lim.head_bytes = 17; lim.head_bytes < sizeof(text) - 1; lim.head_bytes++)
        check_all_splits(text, sizeof(text) - 1, &lim, "head_too_large");
}
END_TEST

START_TEST(the_fields_have_a_limit)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n";
    struct h1_limits lim = H1_LIMITS_DEFAULT;

    lim.fields = 3;
    check_all_splits(text, sizeof(text) - 1, &lim, "GET a / none keep");
    lim.fields = 2;
    check_all_splits(text, sizeof(text) - 1, &lim, "too_many_fields");
    lim.fields = 0;
    check_all_splits(text, sizeof(text) - 1, &lim, "too_many_fields");
}
END_TEST

START_TEST(a_long_line_byte_by_byte_is_read_once)
{
    size_t n = 1000000; /* square time would take minutes */
    char *text = line_of(n, "\r\nHost: a\r\n\r\n");
    struct h1_limits lim = H1_LIMITS_DEFAULT;

    lim.line_bytes = lim.head_bytes = 2000000;
    head_text(text, strlen(text), NULL, true, BYTES, 0, &lim, &got);
    ck_assert_ptr_nonnull(strstr(got.p, "GET a /aaa"));
    free(text);
}
END_TEST

START_TEST(chunk_extensions_and_trailers_have_limits)
{
    struct h1_limits lim = H1_LIMITS_DEFAULT;
    static const char ext[] = "1;a=bcd\r\nx\r\n1;a=bcd\r\nx\r\n0\r\n\r\n";
    static const char tr[] = "0\r\nA: 1\r\nB: 2\r\n\r\n";

    lim.ext_bytes = 6; /* counted behind the ';' that begins them, up to the CR */
    chunked_text(ext, sizeof(ext) - 1, 0, &lim, &got);
    ck_assert_str_eq(got.p, "xx||");
    lim.ext_bytes = 5;
    chunked_text(ext, sizeof(ext) - 1, 1, &lim, &got);
    ck_assert_str_eq(got.p, "bad_chunk_extension");
    lim.ext_bytes = 6;
    lim.ext_total = 11;
    chunked_text(ext, sizeof(ext) - 1, 0, &lim, &got);
    ck_assert_str_eq(got.p, "bad_chunk_extension");
    lim.trailers = 2;
    chunked_text(tr, sizeof(tr) - 1, 1, &lim, &got);
    ck_assert_str_eq(got.p, "|A=1,B=2|");
    lim.trailers = 1;
    chunked_text(tr, sizeof(tr) - 1, 0, &lim, &got);
    ck_assert_str_eq(got.p, "trailers_too_large");
    lim.trailers = 2;
    lim.trailer_bytes = 14;
    chunked_text(tr, sizeof(tr) - 1, 0, &lim, &got);
    ck_assert_str_eq(got.p, "|A=1,B=2|");
    lim.trailer_bytes = 13;
    chunked_text(tr, sizeof(tr) - 1, 1, &lim, &got);
    ck_assert_str_eq(got.p, "trailers_too_large");
}
END_TEST

/* ---- other bodies ---------------------------------------------------------------------------- */

START_TEST(a_body_by_length_ends_with_it)
{
    struct http_head h = {.body = HTTP_BODY_LENGTH, .content_length = 5};
    struct slice in = SLICE_LIT("hel"), data;
    struct h1_body b;

    h1_body_init(&b, &h, NULL);
    ck_assert_int_eq(h1_body_next(&b, &in, &data), H1_BODY_DATA);
    ck_assert(slice_eq_str(data, "hel"));
    ck_assert_int_eq(h1_body_next(&b, &in, &data), H1_BODY_MORE);
    ck_assert(!h1_body_done(&b));
    in = SLICE_LIT("loGET");
    ck_assert_int_eq(h1_body_next(&b, &in, &data), H1_BODY_DATA);
    ck_assert(slice_eq_str(data, "lo"));
    ck_assert(h1_body_done(&b));
    ck_assert_int_eq(h1_body_next(&b, &in, &data), H1_BODY_END);
    ck_assert(slice_eq_str(in, "GET"));
    ck_assert_int_eq(h1_body_eof(&b), H1_BODY_END);
}
END_TEST

START_TEST(the_end_of_the_connection_ends_some_bodies)
{
    static const struct {
        enum http_body kind;
        int want;
    } rows[] = {{HTTP_BODY_CLOSE, H1_BODY_END},
                {HTTP_BODY_TUNNEL, H1_BODY_END},
                {HTTP_BODY_NONE, H1_BODY_END},
                {HTTP_BODY_LENGTH, FAULT_TRUNCATED},
                {HTTP_BODY_CHUNKED, FAULT_TRUNCATED}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_head h = {.body = rows[i].kind, .content_length = 5};
        struct slice in = {NULL, 0}, data;
        struct h1_body b;

        h1_body_init(&b, &h, NULL);
        ck_assert_int_eq(h1_body_eof(&b), rows[i].want);
        ck_assert_int_eq(h1_body_next(&b, &in, &data), rows[i].want);
    }
}
END_TEST

START_TEST(until_close_everything_is_payload)
{
    struct http_head h = {.body = HTTP_BODY_CLOSE};
    struct slice in = SLICE_LIT("0\r\n\r\n"), data;
    struct h1_body b;

    h1_body_init(&b, &h, NULL);
    ck_assert_int_eq(h1_body_next(&b, &in, &data), H1_BODY_DATA);
    ck_assert_uint_eq(data.n, 5);
    ck_assert_int_eq(h1_body_next(&b, &in, &data), H1_BODY_MORE);
}
END_TEST

START_TEST(a_broken_body_stays_broken)
{
    struct http_head h = {.body = HTTP_BODY_CHUNKED};
    struct slice in = SLICE_LIT("x5\r\nhello\r\n0\r\n\r\n"), data;
    struct h1_body b;

    h1_body_init(&b, &h, NULL);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(h1_body_next(&b, &in, &data), FAULT_CHUNK_SIZE);
    ck_assert_int_lt(h1_body_eof(&b), 0);
}
END_TEST

/* ---- writing --------------------------------------------------------------------------------- */

static char out[4096];

/* the head that text parses to, written again */
static const char *rewritten(const char *text, const struct h1_emit *e)
{
    static struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h = {.fields = fields};
    struct h1_asked asked = {.method = e->head_reply ? HTTP_M_HEAD : HTTP_M_GET, .upgrade = true};
    bool request = strncmp(text, "HTTP/", 5) != 0;
    struct h1_parser p;
    ssize_t n;

    h1_parser_init(&p, NULL);
    n = request ? h1_parse_request(&p, text, strlen(text), &h)
                : h1_parse_response(&p, text, strlen(text), &asked, &h);
    ck_assert_msg(n > 0, "%s: %s", text, http_fault_name((int)n));
    http_drop_hop_by_hop(&h, e->upgrade);
    n = h1_write_head(out, sizeof(out) - 1, &h, e);
    if (n < 0)
        return "refused";
    ck_assert_uint_le((size_t)n, h1_head_bound(&h, e));
    for (size_t cap = 0; cap < (size_t)n; cap++) { /* too little room is never overrun */
        char *tight = malloc(cap + 1);

        ck_assert_int_eq(h1_write_head(tight, cap, &h, e), -1);
        free(tight);
    }
    out[n] = '\0';
    return out;
}

START_TEST(heads_leave_with_framing_of_our_own)
{
    static const struct {
        const char *in;
        struct h1_emit how;
        const char *want;
    } rows[] = {
        {"GET http://a/x?y HTTP/1.1\r\nHost: a\r\nX: 1\r\nConnection: close, Z\r\nZ: 2\r\n\r\n",
         {.close = false},
         "GET /x?y HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", {.close = false}, "GET / HTTP/1.1\r\n\r\n"},
        {"GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
         {.close = true},
         "GET /? HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
         {.close = false},
         "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
         {.close = false},
         "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
         {.target = {"/new?q", 6}, .authority = {"b:1", 3}},
         "GET /new?q HTTP/1.1\r\nHost: b:1\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
         {.body = HTTP_BODY_LENGTH, .content_length = 5},
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0007\r\n\r\n",
         {.body = HTTP_BODY_CHUNKED},
         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
         {.body = HTTP_BODY_LENGTH, .content_length = UINT64_MAX},
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
         {.close = false},
         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
         {.close = false},
         "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: w\r\nConnection: upgrade\r\n\r\n",
         {.upgrade = true},
         "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: w\r\nConnection: upgrade\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade, http2-settings\r\n"
         "HTTP2-Settings: AA\r\n\r\n",
         {.close = false},
         "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip\r\nKeep-Alive: 5\r\n"
         "Proxy-Connection: close\r\n\r\n",
         {.close = false},
         "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
         {.http10 = true, .body = HTTP_BODY_CHUNKED},
         "refused"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
         {.body = HTTP_BODY_LENGTH, .content_length = 5},
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
        {"HTTP/1.1 200 Fine\r\nX: y\r\n\r\n",
         {.body = HTTP_BODY_CHUNKED},
         "HTTP/1.1 200 Fine\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"HTTP/1.1 200\r\n\r\n",
         {.body = HTTP_BODY_CLOSE, .close = true},
         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
         {.http10 = true, .keep_alive = true},
         "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
         {.head_reply = true},
         "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"},
        {"HTTP/1.1 304 x\r\nContent-Length: 500\r\n\r\n",
         {.close = false},
         "HTTP/1.1 304 x\r\nContent-Length: 500\r\n\r\n"},
        {"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", {.close = false}, "HTTP/1.1 204 x\r\n\r\n"},
        {"HTTP/1.1 103 x\r\nLink: y\r\n\r\n",
         {.close = false},
         "HTTP/1.1 103 x\r\nLink: y\r\n\r\n"},
        {"HTTP/1.1 101 x\r\nUpgrade: w\r\nConnection: upgrade\r\n\r\n",
         {.upgrade = true, .body = HTTP_BODY_TUNNEL},
         "HTTP/1.1 101 x\r\nUpgrade: w\r\nConnection: upgrade\r\n\r\n"},
    };

    for (size_t i = 0; i < COUNT(rows); i++)
        ck_assert_str_eq(rewritten(rows[i].in, &rows[i].how), rows[i].want);
}
END_TEST

START_TEST(added_fields_follow_unless_they_could_split_a_head)
{
    struct http_field add[2] = {{SLICE_LIT("x-a"), SLICE_LIT("1"), HDR_OTHER, false},
                                {SLICE_LIT("host"), SLICE_LIT("evil"), HDR_HOST, false}};
    struct h1_emit e = {.add = add, .n_add = 2};
    static const struct slice bad[] = {SLICE_LIT("a\r\nX: y"), SLICE_LIT("a\n"), SLICE_LIT("\0"),
                                       SLICE_LIT("a\x7f"),     SLICE_LIT(" a"),  SLICE_LIT("a\t")};

    ck_assert_str_eq(rewritten("GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\n\r\n", &e),
                     "GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\nx-a: 1\r\n\r\n");
    for (size_t i = 0; i < COUNT(bad); i++) {
        add[0].value = bad[i];
        ck_assert_str_eq(rewritten("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &e), "refused");
    }
    add[0].value = SLICE_LIT("fine");
    add[0].name = SLICE_LIT("a b");
    ck_assert_str_eq(rewritten("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &e), "refused");
}
END_TEST

START_TEST(crumbs_of_a_cookie_are_joined_for_http1)
{
    struct http_field f[] = {{SLICE_LIT("cookie"), SLICE_LIT("a=1"), HDR_COOKIE, false},
                             {SLICE_LIT("x"), SLICE_LIT("y"), HDR_OTHER, false},
                             {SLICE_LIT("cookie"), SLICE_LIT("b=2"), HDR_COOKIE, false},
                             {SLICE_LIT("cookie"), SLICE_LIT("c=3"), HDR_COOKIE, true}};
    struct http_head h = {.request = true,
                          .version = HTTP_V2,
                          .method_text = SLICE_LIT("GET"),
                          .path = SLICE_LIT("/"),
                          .authority = SLICE_LIT("a"),
                          .fields = f,
                          .n_fields = 4};
    ssize_t n = h1_write_head(out, sizeof(out), &h, &(struct h1_emit){0});

    ck_assert(slice_eq_str(slice_of(out, (size_t)n),
                           "GET / HTTP/1.1\r\nHost: a\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n"));
}
END_TEST

START_TEST(chunk_heads_and_trailers_are_written)
{
    static const struct {
        uint64_t n;
        const char *want;
    } rows[] = {{1, "1\r\n"},
                {15, "f\r\n"},
                {16, "10\r\n"},
                {255, "ff\r\n"},
                {4096, "1000\r\n"},
                {0x123456789abcdef, "123456789abcdef\r\n"},
                {UINT64_MAX, "ffffffffffffffff\r\n"}};
    struct http_field f[] = {{SLICE_LIT("grpc-status"), SLICE_LIT("0"), HDR_GRPC_STATUS, false},
                             {SLICE_LIT("host"), SLICE_LIT("b"), HDR_HOST, false},
                             {SLICE_LIT("x"), SLICE_LIT("y"), HDR_OTHER, true}};
    char head[H1_CHUNK_HEAD_MAX];
    ssize_t n;

    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = h1_write_chunk_head(head, rows[i].n);

        ck_assert(slice_eq_str(slice_of(head, len), rows[i].want));
    }
    n = h1_write_trailers(out, sizeof(out), f, 3);
    ck_assert(slice_eq_str(slice_of(out, (size_t)n), "0\r\ngrpc-status: 0\r\n\r\n"));
    ck_assert_int_eq(h1_write_trailers(out, (size_t)n - 1, f, 3), -1);
}
END_TEST

/* 20 fields so far and 1,200 bytes, then another limit, then more fields */
static ssize_t with_less(uint32_t head_bytes, uint32_t line_bytes, uint16_t fields, bool in_line)
{
    static struct http_field f[HTTP_FIELDS_MAX];
    struct h1_limits lim = h1_limits_default;
    struct http_head h = {.fields = f};
    struct h1_parser p;
    struct buf text = BUF_INIT;

    h1_parser_init(&p, &lim);
    buf_puts(&text, "GET /");
    for (unsigned i = 0; i < 1200 && in_line; i++)
        buf_putc(&text, 'x');
    for (unsigned i = 0; i < 20 && !in_line; i++)
        buf_printf(&text, "%sx: %050u\r\n", i ? "" : " HTTP/1.1\r\nHost: h\r\n", i);
    buf_puts(&text, "abc"); /* inside a line */
    ck_assert_int_eq(h1_parse_request(&p, text.p, text.len, &h), 0);
    lim.head_bytes = head_bytes;
    lim.line_bytes = line_bytes;
    lim.fields = fields;
    buf_puts(&text, in_line ? " HTTP/1.1\r\nHost: h\r\n\r\n" : ": d\r\ne: f\r\n\r\n");
    ssize_t n = h1_parse_request(&p, text.p, text.len, &h);
    buf_free(&text);
    return n;
}

START_TEST(limits_may_become_smaller_in_the_middle_of_a_head)
{
    ck_assert_int_gt(with_less(32768, 8192, 100, false), 0);
    ck_assert_int_eq(with_less(32768, 8192, 10, false), FAULT_FIELDS_MANY);
    ck_assert_int_eq(with_less(1024, 512, 100, false), FAULT_HEAD_LARGE);
    ck_assert_int_gt(with_less(32768, 8192, 100, true), 0);
    ck_assert_int_eq(with_less(32768, 512, 100, true), FAULT_LINE_LONG);
    ck_assert_int_eq(with_less(1024, 8192, 100, true), FAULT_HEAD_LARGE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h1");
    TCase *t = tcase_create("h1");
    SRunner *r;
    int failed;

    tcase_add_test(t, requests_come_to_what_the_rfc_says);
    tcase_add_test(t, responses_come_to_what_the_rfc_says);
    tcase_add_test(t, chunked_bodies_come_to_what_the_rfc_says);
    tcase_add_test(t, every_error_has_a_name_and_a_status);
    tcase_add_test(t, the_request_line_has_a_limit);
    tcase_add_test(t, the_head_has_a_limit);
    tcase_add_test(t, the_fields_have_a_limit);
    tcase_add_test(t, limits_may_become_smaller_in_the_middle_of_a_head);
    tcase_add_test(t, a_long_line_byte_by_byte_is_read_once);
    tcase_add_test(t, chunk_extensions_and_trailers_have_limits);
    tcase_add_test(t, a_body_by_length_ends_with_it);
    tcase_add_test(t, the_end_of_the_connection_ends_some_bodies);
    tcase_add_test(t, until_close_everything_is_payload);
    tcase_add_test(t, a_broken_body_stays_broken);
    tcase_add_test(t, heads_leave_with_framing_of_our_own);
    tcase_add_test(t, added_fields_follow_unless_they_could_split_a_head);
    tcase_add_test(t, crumbs_of_a_cookie_are_joined_for_http1);
    tcase_add_test(t, chunk_heads_and_trailers_are_written);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    buf_free(&got);
    return failed != 0;
}
