/* accesslog_test.c - lines of the access log: hostile bytes, both forms, order, nothing when off.
 */
/* objects: test/fake/faults.c */
/* wrap: malloc calloc realloc */
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
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

/* What is read of a log, line by line: those of streams, whose request_bytes grow, and those that
 * say how many are missing. */
struct tally {
    struct buf b;
    uint64_t lines, told, last, bytes;
};

static void tally_line(struct tally *y, const char *p, size_t n)
{
    const char *id = memmem(p, n, "\"request_bytes\":", 16);
    const char *lost = memmem(p, n, "\"lost_lines\":", 13);

    ck_assert_msg(p[0] == '{' && p[n - 2] == '}' && !id == !!lost, "%.*s", (int)n, p);
    if (lost) {
        y->told += strtoull(lost + 13, NULL, 10);
        return;
    }
    uint64_t now = strtoull(id + 16, NULL, 10);
    ck_assert_uint_gt(now, y->last); /* in order */
    y->last = now;
    y->lines++;
}

/* reads until n lines were read or told of */
static void tally_read(struct tally *y, uint64_t n)
{
    while (y->lines + y->told < n) {
        ssize_t k = read(out[0], buf_reserve(&y->b, 65536), 65536);
        ck_assert_int_gt(k, 0);
        y->b.len += (size_t)k;
        y->bytes += (size_t)k;
        char *nl;
        while ((nl = memchr(y->b.p, '\n', y->b.len))) {
            size_t len = (size_t)(nl - y->b.p) + 1;
            tally_line(y, y->b.p, len);
            buf_consume(&y->b, len);
        }
    }
    ck_assert_uint_eq(y->b.len, 0);
    buf_free(&y->b);
}

static void end_quietly(void)
{
    access_log_writer_free(wr);
    close(out[0]);
    close(out[1]);
    io_end();
}

/* more than the reader takes: lines are lost, counted and told of, whole ones, and nobody waits */
START_TEST(a_reader_that_is_slow_costs_lines)
{
    enum { LINES = 40000 };
    struct tally y = {.lines = 0};

    access_log_set_format(wr, ACCESS_JSON);
    for (unsigned i = 0; i < LINES; i++) {
        s.req_bytes = i + 1;
        access_log_stream(alog, &s, REASON_OK);
    }
    loop_turn(l, false);
    ck_assert_uint_gt(access_log_lost(wr), 0);
    access_log_free(alog);
    tally_read(&y, LINES);
    ck_assert_uint_eq(y.told, access_log_lost(wr));
    ck_assert_uint_gt(y.bytes, 2 << 20); /* not before as much waited as there is place for */
    end_quietly();
}
END_TEST

/* as many turns as there are lines: what counts is their bytes */
START_TEST(a_reader_that_stands_still_costs_nothing_below_the_bound)
{
    enum { LINES = 4000 }; /* some 1.5 MB */
    struct tally y = {.lines = 0};

    access_log_set_format(wr, ACCESS_JSON);
    for (unsigned i = 0; i < LINES; i++) {
        s.req_bytes = i + 1;
        access_log_stream(alog, &s, REASON_OK);
        loop_turn(l, false);
    }
    ck_assert_uint_eq(access_log_lost(wr), 0);
    access_log_free(alog);
    tally_read(&y, LINES);
    ck_assert_uint_eq(y.lines, LINES);
    end_quietly();
}
END_TEST

