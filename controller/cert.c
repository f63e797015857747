/* cert.c - certificates: those of sidecars, our own, and the root's rotation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "controller/cp.h"

#define OWN_RETRY_S 10
#define LOOK_MS     5000  /* between two looks at the CA's directory */
#define SETTLE_MS   90000 /* until a mounted Secret is the same on all nodes */
#define MAX_CSR     16384
#define DNS_MAX     253

static void set_ca_hashes(struct cp *cp)
{
    snprintf(cp->roots_hash, sizeof(cp->roots_hash), "%016" PRIx64,
             document_string_hash(pki_ca_roots(cp->ca)));
    snprintf(cp->issuer_hash, sizeof(cp->issuer_hash), "%016" PRIx64,
             document_string_hash(pki_ca_signer(cp->ca)));
}

int cp_ca_open(struct cp *cp, struct err *e)
{
    cp->ca = pki_ca_open(cp->conf.base.ca_dir, cp->conf.base.trust_domain, e);
    if (!cp->ca)
        return err_prefix(e, "--ca-dir");
    cp->own =
        (struct daemon_own){.service = "fsm-controller", .conf = &cp->conf.base, .ca = cp->ca};
    set_ca_hashes(cp);
    return 0;
}

/* ---- our own certificate ------------------------------------------------------------------------
 */

static void renew_own(void *arg)
{
    struct cp *cp = arg;
    bool done = daemon_own_renew(&cp->own, cp->api) == 0;

    timer_set(&cp->own_cert_timer, (done ? DAEMON_CERT_S / 2 : OWN_RETRY_S) * 1000);
}

/* ---- the CA's directory, which others may write -------------------------------------------- */

/* A root that everybody was told of before (next.crt) signs at once.  One that comes from nowhere
 * is told of first: it signs when every connected proxy trusts it and other replicas have seen it
 * too; the one before it is trusted until nobody has a certificate of it and they do the same. */

static void ca_changed(struct cp *cp, const char *what)
{
    set_ca_hashes(cp);
    cp_root_maps_check(cp);
    if (cp->synced)
        cp_polls_check(cp);
    log_info("cert", "%s roots=%s issuer=%s", what, cp->roots_hash, cp->issuer_hash);
}

static bool has_settled(const struct cp *cp)
{
    return loop_now_ms(cp->loop) - cp->ca_since_ms >= SETTLE_MS;
}

static void go_on(struct cp *cp)
{
    if (!has_settled(cp))
        return;
    if (pki_ca_waits(cp->ca) && cp_proxies_without_roots(cp) == 0) {
        pki_ca_adopt(cp->ca);
        renew_own(cp);
        ca_changed(cp, "the new root signs");
    } else if (!pki_ca_waits(cp->ca) && pki_ca_keeps(cp->ca) &&
               cp_proxies_with_old_certs(cp) == 0) {
        pki_ca_forget(cp->ca);
        ca_changed(cp, "the old root is not trusted any more");
    } else {
        return;
    }
    cp->ca_since_ms = loop_now_ms(cp->loop);
}

static void set_ca_problem(struct cp *cp, const char *text)
{
    if (strcmp(cp->ca_problem.text, text) == 0)
        return;
    snprintf(cp->ca_problem.text, sizeof(cp->ca_problem.text), "%s", text);
    if (*text)
        log_warn("cert", "the CA cannot be read again, it stays what it was error=\"%s\"", text);
}

static void look(void *arg)
{
    struct cp *cp = arg;
    struct err e = {""};
    char issuer[CP_HASH_MAX];

    timer_set(&cp->ca_timer, LOOK_MS);
    snprintf(issuer, sizeof(issuer), "%s", cp->issuer_hash);
    switch (pki_ca_refresh(cp->ca, &e)) {
    case PKI_CA_SAME:
        go_on(cp);
        break;
    case PKI_CA_STRANGE:
        cp->ca_since_ms = loop_now_ms(cp->loop);
        ca_changed(cp, "there is another root, it signs when it is trusted everywhere");
        break;
    case PKI_CA_CHANGED:
        ca_changed(cp, "the CA has changed");
        if (strcmp(issuer, cp->issuer_hash) != 0)
            renew_own(cp);
        break;
    case PKI_CA_UNREADABLE:
        break;
    }
    set_ca_problem(cp, e.text);
}

