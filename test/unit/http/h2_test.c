/* HTTP/2 sessions: our client against our server, in memory */
/* objects: test/fake/faults.c */
/* wrap: malloc calloc realloc */
#include "test/fake/faults.h"
#include "test/unit/http/h2_pair.h"

static void open_pair(void)
{
    pair_open(NULL, NULL);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct http_field field(const char *name, const char *value)
{
    struct http_field f = {slice_str(name), slice_str(value), 0, false};

    f.id = (uint16_t)http_hdr_id(f.name);
    return f;
}

/* ---- messages -------------------------------------------------------------------------------- */

START_TEST(a_request_and_its_answer)
{
    struct h2s *s =
        request("GET", "/x?y=1", true,
                FIELDS("User-Agent", "t", "Connection", "x", "TE", "gzip", "Host", "other"));

    ck_assert_ptr_nonnull(s);
    talk();
    expect_log(&server, "head 1 GET http a.test /x?y=1 user-agent=t end\n");
    ck_assert(slice_eq_str(server.kept->h.path, "/x"));
    ck_assert(slice_eq_str(server.kept->h.query, "y=1"));
    ck_assert_int_eq(server.kept->h.body, HTTP_BODY_NONE);
    ck_assert_int_eq(server.kept->h.method, HTTP_M_GET);
    ck_assert_int_eq(respond(server.last, 200, false), 0);
    ck_assert_int_eq(h2_write(server.last, "hello", 5, true), 5);
    talk();
    expect_log(&client, "head 1 200\nend 1\nclose 1 done NO_ERROR\n");
    expect_log(&server, "close 1 done NO_ERROR\n");
    ck_assert(slice_eq_str(buf_slice(&client.body), "hello"));
    ck_assert_uint_eq(h2_streams(client.c), 0);
    ck_assert_uint_eq(h2_streams(server.c), 0);
}
END_TEST

START_TEST(an_answer_may_come_from_inside_the_head_callback)
{
    server.echo = true;
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_nonnull(request("GET", "/", true, NULL));
    talk();
    ck_assert_uint_eq(client.body.len, 500);
    ck_assert_uint_eq(h2_streams(client.c), 0);
}
END_TEST

START_TEST(trailers_both_ways)
{
    struct http_field t[3] = {field("Grpc-Status", "0"), field("grpc-message", "ok"),
                              field("content-length", "9")};
    struct h2s *s = request("POST", "/svc/M", false, FIELDS("te", "trailers"));

    ck_assert_int_eq(h2_write(s, "abc", 3, false), 3);
    ck_assert_int_eq(h2_trailers(s, t, 3), 0);
    talk();
    expect_log(&server, "head 1 POST http a.test /svc/M\n"
                        "trailers 1 grpc-status=0 grpc-message=ok\n");
    ck_assert_int_eq(respond(server.last, 200, false), 0);
    ck_assert_int_eq(h2_trailers(server.last, t, 2), 0);
    talk();
    expect_log(&client, "head 1 200\ntrailers 1 grpc-status=0 grpc-message=ok\n"
                        "close 1 done NO_ERROR\n");
    ck_assert(slice_eq_str(buf_slice(&server.body), "abc"));
}
END_TEST

START_TEST(te_trailers_is_passed_on)
{
    struct http_field none[HTTP_FIELDS_MAX];
    struct http_head h = {
        .request = true, .method = HTTP_M_POST, .te_trailers = true, .fields = none};

    h.method_text = SLICE_LIT("POST");
    h.authority = SLICE_LIT("a");
    h.path = SLICE_LIT("/");
    h2_request(client.c, &h, &(struct h2_emit){.end = true}, NULL);
    talk();
    expect_log(&server, "head 1 POST http a / te=trailers end\n");
    ck_assert(server.kept->h.te_trailers);
}
END_TEST

START_TEST(interim_answers_come_before_the_final_one)
{
    request("GET", "/", true, NULL);
    talk();
    ck_assert_int_eq(respond(server.last, 100, false), 0);
    ck_assert_int_eq(respond(server.last, 103, false), 0);
    ck_assert_int_eq(respond(server.last, 101, false), -1);
    ck_assert_int_eq(respond(server.last, 204, true), 0);
    talk();
    expect_log(&client, "head 1 100\nhead 1 103\nhead 1 204 end\nclose 1 done NO_ERROR\n");
}
END_TEST

START_TEST(too_many_interim_answers_reset_the_stream)
{
    request("GET", "/", true, NULL);
    talk();
    for (int i = 0; i < 17; i++)
        ck_assert_int_eq(respond(server.last, 103, false), 0);
    talk();
    ck_assert_ptr_nonnull(strstr(client.log.p, "refused 1 too_many_1xx"));
    ck_assert_ptr_nonnull(strstr(client.log.p, "close 1 local_reset PROTOCOL_ERROR"));
}
END_TEST

static void request_in_two_parts(void)
{
    struct http_field none[HTTP_FIELDS_MAX];
    struct http_head h = {.request = true, .method = HTTP_M_GET, .fields = none};

    h.method_text = SLICE_LIT("GET");
    h.authority = SLICE_LIT("a");
    h.path = SLICE_LIT("/canonical");
    h.query = SLICE_LIT("q=1");
    h2_request(client.c, &h, &(struct h2_emit){.end = true, .scheme = SLICE_LIT("https")}, NULL);
}

START_TEST(a_path_and_query_that_do_not_lie_together_are_joined)
{
    request_in_two_parts();
    talk();
    expect_log(&server, "head 1 GET https a /canonical?q=1 end\n");
}
END_TEST

/* under a memory checker nothing is kept, so each is one */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(nothing_is_allocated_for_a_request_once_warm)
{
    server.echo = true;
    for (unsigned i = 0; i < 20; i++) {
        if (i == 10)
            faults_arm(1);
        request_in_two_parts();
        faults_pause();
        talk();
        faults_resume();
    }
    faults_stop();
    ck_assert(!faults_hit());
}
END_TEST
#endif

START_TEST(connect_becomes_a_tunnel)
{
    struct http_field none[HTTP_FIELDS_MAX];
    struct http_head h = {.request = true, .method = HTTP_M_CONNECT, .fields = none};
    struct h2s *s;

    h.method_text = SLICE_LIT("CONNECT");
    h.authority = SLICE_LIT("a:443");
    s = h2_request(client.c, &h, &(struct h2_emit){.end = false}, NULL);
    talk();
    ck_assert_int_eq(server.kept->h.body, HTTP_BODY_TUNNEL);
    ck_assert_int_eq(respond(server.last, 200, false), 0);
    talk();
    ck_assert_int_eq(client.kept->h.body, HTTP_BODY_TUNNEL);
    ck_assert_int_eq(h2_write(s, "ping", 4, false), 4);
    ck_assert_int_eq(h2_write(server.last, "pong", 4, false), 4);
    talk();
    ck_assert(slice_eq_str(buf_slice(&server.body), "ping"));
    ck_assert(slice_eq_str(buf_slice(&client.body), "pong"));
}
END_TEST

START_TEST(added_fields_that_could_split_a_message_are_refused)
{
    static const char *const bad[][2] = {{"a b", "v"}, {"a", "v\r\nx: y"}, {"a", " v"},
                                         {"", "v"},    {"a", "v\n"},       {"a:", "v"}};
    struct http_field none[HTTP_FIELDS_MAX];
    struct http_head h = {.request = true, .method = HTTP_M_GET, .fields = none};

    h.method_text = SLICE_LIT("GET");
    h.authority = SLICE_LIT("a");
    h.path = SLICE_LIT("/");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct http_field f = field(bad[i][0], bad[i][1]);

        ck_assert_ptr_null(
            h2_request(client.c, &h, &(struct h2_emit){.end = true, .add = &f, .n_add = 1}, NULL));
    }
    ck_assert_uint_eq(h2_streams(client.c), 0);
}
END_TEST

