/* frame_test.c - framed JSON: both kinds of caller, and what hostile peers send. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/io/frame.h"
#include "common/io/listener.h"
#include "test/unit/io/io_test.h"

static json_t *obj(int n)
{
    return json_pack("{s:i}", "n", n);
}

/* a frame with any body; claimed: the length to announce, or -1 for the true one */
static void put_raw(int fd, const char *body, size_t n, int64_t claimed)
{
    uint32_t head = htonl(claimed < 0 ? (uint32_t)n : (uint32_t)claimed);

    ck_assert_int_eq(send(fd, &head, 4, MSG_NOSIGNAL), 4);
    if (n > 0)
        ck_assert_int_eq(send(fd, body, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* ---- blocking ---------------------------------------------------------------------------- */

START_TEST(there_and_back)
{
    json_t *msg = json_pack("{s:s,s:[i,n]}", "a", "\xc3\xa4", "b", 1), *got;
    struct err e;
    int fd[2];

    io_pair(fd);
    ck_assert_int_eq(frame_send(fd[0], msg, -1, &e), 0);
    ck_assert_int_eq(frame_send(fd[0], msg, 100, &e), 0);
    for (int i = 0; i < 2; i++) {
        got = frame_recv(fd[1], 1000, &e);
        ck_assert(json_equal(got, msg));
        json_decref(got);
    }
    close(fd[0]);
    err_set(&e, "x");
    ck_assert_ptr_null(frame_recv(fd[1], 1000, &e));
    ck_assert_msg(e.text[0] == 0, "an orderly end is no error: %s", e.text);
    ck_assert_int_eq(frame_send(fd[1], msg, 100, &e), -1);
    json_decref(msg);
    close(fd[1]);
}
END_TEST

static const struct {
    const char *body;
    int64_t claimed;
    const char *error;
} hostile[] = {
    {"", 0, "expected a JSON object"},
    {"1", -1, "expected a JSON object"},
    {"[]", -1, "expected a JSON object"},
    {"\"{}\"", -1, "expected a JSON object"},
    {"null", -1, "expected a JSON object"},
    {"{\"a\":1,\"a\":2}", -1, "duplicate"},
    {"{\"a\":1}x", -1, "cannot be read"},
    {"{\"a\":1", -1, "cannot be read"},
    {"{\"a\":\"\xff\"}", -1, "cannot be read"},
    {"{}", 0x7fffffff, "at most"},
    {"{}", 0xffffffff, "at most"},
    {"{}", (int64_t)FRAME_MAX + 1, "at most"},
    {"{}", FRAME_MAX, "ended inside a frame"},
    {"{}", 3, "ended inside a frame"},
};

START_TEST(hostile_frames_are_refused)
{
    struct err e;
    int fd[2];

    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        io_pair(fd);
        put_raw(fd[0], hostile[i].body, strlen(hostile[i].body), hostile[i].claimed);
        close(fd[0]);
        ck_assert_ptr_null(frame_recv(fd[1], 1000, &e));
        ck_assert_msg(strstr(e.text, hostile[i].error) != NULL, "%zu: %s", i, e.text);
        close(fd[1]);
    }
    io_pair(fd);
    ck_assert_int_eq(write(fd[0], "\0\0", 2), 2);
    close(fd[0]);
    ck_assert_ptr_null(frame_recv(fd[1], 1000, &e));
    ck_assert_str_eq(e.text, "the stream ended inside a frame");
    close(fd[1]);
}
END_TEST

START_TEST(waiting_is_bounded)
{
    json_t *msg = json_object();
    struct err e;
    int fd[2];
    uint64_t start = clock_mono_ms();

    io_pair(fd);
    ck_assert_ptr_null(frame_recv(fd[0], 30, &e));
    ck_assert_str_eq(e.text, "the other side did not answer in time");
    ck_assert_uint_ge(clock_mono_ms() - start, 29);
    put_raw(fd[1], "{", 1, 2);
    ck_assert_ptr_null(frame_recv(fd[0], 0, &e));
    ck_assert_str_eq(e.text, "the other side did not answer in time");
    for (int i = 0; i < 20; i++)
        json_object_set_new(msg, (char[]){(char)('a' + i), 0}, json_stringn_nocheck("x", 1));
    while (frame_send(fd[0], msg, 0, &e) == 0)
        ;
    ck_assert_str_eq(e.text, "the other side did not answer in time");
    json_decref(msg);
    close(fd[0]);
    close(fd[1]);
}
END_TEST

START_TEST(nobody_listens)
{
    char big[200];
    struct err e;

    ck_assert_int_eq(frame_connect("/tmp/fsm-no-such-socket", &e), -1);
    ck_assert_msg(strstr(e.text, "/tmp/fsm-no-such-socket: is the daemon") != NULL, "%s", e.text);
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    ck_assert_int_eq(frame_connect(big, &e), -1);
}
END_TEST

/* ---- evented ----------------------------------------------------------------------------- */

static struct frame_conn *fc;
static int n_msgs, last_n, ends;
static char end_text[200];
static enum { ON, FREE_IN_MSG, FINISH_IN_MSG } mode;

static void on_frame(struct frame_conn *f, json_t *msg, const char *err, void *arg)
{
    ck_assert_ptr_eq(f, fc);
    if (!msg) {
        ends++;
        snprintf(end_text, sizeof(end_text), "%s", err);
        frame_conn_free(f);
        return;
    }
    n_msgs++;
    last_n = (int)json_integer_value(json_object_get(msg, "n"));
    if (mode == FREE_IN_MSG)
        frame_conn_free(f);
    if (mode == FINISH_IN_MSG) {
        ck_assert_int_eq(frame_conn_send(f, msg), 0);
        frame_conn_finish(f);
    }
}

static int begin_frames(void)
{
    struct err e;
    int fd[2];

    io_begin();
    io_pair(fd);
    fc = frame_conn_new(l, fd[0], on_frame, NULL, &e);
    ck_assert_ptr_nonnull(fc);
    return fd[1];
}

START_TEST(many_in_one_piece_and_one_in_many)
{
    int fd = begin_frames();
    struct buf b = BUF_INIT;

    for (int i = 1; i <= 1000; i++) {
        char body[32];
        uint32_t head = htonl((uint32_t)snprintf(body, sizeof(body), "{\"n\":%d}", i));
        buf_append(&b, &head, 4);
        buf_puts(&b, body);
    }
    ck_assert_int_eq(write(fd, b.p, b.len), (ssize_t)b.len);
    IO_UNTIL(n_msgs == 1000);
    ck_assert_int_eq(last_n, 1000);
    for (size_t i = 0; i < 200; i++) {
        ck_assert_int_eq(write(fd, b.p + i, 1), 1);
        loop_turn(l, true);
    }
    ck_assert_int_ge(n_msgs, 1015);
    close(fd);
    IO_UNTIL(ends == 1);
    ck_assert_str_eq(end_text, "the stream ended inside a frame");
    buf_free(&b);
    io_end();
}
END_TEST

START_TEST(sends_and_ends_in_order)
{
    int fd = begin_frames();
    json_t *j;
    struct err e;

    for (int i = 0; i < 10; i++) {
        j = obj(i);
        ck_assert_int_eq(frame_conn_send(fc, j), 0);
        json_decref(j);
    }
    loop_turn(l, false);
    for (int i = 0; i < 10; i++) {
        j = frame_recv(fd, 1000, &e);
        ck_assert_int_eq(json_integer_value(json_object_get(j, "n")), i);
        json_decref(j);
    }
    close(fd);
    IO_UNTIL(ends == 1);
    ck_assert_str_eq(end_text, "");
    io_end();
}
END_TEST

START_TEST(hostile_frames_end_the_connection)
{
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        int fd = begin_frames();
        ends = n_msgs = 0;
        put_raw(fd, "{\"n\":1}", 7, -1);
        put_raw(fd, hostile[i].body, strlen(hostile[i].body), hostile[i].claimed);
        shutdown(fd, SHUT_WR);
        IO_UNTIL(ends == 1);
        ck_assert_int_eq(n_msgs, 1);
        ck_assert_msg(strstr(end_text, hostile[i].error) != NULL, "%zu: %s", i, end_text);
        close(fd);
        io_end();
    }
}
END_TEST

START_TEST(freed_inside_the_callback)
{
    int fd = begin_frames();

    mode = FREE_IN_MSG;
    put_raw(fd, "{}", 2, -1);
    put_raw(fd, "{}", 2, -1);
    IO_UNTIL(n_msgs == 1);
    io_for(10);
    ck_assert_int_eq(n_msgs, 1);
    ck_assert_int_eq(ends, 0);
    close(fd);
    io_end();
}
END_TEST

static void *read_slowly(void *arg)
{
    int fd = *(int *)arg;
    json_t *j;
    struct err e;
    intptr_t n = 0;

    while ((j = frame_recv(fd, 5000, &e))) {
        json_decref(j);
        n++;
        usleep(1000);
    }
    close(fd);
    return (void *)(e.text[0] ? -1 : n);
}

START_TEST(finish_waits_for_a_slow_reader)
{
    int fd = begin_frames();
    char *text = calloc(1, 1 << 20);
    json_t *big;
    pthread_t t;
    void *n;

    memset(text, 'x', (1 << 20) - 1);
    big = json_pack("{s:s}", "t", text);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(frame_conn_send(fc, big), 0);
    frame_conn_finish(fc);
    ck_assert_int_eq(pthread_create(&t, NULL, read_slowly, &fd), 0);
    while (pthread_tryjoin_np(t, &n) != 0)
        io_for(5);
    ck_assert_int_eq((intptr_t)n, 8);
    ck_assert_int_eq(ends, 0);
    json_decref(big);
    free(text);
    io_for(20);
    io_end();
}
END_TEST

START_TEST(an_answer_and_goodbye_inside_the_callback)
{
    int fd = begin_frames();
    json_t *j;
    struct err e;

    mode = FINISH_IN_MSG;
    put_raw(fd, "{\"n\":7}", 7, -1);
    IO_UNTIL(n_msgs == 1);
    loop_turn(l, false);
    j = frame_recv(fd, 1000, &e);
    ck_assert_int_eq(json_integer_value(json_object_get(j, "n")), 7);
    json_decref(j);
    ck_assert_ptr_null(frame_recv(fd, 1000, &e));
    ck_assert_str_eq(e.text, "");
    close(fd);
    io_for(20);
    io_end();
}
END_TEST

START_TEST(sending_is_bounded)
{
    int fd = begin_frames(), sent = 0;
    char *text = calloc(1, 16u << 20);
    json_t *big;

    memset(text, 'x', (16u << 20) - 1);
    big = json_pack("{s:s}", "t", text);
    while (frame_conn_send(fc, big) == 0)
        ck_assert_int_lt(++sent, 10);
    ck_assert_int_ge(sent, 4);
    json_decref(big);
    free(text);
    frame_conn_free(fc);
    close(fd);
    io_end();
}
END_TEST

UNIT_MAIN("frame", there_and_back, hostile_frames_are_refused, waiting_is_bounded, nobody_listens,
          many_in_one_piece_and_one_in_many, sends_and_ends_in_order,
          hostile_frames_end_the_connection, freed_inside_the_callback,
          finish_waits_for_a_slow_reader, an_answer_and_goodbye_inside_the_callback,
          sending_is_bounded)
