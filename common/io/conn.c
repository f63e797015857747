/* conn.c - connections: from edges to events.
 *
 * Invariants:  can_read is off only after the kernel said "nothing more" (EAGAIN or a short read
 * before the peer's end or urgent data was seen), so that an edge is due for whatever comes next;
 * can_write likewise.  want_write is on exactly while a user waits for CONN_EV_WRITE.  A closed
 * conn has fd == -1, is not watched, and has its job queued or run.
 */
#include "common/io/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h> /* before the kernel's own */
#include <linux/netfilter_ipv4.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/bug.h"
#include "common/io/descriptors.h"

#ifndef IP6T_SO_ORIGINAL_DST
#define IP6T_SO_ORIGINAL_DST 80 /* linux/netfilter_ipv6/ip6_tables.h */
#endif

const char *conn_fail_name(enum conn_fail f)
{
    static const char *const names[] = {
#define X(id, text) text,
        CONN_FAILS(X)
#undef X
    };
    return (unsigned)f < sizeof(names) / sizeof(names[0]) ? names[f] : "unknown";
}

enum conn_fail conn_fail_of(int err, bool dialing)
{
    switch (err) {
    case ECONNREFUSED:
    case ENOENT: /* a Unix socket that is not there */
        return CONN_FAIL_REFUSED;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL: /* no address (or port) of ours from which to reach it */
    case EACCES:        /* a firewall's answer */
    case EPERM:
        return CONN_FAIL_UNREACHABLE;
    case ETIMEDOUT:
        return dialing ? CONN_FAIL_CONNECT_TIMEOUT : CONN_FAIL_IO;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
        return CONN_FAIL_RESET;
    case EMFILE:
    case ENFILE:
        return CONN_FAIL_NO_FDS;
    default:
        return CONN_FAIL_IO;
    }
}

static int set_fail(struct conn *c, enum conn_fail f)
{
    if (c->fail == CONN_FAIL_NONE)
        c->fail = f;
    return CONN_ERROR;
}

/* ---- the plain transport ----------------------------------------------------------------- */

static ssize_t plain_read(struct conn *c, void *p, size_t n)
{
    ssize_t got;

    if (!c->can_read)
        return CONN_AGAIN;
    do
        got = recv(c->fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        if (errno != EAGAIN)
            return set_fail(c, conn_fail_of(errno, false));
        c->can_read = c->urgent = false;
        return CONN_AGAIN;
    }
    c->peeked = false;
    /* A short read drained the socket, unless it stopped at urgent data: what is behind raised its
     * edge already.  Once the peer has ended, is gone or a write failed no edge follows, so the end
     * must be fetched by another call. */
    if (got > 0 && (size_t)got < n && !c->rdhup && !c->broken && !c->urgent &&
        c->fail == CONN_FAIL_NONE)
        c->can_read = false;
    return got;
}

static ssize_t plain_writev(struct conn *c, const struct iovec *iov, int n)
{
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};
    size_t want = 0;
    ssize_t put;

    if (!c->can_write)
        return CONN_AGAIN;
    for (int i = 0; i < n; i++)
        want += iov[i].iov_len;
    do
        put = n == 1 ? send(c->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                     : sendmsg(c->fd, &m, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put < 0) {
        if (errno != EAGAIN) {
            c->can_read = true; /* a reset may have come with bytes: one edge, and it is used up */
            return set_fail(c, conn_fail_of(errno, false));
        }
        c->can_write = false;
        return CONN_AGAIN;
    }
    if ((size_t)put < want)
        c->can_write = false;
    return put;
}

const struct conn_xport conn_plain = {.name = "plain", .read = plain_read, .writev = plain_writev};

/* ---- moving bytes ------------------------------------------------------------------------ */

ssize_t conn_read(struct conn *c, void *p, size_t n)
{
    ssize_t got;

    if (c->dead || c->closed)
        return CONN_ERROR;
    got = c->xport->read(c, p, n);
    if (got > 0)
        c->rx_bytes += (uint64_t)got;
    else if (got == CONN_ERROR)
        c->dead = true;
    return got;
}

