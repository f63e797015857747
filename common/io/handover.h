/* handover.h - a process is followed by another one of the same program, a newer build perhaps,
 * without a connection being lost: the successor inherits the listening sockets, so that what
 * waits in their backlogs is served by it.
 *
 *   predecessor                               successor
 *   handover_begin(loop, argv, state, ...)    handover_take(&state) == 1, first thing in main
 *                                             listener_bind(...) gives inherited sockets
 *   done(pid, NULL): accepts nothing more     handover_ready(): it serves
 *   done(0, why): the successor failed,
 *     nothing has changed
 *
 * The successor is started with SIGHUP and SIGUSR2 blocked (handover_hold_signals), so that those
 * sent to all of a line wait until it has handlers for them.  SIGTERM and SIGINT as well: it takes
 * connections a moment before it says that it serves, and has to end them like any other.
 *
 * The state is whatever the program wants to tell itself, keys included: it passes through
 * anonymous memory that nobody else can open.  One thread: the control loop's.
 */
#ifndef FSM_IO_HANDOVER_H
#define FSM_IO_HANDOVER_H

#include <stdbool.h>
#include <sys/types.h>
#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"

/* SIGHUP and SIGUSR2 wait, first thing in main; until hold is false, like whatever the predecessor
 * held */
void handover_hold_signals(bool hold);

/* where this program lies, to be called at start: a path still finds the file that replaced it.
 * NULL and e if the kernel does not tell */
const char *handover_program(struct err *e);

typedef void handover_cb(pid_t successor, const char *why, void *arg);
/* Starts the program anew with argv (borrowed) and every socket that listens now.  done comes once,
 * from the loop, after timeout_ms at the latest (then the successor is killed).  -1 and e: it
 * could not even be started, or another one is under way. */
int handover_begin(struct loop *l, char *const argv[], struct slice state, unsigned timeout_ms,
                   handover_cb *done, void *arg, struct err *e);

/* What the successor that is being started may have said is heard now, before anything else is
 * decided: done may come from inside. */
void handover_look(void);
/* to the successor that is being started, which gets it when it has handlers.  false: none is */
bool handover_signal(int sig);
/* Kills the successor that is being started, without a word to done; now: also one that serves
 * already, of which we have not heard yet: we leave, and nobody would watch it.  false: none was.
 */
bool handover_cancel(bool now);

/* 1: there is a predecessor, its state is appended to out (wipe it); 0: there is none; -1 and e */
int handover_take(struct buf *out, struct err *e);
/* a socket inherited that listens on this address (Unix: by path), the caller's from then on; -1 */
int handover_socket(const struct ip_port *addr);
int handover_unix_socket(const char *path);
/* Tells the predecessor, and closes what was inherited and not asked for; harmless without one.
 * -1: the predecessor has gone meanwhile, and whoever watched it knows nothing of us: leave. */
int handover_ready(void);

#endif
