/* conn_test.c - connections over socket pairs and loopback TCP: every event, every ending. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include "common/base/clock.h"
#include "common/io/conn.h"
#include "common/io/listener.h"
#include "test/unit/io/io_test.h"

/* what a conn was told, and what it does about it */
struct seen {
    struct conn *c;
    unsigned opens, reads, writes, fails;
    bool hold;  /* do not read */
    bool close; /* close in the callback */
    bool eof;
    ssize_t last; /* what the last conn_read said */
    size_t bytes;
    char data[4096];
};

static void drain(struct seen *s)
{
    char b[1000];

    while ((s->last = conn_read(s->c, b, sizeof(b))) > 0) {
        for (ssize_t i = 0; i < s->last && s->bytes + (size_t)i < sizeof(s->data) - 1; i++)
            s->data[s->bytes + (size_t)i] = b[i];
        s->bytes += (size_t)s->last;
    }
    s->eof |= s->last == 0;
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct seen *s = arg;

    s->c = c;
    s->opens += (ev & CONN_EV_OPEN) != 0;
    s->reads += (ev & CONN_EV_READ) != 0;
    s->writes += (ev & CONN_EV_WRITE) != 0;
    s->fails += (ev & CONN_EV_FAIL) != 0;
    if (s->close)
        conn_close(c);
    else if ((ev & CONN_EV_READ) && !s->hold)
        drain(s);
}

static struct seen s;
static int far_end; /* a blocking descriptor, the test's side */

static void begin_pair(void)
{
    struct err e;
    int fd[2];

    io_begin();
    io_pair(fd);
    far_end = fd[1];
    s.c = conn_adopt(l, fd[0], on_event, &s, &e);
    ck_assert_ptr_nonnull(s.c);
}

static void end_pair(void)
{
    conn_close(s.c);
    if (far_end >= 0)
        close(far_end);
    io_end();
}

static void put(const char *text)
{
    ck_assert_int_eq(write(far_end, text, strlen(text)), (ssize_t)strlen(text));
}

/* ---- reading and writing ----------------------------------------------------------------- */

START_TEST(reads_what_comes)
{
    begin_pair();
    ck_assert_int_eq(conn_read(s.c, s.data, 10), CONN_AGAIN);
    put("hello");
    IO_UNTIL(s.bytes == 5);
    ck_assert_str_eq(s.data, "hello");
    ck_assert_int_eq(s.last, CONN_AGAIN);
    ck_assert_uint_eq(s.c->rx_bytes, 5);
    put(" world");
    IO_UNTIL(s.bytes == 11);
    ck_assert_uint_eq(s.reads, 2);
    end_pair();
}
END_TEST

START_TEST(a_short_read_says_drained_without_asking)
{
    char b[10];

    begin_pair();
    s.hold = true;
    put("hello");
    IO_UNTIL(s.reads == 1);
    ck_assert(s.c->can_read && conn_may_read(s.c));
    ck_assert_int_eq(conn_read(s.c, b, 5), 5);
    ck_assert_msg(s.c->can_read, "a full read proves nothing");
    ck_assert_int_eq(conn_read(s.c, b, 5), CONN_AGAIN);
    ck_assert(!s.c->can_read);
    put("abc");
    IO_UNTIL(s.reads == 2);
    ck_assert_int_eq(conn_read(s.c, b, 5), 3);
    ck_assert_msg(!s.c->can_read && !conn_may_read(s.c), "a short one does");
    end_pair();
}
END_TEST

START_TEST(held_bytes_are_not_told_again_and_not_lost)
{
    begin_pair();
    s.hold = true;
    put("a");
    IO_UNTIL(s.reads == 1);
    put("b");
    io_for(20);
    put("c");
    io_for(20);
    ck_assert_uint_eq(s.reads, 1);
    s.hold = false;
    conn_wake(s.c, CONN_EV_READ);
    conn_wake(s.c, CONN_EV_READ);
    loop_turn(l, false);
    ck_assert_uint_eq(s.reads, 2);
    ck_assert_str_eq(s.data, "abc");
    put("d");
    IO_UNTIL(s.bytes == 4);
    end_pair();
}
END_TEST

