/* faults_test.c - files, connections and frames while one call after the other fails. */
/* objects: test/fake/faults.c */
/* wrap: malloc calloc realloc socket connect accept4 recv send sendmsg */
/* wrap: read write fsync rename epoll_ctl */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/io/conn.h"
#include "common/io/frame.h"
#include "common/io/listener.h"
#include "test/fake/faults.h"
#include "test/unit/io/io_test.h"

/* ---- a file is the old one or the new one ------------------------------------------------- */

static int save(void *arg)
{
    struct buf b = BUF_INIT;
    struct err e = {""};
    int rc;

    faults_pause();
    ck_assert_int_eq(file_write(arg, "old", 3, 0600, &e), 0);
    faults_resume();
    rc = file_write(arg, "new!", 4, 0600, &e);
    faults_pause();
    ck_assert_int_eq(file_read(arg, 10, &b, NULL), 0);
    ck_assert_msg(strcmp(b.p, rc == 0 ? "new!" : "old") == 0 || strstr(e.text, "syncing"),
                  "returned %d (%s), the file holds \"%s\"", rc, e.text, b.p);
    ck_assert_msg(rc == 0 || strstr(e.text, arg), "%s", e.text);
    buf_free(&b);
    return rc;
}

START_TEST(a_file_is_old_or_new)
{
    char dir[] = "/tmp/fsm-faults-test-XXXXXX", path[64];
    struct faults_sum sum;
    struct err e;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
    sum = faults_each(save, path);
    ck_assert_msg(sum.reported >= 4, "write, fsync, rename, fsync: %u", sum.reported);
    ck_assert_uint_eq(sum.absorbed, 0);
    ck_assert_int_eq(file_remove_tree(dir, &e), 0);
}
END_TEST

START_TEST(interrupted_calls_go_on)
{
    char dir[] = "/tmp/fsm-faults-test-XXXXXX", path[64];
    struct buf b = BUF_INIT;
    struct err e;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/file", dir);
    faults_interrupt();
    ck_assert_int_eq(file_write(path, "hello", 5, 0600, &e), 0);
    ck_assert_int_eq(file_read(path, 10, &b, &e), 0);
    faults_stop();
    ck_assert_str_eq(b.p, "hello");
    buf_free(&b);
    ck_assert_int_eq(file_remove_tree(dir, &e), 0);
}
END_TEST

/* ---- a question and its answer, all in one loop ------------------------------------------- */

static struct frame_conn *server;
static struct conn *client;
static enum { WAITING, ANSWERED, FAILED } outcome;

static void on_question(struct frame_conn *fc, json_t *msg, const char *err, void *arg)
{
    if (msg && frame_conn_send(fc, msg) == 0)
        return;
    frame_conn_free(fc);
    server = NULL;
}

static void on_accept(struct listener *li, int fd, const struct ip_port *peer, void *arg)
{
    server = frame_conn_new(l, fd, on_question, NULL, NULL); /* NULL: the client sees the end */
}

static void on_client(struct conn *c, unsigned ev, void *arg)
{
    static const char question[] = "\0\0\0\7{\"n\":1}";
    char answer[64];
    ssize_t n;

    if (ev & CONN_EV_OPEN)
        n = conn_write(c, question, sizeof(question) - 1) > 0 ? CONN_AGAIN : CONN_ERROR;
    else if (ev & CONN_EV_READ)
        n = conn_read(c, answer, sizeof(answer));
    else
        n = CONN_ERROR;
    if (n == CONN_AGAIN)
        return;
    outcome = n == sizeof(question) - 1 ? ANSWERED : FAILED;
    conn_close(c);
    client = NULL;
}

static int ask(void *arg)
{
    bool *interrupt = arg;
    struct ip_port here;
    struct listener *li;
    struct err e = {""};
    int fd;

    l = loop_new(&e);
    if (!l)
        return -1;
    ip_port_parse("127.0.0.1:0", &here);
    fd = listener_bind(&here, 0, 5, &e);
    li = fd >= 0 ? listener_new(l, fd, on_accept, NULL, &e) : NULL;
    if (li) {
        listener_address(li, &here);
        if (interrupt && *interrupt)
            faults_interrupt();
        client = conn_dial(l, &here, NULL, on_client, NULL, &e);
    }
    if (!client && !e.text[0])
        abort(); /* a failure says what it was */
    while (client)
        loop_turn(l, true);
    frame_conn_free(server);
    listener_free(li);
    loop_free(l);
    return outcome == ANSWERED ? 0 : -1;
}

START_TEST(a_connection_ends_whatever_fails)
{
    unsigned before = io_open_fds();
    struct faults_sum sum = faults_each(ask, NULL);

    ck_assert_msg(sum.runs > 15, "%u runs", sum.runs);
    ck_assert_uint_gt(sum.reported, 5);
    ck_assert_msg(sum.absorbed > 0, "a failed accept is only put off");
    ck_assert_uint_eq(io_open_fds(), before);
}
END_TEST

START_TEST(a_connection_survives_interruption)
{
    bool interrupt = true;

    ck_assert_int_eq(ask(&interrupt), 0);
    faults_stop();
}
END_TEST

UNIT_MAIN("faults", a_file_is_old_or_new, interrupted_calls_go_on, a_connection_ends_whatever_fails,
          a_connection_survives_interruption)
