/* instance.h - one mesh on this machine: its name, where its state lives, its addresses.
 *
 * Everything an instance makes in the kernel carries a name derived from the instance's own
 * (bridge, its ports, nftables table), and every process it starts carries an environment mark:
 * so `down` finds it all without asking anybody, also after a crash (cleanup.c).
 */
#ifndef FSM_CLI_LOCAL_INSTANCE_H
#define FSM_CLI_LOCAL_INSTANCE_H

#include <net/if.h>
#include <stdbool.h>
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/base/opt.h"

#define INSTANCE_ROOT    "/run/fsm/local"
#define INSTANCE_DEFAULT "fsm"
#define INSTANCE_MARK    "FSM_LOCAL_INSTANCE" /* environment variable of its processes */
#define MESH_NAME        "fsm"
#define MESH_NAMESPACE   "fsm-system"
#define TRUST_DOMAIN     "cluster.local"

struct instance {
    char *name;
    char *dir;             /* /run/fsm/local/NAME, 0700 */
    char *bin_dir;         /* where fsm-controller, fsm-sidecar ... are */
    char bridge[IFNAMSIZ]; /* "fl" and six hex digits; its ports add "p" and a number */
    char table[64];        /* nftables: "fsm-local-NAME" */
    struct cidr pods4, services4;
    struct cidr pods6, services6; /* ip.family 0 = the machine has no IPv6 */
    struct ip gw4, gw6;           /* the bridge's addresses: first of the pod ranges */
    bool controller;              /* run fsm-controller (and so inject) */
    bool native_sidecar;
    unsigned backoff_ms; /* first waiting time between restarts of a container */
    unsigned lead_ms;    /* endpoints are gone this long before SIGTERM is sent */
    unsigned log_max;    /* bytes of a container's log file */
    unsigned long netns; /* inode of the network namespace it lives in */
    char *dns_upstream;  /* "" = names outside the cluster do not exist; else addresses */
    char **images;       /* image map files, NULL-terminated */
};

/* a name that may become a path and an interface: DNS label of at most 32 characters */
int instance_check_name(const char *name, struct err *e);
/* names and paths only; name is checked already */
struct instance *instance_new(const char *name);
/* the network namespace that this process is in */
unsigned long instance_own_netns(void);
void instance_free(struct instance *in);
/* returns owned: "<dir>/<sub>" */
char *instance_path(const struct instance *in, const char *sub);

/* what the user may say about addresses; NULL = choose */
struct instance_ranges {
    const char *pods4, *services4, *pods6, *services6;
};
/* only reads them; -1 and e names the flag */
int instance_take_ranges(struct instance *in, const struct instance_ranges *want, struct err *e);
/* Chooses ranges that collide with no route of this machine and no other instance.  The caller
 * holds the machine lock. */
int instance_choose_ranges(struct instance *in, const struct instance_ranges *want, struct err *e);
/* config.json in the state directory */
int instance_save(const struct instance *in, struct err *e);
/* -1 and e when there is no such instance, with what to do */
struct instance *instance_load(const char *name, struct err *e);
/* names of all instances that have a state directory; NULL-terminated, owned (also the strings) */
char **instance_list(void);
/* One process at a time plans, starts or removes instances; the descriptor holds the lock. */
int instance_lock(struct err *e);

#endif