START_TEST(the_end_is_told_even_while_held)
{
    begin_pair();
    s.hold = true;
    put("a");
    IO_UNTIL(s.reads == 1);
    shutdown(far_end, SHUT_WR);
    IO_UNTIL(s.reads == 2);
    ck_assert(s.c->rdhup && !s.eof);
    s.hold = false;
    conn_wake(s.c, CONN_EV_READ);
    IO_UNTIL(s.eof);
    ck_assert_str_eq(s.data, "a");
    ck_assert_msg(conn_write(s.c, "still", 5) == 5, "their end is not ours");
    end_pair();
}
END_TEST

START_TEST(the_end_right_behind_the_data_is_seen)
{
    begin_pair();
    put("last words");
    shutdown(far_end, SHUT_WR);
    IO_UNTIL(s.eof);
    ck_assert_str_eq(s.data, "last words");
    ck_assert_msg(conn_read(s.c, s.data, 1) == 0, "0 again and again");
    end_pair();
}
END_TEST

START_TEST(our_end_leaves_their_way_open)
{
    char b[10];

    begin_pair();
    ck_assert_int_eq(conn_write(s.c, "bye", 3), 3);
    conn_shut_write(s.c);
    conn_shut_write(s.c);
    ck_assert(s.c->wr_shut);
    ck_assert_int_eq(read(far_end, b, sizeof(b)), 3);
    ck_assert_int_eq(read(far_end, b, sizeof(b)), 0);
    put("answer");
    IO_UNTIL(s.bytes == 6);
    end_pair();
}
END_TEST

START_TEST(peeking_keeps_the_bytes_and_the_next_event)
{
    char b[10];

    begin_pair();
    s.hold = true;
    ck_assert_int_eq(conn_peek(s.c, b, sizeof(b)), CONN_AGAIN);
    put("ab");
    IO_UNTIL(s.reads == 1);
    ck_assert_int_eq(conn_peek(s.c, b, sizeof(b)), 2);
    put("cd");
    IO_UNTIL(s.reads == 2);
    ck_assert_int_eq(conn_peek(s.c, b, sizeof(b)), 4);
    ck_assert_int_eq(conn_read(s.c, b, sizeof(b)), 4);
    ck_assert_int_eq(memcmp(b, "abcd", 4), 0);
    put("ef");
    IO_UNTIL(s.reads == 3);
    end_pair();
}
END_TEST

static void read_exactly(int fd, size_t n)
{
    static char b[65536];

    while (n > 0) {
        ssize_t got = read(fd, b, n < sizeof(b) ? n : sizeof(b));
        ck_assert_int_gt(got, 0);
        n -= (size_t)got;
    }
}

START_TEST(a_full_socket_says_when_it_opens)
{
    static char big[1 << 20];
    struct iovec iov[2] = {{big, 1000}, {big, sizeof(big)}};
    ssize_t put_n;

    begin_pair();
    put_n = conn_writev(s.c, iov, 2);
    ck_assert_int_gt(put_n, 1000);
    ck_assert_int_lt(put_n, (ssize_t)sizeof(big));
    ck_assert(!s.c->can_write);
    ck_assert_int_eq(conn_write(s.c, "x", 1), CONN_AGAIN);
    io_for(20);
    ck_assert_uint_eq(s.writes, 0);
    read_exactly(far_end, (size_t)put_n);
    IO_UNTIL(s.writes == 1);
    ck_assert(s.c->can_write);
    ck_assert_int_eq(conn_write(s.c, "x", 1), 1);
    ck_assert_uint_eq(s.c->tx_bytes, (size_t)put_n + 1);
    io_for(20);
    ck_assert_msg(s.writes == 1, "nobody waits: nobody is told");
    end_pair();
}
END_TEST

/* ---- closing ----------------------------------------------------------------------------- */

START_TEST(closing_inside_the_callback)
{
    begin_pair();
    s.close = true;
    put("x");
    IO_UNTIL(s.reads == 1);
    send(far_end, "y", 1, MSG_NOSIGNAL); /* may fail by now; nothing may come of it */
    io_for(10);
    ck_assert_uint_eq(s.reads, 1);
    close(far_end);
    io_end();
}
END_TEST

