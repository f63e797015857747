/* client.c - the HTTP/1.1 client for control traffic.
 *
 * One request at a time, over one connection that is kept while the server keeps it:
 *   IDLE -> RESOLVE (names only) -> CONNECT (and TLS) -> EXCHANGE -> IDLE
 * Whatever ends a request goes through finish(), which reports it from the loop, never from
 * inside http_client_send.  A kept connection that turns out to be dead before a byte of the
 * answer came is replaced once, if the request may be sent twice (RFC 9110 9.2.2).
 */
#include "common/http/client.h"

#include <stdio.h>
#include <stdlib.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/http/h1.h"
#include "common/http/uri.h"
#include "common/io/conn.h"

#define TIMEOUT_MS  30000u
#define MAX_BODY    ((size_t)64 * 1024 * 1024)
#define READ_STEP   16384u
#define READ_TURN   16u /* steps before others have their turn */
#define ADDRS_MAX   8u
#define INTERIM_MAX 16u /* 1xx heads before the answer */

static const struct h1_limits limits = {.head_bytes = 16384,
                                        .line_bytes = 8192,
                                        .fields = 100,
                                        .ext_bytes = 256,
                                        .ext_total = 16384,
                                        .trailer_bytes = 4096,
                                        .trailers = 32};

enum state { CL_IDLE, CL_RESOLVE, CL_CONNECT, CL_EXCHANGE };

struct answer { /* being received; owned by whoever reports it in the end */
    struct http_head head;
    struct http_field fields[HTTP_FIELDS_MAX];
    char *text; /* what head points into */
    struct buf body;
    char trailer_mem[4096];
    struct http_field trailer_fields[32];
    struct h1_trailers trailers;
};

struct http_client {
    struct loop *loop;
    struct http_client_opts o;
    struct tls_ctx *tls;
    char *base, *host, *path; /* path: of a Unix socket; host without brackets */
    char *authority;          /* for Host */
    char *verify_host;
    uint16_t port;
    bool https;
    enum state state;
    struct conn *conn;
    bool reused; /* the connection served a request before */
    struct ip addrs[ADDRS_MAX];
    unsigned n_addrs, next_addr;
    uint64_t dns_id;
    struct timer timer;
    struct loop_job job; /* reports what finish() set */
    enum http_method method;
    struct buf out;
    size_t out_sent;
    struct buf in;
    struct h1_parser parser;
    struct h1_body body;
    bool in_body;
    unsigned interim;
    struct answer *answer;
    char error[512]; /* "" = the answer is good */
    http_result_cb *cb;
    void *arg;
};

static void dial(struct http_client *c);

/* ---- answers --------------------------------------------------------------------------------- */

static struct answer *answer_new(void)
{
    struct answer *a = xcalloc(1, sizeof(*a));

    a->head.fields = a->fields;
    return a;
}

static void answer_free(struct answer *a)
{
    if (!a)
        return;
    free(a->text);
    buf_free(&a->body);
    free(a);
}

static void drop_conn(struct http_client *c)
{
    conn_close(c->conn);
    c->conn = NULL;
    c->reused = false;
    buf_free(&c->in);
}

/* the request is over; the loop reports it.  error NULL: well */
static void finish(struct http_client *c, const char *error)
{
    c->error[0] = '\0';
    if (error)
        snprintf(c->error, sizeof(c->error), "%s", error);
    timer_cancel(&c->timer);
    if (c->state == CL_RESOLVE)
        dns_cancel(c->o.dns, c->dns_id);
    if (error || !c->answer->head.keep_alive || c->in.len > 0)
        drop_conn(c);
    else
        c->reused = true;
    c->state = CL_IDLE;
    loop_defer(c->loop, &c->job);
}

static void fail(struct http_client *c, const char *what, const char *why)
{
    char text[sizeof(c->error)];

    snprintf(text, sizeof(text), "%s: %s: %s", c->base, what, why);
    finish(c, text);
}

