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
 * Who reads must know that an edge comes once.  CONN_EV_READ means "conn_read gives something
 * now"; then either
 *   - read until CONN_AGAIN, 0 or CONN_ERROR (after a short read the next call says CONN_AGAIN
 *     without a system call), and the event comes again; or
 *   - stop early, because the bytes have nowhere to go.  Nothing is lost: can_read stays set, no
 *     further CONN_EV_READ comes (but once for the peer's end, once for its being gone), and who
 *     stopped goes on with conn_read when it can, or has conn_wake(c, CONN_EV_READ) call back.
 * A byte of urgent data (RFC 6093) is not delivered; what stands around it is, like all else.
 * Writing is the same: after CONN_AGAIN, or a short count with can_write off, wait for
 * CONN_EV_WRITE; a short count with can_write still on means call again.
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
/* what an errno of connect, recv or send means */
enum conn_fail conn_fail_of(int err, bool dialing);

/* results of conn_read/conn_writev below zero */
#define CONN_AGAIN (-1) /* would block: wait for the event */
#define CONN_ERROR (-2) /* broken: c->fail says why */

/* A transport: how bytes pass.  Plain is built in; TLS replaces it and moves its own bytes by
 * conn_plain's read and writev, or keeps can_read, can_write and fail true as those do.  The
 * functions are called by conn.c only, never after conn_close but for free, and must not close. */
struct conn_xport {
    const char *name;
    /* > 0 bytes; 0 orderly end of stream; CONN_AGAIN; CONN_ERROR */
    ssize_t (*read)(struct conn *c, void *p, size_t n);
    ssize_t (*writev)(struct conn *c, const struct iovec *iov, int n);
    /* drives a handshake: 1 done, CONN_AGAIN, CONN_ERROR; NULL = none needed */
    int (*handshake)(struct conn *c);
    /* sends the transport's end of stream (close_notify), best effort, once */
    void (*shut)(struct conn *c);
    /* gives the kernel what shut or read left to be sent; called when the socket opens, and before
     * SHUT_WR: 1 all is out, CONN_AGAIN, CONN_ERROR; NULL = never holds anything */
    int (*flush)(struct conn *c);
    /* bytes already decrypted that poll() does not know of */
    size_t (*pending)(struct conn *c);
    void (*free)(struct conn *c);
};

extern const struct conn_xport conn_plain;

struct conn {
    int fd; /* -1 once closed */
    struct loop *loop;
    const struct conn_xport *xport;
    void *xport_data; /* the transport's (struct tls *) */
    conn_cb *cb;
    void *arg;
    bool can_read, can_write; /* what the kernel last said (edge-triggered memory) */
    bool dialing, handshaking, closed;
    bool want_write;      /* a write fell short: CONN_EV_WRITE is owed */
    bool peeked;          /* conn_peek left bytes behind: the next edge counts */
    bool rdhup;           /* the peer has ended: read to the end, then 0 */
    bool urgent;          /* urgent data came: a read stops there, and the next one goes past it */
    bool dead;            /* dial, handshake or a read failed: only conn_close remains */
    bool broken;          /* ... or is gone: what came can be read, nothing can be sent */
    bool wr_shut;         /* we have ended */
    bool shut_owed;       /* SHUT_WR follows when the transport's last bytes are out */
    unsigned wake_events; /* to be told at the end of the turn */
    enum conn_fail fail;
    struct ip_port peer;         /* family 0 on Unix sockets */
    uint64_t rx_bytes, tx_bytes; /* of payload, as conn_read and conn_writev counted them */
    struct loop_job job;         /* deferred wake-up and free */
    struct loop_fd ready;
    struct timer *dial_timer; /* owned; NULL: the dial has no limit */
};

/* Adopts an accepted or socketpair fd: makes it non-blocking, TCP_NODELAY.  takes fd (closed on
 * every path).  The first callback comes with the first readiness. */
struct conn *conn_adopt(struct loop *l, int fd, conn_cb *cb, void *arg, struct err *e);

/* The same for a descriptor straight from a listener of ours (listener.h), which is non-blocking
 * and TCP_NODELAY already and whose peer is known: saves four system calls.  takes fd */
struct conn *conn_accepted(struct loop *l, int fd, const struct ip_port *peer, conn_cb *cb,
                           void *arg, struct err *e);

struct conn_dial_opts {
    const struct ip_port *source; /* bind before connect (port 0 = any), or NULL */
    unsigned timeout_ms;          /* 0 = none; passing it gives CONN_FAIL_CONNECT_TIMEOUT */
    unsigned mark;                /* SO_MARK, 0 = none */
    bool for_users;   /* leaves the last descriptors of the process alone (descriptors.h): EMFILE */
    bool for_anybody; /* the last half of these */
};
/* Begins to connect; CONN_EV_OPEN or CONN_EV_FAIL follows (never from inside this call).
 * NULL and e only for our own faults (no descriptor, no memory, a source that cannot be bound),
 * with errno kept. */
struct conn *conn_dial(struct loop *l, const struct ip_port *dst, const struct conn_dial_opts *o,
                       conn_cb *cb, void *arg, struct err *e);
/* same for a Unix socket path */
struct conn *conn_dial_unix(struct loop *l, const char *path, conn_cb *cb, void *arg,
                            struct err *e);

/* Puts a transport on an open conn and drives its handshake; CONN_EV_OPEN or CONN_EV_FAIL
 * follows, never from inside this call.  A handshake that waits for something else than the peer
 * (a signature made by another thread) returns CONN_AGAIN and goes on after conn_wake.
 * takes xport_data (freed by xport->free). */
void conn_secure(struct conn *c, const struct conn_xport *x, void *xport_data);
/* the events go to somebody else from now on */
void conn_set_cb(struct conn *c, conn_cb *cb, void *arg);

/* > 0 bytes; 0 orderly end of stream; CONN_AGAIN; CONN_ERROR.  n > 0.  A write that failed does not
 * end reading: what the peer said before it left (an early answer) is still delivered. */
ssize_t conn_read(struct conn *c, void *p, size_t n);
/* conn_read may give something without another event: kernel or transport hold bytes */
bool conn_may_read(const struct conn *c);
/* > 0 bytes taken; CONN_AGAIN; CONN_ERROR.  What was asked must not be empty. */
ssize_t conn_write(struct conn *c, const void *p, size_t n);
ssize_t conn_writev(struct conn *c, const struct iovec *iov, int n);
/* As conn_read into an empty pipe, and conn_write from one, without a copy; plaintext only, and not
 * while there may be urgent data, which it never gets past.  A short count says nothing. */
ssize_t conn_splice_read(struct conn *c, int pipe, size_t n);
ssize_t conn_splice_write(struct conn *c, int pipe, size_t n);
/* MSG_PEEK; only before a transport is put on.  CONN_EV_READ comes again with more bytes. */
ssize_t conn_peek(struct conn *c, void *p, size_t n);
/* What the kernel knew a moment ago at most (loop_is_still), whatever the loop has told.  Quiet:
 * the peer has sent nothing that is unread, and has not ended.  Ended: it has, or the connection
 * broke. */
bool conn_is_quiet(const struct conn *c);
bool conn_has_ended(const struct conn *c);
/* Has the connection broken, though nothing was read that says so?  For who has stopped reading. */
bool conn_gone(const struct conn *c);
/* bytes given to the kernel that the peer has not acknowledged */
size_t conn_unsent(const struct conn *c);
/* TCP: bytes, as they leave, that the peer has acknowledged; it only grows while the connection is
 * open */
uint64_t conn_taken(const struct conn *c);
/* our end of stream: transport's and then SHUT_WR; reading goes on */
void conn_shut_write(struct conn *c);
/* Asks for a callback with `events` (READ, WRITE) at the end of this turn (after reading was held,
 * or to let others run after a byte budget).  While a handshake is under way it drives that
 * instead. */
void conn_wake(struct conn *c, unsigned events);
/* closes now, frees after the turn; NULL is fine */
void conn_close(struct conn *c);
/* as conn_close but the peer sees RST */
void conn_abort(struct conn *c);
/* getsockname; family 0 if it cannot be told */
struct ip_port conn_local(const struct conn *c);
/* where a redirected connection that was accepted wanted to go (SO_ORIGINAL_DST, IPv4 and IPv6);
 * the socket's own address when nothing was redirected.  -1 on error. */
int conn_original_dst(const struct conn *c, struct ip_port *out);

#endif
