/* own.c - a daemon's own certificate: whose names it carries, and how it is renewed. */
#include "common/daemon/own.h"

#include <stdlib.h>
#include <unistd.h>
#include "common/base/cidr.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/listener.h"

#define BACKLOG   1024
#define NAMES_MAX 16

struct names {
    char *dns[NAMES_MAX + 1];
    const char *ip[4];
    char listen_ip[IP_TEXT_MAX];
    unsigned n;
};

/* The service as it is known in the cluster: .<ns>, .svc, and each label of the trust domain behind
 * it; and this machine's names, for people with curl. */
static void put_names(const struct daemon_own *own, struct names *out)
{
    const struct daemon_conf *conf = own->conf;
    char *name = xasprintf("%s.%s.svc", own->service, conf->fsm_namespace);
    struct slice rest = slice_str(conf->trust_domain);

    out->dns[out->n++] = xstrdup(name); /* also the common name */
    out->dns[out->n++] = xstrdup("localhost");
    out->dns[out->n++] = xstrdup(own->service);
    out->dns[out->n++] = xasprintf("%s.%s", own->service, conf->fsm_namespace);
    while (rest.p && out->n < NAMES_MAX) {
        struct slice label = slice_cut(&rest, '.');
        char *longer = xasprintf("%s.%.*s", name, SLICE_FMT(label));
        free(name);
        name = longer;
        out->dns[out->n++] = xstrdup(name);
    }
    free(name);
}

/* an address that --listen names is one that somebody will call */
static void put_addresses(const struct daemon_own *own, struct names *out)
{
    struct ip_port at;
    unsigned n = 0;

    out->ip[n++] = "127.0.0.1";
    out->ip[n++] = "::1";
    if (ip_port_parse(own->conf->listen, &at) == 0 && !ip_is_loopback(&at.ip))
        out->ip[n++] = ip_format(&at.ip, out->listen_ip);
}

/* a context with a new certificate; the caller's reference */
static struct tls_ctx *make(struct daemon_own *own, struct err *e)
{
    struct names all = {.n = 0};
    struct pki_cert_info info;
    struct tls_ctx *ctx = NULL;
    char *key = NULL;

    put_names(own, &all);
    put_addresses(own, &all);
    struct pki_names names = {all.dns[0], (const char *const *)all.dns, NULL, all.ip};
    char *chain = pki_ca_issue(own->ca, &names, DAEMON_CERT_S, &key, e);
    if (chain && pki_cert_read(chain, &info, e) == 0) {
        struct tls_conf conf = {.server = true,
                                .cert_pem = chain,
                                .key_pem = key,
                                .verify = TLS_VERIFY_NONE,
                                .pool = own->pool};
        ctx = tls_ctx_new(&conf, e);
    }
    if (ctx) {
        own->made++;
        own->not_after = info.not_after;
    }
    pki_wipe(key);
    free(chain);
    for (unsigned i = 0; i < all.n; i++)
        free(all.dns[i]);
    return ctx;
}

struct http_server *daemon_own_serve(struct daemon_own *own, struct loop *l,
                                     struct http_server_opts *o, unsigned port, http_req_cb *cb,
                                     void *arg, struct err *e)
{
    struct http_server *server = NULL;
    struct ip_port at;
    int fd;

    if (ip_port_parse(own->conf->listen, &at) < 0) {
        err_set(e, "--listen %s: expected ADDRESS:PORT, e.g. 0.0.0.0:%u or [::]:%u",
                own->conf->listen, port, port);
        return NULL;
    }
    fd = listener_bind(&at, 0, BACKLOG, e);
    if (fd < 0) {
        err_prefix(e, "--listen");
        return NULL;
    }
    if ((o->tls = make(own, e)))
        server = http_server_new(l, fd, o, cb, arg, e);
    else
        close(fd);
    tls_ctx_unref(o->tls);
    return server;
}

int daemon_own_renew(struct daemon_own *own, struct http_server *server)
{
    struct err e = {""};
    struct tls_ctx *ctx = make(own, &e);

    if (!ctx) {
        log_error("cert", "our own certificate can't be renewed error=\"%s\"", e.text);
        return -1;
    }
    http_server_set_tls(server, ctx);
    tls_ctx_unref(ctx);
    log_info("cert", "our own certificate was renewed");
    return 0;
}