START_TEST(after_closing_nothing_works_and_nothing_breaks)
{
    begin_pair();
    conn_wake(s.c, CONN_EV_READ);
    conn_close(s.c);
    conn_close(s.c);
    conn_abort(s.c);
    conn_wake(s.c, CONN_EV_READ);
    conn_shut_write(s.c);
    ck_assert_int_eq(conn_read(s.c, s.data, 1), CONN_ERROR);
    ck_assert_int_eq(conn_write(s.c, "x", 1), CONN_ERROR);
    ck_assert_int_eq(conn_peek(s.c, s.data, 1), CONN_ERROR);
    ck_assert(!conn_may_read(s.c));
    ck_assert_int_eq(conn_original_dst(s.c, &s.c->peer), -1);
    ck_assert_int_eq(s.c->fd, -1);
    loop_turn(l, false);
    ck_assert_uint_eq(s.reads, 0);
    conn_close(NULL);
    conn_abort(NULL);
    close(far_end);
    io_end();
}
END_TEST

START_TEST(a_bad_descriptor_is_refused)
{
    struct err e;

    io_begin();
    ck_assert_ptr_null(conn_adopt(l, -1, on_event, &s, &e));
    ck_assert_ptr_null(conn_adopt(l, 1000, on_event, &s, &e));
    io_end();
}
END_TEST

/* ---- TCP --------------------------------------------------------------------------------- */

static struct ip_port here;

static int tcp_listen(const char *where, int backlog)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct err e;
    int fd;

    ck_assert_int_eq(ip_port_parse(where, &here), 0);
    fd = listener_bind(&here, 0, backlog, &e);
    ck_assert_msg(fd >= 0, "%s", e.text);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert_int_eq(ip_port_from_sockaddr((struct sockaddr *)&ss, &here), 0);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

/* s.c dialled, far_end accepted */
static void begin_tcp(const char *where)
{
    struct err e;
    int lfd;

    io_begin();
    lfd = tcp_listen(where, 5);
    s.c = conn_dial(l, &here, NULL, on_event, &s, &e);
    ck_assert_msg(s.c != NULL, "%s", e.text);
    ck_assert_msg(s.opens == 0, "never from inside the call");
    far_end = accept(lfd, NULL, NULL);
    close(lfd);
    IO_UNTIL(s.opens == 1);
}

static void talk(const char *where)
{
    begin_tcp(where);
    ck_assert(ip_port_eq(&s.c->peer, &here));
    ck_assert_uint_ne(conn_local(s.c).port, 0);
    struct ip_port mine = conn_local(s.c);
    ck_assert(ip_eq(&mine.ip, &here.ip));
    ck_assert_int_eq(conn_write(s.c, "hi", 2), 2);
    read_exactly(far_end, 2);
    put("hello");
    shutdown(far_end, SHUT_WR);
    IO_UNTIL(s.eof);
    ck_assert_str_eq(s.data, "hello");
    ck_assert_uint_eq(s.opens, 1);
    end_pair();
}

START_TEST(dials_ipv4)
{
    talk("127.0.0.1:0");
}
END_TEST

START_TEST(dials_ipv6)
{
    talk("[::1]:0");
}
END_TEST

static void dial_fails(const struct ip_port *dst, const struct conn_dial_opts *o,
                       enum conn_fail want)
{
    struct err e;

    s.c = conn_dial(l, dst, o, on_event, &s, &e);
    ck_assert_msg(s.c != NULL, "%s", e.text);
    ck_assert_uint_eq(s.fails, 0);
    IO_UNTIL(s.fails == 1);
    ck_assert_str_eq(conn_fail_name(s.c->fail), conn_fail_name(want));
    ck_assert_uint_eq(s.opens, 0);
    ck_assert_int_eq(conn_read(s.c, s.data, 1), CONN_ERROR);
    io_for(5);
    ck_assert_msg(s.fails == 1, "told once");
    conn_close(s.c);
}

START_TEST(a_closed_port_refuses)
{
    io_begin();
    close(tcp_listen("127.0.0.1:0", 1));
    dial_fails(&here, NULL, CONN_FAIL_REFUSED);
    io_end();
}
END_TEST

START_TEST(no_route_is_unreachable)
{
    struct ip_port dst;

    if (geteuid() == 0) /* a namespace without interfaces: certainly no route */
        ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    io_begin();
    ck_assert_int_eq(ip_port_parse("[2001:db8::1]:80", &dst), 0);
    dial_fails(&dst, NULL, CONN_FAIL_UNREACHABLE);
    io_end();
}
END_TEST

