/* admin.c - the plain HTTP port: health, metrics, what the controller knows, root rotation.
 *
 * Reading is for everybody who can reach it; commands are taken from this machine only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/version.h"
#include "common/io/listener.h"
#include "controller/cp.h"

#define BACKLOG 64

typedef void admin_fn(struct cp *cp, struct http_req *r);

static void health_ready(struct cp *cp, struct http_req *r)
{
    if (cp->synced && !cp->draining)
        cp_reply_text(cp, r, 200, "Service is ready\n");
    else
        cp_reply_text(cp, r, 503, "Readiness probe for fsm-controller indicates it is not ready\n");
}

static void health_alive(struct cp *cp, struct http_req *r)
{
    cp_reply_text(cp, r, 200, "Service is alive\n");
}

static void healthz(struct cp *cp, struct http_req *r)
{
    cp_reply_text(cp, r, 200, "Health OK\n");
}

static void metrics(struct cp *cp, struct http_req *r)
{
    struct buf out = BUF_INIT;

    cp_metrics_print(cp, &out);
    cp_reply(cp, r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    buf_free(&out);
}

/* takes body */
static void reply(struct cp *cp, struct http_req *r, json_t *body)
{
    cp_reply_json(cp, r, 200, body);
    json_decref(body);
}

static void version(struct cp *cp, struct http_req *r)
{
    reply(cp, r,
          json_pack("{s:s,s:s,s:s}", "version", fsm_version, "git_commit", fsm_commit, "build_date",
                    fsm_build_date));
}

static void problems(struct cp *cp, struct http_req *r)
{
    reply(cp, r, cp_problems(cp));
}

static void proxies(struct cp *cp, struct http_req *r)
{
    reply(cp, r, cp_proxies_json(cp));
}

static void ca_state(struct cp *cp, struct http_req *r)
{
    reply(cp, r, cp_ca_json(cp));
}

static void debug_document(struct cp *cp, struct http_req *r)
{
    struct err e = {""};
    char pod[512];
    json_t *doc;

    if (!http_req_query(r, "pod", pod, sizeof(pod))) {
        cp_reply_text(cp, r, 400, "expected /debug/document?pod=NAMESPACE/POD\n");
        return;
    }
    doc = cp_document(cp, pod, &e);
    if (doc)
        reply(cp, r, doc);
    else
        cp_reply_text(cp, r, 404, "%s\n", e.text);
}

static void ca_prepare(struct cp *cp, struct http_req *r)
{
    cp_ca_command(cp, r, CP_CA_PREPARE);
}

static void ca_promote(struct cp *cp, struct http_req *r)
{
    cp_ca_command(cp, r, CP_CA_PROMOTE);
}

static void ca_retire(struct cp *cp, struct http_req *r)
{
    cp_ca_command(cp, r, CP_CA_RETIRE);
}

static void list(struct cp *cp, struct http_req *r);

static const struct page {
    const char *method, *path;
    admin_fn *fn;
    const char *what;
} pages[] = {
    {"GET", "/", list, "this list"},
    {"GET", "/health/ready", health_ready, "200 when resources are read and proxies are served"},
    {"GET", "/health/alive", health_alive, "200 while the process runs"},
    {"GET", "/healthz", healthz, "the same"},
    {"GET", "/metrics", metrics, "Prometheus text"},
    {"GET", "/version", version, "what this build is"},
    {"GET", "/problems", problems, "what the resources get wrong, and what the mesh ignores"},
    {"GET", "/proxies", proxies, "each proxy: versions, lag, certificate"},
    {"GET", "/debug/document", debug_document, "?pod=NS/POD: the document that it should have"},
    {"GET", "/ca", ca_state, "who trusts what"},
    {"POST", "/ca/prepare", ca_prepare, "make the next root and distribute it"},
    {"POST", "/ca/promote", ca_promote, "sign with it"},
    {"POST", "/ca/retire", ca_retire, "stop trusting the old one"},
};
#define N_PAGES (sizeof(pages) / sizeof(*pages))

static void list(struct cp *cp, struct http_req *r)
{
    struct buf out = BUF_INIT;

    for (unsigned i = 0; i < N_PAGES; i++)
        buf_printf(&out, "%-4s %-16s %s\n", pages[i].method, pages[i].path, pages[i].what);
    cp_reply(cp, r, 200, "text/plain; charset=utf-8", buf_slice(&out));
    buf_free(&out);
}

/* from this machine: a loopback address or a Unix socket */
static bool is_local(const struct http_req *r)
{
    const struct ip_port *peer = http_req_peer(r);

    return !peer || peer->ip.family == 0 || ip_is_loopback(&peer->ip);
}

static bool is_read(const struct page *page)
{
    return strcmp(page->method, "GET") == 0;
}

static bool method_fits(const struct page *page, const struct http_req *r)
{
    enum http_method m = http_req_head(r)->method;

    return is_read(page) ? m == HTTP_M_GET || m == HTTP_M_HEAD : m == HTTP_M_POST;
}

static void on_request(struct http_req *r, void *arg)
{
    struct cp *cp = arg;

    cp->request_began_ns = clock_mono_ns();
    for (unsigned i = 0; i < N_PAGES; i++) {
        if (!slice_eq_str(http_req_path(r), pages[i].path))
            continue;
        if (!method_fits(&pages[i], r)) {
            http_req_header(r, "Allow", pages[i].method);
            cp_reply_text(cp, r, 405, "expected %s\n", pages[i].method);
        } else if (!is_read(&pages[i]) && !is_local(r)) {
            cp_reply_text(cp, r, 403, "commands are taken from this machine only\n");
        } else {
            pages[i].fn(cp, r);
        }
        return;
    }
    cp_reply_text(cp, r, 404, "no such page: see /\n");
}

static int bind_admin(const char *where, struct err *e)
{
    struct ip_port at;

    if (strncmp(where, "unix:", 5) == 0)
        return listener_bind_unix(where + 5, 0600, e);
    if (ip_port_parse(where, &at) < 0)
        return err_set(e, "%s: expected ADDRESS:PORT or unix:/path", where);
    return listener_bind(&at, 0, BACKLOG, e);
}

void cp_admin_stop(struct cp *cp)
{
    if (!cp->admin)
        return;
    http_server_free(cp->admin);
    if (strncmp(cp->conf.admin, "unix:", 5) == 0)
        unlink(cp->conf.admin + 5);
}

int cp_admin_start(struct cp *cp, struct err *e)
{
    struct http_server_opts o = {.name = "admin"};
    int fd = bind_admin(cp->conf.admin, e);

    if (fd < 0)
        return err_prefix(e, "--admin");
    cp->admin = http_server_new(cp->loop, fd, &o, on_request, cp, e);
    return cp->admin ? 0 : -1;
}
