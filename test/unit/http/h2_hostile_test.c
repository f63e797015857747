/* HTTP/2 sessions against peers that do what no library would */
#include "test/unit/http/h2_frames.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct buf back = BUF_INIT;

static void open_server(void)
{
    open_frames(H2_SERVER, NULL);
}

static void open_client(void)
{
    open_frames(H2_CLIENT, NULL);
}

static void finish(void)
{
    close_frames();
    buf_free(&back);
}

/* ---- requests -------------------------------------------------------------------------------- */

#define REQ     ":method: GET\n:scheme: http\n:path: /\n:authority: a\n"
#define POST    ":method: POST\n:scheme: http\n:path: /\n:authority: a\n"
#define PATH(p) ":method: GET\n:scheme: http\n:path: " p "\n:authority: a\n"
#define AUTH(a) ":method: GET\n:scheme: http\n:path: /\n:authority: " a "\n"
#define RST     "rst 1 PROTOCOL_ERROR\n"

static const struct {
    const char *fields;
    bool end;
    const char *want; /* what the server was told, or the frames that refuse */
    const char *clause;
} requests[] = {
    {REQ, true, "head 1 GET http a / end\n", "9113 8.3.1"},
    {REQ "x: y\n", true, "head 1 GET http a / x=y end\n", "9113 8.2"},
    {REQ "te: trailers\n", true, "head 1 GET http a / te=trailers end\n", "9113 8.2.2"},
    {REQ "cookie: a=1\ncookie: b=2\n", true, "head 1 GET http a / cookie=a=1 cookie=b=2 end\n",
     "9113 8.2.3"},
    {REQ "host: a\n", true, "head 1 GET http a / host=a end\n", "9113 8.3.1"},
    {REQ "host: A:80\n", true, "head 1 GET http a / host=A:80 end\n", "9113 8.3.1: the same"},
    {":method: GET\n:scheme: http\n:path: /\nhost: b\n", true, "head 1 GET http b / host=b end\n",
     "9113 8.3.1: Host alone"},
    {":method: GET\n:scheme: HTTPS\n:path: /\n:authority: a\n", true, "head 1 GET https a / end\n",
     "3986 3.1"},
    {":method: OPTIONS\n:scheme: http\n:path: *\n:authority: a\n", true,
     "head 1 OPTIONS http a * end\n", "9113 8.3.1"},
    {":method: CONNECT\n:authority: a:443\n", false, "head 1 CONNECT  a:443 \n", "9113 8.5"},
    {POST "content-length: 0\n", true, "head 1 POST http a / content-length=0 end\n", "9113 8.1.1"},
    {PATH("/[a]{b}|?\"<>\\"), true, "head 1 GET http a /[a]{b}|?\"<>\\ end\n", "as in HTTP/1"},
    {REQ "x: \xff\n", true, "head 1 GET http a / x=\xff end\n", "9110 5.5: obs-text"},
    {REQ "x: \n", true, "head 1 GET http a / x= end\n", "9110 5.5"},

    {REQ "X: y\n", true, RST, "9113 8.2.1: upper case"},
    {REQ "x y: z\n", true, RST, "9113 8.2.1"},
    {REQ "x\x01: z\n", true, RST, "9113 8.2.1"},
    {REQ "x\x80: z\n", true, RST, "9113 8.2.1"},
    {REQ "(x): z\n", true, RST, "9110 5.1"},
    {REQ "x: a\rb\n", true, RST, "9113 8.2.1: CR"},
    {REQ "x: a\x01\n", true, RST, "9110 5.5"},
    {REQ "x: a\x7f\n", true, RST, "9110 5.5"},
    {REQ "x:  a\n", true, RST, "9113 8.2.1: leading space"},
    {REQ "x: a \n", true, RST, "9113 8.2.1: trailing space"},
    {REQ "x: a\t\n", true, RST, "9113 8.2.1: trailing tab"},
    {REQ "connection: close\n", true, RST, "9113 8.2.2"},
    {REQ "connection: x\n", true, RST, "9113 8.2.2"},
    {REQ "keep-alive: 5\n", true, RST, "9113 8.2.2"},
    {REQ "proxy-connection: close\n", true, RST, "9113 8.2.2"},
    {REQ "transfer-encoding: chunked\n", true, RST, "9113 8.2.2: H2.TE"},
    {REQ "transfer-encoding: identity\n", true, RST, "9113 8.2.2"},
    {REQ "upgrade: websocket\n", true, RST, "9113 8.2.2"},
    {REQ "te: gzip\n", true, RST, "9113 8.2.2"},
    {REQ "te: trailers, gzip\n", true, RST, "9113 8.2.2"},
    {":method: GET\n:scheme: http\n:authority: a\n", true, RST, "9113 8.3.1: no :path"},
    {":method: GET\n:path: /\n:authority: a\n", true, RST, "9113 8.3.1: no :scheme"},
    {":scheme: http\n:path: /\n:authority: a\n", true, RST, "9113 8.3.1: no :method"},
    {":method: GET\n:scheme: http\n:path: /\n", true, RST, "9112 3.2: nobody named"},
    {REQ ":method: GET\n", true, RST, "9113 8.3.1: twice"},
    {REQ ":path: /b\n", true, RST, "9113 8.3.1: twice"},
    {REQ ":authority: b\n", true, RST, "9113 8.3.1: twice"},
    {REQ ":scheme: http\n", true, RST, "9113 8.3.1: twice"},
    {REQ "x: y\n:path: /b\n", true, RST, "9113 8.3: behind a field"},
    {"x: y\n" REQ, true, RST, "9113 8.3: behind a field"},
    {REQ ":status: 200\n", true, RST, "9113 8.3.1: a response's"},
    {REQ ":other: x\n", true, RST, "9113 8.3: unknown"},
    {REQ ":protocol: websocket\n", true, RST, "8441 3: not enabled"},
    {":method: G T\n:scheme: http\n:path: /\n:authority: a\n", true, RST, "9110 9.1"},
    {":method: GET\x01\n:scheme: http\n:path: /\n:authority: a\n", true, RST, "9110 9.1"},
    {":method: \n:scheme: http\n:path: /\n:authority: a\n", true, RST, "9110 9.1"},
    {":method: GET / HTTP/1.1\r\nHost: b\n:scheme: http\n:path: /\n:authority: a\n", true, RST,
     "downgrade injection"},
    {":method: GET\n:scheme: ftp\n:path: /\n:authority: a\n", true, RST, "9110 4.2"},
    {":method: GET\n:scheme: http://b/\n:path: /\n:authority: a\n", true, RST, "3986 3.1"},
    {":method: GET\n:scheme: http\n:path: a\n:authority: a\n", true, RST, "9113 8.3.1"},
    {PATH("*"), true, RST, "9113 8.3.1: OPTIONS only"},
    {PATH("http://b/"), true, RST, "9113 8.3.1"},
    {PATH("/a b"), true, RST, "3986 3.3"},
    {PATH("/ HTTP/1.1"), true, RST, "downgrade injection"},
    {PATH("/\r"), true, RST, "downgrade injection"},
    {PATH("/#x"), true, RST, "3986 3.5"},
    {PATH("/\\x"), true, RST, "3986 3.3"},
    {PATH("/\"x"), true, RST, "3986 3.3"},
    {PATH("/\x7f"), true, RST, "3986 2"},
    {PATH("/\xc3\xa4"), true, RST, "3986 2"},
    {PATH("/?\xff"), true, RST, "3986 2"},
    {PATH("?x"), true, RST, "9113 8.3.1"},
    {PATH(""), true, RST, "9113 8.3.1"},
    {AUTH("a b"), true, RST, "9110 7.2"},
    {AUTH("u@a"), true, RST, "9113 8.3.1: userinfo"},
    {AUTH("a/b"), true, RST, "9110 7.2"},
    {AUTH("a, b"), true, RST, "9110 7.2"},
    {AUTH("a:x"), true, RST, "3986 3.2.3"},
    {AUTH("%61"), true, RST, "one form of a host"},
    {AUTH(""), true, RST, "9110 4.2.1"},
    {REQ "host: b\n", true, RST, "9113 8.3.1: another than :authority"},
    {REQ "host: a:81\n", true, RST, "9113 8.3.1"},
    {REQ "host: a\nhost: a\n", true, RST, "9110 7.2: twice"},
    {REQ "host: u@a\n", true, RST, "9110 7.2"},
    {REQ "host: \n", true, RST, "9110 7.2"},
    {":method: CONNECT\n:authority: a\n", false, RST, "9113 8.5: no port"},
    {":method: CONNECT\n:authority: a:443\n:path: /\n", false, RST, "9113 8.5"},
    {":method: CONNECT\n:authority: a:443\n:scheme: http\n", false, RST, "9113 8.5"},
    {":method: CONNECT\n", false, RST, "9113 8.5"},
    {":method: CONNECT\nhost: a:443\n", false, RST, "9113 8.5"},
    {":method: CONNECT\n:authority: a:443\ncontent-length: 5\n", false, RST, "9110 9.3.6"},
    {":method: TRACE\n:scheme: http\n:path: /\n:authority: a\n", false, RST, "9110 9.3.8"},
    {POST "content-length: 5\n", true, RST, "9113 8.1.1: nothing came"},
    {POST "content-length: 5\ncontent-length: 5\n", false, RST, "9110 8.6"},
    {POST "content-length: 5, 5\n", false, RST, "9110 8.6"},
    {POST "content-length: +5\n", false, RST, "9110 8.6"},
    {POST "content-length: -5\n", false, RST, "9110 8.6"},
    {POST "content-length: 5 5\n", false, RST, "9110 8.6"},
    {POST "content-length: \n", false, RST, "9110 8.6"},
    {POST "content-length: 18446744073709551621\n", false, RST, "overflow"},
    {"", true, RST, "9113 8.3.1: nothing"},
};

