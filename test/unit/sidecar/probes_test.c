/* probes_test.c - the ports of the kubelet's checks pass on what the manifest asks for and nothing
 * else.  The ports are fixed, so the checks run in a network namespace of their own. */
/* objects: sidecar/probes.c */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/http/server.h"
#include "common/io/listener.h"
#include "sidecar/probes.h"
#include "test/unit/io/io_test.h"

/* the SHA-256 of "secret" */
static const char hook_hash[] = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

static const char *const document =
    "{\"Proxy\":{\"PodIPs\":[\"fd00::7\"]},\"Spec\":{\"Probes\":{"
    "\"LivenessProbes\":["
    "{\"httpGet\":{\"path\":\"/\",\"port\":15901,\"httpHeaders\":["
    "{\"name\":\"Original-Http-Port\",\"value\":\"8080\"},"
    "{\"name\":\"Original-Http-Path\",\"value\":\"/big\"}]}},"
    "{\"httpGet\":{\"path\":\"/\",\"port\":15901,\"httpHeaders\":["
    "{\"name\":\"Original-Http-Port\",\"value\":\"8080\"},"
    "{\"name\":\"Original-Http-Path\",\"value\":\"/moved\"}]}},"
    "{\"httpGet\":{\"path\":\"/\",\"port\":15901,\"httpHeaders\":["
    "{\"name\":\"Original-Http-Port\",\"value\":\"8080\"},"
    "{\"name\":\"Original-Http-Path\",\"value\":\"/loop\"}]}},"
    "{\"httpGet\":{\"path\":\"/\",\"port\":15901,\"httpHeaders\":["
    "{\"name\":\"Original-Http-Port\",\"value\":\"8080\"},"
    "{\"name\":\"Original-Http-Path\",\"value\":\"/away\"}]}},"
    "{\"httpGet\":{\"path\":\"/fsm-liveness-probe\",\"port\":15901,"
    "\"httpHeaders\":[{\"name\":\"Original-Http-Port\",\"value\":\"8080\"},"
    "{\"name\":\"X-Own\",\"value\":\"manifest\"},"
    "{\"name\":\"Original-Http-Path\",\"value\":\"/healthz?x=1\"}]}},"
    "{\"httpGet\":{\"path\":\"/\",\"port\":15901,\"httpHeaders\":["
    "{\"name\":\"Original-Http-Port\",\"value\":\"8080\"},"
    "{\"name\":\"Original-Http-Path\",\"value\":\"/shutdown\"},"
    "{\"name\":\"Original-Hook-Key\",\"value\":\"\"}]}}],"
    "\"ReadinessProbes\":[{\"httpGet\":{\"path\":\"/\",\"port\":15902,"
    "\"httpHeaders\":[{\"name\":\"original-http-port\",\"value\":\"8081\"}]}},"
    "{\"tcpSocket\":{\"port\":8080}},{\"httpGet\":{\"path\":\"/own\",\"port\":8080}}]}}}";

static struct probes *probes;
static struct http_server *app;
static char asked[256]; /* what the application was asked last */

static void on_request(struct http_req *r, void *arg)
{
    const struct http_head *h = http_req_head(r);
    const struct http_field *own = http_find_name(h, SLICE_LIT("x-own"));

    const struct http_field *agent = http_find_name(h, SLICE_LIT("user-agent"));
    snprintf(asked, sizeof asked, "%.*s %.*s host=%.*s own=%.*s agent=%.*s original=%d",
             SLICE_FMT(h->method_text), SLICE_FMT(h->target), SLICE_FMT(h->authority),
             own ? (int)own->value.n : 0, own ? own->value.p : "", agent ? (int)agent->value.n : 0,
             agent ? agent->value.p : "",
             http_find_name(h, SLICE_LIT("original-http-port")) != NULL);
    if (slice_eq_str(http_req_path(r), "/big")) {
        static char page[2 << 20];
        memset(page, 'x', sizeof page);
        http_reply(r, 200, "text/html", slice_of(page, sizeof page));
        return;
    }
    const struct {
        const char *path, *to;
    } moved[] = {{"/moved", "http://[fd00::7]:8080/moved/"},
                 {"/loop", "/loop"},
                 {"/away", "http://other.example/"}};
    for (size_t i = 0; i < sizeof moved / sizeof moved[0]; i++)
        if (slice_eq_str(http_req_path(r), moved[i].path)) {
            http_req_header(r, "Location", moved[i].to);
            http_reply_text(r, 302, "there\n");
            return;
        }
    http_reply_text(r, 418, "tea\n");
}

