/* mesh.h - commands about a mesh, wherever it runs: namespace, mesh, proxy. */
#ifndef FSM_CLI_MESH_H
#define FSM_CLI_MESH_H

#include "cli/cli.h"

extern const struct cli_command cli_namespace_commands[], cli_mesh_commands[], cli_proxy_commands[];

#endif
