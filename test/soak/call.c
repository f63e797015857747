/* call.c - the client of the soak: HTTP/1.1, HTTP/2 with and without gRPC's trailers, and TCP, at a
 * fixed rate, for a time; see pattern.h.  A thread for each connection.
 *
 * Every byte of every answer is checked.  A line for each of the first failures goes to standard
 * error, progress and at the end one line of JSON to standard output; the exit status is 1 if
 * anything failed.  What HTTP says was not begun is asked again, and counted as "again": a kept
 * HTTP/1.1 connection that ends before the first byte of the answer (RFC 9112 9.3.1), a stream that
 * is refused or lies above a GOAWAY's last one (RFC 9113 8.7).
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "test/soak/pattern.h"

#define BUF        65536
#define BODY_MAX   262144
#define WAIT_S     20  /* for a byte */
#define FAILS_TOLD 10  /* in a second */
#define H1_LIFE    500 /* requests of a connection, at most */
#define TCP_LIFE   50
#define STEPS      64 /* of latency: two to each doubling, from 1 us */

static struct {
    const char *http, *tcp;
    unsigned seconds, rate, h1, h2, streams, tcp_conns, every;
} conf = {
    .seconds = 10, .rate = 1000, .h1 = 20, .h2 = 3, .streams = 10, .tcp_conns = 10, .every = 10};

enum kind { H1, H2, GRPC, TCP, KINDS };
static const char *const kind_name[KINDS] = {"http1", "http2", "grpc", "tcp"};

static struct {
    uint64_t ok, failed, again, conns;
    uint64_t latency[STEPS];
    uint64_t slowest_us;
} tally[KINDS]; /* atomic */

static struct sockaddr_in http_addr, tcp_addr;
static uint64_t end_ns, interval_ns;
static volatile sig_atomic_t stopped;

/* ---- what is counted ------------------------------------------------------------------------- */

static void add(uint64_t *n)
{
    __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static void count_ok(enum kind k, uint64_t since_ns)
{
    uint64_t us = (clock_mono_ns() - since_ns) / 1000 + 1;
    unsigned doubling = 63u - (unsigned)__builtin_clzll(us);
    unsigned step = doubling * 2 + (doubling ? (unsigned)(us >> (doubling - 1)) & 1 : 0);
    add(&tally[k].latency[step < STEPS ? step : STEPS - 1]);
    add(&tally[k].ok);
    if (us > __atomic_load_n(&tally[k].slowest_us, __ATOMIC_RELAXED))
        __atomic_store_n(&tally[k].slowest_us, us, __ATOMIC_RELAXED);
}

__attribute__((format(printf, 2, 3))) static void count_failed(enum kind k, const char *fmt, ...)
{
    static uint64_t second, told;
    struct timespec now;
    char text[256];
    va_list ap;
    add(&tally[k].failed);
    uint64_t s = clock_mono_ns() / 1000000000;
    if (__atomic_exchange_n(&second, s, __ATOMIC_RELAXED) != s)
        __atomic_store_n(&told, 0, __ATOMIC_RELAXED);
    if (__atomic_fetch_add(&told, 1, __ATOMIC_RELAXED) >= FAILS_TOLD)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clock_gettime(CLOCK_REALTIME, &now);
    fprintf(stderr, "%lld.%03ld %s: %s\n", (long long)now.tv_sec % 86400, now.tv_nsec / 1000000,
            kind_name[k], text);
}

/* upper bound in us of the step in which that part of all answers lies */
static unsigned long long quantile(enum kind k, double part)
{
    uint64_t want = (uint64_t)((double)tally[k].ok * part), seen = 0;
    for (unsigned i = 0; i < STEPS; i++) {
        seen += tally[k].latency[i];
        if (seen > want)
            return i & 1 ? 2ull << i / 2 : (3ull << i / 2) / 2;
    }
    return 0;
}

static void report(double seconds)
{
    uint64_t ok = 0, failed = 0;
    for (int k = 0; k < KINDS; k++)
        ok += tally[k].ok, failed += tally[k].failed;
    printf("{\"requests\": %llu, \"failed\": %llu, \"seconds\": %.1f",
           (unsigned long long)(ok + failed), (unsigned long long)failed, seconds);
    for (int k = 0; k < KINDS; k++)
        printf(", \"%s\": {\"ok\": %llu, \"failed\": %llu, \"again\": %llu, \"connections\": %llu, "
               "\"p50_us\": %llu, \"p99_us\": %llu, \"max_us\": %llu}",
               kind_name[k], (unsigned long long)tally[k].ok, (unsigned long long)tally[k].failed,
               (unsigned long long)tally[k].again, (unsigned long long)tally[k].conns,
               quantile(k, 0.5), quantile(k, 0.99), (unsigned long long)tally[k].slowest_us);
    printf("}\n");
    fflush(stdout);
}

static bool more(void)
{
    return !stopped && clock_mono_ns() < end_ns;
}

/* ---- pace and chance ------------------------------------------------------------------------- */

struct worker {
    uint64_t seed, next_ns, id;
    uint64_t last_id; /* ids of this thread end there */
};

static unsigned chance(struct worker *w, unsigned below)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return (unsigned)(w->seed % below);
}

