/* accesslog_test.c - lines of the access log: hostile bytes, both forms, order, nothing when off.
 */
/* objects: test/fake/faults.c */
/* wrap: malloc calloc realloc */
#include <jansson.h>
#include <stdlib.h>
#include "common/base/json.h"
#include "common/proxy/accesslog.h"
#include "common/proxy/down.h"
#include "common/proxy/upstream.h"
#include "test/fake/faults.h"
#include "test/unit/io/io_test.h"

static int out[2];
static struct access_log_writer *wr;
static struct access_log *alog;
static struct worker w;
static struct wcluster wc;
static struct epool ep;
static struct conn conn;
static struct down down;
static struct http_head head;
static struct stream s;

static void setup(void)
{
    static char cluster[] = "ns/svc|80";

    io_begin();
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    wr = access_log_writer_new(out[1]);
    alog = access_log_new(wr, l);
    w.loop = l;
    wc.name = cluster;
    ep.wc = &wc;
    ip_port_parse("10.1.1.1:80", &ep.addr);
    ip_port_parse("10.2.2.2:4000", &conn.peer);
    down.conn = &conn;
    ip_port_parse("10.3.3.3:80", &down.dst);
    head = (struct http_head){.method = HTTP_M_GET,
                              .method_text = SLICE_LIT("GET"),
                              .version = HTTP_V11,
                              .authority = SLICE_LIT("svc"),
                              .path = SLICE_LIT("/p")};
    s = (struct stream){.w = &w,
                        .conn = &down,
                        .req = &head,
                        .ep = &ep,
                        .status = 200,
                        .req_bytes = 3,
                        .rsp_bytes = 4,
                        .begin_ms = loop_now_ms(l)};
}

/* everything that was logged; ends the log.  returns owned */
static char *logged(void)
{
    struct buf b = BUF_INIT;
    ssize_t n;

    access_log_free(alog);
    access_log_writer_free(wr);
    close(out[1]);
    while ((n = read(out[0], buf_reserve(&b, 4096), 4096)) > 0)
        b.len += (size_t)n;
    close(out[0]);
    io_end();
    buf_puts(&b, "");
    return buf_take(&b);
}

START_TEST(json_of_hostile_bytes_is_json)
{
    static char path[256]; /* every byte but NUL, which our reader of JSON does not take */
    struct err e;

    for (int i = 1; i < 256; i++)
        path[i] = (char)i;
    path[0] = '/';
    head.path = slice_of(path, sizeof path);
    head.authority = SLICE_LIT("\"},{\"reason\":\"ok\n");
    access_log_set_format(wr, ACCESS_JSON);
    ck_assert(access_log_on(alog));
    s.up_fault = FAULT_LENGTH_TWICE;
    access_log_stream(alog, &s, REASON_UP_RESET);
    char *text = logged();
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
    for (const char *p = text; *p != '\n'; p++)
        ck_assert_int_ge(*p, 0x20);
    json_t *j = json_parse(slice_str(text), 1 << 20, &e);
    ck_assert_msg(j != NULL, "%s: %s", e.text, text);
    ck_assert_str_eq(json_str(j, "reason", ""), "upstream_reset");
    ck_assert_str_eq(json_str(j, "host", ""), "\"},{\"reason\":\"ok\n");
    ck_assert_int_eq(json_int(j, "status", 0), 200);
    ck_assert_str_eq(json_str(j, "cluster", ""), "ns/svc|80");
    ck_assert_str_eq(json_str(j, "client", ""), "10.2.2.2:4000");
    ck_assert_str_eq(json_str(j, "destination", ""), "10.3.3.3:80");
    ck_assert_str_eq(json_str(j, "upstream", ""), "10.1.1.1:80");
    ck_assert_str_eq(json_str(j, "upstream_fault", ""), "content_length_twice");
    json_decref(j);
    free(text);
}
END_TEST

START_TEST(text_of_hostile_bytes_is_one_line)
{
    head.path = SLICE_LIT("/\r\nreason=\"ok\" \x1b[2J\xff");
    access_log_set_format(wr, ACCESS_TEXT);
    access_log_stream(alog, &s, REASON_DENIED);
    char *text = logged();
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    ck_assert_ptr_nonnull(strstr(text, " reason=\"access_denied\" "));
    ck_assert_ptr_nonnull(
        strstr(text, " path=\"/\\u000d\\u000areason=\\\"ok\\\" \\u001b[2J\\u00ff\" status=200 "));
    free(text);
}
END_TEST

START_TEST(a_tunnel_has_no_request)
{
    s.req = NULL;
    s.ep = NULL;
    access_log_set_format(wr, ACCESS_TEXT);
    access_log_stream(alog, &s, REASON_IDLE);
    char *text = logged();
    ck_assert_ptr_nonnull(strstr(text, " protocol=\"tcp\" "));
    ck_assert_ptr_null(strstr(text, "status="));
    ck_assert_ptr_null(strstr(text, "cluster="));
    free(text);
}
END_TEST

