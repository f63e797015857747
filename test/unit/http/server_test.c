/* the control server against real clients (curl, bare sockets) and our own client */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/http/client.h"
#include "common/http/server.h"
#include "common/io/descriptors.h"
#include "common/io/listener.h"

/* ---- the server, in a thread of its own ------------------------------------------------------ */

#define SLOW_MS 300u

static char dir[64];
static struct loop *loop;
static struct http_server *srv;
static struct http_req *parked;
static pthread_t thread;
static unsigned port;
static atomic_uint gone, handled;

static void on_gone(struct http_req *r, void *arg)
{
    parked = NULL;
    gone++;
}

static void echo(struct http_req *r)
{
    json_t *j = json_object();
    const struct tls_info *tls = http_req_tls(r);
    char name[64];

    json_object_set_new(j, "path", json_stringn(http_req_path(r).p, http_req_path(r).n));
    json_object_set_new(j, "body", json_integer((json_int_t)http_req_body(r).n));
    json_object_set_new(j, "tls", json_boolean(tls != NULL));
    json_object_set_new(j, "peer", json_integer(http_req_peer(r)->ip.family));
    if (http_req_query(r, "name", name, sizeof(name)))
        json_object_set_new(j, "name", json_string(name));
    http_req_header(r, "X-Test", "yes");
    http_req_header(r, "X-Bad\r\nSet-Cookie", "never");
    http_reply_json(r, 200, j);
    json_decref(j);
}

static void on_request(struct http_req *r, void *arg)
{
    struct slice path = http_req_path(r);
    static char big[3000000];

    handled++;
    if (slice_eq_str(path, "/park")) {
        parked = r;
        http_req_on_gone(r, on_gone, NULL);
    } else if (slice_eq_str(path, "/orphan")) {
        parked = r;
    } else if (slice_eq_str(path, "/big")) {
        memset(big, 'b', sizeof(big));
        http_reply(r, 200, "text/plain", slice_of(big, sizeof(big)));
    } else if (slice_eq_str(path, "/none")) {
        http_reply(r, 204, NULL, slice_of(NULL, 0));
    } else if (slice_eq_str(path, "/text")) {
        http_reply_text(r, 404, "no %s\n", "such thing");
    } else if (slice_eq_str(path, "/drain")) {
        http_server_drain(srv);
        echo(r);
    } else {
        echo(r);
    }
}

static void *run(void *arg)
{
    loop_run(loop);
    http_server_free(srv);
    return NULL;
}

static void stop(void *arg)
{
    loop_stop(loop);
}

static unsigned idle_ms; /* 0: what the server does by itself */
static bool modest;

static void start(int fd, struct tls_ctx *tls, unsigned max_conns)
{
    const struct http_server_opts o = {.tls = tls,
                                       .max_conns = max_conns,
                                       .slow_ms = SLOW_MS,
                                       .idle_ms = idle_ms,
                                       .first_ms = modest ? 60000 : 0,
                                       .modest = modest,
                                       .max_body = 100000,
                                       .name = "test"};
    struct err e = {""};

    loop = loop_new(&e);
    srv = http_server_new(loop, fd, &o, on_request, NULL, &e);
    ck_assert_msg(srv != NULL, "%s", e.text);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static int bind_any(void)
{
    struct ip_port a = {.port = 0};
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    struct err e = {""};
    int fd;

    ip_parse("127.0.0.1", &a.ip);
    fd = listener_bind(&a, 0, 512, &e);
    ck_assert_msg(fd >= 0, "%s", e.text);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    port = ntohs(sin.sin_port);
    return fd;
}

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/http-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    gone = handled = 0;
    parked = NULL;
}

static void start_plain(void)
{
    make_dir();
    start(bind_any(), NULL, 0);
}

static void finish(void)
{
    loop_post(loop, stop, NULL);
    pthread_join(thread, NULL);
    loop_free(loop); /* not by its thread: we were just telling it something */
    file_remove_tree(dir, NULL);
}

/* ---- clients --------------------------------------------------------------------------------- */

static char said[1 << 16];

