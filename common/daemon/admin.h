/* admin.h - a daemon's plain HTTP port: health, metrics, version, and pages of its own.
 *
 *   static const struct daemon_page pages[] = {{"GET", "/proxies", proxies, "each proxy"}, {NULL}};
 *   admin = daemon_admin_start(loop, &(struct daemon_admin_conf){.pages = pages, ...}, &e);
 *
 * Every daemon has /, /health/ready, /health/alive, /healthz, /metrics and /version.  Reading is
 * for everybody who can reach it, unless the page says otherwise; commands (POST) are taken from
 * this machine only, which a port-forward to a pod is.  One thread.
 */
#ifndef FSM_DAEMON_ADMIN_H
#define FSM_DAEMON_ADMIN_H

#include <stdbool.h>
#include "common/base/buf.h"
#include "common/http/server.h"

/* answers, once */
typedef void daemon_page_fn(struct http_req *r, void *self);

struct daemon_page {
    const char *method, *path; /* "GET" or "POST"; method NULL ends a table */
    daemon_page_fn *fn;
    const char *what; /* in the list of pages */
    bool local;       /* reading it, too, is for this machine only */
};

struct daemon_admin_conf {
    const char *where; /* ADDRESS:PORT or unix:/path */
    const char *name;  /* "fsm-controller", in words for people */
    const char *ready; /* what /health/ready promises, in the list of pages */
    const struct daemon_page *pages;
    bool (*is_ready)(const void *self);
    void (*metrics)(struct buf *out, void *self);
    /* for who counts: a request begins; one that no page of its own answers is answered.  NULL: no
     */
    void (*begun)(struct http_req *r, void *self);
    void (*answered)(const struct http_req *r, unsigned status, void *self);
    void *self;
};

struct daemon_admin;

/* Borrows conf's strings and pages.  NULL and e: the address is wrong or taken. */
struct daemon_admin *daemon_admin_start(struct loop *l, const struct daemon_admin_conf *conf,
                                        struct err *e);
/* NULL is fine */
void daemon_admin_stop(struct daemon_admin *a);

#endif
