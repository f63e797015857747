/* exec.c - one more command inside a running container, with the caller's streams or on a
 * terminal of the container's own. */
#include "cli/local/shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int enter(pid_t target, struct err *e)
{
    char path[64];

    int pidfd = (int)syscall(SYS_pidfd_open, target, 0);
    if (pidfd < 0)
        return err_errno(e, "the container's process %d", (int)target);
    snprintf(path, sizeof(path), "/proc/%d/root", (int)target);
    int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_errno(e, "%s", path);
    if (setns(pidfd, CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS))
        return err_errno(e, "joining the container's namespaces");
    if (fchdir(root) || chroot(".") || chdir("/"))
        return err_errno(e, "the container's root directory");
    close(root);
    close(pidfd);
    return 0;
}

/* ---- the terminal -------------------------------------------------------------------------- */

static struct termios saved_tty;
static bool tty_is_raw;

static void tty_restore(void)
{
    if (tty_is_raw)
        tcsetattr(0, TCSANOW, &saved_tty);
    tty_is_raw = false;
}

static void tty_make_raw(void)
{
    struct termios raw;

    if (tcgetattr(0, &saved_tty))
        return;
    raw = saved_tty;
    cfmakeraw(&raw);
    if (tcsetattr(0, TCSANOW, &raw) == 0)
        tty_is_raw = true;
}

static void copy_window_size(int master)
{
    struct winsize ws;

    if (ioctl(0, TIOCGWINSZ, &ws) == 0)
        ioctl(master, TIOCSWINSZ, &ws);
}

static int open_terminal(char *slave, size_t size, struct err *e)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (master < 0 || grantpt(master) || unlockpt(master) || ptsname_r(master, slave, size))
        return err_errno(e, "a terminal inside the container");
    copy_window_size(master);
    return master;
}

static void take_terminal(const char *slave, const struct shim_spec *s)
{
    int fd = open(slave, O_RDWR);
    if (fd < 0)
        return;
    ioctl(fd, TIOCSCTTY, 0);
    if (fchown(fd, s->uid, (gid_t)-1))
        return;
    dup2(fd, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    if (fd > 2)
        close(fd);
}

/* all of it or nothing more: the other side is gone */
static bool copy_some(int from, int to)
{
    char buf[4096];
    ssize_t n = read(from, buf, sizeof(buf));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    for (ssize_t done = 0; done < n;) {
        ssize_t w = write(to, buf + done, (size_t)(n - done));
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        done += w;
    }
    return n > 0;
}

static void relay(int master, int sigfd)
{
    struct pollfd fds[3] = {{0, POLLIN, 0}, {master, POLLIN, 0}, {sigfd, POLLIN, 0}};

    for (;;) {
        if (poll(fds, 3, -1) < 0)
            continue;
        /* the terminal first: what the command said last must come out */
        if (fds[1].revents && !copy_some(master, 1))
            return;
        if (fds[0].revents && !copy_some(0, master))
            fds[0].fd = -1;
        if (fds[2].revents) {
            struct signalfd_siginfo si;
            if (read(sigfd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo == SIGWINCH)
                copy_window_size(master);
        }
    }
}

/* ---- the command --------------------------------------------------------------------------- */

static void child(const struct shim_spec *s, const char *slave)
{
    struct err e = {""};

    /* the caller's terminal is not the command's: who has it could type into the caller's shell */
    setsid();
    if (slave[0])
        take_terminal(slave, s);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (identity_take(s, &e) == 0) {
        /* after the change of user, which clears it: whoever asked and died wants no answer */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != 0) /* 0: a parent outside of this PID namespace; else it is gone */
            _exit(125);
        identity_exec(s, &e);
    }
    fprintf(stderr, "fsm local exec: %s\n", e.text);
    _exit(strstr(e.text, "no such file") ? 127 : 126);
}

static pid_t command_pid;

/* the command and what it started: it leads a process group of its own */
static void forward(int sig)
{
    if (command_pid > 0 && kill(-command_pid, sig))
        kill(command_pid, sig);
}

static int wait_command(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 125;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int window_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

int exec_run(struct shim_spec *s)
{
    struct err e = {""};
    char slave[64] = "";
    int master = -1;

    if (enter(s->target, &e) ||
        (s->tty && (master = open_terminal(slave, sizeof(slave), &e)) < 0)) {
        fprintf(stderr, "fsm local exec: %s\n", e.text);
        return 125;
    }
    signal(SIGTERM, forward);
    signal(SIGHUP, forward);
    signal(SIGINT, forward);
    signal(SIGQUIT, forward);
    command_pid = fork();
    if (command_pid == 0)
        child(s, slave);
    if (command_pid < 0) {
        perror("fsm local exec: fork");
        return 125;
    }
    if (s->tty) {
        tty_make_raw();
        relay(master, window_signals());
        tty_restore();
    }
    return wait_command(command_pid);
}
