/* chan_test.c - output queues over sockets that take little: nothing lost, nothing out of order. */
#include <errno.h>
#include <stdlib.h>
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/poison.h"
#include "common/proxy/chan.h"
#include "common/proxy/worker.h"
#include "test/unit/io/io_test.h"

#define SMALL 4608 /* the least the kernel gives */

static struct wmem *mem;
static struct gather gather;

struct end {
    struct chan ch;
    int fd; /* the other one; non-blocking */
    unsigned reads, writes;
};

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct end *e = arg;

    e->reads += (ev & CONN_EV_READ) != 0;
    if (ev & CONN_EV_WRITE) {
        e->writes++;
        chan_write_more(&e->ch);
    }
}

static void setup(void)
{
    io_begin();
    mem = wmem_new();
    gather_init(&gather, mem, l);
}

static void teardown(void)
{
    ck_assert_uint_eq(wmem_used(mem), 0);
    io_end();
    wmem_free(mem);
}

static void open_end(struct end *e)
{
    int fd[2], size = SMALL;
    struct err err;

    *e = (struct end){0};
    io_pair(fd);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    fcntl(fd[1], F_SETFL, O_NONBLOCK);
    e->fd = fd[1];
    struct conn *c = conn_adopt(l, fd[0], on_event, e, &err);
    ck_assert_ptr_nonnull(c);
    chan_init(&e->ch, c, &gather);
    loop_turn(l, false);
}

static void close_end(struct end *e)
{
    chan_release(&e->ch);
    conn_close(e->ch.c);
    loop_turn(l, false);
    if (e->fd >= 0)
        close(e->fd);
}

/* what the other side has; true at the end of stream */
static bool drain(struct end *e, struct buf *out)
{
    char p[700];
    ssize_t n;

    while ((n = recv(e->fd, p, sizeof p, 0)) > 0)
        buf_append(out, p, (size_t)n);
    return n == 0;
}

START_TEST(a_flush_is_one_write)
{
    struct end e;
    struct buf got = BUF_INIT;
    char body[] = "body";

    open_end(&e);
    char *text = chan_text(&e.ch, 100);
    memcpy(text, "head ", 5);
    chan_text_put(&e.ch, text, 5);
    chan_put(&e.ch, body, 4);
    chan_put(&e.ch, "", 0);
    ck_assert_int_eq(recv(e.fd, &(char){0}, 1, MSG_PEEK), -1);
    ck_assert_uint_eq(chan_backlog(&e.ch), 0);
    chan_flush(&e.ch);
    memset(body, 'x', 4); /* no longer borrowed */
    drain(&e, &got);
    ck_assert_str_eq(got.p, "head body");
    buf_free(&got);
    close_end(&e);
}
END_TEST

START_TEST(the_turn_flushes_what_nobody_did)
{
    struct end e;
    struct buf got = BUF_INIT;

    open_end(&e);
    chan_put(&e.ch, "late", 4);
    loop_turn(l, false);
    drain(&e, &got);
    ck_assert_str_eq(got.p, "late");
    buf_free(&got);
    close_end(&e);
}
END_TEST

START_TEST(another_channel_flushes_the_first)
{
    struct end a, b;
    struct buf got = BUF_INIT;

    open_end(&a);
    open_end(&b);
    chan_put(&a.ch, "one", 3);
    chan_put(&b.ch, "two", 3);
    drain(&a, &got);
    ck_assert_str_eq(got.p, "one");
    buf_clear(&got);
    gather_flush(&gather);
    drain(&b, &got);
    ck_assert_str_eq(got.p, "two");
    buf_free(&got);
    close_end(&a);
    close_end(&b);
}
END_TEST