/* mostly small, now and then large */
static size_t some_bytes(struct worker *w)
{
    return chance(w, 100) ? chance(w, 4096) : 65536 + chance(w, BODY_MAX - 65536);
}

static void pace(struct worker *w)
{
    uint64_t now = clock_mono_ns();
    w->next_ns += interval_ns;
    if (w->next_ns + 1000000000ull < now)
        w->next_ns = now; /* what was missed by more than that is not caught up */
    if (w->next_ns > now) {
        uint64_t ns = w->next_ns - now;
        struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        nanosleep(&t, NULL);
    }
}

static struct worker begin(void *arg)
{
    uint64_t number = (uint64_t)(uintptr_t)arg;
    struct worker w = {.seed = number * 0x9e3779b97f4a7c15ull + 1, .id = number << 40};
    w.next_ns = clock_mono_ns() + chance(&w, (unsigned)(interval_ns / 1000) + 1) * 1000ull;
    return w;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int dial(enum kind k)
{
    struct timeval wait = {.tv_sec = WAIT_S};
    const struct sockaddr_in *to = k == TCP ? &tcp_addr : &http_addr;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0) {
        close(fd);
        return -1;
    }
    add(&tally[k].conns);
    return fd;
}

static int write_all(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return -1;
        p += k, n -= (size_t)k;
    }
    return 0;
}

/* ---- HTTP/1.1 -------------------------------------------------------------------------------- */

struct h1 {
    struct worker w;
    int fd; /* -1: none */
    unsigned life, used;
    size_t have;
    char buf[BUF + 1];
    unsigned char body[BODY_MAX];
};

enum answer { DONE, NOT_BEGUN, WRONG };

static const char *why(ssize_t n)
{
    return n == 0 ? "closed" : errno == EAGAIN ? "nothing comes" : strerror(errno);
}

/* how much of a body is left behind the head; -1: wrong */
static ssize_t h1_head(struct h1 *c, size_t want, bool *closing)
{
    char *end = strstr(c->buf, "\r\n\r\n"), *length;
    *end = '\0';
    length = strcasestr(c->buf, "\r\ncontent-length:");
    *closing = strcasestr(c->buf, "\r\nconnection: close") != NULL;
    size_t head = (size_t)(end + 4 - c->buf);
    if (strncmp(c->buf, "HTTP/1.1 200", 12) != 0) {
        count_failed(H1, "%.12s | %.60s", c->buf, c->buf + head);
        return -1;
    }
    if (!length || strtoul(length + 17, NULL, 10) != want) {
        count_failed(H1, "not of %zu bytes: %.200s", want, c->buf);
        return -1;
    }
    memmove(c->buf, c->buf + head, c->have - head + 1);
    c->have -= head;
    return (ssize_t)want;
}

static enum answer h1_body(struct h1 *c, size_t want)
{
    size_t at = 0;
    for (;;) {
        if (c->have > want - at || !pattern_is(c->w.id, at, (unsigned char *)c->buf, c->have)) {
            count_failed(H1, "another body than asked for, at %zu of %zu", at, want);
            return WRONG;
        }
        at += c->have;
        c->have = 0;
        if (at == want)
            return DONE;
        ssize_t n = read(c->fd, c->buf, BUF);
        if (n <= 0) {
            count_failed(H1, "%s in a body, at %zu of %zu", why(n), at, want);
            return WRONG;
        }
        c->have = (size_t)n;
    }
}

