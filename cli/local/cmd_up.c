/* cmd_up.c - fsm local up, down. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cli/local/cleanup.h"
#include "cli/local/instance.h"
#include "cli/local/local.h"
#include "cli/local/local_cli.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"

#define STOP_ASK_MS  2000 /* for the daemon to hear of it */
#define STOP_WAIT_MS 5000 /* beyond the grace that pods get; then everything is killed */

static struct {
    struct instance_ranges ranges;
    struct opt_list images, dns;
    const char *native_sidecar;
    long long backoff_ms, lead_ms, grace_ms;
    unsigned log_mb;
    bool no_controller, quiet, all;
} up = {.backoff_ms = -1, .lead_ms = -1, .grace_ms = 2000, .log_mb = 8};

const struct opt local_up_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_FILES,
    {0, "images", "FILE", "more image names and their commands (may repeat)", OPT_LIST(&up.images)},
    {0, "pod-cidr", "CIDR", "IPv4 addresses of pods (default: a free range)",
     OPT_STR(&up.ranges.pods4)},
    {0, "service-cidr", "CIDR", "IPv4 addresses of Services", OPT_STR(&up.ranges.services4)},
    {0, "pod-cidr6", "CIDR", "IPv6 addresses of pods", OPT_STR(&up.ranges.pods6)},
    {0, "service-cidr6", "CIDR", "IPv6 addresses of Services", OPT_STR(&up.ranges.services6)},
    {0, "native-sidecar", "BOOL", "the sidecar is an init container that stays (default true)",
     OPT_STR(&up.native_sidecar)},
    {0, "without-controller", NULL, "plain pods only: no controller, nothing is injected",
     OPT_FLAG(&up.no_controller)},
    {0, "dns-upstream", "ADDRESS",
     "where names outside the cluster are looked up, \"host\" = this machine's resolvers "
     "(default: nowhere; may repeat)",
     OPT_LIST(&up.dns)},
    {0, "restart-backoff", "DURATION", "first wait between restarts of a container (default 10s)",
     OPT_MS(&up.backoff_ms)},
    {0, "endpoint-lead", "DURATION",
     "between a pod's leaving its Services and its SIGTERM (default 300ms)", OPT_MS(&up.lead_ms)},
    {0, "log-size", "MEBIBYTES", "size of a container's log file; two are kept (default 8)",
     OPT_UINT(&up.log_mb, 1, 1024)},
    {'q', "quiet", NULL, "print nothing but errors", OPT_FLAG(&up.quiet)},
    OPT_END};

const struct opt local_down_opts[] = {
    LOCAL_OPT_NAME,
    {'a', "all", NULL, "every instance on this machine", OPT_FLAG(&up.all)},
    {0, "grace", "DURATION", "how long pods may take to end (default 2s)", OPT_MS(&up.grace_ms)},
    OPT_END};

/* ---- the daemon ------------------------------------------------------------------------------ */

int local_daemon_entry(int argc, char **argv)
{
    struct err e;

    if (argc != 2 || instance_check_name(argv[1], &e))
        return cli_usage("the daemon is started by 'fsm local up'");
    return daemon_main(argv[1], 3);
}

static void become_daemon(const struct instance *in, int ready)
{
    char *log = instance_path(in, "logs/daemon.log");
    int null = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    char *argv[] = {xstrdup("fsm"), xstrdup("local"), xstrdup(LOCAL_DAEMON_VERB), xstrdup(in->name),
                    NULL};

    setsid();
    setenv(INSTANCE_MARK, in->name, 1);
    if (chdir("/") || null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
        dup2(out, 2) < 0 || (ready != 3 && dup2(ready, 3) < 0))
        _exit(1);
    fcntl(3, F_SETFD, 0);
    close_range(4, ~0u, 0);
    execv("/proc/self/exe", argv);
    _exit(1);
}

/* progress lines until "ready" or "failed: ..." or the end; 0 when ready */
static int follow(int fd, struct err *e)
{
    FILE *f = fdopen(fd, "r");
    char line[1300];
    int rc = -1;

    err_set(e, "the daemon ended before it was ready");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "ready") == 0) {
            rc = 0;
            break;
        }
        if (strncmp(line, "failed: ", 8) == 0)
            err_set(e, "%s", line + 8);
        else if (!up.quiet)
            printf("  %s\n", line);
    }
    if (f)
        fclose(f);
    return rc;
}

