/* check.c - one attempt of one probe or hook handler; see probe.h. */
#include <event2/event.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/local/fetch.h"
#include "cli/local/probe.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/io/conn.h"

#define OUTPUT_MAX 1024 /* of an exec check, kept for the event */

struct check {
    struct local *l;
    check_cb *cb;
    void *arg;
    bool grpc;
    struct fetch *fetch;
    struct conn *conn;
    struct proc *proc;
    int output_fd;
    struct timer timer;
    struct loop_job job; /* an answer known at once still comes later */
    char why[OUTPUT_MAX + 256];
    bool ok;
};

/* the struct is gone after that */
static void finish(struct check *ck, bool ok)
{
    check_cb *cb = ck->cb;
    void *arg = ck->arg;
    char why[sizeof(ck->why)];

    memcpy(why, ck->why, sizeof(why));
    ck->cb = NULL;
    check_cancel(ck);
    cb(ok, why, arg);
}

void check_cancel(struct check *ck)
{
    if (!ck)
        return;
    fetch_cancel(ck->fetch);
    conn_close(ck->conn);
    if (ck->proc) {
        proc_kill(ck->proc, SIGKILL);
        proc_forget(ck->proc);
    }
    if (ck->output_fd >= 0)
        close(ck->output_fd);
    timer_cancel(&ck->timer);
    loop_undefer(ck->l->loop, &ck->job);
    free(ck);
}

static void answer_job(struct loop_job *job)
{
    struct check *ck = (struct check *)((char *)job - offsetof(struct check, job));

    finish(ck, ck->ok);
}

static void answer_later(struct check *ck, bool ok, const char *why)
{
    ck->ok = ok;
    snprintf(ck->why, sizeof(ck->why), "%s", why);
    loop_defer(ck->l->loop, &ck->job);
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* a number, or the name of one of the container's ports; 0 = no such port */
static unsigned port_of(const struct container *c, const json_t *port)
{
    const json_t *list = json_object_get(c->spec, "ports");
    unsigned long long number;

    if (json_is_integer(port))
        return (unsigned)json_integer_value(port);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        if (strcmp(json_str(p, "name", ""), json_string_value(port) ?: "") == 0)
            return (unsigned)json_int(p, "containerPort", 0);
    }
    return slice_u64(slice_str(json_string_value(port)), 65535, &number) == 0 ? (unsigned)number
                                                                              : 0;
}

static const char *host_of(const struct container *c, const json_t *h, char *out, size_t size)
{
    char ip[IP_TEXT_MAX];
    const char *host = json_str(h, "host", "");

    if (!*host)
        host = ip_format(&c->pod->sb.ip4, ip);
    snprintf(out, size, strchr(host, ':') && host[0] != '[' ? "[%.200s]" : "%.200s", host);
    return out;
}

/* ---- HTTP and gRPC --------------------------------------------------------------------------- */

static void on_http(const struct fetch_result *r, void *arg)
{
    struct check *ck = arg;

    ck->fetch = NULL; /* it ends by itself */
    if (r->status)
        snprintf(ck->why, sizeof(ck->why), "HTTP probe failed with statuscode: %u", r->status);
    else
        snprintf(ck->why, sizeof(ck->why), "%s", r->error);
    finish(ck, r->status >= 200 && r->status < 400);
}

/* a HealthCheckResponse whose field 1 (status) is 1 (SERVING), framed */
static bool is_serving(const struct buf *b)
{
    static const unsigned char serving[] = {0, 0, 0, 0, 2, 0x08, 1};

    return b->len >= sizeof(serving) && memcmp(b->p, serving, sizeof(serving)) == 0;
}

