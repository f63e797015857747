/* main.c - fsm-init: programs the redirection of a pod's network namespace, once, and exits.
 *
 * Runs as the pod's init container (root with NET_ADMIN and NET_RAW, nothing else), by hand in a
 * namespace, or as `fsm local`'s init step.  Exit status: 0 done; 1 failed (nothing half done
 * within a family); 2 wrong usage.
 */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/opt.h"
#include "interceptor/init/backend.h"
#include "interceptor/init/check.h"
#include "interceptor/init/live.h"

/* as given; the lists are argv's */
struct args {
    const char *out_ip_exclude, *out_ip_include, *out_port_exclude, *in_port_exclude, *if_exclude;
    const char *backend, *mode, *pod_ip;
    unsigned uid;
    bool check, dry_run, undo;
    struct opt_common common;
};

static struct args args = {.backend = "auto", .mode = "Localhost", .uid = 1500};

static const struct opt opts[] = {
    {0, "outbound-ip-exclude", "CIDR,...", "connections to these ranges are left alone",
     OPT_STR(&args.out_ip_exclude)},
    {0, "outbound-ip-include", "CIDR,...", "only connections to these ranges are redirected",
     OPT_STR(&args.out_ip_include)},
    {0, "outbound-port-exclude", "PORT,...", "connections to these ports are left alone",
     OPT_STR(&args.out_port_exclude)},
    {0, "inbound-port-exclude", "PORT,...", "connections to these ports of the pod are left alone",
     OPT_STR(&args.in_port_exclude)},
    {0, "interface-exclude", "NAME,...", "traffic of these interfaces is left alone",
     OPT_STR(&args.if_exclude)},
    {0, "proxy-uid", "UID", "user ID of the sidecar, never redirected (default 1500)",
     OPT_UINT(&args.uid, 1, 4294967294ul)},
    {0, "local-proxy-mode", "MODE",
     "where the sidecar reaches the application: Localhost (default) or PodIP",
     OPT_STR(&args.mode)},
    {0, "pod-ip", "IP,...",
     "the pod's addresses, for PodIP (default: environment POD_IPS, then POD_IP)",
     OPT_STR(&args.pod_ip)},
    {0, "backend", "BACKEND", "auto (default: what is in use, else nft), nft or legacy",
     OPT_STR(&args.backend)},
    {0, "check", NULL, "prove by connections that redirection works; change nothing",
     OPT_FLAG(&args.check)},
    {0, "dry-run", NULL, "print the rules as iptables-restore text; change nothing",
     OPT_FLAG(&args.dry_run)},
    {0, "undo", NULL, "remove everything fsm-init made, in both backends", OPT_FLAG(&args.undo)},
    OPT_END,
};

static const struct opt_prog prog = {
    .name = "fsm-init",
    .description =
        "Redirects the TCP traffic of this network namespace to the sidecar: outbound to port "
        "15001, inbound to port 15003. Running it again gives the same rules.",
    .opts = opts,
    .daemon = true,
    .no_file = true,
};

/* ---- what is wanted -------------------------------------------------------------------------- */

static int flag_error(const char *flag, struct err *e)
{
    return err_prefix(e, "%s", flag);
}

/* an empty list is no list: templates produce it */
static bool given(const char *list)
{
    return list && *list;
}

static int read_lists(const struct args *a, struct redirect *want, struct err *e)
{
    if (given(a->out_ip_exclude) &&
        redirect_add_cidrs(&want->out_ip_exclude, a->out_ip_exclude, e) != 0)
        return flag_error("--outbound-ip-exclude", e);
    if (given(a->out_ip_include) &&
        redirect_add_cidrs(&want->out_ip_include, a->out_ip_include, e) != 0)
        return flag_error("--outbound-ip-include", e);
    if (given(a->out_port_exclude) &&
        redirect_add_ports(&want->out_port_exclude, a->out_port_exclude, e) != 0)
        return flag_error("--outbound-port-exclude", e);
    if (given(a->in_port_exclude) &&
        redirect_add_ports(&want->in_port_exclude, a->in_port_exclude, e) != 0)
        return flag_error("--inbound-port-exclude", e);
    if (given(a->if_exclude) && redirect_add_ifaces(&want->if_exclude, a->if_exclude, e) != 0)
        return flag_error("--interface-exclude", e);
    return 0;
}

