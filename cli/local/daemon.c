/* daemon.c - fsm local's daemon: the order of things. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/local/api.h"
#include "cli/local/images.h"
#include "cli/local/local.h"
#include "cli/local/pod.h"
#include "cli/local/presets.h"
#include "cli/local/probe.h"
#include "cli/local/resources.h"
#include "cli/local/sync.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/pki/pki.h"

static int ready_pipe = -1;

/* one line to whoever waits in `fsm local up` */
static void tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void tell(const char *fmt, ...)
{
    char line[1200];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof(line) - 1)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    if (ready_pipe >= 0 && write(ready_pipe, line, (size_t)n) < 0)
        ready_pipe = -1;
}

/* Mounts of pods are private to the daemon and its children: they go with the last of them, and
 * nobody else sees them.  In a chroot "/" is no mount point and cannot be made private; there the
 * directory of pods is, which is all that is mounted on. */
static int own_mounts(const struct instance *in, struct err *e)
{
    char *pods = instance_path(in, "pods");
    int rc = -1;

    if (unshare(CLONE_NEWNS)) {
        err_errno(e, "a mount namespace");
        goto out;
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) &&
        (errno != EINVAL || mount(pods, pods, NULL, MS_BIND, NULL) ||
         mount(NULL, pods, NULL, MS_PRIVATE, NULL))) {
        err_errno(e, "making mounts private");
        goto out;
    }
    if (mount("fsm-local", pods, "tmpfs", MS_NODEV, "mode=0711")) {
        err_errno(e, "tmpfs on %s", pods);
        goto out;
    }
    rc = 0;
out:
    free(pods);
    return rc;
}

static int write_secret(const struct instance *in, const char *name, const char *text, mode_t mode,
                        struct err *e)
{
    char *path = instance_path(in, name);
    int rc = file_write(path, text, strlen(text), mode, e);

    free(path);
    return rc;
}

/* the key that signs service-account tokens, and its public half for fsm-controller */
static int make_token_key(struct local *l, struct err *e)
{
    l->token_key = pki_key_new(e);
    if (!l->token_key)
        return -1;
    char *pub = pki_public_key(l->token_key, e);
    int rc = pub ? write_secret(l->in, "token.pub", pub, 0644, e) : -1;
    free(pub);
    return rc;
}

static int write_pid(const struct instance *in, struct err *e)
{
    char text[32];

    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    return write_secret(in, "pid", text, 0600, e);
}

static void on_term(int sig, void *arg)
{
    daemon_stop(arg, 0);
}

static void reconcile(struct loop_job *job)
{
    struct local *l = (struct local *)((char *)job - offsetof(struct local, reconcile));

    sync_run(l);
}

static int open_parts(struct local *l, struct err *e)
{
    if (!(l->loop = loop_new(e)) || !(l->procs = procs_new(l->loop, e)) ||
        !(l->images = images_load(l->in, e)) || own_mounts(l->in, e) || make_token_key(l, e))
        return -1;
    loop_on_signal(l->loop, SIGTERM, on_term, l);
    loop_on_signal(l->loop, SIGINT, on_term, l);
    tell("network: bridge %s", l->in->bridge);
    if (!(l->net = network_new(l->in, e)))
        return -1;
    if (!(l->res = res_new(l, e)) || !(l->probes = probes_new(l, e)) || !(l->pods = pods_new(l, e)))
        return -1;
    if (presets_create(l, e) || sync_open(l, e))
        return -1;
    l->started_ms = loop_now_ms(l->loop);
    if (!(l->api = api_new(l, e)))
        return -1;
    return 0;
}

static void close_parts(struct local *l)
{
    api_free(l->api);
    sync_close(l);
    pods_free(l->pods);
    probes_free(l->probes);
    res_free(l->res);
    network_free(l->net);
    images_free(l->images);
    procs_free(l->procs);
    pki_wipe(l->token_key);
}

/* ---- the end --------------------------------------------------------------------------------- */

static struct timer stop_timer;

static void stop_check(void *arg)
{
    struct local *l = arg;

    /* every pod has a deadline at which it is killed: this ends */
    if (pods_any(l))
        timer_set(&stop_timer, 10);
    else
        loop_stop(l->loop);
}

void daemon_stop(struct local *l, unsigned grace_s)
{
    struct pod *p;

    if (!l->stopping)
        log_info("daemon", "stopping grace_s=%u", grace_s);
    l->stopping = true;
    for (p = pod_next(l, NULL); p; p = pod_next(l, p))
        pod_delete(l, p->ns, p->name, grace_s);
    timer_init(&stop_timer, l->loop, stop_check, l);
    timer_set(&stop_timer, 1);
}

int daemon_main(const char *name, int ready_fd)
{
    struct local l = {0};
    struct err e = {""};
    int rc = 1;

    ready_pipe = ready_fd;
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    log_init("fsm-local", false);
    struct instance *in = instance_load(name, &e);
    if (!in) {
        tell("failed: %s", e.text);
        return 1;
    }
    l.in = in;
    l.reconcile.fn = reconcile;
    if (write_pid(in, &e) || open_parts(&l, &e)) {
        log_error("daemon", "cannot start: %s", e.text);
        tell("failed: %s", e.text);
    } else {
        sync_when_ready(&l, tell);
        loop_run(l.loop);
        rc = 0;
    }
    close_parts(&l);
    instance_free(in);
    return rc;
}