static void on_grpc(const struct fetch_result *r, void *arg)
{
    struct check *ck = arg;
    bool ok = r->status == 200 && r->grpc_status == 0 && is_serving(r->body);

    ck->fetch = NULL;
    if (!r->status)
        snprintf(ck->why, sizeof(ck->why), "%s", r->error);
    else
        snprintf(ck->why, sizeof(ck->why), "gRPC health: HTTP status %u, grpc-status %d, %s",
                 r->status, r->grpc_status, is_serving(r->body) ? "serving" : "not serving");
    finish(ck, ok);
}

static char **http_headers(const json_t *list)
{
    size_t n = json_array_size(list);
    char **v = xcalloc(n + 3, sizeof(*v));

    v[0] = xstrdup("User-Agent: kube-probe/fsm-local");
    v[1] = xstrdup("Accept: */*");
    for (size_t i = 0; i < n; i++) {
        const json_t *h = json_array_get(list, i);
        v[i + 2] = xasprintf("%s: %s", json_str(h, "name", ""), json_str(h, "value", ""));
    }
    return v;
}

static void free_strings(char **v)
{
    for (char **p = v; *p; p++)
        free(*p);
    free(v);
}

static void start_http(struct check *ck, struct fetcher *f, const struct container *c,
                       const json_t *h, unsigned timeout_ms)
{
    bool tls = strcmp(json_str(h, "scheme", "HTTP"), "HTTPS") == 0;
    const char *path = json_str(h, "path", "/");
    char host[256];
    char *url =
        xasprintf("%s://%s:%u%s%s", tls ? "https" : "http", host_of(c, h, host, sizeof(host)),
                  port_of(c, json_object_get(h, "port")), *path == '/' ? "" : "/", path);
    char **headers = http_headers(json_object_get(h, "httpHeaders"));
    struct fetch_spec s = {
        .url = url, .headers = (const char *const *)headers, .timeout_ms = timeout_ms};

    ck->fetch = fetch_start(f, &s, on_http, ck);
    free_strings(headers);
    free(url);
}

/* grpc.health.v1.Health/Check with HealthCheckRequest{service} */
static void start_grpc(struct check *ck, struct fetcher *f, const struct container *c,
                       const json_t *h, unsigned timeout_ms)
{
    static const char *const headers[] = {"Content-Type: application/grpc", "TE: trailers",
                                          "User-Agent: kube-probe/fsm-local", NULL};
    const char *service = json_str(h, "service", "");
    size_t n = strlen(service) < 120 ? strlen(service) : 120;
    unsigned char msg[128] = {0};
    char host[256];
    char *url =
        xasprintf("http://%s:%u/grpc.health.v1.Health/Check", host_of(c, h, host, sizeof(host)),
                  port_of(c, json_object_get(h, "port")));
    size_t len = 5;

    if (n) {
        msg[4] = (unsigned char)(n + 2);
        msg[len++] = 0x0a;
        msg[len++] = (unsigned char)n;
        memcpy(msg + len, service, n);
        len += n;
    }
    struct fetch_spec s = {.url = url,
                           .headers = headers,
                           .body = slice_of((char *)msg, len),
                           .timeout_ms = timeout_ms,
                           .http2 = true};
    ck->fetch = fetch_start(f, &s, on_grpc, ck);
    free(url);
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void on_conn(struct conn *conn, unsigned events, void *arg)
{
    struct check *ck = arg;
    bool ok = events & CONN_EV_OPEN;

    snprintf(ck->why, sizeof(ck->why), "%s", ok ? "" : conn_fail_name(conn->fail));
    finish(ck, ok);
}

static void start_tcp(struct check *ck, const struct container *c, const json_t *h,
                      unsigned timeout_ms)
{
    struct conn_dial_opts o = {.timeout_ms = timeout_ms};
    struct ip_port to = {.ip = c->pod->sb.ip4,
                         .port = (uint16_t)port_of(c, json_object_get(h, "port"))};
    const char *host = json_str(h, "host", "");
    struct err e;

    if (*host && ip_parse(host, &to.ip)) {
        answer_later(ck, false, "tcpSocket.host: expected an IP address");
        return;
    }
    ck->conn = conn_dial(ck->l->loop, &to, &o, on_conn, ck, &e);
    if (!ck->conn)
        answer_later(ck, false, e.text);
}

/* ---- exec ------------------------------------------------------------------------------------ */

static void on_exec_end(struct proc *p, int status, void *arg)
{
    struct check *ck = arg;
    char text[OUTPUT_MAX + 1];

    ck->proc = NULL;
    ssize_t n = pread(ck->output_fd, text, OUTPUT_MAX, 0);
    text[n > 0 ? n : 0] = '\0';
    snprintf(ck->why, sizeof(ck->why), "command exited with %d: %s",
             WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), text);
    finish(ck, status == 0);
}

