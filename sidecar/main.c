/* main.c - fsm-sidecar: what happens in which order */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/notify.h"
#include "common/base/opt.h"
#include "common/base/process.h"
#include "common/io/handover.h"
#include "common/io/listener.h"
#include "common/policy/document_store.h"
#include "common/proxy/lsock.h"
#include "common/proxy/view.h"
#include "common/tls/tls.h"
#include "sidecar/probes.h"
#include "sidecar/sidecar.h"
#include "sidecar/source.h"

#define TICKET_LIFETIME_S 3600
#define NO_DOCUMENT_MS    5000 /* connections wait so long for the first one */
#define QUIT_MS           50   /* for the answer to /quitquitquit to leave */

static struct sidecar sidecar = {
    .conf = {.admin = "127.0.0.1:15000",
             .metrics = ":15010",
             .outbound = {.ip = {.family = 6}, .port = 15001},
             .inbound = {.ip = {.family = 6}, .port = 15003},
             .workers = 1,
             .drain_ms = 30000,
             .drain_quiet_ms = 1000},
};

/* "ADDR:PORT", or ":PORT" for all addresses */
static int parse_addr(const char *text, void *out)
{
    struct ip_port *a = out;
    char all[64];
    if (text[0] == ':') {
        snprintf(all, sizeof all, "[::]%s", text);
        text = all;
    }
    return ip_port_parse(text, a);
}

static struct opt_common common;

static const struct opt options[] = {
    {'f', "file", "DOCUMENT", "the configuration document, instead of a controller",
     OPT_LIST(&common.files)},
    {0, "controller", "URL", "where documents and certificates come from (https://HOST:PORT)",
     OPT_STR(&sidecar.conf.controller)},
    {0, "token-file", "FILE", "the pod's service-account token (with --controller)",
     OPT_STR(&sidecar.conf.token_file)},
    {0, "ca-file", "FILE", "roots that the controller's certificate must chain to",
     OPT_STR(&sidecar.conf.ca_file)},
    {0, "cert", "FILE", "our certificate chain, PEM (with -f)", OPT_STR(&sidecar.conf.cert)},
    {0, "key", "FILE", "its private key, PEM (with -f)", OPT_STR(&sidecar.conf.key)},
    {0, "ca", "FILE", "roots that peers must chain to, PEM (with -f)", OPT_STR(&sidecar.conf.ca)},
    {0, "admin", "ADDR", "admin pages: ADDR:PORT or unix:/path (default 127.0.0.1:15000)",
     OPT_STR(&sidecar.conf.admin)},
    {0, "metrics", "ADDR",
     "/stats/prometheus and /ready, for everybody (default :15010, both families)",
     OPT_STR(&sidecar.conf.metrics)},
    {0, "outbound", "ADDR", "where the pod's connections are redirected to (default :15001)",
     OPT_CALL(parse_addr, &sidecar.conf.outbound)},
    {0, "inbound", "ADDR", "where connections to the pod are redirected to (default :15003)",
     OPT_CALL(parse_addr, &sidecar.conf.inbound)},
    {0, "workers", "N", "threads for user traffic (default 1)",
     OPT_UINT(&sidecar.conf.workers, 1, WORKERS_MAX)},
    {0, "hook-key", "SHA256", "what the pod's lifecycle hooks must show the key of, hexadecimal",
     OPT_STR(&sidecar.conf.hook_key)},
    {0, "drain", "DURATION",
     "how long open connections may take to end after SIGTERM (default 30s)",
     OPT_MS(&sidecar.conf.drain_ms)},
    {0, "drain-quiet", "DURATION",
     "leave earlier when there was no connection for so long: nobody will come any more (default "
     "1s)",
     OPT_MS(&sidecar.conf.drain_quiet_ms)},
    {0, "core-dumps", NULL,
     "let a crash leave a core dump, which holds private keys (default: none is made)",
     OPT_FLAG(&sidecar.conf.core_dumps)},
    OPT_END};

static const struct opt_prog prog = {
    .name = "fsm-sidecar",
    .synopsis = "-f DOCUMENT | --controller URL --token-file F --ca-file F",
    .description = "The proxy beside an application: takes the connections that it makes and those "
                   "that come to it, and carries them as its configuration document says; to other "
                   "sidecars by mutual TLS.",
    .opts = options,
    .daemon = true,
};

/* ---- events ---------------------------------------------------------------------------------- */

static void on_drained(void *arg)
{
    struct sidecar *sc = arg;
    handover_look();
    if (sc->follower)
        return; /* it serves since, and has been told */
    log_info("main", "drained, leaving");
    loop_stop(sc->loop);
}

static void stay(void *arg)
{
    (void)arg;
}

void sidecar_drain(struct sidecar *sc, bool then_exit)
{
    engine_drain(sc->engine, (unsigned)sc->conf.drain_ms, (unsigned)sc->conf.drain_quiet_ms,
                 then_exit ? on_drained : stay, sc);
}

/* A signal to the whole process group comes to a successor twice: from its sender, and passed on by
 * the first of the line.  Nobody who means a second one is that fast. */