const char *cp_ca_problem(const struct cp *cp)
{
    return cp->ca_problem.text[0] ? cp->ca_problem.text : NULL;
}

void cp_cert_start(struct cp *cp)
{
    timer_init(&cp->own_cert_timer, cp->loop, renew_own, cp);
    timer_set(&cp->own_cert_timer, DAEMON_CERT_S / 2 * 1000);
    timer_init(&cp->ca_timer, cp->loop, look, cp);
    timer_set(&cp->ca_timer, LOOK_MS);
}

void cp_cert_stop(struct cp *cp)
{
    timer_cancel(&cp->own_cert_timer);
    timer_cancel(&cp->ca_timer);
}

/* ---- sidecars' certificates
 * ----------------------------------------------------------------------- */

static int64_t validity_s(const struct cp *cp)
{
    int64_t ms = cp->conf.cert_ttl_ms > 0 ? cp->conf.cert_ttl_ms
                                          : policy_settings(cp->policy)->cert_validity_ms;

    return ms < 1000 ? 1 : ms / 1000;
}

/* all names come from the token; returns owned PEM, or NULL and e */
static char *sign(struct cp *cp, const char *csr, const struct pki_token *t, struct err *e)
{
    struct buf principal = BUF_INIT, spiffe = BUF_INIT;

    mesh_principal(t->sa, t->ns, cp->conf.base.trust_domain, &principal);
    mesh_spiffe(t->sa, t->ns, cp->conf.base.trust_domain, &spiffe);
    /* a service account's name may be longer than a DNS name can be; the SPIFFE URI always is */
    const char *dns = principal.len <= DNS_MAX ? principal.p : NULL;
    struct pki_names names = {dns, (const char *const[]){dns, NULL},
                              (const char *const[]){spiffe.p, NULL}, NULL};
    char *chain = pki_ca_sign(cp->ca, csr, &names, validity_s(cp), e);
    buf_free(&principal);
    buf_free(&spiffe);
    return chain;
}

static void reply_chain(struct cp *cp, struct http_req *r, struct cp_proxy *px, const char *chain)
{
    struct pki_cert_info info;
    struct err e = {""};

    if (pki_cert_read(chain, &info, &e) < 0) {
        cp->metrics.cert_errors++;
        cp_reply_text(cp, r, 500, "%s\n", e.text);
        return;
    }
    px->cert_not_after = info.not_after;
    snprintf(px->issuer, sizeof(px->issuer), "%s", cp->issuer_hash);
    cp_proxy_has_roots(px);
    http_req_header(r, "Fsm-Roots", cp->roots_hash);
    json_t *body = json_pack("{s:s,s:s,s:I,s:s}", "chain", chain, "roots", pki_ca_roots(cp->ca),
                             "notAfter", (json_int_t)info.not_after, "issuer", cp->issuer_hash);
    cp_reply_json(cp, r, 200, body);
    json_decref(body);
    log_debug("cert", "issued proxy=%s serial=%s", px->key, info.serial);
}

/* "web.app" in namespace "svc" would be web.app.svc.<trust domain>: the name of a Service, maybe
 * of the controller */
static bool is_service_name(const struct pki_token *t)
{
    return strcmp(t->ns, "svc") == 0 && strchr(t->sa, '.');
}

void cp_cert_issue(struct cp *cp, struct http_req *r, const struct pki_token *t,
                   struct cp_proxy *px)
{
    uint64_t begin = clock_mono_ns();
    struct err e = {""};
    json_t *body = json_parse(http_req_body(r), MAX_CSR, &e);
    const char *csr = json_str(body, "csr", NULL);
    char *chain = NULL;

