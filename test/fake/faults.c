/* faults.c - the wrappers (ld's --wrap) and the loop that fails one call after the other. */
#include "test/fake/faults.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define RUNS_MAX  100000u
#define RUN_LIMIT 30 /* seconds */

static atomic_uint left; /* wrapped calls until the failure; 0 = none is armed */
static atomic_bool hit;
static atomic_bool interrupt; /* every second I/O call says EINTR */
static atomic_bool paused;
static atomic_uint io_calls;

void faults_arm(unsigned nth)
{
    atomic_store(&hit, false);
    atomic_store(&left, nth);
}

void faults_stop(void)
{
    atomic_store(&left, 0);
    atomic_store(&interrupt, false);
}

void faults_pause(void)
{
    atomic_store(&paused, true);
}

void faults_resume(void)
{
    atomic_store(&paused, false);
}

bool faults_hit(void)
{
    return atomic_load(&hit);
}

void faults_interrupt(void)
{
    atomic_store(&interrupt, true);
}

/* this call is the one to fail */
static bool now(int err)
{
    unsigned n = atomic_load(&paused) ? 0 : atomic_load(&left);

    while (n > 0)
        if (atomic_compare_exchange_weak(&left, &n, n - 1)) {
            if (n > 1)
                return false;
            atomic_store(&hit, true);
            errno = err;
            return true;
        }
    return false;
}

static bool now_io(int err)
{
    if (atomic_load(&interrupt) && !atomic_load(&paused) &&
        atomic_fetch_add(&io_calls, 1) % 2 == 0) {
        errno = EINTR;
        return true;
    }
    return now(err);
}

/* Real ones are weak: only what a test wraps is resolved, and only that is ever called. */
#define WRAP(type, name, params, args, failed, result)                                             \
    type __real_##name params __attribute__((weak));                                               \
    type __wrap_##name params;                                                                     \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return failed ? (result) : __real_##name args;                                             \
    }

WRAP(void *, malloc, (size_t n), (n), now(ENOMEM), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), now(ENOMEM), NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), now(ENOMEM), NULL)
WRAP(int, socket, (int d, int t, int p), (d, t, p), now(EMFILE), -1)
WRAP(int, connect, (int fd, const struct sockaddr *sa, socklen_t n), (fd, sa, n),
     now_io(ECONNREFUSED), -1)
WRAP(int, accept4, (int fd, struct sockaddr *sa, socklen_t *n, int flags), (fd, sa, n, flags),
     now_io(EMFILE), -1)
WRAP(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), now_io(ECONNRESET),
     -1)
WRAP(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), now_io(EPIPE),
     -1)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), now_io(EPIPE),
     -1)
WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), now_io(EIO), -1)
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), now_io(ENOSPC), -1)
WRAP(int, fsync, (int fd), (fd), now(EIO), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), now(EIO), -1)
WRAP(int, epoll_ctl, (int set, int op, int fd, struct epoll_event *ev), (set, op, fd, ev),
     now(ENOSPC), -1)

/* ---- one run after the other ------------------------------------------------------------- */

/* exit statuses of a run, chosen away from those of sanitizers and of exit(1) */
enum { RUN_CLEAN = 40, RUN_REPORTED, RUN_ABSORBED, RUN_WRONG };

static void run(int (*fn)(void *arg), void *arg, unsigned nth)
{
    bool failed;
    int rc;

    alarm(RUN_LIMIT);
    faults_arm(nth);
    rc = fn(arg);
    failed = faults_hit();
    faults_stop();
    if (!failed)
        exit(rc == 0 ? RUN_CLEAN : RUN_WRONG);
    exit(rc == 0 ? RUN_ABSORBED : RUN_REPORTED); /* not _exit: the leak checker runs then */
}

static void __attribute__((noreturn)) bad_run(unsigned nth, int status)
{
    if (WIFSIGNALED(status))
        fprintf(stderr, "with wrapped call %u failing: %s\n", nth, strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == RUN_WRONG)
        fprintf(stderr, "with only %u wrapped calls and none failing it still failed\n", nth - 1);
    else
        fprintf(stderr, "with wrapped call %u failing: exit status %d\n", nth, WEXITSTATUS(status));
    abort();
}

struct faults_sum faults_each(int (*fn)(void *arg), void *arg)
{
    struct faults_sum sum = {0};
    int status;

    for (unsigned nth = 1; nth < RUNS_MAX; nth++) {
        pid_t pid;
        fflush(NULL);
        pid = fork();
        if (pid == 0)
            run(fn, arg, nth);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            abort();
        if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_CLEAN) {
            if (sum.runs > 0)
                return sum;
            fprintf(stderr, "no wrapped call was made: does the test have its wrap: lines?\n");
            abort();
        }
        sum.runs++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_REPORTED)
            sum.reported++;
        else if (WIFEXITED(status) && WEXITSTATUS(status) == RUN_ABSORBED)
            sum.absorbed++;
        else if (WIFEXITED(status) && WEXITSTATUS(status) == EX_OSERR)
            sum.ended++;
        else
            bad_run(nth, status);
    }
    fprintf(stderr, "%u runs and no end\n", RUNS_MAX);
    abort();
}
