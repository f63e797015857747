/* load.c - the load generator for what h2load does not do: a connection for each request (with full
 * or resumed TLS handshakes), a fixed rate with latencies, connections that are held open.
 *
 * One thread, edge-triggered epoll, HTTP/1.1 GETs.  Each answer must be 200 with the expected
 * number of bytes; anything else ends the program with status 1.  At the end (with --hold: once
 * everything has been answered, before it waits for the end of standard input) it prints one line
 * of JSON:
 *   {"ok": N, "resumed": N, "late": N, "seconds": S, "p50_us": T, "p99_us": T}
 * Latency is from the request's write to the last byte of its answer; the connecting is not in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/opt.h"

#define HEAD_MAX 8192
#define READ_MAX 262144
#define EVENTS   256

static struct {
    unsigned port, connections, requests, bytes, rate;
    const char *host;
    bool tls, resume, fresh, hold;
} conf = {.connections = 1, .requests = 1, .bytes = 1024, .host = "localhost"};

enum state { CONNECTING, HANDSHAKE, WAITING, READING, RESTING };

struct client {
    int fd; /* -1: not connected */
    enum state state;
    SSL *ssl;
    SSL_SESSION *ticket; /* owned: of this client's connection before */
    char head[HEAD_MAX + 1];
    unsigned head_len;
    long long body_left; /* -1: in the head */
    uint64_t sent_ns;
};

static struct client *clients;
static int poller;
static SSL_CTX *tls;
static char request[512];
static int request_len;
static char scratch[READ_MAX];
static int timer = -1; /* of --rate */
static unsigned begun, answered, resumed, ready;
static unsigned due, late; /* of --rate: to be sent when a connection is free; sent too late */
static uint32_t *latency_ns;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "load: after %u answers: ", answered);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* >0 bytes, 0 the end, -1 not now */
static ssize_t receive(struct client *c, void *to, size_t n)
{
    ssize_t got;
    if (c->ssl) {
        int r = SSL_read(c->ssl, to, (int)n), why = r > 0 ? 0 : SSL_get_error(c->ssl, r);
        if (r > 0)
            return r;
        if (why == SSL_ERROR_WANT_READ)
            return -1;
        if (why == SSL_ERROR_ZERO_RETURN)
            return 0;
        fail("TLS read: error %d", why);
    }
    got = read(c->fd, to, n);
    if (got < 0 && errno != EAGAIN)
        fail("read: %s", strerror(errno));
    return got;
}

/* a request always fits into the socket's buffer */
static void send_request(struct client *c)
{
    ssize_t n;
    begun++;
    c->state = READING;
    c->head_len = 0;
    c->body_left = -1;
    c->sent_ns = clock_mono_ns();
    n = c->ssl ? SSL_write(c->ssl, request, request_len)
               : write(c->fd, request, (size_t)request_len);
    if (n != request_len)
        fail("a request could not be written: %s", strerror(errno));
}

/* ---- connections ----------------------------------------------------------------------------- */

static void dial(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)conf.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    c->state = CONNECTING;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail("epoll: %s", strerror(errno));
}

static void hang_up(struct client *c)
{
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
    c->fd = -1;
}

static void start_tls(struct client *c)
{
    c->ssl = SSL_new(tls);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || !SSL_set_tlsext_host_name(c->ssl, conf.host))
        fail("no TLS session");
    SSL_set_app_data(c->ssl, c);
    if (c->ticket && !SSL_set_session(c->ssl, c->ticket))
        fail("the ticket cannot be used");
    SSL_set_connect_state(c->ssl);
    c->state = HANDSHAKE;
}

static int keep_ticket(SSL *ssl, SSL_SESSION *s)
{
    struct client *c = SSL_get_app_data(ssl);
    SSL_SESSION_free(c->ticket);
    c->ticket = s;
    return 1;
}

static void make_tls(void)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) ||
        !SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set_cipher_list(tls, "ECDHE-ECDSA-AES128-GCM-SHA256") ||
        !SSL_CTX_set1_groups_list(tls, "X25519:P-256") ||
        SSL_CTX_set_alpn_protos(tls, alpn, sizeof alpn - 1) != 0)
        fail("no TLS context");
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    if (conf.resume) {
        SSL_CTX_set_session_cache_mode(tls,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(tls, keep_ticket);
    }
}