    if (is_service_name(t)) {
        cp->metrics.cert_errors++;
        cp_reply_text(cp, r, 403,
                      "service account %s of namespace %s: its name would be that of a Service\n",
                      t->sa, t->ns);
    } else if (!csr) {
        cp_reply_text(cp, r, 400,
                      "expected {\"csr\": \"-----BEGIN CERTIFICATE REQUEST-----...\"}%s%s\n",
                      e.text[0] ? ": " : "", e.text);
    } else if (!(chain = sign(cp, csr, t, &e))) {
        cp->metrics.cert_errors++;
        log_warn("cert", "request refused proxy=%s error=\"%s\"", px->key, e.text);
        cp_reply_text(cp, r, 400, "%s\n", e.text);
    } else {
        cp->metrics.certs++;
        metric_observe(&cp->metrics.cert_time, (double)(clock_mono_ns() - begin) / 1e9);
        reply_chain(cp, r, px, chain);
    }
    free(chain);
    json_decref(body);
}

void cp_roots(struct cp *cp, struct http_req *r, struct cp_proxy *px)
{
    cp_proxy_has_roots(px);
    http_req_header(r, "Fsm-Roots", cp->roots_hash);
    cp_reply(cp, r, 200, "application/x-pem-file", slice_str(pki_ca_roots(cp->ca)));
}

/* ---- rotation of the root
 * ---------------------------------------------------------------------------- prepare   the next
 * root is made and distributed; the old one signs promote   the next root signs; both are trusted
 * retire    the old root is trusted no more
 * Each step is refused while a connected proxy would be left behind by it, unless forced. */

/* true and answered: somebody would be left behind */
static bool must_wait(struct cp *cp, struct http_req *r, unsigned n, const char *what)
{
    char force[8];

    if (n == 0 || http_req_query(r, "force", force, sizeof(force)))
        return false;
    cp_reply_text(cp, r, 409,
                  "%u connected proxies %s; see /proxies, and try again later "
                  "(or add ?force=1)\n",
                  n, what);
    return true;
}

json_t *cp_ca_json(const struct cp *cp)
{
    return json_pack("{s:s,s:s,s:i,s:i,s:i}", "roots", cp->roots_hash, "issuer", cp->issuer_hash,
                     "proxiesConnected", (int)cp_proxies_connected(cp), "proxiesWithoutRoots",
                     (int)cp_proxies_without_roots(cp), "proxiesWithOldCertificates",
                     (int)cp_proxies_with_old_certs(cp));
}

static void done(struct cp *cp, struct http_req *r, const char *name)
{
    json_t *body;

    set_ca_hashes(cp);
    cp_root_maps_check(cp);
    cp_polls_check(cp);
    log_info("cert", "root rotation step=%s roots=%s", name, cp->roots_hash);
    body = cp_ca_json(cp);
    cp_reply_json(cp, r, 200, body);
    json_decref(body);
}

static int promote(struct cp *cp, struct err *e)
{
    if (pki_ca_promote(cp->ca, e) < 0)
        return -1;
    renew_own(cp);
    return 0;
}

void cp_ca_command(struct cp *cp, struct http_req *r, enum cp_ca_step step)
{
    static const char *const names[] = {"prepare", "promote", "retire"};
    struct err e = {""};
    int rc;

    if (step == CP_CA_PROMOTE &&
        must_wait(cp, r, cp_proxies_without_roots(cp), "do not trust the next root yet"))
        return;
    if (step == CP_CA_RETIRE &&
        must_wait(cp, r, cp_proxies_with_old_certs(cp), "hold certificates of the old root"))
        return;
    if (step == CP_CA_PREPARE)
        rc = pki_ca_prepare_next(cp->ca, &e);
    else
        rc = step == CP_CA_PROMOTE ? promote(cp, &e) : pki_ca_retire_old(cp->ca, &e);
    if (rc < 0)
        cp_reply_text(cp, r, 409, "%s\n", e.text);
    else
        done(cp, r, names[step]);
}
