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

#define LOOK_MS 5000 /* between two looks at the CA's directory */

/* The controller makes it; one that we made would be another. */
static struct pki_ca *open_ca(const struct wh *wh, struct err *e)
{
    char *path = xasprintf("%s/ca.crt", wh->conf.base.ca_dir);
    struct pki_ca *ca = NULL;

    if (access(path, R_OK) < 0)
        err_errno(e, "%s cannot be read: fsm-controller makes it at its first start", path);
    else
        ca = pki_ca_open(wh->conf.base.ca_dir, wh->conf.base.trust_domain, e);
    free(path);
    return ca;
}

int wh_ca_open(struct wh *wh, struct err *e)
{
    wh->pool = tls_pool_new();
    wh->ca = open_ca(wh, e);
    wh->own = (struct daemon_own){
        .service = "fsm-injector", .conf = &wh->conf.base, .ca = wh->ca, .pool = wh->pool};
    return wh->ca ? 0 : err_prefix(e, "--ca-dir");
}

/* ---- the CA may change while we run ---------------------------------------------------------- */

static void renew(struct wh *wh)
{
    if (daemon_own_renew(&wh->own, wh->https) == 0)
        wh->cert_until_ms = loop_now_ms(wh->loop) + DAEMON_CERT_S * 1000 / 2;
}

/* Whoever asks us learns of another root by the bundles at once. */
static void look(void *arg)
{
    struct wh *wh = arg;
    struct err e = {""};
    enum pki_ca_news news = pki_ca_refresh(wh->ca, &e);

    timer_set(&wh->cert_timer, LOOK_MS);
    if (news == PKI_CA_UNREADABLE)
        log_warn("cert", "the CA cannot be read again, it stays what it was error=\"%s\"", e.text);
    if (news == PKI_CA_STRANGE) {
        pki_ca_adopt(wh->ca);
        pki_ca_forget(wh->ca);
    }
    if (news == PKI_CA_CHANGED || news == PKI_CA_STRANGE) {
        log_info("cert", "the CA has changed");
        renew(wh);
        wh_bundles_changed(wh);
    } else if (loop_now_ms(wh->loop) >= wh->cert_until_ms) {
        renew(wh);
    }
}

void wh_cert_start(struct wh *wh)
{
    wh->cert_until_ms = loop_now_ms(wh->loop) + DAEMON_CERT_S * 1000 / 2;
    timer_init(&wh->cert_timer, wh->loop, look, wh);
    timer_set(&wh->cert_timer, LOOK_MS);
}

void wh_cert_stop(struct wh *wh)
{
    timer_cancel(&wh->cert_timer);
    pki_ca_free(wh->ca);
}
