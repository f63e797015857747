/* lsock.h - the listening sockets of a process, by address: shared by views, dealt out to workers.
 *
 * An address has several sockets in one SO_REUSEPORT group, at least one for each worker, so that
 * the kernel spreads connections over them.  Socket i belongs to worker i modulo the number of
 * workers.  A socket once bound stays until no view has its address: closing one of a group would
 * lose the connections that wait in its backlog.  So when the number of workers changes, sockets
 * move; between two owners a socket lies in its slot here, and connections wait in the kernel.  For
 * the same reason a successor (handover.h) takes over all that its predecessor had, which may be
 * more than it has workers.
 *
 * Control thread, but for what says "any thread".
 */
#ifndef FSM_PROXY_LSOCK_H
#define FSM_PROXY_LSOCK_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/cidr.h"
#include "common/base/err.h"

#define WORKERS_MAX 64

struct lsock;  /* the sockets of one address */
struct lsocks; /* all of them */

struct lsocks *lsocks_new(unsigned workers);
/* closes what nobody has taken; every reference was given back before */
void lsocks_free(struct lsocks *s);
/* Binds what is missing for so many workers and deals the sockets out anew; workers must then look
 * at what is theirs (worker_listen).  0: to nobody, all are put back.  -1 and e: nothing changed
 * but that some sockets may be bound already. */
int lsocks_deal(struct lsocks *s, unsigned workers, struct err *e);
/* Binds an address before there is a view, so that nobody else can: connections wait in the kernel
 * until a view has it, or lsocks_unreserve(). */
int lsocks_reserve(struct lsocks *s, const struct ip_port *addr, struct err *e);
/* the first view is there: closes what was reserved and it has no use for */
void lsocks_unreserve(struct lsocks *s);
/* Of what the views before had, only the addresses that keep() says yes to can be found again:
 * workers close the sockets of the others, however long an old view is still in use. */
void lsocks_keep(struct lsocks *s, bool (*keep)(const struct lsock *k, const void *arg),
                 const void *arg);

/* the sockets of that address, bound if no view has them; a reference.  NULL and e. */
struct lsock *lsock_open(struct lsocks *s, const struct ip_port *addr, struct err *e);
void lsock_unref(struct lsock *k);
const struct ip_port *lsock_addr(const struct lsock *k);

/* ---- any thread that holds a reference, e.g. by a view ---- */
uint64_t lsock_serial(const struct lsock *k);
unsigned lsock_count(const struct lsock *k);
/* does socket i belong to that worker now? */
bool lsock_is_of(const struct lsock *k, unsigned i, unsigned worker);
/* socket i, which the caller owns from then on; -1: another has it still */
int lsock_take(struct lsock *k, unsigned i);
/* puts it back, for its owner to take */
void lsock_give(struct lsock *k, unsigned i, int fd);

#endif
