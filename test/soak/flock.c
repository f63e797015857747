/* flock.c - many connections at once, as fast as the machine makes them: what becomes of each?
 *
 *   soak-flock -t ADDR:PORT -n N [-o] [-s SOURCE]...    a request on each, then it is held open, or
 *                                                       with -o closed
 *   soak-flock -t ADDR:PORT -g SECONDS                  random bytes instead, again and again
 *
 * Prints one line of JSON when every connection has come to something; with -n it holds those that
 * were served until standard input ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/opt.h"

#define GARBAGE (256 * 1024)
#define EVENTS  512

static struct {
    const char *to, *host;
    struct opt_list from;
    unsigned n, garbage_s, at_once, wait_s;
    bool once;
} conf = {.host = "web", .n = 1, .at_once = 2000, .wait_s = 60};

/* what a connection came to */
#define OUTCOMES(X)                                                                                \
    X(served) X(answered_otherwise) X(refused) X(reset) X(closed) X(silent) X(failed)
enum outcome {
#define X(name) OUT_##name,
    OUTCOMES(X)
#undef X
        OUT_COUNT
};
static const char *const outcome_name[] = {
#define X(name) #name,
    OUTCOMES(X)
#undef X
};

struct client {
    int fd;
    bool connected, over;
    size_t off; /* of the garbage */
};

static uint64_t outcomes[OUT_COUNT], garbage_bytes, begun, over;
static struct client *clients;
static struct sockaddr_in to;
static char request[256], *garbage;
static int poller;

static void die(const char *what)
{
    fprintf(stderr, "soak-flock: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void come_to(struct client *c, enum outcome o)
{
    outcomes[o]++;
    over++;
    c->over = true;
    if (o != OUT_served || conf.garbage_s || conf.once) {
        close(c->fd);
        c->fd = -1;
    }
}

static enum outcome outcome_of(int error)
{
    return error == ECONNREFUSED                         ? OUT_refused
           : error == ECONNRESET || error == EPIPE       ? OUT_reset
           : error == ETIMEDOUT || error == EHOSTUNREACH ? OUT_silent
                                                         : OUT_failed;
}

static void bind_source(int fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int one = 1;
    if (!conf.from.n)
        return;
    inet_pton(AF_INET, conf.from.v[begun % conf.from.n], &a.sin_addr);
    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die(conf.from.v[begun % conf.from.n]);
}

static void dial(struct client *c)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (c->fd < 0)
        die("socket");
    bind_source(c->fd);
    begun++;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        come_to(c, outcome_of(errno));
    else if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        die("epoll");
}

/* as much as goes; from the middle, so that no two begin alike */
static void pour(struct client *c)
{
    ssize_t n = 1;
    if (!c->off)
        c->off = (size_t)(begun * 7919 % (GARBAGE / 2)) + 1;
    while (n > 0 && c->off < GARBAGE) {
        n = send(c->fd, garbage + c->off, GARBAGE - c->off, MSG_NOSIGNAL);
        if (n > 0)
            c->off += (size_t)n, garbage_bytes += (size_t)n;
    }
    if (n < 0 && errno != EAGAIN)
        come_to(c, outcome_of(errno));
    else if (c->off >= GARBAGE)
        come_to(c, OUT_served);
}

static void hear(struct client *c)
{
    char answer[4096];
    ssize_t n = recv(c->fd, answer, sizeof answer, 0);
    if (n > 12)
        come_to(c, memcmp(answer, "HTTP/1.1 200", 12) == 0 ? OUT_served : OUT_answered_otherwise);
    else if (n >= 0)
        come_to(c, OUT_closed);
    else if (errno != EAGAIN)
        come_to(c, outcome_of(errno));
}

static void on_event(struct client *c, uint32_t events)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (c->over)
        return;
    if (!c->connected) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            come_to(c, outcome_of(error));
            return;
        }
        if (!(events & EPOLLOUT))
            return;
        c->connected = true;
        if (!conf.garbage_s && send(c->fd, request, strlen(request), MSG_NOSIGNAL) < 0)
            come_to(c, outcome_of(errno));
    }
    if (!c->over && conf.garbage_s && events & EPOLLOUT)
        pour(c);
    if (!c->over && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        hear(c);
}

