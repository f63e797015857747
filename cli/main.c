/* main.c - fsm: the table of commands. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/cluster/bundle.h"
#include "cli/cluster/check.h"
#include "cli/cluster/install.h"
#include "cli/inject.h"
#include "cli/local/local_cli.h"
#include "cli/mesh.h"
#include "cli/validate.h"
#include "cli/version.h"

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
    {.name = "install",
     .args = "[--set KEY=VALUE]... [flags]",
     .summary = "install the mesh into a cluster",
     .description =
         "Applies definitions, rights, control plane and settings to the cluster of the "
         "kubeconfig, and waits until they are ready. Doing it again changes nothing, or what "
         "the values change.",
     .examples =
         "  fsm install\n"
         "  fsm install --set fsm.enablePermissiveTrafficPolicy=false\n"
         "  fsm install --set=fsm.outboundIPRangeExclusionList=\"{1.1.1.1/32,2.2.2.2/24}\"\n"
         "  fsm install --dry-run | kubectl diff -f -",
     .opts = cli_install_opts,
     .run = cli_install},
    {.name = "upgrade",
     .args = "[--set KEY=VALUE]... [flags]",
     .summary = "bring a mesh to this version, or change its values",
     .description = "As install, for a mesh that is there: it keeps the values that it was made "
                    "with, and those that are given now win.",
     .examples = "  fsm upgrade\n"
                 "  fsm upgrade --set fsm.injector.replicaCount=3",
     .opts = cli_upgrade_opts,
     .run = cli_upgrade},
    {.name = "uninstall",
     .summary = "take the mesh out of a cluster",
     .sub = cli_uninstall_commands},
    {.name = "check",
     .args = "[--pre | --proxy] [-o FORMAT]",
     .summary = "find out what is wrong with a cluster's mesh",
     .description =
         "Looks at the API server, the control plane, the webhook, certificates, namespaces "
         "and pods, and says of each what is wrong and what to do. Changes nothing. Exit "
         "status 1 if a check failed.",
     .examples = "  fsm check --pre\n"
                 "  fsm check\n"
                 "  fsm check --proxy -o json",
     .opts = cli_check_opts,
     .run = cli_check},
    {.name = "inject",
     .summary = "print a manifest with the sidecar added",
     .opts = cli_inject_opts,
     .raw = cli_inject,
     .complete = "file"},
    {.name = "validate",
     .summary = "check manifests without a cluster",
     .opts = cli_validate_opts,
     .raw = cli_validate,
     .complete = "file"},
    {.name = "namespace",
     .aliases = "ns",
     .summary = "which namespaces are in the mesh",
     .sub = cli_namespace_commands},
    {.name = "mesh", .summary = "which meshes there are", .sub = cli_mesh_commands},
    {.name = "proxy", .summary = "ask the sidecars of pods", .sub = cli_proxy_commands},
    {.name = "support", .summary = "what helps to find a fault", .sub = cli_support_commands},
    {.name = "completion",
     .args = "{bash|zsh}",
     .summary = "print a script for command completion",
     .examples = "  source <(fsm completion bash)\n"
                 "  fsm completion zsh > \"${fpath[1]}/_fsm\"",
     .run = cli_completion,
     .complete = "bash zsh"},
    {.name = "version",
     .args = "[--client-only] [-o FORMAT]",
     .summary = "print the versions of this program and of the cluster's mesh",
     .opts = cli_version_opts,
     .run = cli_version},
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
