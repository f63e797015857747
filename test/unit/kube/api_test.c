/* api_test.c - calls with and without a body, as a server on the same loop sees them. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/server.h"
#include "common/io/listener.h"
#include "common/kube/api.h"
#include "test/unit/unit.h"

static char dir[64];
static struct loop *loop;
static struct http_server *server;
static struct kube_api *api;

/* the server: what it saw last, and what it answers */
static struct {
    char line[128], type[64], expect[32], length[16];
    struct buf body;
    unsigned n, status;
    const char *says, *retry_after, *date;
    bool silent;
} seen;

/* the client: what came of a call */
static struct {
    unsigned status, begun;
    char *error, *body;
    struct buf data;
    uint64_t retry_after;
    bool over, enough;
} got;

static void copy_header(const struct http_req *r, const char *name, char *out, size_t size)
{
    const struct http_field *f = http_find_name(http_req_head(r), slice_str(name));
    snprintf(out, size, "%.*s", f ? (int)f->value.n : 0, f ? f->value.p : "");
}

static void on_gone(struct http_req *r, void *arg)
{
}

static void on_request(struct http_req *r, void *arg)
{
    snprintf(seen.line, sizeof seen.line, "%.*s %.*s", SLICE_FMT(http_req_head(r)->method_text),
             SLICE_FMT(http_req_path(r)));
    copy_header(r, "content-type", seen.type, sizeof seen.type);
    copy_header(r, "expect", seen.expect, sizeof seen.expect);
    copy_header(r, "content-length", seen.length, sizeof seen.length);
    buf_clear(&seen.body);
    buf_put_slice(&seen.body, http_req_body(r));
    seen.n++;
    if (seen.silent) {
        http_req_on_gone(r, on_gone, NULL);
        return;
    }
    if (seen.retry_after)
        http_req_header(r, "Retry-After", seen.retry_after);
    if (seen.date)
        http_req_header(r, "Date", seen.date);
    http_reply(r, seen.status, "application/json", slice_str(seen.says));
}

static void connect_to(const char *scheme, unsigned port)
{
    struct err e = {""};
    char *path = xasprintf("%s/config", dir);
    char *text = xasprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                           "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
                           "clusters: [{name: k, cluster: {server: \"%s://127.0.0.1:%u\"}}]\n"
                           "users: [{name: u, user: {}}]\n",
                           scheme, port);
    ck_assert_int_eq(file_write(path, text, strlen(text), 0600, &e), 0);
    struct kube_access_from from = {path, NULL, false};
    api = kube_api_new(loop, &from, "test", &e);
    ck_assert_msg(api != NULL, "%s", e.text);
    free(text);
    free(path);
}

static void setup(void)
{
    struct ip_port at;
    struct err e = {""};
    log_set_level(LOG_OFF);
    snprintf(dir, sizeof dir, "/tmp/fsm-api-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    loop = loop_new(&e);
    ck_assert_int_eq(ip_port_parse("127.0.0.1:0", &at), 0);
    int fd = listener_bind(&at, 0, 16, &e);
    struct sockaddr_in bound;
    socklen_t n = sizeof bound;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&bound, &n), 0);
    struct http_server_opts o = {.name = "test"};
    server = http_server_new(loop, fd, &o, on_request, NULL, &e);
    connect_to("http", ntohs(bound.sin_port));
    seen.status = 200;
    seen.says = "{}";
}

static void teardown(void)
{
    kube_api_free(api);
    http_server_free(server);
    loop_free(loop);
    buf_free(&seen.body);
    buf_free(&got.data);
    free(got.error);
    free(got.body);
    file_remove_tree(dir, NULL);
}

static void on_begun(void *arg)
{
    got.begun++;
}

static int on_data(struct slice bytes, void *arg)
{
    buf_put_slice(&got.data, bytes);
    return got.enough ? -1 : 0;
}

static void on_done(const struct kube_answer *a, void *arg)
{
    got.over = true;
    got.status = a->status;
    got.retry_after = a->retry_after;
    free(got.error);
    free(got.body);
    got.error = xstrdup(a->error);
    got.body = xasprintf("%.*s", SLICE_FMT(a->body));
}

static const struct kube_call_spec spec = {
    .path = "/x", .timeout_ms = 5000, .begun = on_begun, .data = on_data, .done = on_done};

static void finish(void)
{
    while (!got.over)
        loop_turn(loop, true);
}

static void begin(void)
{
    got.over = false;
    got.begun = 0;
    buf_clear(&got.data);
}

