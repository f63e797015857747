/* HTTP/2 sessions against clients that we did not write: curl, nghttp, h2load.
 * With FSM_SERVE=ADDRESS:PORT it only serves there (for h2spec and the like). */
#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include "test/unit/http/h2_serve.h"

static struct h2_serve srv;
static pthread_t thread;
static unsigned port;
static char said[1 << 16];

static void *run(void *arg)
{
    loop_run(srv.loop);
    serve_stop(&srv);
    return NULL;
}

static void stop(void *arg)
{
    loop_stop(srv.loop);
}

static int bind_to(const char *text)
{
    struct ip_port a;
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    struct err e = {""};
    int fd;

    fd = ip_port_parse(text, &a) < 0 ? -1 : listener_bind(&a, 0, 512, &e);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", text, e.text);
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&sin, &len);
    port = ntohs(sin.sin_port);
    return fd;
}

static void start(void)
{
    serve_start(&srv, bind_to("127.0.0.1:0"));
    ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

static void finish(void)
{
    loop_post(srv.loop, stop, NULL);
    pthread_join(thread, NULL);
    loop_free(srv.loop);
}

static void sh(const char *cmd)
{
    char *full = xasprintf("U=http://127.0.0.1:%u; H2='curl -sS -m 20 --http2-prior-knowledge'; "
                           "{ %s; } 2>&1",
                           port, cmd);
    FILE *f = popen(full, "r");
    size_t n = fread(said, 1, sizeof(said) - 1, f);

    said[n] = '\0';
    pclose(f);
    free(full);
}

#define ck_has(what) ck_assert_msg(strstr(said, what) != NULL, "no \"%s\" in: %s", what, said)

START_TEST(curl_gets_and_posts)
{
    sh("$H2 -i $U/hello");
    ck_has("HTTP/2 200");
    ck_has("server: test");
    ck_has("hello");
    sh("$H2 $U/big | md5sum; head -c 5000000 /dev/zero | tr '\\0' b | md5sum");
    ck_assert_int_eq(strncmp(said, strchr(said, '\n') + 1, 32), 0);
    sh("head -c 3000000 /dev/urandom > /tmp/http-h2-$$; "
       "$H2 --data-binary @/tmp/http-h2-$$ $U/echo | md5sum; md5sum < /tmp/http-h2-$$; "
       "rm /tmp/http-h2-$$");
    ck_assert_int_eq(strncmp(said, strchr(said, '\n') + 1, 32), 0);
    sh("$H2 -i $U/hints");
    ck_has("HTTP/2 103");
    ck_has("hello");
    sh("$H2 -i $U/trailers");
    ck_has("x-sum: 1");
    sh("$H2 $U/reset; echo exit $?");
    ck_has("exit 92");
    sh("$H2 $U/drain");
    ck_has("hello");
}
END_TEST

START_TEST(nghttp_sends_many_streams)
{
    sh("nghttp -nv -m 50 $U/big | grep -c 'END_STREAM'");
    ck_assert_int_ge(strtol(said, NULL, 10), 50);
    sh("nghttp -w 16 -W 16 $U/big | md5sum; head -c 5000000 /dev/zero | tr '\\0' b | md5sum");
    ck_assert_int_eq(strncmp(said, strchr(said, '\n') + 1, 32), 0);
    sh("nghttp -v --trailer 'x-t: 1' -d /etc/hostname $U/echo");
    ck_has(":status: 200");
}
END_TEST

START_TEST(h2load_finds_no_fault)
{
    sh("h2load -n 20000 -c 10 -m 50 $U/hello");
    ck_has("20000 succeeded, 0 failed, 0 errored");
    sh("h2load -n 40 -c 4 -m 10 $U/big");
    ck_has("40 succeeded, 0 failed, 0 errored");
}
END_TEST

static int serve_only(const char *where)
{
    serve_start(&srv, bind_to(where));
    loop_run(srv.loop);
    return 0;
}

int main(void)
{
    Suite *s = suite_create("h2_real");
    TCase *t = tcase_create("clients");
    SRunner *r;
    int failed;

    if (getenv("FSM_SERVE"))
        return serve_only(getenv("FSM_SERVE"));
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, start, finish);
    tcase_add_test(t, curl_gets_and_posts);
    tcase_add_test(t, nghttp_sends_many_streams);
    tcase_add_test(t, h2load_finds_no_fault);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