/* ---- flow control ---------------------------------------------------------------------------- */

static char *pattern(size_t n)
{
    char *p = malloc(n);

    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 31 + i / 256);
    return p;
}

START_TEST(a_large_body_passes_both_ways)
{
    size_t n = 5 * 1000 * 1000;
    char *p = pattern(n);
    struct h2s *s = request("POST", "/", false, NULL);

    client.to_send = server.to_send = p;
    client.to_send_n = server.to_send_n = n;
    go_on(&client, s);
    talk();
    ck_assert_uint_eq(server.body.len, n);
    ck_assert_int_eq(memcmp(server.body.p, p, n), 0);
    respond(server.last, 200, false);
    go_on(&server, server.last);
    talk();
    ck_assert_uint_eq(client.body.len, n);
    ck_assert_int_eq(memcmp(client.body.p, p, n), 0);
    ck_assert_uint_eq(h2_streams(server.c), 0);
    free(p);
}
END_TEST

START_TEST(who_does_not_consume_gets_no_more_than_the_window)
{
    size_t n = 5 * 1000 * 1000;
    char *p = pattern(n);
    struct h2s *s = request("POST", "/", false, NULL);

    server.hold = true;
    client.to_send = p;
    client.to_send_n = n;
    talk(); /* settings first: the stream's window is ours from the start then */
    go_on(&client, s);
    talk();
    ck_assert_uint_eq(server.held, 256 * 1024);
    ck_assert_uint_eq(h2_writable(s), 0);
    while (server.held && server.body.len < n) {
        size_t held = server.held;

        server.held = 0;
        h2_consume(server.last, held);
        talk();
    }
    ck_assert_uint_eq(server.body.len, n);
    ck_assert_int_eq(memcmp(server.body.p, p, n), 0);
    free(p);
}
END_TEST

