/* forward_test.c - a port of a pod through a WebSocket, as an API server of a few lines tunnels it.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/kube/forward.h"
#include "test/unit/unit.h"

#define WAIT_MS   3000
#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
#define FRAME(n)  "\x82" n
#define PORTS     FRAME("\x03") "\x00\x98\x3a" FRAME("\x03") "\x01\x98\x3a"

/* what the server says at once, and the part that waits until the client's frame was there */
struct script {
    const char *head;
    struct slice after;
};
#define AFTER(s) SLICE_LIT(s)

static pid_t server;

/* until the client's request is there; -1: it went away */
static int read_request(int fd, char *out, size_t size, const char *end)
{
    size_t n = 0;

    while (n + 1 < size) {
        ssize_t got = read(fd, out + n, size - 1 - n);
        if (got <= 0)
            return -1;
        n += (size_t)got;
        out[n] = 0;
        if (!end || strstr(out, end))
            return (int)n;
    }
    return -1;
}

static void serve(int listener, const struct script *s)
{
    char request[4096];
    int fd = accept(listener, NULL, NULL);

    alarm(20);
    if (read_request(fd, request, sizeof(request), "\r\n\r\n") < 0 ||
        !strstr(request,
                "GET /api/v1/namespaces/ns/pods/web/portforward?ports=15000 HTTP/1.1\r\n") ||
        !strstr(request, "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"))
        _exit(1);
    if (write(fd, s->head, strlen(s->head)) < 0)
        _exit(1);
    if (s->after.n && read_request(fd, request, sizeof(request), NULL) > 0 &&
        write(fd, s->after.p, s->after.n) < 0)
        _exit(1);
    /* the client has what it wants, or goes on waiting */
    while (read(fd, request, sizeof(request)) > 0)
        continue;
    _exit(0);
}

/* the status, or -1 */
static int ask(const struct script *s, unsigned ms, struct buf *out, struct err *e)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM, 0), ended;

    ck_assert(bind(listener, (struct sockaddr *)&a, n) == 0 && listen(listener, 1) == 0);
    getsockname(listener, (struct sockaddr *)&a, &n);
    server = fork();
    if (server == 0)
        serve(listener, s);
    close(listener);
    struct kube_access access = {.server = xasprintf("http://127.0.0.1:%u", ntohs(a.sin_port))};
    e->text[0] = 0;
    int status = kube_forward_get(&access, "ns", "web", 15000, "/ready", ms, out, e);
    free(access.server);
    waitpid(server, &ended, 0);
    ck_assert_msg(ended == 0, "the request was not what an API server expects");
    return status;
}

static void expect(const struct script *s, int status, const char *text)
{
    struct buf out = BUF_INIT;
    struct err e;
    int got = ask(s, WAIT_MS, &out, &e);

    ck_assert_msg(got == status, "got %d (%s)", got, e.text);
    ck_assert_msg(strstr(got < 0   ? e.text
                         : out.len ? out.p
                                   : "",
                         text) != NULL,
                  "got \"%s\" \"%s\"", out.len ? out.p : "", e.text);
    buf_free(&out);
}

/* an answer in three frames */
#define HEAD_1 FRAME("\x10") "\x00HTTP/1.0 200 OK"
#define HEAD_2 FRAME("\x1b") "\x00\r\nContent-Length: 5\r\n\r\nLIV"
#define BODY                                                                                       \
    FRAME("\x03")                                                                                  \
    "\x00"                                                                                         \
    "E\n"

START_TEST(answers)
{
    expect(&(struct script){SWITCHING, AFTER(PORTS HEAD_1 HEAD_2 BODY)}, 200, "LIVE\n");
}
END_TEST

#define PING    "\x89\x02hi"
#define WARMING FRAME("\x1b") "\x00HTTP/1.0 503 no\r\n\r\nwarming"
#define CLOSE   "\x88\x02\x03\xe8"

/* without a length the answer ends with the tunnel; a ping in the middle of it is answered */
START_TEST(ends_with_close)
{
    expect(&(struct script){SWITCHING, AFTER(PORTS PING WARMING CLOSE)}, 503, "warming");
}
END_TEST

START_TEST(refused)
{
    expect(
        &(struct script){"HTTP/1.1 403 Forbidden\r\n\r\n{\"kind\":\"Status\",\"message\":\"may not "
                         "portforward\"}\n",
                         AFTER("")},
        -1, "port-forward: may not portforward (403)");
    expect(&(struct script){"HTTP/1.1 401 Unauthorized\r\n\r\n\n", AFTER("")}, -1,
           "credentials (401)");
}
END_TEST

START_TEST(pod_refuses)
{
    expect(&(struct script){SWITCHING, AFTER(PORTS FRAME("\x13") "\x01"
                                                                 "connection refused")},
           -1, "connection refused");
}
END_TEST

START_TEST(garbage)
{
    expect(&(struct script){"SSH-2.0-x\r\n\r\n", AFTER("")}, -1, "no HTTP/1.1");
    expect(&(struct script){SWITCHING, AFTER("\x82\x81....")}, -1, "no frame of a WebSocket");
    expect(&(struct script){SWITCHING, AFTER(PORTS FRAME("\x05") "\x00SSH-"
                                                                 "\x88\x00")},
           -1, "no HTTP answer");
}
END_TEST

START_TEST(silent)
{
    struct buf out = BUF_INIT;
    struct err e;

    ck_assert_int_eq(ask(&(struct script){SWITCHING, AFTER(PORTS)}, 200, &out, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "does not answer in time"));
    buf_free(&out);
}
END_TEST

/* what is put is what a frame is, whatever its length, and no half of it is taken for a whole */
START_TEST(frames)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};
    struct slice payload;
    size_t used;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct buf b = BUF_INIT, frame = BUF_INIT;
        memset(buf_reserve(&b, sizes[i] + 1), 'x', sizes[i]);
        kube_forward_put(&frame, 2, slice_of(b.p, sizes[i]));
        /* a server's frame is not masked */
        ck_assert_int_eq(kube_forward_frame(buf_slice(&frame), &payload, &used), -1);
        buf_free(&b);
        buf_free(&frame);
    }
    static const char two[] = "\x82\x7e\x01\x00";
    char bytes[4 + 256];
    memcpy(bytes, two, 4);
    memset(bytes + 4, 'y', 256);
    for (size_t n = 0; n < sizeof(bytes); n++)
        ck_assert_int_eq(kube_forward_frame(slice_of(bytes, n), &payload, &used), 0);
    ck_assert_int_eq(kube_forward_frame(slice_of(bytes, sizeof(bytes)), &payload, &used), 2);
    ck_assert_uint_eq(payload.n, 256);
    ck_assert_uint_eq(used, sizeof(bytes));
    ck_assert_int_eq(
        kube_forward_frame(SLICE_LIT("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), &payload, &used),
        -1);
}
END_TEST

UNIT_MAIN("forward", answers, ends_with_close, refused, pod_refuses, garbage, silent, frames)