ssize_t conn_write(struct conn *c, const void *p, size_t n)
{
    const struct iovec iov = {.iov_base = (void *)p, .iov_len = n};

    return conn_writev(c, &iov, 1);
}

ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n)
{
    ssize_t put;

    if (c->dead || c->closed)
        return CONN_ERROR;
    put = c->xport->writev(c, iov, n);
    if (put > 0)
        c->tx_bytes += (uint64_t)put;
    c->want_write = put == CONN_AGAIN || !c->can_write;
    return put;
}

ssize_t conn_splice_read(struct conn *c, int pipe, size_t n)
{
    ssize_t got;

    BUG_ON(c->xport != &conn_plain);
    if (c->dead || c->closed)
        return CONN_ERROR;
    if (!c->can_read)
        return CONN_AGAIN;
    do
        got = splice(c->fd, NULL, pipe, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        c->peeked = false;
        c->rx_bytes += (uint64_t)got;
    } else if (got < 0 && errno == EAGAIN) {
        c->can_read = false;
        got = CONN_AGAIN;
    } else if (got < 0) {
        c->dead = true;
        got = set_fail(c, conn_fail_of(errno, false));
    }
    return got;
}

ssize_t conn_splice_write(struct conn *c, int pipe, size_t n)
{
    ssize_t put;

    BUG_ON(c->xport != &conn_plain);
    if (c->dead || c->closed)
        return CONN_ERROR;
    if (!c->can_write)
        return CONN_AGAIN;
    do
        put = splice(pipe, NULL, c->fd, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (put < 0 && errno == EINTR);
    if (put > 0)
        c->tx_bytes += (uint64_t)put;
    else if (put < 0 && errno != EAGAIN)
        return CONN_ERROR; /* a write says why */
    return put > 0 ? put : CONN_AGAIN;
}

ssize_t conn_peek(struct conn *c, void *p, size_t n)
{
    ssize_t got;

    BUG_ON(c->xport != &conn_plain);
    if (c->dead || c->closed)
        return CONN_ERROR;
    if (!c->can_read)
        return CONN_AGAIN;
    do
        got = recv(c->fd, p, n, MSG_PEEK);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        if (errno != EAGAIN) {
            c->dead = true;
            return set_fail(c, conn_fail_of(errno, false));
        }
        c->can_read = false;
        return CONN_AGAIN;
    }
    c->peeked = true;
    return got;
}

bool conn_gone(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd};

    /* both ends orderly said is a hang-up too, and no loss */
    short bad = POLLERR | (c->wr_shut ? 0 : POLLHUP);

    return c->dead || c->closed || (poll(&p, 1, 0) == 1 && p.revents & bad);
}

/* The kernel is asked only where the loop may not know: each request comes by here. */
static bool has_any(const struct conn *c, short events)
{
    struct pollfd p = {.fd = c->fd, .events = events};

    if (c->dead || c->closed)
        return true;
    if (!c->can_read && !c->rdhup && !c->broken && loop_is_still(c->loop, &c->ready))
        return false;
    return poll(&p, 1, 0) == 1;
}

bool conn_is_quiet(const struct conn *c)
{
    return !has_any(c, POLLIN | POLLRDHUP);
}

bool conn_has_ended(const struct conn *c)
{
    return has_any(c, POLLRDHUP);
}

size_t conn_unsent(const struct conn *c)
{
    int n = 0;

    return c->closed || ioctl(c->fd, SIOCOUTQ, &n) < 0 || n < 0 ? 0 : (size_t)n;
}

/* The kernel's own count.  What is said to it less what it holds goes down where a transport makes
 * more of the bytes (TLS) and when our end is held too. */
uint64_t conn_taken(const struct conn *c)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);

    if (c->closed || getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        return 0;
    return info.tcpi_bytes_acked;
}

bool conn_may_read(const struct conn *c)
{
    if (c->closed || c->dead)
        return false;
    return c->can_read || (c->xport->pending && c->xport->pending((struct conn *)c) > 0);
}

/* ---- events ------------------------------------------------------------------------------ */

static void tell(struct conn *c, unsigned events)
{
    if (events && !c->closed)
        c->cb(c, events, c->arg);
}

static void drop_dial_timer(struct conn *c)
{
    if (!c->dial_timer)
        return;
    timer_cancel(c->dial_timer);
    free(c->dial_timer);
    c->dial_timer = NULL;
}

static void tell_fail(struct conn *c, enum conn_fail f)
{
    set_fail(c, f);
    c->dead = true;
    c->dialing = c->handshaking = false;
    drop_dial_timer(c);
    tell(c, CONN_EV_FAIL);
}