/* what a shell command printed; %P is not needed: the port is in $PORT, the directory in $DIR */
static const char *sh(const char *cmd)
{
    char *full = xasprintf("PORT=%u DIR=%s U=http://127.0.0.1:%u; %s 2>&1", port, dir, port, cmd);
    FILE *f = popen(full, "r");
    size_t n = fread(said, 1, sizeof(said) - 1, f);

    said[n] = '\0';
    pclose(f);
    free(full);
    return said;
}

#define ck_has(text, what)   ck_assert_msg(strstr(text, what) != NULL, "no \"%s\" in: %s", what, text)
#define ck_hasnt(text, what) ck_assert_msg(strstr(text, what) == NULL, "\"%s\" in: %s", what, text)

static int dial(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval tv = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* until the server closes */
static const char *hear(int fd)
{
    size_t n = 0;
    ssize_t r;

    while (n < sizeof(said) - 1 && (r = recv(fd, said + n, sizeof(said) - 1 - n, 0)) > 0)
        n += (size_t)r;
    said[n] = '\0';
    close(fd);
    return said;
}

static void wait_for(atomic_uint *what, unsigned n)
{
    for (int i = 0; i < 500 && *what < n; i++)
        usleep(10000);
    ck_assert_uint_eq(*what, n);
}

/* ---- curl ------------------------------------------------------------------------------------ */

START_TEST(curl_gets_an_answer)
{
    sh("curl -sSi -m 10 \"$U/a/b?x=1&name=J%C3%BCrgen+K\"");
    ck_has(said, "HTTP/1.1 200 OK\r\n");
    ck_has(said, "Content-Type: application/json\r\n");
    ck_has(said, "X-Test: yes\r\n");
    ck_hasnt(said, "Set-Cookie");
    ck_has(said, "\"path\": \"/a/b\"");
    ck_has(said, "\"name\": \"J\xc3\xbcrgen K\"");
    ck_has(said, "\"peer\": 4");
    ck_has(said, "Date: ");
}
END_TEST

START_TEST(curl_posts_with_length_and_in_chunks)
{
    sh("head -c 90000 /dev/zero | curl -sS -m 10 --data-binary @- $U/");
    ck_has(said, "\"body\": 90000");
    sh("head -c 90000 /dev/zero | curl -sS -m 10 -H 'Transfer-Encoding: chunked' --data-binary @- "
       "$U/");
    ck_has(said, "\"body\": 90000");
    sh("curl -sSi -m 10 -H 'Expect: 100-continue' -d x $U/");
    ck_has(said, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK");
}
END_TEST

START_TEST(a_body_above_the_bound_gets_413)
{
    sh("head -c 100001 /dev/zero | curl -sSi -m 10 -H Expect: --data-binary @- $U/");
    ck_has(said, "HTTP/1.1 413 Content Too Large\r\n");
    sh("head -c 5000000 /dev/zero | curl -sSi -m 10 -H Expect: -H 'Transfer-Encoding: chunked' "
       "--data-binary @- $U/");
    ck_has(said, "HTTP/1.1 413 ");
    sh("head -c 5000000 /dev/zero | curl -sSi -m 10 -H Expect: --data-binary @- $U/");
    ck_has(said, "HTTP/1.1 413 ");
    ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(a_connection_is_kept)
{
    sh("curl -sSv -m 10 $U/1 $U/2 $U/3");
    ck_has(said, "\"path\": \"/3\"");
    ck_has(said, "Re-using existing connection");
    sh("curl -sSv -m 10 -H 'Connection: close' $U/1 $U/2");
    ck_has(said, "< Connection: close");
    sh("curl -sSv -m 10 --http1.0 $U/1");
    ck_has(said, "< Connection: close");
    sh("curl -sSv -m 10 --http1.0 -H 'Connection: keep-alive' $U/1");
    ck_has(said, "< Connection: keep-alive");
}
END_TEST

START_TEST(a_server_that_drains_ends_connections_with_an_answer)
{
    int fd = dial(), other = dial();

    say(other, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&handled, 1);
    say(fd, "GET /drain HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_has(hear(fd), "Connection: close\r\n");
    /* the other one was kept, and still gets one answer */
    say(other, "GET /y HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *both = hear(other);
    ck_has(both, "\"path\": \"/x\"");
    ck_has(both, "\"path\": \"/y\"");
}
END_TEST

static void start_impatient(void)
{
    idle_ms = 300;
    start_plain();
    idle_ms = 0;
}

START_TEST(an_idle_connection_is_closed_when_the_user_said)
{
    uint64_t began = clock_mono_ns();
    int fd = dial();

    say(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_hasnt(hear(fd), "Connection: close");
    uint64_t ms = (clock_mono_ns() - began) / 1000000;
    ck_assert_uint_ge(ms, 290);
    ck_assert_uint_lt(ms, 9000); /* hear() gives up at 10 s */
}
END_TEST

START_TEST(statuses_without_a_body_have_none)
{
    sh("curl -sSi -m 10 $U/none $U/none");
    ck_has(said, "HTTP/1.1 204 No Content\r\n");
    ck_hasnt(said, "Content-Length");
    sh("curl -sSI -m 10 $U/text");
    ck_has(said, "HTTP/1.1 404 Not Found\r\n");
    ck_has(said, "Content-Length: 14\r\n");
    ck_hasnt(said, "such thing");
    sh("curl -sS -m 10 $U/text");
    ck_assert_str_eq(said, "no such thing\n");
}
END_TEST

START_TEST(a_large_reply_passes)
{
    sh("curl -sS -m 10 $U/big | wc -c");
    ck_has(said, "3000000");
}
END_TEST

START_TEST(many_clients_at_once)
{
    sh("seq 1 300 | sed \"s,.*,url=$U/&,\" >$DIR/urls; "
       "curl -sS -m 20 -Z --parallel-max 50 -o /dev/null -w '%{http_code}\\n' -K $DIR/urls "
       "2>/dev/null "
       "| grep -c '^200$'");
    ck_has(said, "300");
}
END_TEST

/* ---- bare sockets ---------------------------------------------------------------------------- */

START_TEST(pipelined_requests_are_answered_in_order)
{
    int fd = dial();

    say(fd, "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
            "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
            "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n"
            "X-Sum: 1\r\n\r\n"
            "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\n");
    hear(fd);
    ck_assert_uint_eq(handled, 4);
    ck_assert(strstr(said, "/1") && strstr(said, "/1") < strstr(said, "/2"));
    ck_assert(strstr(said, "/3") && strstr(said, "/3") < strstr(said, "/4"));
    ck_has(said, "\"body\": 5");
    ck_has(said, "\"body\": 3");
    ck_hasnt(said, "/5");
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    const char *text =
        "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    int fd = dial();

    for (const char *p = text; *p; p++)
        ck_assert_int_eq(send(fd, p, 1, MSG_NOSIGNAL), 1);
    ck_has(hear(fd), "\"path\": \"/slow\"");
}
END_TEST

START_TEST(a_slow_sender_gets_408)
{
    static const char *const texts[] = {
        "GET / HTT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint64_t began = clock_mono_ms();
        int fd = dial();

        say(fd, texts[i]);
        ck_has(hear(fd), "HTTP/1.1 408 Request Timeout\r\n");
        ck_assert_uint_ge(clock_mono_ms() - began, SLOW_MS - 10);
        ck_assert_uint_lt(clock_mono_ms() - began, 5000);
    }
    ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(what_is_not_http_is_refused)
{
    static const struct {
        const char *text, *answer;
    } rows[] = {
        {"\x16\x03\x01\x02", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 "},
        {"GET / HTTP/1.1\nHost: a\n\n", "HTTP/1.1 400 "},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 501 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 501 "},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = dial();

        say(fd, rows[i].text);
        ck_has(hear(fd), rows[i].answer);
        ck_has(said, "Connection: close\r\n");
    }
    ck_assert_uint_eq(handled, 0);
}
END_TEST

START_TEST(a_head_above_the_bound_gets_431_or_414)
{
    int fd = dial();
    char *junk = xmalloc(20001);

    memset(junk, 'x', 20000);
    junk[20000] = '\0';
    say(fd, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    send(fd, junk, 20000, MSG_NOSIGNAL);
    ck_has(hear(fd), "HTTP/1.1 431 ");
    fd = dial();
    say(fd, "GET /");
    send(fd, junk, 20000, MSG_NOSIGNAL);
    ck_has(hear(fd), "HTTP/1.1 414 ");
    free(junk);
}
END_TEST

/* 128 of one address; each dial within the time that silent ones have */
START_TEST(silent_connections_keep_nobody_out)
{
    enum { N = 128 };
    int fds[N];

    for (int i = 0; i < N; i++)
        fds[i] = dial();
    for (int i = 0; i < 3; i++)
        ck_has(sh("curl -sSi -m 10 $U/"), "200 OK");
    /* the first to come was the first to go */
    ck_assert_str_eq(hear(fds[0]), "");
    for (int i = 1; i < N; i++)
        close(fds[i]);
}
END_TEST

START_TEST(requests_under_way_keep_their_places)
{
    enum { N = 128 };
    int fds[N];

    for (int i = 0; i < N; i++) {
        fds[i] = dial();
        say(fds[i], "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    wait_for(&handled, N);
    ck_has(hear(dial()), "HTTP/1.1 503 Service Unavailable\r\n");
    ck_has(sh("curl -sSi -m 10 --interface 127.0.0.2 $U/"), "200 OK");
    for (int i = 0; i < N; i++)
        close(fds[i]);
}
END_TEST

static void start_modest(void)
{
    modest = true;
    start_plain();
}

/* from 127.0.0.HOST */
static int dial_from(unsigned host)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffu) | host)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t)port);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static unsigned still_open(const int *fds, unsigned n)
{
    unsigned open = 0;
    char b;

    for (unsigned i = 0; i < n; i++)
        open += recv(fds[i], &b, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
    return open;
}

static void wait_open(const int *fds, unsigned n, unsigned want)
{
    for (int i = 0; i < 500 && still_open(fds, n) != want; i++)
        usleep(10000);
    ck_assert_uint_eq(still_open(fds, n), want);
}

/* as if users had all descriptors that they may have */
static void use_up_descriptors(void)
{
    struct rlimit lim;
    int fd;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &lim), 0);
    lim.rlim_cur = 512;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
    descriptors_limit_changed();
    while (!descriptor_is_kept(fd = dup(0)))
        ;
    close(fd);
    ck_assert_uint_eq(descriptors_share(), 8);
}

START_TEST(where_descriptors_are_short_it_has_its_share)
{
    enum { N = 20, M = 6 };
    int one[N + 1], two[M];
    char b;

    for (unsigned i = 0; i < N; i++)
        one[i] = dial_from(1);
    ck_has(sh("curl -sSi -m 10 $U/"), "200 OK"); /* all before it are taken in */
    ck_assert_uint_eq(still_open(one, N), N);
    use_up_descriptors();
    one[N] = dial_from(1);
    wait_open(one, N + 1, 4);
    ck_assert_msg(still_open(one + N, 1), "the last to come stays");
    for (unsigned i = 0; i < M; i++) {
        use_up_descriptors(); /* what was closed, too */
        two[i] = dial_from(2);
        wait_open(two, i + 1, i < 4 ? i + 1 : 4);
    }
    wait_open(one, N + 1, 4);
    /* one more address is served, in the place of who waits for longest */
    use_up_descriptors();
    ck_has(sh("curl -sSi -m 10 --interface 127.0.0.3 $U/"), "200 OK");
    ck_assert_uint_eq(still_open(one, N + 1) + still_open(two, M), 7);
    /* requests under way keep their places: who comes then is closed, and holds nothing */
    for (unsigned i = 0; i < 8; i++) {
        use_up_descriptors();
        int fd = dial_from(4 + i / 4);
        say(fd, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for(&handled, 3 + i);
    }
    ck_assert_uint_eq(still_open(one, N + 1) + still_open(two, M), 0);
    use_up_descriptors();
    ck_assert_int_le(recv(dial_from(1), &b, 1, 0), 0);
}
END_TEST

START_TEST(a_connection_that_says_nothing_is_closed_early)
{
    ck_assert_str_eq(hear(dial()), "");
}
END_TEST

START_TEST(a_client_that_leaves_a_long_poll_is_noticed)
{
    int fd = dial();

    say(fd, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&handled, 1);
    close(fd);
    wait_for(&gone, 1);
}
END_TEST

static void answer_parked(void *arg)
{
    http_reply_text(parked, 200, "late\n");
    parked = NULL;
}

START_TEST(a_reply_may_come_later)
{
    int fd = dial();

    say(fd, "GET /park HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_for(&handled, 1);
    loop_post(loop, answer_parked, NULL);
    ck_has(hear(fd), "\r\n\r\nlate\n");
    ck_assert_uint_eq(gone, 0);
}
END_TEST

START_TEST(a_half_closed_client_still_gets_its_reply)
{
    int fd = dial();

    say(fd, "GET /orphan HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    wait_for(&handled, 1);
    usleep(20000);
    loop_post(loop, answer_parked, NULL);
    ck_has(hear(fd), "\r\n\r\nlate\n");
}
END_TEST

START_TEST(a_reply_to_nobody_is_dropped)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd = dial();

    say(fd, "GET /orphan HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&handled, 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd); /* a reset */
    usleep(50000);
    loop_post(loop, answer_parked, NULL);
    ck_has(sh("curl -sSi -m 10 $U/"), "200 OK");
}
END_TEST

START_TEST(who_waits_at_the_end_gets_503)
{
    int fd = dial();

    say(fd, "GET /park HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&handled, 1);
    loop_post(loop, stop, NULL);
    ck_has(hear(fd), "HTTP/1.1 503 ");
    wait_for(&gone, 1);
}
END_TEST

/* ---- Unix sockets and TLS -------------------------------------------------------------------- */

static void start_unix(void)
{
    struct err e = {""};
    char *path;
    int fd;

    make_dir();
    path = xasprintf("%s/s", dir);
    fd = listener_bind_unix(path, 0600, &e);
    ck_assert_msg(fd >= 0, "%s", e.text);
    free(path);
    start(fd, NULL, 0);
}

START_TEST(curl_over_a_unix_socket)
{
    sh("curl -sS -m 10 --unix-socket $DIR/s http://localhost/x");
    ck_has(said, "\"path\": \"/x\"");
    ck_has(said, "\"peer\": 0");
}
END_TEST

START_TEST(fetch_over_a_unix_socket)
{
    char *base = xasprintf("unix:%s/s", dir);
    struct buf out = BUF_INIT;
    struct err e = {""};

    ck_assert_int_eq(
        http_fetch(base, "POST", "/y", "text/plain", SLICE_LIT("four"), 5000, &out, &e), 200);
    ck_has(out.p, "\"path\": \"/y\"");
    ck_has(out.p, "\"body\": 4");
    buf_free(&out);
    free(base);
}
END_TEST

static struct tls_ctx *server_ctx, *client_ctx;

static char *slurp(const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct buf b = BUF_INIT;
    struct err e = {""};

    ck_assert_msg(file_read(path, 1 << 20, &b, &e) == 0, "%s", e.text);
    free(path);
    return buf_take(&b);
}

static void start_tls(void)
{
    struct err e = {""};
    char *cert, *key;

    make_dir();
    sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
       "-keyout $DIR/key -out $DIR/cert -subj /CN=test "
       "-addext subjectAltName=DNS:server.test,IP:127.0.0.1");
    cert = slurp("cert");
    key = slurp("key");
    server_ctx = tls_ctx_new(
        &(struct tls_conf){
            .server = true, .cert_pem = cert, .key_pem = key, .verify = TLS_VERIFY_NONE},
        &e);
    ck_assert_msg(server_ctx != NULL, "%s", e.text);
    client_ctx = tls_ctx_new(&(struct tls_conf){.ca_pem = cert}, &e);
    ck_assert_msg(client_ctx != NULL, "%s", e.text);
    free(cert);
    free(key);
    start(bind_any(), server_ctx, 0);
}

static void finish_tls(void)
{
    finish();
    tls_ctx_unref(server_ctx);
    tls_ctx_unref(client_ctx);
}

START_TEST(curl_over_tls)
{
    sh("curl -sS -m 10 --cacert $DIR/cert https://127.0.0.1:$PORT/t https://127.0.0.1:$PORT/t2");
    ck_has(said, "\"path\": \"/t\"");
    ck_has(said, "\"path\": \"/t2\"");
    ck_has(said, "\"tls\": true");
    sh("curl -sS -m 10 --cacert $DIR/cert https://127.0.0.1:$PORT/big | wc -c");
    ck_has(said, "3000000");
    sh("curl -sSi -m 10 $U/");
    ck_hasnt(said, "200 OK");
}
END_TEST

/* ---- our client ------------------------------------------------------------------------------ */

struct result {
    struct loop *loop;
    unsigned calls, status;
    char error[512];
    char body[4096];
    size_t body_n;
};

static void on_result(const struct http_result *r, void *arg)
{
    struct result *res = arg;

    res->calls++;
    res->status = r->status;
    res->error[0] = '\0';
    if (r->error)
        strncpy(res->error, r->error, sizeof(res->error) - 1);
    res->body_n = r->body.n;
    if (r->body.n && r->body.n < sizeof(res->body))
        memcpy(res->body, r->body.p, r->body.n);
    loop_stop(res->loop);
}

static struct result get(struct http_client *c, struct loop *l, const char *target, unsigned ms)
{
    struct result res = {.loop = l};

    http_client_send(c, "GET", target, NULL, NULL, slice_of(NULL, 0), ms, on_result, &res);
    ck_assert_uint_eq(res.calls, 0);
    loop_run(l);
    ck_assert_uint_eq(res.calls, 1);
    return res;
}

static struct http_client *client_of(struct loop *l, const char *host, struct tls_ctx *tls)
{
    struct http_client_opts o = {.tls = tls, .verify_host = host};
    char *base = xasprintf("%s://127.0.0.1:%u", tls ? "https" : "http", port);
    struct err e = {""};
    struct http_client *c = http_client_new(l, base, &o, &e);

    ck_assert_msg(c != NULL, "%s", e.text);
    free(base);
    return c;
}

START_TEST(client_over_tls_verifies_the_host)
{
    struct loop *l = loop_new(NULL);
    struct http_client *c = client_of(l, NULL, client_ctx);
    struct result r = get(c, l, "/1", 5000);

    ck_assert_str_eq(r.error, "");
    ck_assert_uint_eq(r.status, 200);
    ck_has(r.body, "\"tls\": true");
    http_client_free(c);
    c = client_of(l, "server.test", client_ctx);
    r = get(c, l, "/1", 5000);
    ck_assert_uint_eq(r.status, 200);
    http_client_free(c);
    c = client_of(l, "other.test", client_ctx);
    r = get(c, l, "/1", 5000);
    ck_assert_uint_eq(r.status, 0);
    ck_has(r.error, "tls_error");
    http_client_free(c);
    loop_free(l);
}
END_TEST

START_TEST(client_keeps_its_connection_and_survives_its_loss)
{
    struct loop *l = loop_new(NULL);
    struct http_client *c = client_of(l, NULL, NULL);
    struct result r;

    for (int i = 0; i < 5; i++) {
        r = get(c, l, "/big", 5000);
        ck_assert_str_eq(r.error, "");
        ck_assert_uint_eq(r.body_n, 3000000);
    }
    finish(); /* the server goes away and comes back */
    r = get(c, l, "/", 5000);
    ck_assert_uint_eq(r.status, 0);
    ck_has(r.error, "connect_refused");
    make_dir();
    {
        struct ip_port a = {.port = (uint16_t)port};
        struct err e = {""};

        ip_parse("127.0.0.1", &a.ip);
        start(listener_bind(&a, 0, 16, &e), NULL, 0);
    }
    r = get(c, l, "/again", 5000);
    ck_assert_uint_eq(r.status, 200);
    http_client_free(c);
    loop_free(l);
}
END_TEST

START_TEST(client_times_out_and_can_go_on)
{
    struct loop *l = loop_new(NULL);
    struct http_client *c = client_of(l, NULL, NULL);
    struct result r = get(c, l, "/park", 100);

    ck_assert_uint_eq(r.status, 0);
    ck_has(r.error, "timed out");
    wait_for(&gone, 1);
    r = get(c, l, "/", 5000);
    ck_assert_uint_eq(r.status, 200);
    r = get(c, l, "/none", 5000);
    ck_assert_uint_eq(r.status, 204);
    http_client_free(c);
    loop_free(l);
}
END_TEST

START_TEST(client_cancelled_calls_nobody)
{
    struct loop *l = loop_new(NULL);
    struct http_client *c = client_of(l, NULL, NULL);
    struct result r = {.loop = l};

    http_client_send(c, "GET", "/park", NULL, NULL, slice_of(NULL, 0), 0, on_result, &r);
    loop_turn(l, true);
    http_client_cancel(c);
    ck_assert_uint_eq(get(c, l, "/", 5000).status, 200);
    ck_assert_uint_eq(r.calls, 0);
    http_client_send(c, "GET", "/park", NULL, NULL, slice_of(NULL, 0), 0, on_result, &r);
    http_client_free(c);
    loop_free(l);
    ck_assert_uint_eq(r.calls, 0);
}
END_TEST

START_TEST(client_refuses_what_could_split_a_request)
{
    struct loop *l = loop_new(NULL);
    struct http_client *c = client_of(l, NULL, NULL);
    const char *const bad[] = {"X: a\r\nY: b", NULL};
    struct result r = {.loop = l};

    r = get(c, l, "/ HTTP/1.1\r\nX: y", 1000);
    ck_has(r.error, "request not sent");
    r = get(c, l, "no-slash", 1000);
    ck_has(r.error, "request not sent");
    r = (struct result){.loop = l};
    http_client_send(c, "GET", "/", bad, NULL, slice_of(NULL, 0), 1000, on_result, &r);
    loop_run(l);
    ck_has(r.error, "request not sent");
    ck_assert_uint_eq(handled, 0);
    http_client_free(c);
    loop_free(l);
}
END_TEST

START_TEST(client_says_what_is_wrong_with_an_address)
{
    static const char *const bad[] = {"ftp://a",
                                      "http://",
                                      "http://a b",
                                      "127.0.0.1:80",
                                      "http://u@h",
                                      "https://127.0.0.1",
                                      "http://name.without.dns"};
    struct loop *l = loop_new(NULL);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err e = {""};

        ck_assert_ptr_null(http_client_new(l, bad[i], NULL, &e));
        ck_has(e.text, bad[i]);
    }
    loop_free(l);
}
END_TEST

START_TEST(fetch_reports_where_nobody_listens)
{
    struct buf out = BUF_INIT;
    struct err e = {""};

    ck_assert_int_eq(
        http_fetch("unix:/nonexistent/sock", "GET", "/", NULL, slice_of(NULL, 0), 1000, &out, &e),
        -1);
    ck_has(e.text, "unix:/nonexistent/sock");
    ck_has(e.text, "no connection");
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

/* a server of three lines: whatever it is asked, it says this and closes */
static void *say_once(void *arg)
{
    const char *const *script = arg;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sin, len), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    port = ntohs(sin.sin_port);
    handled++;
    for (; *script; script++) {
        int c = accept(fd, NULL, NULL);
        char buf[4096];

        ck_assert_int_gt(recv(c, buf, sizeof(buf), 0), 0);
        send(c, *script, strlen(*script), MSG_NOSIGNAL);
        close(c);
    }
    close(fd);
    return NULL;
}

START_TEST(client_against_servers_that_misbehave)
{
    static const char *const script[] = {
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nuntil close",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok junk",
        "",
        NULL};
    static const char *const want[] = {"ok",
                                       "until close",
                                       "ok",
                                       "message_cut_short",
                                       "content_length_twice",
                                       "bad_status_line",
                                       "unasked_101",
                                       "ok",
                                       "closed by the server"};
    struct loop *l = loop_new(NULL);
    struct http_client *c;
    pthread_t t;

    make_dir();
    ck_assert_int_eq(pthread_create(&t, NULL, say_once, (void *)script), 0);
    wait_for(&handled, 1);
    c = client_of(l, NULL, NULL);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        struct result r = get(c, l, "/", 5000);

        if (r.error[0])
            ck_assert_msg(strstr(r.error, want[i]) || strstr(r.error, "connection lost"), "%zu %s",
                          i, r.error);
        else
            ck_assert_msg(slice_eq_str(slice_of(r.body, r.body_n), want[i]), "%zu", i);
    }
    http_client_free(c);
    loop_free(l);
    pthread_join(t, NULL);
    file_remove_tree(dir, NULL);
}
END_TEST

/* ---- the suite ------------------------------------------------------------------------------- */

static void plain_tests(TCase *t)
{
    tcase_add_checked_fixture(t, start_plain, finish);
    tcase_add_test(t, curl_gets_an_answer);
    tcase_add_test(t, curl_posts_with_length_and_in_chunks);
    tcase_add_test(t, a_body_above_the_bound_gets_413);
    tcase_add_test(t, a_connection_is_kept);
    tcase_add_test(t, a_server_that_drains_ends_connections_with_an_answer);
    tcase_add_test(t, statuses_without_a_body_have_none);
    tcase_add_test(t, a_large_reply_passes);
    tcase_add_test(t, many_clients_at_once);
    tcase_add_test(t, pipelined_requests_are_answered_in_order);
    tcase_add_test(t, a_request_may_come_byte_by_byte);
    tcase_add_test(t, a_slow_sender_gets_408);
    tcase_add_test(t, what_is_not_http_is_refused);
    tcase_add_test(t, a_head_above_the_bound_gets_431_or_414);
    tcase_add_test(t, silent_connections_keep_nobody_out);
    tcase_add_test(t, requests_under_way_keep_their_places);
    tcase_add_test(t, a_connection_that_says_nothing_is_closed_early);
    tcase_add_test(t, a_client_that_leaves_a_long_poll_is_noticed);
    tcase_add_test(t, a_reply_may_come_later);
    tcase_add_test(t, a_half_closed_client_still_gets_its_reply);
    tcase_add_test(t, a_reply_to_nobody_is_dropped);
    tcase_add_test(t, client_keeps_its_connection_and_survives_its_loss);
    tcase_add_test(t, client_times_out_and_can_go_on);
    tcase_add_test(t, client_cancelled_calls_nobody);
    tcase_add_test(t, client_refuses_what_could_split_a_request);
}

static void stopped(void)
{
    pthread_join(thread, NULL);
    loop_free(loop);
    file_remove_tree(dir, NULL);
}

int main(void)
{
    Suite *s = suite_create("server");
    TCase *plain = tcase_create("plain"), *ending = tcase_create("ending"),
          *few = tcase_create("few");
    TCase *impatient = tcase_create("impatient"), *sock = tcase_create("unix"),
          *tls = tcase_create("tls"), *bare = tcase_create("bare");
    SRunner *r;
    int failed;

    plain_tests(plain);
    suite_add_tcase(s, plain);
    tcase_add_checked_fixture(impatient, start_impatient, finish);
    tcase_add_test(impatient, an_idle_connection_is_closed_when_the_user_said);
    suite_add_tcase(s, impatient);
    tcase_add_checked_fixture(few, start_modest, finish);
    tcase_add_test(few, where_descriptors_are_short_it_has_its_share);
    suite_add_tcase(s, few);
    tcase_add_checked_fixture(ending, start_plain, stopped);
    tcase_add_test(ending, who_waits_at_the_end_gets_503);
    suite_add_tcase(s, ending);
    tcase_add_checked_fixture(sock, start_unix, finish);
    tcase_add_test(sock, curl_over_a_unix_socket);
    tcase_add_test(sock, fetch_over_a_unix_socket);
    suite_add_tcase(s, sock);
    tcase_add_checked_fixture(tls, start_tls, finish_tls);
    tcase_add_test(tls, curl_over_tls);
    tcase_add_test(tls, client_over_tls_verifies_the_host);
    suite_add_tcase(s, tls);
    tcase_add_test(bare, client_says_what_is_wrong_with_an_address);
    tcase_add_test(bare, fetch_reports_where_nobody_listens);
    tcase_add_test(bare, client_against_servers_that_misbehave);
    suite_add_tcase(s, bare);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
