/* io_test.h - a loop per check, and waiting for a condition instead of for a while. */
#ifndef FSM_TEST_IO_H
#define FSM_TEST_IO_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/io/loop.h"
#include "test/unit/unit.h"

#define IO_PATIENCE_MS 20000 /* sanitizers, and eight others on the machine */

static struct loop *l;
static struct timer io_guard;

static void io_give_up(void *arg)
{
    ck_abort_msg("what the check waits for did not happen");
}

static inline void io_begin(void)
{
    struct err e;

    l = loop_new(&e);
    ck_assert_msg(l != NULL, "%s", e.text);
    timer_init(&io_guard, l, io_give_up, NULL);
    timer_set(&io_guard, IO_PATIENCE_MS);
}

/* turns the loop until the expression is true */
#define IO_UNTIL(expression)                                                                       \
    while (!(expression))                                                                          \
    loop_turn(l, true)

static void io_ring(void *arg)
{
    *(bool *)arg = true;
}

/* turns the loop for that long: for what must NOT happen */
static inline void io_for(uint64_t ms)
{
    struct timer t;
    bool rang = false;

    timer_init(&t, l, io_ring, &rang);
    timer_set(&t, ms);
    IO_UNTIL(rang);
}

static inline void io_end(void)
{
    timer_cancel(&io_guard);
    loop_free(l);
}

/* a pair of connected stream sockets; the second one is blocking */
static inline void io_pair(int fd[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

static inline unsigned io_open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

#endif