START_TEST(the_connection_window_bounds_all_streams_together)
{
    static const struct h2_limits small = {.max_streams = 100,
                                           .stream_window = 65535,
                                           .conn_window = 100000,
                                           .header_bytes = 32768,
                                           .header_count = 100,
                                           .trailer_count = 32,
                                           .info_heads = 16,
                                           .resets_per_s = 200,
                                           .control_per_s = 1000,
                                           .out_bytes = 256 * 1024,
                                           .continuations = 8};
    char *p = pattern(65535);
    struct h2s *s[4];
    size_t took = 0;

    pair_close();
    pair_open(NULL, &small);
    server.hold = true;
    for (int i = 0; i < 4; i++)
        s[i] = request("POST", "/", false, NULL);
    talk();
    for (int i = 0; i < 4; i++)
        took += (size_t)h2_write(s[i], p, 65535, false);
    talk();
    ck_assert_uint_eq(took, 100000);
    ck_assert_uint_eq(server.body.len, 100000);
    free(p);
}
END_TEST

/* bytes that arrive when each of n streams offers all that it may */
static size_t fill(struct h2s *const *s, unsigned n)
{
    char *p = pattern(256 * 1024);
    size_t before = server.body.len;

    for (unsigned i = 0; i < n; i++)
        ck_assert_int_ge(h2_write(s[i], p, 256 * 1024, false), 0);
    talk();
    free(p);
    return server.body.len - before;
}

static void open_streams(struct h2s **s, struct h2s **there, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        s[i] = request("POST", "/", false, NULL);
        talk();
        there[i] = server.last;
    }
}

START_TEST(when_memory_is_short_streams_together_get_the_connections_window)
{
    struct h2s *s[12], *there[12];

    server.hold = true;
    open_streams(s, there, 12);
    /* before that, a stream that nobody reads stops no other */
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(fill(s + i, 1), 256 * 1024);
    h2_tighten(server.c, true);
    talk();
    for (unsigned i = 6; i < 10; i++)
        fill(s + i, 1);
    ck_assert_uint_le(server.body.len, (6 * 256 + 1024) * 1024);
    ck_assert_uint_gt(server.body.len, (6 * 256 + 512) * 1024);
    ck_assert_uint_eq(fill(s + 10, 1), 0);
    /* what came before it was short is given back to its stream alone */
    h2_consume(there[0], 256 * 1024);
    talk();
    ck_assert_uint_eq(fill(s + 10, 1), 0);
    h2_consume(there[6], 256 * 1024);
    h2_consume(there[7], 256 * 1024);
    h2_reset(there[8], H2_CANCEL); /* as good as consumed */
    talk();
    ck_assert_uint_eq(fill(s + 10, 1), 256 * 1024);
    /* and later all of it, though nobody reads */
    fill(s + 11, 1);
    fill(s, 1);
    h2_tighten(server.c, false);
    talk();
    ck_assert_uint_eq(fill(s + 6, 1), 256 * 1024);
    ck_assert_uint_eq(fill(s + 7, 1), 256 * 1024);
}
END_TEST