static void setup(void)
{
    const struct http_server_opts o = {.name = "app"};
    struct ip_port addr;
    struct err e;

    io_begin();
    probes = probes_new(l, hook_hash, &e);
    ck_assert_msg(probes != NULL, "%s", e.text);
    ip_port_parse("127.0.0.1:8080", &addr);
    app = http_server_new(l, listener_bind(&addr, 0, 8, &e), &o, on_request, NULL, &e);
    ck_assert_msg(app != NULL, "%s", e.text);
    json_t *doc = json_parse(slice_str(document), 1 << 20, &e);
    ck_assert_msg(doc != NULL, "%s", e.text);
    probes_allow(probes, doc);
    json_decref(doc);
    asked[0] = '\0';
}

static void teardown(void)
{
    probes_free(probes);
    http_server_free(app);
    io_end();
}

/* what the port answers to that head; a static buffer */
static const char *ask(uint16_t port, const char *request)
{
    static struct buf got;
    struct ip_port at;
    struct sockaddr_storage ss;
    ssize_t n = -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    buf_clear(&got);
    ip_port_parse("127.0.0.1:1", &at);
    at.port = port;
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&ss, ip_port_to_sockaddr(&at, &ss)), 0);
    struct buf text = BUF_INIT;
    buf_printf(&text, "%sHost: probe\r\nConnection: close\r\n\r\n", request);
    ck_assert_int_eq(send(fd, text.p, text.len, 0), (ssize_t)text.len);
    buf_free(&text);
    while (n != 0) {
        loop_turn(l, false);
        n = recv(fd, buf_reserve(&got, 4096), 4096, MSG_DONTWAIT);
        if (n > 0)
            got.len += (size_t)n;
        else if (n < 0)
            ck_assert_int_eq(errno, EAGAIN);
    }
    close(fd);
    buf_puts(&got, "");
    return got.p;
}

#define ASKS(port, request, status)                                                                \
    do {                                                                                           \
        const char *answer = ask(port, request);                                                   \
        ck_assert_msg(strncmp(answer, "HTTP/1.1 " status " ", 13) == 0, "%s: %s", request,         \
                      answer);                                                                     \
    } while (0)

START_TEST(what_the_manifest_asks_for_is_passed_on)
{
    ASKS(15901,
         "GET /fsm-liveness-probe HTTP/1.1\r\nOriginal-Http-Port: 8080\r\n"
         "Original-Http-Path: /healthz?x=1\r\nX-Own: forged\r\nUser-Agent: kube-probe/1.29\r\n",
         "418");
    ck_assert_str_eq(asked,
                     "GET /healthz?x=1 host=[fd00::7]:8080 own=manifest agent=kube-probe/1.29 "
                     "original=0");
    ASKS(15901,
         "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1\r\n"
         "User-Agent: somebody\r\n",
         "418");
    ck_assert_str_eq(asked,
                     "GET /healthz?x=1 host=[fd00::7]:8080 own=manifest agent=fsm original=0");
}
END_TEST

#define HOOK "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /shutdown\r\n"

START_TEST(a_hook_needs_the_pods_key)
{
    ASKS(15901, HOOK, "403");
    ASKS(15901, HOOK "Original-Hook-Key: \r\n", "403");
    ASKS(15901, HOOK "Original-Hook-Key: Secret\r\n", "403");
    ASKS(15901,
         HOOK
         "Original-Hook-Key: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\r\n",
         "403");
    ASKS(15902, HOOK "Original-Hook-Key: secret\r\n", "403");
    ck_assert_str_eq(asked, "");
    ASKS(15901, HOOK "Original-Hook-Key: secret\r\n", "418");
    ck_assert_str_eq(asked, "GET /shutdown host=[fd00::7]:8080 own= agent=fsm original=0");
    /* the key makes no check of it */
    ASKS(15901,
         "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1\r\n"
         "Original-Hook-Key: secret\r\n",
         "403");
}
END_TEST

/* a liveness check is none of the startup port */
START_TEST(each_kind_has_its_port)
{
    static const char head[] =
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1\r\n";

    ASKS(15901, head, "418");
    ASKS(15902, head, "403");
    ASKS(15903, head, "403");
}
END_TEST

