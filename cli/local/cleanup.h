/* cleanup.h - everything an instance made goes, whatever state it is in.
 *
 * Works from names alone (instance.h), not from what a daemon remembers, so that it is the same
 * after an orderly end and after kill -9, may be interrupted and run again, and finds nothing to
 * do the second time.  The caller holds the machine lock.
 */
#ifndef FSM_CLI_LOCAL_CLEANUP_H
#define FSM_CLI_LOCAL_CLEANUP_H

#include <sys/types.h>
#include "cli/local/instance.h"

/* pid of the daemon if it is alive, else 0 */
pid_t cleanup_daemon_pid(const struct instance *in);
/* processes of the instance, the daemon among them */
unsigned cleanup_count_processes(const struct instance *in);
/* the network namespace of the instance's processes, open, if it is not ours; else -1.  To be asked
 * while they live */
int cleanup_other_netns(const struct instance *in);
/* processes, links, translation rules, settings, files; there: of cleanup_other_netns, borrowed.
 * -1 and e names what is left. */
int cleanup_instance(const struct instance *in, int there, struct err *e);
/* when no instance is left: the lock file and the empty directories too */
void cleanup_common(void);

#endif