/* The user may send again or free the client from inside: everything is taken out before. */
static void report(struct loop_job *job)
{
    struct http_client *c = (struct http_client *)((char *)job - offsetof(struct http_client, job));
    struct http_result r = {0};
    struct answer *a = c->answer;
    http_result_cb *cb = c->cb;
    char error[sizeof(c->error)];

    memcpy(error, c->error, sizeof(error));
    c->answer = NULL;
    c->cb = NULL;
    if (error[0]) {
        r.error = error;
    } else {
        r.status = a->head.status;
        r.head = &a->head;
        r.body = buf_slice(&a->body);
    }
    if (cb)
        cb(&r, c->arg);
    answer_free(a);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static size_t max_body(const struct http_client *c)
{
    return c->o.max_body ? c->o.max_body : MAX_BODY;
}

static void head_done(struct http_client *c, size_t n)
{
    struct buf rest = BUF_INIT;

    buf_append(&rest, c->in.p + n, c->in.len - n);
    if (c->answer->head.status < 200) { /* not the answer yet */
        buf_free(&c->in);
        c->in = rest;
        h1_parser_init(&c->parser, &limits);
        if (++c->interim > INTERIM_MAX)
            fail(c, "bad answer", "too many interim responses");
        return;
    }
    c->answer->text = c->in.p;
    c->in = rest;
    c->in_body = true;
    h1_body_init(&c->body, &c->answer->head, &limits);
}

/* 1 progress, 0 more is needed */
static int take_head(struct http_client *c)
{
    const struct h1_asked asked = {.method = c->method};
    ssize_t n;

    if (c->in.len == 0)
        return 0;
    n = h1_parse_response(&c->parser, c->in.p, c->in.len, &asked, &c->answer->head);
    if (n < 0)
        fail(c, "bad answer", http_fault_name((int)n));
    else if (n > 0)
        head_done(c, (size_t)n);
    return n != 0;
}

static void want_trailers(struct http_client *c)
{
    struct answer *a = c->answer;

    a->trailers = (struct h1_trailers){.mem = a->trailer_mem,
                                       .size = sizeof(a->trailer_mem),
                                       .fields = a->trailer_fields,
                                       .max = 32};
    h1_body_trailers(&c->body, &a->trailers);
}

/* the rest is not waited for */
static void too_large(struct http_client *c, struct slice data)
{
    if (!c->o.cut) {
        fail(c, "bad answer", "larger than the client takes");
        return;
    }
    buf_append(&c->answer->body, data.p, max_body(c) - c->answer->body.len);
    c->answer->head.keep_alive = false;
    finish(c, NULL);
}

static int take_body(struct http_client *c)
{
    struct slice in = buf_slice(&c->in), data;
    int ev;

    while ((ev = h1_body_next(&c->body, &in, &data)) == H1_BODY_DATA || ev == H1_BODY_WANT_MEM) {
        if (ev == H1_BODY_WANT_MEM) {
            want_trailers(c);
            continue;
        }
        if (c->answer->body.len + data.n > max_body(c)) {
            too_large(c, data);
            return 1;
        }
        buf_put_slice(&c->answer->body, data);
    }
    buf_consume(&c->in, c->in.len - in.n);
    if (ev == H1_BODY_MORE)
        return 0;
    if (ev < 0)
        fail(c, "bad answer", http_fault_name(ev));
    else
        finish(c, NULL);
    return 1;
}

/* may be sent twice without harm */
static bool idempotent(enum http_method m)
{
    return m == HTTP_M_GET || m == HTTP_M_HEAD || m == HTTP_M_PUT || m == HTTP_M_DELETE ||
           m == HTTP_M_OPTIONS || m == HTTP_M_TRACE;
}

/* the connection ended (why) while an answer was due */
static void lost(struct http_client *c, const char *why)
{
    bool nothing_came = !c->in_body && c->in.len == 0 && c->interim == 0;

    if (c->in_body && h1_body_eof(&c->body) == H1_BODY_END) {
        finish(c, NULL);
        return;
    }
    if (c->reused && nothing_came && (idempotent(c->method) || c->out_sent == 0)) {
        drop_conn(c);
        c->out_sent = 0;
        c->next_addr = c->next_addr ? c->next_addr - 1 : 0; /* the one that worked */
        dial(c);
        return;
    }
    fail(c, "connection lost", why);
}

static void receive(struct http_client *c)
{
    for (unsigned i = 0; c->state == CL_EXCHANGE; i++) {
        ssize_t n;

        while (c->state == CL_EXCHANGE && (c->in_body ? take_body(c) : take_head(c)))
            ;
        if (c->state != CL_EXCHANGE)
            return;
        if (i == READ_TURN) {
            conn_wake(c->conn, CONN_EV_READ);
            return;
        }
        n = conn_read(c->conn, buf_reserve(&c->in, READ_STEP), READ_STEP);
        if (n == CONN_AGAIN)
            return;
        if (n > 0)
            c->in.len += (size_t)n;
        else
            lost(c, n == 0 ? "closed by the server" : conn_fail_name(c->conn->fail));
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

/* A server that refuses a body may answer and close before it read all: what it said counts more
 * than that our bytes did not go. */
static void transmit(struct http_client *c)
{
    while (c->state == CL_EXCHANGE && c->out_sent < c->out.len) {
        ssize_t n = conn_write(c->conn, c->out.p + c->out_sent, c->out.len - c->out_sent);

        if (n == CONN_AGAIN || n == CONN_ERROR)
            break;
        c->out_sent += (size_t)n;
    }
    receive(c);
}

static void begin_exchange(struct http_client *c)
{
    c->state = CL_EXCHANGE;
    c->out_sent = 0;
    c->interim = 0;
    c->in_body = false;
    answer_free(c->answer);
    c->answer = answer_new();
    h1_parser_init(&c->parser, &limits);
    transmit(c);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void idle_event(struct http_client *c)
{
    char byte;

    /* a server has nothing to say unasked: its end, or a fault */
    if (conn_may_read(c->conn) && conn_read(c->conn, &byte, 1) != CONN_AGAIN)
        drop_conn(c);
}

/* this address did not work: the next one, or the end */
static void connect_failed(struct http_client *c)
{
    char why[256];
    const char *tls = tls_conn_error(c->conn);

    if (c->conn->fail == CONN_FAIL_TLS && tls)
        snprintf(why, sizeof(why), "%s (%s)", conn_fail_name(c->conn->fail), tls);
    else
        snprintf(why, sizeof(why), "%s", conn_fail_name(c->conn->fail));
    drop_conn(c);
    if (c->next_addr < c->n_addrs)
        dial(c);
    else
        fail(c, "no connection", why);
}

static void start_tls(struct http_client *c)
{
    struct tls_start start = {.sni = c->verify_host, .verify_host = c->verify_host};
    struct err e = {""};
    struct ip ip;

    if (ip_parse(c->verify_host, &ip) == 0)
        start.sni = NULL; /* RFC 6066 3: names only */
    if (tls_conn_start(c->conn, c->tls, &start, &e) < 0)
        fail(c, "TLS", e.text);
}

static void opened(struct http_client *c)
{
    if (c->https && !tls_conn_info(c->conn))
        start_tls(c);
    else
        begin_exchange(c);
}

static void on_event(struct conn *conn, unsigned events, void *arg)
{
    struct http_client *c = arg;

    switch (c->state) {
    case CL_CONNECT:
        if (events & CONN_EV_FAIL)
            connect_failed(c);
        else if (events & CONN_EV_OPEN)
            opened(c);
        break;
    case CL_EXCHANGE:
        transmit(c);
        break;
    default:
        idle_event(c);
        break;
    }
}

/* to the next address, or the Unix socket */
static void dial(struct http_client *c)
{
    struct err e = {""};

    c->state = CL_CONNECT;
    if (c->path) {
        c->conn = conn_dial_unix(c->loop, c->path, on_event, c, &e);
    } else {
        struct ip_port to = {.ip = c->addrs[c->next_addr++], .port = c->port};
        struct conn_dial_opts o = {.for_anybody = c->o.for_anybody};

        c->conn = conn_dial(c->loop, &to, &o, on_event, c, &e);
    }
    if (!c->conn && c->next_addr < c->n_addrs)
        dial(c);
    else if (!c->conn)
        fail(c, "no connection", e.text);
}

static void on_resolved(uint64_t id, const struct ip *addrs, unsigned n, unsigned ttl,
                        const char *err, void *arg)
{
    struct http_client *c = arg;

    c->n_addrs = n < ADDRS_MAX ? n : ADDRS_MAX;
    c->next_addr = 0;
    if (c->n_addrs == 0) {
        c->state = CL_CONNECT; /* nothing to cancel any more */
        fail(c, "name not found", err ? err : "no address");
        return;
    }
    memcpy(c->addrs, addrs, c->n_addrs * sizeof(*addrs));
    dial(c);
}

static void go_on(struct http_client *c)
{
    if (c->conn && conn_may_read(c->conn))
        idle_event(c);
    if (c->conn) {
        begin_exchange(c);
    } else if (c->path) {
        dial(c);
    } else if (ip_parse(c->host, &c->addrs[0]) == 0) {
        c->n_addrs = 1;
        for (unsigned i = 0; i < c->o.n_also && c->n_addrs < ADDRS_MAX; i++)
            c->addrs[c->n_addrs++] = c->o.also[i];
        c->next_addr = 0;
        dial(c);
    } else {
        c->state = CL_RESOLVE;
        c->dns_id = dns_lookup(c->o.dns, c->host, on_resolved, c);
    }
}

static void on_timeout(void *arg)
{
    struct http_client *c = arg;
    static const char *const what[] = {[CL_RESOLVE] = "looking up the name",
                                       [CL_CONNECT] = "connecting",
                                       [CL_EXCHANGE] = "waiting for the answer"};

    fail(c, what[c->state], "timed out");
}

/* ---- the request ----------------------------------------------------------------------------- */

/* is a header of that name ("Host:") among the caller's? */
static bool given(const char *const *headers, const char *name)
{
    for (; headers && *headers; headers++)
        if (slice_ieq(slice_of(*headers, strnlen(*headers, strlen(name))), slice_str(name)))
            return true;
    return false;
}

static void put_request(struct http_client *c, const char *method, const char *target,
                        const char *const *headers, const char *content_type, struct slice body)
{
    buf_clear(&c->out);
    buf_printf(&c->out, "%s %s HTTP/1.1\r\n", method, target);
    if (!given(headers, "Host:"))
        buf_printf(&c->out, "Host: %s\r\n", c->authority);
    if (!given(headers, "User-Agent:"))
        buf_puts(&c->out, "User-Agent: fsm\r\n");
    if (!given(headers, "Accept:"))
        buf_puts(&c->out, "Accept: */*\r\n");
    for (; headers && *headers; headers++)
        buf_printf(&c->out, "%s\r\n", *headers);
    if (content_type)
        buf_printf(&c->out, "Content-Type: %s\r\n", content_type);
    if (body.n || c->method == HTTP_M_POST || c->method == HTTP_M_PUT || c->method == HTTP_M_PATCH)
        buf_printf(&c->out, "Content-Length: %zu\r\n", body.n);
    buf_puts(&c->out, "\r\n");
    buf_put_slice(&c->out, body);
}

static bool line_ok(const char *s)
{
    return !s || http_is_field_value(slice_str(s));
}

/* what a caller passes on (a path typed by a user) must not become a second request */
static bool sendable(const char *method, const char *target, const char *const *headers,
                     const char *content_type)
{
    for (; headers && *headers; headers++)
        if (!line_ok(*headers) || !strchr(*headers, ':'))
            return false;
    return http_is_token(slice_str(method)) && uri_is_origin_form(slice_str(target)) &&
           line_ok(content_type);
}

void http_client_send(struct http_client *c, const char *method, const char *target,
                      const char *const *headers, const char *content_type, struct slice body,
                      unsigned timeout_ms, http_result_cb *cb, void *arg)
{
    BUG_ON(c->cb);
    c->cb = cb;
    c->arg = arg;
    c->method = http_method_id(slice_str(method));
    if (!sendable(method, target, headers, content_type)) {
        fail(c, "request not sent", "its method, target or a header cannot be written");
        return;
    }
    put_request(c, method, target, headers, content_type, body);
    if (timeout_ms == 0)
        timeout_ms = c->o.timeout_ms ? c->o.timeout_ms : TIMEOUT_MS;
    timer_set(&c->timer, timeout_ms);
    go_on(c);
}

void http_client_cancel(struct http_client *c)
{
    loop_undefer(c->loop, &c->job);
    timer_cancel(&c->timer);
    if (c->state == CL_RESOLVE)
        dns_cancel(c->o.dns, c->dns_id);
    if (c->state != CL_IDLE)
        drop_conn(c);
    c->state = CL_IDLE;
    c->cb = NULL;
    answer_free(c->answer);
    c->answer = NULL;
}

/* ---- the client ------------------------------------------------------------------------------ */

/* "host:port" behind the scheme */
static int parse_authority(struct http_client *c, struct slice s, struct err *e)
{
    struct slice host;
    int port;

    if (slice_ends(s, SLICE_LIT("/")))
        s.n--;
    if (uri_authority(s, &host, &port) < 0)
        return err_set(e, "%s: expected http://HOST:PORT, https://HOST:PORT or unix:/PATH",
                       c->base);
    c->port = (uint16_t)(port > 0 ? port : c->https ? 443 : 80);
    c->authority = xstrndup(s.p, s.n);
    if (host.p[0] == '[')
        host = slice_of(host.p + 1, host.n - 2);
    c->host = xstrndup(host.p, host.n);
    return 0;
}

static int parse_base(struct http_client *c, struct err *e)
{
    struct slice s = slice_str(c->base);

    if (slice_starts(s, SLICE_LIT("unix:"))) {
        c->path = xstrdup(c->base + 5);
        c->authority = xstrdup("localhost");
        return 0;
    }
    c->https = slice_starts(s, SLICE_LIT("https://"));
    if (!c->https && !slice_starts(s, SLICE_LIT("http://")))
        return err_set(e, "%s: expected http://HOST:PORT, https://HOST:PORT or unix:/PATH",
                       c->base);
    return parse_authority(c, slice_str(c->base + (c->https ? 8 : 7)), e);
}

static int check_opts(const struct http_client *c, struct err *e)
{
    struct ip ip;

    if (c->https && !c->tls)
        return err_set(e, "%s: https needs a TLS context", c->base);
    if (c->host && !c->o.dns && ip_parse(c->host, &ip) < 0)
        return err_set(e, "%s: the host must be an address here", c->base);
    return 0;
}

struct http_client *http_client_new(struct loop *l, const char *base,
                                    const struct http_client_opts *o, struct err *e)
{
    struct http_client *c = xcalloc(1, sizeof(*c));

    c->loop = l;
    c->o = o ? *o : (struct http_client_opts){0};
    c->job.fn = report;
    timer_init(&c->timer, l, on_timeout, c);
    c->base = xstrdup(base);
    if (c->o.tls)
        c->tls = tls_ctx_ref(c->o.tls);
    if (parse_base(c, e) < 0 || check_opts(c, e) < 0) {
        http_client_free(c);
        return NULL;
    }
    if (c->https)
        c->verify_host = xstrdup(c->o.verify_host ? c->o.verify_host : c->host);
    return c;
}

void http_client_set_tls(struct http_client *c, struct tls_ctx *ctx)
{
    struct tls_ctx *old = c->tls;

    c->tls = tls_ctx_ref(ctx);
    if (old)
        tls_ctx_unref(old);
    if (c->state == CL_IDLE)
        drop_conn(c); /* the next request goes by the new rules */
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    http_client_cancel(c);
    drop_conn(c);
    if (c->tls)
        tls_ctx_unref(c->tls);
    buf_free(&c->out);
    free(c->base);
    free(c->host);
    free(c->path);
    free(c->authority);
    free(c->verify_host);
    free(c);
}

/* ---- blocking -------------------------------------------------------------------------------- */

struct fetch {
    struct loop *loop;
    struct buf *out;
    struct err *e;
    int status;
};

static void on_fetched(const struct http_result *r, void *arg)
{
    struct fetch *f = arg;

    loop_stop(f->loop);
    if (r->error) {
        err_set(f->e, "%s", r->error);
        return;
    }
    f->status = (int)r->status;
    buf_put_slice(f->out, r->body);
}

int http_fetch(const char *base, const char *method, const char *target, const char *content_type,
               struct slice body, unsigned timeout_ms, struct buf *out, struct err *e)
{
    struct fetch f = {.loop = loop_new(e), .out = out, .e = e, .status = -1};
    struct http_client_opts o = {.dns = f.loop ? dns_new(f.loop, NULL, e) : NULL};
    struct http_client *c = o.dns ? http_client_new(f.loop, base, &o, e) : NULL;

    if (c) {
        http_client_send(c, method, target, NULL, content_type, body, timeout_ms, on_fetched, &f);
        loop_run(f.loop);
    }
    http_client_free(c);
    if (o.dns)
        dns_free(o.dns);
    loop_free(f.loop);
    return f.status;
}