START_TEST(when_memory_is_short_each_stream_of_a_trusted_peer_gets_less)
{
    static struct h2_limits lim = H2_LIMITS_DEFAULT;
    struct h2s *s[8], *there[8];

    lim.tight_window = 16 * 1024;
    pair_close();
    pair_open(NULL, &lim);
    server.hold = true;
    open_streams(s, there, 8);
    h2_tighten(server.c, true);
    talk();
    for (unsigned i = 0; i < 4; i++) /* none stops another */
        ck_assert_uint_eq(fill(s + i, 1), 16 * 1024);
    h2_consume(there[0], 16 * 1024);
    talk();
    ck_assert_uint_eq(fill(s, 1), 16 * 1024);
    h2_tighten(server.c, false);
    h2_tighten(server.c, true); /* sooner than the peer can have answered */
    h2_tighten(server.c, false);
    talk();
    ck_assert_uint_eq(fill(s + 4, 1), 256 * 1024);
    h2_tighten(server.c, true);
    talk();
    ck_assert_uint_eq(fill(s + 4, 1), 0); /* it has sent more than it may now */
    h2_consume(there[4], 256 * 1024);
    talk();
    ck_assert_uint_eq(fill(s + 5, 1), 16 * 1024);
}
END_TEST

START_TEST(what_a_reset_stream_did_not_consume_is_given_back)
{
    char *p = pattern(200000);

    server.hold = true;
    for (int i = 0; i < 20; i++) { /* 20 x 200,000 is far beyond the connection's window */
        struct h2s *s = request("POST", "/", false, NULL);

        talk();
        ck_assert_int_eq(h2_write(s, p, 200000, false), 200000);
        talk();
        h2_reset(server.last, H2_CANCEL);
        talk();
        ck_assert_uint_eq(h2_streams(client.c), 0);
        ck_assert_uint_eq(h2_streams(server.c), 0);
    }
    free(p);
}
END_TEST

START_TEST(output_is_bounded_by_its_limit)
{
    size_t n = 2 * 1000 * 1000, step;
    char *p = pattern(n);
    static struct h2_limits wide = H2_LIMITS_DEFAULT;
    struct h2s *s;

    wide.stream_window = wide.conn_window = 8 * 1000 * 1000;
    pair_close();
    pair_open(NULL, &wide);
    s = request("POST", "/", false, NULL);
    talk();
    client.to_send = p;
    client.to_send_n = n;
    go_on(&client, s);
    ck_assert_uint_eq(n - client.to_send_n, 256 * 1024);
    step = client.to_send_n;
    go_on(&client, s);
    ck_assert_uint_eq(client.to_send_n, step);
    talk();
    ck_assert_uint_eq(server.body.len, n);
    ck_assert_int_eq(memcmp(server.body.p, p, n), 0);
    free(p);
}
END_TEST

/* A stream whose window opened while the output was full, with nobody refused because of that,
 * goes on when the output was written. */
START_TEST(a_window_that_opens_while_the_output_is_full)
{
    static struct h2_limits narrow = H2_LIMITS_DEFAULT, wide = H2_LIMITS_DEFAULT;
    char *p = pattern(300000);
    struct h2s *a, *b, *first;

    narrow.out_bytes = 32768;
    wide.stream_window = 40000;
    pair_close();
    pair_open(&narrow, &wide);
    server.hold = true;
    talk(); /* its settings */
    a = request("POST", "/a", false, NULL);
    talk();
    first = server.last;
    ck_assert_int_eq(h2_write(a, p, 30000, false), 30000);
    talk();
    ck_assert_int_eq(h2_write(a, p, 20000, false), 10000); /* the window is used up */
    talk();
    b = request("POST", "/b", false, NULL);
    talk();
    ck_assert_int_eq(h2_write(b, p, 32768, false), 32768); /* and now the output is full */
    h2_consume(first, 40000);
    carry(&server, &client); /* the window opens */
    expect_log(&client, "");
    talk();
    expect_log(&client, "writable 1\n");
    free(p);
}
END_TEST