/* ---- answers --------------------------------------------------------------------------------- */

static long long content_length(const char *head)
{
    const char *line = head;
    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, "content-length:", 15) == 0)
            return strtoll(line + 15, NULL, 10);
    }
    return -1;
}

/* takes what was read; true when the answer is whole */
static bool take(struct client *c, const char *p, size_t n)
{
    if (c->body_left < 0) {
        size_t room = HEAD_MAX - c->head_len, part = n < room ? n : room;
        memcpy(c->head + c->head_len, p, part);
        c->head_len += (unsigned)part;
        c->head[c->head_len] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) {
            if (c->head_len == HEAD_MAX)
                fail("the answer's head does not end");
            return false;
        }
        if (strncmp(c->head, "HTTP/1.1 200", 12) != 0)
            fail("answer \"%.40s\"", c->head);
        c->body_left = content_length(c->head);
        if (c->body_left != conf.bytes)
            fail("an answer of %lld bytes, expected %u", c->body_left, conf.bytes);
        size_t used = (size_t)(end + 4 - c->head) - (c->head_len - part);
        n -= used;
    }
    if ((long long)n > c->body_left)
        fail("%lld bytes behind an answer", (long long)n - c->body_left);
    c->body_left -= (long long)n;
    return c->body_left == 0;
}

static bool more_to_ask(void)
{
    return begun < conf.requests;
}

/* the request is answered: what the connection does next */
static void after_answer(struct client *c)
{
    latency_ns[answered++] = (uint32_t)(clock_mono_ns() - c->sent_ns);
    if (c->ssl && conf.fresh)
        resumed += (unsigned)SSL_session_reused(c->ssl);
    if (conf.hold) {
        c->state = RESTING;
        if (more_to_ask())
            dial(&clients[begun++]);
    } else if (conf.fresh) {
        hang_up(c);
        if (more_to_ask()) {
            begun++;
            dial(c);
        }
    } else if (conf.rate) {
        c->state = WAITING;
        if (due > 0) {
            due--;
            send_request(c);
        }
    } else if (more_to_ask()) {
        send_request(c);
    } else {
        c->state = RESTING;
    }
}

static void on_answer(struct client *c)
{
    ssize_t n;
    while (c->state == READING && (n = receive(c, scratch, sizeof scratch)) != -1) {
        if (n == 0)
            fail("closed before the answer was whole");
        if (take(c, scratch, (size_t)n)) {
            after_answer(c);
            return;
        }
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void start_timer(void)
{
    long ns = 1000000000L / (long)conf.rate;
    struct itimerspec every = {.it_interval.tv_nsec = ns, .it_value.tv_nsec = ns};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, timer, &ev) < 0)
        fail("timer: %s", strerror(errno));
}

static void on_ready(struct client *c)
{
    if (conf.rate) {
        c->state = WAITING;
        if (++ready == conf.connections)
            start_timer();
        return;
    }
    if (conf.fresh || conf.hold)
        begun--; /* counted when it was dialled */
    send_request(c);
}

static void on_connected(struct client *c)
{
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error)
        fail("connect: %s", strerror(error));
    if (conf.tls)
        start_tls(c);
    else
        on_ready(c);
}

static void on_handshake(struct client *c)
{
    ERR_clear_error();
    int r = SSL_do_handshake(c->ssl), why = r == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, r);
    if (r == 1)
        on_ready(c);
    else if (why != SSL_ERROR_WANT_READ)
        fail("handshake: %s", ERR_reason_error_string(ERR_peek_error()));
}

static void on_event(struct client *c, unsigned events)
{
    if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        on_connected(c);
    if (c->state == HANDSHAKE)
        on_handshake(c);
    if (c->state == READING)
        on_answer(c);
    else if ((c->state == WAITING || c->state == RESTING) &&
             events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) && c->fd >= 0)
        fail("a kept connection was closed");
}

/* ---- a fixed rate ---------------------------------------------------------------------------- */