static void turn(void)
{
    struct epoll_event ev[EVENTS];
    int n = epoll_wait(poller, ev, EVENTS, 100);
    for (int i = 0; i < n; i++)
        on_event(ev[i].data.ptr, ev[i].events);
}

static void flock_of_requests(void)
{
    uint64_t last_ns = clock_mono_ns(), seen = 0;
    while (over < conf.n) {
        while (begun < conf.n && begun - over < conf.at_once)
            dial(&clients[begun]);
        turn();
        if (over != seen)
            last_ns = clock_mono_ns();
        seen = over;
        if (clock_mono_ns() - last_ns > conf.wait_s * 1000000000ull)
            break;
    }
    for (unsigned i = 0; i < conf.n; i++)
        if (!clients[i].over)
            come_to(&clients[i], OUT_silent);
}

static void flock_of_garbage(uint64_t end_ns)
{
    while (clock_mono_ns() < end_ns) {
        for (unsigned i = 0; i < conf.at_once; i++)
            if (clients[i].over)
                dial(&clients[i]);
        turn();
    }
}

static void report(uint64_t took_ns)
{
    printf("{\"seconds\": %.2f, \"connections\": %llu, \"bytes\": %llu", (double)took_ns / 1e9,
           (unsigned long long)begun, (unsigned long long)garbage_bytes);
    for (int i = 0; i < OUT_COUNT; i++)
        printf(", \"%s\": %llu", outcome_name[i], (unsigned long long)outcomes[i]);
    printf("}\n");
    fflush(stdout);
}

static void prepare(void)
{
    unsigned n = conf.garbage_s ? conf.at_once : conf.n;
    struct rlimit files = {n + 100, n + 100};
    char addr[64];
    unsigned port;
    if (sscanf(conf.to, "%63[^:]:%u", addr, &port) != 2 ||
        inet_pton(AF_INET, addr, &to.sin_addr) != 1) {
        fprintf(stderr, "soak-flock: -t: expected ADDR:PORT\n");
        exit(2);
    }
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)port);
    setrlimit(RLIMIT_NOFILE, &files);
    snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n", conf.host);
    clients = xcalloc(n, sizeof *clients);
    for (unsigned i = 0; i < n; i++)
        clients[i] = (struct client){.fd = -1, .over = conf.garbage_s > 0};
    garbage = xmalloc(GARBAGE);
    for (size_t off = 0; off < GARBAGE; off += 256)
        if (getrandom(garbage + off, 256, 0) != 256)
            die("random bytes");
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll");
}

static const struct opt options[] = {
    {'t', "to", "ADDR:PORT", "where (IPv4)", OPT_STR(&conf.to)},
    {'H', "host", "NAME", "the request's Host (default web)", OPT_STR(&conf.host)},
    {'s', "source", "ADDR", "from there; several: in turn", OPT_LIST(&conf.from)},
    {'n', "number", "N", "connections (default 1)", OPT_UINT(&conf.n, 1, 1000000)},
    {'o', "once", NULL, "close what was served", OPT_FLAG(&conf.once)},
    {'g', "garbage", "SECONDS", "random bytes, for so long", OPT_UINT(&conf.garbage_s, 1, 86400)},
    {'c', "at-once", "N", "under way at once (default 2000)", OPT_UINT(&conf.at_once, 1, 100000)},
    {'w', "wait", "SECONDS", "give up when nothing moves for so long (default 60)",
     OPT_UINT(&conf.wait_s, 1, 3600)},
    OPT_END};

static const struct opt_prog prog = {
    .name = "soak-flock",
    .synopsis = "-t ADDR:PORT [flags]",
    .description = "Many connections at once, and what became of each.",
    .opts = options,
};

int main(int argc, char **argv)
{
    uint64_t start = clock_mono_ns();
    int status = 0;
    char c;
    if (opt_parse(&prog, argc, argv, NULL, &status) < 0)
        return status;
    if (!conf.to) {
        fprintf(stderr, "soak-flock: -t is needed\n");
        return 2;
    }
    prepare();
    if (conf.garbage_s)
        flock_of_garbage(start + conf.garbage_s * 1000000000ull);
    else
        flock_of_requests();
    report(clock_mono_ns() - start);
    while (!conf.garbage_s && read(STDIN_FILENO, &c, 1) > 0)
        ;
    opt_list_free(&conf.from);
    return 0;
}
