/* main.c - fsm-controller: resources in, certificates and configuration documents out. */
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/log.h"
#include "controller/cp.h"

#define DRAIN_MS 300 /* for answers under way to be taken */

static struct cp cp = {
    .conf = {.base = DAEMON_CONF(.listen = "0.0.0.0:6060"), .max_connections = 16384},
};

static struct opt_common common;

static const struct opt opts[] = {
    DAEMON_OPTS_SOURCE(common, cp.conf.base),
    {0, "ca-dir", "DIR", "keep the certificate authority in DIR (made on first start)",
     OPT_STR(&cp.conf.base.ca_dir)},
    {0, "token-key", "FILE",
     "public key that service-account tokens are verified with (PEM; default: the API server "
     "reviews each)",
     OPT_STR(&cp.conf.token_key)},
    {0, "listen", "ADDR:PORT", "serve sidecars there, by HTTPS (default 0.0.0.0:6060)",
     OPT_STR(&cp.conf.base.listen)},
    {0, "admin", "ADDR",
     "health, metrics and commands: ADDR:PORT or unix:/path (default 127.0.0.1:9091)",
     OPT_STR(&cp.conf.base.admin)},
    DAEMON_OPTS_MESH(cp.conf.base),
    {0, "cert-ttl", "DURATION", "validity of sidecars' certificates, instead of the MeshConfig's",
     OPT_MS(&cp.conf.cert_ttl_ms)},
    {0, "max-connections", "N", "connections of sidecars at one time (default 16384)",
     OPT_UINT(&cp.conf.max_connections, 1, 1000000)},
    {0, "document", "NS/POD", "with -n: print the document of that pod's sidecar",
     OPT_STR(&cp.conf.document)},
    DAEMON_OPT_CORE_DUMPS(cp.conf.base),
    OPT_END};

static const struct opt_prog prog = {
    .name = "fsm-controller",
    .synopsis = "-f DIR --ca-dir DIR --token-key FILE | [--kubeconfig FILE] --ca-dir DIR",
    .description =
        "Reads the mesh's resources, issues certificates to sidecars and serves each its "
        "configuration document. With -n it checks the resources and leaves; -v prints what "
        "the mesh ignores, too, and --ca-dir and --token-key are not needed.",
    .opts = opts,
    .daemon = true,
};

/* every sidecar holds two connections */
static void raise_descriptor_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static int check_conf(const struct opt_common *said, struct err *e)
{
    struct daemon_conf *base = &cp.conf.base;

    cp.conf.verbose = said->verbose;
    if (daemon_check_source(base, said, e) < 0 ||
        daemon_check_name("--trust-domain", base->trust_domain, kube_is_dns_subdomain, e) < 0)
        return -1;
    if (said->check_only)
        return 0;
    if (cp.conf.document)
        return err_set(e, "--document needs -n: a running controller prints it at "
                          "/debug/document?pod=NS/NAME of the admin address");
    if (!base->ca_dir)
        return err_set(e, "--ca-dir DIR is missing: where the certificate authority is kept");
    if (!cp.conf.token_key && base->files.n > 0)
        return err_set(e, "--token-key FILE is missing: the public key of the tokens' issuer, "
                          "which an API server would be asked about instead");
    return 0;
}

/* waiting proxies are sent elsewhere */
static uint64_t drain(void)
{
    cp.draining = true;
    cp_writer_release(&cp);
    cp_polls_end(&cp);
    return DRAIN_MS;
}

static void reload(void)
{
    struct err e = {""};

    if (cp_auth_load_key(&cp, &e) < 0)
        log_error("auth", "the token key stays what it was error=\"%s\"", e.text);
    kube_source_refresh(cp.source);
}

static int check(void)
{
    return cp_check(&cp);
}

static int start(struct err *e)
{
    raise_descriptor_limit();
    cp_metrics_init(&cp.metrics);
    if (cp_ca_open(&cp, e) < 0 || cp_auth_start(&cp, e) < 0)
        return -1;
    if (cp_api_start(&cp, e) < 0 || cp_admin_start(&cp, e) < 0)
        return -1;
    cp_cert_start(&cp);
    cp_root_maps_start(&cp);
    if (cp_sources_start(&cp, e) < 0)
        return -1;
    cp_writer_start(&cp);
    return 0;
}

static void stop(void)
{
    cp_cert_stop(&cp);
    http_server_free(cp.api);
    daemon_admin_stop(cp.admin);
    cp_proxies_free(&cp);
    cp_auth_stop(&cp);
    cp_writer_stop(&cp);
    cp_root_maps_stop(&cp);
    cp_sources_stop(&cp);
    cp_metrics_clear(&cp.metrics);
    pki_ca_free(cp.ca);
    loop_free(cp.loop);
}

static const struct daemon self = {
    .id = "controller",
    .prog = &prog,
    .conf = &cp.conf.base,
    .loop = &cp.loop,
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