static int read_pod_ip(struct slice item, struct redirect *want, struct err *e)
{
    char text[IP_TEXT_MAX];
    struct ip ip;

    snprintf(text, sizeof(text), "%.*s", SLICE_FMT(item));
    if (item.n >= sizeof(text) || ip_parse(text, &ip) != 0 || ip_is_loopback(&ip))
        return err_set(e,
                       "\"%.*s\" is not valid: expected the pod's IPv4 and IPv6 addresses "
                       "separated by commas",
                       SLICE_FMT(item));
    *(ip.family == 4 ? &want->pod_ip4 : &want->pod_ip6) = ip;
    return 0;
}

static int read_mode(const struct args *a, struct redirect *want, struct err *e)
{
    const char *text = a->pod_ip, *from = "--pod-ip";
    struct slice rest;

    if (strcmp(a->mode, "Localhost") == 0)
        return 0;
    if (strcmp(a->mode, "PodIP") != 0)
        return err_set(e, "--local-proxy-mode: \"%s\" is not valid: expected Localhost or PodIP",
                       a->mode);
    if (!given(text)) {
        from = getenv("POD_IPS") ? "environment POD_IPS" : "environment POD_IP";
        text = getenv("POD_IPS") ? getenv("POD_IPS") : getenv("POD_IP");
    }
    if (!given(text))
        return err_set(e, "--local-proxy-mode PodIP needs the pod's address: give --pod-ip or set "
                          "POD_IP");
    rest = slice_str(text);
    while (rest.p)
        if (read_pod_ip(slice_trim(slice_cut(&rest, ',')), want, e) != 0)
            return flag_error(from, e);
    return 0;
}

/* Ports that are not redirected anyway go; of the others, what is odd about them is told. */
static void note_reserved(struct ports *p, const char *flag, bool inbound)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->n; i++) {
        const char *use = redirect_reserved(p->v[i]);

        if (use)
            log_warn("init", "port in a list is reserved flag=%s port=%u use=\"%s\"", flag, p->v[i],
                     use);
        if (use && inbound && p->v[i] >= 15010)
            continue;
        p->v[n++] = p->v[i];
    }
    p->n = n;
}

static int read_want(const struct args *a, struct redirect *want, struct err *e)
{
    *want = (struct redirect){.uid = a->uid};
    if (strcmp(a->backend, "auto") != 0 && strcmp(a->backend, "nft") != 0 &&
        strcmp(a->backend, "legacy") != 0)
        return err_set(e, "--backend: \"%s\" is not valid: expected auto, nft or legacy",
                       a->backend);
    if (a->check + a->dry_run + a->undo > 1)
        return err_set(e, "--check, --dry-run and --undo exclude each other: expected one of them");
    if (read_lists(a, want, e) != 0 || read_mode(a, want, e) != 0)
        return -1;
    note_reserved(&want->out_port_exclude, "--outbound-port-exclude", false);
    note_reserved(&want->in_port_exclude, "--inbound-port-exclude", true);
    return 0;
}

/* any flag that says which rules are expected */
static bool has_wishes(const struct args *a)
{
    return a->out_ip_exclude || a->out_ip_include || a->out_port_exclude || a->in_port_exclude ||
           a->if_exclude || strcmp(a->mode, "PodIP") == 0 || a->uid != 1500;
}

/* ---- the three ways to act ------------------------------------------------------------------- */

static bool has_capability(unsigned cap)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{0}};

    return syscall(SYS_capget, &h, d) == 0 && d[cap / 32].effective & 1u << cap % 32;
}

static int need_capabilities(bool legacy, struct err *e)
{
    const char *missing = NULL;

    if (!has_capability(CAP_NET_ADMIN))
        missing = "CAP_NET_ADMIN";
    else if (legacy && !has_capability(CAP_NET_RAW))
        missing = "CAP_NET_RAW";
    if (!missing)
        return 0;
    return err_set(e,
                   "%s is missing: run as user 0 and add it under "
                   "securityContext.capabilities.add of the init container",
                   missing);
}

