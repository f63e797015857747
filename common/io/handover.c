/* handover.c - see handover.h
 *
 * Descriptors keep their numbers: the environment variable names the state's and the pipe's, the
 * successor finds the listening ones by asking each descriptor that it has. */
#include "common/io/handover.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"

#define ENV       "FSM_HANDOVER" /* "STATE PIPE" */
#define STATE_MAX (512u << 20)
#define FDS_MAX   4096

extern char **environ;

/* the successor under way */
static struct {
    bool active;
    pid_t pid;
    int pipe;
    struct event *ev;
    struct timer timer;
    handover_cb *done;
    void *arg;
} next;

/* what came from the predecessor */
static struct {
    int fds[FDS_MAX];
    unsigned n;
    int pipe; /* 0 = no predecessor, or told already */
} got;

/* ---- which sockets ----------------------------------------------------------------------------
 */

static bool listens(int fd)
{
    int yes = 0;
    socklen_t len = sizeof(yes);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes;
}

/* numbers of our own descriptors that listen */
static unsigned listening(int *out)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    unsigned n = 0;

    while (d && n < FDS_MAX && (e = readdir(d))) {
        unsigned long long fd;

        if (slice_u64(slice_str(e->d_name), INT_MAX, &fd) == 0 && (int)fd != dirfd(d) &&
            listens((int)fd))
            out[n++] = (int)fd;
    }
    if (d)
        closedir(d);
    return n;
}

/* ---- the predecessor ---------------------------------------------------------------------------
 */

const char *handover_program(struct err *e)
{
    static char path[4096];
    ssize_t n = path[0] ? 0 : readlink("/proc/self/exe", path, sizeof(path) - 1);

    if (n < 0) {
        err_errno(e, "where this program lies: /proc/self/exe");
        return NULL;
    }
    return path;
}

static int state_fd(struct slice state, struct err *e)
{
    int fd = memfd_create("fsm-handover", MFD_CLOEXEC);
    size_t off = 0;

    while (fd >= 0 && off < state.n) {
        ssize_t n = write(fd, state.p + off, state.n - off);

        if (n < 0 && errno != EINTR) {
            close(fd);
            fd = -1;
        } else if (n > 0) {
            off += (size_t)n;
        }
    }
    if (fd < 0)
        err_errno(e, "memory for the state of the successor");
    return fd;
}

/* our environment with the variable; returns owned, the strings are borrowed but for the first */
static char **environment(int state, int pipe)
{
    size_t n = 0, k = 0;
    char **env;

    while (environ[n])
        n++;
    env = xcalloc(n + 2, sizeof(*env));
    env[k++] = xasprintf(ENV "=%d %d", state, pipe);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], ENV "=", sizeof(ENV)) != 0)
            env[k++] = environ[i];
    return env;
}

/* to_end: those too that tell a successor to end; a first process takes them as any program does */
static void held_signals(sigset_t *set, bool to_end)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR2);
    if (to_end) {
        sigaddset(set, SIGTERM);
        sigaddset(set, SIGINT);
    }
}

void handover_hold_signals(bool hold)
{
    sigset_t set;

    held_signals(&set, !hold);
    pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

/* The descriptors keep their numbers and lose close-on-exec (dup2 of itself, posix_spawn(3)); the
 * successor takes signals as a new program does, those held aside. */
static int spawn(char *const argv[], int state, int pipe, struct err *e)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    char **env = environment(state, pipe);
    int fds[FDS_MAX], rc;
    unsigned n = listening(fds);
    sigset_t held;

    held_signals(&held, true);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &held);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_adddup2(&fa, state, state);
    posix_spawn_file_actions_adddup2(&fa, pipe, pipe);
    for (unsigned i = 0; i < n; i++)
        posix_spawn_file_actions_adddup2(&fa, fds[i], fds[i]);
    rc = posix_spawn(&next.pid, handover_program(NULL), &fa, &attr, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    free(env[0]);
    free(env);
    if (rc == 0)
        return 0;
    errno = rc;
    return err_errno(e, "starting %s", handover_program(NULL));
}

static void stop_watching(bool kill_it)
{
    timer_cancel(&next.timer);
    event_free(next.ev);
    close(next.pipe);
    next.active = false;
    if (kill_it) {
        kill(next.pid, SIGKILL);
        waitpid(next.pid, NULL, 0);
    }
}

/* has the successor written that it serves, or ended? */
static bool has_spoken(void)
{
    struct pollfd p = {.fd = next.pipe, .events = POLLIN};

    return next.active && poll(&p, 1, 0) == 1;
}

bool handover_cancel(bool now)
{
    if (!next.active || (!now && has_spoken()))
        return false;
    stop_watching(true);
    return true;
}

