/* main.c - fsm-healthcheck: answers the kubelet's rewritten tcpSocket, HTTPS and gRPC checks.
 *
 * Listens on port 15904, which redirection leaves alone, and connects to the containers of its
 * own pod, as a user whose loopback traffic redirection leaves alone, too.  It does so only for
 * the ports it was told, so that it is no way around the mesh's access rules.
 *
 *   GET /fsm-healthcheck
 *     Original-Tcp-Port: 5432            200 a connection was accepted, 404 it was not
 *     Original-Grpc-Port: 9000           200 grpc.health.v1 says SERVING, 503 anything else
 *     Original-Grpc-Service: my.Service  (optional)
 *     neither header                     400;  a port not allowed: 403
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/opt.h"
#include "common/http/server.h"
#include "common/io/listener.h"
#include "injector/healthcheck/check.h"
#include "injector/healthcheck/grpc.h"

/* the port is open to everybody: nobody may keep the kubelet out */
#define CONNS_MAX      256
#define SOURCE_MAX     64
#define FIRST_MS       2000
#define BODY_MAX       1024
#define ALLOWED_MAX    1024
#define BACKLOG        64
#define DEFAULT_LISTEN "[::]:15904"

struct allowed {
    bool grpc;
    uint16_t port;
};

static struct {
    const char *allow, *listen, *pod_ips;
    struct opt_common common;
} args = {.listen = DEFAULT_LISTEN};

static struct {
    struct check_env env;
    struct allowed *allowed;
    unsigned n_allowed;
    bool all_allowed;
} helper;

static const struct opt opts[] = {
    {0, "allow", "tcp:PORT,...",
     "what may be checked: tcp:PORT and grpc:PORT, separated by commas (default: every port)",
     OPT_STR(&args.allow)},
    {0, "listen", "ADDR:PORT", "where to listen (default " DEFAULT_LISTEN ", both families)",
     OPT_STR(&args.listen)},
    {0, "pod-ip", "IP,...", "the pod's addresses (default: environment POD_IPS, then POD_IP)",
     OPT_STR(&args.pod_ips)},
    OPT_END,
};

static const struct opt_prog prog = {
    .name = "fsm-healthcheck",
    .description = "Answers health checks of the kubelet that cannot pass the sidecar: connects "
                   "to a port of this pod, or asks its gRPC health service, and tells by the HTTP "
                   "status.",
    .opts = opts,
    .daemon = true,
    .no_file = true,
};

/* ---- what may be checked --------------------------------------------------------------------- */

static int allow_item(struct slice item, struct err *e)
{
    struct slice kind = item, port;
    unsigned long long n;
    bool grpc;

    port = kind;
    kind = slice_cut(&port, ':');
    grpc = slice_eq_str(kind, "grpc");
    if ((!grpc && !slice_eq_str(kind, "tcp")) || slice_u64(port, 65535, &n) != 0 || n == 0)
        return err_set(e, "--allow: \"%.*s\" is not valid: expected tcp:PORT or grpc:PORT",
                       SLICE_FMT(item));
    if (helper.n_allowed == ALLOWED_MAX)
        return err_set(e, "--allow: more than %d ports", ALLOWED_MAX);
    helper.allowed = xreallocarray(helper.allowed, helper.n_allowed + 1, sizeof(*helper.allowed));
    helper.allowed[helper.n_allowed++] = (struct allowed){grpc, (uint16_t)n};
    return 0;
}

static int read_allowed(const char *list, struct err *e)
{
    struct slice rest = slice_str(list);

    helper.all_allowed = list == NULL;
    while (rest.p && rest.n)
        if (allow_item(slice_trim(slice_cut(&rest, ',')), e) != 0)
            return -1;
    return 0;
}