/* random pieces, text and borrowed, into a socket that takes little at a time */
START_TEST(what_does_not_fit_waits_in_order)
{
    static char data[400000];
    struct end e;
    struct buf got = BUF_INIT;
    uint64_t seed = 99;
    size_t put = 0;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)unit_random(&seed);
    open_end(&e);
    while (put < sizeof data || chan_backlog(&e.ch)) {
        for (unsigned k = unit_random(&seed) % 90; k && put < sizeof data; k--) {
            size_t n = unit_random(&seed) % 2000 + 1;
            if (n > sizeof data - put)
                n = sizeof data - put;
            if (unit_random(&seed) % 2) {
                char *text = chan_text(&e.ch, n);
                memcpy(text, data + put, n);
                chan_text_put(&e.ch, text, n);
            } else {
                chan_put(&e.ch, data + put, n);
            }
            put += n;
        }
        if (unit_random(&seed) % 2)
            chan_flush(&e.ch);
        loop_turn(l, false);
        drain(&e, &got);
        loop_turn(l, false);
    }
    chan_flush(&e.ch);
    drain(&e, &got);
    ck_assert_uint_eq(got.len, sizeof data);
    ck_assert_int_eq(memcmp(got.p, data, sizeof data), 0);
    ck_assert_uint_gt(e.writes, 0);
    buf_free(&got);
    close_end(&e);
}
END_TEST

START_TEST(the_end_follows_what_waits)
{
    static char data[100000];
    struct end e;
    struct buf got = BUF_INIT;

    memset(data, 'd', sizeof data);
    open_end(&e);
    chan_put(&e.ch, data, sizeof data);
    chan_flush(&e.ch);
    chan_shut(&e.ch);
    ck_assert_uint_gt(chan_backlog(&e.ch), 0);
    ck_assert(!e.ch.shut);
    while (!drain(&e, &got))
        loop_turn(l, true);
    ck_assert(e.ch.shut);
    ck_assert_uint_eq(got.len, sizeof data);
    buf_free(&got);
    close_end(&e);
}
END_TEST

START_TEST(a_broken_channel_takes_no_more)
{
    static char data[100000];
    struct end e;

    open_end(&e);
    close(e.fd);
    e.fd = -1;
    chan_put(&e.ch, data, sizeof data);
    chan_flush(&e.ch);
    ck_assert(e.ch.broken);
    ck_assert_uint_eq(chan_backlog(&e.ch), 0);
    unsigned before = e.reads;
    loop_turn(l, false);
    ck_assert_uint_gt(e.reads, before); /* the owner is woken to meet the error */
    chan_put(&e.ch, data, sizeof data);
    chan_flush(&e.ch);
    ck_assert_uint_eq(chan_backlog(&e.ch), 0);
    ck_assert(chan_write_more(&e.ch));
    close_end(&e);
}
END_TEST

START_TEST(release_drops_what_waits)
{
    static char data[100000];
    struct end e;

    open_end(&e);
    chan_put(&e.ch, data, sizeof data);
    chan_flush(&e.ch);
    ck_assert_uint_gt(wmem_used(mem), 0);
    chan_release(&e.ch);
    ck_assert_uint_eq(wmem_used(mem), 0);
    chan_put(&e.ch, data, 10); /* goes nowhere */
    chan_flush(&e.ch);
    ck_assert_uint_eq(wmem_used(mem), 0);
    close_end(&e);
}
END_TEST

/* whoever borrowed of the buffer may have returned without a flush: its connection ended */
START_TEST(what_is_borrowed_leaves_before_the_buffer_is_read_into)
{
    static struct worker w;
    struct buf got = BUF_INIT;
    struct end e;

    open_end(&e);
    w.gather = &gather;
    w.rbuf = w.rbufs = xcalloc(2, RBUF_SIZE); /* two with a sanitizer */
    char *p = worker_rbuf(&w);
    memset(p, 'a', 3000);
    chan_put(&e.ch, p, 3000);
    memset(worker_rbuf(&w), 'b', 3000); /* what another connection reads */
    chan_flush(&e.ch);
    drain(&e, &got);
    ck_assert_uint_eq(got.len, 3000);
    ck_assert_ptr_null(memchr(got.p, 'b', got.len));
    close_end(&e);
    buf_free(&got);
    unpoison(w.rbufs, 2 * RBUF_SIZE);
    free(w.rbufs);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chan");
    TCase *tc = tcase_create("chan");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_flush_is_one_write);
    tcase_add_test(tc, the_turn_flushes_what_nobody_did);
    tcase_add_test(tc, another_channel_flushes_the_first);
    tcase_add_test(tc, what_does_not_fit_waits_in_order);
    tcase_add_test(tc, the_end_follows_what_waits);
    tcase_add_test(tc, a_broken_channel_takes_no_more);
    tcase_add_test(tc, release_drops_what_waits);
    tcase_add_test(tc, what_is_borrowed_leaves_before_the_buffer_is_read_into);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