START_TEST(a_full_backlog_times_out)
{
    const struct conn_dial_opts o = {.timeout_ms = 50};
    struct sockaddr_storage ss;
    int lfd, fill[8];
    uint64_t start;

    io_begin();
    lfd = tcp_listen("127.0.0.1:0", 0);
    for (int i = 0; i < 8; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&ss, ip_port_to_sockaddr(&here, &ss));
    }
    start = clock_mono_ms();
    dial_fails(&here, &o, CONN_FAIL_CONNECT_TIMEOUT);
    ck_assert_uint_ge(clock_mono_ms() - start, 49);
    for (int i = 0; i < 8; i++)
        close(fill[i]);
    close(lfd);
    io_end();
}
END_TEST

START_TEST(a_dial_can_be_closed_before_it_opens)
{
    struct err e;
    int lfd;

    io_begin();
    lfd = tcp_listen("127.0.0.1:0", 5);
    conn_close(conn_dial(l, &here, NULL, on_event, &s, &e));
    close(lfd);
    conn_close(conn_dial(l, &here, NULL, on_event, &s, &e));
    io_for(20);
    ck_assert_uint_eq(s.opens + s.fails, 0);
    io_end();
}
END_TEST

START_TEST(waking_a_dial_does_not_disturb_it)
{
    struct err e;
    int lfd;

    io_begin();
    lfd = tcp_listen("127.0.0.1:0", 5);
    s.c = conn_dial(l, &here, NULL, on_event, &s, &e);
    conn_wake(s.c, CONN_EV_READ | CONN_EV_OPEN | CONN_EV_FAIL);
    usleep(5000); /* the answer is there before the first turn */
    IO_UNTIL(s.opens == 1);
    io_for(5);
    ck_assert_uint_eq(s.opens, 1);
    ck_assert_uint_eq(s.fails, 0);
    close(lfd);
    far_end = -1;
    end_pair();
}
END_TEST

START_TEST(a_source_is_bound)
{
    struct conn_dial_opts o = {0};
    struct ip_port source, peer;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct err e;
    int lfd;

    io_begin();
    lfd = tcp_listen("127.0.0.1:0", 5);
    ck_assert_int_eq(ip_port_parse("127.0.0.9:0", &source), 0);
    o.source = &source;
    s.c = conn_dial(l, &here, &o, on_event, &s, &e);
    far_end = accept(lfd, (struct sockaddr *)&ss, &len);
    ck_assert_int_eq(ip_port_from_sockaddr((struct sockaddr *)&ss, &peer), 0);
    ck_assert(ip_eq(&peer.ip, &source.ip));
    ck_assert_int_eq(ip_port_parse("192.0.2.1:0", &source), 0);
    ck_assert_ptr_null(conn_dial(l, &here, &o, on_event, &s, &e));
    ck_assert_msg(strstr(e.text, "192.0.2.1:0") != NULL, "%s", e.text);
    close(lfd);
    end_pair();
}
END_TEST

