/* serve.c - the application of the soak: HTTP/1.1 and HTTP/2 on one port, an echo on another; see
 * pattern.h.  A thread for each connection.
 *
 *   soak-serve HTTP_PORT TCP_PORT
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "test/soak/pattern.h"

#define BUF 65536

/* ---- bytes ----------------------------------------------------------------------------------- */

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

static void *tcp(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char *buf = xmalloc(BUF);
    ssize_t n;
    while ((n = read(fd, buf, BUF)) > 0 && write_all(fd, buf, (size_t)n) == 0)
        ;
    close(fd);
    free(buf);
    return NULL;
}

/* ---- HTTP/1.1 -------------------------------------------------------------------------------- */

struct h1 {
    int fd;
    size_t have;
    char buf[BUF + 1];
};

static bool h1_more(struct h1 *c)
{
    ssize_t n = c->have < BUF ? read(c->fd, c->buf + c->have, BUF - c->have) : 0;
    if (n <= 0)
        return false;
    c->have += (size_t)n;
    c->buf[c->have] = '\0';
    return true;
}

static void h1_drop(struct h1 *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->have - n + 1);
    c->have -= n;
}

/* true: the body was pattern(~id) */
static bool h1_body(struct h1 *c, uint64_t id, size_t length)
{
    size_t at = 0;
    bool good = true;
    while (at < length) {
        size_t n = c->have < length - at ? c->have : length - at;
        good &= pattern_is(~id, at, (unsigned char *)c->buf, n);
        at += n;
        h1_drop(c, n);
        if (at < length && !h1_more(c))
            return false;
    }
    return good;
}

static int h1_answer(struct h1 *c, bool good, uint64_t id, size_t n)
{
    unsigned char *out = xmalloc(n + 200);
    int head = snprintf((char *)out, 200, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
                        good ? "200 OK" : "400 Bad", n);
    pattern_fill(id, 0, out + head, n);
    int rc = write_all(c->fd, out, (size_t)head + n);
    free(out);
    return rc;
}

static bool h1_request(struct h1 *c)
{
    unsigned long long id, n;
    char *end, *length;
    while (!(end = strstr(c->buf, "\r\n\r\n")))
        if (!h1_more(c))
            return false;
    *end = '\0';
    bool good = sscanf(c->buf, "%*s /%llu/%llu", &id, &n) == 2;
    length = strcasestr(c->buf, "\r\ncontent-length:");
    size_t body = length ? strtoul(length + 17, NULL, 10) : 0;
    h1_drop(c, (size_t)(end + 4 - c->buf));
    return good && h1_answer(c, h1_body(c, id, body), id, n) == 0;
}

static void h1(struct h1 *c)
{
    while (h1_request(c))
        ;
}

/* ---- HTTP/2 ---------------------------------------------------------------------------------- */

struct h2s {
    unsigned long long id, n;
    size_t got, sent;
    bool good, grpc;
};

static int h2_begin(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct h2s *st = xcalloc(1, sizeof *st);
    st->good = true;
    return nghttp2_session_set_stream_user_data(s, f->hd.stream_id, st);
}

static int h2_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t nlen,
                     const uint8_t *value, size_t vlen, uint8_t flags, void *user)
{
    struct h2s *st = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
    if (nlen == 5 && memcmp(name, ":path", 5) == 0)
        st->good = sscanf((const char *)value, "/%llu/%llu", &st->id, &st->n) == 2;
    if (nlen == 12 && memcmp(name, "content-type", 12) == 0)
        st->grpc = vlen == 16 && memcmp(value, "application/grpc", 16) == 0;
    return 0;
}

static int h2_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *user)
{
    struct h2s *st = nghttp2_session_get_stream_user_data(s, id);
    st->good &= pattern_is(~(uint64_t)st->id, st->got, p, n);
    st->got += n;
    return 0;
}

static ssize_t h2_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
                       nghttp2_data_source *src, void *user)
{
    struct h2s *st = src->ptr;
    size_t n = st->n - st->sent < room ? st->n - st->sent : room;
    pattern_fill(st->id, st->sent, to, n);
    st->sent += n;
    if (st->sent < st->n)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (st->grpc) {
        nghttp2_nv status = {(uint8_t *)"grpc-status", (uint8_t *)"0", 11, 1, 0};
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(s, id, &status, 1) < 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)n;
}

static int h2_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct h2s *st = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
    if (!st || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM) || f->hd.type > NGHTTP2_HEADERS)
        return 0;
    nghttp2_nv status = {(uint8_t *)":status", (uint8_t *)(st->good ? "200" : "400"), 7, 3, 0};
    nghttp2_data_provider body = {.source.ptr = st, .read_callback = h2_body};
    return nghttp2_submit_response(s, f->hd.stream_id, &status, 1, &body);
}

static int h2_close(nghttp2_session *s, int32_t id, uint32_t error, void *user)
{
    free(nghttp2_session_get_stream_user_data(s, id));
    return 0;
}

static ssize_t h2_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *user)
{
    return write_all(*(int *)user, p, n) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : (ssize_t)n;
}

static nghttp2_session *h2_session(int *fd)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *s;
    nghttp2_settings_entry streams = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000};
    if (nghttp2_session_callbacks_new(&cb) < 0)
        abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, h2_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_close);
    nghttp2_session_callbacks_set_send_callback(cb, h2_send);
    if (nghttp2_session_server_new(&s, cb, fd) < 0 ||
        nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, &streams, 1) < 0)
        abort();
    nghttp2_session_callbacks_del(cb);
    return s;
}

static void h2(struct h1 *c)
{
    nghttp2_session *s = h2_session(&c->fd);
    ssize_t n = (ssize_t)c->have;
    while (n > 0 && nghttp2_session_mem_recv(s, (uint8_t *)c->buf, (size_t)n) == n &&
           nghttp2_session_send(s) == 0)
        n = read(c->fd, c->buf, BUF);
    nghttp2_session_del(s);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void *http(void *arg)
{
    struct h1 *c = xcalloc(1, sizeof *c);
    c->fd = (int)(intptr_t)arg;
    while (c->have < 4 && h1_more(c))
        ;
    if (memcmp(c->buf, "PRI ", 4) == 0)
        h2(c);
    else
        h1(c);
    close(c->fd);
    free(c);
    return NULL;
}

struct port {
    int fd;
    void *(*serve)(void *fd);
};

static int listen_on(const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0) {
        fprintf(stderr, "soak-serve: port %s: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

static void *accept_all(void *arg)
{
    struct port *p = arg;
    pthread_attr_t small;
    pthread_t t;
    int one = 1, fd;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    while ((fd = accept(p->fd, NULL, NULL)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&t, &small, p->serve, (void *)(intptr_t)fd) != 0)
            close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: soak-serve HTTP_PORT TCP_PORT\n");
        return 2;
    }
    struct port ports[2] = {{listen_on(argv[1]), http}, {listen_on(argv[2]), tcp}};
    pthread_t t;
    signal(SIGPIPE, SIG_IGN);
    if (pthread_create(&t, NULL, accept_all, &ports[0]) != 0)
        return 1;
    accept_all(&ports[1]);
    return 1;
}
