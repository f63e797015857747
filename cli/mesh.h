/* mesh.h - commands about a mesh, wherever it runs: namespace, mesh, proxy. */
#ifndef FSM_CLI_MESH_H
#define FSM_CLI_MESH_H

#include <jansson.h>
#include "cli/cli.h"

#define MESH_CONFIG "fsm-mesh-config"

extern const struct cli_command cli_namespace_commands[], cli_mesh_commands[], cli_proxy_commands[];

/* the name of the mesh whose MeshConfig that is; borrowed */
const char *mesh_name_of(const json_t *config);

#endif
