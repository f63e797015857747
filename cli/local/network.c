/* network.c - bridge, veth pairs and pod namespaces; see network.h. */
#include "cli/local/network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cli/local/firewall.h"
#include "cli/local/proc.h"
#include "cli/local/sysctl.h"
#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define SLOT_FIRST 2     /* .0 is the range, .1 the bridge */
#define PORT_WAITS 200   /* of 5 ms */
#define PORTS_MAX  1000  /* a bridge has 1023 */
#define SLOTS_MAX  65534 /* more pods than one machine runs */

struct network {
    const struct instance *in;
    unsigned n_slots; /* slots are 0 .. n_slots - 1 */
    unsigned next;
    bool *used;
};

/* as a file of /proc/sys: missing ones are no IPv6, or an older kernel */
static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        log_debug("network", "%s: %s", path, strerror(errno));
    close(fd);
}

static int ip_batch(const char *commands, int netns, struct err *e)
{
    static const char *const argv[] = {"ip", "-batch", "-", NULL};
    return proc_run(argv, commands, netns, NULL, e);
}

/* ---- the bridge ---------------------------------------------------------------------------- */

static void bridge_commands(const struct instance *in, struct buf *b)
{
    char ip[IP_TEXT_MAX], range[IP_TEXT_MAX];

    /* an address of its own: a bridge without one takes the lowest of its ports', so that a new
     * pod would change the gateway's, and what its neighbours send goes nowhere until they ask */
    const uint8_t *gw = in->gw4.b;
    buf_printf(b,
               "link add %s address 0a:58:%02x:%02x:%02x:%02x type bridge forward_delay 0 "
               "stp_state 0 mcast_snooping 0\n",
               in->bridge, gw[0], gw[1], gw[2], gw[3]);
    buf_printf(b, "addr add %s/%u dev %s\n", ip_format(&in->gw4, ip), in->pods4.bits, in->bridge);
    if (in->gw6.family) {
        /* a link-local address without duplicate detection: its two seconds would hold up the
         * first packets of the first pods */
        buf_printf(b, "link set %s addrgenmode none\n", in->bridge);
        buf_printf(b, "addr add fe80::1/64 dev %s nodad\n", in->bridge);
        buf_printf(b, "addr add %s/%u dev %s nodad\n", ip_format(&in->gw6, ip), in->pods6.bits,
                   in->bridge);
    }
    buf_printf(b, "link set %s up\n", in->bridge);
    buf_printf(b, "route add %s dev %s\n", cidr_format(&in->services4, range), in->bridge);
    if (in->gw6.family)
        buf_printf(b, "route add %s dev %s\n", cidr_format(&in->services6, range), in->bridge);
}

/* see sysctl.c about redirects; the machine-wide switch alone leaves an interface's own on */
static void bridge_sysctls(const struct instance *in)
{
    char path[128];

    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/send_redirects", in->bridge);
    write_file(path, "0");
}

static unsigned slots_of(const struct instance *in)
{
    unsigned host_bits = 32u - in->pods4.bits;
    unsigned n = host_bits > 15 ? SLOTS_MAX : (1u << host_bits) - 1; /* the last is broadcast */

    if (in->pods6.ip.family && 128u - in->pods6.bits < host_bits)
        n = 1u << (128u - in->pods6.bits);
    return n;
}

struct network *network_new(const struct instance *in, struct err *e)
{
    struct buf b = BUF_INIT;

    if (sysctl_enable_forwarding(in, e))
        return NULL;
    bridge_commands(in, &b);
    int rc = ip_batch(b.p, -1, e);
    buf_free(&b);
    if (rc) {
        err_prefix(e, "bridge %s", in->bridge);
        return NULL;
    }
    bridge_sysctls(in);
    firewall_open(in);
    struct network *n = xcalloc(1, sizeof(*n));
    n->in = in;
    n->n_slots = slots_of(in);
    n->next = SLOT_FIRST;
    n->used = xcalloc(n->n_slots, sizeof(*n->used));
    return n;
}

void network_free(struct network *n)
{
    if (!n)
        return;
    free(n->used);
    free(n);
}

unsigned network_capacity(const struct network *n)
{
    unsigned slots = n->n_slots - SLOT_FIRST;

    return slots < PORTS_MAX ? slots : PORTS_MAX;
}

