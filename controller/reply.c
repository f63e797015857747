/* reply.c - every answer of the controller goes through here, so that all are counted. */
#include <stdarg.h>
#include <string.h>

#include "common/base/clock.h"
#include "controller/cp.h"

/* what stands in metrics for a path: never what a client made up */
static const char *pattern_of(const struct http_req *r)
{
    static const char *const known[] = {"/v1/certificate",
                                        "/v1/config",
                                        "/v1/roots",
                                        "/v1/status",
                                        "/health/ready",
                                        "/health/alive",
                                        "/healthz",
                                        "/metrics",
                                        "/version",
                                        "/problems",
                                        "/proxies",
                                        "/debug/document",
                                        "/ca",
                                        "/ca/prepare",
                                        "/ca/promote",
                                        "/ca/retire",
                                        "/"};

    for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (slice_eq_str(http_req_path(r), known[i]))
            return known[i];
    return "other";
}

static const char *method_of(const struct http_req *r)
{
    switch (http_req_head(r)->method) {
    case HTTP_M_GET:
        return "GET";
    case HTTP_M_POST:
        return "POST";
    default:
        return "other";
    }
}

void cp_answered(const struct http_req *r, unsigned status, void *self)
{
    struct cp *cp = self;
    const char *path = pattern_of(r);
    /* how long a poll hangs says nothing about us */
    bool timed = strcmp(path, "/v1/config") != 0;

    cp_metrics_request(&cp->metrics, status, method_of(r), path,
                       timed ? (double)(clock_mono_ns() - cp->request_began_ns) / 1e9 : -1);
}

void cp_reply(struct cp *cp, struct http_req *r, unsigned status, const char *type,
              struct slice body)
{
    cp_answered(r, status, cp);
    http_reply(r, status, type, body);
}

void cp_reply_text(struct cp *cp, struct http_req *r, unsigned status, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    cp_reply(cp, r, status, "text/plain; charset=utf-8", buf_slice(&text));
    buf_free(&text);
}

void cp_reply_json(struct cp *cp, struct http_req *r, unsigned status, const json_t *body)
{
    cp_answered(r, status, cp);
    http_reply_json(r, status, body);
}
