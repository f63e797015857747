/* listener_test.c - binding, accepting, and running out of descriptors. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "common/base/clock.h"
#include "common/io/conn.h"
#include "common/io/descriptors.h"
#include "common/io/listener.h"
#include "test/unit/io/io_test.h"

static struct listener *lst;
static struct ip_port here, last_peer;
static int accepted[512], n_accepted;
static enum { KEEP, PAUSE, FREE } then;

static void on_accept(struct listener *li, int fd, const struct ip_port *peer, void *arg)
{
    ck_assert_ptr_eq(arg, &accepted);
    ck_assert_int_lt(n_accepted, 512);
    accepted[n_accepted++] = fd;
    last_peer = *peer;
    if (then == PAUSE)
        listener_pause(li);
    if (then == FREE)
        listener_free(li);
}

static void listen_on(const char *where, unsigned flags)
{
    struct err e;
    int fd;

    ck_assert_int_eq(ip_port_parse(where, &here), 0);
    fd = listener_bind(&here, flags, 512, &e);
    ck_assert_msg(fd >= 0, "%s", e.text);
    lst = listener_new(l, fd, on_accept, accepted, &e);
    ck_assert_msg(lst != NULL, "%s", e.text);
    ck_assert_int_eq(listener_fd(lst), fd);
    ck_assert_int_eq(listener_address(lst, &here), 0);
    ck_assert_uint_ne(here.port, 0);
}

static int dial(void)
{
    struct sockaddr_storage ss;
    socklen_t len = ip_port_to_sockaddr(&here, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

static void close_all(void)
{
    while (n_accepted > 0)
        close(accepted[--n_accepted]);
}

START_TEST(accepts_with_the_right_flags)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss), on_len = sizeof(int);
    struct ip_port mine;
    int fd, on = 0;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    fd = dial();
    IO_UNTIL(n_accepted == 1);
    ck_assert(fcntl(accepted[0], F_GETFL) & O_NONBLOCK);
    ck_assert(fcntl(accepted[0], F_GETFD) & FD_CLOEXEC);
    ck_assert_int_eq(getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &on_len), 0);
    ck_assert_msg(on, "inherited from the listening socket");
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
    ck_assert_int_eq(ip_port_from_sockaddr((struct sockaddr *)&ss, &mine), 0);
    ck_assert(ip_port_eq(&mine, &last_peer));
    close(fd);
    close_all();
    listener_free(lst);
    listener_free(NULL);
    io_end();
}
END_TEST

START_TEST(accepts_a_flood_within_bounds)
{
    int fds[300], most = 0, before;

    io_begin();
    listen_on("[::1]:0", LISTEN_REUSEPORT);
    for (int i = 0; i < 300; i++)
        fds[i] = dial();
    while (n_accepted < 300) {
        before = n_accepted;
        loop_turn(l, true);
        if (n_accepted - before > most)
            most = n_accepted - before;
    }
    ck_assert_int_le(most, 64);
    ck_assert_int_ge(most, 32);
    for (int i = 0; i < 300; i++)
        close(fds[i]);
    close_all();
    listener_free(lst);
    io_end();
}
END_TEST

START_TEST(pause_and_resume)
{
    int a, b;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    then = PAUSE;
    a = dial();
    b = dial();
    IO_UNTIL(n_accepted == 1);
    io_for(20);
    ck_assert_msg(n_accepted == 1, "paused inside the callback");
    listener_pause(lst);
    then = KEEP;
    listener_resume(lst);
    listener_resume(lst);
    IO_UNTIL(n_accepted == 2);
    close(a);
    close(b);
    close_all();
    listener_free(lst);
    io_end();
}
END_TEST

START_TEST(freed_inside_the_callback)
{
    int a, b;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    then = FREE;
    a = dial();
    b = dial();
    IO_UNTIL(n_accepted == 1);
    io_for(10);
    ck_assert_int_eq(n_accepted, 1);
    close(a);
    close(b);
    close_all();
    io_end();
}
END_TEST

START_TEST(addresses_that_cannot_be_had)
{
    struct ip_port a;
    struct err e;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    ck_assert_int_eq(listener_bind(&here, 0, 5, &e), -1);
    ck_assert_msg(strstr(e.text, "another process holds the port") != NULL, "%s", e.text);
    ck_assert_int_eq(ip_port_parse("192.0.2.1:80", &a), 0);
    ck_assert_int_eq(listener_bind(&a, 0, 5, &e), -1);
    ck_assert_msg(strstr(e.text, "192.0.2.1:80") && strstr(e.text, "no interface"), "%s", e.text);
    ck_assert_int_eq(listener_bind(&a, 0, 5, NULL), -1);
    listener_free(lst);
    io_end();
}
END_TEST

START_TEST(both_families_or_one)
{
    struct ip_port v4;
    struct err e;
    int fd;

    io_begin();
    listen_on("[::]:0", LISTEN_DUAL);
    ck_assert_int_eq(ip_port_parse("127.0.0.1:1", &v4), 0);
    v4.port = here.port;
    here = v4;
    fd = dial();
    IO_UNTIL(n_accepted == 1);
    ck_assert_msg(last_peer.ip.family == 4, "told as IPv4");
    close(fd);
    close_all();
    listener_free(lst);
    loop_turn(l, false);

    listen_on("[::]:0", 0);
    v4.port = here.port;
    fd = listener_bind(&v4, 0, 5, &e);
    ck_assert_msg(fd >= 0, "the port is free for IPv4: %s", e.text);
    close(fd);
    listener_free(lst);
    io_end();
}
END_TEST

START_TEST(unix_sockets)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char path[100], big[200];
    struct stat st;
    struct err e;
    int fd, cl;

    io_begin();
    snprintf(path, sizeof(path), "/tmp/fsm-listener-test-%d", getpid());
    memcpy(un.sun_path, path, strlen(path) + 1);
    umask(0);
    fd = listener_bind_unix(path, 0640, &e);
    ck_assert_msg(fd >= 0, "%s", e.text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
    ck_assert_int_eq(listener_bind_unix(path, 0600, &e), -1);
    ck_assert_msg(strstr(e.text, "another process listens there") != NULL, "%s", e.text);
    close(fd);
    fd = listener_bind_unix(path, 0600, &e);
    ck_assert_msg(fd >= 0, "a stale socket is replaced: %s", e.text);
    lst = listener_new(l, fd, on_accept, accepted, &e);
    cl = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(cl, (struct sockaddr *)&un, sizeof(un)), 0);
    IO_UNTIL(n_accepted == 1);
    ck_assert_int_eq(last_peer.ip.family, 0);
    close(cl);
    close_all();
    listener_free(lst);
    unlink(path);

    fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    ck_assert_int_eq(listener_bind_unix(path, 0600, &e), -1);
    ck_assert_msg(strstr(e.text, "no socket is there") && access(path, F_OK) == 0, "%s", e.text);
    unlink(path);
    ck_assert_int_eq(listener_bind_unix("/nowhere/x", 0600, &e), -1);
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    ck_assert_int_eq(listener_bind_unix(big, 0600, &e), -1);
    io_end();
}
END_TEST

/* leaves room for `spare` more descriptors; below 0: for as many as there may be */
static void limit_fds(int spare)
{
    struct rlimit lim;
    int next = dup(0);

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    close(next);
    lim.rlim_cur = spare < 0 ? lim.rlim_max : (rlim_t)(next + spare);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

START_TEST(out_of_descriptors_waits_then_goes_on)
{
    int fds[4];
    uint64_t start;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    for (int i = 0; i < 4; i++)
        fds[i] = dial();
    limit_fds(2);
    IO_UNTIL(n_accepted == 2);
    io_for(100);
    ck_assert_int_eq(n_accepted, 2);
    start = clock_mono_ms();
    close(accepted[0]);
    close(accepted[1]);
    IO_UNTIL(n_accepted == 4);
    ck_assert_msg(clock_mono_ms() - start > 500, "it waits, it does not spin");
    close(accepted[2]);
    close(accepted[3]);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    listener_free(lst);
    io_end();
}
END_TEST

START_TEST(out_of_descriptors_for_long_turns_away)
{
    char b[1];
    int fd, other;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    fd = dial();
    limit_fds(0);
    io_for(2500);
    ck_assert_int_eq(n_accepted, 0);
    ck_assert_msg(read(fd, b, 1) <= 0, "closed, not left in doubt");
    close(fd);
    other = dial(); /* takes the place that fd left */
    limit_fds(-1);
    IO_UNTIL(n_accepted == 1);
    close(other);
    close_all();
    listener_free(lst);
    io_end();
}
END_TEST

/* leaves users room for `spare` more descriptors */
static void limit_users(int spare)
{
    struct rlimit lim;
    int next = dup(0);
    rlim_t n = (rlim_t)(next + spare);

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    close(next);
    lim.rlim_cur = n;
    while (lim.rlim_cur -
               (lim.rlim_cur / 4 < DESCRIPTORS_KEPT ? lim.rlim_cur / 4 : DESCRIPTORS_KEPT) <
           n)
        lim.rlim_cur++;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
    descriptors_limit_changed();
}

static void no_event(struct conn *c, unsigned ev, void *arg)
{
    (void)c;
    (void)ev;
    (void)arg;
}

static int dials(bool for_users, bool for_anybody)
{
    struct conn_dial_opts o = {.for_users = for_users, .for_anybody = for_anybody};
    struct err e;
    struct conn *c = conn_dial(l, &here, &o, no_event, NULL, &e);
    int rc = c ? 0 : errno;

    conn_abort(c);
    return rc;
}

START_TEST(users_leave_the_last_descriptors)
{
    int fds[5], fd;
    char b[1];

    io_begin();
    listen_on("127.0.0.1:0", 0);
    listener_for_users(lst);
    for (int i = 0; i < 5; i++)
        fds[i] = dial();
    limit_users(2);
    IO_UNTIL(n_accepted == 3); /* the last by the number of the reserve */
    io_for(100);
    ck_assert_int_eq(n_accepted, 3);
    fd = dup(0);
    ck_assert_int_ge(fd, 0);
    ck_assert(descriptor_is_kept(fd));
    close(fd);
    ck_assert_int_eq(dials(true, false), EMFILE);
    close(accepted[0]);
    close(accepted[1]);
    IO_UNTIL(n_accepted == 5);
    fd = dial();
    io_for(1500);
    ck_assert_int_eq(n_accepted, 5);
    ck_assert_msg(read(fd, b, 1) <= 0, "closed, not left in doubt");
    ck_assert_int_eq(recv(fds[4], b, 1, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    close(fd);
    limit_fds(-1);
    ck_assert_int_eq(dials(true, false), 0);
    for (int i = 2; i < 5; i++)
        close(accepted[i]);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    listener_free(lst);
    io_end();
}
END_TEST

START_TEST(the_very_last_are_not_for_those_who_reach_us)
{
    int fds[128], n = 0, next;
    struct rlimit lim;

    io_begin();
    listen_on("127.0.0.1:0", 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    lim.rlim_cur = 128; /* 32 are kept */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
    descriptors_limit_changed();
    ck_assert_uint_eq(descriptors_share(), 2);
    while ((next = dup(0)) < 96)
        fds[n++] = next;
    close(next);
    ck_assert_int_eq(dials(true, false), EMFILE);
    ck_assert_int_eq(dials(false, true), 0);
    while ((next = dup(0)) < 112)
        fds[n++] = next;
    close(next);
    ck_assert_int_eq(dials(false, true), EMFILE);
    ck_assert_int_eq(dials(false, false), 0);
    while (n > 0)
        close(fds[--n]);
    limit_fds(-1);
    ck_assert_int_eq(dials(false, true), 0);
    listener_free(lst);
    io_end();
}
END_TEST

UNIT_MAIN("listener", accepts_with_the_right_flags, accepts_a_flood_within_bounds, pause_and_resume,
          freed_inside_the_callback, addresses_that_cannot_be_had, both_families_or_one,
          unix_sockets, out_of_descriptors_waits_then_goes_on,
          out_of_descriptors_for_long_turns_away, users_leave_the_last_descriptors,
          the_very_last_are_not_for_those_who_reach_us)