/* a line that had to stay goes when the writer is free, though no other comes */
START_TEST(the_last_line_does_not_wait_for_another)
{
    enum { LINES = 1000 };
    struct tally y = {.lines = 0};

    access_log_set_format(wr, ACCESS_JSON);
    for (unsigned i = 0; i < LINES; i++) {
        s.req_bytes = i + 1;
        access_log_stream(alog, &s, REASON_OK);
        loop_turn(l, false);
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    for (unsigned i = 0; i < 2000 && y.lines < LINES; i++) {
        char *at = buf_reserve(&y.b, 65536), *nl;
        ssize_t k = read(out[0], at, 65536);
        y.b.len += k > 0 ? (size_t)k : 0;
        while (y.b.len && (nl = memchr(y.b.p, '\n', y.b.len))) {
            y.lines++;
            buf_consume(&y.b, (size_t)(nl - y.b.p) + 1);
        }
        usleep(1000);
        loop_turn(l, false);
    }
    ck_assert_uint_eq(y.lines, LINES);
    buf_free(&y.b);
    access_log_free(alog);
    end_quietly();
}
END_TEST

/* somebody who has the same pipe may have made it one that does not block */
START_TEST(a_pipe_that_does_not_block_is_waited_for)
{
    enum { LINES = 2000 };
    struct tally y = {.lines = 0};

    access_log_set_format(wr, ACCESS_JSON);
    fcntl(out[1], F_SETFL, O_NONBLOCK);
    for (unsigned i = 0; i < LINES; i++) {
        s.req_bytes = i + 1;
        access_log_stream(alog, &s, REASON_OK);
    }
    access_log_free(alog);
    tally_read(&y, LINES);
    ck_assert_uint_eq(y.lines, LINES);
    ck_assert_uint_eq(access_log_lost(wr), 0);
    end_quietly();
}
END_TEST

START_TEST(what_cannot_be_written_is_counted)
{
    access_log_free(alog);
    access_log_writer_free(wr);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(full, 0);
    wr = access_log_writer_new(full);
    alog = access_log_new(wr, l);
    access_log_set_format(wr, ACCESS_TEXT);
    for (unsigned i = 0; i < 300; i++)
        access_log_stream(alog, &s, REASON_OK);
    access_log_free(alog);
    for (unsigned i = 0; i < 5000 && access_log_lost(wr) < 300; i++)
        usleep(1000);
    ck_assert_uint_eq(access_log_lost(wr), 300);
    close(full);
    end_quietly();
}
END_TEST

/* the place ends within a line: the next begins a line of its own, behind how many are missing */
START_TEST(a_line_cut_off_ends_before_the_next)
{
    char name[] = "/tmp/fsm-accesslog-XXXXXX", text[8192];
    int file = mkstemp(name);
    const struct rlimit little = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
    const struct rlimit enough = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

    ck_assert_int_ge(file, 0);
    unlink(name);
    signal(SIGXFSZ, SIG_IGN);
    access_log_free(alog);
    access_log_writer_free(wr);
    wr = access_log_writer_new(file);
    alog = access_log_new(wr, l);
    access_log_set_format(wr, ACCESS_TEXT);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    for (unsigned i = 0; i < 10; i++)
        access_log_stream(alog, &s, REASON_OK);
    loop_turn(l, false);
    for (unsigned i = 0; i < 5000 && !access_log_lost(wr); i++)
        usleep(1000);
    uint64_t lost = access_log_lost(wr);
    ck_assert_uint_gt(lost, 0);
    ck_assert_uint_lt(lost, 10);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &enough), 0);
    access_log_stream(alog, &s, REASON_DENIED);
    access_log_free(alog);
    access_log_writer_free(wr);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    ck_assert_int_gt(n, 1000);
    text[n] = '\0';
    char *told = strstr(text + 1000, "\ntime=\""), *next = told ? strchr(told + 1, '\n') : NULL;
    ck_assert_ptr_nonnull(next);
    ck_assert_uint_eq(strtoull(strstr(told, " lost_lines=") + 12, NULL, 10), lost);
    ck_assert_ptr_nonnull(strstr(next, " reason=\"access_denied\" "));
    close(file);
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
    tcase_add_test(tc, a_reader_that_stands_still_costs_nothing_below_the_bound);
    tcase_add_test(tc, the_last_line_does_not_wait_for_another);
    tcase_add_test(tc, a_pipe_that_does_not_block_is_waited_for);
    tcase_add_test(tc, what_cannot_be_written_is_counted);
    tcase_add_test(tc, a_line_cut_off_ends_before_the_next);
    tcase_add_test(tc, nothing_is_allocated_for_a_line_once_warm);
    tcase_add_test(tc, a_reader_that_stands_still_does_not_keep_the_process);
    suite_add_tcase(suite, tc);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