static bool send_on_idle(void)
{
    static unsigned next;
    for (unsigned i = 0; i < conf.connections; i++) {
        struct client *c = &clients[next++ % conf.connections];
        if (c->state == WAITING) {
            send_request(c);
            return true;
        }
    }
    return false;
}

static void on_timer(void)
{
    uint64_t ticks = 0;
    if (read(timer, &ticks, sizeof ticks) < 0)
        return;
    late += (unsigned)(ticks - 1);
    for (; ticks && begun + due < conf.requests; ticks--)
        if (!send_on_idle()) {
            due++;
            late++;
        }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(uint64_t took_ns)
{
    qsort(latency_ns, answered, sizeof *latency_ns, by_size);
    printf("{\"ok\": %u, \"resumed\": %u, \"late\": %u, \"seconds\": %.6f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f}\n",
           answered, resumed, late, (double)took_ns / 1e9, latency_ns[answered / 2] / 1e3,
           latency_ns[(unsigned long long)answered * 99 / 100] / 1e3);
    fflush(stdout);
}

static void dial_first(void)
{
    unsigned n = conf.connections < conf.requests ? conf.connections : conf.requests;
    for (unsigned i = 0; i < n; i++) {
        if (conf.fresh || conf.hold)
            begun++;
        dial(&clients[i]);
    }
}

static void run(void)
{
    struct epoll_event ev[EVENTS];
    while (answered < conf.requests) {
        int n = epoll_wait(poller, ev, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr)
                on_event(ev[i].data.ptr, ev[i].events);
            else
                on_timer();
        }
    }
}

static void make_request(void)
{
    request_len = snprintf(request, sizeof request,
                           "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\n\r\n", conf.host);
    if (request_len >= (int)sizeof request)
        fail("the host's name is too long");
}

static void prepare(void)
{
    struct rlimit files;
    unsigned n = conf.hold ? conf.requests : conf.connections;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    clients = xcalloc(n, sizeof *clients);
    for (unsigned i = 0; i < n; i++)
        clients[i].fd = -1;
    latency_ns = xcalloc(conf.requests, sizeof *latency_ns);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        fail("epoll: %s", strerror(errno));
    if (conf.tls)
        make_tls();
    make_request();
}

static const struct opt options[] = {
    {0, "port", "PORT", "where, on 127.0.0.1", OPT_UINT(&conf.port, 1, 65535)},
    {0, "host", "NAME", "Host, and server name of TLS", OPT_STR(&conf.host)},
    {0, "connections", "N", "at a time (default 1)", OPT_UINT(&conf.connections, 1, 10000)},
    {0, "requests", "N", "in all (default 1)", OPT_UINT(&conf.requests, 1, 100000000)},
    {0, "bytes", "N", "that each answer must have (default 1024)",
     OPT_UINT(&conf.bytes, 0, 1u << 30)},
    {0, "rate", "N", "requests a second on connections kept open",
     OPT_UINT(&conf.rate, 1, 1000000)},
    {0, "new", NULL, "a connection for each request", OPT_FLAG(&conf.fresh)},
    {0, "tls", NULL, "TLS 1.3, or 1.2; any certificate", OPT_FLAG(&conf.tls)},
    {0, "resume", NULL, "with the ticket of the connection before", OPT_FLAG(&conf.resume)},
    {0, "hold", NULL, "a request on each of --requests connections, then keep them open",
     OPT_FLAG(&conf.hold)},
    OPT_END};

static const struct opt_prog prog = {
    .name = "load",
    .synopsis = "--port PORT [flags]",
    .description = "HTTP/1.1 load for the benchmark; every answer is checked.",
    .opts = options,
};

int main(int argc, char **argv)
{
    uint64_t start;
    int status = 0;
    if (opt_parse(&prog, argc, argv, NULL, &status) < 0)
        return status;
    if (!conf.port) {
        fprintf(stderr, "load: --port is needed\n");
        return 2;
    }
    prepare();
    start = clock_mono_ns();
    dial_first();
    run();
    report(clock_mono_ns() - start);
    while (conf.hold && read(STDIN_FILENO, scratch, sizeof scratch) > 0)
        ;
    return 0;
}