#define PASSED_ON_MS 200

static void on_term(int sig, void *arg)
{
    struct sidecar *sc = arg;
    static bool asked;
    static uint64_t asked_ms;
    notify_manager("STOPPING=1");
    upgrade_tell(sc, sig);
    if (!sc->engine)
        return; /* we stay behind a successor, and leave with it */
    if (asked && sc->heir && loop_now_ms(sc->loop) - asked_ms < PASSED_ON_MS)
        return;
    if (asked) {
        log_info("main", "second signal %d, leaving at once", sig);
        loop_stop(sc->loop);
        return;
    }
    asked = true;
    asked_ms = loop_now_ms(sc->loop);
    log_info("main", "signal %d, draining", sig);
    if (!upgrade_end(sc))
        sidecar_drain(sc, true);
}

static void reload(struct loop_job *job)
{
    struct sidecar *sc = (struct sidecar *)((char *)job - offsetof(struct sidecar, reload));
    struct err e;
    notify_manager("RELOADING=1");
    if (apply_identity_files(sc, &e) < 0)
        log_error("main", "reload: %s", e.text);
    if (apply_file(sc, &e) < 0)
        log_error("main", "reload: %s", e.text);
    notify_manager("READY=1");
}

/* however many came at once, once */
static void on_hup(int sig, void *arg)
{
    struct sidecar *sc = arg;
    if (!upgrade_forward(sc, sig) && sc->conf.file)
        loop_defer(sc->loop, &sc->reload);
}

static void on_usr2(int sig, void *arg)
{
    struct sidecar *sc = arg;
    struct err e;
    if (!upgrade_forward(sc, sig) && upgrade_begin(sc, &e) < 0)
        log_error("upgrade", "not begun: %s", e.text);
}

static int on_identity(const char *chain, const char *key, const char *roots, void *arg,
                       struct err *e)
{
    return apply_identity(arg, chain, key, roots, e);
}

static int on_document(struct document *doc, void *arg, struct err *e)
{
    return apply_document(arg, doc, e);
}

/* ---- what the admin pages show --------------------------------------------------------------- */

static void on_info(struct admin_info *out, void *arg)
{
    struct sidecar *sc = arg;
    struct source_state st = {.error = ""};
    if (sc->source)
        source_state(sc->source, &st);
    out->doc = sc->doc;
    out->version = sc->doc ? json_str(document_rest(sc->doc), "Version", "") : "";
    out->rejected = sc->refused ? sc->refused : "";
    out->reason = sc->refused_why ? sc->refused_why : "";
    out->controller = st.error;
    out->chain_pem = sc->chain_pem;
    out->not_ready = !sc->doc                       ? "no configuration document yet"
                     : sc->source && !sc->transport ? "no certificate yet"
                                                    : NULL;
}

static void on_admin_drain(void *arg)
{
    upgrade_cancel(false);
    sidecar_drain(arg, false);
}

static void on_admin_quit(void *arg)
{
    struct sidecar *sc = arg;
    log_info("main", "asked to quit");
    timer_set(&sc->quit, QUIT_MS);
}

static void on_quit(void *arg)
{
    loop_stop(((struct sidecar *)arg)->loop);
}

static int bind_text(const char *text, int *fd, struct err *e)
{
    struct ip_port a;
    if (strncmp(text, "unix:", 5) == 0)
        *fd = listener_bind_unix(text + 5, 0600, e);
    else if (parse_addr(text, &a) < 0)
        return err_set(e, "\"%s\" is no address and port", text);
    else
        *fd = listener_bind(&a, LISTEN_DUAL, 64, e);
    return *fd < 0 ? -1 : 0;
}

static int start_admin(struct sidecar *sc, struct err *e)
{
    static const struct admin_ops ops = {on_info, on_admin_drain, on_admin_quit};
    int admin_fd, metrics_fd;
    if (bind_text(sc->conf.admin, &admin_fd, e) < 0)
        return -1;
    if (bind_text(sc->conf.metrics, &metrics_fd, e) < 0) {
        close(admin_fd);
        return -1;
    }
    timer_init(&sc->quit, sc->loop, on_quit, sc);
    sc->admin = admin_new(sc->loop, sc->engine, admin_fd, metrics_fd, &ops, sc, e);
    return sc->admin ? 0 : -1;
}

/* ---- start ----------------------------------------------------------------------------------- */

static int check_conf(struct sidecar_conf *c, struct err *e)
{
    if (common.files.n > 1)
        return err_set(e, "one -f DOCUMENT only");
    c->file = common.files.n ? common.files.v[0] : NULL;
    c->verbose = common.verbose > 0;
    if (!c->file == !c->controller)
        return err_set(e, "give either -f DOCUMENT or --controller URL");
    if (c->controller && (!c->token_file || !c->ca_file))
        return err_set(e, "--controller needs --token-file and --ca-file");
    return 0;
}

