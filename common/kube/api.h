/* api.h - requests to an API server: one HTTP/2 connection that all of them share, credentials that
 * rotate, and a look from time to time whether the other end still lives.
 *
 *   api = kube_api_new(loop, &from, "fsm-controller", &e);
 *   call = kube_api_get(api, &(struct kube_call_spec){.path = "/api/v1/pods?watch=1", ...});
 *   call = kube_api_send(api, KUBE_CREATE, body, &(struct kube_call_spec){.path = ...});
 *   ... data(bytes) ... data(bytes) ... done(&answer)         or kube_call_cancel(call)
 *
 * A token file is read for every request; after a 401 or a failed handshake everything is loaded
 * anew.  While calls are open and nothing was heard for KUBE_API_QUIET_MS, GET /version goes out on
 * the same connection; without an answer all calls fail and the connection is closed: a peer that
 * hangs, or that a network swallowed, is noticed within a minute however quiet a watch is.
 *
 * A call is tried once: whether it is tried again, and when (backoff.h), is for who made it.
 *
 * The answer is hostile: what is kept of an error's body is bounded, nothing else is kept.
 * One thread: the loop's.
 */
#ifndef FSM_KUBE_API_H
#define FSM_KUBE_API_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"
#include "common/kube/access.h"

#define KUBE_API_QUIET_MS 30000
#define KUBE_API_PING_MS  30000 /* for the answer of /version: a server under load is slow */
#define KUBE_API_SKEW_S   30    /* between the clocks: worth telling */

struct kube_api;
struct kube_call;

struct kube_answer {
    unsigned status;      /* 0: none came, or it broke off: error says why */
    const char *error;    /* never NULL; borrowed for the call */
    bool handshake;       /* status 0: TLS or the certificates are at fault, not the network */
    uint64_t retry_after; /* ms, 0 = not said */
    struct slice body;    /* its first 16 KiB, where data() does not take it; borrowed */
};
/* "good" below: 200, and 201 of what was sent */
struct kube_call_spec {
    const char *path;         /* from the server's root, with query: borrowed for the call */
    unsigned timeout_ms;      /* for all of it; 0 = none */
    unsigned stall_ms;        /* without a byte; 0 = none */
    void (*begun)(void *arg); /* a good answer begins; may be NULL */
    /* bytes of a good answer, may be NULL; -1: enough, and done() comes with status 0 */
    int (*data)(struct slice bytes, void *arg);
    void (*done)(const struct kube_answer *a, void *arg);
    void *arg;
};

/* Borrows from's strings, which must live on.  NULL and e: no server is named, or credentials
 * cannot be read. */
struct kube_api *kube_api_new(struct loop *l, const struct kube_access_from *from,
                              const char *agent, struct err *e);
/* all calls must be over or cancelled */
void kube_api_free(struct kube_api *a);
/* done() comes once, not from inside this call; after it the call is gone.  Not from inside data()
 * or begun(), of whichever call: libcurl begins nothing there. */
struct kube_call *kube_api_get(struct kube_api *a, const struct kube_call_spec *spec);

/* how a body changes what the path names */
enum kube_change {
    KUBE_CREATE, /* POST: a new object, or a question that has the form of one (TokenReview) */
    KUBE_MERGE,  /* PATCH, RFC 7386 */
    KUBE_APPLY,  /* PATCH, server-side apply; the path names the fieldManager */
    KUBE_DELETE, /* DELETE; the body is a DeleteOptions */
};
/* The same with a body, JSON: copied, and wiped when the call is over, since it may hold secrets.
 */
struct kube_call *kube_api_send(struct kube_api *a, enum kube_change how, struct slice body,
                                const struct kube_call_spec *spec);
/* done() does not come any more.  NULL is fine.  Not from inside data(). */
void kube_call_cancel(struct kube_call *c);
/* the server's URL, for messages; borrowed, until the next request */
const char *kube_api_server(const struct kube_api *a);
/* What is wrong with the clock, by what the server's answers say of theirs; NULL = nothing.
 * Borrowed until the next answer. */
const char *kube_api_clock(const struct kube_api *a);
/* bytes received in bodies since the start */
uint64_t kube_api_received(const struct kube_api *a);

#endif
