/* main.c - fsm-injector: the admission webhook.  A pod that is created in the mesh gets its sidecar
 * here, by a JSON patch in the answer to the API server's review. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/process.h"
#include "common/base/version.h"
#include "common/kube/names.h"
#include "injector/webhook/wh.h"

static struct wh wh = {
    .conf = {.listen = "0.0.0.0:9090",
             .admin = "127.0.0.1:9091",
             .mesh_name = "fsm",
             .fsm_namespace = "fsm-system",
             .trust_domain = "cluster.local",
             .native = "auto",
             .drain_ms = 5000},
};

static struct opt_common common;
static bool core_dumps;

static const struct opt opts[] = {
    {'f', "file", "DIR", "a directory (with what is below it) or a file of YAML (may repeat)",
     OPT_LIST(&common.files)},
    {0, "kubeconfig", "FILE",
     "read resources from the API server of this kubeconfig (default without -f: the pod's service "
     "account, else $KUBECONFIG)",
     OPT_STR(&wh.conf.api.kubeconfig)},
    {0, "context", "NAME", "this context of the kubeconfig (default: its current-context)",
     OPT_STR(&wh.conf.api.context)},
    {0, "ca-dir", "DIR", "the directory of the mesh's certificate authority, as fsm-controller's",
     OPT_STR(&wh.conf.ca_dir)},
    {0, "listen", "ADDR:PORT", "serve the API server there, by HTTPS (default 0.0.0.0:9090)",
     OPT_STR(&wh.conf.listen)},
    {0, "admin", "ADDR", "health and metrics: ADDR:PORT or unix:/path (default 127.0.0.1:9091)",
     OPT_STR(&wh.conf.admin)},
    {0, "mesh-name", "NAME", "namespaces labelled with it are in the mesh (default fsm)",
     OPT_STR(&wh.conf.mesh_name)},
    {0, "fsm-namespace", "NS",
     "where the control plane and its MeshConfig live (default fsm-system)",
     OPT_STR(&wh.conf.fsm_namespace)},
    {0, "trust-domain", "DOMAIN", "of identities and host names (default cluster.local)",
     OPT_STR(&wh.conf.trust_domain)},
    {0, "webhook", "NAME",
     "keep the CA bundle of this MutatingWebhookConfiguration right (default fsm-webhook-MESH; "
     "\"\": of none)",
     OPT_STR(&wh.conf.webhook)},
    {0, "native-sidecar", "WHEN",
     "the sidecar is an init container that stays: true, false, or auto (default): if the API "
     "server's version has that; with -f: yes",
     OPT_STR(&wh.conf.native)},
    {0, "sidecar-image", "IMAGE", "where the MeshConfig names none",
     OPT_STR(&wh.conf.sidecar_image)},
    {0, "init-image", "IMAGE", "the same", OPT_STR(&wh.conf.init_image)},
    {0, "healthcheck-image", "IMAGE", "the same", OPT_STR(&wh.conf.healthcheck_image)},
    {0, "drain", "DURATION",
     "after SIGTERM, not ready any more, answer on for so long (default 5s)",
     OPT_MS(&wh.conf.drain_ms)},
    {0, "core-dumps", NULL,
     "let a crash leave a core dump, which holds the CA's key (default: none is made)",
     OPT_FLAG(&core_dumps)},
    OPT_END};

static const struct opt_prog prog = {
    .name = "fsm-injector",
    .synopsis = "[-f DIR | --kubeconfig FILE] --ca-dir DIR",
    .description =
        "Answers the API server's reviews of pods that are created: those in the mesh get a "
        "sidecar. With -n it checks the resources of -f and leaves; --ca-dir is not needed.",
    .opts = opts,
    .daemon = true,
};

/* ---- what was asked for ---------------------------------------------------------------------- */