START_TEST(the_end_may_come_alone_and_at_a_closed_window)
{
    char *p = pattern(256 * 1024);
    struct h2s *s = request("POST", "/", false, NULL);

    server.hold = true;
    talk();
    ck_assert_int_eq(h2_write(s, p, 256 * 1024, false), 256 * 1024);
    ck_assert_int_eq(h2_write(s, NULL, 0, true), 0);
    ck_assert_int_eq(h2_write(s, p, 1, true), -1);
    talk();
    h2_consume(server.last, server.held);
    talk();
    ck_assert_ptr_nonnull(strstr(server.log.p, "end 1\n"));
    free(p);
}
END_TEST

/* what client sends from here on, frame by frame: type, length, flags */
static void expect_frames(const char *want)
{
    struct buf all = BUF_INIT, text = BUF_INIT;
    struct iovec iov[4];
    int n;

    while ((n = h2_output(client.c, iov, 4)) > 0) {
        size_t from = all.len;

        for (int i = 0; i < n; i++)
            buf_append(&all, iov[i].iov_base, iov[i].iov_len);
        h2_sent(client.c, all.len - from);
        h2_recv(server.c, now, all.p + from, all.len - from);
    }
    for (size_t at = 0; at < all.len;) {
        const uint8_t *b = (const uint8_t *)all.p + at;
        unsigned len = (unsigned)(b[0] << 16 | b[1] << 8 | b[2]);

        buf_printf(&text, "%s%u%s ",
                   b[3] == 0   ? "DATA "
                   : b[3] == 1 ? "HEADERS "
                               : "other ",
                   b[3] == 1 ? 0 : len, b[4] & 1 ? " end" : "");
        at += 9 + len;
    }
    ck_assert_str_eq(text.p ? text.p : "", want);
    buf_free(&all);
    buf_free(&text);
}

START_TEST(the_end_leaves_with_the_last_bytes)
{
    const struct http_field t = field("x-sum", "1");
    struct h2s *s;

    talk();
    s = request("POST", "/", false, NULL);
    ck_assert_int_eq(h2_put(s, "hello", 5), 5);
    ck_assert_int_eq(h2_write(s, NULL, 0, true), 0);
    expect_frames("HEADERS 0 DATA 5 end ");
    ck_assert(slice_eq_str(buf_slice(&server.body), "hello"));
    ck_assert_ptr_nonnull(strstr(server.log.p, "end 1\n"));

    s = request("POST", "/", false, NULL); /* pushed before the end is known */
    h2_put(s, "one", 3);
    h2_push(s);
    h2_push(s);
    h2_put(s, "two", 3);
    h2_put(s, "three", 5);
    h2_push(s);
    expect_frames("HEADERS 0 DATA 3 DATA 3 DATA 5 ");
    h2_put(s, "four", 4);
    ck_assert_int_eq(h2_write(s, "five", 4, true), 4);
    expect_frames("DATA 4 DATA 4 end ");

    s = request("POST", "/", false, NULL);
    h2_put(s, "body", 4);
    ck_assert_int_eq(h2_trailers(s, &t, 1), 0);
    expect_frames("HEADERS 0 DATA 4 HEADERS 0 end ");

    s = request("POST", "/", false, NULL); /* a reset drops what was kept */
    h2_put(s, "body", 4);
    h2_reset(s, H2_CANCEL);
    h2_push(s);
    talk();
}
END_TEST

