/* cert.c - the mesh's certificate authority, and the certificate that the API server sees.
 *
 * The authority is read from the directory that the controller has it from, rather than asked of
 * the controller: whether pods can be created at all hangs on this webhook, and so it must not hang
 * on another daemon, whose own pod may be among those to be created.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "injector/webhook/wh.h"

#define CERT_S    (24 * 3600) /* renewed at half of it */
#define LOOK_MS   5000        /* between two looks at the CA's directory */
#define MAX_NAMES 16

/* The controller makes it; one that we made would be another. */
static struct pki_ca *open_ca(const struct wh *wh, struct err *e)
{
    char *path = xasprintf("%s/ca.crt", wh->conf.ca_dir);
    struct pki_ca *ca = NULL;

    if (access(path, R_OK) < 0)
        err_errno(e, "%s cannot be read: fsm-controller makes it at its first start", path);
    else
        ca = pki_ca_open(wh->conf.ca_dir, wh->conf.trust_domain, e);
    free(path);
    return ca;
}

int wh_ca_open(struct wh *wh, struct err *e)
{
    wh->pool = tls_pool_new();
    wh->ca = open_ca(wh, e);
    return wh->ca ? 0 : err_prefix(e, "--ca-dir");
}

/* ---- our certificate ------------------------------------------------------------------------- */

/* fsm-injector.<ns>.svc is what the API server expects; the longer ones and those of this machine
 * are for people with curl */
static unsigned own_names(const struct wh *wh, char *dns[MAX_NAMES + 1])
{
    char *name = xasprintf("fsm-injector.%s.svc", wh->conf.fsm_namespace);
    struct slice rest = slice_str(wh->conf.trust_domain);
    unsigned n = 0;

    dns[n++] = xstrdup(name); /* also the common name */
    dns[n++] = xasprintf("fsm-injector.%s", wh->conf.fsm_namespace);
    dns[n++] = xstrdup("localhost");
    while (rest.p && n < MAX_NAMES) {
        struct slice label = slice_cut(&rest, '.');
        char *longer = xasprintf("%s.%.*s", name, SLICE_FMT(label));
        free(name);
        name = longer;
        dns[n++] = xstrdup(name);
    }
    free(name);
    dns[n] = NULL;
    return n;
}

/* an address that --listen names is one that somebody will call */
static void own_addresses(const struct wh *wh, char text[IP_TEXT_MAX], const char *ip[4])
{
    struct ip_port at;
    unsigned n = 0;

    ip[n++] = "127.0.0.1";
    ip[n++] = "::1";
    if (ip_port_parse(wh->conf.listen, &at) == 0 && !ip_is_loopback(&at.ip))
        ip[n++] = ip_format(&at.ip, text);
    ip[n] = NULL;
}

struct tls_ctx *wh_own_tls(struct wh *wh, struct err *e)
{
    char *dns[MAX_NAMES + 1], *key = NULL, text[IP_TEXT_MAX];
    const char *ip[4];
    unsigned n = own_names(wh, dns);
    struct pki_cert_info info;
    struct tls_ctx *ctx = NULL;

    own_addresses(wh, text, ip);
    struct pki_names names = {dns[0], (const char *const *)dns, NULL, ip};
    char *chain = pki_ca_issue(wh->ca, &names, CERT_S, &key, e);
    if (chain && pki_cert_read(chain, &info, e) == 0) {
        struct tls_conf conf = {.server = true,
                                .cert_pem = chain,
                                .key_pem = key,
                                .verify = TLS_VERIFY_NONE,
                                .pool = wh->pool};
        ctx = tls_ctx_new(&conf, e);
    }
    if (ctx) {
        wh->metrics.certs++;
        wh->cert_not_after = info.not_after;
        wh->cert_until_ms = loop_now_ms(wh->loop) + CERT_S * 1000 / 2;
    }
    pki_wipe(key);
    free(chain);
    for (unsigned i = 0; i < n; i++)
        free(dns[i]);
    return ctx;
}

/* new connections get the new certificate, those under way keep theirs */
static void renew(struct wh *wh)
{
    struct err e = {""};
    struct tls_ctx *ctx = wh_own_tls(wh, &e);

    if (!ctx) {
        log_error("cert", "our own certificate can't be renewed error=\"%s\"", e.text);
        return;
    }
    http_server_set_tls(wh->https, ctx);
    tls_ctx_unref(ctx);
    log_info("cert", "our own certificate was renewed");
}

/* ---- the CA may change while we run ---------------------------------------------------------- */

static bool same_ca(const struct pki_ca *a, const struct pki_ca *b)
{
    return strcmp(pki_ca_roots(a), pki_ca_roots(b)) == 0 &&
           strcmp(pki_ca_signer(a), pki_ca_signer(b)) == 0;
}

/* what cannot be read leaves what was read before */
static void look(void *arg)
{
    struct wh *wh = arg;
    struct err e = {""};
    struct pki_ca *now = open_ca(wh, &e);

    timer_set(&wh->cert_timer, LOOK_MS);
    if (!now) {
        log_warn("cert", "the CA cannot be read again, it stays what it was error=\"%s\"", e.text);
    } else if (same_ca(now, wh->ca)) {
        pki_ca_free(now);
    } else {
        pki_ca_free(wh->ca);
        wh->ca = now;
        log_info("cert", "the CA has changed");
        renew(wh);
        wh_bundle_changed(wh);
        return;
    }
    if (loop_now_ms(wh->loop) >= wh->cert_until_ms)
        renew(wh);
}

void wh_cert_start(struct wh *wh)
{
    timer_init(&wh->cert_timer, wh->loop, look, wh);
    timer_set(&wh->cert_timer, LOOK_MS);
}

void wh_cert_stop(struct wh *wh)
{
    timer_cancel(&wh->cert_timer);
    pki_ca_free(wh->ca);
}
