/* validate.h - fsm validate: checks manifests without a cluster. */
#ifndef FSM_CLI_VALIDATE_H
#define FSM_CLI_VALIDATE_H

#include "common/base/opt.h"

/* for completion */
extern const struct opt cli_validate_opts[];
/* argv[0] is the verb.  Exit status: 0 all is well, 1 problems were found, 2 wrong usage. */
int cli_validate(int argc, char **argv);

#endif
