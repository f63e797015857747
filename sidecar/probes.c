/* probes.c - the kubelet's HTTP checks, passed on to the application (probes.h). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/http/client.h"
#include "common/http/server.h"
#include "common/io/listener.h"
#include "common/pki/pki.h"
#include "sidecar/probes.h"

#define SUB        "probes"
#define FIRST_PORT 15901
#define PORTS      3
/* the ports are open to everybody: nobody may keep the kubelet out */
#define MAX_CONNS      256
#define MAX_PER_SOURCE 64
#define FIRST_MS       2000
#define TIMEOUT_MS     60000       /* the kubelet gives up earlier, by the probe's own time-out */
#define MAX_ANSWER     (10 * 1024) /* what the kubelet reads of it */
#define MAX_REDIRECTS  10          /* as the kubelet follows */
#define MAX_HEADERS    64

/* one of the ports */
struct port {
    struct probes *probes;
    struct http_server *server;
    struct table *allowed; /* check_key -> json_t: the headers that the manifest gives it */
};

struct probes {
    struct loop *loop;
    struct port ports[PORTS];
    bool told;      /* there was a document */
    char *pod_ip;   /* as in a Host header; NULL = not known */
    char *hook_key; /* SHA-256, or NULL = no hook is served */
};

/* one check under way */
struct check {
    struct loop *loop;
    struct http_req *req; /* NULL: the kubelet has gone away */
    struct http_client *client;
    char *headers[MAX_HEADERS + 4]; /* NULL-terminated */
    char *host;                     /* of them; where a redirection may lead */
    unsigned redirects;
    struct loop_job job;
};

/* ---- what may be asked ------------------------------------------------------------------------
 */

static const char *header_value(const json_t *headers, const char *name)
{
    const json_t *h;
    size_t i;

    json_array_foreach (headers, i, h)
        if (slice_ieq(slice_str(json_str(h, "name", "")), slice_str(name)))
            return json_str(h, "value", "");
    return NULL;
}

static char *check_key(bool hook, struct slice port, struct slice path)
{
    return xasprintf("%s %.*s %.*s", hook ? "hook" : "check", SLICE_FMT(port), SLICE_FMT(path));
}

static void decref(void *json)
{
    json_decref(json);
}

static void allow_list(struct table *t, const json_t *list)
{
    const json_t *probe;
    size_t i;

    json_array_foreach (list, i, probe) {
        json_t *headers = json_at(probe, "httpGet.httpHeaders");
        const char *port = header_value(headers, "Original-Http-Port");
        const char *path = header_value(headers, "Original-Http-Path");
        bool hook = header_value(headers, "Original-Hook-Key") != NULL;

        if (port) {
            char *key = check_key(hook, slice_str(port), slice_str(path ? path : "/"));

            table_put_str(t, key, json_incref(headers));
            free(key);
        }
    }
}

static void set_pod_ip(struct probes *p, const char *text)
{
    struct ip ip;

    free(p->pod_ip);
    p->pod_ip = NULL;
    if (text && ip_parse(text, &ip) == 0)
        p->pod_ip = xasprintf(ip.family == 6 ? "[%s]" : "%s", text);
}

void probes_allow(struct probes *p, const json_t *document)
{
    /* in the order of the ports */
    static const char *const kinds[PORTS] = {"LivenessProbes", "ReadinessProbes", "StartupProbes"};
    const json_t *probes = json_at(document, "Spec.Probes");
    const json_t *ips = json_at(document, "Proxy.PodIPs");

    p->told = true;
    set_pod_ip(p, json_string_value(json_array_get(ips, 0)));
    for (unsigned i = 0; i < PORTS; i++) {
        table_free(p->ports[i].allowed);
        p->ports[i].allowed = table_new(decref);
        allow_list(p->ports[i].allowed, json_object_get(probes, kinds[i]));
    }
}

/* Whoever calls a hook must hold the pod's key; compared so that its time says nothing. */
static bool has_hook_key(const struct probes *p, const struct http_field *given)
{
    char *key = xasprintf("%.*s", SLICE_FMT(given->value)), hash[PKI_SHA256_TEXT];
    unsigned char differs = 0;

    pki_sha256_text(key, hash);
    free(key);
    if (!p->hook_key || strlen(p->hook_key) != strlen(hash))
        return false;
    for (size_t i = 0; hash[i]; i++)
        differs |= (unsigned char)(hash[i] ^ p->hook_key[i]);
    return differs == 0;
}

