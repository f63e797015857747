/* daemon.c - flags that are checked, a start, a loop, and two kinds of end. */
#include "common/daemon/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/base/log.h"
#include "common/base/notify.h"
#include "common/base/process.h"
#include "common/base/version.h"

/* ---- flags ----------------------------------------------------------------------------------- */

int daemon_check_source(struct daemon_conf *c, const struct opt_common *common, struct err *e)
{
    struct kube_access_from *api = &c->api;
    const char *env = getenv("KUBECONFIG");

    c->files = common->files;
    if (c->files.n > 0)
        return api->kubeconfig || api->context
                   ? err_set(e, "-f and --kubeconfig exclude each other: resources come from files "
                                "or from an API server")
                   : 0;
    if (common->check_only)
        return err_set(e, "-f DIR is missing: -n checks files");
    if (api->kubeconfig || api->context)
        return 0;
    api->in_cluster = kube_access_is_in_cluster();
    if (!api->in_cluster && !(env && *env))
        return err_set(e, "-f DIR is missing: a directory or file of resources; or --kubeconfig "
                          "FILE for those of an API server (this is no pod, and $KUBECONFIG is "
                          "not set)");
    return 0;
}

int daemon_check_name(const char *flag, const char *value, kube_syntax *syntax, struct err *e)
{
    const char *expected = syntax(value);

    return expected ? err_set(e, "%s \"%s\": expected %s", flag, value, expected) : 0;
}

unsigned daemon_print_problems(const struct kube_problems *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);
        fprintf(stderr, "%s\n", text);
        free(text);
    }
    return p->n;
}

/* ---- running --------------------------------------------------------------------------------- */

struct run {
    const struct daemon *d;
    struct timer drain_timer;
    bool draining;
};

static void leave(void *arg)
{
    struct run *run = arg;

    loop_stop(*run->d->loop);
}

/* The first signal drains: not ready any more, answers go on for a while.  A second leaves. */
static void on_term(int sig, void *arg)
{
    struct run *run = arg;

    if (run->draining) {
        log_warn(run->d->id, "second signal, leaving now signal=%d", sig);
        loop_stop(*run->d->loop);
        return;
    }
    log_info(run->d->id, "draining signal=%d", sig);
    notify_manager("STOPPING=1");
    run->draining = true;
    timer_set(&run->drain_timer, run->d->drain());
}

static void on_hup(int sig, void *arg)
{
    struct run *run = arg;

    log_info(run->d->id, "reading everything again signal=%d", sig);
    notify_manager("RELOADING=1");
    run->d->reload();
    notify_manager("READY=1");
}

static int start(struct run *run, struct err *e)
{
    const struct daemon *d = run->d;

    if (!d->conf->core_dumps)
        process_hide_memory();
    signal(SIGPIPE, SIG_IGN);
    if (!(*d->loop = loop_new(e)))
        return -1;
    timer_init(&run->drain_timer, *d->loop, leave, run);
    if (loop_on_signal(*d->loop, SIGTERM, on_term, run) < 0 ||
        loop_on_signal(*d->loop, SIGINT, on_term, run) < 0 ||
        loop_on_signal(*d->loop, SIGHUP, on_hup, run) < 0)
        return err_set(e, "can't take signals");
    return d->start(e);
}

int daemon_main(const struct daemon *d, struct opt_common *common, int argc, char **argv)
{
    struct run run = {.d = d};
    struct err e = {""};
    int status;

    int first = opt_parse(d->prog, argc, argv, common, &status);
    if (first < 0)
        return status;
    if (first < argc)
        err_set(&e, "\"%s\": expected flags only; each file or directory has its own -f",
                argv[first]);
    if (first < argc || d->check_conf(common, &e) < 0) {
        fprintf(stderr, "%s: %s\n", d->prog->name, e.text);
        return 2;
    }
    if (common->check_only)
        return d->check();
    if (start(&run, &e) < 0) {
        log_error(d->id, "can't start error=\"%s\"", e.text);
        return 1;
    }
    log_info(d->id, "started version=%s listen=%s admin=%s mesh=%s", fsm_version, d->conf->listen,
             d->conf->admin, d->conf->mesh_name);
    loop_run(*d->loop);
    timer_cancel(&run.drain_timer);
    d->stop();
    log_info(d->id, "stopped");
    return 0;
}