START_TEST(what_was_put_leaves_whole_whatever_others_do)
{
    char *p = pattern(256 * 1024);
    struct h2s *s, *other;

    talk();
    s = request("POST", "/", false, NULL);
    other = request("POST", "/", false, NULL);
    talk();
    ck_assert_uint_eq(h2_writable(s), 256 * 1024);
    ck_assert_int_eq(h2_put(s, p, 200 * 1024), 200 * 1024);
    ck_assert_uint_eq(h2_writable(s), 56 * 1024);
    ck_assert_uint_eq(h2_writable(other), 56 * 1024);
    ck_assert_int_eq(h2_write(other, p, 256 * 1024, false), 56 * 1024);
    for (int i = 0; i < 200; i++) /* control frames that nobody counted on */
        ck_assert_ptr_nonnull(request("GET", "/a/path/of/some/length", true, NULL));
    h2_push(s);
    talk();
    ck_assert_uint_eq(server.body.len, 256 * 1024);
    free(p);
}
END_TEST

START_TEST(the_last_words_are_a_goaway)
{
    struct iovec iov[4];

    talk();
    ck_assert_int_eq(h2_last_words(client.c, iov, 4), 1);
    h2_recv(server.c, now, iov[0].iov_base, iov[0].iov_len);
    expect_log(&server, "goaway NO_ERROR\n");
    h2_sent(client.c, iov[0].iov_len);
    ck_assert_msg(h2_last_words(client.c, iov, 4) == 0, "once is enough");
}
END_TEST