static void send_it(enum kube_change how, const char *body)
{
    begin();
    kube_api_send(api, how, slice_str(body), &spec);
    ck_assert(!got.over); /* never from inside */
    finish();
}

static void get_it(void)
{
    begin();
    kube_api_get(api, &spec);
    finish();
}

START_TEST(a_read_has_no_body)
{
    setup();
    get_it();
    ck_assert_str_eq(seen.line, "GET /x");
    ck_assert_str_eq(seen.type, "");
    ck_assert_str_eq(seen.length, "");
    ck_assert_uint_eq(got.status, 200);
    ck_assert_uint_eq(got.begun, 1);
    ck_assert_str_eq(got.data.p, "{}");
    ck_assert_str_eq(got.body, "");
    teardown();
}
END_TEST

START_TEST(methods_and_types)
{
    setup();
    send_it(KUBE_CREATE, "{\"a\":1}");
    ck_assert_str_eq(seen.line, "POST /x");
    ck_assert_str_eq(seen.type, "application/json");
    ck_assert_str_eq(seen.body.p, "{\"a\":1}");
    ck_assert_str_eq(seen.expect, "");
    send_it(KUBE_MERGE, "{\"b\":null}");
    ck_assert_str_eq(seen.line, "PATCH /x");
    ck_assert_str_eq(seen.type, "application/merge-patch+json");
    ck_assert_str_eq(seen.body.p, "{\"b\":null}");
    send_it(KUBE_APPLY, "");
    ck_assert_str_eq(seen.line, "PATCH /x");
    ck_assert_str_eq(seen.type, "application/apply-patch+yaml");
    ck_assert_str_eq(seen.length, "0");
    send_it(KUBE_DELETE, "{\"propagationPolicy\":\"Foreground\"}");
    ck_assert_str_eq(seen.line, "DELETE /x");
    ck_assert_str_eq(seen.type, "application/json");
    ck_assert_str_eq(seen.body.p, "{\"propagationPolicy\":\"Foreground\"}");
    get_it(); /* the next one is a read again */
    ck_assert_str_eq(seen.line, "GET /x");
    teardown();
}
END_TEST

START_TEST(a_large_body_arrives)
{
    char *big = xmalloc(500001);
    setup();
    memset(big, 'x', 500000);
    big[500000] = '\0';
    send_it(KUBE_CREATE, big);
    ck_assert_uint_eq(got.status, 200);
    ck_assert_str_eq(seen.body.p, big);
    ck_assert_str_eq(seen.expect, "");
    free(big);
    teardown();
}
END_TEST

START_TEST(created_is_good_for_what_was_sent_only)
{
    setup();
    seen.status = 201;
    seen.says = "{\"made\":1}";
    send_it(KUBE_CREATE, "{}");
    ck_assert_uint_eq(got.status, 201);
    ck_assert_uint_eq(got.begun, 1);
    ck_assert_str_eq(got.data.p, "{\"made\":1}");
    get_it();
    ck_assert_uint_eq(got.status, 201);
    ck_assert_uint_eq(got.begun, 0);
    ck_assert_uint_eq(got.data.len, 0);
    ck_assert_str_eq(got.body, "{\"made\":1}");
    teardown();
}
END_TEST

START_TEST(refusals_are_told_once_and_bounded)
{
    char *big = xmalloc(100001);
    setup();
    seen.status = 429;
    seen.retry_after = "7";
    seen.says = "{\"message\":\"slow\"}";
    send_it(KUBE_CREATE, "{}");
    ck_assert_uint_eq(got.status, 429);
    ck_assert_uint_eq(got.retry_after, 7000);
    ck_assert_str_eq(got.body, seen.says);
    ck_assert_uint_eq(got.begun, 0);
    ck_assert_uint_eq(seen.n, 1);
    memset(big, 'x', 100000);
    big[100000] = '\0';
    seen.status = 500;
    seen.retry_after = NULL;
    seen.says = big;
    send_it(KUBE_APPLY, "{}");
    ck_assert_uint_eq(got.status, 500);
    ck_assert_uint_eq(got.retry_after, 0);
    ck_assert_uint_eq(strlen(got.body), 16384);
    ck_assert_uint_eq(seen.n, 2);
    free(big);
    teardown();
}
END_TEST