/* What came in while nobody could read it raised its edge already: say so now. */
static void tell_open(struct conn *c)
{
    c->dialing = c->handshaking = false;
    drop_dial_timer(c);
    tell(c, CONN_EV_OPEN);
    if (conn_may_read(c) && !c->handshaking)
        tell(c, CONN_EV_READ);
}

static void drive_handshake(struct conn *c)
{
    int rc = c->xport->handshake(c);

    if (rc == 1)
        tell_open(c);
    else if (rc == CONN_ERROR)
        tell_fail(c, CONN_FAIL_TLS);
}

/* maybe_bad: an error also makes the socket readable; writable alone is success, and needs no
 * further question */
static void finish_dial(struct conn *c, bool maybe_bad)
{
    socklen_t len = sizeof(int);
    int err = 0;

    if (maybe_bad && getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err) {
        tell_fail(c, conn_fail_of(err, true));
        return;
    }
    c->can_write = true;
    tell_open(c);
}

/* how the dial or the handshake ended is known, and will be told at the end of this turn */
static bool verdict_queued(const struct conn *c)
{
    return c->wake_events & (CONN_EV_OPEN | CONN_EV_FAIL);
}

static void dial_ready(struct conn *c, uint32_t what)
{
    c->can_read = (what & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
    c->rdhup = (what & EPOLLRDHUP) != 0;
    c->urgent = (what & EPOLLPRI) != 0;
    if ((what & (EPOLLOUT | EPOLLERR | EPOLLHUP)) && !verdict_queued(c))
        finish_dial(c, c->can_read);
}

/* Takes in what the kernel says; returns the events that the user is to be told. */
static unsigned note_edges(struct conn *c, uint32_t what)
{
    bool told = c->can_read && !c->peeked; /* and held: see the header */
    bool gone = what & (EPOLLERR | EPOLLHUP);
    bool end = gone || what & EPOLLRDHUP;
    bool in = end || what & EPOLLIN, out = gone || what & EPOLLOUT;
    bool secured = c->xport != &conn_plain; /* may have to read to write, or write to read */
    unsigned events = 0;

    if ((end && !c->rdhup) || (gone && !c->broken))
        told = false;
    c->rdhup |= end;
    c->broken |= gone; /* what came before can still be read, up to the error */
    c->urgent |= (what & EPOLLPRI) != 0;
    c->can_read |= in;
    c->can_write |= out;
    if ((in && !told) || secured)
        events |= CONN_EV_READ;
    if (c->want_write && (out || secured))
        events |= CONN_EV_WRITE;
    return events;
}

/* the transport's own bytes go before anybody else's, and before our end */
static void flush_xport(struct conn *c)
{
    int rc = c->xport->flush ? c->xport->flush(c) : 1;

    if (c->shut_owed && rc != CONN_AGAIN) {
        c->shut_owed = false;
        shutdown(c->fd, SHUT_WR);
    }
}

static void on_ready(struct loop_fd *f, uint32_t what)
{
    struct conn *c = (struct conn *)((char *)f - offsetof(struct conn, ready));
    unsigned events;

    if (c->dialing) {
        dial_ready(c, what);
        return;
    }
    events = note_edges(c, what);
    if (c->dead)
        return; /* its user knows */
    if (c->handshaking) {
        if (!verdict_queued(c))
            drive_handshake(c);
        return;
    }
    if (what & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        flush_xport(c);
    if (events & CONN_EV_WRITE)
        c->want_write = false;
    tell(c, events);
}

static void conn_free(struct conn *c)
{
    if (c->xport->free)
        c->xport->free(c);
    free(c);
}

static void on_job(struct loop_job *job)
{
    struct conn *c = (struct conn *)((char *)job - offsetof(struct conn, job));
    unsigned events = c->wake_events;

    if (c->closed) {
        conn_free(c);
        return;
    }
    c->wake_events = 0;
    if (events & CONN_EV_FAIL)
        tell_fail(c, c->fail);
    else if (events & CONN_EV_OPEN)
        tell_open(c);
    else if (c->handshaking)
        drive_handshake(c);
    else if (!c->dialing)
        tell(c, events);
}

static void queue_events(struct conn *c, unsigned events)
{
    if (c->closed)
        return;
    c->wake_events |= events;
    loop_defer(c->loop, &c->job);
}

void conn_wake(struct conn *c, unsigned events)
{
    queue_events(c, events & (CONN_EV_READ | CONN_EV_WRITE));
}

void conn_set_cb(struct conn *c, conn_cb *cb, void *arg)
{
    c->cb = cb;
    c->arg = arg;
}

void conn_secure(struct conn *c, const struct conn_xport *x, void *xport_data)
{
    int rc;

    BUG_ON(c->xport != &conn_plain || c->closed);
    c->xport = x;
    c->xport_data = xport_data;
    c->handshaking = true;
    c->peeked = false;
    rc = x->handshake ? x->handshake(c) : 1;
    if (rc == CONN_ERROR)
        set_fail(c, CONN_FAIL_TLS);
    if (rc != CONN_AGAIN)
        queue_events(c, rc == 1 ? CONN_EV_OPEN : CONN_EV_FAIL);
}

/* ---- making ------------------------------------------------------------------------------ */

static void on_dial_timeout(void *arg)
{
    tell_fail(arg, CONN_FAIL_CONNECT_TIMEOUT);
}

static int set_dial_timer(struct conn *c, unsigned ms)
{
    c->dial_timer = malloc(sizeof(*c->dial_timer));
    if (!c->dial_timer)
        return -1;
    timer_init(c->dial_timer, c->loop, on_dial_timeout, c);
    timer_set(c->dial_timer, ms);
    return 0;
}

/* takes fd */
static struct conn *conn_new(struct loop *l, int fd, conn_cb *cb, void *arg, struct err *e)
{
    struct conn *c = calloc(1, sizeof(*c));

    if (!c) {
        err_errno(e, "a connection");
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->loop = l;
    c->xport = &conn_plain;
    c->cb = cb;
    c->arg = arg;
    c->job.fn = on_job;
    c->ready.fn = on_ready;
    return c;
}

/* -1: c is gone */
static int conn_register(struct conn *c, struct err *e)
{
    const uint32_t what = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET;

    if (loop_watch(c->loop, c->fd, &c->ready, what) == 0)
        return 0;
    err_errno(e, "watching a connection");
    close(c->fd);
    free(c);
    return -1;
}

static void set_nodelay(int fd)
{
    int on = 1;

    /* fails on Unix sockets, where there is nothing to delay */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int ask_address(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), struct ip_port *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    memset(&ss, 0, sizeof(ss));
    if (ask(fd, (struct sockaddr *)&ss, &len) < 0)
        return -1;
    return ip_port_from_sockaddr((struct sockaddr *)&ss, out);
}

struct conn *conn_adopt(struct loop *l, int fd, conn_cb *cb, void *arg, struct err *e)
{
    struct ip_port peer = {.port = 0};
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        err_errno(e, "adopting descriptor %d", fd);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    ask_address(fd, getpeername, &peer);
    if (peer.ip.family)
        set_nodelay(fd);
    return conn_accepted(l, fd, &peer, cb, arg, e);
}

struct conn *conn_accepted(struct loop *l, int fd, const struct ip_port *peer, conn_cb *cb,
                           void *arg, struct err *e)
{
    struct conn *c = conn_new(l, fd, cb, arg, e);

    if (!c)
        return NULL;
    c->peer = *peer;
    c->can_write = true; /* an empty send buffer; what can be read the first edge tells */
    return conn_register(c, e) < 0 ? NULL : c;
}

static int bind_source(int fd, const struct ip_port *source, struct err *e)
{
    struct sockaddr_storage ss;
    socklen_t len = ip_port_to_sockaddr(source, &ss);
    char text[IP_TEXT_MAX];
    int on = 1;

    if (source->port == 0) /* leave the port to connect, which knows the whole four-tuple */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&ss, len) < 0)
        return err_errno(e, "binding to source %s", ip_port_format(source, text));
    return 0;
}

/* -1 and errno */
static int new_socket(int family, const struct conn_dial_opts *o)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || !o ||
        !((o->for_users && descriptor_is_kept(fd)) || (o->for_anybody && descriptor_is_last(fd))))
        return fd;
    close(fd);
    errno = EMFILE;
    return -1;
}

