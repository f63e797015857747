/* live.c - sockets of chosen users, and where their connections come out. */
#include "interceptor/init/live.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#define ORIGINAL_DST 80 /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST */

static int domain_of(int family)
{
    return family == 4 ? AF_INET : AF_INET6;
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* any address of the family; -1 with errno */
static int listen_on(int family, uint16_t port, uint16_t *bound)
{
    struct ip_port a = {.ip.family = (uint8_t)family, .port = port};
    struct sockaddr_storage sa;
    socklen_t n = ip_port_to_sockaddr(&a, &sa);
    int one = 1, fd = socket(domain_of(family), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    if (family == 6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&sa, n) != 0 || listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &n) != 0 ||
        ip_port_from_sockaddr((struct sockaddr *)&sa, &a) != 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    *bound = a.port;
    return fd;
}

int live_open(struct live *l, int family, struct err *e)
{
    static const uint16_t ports[3] = {PORT_OUTBOUND, PORT_INBOUND, 0};

    *l = (struct live){.family = family, .fd = {-1, -1, -1}};
    for (int i = 0; i < 3; i++) {
        l->fd[i] = listen_on(family, ports[i], &l->own_port);
        if (l->fd[i] < 0) {
            int saved = errno;

            live_close(l);
            if (saved == EADDRINUSE)
                return 1;
            errno = saved;
            return err_errno(e, "cannot listen on port %u", ports[i]);
        }
    }
    return 0;
}

void live_close(struct live *l)
{
    for (int i = 0; i < 3; i++) {
        if (l->fd[i] >= 0)
            close(l->fd[i]);
        l->fd[i] = -1;
    }
}

/* ---- a socket that belongs to somebody --------------------------------------------------------
 */

static int send_fd(int via, int fd)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {{0}};
    char byte = 0;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    return sendmsg(via, &m, 0) == 1 ? 0 : -1;
}

static int receive_fd(int via)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c;
    int fd;

    if (recvmsg(via, &m, MSG_CMSG_CLOEXEC) != 1 || !(c = CMSG_FIRSTHDR(&m)) ||
        c->cmsg_type != SCM_RIGHTS)
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* The rules look at who opened the socket, so a child becomes that user, opens one, passes it
 * back and ends. */
static int socket_of(uint32_t uid, int domain)
{
    int ends[2], fd, status;
    pid_t pid;

    if (geteuid() == uid)
        return socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        if (setresuid(uid, uid, uid) != 0)
            _exit(1);
        fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        _exit(fd < 0 || send_fd(ends[1], fd) != 0 ? 2 : 0);
    }
    close(ends[1]);
    fd = pid < 0 ? -1 : receive_fd(ends[0]);
    close(ends[0]);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1)
        errno = EPERM;
    return fd;
}

/* ---- connecting ------------------------------------------------------------------------------ */

static uint16_t local_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    struct ip_port a;

    if (getsockname(fd, (struct sockaddr *)&sa, &n) != 0 ||
        ip_port_from_sockaddr((struct sockaddr *)&sa, &a) != 0)
        return 0;
    return a.port;
}

static int original_dst(int fd, int family, struct ip_port *out)
{
    struct sockaddr_storage sa = {0};
    socklen_t n = sizeof(sa);
    int level = family == 4 ? IPPROTO_IP : IPPROTO_IPV6;

    if (getsockopt(fd, level, ORIGINAL_DST, &sa, &n) != 0)
        return -1;
    return ip_port_from_sockaddr((struct sockaddr *)&sa, out);
}

/* true if listener i has the connection that comes from `port`; others that wait are closed */
static bool arrived(const struct live *l, int i, uint16_t port, struct ip_port *original)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    struct ip_port peer;
    bool ours;
    int fd = accept4(l->fd[i], (struct sockaddr *)&sa, &n, SOCK_CLOEXEC);

    if (fd < 0)
        return false;
    ours = ip_port_from_sockaddr((struct sockaddr *)&sa, &peer) == 0 && peer.port == port;
    *original = (struct ip_port){{0}, 0};
    if (ours)
        original_dst(fd, l->family, original);
    close(fd);
    return ours;
}