/* ---- addresses ----------------------------------------------------------------------------- */

/* goes round, so that an address just given back is the last to be used again: what still
 * remembers it should not meet a stranger there */
static unsigned take_slot(struct network *n)
{
    for (unsigned i = SLOT_FIRST; i < n->n_slots; i++) {
        unsigned slot = n->next++;
        if (n->next >= n->n_slots)
            n->next = SLOT_FIRST;
        if (!n->used[slot]) {
            n->used[slot] = true;
            return slot;
        }
    }
    return 0;
}

static void slot_address(const struct cidr *range, unsigned slot, struct ip *out)
{
    *out = range->ip;
    if (!out->family)
        return;
    unsigned len = out->family == 4 ? 4 : 16;
    for (unsigned i = len - 1; slot; i--, slot >>= 8)
        out->b[i] = (uint8_t)(out->b[i] + (slot & 0xff));
}

/* ---- namespaces ---------------------------------------------------------------------------- */

/* what container runtimes set in a new pod: ports below 1024 and ping are for every user */
static void pod_sysctls(void)
{
    write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    write_file("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    write_file("/proc/sys/net/ipv4/conf/all/accept_redirects", "0");
    write_file("/proc/sys/net/ipv4/conf/default/accept_redirects", "0");
    write_file("/proc/sys/net/ipv6/conf/all/accept_redirects", "0");
    write_file("/proc/sys/net/ipv6/conf/default/accept_redirects", "0");
    write_file("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
    write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
}

/* the child that first has the namespaces: says '1', then waits until they are held */
static void namespace_child(const char *hostname, bool host_network, int say, int hear)
{
    char c = '1';
    int flags = CLONE_NEWUTS | CLONE_NEWIPC | (host_network ? 0 : CLONE_NEWNET);

    if (unshare(flags) || sethostname(hostname, strlen(hostname)))
        c = '0';
    if (!host_network)
        pod_sysctls();
    if (write(say, &c, 1) == 1 && read(hear, &c, 1) >= 0)
        _exit(0);
    _exit(1);
}

static int hold(pid_t pid, const char *kind)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int make_namespaces(struct sandbox *sb, const char *hostname, struct err *e)
{
    int up[2], down[2];
    char c = '0';

    if (pipe2(up, O_CLOEXEC))
        return err_errno(e, "pipe");
    if (pipe2(down, O_CLOEXEC)) {
        close(up[0]);
        close(up[1]);
        return err_errno(e, "pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(down[1]);
        namespace_child(hostname, sb->host, up[1], down[0]);
    }
    close(up[1]);
    close(down[0]);
    if (pid > 0 && read(up[0], &c, 1) == 1 && c == '1') {
        sb->uts_fd = hold(pid, "uts");
        sb->ipc_fd = hold(pid, "ipc");
        sb->net_fd = sb->host ? -1 : hold(pid, "net");
    }
    close(up[0]);
    close(down[1]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (sb->uts_fd < 0 || sb->ipc_fd < 0 || (!sb->host && sb->net_fd < 0))
        return err_set(e,
                       "cannot make a pod's namespaces: the kernel needs NET_NS, UTS_NS, IPC_NS");
    return 0;
}

static int plug_in(struct network *n, struct sandbox *sb, struct err *e)
{
    struct buf b = BUF_INIT;
    char ip[IP_TEXT_MAX];

    snprintf(sb->veth, sizeof(sb->veth), "%.8sp%x", n->in->bridge, (uint16_t)sb->slot);
    buf_printf(&b, "link add %s type veth peer name eth0 netns /proc/%d/fd/%d\n", sb->veth,
               (int)getpid(), sb->net_fd);
    buf_printf(&b, "link set %s addrgenmode none master %s up\n", sb->veth, n->in->bridge);
    /* where bridge-netfilter is on, a pod that meets itself behind its Service goes back through
     * the port it came from */
    buf_printf(&b, "link set %s type bridge_slave hairpin on\n", sb->veth);
    int rc = ip_batch(b.p, -1, e);
    buf_clear(&b);
    buf_puts(&b, "link set lo up\nlink set eth0 up\n");
    buf_printf(&b, "addr add %s/32 dev eth0\n", ip_format(&sb->ip4, ip));
    buf_printf(&b, "route add %s dev eth0 scope link\n", ip_format(&n->in->gw4, ip));
    buf_printf(&b, "route add default via %s dev eth0\n", ip);
    if (sb->ip6.family) {
        buf_printf(&b, "addr add %s/128 dev eth0 nodad\n", ip_format(&sb->ip6, ip));
        buf_printf(&b, "route add %s dev eth0\n", ip_format(&n->in->gw6, ip));
        buf_printf(&b, "route add default via %s dev eth0\n", ip);
    }
    if (rc == 0)
        rc = ip_batch(b.p, sb->net_fd, e);
    buf_free(&b);
    return rc ? err_prefix(e, "pod network") : 0;
}

int network_sandbox(struct network *n, const char *hostname, bool host_network, struct sandbox *sb,
                    struct err *e)
{
    *sb = (struct sandbox)SANDBOX_INIT;
    sb->host = host_network;
    if (!host_network && !(sb->slot = take_slot(n)))
        return err_set(e, "no pod address is free: use a larger --pod-cidr");
    if (make_namespaces(sb, hostname, e))
        goto fail;
    if (host_network) {
        sb->ip4 = n->in->gw4;
        sb->ip6 = n->in->gw6;
        return 0;
    }
    slot_address(&n->in->pods4, sb->slot, &sb->ip4);
    slot_address(&n->in->pods6, sb->slot, &sb->ip6);
    if (plug_in(n, sb, e) == 0)
        return 0;
fail:
    network_release(n, sb, NULL);
    return -1;
}

static void link_deleted(struct proc *p, int status, void *arg)
{
}

static void delete_link(const char *name, struct procs *procs)
{
    const char *argv[] = {"ip", "link", "del", name, NULL};
    struct proc_spec ps = PROC_SPEC_INIT;
    struct err e;

    ps.argv = argv;
    if (!proc_spawn(procs, &ps, link_deleted, NULL, &e))
        log_warn("network", "%s", e.text);
}

void network_release(struct network *n, struct sandbox *sb, struct procs *procs)
{
    int *fds[] = {&sb->net_fd, &sb->uts_fd, &sb->ipc_fd};

    if (sb->veth[0] && procs)
        delete_link(sb->veth, procs);
    sb->veth[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
    if (sb->slot)
        n->used[sb->slot] = false;
    sb->slot = 0;
}

/* ---- taking it all away -------------------------------------------------------------------- */

/* the bridge and its ports: BRIDGE, BRIDGEpN */
static bool is_ours(const struct instance *in, const char *name)
{
    size_t n = strlen(in->bridge);
    return strncmp(name, in->bridge, n) == 0 &&
           (name[n] == '\0' || (name[n] == 'p' && name[n + 1] != '\0'));
}

/* appends "link del NAME" lines of what there is; returns how many.  Asks the kernel, not /sys,
 * which a chroot may not have. */
static unsigned list_links(const struct instance *in, struct buf *b)
{
    struct if_nameindex *all = if_nameindex();
    unsigned n = 0;

    for (struct if_nameindex *i = all; i && i->if_name; i++)
        if (is_ours(in, i->if_name)) {
            buf_printf(b, "link del %s\n", i->if_name);
            n++;
        }
    if (all)
        if_freenameindex(all);
    return n;
}

/* Ports go with their namespaces, many at a time and so much faster than one by one; only the
 * bridge has to be taken away, and what somebody else still holds on to. */
static void wait_for_ports(const struct instance *in)
{
    for (int i = 0; i < PORT_WAITS; i++) {
        struct buf b = BUF_INIT;
        unsigned n = list_links(in, &b);
        buf_free(&b);
        if (n <= 1)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    }
}

int network_down(const struct instance *in, struct err *e)
{
    /* -force: one that goes by itself meanwhile is fine */
    static const char *const argv[] = {"ip", "-force", "-batch", "-", NULL};
    struct buf b = BUF_INIT, left = BUF_INIT;
    struct err ignored;
    int rc = 0;

    wait_for_ports(in);
    if (list_links(in, &b))
        proc_run(argv, b.p, -1, NULL, &ignored);
    if (list_links(in, &left))
        rc = err_set(e, "interfaces could not be removed; try as root: ip %.*s",
                     (int)strcspn(left.p, "\n"), left.p);
    buf_free(&b);
    buf_free(&left);
    sysctl_restore_forwarding(in);
    return rc;
}
