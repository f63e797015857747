/* sysctl.h - the machine-wide settings that pods need, shared by all instances.
 *
 * Forwarding between interfaces must be on, and redirects off.  The values found by the first
 * instance of a network namespace are kept in /run/fsm/local/.sysctl-NETNS and written back by the
 * last one to go.  The caller holds the machine lock (instance_lock), or is the daemon that `up`
 * waits for with the lock held.
 */
#ifndef FSM_CLI_LOCAL_SYSCTL_H
#define FSM_CLI_LOCAL_SYSCTL_H

#include "cli/local/instance.h"

int sysctl_enable_forwarding(const struct instance *in, struct err *e);
/* when no other instance has a state directory */
void sysctl_restore_forwarding(const struct instance *in);

#endif
