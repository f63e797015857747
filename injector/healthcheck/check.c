/* check.c - dial the places one after the other; with gRPC, one HTTP/2 call over what opened. */
#include "injector/healthcheck/check.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/http/h2.h"
#include "common/io/conn.h"
#include "injector/healthcheck/grpc.h"

/* The kubelet waits as long as its probe says and then hangs up, which cancels; this only bounds
 * what a probe with hours of patience could hold. */
#define DEADLINE_MS 60000

struct check {
    struct check_env *env;
    unsigned next; /* place to try */
    uint16_t port;
    char *service; /* NULL = TCP */
    struct conn *conn;
    struct timer deadline;
    struct loop_job job; /* to finish outside of everybody's callbacks */
    bool ok, over;
    char text[320];
    check_done *done;
    void *arg;
    /* gRPC */
    struct h2c *h2;
    struct buf body;
    unsigned status; /* HTTP */
    int grpc_status; /* -1 = not said */
};

int check_env_init(struct check_env *env, struct loop *l, const char *pod_ips, struct err *e)
{
    struct slice rest = slice_str(pod_ips);

    *env = (struct check_env){.loop = l, .n = 2};
    ip_parse("127.0.0.1", &env->places[0]);
    ip_parse("::1", &env->places[1]);
    while (rest.p && rest.n) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        char text[IP_TEXT_MAX];

        snprintf(text, sizeof(text), "%.*s", SLICE_FMT(item));
        if (env->n == CHECK_PLACES || ip_parse(text, &env->places[env->n]) != 0)
            return err_set(e, "\"%.*s\" is not valid: expected at most %d addresses of the pod",
                           SLICE_FMT(item), CHECK_PLACES - 2);
        env->n++;
    }
    return 0;
}