static int start_daemon(const struct instance *in, struct err *e)
{
    int ready[2];

    if (pipe2(ready, O_CLOEXEC))
        return err_errno(e, "pipe");
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(e, "fork");
    if (pid == 0)
        become_daemon(in, ready[1]);
    close(ready[1]);
    return follow(ready[0], e);
}

/* ---- up -------------------------------------------------------------------------------------- */

static int parse_bool(const char *text, bool *out)
{
    if (!text)
        return 0;
    if (strcmp(text, "true") == 0)
        *out = true;
    else if (strcmp(text, "false") == 0)
        *out = false;
    else
        return cli_usage("--native-sidecar: got \"%s\", expected true or false", text);
    return 0;
}

static char *join(const struct opt_list *l)
{
    struct buf b = BUF_INIT;

    for (unsigned i = 0; i < l->n; i++)
        buf_printf(&b, "%s%s", i ? "," : "", l->v[i]);
    return buf_take(&b);
}

static void take_images(struct instance *in)
{
    in->images = xreallocarray(in->images, up.images.n + 1, sizeof(*in->images));
    for (unsigned i = 0; i < up.images.n; i++)
        in->images[i] = realpath(up.images.v[i], NULL) ?: xstrdup(up.images.v[i]);
    in->images[up.images.n] = NULL;
}

/* "1.1.1.1", "1.1.1.1#5353,fd00::1", "host" */
static bool are_servers(const char *text)
{
    struct slice rest = slice_str(text);
    struct ip ip;

    if (strcmp(text, "host") == 0)
        return true;
    while (rest.p) {
        struct slice one = slice_cut(&rest, ','), address = slice_cut(&one, '#');
        char *s = xstrndup(address.p, address.n);
        bool ok = ip_parse(s, &ip) == 0;
        free(s);
        if (!ok)
            return false;
    }
    return true;
}

/* what would only be found wrong when half of the instance is there */
static int check_flags(void)
{
    struct instance *scratch = instance_new(local_name());
    struct err e;
    int rc = instance_take_ranges(scratch, &up.ranges, &e) ? cli_usage("%s", e.text) : 0;

    instance_free(scratch);
    for (unsigned i = 0; rc == 0 && i < up.images.n; i++)
        if (access(up.images.v[i], R_OK))
            rc = cli_usage("--images: %s: %s", up.images.v[i], strerror(errno));
    for (unsigned i = 0; rc == 0 && i < up.dns.n; i++)
        if (!are_servers(up.dns.v[i]))
            rc = cli_usage("--dns-upstream: got \"%s\", expected an IP address or \"host\"",
                           up.dns.v[i]);
    return rc;
}

static int take_flags(struct instance *in)
{
    if (check_flags() || parse_bool(up.native_sidecar, &in->native_sidecar))
        return 2;
    in->controller = !up.no_controller;
    if (up.backoff_ms >= 0)
        in->backoff_ms = (unsigned)up.backoff_ms;
    if (up.lead_ms >= 0)
        in->lead_ms = (unsigned)up.lead_ms;
    in->log_max = up.log_mb << 20;
    free(in->dns_upstream);
    in->dns_upstream = join(&up.dns);
    take_images(in);
    return 0;
}

static int make_directories(const struct instance *in, struct err *e)
{
    static const char *const subs[] = {"resources", "logs", "ca", "dns", "pods"};

    if (file_mkdirs(in->dir, 0700, e))
        return -1;
    if (chmod(in->dir, 0700))
        return err_errno(e, "%s", in->dir);
    for (size_t i = 0; i < sizeof(subs) / sizeof(*subs); i++) {
        char *p = instance_path(in, subs[i]);
        int rc = file_mkdirs(p, 0700, e);
        free(p);
        if (rc)
            return -1;
    }
    return 0;
}

/* the bridge's name has room for a hash of the instance's only */
static int check_bridge(const struct instance *in, struct err *e)
{
    char **names = instance_list();
    int rc = 0;

    for (char **n = names; *n; n++) {
        struct instance *other = instance_new(*n);
        if (rc == 0 && strcmp(*n, in->name) != 0 && strcmp(other->bridge, in->bridge) == 0)
            rc = err_set(e,
                         "the bridge of instance \"%s\" would be that of instance \"%s\" (%s): "
                         "choose another --name",
                         in->name, *n, in->bridge);
        instance_free(other);
        free(*n);
    }
    free(names);
    return rc;
}

