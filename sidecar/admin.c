/* admin.c - see admin.h */
#include "sidecar/admin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/http/server.h"
#include "common/pki/pki.h"
#include "common/policy/document_store.h"
#include "common/proxy/lsock.h"
#include "common/proxy/view.h"
#include "common/tls/tls.h"

struct admin {
    struct loop *loop;
    struct engine *eng;
    const struct admin_ops *ops;
    void *arg;
    struct http_server *admin, *metrics;
    char *ns, *kind, *name, *pod; /* labels */
};

/* a page that waits for the workers' counters */
struct wait {
    struct admin *a;
    struct http_req *req; /* NULL: the client has gone */
    void (*print)(struct admin *a, const struct stats *s, struct buf *out);
};

static struct admin_info info_of(struct admin *a)
{
    struct admin_info i = {.version = "", .rejected = "", .reason = "", .controller = ""};

    a->ops->info(&i, a->arg);
    return i;
}

/* ---- counters -------------------------------------------------------------------------------- */

static void print_stats(struct admin *a, const struct stats *s, struct buf *out)
{
    (void)a;
    stats_print(s, out);
}

static void print_clusters(struct admin *a, const struct stats *s, struct buf *out)
{
    (void)a;
    stats_print_endpoints(s, out);
}

static void print_prometheus(struct admin *a, const struct stats *s, struct buf *out)
{
    const struct stats_source src = {.ns = a->ns, .kind = a->kind, .name = a->name, .pod = a->pod};

    prometheus_print(s, &src, out);
}

static void on_gone(struct http_req *r, void *arg)
{
    struct wait *w = arg;

    (void)r;
    w->req = NULL;
}

static void on_stats(const struct stats *s, void *arg)
{
    struct wait *w = arg;
    struct buf out = BUF_INIT;

    if (w->req) {
        w->print(w->a, s, &out);
        http_reply(w->req, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&out));
    }
    buf_free(&out);
    free(w);
}

static void page_of_stats(struct admin *a, struct http_req *r,
                          void (*print)(struct admin *, const struct stats *, struct buf *))
{
    struct wait *w = xcalloc(1, sizeof *w);

    w->a = a;
    w->req = r;
    w->print = print;
    http_req_on_gone(r, on_gone, w);
    engine_collect(a->eng, on_stats, w);
}

static void get_stats(struct admin *a, struct http_req *r)
{
    page_of_stats(a, r, print_stats);
}

static void get_clusters(struct admin *a, struct http_req *r)
{
    page_of_stats(a, r, print_clusters);
}

static void get_prometheus(struct admin *a, struct http_req *r)
{
    page_of_stats(a, r, print_prometheus);
}

/* ---- what we were told, and who we are ------------------------------------------------------- */

/* about the document, not of it: what is in force, and what was refused and why */
static json_t *status_of(struct admin *a, const struct admin_info *i)
{
    const struct view *v = engine_view(a->eng);
    json_t *s = json_object();

    json_object_set_new(s, "Generation", json_integer(v ? (json_int_t)v->generation : 0));
    json_object_set_new(s, "VersionInForce", json_string(i->version));
    json_object_set_new(s, "Rejected",
                        i->rejected[0]
                            ? json_pack("{s:s, s:s}", "Version", i->rejected, "Reason", i->reason)
                            : json_null());
    json_object_set_new(s, "ControllerError",
                        i->controller[0] ? json_string(i->controller) : json_null());
    return s;
}

static void get_config_dump(struct admin *a, struct http_req *r)
{
    struct admin_info i = info_of(a);
    json_t *status = status_of(a, &i), *none = json_pack("{s:O}", "Status", status);
    struct buf text = BUF_INIT;

    if (i.doc) {
        document_show(i.doc, status, &text);
        http_reply(r, 200, "application/json", buf_slice(&text));
        buf_free(&text);
    } else {
        http_reply_json(r, 200, none);
    }
    json_decref(none);
    json_decref(status);
}