/* ---- one check --------------------------------------------------------------------------------
 */

static void check_free(struct loop_job *job)
{
    struct check *c = (struct check *)((char *)job - offsetof(struct check, job));

    http_client_free(c->client);
    for (unsigned i = 0; c->headers[i]; i++)
        free(c->headers[i]);
    free(c->host);
    free(c);
}

static void on_gone(struct http_req *r, void *arg)
{
    struct check *c = arg;

    c->req = NULL;
    http_client_cancel(c->client);
    loop_defer(c->loop, &c->job);
}

static void on_answer(const struct http_result *r, void *arg);

static void ask(struct check *c, const char *target)
{
    http_client_send(c->client, "GET", target, (const char *const *)c->headers, NULL, slice_str(""),
                     0, on_answer, c);
}

/* Where a redirection leads on the same host, as the kubelet would follow it: "/live/", or
 * "http://HOST/live/" with the Host that was asked.  NULL = elsewhere: then it counts as passed. */
static const char *same_host(const struct check *c, const char *location)
{
    size_t n = strlen(c->host);

    if (strncmp(location, "http://", 7) == 0 && strncmp(location + 7, c->host, n) == 0)
        location += 7 + n;
    return location[0] == '/' && location[1] != '/' ? location : NULL;
}

static bool follow(struct check *c, const struct http_result *r)
{
    const struct http_field *f = http_find_name(r->head, SLICE_LIT("location"));
    bool moved = (r->status >= 301 && r->status <= 303) || r->status == 307 || r->status == 308;
    char *location;
    const char *target;

    if (!moved || !f)
        return false;
    location = xasprintf("%.*s", SLICE_FMT(f->value));
    target = same_host(c, location);
    if (target && ++c->redirects <= MAX_REDIRECTS)
        ask(c, target);
    else
        target = NULL;
    free(location);
    return target != NULL;
}

static void on_answer(const struct http_result *r, void *arg)
{
    struct check *c = arg;
    const struct http_field *type;

    if (r->status == 0) {
        http_reply_text(c->req, 503, "the application does not answer: %s\n", r->error);
    } else if (follow(c, r)) {
        return;
    } else if (c->redirects > MAX_REDIRECTS) {
        http_reply_text(c->req, 503, "the application redirects in circles\n");
    } else {
        char text[128] = "text/plain";

        type = http_find(r->head, HDR_CONTENT_TYPE);
        if (type && type->value.n < sizeof(text))
            snprintf(text, sizeof(text), "%.*s", SLICE_FMT(type->value));
        http_reply(c->req, r->status, text, r->body);
    }
    c->req = NULL;
    loop_defer(c->loop, &c->job);
}

/* the kubelet's name, which applications look for; nothing else of the request goes further */
static bool is_kubelet(const struct http_field *agent)
{
    return agent && (slice_starts(agent->value, SLICE_LIT("kube-probe/")) ||
                     slice_starts(agent->value, SLICE_LIT("kube-lifecycle/")));
}

/* What the kubelet would have sent to the application: the manifest's headers, its own name, and
 * the pod's address for a host. */
static void make_headers(struct check *c, const struct probes *p, const json_t *manifest,
                         struct slice port, const struct http_field *agent)
{
    const json_t *h;
    size_t i;
    unsigned n = 0;

    if (is_kubelet(agent) && !header_value(manifest, "User-Agent"))
        c->headers[n++] = xasprintf("User-Agent: %.*s", SLICE_FMT(agent->value));
    if (!header_value(manifest, "Accept"))
        c->headers[n++] = xasprintf("Accept: */*");
    if (header_value(manifest, "Host"))
        c->host = xstrdup(header_value(manifest, "Host"));
    else
        c->host = xasprintf("%s:%.*s", p->pod_ip ? p->pod_ip : "127.0.0.1", SLICE_FMT(port));
    if (!header_value(manifest, "Host"))
        c->headers[n++] = xasprintf("Host: %s", c->host);
    json_array_foreach (manifest, i, h) {
        const char *name = json_str(h, "name", "");

        if (i < MAX_HEADERS && strncasecmp(name, "original-", 9) != 0)
            c->headers[n++] = xasprintf("%s: %s", name, json_str(h, "value", ""));
    }
}

