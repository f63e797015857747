/* main.c - fsm-controller: resources in, certificates and configuration documents out. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/process.h"
#include "common/base/version.h"
#include "common/kube/names.h"
#include "controller/cp.h"

#define DRAIN_MS 300 /* for answers under way to be taken */

static struct cp cp = {
    .conf = {.listen = "0.0.0.0:6060",
             .admin = "127.0.0.1:9091",
             .mesh_name = "fsm",
             .fsm_namespace = "fsm-system",
             .trust_domain = "cluster.local",
             .max_connections = 16384},
};

static struct opt_common common;
static bool core_dumps;

static const struct opt opts[] = {
    {'f', "file", "DIR", "a directory (with what is below it) or a file of YAML (may repeat)",
     OPT_LIST(&common.files)},
    {0, "kubeconfig", "FILE",
     "read resources from the API server of this kubeconfig (default without -f: the pod's service "
     "account, else $KUBECONFIG)",
     OPT_STR(&cp.conf.api.kubeconfig)},
    {0, "context", "NAME", "this context of the kubeconfig (default: its current-context)",
     OPT_STR(&cp.conf.api.context)},
    {0, "ca-dir", "DIR", "keep the certificate authority in DIR (made on first start)",
     OPT_STR(&cp.conf.ca_dir)},
    {0, "token-key", "FILE",
     "public key that service-account tokens are verified with (PEM; default: the API server "
     "reviews each)",
     OPT_STR(&cp.conf.token_key)},
    {0, "listen", "ADDR:PORT", "serve sidecars there, by HTTPS (default 0.0.0.0:6060)",
     OPT_STR(&cp.conf.listen)},
    {0, "admin", "ADDR",
     "health, metrics and commands: ADDR:PORT or unix:/path (default 127.0.0.1:9091)",
     OPT_STR(&cp.conf.admin)},
    {0, "mesh-name", "NAME", "namespaces labelled with it are in the mesh (default fsm)",
     OPT_STR(&cp.conf.mesh_name)},
    {0, "fsm-namespace", "NS",
     "where the control plane and its MeshConfig live (default fsm-system)",
     OPT_STR(&cp.conf.fsm_namespace)},
    {0, "trust-domain", "DOMAIN", "of identities and host names (default cluster.local)",
     OPT_STR(&cp.conf.trust_domain)},
    {0, "cert-ttl", "DURATION", "validity of sidecars' certificates, instead of the MeshConfig's",
     OPT_MS(&cp.conf.cert_ttl_ms)},
    {0, "max-connections", "N", "connections of sidecars at one time (default 16384)",
     OPT_UINT(&cp.conf.max_connections, 1, 1000000)},
    {0, "document", "NS/POD", "with -n: print the document of that pod's sidecar",
     OPT_STR(&cp.conf.document)},
    {0, "core-dumps", NULL,
     "let a crash leave a core dump, which holds the CA's key (default: none is made)",
     OPT_FLAG(&core_dumps)},
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

/* files, a kubeconfig, or the pod's own service account */
static int check_source(struct err *e)
{
    struct kube_access_from *api = &cp.conf.api;
    const char *env = getenv("KUBECONFIG");

    if (cp.conf.files.n > 0)
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

static int check_conf(struct err *e)
{
    cp.conf.files = common.files;
    cp.conf.verbose = common.verbose;
    if (check_source(e) < 0)
        return -1;
    if (kube_is_dns_subdomain(cp.conf.trust_domain))
        return err_set(e, "--trust-domain \"%s\": expected %s", cp.conf.trust_domain,
                       kube_is_dns_subdomain(cp.conf.trust_domain));
    if (common.check_only)
        return 0;
    if (cp.conf.document)
        return err_set(e, "--document needs -n: a running controller prints it at "
                          "/debug/document?pod=NS/NAME of the admin address");
    if (!cp.conf.ca_dir)
        return err_set(e, "--ca-dir DIR is missing: where the certificate authority is kept");
    if (!cp.conf.token_key && cp.conf.files.n > 0)
        return err_set(e, "--token-key FILE is missing: the public key of the tokens' issuer, "
                          "which an API server would be asked about instead");
    return 0;
}

static void leave(void *arg)
{
    loop_stop(cp.loop);
}

/* The first signal drains: not ready any more, waiting proxies sent elsewhere.  A second leaves. */
static void on_term(int sig, void *arg)
{
    if (cp.draining) {
        log_warn("controller", "second signal, leaving now signal=%d", sig);
        loop_stop(cp.loop);
        return;
    }
    log_info("controller", "draining signal=%d waiting=%u", sig, cp.n_waiting);
    cp.draining = true;
    cp_polls_end(&cp);
    timer_set(&cp.drain_timer, DRAIN_MS);
}

static void on_hup(int sig, void *arg)
{
    struct err e = {""};

    log_info("controller", "reading everything again signal=%d", sig);
    if (cp_auth_load_key(&cp, &e) < 0)
        log_error("auth", "the token key stays what it was error=\"%s\"", e.text);
    kube_source_refresh(cp.source);
}

static int start(struct err *e)
{
    if (!core_dumps)
        process_hide_memory();
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    cp_metrics_init(&cp.metrics);
    if (!(cp.loop = loop_new(e)))
        return -1;
    timer_init(&cp.drain_timer, cp.loop, leave, NULL);
    if (loop_on_signal(cp.loop, SIGTERM, on_term, NULL) < 0 ||
        loop_on_signal(cp.loop, SIGINT, on_term, NULL) < 0 ||
        loop_on_signal(cp.loop, SIGHUP, on_hup, NULL) < 0)
        return err_set(e, "can't take signals");
    if (cp_ca_open(&cp, e) < 0 || cp_auth_start(&cp, e) < 0)
        return -1;
    if (cp_api_start(&cp, e) < 0 || cp_admin_start(&cp, e) < 0)
        return -1;
    cp_root_maps_start(&cp);
    return cp_sources_start(&cp, e);
}

static void stop(void)
{
    timer_cancel(&cp.drain_timer);
    timer_cancel(&cp.own_cert_timer);
    http_server_free(cp.api);
    cp_admin_stop(&cp);
    cp_proxies_free(&cp);
    cp_auth_stop(&cp);
    cp_root_maps_stop(&cp);
    cp_sources_stop(&cp);
    cp_metrics_clear(&cp.metrics);
    pki_ca_free(cp.ca);
    loop_free(cp.loop);
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
        fprintf(stderr, "fsm-controller: %s\n", e.text);
        return 2;
    }
    if (common.check_only)
        return cp_check(&cp);
    if (start(&e) < 0) {
        log_error("controller", "can't start error=\"%s\"", e.text);
        return 1;
    }
    log_info("controller", "started version=%s listen=%s admin=%s mesh=%s", fsm_version,
             cp.conf.listen, cp.conf.admin, cp.conf.mesh_name);
    loop_run(cp.loop);
    stop();
    log_info("controller", "stopped");
    return 0;
}