static void finish(const char *why)
{
    stop_watching(why != NULL);
    next.done(why ? 0 : next.pid, why, next.arg);
}

static void on_pipe(evutil_socket_t fd, short what, void *arg)
{
    char byte;

    finish(read(fd, &byte, 1) == 1 ? NULL : "the successor ended before it served; see its log");
}

void handover_look(void)
{
    if (has_spoken())
        on_pipe(next.pipe, 0, NULL);
}

bool handover_signal(int sig)
{
    return next.active && kill(next.pid, sig) == 0;
}

static void on_timeout(void *arg)
{
    finish("the successor did not serve in time");
}

static int watch(struct loop *l, int fd, unsigned timeout_ms, struct err *e)
{
    next.pipe = fd;
    next.ev = event_new(loop_base(l), fd, EV_READ, on_pipe, NULL);
    timer_init(&next.timer, l, on_timeout, NULL);
    if (!next.ev || event_add(next.ev, NULL) < 0)
        return err_set(e, "the successor's pipe cannot be watched");
    timer_set(&next.timer, timeout_ms);
    return 0;
}

int handover_begin(struct loop *l, char *const argv[], struct slice state, unsigned timeout_ms,
                   handover_cb *done, void *arg, struct err *e)
{
    int p[2], fd, rc;

    if (next.active)
        return err_set(e, "a successor is being started already");
    if (!handover_program(e) || (fd = state_fd(state, e)) < 0)
        return -1;
    if (pipe2(p, O_CLOEXEC) < 0) {
        close(fd);
        return err_errno(e, "a pipe for the successor");
    }
    next.done = done;
    next.arg = arg;
    rc = spawn(argv, fd, p[1], e);
    close(fd);
    close(p[1]);
    if (rc < 0 || watch(l, p[0], timeout_ms, e) < 0) {
        close(p[0]);
        return -1;
    }
    next.active = true;
    return 0;
}

/* ---- the successor ------------------------------------------------------------------------------
 */

static int read_state(int fd, struct buf *out, struct err *e)
{
    off_t size = lseek(fd, 0, SEEK_END), at = 0;

    if (size < 0 || size > (off_t)STATE_MAX)
        return err_set(e, "the predecessor's state cannot be read");
    char *to = buf_reserve(out, (size_t)size);
    while (at < size) {
        ssize_t n = pread(fd, to + at, (size_t)(size - at), at);

        if (n <= 0)
            return err_errno(e, "reading the predecessor's state");
        at += n;
    }
    out->len += (size_t)size;
    return 0;
}

int handover_take(struct buf *out, struct err *e)
{
    const char *said = getenv(ENV);
    int state, pipe, rc;

    if (!said)
        return 0;
    if (sscanf(said, "%d %d", &state, &pipe) != 2 || state < 3 || pipe < 3)
        return err_set(e, "environment " ENV ": \"%.32s\" is not what a predecessor says", said);
    unsetenv(ENV);
    fcntl(pipe, F_SETFD, FD_CLOEXEC);
    got.pipe = pipe;
    got.n = listening(got.fds);
    for (unsigned i = 0; i < got.n; i++)
        fcntl(got.fds[i], F_SETFD, FD_CLOEXEC);
    rc = read_state(state, out, e);
    close(state);
    return rc < 0 ? -1 : 1;
}

static int take(unsigned i)
{
    int fd = got.fds[i];

    got.fds[i] = got.fds[--got.n];
    return fd;
}

int handover_socket(const struct ip_port *addr)
{
    struct sockaddr_storage ss;
    struct ip_port its;

    for (unsigned i = 0; i < got.n; i++) {
        socklen_t len = sizeof(ss);

        if (getsockname(got.fds[i], (struct sockaddr *)&ss, &len) == 0 &&
            ip_port_from_sockaddr((struct sockaddr *)&ss, &its) == 0 && ip_port_eq(&its, addr))
            return take(i);
    }
    return -1;
}

int handover_unix_socket(const char *path)
{
    struct sockaddr_un un;

    for (unsigned i = 0; i < got.n; i++) {
        socklen_t len = sizeof(un);

        memset(&un, 0, sizeof(un));
        if (getsockname(got.fds[i], (struct sockaddr *)&un, &len) == 0 &&
            un.sun_family == AF_UNIX && strncmp(un.sun_path, path, sizeof(un.sun_path)) == 0)
            return take(i);
    }
    return -1;
}

int handover_ready(void)
{
    int rc = 0;

    while (got.n > 0)
        close(take(0));
    if (!got.pipe)
        return 0;
    if (write(got.pipe, "", 1) != 1)
        rc = -1;
    close(got.pipe);
    got.pipe = 0;
    return rc;
}