static enum answer h1_read(struct h1 *c, size_t want, bool *closing)
{
    c->have = 0;
    c->buf[0] = '\0';
    while (!strstr(c->buf, "\r\n\r\n")) {
        ssize_t n = read(c->fd, c->buf + c->have, BUF - c->have);
        if (n <= 0 && c->have == 0 && c->used > 1 && (n == 0 || errno == ECONNRESET))
            return NOT_BEGUN;
        if (n <= 0) {
            count_failed(H1, "%s before an answer, request %u of the connection", why(n), c->used);
            return WRONG;
        }
        c->have += (size_t)n;
        c->buf[c->have] = '\0';
    }
    return h1_head(c, want, closing) < 0 ? WRONG : h1_body(c, want);
}

static void h1_hang_up(struct h1 *c)
{
    close(c->fd);
    c->fd = -1;
}

static bool h1_dial(struct h1 *c)
{
    c->used = 0;
    c->life = 1 + chance(&c->w, H1_LIFE);
    c->fd = dial(H1);
    if (c->fd < 0)
        count_failed(H1, "connect: %s", strerror(errno));
    return c->fd >= 0;
}

static enum answer h1_exchange(struct h1 *c, size_t up, size_t want, bool *closing)
{
    char head[256];
    int n = snprintf(head, sizeof head,
                     "%s /%llu/%zu HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\n\r\n",
                     up ? "POST" : "GET", (unsigned long long)c->w.id, want, conf.http, up);
    c->used++;
    if (write_all(c->fd, head, (size_t)n) < 0 || write_all(c->fd, c->body, up) < 0) {
        if (c->used > 1 && (errno == EPIPE || errno == ECONNRESET))
            return NOT_BEGUN;
        count_failed(H1, "send: %s", strerror(errno));
        return WRONG;
    }
    return h1_read(c, want, closing);
}

static void h1_request(struct h1 *c)
{
    size_t want = some_bytes(&c->w), up = chance(&c->w, 4) ? 0 : some_bytes(&c->w);
    uint64_t since = clock_mono_ns();
    enum answer a = NOT_BEGUN;
    bool closing = false;
    c->w.id++;
    pattern_fill(~c->w.id, 0, c->body, up);
    while (a == NOT_BEGUN) {
        if (c->fd < 0 && !h1_dial(c))
            return;
        a = h1_exchange(c, up, want, &closing);
        if (a == NOT_BEGUN)
            add(&tally[H1].again);
        if (a != DONE || closing || c->used >= c->life)
            h1_hang_up(c);
    }
    if (a == DONE)
        count_ok(H1, since);
}

static void *h1(void *arg)
{
    struct h1 *c = xcalloc(1, sizeof *c);
    c->w = begin(arg);
    c->fd = -1;
    for (pace(&c->w); more(); pace(&c->w))
        h1_request(c);
    if (c->fd >= 0)
        close(c->fd);
    free(c);
    return NULL;
}

/* ---- HTTP/2 ---------------------------------------------------------------------------------- */

struct h2s {
    struct h2c *c;
    enum kind kind;
    uint64_t id, since;
    size_t want, up, sent, got;
    unsigned code; /* status */
    char said[40]; /* the body of another status than 200 */
    bool busy, grpc_status, good;
};

struct h2c {
    struct worker w;
    int fd; /* -1: none */
    nghttp2_session *s;
    bool leaving; /* GOAWAY came */
    unsigned used, life, open;
    struct h2s *streams; /* conf.streams */
    char buf[BUF];
};

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nlen,
                     const uint8_t *value, size_t vlen, uint8_t flags, void *user)
{
    struct h2s *st = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
    if (st && nlen == 7 && memcmp(name, ":status", 7) == 0)
        st->code = (unsigned)strtoul((const char *)value, NULL, 10);
    if (st && nlen == 11 && memcmp(name, "grpc-status", 11) == 0)
        st->grpc_status = vlen == 1 && value[0] == '0';
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    struct h2s *st = nghttp2_session_get_stream_user_data(s, id);
    if (st) {
        st->good &= pattern_is(st->id, st->got, p, n);
        st->got += n;
        if (st->code != 200)
            snprintf(st->said, sizeof st->said, "%.*s", (int)n, (const char *)p);
    }
    return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct h2c *c = user;
    if (f->hd.type == NGHTTP2_GOAWAY)
        c->leaving = true;
    return 0;
}

