/* faults.c - the wrappers (ld's --wrap) and the loop that fails one call after the other. */
#include "test/fake/faults.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pcre2.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define RUNS_MAX  100000u
#define RUN_LIMIT 30 /* seconds */
#define EVENTFDS  4096

static atomic_uint left; /* wrapped calls until the failure; 0 = none is armed */
static atomic_bool hit;
static atomic_bool lasting;   /* memory stays out once it failed */
static atomic_bool interrupt; /* every second I/O call says EINTR */
static atomic_bool paused;
static atomic_uint io_calls;
static atomic_uint seen; /* calls that could have failed */
static void (*on_failure)(const char *name);

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

unsigned faults_seen(void)
{
    return atomic_load(&seen);
}

void faults_tell(void (*fn)(const char *name))
{
    on_failure = fn;
}

bool faults_hit(void)
{
    return atomic_load(&hit);
}

void faults_lasting(void)
{
    atomic_store(&lasting, true);
}

void faults_interrupt(void)
{
    atomic_store(&interrupt, true);
}

/* this call is the one to fail */
static bool now(const char *name, int err)
{
    unsigned n;

    if (atomic_load(&paused))
        return false;
    atomic_fetch_add(&seen, 1);
    if (err == ENOMEM && atomic_load(&lasting) && atomic_load(&hit)) {
        errno = err;
        return true;
    }
    for (n = atomic_load(&left); n > 0;)
        if (atomic_compare_exchange_weak(&left, &n, n - 1)) {
            if (n > 1)
                return false;
            atomic_store(&hit, true);
            if (on_failure)
                on_failure(name);
            errno = err;
            return true;
        }
    return false;
}

static bool now_io(const char *name, int err)
{
    if (atomic_load(&interrupt) && !atomic_load(&paused) &&
        atomic_fetch_add(&io_calls, 1) % 2 == 0) {
        errno = EINTR;
        return true;
    }
    return now(name, err);
}

/* An eventfd takes what it is told whatever happens, so writing to one is not made to fail. */
static bool is_eventfd[EVENTFDS];

/* Real ones are weak: only what a test wraps is resolved, and only that is ever called. */
#define REAL(type, name, params)                                                                   \
    type __real_##name params __attribute__((weak));                                               \
    type __wrap_##name params;
#define WRAP(type, name, params, args, failed, result)                                             \
    REAL(type, name, params)                                                                       \
    type __wrap_##name params                                                                      \
    {                                                                                              \
        return failed ? (result) : __real_##name args;                                             \
    }

/* memory */
WRAP(void *, malloc, (size_t n), (n), now("malloc", ENOMEM), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), now("calloc", ENOMEM), NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), now("realloc", ENOMEM), NULL)
WRAP(char *, strdup, (const char *s), (s), now("strdup", ENOMEM), NULL)
WRAP(int, vasprintf, (char **p, const char *fmt, va_list ap), (p, fmt, ap),
     now("vasprintf", ENOMEM), -1)

/* sockets */
WRAP(int, socket, (int d, int t, int p), (d, t, p), now("socket", EMFILE), -1)
WRAP(int, bind, (int fd, const struct sockaddr *sa, socklen_t n), (fd, sa, n),
     now("bind", EADDRINUSE), -1)
WRAP(int, listen, (int fd, int n), (fd, n), now("listen", EADDRINUSE), -1)
WRAP(int, connect, (int fd, const struct sockaddr *sa, socklen_t n), (fd, sa, n),
     now_io("connect", ECONNREFUSED), -1)
WRAP(int, accept4, (int fd, struct sockaddr *sa, socklen_t *n, int flags), (fd, sa, n, flags),
     now_io("accept4", EMFILE), -1)
WRAP(int, getsockopt, (int fd, int level, int name, void *v, socklen_t *n), (fd, level, name, v, n),
     now("getsockopt", ENOBUFS), -1)
WRAP(int, setsockopt, (int fd, int level, int name, const void *v, socklen_t n),
     (fd, level, name, v, n), now("setsockopt", ENOBUFS), -1)
WRAP(int, getsockname, (int fd, struct sockaddr *sa, socklen_t *n), (fd, sa, n),
     now("getsockname", ENOBUFS), -1)
WRAP(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags),
     now_io("recv", ECONNRESET), -1)
WRAP(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags),
     now_io("send", EPIPE), -1)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags),
     now_io("sendmsg", EPIPE), -1)
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), now_io("writev", EPIPE),
     -1)
