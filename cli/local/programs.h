/* programs.h - fsm's own programs, as the containers of an instance find them.
 *
 * Containers run the machine's programs under the machine's permissions, as users of their own
 * (the sidecar is uid 1500).  A tree that was cloned into a home directory, or built under a
 * strict umask, lets none of them near its programs: so each container has copies at PROGRAMS_DIR,
 * first in its PATH, which anybody may run.  The copies lie in the daemon's private tmpfs.
 */
#ifndef FSM_CLI_LOCAL_PROGRAMS_H
#define FSM_CLI_LOCAL_PROGRAMS_H

#include "cli/local/local.h"

#define PROGRAMS_DIR "/run/fsm/bin" /* inside a container; read-only */

/* Makes or renews the copies of those that changed since: as the next container starts it runs
 * what was built last.  -1 and e names the program. */
int programs_refresh(const struct local *l, struct err *e);
/* returns owned: where the copies are */
char *programs_source(const struct local *l);

#endif
