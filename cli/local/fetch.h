/* fetch.h - HTTP requests of the daemon itself (probes, hooks, the controller's admin port), by
 * libcurl on the loop: HTTP/1.1, HTTPS without verification (as kubelet probes), HTTP/2 with prior
 * knowledge (gRPC), Unix sockets.  One thread: the loop's.
 */
#ifndef FSM_CLI_LOCAL_FETCH_H
#define FSM_CLI_LOCAL_FETCH_H

#include <stdbool.h>
#include "common/base/buf.h"
#include "common/io/loop.h"

struct fetcher;
struct fetch;

struct fetch_spec {
    const char *url;
    const char *unix_path;      /* connect here, or NULL */
    const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
    struct slice body;          /* p != NULL: POST */
    unsigned timeout_ms;
    bool http2;
};
struct fetch_result {
    unsigned status; /* 0: no answer, error says why */
    const char *error;
    const struct buf *body; /* at most FETCH_BODY_MAX bytes are kept */
    int grpc_status;        /* from header or trailer; -1 = none */
};
#define FETCH_BODY_MAX (8u << 20)

typedef void fetch_cb(const struct fetch_result *r, void *arg);

struct fetcher *fetcher_new(struct loop *l, struct err *e);
/* all fetches must be over or cancelled */
void fetcher_free(struct fetcher *f);
/* cb comes once, never from inside this call, and not after fetch_cancel */
struct fetch *fetch_start(struct fetcher *f, const struct fetch_spec *spec, fetch_cb *cb,
                          void *arg);
void fetch_cancel(struct fetch *ft);

#endif