static int dial_socket(int family, const struct conn_dial_opts *o, struct err *e)
{
    int fd = new_socket(family, o), saved;

    if (fd < 0) {
        err_errno(e, "a socket to connect with");
        return -1;
    }
    if (family != AF_UNIX)
        set_nodelay(fd);
    if (o && o->mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &o->mark, sizeof(o->mark)) < 0)
        err_errno(e, "marking a socket (needs CAP_NET_ADMIN)");
    else if (!o || !o->source || bind_source(fd, o->source, e) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* takes fd */
static struct conn *dial(struct loop *l, int fd, const struct sockaddr *sa, socklen_t len,
                         conn_cb *cb, void *arg, struct err *e)
{
    struct conn *c = conn_new(l, fd, cb, arg, e);
    int rc;

    if (!c)
        return NULL;
    c->dialing = true;
    do
        rc = connect(fd, sa, len);
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && errno != EINPROGRESS) {
        c->fail = conn_fail_of(errno, true);
        queue_events(c, CONN_EV_FAIL);
        return c;
    }
    if (conn_register(c, e) < 0)
        return NULL;
    if (rc == 0) {
        c->can_write = true;
        queue_events(c, CONN_EV_OPEN);
    }
    return c;
}

struct conn *conn_dial(struct loop *l, const struct ip_port *dst, const struct conn_dial_opts *o,
                       conn_cb *cb, void *arg, struct err *e)
{
    int fd = dial_socket(dst->ip.family == 6 ? AF_INET6 : AF_INET, o, e);
    struct sockaddr_storage ss;
    struct conn *c;

    if (fd < 0)
        return NULL;
    c = dial(l, fd, (struct sockaddr *)&ss, ip_port_to_sockaddr(dst, &ss), cb, arg, e);
    if (!c)
        return NULL;
    c->peer = *dst;
    if (o && o->timeout_ms && set_dial_timer(c, o->timeout_ms) < 0) {
        err_errno(e, "a connection");
        conn_close(c);
        return NULL;
    }
    return c;
}