/* headers: of the manifest.  The application may listen on either loopback address. */
static void check_begin(struct probes *p, struct http_req *req, const json_t *manifest,
                        struct slice port, struct slice path)
{
    static const struct ip loopback6 = {.family = 6, .b = {[15] = 1}};
    struct http_client_opts o = {.timeout_ms = TIMEOUT_MS,
                                 .max_body = MAX_ANSWER,
                                 .cut = true,
                                 .also = &loopback6,
                                 .n_also = 1,
                                 .for_anybody = true};
    const struct http_field *agent = http_find_name(http_req_head(req), SLICE_LIT("user-agent"));
    char *base = xasprintf("http://127.0.0.1:%.*s", SLICE_FMT(port));
    char *target = xasprintf("%.*s", SLICE_FMT(path));
    struct err e = {""};
    struct check *c = xcalloc(1, sizeof(*c));

    c->loop = p->loop;
    c->req = req;
    c->job.fn = check_free;
    c->client = http_client_new(p->loop, base, &o, &e);
    if (!c->client) {
        http_reply_text(req, 500, "%s\n", e.text);
        free(c);
    } else {
        make_headers(c, p, manifest, port, agent);
        http_req_on_gone(req, on_gone, c);
        ask(c, target);
    }
    free(base);
    free(target);
}

/* Before the first document nobody knows what may be asked.  An application that is alive must not
 * be killed for that: liveness passes.  It is not ready, though; and a hook that shows the pod's
 * key is one of the pod. */
static void answer_early(struct port *at, struct http_req *req, const struct http_field *port,
                         const struct http_field *path, const struct http_field *hook)
{
    if (hook && has_hook_key(at->probes, hook))
        check_begin(at->probes, req, NULL, port->value, path ? path->value : slice_str("/"));
    else if (!hook && at == &at->probes->ports[0])
        http_reply_text(req, 200, "no document yet: taken for alive\n");
    else
        http_reply_text(req, 503, "no document yet\n");
}

static void on_request(struct http_req *req, void *arg)
{
    struct port *at = arg;
    const struct http_head *h = http_req_head(req);
    const struct http_field *port = http_find_name(h, SLICE_LIT("original-http-port"));
    const struct http_field *path = http_find_name(h, SLICE_LIT("original-http-path"));
    const struct http_field *hook = http_find_name(h, SLICE_LIT("original-hook-key"));
    const json_t *manifest;
    char *key;

    if (!port || h->method != HTTP_M_GET) {
        http_reply_text(req, 400, "expected GET with the header Original-Http-Port\n");
        return;
    }
    if (!at->probes->told) {
        answer_early(at, req, port, path, hook);
        return;
    }
    key = check_key(hook != NULL, port->value, path ? path->value : slice_str("/"));
    manifest = table_get_str(at->allowed, key);
    free(key);
    if (!manifest)
        http_reply_text(req, 403, "no %s of this pod's manifest asks for that here\n",
                        hook ? "hook" : "probe");
    else if (hook && !has_hook_key(at->probes, hook))
        http_reply_text(req, 403, "that is not this pod's key\n");
    else
        check_begin(at->probes, req, manifest, port->value, path ? path->value : slice_str("/"));
}

/* ---- life -------------------------------------------------------------------------------------
 */

static int serve(struct port *at, uint16_t port, struct err *e)
{
    struct http_server_opts o = {.max_conns = MAX_CONNS,
                                 .per_source = MAX_PER_SOURCE,
                                 .first_ms = FIRST_MS,
                                 .name = SUB,
                                 .modest = true};
    struct ip_port any = {.ip = {.family = 6}, .port = port};
    int fd = listener_bind(&any, LISTEN_DUAL, 64, e);

    if (fd < 0)
        return -1;
    at->server = http_server_new(at->probes->loop, fd, &o, on_request, at, e);
    return at->server ? 0 : -1;
}

struct probes *probes_new(struct loop *l, const char *hook_key, struct err *e)
{
    struct probes *p = xcalloc(1, sizeof(*p));

    p->loop = l;
    p->hook_key = hook_key ? xstrdup(hook_key) : NULL;
    for (unsigned i = 0; i < PORTS; i++) {
        struct port *at = &p->ports[i];

        at->probes = p;
        at->allowed = table_new(decref);
        if (serve(at, (uint16_t)(FIRST_PORT + i), e) < 0) {
            probes_free(p);
            return NULL;
        }
    }
    return p;
}

void probes_free(struct probes *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < PORTS; i++) {
        http_server_free(p->ports[i].server);
        table_free(p->ports[i].allowed);
    }
    free(p->pod_ip);
    free(p->hook_key);
    free(p);
}
