/* listener.c - accepting connections, and not spinning when that is impossible. */
#include "common/io/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/descriptors.h"
#include "common/io/handover.h"

#define ACCEPTS_PER_TURN 64
#define FULL_PAUSE_MS    1000 /* out of descriptors: how long to let others finish */

struct listener {
    struct loop *loop;
    int fd;
    int reserve_fd; /* given up for the last that fits, or for a moment to take in whom we must turn
                       away; -1 = lost */
    listener_cb *cb;
    void *arg;
    struct loop_fd ready;
    struct timer again;  /* set: paused because descriptors ran out */
    struct loop_job job; /* deferred free */
    unsigned batch;      /* accepts to try in one go */
    bool paused;         /* by its owner */
    bool for_users;      /* leaves the last descriptors alone */
    bool was_full;       /* the last accept failed for want of a descriptor, or took the reserve */
    bool freed;
};

/* ---- binding ----------------------------------------------------------------------------- */

static void explain_bind(const struct ip_port *addr, int saved, struct err *e)
{
    char text[IP_TEXT_MAX];

    errno = saved;
    err_errno(e, "listening on %s", ip_port_format(addr, text));
    if (!e)
        return;
    const char *hint = NULL;
    if (saved == EADDRINUSE)
        hint = "another process holds the port (\"ss -ltnp\" shows which)";
    else if (saved == EACCES)
        hint = "ports below 1024 need CAP_NET_BIND_SERVICE";
    else if (saved == EADDRNOTAVAIL)
        hint = "no interface here has that address";
    else if (saved == EAFNOSUPPORT)
        hint = "this kernel has no IPv6";
    if (hint) {
        size_t n = strlen(e->text);
        snprintf(e->text + n, sizeof(e->text) - n, ": %s", hint);
    }
}

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