static void reset_far_end(void)
{
    struct linger now = {.l_onoff = 1};

    setsockopt(far_end, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(far_end);
    far_end = -1;
}

START_TEST(a_reset_is_an_error_not_an_end)
{
    begin_tcp("127.0.0.1:0");
    reset_far_end();
    IO_UNTIL(s.last == CONN_ERROR);
    ck_assert(!s.eof);
    ck_assert_str_eq(conn_fail_name(s.c->fail), "reset");
    ck_assert_int_eq(conn_read(s.c, s.data, 1), CONN_ERROR);
    ck_assert_int_eq(conn_write(s.c, "x", 1), CONN_ERROR);
    end_pair();
}
END_TEST

/* in one turn: the read that finds the bytes looks as if it had drained the socket */
START_TEST(a_reset_right_behind_the_data_is_told)
{
    begin_tcp("127.0.0.1:0");
    put("last words");
    reset_far_end();
    IO_UNTIL(s.last == CONN_ERROR);
    ck_assert_str_eq(s.data, "last words");
    ck_assert_str_eq(conn_fail_name(s.c->fail), "reset");
    end_pair();
}
END_TEST

START_TEST(a_reset_after_their_end_is_told)
{
    begin_tcp("127.0.0.1:0");
    shutdown(far_end, SHUT_WR);
    IO_UNTIL(s.eof);
    ck_assert(!s.c->broken);
    s.reads = 0;
    reset_far_end();
    IO_UNTIL(s.reads == 1);
    ck_assert_msg(s.c->broken, "nobody is there to write to");
    end_pair();
}
END_TEST

START_TEST(a_reset_is_told_even_while_held)
{
    begin_tcp("127.0.0.1:0");
    s.hold = true;
    put("a");
    IO_UNTIL(s.reads == 1);
    put("b");
    io_for(20);
    ck_assert_msg(s.reads == 1 && !s.c->broken, "more bytes are no reset");
    reset_far_end();
    IO_UNTIL(s.reads == 2);
    ck_assert(s.c->broken && conn_gone(s.c));
    io_for(20);
    ck_assert_msg(s.reads == 2, "told once");
    s.hold = false;
    drain(&s);
    ck_assert_str_eq(s.data, "ab");
    ck_assert_int_eq(s.last, CONN_ERROR);
    end_pair();
}
END_TEST

START_TEST(an_abort_is_a_reset)
{
    char b[1];

    begin_tcp("127.0.0.1:0");
    conn_abort(s.c);
    ck_assert_int_eq(read(far_end, b, 1), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    end_pair();
}
END_TEST

START_TEST(an_early_answer_survives_a_failed_write)
{
    begin_tcp("127.0.0.1:0");
    s.hold = true;
    put("413 too large");
    IO_UNTIL(s.reads == 1);
    conn_write(s.c, "more of the request", 19);
    close(far_end); /* with unread bytes: the kernel resets */
    far_end = -1;
    IO_UNTIL(conn_write(s.c, "x", 1) == CONN_ERROR);
    ck_assert_str_eq(conn_fail_name(s.c->fail), "reset");
    s.hold = false;
    drain(&s);
    ck_assert_str_eq(s.data, "413 too large");
    end_pair();
}
END_TEST

/* makes of each byte twenty, as TLS does of little ones */
#define WORDS 20

static ssize_t wordy_writev(struct conn *c, const struct iovec *iov, int n)
{
    static char words[WORDS << 10];
    struct iovec out = {words, WORDS * (iov[0].iov_len < 1024 ? iov[0].iov_len : 1024)};
    ssize_t put = conn_plain.writev(c, &out, 1);

    ck_assert_int_eq(n, 1);
    return put > 0 ? (put + WORDS - 1) / WORDS : put;
}

static ssize_t wordy_read(struct conn *c, void *p, size_t n)
{
    return conn_plain.read(c, p, n);
}

/* waits until the peer has acknowledged more than that */
static uint64_t taken_beyond(uint64_t before)
{
    uint64_t now = before;

    for (int i = 0; i < IO_PATIENCE_MS && (now = conn_taken(s.c)) <= before; i++)
        usleep(1000);
    ck_assert_uint_gt(now, before);
    return now;
}

START_TEST(what_the_peer_has_taken_only_grows)
{
    static const struct conn_xport wordy = {
        .name = "wordy", .read = wordy_read, .writev = wordy_writev};
    static char text[1024];

    begin_tcp("127.0.0.1:0");
    s.c->xport = &wordy;
    while (conn_write(s.c, text, sizeof text) > 0)
        ;
    uint64_t taken = taken_beyond(0);
    read_exactly(far_end, taken);
    taken = taken_beyond(taken);
    conn_shut_write(s.c);
    ck_assert_uint_ge(conn_taken(s.c), taken);
    end_pair();
}
END_TEST

START_TEST(urgent_data_does_no_harm)
{
    begin_tcp("127.0.0.1:0");
    put("ab");
    ck_assert_int_eq(send(far_end, "!", 1, MSG_OOB), 1);
    put("cd");
    IO_UNTIL(s.bytes == 4); /* with nothing behind it that would raise another edge */
    ck_assert_str_eq(s.data, "abcd");
    ck_assert_msg(!s.c->can_read && !s.c->urgent, "read to the end, and past the mark");
    put("ef");
    IO_UNTIL(s.bytes == 6);
    ck_assert_int_eq(send(far_end, "!", 1, MSG_OOB), 1);
    io_for(20);
    put("gh");
    IO_UNTIL(s.bytes == 8);
    shutdown(far_end, SHUT_WR);
    IO_UNTIL(s.eof);
    ck_assert_str_eq(s.data, "abcdefgh");
    end_pair();
}
END_TEST

START_TEST(no_descriptor_left)
{
    struct rlimit lim, none;
    struct err e;
    int lfd;

    io_begin();
    lfd = tcp_listen("127.0.0.1:0", 5);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    none = (struct rlimit){0, lim.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_ptr_null(conn_dial(l, &here, NULL, on_event, &s, &e));
    ck_assert_int_eq(errno, EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
    ck_assert_str_eq(conn_fail_name(conn_fail_of(EMFILE, true)), "no_descriptors");
    close(lfd);
    io_end();
}
END_TEST

START_TEST(dials_unix)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char long_path[200];
    struct err e;
    int lfd;

    io_begin();
    snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/fsm-conn-test-%d", getpid());
    s.c = conn_dial_unix(l, un.sun_path, on_event, &s, &e);
    IO_UNTIL(s.fails == 1);
    ck_assert_str_eq(conn_fail_name(s.c->fail), "connect_refused");
    conn_close(s.c);
    lfd = listener_bind_unix(un.sun_path, 0600, &e);
    ck_assert_int_ge(lfd, 0);
    fcntl(lfd, F_SETFL, 0);
    s.c = conn_dial_unix(l, un.sun_path, on_event, &s, &e);
    far_end = accept(lfd, NULL, NULL);
    io_for(5);
    ck_assert_msg(s.opens == 1, "told once: %u", s.opens);
    put("x");
    IO_UNTIL(s.bytes == 1);
    ck_assert_int_eq(s.c->peer.ip.family, 0);
    unlink(un.sun_path);
    close(lfd);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = 0;
    ck_assert_ptr_null(conn_dial_unix(l, long_path, on_event, &s, &e));
    end_pair();
}
END_TEST

START_TEST(failures_have_names)
{
    ck_assert_str_eq(conn_fail_name(CONN_FAIL_NONE), "none");
    ck_assert_str_eq(conn_fail_name(CONN_FAIL_NO_FDS), "no_descriptors");
    ck_assert_str_eq(conn_fail_name((enum conn_fail)99), "unknown");
    ck_assert_int_eq(conn_fail_of(ETIMEDOUT, true), CONN_FAIL_CONNECT_TIMEOUT);
    ck_assert_int_eq(conn_fail_of(ETIMEDOUT, false), CONN_FAIL_IO);
    ck_assert_int_eq(conn_fail_of(EPIPE, false), CONN_FAIL_RESET);
    ck_assert_int_eq(conn_fail_of(EHOSTUNREACH, true), CONN_FAIL_UNREACHABLE);
}
END_TEST

/* ---- transports -------------------------------------------------------------------------- */

/* A transport whose handshake is one byte each way, and that reads ahead into a buffer of its
 * own, as TLS does. */
struct toy {
    bool sent, fail;
    char ahead[64];
    size_t n;
    int shuts, frees;
};

static int toy_handshake(struct conn *c)
{
    struct toy *t = c->xport_data;
    char b;

    if (!t->sent)
        t->sent = conn_plain.writev(c, &(struct iovec){(char[]){'H'}, 1}, 1) == 1;
    if (conn_plain.read(c, &b, 1) != 1)
        return CONN_AGAIN;
    return t->fail ? CONN_ERROR : 1;
}

static ssize_t toy_read(struct conn *c, void *p, size_t n)
{
    struct toy *t = c->xport_data;
    ssize_t got;

    if (t->n == 0) {
        got = conn_plain.read(c, t->ahead, sizeof(t->ahead));
        if (got <= 0)
            return got;
        t->n = (size_t)got;
    }
    n = n < t->n ? n : t->n;
    memcpy(p, t->ahead, n);
    t->n -= n;
    memmove(t->ahead, t->ahead + n, t->n);
    return (ssize_t)n;
}

static ssize_t toy_writev(struct conn *c, const struct iovec *iov, int n)
{
    return conn_plain.writev(c, iov, n);
}

static size_t toy_pending(struct conn *c)
{
    return ((struct toy *)c->xport_data)->n;
}

static void toy_shut(struct conn *c)
{
    ((struct toy *)c->xport_data)->shuts++;
}

static void toy_free(struct conn *c)
{
    ((struct toy *)c->xport_data)->frees++;
}

static const struct conn_xport toy_xport = {.name = "toy",
                                            .read = toy_read,
                                            .writev = toy_writev,
                                            .handshake = toy_handshake,
                                            .shut = toy_shut,
                                            .pending = toy_pending,
                                            .free = toy_free};

START_TEST(a_transport_opens_and_tells_what_came_with_the_handshake)
{
    struct toy toy = {0};
    char b[4];

    begin_pair();
    s.hold = true;
    conn_secure(s.c, &toy_xport, &toy);
    read_exactly(far_end, 1);
    put("Habcdef");
    IO_UNTIL(s.opens == 1 && s.reads == 1);
    ck_assert_int_eq(conn_read(s.c, b, 4), 4);
    ck_assert_msg(!s.c->can_read && conn_may_read(s.c), "the transport holds two more");
    ck_assert_int_eq(conn_read(s.c, b, 4), 2);
    ck_assert(!conn_may_read(s.c));
    put("g");
    IO_UNTIL(s.reads == 2);
    conn_shut_write(s.c);
    ck_assert_int_eq(toy.shuts, 1);
    ck_assert_int_eq(toy.frees, 0);
    end_pair();
    ck_assert_int_eq(toy.shuts, 1);
    ck_assert_int_eq(toy.frees, 1);
}
END_TEST

START_TEST(a_handshake_that_is_done_at_once_is_told_later)
{
    struct toy toy = {0};

    begin_pair();
    s.hold = true;
    put("Hab");
    IO_UNTIL(s.reads == 1);
    conn_secure(s.c, &toy_xport, &toy);
    ck_assert_uint_eq(s.opens, 0);
    s.hold = false;
    IO_UNTIL(s.bytes == 2);
    ck_assert_uint_eq(s.opens, 1);
    end_pair();
    ck_assert_int_eq(toy.shuts, 1);
}
END_TEST

START_TEST(a_handshake_that_fails)
{
    struct toy toy = {.fail = true};

    begin_pair();
    conn_secure(s.c, &toy_xport, &toy);
    put("Hab");
    IO_UNTIL(s.fails == 1);
    ck_assert_str_eq(conn_fail_name(s.c->fail), "tls_error");
    put("more");
    io_for(10);
    ck_assert_uint_eq(s.fails, 1);
    ck_assert_uint_eq(s.opens + s.reads, 0);
    end_pair();
    ck_assert_msg(toy.shuts == 0 && toy.frees == 1, "no goodbye to a stranger");
}
END_TEST

START_TEST(a_transport_may_open_inside_the_open_of_tcp)
{
    struct toy toy = {0};
    struct seen other = {0};

    begin_tcp("127.0.0.1:0");
    put("Hab");
    conn_set_cb(s.c, on_event, &other);
    conn_secure(s.c, &toy_xport, &toy);
    IO_UNTIL(other.bytes == 2);
    ck_assert_uint_eq(other.opens, 1);
    end_pair();
}
END_TEST

/* ---- nothing is lost --------------------------------------------------------------------- */

enum { FLOOD = 8 << 20 };

static unsigned char flood_byte(size_t i)
{
    return (unsigned char)(i * 31 + (i >> 9));
}

static void *flood_thread(void *arg)
{
    unsigned char b[5000];
    uint64_t seed = 5;

    for (size_t at = 0; at < FLOOD;) {
        size_t n = 1 + unit_random(&seed) % sizeof(b);
        if (n > FLOOD - at)
            n = FLOOD - at;
        for (size_t i = 0; i < n; i++)
            b[i] = flood_byte(at + i);
        for (size_t done = 0; done < n;) {
            ssize_t put_n = write(far_end, b + done, n - done);
            if (put_n <= 0)
                abort();
            done += (size_t)put_n;
        }
        at += n;
        if (unit_random(&seed) % 64 == 0)
            usleep(200);
    }
    shutdown(far_end, SHUT_WR);
    return NULL;
}

static struct flood {
    size_t at;
    uint64_t seed;
    bool eof;
    struct timer pause;
} flood;

/* reads pieces of random size, stops when it likes, and comes back by wake or by timer */
static void on_flood(struct conn *c, unsigned ev, void *arg)
{
    unsigned char b[8192];
    ssize_t n;

    if (timer_is_set(&flood.pause))
        return;
    for (;;) {
        n = conn_read(c, b, 1 + unit_random(&flood.seed) % sizeof(b));
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            if (b[i] != flood_byte(flood.at + (size_t)i)) /* an assertion per byte is slow */
                ck_abort_msg("byte %zu is wrong", flood.at + (size_t)i);
        flood.at += (size_t)n;
        if (unit_random(&flood.seed) % 16 == 0) {
            conn_wake(c, CONN_EV_READ);
            return;
        }
        if (unit_random(&flood.seed) % 256 == 0) {
            timer_set(&flood.pause, 1);
            return;
        }
    }
    ck_assert_int_ne(n, CONN_ERROR);
    flood.eof = n == 0;
}

static void on_pause(void *arg)
{
    on_flood(s.c, CONN_EV_READ, NULL);
}

START_TEST(no_byte_and_no_edge_is_lost)
{
    pthread_t t;

    begin_tcp("127.0.0.1:0");
    flood.seed = 17;
    timer_init(&flood.pause, l, on_pause, NULL);
    conn_set_cb(s.c, on_flood, NULL);
    ck_assert_int_eq(pthread_create(&t, NULL, flood_thread, NULL), 0);
    IO_UNTIL(flood.eof);
    ck_assert_uint_eq(flood.at, FLOOD);
    pthread_join(t, NULL);
    end_pair();
}
END_TEST

/* ---- where a redirected connection wanted to go ------------------------------------------ */

START_TEST(without_redirection_it_is_the_own_address)
{
    struct ip_port dst, mine;
    struct conn *in;
    struct err e;

    begin_tcp("127.0.0.1:0");
    in = conn_adopt(l, far_end, on_event, &s, &e);
    ck_assert_ptr_nonnull(in);
    mine = conn_local(in);
    ck_assert(ip_port_eq(&mine, &here));
    ck_assert_int_eq(conn_original_dst(in, &dst), 0);
    ck_assert(ip_port_eq(&dst, &mine));
    conn_close(in);
    far_end = -1;
    end_pair();
}
END_TEST

static void redirected(const char *where, const char *wanted, const char *rule)
{
    struct ip_port dst, want;
    struct conn *in;
    char cmd[256];
    struct err e;
    int lfd;

    lfd = tcp_listen(where, 5);
    snprintf(cmd, sizeof(cmd), rule, here.port);
    ck_assert_msg(system(cmd) == 0, "%s", cmd);
    ck_assert_int_eq(ip_port_parse(wanted, &want), 0);
    s.c = conn_dial(l, &want, NULL, on_event, &s, &e);
    ck_assert_ptr_nonnull(s.c);
    in = conn_adopt(l, accept(lfd, NULL, NULL), on_event, &s, &e);
    ck_assert_ptr_nonnull(in);
    ck_assert_int_eq(conn_local(in).port, here.port);
    ck_assert_int_eq(conn_original_dst(in, &dst), 0);
    ck_assert_msg(ip_port_eq(&dst, &want), "%u", dst.port);
    conn_close(in);
    conn_close(s.c);
    close(lfd);
}

/* in a network namespace of its own */
START_TEST(the_original_destination)
{
    if (geteuid() != 0)
        return; /* rules need root; the other checks hold without it */
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_int_eq(
        system("ip link set lo up && nft add table inet t && nft 'add chain inet t o { "
               "type nat hook output priority -100; }'"),
        0);
    io_begin();
    redirected("127.0.0.1:0", "127.0.0.1:8080",
               "nft add rule inet t o ip daddr 127.0.0.1 tcp dport 8080 redirect to :%u");
    redirected("[::1]:0", "[::1]:8081",
               "nft add rule inet t o ip6 daddr ::1 tcp dport 8081 redirect to :%u");
    io_end();
}
END_TEST

UNIT_MAIN("conn", reads_what_comes, a_short_read_says_drained_without_asking,
          held_bytes_are_not_told_again_and_not_lost, the_end_is_told_even_while_held,
          the_end_right_behind_the_data_is_seen, our_end_leaves_their_way_open,
          peeking_keeps_the_bytes_and_the_next_event, a_full_socket_says_when_it_opens,
          closing_inside_the_callback, after_closing_nothing_works_and_nothing_breaks,
          a_bad_descriptor_is_refused, dials_ipv4, dials_ipv6, a_closed_port_refuses,
          no_route_is_unreachable, a_full_backlog_times_out, a_dial_can_be_closed_before_it_opens,
          waking_a_dial_does_not_disturb_it, a_source_is_bound, a_reset_is_an_error_not_an_end,
          a_reset_right_behind_the_data_is_told, a_reset_after_their_end_is_told,
          a_reset_is_told_even_while_held, an_abort_is_a_reset,
          an_early_answer_survives_a_failed_write, what_the_peer_has_taken_only_grows,
          urgent_data_does_no_harm, no_descriptor_left, dials_unix, failures_have_names,
          a_transport_opens_and_tells_what_came_with_the_handshake,
          a_handshake_that_is_done_at_once_is_told_later, a_handshake_that_fails,
          a_transport_may_open_inside_the_open_of_tcp, no_byte_and_no_edge_is_lost,
          without_redirection_it_is_the_own_address, the_original_destination)
