/* api_test.c - requests with a body, against a real HTTP server on the same loop. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/io/listener.h"
#include "common/kube/api.h"

#define BIG 200000

static char dir[64], config[96];
static struct loop *loop;
static struct http_server *server;
static struct kube_api *api;

/* what the server saw last, and how it answers */
static struct {
    char method[16], path[128], type[64], body[BIG + 1];
    size_t n;
    unsigned times;
} saw;
static unsigned status;

static void copy(char *out, size_t size, struct slice s)
{
    snprintf(out, size, "%.*s", SLICE_FMT(s));
}

static void on_request(struct http_req *r, void *arg)
{
    const struct http_head *h = http_req_head(r);
    struct slice body = http_req_body(r);

    saw.times++;
    copy(saw.method, sizeof saw.method, h->method_text);
    copy(saw.path, sizeof saw.path, h->target);
    copy(saw.type, sizeof saw.type, SLICE_LIT(""));
    const struct http_field *type = http_find_name(h, SLICE_LIT("content-type"));
    if (type)
        copy(saw.type, sizeof saw.type, type->value);
    saw.n = body.n;
    memcpy(saw.body, body.p ? body.p : "", body.n);
    http_reply_text(r, status, "the answer to %s", saw.method);
}

static void setup(void)
{
    struct ip_port at = {.port = 0};
    struct sockaddr_in sin;
    socklen_t len = sizeof sin;
    struct http_server_opts o = {.name = "test"};
    struct err e = {""};
    char text[512];

    log_set_level(LOG_OFF);
    memset(&saw, 0, sizeof saw);
    status = 200;
    snprintf(dir, sizeof dir, "/tmp/fsm-api-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(config, sizeof config, "%s/config", dir);
    loop = loop_new(&e);
    ip_parse("127.0.0.1", &at.ip);
    int fd = listener_bind(&at, 0, 16, &e);
    ck_assert_msg(fd >= 0, "%s", e.text);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    server = http_server_new(loop, fd, &o, on_request, NULL, &e);
    ck_assert_msg(server != NULL, "%s", e.text);
    snprintf(text, sizeof text,
             "{current-context: c, contexts: [{name: c, context: {cluster: c}}],\n"
             "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:%u'}}]}\n",
             ntohs(sin.sin_port));
    ck_assert_int_eq(file_write(config, text, strlen(text), 0600, &e), 0);
    api = kube_api_new(loop, &(struct kube_access_from){.kubeconfig = config}, "test", &e);
    ck_assert_msg(api != NULL, "%s", e.text);
}

static void teardown(void)
{
    kube_api_free(api);
    http_server_free(server);
    loop_free(loop);
    file_remove_tree(dir, NULL);
}

struct result {
    bool over;
    unsigned status;
    char body[256], error[256], data[256];
};

static int on_data(struct slice bytes, void *arg)
{
    struct result *r = arg;
    size_t n = strlen(r->data);
    copy(r->data + n, sizeof r->data - n, bytes);
    return 0;
}

static void on_done(const struct kube_answer *a, void *arg)
{
    struct result *r = arg;
    r->over = true;
    r->status = a->status;
    copy(r->body, sizeof r->body, a->body);
    snprintf(r->error, sizeof r->error, "%s", a->error);
}

static void wait_for(struct result *r)
{
    while (!r->over)
        loop_turn(loop, true);
}

/* method NULL: a GET */
static struct result ask(const char *method, const char *type, struct slice body, bool data)
{
    struct result r = {false};
    struct kube_call_spec spec = {.path = "/apis/x/y?force=true",
                                  .method = method,
                                  .content_type = type,
                                  .body = body,
                                  .timeout_ms = 10000,
                                  .data = data ? on_data : NULL,
                                  .done = on_done,
                                  .arg = &r};
    struct kube_call *c = method ? kube_api_send(api, &spec) : kube_api_get(api, &spec);
    ck_assert_ptr_nonnull(c);
    ck_assert(!r.over);
    wait_for(&r);
    return r;
}

START_TEST(a_patch_arrives_as_it_was_said)
{
    struct result r = ask("PATCH", KUBE_APPLY, SLICE_LIT("{\"a\":1}"), true);
    ck_assert_uint_eq(r.status, 200);
    ck_assert_str_eq(r.data, "the answer to PATCH");
    ck_assert_str_eq(saw.method, "PATCH");
    ck_assert_str_eq(saw.path, "/apis/x/y?force=true");
    ck_assert_str_eq(saw.type, KUBE_APPLY);
    ck_assert_uint_eq(saw.n, 7);
    ck_assert_mem_eq(saw.body, "{\"a\":1}", 7);
}
END_TEST

START_TEST(a_get_after_it_has_no_body)
{
    ask("POST", "application/json", SLICE_LIT("{}"), false);
    ck_assert_str_eq(saw.method, "POST");
    ck_assert_str_eq(saw.type, "application/json");
    struct result r = ask(NULL, NULL, slice_str(NULL), true);
    ck_assert_uint_eq(r.status, 200);
    ck_assert_str_eq(saw.method, "GET");
    ck_assert_str_eq(saw.type, "");
    ck_assert_uint_eq(saw.n, 0);
}
END_TEST

START_TEST(without_data_the_answers_body_comes_at_the_end)
{
    struct result r = ask("POST", "application/json", SLICE_LIT("{}"), false);
    ck_assert_str_eq(r.body, "the answer to POST");
    status = 201;
    r = ask("POST", "application/json", SLICE_LIT("{}"), true);
    ck_assert_uint_eq(r.status, 201);
    ck_assert_str_eq(r.data, "");
    ck_assert_str_eq(r.body, "the answer to POST");
}
END_TEST

START_TEST(a_refusal_is_told_once_and_not_repeated)
{
    status = 409;
    struct result r = ask("PATCH", KUBE_APPLY, SLICE_LIT("{}"), true);
    ck_assert_uint_eq(r.status, 409);
    ck_assert_str_eq(r.data, "");
    ck_assert_str_eq(r.body, "the answer to PATCH");
    ck_assert_uint_eq(saw.times, 1);
}
END_TEST

/* libcurl would wait for "100 Continue" otherwise */
START_TEST(the_body_is_copied_and_may_be_large)
{
    static struct result r;
    char *text = malloc(BIG);
    memset(text, 'x', BIG);
    struct kube_call_spec spec = {.path = "/big",
                                  .method = "PUT",
                                  .content_type = "application/json",
                                  .body = slice_of(text, BIG),
                                  .done = on_done,
                                  .arg = &r};
    r = (struct result){false};
    ck_assert_ptr_nonnull(kube_api_send(api, &spec));
    memset(text, 'y', BIG);
    free(text);
    uint64_t began = loop_now_ms(loop);
    wait_for(&r);
    ck_assert_uint_eq(r.status, 200);
    ck_assert_str_eq(saw.method, "PUT");
    ck_assert_uint_eq(saw.n, BIG);
    ck_assert_int_eq(saw.body[0], 'x');
    ck_assert_int_eq(saw.body[BIG - 1], 'x');
    ck_assert_uint_lt(loop_now_ms(loop) - began, 900);
}
END_TEST

START_TEST(cancelled_it_says_nothing)
{
    struct result r = {false};
    struct kube_call_spec spec = {.path = "/x",
                                  .method = "POST",
                                  .content_type = "application/json",
                                  .body = SLICE_LIT("{}"),
                                  .done = on_done,
                                  .arg = &r};
    kube_call_cancel(kube_api_send(api, &spec));
    ask(NULL, NULL, slice_str(NULL), true);
    ck_assert(!r.over);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("api");
    TCase *t = tcase_create("bodies");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_patch_arrives_as_it_was_said);
    tcase_add_test(t, a_get_after_it_has_no_body);
    tcase_add_test(t, without_data_the_answers_body_comes_at_the_end);
    tcase_add_test(t, a_refusal_is_told_once_and_not_repeated);
    tcase_add_test(t, the_body_is_copied_and_may_be_large);
    tcase_add_test(t, cancelled_it_says_nothing);
    suite_add_tcase(s, t);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
