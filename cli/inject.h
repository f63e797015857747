/* inject.h - the command `fsm inject`. */
#ifndef FSM_CLI_INJECT_H
#define FSM_CLI_INJECT_H

#include "common/base/opt.h"

/* for completion */
extern const struct opt cli_inject_opts[];
/* argv[0] is the verb.  Returns the exit status: 0, 1 (refused or unreadable), 2 (wrong usage). */
int cli_inject(int argc, char **argv);

#endif