static int set_options(int fd, bool v6, unsigned flags)
{
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
        return -1;
    if ((flags & LISTEN_REUSEPORT) && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return -1;
    if (v6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !(flags & LISTEN_DUAL)) < 0)
        return -1;
    if (flags & LISTEN_TRANSPARENT) {
        if (v6 && set_option(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) < 0)
            return -1;
        if ((!v6 || (flags & LISTEN_DUAL)) && set_option(fd, SOL_IP, IP_TRANSPARENT, 1) < 0)
            return -1;
    }
    /* accepted sockets inherit it: one call here instead of one for each of them */
    return set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static int new_socket(bool v6)
{
    return socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int listener_bind(const struct ip_port *addr, unsigned flags, int backlog, struct err *e)
{
    struct ip_port any4 = {.ip.family = 4, .port = addr->port};
    bool v6 = addr->ip.family == 6;
    int fd = handover_socket(addr);

    if (fd >= 0)
        return fd;
    fd = new_socket(v6);

    if (fd < 0 && errno == EAFNOSUPPORT && v6 && (flags & LISTEN_DUAL)) {
        return listener_bind(&any4, flags & ~LISTEN_DUAL, backlog, e);
    }
    struct sockaddr_storage ss;
    socklen_t len = ip_port_to_sockaddr(addr, &ss);
    if (fd >= 0 && set_options(fd, v6, flags) == 0 && bind(fd, (struct sockaddr *)&ss, len) == 0 &&
        listen(fd, backlog) == 0)
        return fd;
    explain_bind(addr, errno, e);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* 0: the name is free now.  A socket that nobody listens on is left over from a crash. */
static int clear_stale(const struct sockaddr_un *un, struct err *e)
{
    const char *path = un->sun_path;
    struct stat st;
    int fd, rc;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_errno(e, "listening on %s", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, "listening on %s: something that is no socket is there", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, "listening on %s", path);
    rc = connect(fd, (const struct sockaddr *)un, sizeof(*un));
    if (rc < 0 && errno != ECONNREFUSED && errno != EAGAIN)
        rc = err_errno(e, "listening on %s: asking who is there", path);
    else if (rc == 0 || errno == EAGAIN)
        rc = err_set(e, "listening on %s: another process listens there already", path);
    else if (unlink(path) < 0 && errno != ENOENT)
        rc = err_errno(e, "removing the stale socket %s", path);
    else
        rc = 0;
    close(fd);
    return rc;
}

int listener_bind_unix(const char *path, mode_t mode, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(un.sun_path))
        return err_set(e, "%s: a socket's path has at most %zu bytes", path,
                       sizeof(un.sun_path) - 1);
    strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
    fd = handover_unix_socket(path);
    if (fd >= 0)
        return fd;
    if (clear_stale(&un, e) < 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* the mode is set before the name exists: nobody gets in between */
    if (fd >= 0 && fchmod(fd, mode) == 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 &&
        chmod(path, mode) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    err_errno(e, "listening on %s", path);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- accepting --------------------------------------------------------------------------- */

static bool is_too_many(const struct listener *l, int fd)
{
    return l->for_users && descriptor_is_kept(fd);
}

/* -1: there is none */
static int open_reserve(const struct listener *l)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || !is_too_many(l, fd))
        return fd;
    close(fd);
    return -1;
}

/* Takes in those who wait and closes them: better than leaving them in doubt. */
static void turn_away(struct listener *l)
{
    unsigned n = 0;
    int fd;

    for (; n < ACCEPTS_PER_TURN; n++) {
        if (l->reserve_fd >= 0)
            close(l->reserve_fd);
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        l->reserve_fd = open_reserve(l);
        if (fd < 0)
            break;
    }
    if (n > 0)
        log_warn("listener", "still out of descriptors: connections turned away count=%u", n);
}

static int watch(struct listener *l)
{
    return loop_watch(l->loop, l->fd, &l->ready, EPOLLIN);
}

static void pause_full(struct listener *l, int err)
{
    if (!l->was_full)
        log_warn("listener", "cannot accept, waiting a second (see ulimit -n) error=\"%s\"",
                 strerror(err));
    l->was_full = true;
    loop_unwatch(l->loop, l->fd, &l->ready);
    timer_set(&l->again, FULL_PAUSE_MS);
}

static void refused(struct listener *l, int err)
{
    descriptors_limit_changed();
    if (l->was_full)
        turn_away(l);
    pause_full(l, err);
}

static void on_again(void *arg)
{
    struct listener *l = arg;

    if (l->reserve_fd < 0)
        l->reserve_fd = open_reserve(l);
    if (l->reserve_fd < 0 && !l->paused)
        turn_away(l);
    if (l->reserve_fd < 0 || (!l->paused && watch(l) < 0))
        timer_set(&l->again, FULL_PAUSE_MS);
}

/* The last one that fits: it gets the number of the reserve, and there is no other until the
 * reserve is had again. */
static int take_reserve(struct listener *l, int fd)
{
    int n = dup3(fd, l->reserve_fd, O_CLOEXEC);

    close(n < 0 ? l->reserve_fd : fd);
    l->reserve_fd = -1;
    pause_full(l, EMFILE);
    return n < 0 ? fd : n;
}

static bool is_full(int err)
{
    return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* false: no more for now */
static bool accept_one(struct listener *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct ip_port peer;
    int fd = accept4(l->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (is_full(errno)) {
            refused(l, errno);
            return false;
        }
        /* anything else is the fate of one connection (accept(2)): look at the next */
        l->batch = 1;
        return errno != EAGAIN;
    }
    if (is_too_many(l, fd))
        fd = take_reserve(l, fd);
    else
        l->was_full = false;
    ip_port_from_sockaddr((struct sockaddr *)&ss, &peer);
    l->cb(l, fd, &peer, l->arg);
    return !l->freed && !l->paused && !timer_is_set(&l->again);
}

/* Level-triggered: what is left is told again.  The batch grows while it is used up, so that a
 * lone connection costs no accept that finds nothing, and a flood few turns. */
static void on_accept(struct loop_fd *f, uint32_t what)
{
    struct listener *l = (struct listener *)((char *)f - offsetof(struct listener, ready));
    unsigned n = l->batch;

    for (unsigned i = 0; i < n; i++)
        if (!accept_one(l))
            return;
    l->batch = n * 2 < ACCEPTS_PER_TURN ? n * 2 : ACCEPTS_PER_TURN;
}

/* ---- life -------------------------------------------------------------------------------- */

static void free_job(struct loop_job *job)
{
    struct listener *l = (struct listener *)((char *)job - offsetof(struct listener, job));

    free(l);
}

struct listener *listener_new(struct loop *loop, int fd, listener_cb *cb, void *arg, struct err *e)
{
    struct listener *l = xcalloc(1, sizeof(*l));

    l->loop = loop;
    l->fd = fd;
    l->cb = cb;
    l->arg = arg;
    l->batch = 1;
    l->job.fn = free_job;
    l->reserve_fd = open_reserve(l);
    timer_init(&l->again, loop, on_again, l);
    l->ready.fn = on_accept;
    if (l->reserve_fd >= 0 && watch(l) == 0)
        return l;
    err_errno(e, "watching a listening socket");
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    close(fd);
    free(l);
    return NULL;
}

void listener_for_users(struct listener *l)
{
    l->for_users = true;
}

int listener_fd(const struct listener *l)
{
    return l->fd;
}

int listener_address(const struct listener *l, struct ip_port *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (getsockname(l->fd, (struct sockaddr *)&ss, &len) < 0)
        return -1;
    return ip_port_from_sockaddr((struct sockaddr *)&ss, out);
}

void listener_pause(struct listener *l)
{
    if (l->paused)
        return;
    l->paused = true;
    loop_unwatch(l->loop, l->fd, &l->ready);
}

void listener_resume(struct listener *l)
{
    if (!l->paused)
        return;
    l->paused = false;
    if (!timer_is_set(&l->again))
        watch(l);
}

static void end(struct listener *l)
{
    l->freed = true;
    timer_cancel(&l->again);
    loop_unwatch(l->loop, l->fd, &l->ready);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    loop_defer(l->loop, &l->job);
}

int listener_release(struct listener *l)
{
    end(l);
    return l->fd;
}

void listener_free(struct listener *l)
{
    if (!l || l->freed)
        return;
    end(l);
    close(l->fd);
}
