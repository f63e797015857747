/* main.c - fsm: the table of commands. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/inject.h"
#include "cli/local/local_cli.h"
#include "cli/mesh.h"
#include "cli/validate.h"

static int cmd_version(int argc, char **argv)
{
    if (argc)
        return cli_usage("fsm version takes no operands");
    opt_print_version("fsm");
    return 0;
}

const struct cli_command cli_commands[] = {
    {.name = "local",
     .summary = "a mesh on this machine, without a cluster",
     .description = "Runs ordinary Kubernetes manifests on this machine: each pod is a network\n"
                    "namespace, its containers are processes. Needs root.",
     .sub = cli_local_commands,
     .examples = "  fsm local up\n"
                 "  fsm local apply -f app.yaml\n"
                 "  fsm local get pods -A\n"
                 "  fsm local exec curl -- curl -s http://httpbin:14001/get\n"
                 "  fsm local down"},
    {.name = "inject",
     .summary = "print a manifest with the sidecar added",
     .raw = cli_inject,
     .complete = "file"},
    {.name = "validate",
     .summary = "check manifests without a cluster",
     .raw = cli_validate,
     .complete = "file"},
    {.name = "namespace",
     .aliases = "ns",
     .summary = "which namespaces are in the mesh",
     .sub = cli_namespace_commands},
    {.name = "mesh", .summary = "which meshes there are", .sub = cli_mesh_commands},
    {.name = "proxy", .summary = "ask the sidecars of pods", .sub = cli_proxy_commands},
    {.name = "completion",
     .args = "{bash|zsh}",
     .summary = "print a script for command completion",
     .examples = "  source <(fsm completion bash)\n"
                 "  fsm completion zsh > \"${fpath[1]}/_fsm\"",
     .run = cli_completion,
     .complete = "shell"},
    {.name = "version", .summary = "print the version and how this was built", .run = cmd_version},
    {.name = NULL},
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "local") == 0)
        local_prepare();
    if (argc > 2 && strcmp(argv[1], "local") == 0 && strcmp(argv[2], LOCAL_DAEMON_VERB) == 0)
        return local_daemon_entry(argc - 2, argv + 2);
    return cli_run(argc, argv);
}
