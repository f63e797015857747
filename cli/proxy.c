/* proxy.c - fsm proxy get: what a pod's sidecar says of itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/mesh.h"
#include "cli/transport.h"
#include "common/base/file.h"
#include "common/base/mem.h"

#define ADMIN_PORT 15000

static struct {
    const char *ns, *file;
    unsigned port;
} flags = {.port = ADMIN_PORT};

static const struct opt get_opts[] = {
    TRANSPORT_OPT,
    {'n', "namespace", "NAMESPACE", "the pod's namespace (default: default)", OPT_STR(&flags.ns)},
    {'f', "file", "FILE", "write to FILE instead of standard output", OPT_STR(&flags.file)},
    {'p', "port", "PORT", "the sidecar's admin port (default 15000)",
     OPT_UINT(&flags.port, 1, 65535)},
    OPT_END};

static const char *const queries[] = {"config_dump", "clusters", "listeners",
                                      "certs",       "ready",    "stats"};

static bool is_query(const char *word)
{
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++)
        if (strcmp(queries[i], word) == 0)
            return true;
    return false;
}

static int write_out(const struct buf *b)
{
    struct err e;

    if (flags.file)
        return file_write(flags.file, b->p, b->len, 0644, &e) ? cli_fail("%s", e.text) : 0;
    fwrite(b->p, 1, b->len, stdout);
    if (b->len && b->p[b->len - 1] != '\n')
        putchar('\n');
    return 0;
}

static int cmd_get(int argc, char **argv)
{
    struct buf body = BUF_INIT;
    struct err e = {""};
    int rc, status = -1;

    if (argc != 2)
        return cli_usage("fsm proxy get QUERY POD [-n NAMESPACE]");
    if (!is_query(argv[0]))
        return cli_usage("\"%s\": expected config_dump, clusters, listeners, certs, ready or stats",
                         argv[0]);
    const char *slash = strchr(argv[1], '/'), *pod = slash ? slash + 1 : argv[1];
    struct transport *t = transport_open(&e);
    char *path = xasprintf("/%s", argv[0]);
    if (t)
        status =
            t->ops->pod_get(t, flags.ns ? flags.ns : "default", pod, flags.port, path, &body, &e);
    if (status < 0)
        rc = cli_fail("%s", e.text);
    else
        rc = write_out(&body) | (status >= 200 && status < 300 ? 0 : 1);
    transport_close(t);
    free(path);
    buf_free(&body);
    return rc;
}

const struct cli_command cli_proxy_commands[] = {
    {.name = "get",
     .args = "{config_dump|clusters|listeners|certs|ready|stats} POD",
     .summary = "ask a pod's sidecar",
     .description =
         "Asks the admin port of the sidecar, inside the pod, and prints the answer: the "
         "configuration it follows, its clusters, listeners, certificates, whether it is "
         "ready, its metrics.",
     .examples = "  fsm proxy get config_dump curl -n curl\n"
                 "  fsm proxy get stats curl -n curl | grep upstream",
     .opts = get_opts,
     .run = cmd_get},
    {.name = NULL},
};
