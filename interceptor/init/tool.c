/* tool.c - fork, exec, three pipes, one deadline. */
#include "interceptor/init/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define DEADLINE_MS 10000u
#define OUTPUT_MAX  (16u << 20) /* a table of a node with very many services */

static const char *const dirs[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"};

static int find(const char *name, char *path, size_t size)
{
    for (unsigned i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
        snprintf(path, size, "%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return 0;
    }
    return -1;
}

/* our ends and the child's of its standard input, output and error */
struct pipes {
    int ours[3], theirs[3];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_all(int fds[3])
{
    for (int i = 0; i < 3; i++)
        close_fd(&fds[i]);
}

static int pipes_open(struct pipes *p, struct err *e)
{
    *p = (struct pipes){{-1, -1, -1}, {-1, -1, -1}};
    for (int i = 0; i < 3; i++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) != 0) {
            err_errno(e, "cannot make a pipe");
            close_all(p->ours);
            close_all(p->theirs);
            return -1;
        }
        p->ours[i] = ends[i == 0];
        p->theirs[i] = ends[i != 0];
        fcntl(p->ours[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

/* in the child: never returns */
static void become(const char *path, const char *const argv[], const struct pipes *p)
{
    static const char *const env[] = {"LC_ALL=C", "PATH=/usr/sbin:/sbin:/usr/bin:/bin", NULL};

    for (int i = 0; i < 3; i++)
        if (dup2(p->theirs[i], i) < 0)
            _exit(126);
    execve(path, (char *const *)argv, (char *const *)env);
    _exit(126);
}

/* 1 while the child may still say something */
static int take_output(int *fd, struct buf *out)
{
    char *at;
    ssize_t n;

    if (*fd < 0)
        return 0;
    at = buf_reserve(out, 4096);
    n = read(*fd, at, 4096);
    if (n > 0)
        out->len += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || out->len > OUTPUT_MAX)
        close_fd(fd);
    return *fd >= 0;
}

static void give_input(int *fd, struct slice *in)
{
    ssize_t n;

    if (*fd < 0)
        return;
    n = in->n ? write(*fd, in->p, in->n) : 0;
    if (n > 0)
        *in = slice_of(in->p + n, in->n - (size_t)n);
    if (in->n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_fd(fd); /* it has all, or wants no more */
}

/* moves bytes until the child has closed its outputs; -1 when time is up */
static int talk(struct pipes *p, struct slice in, struct buf *out, struct buf *complaints)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    int busy = 1;

    while (busy) {
        struct pollfd fds[3] = {
            {p->ours[0], POLLOUT, 0}, {p->ours[1], POLLIN, 0}, {p->ours[2], POLLIN, 0}};
        uint64_t now = clock_mono_ms();

        if (now >= end || (poll(fds, 3, (int)(end - now)) < 0 && errno != EINTR))
            return -1;
        if (fds[0].revents)
            give_input(&p->ours[0], &in);
        busy = fds[1].revents ? take_output(&p->ours[1], out) : p->ours[1] >= 0;
        busy |= fds[2].revents ? take_output(&p->ours[2], complaints) : p->ours[2] >= 0;
    }
    return 0;
}

static int reap(pid_t pid, const char *name, struct err *e)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, "waiting for %s", name);
    if (WIFSIGNALED(status))
        return err_set(e, "%s was ended by signal %d", name, WTERMSIG(status));
    return WEXITSTATUS(status);
}

int tool_run(const char *const argv[], struct slice in, struct buf *out, struct buf *complaints,
             struct err *e)
{
    char path[256];
    struct pipes p;
    pid_t pid;
    int rc;

    if (find(argv[0], path, sizeof(path)) != 0) {
        err_set(e, "there is no %s in this image: install iptables", argv[0]);
        return TOOL_MISSING;
    }
    if (pipes_open(&p, e) != 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    pid = fork();
    if (pid == 0)
        become(path, argv, &p);
    close_all(p.theirs);
    if (pid < 0) {
        close_all(p.ours);
        return err_errno(e, "cannot start %s", argv[0]);
    }
    rc = talk(&p, in, out, complaints);
    close_all(p.ours);
    if (rc != 0) {
        kill(pid, SIGKILL);
        reap(pid, argv[0], NULL);
        return err_set(e, "%s did not end within %u s", argv[0], DEADLINE_MS / 1000);
    }
    return reap(pid, argv[0], e);
}