START_TEST(off_means_off)
{
    ck_assert(!access_log_on(alog));
    access_log_set_format(wr, ACCESS_JSON);
    ck_assert(access_log_on(alog));
    access_log_set_format(wr, ACCESS_OFF);
    ck_assert(!access_log_on(alog));
    struct access_log_writer *nowhere = access_log_writer_new(-1);
    access_log_set_format(nowhere, ACCESS_JSON);
    struct access_log *a = access_log_new(nowhere, l);
    ck_assert(!access_log_on(a));
    access_log_free(a);
    access_log_writer_free(nowhere);
    char *text = logged();
    ck_assert_str_eq(text, "");
    free(text);
}
END_TEST

/* more than the reader takes: lines are lost and counted, whole ones, and nobody waits */
START_TEST(a_reader_that_is_slow_costs_lines)
{
    enum { LINES = 40000 };
    uint64_t n = 0, last = 0;

    access_log_set_format(wr, ACCESS_JSON);
    for (unsigned i = 0; i < LINES; i++) {
        s.req_bytes = i + 1;
        access_log_stream(alog, &s, REASON_OK);
    }
    loop_turn(l, false);
    uint64_t lost = access_log_lost(wr);
    ck_assert_uint_gt(lost, 0);
    fcntl(out[0], F_SETPIPE_SZ, 1 << 20);
    /* the writer's thread waits for us: read while it ends */
    access_log_free(alog);
    struct buf b = BUF_INIT;
    ssize_t k;
    while (n < LINES - lost && (k = read(out[0], buf_reserve(&b, 65536), 65536)) > 0) {
        b.len += (size_t)k;
        char *nl;
        while ((nl = memchr(b.p, '\n', b.len))) {
            size_t len = (size_t)(nl - b.p) + 1;
            const char *at = memmem(b.p, len, "\"request_bytes\":", 16);
            ck_assert_ptr_nonnull(at);
            uint64_t id = strtoull(at + 16, NULL, 10);
            ck_assert_uint_gt(id, last); /* in order */
            last = id;
            n++;
            buf_consume(&b, len);
        }
    }
    ck_assert_uint_eq(n + access_log_lost(wr), LINES);
    ck_assert_uint_eq(b.len, 0);
    buf_free(&b);
    access_log_writer_free(wr);
    close(out[0]);
    close(out[1]);
    io_end();
}
END_TEST

static void one_line(void)
{
    access_log_stream(alog, &s, REASON_OK);
    loop_turn(l, false);
}

/* until so many lines were read */
static void read_lines(unsigned n)
{
    static char text[65536];
    for (ssize_t k = 0; n > 0; k--) {
        if (k == 0)
            k = read(out[0], text, sizeof text);
        ck_assert_int_gt(k, 0);
        n -= text[k - 1] == '\n';
    }
}

/* at a low rate each line is a batch of its own */
START_TEST(nothing_is_allocated_for_a_line_once_warm)
{
    static char full[4096];

    access_log_set_format(wr, ACCESS_TEXT);
    fcntl(out[1], F_SETFL, O_NONBLOCK); /* the writer stands with the first, so there is another */
    memset(full, '-', sizeof full);
    while (write(out[1], full, sizeof full) > 0)
        ;
    fcntl(out[1], F_SETFL, 0);
    one_line();
    one_line();
    read_lines(2);
    faults_arm(1);
    for (unsigned i = 0; i < 1000; i++) {
        one_line();
        faults_pause(); /* Check allocates */
        read_lines(1);
        faults_resume();
    }
    faults_stop();
    ck_assert(!faults_hit());
    free(logged());
}
END_TEST

START_TEST(a_reader_that_stands_still_does_not_keep_the_process)
{
    access_log_set_format(wr, ACCESS_JSON);
    for (unsigned i = 0; i < 2000; i++) /* more than the pipe takes */
        access_log_stream(alog, &s, REASON_OK);
    access_log_free(alog);
    access_log_writer_free(wr); /* with nobody reading out[0] */
    close(out[0]);
    close(out[1]);
    io_end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("accesslog");
    TCase *tc = tcase_create("accesslog");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, json_of_hostile_bytes_is_json);
    tcase_add_test(tc, text_of_hostile_bytes_is_one_line);
    tcase_add_test(tc, a_tunnel_has_no_request);
    tcase_add_test(tc, off_means_off);
    tcase_add_test(tc, a_reader_that_is_slow_costs_lines);
    tcase_add_test(tc, nothing_is_allocated_for_a_line_once_warm);
    tcase_add_test(tc, a_reader_that_stands_still_does_not_keep_the_process);
    suite_add_tcase(suite, tc);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