void check_env_free(struct check_env *env)
{
    if (env->pool)
        h2_pool_free(env->pool);
    env->pool = NULL;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void check_free(struct check *c)
{
    c->over = true; /* what closes now has nothing to tell any more */
    timer_cancel(&c->deadline);
    loop_undefer(c->env->loop, &c->job);
    conn_close(c->conn);
    if (c->h2)
        h2_free(c->h2);
    buf_free(&c->body);
    free(c->service);
    free(c);
}

static void tell(struct loop_job *job)
{
    struct check *c = (struct check *)((char *)job - offsetof(struct check, job));
    check_done *done = c->done;
    void *arg = c->arg;
    bool ok = c->ok;
    char text[sizeof(c->text)];

    memcpy(text, c->text, sizeof(text));
    check_free(c);
    done(ok, text, arg);
}

static void finish(struct check *c, bool ok)
{
    if (c->over)
        return;
    c->over = true;
    c->ok = ok;
    loop_defer(c->env->loop, &c->job);
}

static void on_deadline(void *arg)
{
    struct check *c = arg;

    snprintf(c->text, sizeof(c->text), "no answer from port %u within %d s", c->port,
             DEADLINE_MS / 1000);
    finish(c, false);
}

/* ---- gRPC ------------------------------------------------------------------------------------ */

static void note_status(struct check *c, const struct http_field *f)
{
    unsigned long long v;

    if (f)
        c->grpc_status = slice_u64(f->value, 1000, &v) == 0 ? (int)v : 1000;
}

static void on_head(struct h2s *s, struct h2_head *hh, bool end)
{
    struct check *c = s->user;

    c->status = hh->h.status;
    note_status(c, http_find(&hh->h, HDR_GRPC_STATUS));
    h2_head_free(hh);
}

static void on_data(struct h2s *s, struct slice p, bool end)
{
    struct check *c = s->user;

    if (c->body.len + p.n > GRPC_REPLY_MAX)
        h2_reset(s, H2_CANCEL);
    else
        buf_put_slice(&c->body, p);
    h2_consume(s, p.n);
}

static void on_trailers(struct h2s *s, const struct http_field *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (f[i].id == HDR_GRPC_STATUS)
            note_status(s->user, &f[i]);
}

static void on_end(struct h2s *s)
{
}

static void on_writable(struct h2s *s)
{
}

static void on_close(struct h2s *s, enum h2_end how, uint32_t code)
{
    struct check *c = s->user;
    int serving = grpc_health_reply(buf_slice(&c->body));

    if (c->over)
        return;
    if (how != H2_END_DONE)
        snprintf(c->text, sizeof(c->text), "gRPC health check on port %u: %s (%s)", c->port,
                 h2_end_name(how), h2_code_name(code));
    else if (c->status != 200 || c->grpc_status != 0)
        snprintf(c->text, sizeof(c->text),
                 "gRPC health check on port %u: HTTP status %u, grpc-status %d%s", c->port,
                 c->status, c->grpc_status,
                 c->grpc_status == 12 ? " (the server has no grpc.health.v1.Health)" : "");
    else if (serving < 0)
        snprintf(c->text, sizeof(c->text), "gRPC health check on port %u: not a health answer",
                 c->port);
    else
        snprintf(c->text, sizeof(c->text), "gRPC health check on port %u: %s", c->port,
                 grpc_health_name(serving));
    finish(c, how == H2_END_DONE && c->status == 200 && c->grpc_status == 0 && serving == 1);
}

static const struct h2_callbacks callbacks = {.head = on_head,
                                              .data = on_data,
                                              .trailers = on_trailers,
                                              .end = on_end,
                                              .writable = on_writable,
                                              .close = on_close};

static void broken(struct check *c, const char *why)
{
    snprintf(c->text, sizeof(c->text), "gRPC health check on port %u: %s", c->port, why);
    finish(c, false);
}

static void flush(struct check *c)
{
    struct iovec iov[8];
    int n;

    while (!c->over && (n = h2_output(c->h2, iov, 8)) > 0) {
        ssize_t put = conn_writev(c->conn, iov, n);

        if (put == CONN_AGAIN)
            return;
        if (put < 0)
            broken(c, conn_fail_name(c->conn->fail));
        else
            h2_sent(c->h2, (size_t)put);
    }
}

static void take_input(struct check *c)
{
    char room[4096];
    ssize_t n;

    while (!c->over && (n = conn_read(c->conn, room, sizeof(room))) != CONN_AGAIN) {
        if (n <= 0)
            broken(c, n == 0 ? "the server closed the connection" : conn_fail_name(c->conn->fail));
        else if (h2_recv(c->h2, loop_now_ms(c->env->loop), room, (size_t)n) != 0)
            broken(c, "the server does not speak HTTP/2");
    }
}

static void send_request(struct check *c)
{
    char authority[IP_TEXT_MAX];
    struct http_field fields[] = {
        {SLICE_LIT("content-type"), SLICE_LIT("application/grpc"), HDR_CONTENT_TYPE, false},
        {SLICE_LIT("user-agent"), SLICE_LIT("fsm-healthcheck"), HDR_USER_AGENT, false}};
    struct http_head h = {.request = true,
                          .method = HTTP_M_POST,
                          .method_text = SLICE_LIT("POST"),
                          .scheme = SLICE_LIT("http"),
                          .authority = slice_str(ip_port_format(&c->conn->peer, authority)),
                          .target = SLICE_LIT(GRPC_CHECK_PATH),
                          .path = SLICE_LIT(GRPC_CHECK_PATH),
                          .te_trailers = true,
                          .fields = fields,
                          .n_fields = sizeof(fields) / sizeof(*fields)};
    struct buf message = BUF_INIT;
    struct h2s *s = h2_request(c->h2, &h, &(struct h2_emit){.end = false}, c);

    grpc_health_request(slice_str(c->service), &message);
    if (!s || h2_write(s, message.p, message.len, true) != (ssize_t)message.len)
        broken(c, "the request could not be sent");
    buf_free(&message);
}

static void begin_call(struct check *c)
{
    if (!c->env->pool)
        c->env->pool = h2_pool_new();
    c->h2 = h2_new(c->env->pool, H2_CLIENT, NULL, &callbacks, c);
    if (!c->h2) {
        broken(c, "no memory");
        return;
    }
    send_request(c);
    flush(c);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void dial_next(struct check *c);

static void on_conn(struct conn *conn, unsigned events, void *arg)
{
    struct check *c = arg;
    char text[IP_TEXT_MAX];

    if (c->over)
        return;
    if (events & CONN_EV_FAIL && !c->h2) {
        snprintf(c->text, sizeof(c->text), "Failed to establish connection to %s: %s",
                 ip_port_format(&conn->peer, text), conn_fail_name(conn->fail));
        conn_close(conn);
        c->conn = NULL;
        dial_next(c);
        return;
    }
    if (events & CONN_EV_OPEN && !c->service) {
        snprintf(c->text, sizeof(c->text), "Successfully established connection to %s",
                 ip_port_format(&conn->peer, text));
        finish(c, true);
        return;
    }
    if (events & CONN_EV_OPEN)
        begin_call(c);
    else if (c->h2 && events & CONN_EV_FAIL)
        broken(c, conn_fail_name(conn->fail));
    if (c->h2 && events & CONN_EV_READ)
        take_input(c);
    if (c->h2)
        flush(c);
}

static void dial_next(struct check *c)
{
    struct err e = {""};

    while (!c->conn && c->next < c->env->n) {
        struct ip_port at = {c->env->places[c->next++], c->port};

        c->conn = conn_dial(c->env->loop, &at, NULL, on_conn, c, &e);
        if (!c->conn)
            snprintf(c->text, sizeof(c->text), "%.300s", e.text);
    }
    if (!c->conn)
        finish(c, false);
}

struct check *check_start(struct check_env *env, uint16_t port, const char *service,
                          check_done *done, void *arg)
{
    struct check *c = xcalloc(1, sizeof(*c));

    c->env = env;
    c->port = port;
    c->service = service ? xstrdup(service) : NULL;
    c->done = done;
    c->arg = arg;
    c->grpc_status = -1;
    c->job.fn = tell;
    timer_init(&c->deadline, env->loop, on_deadline, c);
    timer_set(&c->deadline, DEADLINE_MS);
    dial_next(c);
    return c;
}

void check_cancel(struct check *c)
{
    check_free(c);
}
