/* init.c - PID 1 of a container. */
#include "cli/local/shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* One line to the daemon; it may be gone, which changes nothing here. */
static void tell(const char *word, const char *text)
{
    char line[1200];
    int n = snprintf(line, sizeof(line), "%s%s%s\n", word, *text ? " " : "", text);

    for (char *p = line; p < line + n - 1; p++)
        if (*p == '\n')
            *p = ' ';
    if (write(SHIM_FD_STATUS, line, (size_t)n) < 0)
        return;
}

static int failed(const struct err *e)
{
    tell("failed", e->text);
    return 125;
}

static int join_pod(size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        int fd = SHIM_FD_JOIN + (int)i;
        if (setns(fd, 0))
            return err_errno(e, "joining the pod's namespace %zu", i);
        close(fd);
    }
    return 0;
}

static void child(const struct shim_spec *s, const int out[2], const int err_pipe[2], int ready)
{
    struct err e = {""};
    int null = open("/dev/null", O_RDONLY);

    setsid();
    /* the command may open /dev/stdout again (as images that log there do): it must own the pipe */
    if (fchown(out[1], s->uid, s->gid) || fchown(err_pipe[1], s->uid, s->gid))
        err_errno(&e, "owner of the output");
    if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err_pipe[1], 2) < 0)
        err_errno(&e, "standard streams");
    close_range(3, (unsigned)ready - 1, 0);
    close_range((unsigned)ready + 1, ~0u, 0);
    if (!e.text[0] && identity_take(s, &e) == 0)
        identity_exec(s, &e);
    if (write(ready, e.text, strlen(e.text)) < 0)
        _exit(126);
    _exit(127);
}

/* starts the command; waits until it has become it, or learns why it could not */
static pid_t start(const struct shim_spec *s, struct pump *p, struct err *e)
{
    int out[2], err_pipe[2], ready[2];

    if (pipe2(out, O_CLOEXEC) || pipe2(err_pipe, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
        return err_errno(e, "pipes");
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(e, "fork");
    if (pid == 0)
        child(s, out, err_pipe, ready[1]);
    close(out[1]);
    close(err_pipe[1]);
    close(ready[1]);
    ssize_t n = read(ready[0], e->text, sizeof(e->text) - 1);
    close(ready[0]);
    if (n > 0) {
        e->text[n] = '\0';
        return -1;
    }
    p->streams[0].fd = out[0];
    p->streams[1].fd = err_pipe[0];
    return pid;
}

static int block_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    const int sigs[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    for (size_t i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
        sigaddset(&set, sigs[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* true when the command itself has ended; orphans of others are collected on the way */
static bool reap(pid_t command, int *status)
{
    int st;
    pid_t pid;
    bool ended = false;

    while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
        if (pid == command) {
            *status = st;
            ended = true;
        }
    return ended;
}

static int supervise(pid_t command, int sigfd, struct pump *p)
{
    int status = 0;

    for (;;) {
        struct pollfd fds[3] = {
            {sigfd, POLLIN, 0}, {p->streams[0].fd, POLLIN, 0}, {p->streams[1].fd, POLLIN, 0}};
        if (poll(fds, 3, -1) < 0)
            continue;
        for (unsigned i = 0; i < 2; i++)
            if (fds[i + 1].revents)
                pump_read(p, i);
        if (!fds[0].revents)
            continue;
        struct signalfd_siginfo si;
        if (read(sigfd, &si, sizeof(si)) != sizeof(si))
            continue;
        if (si.ssi_signo == SIGCHLD) {
            if (reap(command, &status))
                return status;
        } else {
            kill(command, (int)si.ssi_signo);
        }
    }
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int init_run(struct shim_spec *s)
{
    struct err e = {""};
    struct pump p;
    char text[32];

    /* before anything foreign runs beside us: nobody reads or traces this process */
    prctl(PR_SET_DUMPABLE, 0);
    if (pump_open(&p, SHIM_FD_LOG, s->log_name, s->log_max, &e) || join_pod(s->n_join, &e))
        return failed(&e);
    if (unshare(CLONE_NEWNS)) {
        err_errno(&e, "a mount namespace of its own");
        return failed(&e);
    }
    if (rootfs_enter(s, &e))
        return failed(&e);
    int sigfd = block_signals();
    pid_t command = start(s, &p, &e);
    if (command < 0)
        return failed(&e);
    tell("started", "");
    int status = supervise(command, sigfd, &p);
    pump_finish(&p);
    snprintf(text, sizeof(text), "%d", exit_code(status));
    tell("exit", text);
    return exit_code(status);
}
