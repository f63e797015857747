/* install.h - fsm install, upgrade and uninstall. */
#ifndef FSM_CLI_CLUSTER_INSTALL_H
#define FSM_CLI_CLUSTER_INSTALL_H

#include "cli/cli.h"

extern const struct opt cli_install_opts[], cli_upgrade_opts[];
int cli_install(int argc, char **argv);
int cli_upgrade(int argc, char **argv);
extern const struct cli_command cli_uninstall_commands[];

#endif
