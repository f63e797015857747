/* admin.c - pages, found by path; those that every daemon has come first. */
#include "common/daemon/admin.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/io/listener.h"

#define BACKLOG 64
#define UNIX    "unix:"

struct daemon_admin {
    struct daemon_admin_conf conf;
    struct http_server *server;
};

static bool is_unix(const char *where)
{
    return strncmp(where, UNIX, sizeof(UNIX) - 1) == 0;
}

/* ---- the pages of every daemon --------------------------------------------------------------- */

static void answered(const struct daemon_admin *a, const struct http_req *r, unsigned status)
{
    if (a->conf.answered)
        a->conf.answered(r, status, a->conf.self);
}

static void reply(const struct daemon_admin *a, struct http_req *r, unsigned status,
                  const char *text)
{
    answered(a, r, status);
    http_reply_text(r, status, "%s\n", text);
}

/* takes text */
static void reply_buf(const struct daemon_admin *a, struct http_req *r, const char *type,
                      struct buf *text)
{
    answered(a, r, 200);
    http_reply(r, 200, type, buf_slice(text));
    buf_free(text);
}

static void health_ready(struct http_req *r, void *self)
{
    const struct daemon_admin *a = self;

    if (a->conf.is_ready(a->conf.self)) {
        reply(a, r, 200, "Service is ready");
        return;
    }
    answered(a, r, 503);
    http_reply_text(r, 503, "Readiness probe for %s indicates it is not ready\n", a->conf.name);
}

static void health_alive(struct http_req *r, void *self)
{
    reply(self, r, 200, "Service is alive");
}

static void healthz(struct http_req *r, void *self)
{
    reply(self, r, 200, "Health OK");
}

static void metrics(struct http_req *r, void *self)
{
    const struct daemon_admin *a = self;
    struct buf out = BUF_INIT;

    a->conf.metrics(&out, a->conf.self);
    reply_buf(a, r, "text/plain; version=0.0.4; charset=utf-8", &out);
}

static void version(struct http_req *r, void *self)
{
    json_t *body = json_pack("{s:s,s:s,s:s}", "version", fsm_version, "git_commit", fsm_commit,
                             "build_date", fsm_build_date);

    answered(self, r, 200);
    http_reply_json(r, 200, body);
    json_decref(body);
}

static void list(struct http_req *r, void *self);

static const struct daemon_page every[] = {
    {"GET", "/", list, "this list"},
    {"GET", "/health/ready", health_ready, NULL},
    {"GET", "/health/alive", health_alive, "200 while the process runs"},
    {"GET", "/healthz", healthz, "the same"},
    {"GET", "/metrics", metrics, "Prometheus text"},
    {"GET", "/version", version, "what this build is"},
    {NULL},
};

static void put_pages(const struct daemon_admin *a, const struct daemon_page *p, struct buf *out)
{
    for (; p->method; p++)
        buf_printf(out, "%-4s %-16s %s%s\n", p->method, p->path, p->what ? p->what : a->conf.ready,
                   p->local ? " (for this machine only)" : "");
}

static void list(struct http_req *r, void *self)
{
    const struct daemon_admin *a = self;
    struct buf out = BUF_INIT;

    put_pages(a, every, &out);
    put_pages(a, a->conf.pages, &out);
    reply_buf(a, r, "text/plain; charset=utf-8", &out);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* from this machine: a loopback address or a Unix socket */
static bool is_local(const struct http_req *r)
{
    const struct ip_port *peer = http_req_peer(r);

    return !peer || peer->ip.family == 0 || ip_is_loopback(&peer->ip);
}

static bool is_read(const struct daemon_page *page)
{
    return strcmp(page->method, "GET") == 0;
}

static bool method_fits(const struct daemon_page *page, const struct http_req *r)
{
    enum http_method m = http_req_head(r)->method;

    return is_read(page) ? m == HTTP_M_GET || m == HTTP_M_HEAD : m == HTTP_M_POST;
}

static const struct daemon_page *find(const struct daemon_page *p, const struct http_req *r)
{
    while (p->method && !slice_eq_str(http_req_path(r), p->path))
        p++;
    return p->method ? p : NULL;
}

static void serve(struct daemon_admin *a, const struct daemon_page *page, struct http_req *r,
                  void *self)
{
    if (!method_fits(page, r)) {
        http_req_header(r, "Allow", page->method);
        reply(a, r, 405, is_read(page) ? "expected GET" : "expected POST");
    } else if ((!is_read(page) || page->local) && !is_local(r)) {
        reply(a, r, 403,
              is_read(page)
                  ? "this page is for this machine only: 'kubectl port-forward' leads to it"
                  : "commands are taken from this machine only");
    } else {
        page->fn(r, self);
    }
}

static void on_request(struct http_req *r, void *arg)
{
    struct daemon_admin *a = arg;
    const struct daemon_page *page;

    if (a->conf.begun)
        a->conf.begun(r, a->conf.self);
    if ((page = find(every, r)))
        serve(a, page, r, a);
    else if ((page = find(a->conf.pages, r)))
        serve(a, page, r, a->conf.self);
    else
        reply(a, r, 404, "no such page: see /");
}

/* ---- the server ------------------------------------------------------------------------------ */

static int bind_admin(const char *where, struct err *e)
{
    struct ip_port at;

    if (is_unix(where))
        return listener_bind_unix(where + sizeof(UNIX) - 1, 0600, e);
    if (ip_port_parse(where, &at) < 0)
        return err_set(e, "%s: expected ADDRESS:PORT or unix:/path", where);
    return listener_bind(&at, 0, BACKLOG, e);
}

struct daemon_admin *daemon_admin_start(struct loop *l, const struct daemon_admin_conf *conf,
                                        struct err *e)
{
    struct http_server_opts o = {.name = "admin"};
    int fd = bind_admin(conf->where, e);
    struct daemon_admin *a;

    if (fd < 0) {
        err_prefix(e, "--admin");
        return NULL;
    }
    a = xcalloc(1, sizeof(*a));
    a->conf = *conf;
    a->server = http_server_new(l, fd, &o, on_request, a, e);
    if (a->server)
        return a;
    free(a);
    return NULL;
}

void daemon_admin_stop(struct daemon_admin *a)
{
    if (!a)
        return;
    http_server_free(a->server);
    if (is_unix(a->conf.where))
        unlink(a->conf.where + sizeof(UNIX) - 1);
    free(a);
}