static void judge(const struct h2s *st, uint32_t error)
{
    if (error != NGHTTP2_NO_ERROR)
        count_failed(st->kind, "reset with %s, at %zu of %zu", nghttp2_http2_strerror(error),
                     st->got, st->want);
    else if (st->code != 200)
        count_failed(st->kind, "status %u | %s", st->code, st->said);
    else if (st->got != st->want || !st->good)
        count_failed(st->kind, "another body than asked for, %zu of %zu", st->got, st->want);
    else if (st->kind == GRPC && !st->grpc_status)
        count_failed(st->kind, "no grpc-status");
    else
        count_ok(st->kind, st->since);
}

static int on_close(nghttp2_session *s, int32_t id, uint32_t error, void *user)
{
    struct h2s *st = nghttp2_session_get_stream_user_data(s, id);
    if (!st)
        return 0;
    st->busy = false;
    st->c->open--;
    if (error == NGHTTP2_REFUSED_STREAM)
        add(&tally[st->kind].again); /* the next batch has as many */
    else
        judge(st, error);
    return 0;
}

static ssize_t on_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                       nghttp2_data_source *src, void *user)
{
    struct h2s *st = src->ptr;
    size_t n = st->up - st->sent < room ? st->up - st->sent : room;
    pattern_fill(~st->id, st->sent, to, n);
    st->sent += n;
    if (st->sent == st->up)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static ssize_t on_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *user)
{
    struct h2c *c = user;
    return write_all(c->fd, p, n) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static void h2_session(struct h2c *c)
{
    nghttp2_session_callbacks *cb;
    if (nghttp2_session_callbacks_new(&cb) < 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    if (nghttp2_session_client_new(&c->s, cb, c) < 0 ||
        nghttp2_submit_settings(c->s, NGHTTP2_FLAG_NONE, NULL, 0) < 0)
        abort();
    nghttp2_session_callbacks_del(cb);
}

/* streams that nobody answers any more */
static void h2_hang_up(struct h2c *c, const char *reason)
{
    for (unsigned i = 0; i < conf.streams; i++) {
        struct h2s *st = &c->streams[i];
        if (st->busy)
            count_failed(st->kind, "%s, %s, at %zu of %zu", reason,
                         c->leaving ? "after GOAWAY" : "without a GOAWAY", st->got, st->want);
        st->busy = false;
    }
    nghttp2_session_del(c->s);
    close(c->fd);
    c->fd = -1;
}

static bool h2_dial(struct h2c *c)
{
    c->fd = dial(H2);
    if (c->fd < 0) {
        count_failed(H2, "connect: %s", strerror(errno));
        return false;
    }
    c->leaving = false;
    c->used = c->open = 0;
    c->life = 1 + chance(&c->w, H1_LIFE);
    h2_session(c);
    return true;
}

#define NV(n, v, len)                                                                              \
    {                                                                                              \
        (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, (len), 0                                    \
    }

static void h2_submit(struct h2c *c, struct h2s *st)
{
    char path[64];
    c->w.id++;
    *st = (struct h2s){.c = c,
                       .kind = chance(&c->w, 2) ? GRPC : H2,
                       .id = c->w.id,
                       .since = clock_mono_ns(),
                       .want = some_bytes(&c->w),
                       .up = some_bytes(&c->w),
                       .busy = true,
                       .good = true};
    int n = snprintf(path, sizeof path, "/%llu/%zu", (unsigned long long)st->id, st->want);
    const nghttp2_nv head[] = {NV(":method", "POST", 4),
                               NV(":scheme", "http", 4),
                               NV(":authority", conf.http, strlen(conf.http)),
                               NV(":path", path, (size_t)n),
                               NV("te", "trailers", 8),
                               NV("content-type", "application/grpc", 16)};
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = on_body};
    if (nghttp2_submit_request(c->s, NULL, head, st->kind == GRPC ? 6 : 5, &body, st) < 0)
        abort();
    c->open++;
}

/* what has come is taken; waits for it if asked.  NULL, or why the connection is of no use */
static const char *h2_take(struct h2c *c, bool wait)
{
    ssize_t n = recv(c->fd, c->buf, sizeof c->buf, wait ? 0 : MSG_DONTWAIT);
    if (n == 0)
        return "closed";
    if (n < 0)
        return errno != EAGAIN ? strerror(errno) : wait ? "nothing comes" : NULL;
    ssize_t used = nghttp2_session_mem_recv(c->s, (uint8_t *)c->buf, (size_t)n);
    if (used < 0)
        return nghttp2_strerror((int)used);
    return nghttp2_session_send(c->s) < 0 ? "cannot send" : NULL;
}

static void h2_batch(struct h2c *c)
{
    const char *bad = NULL;
    if (c->fd >= 0 && ((bad = h2_take(c, false)) || c->leaving))
        h2_hang_up(c, bad ? bad : "left");
    if (c->fd < 0 && !h2_dial(c))
        return;
    for (unsigned i = 0; i < conf.streams; i++)
        h2_submit(c, &c->streams[i]);
    c->used += conf.streams;
    if (nghttp2_session_send(c->s) < 0)
        bad = "cannot send";
    while (!bad && c->open > 0)
        bad = h2_take(c, true);
    if (bad || c->leaving || c->used >= c->life)
        h2_hang_up(c, bad ? bad : "left");
}

static void *h2(void *arg)
{
    struct h2c *c = xcalloc(1, sizeof *c);
    c->w = begin(arg);
    c->fd = -1;
    c->streams = xcalloc(conf.streams, sizeof *c->streams);
    for (pace(&c->w); more(); pace(&c->w))
        h2_batch(c);
    if (c->fd >= 0)
        h2_hang_up(c, "");
    free(c->streams);
    free(c);
    return NULL;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

#define ECHO_MAX 16384

static bool tcp_exchange(struct worker *w, int fd, unsigned char *buf)
{
    size_t n = 1 + chance(w, ECHO_MAX), at = 0;
    uint64_t since = clock_mono_ns();
    w->id++;
    pattern_fill(w->id, 0, buf, n);
    if (write_all(fd, buf, n) < 0) {
        count_failed(TCP, "send: %s", strerror(errno));
        return false;
    }
    while (at < n) {
        ssize_t k = read(fd, buf, n - at);
        if (k <= 0 || !pattern_is(w->id, at, buf, (size_t)k)) {
            count_failed(TCP, "%s at %zu of %zu", k <= 0 ? why(k) : "other bytes", at, n);
            return false;
        }
        at += (size_t)k;
    }
    count_ok(TCP, since);
    return true;
}

/* the end of one side must come back as the end of the other */
static void tcp_end(int fd, unsigned char *buf)
{
    ssize_t n;
    shutdown(fd, SHUT_WR);
    n = read(fd, buf, ECHO_MAX);
    if (n != 0)
        count_failed(TCP, "%s, expected the end", n < 0 ? why(n) : "more bytes");
}

static void *tcp(void *arg)
{
    struct worker w = begin(arg);
    unsigned char *buf = xmalloc(ECHO_MAX);
    for (pace(&w); more();) {
        int fd = dial(TCP);
        unsigned life = 1 + chance(&w, TCP_LIFE);
        bool good = fd >= 0;
        if (!good) {
            count_failed(TCP, "connect: %s", strerror(errno));
            pace(&w);
            continue;
        }
        for (; good && life > 0 && more(); life--, pace(&w))
            good = tcp_exchange(&w, fd, buf);
        if (good)
            tcp_end(fd, buf);
        close(fd);
    }
    free(buf);
    return NULL;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void resolve(const char *where, struct sockaddr_in *to)
{
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *got;
    char host[256];
    const char *port = strrchr(where, ':');
    int rc;
    snprintf(host, sizeof host, "%.*s", port ? (int)(port - where) : 0, where);
    rc = port ? getaddrinfo(host, port + 1, &want, &got) : EAI_NONAME;
    if (rc != 0) {
        fprintf(stderr, "soak-call: %s: %s\n", where, gai_strerror(rc));
        exit(2);
    }
    memcpy(to, got->ai_addr, sizeof *to);
    freeaddrinfo(got);
}

static void on_stop(int sig)
{
    stopped = 1;
}

static void show_progress(uint64_t start)
{
    static uint64_t before;
    uint64_t ok = 0, failed = 0;
    for (int k = 0; k < KINDS; k++)
        ok += tally[k].ok, failed += tally[k].failed;
    printf("%4.0f s: %llu answered, %llu/s, %llu failed\n", (double)(clock_mono_ns() - start) / 1e9,
           (unsigned long long)ok, (unsigned long long)(ok - before) / conf.every,
           (unsigned long long)failed);
    fflush(stdout);
    before = ok;
}

static const struct opt options[] = {
    {'w', "http", "HOST:PORT", "where HTTP is spoken", OPT_STR(&conf.http)},
    {'t', "tcp", "HOST:PORT", "where bytes come back", OPT_STR(&conf.tcp)},
    {'s', "seconds", "N", "how long (default 10)", OPT_UINT(&conf.seconds, 1, 1000000)},
    {'r', "rate", "N", "requests a second in all (default 1000)", OPT_UINT(&conf.rate, 1, 1000000)},
    {'1', "http1", "N", "connections of HTTP/1.1 (default 20)", OPT_UINT(&conf.h1, 0, 10000)},
    {'2', "http2", "N", "connections of HTTP/2 (default 3)", OPT_UINT(&conf.h2, 0, 10000)},
    {'m', "streams", "N", "on each of them at once (default 10)", OPT_UINT(&conf.streams, 1, 1000)},
    {'b', "bytes", "N", "connections of TCP (default 10)", OPT_UINT(&conf.tcp_conns, 0, 10000)},
    {'p', "progress", "SECONDS", "a line every so often (default 10)",
     OPT_UINT(&conf.every, 1, 1000000)},
    OPT_END};

static const struct opt_prog prog = {
    .name = "soak-call",
    .synopsis = "-w HOST:PORT -t HOST:PORT [flags]",
    .description = "Mixed load at a fixed rate; every byte of every answer is checked.",
    .opts = options,
};

static unsigned start_threads(pthread_t *t)
{
    void *(*const fn[])(void *) = {h1, h2, tcp};
    const unsigned n[] = {conf.h1, conf.h2, conf.tcp_conns};
    unsigned all = 0;
    for (int kind = 0; kind < 3; kind++)
        for (unsigned i = 0; i < n[kind]; i++) {
            if (pthread_create(&t[all], NULL, fn[kind], (void *)(uintptr_t)(all + 1)) != 0)
                abort();
            all++;
        }
    return all;
}

int main(int argc, char **argv)
{
    uint64_t start = clock_mono_ns(), failed = 0;
    int status = 0;
    if (opt_parse(&prog, argc, argv, NULL, &status) < 0)
        return status;
    if (!conf.http || !conf.tcp) {
        fprintf(stderr, "soak-call: -w and -t are needed\n");
        return 2;
    }
    resolve(conf.http, &http_addr);
    resolve(conf.tcp, &tcp_addr);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_stop);
    signal(SIGTERM, on_stop);
    end_ns = start + conf.seconds * 1000000000ull;
    interval_ns = (conf.h1 + conf.h2 * conf.streams + conf.tcp_conns) * 1000000000ull / conf.rate;
    pthread_t *t = xcalloc(conf.h1 + conf.h2 + conf.tcp_conns, sizeof *t);
    unsigned n = start_threads(t);
    while (more()) {
        for (unsigned i = 0; i < conf.every * 10 && more(); i++)
            nanosleep(&(struct timespec){0, 100000000}, NULL);
        show_progress(start);
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    report((double)(clock_mono_ns() - start) / 1e9);
    for (int k = 0; k < KINDS; k++)
        failed += tally[k].failed;
    free(t);
    return failed > 0;
}
