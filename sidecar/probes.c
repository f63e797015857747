/* probes.c - the kubelet's HTTP checks, passed on to the application (probes.h). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/http/client.h"
#include "common/http/server.h"
#include "common/io/listener.h"
#include "sidecar/probes.h"

#define SUB         "probes"
#define FIRST_PORT  15901
#define PORTS       3
#define MAX_CONNS   64
#define TIMEOUT_MS  60000         /* the kubelet gives up earlier, by the probe's own time-out */
#define MAX_ANSWER  (1024 * 1024) /* the kubelet reads 10 KiB of it */
#define MAX_HEADERS 32

struct probes {
    struct loop *loop;
    struct http_server *servers[PORTS];
    struct table *allowed; /* "port path" */
};

/* one check under way */
struct check {
    struct loop *loop;
    struct http_req *req; /* NULL: the kubelet has gone away */
    struct http_client *client;
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

static char *check_key(struct slice port, struct slice path)
{
    return xasprintf("%.*s %.*s", SLICE_FMT(port), SLICE_FMT(path));
}

static void allow_list(struct table *t, const json_t *list)
{
    const json_t *probe;
    size_t i;

    json_array_foreach (list, i, probe) {
        const json_t *headers = json_at(probe, "httpGet.httpHeaders");
        const char *port = header_value(headers, "Original-Http-Port");
        const char *path = header_value(headers, "Original-Http-Path");

        if (port) {
            char *key = check_key(slice_str(port), slice_str(path ? path : "/"));

            table_put_str(t, key, t);
            free(key);
        }
    }
}

void probes_allow(struct probes *p, const json_t *document)
{
    const char *const kinds[] = {"LivenessProbes", "ReadinessProbes", "StartupProbes"};
    const json_t *probes = json_at(document, "Spec.Probes");

    table_free(p->allowed);
    p->allowed = table_new(NULL);
    for (unsigned i = 0; i < PORTS; i++)
        allow_list(p->allowed, json_object_get(probes, kinds[i]));
}

/* ---- one check --------------------------------------------------------------------------------
 */

static void check_free(struct loop_job *job)
{
    struct check *c = (struct check *)((char *)job - offsetof(struct check, job));

    http_client_free(c->client);
    free(c);
}

static void on_gone(struct http_req *r, void *arg)
{
    struct check *c = arg;

    c->req = NULL;
    http_client_cancel(c->client);
    loop_defer(c->loop, &c->job);
}

static void on_answer(const struct http_result *r, void *arg)
{
    struct check *c = arg;
    const struct http_field *type;

    if (r->status == 0) {
        http_reply_text(c->req, 503, "the application does not answer: %s\n", r->error);
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

static bool is_ours(const struct http_field *f)
{
    static const struct slice prefix = SLICE_LIT("original-");

    return f->id == HDR_CONNECTION || f->id == HDR_CONTENT_LENGTH ||
           f->id == HDR_TRANSFER_ENCODING || f->id == HDR_UPGRADE ||
           (f->name.n > prefix.n && slice_ieq(slice_of(f->name.p, prefix.n), prefix));
}

/* The kubelet's own headers go along, the probe's Host too.  Fills out (NULL-terminated, to be
 * freed) and returns their number. */
static unsigned pass_headers(const struct http_head *h, char **out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < h->n_fields && n < MAX_HEADERS; i++)
        if (!is_ours(&h->fields[i]))
            out[n++] = xasprintf("%.*s: %.*s", SLICE_FMT(h->fields[i].name),
                                 SLICE_FMT(h->fields[i].value));
    out[n] = NULL;
    return n;
}

static void check_begin(struct probes *p, struct http_req *req, struct slice port,
                        struct slice path)
{
    struct http_client_opts o = {.timeout_ms = TIMEOUT_MS, .max_body = MAX_ANSWER};
    char *base = xasprintf("http://127.0.0.1:%.*s", SLICE_FMT(port));
    char *target = xasprintf("%.*s", SLICE_FMT(path));
    char *headers[MAX_HEADERS + 1];
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
        unsigned n = pass_headers(http_req_head(req), headers);

        http_req_on_gone(req, on_gone, c);
        http_client_send(c->client, "GET", target, (const char *const *)headers, NULL,
                         slice_str(""), 0, on_answer, c);
        while (n > 0)
            free(headers[--n]);
    }
    free(base);
    free(target);
}

static void on_request(struct http_req *req, void *arg)
{
    struct probes *p = arg;
    const struct http_head *h = http_req_head(req);
    const struct http_field *port = http_find_name(h, SLICE_LIT("original-http-port"));
    const struct http_field *path = http_find_name(h, SLICE_LIT("original-http-path"));
    char *key;
    bool ok;

    if (!port || h->method != HTTP_M_GET) {
        http_reply_text(req, 400, "expected GET with the header Original-Http-Port\n");
        return;
    }
    key = check_key(port->value, path ? path->value : slice_str("/"));
    ok = table_get_str(p->allowed, key) != NULL;
    free(key);
    if (!ok)
        http_reply_text(req, 403, "no probe of this pod's manifest asks for that\n");
    else
        check_begin(p, req, port->value, path ? path->value : slice_str("/"));
}

/* ---- life -------------------------------------------------------------------------------------
 */

static struct http_server *serve(struct probes *p, uint16_t port, struct err *e)
{
    struct http_server_opts o = {.max_conns = MAX_CONNS, .name = SUB};
    struct ip_port any = {.ip = {.family = 6}, .port = port};
    int fd = listener_bind(&any, LISTEN_DUAL, 64, e);

    if (fd < 0) { /* a pod without IPv6 */
        any.ip.family = 4;
        fd = listener_bind(&any, 0, 64, e);
    }
    return fd < 0 ? NULL : http_server_new(p->loop, fd, &o, on_request, p, e);
}

struct probes *probes_new(struct loop *l, struct err *e)
{
    struct probes *p = xcalloc(1, sizeof(*p));

    p->loop = l;
    p->allowed = table_new(NULL);
    for (unsigned i = 0; i < PORTS; i++) {
        p->servers[i] = serve(p, (uint16_t)(FIRST_PORT + i), e);
        if (!p->servers[i]) {
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
    for (unsigned i = 0; i < PORTS; i++)
        http_server_free(p->servers[i]);
    table_free(p->allowed);
    free(p);
}
