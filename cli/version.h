/* version.h - the command `fsm version`. */
#ifndef FSM_CLI_VERSION_H
#define FSM_CLI_VERSION_H

#include "common/base/opt.h"

extern const struct opt cli_version_opts[];
int cli_version(int argc, char **argv);

#endif
