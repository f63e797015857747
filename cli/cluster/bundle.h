/* bundle.h - fsm support bundle. */
#ifndef FSM_CLI_CLUSTER_BUNDLE_H
#define FSM_CLI_CLUSTER_BUNDLE_H

#include "cli/cli.h"

extern const struct cli_command cli_support_commands[];

#endif
