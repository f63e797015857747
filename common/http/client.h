/* client.h - a small HTTP/1.1 client for control traffic (sidecar -> controller, CLI -> admin
 * ports).  Not for user traffic, and not for the Kubernetes API (libcurl does that).
 *
 * Keeps one connection alive per client.  One thread.
 */
#ifndef FSM_HTTP_CLIENT_H
#define FSM_HTTP_CLIENT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/http/message.h"
#include "common/io/dns.h"
#include "common/io/loop.h"
#include "common/tls/tls.h"

struct http_client;

struct http_client_opts {
    struct dns *dns;         /* borrowed; needed unless hosts are numeric */
    struct tls_ctx *tls;     /* for https://; own reference taken */
    const char *verify_host; /* default: the URL's host */
    unsigned timeout_ms;     /* whole exchange; 0 = 30 s */
    size_t max_body;         /* 0 = 64 MiB */
    bool cut;                /* what is longer is cut there; otherwise it fails */
    const struct ip *also;   /* borrowed: tried after a numeric host that takes no connection */
    unsigned n_also;
    bool for_anybody; /* asked for by whoever reaches us: leaves the last descriptors alone */
};
struct http_result {
    unsigned status; /* 0: no answer, error says why */
    const char *error;
    const struct http_head *head; /* borrowed, valid in the callback only */
    struct slice body;
};
typedef void http_result_cb(const struct http_result *r, void *arg);

/* base: "https://host:port", "http://host:port" or "unix:/path"; copied */
struct http_client *http_client_new(struct loop *l, const char *base,
                                    const struct http_client_opts *o, struct err *e);
void http_client_set_tls(struct http_client *c, struct tls_ctx *ctx);
/* One request at a time.  headers: "Name: value" strings, NULL-terminated, or NULL; they go before
 * the Host, User-Agent and Accept that are sent otherwise.
 * The callback comes exactly once, never from inside this call. timeout_ms 0 = the client's. */
void http_client_send(struct http_client *c, const char *method, const char *target,
                      const char *const *headers, const char *content_type, struct slice body,
                      unsigned timeout_ms, http_result_cb *cb, void *arg);
/* the callback is not called any more */
void http_client_cancel(struct http_client *c);
void http_client_free(struct http_client *c);

/* Blocking, for CLIs: one GET or POST; body is appended to out.  Returns the status, or -1 and e.
 * base as above. */
int http_fetch(const char *base, const char *method, const char *target, const char *content_type,
               struct slice body, unsigned timeout_ms, struct buf *out, struct err *e);

#endif