/* every connection is a descriptor: take what we may */
static void raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static int start_engine(struct sidecar *sc, struct err *e)
{
    const struct engine_opts o = {.workers = sc->conf.workers, .access_fd = STDOUT_FILENO};
    sc->loop = loop_new(e);
    if (!sc->loop)
        return -1;
    sc->tickets = tls_tickets_new(TICKET_LIFETIME_S, e);
    if (!sc->tickets)
        return -1;
    upgrade_resume_tickets(sc);
    sc->tls_pool = tls_pool_new();
    sc->engine = engine_new(sc->loop, &o, e);
    if (!sc->engine)
        return -1;
    upgrade_resume_access_log(sc);
    return 0;
}

/* Connections that come before the first document wait for it in the kernel; after a time they are
 * refused, so that a client can go elsewhere. */
static void on_no_document(void *arg)
{
    struct sidecar *sc = arg;
    struct err e;
    if (!sc->doc && apply_nothing(sc, &e) < 0)
        log_error("main", "%s", e.text);
}

/* the ports are ours from the start: nobody else in the pod can bind them */
static int take_ports(struct sidecar *sc, struct err *e)
{
    struct lsocks *s = engine_lsocks(sc->engine);
    timer_init(&sc->no_document, sc->loop, on_no_document, sc);
    if (sc->conf.file)
        return 0;
    timer_set(&sc->no_document, NO_DOCUMENT_MS);
    return lsocks_reserve(s, &sc->conf.outbound, e) < 0 ? -1
                                                        : lsocks_reserve(s, &sc->conf.inbound, e);
}

static int start_source(struct sidecar *sc, struct err *e)
{
    static const struct source_ops ops = {on_identity, on_document};
    const struct source_conf conf = {.controller = sc->conf.controller,
                                     .token_file = sc->conf.token_file,
                                     .ca_file = sc->conf.ca_file,
                                     .resume = json_object_get(sc->saved, "Source")};
    if (sc->conf.file)
        return apply_identity_files(sc, e) < 0 ? -1 : apply_file(sc, e);
    sc->source = source_new(sc->loop, &conf, &ops, sc, e);
    return sc->source ? 0 : -1;
}

static int start(struct sidecar *sc, struct err *e)
{
    sc->reload.fn = reload;
    handover_program(NULL); /* before another file may lie there */
    if (upgrade_take(sc, e) < 0)
        return -1;
    if (!sc->conf.core_dumps)
        process_hide_memory();
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    if (start_engine(sc, e) < 0 || take_ports(sc, e) < 0)
        return -1;
    if (start_admin(sc, e) < 0)
        return -1;
    /* the probe ports exist only in a pod; a document by hand needs none */
    if (!sc->conf.file && !(sc->probes = probes_new(sc->loop, sc->conf.hook_key, e)))
        return -1;
    if (start_source(sc, e) < 0)
        return -1;
    if (loop_on_signal(sc->loop, SIGTERM, on_term, sc) < 0 ||
        loop_on_signal(sc->loop, SIGINT, on_term, sc) < 0 ||
        loop_on_signal(sc->loop, SIGHUP, on_hup, sc) < 0 ||
        loop_on_signal(sc->loop, SIGUSR2, on_usr2, sc) < 0 ||
        loop_on_signal(sc->loop, SIGCHLD, upgrade_on_child, sc) < 0)
        return err_set(e, "cannot take signals");
    handover_hold_signals(false);
    upgrade_ready(sc);
    return 0;
}

static void stop(struct sidecar *sc)
{
    upgrade_cancel(true);
    source_free(sc->source);
    probes_free(sc->probes);
    admin_free(sc->admin);
    engine_free(sc->engine);
    transport_unref(sc->transport);
    free(sc->chain_pem);
    free(sc->roots_pem);
    if (sc->loop) {
        timer_cancel(&sc->quit);
        timer_cancel(&sc->no_document);
    }
    tls_tickets_free(sc->tickets);
    json_wipe(true);
    json_decref(sc->saved);
    json_wipe(false);
    document_unref(sc->doc);
    free(sc->refused);
    free(sc->refused_why);
    loop_free(sc->loop);
    tls_pool_free(sc->tls_pool);
}

/* opt_parse moves the words; lives as long as the process */
static char **argv_copy(int argc, char **argv)
{
    char **copy = xcalloc((size_t)argc + 1, sizeof *copy);
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    return copy;
}

int main(int argc, char **argv)
{
    struct sidecar *sc = &sidecar;
    struct err e = {""};
    int status;
    handover_hold_signals(true);
    sc->argv = argv_copy(argc, argv);
    if (opt_parse(&prog, argc, argv, &common, &status) < 0)
        return status;
    if (check_conf(&sc->conf, &e) < 0) {
        fprintf(stderr, "%s: %s\n", prog.name, e.text);
        return 2;
    }
    if (common.check_only) {
        status = check_file(sc, &e) < 0;
    } else {
        status = start(sc, &e) < 0;
        if (status == 0)
            do
                loop_run(sc->loop);
            while (upgrade_stay_behind(sc));
        stop(sc);
        status = status ? status : sc->status;
    }
    if (status && e.text[0])
        log_error("main", "%s", e.text);
    free(common.files.v);
    free(sc->argv);
    return status;
}