/* files, a kubeconfig, or the pod's own service account */
static int check_source(struct err *e)
{
    struct kube_access_from *api = &wh.conf.api;
    const char *env = getenv("KUBECONFIG");

    if (wh.conf.files.n > 0)
        return api->kubeconfig || api->context
                   ? err_set(e, "-f and --kubeconfig exclude each other: resources come from files "
                                "or from an API server")
                   : 0;
    if (common.check_only)
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

static int check_name(const char *flag, const char *value, kube_syntax *syntax, struct err *e)
{
    const char *expected = syntax(value);

    return expected ? err_set(e, "%s \"%s\": expected %s", flag, value, expected) : 0;
}

static int check_conf(struct err *e)
{
    struct wh_conf *c = &wh.conf;

    c->files = common.files;
    if (check_source(e) < 0 ||
        check_name("--trust-domain", c->trust_domain, kube_is_dns_subdomain, e) < 0 ||
        check_name("--fsm-namespace", c->fsm_namespace, kube_is_dns_label, e) < 0 ||
        check_name("--mesh-name", c->mesh_name, kube_is_dns_label, e) < 0)
        return -1;
    if (c->webhook && *c->webhook && check_name("--webhook", c->webhook, kube_is_dns_subdomain, e))
        return -1;
    if (strcmp(c->native, "auto") && strcmp(c->native, "true") && strcmp(c->native, "false"))
        return err_set(e, "--native-sidecar \"%s\": expected auto, true or false", c->native);
    if (common.check_only)
        return 0;
    if (!c->ca_dir)
        return err_set(e, "--ca-dir DIR is missing: where fsm-controller keeps the certificate "
                          "authority");
    if (!c->webhook)
        c->webhook = xasprintf("fsm-webhook-%s", c->mesh_name); /* lives as long as we do */
    return 0;
}

/* ---- -n -------------------------------------------------------------------------------------- */

static void on_checked(struct kube_source *s, void *arg)
{
    if (kube_source_synced(s))
        loop_stop(wh.loop);
}

static int report(void)
{
    const struct kube_problems *p = kube_source_problems(wh.source);

    for (unsigned i = 0; i < p->n; i++) {
        char *text = kube_problem_text(&p->v[i]);
        fprintf(stderr, "%s\n", text);
        free(text);
    }
    printf("%zu namespaces, %s MeshConfig: %s\n", kube_store_count(wh.store, "Namespace"),
           wh.meshconfig ? "a" : "no", p->n ? "not all resources are good" : "good");
    return p->n > 0;
}

static int check(void)
{
    struct err e = {""};
    int status = 1;

    log_set_level(LOG_OFF);
    wh.loop = loop_new(&e);
    if (wh.loop && wh_sources_start(&wh, &e) == 0) {
        kube_source_on_batch(wh.source, on_checked, NULL);
        loop_run(wh.loop);
        status = report();
    } else {
        fprintf(stderr, "fsm-injector: %s\n", e.text);
    }
    if (wh.store)
        wh_sources_stop(&wh);
    loop_free(wh.loop);
    return status;
}

/* ---- running --------------------------------------------------------------------------------- */

static void leave(void *arg)
{
    loop_stop(wh.loop);
}

/* The first signal drains: not ready any more, connections end with their next answer.  A second
 * leaves. */
static void on_term(int sig, void *arg)
{
    if (wh.draining) {
        log_warn("injector", "second signal, leaving now signal=%d", sig);
        loop_stop(wh.loop);
        return;
    }
    log_info("injector", "draining signal=%d", sig);
    wh.draining = true;
    http_server_drain(wh.https);
    timer_set(&wh.drain_timer, (uint64_t)wh.conf.drain_ms);
}

static void on_hup(int sig, void *arg)
{
    log_info("injector", "reading everything again signal=%d", sig);
    kube_source_refresh(wh.source);
}

static int start(struct err *e)
{
    if (!core_dumps)
        process_hide_memory();
    signal(SIGPIPE, SIG_IGN);
    TAILQ_INIT(&wh.lookups);
    if (!(wh.loop = loop_new(e)))
        return -1;
    timer_init(&wh.drain_timer, wh.loop, leave, NULL);
    if (loop_on_signal(wh.loop, SIGTERM, on_term, NULL) < 0 ||
        loop_on_signal(wh.loop, SIGINT, on_term, NULL) < 0 ||
        loop_on_signal(wh.loop, SIGHUP, on_hup, NULL) < 0)
        return err_set(e, "can't take signals");
    if (wh_ca_open(&wh, e) < 0 || wh_serve_start(&wh, e) < 0 || wh_admin_start(&wh, e) < 0 ||
        wh_sources_start(&wh, e) < 0)
        return -1;
    wh_cert_start(&wh);
    wh_bundle_start(&wh);
    return 0;
}

static void stop(void)
{
    timer_cancel(&wh.drain_timer);
    wh_bundle_stop(&wh);
    wh_lookups_end(&wh);
    http_server_free(wh.https);
    wh_admin_stop(&wh);
    wh_sources_stop(&wh);
    wh_cert_stop(&wh);
    loop_free(wh.loop);
    tls_pool_free(wh.pool); /* connections that closed are freed by the loop's end */
}

int main(int argc, char **argv)
{
    struct err e = {""};
    int status;

    int first = opt_parse(&prog, argc, argv, &common, &status);
    if (first < 0)
        return status;
    if (first < argc)
        err_set(&e, "\"%s\": expected flags only; each file or directory has its own -f",
                argv[first]);
    if (first < argc || check_conf(&e) < 0) {
        fprintf(stderr, "fsm-injector: %s\n", e.text);
        return 2;
    }
    if (common.check_only)
        return check();
    if (start(&e) < 0) {
        log_error("injector", "can't start error=\"%s\"", e.text);
        return 1;
    }
    log_info("injector", "started version=%s listen=%s admin=%s mesh=%s", fsm_version,
             wh.conf.listen, wh.conf.admin, wh.conf.mesh_name);
    loop_run(wh.loop);
    stop();
    log_info("injector", "stopped");
    return 0;
}