struct conn *conn_dial_unix(struct loop *l, const char *path, conn_cb *cb, void *arg, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(un.sun_path)) {
        err_set(e, "%s: a socket's path has at most %zu bytes", path, sizeof(un.sun_path) - 1);
        return NULL;
    }
    strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
    fd = dial_socket(AF_UNIX, NULL, e);
    return fd < 0 ? NULL : dial(l, fd, (struct sockaddr *)&un, sizeof(un), cb, arg, e);
}

/* ---- ending ------------------------------------------------------------------------------ */

static void xport_shut(struct conn *c)
{
    if (!c->wr_shut && c->xport->shut && !c->handshaking && c->fail == CONN_FAIL_NONE)
        c->xport->shut(c);
}

void conn_shut_write(struct conn *c)
{
    if (c->closed || c->wr_shut)
        return;
    xport_shut(c);
    c->wr_shut = c->shut_owed = true;
    flush_xport(c);
}

void conn_close(struct conn *c)
{
    if (!c || c->closed)
        return;
    xport_shut(c);
    c->closed = true;
    drop_dial_timer(c);
    loop_unwatch(c->loop, c->fd, &c->ready); /* before the number can be somebody else's */
    close(c->fd);
    c->fd = -1;
    loop_defer(c->loop, &c->job);
}

void conn_abort(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    if (!c || c->closed)
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    c->wr_shut = true; /* no goodbye of the transport's */
    conn_close(c);
}

struct ip_port conn_local(const struct conn *c)
{
    struct ip_port here = {.port = 0};

    if (!c->closed)
        ask_address(c->fd, getsockname, &here);
    return here;
}

int conn_original_dst(const struct conn *c, struct ip_port *out)
{
    bool v4 = c->peer.ip.family == 4;
    struct sockaddr_storage ss;
    socklen_t len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

    if (c->closed || c->peer.ip.family == 0)
        return -1;
    memset(&ss, 0, sizeof(ss));
    if (getsockopt(c->fd, v4 ? SOL_IP : SOL_IPV6, v4 ? SO_ORIGINAL_DST : IP6T_SO_ORIGINAL_DST, &ss,
                   &len) == 0)
        return ip_port_from_sockaddr((struct sockaddr *)&ss, out);
    /* no connection tracking here, or an entry without translation */
    if (errno != ENOENT && errno != ENOPROTOOPT && errno != EOPNOTSUPP)
        return -1;
    return ask_address(c->fd, getsockname, out);
}