START_TEST(clocks_that_differ_are_told)
{
    static const struct {
        long ahead_s; /* of us */
        const char *words;
    } cases[] = {{0, NULL},
                 {20, NULL},
                 {3600, "3600 s ahead of the API server's"},
                 {-10, NULL},
                 {-90, "90 s behind the API server's"},
                 {0, NULL}};
    static const char *const strange[] = {
        "", "yesterday", "Thu, 99 Foo 2026 25:61:61 GMT", "-1",
        "99999999999999999999999999999999999999999999999999999999999999999999999999999999"};
    char date[64];

    setup();
    seen.status = 200;
    seen.says = "{}";
    seen.date = date;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        time_t then = time(NULL) - cases[i].ahead_s;
        struct tm tm;
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
        send_it(KUBE_CREATE, "{}");
        const char *said = kube_api_clock(api);
        ck_assert_msg(!said == !cases[i].words, "%ld s: %s", cases[i].ahead_s, said);
        if (said) /* give or take a second */
            ck_assert_ptr_nonnull(strstr(said, strchr(cases[i].words, 's')));
    }
    for (unsigned i = 0; i < sizeof(strange) / sizeof(*strange); i++) {
        seen.date = strange[i];
        send_it(KUBE_CREATE, "{}");
        ck_assert_uint_eq(got.status, 200);
        ck_assert_ptr_null(kube_api_clock(api));
    }
    seen.date = NULL;
    teardown();
}
END_TEST

START_TEST(enough_ends_it)
{
    setup();
    got.enough = true;
    send_it(KUBE_CREATE, "{}");
    ck_assert_uint_eq(got.status, 0);
    ck_assert_str_eq(got.error, "enough");
    teardown();
}
END_TEST

START_TEST(a_cancelled_call_says_nothing)
{
    setup();
    seen.silent = true;
    begin();
    struct kube_call *c = kube_api_send(api, KUBE_CREATE, slice_str("{}"), &spec);
    while (seen.n == 0)
        loop_turn(loop, true);
    kube_call_cancel(c);
    loop_turn(loop, false);
    ck_assert(!got.over);
    kube_call_cancel(NULL);
    teardown();
}
END_TEST

START_TEST(silence_and_absence_end_it)
{
    setup();
    seen.silent = true;
    begin();
    struct kube_call_spec hasty = spec;
    hasty.timeout_ms = 200;
    kube_api_send(api, KUBE_CREATE, slice_str("{}"), &hasty);
    finish();
    ck_assert_uint_eq(got.status, 0);
    ck_assert_str_eq(got.error, "it takes too long");
    ck_assert_uint_eq(seen.n, 1);
    http_server_free(server);
    server = NULL;
    send_it(KUBE_CREATE, "{}");
    ck_assert_uint_eq(got.status, 0);
    ck_assert_str_eq(got.error, "cannot connect");
    server = NULL;
    teardown();
}
END_TEST

/* a watch of a quiet cluster, and a question beside it */
START_TEST(who_waits_for_an_answer_holds_up_nobody)
{
    setup();
    seen.silent = true;
    struct kube_call *watch =
        kube_api_get(api, &(struct kube_call_spec){.path = "/watch", .done = on_done});
    while (seen.n == 0)
        loop_turn(loop, true);
    seen.silent = false;
    get_it();
    ck_assert_uint_eq(got.status, 200);
    kube_call_cancel(watch);
    teardown();
}
END_TEST

/* the second call waits for the connection of the first, which is not there yet */
START_TEST(time_runs_while_a_connection_is_awaited)
{
    struct sockaddr_in mute = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof mute;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setup();
    kube_api_free(api);
    ck_assert(bind(fd, (struct sockaddr *)&mute, n) == 0 && listen(fd, 16) == 0);
    getsockname(fd, (struct sockaddr *)&mute, &n);
    connect_to("https", ntohs(mute.sin_port));
    struct kube_call *watch =
        kube_api_get(api, &(struct kube_call_spec){.path = "/watch", .done = on_done});
    struct kube_call_spec hasty = spec;
    hasty.timeout_ms = 200;
    uint64_t start = loop_now_ms(loop);
    begin();
    kube_api_send(api, KUBE_CREATE, slice_str("{}"), &hasty);
    finish();
    ck_assert_uint_lt(loop_now_ms(loop) - start, 5000);
    ck_assert_str_eq(got.error, "it takes too long");
    kube_call_cancel(watch);
    close(fd);
    teardown();
}
END_TEST

UNIT_MAIN("api", a_read_has_no_body, methods_and_types, a_large_body_arrives,
          created_is_good_for_what_was_sent_only, refusals_are_told_once_and_bounded,
          clocks_that_differ_are_told, enough_ends_it, a_cancelled_call_says_nothing,
          silence_and_absence_end_it, who_waits_for_an_answer_holds_up_nobody,
          time_runs_while_a_connection_is_awaited)
