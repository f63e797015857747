/* daemon.h - what the daemons of the control plane and of the gateways have in common: flags, and
 * the order in which such a program begins, drains and ends.
 *
 *   static const struct opt opts[] = {DAEMON_OPTS_SOURCE(common, cp.conf.base),
 *                                     DAEMON_OPTS_MESH(cp.conf.base), ..., OPT_END};
 *   int main(int argc, char **argv)
 *   {
 *       return daemon_main(&this_daemon, &common, argc, argv);
 *   }
 *
 * A service manager that listens is told of reloads and of the end; that it is ready the program
 * says itself (notify.h).  One thread, one loop.  The sidecar, whose workers are threads, has a
 * main of its own.
 */
#ifndef FSM_DAEMON_DAEMON_H
#define FSM_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/base/opt.h"
#include "common/io/loop.h"
#include "common/kube/access.h"
#include "common/kube/names.h"
#include "common/kube/object.h"

struct daemon_conf {
    struct opt_list files;
    struct kube_access_from api; /* the API server, where no files are given */
    const char *ca_dir, *listen, *admin;
    const char *mesh_name, *fsm_namespace, *trust_domain;
    bool core_dumps;
};
#define DAEMON_CONF(...)                                                                           \
    {                                                                                              \
        .admin = "127.0.0.1:9091", .mesh_name = "fsm", .fsm_namespace = "fsm-system",              \
        .trust_domain = "cluster.local", ##__VA_ARGS__                                             \
    }

/* Rows of a table of flags; common: the struct opt_common, c: the struct daemon_conf. */
#define DAEMON_OPTS_SOURCE(common, c)                                                              \
    {'f', "file", "DIR", "a directory (with what is below it) or a file of YAML (may repeat)",     \
     OPT_LIST(&(common).files)},                                                                   \
        {0, "kubeconfig", "FILE",                                                                  \
         "read resources from the API server of this kubeconfig (default without -f: the pod's "   \
         "service account, else $KUBECONFIG)",                                                     \
         OPT_STR(&(c).api.kubeconfig)},                                                            \
    {                                                                                              \
        0, "context", "NAME", "this context of the kubeconfig (default: its current-context)",     \
            OPT_STR(&(c).api.context)                                                              \
    }
#define DAEMON_OPTS_MESH(c)                                                                        \
    {0, "mesh-name", "NAME", "namespaces labelled with it are in the mesh (default fsm)",          \
     OPT_STR(&(c).mesh_name)},                                                                     \
        {0, "fsm-namespace", "NS",                                                                 \
         "where the control plane and its MeshConfig live (default fsm-system)",                   \
         OPT_STR(&(c).fsm_namespace)},                                                             \
    {                                                                                              \
        0, "trust-domain", "DOMAIN", "of identities and host names (default cluster.local)",       \
            OPT_STR(&(c).trust_domain)                                                             \
    }
#define DAEMON_OPT_CORE_DUMPS(c)                                                                   \
    {                                                                                              \
        0, "core-dumps", NULL,                                                                     \
            "let a crash leave a core dump, which holds the CA's key (default: none is made)",     \
            OPT_FLAG(&(c).core_dumps)                                                              \
    }

struct daemon {
    const char *id; /* in the log: "injector" */
    const struct opt_prog *prog;
    struct daemon_conf *conf;
    struct loop **loop; /* made before start(); stop() frees it */
    /* what is wrong with the flags: wrong usage */
    int (*check_conf)(const struct opt_common *common, struct err *e);
    int (*check)(void); /* -n; returns the exit status */
    int (*start)(struct err *e);
    uint64_t (*drain)(void); /* the first SIGTERM; returns for how many ms answers go on */
    void (*reload)(void);    /* SIGHUP */
    void (*stop)(void);
};

/* returns the exit status */
int daemon_main(const struct daemon *d, struct opt_common *common, int argc, char **argv);
/* Files, a kubeconfig, or the pod's own service account: takes what the common flags say into c. */
int daemon_check_source(struct daemon_conf *c, const struct opt_common *common, struct err *e);
int daemon_check_name(const char *flag, const char *value, kube_syntax *syntax, struct err *e);
/* -n: on stderr, a line each; returns how many */
unsigned daemon_print_problems(const struct kube_problems *p);

#endif