START_TEST(trailers_may_come_at_a_closed_window)
{
    char *p = pattern(256 * 1024);
    struct http_field t = field("x-sum", "1");
    struct h2s *s = request("POST", "/", false, NULL);

    server.hold = true;
    talk();
    ck_assert_int_eq(h2_write(s, p, 256 * 1024, false), 256 * 1024);
    ck_assert_int_eq(h2_trailers(s, &t, 1), 0);
    talk();
    h2_consume(server.last, server.held);
    talk();
    ck_assert_ptr_nonnull(strstr(server.log.p, "trailers 1 x-sum=1\n"));
    ck_assert_uint_eq(server.body.len, 256 * 1024);
    free(p);
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

START_TEST(a_reset_is_told_once_on_both_sides)
{
    struct h2s *s = request("POST", "/", false, NULL);

    talk();
    h2_reset(s, H2_CANCEL);
    h2_reset(s, H2_CANCEL);
    ck_assert_int_eq(h2_write(s, "x", 1, false), -1);
    talk();
    expect_log(&client, "close 1 local_reset CANCEL\n");
    expect_log(&server, "head 1 POST http a.test /\nclose 1 peer_reset CANCEL\n");
}
END_TEST

START_TEST(a_request_reset_at_once_is_never_seen)
{
    struct h2s *s = request("GET", "/", true, NULL);

    h2_reset(s, H2_CANCEL);
    talk();
    expect_log(&client, "close 1 local_reset CANCEL\n");
    expect_log(&server, "");
    ck_assert_uint_eq(h2_streams(server.c), 0);
}
END_TEST

START_TEST(a_refused_stream_is_safe_to_retry)
{
    request("GET", "/", true, NULL);
    talk();
    h2_reset(server.last, H2_REFUSED_STREAM);
    talk();
    expect_log(&client, "close 1 unprocessed REFUSED_STREAM\n");
}
END_TEST

START_TEST(draining_finishes_what_is_under_way)
{
    request("GET", "/", true, NULL);
    talk();
    h2_drain(server.c);
    talk();
    expect_log(&client, "goaway NO_ERROR\ngoaway NO_ERROR\n");
    ck_assert_uint_eq(h2_room(client.c), 0);
    ck_assert_ptr_null(request("GET", "/2", true, NULL));
    ck_assert(!h2_done(server.c));
    ck_assert(!h2_done(client.c));
    ck_assert_int_eq(respond(server.last, 200, true), 0);
    talk();
    expect_log(&client, "head 1 200 end\nclose 1 done NO_ERROR\n");
    ck_assert(h2_done(server.c));
    ck_assert(h2_done(client.c));
}
END_TEST

START_TEST(a_request_that_crosses_the_first_goaway_is_served)
{
    talk();
    request("GET", "/1", true, NULL);
    h2_drain(server.c);
    server.echo = true;
    talk();
    ck_assert_ptr_nonnull(strstr(client.log.p, "head 1 200\n"));
    ck_assert(h2_done(server.c));
}
END_TEST

START_TEST(a_client_drains_too)
{
    server.echo = true;
    request("GET", "/1", true, NULL);
    h2_drain(client.c);
    ck_assert_uint_eq(h2_room(client.c), 0);
    talk();
    ck_assert_ptr_nonnull(strstr(client.log.p, "head 1 200\n"));
    ck_assert(h2_done(client.c));
}
END_TEST

START_TEST(streams_left_at_the_end_are_told)
{
    request("GET", "/1", true, NULL);
    request("GET", "/2", true, NULL);
    talk();
    buf_clear(&server.log);
    h2_free(server.c);
    server.c = NULL;
    ck_assert_str_eq(server.log.p, "close 1 connection_lost INTERNAL_ERROR\n"
                                   "close 3 connection_lost INTERNAL_ERROR\n");
    h2_free(client.c);
    client.c = NULL;
    ck_assert_str_eq(client.log.p, "close 1 connection_lost INTERNAL_ERROR\n"
                                   "close 3 connection_lost INTERNAL_ERROR\n");
}
END_TEST

START_TEST(terminating_ends_everything)
{
    request("GET", "/1", true, NULL);
    talk();
    h2_terminate(server.c, H2_INTERNAL_ERROR);
    talk();
    ck_assert(h2_done(server.c));
    ck_assert_ptr_nonnull(strstr(client.log.p, "goaway INTERNAL_ERROR\n"));
}
END_TEST

START_TEST(pings_are_answered)
{
    h2_ping(client.c);
    talk();
    expect_log(&client, "pong\n");
}
END_TEST

START_TEST(room_follows_the_peers_settings)
{
    static struct h2_limits few = H2_LIMITS_DEFAULT;

    few.max_streams = 2;
    pair_close();
    pair_open(NULL, &few);
    ck_assert_uint_eq(h2_room(client.c), 100);
    talk();
    ck_assert_uint_eq(h2_room(client.c), 2);
    ck_assert_ptr_nonnull(request("GET", "/1", true, NULL));
    ck_assert_ptr_nonnull(request("GET", "/2", true, NULL));
    ck_assert_ptr_null(request("GET", "/3", true, NULL));
}
END_TEST

START_TEST(requests_beyond_settings_that_came_late_wait_or_are_refused)
{
    static struct h2_limits few = H2_LIMITS_DEFAULT;
    unsigned closed = 0;

    few.max_streams = 2;
    pair_close();
    pair_open(NULL, &few);
    server.echo = true;
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(request("GET", "/", true, NULL));
    talk();
    for (const char *p = client.log.p; (p = strstr(p, "close ")); p++)
        closed++;
    ck_assert_uint_eq(closed, 5);
    ck_assert_uint_eq(h2_streams(client.c), 0);
}
END_TEST

START_TEST(a_head_outlives_its_stream)
{
    struct h2_head *hh;

    server.echo = true;
    request("GET", "/long-lived", true, NULL);
    talk();
    hh = server.kept;
    server.kept = NULL;
    ck_assert_uint_eq(h2_streams(server.c), 0);
    h2_free(server.c);
    server.c = NULL;
    ck_assert(slice_eq_str(hh->h.path, "/long-lived"));
    h2_head_free(hh);
}
END_TEST

START_TEST(heads_up_to_the_limit_pass_and_above_get_431)
{
    char *v = malloc(30001);

    memset(v, 'v', 30000);
    v[30000] = '\0';
    request("GET", "/", true, FIELDS("x", v));
    talk();
    ck_assert_ptr_nonnull(strstr(server.log.p, "head 1 GET"));
    ck_assert_uint_eq(server.kept->h.fields[0].value.n, 30000);
    buf_clear(&server.log);
    request("GET", "/", true, FIELDS("x", v, "y", v));
    talk();
    expect_log(&server, "refused 3 head_too_large\n");
    expect_log(&client, "head 3 431 content-type=text/plain\nend 3\nclose 3 done NO_ERROR\n");
    free(v);
}
END_TEST

START_TEST(too_many_fields_get_431_and_the_body_is_dropped)
{
    const char *f[203];
    struct h2s *s;

    for (int i = 0; i < 101; i++) {
        f[2 * i] = "a";
        f[2 * i + 1] = "b";
    }
    f[202] = NULL;
    s = request("POST", "/", false, f);
    h2_write(s, "body", 4, false);
    talk();
    expect_log(&server, "refused 1 head_too_large\n");
    expect_log(&client, "head 1 431 content-type=text/plain\nend 1\nclose 1 done NO_ERROR\n");
    ck_assert_uint_eq(server.body.len, 0);
}
END_TEST

START_TEST(memory_goes_back_to_the_pool_and_beyond)
{
    size_t before;

    server.echo = true;
    request("GET", "/", true, NULL);
    talk();
    before = h2_pool_bytes(pool);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++)
            ck_assert_ptr_nonnull(request("GET", "/", true, NULL));
        talk();
    }
    ck_assert_uint_le(h2_pool_bytes(pool), before + 5000 * 1024);
    for (int i = 0; i < 30; i++)
        h2_pool_trim(pool, false);
    ck_assert_uint_le(h2_pool_bytes(pool), before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h2");
    TCase *t = tcase_create("pair");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, open_pair, pair_close);
    tcase_add_test(t, a_request_and_its_answer);
    tcase_add_test(t, an_answer_may_come_from_inside_the_head_callback);
    tcase_add_test(t, trailers_both_ways);
    tcase_add_test(t, te_trailers_is_passed_on);
    tcase_add_test(t, interim_answers_come_before_the_final_one);
    tcase_add_test(t, too_many_interim_answers_reset_the_stream);
    tcase_add_test(t, a_path_and_query_that_do_not_lie_together_are_joined);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(t, nothing_is_allocated_for_a_request_once_warm);