START_TEST(a_request_comes_to_what_the_rfc_says)
{
    const char *want = requests[_i].want;
    bool told = strncmp(want, "head", 4) == 0;

    headers(1, requests[_i].end ? F_END_STREAM : 0, requests[_i].fields);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_msg(strcmp(told ? server.log.p : back.p, want) == 0,
                  "%s\ntold: %s\nsent: %s\nRFC %s: want %s", requests[_i].fields,
                  server.log.p ? server.log.p : "", back.p, requests[_i].clause, want);
    if (!told) {
        ck_assert_int_eq(strncmp(server.log.p, "refused 1 ", 10), 0);
        ck_assert_ptr_null(strstr(server.log.p, "head"));
        ck_assert_uint_eq(h2_streams(server.c), 0);
    }
    /* whatever it was, the connection serves the next one */
    headers(3, F_END_STREAM, REQ);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_ptr_nonnull(strstr(server.log.p, "head 3 GET http a / end\n"));
}
END_TEST

/* a NUL and an LF cannot be in the table's text */
START_TEST(nul_and_lf_in_values_are_refused)
{
    static const char *const values[] = {"a\0b", "a\nb", "\n\0\0"};

    for (size_t i = 0; i < COUNT(values); i++) {
        nghttp2_nv nv[5] = {{(uint8_t *)":method", (uint8_t *)"GET", 7, 3, 0},
                            {(uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0},
                            {(uint8_t *)":path", (uint8_t *)"/", 5, 1, 0},
                            {(uint8_t *)":authority", (uint8_t *)"a", 10, 1, 0},
                            {(uint8_t *)"x", (uint8_t *)values[i], 1, 3, 0}};
        uint8_t block[200];
        ssize_t n = nghttp2_hd_deflate_hd(deflater, block, sizeof(block), nv, 5);
        char want[64];

        frame(NGHTTP2_HEADERS, F_END_STREAM | F_END_HEADERS, (uint32_t)i * 2 + 1, block, (size_t)n);
        ck_assert_int_eq(send_wire(&server, &back), 0);
        snprintf(want, sizeof(want), "rst %zu PROTOCOL_ERROR\n", i * 2 + 1);
        ck_assert_str_eq(back.p, want);
    }
}
END_TEST

START_TEST(a_body_must_match_its_length)
{
    headers(1, 0, POST "content-length: 3\n");
    frame(NGHTTP2_DATA, F_END_STREAM, 1, "abc", 3);
    headers(3, 0, POST "content-length: 3\n");
    ck_assert_int_eq(send_wire(&server, &back), 0);
    frame(NGHTTP2_DATA, 0, 3, "abcd", 4);
    headers(5, 0, POST "content-length: 3\n");
    frame(NGHTTP2_DATA, F_END_STREAM, 5, "ab", 2);
    headers(7, 0, POST "content-length: 3\n");
    frame(NGHTTP2_DATA, 0, 7, "ab", 2);
    headers(7, F_END_STREAM, "x: y\n");
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_ptr_nonnull(strstr(server.log.p, "end 1\n"));
    ck_assert_str_eq(back.p, "rst 3 PROTOCOL_ERROR\nrst 5 PROTOCOL_ERROR\nrst 7 PROTOCOL_ERROR\n");
    ck_assert_ptr_null(strstr(server.log.p, "end 3"));
    ck_assert_ptr_null(strstr(server.log.p, "end 5"));
    ck_assert_ptr_null(strstr(server.log.p, "trailers 7"));
    ck_assert_ptr_nonnull(strstr(server.log.p, "close 3 local_reset PROTOCOL_ERROR\n"));
}
END_TEST

START_TEST(trailers_that_may_not_be_are_refused_or_left_out)
{
    static const struct {
        const char *fields;
        bool end;
        const char *told; /* NULL: refused */
    } rows[] = {{"x: y\n", true, "x=y"},
                {"grpc-status: 0\n", true, "grpc-status=0"},
                {"x: y\n", false, NULL}, /* 9113 8.1: must end the stream */
                {"content-length: 0\n", true, ""},
                {"host: b\n", true, ""},
                {":path: /b\n", true, NULL},
                {":method: GET\n", true, NULL},
                {"transfer-encoding: chunked\n", true, NULL},
                {"connection: x\n", true, NULL},
                {"authorization: x\n", true, ""},
                {"cookie: x\n", true, ""},
                {"set-cookie: x\nx: y\nvary: *\n", true, "x=y"}, /* 9110 6.5.1 */
                {"serviceidentity: x\n", true, ""},
                {"X: y\n", true, NULL},
                {"x: a\rb\n", true, NULL}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        uint32_t id = (uint32_t)i * 2 + 1;
        char want[64];

        headers(id, 0, POST);
        headers(id, rows[i].end ? F_END_STREAM : 0, rows[i].fields);
        ck_assert_int_eq(send_wire(&server, &back), 0);
        snprintf(want, sizeof(want), "rst %u PROTOCOL_ERROR\n", id);
        ck_assert_msg(strcmp(back.p, rows[i].told ? "" : want) == 0, "%s: %s", rows[i].fields,
                      back.p);
        snprintf(want, sizeof(want), "trailers %u%s%s\n", id,
                 rows[i].told && *rows[i].told ? " " : "", rows[i].told ? rows[i].told : "");
        ck_assert_msg((strstr(server.log.p, want) != NULL) == (rows[i].told != NULL), "%s\n%s",
                      rows[i].fields, server.log.p);
    }
}
END_TEST

/* ---- the connection -------------------------------------------------------------------------- */

START_TEST(what_is_not_http2_is_refused)
{
    buf_clear(&wire);
    buf_puts(&wire, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(send_wire(&server, &back), H2_E_PREFACE);
    ck_assert(h2_done(server.c));
    ck_assert_int_eq(h2_recv(server.c, now, "x", 1), H2_E_PREFACE);
}
END_TEST

static const struct {
    uint8_t type;
    unsigned flags;
    uint32_t id;
    const char *payload;
    size_t n;
    const char *want;
} frames[] = {
    {NGHTTP2_DATA, 0, 0, "x", 1, "goaway PROTOCOL_ERROR\n"}, /* 9113 6.1 */
    {NGHTTP2_DATA, 0, 5, "x", 1, "goaway PROTOCOL_ERROR\n"}, /* 5.1: idle */
    {NGHTTP2_HEADERS, F_END_HEADERS, 0, "\x82", 1, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_HEADERS, F_END_HEADERS, 2, "\x82", 1, "goaway PROTOCOL_ERROR\n"}, /* 5.1.1: even */
    {NGHTTP2_HEADERS, F_END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff", 6,
     "goaway COMPRESSION_ERROR\n"},
    {NGHTTP2_HEADERS, F_END_HEADERS, 1, "\xc5", 1, "goaway COMPRESSION_ERROR\n"}, /* 7541 2.3.3 */
    {NGHTTP2_PUSH_PROMISE, F_END_HEADERS, 1, "\0\0\0\2\x82", 5, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_CONTINUATION, F_END_HEADERS, 1, "\x82", 1, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_SETTINGS, 0, 1, "", 0, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_SETTINGS, 0, 0, "12345", 5, "goaway FRAME_SIZE_ERROR\n"},
    {NGHTTP2_SETTINGS, 1, 0, "\0\1\0\0\0\0", 6, "goaway FRAME_SIZE_ERROR\n"},
    {NGHTTP2_SETTINGS, 0, 0, "\0\4\xff\xff\xff\xff", 6, "goaway FLOW_CONTROL_ERROR\n"},
    {NGHTTP2_SETTINGS, 0, 0, "\0\5\0\0\0\1", 6, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_SETTINGS, 0, 0, "\0\2\0\0\0\2", 6, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_PING, 0, 0, "1234567", 7, "goaway FRAME_SIZE_ERROR\n"},
    {NGHTTP2_PING, 0, 1, "12345678", 8, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_RST_STREAM, 0, 0, "\0\0\0\0", 4, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_RST_STREAM, 0, 5, "\0\0\0\0", 4, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4, "goaway FLOW_CONTROL_ERROR\n"},
    {NGHTTP2_WINDOW_UPDATE, 0, 5, "\0\0\0\1", 4, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_PRIORITY, 0, 0, "\0\0\0\0\0", 5, "goaway PROTOCOL_ERROR\n"},
    {NGHTTP2_PRIORITY, 0, 5, "\0\0\0\5\0", 5, "goaway PROTOCOL_ERROR\n"}, /* 7540 5.3.1 */
    {NGHTTP2_PRIORITY, 0, 5, "\0\0\0\7\0", 5, ""},
    {0x42, 0xff, 9, "unknown", 7, ""}, /* 5.5: ignored */
};

START_TEST(a_frame_out_of_place_ends_the_connection)
{
    int r;

    frame(frames[_i].type, frames[_i].flags, frames[_i].id, frames[_i].payload, frames[_i].n);
    r = send_wire(&server, &back);
    ck_assert_msg(strcmp(back.p, frames[_i].want) == 0, "row %d: %s", _i, back.p);
    ck_assert_int_eq(r, frames[_i].want[0] ? H2_E_PROTOCOL : 0);
    ck_assert_int_eq(h2_done(server.c), frames[_i].want[0] != '\0');
}
END_TEST

static void stray_data(uint32_t id)
{
    frame(NGHTTP2_DATA, 0, id, "x", 1);
}

static void stray_headers(uint32_t id)
{
    headers(id, F_END_STREAM, REQ);
}

START_TEST(frames_on_a_stream_that_ended_end_the_connection)
{
    static void (*const kinds[])(uint32_t) = {stray_data, stray_headers};

    server.echo = true;
    headers(1, F_END_STREAM, REQ);
    headers(3, F_END_STREAM, REQ);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_uint_eq(h2_streams(server.c), 0);
    kinds[_i](1);
    ck_assert_int_eq(send_wire(&server, &back), H2_E_PROTOCOL);
    ck_assert_str_eq(back.p, "goaway STREAM_CLOSED\n");
}
END_TEST

START_TEST(data_behind_a_reset_ends_the_connection)
{
    headers(1, 0, POST);
    if (_i)
        ck_assert_int_eq(send_wire(&server, &back), 0);
    frame(NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
    stray_data(1);
    ck_assert_int_eq(send_wire(&server, &back), H2_E_PROTOCOL);
    ck_assert_str_eq(back.p, "goaway STREAM_CLOSED\n");
}
END_TEST

START_TEST(frames_that_crossed_our_reset_are_ignored)
{
    for (unsigned i = 0; i < 40; i++) { /* more than are remembered */
        headers(i * 2 + 1, 0, POST);
        ck_assert_int_eq(send_wire(&server, &back), 0);
        h2_reset(server.last, H2_CANCEL);
        send_wire(&server, &back);
        stray_data(i * 2 + 1);
        headers(i * 2 + 1, F_END_STREAM, "x: y\n");
        ck_assert_int_eq(send_wire(&server, &back), 0);
        ck_assert_str_eq(back.p, "");
    }
    ck_assert_uint_eq(server.body.len, 0);
}
END_TEST

START_TEST(a_frame_above_the_size_ends_the_connection)
{
    char *big = calloc(1, 16385);

    headers(1, 0, POST);
    frame(NGHTTP2_DATA, 0, 1, big, 16385);
    ck_assert_int_eq(send_wire(&server, &back), H2_E_PROTOCOL);
    ck_assert_str_eq(back.p, "goaway FRAME_SIZE_ERROR\n");
    free(big);
}
END_TEST

START_TEST(data_beyond_the_window_ends_it)
{
    char *big = calloc(1, 16384);

    server.hold = true;
    headers(1, 0, POST);
    for (int i = 0; i < 17; i++)
        frame(NGHTTP2_DATA, 0, 1, big, 16384);
    send_wire(&server, &back);
    ck_assert_ptr_nonnull(strstr(back.p, "FLOW_CONTROL_ERROR"));
    ck_assert_uint_le(server.held, 256 * 1024);
    free(big);
}
END_TEST

START_TEST(padding_counts_and_is_not_shown)
{
    headers(1, 0, POST);
    frame(NGHTTP2_DATA, 8 | F_END_STREAM, 1,
          "\x03"
          "abc\0\0\0",
          7);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert(slice_eq_str(buf_slice(&server.body), "abc"));
    headers(3, 0, POST);
    frame(NGHTTP2_DATA, 8, 3,
          "\x07"
          "abc",
          4);
    ck_assert_int_eq(send_wire(&server, &back), H2_E_PROTOCOL);
}
END_TEST

/* ---- floods ---------------------------------------------------------------------------------- */

static void expect_flood(unsigned upto, void (*one)(unsigned i))
{
    int r = 0;
    unsigned i;

    for (i = 0; r == 0 && i < upto; i++) {
        one(i);
        r = send_wire(&server, &back);
    }
    ck_assert_int_eq(r, H2_E_FLOOD);
    ck_assert_ptr_nonnull(strstr(back.p, "goaway ENHANCE_YOUR_CALM\n"));
    ck_assert(h2_done(server.c));
}

static void one_reset(unsigned i)
{
    headers(i * 2 + 1, F_END_STREAM, REQ);
    frame(NGHTTP2_RST_STREAM, 0, i * 2 + 1, "\0\0\0\x08", 4);
}

static void one_self_made_reset(unsigned i)
{
    headers(i * 2 + 1, 0, POST "content-length: 1\n");
    frame(NGHTTP2_DATA, 0, i * 2 + 1, "xy", 2);
}

static void one_malformed(unsigned i)
{
    headers(i * 2 + 1, F_END_STREAM, REQ "x: a\rb\n");
}

static void one_ping(unsigned i)
{
    frame(NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void one_setting(unsigned i)
{
    frame(NGHTTP2_SETTINGS, 0, 0, "\0\4\0\1\0\0", 6);
}

static void one_priority(unsigned i)
{
    frame(NGHTTP2_PRIORITY, 0, i * 2 + 1, "\0\0\0\0\5", 5);
}

static void one_window_update(unsigned i)
{
    frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void one_empty_data(unsigned i)
{
    if (i == 0)
        headers(1, 0, POST);
    frame(NGHTTP2_DATA, 0, 1, "", 0);
}

/* all of it padding */
static void one_padded_data(unsigned i)
{
    if (i == 0)
        headers(1, 0, POST);
    frame(NGHTTP2_DATA, 8, 1, "\x01", 2);
}

static void one_unasked_pong(unsigned i)
{
    frame(NGHTTP2_PING, 1, 0, "fsm-ping", 8);
}

static void one_unknown(unsigned i)
{
    frame(0xfa, 0, 0, "x", 1);
}

static void one_priority_update(unsigned i)
{
    frame(0x10, 0, 0, "\0\0\0\1u=1", 7);
}

/* a stream that we reset, and a peer that knows it */
static void reset_by_us(uint32_t id)
{
    headers(id, 0, POST);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    h2_reset(server.last, H2_NO_ERROR);
    send_wire(&server, &back);
}

static void one_late_empty_data(unsigned i)
{
    if (i == 0)
        reset_by_us(1);
    frame(NGHTTP2_DATA, 0, 1, "", 0);
}

static void one_late_end(unsigned i)
{
    if (i == 0)
        reset_by_us(1);
    frame(NGHTTP2_DATA, F_END_STREAM, 1, "", 0);
}

static void one_late_head(unsigned i)
{
    if (i == 0)
        reset_by_us(1);
    headers(1, F_END_STREAM, "x: y\n");
}

static void one_late_window_update(unsigned i)
{
    if (i == 0)
        reset_by_us(1);
    frame(NGHTTP2_WINDOW_UPDATE, 0, 1, "\0\0\0\1", 4);
}

static void one_late_reset(unsigned i)
{
    if (i == 0)
        reset_by_us(1);
    frame(NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\x08", 4);
}

/* refused before our SETTINGS are acknowledged: nothing is kept of such a stream */
static void one_frame_on_a_refused_stream(unsigned i)
{
    for (unsigned k = 0; i == 0 && k < 257; k++)
        headers(k * 2 + 1, 0, POST);
    frame(NGHTTP2_DATA, 0, 256 * 2 + 1, "", 0);
}

/* never acknowledges our SETTINGS */
static void one_above_the_streams(unsigned i)
{
    headers(i * 2 + 1, 0, POST);
}

static void (*const floods[])(unsigned) = {one_reset,
                                           one_self_made_reset,
                                           one_malformed,
                                           one_ping,
                                           one_setting,
                                           one_priority,
                                           one_window_update,
                                           one_empty_data,
                                           one_padded_data,
                                           one_unasked_pong,
                                           one_unknown,
                                           one_priority_update,
                                           one_late_empty_data,
                                           one_late_end,
                                           one_late_head,
                                           one_late_window_update,
                                           one_late_reset,
                                           one_frame_on_a_refused_stream,
                                           one_above_the_streams};

START_TEST(floods_end_the_connection)
{
    expect_flood(5000, floods[_i]);
}
END_TEST

/* bytes of DATA on stream id; returns what the session said */
static int data_of(uint32_t id, size_t n)
{
    static const char bytes[16384];
    int r = 0;

    for (size_t part; n && r == 0; n -= part) {
        part = n < sizeof(bytes) ? n : sizeof(bytes);
        frame(NGHTTP2_DATA, 0, id, bytes, part);
        r = send_wire(&server, &back);
    }
    return r;
}

/* uploads answered early: each peer goes on up to the window that it has, and ends */
START_TEST(what_was_under_way_when_we_reset_is_forgiven_however_much)
{
    for (uint32_t id = 1; id < 1000; id += 2) {
        reset_by_us(id);
        ck_assert_int_eq(data_of(id, h2_limits_default.stream_window), 0);
        if (id % 4 == 1)
            frame(NGHTTP2_DATA, F_END_STREAM, id, "", 0);
        else
            headers(id, F_END_STREAM, "x: y\n");
        ck_assert_int_eq(send_wire(&server, &back), 0);
        ck_assert_str_eq(back.p, "");
    }
}
END_TEST

START_TEST(what_cannot_have_been_under_way_when_we_reset_ends_the_connection)
{
    reset_by_us(1);
    ck_assert_int_eq(data_of(1, h2_limits_default.stream_window), 0);
    ck_assert_int_eq(data_of(1, 1), H2_E_PROTOCOL);
    ck_assert_str_eq(back.p, "goaway STREAM_CLOSED\n");
}
END_TEST

/* also when more streams were reset than are remembered */
START_TEST(what_cannot_have_been_under_way_on_many_ends_the_connection)
{
    for (uint32_t id = 1; id < 41; id += 2)
        reset_by_us(id);
    ck_assert_int_eq(data_of(1, 20 * (size_t)h2_limits_default.stream_window), 0);
    ck_assert_int_eq(data_of(1, 1), H2_E_PROTOCOL);
}
END_TEST

/* the answer has ended, and the peer goes on telling of its window */
START_TEST(window_updates_behind_the_end_are_paid_by_what_was_sent)
{
    server.echo = true;
    for (uint32_t id = 1; id < 10000; id += 2) {
        headers(id, 0, POST);
        frame(NGHTTP2_DATA, F_END_STREAM, id, "x", 1);
        ck_assert_int_eq(send_wire(&server, &back), 0);
        frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
        frame(NGHTTP2_WINDOW_UPDATE, 0, id, "\0\0\0\1", 4);
        ck_assert_int_eq(send_wire(&server, &back), 0);
    }
    ck_assert_uint_eq(h2_streams(server.c), 0);
}
END_TEST

/* sends `one` until the session ends: how many it took */
static unsigned taken(struct end *e, void (*one)(unsigned i))
{
    for (unsigned i = 0; i < 100000; i++) {
        one(i);
        if (send_wire(e, &back) != 0)
            return i;
    }
    return 100000;
}

/* what was sent long ago pays for nothing: a peer cannot save up a flood */
START_TEST(window_updates_paid_by_what_was_sent_are_bounded)
{
    unsigned n;

    server.echo = true;
    frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\0\0\0", 4);
    for (uint32_t id = 1; id < 100001; id += 2) {
        headers(id, F_END_STREAM, REQ);
        ck_assert_int_eq(send_wire(&server, &back), 0);
    }
    n = taken(&server, one_window_update);
    ck_assert_uint_ge(n, 32768);
    ck_assert_uint_le(n, 32768 + h2_limits_default.control_per_s);
}
END_TEST

/* It asks, resets, asks again, and reads nothing: the answers that cannot leave are no streams any
 * more, and would be kept for as long as it goes on. */
START_TEST(answers_that_nobody_reads_stop_the_reading)
{
    struct iovec iov[1];
    unsigned i;

    server.echo = true;
    for (i = 0; i < 100000 && !h2_congested(server.c); i++, now += 10) {
        headers(i * 2 + 1, F_END_STREAM, REQ);
        ck_assert_int_eq(h2_recv(server.c, now, wire.p, wire.len), 0);
        buf_clear(&wire);
        h2_output(server.c, iov, 1); /* nothing of which is taken */
        frame(NGHTTP2_RST_STREAM, 0, i * 2 + 1, "\0\0\0\x08", 4);
        ck_assert_int_eq(h2_recv(server.c, now, wire.p, wire.len), 0);
        buf_clear(&wire);
    }
    ck_assert_uint_gt(i, 2 * h2_limits_default.max_streams);
    ck_assert_uint_lt(i, 100000);
    ck_assert_int_eq(send_wire(&server, &back), 0); /* it reads */
    ck_assert(!h2_congested(server.c));
}
END_TEST

/* as gRPC does, in one second; and what is saved up by that is bounded */
START_TEST(a_ping_for_each_answer_is_no_flood)
{
    server.echo = true;
    for (uint32_t id = 1; id < 10000; id += 2) {
        headers(id, F_END_STREAM, REQ);
        one_ping(id);
        ck_assert_int_eq(send_wire(&server, &back), 0);
    }
    ck_assert_uint_le(taken(&server, one_ping), 2 * h2_limits_default.control_per_s);
    ck_assert_str_eq(back.p, "goaway ENHANCE_YOUR_CALM\n");
}
END_TEST

/* what pays for PING pays for nothing else */
START_TEST(settings_are_a_flood_whatever_was_sent)
{
    server.echo = true;
    for (uint32_t id = 1; id < 10000; id += 2) {
        headers(id, F_END_STREAM, REQ);
        ck_assert_int_eq(send_wire(&server, &back), 0);
    }
    ck_assert_uint_lt(taken(&server, one_setting), h2_limits_default.control_per_s);
}
END_TEST

/* the header of each frame is the last thing of one piece */
START_TEST(frames_in_pieces_are_counted_once)
{
    headers(1, 0, POST);
    for (unsigned i = 0; i < 900; i++) {
        frame(NGHTTP2_PING, 0, 0, "12345678", 8);
        for (size_t at = 0; at < wire.len; at += 9)
            ck_assert_int_eq(
                h2_recv(server.c, now, wire.p + at, wire.len - at < 9 ? wire.len - at : 9), 0);
        buf_clear(&wire);
        ck_assert_int_eq(send_wire(&server, &back), 0);
    }
    for (unsigned i = 0; i < 2000; i++) {
        frame(NGHTTP2_DATA, 0, 1, "xy", 2);
        ck_assert_int_eq(h2_recv(server.c, now, wire.p, 9), 0);
        ck_assert_int_eq(h2_recv(server.c, now, wire.p + 9, 2), 0);
        buf_clear(&wire);
    }
    ck_assert_uint_eq(server.body.len, 4000);
}
END_TEST

START_TEST(what_floods_in_a_second_is_fine_in_many)
{
    for (unsigned i = 0; i < 1000; i++, now += 10) {
        one_reset(i);
        one_ping(i);
        ck_assert_int_eq(send_wire(&server, &back), 0);
    }
    ck_assert_uint_eq(h2_streams(server.c), 0);
}
END_TEST

START_TEST(a_request_reset_in_the_same_breath_is_not_told)
{
    one_reset(0);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_uint_eq(server.log.len, 0);
}
END_TEST

START_TEST(endless_continuations_end_the_connection)
{
    struct buf b = block_of(REQ);
    int r = 0;

    frame(NGHTTP2_HEADERS, 0, 1, b.p, b.len);
    buf_free(&b);
    for (int i = 0; r == 0 && i < 1000; i++) {
        frame(NGHTTP2_CONTINUATION, 0, 1, "\x00\x01x\x01y", 5);
        r = send_wire(&server, &back);
        ck_assert_int_le(i, h2_limits_default.continuations);
    }
    ck_assert_int_eq(r, H2_E_FLOOD);
    ck_assert_msg(strstr(back.p, "goaway") != NULL, "%s", back.p);
}
END_TEST

/* RFC 7541: one byte names a large entry of the table; the list grows beyond every frame */
START_TEST(a_small_block_that_decodes_to_much_is_bounded)
{
    size_t before;
    char block[16000];
    char *value = malloc(2901), *text;

    memset(value, 'v', 2900); /* what fills more of the table is not put there */
    value[2900] = '\0';
    text = malloc(4000);
    snprintf(text, 4000, REQ "bomb: %s\n", value);
    headers(1, F_END_STREAM, text); /* puts the entry into the table */
    ck_assert_int_eq(send_wire(&server, &back), 0);
    before = h2_pool_bytes(pool);
    memset(block, 0xbe, sizeof(block)); /* entry 62, 20 times: 58 KB, 16,000 times: 46 MB */
    memcpy(block, "\x82\x86\x84\x01\x01\x61", 6);
    frame(NGHTTP2_HEADERS, F_END_STREAM | F_END_HEADERS, 3, block, 26);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_str_eq(back.p, "headers 3\n");
    ck_assert_ptr_nonnull(strstr(server.log.p, "refused 3 head_too_large\n"));
    frame(NGHTTP2_HEADERS, F_END_STREAM | F_END_HEADERS, 5, block, sizeof(block));
    ck_assert_int_eq(send_wire(&server, &back), H2_E_FLOOD);
    ck_assert_msg(strstr(back.p, "goaway") != NULL, "%s", back.p);
    ck_assert_uint_le(h2_pool_bytes(pool), before + 100000);
    free(text);
    free(value);
}
END_TEST

/* nghttp2 is stricter than RFC 9113 5.1.2 asks */
START_TEST(more_streams_than_the_peer_knows_to_be_allowed_end_the_connection)
{
    send_wire(&server, &back);
    frame(NGHTTP2_SETTINGS, 1, 0, NULL, 0); /* the limit is known to the peer */
    for (unsigned i = 0; i < 256; i++)
        headers(i * 2 + 1, F_END_STREAM, REQ);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_str_eq(back.p, "");
    headers(513, F_END_STREAM, REQ);
    ck_assert_int_eq(send_wire(&server, &back), H2_E_PROTOCOL);
    ck_assert_str_eq(back.p, "goaway PROTOCOL_ERROR\n");
}
END_TEST

/* ... and those that crossed our SETTINGS are refused, one by one, in one second */
START_TEST(streams_before_our_settings_were_read_are_refused)
{
    struct buf want = BUF_INIT;

    for (unsigned i = 0; i < 700; i++) {
        headers(i * 2 + 1, F_END_STREAM, REQ);
        if (i >= 256)
            buf_printf(&want, "rst %u REFUSED_STREAM\n", i * 2 + 1);
    }
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_str_eq(back.p, want.p);
    frame(NGHTTP2_SETTINGS, 1, 0, NULL, 0);
    ck_assert_int_eq(send_wire(&server, &back), 0);
    ck_assert_uint_eq(h2_streams(server.c), 256);
    buf_free(&want);
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_bounded)
{
    size_t queued;
    struct iovec iov[64];
    int n, r = 0;

    server.echo = true;
    for (unsigned i = 0; r == 0 && i < 100000; i++, now++) {
        headers(i * 2 + 1, F_END_STREAM, REQ);
        r = h2_recv(server.c, now, wire.p, wire.len);
        buf_clear(&wire);
        if (h2_streams(server.c) > 200)
            break;
    }
    n = h2_output(server.c, iov, 64);
    queued = 0;
    for (int i = 0; i < n; i++)
        queued += iov[i].iov_len;
    ck_assert_uint_le(queued, 256 * 1024 + 16384 + 64);
}
END_TEST

/* ---- responses ------------------------------------------------------------------------------- */

static const struct {
    const char *method, *fields;
    bool end;
    const char *want;
} responses[] = {
    {"GET", ":status: 200\n", true, "head 1 200 end\nclose 1 done NO_ERROR\n"},
    {"GET", ":status: 200\ncontent-length: 5\n", false, "head 1 200 content-length=5\n"},
    {"GET", ":status: 103\n", false, "head 1 103\n"},
    {"HEAD", ":status: 200\ncontent-length: 5\n", true,
     "head 1 200 content-length=5 end\nclose 1 done NO_ERROR\n"},
    {"GET", ":status: 304\ncontent-length: 5\n", true,
     "head 1 304 content-length=5 end\nclose 1 done NO_ERROR\n"},
    {"GET", ":status: 204\n", true, "head 1 204 end\nclose 1 done NO_ERROR\n"},

    {"GET", ":status: 101\n", false, NULL}, /* 9113 8.6 */
    {"GET", ":status: 101\nupgrade: x\nconnection: upgrade\n", false, NULL},
    {"GET", ":status: 103\n", true, NULL}, /* 9113 8.1 */
    {"GET", ":status: 20\n", true, NULL},
    {"GET", ":status: 2000\n", true, NULL},
    {"GET", ":status: 2x0\n", true, NULL},
    {"GET", ":status: 099\n", true, NULL},
    {"GET", ":status: 600\n", true, NULL},
    {"GET", ":status: -20\n", true, NULL},
    {"GET", ":status: \n", true, NULL},
    {"GET", "x: y\n", true, NULL}, /* 9113 8.3.2 */
    {"GET", ":status: 200\n:status: 200\n", true, NULL},
    {"GET", ":status: 200\n:path: /\n", true, NULL},
    {"GET", "x: y\n:status: 200\n", true, NULL},
    {"GET", ":status: 200\nconnection: close\n", true, NULL},
    {"GET", ":status: 200\ntransfer-encoding: chunked\n", false, NULL},
    {"GET", ":status: 200\nupgrade: h2c\n", true, NULL},
    {"GET", ":status: 200\nX: y\n", true, NULL},
    {"GET", ":status: 200\nset-cookie: a\rb\n", true, NULL},
    {"GET", ":status: 200\nx:  y\n", true, NULL},
    {"GET", ":status: 200\ncontent-length: 5\n", true, NULL},
    {"GET", ":status: 200\ncontent-length: 5\ncontent-length: 5\n", false, NULL},
    {"GET", ":status: 200\ncontent-length: 5,5\n", false, NULL},
    {"GET", ":status: 100\ncontent-length: 5\n", false, NULL},
    {"GET", ":status: 204\ncontent-length: 5\n", true, NULL},
};

START_TEST(a_response_comes_to_what_the_rfc_says)
{
    ck_assert_ptr_nonnull(request(responses[_i].method, "/", true, NULL));
    send_wire(&client, &back);
    headers(1, responses[_i].end ? F_END_STREAM : 0, responses[_i].fields);
    ck_assert_int_eq(send_wire(&client, &back), 0);
    if (responses[_i].want) {
        ck_assert_str_eq(client.log.p, responses[_i].want);
        return;
    }
    ck_assert_msg(!strstr(client.log.p, "head"), "%s: %s", responses[_i].fields, client.log.p);
    ck_assert_ptr_nonnull(strstr(client.log.p, "close 1 local_reset PROTOCOL_ERROR\n"));
}
END_TEST

START_TEST(a_body_where_none_may_be_is_refused)
{
    request("HEAD", "/", true, NULL);
    request("GET", "/", true, NULL);
    request("GET", "/", true, NULL);
    send_wire(&client, &back);
    headers(1, 0, ":status: 200\n");
    frame(NGHTTP2_DATA, F_END_STREAM, 1, "x", 1);
    headers(3, 0, ":status: 304\n");
    frame(NGHTTP2_DATA, F_END_STREAM, 3, "x", 1);
    headers(5, 0, ":status: 103\n");
    frame(NGHTTP2_DATA, F_END_STREAM, 5, "x", 1);
    ck_assert_int_eq(send_wire(&client, &back), 0);
    ck_assert_uint_eq(client.body.len, 0);
    ck_assert_str_eq(back.p, "rst 1 PROTOCOL_ERROR\nrst 3 PROTOCOL_ERROR\nrst 5 PROTOCOL_ERROR\n");
}
END_TEST

START_TEST(goaway_says_which_requests_were_not_seen)
{
    request("GET", "/1", true, NULL);
    request("GET", "/2", true, NULL);
    send_wire(&client, &back);
    frame(NGHTTP2_GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    ck_assert_int_eq(send_wire(&client, &back), 0);
    expect_log(&client, "goaway NO_ERROR\nclose 3 unprocessed REFUSED_STREAM\n");
    headers(1, F_END_STREAM, ":status: 200\n");
    ck_assert_int_eq(send_wire(&client, &back), 0);
    expect_log(&client, "head 1 200 end\nclose 1 done NO_ERROR\n");
    ck_assert(h2_done(client.c));
}
END_TEST

/* a gRPC server measures what we send it */
START_TEST(a_ping_for_each_request_is_no_flood)
{
    send_wire(&client, &back);
    for (uint32_t id = 1; id < 10000; id += 2) {
        ck_assert_ptr_nonnull(request("POST", "/", false, NULL));
        ck_assert_int_eq(h2_write(client.last, "x", 1, true), 1);
        send_wire(&client, &back);
        headers(id, F_END_STREAM, ":status: 200\n");
        one_ping(id);
        ck_assert_int_eq(send_wire(&client, &back), 0);
    }
    ck_assert_uint_le(taken(&client, one_ping), 2 * h2_limits_default.control_per_s);
    ck_assert_str_eq(back.p, "goaway ENHANCE_YOUR_CALM\n");
}
END_TEST

START_TEST(a_response_to_nobody_ends_the_connection)
{
    send_wire(&client, &back);
    headers(1, F_END_STREAM, ":status: 200\n");
    ck_assert_int_eq(send_wire(&client, &back), H2_E_PROTOCOL);
    ck_assert_str_eq(back.p, "goaway PROTOCOL_ERROR\n");
}
END_TEST

START_TEST(pushed_responses_end_the_connection)
{
    request("GET", "/", true, NULL);
    send_wire(&client, &back);
    frame(NGHTTP2_PUSH_PROMISE, F_END_HEADERS, 1, "\0\0\0\2\x82\x86\x84\x41\x01\x61", 10);
    ck_assert_int_eq(send_wire(&client, &back), H2_E_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(back.p, "goaway PROTOCOL_ERROR\n"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h2_hostile");
    TCase *srv = tcase_create("server"), *cl = tcase_create("client");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(srv, open_server, finish);
    tcase_add_loop_test(srv, a_request_comes_to_what_the_rfc_says, 0, COUNT(requests));
    tcase_add_test(srv, nul_and_lf_in_values_are_refused);
    tcase_add_test(srv, a_body_must_match_its_length);
    tcase_add_test(srv, trailers_that_may_not_be_are_refused_or_left_out);
    tcase_add_test(srv, what_is_not_http2_is_refused);
    tcase_add_loop_test(srv, a_frame_out_of_place_ends_the_connection, 0, COUNT(frames));
    tcase_add_loop_test(srv, frames_on_a_stream_that_ended_end_the_connection, 0, 2);
    tcase_add_loop_test(srv, data_behind_a_reset_ends_the_connection, 0, 2);
    tcase_add_test(srv, frames_that_crossed_our_reset_are_ignored);
    tcase_add_test(srv, a_frame_above_the_size_ends_the_connection);
    tcase_add_test(srv, data_beyond_the_window_ends_it);
    tcase_add_test(srv, padding_counts_and_is_not_shown);
    tcase_add_loop_test(srv, floods_end_the_connection, 0, COUNT(floods));
    tcase_add_test(srv, what_was_under_way_when_we_reset_is_forgiven_however_much);
    tcase_add_test(srv, what_cannot_have_been_under_way_when_we_reset_ends_the_connection);
    tcase_add_test(srv, what_cannot_have_been_under_way_on_many_ends_the_connection);
    tcase_add_test(srv, window_updates_behind_the_end_are_paid_by_what_was_sent);
    tcase_add_test(srv, window_updates_paid_by_what_was_sent_are_bounded);
    tcase_add_test(srv, answers_that_nobody_reads_stop_the_reading);
    tcase_add_test(srv, a_ping_for_each_answer_is_no_flood);
    tcase_add_test(srv, settings_are_a_flood_whatever_was_sent);
    tcase_add_test(srv, frames_in_pieces_are_counted_once);
    tcase_add_test(srv, what_floods_in_a_second_is_fine_in_many);
    tcase_add_test(srv, a_request_reset_in_the_same_breath_is_not_told);
    tcase_add_test(srv, endless_continuations_end_the_connection);
    tcase_add_test(srv, a_small_block_that_decodes_to_much_is_bounded);
    tcase_add_test(srv, more_streams_than_the_peer_knows_to_be_allowed_end_the_connection);
    tcase_add_test(srv, streams_before_our_settings_were_read_are_refused);
    tcase_add_test(srv, a_peer_that_does_not_read_is_bounded);
    suite_add_tcase(s, srv);
    tcase_add_checked_fixture(cl, open_client, finish);
    tcase_add_loop_test(cl, a_response_comes_to_what_the_rfc_says, 0, COUNT(responses));
    tcase_add_test(cl, a_body_where_none_may_be_is_refused);
    tcase_add_test(cl, goaway_says_which_requests_were_not_seen);
    tcase_add_test(cl, a_ping_for_each_request_is_no_flood);
    tcase_add_test(cl, a_response_to_nobody_ends_the_connection);
    tcase_add_test(cl, pushed_responses_end_the_connection);
    suite_add_tcase(s, cl);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