/* with the machine lock held */
static int bring_up(struct instance *in, struct err *e)
{
    struct err ignored;
    pid_t pid = cleanup_daemon_pid(in);

    if (pid)
        return err_set(e,
                       "instance \"%s\" is up already (pid %d): 'fsm local status%s' shows it, "
                       "'fsm local down%s' ends it",
                       in->name, (int)pid, local_name_words(in->name), local_name_words(in->name));
    if (check_bridge(in, e))
        return -1;
    if (cleanup_instance(in, -1, e))
        return err_prefix(e, "what an earlier run left cannot be removed");
    if (instance_choose_ranges(in, &up.ranges, e))
        return -1;
    if (make_directories(in, e) == 0 && instance_save(in, e) == 0 && start_daemon(in, e) == 0)
        return 0;
    /* the words of what went wrong are worth more than those of the cleaning */
    cleanup_instance(in, -1, &ignored);
    cleanup_common();
    return -1;
}

static void name_flag(const char *flag, const char *name, char *out, size_t size)
{
    out[0] = '\0';
    if (strcmp(name, INSTANCE_DEFAULT) != 0)
        snprintf(out, size, " %s %s", flag, name);
}

static void print_next(const struct instance *in)
{
    char flag[64], local[64];

    name_flag("--name", in->name, flag, sizeof(flag));
    name_flag("--local", in->name, local, sizeof(local));
    printf("instance \"%s\" is up.  What to try next:\n"
           "  fsm local apply%s -f FILE      run what a Kubernetes manifest describes\n"
           "  fsm namespace add%s default   put a namespace into the mesh\n"
           "  fsm local get pods -A%s        see what runs\n"
           "  fsm local status%s             is everything well?\n"
           "  fsm local down%s               remove it all again\n",
           in->name, flag, local, flag, flag, flag);
}

int local_up(int argc, char **argv)
{
    struct err e;

    if (argc)
        return cli_usage("fsm local up takes no operands; files go behind -f");
    if (getuid() != 0)
        return cli_fail("fsm local needs root, for network namespaces: try 'sudo fsm local up'");
    if (instance_check_name(local_name(), &e))
        return cli_usage("%s", e.text);
    struct instance *in = instance_new(local_name());
    int lock = -1, rc = take_flags(in);
    if (rc == 0 && (lock = instance_lock(&e)) >= 0) {
        if (!up.quiet)
            printf("starting instance \"%s\"\n", in->name);
        rc = bring_up(in, &e) ? cli_fail("%s", e.text) : 0;
        close(lock);
    } else if (rc == 0) {
        rc = cli_fail("%s", e.text);
    }
    if (rc == 0 && local_flags.files.n)
        rc = apply_files(&local_flags.files, local_ns(), false);
    if (rc == 0 && !up.quiet)
        print_next(in);
    instance_free(in);
    return rc;
}

/* ---- down ------------------------------------------------------------------------------------ */

/* asks nicely; what remains after that is killed by cleanup_instance */
static void stop_daemon(const struct instance *in)
{
    struct err e;
    pid_t pid = cleanup_daemon_pid(in);
    unsigned grace_s = (unsigned)((up.grace_ms + 999) / 1000);

    if (!pid)
        return;
    uint64_t end = clock_mono_ms() + (uint64_t)up.grace_ms + STOP_WAIT_MS;
    /* one that does not answer is killed as well */
    json_decref(client_call_within(
        in->name, json_pack("{s:s, s:i}", "verb", "stop", "grace", (int)grace_s), STOP_ASK_MS, &e));
    while (clock_mono_ms() < end && cleanup_daemon_pid(in) == pid)
        nanosleep(&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
}

static int take_down(const char *name)
{
    struct err e;
    /* what it was started with, if that can still be read */
    struct instance *in = instance_load(name, &e) ?: instance_new(name);
    int rc = 1, there = cleanup_other_netns(in);

    stop_daemon(in);
    int lock = instance_lock(&e);
    if (lock >= 0) {
        rc = cleanup_instance(in, there, &e);
        cleanup_common();
        close(lock);
    }
    if (there >= 0)
        close(there);
    instance_free(in);
    return rc ? cli_fail("%s", e.text) : 0;
}

int local_down(int argc, char **argv)
{
    struct err e;
    int rc = 0;

    if (argc)
        return cli_usage("fsm local down takes no operands: which instance is --name's word");
    if (getuid() != 0)
        return cli_fail("fsm local needs root: try 'sudo fsm local down'");
    if (!up.all)
        return instance_check_name(local_name(), &e) ? cli_usage("%s", e.text)
                                                     : take_down(local_name());
    char **names = instance_list();
    for (char **n = names; *n; n++) {
        rc |= take_down(*n);
        free(*n);
    }
    free(names);
    return rc;
}
