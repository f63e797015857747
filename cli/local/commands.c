/* commands.c - the table of fsm local's commands. */
#include <stdlib.h>
#include "cli/local/local_cli.h"
#include "common/base/mem.h"

const struct cli_command cli_local_commands[] = {
    {.name = "up",
     .args = "[--name NAME] [-f FILE]...",
     .summary = "start an instance",
     .description = "Starts a mesh on this machine and returns when it is ready. It goes on until "
                    "'fsm local down'; several run side by side under different names. -f applies "
                    "manifests as soon as it is up.",
     .examples = "  fsm local up\n  fsm local up --name demo -f app.yaml",
     .opts = local_up_opts,
     .run = local_up},
    {.name = "down",
     .args = "[--name NAME | --all]",
     .summary = "end an instance and remove everything it made",
     .description = "Ends the pods, then removes processes, interfaces, rules, mounts and files, "
                    "also after a crash. Nothing to remove is no error.",
     .examples = "  fsm local down\n  fsm local down --all",
     .opts = local_down_opts,
     .run = local_down},
    {.name = "apply",
     .args = "-f FILE|DIRECTORY|-",
     .summary = "make objects what a manifest says",
     .examples = "  fsm local apply -f app.yaml\n  cat app.yaml | fsm local apply -n test -f -",
     .opts = local_apply_opts,
     .run = local_apply,
     .complete = "file"},
    {.name = "create",
     .args = "-f FILE | namespace NAME | serviceaccount NAME",
     .summary = "make objects that are not there yet",
     .examples = "  fsm local create namespace test",
     .opts = local_create_opts,
     .run = local_create,
     .complete = "kind"},
    {.name = "delete",
     .args = "KIND NAME... | KIND/NAME... | KIND -l SELECTOR | -f FILE",
     .summary = "remove objects; pods are ended first",
     .examples = "  fsm local delete pod web\n  fsm local delete -f app.yaml",
     .opts = local_delete_opts,
     .run = local_delete,
     .complete = "kind"},
    {.name = "get",
     .args = "KIND[,KIND...] [NAME...] | KIND/NAME...",
     .summary = "show objects",
     .examples = "  fsm local get pods -A\n  fsm local get service web -o yaml\n"
                 "  fsm local get pod -l app=web -o jsonpath='{.items[0].metadata.name}'\n"
                 "  fsm local get events",
     .opts = local_get_opts,
     .run = local_get,
     .complete = "kind"},
    {.name = "patch",
     .args = "KIND NAME -p PATCH [--type=merge]",
     .summary = "change fields of an object",
     .examples = "  fsm local patch meshconfig fsm-mesh-config -n fsm-system \\\n"
                 "      -p '{\"spec\":{\"traffic\":{\"enableEgress\":false}}}' --type=merge",
     .opts = local_patch_opts,
     .run = local_patch,
     .complete = "kind"},
    {.name = "label",
     .args = "KIND NAME KEY=VALUE... | KEY-",
     .summary = "set or remove labels",
     .examples = "  fsm local label pod web tier=front",
     .opts = local_meta_opts,
     .run = local_label,
     .complete = "kind"},
    {.name = "annotate",
     .args = "KIND NAME KEY=VALUE... | KEY-",
     .summary = "set or remove annotations",
     .examples = "  fsm local annotate pod web flomesh.io/outbound-port-exclusion-list=6379,7070",
     .opts = local_meta_opts,
     .run = local_annotate,
     .complete = "kind"},
    {.name = "scale",
     .args = "KIND NAME --replicas=N",
     .summary = "change the number of pods of a workload",
     .examples = "  fsm local scale deployment web --replicas=3",
     .opts = local_scale_opts,
     .run = local_scale,
     .complete = "kind"},
    {.name = "restart",
     .args = "KIND NAME",
     .summary = "replace the pods of a workload, a few at a time",
     .examples = "  fsm local restart deployment web",
     .opts = local_restart_opts,
     .run = local_restart,
     .complete = "kind"},
    {.name = "wait",
     .args = "KIND/NAME... --for=CONDITION",
     .summary = "wait until objects are ready, complete or gone",
     .examples = "  fsm local wait deployment/web --for=ready --timeout=60s\n"
                 "  fsm local wait pod -l app=web --for=condition=ready",
     .opts = local_wait_opts,
     .run = local_wait,
     .complete = "kind"},
    {.name = "exec",
     .args = "POD [-c CONTAINER] [-it] -- COMMAND [ARGUMENT...]",
     .summary = "run a command in a container",
     .examples = "  fsm local exec web -- curl -s http://other:8080/\n"
                 "  fsm local exec -it web -c sidecar -- sh",
     .opts = local_exec_opts,
     .run = local_exec},
    {.name = "logs",
     .args = "POD [-c CONTAINER] [-f]",
     .summary = "show what a container wrote",
     .examples = "  fsm local logs web -c sidecar -f",
     .opts = local_logs_opts,
     .run = local_logs},
    {.name = "status",
     .args = "[--name NAME]",
     .summary = "is everything well?",
     .description = "Shows the components, every pod with its sidecar, and what is wrong with "
                    "resources. Exit status 1 if something is not well.",
     .opts = local_status_opts,
     .run = local_status},
    {.name = NULL},
};

/* `su` without "-" leaves a user's PATH, in which nft, ip and dnsmasq are not */
void local_prepare(void)
{
    const char *path = getenv("PATH");
    char *more =
        xasprintf("%s:/usr/local/sbin:/usr/sbin:/sbin", path && *path ? path : "/usr/bin:/bin");

    setenv("PATH", more, 1);
    free(more);
}