static json_t *cert_json(const char *pem)
{
    struct pki_cert_info c;
    struct err e;
    char from[32], to[32];

    if (pki_cert_read(pem, &c, &e) < 0)
        return json_pack("{s:s}", "Error", e.text);
    clock_rfc3339(c.not_before * 1000, from);
    clock_rfc3339(c.not_after * 1000, to);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "CommonName", c.subject_cn,
                     "SubjectAltNames", c.sans, "Issuer", c.issuer_cn, "Serial", c.serial,
                     "NotBefore", from, "Expiration", to, "CertChain", pem);
}

static void get_certs(struct admin *a, struct http_req *r)
{
    struct admin_info i = info_of(a);
    json_t *j = i.chain_pem ? cert_json(i.chain_pem) : json_null();

    http_reply_json(r, 200, j);
    json_decref(j);
}

static void get_listeners(struct admin *a, struct http_req *r)
{
    const struct view *v = engine_view(a->eng);
    struct buf out = BUF_INIT;

    for (uint32_t k = 0; v && k < v->n_listeners; k++) {
        char addr[IP_TEXT_MAX];

        buf_printf(&out, "%s::%s\n", v->listeners[k].name,
                   ip_port_format(lsock_addr(v->listeners[k].sock), addr));
    }
    http_reply(r, 200, "text/plain", buf_slice(&out));
    buf_free(&out);
}

static void get_ready(struct admin *a, struct http_req *r)
{
    struct admin_info i = info_of(a);

    if (engine_draining(a->eng))
        http_reply_text(r, 503, "DRAINING\n");
    else if (i.not_ready)
        http_reply_text(r, 503, "NOT READY: %s%s%s\n", i.not_ready, i.controller[0] ? ": " : "",
                        i.controller);
    else
        http_reply_text(r, 200, "LIVE\n");
}

static void get_version(struct admin *a, struct http_req *r)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "version", fsm_version, "git_commit", fsm_commit,
                          "build_date", fsm_build_date, "tls", tls_provider());

    (void)a;
    http_reply_json(r, 200, j);
    json_decref(j);
}

/* ---- switches -------------------------------------------------------------------------------- */

static void get_logging(struct admin *a, struct http_req *r)
{
    static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
    enum log_level l = log_get_level();

    (void)a;
    http_reply_text(r, 200, "%s\n", (size_t)l < sizeof names / sizeof names[0] ? names[l] : "off");
}

static void post_logging(struct admin *a, struct http_req *r)
{
    enum log_level l;
    char text[32];

    if (!http_req_query(r, "level", text, sizeof text) || log_parse_level(text, &l) < 0) {
        http_reply_text(r, 400, "expected ?level=error|warn|info|debug|trace\n");
        return;
    }
    log_set_level(l);
    get_logging(a, r);
}

static void post_access_log(struct admin *a, struct http_req *r)
{
    static const char *const names[] = {
        [ACCESS_OFF] = "off", [ACCESS_JSON] = "json", [ACCESS_TEXT] = "text"};
    char text[32];

    if (http_req_query(r, "format", text, sizeof text))
        for (unsigned k = 0; k < sizeof names / sizeof names[0]; k++)
            if (strcmp(text, names[k]) == 0) {
                engine_access_log(a->eng, (enum access_format)k);
                http_reply_text(r, 200, "%s\n", text);
                return;
            }
    http_reply_text(r, 400, "expected ?format=json|text|off\n");
}

static void get_workers(struct admin *a, struct http_req *r)
{
    http_reply_text(r, 200, "%u\n", engine_workers(a->eng));
}

static void post_workers(struct admin *a, struct http_req *r)
{
    char text[32];
    unsigned long long n;
    struct err e;

    if (!http_req_query(r, "n", text, sizeof text) ||
        slice_u64(slice_str(text), WORKERS_MAX, &n) < 0 || n == 0) {
        http_reply_text(r, 400, "expected ?n=1 to ?n=%u\n", WORKERS_MAX);
        return;
    }
    if (engine_set_workers(a->eng, (unsigned)n, &e) < 0)
        http_reply_text(r, 503, "%s\n", e.text);
    else
        get_workers(a, r);
}