static int wait_arrival(const struct live *l, uint16_t port, int wait_ms, struct ip_port *original)
{
    uint64_t now = clock_mono_ms(), end = now + (uint64_t)wait_ms;

    for (; now < end; now = clock_mono_ms()) {
        struct pollfd fds[3];

        for (int i = 0; i < 3; i++)
            fds[i] = (struct pollfd){l->fd[i], POLLIN, 0};
        if (poll(fds, 3, (int)(end - now)) < 0 && errno != EINTR)
            break;
        for (int i = 0; i < 3; i++)
            if (fds[i].revents && arrived(l, i, port, original))
                return i;
    }
    return LAND_NOWHERE;
}

int live_connect(const struct live *l, uint32_t uid, const struct ip_port *dst, int wait_ms,
                 struct ip_port *original)
{
    struct sockaddr_storage sa;
    socklen_t n = ip_port_to_sockaddr(dst, &sa);
    int landed, fd = socket_of(uid, domain_of(l->family));

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&sa, n) != 0 && errno != EINPROGRESS)
        landed = errno == ECONNREFUSED ? LAND_NOWHERE : LAND_NO_ROUTE;
    else
        landed = wait_arrival(l, local_port(fd), wait_ms, original);
    close(fd);
    return landed;
}

int live_answered(int family, uint32_t uid, const struct ip_port *dst, int ms)
{
    struct sockaddr_storage sa;
    socklen_t n = ip_port_to_sockaddr(dst, &sa), size = sizeof(int);
    int error = 0, fd = socket_of(uid, domain_of(family));
    struct pollfd p = {fd, POLLOUT, 0};

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&sa, n) != 0 &&
        (errno != EINPROGRESS || poll(&p, 1, ms) != 1 ||
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0))
        error = ETIMEDOUT;
    close(fd);
    return error == 0;
}

int live_hold_port(int family, uint16_t *port)
{
    struct ip_port a = {.ip.family = (uint8_t)family};
    struct sockaddr_storage sa;
    socklen_t n = ip_port_to_sockaddr(&a, &sa);
    int fd = socket(domain_of(family), SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &n) != 0 ||
        ip_port_from_sockaddr((struct sockaddr *)&sa, &a) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *port = a.port;
    return fd;
}

/* ---- where things are ------------------------------------------------------------------------ */

/* calls like a datagram would: the kernel looks up the route and the source, sends nothing */
static int source_for(const struct ip *to, struct ip *source)
{
    struct ip_port a = {*to, 9};
    struct sockaddr_storage sa;
    socklen_t n = ip_port_to_sockaddr(&a, &sa);
    int rc = -1, fd = socket(domain_of(to->family), SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&sa, n) == 0) {
        n = sizeof(sa);
        rc = getsockname(fd, (struct sockaddr *)&sa, &n);
        if (rc == 0)
            rc = ip_port_from_sockaddr((struct sockaddr *)&sa, &a);
        *source = a.ip;
    }
    close(fd);
    return rc;
}

static bool address_of(const struct ifaddrs *i, struct ip *out)
{
    struct ip_port a;

    if (!i->ifa_addr || ip_port_from_sockaddr(i->ifa_addr, &a) != 0)
        return false;
    *out = a.ip;
    return true;
}

int live_route(const struct ip *to, char iface[IF_NAME_MAX])
{
    struct ifaddrs *all;
    struct ip source, a;
    int rc = -1;

    if (source_for(to, &source) != 0 || getifaddrs(&all) != 0)
        return -1;
    for (struct ifaddrs *i = all; i && rc != 0; i = i->ifa_next) {
        if (address_of(i, &a) && ip_eq(&a, &source)) {
            snprintf(iface, IF_NAME_MAX, "%s", i->ifa_name);
            rc = 0;
        }
    }
    freeifaddrs(all);
    return rc;
}

static bool is_link_local(const struct ip *a)
{
    return a->family == 4 ? a->b[0] == 169 && a->b[1] == 254
                          : a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

int live_own_address(int family, struct ip *out)
{
    struct ifaddrs *all;
    int rc = -1;

    if (getifaddrs(&all) != 0)
        return -1;
    for (struct ifaddrs *i = all; i && rc != 0; i = i->ifa_next)
        if (!(i->ifa_flags & IFF_LOOPBACK) && address_of(i, out) && out->family == family &&
            !is_link_local(out))
            rc = 0;
    freeifaddrs(all);
    return rc;
}
