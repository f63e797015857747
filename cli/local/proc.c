/* proc.c - child processes. */
#include "cli/local/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/mem.h"

#define HIGH_FD 100 /* descriptors are moved out of the way before they get their numbers */

struct proc {
    LIST_ENTRY(proc) link;
    pid_t pid;
    proc_exit_cb *cb;
    void *arg;
};

struct procs {
    LIST_HEAD(, proc) list;
};

static void collect(int sig, void *arg)
{
    struct procs *ps = arg;
    struct proc *p, *next;
    int status;

    /* not waitpid(-1): proc_run waits for its own child */
    for (p = LIST_FIRST(&ps->list); p; p = next) {
        next = LIST_NEXT(p, link);
        if (waitpid(p->pid, &status, WNOHANG) != p->pid)
            continue;
        LIST_REMOVE(p, link);
        if (p->cb)
            p->cb(p, status, p->arg);
        free(p);
        /* the callback may have changed the list */
        next = LIST_FIRST(&ps->list);
    }
}

struct procs *procs_new(struct loop *l, struct err *e)
{
    struct procs *ps = xcalloc(1, sizeof(*ps));

    LIST_INIT(&ps->list);
    if (loop_on_signal(l, SIGCHLD, collect, ps)) {
        free(ps);
        err_set(e, "cannot watch child processes");
        return NULL;
    }
    return ps;
}

void procs_free(struct procs *ps)
{
    struct proc *p;

    if (!ps)
        return;
    while ((p = LIST_FIRST(&ps->list)) != NULL) {
        LIST_REMOVE(p, link);
        free(p);
    }
    free(ps);
}

/* ---- in the child: only async-signal-safe calls --------------------------------------------- */

static int high(int fd)
{
    return fd < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

static void place_fds(const struct proc_spec *s)
{
    int std[3] = {high(s->stdin_fd), high(s->stdout_fd), high(s->stderr_fd)};
    int more[16];

    for (unsigned i = 0; i < s->n_fds; i++)
        more[i] = high(s->fds[i]);
    for (int i = 0; i < 3; i++)
        dup2(std[i], i);
    for (unsigned i = 0; i < s->n_fds; i++)
        dup2(more[i], 3 + (int)i);
    close_range(3 + s->n_fds, ~0u, CLOSE_RANGE_CLOEXEC);
}

static void child(const struct proc_spec *s)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    if (s->own_session)
        setsid();
    if (s->netns >= 0 && setns(s->netns, CLONE_NEWNET))
        _exit(126);
    place_fds(s);
    if (s->env) {
        extern char **environ;
        environ = (char **)(uintptr_t)s->env;
    }
    execvp(s->argv[0], (char *const *)(uintptr_t)s->argv);
    dprintf(STDERR_FILENO, "%s cannot be run: %s\n", s->argv[0], strerror(errno));
    _exit(127);
}

static pid_t spawn(const struct proc_spec *s, struct err *e)
{
    if (s->n_fds > 16)
        return err_set(e, "too many descriptors for %s", s->argv[0]);
    pid_t pid =
        (pid_t)syscall(SYS_clone, (unsigned long)s->clone_flags | SIGCHLD, NULL, NULL, NULL, 0UL);
    if (pid < 0)
        return err_errno(e, "starting %s", s->argv[0]);
    if (pid == 0)
        child(s);
    return pid;
}

struct proc *proc_spawn(struct procs *ps, const struct proc_spec *spec, proc_exit_cb *cb, void *arg,
                        struct err *e)
{
    pid_t pid = spawn(spec, e);

    if (pid < 0)
        return NULL;
    struct proc *p = xcalloc(1, sizeof(*p));
    p->pid = pid;
    p->cb = cb;
    p->arg = arg;
    LIST_INSERT_HEAD(&ps->list, p, link);
    return p;
}

pid_t proc_pid(const struct proc *p)
{
    return p->pid;
}

void proc_kill(const struct proc *p, int sig)
{
    kill(p->pid, sig);
}

void proc_forget(struct proc *p)
{
    if (p)
        p->cb = NULL;
}

/* ---- short commands, waited for -------------------------------------------------------------- */

static int memory_file(const char *text, struct err *e)
{
    int fd = memfd_create("fsm-local", MFD_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "memory file");
    size_t n = text ? strlen(text) : 0;
    if (n && (write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        return err_errno(e, "memory file");
    }
    return fd;
}

static void read_back(int fd, struct buf *out)
{
    char part[4096];
    ssize_t n;

    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, part, sizeof(part))) > 0)
        buf_append(out, part, (size_t)n);
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static int judge(const char *const *argv, int status, const struct buf *text, struct err *e)
{
    size_t skip = text->len > 500 ? text->len - 500 : 0;
    size_t n = text->len - skip;

    if (status == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127 && n == 0)
        return err_set(e, "%s: not found: install it (deploy/install-deps.sh does)", argv[0]);
    while (n > 0 && text->p[skip + n - 1] == '\n')
        n--;
    return err_set(e, "%s: %.*s (status %#x)", argv[0], (int)n, text->p ? text->p + skip : "",
                   (unsigned)status);
}

int proc_run(const char *const *argv, const char *input, int netns, struct buf *out, struct err *e)
{
    struct proc_spec s = PROC_SPEC_INIT;
    struct buf text = BUF_INIT;
    int rc = -1;

    s.argv = argv;
    s.netns = netns;
    s.stdin_fd = memory_file(input, e);
    s.stdout_fd = s.stderr_fd = s.stdin_fd < 0 ? -1 : memory_file(NULL, e);
    if (s.stdin_fd >= 0 && s.stdout_fd >= 0) {
        pid_t pid = spawn(&s, e);
        if (pid > 0) {
            int status = wait_for(pid);
            read_back(s.stdout_fd, &text);
            rc = judge(argv, status, &text, e);
            if (out)
                buf_append(out, text.p, text.len);
        }
    }
    if (s.stdin_fd >= 0)
        close(s.stdin_fd);
    if (s.stdout_fd >= 0)
        close(s.stdout_fd);
    buf_free(&text);
    return rc;
}
