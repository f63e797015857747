/* network.h - the bridge, and one network (plus host name and IPC) namespace per pod.
 *
 * A pod has one IPv4 address as /32 and one IPv6 address as /128, and reaches everything through
 * the bridge's own address: so traffic between pods passes the machine's IP layer in both
 * directions, where ClusterIPs are translated (clusterip.c), whatever bridge-netfilter is set to.
 * Namespaces are held by descriptors: nothing appears in /run/netns, and a namespace goes when
 * the daemon and the last process in it are gone.
 */
#ifndef FSM_CLI_LOCAL_NETWORK_H
#define FSM_CLI_LOCAL_NETWORK_H

#include "cli/local/instance.h"
#include "cli/local/proc.h"

struct network;

/* Makes the bridge with its addresses and the route to the service ranges; turns forwarding on
 * (what was before is kept for network_down). */
struct network *network_new(const struct instance *in, struct err *e);
/* how many pods there may be at once */
unsigned network_capacity(const struct network *n);
/* memory only; the kernel's part goes with network_down */
void network_free(struct network *n);

struct sandbox {
    int net_fd, uts_fd, ipc_fd; /* -1 when not made */
    bool host;                  /* hostNetwork: no namespace of its own, the bridge's address */
    unsigned slot;              /* its place in the pod range; 0 = none */
    struct ip ip4, ip6;
    char veth[IFNAMSIZ]; /* the machine's end */
};
#define SANDBOX_INIT                                                                               \
    {                                                                                              \
        .net_fd = -1, .uts_fd = -1, .ipc_fd = -1                                                   \
    }

int network_sandbox(struct network *n, const char *hostname, bool host_network, struct sandbox *sb,
                    struct err *e);
/* takes link and address back; the namespaces go with their last process.  The link is removed
 * behind our back (it takes the kernel a while); with procs NULL it goes with its namespace. */
void network_release(struct network *n, struct sandbox *sb, struct procs *procs);

/* Removes bridge and ports, and puts forwarding back when no other instance is left.  Needs no
 * daemon and no struct network; fine when nothing is there. */
int network_down(const struct instance *in, struct err *e);

#endif