static void on_exec_timeout(void *arg)
{
    struct check *ck = arg;

    snprintf(ck->why, sizeof(ck->why), "command timed out");
    finish(ck, false);
}

static int spec_fd(const json_t *spec)
{
    int fd = memfd_create("fsm-local-spec", MFD_CLOEXEC);

    if (fd >= 0 && (json_dumpfd(spec, fd, JSON_COMPACT) || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void start_exec(struct check *ck, struct container *c, const json_t *h, unsigned timeout_ms)
{
    char *shim = xasprintf("%s/fsm-local-shim", ck->l->in->bin_dir);
    const char *argv[] = {shim, "exec", NULL};
    struct proc_spec ps = PROC_SPEC_INIT;
    struct err e = {""};
    json_t *spec = spec_exec(c, json_object_get(h, "command"), false, &e);
    int fd = spec ? spec_fd(spec) : -1;

    ck->output_fd = memfd_create("fsm-local-output", MFD_CLOEXEC);
    ps.argv = argv;
    ps.fds = &fd;
    ps.n_fds = 1;
    ps.stdout_fd = ps.stderr_fd = ck->output_fd;
    ps.own_session = true;
    if (fd >= 0)
        ck->proc = proc_spawn(ck->l->procs, &ps, on_exec_end, ck, &e);
    if (ck->proc)
        timer_set(&ck->timer, timeout_ms);
    else
        answer_later(ck, false, e.text[0] ? e.text : strerror(errno));
    if (fd >= 0)
        close(fd);
    json_decref(spec);
    free(shim);
}

/* ---- sleep ----------------------------------------------------------------------------------- */

static void on_slept(void *arg)
{
    finish(arg, true);
}

static void start_sleep(struct check *ck, const json_t *h, unsigned timeout_ms)
{
    uint64_t ms = seconds_ms(h, "seconds", 0);

    timer_init(&ck->timer, ck->l->loop, on_slept, ck);
    timer_set(&ck->timer, ms < timeout_ms ? ms : timeout_ms);
}

struct check *check_start(struct fetcher *f, struct container *c, const json_t *handler,
                          unsigned timeout_ms, check_cb *cb, void *arg)
{
    struct check *ck = xcalloc(1, sizeof(*ck));
    const json_t *h;

    ck->l = c->pod->l;
    ck->cb = cb;
    ck->arg = arg;
    ck->output_fd = -1;
    ck->job.fn = answer_job;
    timer_init(&ck->timer, ck->l->loop, on_exec_timeout, ck);
    if ((h = json_object_get(handler, "httpGet")) != NULL)
        start_http(ck, f, c, h, timeout_ms);
    else if ((h = json_object_get(handler, "grpc")) != NULL)
        start_grpc(ck, f, c, h, timeout_ms);
    else if ((h = json_object_get(handler, "tcpSocket")) != NULL)
        start_tcp(ck, c, h, timeout_ms);
    else if ((h = json_object_get(handler, "exec")) != NULL)
        start_exec(ck, c, h, timeout_ms);
    else if ((h = json_object_get(handler, "sleep")) != NULL)
        start_sleep(ck, h, timeout_ms);
    else
        answer_later(ck, true, "");
    return ck;
}
