/* main.c - fsm-injector: the admission webhooks.  A pod that is created in the mesh gets its
 * sidecar here, by a JSON patch in the answer to the API server's review; resources of the mesh are
 * checked before they are stored. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "injector/webhook/wh.h"

static struct wh wh = {
    .conf = {.base = DAEMON_CONF(.listen = "0.0.0.0:9090"), .native = "auto", .drain_ms = 5000},
};

static struct opt_common common;

static const struct opt opts[] = {
    DAEMON_OPTS_SOURCE(common, wh.conf.base),
    {0, "ca-dir", "DIR", "the directory of the mesh's certificate authority, as fsm-controller's",
     OPT_STR(&wh.conf.base.ca_dir)},
    {0, "listen", "ADDR:PORT", "serve the API server there, by HTTPS (default 0.0.0.0:9090)",
     OPT_STR(&wh.conf.base.listen)},
    {0, "admin", "ADDR", "health and metrics: ADDR:PORT or unix:/path (default 127.0.0.1:9091)",
     OPT_STR(&wh.conf.base.admin)},
    DAEMON_OPTS_MESH(wh.conf.base),
    {0, "webhook", "NAME",
     "keep the CA bundle of this MutatingWebhookConfiguration right (default fsm-webhook-MESH; "
     "\"\": of none)",
     OPT_STR(&wh.conf.webhook)},
    {0, "validator", "NAME",
     "the same of this ValidatingWebhookConfiguration (default fsm-validator-mesh-MESH; \"\": of "
     "none)",
     OPT_STR(&wh.conf.validator)},
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
    DAEMON_OPT_CORE_DUMPS(wh.conf.base),
    OPT_END};

static const struct opt_prog prog = {
    .name = "fsm-injector",
    .synopsis = "[-f DIR | --kubeconfig FILE] --ca-dir DIR",
    .description =
        "Answers the API server's reviews of pods that are created: those in the mesh get a "
        "sidecar; and of the mesh's own resources: what it would not take is refused. With -n it "
        "checks the resources of -f and leaves; --ca-dir is not needed.",
    .opts = opts,
    .daemon = true,
};

/* ---- what was asked for ---------------------------------------------------------------------- */

static int check_conf(const struct opt_common *said, struct err *e)
{
    struct wh_conf *c = &wh.conf;
    struct daemon_conf *base = &c->base;

    if (daemon_check_source(base, said, e) < 0 ||
        daemon_check_name("--trust-domain", base->trust_domain, kube_is_dns_subdomain, e) < 0 ||
        daemon_check_name("--fsm-namespace", base->fsm_namespace, kube_is_dns_label, e) < 0 ||
        daemon_check_name("--mesh-name", base->mesh_name, kube_is_dns_label, e) < 0)
        return -1;
    if (c->webhook && *c->webhook &&
        daemon_check_name("--webhook", c->webhook, kube_is_dns_subdomain, e) < 0)
        return -1;
    if (c->validator && *c->validator &&
        daemon_check_name("--validator", c->validator, kube_is_dns_subdomain, e) < 0)
        return -1;
    if (strcmp(c->native, "auto") && strcmp(c->native, "true") && strcmp(c->native, "false"))
        return err_set(e, "--native-sidecar \"%s\": expected auto, true or false", c->native);
    if (said->check_only)
        return 0;
    if (!base->ca_dir)
        return err_set(e, "--ca-dir DIR is missing: where fsm-controller keeps the certificate "
                          "authority");
    if (!c->webhook)
        c->webhook = xasprintf("fsm-webhook-%s", base->mesh_name); /* lives as long as we do */
    if (!c->validator)
        c->validator = xasprintf("fsm-validator-mesh-%s", base->mesh_name);
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
    unsigned problems = daemon_print_problems(kube_source_problems(wh.source));

    printf("%zu namespaces, %s MeshConfig: %s\n", kube_store_count(wh.store, "Namespace"),
           wh.meshconfig ? "a" : "no", problems ? "not all resources are good" : "good");
    return problems > 0;
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

/* not ready any more; connections end with their next answer */
static uint64_t drain(void)
{
    wh.draining = true;
    http_server_drain(wh.https);
    return (uint64_t)wh.conf.drain_ms;
}

static void reload(void)
{
    kube_source_refresh(wh.source);
}

static int start(struct err *e)
{
    TAILQ_INIT(&wh.lookups);
    if (wh_ca_open(&wh, e) < 0 || wh_serve_start(&wh, e) < 0 || wh_admin_start(&wh, e) < 0 ||
        wh_sources_start(&wh, e) < 0)
        return -1;
    wh_cert_start(&wh);
    wh_bundles_start(&wh);
    return 0;
}

static void stop(void)
{
    wh_bundles_stop(&wh);
    wh_lookups_end(&wh);
    http_server_free(wh.https);
    daemon_admin_stop(wh.admin);
    wh_sources_stop(&wh);
    wh_cert_stop(&wh);
    loop_free(wh.loop);
    tls_pool_free(wh.pool); /* connections that closed are freed by the loop's end */
}

static const struct daemon self = {
    .id = "injector",
    .prog = &prog,
    .conf = &wh.conf.base,
    .loop = &wh.loop,
    .check_conf = check_conf,
    .check = check,
    .start = start,
    .drain = drain,
    .reload = reload,
    .stop = stop,
};

int main(int argc, char **argv)
{
    return daemon_main(&self, &common, argc, argv);
}