START_TEST(nothing_else_is)
{
    static const char *const heads[] = {
        /* another path, port, case, form of the same */
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /admin\r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz\r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /HEALTHZ?x=1\r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1/..\r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8081\r\nOriginal-Http-Path: /healthz?x=1\r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 08080\r\nOriginal-Http-Path: /healthz?x=1\r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080 /healthz?x=1\r\nOriginal-Http-Path: \r\n",
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\n",
        /* a probe that the injector left alone */
        "GET /own HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /own\r\n"};

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        ASKS(15902, heads[i], "403");
    ASKS(15901, "GET / HTTP/1.1\r\n", "400");
    ASKS(15901,
         "POST / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1\r\n",
         "400");
    ck_assert_str_eq(asked, "");
}
END_TEST

/* 8081 is allowed with the path "/", and nobody listens there */
START_TEST(an_application_that_is_down_is_503)
{
    ASKS(15902, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8081\r\n", "503");
    ASKS(15902, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8081\r\nOriginal-Http-Path: /\r\n", "503");
}
END_TEST

START_TEST(before_the_first_document_nobody_is_killed)
{
    struct err e;

    probes_free(probes);
    probes = probes_new(l, hook_hash, &e);
    ck_assert_msg(probes != NULL, "%s", e.text);
    ASKS(15901, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /any\r\n",
         "200");
    ASKS(15902, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /any\r\n",
         "503");
    ASKS(15903, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /any\r\n",
         "503");
    ASKS(15901, HOOK "Original-Hook-Key: no\r\n", "503");
    ck_assert_str_eq(asked, "");
    ASKS(15901, HOOK "Original-Hook-Key: secret\r\n", "418");
}
END_TEST

/* large pages and redirections, as the kubelet takes them */
START_TEST(the_status_counts)
{
    const char *page =
        ask(15901, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /big\r\n");
    ck_assert_msg(strncmp(page, "HTTP/1.1 200 ", 13) == 0, "%.100s", page);
    ck_assert_uint_gt(strlen(page), 10 * 1024);
    ck_assert_uint_lt(strlen(page), 11 * 1024);
    ASKS(15901, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /moved\r\n",
         "418");
    ck_assert_str_eq(asked, "GET /moved/ host=[fd00::7]:8080 own= agent=fsm original=0");
    ASKS(15901, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /away\r\n",
         "302");
    ASKS(15901, "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /loop\r\n",
         "503");
}
END_TEST

START_TEST(an_application_on_ipv6_alone_is_asked)
{
    struct ip_port addr;
    struct err e;

    http_server_free(app);
    ip_port_parse("[::1]:8080", &addr);
    app = http_server_new(l, listener_bind(&addr, 0, 8, &e),
                          &(struct http_server_opts){.name = "app"}, on_request, NULL, &e);
    ASKS(15901,
         "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1\r\n",
         "418");
}
END_TEST

START_TEST(a_new_document_replaces_the_list)
{
    static const char head[] =
        "GET / HTTP/1.1\r\nOriginal-Http-Port: 8080\r\nOriginal-Http-Path: /healthz?x=1\r\n";
    static const char *const without[] = {
        "{}", "{\"Spec\":{\"Probes\":{}}}",
        "{\"Spec\":{\"Probes\":{\"LivenessProbes\":null,\"ReadinessProbes\":[null,7,{}]}}}"};
    struct err e;

    ASKS(15901, head, "418");
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        json_t *doc = json_parse(slice_str(without[i]), 1000, &e);
        probes_allow(probes, doc);
        json_decref(doc);
        ASKS(15901, head, "403");
    }
}
END_TEST

/* false: this machine does not let us */
static bool own_network(void)
{
    struct ifreq lo = {.ifr_name = "lo"};

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    return up;
}

int main(void)
{
    Suite *s = suite_create("probes");
    TCase *tc = tcase_create("probes");
    SRunner *sr;
    int failed;

    if (!own_network()) {
        puts("no network namespace can be made here");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, what_the_manifest_asks_for_is_passed_on);
    tcase_add_test(tc, nothing_else_is);
    tcase_add_test(tc, a_hook_needs_the_pods_key);
    tcase_add_test(tc, each_kind_has_its_port);
    tcase_add_test(tc, before_the_first_document_nobody_is_killed);
    tcase_add_test(tc, the_status_counts);
    tcase_add_test(tc, an_application_on_ipv6_alone_is_asked);
    tcase_add_test(tc, an_application_that_is_down_is_503);
    tcase_add_test(tc, a_new_document_replaces_the_list);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
