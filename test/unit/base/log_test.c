/* log_test.c - what a log line looks like, and that nobody outside can forge one. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/slice.h"
#include "test/unit/unit.h"

static char text[1 << 20];
static char file[] = "/tmp/fsm-log-test-XXXXXX";

/* stderr goes to a file from here on; each check is a process of its own */
static void begin(bool json)
{
    int fd = mkstemp(file);

    ck_assert_int_ge(fd, 0);
    unlink(file);
    fcntl(fd, F_SETFL, O_APPEND);
    fflush(stderr);
    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    close(fd);
    log_init("fsm-test", json);
    log_set_level(LOG_INFO);
}

/* everything logged since the last call */
static char *logged(void)
{
    static off_t from;
    ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, from);

    ck_assert_int_ge(n, 0);
    from += n;
    text[n] = 0;
    return text;
}

static json_t *logged_json(void)
{
    json_error_t e;
    char *line = logged();
    json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, &e);

    ck_assert_msg(j != NULL, "%s in %s", e.text, line);
    ck_assert_msg(strchr(line, '\n') == line + strlen(line) - 1, "one line: %s", line);
    return j;
}

static const char *member(json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));

    return s ? s : "(none)";
}

/* a pipe that nobody reads: the caller goes on, and later hears how many lines are missing */
START_TEST(a_reader_that_stands_still_stops_nobody)
{
    static char got[1 << 20];
    int ends[2], lines = 0, told = 0;
    size_t len = 0;
    ssize_t n;

    ck_assert_int_eq(pipe(ends), 0);
    fflush(stderr);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    log_init("fsm-test", false);
    log_set_level(LOG_INFO);
    for (int i = 0; i < 5000; i++)
        log_info("x", "a line of some length, so that the pipe is full soon i=%d", i);
    ck_assert_msg(!(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK), "others' standard error changed");
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    while ((n = read(ends[0], got + len, sizeof(got) - 1 - len)) > 0)
        len += (size_t)n;
    log_info("x", "the last");
    n = read(ends[0], got + len, sizeof(got) - 1 - len);
    ck_assert_int_gt(n, 0);
    got[len + (size_t)n] = '\0';
    for (char *p = got, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        lines++;
        *end = '\0';
        if (strstr(p, "lines left out"))
            ck_assert_int_eq(sscanf(strstr(p, "lines="), "lines=%d", &told), 1);
    }
    ck_assert_int_gt(told, 0);
    ck_assert_int_eq(lines, 5000 - told + 2);
}
END_TEST

START_TEST(json_has_members)
{
    json_t *j;

    begin(true);
    log_warn("pool",
             "upstream connected addr=%s:%d ms=%u neg=%d big=%zu q=\"%s %s\" pc=100%% f=%.1f",
             "1.2.3.4", 80, 5u, -3, (size_t)1 << 40, "a b", "c", 1.5);
    j = logged_json();
    ck_assert_str_eq(member(j, "level"), "warn");
    ck_assert_str_eq(member(j, "daemon"), "fsm-test");
    ck_assert_str_eq(member(j, "subsystem"), "pool");
    ck_assert_str_eq(member(j, "msg"), "upstream connected");
    ck_assert_str_eq(member(j, "addr"), "1.2.3.4:80");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "ms")), 5);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "neg")), -3);
    ck_assert(json_integer_value(json_object_get(j, "big")) == (json_int_t)1 << 40);
    ck_assert_str_eq(member(j, "q"), "a b c");
    ck_assert_str_eq(member(j, "pc"), "100%");
    ck_assert_str_eq(member(j, "f"), "1.5");
    ck_assert_uint_eq(strlen(member(j, "time")), 24);
    json_decref(j);
}
END_TEST

START_TEST(sentences_stay_sentences)
{
    static const char *const cases[] = {"no pairs at all",
                                        "a=b in the middle of it",
                                        "ends with a =",
                                        "=x",
                                        "trailing space ",
                                        "a quote\" alone",
                                        ""};
    json_t *j;

    begin(true);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char want[64];
        size_t n = strlen(cases[i]);
        while (n > 0 && cases[i][n - 1] == ' ')
            n--;
        snprintf(want, sizeof(want), "%.*s", (int)n, cases[i]);
        log_info("x", cases[i], NULL);
        j = logged_json();
        ck_assert_str_eq(member(j, "msg"), want);
        ck_assert_uint_eq(json_object_size(j), 5);
        json_decref(j);
    }
    log_info("x", "only=%s", "pairs");
    j = logged_json();
    ck_assert_str_eq(member(j, "msg"), "");
    ck_assert_str_eq(member(j, "only"), "pairs");
    json_decref(j);
}
END_TEST

START_TEST(values_cannot_forge)
{
    json_t *j;

    begin(true);
    log_info("http", "request path=%s status=%d",
             "/x status=200\n{\"level\":\"error\"}\x1b[2J\x80\\\"", 404);
    j = logged_json();
    ck_assert_int_eq(json_integer_value(json_object_get(j, "status")), 404);
    ck_assert_str_eq(member(j, "path"), "/x status=200\n{\"level\":\"error\"}\x1b[2J\\x80\\\"");
    ck_assert_uint_eq(json_object_size(j), 7);
    json_decref(j);

    log_info("http", "said %s", "msg=forged level=error");
    j = logged_json();
    ck_assert_str_eq(member(j, "msg"), "said msg=forged level=error");
    ck_assert_str_eq(member(j, "level"), "info");
    json_decref(j);
}
END_TEST