WRAP(ssize_t, splice, (int in, off64_t *at, int out, off64_t *to, size_t n, unsigned flags),
     (in, at, out, to, n, flags), now_io("splice", ECONNRESET), -1)

/* files and descriptors */
WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), now_io("read", EIO), -1)
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n),
     (fd < 0 || fd >= EVENTFDS || !is_eventfd[fd]) && now_io("write", ENOSPC), -1)
WRAP(ssize_t, pread, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), now_io("pread", EIO),
     -1)
WRAP(int, fsync, (int fd), (fd), now("fsync", EIO), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), now("rename", EIO), -1)
WRAP(int, stat, (const char *path, struct stat *st), (path, st), now("stat", EACCES), -1)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), now("fstat", EIO), -1)
WRAP(DIR *, opendir, (const char *path), (path), now("opendir", EMFILE), NULL)
WRAP(int, scandir,
     (const char *path, struct dirent ***v, int (*want)(const struct dirent *),
      int (*order)(const struct dirent **, const struct dirent **)),
     (path, v, want, order), now("scandir", EMFILE), -1)
WRAP(FILE *, fopen, (const char *path, const char *how), (path, how), now("fopen", EMFILE), NULL)
WRAP(int, pipe2, (int fd[2], int flags), (fd, flags), now("pipe2", EMFILE), -1)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), now("timerfd_create", EMFILE), -1)
WRAP(int, epoll_create1, (int flags), (flags), now("epoll_create1", EMFILE), -1)
WRAP(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev), (ep, op, fd, ev),
     now("epoll_ctl", ENOSPC), -1)
WRAP(int, inotify_init1, (int flags), (flags), now("inotify_init1", EMFILE), -1)
WRAP(int, inotify_add_watch, (int fd, const char *path, uint32_t what), (fd, path, what),
     now("inotify_add_watch", ENOSPC), -1)

/* open, openat and fcntl take what may not be there */
REAL(int, open, (const char *path, int flags, ...))
int __wrap_open(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return now("open", EMFILE) ? -1 : __real_open(path, flags, mode);
}

REAL(int, openat, (int dir, const char *path, int flags, ...))
int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;

    va_start(ap, flags);
    mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return now("openat", EMFILE) ? -1 : __real_openat(dir, path, flags, mode);
}

REAL(int, fcntl, (int fd, int what, ...))
int __wrap_fcntl(int fd, int what, ...)
{
    va_list ap;
    void *v;

    va_start(ap, what);
    v = va_arg(ap, void *);
    va_end(ap);
    return now("fcntl", EPERM) ? -1 : __real_fcntl(fd, what, v);
}

REAL(int, eventfd, (unsigned n, int flags))
int __wrap_eventfd(unsigned n, int flags)
{
    int fd = now("eventfd", EMFILE) ? -1 : __real_eventfd(n, flags);

    if (fd >= 0 && fd < EVENTFDS)
        is_eventfd[fd] = true;
    return fd;
}

REAL(int, close, (int fd))
int __wrap_close(int fd)
{
    if (fd >= 0 && fd < EVENTFDS)
        is_eventfd[fd] = false;
    return __real_close(fd);
}

/* threads and libraries */
WRAP(int, pthread_create,
     (pthread_t * t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg),
     (t, attr, fn, arg), now("pthread_create", EAGAIN), EAGAIN)
WRAP(pcre2_code_8 *, pcre2_compile_8,
     (PCRE2_SPTR8 text, PCRE2_SIZE n, uint32_t how, int *code, PCRE2_SIZE *at,
      pcre2_compile_context_8 *ctx),
     (text, n, how, code, at, ctx),
     now("pcre2_compile", ENOMEM) && (*code = PCRE2_ERROR_HEAP_FAILED, *at = 0, true), NULL)
WRAP(pcre2_match_data_8 *, pcre2_match_data_create_8, (uint32_t n, pcre2_general_context_8 *ctx),
     (n, ctx), now("pcre2_match_data_create", ENOMEM), NULL)
WRAP(int, pcre2_match_8,
     (const pcre2_code_8 *re, PCRE2_SPTR8 text, PCRE2_SIZE n, PCRE2_SIZE at, uint32_t how,
      pcre2_match_data_8 *m, pcre2_match_context_8 *ctx),
     (re, text, n, at, how, m, ctx), now("pcre2_match", ENOMEM), PCRE2_ERROR_NOMEMORY)

bool faults_memory(const char *name)
{
    return now(name, ENOMEM);
}

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