static bool is_allowed(bool grpc, uint16_t port)
{
    for (unsigned i = 0; i < helper.n_allowed; i++)
        if (helper.allowed[i].grpc == grpc && helper.allowed[i].port == port)
            return true;
    return helper.all_allowed;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* one request under way; freed when its check has told, or when the kubelet has gone */
struct job {
    struct http_req *req;
    struct check *check;
    bool grpc;
};

static void on_done(bool ok, const char *text, void *arg)
{
    struct job *j = arg;

    log_debug("check", "checked ok=%d result=\"%s\"", ok, text);
    http_reply_text(j->req, ok ? 200 : j->grpc ? 503 : 404, "%s\n", text);
    free(j);
}

static void on_gone(struct http_req *req, void *arg)
{
    struct job *j = arg;

    check_cancel(j->check);
    free(j);
}

static void begin_check(struct http_req *req, uint16_t port, const char *service)
{
    struct job *j = xcalloc(1, sizeof(*j));

    j->req = req;
    j->grpc = service != NULL;
    http_req_on_gone(req, on_gone, j);
    j->check = check_start(&helper.env, port, service, on_done, j);
}

static void answer_check(struct http_req *req, const struct http_field *f, bool grpc)
{
    const struct http_field *s =
        http_find_name(http_req_head(req), SLICE_LIT("Original-Grpc-Service"));
    char service[GRPC_SERVICE_MAX] = "";
    unsigned long long port;

    if (slice_u64(f->value, 65535, &port) != 0 || port == 0) {
        http_reply_text(req, 400, "%.*s: expected a port from 1 to 65535\n", SLICE_FMT(f->name));
        return;
    }
    if (!is_allowed(grpc, (uint16_t)port)) {
        http_reply_text(req, 403, "no probe of this pod checks port %llu\n", port);
        return;
    }
    if (s && s->value.n >= sizeof(service)) {
        http_reply_text(req, 400, "Original-Grpc-Service: too long\n");
        return;
    }
    if (s)
        snprintf(service, sizeof(service), "%.*s", SLICE_FMT(s->value));
    begin_check(req, (uint16_t)port, grpc ? service : NULL);
}

static void on_request(struct http_req *req, void *arg)
{
    const struct http_head *h = http_req_head(req);
    const struct http_field *tcp, *grpc;

    if (!slice_eq_str(http_req_path(req), "/fsm-healthcheck")) {
        http_reply_text(req, 404, "Not found\n");
        return;
    }
    if (h->method != HTTP_M_GET && h->method != HTTP_M_HEAD) {
        http_req_header(req, "Allow", "GET, HEAD");
        http_reply_text(req, 405, "expected GET\n");
        return;
    }
    tcp = http_find_name(h, SLICE_LIT("Original-Tcp-Port"));
    grpc = http_find_name(h, SLICE_LIT("Original-Grpc-Port"));
    if (tcp || grpc)
        answer_check(req, tcp ? tcp : grpc, !tcp);
    else
        http_reply_text(req, 400, "expected the header Original-Tcp-Port or Original-Grpc-Port\n");
}

/* ---- life ------------------------------------------------------------------------------------ */

static int read_args(struct ip_port *addr, struct err *e)
{
    const char *ips = args.pod_ips;

    if (ip_port_parse(args.listen, addr) != 0)
        return err_set(e, "--listen: \"%s\" is not valid: expected an address as [::]:15904",
                       args.listen);
    if (!ips)
        ips = getenv("POD_IPS") ? getenv("POD_IPS") : getenv("POD_IP");
    if (check_env_init(&helper.env, NULL, ips, e) != 0)
        return err_prefix(e, "%s", args.pod_ips ? "--pod-ip" : "environment POD_IPS or POD_IP");
    return read_allowed(args.allow, e);
}

static void on_signal(int sig, void *arg)
{
    loop_stop(helper.env.loop);
}

static int serve(const struct ip_port *addr, struct err *e)
{
    struct http_server_opts o = {.max_body = BODY_MAX,
                                 .max_conns = CONNS_MAX,
                                 .per_source = SOURCE_MAX,
                                 .first_ms = FIRST_MS,
                                 .name = "healthcheck"};
    struct http_server *server;
    int fd = listener_bind(addr, LISTEN_DUAL, BACKLOG, e);

    if (fd < 0)
        return -1;
    server = http_server_new(helper.env.loop, fd, &o, on_request, NULL, e);
    if (!server)
        return -1;
    if (helper.all_allowed)
        log_warn("main", "no --allow: every port of this pod may be checked by anyone");
    log_info("main", "listening addr=%s allowed=\"%s\"", args.listen,
             args.allow ? args.allow : "every port");
    loop_run(helper.env.loop);
    http_server_free(server);
    return 0;
}

static int run(const struct ip_port *addr, struct err *e)
{
    struct loop *l = loop_new(e);
    int rc;

    if (!l)
        return -1;
    helper.env.loop = l;
    rc = loop_on_signal(l, SIGTERM, on_signal, NULL) != 0 ||
                 loop_on_signal(l, SIGINT, on_signal, NULL) != 0
             ? err_set(e, "signals cannot be taken")
             : serve(addr, e);
    check_env_free(&helper.env);
    loop_free(l);
    return rc;
}

int main(int argc, char **argv)
{
    struct ip_port addr;
    struct err e = {""};
    int status = 0, first = opt_parse(&prog, argc, argv, &args.common, &status);

    if (first < 0)
        return status;
    if (first < argc)
        err_set(&e, "\"%s\": expected flags only", argv[first]);
    if (first < argc || read_args(&addr, &e) != 0) {
        fprintf(stderr, "fsm-healthcheck: %s\n", e.text);
        status = 2;
    } else if (!args.common.check_only && run(&addr, &e) != 0) {
        log_error("main", "cannot serve error=\"%s\"", e.text);
        status = 1;
    }
    free(helper.allowed);
    return status;
}
