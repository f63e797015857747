/* api.c - the HTTPS API of sidecars: what is asked, by whom, with what body. */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "controller/cp.h"

#define MAX_BODY (64u * 1024)
/* A sidecar has two; the pods of a node may share an address.  Above it, whoever has been without a
 * request for longest goes: waiting polls never do. */
#define SOURCE_CONNS 512
#define FIRST_MS     5000 /* for a new connection's first byte */

typedef void route_fn(struct cp *cp, struct http_req *r, const struct pki_token *t,
                      struct cp_proxy *px);

static void post_certificate(struct cp *cp, struct http_req *r, const struct pki_token *t,
                             struct cp_proxy *px)
{
    cp_cert_issue(cp, r, t, px);
}

static void get_config(struct cp *cp, struct http_req *r, const struct pki_token *t,
                       struct cp_proxy *px)
{
    cp_poll_begin(px, r);
}

static void get_roots(struct cp *cp, struct http_req *r, const struct pki_token *t,
                      struct cp_proxy *px)
{
    cp_roots(cp, r, px);
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

static void post_status(struct cp *cp, struct http_req *r, const struct pki_token *t,
                        struct cp_proxy *px)
{
    struct err e = {""};
    json_t *body = json_parse(http_req_body(r), MAX_BODY, &e);
    char was[DOCUMENT_VERSION_MAX];

    if (!json_is_object(body)) {
        cp_reply_text(cp, r, 400, "expected {\"applied\": VERSION, ...}%s%s\n",
                      e.text[0] ? ": " : "", e.text);
        json_decref(body);
        return;
    }
    copy(was, sizeof(was), px->rejected);
    copy(px->applied, sizeof(px->applied), json_str(body, "applied", ""));
    copy(px->rejected, sizeof(px->rejected), json_str(body, "rejected", ""));
    copy(px->reason, sizeof(px->reason), json_str(body, "reason", ""));
    px->cert_not_after = json_int(body, "certNotAfter", px->cert_not_after);
    if (*px->rejected && strcmp(px->rejected, was) != 0) {
        px->errors++;
        log_warn("poll",
                 "a proxy refused its document proxy=%s version=%s in_force=%s reason=\"%s\"",
                 px->key, px->rejected, px->applied, px->reason);
    }
    json_decref(body);
    cp_reply(cp, r, 204, NULL, slice_str(NULL));
}

static const struct route {
    const char *method, *path;
    route_fn *fn;
} routes[] = {
    {"POST", "/v1/certificate", post_certificate},
    {"GET", "/v1/config", get_config},
    {"GET", "/v1/roots", get_roots},
    {"POST", "/v1/status", post_status},
};
#define N_ROUTES (sizeof(routes) / sizeof(*routes))

/* NULL: answered */
static const struct route *route_of(struct cp *cp, struct http_req *r)
{
    const struct route *by_path = NULL;

    for (unsigned i = 0; i < N_ROUTES; i++) {
        if (!slice_eq_str(http_req_path(r), routes[i].path))
            continue;
        by_path = &routes[i];
        if (slice_eq_str(http_req_head(r)->method_text, routes[i].method))
            return by_path;
    }
    if (by_path) {
        http_req_header(r, "Allow", by_path->method);
        cp_reply_text(cp, r, 405, "expected %s\n", by_path->method);
    } else {
        cp_reply_text(cp, r, 404,
                      "no such path: expected /v1/certificate, /v1/config, /v1/roots or "
                      "/v1/status\n");
    }
    return NULL;
}

/* arg: the route */
static void serve(struct cp *cp, struct http_req *r, const struct pki_token *t, const void *arg)
{
    const struct route *route = arg;
    const struct mesh_pod *pod = cp_auth_pod(cp, r, t);
    struct cp_proxy *px = pod ? cp_proxy_get(cp, r, pod) : NULL;

    if (px)
        route->fn(cp, r, t, px);
}

static void on_request(struct http_req *r, void *arg)
{
    struct cp *cp = arg;
    const struct route *route;

    cp->request_began_ns = clock_mono_ns();
    if ((route = route_of(cp, r)))
        cp_auth(cp, r, serve, route);
}

static void on_pace(void *arg)
{
    cp_polls_check(arg);
}

int cp_api_start(struct cp *cp, struct err *e)
{
    struct http_server_opts o = {.max_body = MAX_BODY,
                                 .max_conns = cp->conf.max_connections,
                                 .per_source = SOURCE_CONNS,
                                 .first_ms = FIRST_MS,
                                 .name = "api"};

    cp->proxies = table_new(NULL);
    timer_init(&cp->pace_timer, cp->loop, on_pace, cp);
    cp->api = daemon_own_serve(&cp->own, cp->loop, &o, 6060, on_request, cp, e);
    return cp->api ? 0 : -1;
}
