/* api_server.c - see api_server.h. */
#include "test/fake/api_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/server.h"
#include "common/pki/pki.h"

static struct loop *loop;
static const char *home;
static unsigned under_way;

/* a review that is answered later */
struct late {
    struct timer timer;
    struct http_req *r;
    char *text;
};

static char *content(const char *name)
{
    char *path = xasprintf("%s/%s", home, name);
    struct buf text = BUF_INIT;
    struct err e;

    if (file_read(path, 1 << 24, &text, &e) < 0)
        buf_clear(&text);
    free(path);
    return buf_take(&text);
}

static void note(void)
{
    char *path = xasprintf("%s/reviews", home), line[16];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int n = snprintf(line, sizeof line, "%u\n", under_way);

    if (write(fd, line, (size_t)n) != n)
        _exit(1);
    close(fd);
    free(path);
}

/* the truth, or what the mode makes of it */
static char *review(const char *mode, const char *token)
{
    struct pki_token t;
    struct err e = {""};

    if (strcmp(mode, "refused") == 0 || pki_token_claims(slice_str(token), "fsm", &t, &e) < 0 ||
        t.not_after <= clock_wall_ms() / 1000)
        return xasprintf("{\"kind\":\"TokenReview\",\"status\":{\"user\":{},\"error\":\"[invalid "
                         "bearer token, so it is]\"}}");
    return xasprintf("{\"kind\":\"TokenReview\",\"status\":{\"authenticated\":true,\"user\":{"
                     "\"username\":\"system:serviceaccount:%s:%s\",\"extra\":{"
                     "\"authentication.kubernetes.io/pod-name\":[\"%s\"],"
                     "\"authentication.kubernetes.io/pod-uid\":[\"%s\"]}},\"audiences\":[\"%s\"]}}",
                     t.ns, t.sa, t.pod, strcmp(mode, "pod") == 0 ? "other" : t.pod_uid,
                     strcmp(mode, "audience") == 0 ? "other" : "fsm");
}

/* takes text */
static void reply(struct http_req *r, unsigned status, char *text)
{
    under_way--;
    http_reply(r, status, "application/json", slice_str(text));
    free(text);
}

static void on_time(void *arg)
{
    struct late *l = arg;

    reply(l->r, 201, l->text);
    free(l);
}

/* takes text */
static void reply_late(struct http_req *r, char *text)
{
    struct late *l = xcalloc(1, sizeof *l);

    l->r = r;
    l->text = text;
    timer_init(&l->timer, loop, on_time, l);
    timer_set(&l->timer, FAKE_SLOW_MS);
}

static void answer_review(struct http_req *r)
{
    struct err e;
    json_t *j = json_parse(http_req_body(r), 1 << 20, &e);
    char *mode = content("mode");
    char *text = review(mode, json_str(j, "spec.token", ""));

    under_way++;
    note();
    if (strcmp(mode, "429") == 0)
        http_req_header(r, "Retry-After", "5");
    if (strcmp(mode, "429") == 0 || strcmp(mode, "500") == 0 || strcmp(mode, "403") == 0)
        reply(r, (unsigned)strtoul(mode, NULL, 10),
              xstrdup("{\"kind\":\"Status\",\"message\":\"so it is\"}"));
    else if (strcmp(mode, "garbage") == 0)
        reply(r, 201, xstrdup("{\"kind\":\"TokenReview\",\"status\":{\"authent"));
    else if (strcmp(mode, "slow") == 0)
        reply_late(r, xstrdup(text));
    else
        reply(r, 201, xstrdup(text));
    free(text);
    free(mode);
    json_decref(j);
}

static void answer_list(struct http_req *r)
{
    struct slice path = http_req_path(r);
    size_t at = path.n;

    while (at > 0 && path.p[at - 1] != '/')
        at--;
    char *name = xasprintf("%.*s.json", (int)(path.n - at), path.p + at);
    char *items = content(name);
    char *text = xasprintf("{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":"
                           "[%s]}",
                           items);
    http_reply(r, 200, "application/json", slice_str(text));
    free(text);
    free(items);
    free(name);
}

static void on_request(struct http_req *r, void *arg)
{
    char watch[8];

    if (slice_starts(http_req_path(r), SLICE_LIT("/apis/coordination.k8s.io/")))
        http_reply_text(r, 403, "{}");
    else if (http_req_head(r)->method == HTTP_M_POST)
        answer_review(r);
    else if (slice_eq_str(http_req_path(r), "/version"))
        http_reply_text(r, 200, "{}");
    else if (!http_req_query(r, "watch", watch, sizeof watch))
        answer_list(r);
}

pid_t fake_api_server(int fd, const char *dir)
{
    struct http_server_opts o = {.name = "fake"};
    struct err e;
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    log_set_level(LOG_OFF);
    home = dir;
    loop = loop_new(&e);
    http_server_new(loop, fd, &o, on_request, NULL, &e);
    loop_run(loop);
    _exit(0);
}
