/* api.c - connections of the daemon's socket; see api.h. */
#include "cli/local/api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/frame.h"
#include "common/io/listener.h"

struct api_request {
    LIST_ENTRY(api_request) link;
    struct api *api;
    struct frame_conn *fc;
    json_t *msg; /* owned; NULL until it has come */
    void (*gone)(struct api_request *r, void *arg);
    void *gone_arg;
};

struct api {
    struct local *l;
    struct listener *listener;
    LIST_HEAD(, api_request) requests;
};

struct local *api_local(struct api_request *r)
{
    return r->api->l;
}

const json_t *api_message(const struct api_request *r)
{
    return r->msg;
}

void api_on_gone(struct api_request *r, void (*fn)(struct api_request *r, void *arg), void *arg)
{
    r->gone = fn;
    r->gone_arg = arg;
}

static void request_free(struct api_request *r)
{
    LIST_REMOVE(r, link);
    frame_conn_free(r->fc);
    json_decref(r->msg);
    free(r);
}

/* the peer left, or we do, before there was an answer */
static void request_abandon(struct api_request *r)
{
    if (r->gone)
        r->gone(r, r->gone_arg);
    request_free(r);
}

bool api_send(struct api_request *r, json_t *msg)
{
    int rc = frame_conn_send(r->fc, msg);

    json_decref(msg);
    return rc == 0;
}

void api_reply(struct api_request *r, json_t *msg)
{
    if (!api_send(r, msg))
        log_warn("api", "a reply is larger than a frame may be");
    frame_conn_finish(r->fc); /* it frees itself once all is sent, and calls nobody any more */
    r->fc = NULL;
    request_free(r);
}

void api_fail(struct api_request *r, const char *fmt, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    api_reply(r, json_pack("{s:o}", "error", text_json(text)));
}

static void on_frame(struct frame_conn *fc, json_t *msg, const char *err, void *arg)
{
    struct api_request *r = arg;

    if (!msg) {
        if (*err)
            log_debug("api", "request broken off: %s", err);
        request_abandon(r);
        return;
    }
    if (r->msg)
        return; /* one request per connection: more is ignored until the reply closes it */
    r->msg = json_incref(msg);
    api_dispatch(r);
}

static void on_accept(struct listener *ls, int fd, const struct ip_port *peer, void *arg)
{
    struct api *a = arg;
    struct api_request *r = xcalloc(1, sizeof(*r));
    struct err e;

    r->api = a;
    r->fc = frame_conn_new(a->l->loop, fd, on_frame, r, &e);
    if (!r->fc) {
        log_warn("api", "%s", e.text);
        free(r);
        return;
    }
    LIST_INSERT_HEAD(&a->requests, r, link);
}

struct api *api_new(struct local *l, struct err *e)
{
    char *path = instance_path(l->in, "daemon.sock");
    int fd = listener_bind_unix(path, 0600, e);

    free(path);
    if (fd < 0)
        return NULL;
    struct api *a = xcalloc(1, sizeof(*a));
    a->l = l;
    LIST_INIT(&a->requests);
    a->listener = listener_new(l->loop, fd, on_accept, a, e);
    if (!a->listener) {
        free(a);
        return NULL;
    }
    return a;
}

void api_free(struct api *a)
{
    struct api_request *r;

    if (!a)
        return;
    listener_free(a->listener);
    while ((r = LIST_FIRST(&a->requests)) != NULL)
        request_abandon(r);
    free(a);
}
