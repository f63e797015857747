/* admin_test.c - the pages of every daemon and of one of them, as a client on a Unix socket sees
 * them; times in buckets; flags. */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/daemon/admin.h"
#include "common/daemon/daemon.h"
#include "common/daemon/metric.h"
#include "common/http/client.h"
#include "test/unit/unit.h"

static char dir[64], *where;
static struct loop *loop;
static struct daemon_admin *admin;
static bool ready;
static unsigned begun, counted, commands;

static void command(struct http_req *r, void *self)
{
    ck_assert_ptr_eq(self, &ready);
    commands++;
    http_reply_text(r, 200, "done\n");
}

static const struct daemon_page pages[] = {
    {"POST", "/do", command, "does it"}, {"GET", "/own", command, "tells", .local = true}, {NULL}};

static bool is_ready(const void *self)
{
    return ready;
}

static void metrics(struct buf *out, void *self)
{
    metric_one(out, "fsm_x", "gauge", "X.", 7);
}

static void on_begun(struct http_req *r, void *self)
{
    begun++;
}

static void on_answered(const struct http_req *r, unsigned status, void *self)
{
    counted = status;
}

/* ---- a client in a thread of its own -----------------------------------------------------------
 */

static struct {
    const char *method, *path;
    int status;
    struct buf body;
} asked;

static void stop(void *arg)
{
    loop_stop(loop);
}

static void *client(void *arg)
{
    struct err e = {""};

    buf_clear(&asked.body);
    asked.status =
        http_fetch(where, asked.method, asked.path, NULL, slice_of(NULL, 0), 5000, &asked.body, &e);
    ck_assert_msg(asked.status >= 0, "%s", e.text);
    loop_post(loop, stop, NULL);
    return NULL;
}

static const char *ask(const char *method, const char *path, int status)
{
    pthread_t t;

    asked.method = method;
    asked.path = path;
    ck_assert_int_eq(pthread_create(&t, NULL, client, NULL), 0);
    loop_run(loop);
    pthread_join(t, NULL);
    ck_assert_msg(asked.status == status, "%s %s: %d %s", method, path, asked.status, asked.body.p);
    return asked.body.p;
}

static void setup(void)
{
    struct daemon_admin_conf conf = {.name = "fsm-test",
                                     .ready = "200 when it is",
                                     .pages = pages,
                                     .is_ready = is_ready,
                                     .metrics = metrics,
                                     .begun = on_begun,
                                     .answered = on_answered,
                                     .self = &ready};
    struct err e = {""};

    log_set_level(LOG_OFF);
    snprintf(dir, sizeof dir, "/tmp/fsm-admin-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    where = xasprintf("unix:%s/sock", dir);
    loop = loop_new(&e);
    conf.where = where;
    admin = daemon_admin_start(loop, &conf, &e);
    ck_assert_msg(admin != NULL, "%s", e.text);
}

START_TEST(every_daemon_has_pages)
{
    setup();
    ck_assert_ptr_nonnull(strstr(ask("GET", "/", 200), "GET  /health/ready    200 when it is\n"));
    ck_assert_ptr_nonnull(strstr(asked.body.p, "POST /do              does it\n"));
    ck_assert_ptr_nonnull(
        strstr(asked.body.p, "GET  /own             tells (for this machine only)\n"));
    ck_assert_str_eq(ask("GET", "/health/ready", 503),
                     "Readiness probe for fsm-test indicates it is not ready\n");
    ready = true;
    ck_assert_str_eq(ask("GET", "/health/ready", 200), "Service is ready\n");
    ck_assert_str_eq(ask("GET", "/health/alive", 200), "Service is alive\n");
    ck_assert_str_eq(ask("GET", "/metrics", 200), "# HELP fsm_x X.\n# TYPE fsm_x gauge\nfsm_x 7\n");
    ck_assert_ptr_nonnull(strstr(ask("GET", "/version", 200), "git_commit"));
    ck_assert_str_eq(ask("POST", "/metrics", 405), "expected GET\n");
    ck_assert_str_eq(ask("GET", "/do", 405), "expected POST\n");
    ck_assert_str_eq(ask("GET", "/nothing", 404), "no such page: see /\n");
    ck_assert_uint_eq(counted, 404);
    ck_assert_str_eq(ask("POST", "/do", 200), "done\n");
    ck_assert_uint_eq(commands, 1);
    ck_assert_uint_eq(counted, 404); /* a page of its own counts by itself */
    ck_assert_uint_eq(begun, 10);
    daemon_admin_stop(admin);
    ck_assert_int_ne(access(where + 5, F_OK), 0);
    ck_assert_int_eq(rmdir(dir), 0);
    loop_free(loop);
    free(where);
    buf_free(&asked.body);
}
END_TEST

START_TEST(an_address_that_is_none)
{
    struct daemon_admin_conf conf = {.where = "here", .pages = pages};
    struct err e = {""};

    loop = loop_new(&e);
    ck_assert_ptr_null(daemon_admin_start(loop, &conf, &e));
    ck_assert_str_eq(e.text, "--admin: here: expected ADDRESS:PORT or unix:/path");
    daemon_admin_stop(NULL);
    loop_free(loop);
}
END_TEST

START_TEST(times_are_sorted_into_buckets)
{
    static const double bounds[METRIC_BUCKETS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    struct metric_times t = {.bounds = bounds};
    struct buf out = BUF_INIT;

    metric_observe(&t, 2);
    metric_observe(&t, 2.5);
    metric_observe(&t, 100);
    metric_print_times(&out, "x", "a=\"b\"", &t);
    ck_assert_ptr_nonnull(strstr(out.p, "x_bucket{a=\"b\",le=\"1\"} 0\nx_bucket{a=\"b\",le=\"2\"} "
                                        "1\nx_bucket{a=\"b\",le=\"3\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(out.p, "le=\"12\"} 2\nx_bucket{a=\"b\",le=\"+Inf\"} 3\n"
                                        "x_sum{a=\"b\"} 104.500000000\nx_count{a=\"b\"} 3\n"));
    buf_clear(&out);
    metric_print_times(&out, "x", "", &t);
    ck_assert_ptr_nonnull(strstr(out.p, "x_sum 104.500000000\nx_count 3\n"));
    buf_free(&out);
}
END_TEST

START_TEST(where_resources_come_from)
{
    const char *file = "x.yaml";
    struct opt_common files = {.files = {&file, 1}}, none = {.check_only = false},
                      check = {.check_only = true};
    struct daemon_conf c = DAEMON_CONF(.listen = "0.0.0.0:1");
    struct err e = {""};

    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    ck_assert_int_eq(daemon_check_source(&c, &files, &e), 0);
    ck_assert_uint_eq(c.files.n, 1);
    c.api.context = "dev";
    ck_assert_int_eq(daemon_check_source(&c, &files, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "exclude each other"));
    ck_assert_int_eq(daemon_check_source(&c, &none, &e), 0);
    c.api.context = NULL;
    ck_assert_int_eq(daemon_check_source(&c, &none, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "this is no pod"));
    ck_assert_int_eq(daemon_check_source(&c, &check, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "-n checks files"));
    ck_assert_int_eq(daemon_check_name("--mesh-name", "fsm", kube_is_dns_label, &e), 0);
    ck_assert_int_eq(daemon_check_name("--mesh-name", "F S", kube_is_dns_label, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "--mesh-name \"F S\": expected "));
}
END_TEST

UNIT_MAIN("admin", every_daemon_has_pages, an_address_that_is_none, times_are_sorted_into_buckets,
          where_resources_come_from)