START_TEST(keys_come_once)
{
    json_t *j;

    begin(true);
    log_info("x", "said time=%s msg=%s a=%d a=%d", "now", "m", 1, 2);
    j = logged_json();
    ck_assert_str_eq(member(j, "msg"), "said");
    ck_assert_str_eq(member(j, "msg_"), "m");
    ck_assert_str_eq(member(j, "time_"), "now");
    ck_assert_int_eq(json_integer_value(json_object_get(j, "a_")), 2);
    json_decref(j);
}
END_TEST

START_TEST(long_lines_stay_json)
{
    char *big = malloc(100000);
    json_t *j;

    begin(true);
    memset(big, '\\', 99999);
    big[99999] = 0;
    log_info("x", "%s k=%d", big, 1);
    json_decref(logged_json());
    memset(big, 1, 99999);
    log_info("x", "said a=%s b=%s", big, big);
    json_decref(logged_json());
    memset(big, 'x', 99999);
    log_info("x", "said a=%.900s b=%.900s c=%s d=%d", big, big, big, 5);
    j = logged_json();
    ck_assert_uint_eq(strlen(member(j, "a")), 900);
    json_decref(j);
    free(big);
}
END_TEST

START_TEST(plain_text_can_be_read_back)
{
    const char *line;

    begin(false);
    log_error("dns", "no answer name=%s tries=%d why=\"%s\" empty=%s", "x.y", 3, "timed \"out\"\n",
              "");
    line = logged();
    ck_assert_msg(strstr(line,
                         " error dns: no answer name=x.y tries=3 why=\"timed \\\"out\\\"\\x0a\" "
                         "empty=\"\"\n") == line + 24,
                  "%s", line);
}
END_TEST

START_TEST(levels_and_tracing)
{
    enum log_level l;

    begin(false);
    log_debug("a", "hidden");
    ck_assert_str_eq(logged(), "");
    ck_assert(!log_on(LOG_DEBUG, "a"));
    log_trace_on("a");
    ck_assert(log_on(LOG_TRACE, "a") && !log_on(LOG_TRACE, "b") && !log_on(LOG_DEBUG, "ab"));
    log_trace("a", "seen");
    ck_assert(strstr(logged(), "trace a: seen") != NULL);
    log_trace_on("a");
    log_trace_off("a");
    ck_assert(!log_on(LOG_TRACE, "a"));
    log_trace_off("never");
    log_trace_on("*");
    ck_assert(log_on(LOG_TRACE, "b"));
    log_trace_off("*");
    log_set_level(LOG_OFF);
    log_error("a", "hidden");
    ck_assert_str_eq(logged(), "");
    ck_assert_int_eq(log_parse_level("warning", &l), 0);
    ck_assert_int_eq(l, LOG_WARN);
    ck_assert_int_eq(log_parse_level("DISABLED", &l), 0);
    ck_assert_int_eq(l, LOG_OFF);
    ck_assert_int_eq(log_parse_level("fatal", &l), 0);
    ck_assert_int_eq(l, LOG_ERROR);
    ck_assert_int_eq(log_parse_level("loud", &l), -1);
    ck_assert_int_eq(log_parse_level("", &l), -1);
}
END_TEST

START_TEST(repeats_are_folded)
{
    const char *line;

    begin(false);
    for (int i = 0; i < 6; i++)
        log_warn("a", "again n=%d", 7);
    line = logged();
    ck_assert(strstr(line, "again n=7\n") != NULL);
    ck_assert_msg(strchr(line, '\n') == line + strlen(line) - 1, "once: %s", line);
    log_warn("a", "again n=%d", 8);
    line = logged();
    ck_assert(strstr(line, "again n=7 repeated=5\n") != NULL);
    ck_assert(strstr(line, "again n=8\n") != NULL);
    log_flush();
    ck_assert_str_eq(logged(), "");
    log_warn("a", "again n=%d", 8);
    log_flush();
    ck_assert(strstr(logged(), "again n=8 repeated=1\n") != NULL);
}
END_TEST

START_TEST(errno_is_kept)
{
    begin(true);
    errno = ENOTTY;
    log_info("a", "x");
    log_info("a", "x");
    log_flush();
    ck_assert_int_eq(errno, ENOTTY);
}
END_TEST

static void *chatter(void *arg)
{
    for (int i = 0; i < 200; i++) {
        log_info("thread", "line who=%s n=%d", (const char *)arg, i);
        log_trace_on("thread");
        log_trace_off("thread");
    }
    return NULL;
}

START_TEST(threads_do_not_mix_lines)
{
    pthread_t t[4];
    char names[4][2] = {"a", "b", "c", "d"};
    struct slice rest;
    int lines = 0;

    begin(true);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, chatter, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    rest = slice_str(logged());
    while (rest.n > 0) {
        struct slice line = slice_cut(&rest, '\n');
        json_t *j = json_loadb(line.p, line.n, 0, NULL);
        ck_assert_msg(j != NULL, "%.*s", SLICE_FMT(line));
        json_decref(j);
        lines++;
    }
    ck_assert_int_eq(lines, 800);
}
END_TEST

UNIT_MAIN("log", a_reader_that_stands_still_stops_nobody, json_has_members,
          sentences_stay_sentences, values_cannot_forge, keys_come_once, long_lines_stay_json,
          plain_text_can_be_read_back, levels_and_tracing, repeats_are_folded, errno_is_kept,
          threads_do_not_mix_lines)
