/* conn.h - one connected stream socket: readiness, transport, close.
 *
 * A conn is registered with the loop ONCE, edge-triggered, for reading and writing; it keeps
 * what the kernel last said in can_read/can_write.  Users try the call first and are told by
 * the callback when a direction that would have blocked opens again.  Bytes pass through a
 * transport: plain sockets here, TLS above (tls/tls_conn.h) - nothing else knows which.
 *
 *   c = conn_dial(loop, &dst, NULL, on_event, self, &e);
 *   on_event(c, CONN_EV_OPEN, self)            connected (and, after TLS, authenticated)
 *   on_event(c, CONN_EV_READ | CONN_EV_WRITE, self)
 *   conn_close(c)                              legal at any time, also inside the callback
 *
 * After conn_close the callback is never called again; memory is freed after the turn.
 * One thread: the loop's.
 */
#ifndef FSM_IO_CONN_H
#define FSM_IO_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"

struct conn;
struct event;

/* callback events, as bits */
#define CONN_EV_OPEN  0x01u /* dial finished, or the transport's handshake did */
#define CONN_EV_READ  0x02u /* conn_read may give something (data, end of stream or an error) */
#define CONN_EV_WRITE 0x04u /* a write that would have blocked may be tried again */
#define CONN_EV_FAIL  0x08u /* dial or handshake failed: see c->fail; only conn_close remains */

typedef void conn_cb(struct conn *c, unsigned events, void *arg);

/* why a conn is of no more use; the names are log fields and metric labels */
#define CONN_FAILS(X)                                                                              \
    X(NONE, "none")                                                                                \
    X(REFUSED, "connect_refused")                                                                  \
    X(UNREACHABLE, "connect_unreachable")                                                          \
    X(CONNECT_TIMEOUT, "connect_timeout")                                                          \
    X(RESET, "reset")                                                                              \
    X(TLS, "tls_error")                                                                            \
    X(IO, "io_error")                                                                              \
    X(NO_FDS, "no_descriptors")
enum conn_fail {
#define X(id, text) CONN_FAIL_##id,
    CONN_FAILS(X)
#undef X
};
const char *conn_fail_name(enum conn_fail f);

/* results of conn_read/conn_writev below zero */
#define CONN_AGAIN (-1) /* would block: wait for the event */
#define CONN_ERROR (-2) /* broken: c->fail says why */

/* A transport: how bytes pass.  Plain is built in; TLS replaces it. */
struct conn_xport {
    const char *name;
    /* > 0 bytes; 0 orderly end of stream; CONN_AGAIN; CONN_ERROR */
    ssize_t (*read)(struct conn *c, void *p, size_t n);
    ssize_t (*writev)(struct conn *c, const struct iovec *iov, int n);
    /* drives a handshake: 1 done, CONN_AGAIN, CONN_ERROR; NULL = none needed */
    int (*handshake)(struct conn *c);
    /* sends the transport's end of stream (close_notify), best effort, once */
    void (*shut)(struct conn *c);
    /* bytes already decrypted that poll() does not know of */
    size_t (*pending)(struct conn *c);
    void (*free)(struct conn *c);
};

struct conn {
    int fd;
    struct loop *loop;
    const struct conn_xport *xport;
    void *xport_data; /* the transport's (struct tls *) */
    conn_cb *cb;
    void *arg;
    struct event *ev;
    bool can_read, can_write; /* what the kernel last said (edge-triggered memory) */
    bool dialing, handshaking, closed;
    bool rdhup;             /* the peer has ended: read to the end, then 0 */
    bool wr_shut;           /* we have ended */
    bool wake_queued;       /* conn_wake asked for a callback at the end of the turn */
    enum conn_fail fail;
    struct ip_port peer, local;
    uint64_t rx_bytes, tx_bytes; /* of payload */
    struct loop_job job;    /* deferred wake-up and free */
    struct timer dial_timer;
};

/* Adopts an accepted or socketpair fd: makes it non-blocking, TCP_NODELAY.  takes fd (closed on
 * every path).  The first callback comes with the first readiness. */
struct conn *conn_adopt(struct loop *l, int fd, conn_cb *cb, void *arg, struct err *e);

struct conn_dial_opts {
    const struct ip_port *source; /* bind before connect (port 0 = any), or NULL */
    unsigned timeout_ms;          /* 0 = none; passing it gives CONN_FAIL_CONNECT_TIMEOUT */
    unsigned mark;                /* SO_MARK, 0 = none */
};
/* Begins to connect; CONN_EV_OPEN or CONN_EV_FAIL follows (never from inside this call).
 * NULL and e only for our own faults (no descriptor, no memory). */
struct conn *conn_dial(struct loop *l, const struct ip_port *dst, const struct conn_dial_opts *o,
                       conn_cb *cb, void *arg, struct err *e);
/* same for a Unix socket path */
struct conn *conn_dial_unix(struct loop *l, const char *path, conn_cb *cb, void *arg,
                            struct err *e);

/* Puts a transport on an open conn and drives its handshake; CONN_EV_OPEN or CONN_EV_FAIL
 * follows.  takes xport_data (freed by xport->free). */
void conn_secure(struct conn *c, const struct conn_xport *x, void *xport_data);
/* the events go to somebody else from now on */
void conn_set_cb(struct conn *c, conn_cb *cb, void *arg);

/* > 0 bytes; 0 orderly end of stream; CONN_AGAIN; CONN_ERROR.  A read shorter than n may be
 * taken as "drained for now" unless rdhup is set. */
ssize_t conn_read(struct conn *c, void *p, size_t n);
ssize_t conn_write(struct conn *c, const void *p, size_t n);
ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n);
/* MSG_PEEK; only before a transport is put on */
ssize_t conn_peek(struct conn *c, void *p, size_t n);
/* our end of stream: transport's and then SHUT_WR; reading goes on */
void conn_shut_write(struct conn *c);
/* asks for a callback with `events` at the end of this turn (e.g. after reading was held) */
void conn_wake(struct conn *c, unsigned events);
/* closes now, frees after the turn; NULL is fine */
void conn_close(struct conn *c);
/* as conn_close but the peer sees RST */
void conn_abort(struct conn *c);
/* where a redirected connection wanted to go (SO_ORIGINAL_DST, IPv4 and IPv6); the socket's own
 * address when nothing was redirected.  -1 on error. */
int conn_original_dst(const struct conn *c, struct ip_port *out);

#endif