static void post_drain(struct admin *a, struct http_req *r)
{
    http_reply_text(r, 200, "DRAINING\n");
    a->ops->drain(a->arg);
}

static void post_quit(struct admin *a, struct http_req *r)
{
    http_reply_text(r, 200, "DONE\n");
    a->ops->quit(a->arg);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static const struct page {
    enum http_method method;
    const char *path;
    bool everybody; /* also on the metrics port */
    void (*serve)(struct admin *a, struct http_req *r);
} pages[] = {
    {HTTP_M_GET, "/ready", true, get_ready},
    {HTTP_M_GET, "/stats/prometheus", true, get_prometheus},
    {HTTP_M_GET, "/config_dump", false, get_config_dump},
    {HTTP_M_GET, "/certs", false, get_certs},
    {HTTP_M_GET, "/listeners", false, get_listeners},
    {HTTP_M_GET, "/clusters", false, get_clusters},
    {HTTP_M_GET, "/stats", false, get_stats},
    {HTTP_M_GET, "/version", false, get_version},
    {HTTP_M_GET, "/logging", false, get_logging},
    {HTTP_M_POST, "/logging", false, post_logging},
    {HTTP_M_POST, "/access_log", false, post_access_log},
    {HTTP_M_GET, "/workers", false, get_workers},
    {HTTP_M_POST, "/workers", false, post_workers},
    {HTTP_M_POST, "/drain", false, post_drain},
    {HTTP_M_POST, "/quitquitquit", false, post_quit},
};

static void route(struct admin *a, struct http_req *r, bool everybody)
{
    struct slice path = http_req_path(r);
    enum http_method m = http_req_head(r)->method;
    bool known = false;

    for (size_t k = 0; k < sizeof pages / sizeof pages[0]; k++) {
        const struct page *p = &pages[k];

        if (!slice_eq_str(path, p->path) || (everybody && !p->everybody))
            continue;
        if (p->method == m) {
            p->serve(a, r);
            return;
        }
        known = true;
    }
    http_reply_text(r, known ? 405 : 404, known ? "Method not allowed\n" : "Not Found\n");
}

static void on_admin(struct http_req *r, void *arg)
{
    route(arg, r, false);
}

static void on_metrics(struct http_req *r, void *arg)
{
    route(arg, r, true);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int serve(struct admin *a, struct http_server **out, int fd, http_req_cb *cb, struct err *e)
{
    struct http_server_opts o = {.name = "admin", .modest = true};

    if (fd < 0)
        return 0;
    *out = http_server_new(a->loop, fd, &o, cb, a, e);
    return *out ? 0 : -1;
}

struct admin *admin_new(struct loop *l, struct engine *eng, int admin_fd, int metrics_fd,
                        const struct admin_ops *ops, void *arg, struct err *e)
{
    static const struct stats_source nobody = {"", "", "", ""};
    struct admin *a = xcalloc(1, sizeof *a);

    a->loop = l;
    a->eng = eng;
    a->ops = ops;
    a->arg = arg;
    admin_set_source(a, &nobody);
    if (serve(a, &a->admin, admin_fd, on_admin, e) < 0 ||
        serve(a, &a->metrics, metrics_fd, on_metrics, e) < 0) {
        admin_free(a);
        return NULL;
    }
    return a;
}

static void free_labels(struct admin *a)
{
    free(a->ns);
    free(a->kind);
    free(a->name);
    free(a->pod);
}

void admin_set_source(struct admin *a, const struct stats_source *src)
{
    free_labels(a);
    a->ns = xstrdup(src->ns);
    a->kind = xstrdup(src->kind);
    a->name = xstrdup(src->name);
    a->pod = xstrdup(src->pod);
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    http_server_free(a->admin);
    http_server_free(a->metrics);
    free_labels(a);
    free(a);
}
