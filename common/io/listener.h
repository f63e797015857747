/* listener.h - a listening socket in a loop.
 *
 * Out of descriptors (EMFILE, ENFILE, ENOBUFS): the listener leaves the loop and comes back
 * after a second; it never spins.  If nothing is free then either, those who wait in the backlog
 * are accepted by a descriptor kept for this and closed at once, so that they can go elsewhere.
 * One for users runs out of them earlier than the process does (descriptors.h).
 * Accepts at most a bounded number per turn.  One thread: the loop's.
 */
#ifndef FSM_IO_LISTENER_H
#define FSM_IO_LISTENER_H

#include <sys/types.h>
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"

struct listener;
/* takes fd: non-blocking, close-on-exec, TCP_NODELAY (see conn_accepted); peer in the accepted
 * socket's normalised form (for a Unix socket: family 0).  May free the listener. */
typedef void listener_cb(struct listener *l, int fd, const struct ip_port *peer, void *arg);

#define LISTEN_REUSEPORT   0x1u
#define LISTEN_TRANSPARENT 0x2u /* IP_TRANSPARENT, for TPROXY */
/* "::" takes IPv4 too, and only that where the kernel has no IPv6; otherwise IPv6 addresses take
 * IPv6 alone */
#define LISTEN_DUAL 0x4u

/* binds and listens, or takes the socket that a predecessor left (handover.h); the fd only, so that
 * main() can bind before it gives up privileges. -1 and e naming the address and what to do (e.g.
 * who else may hold the port). */
int listener_bind(const struct ip_port *addr, unsigned flags, int backlog, struct err *e);
/* replaces a stale socket file nobody listens on */
int listener_bind_unix(const char *path, mode_t mode, struct err *e);
/* takes fd */
struct listener *listener_new(struct loop *l, int fd, listener_cb *cb, void *arg, struct err *e);
/* what it accepts is users', and leaves the last descriptors of the process alone */
void listener_for_users(struct listener *l);
/* the port that was bound, when 0 was asked for */
int listener_address(const struct listener *l, struct ip_port *out);
int listener_fd(const struct listener *l);
/* stops accepting, keeps the socket (connections queue in the kernel) */
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
void listener_free(struct listener *l);
/* ends the listener and gives its socket back, still listening: connections queue in the kernel */
int listener_release(struct listener *l);

#endif