static int print_rules(const struct redirect *want)
{
    struct buf out = BUF_INIT;

    for (int family = 4; family <= 6; family += 2) {
        struct rules r;

        rules_build(want, family, &r);
        buf_printf(&out, "# IPv%d: %s --noflush\n", family,
                   family == 4 ? "iptables-restore" : "ip6tables-restore");
        rules_print(&r, &out);
        rules_free(&r);
    }
    fwrite(out.p, 1, out.len, stdout);
    buf_free(&out);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int undo(void)
{
    static const struct backend *const all[] = {&backend_nft, &backend_legacy};
    struct err e = {""};
    int status = 0;

    for (int i = 0; i < 2; i++)
        for (int family = 4; family <= 6; family += 2)
            if (all[i]->undo(family, &e) == BACKEND_FAILED) {
                log_error("init", "undo failed backend=%s error=\"%s\"", all[i]->name, e.text);
                status = 1;
            }
    if (status == 0)
        log_info("init", "redirection removed");
    return status;
}

static int apply(const struct backend *b, const struct redirect *want, int family, struct err *e)
{
    struct rules r;
    int rc;

    rules_build(want, family, &r);
    rc = b->apply(&r, e);
    rules_free(&r);
    return rc;
}

/* IPv4 must work; the other backend may take over as long as nothing was changed */
static int install4(struct choice *c, const struct redirect *want, struct err *e)
{
    int rc = apply(c->backend, want, 4, e);

    if (rc == BACKEND_UNSUPPORTED && c->other) {
        log_warn("init",
                 "backend is not supported here, taking the other backend=%s other=%s "
                 "error=\"%s\"",
                 c->backend->name, c->other->name, e->text);
        *c = (struct choice){c->other, NULL, "the other one is not supported here"};
        if (need_capabilities(c->backend == &backend_legacy, e) != 0)
            return -1;
        rc = apply(c->backend, want, 4, e);
    }
    return rc == BACKEND_OK ? 0 : -1;
}

/* IPv6 may be missing where nobody has an address of it, but then it is said.  *families names what
 * is redirected. */
static int install6(const struct choice *c, const struct redirect *want, const char **families,
                    struct err *e)
{
    struct ip own;
    int rc;

    *families = "ipv4";
    if (access("/proc/net/if_inet6", F_OK) != 0) {
        log_info("init", "IPv6 is not available in this kernel: nothing to intercept");
        return 0;
    }
    rc = apply(c->backend, want, 6, e);
    if (rc == BACKEND_UNSUPPORTED && live_own_address(6, &own) == 0)
        return err_prefix(e, "the pod has an IPv6 address, but the kernel has no IPv6 NAT for this "
                             "backend, and its IPv6 traffic would pass the mesh by");
    if (rc == BACKEND_UNSUPPORTED)
        log_warn("init",
                 "IPv6 traffic is NOT intercepted: the kernel has no IPv6 NAT for this "
                 "backend backend=%s error=\"%s\"",
                 c->backend->name, e->text);
    else if (rc == BACKEND_OK)
        *families = "ipv4,ipv6";
    return rc == BACKEND_FAILED ? -1 : 0;
}

/* refused although the capabilities are there */
static void explain_refusal(struct err *e)
{
    struct err was = *e;

    if (strstr(e->text, "Permission denied") || strstr(e->text, "not permitted"))
        err_set(e,
                "%s: the capabilities are there, but not over this network namespace, which "
                "belongs to another user namespace",
                was.text);
}

static int install(const struct args *a, const struct redirect *want)
{
    struct choice c;
    struct err e = {""};
    const char *families;

    if (backend_choose(a->backend, &c, &e) != 0 ||
        need_capabilities(c.backend == &backend_legacy, &e) != 0 || install4(&c, want, &e) != 0 ||
        install6(&c, want, &families, &e) != 0) {
        explain_refusal(&e);
        log_error("init", "redirection was not installed error=\"%s\"", e.text);
        return 1;
    }
    log_info("init",
             "redirection installed backend=%s why=\"%s\" families=%s outbound=%u "
             "inbound=%u uid=%u",
             c.backend->name, c.why, families, PORT_OUTBOUND, PORT_INBOUND, want->uid);
    return 0;
}

static int run(const struct args *a, struct redirect *want)
{
    struct err e = {""};

    if (a->common.check_only)
        return 0;
    if (a->dry_run)
        return print_rules(want);
    if (need_capabilities(false, &e) != 0) {
        log_error("init", "cannot work error=\"%s\"", e.text);
        return 1;
    }
    if (backend_lock(&e) != 0) {
        log_error("init", "cannot work error=\"%s\"", e.text);
        return 1;
    }
    if (a->undo)
        return undo();
    if (a->check)
        redirect_sort(want);
    if (a->check)
        return check_run(has_wishes(a) ? want : NULL) ? 1 : 0;
    return install(a, want);
}

int main(int argc, char **argv)
{
    struct redirect want = {0};
    struct err e = {""};
    int status = 0, first = opt_parse(&prog, argc, argv, &args.common, &status);

    if (first < 0)
        return status;
    if (first < argc)
        err_set(&e, "\"%s\": expected flags only", argv[first]);
    if (first < argc || read_want(&args, &want, &e) != 0) {
        fprintf(stderr, "fsm-init: %s\n", e.text);
        status = 2;
    } else {
        status = run(&args, &want);
    }
    redirect_free(&want);
    return status;
}