#endif
    tcase_add_test(t, connect_becomes_a_tunnel);
    tcase_add_test(t, added_fields_that_could_split_a_message_are_refused);
    tcase_add_test(t, a_large_body_passes_both_ways);
    tcase_add_test(t, who_does_not_consume_gets_no_more_than_the_window);
    tcase_add_test(t, the_connection_window_bounds_all_streams_together);
    tcase_add_test(t, when_memory_is_short_streams_together_get_the_connections_window);
    tcase_add_test(t, when_memory_is_short_each_stream_of_a_trusted_peer_gets_less);
    tcase_add_test(t, what_a_reset_stream_did_not_consume_is_given_back);
    tcase_add_test(t, output_is_bounded_by_its_limit);
    tcase_add_test(t, a_window_that_opens_while_the_output_is_full);
    tcase_add_test(t, the_end_may_come_alone_and_at_a_closed_window);
    tcase_add_test(t, the_end_leaves_with_the_last_bytes);
    tcase_add_test(t, what_was_put_leaves_whole_whatever_others_do);
    tcase_add_test(t, the_last_words_are_a_goaway);
    tcase_add_test(t, trailers_may_come_at_a_closed_window);
    tcase_add_test(t, a_reset_is_told_once_on_both_sides);
    tcase_add_test(t, a_request_reset_at_once_is_never_seen);
    tcase_add_test(t, a_refused_stream_is_safe_to_retry);
    tcase_add_test(t, draining_finishes_what_is_under_way);
    tcase_add_test(t, a_request_that_crosses_the_first_goaway_is_served);
    tcase_add_test(t, a_client_drains_too);
    tcase_add_test(t, streams_left_at_the_end_are_told);
    tcase_add_test(t, terminating_ends_everything);
    tcase_add_test(t, pings_are_answered);
    tcase_add_test(t, room_follows_the_peers_settings);
    tcase_add_test(t, requests_beyond_settings_that_came_late_wait_or_are_refused);
    tcase_add_test(t, a_head_outlives_its_stream);
    tcase_add_test(t, heads_up_to_the_limit_pass_and_above_get_431);
    tcase_add_test(t, too_many_fields_get_431_and_the_body_is_dropped);
    tcase_add_test(t, memory_goes_back_to_the_pool_and_beyond);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
