/* source.c - the sidecar's link to the controller (source.h).
 *
 * Two exchanges run side by side, each on a connection of its own: the certificate (request, wait
 * for half of its life, renew; also the roots and the status in between) and the document (long
 * poll on the version).  Each is a small circle of states driven by one timer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/client.h"
#include "common/io/dns.h"
#include "common/pki/pki.h"
#include "common/policy/document.h"
#include "common/policy/document_store.h"
#include "common/tls/tls.h"
#include "sidecar/source.h"

#define SUB         "source"
#define BACKOFF_MIN 100 /* ms */
#define BACKOFF_MAX                                                                                \
    10000 /* ms; the controller is back within seconds, a restart of it is not a storm */
#define RENEW_S      3 /* after another root began to sign: within so many seconds */
#define MAX_TOKEN    (64 * 1024)
#define MAX_CA       (256 * 1024)
#define MAX_DOCUMENT (256u * 1024 * 1024)

/* One exchange with the controller: a client, its retry timer and back-off. */
struct link {
    struct source *s;
    struct http_client *client;
    struct timer timer;
    unsigned backoff_ms;
    void (*next)(struct source *s); /* what the timer begins */
};

struct source {
    struct loop *loop;
    struct source_conf conf;
    const struct source_ops *ops;
    void *arg;
    struct dns *dns;

    char *ca_pem;    /* the CA file as last read */
    char *roots_pem; /* as last told by the controller, or NULL */
    char roots_hash[64];

    struct link cert, doc;
    char *key_pem;     /* in use */
    char *new_key_pem; /* of the request under way */
    char *chain_pem;
    int64_t cert_not_after, renew_at; /* seconds since the epoch */
    bool want_roots, want_status;
    char issuer[64]; /* of the certificate: hash as the controller tells it */

    struct document *in_force; /* a reference */
    char version[DOCUMENT_VERSION_MAX];
    char held[DOCUMENT_VERSION_MAX]; /* last version received, good or refused */
    char rejected[DOCUMENT_VERSION_MAX];
    struct err reason;
    struct err error;
};

static void cert_next(struct source *s);
static void doc_poll(struct source *s);

/* ---- links ------------------------------------------------------------------------------------
 */

static void link_fire(void *arg)
{
    struct link *k = arg;

    k->next(k->s);
}

static void link_in(struct link *k, uint64_t ms, void (*next)(struct source *s))
{
    k->next = next;
    timer_set(&k->timer, ms);
}

/* again after the back-off: doubled each time, with half of it random, so that a restarted
 * controller is not met by all proxies at once */
static void link_retry(struct link *k, void (*next)(struct source *s))
{
    uint32_t r;

    random_bytes(&r, sizeof(r));
    link_in(k, k->backoff_ms / 2 + r % (k->backoff_ms / 2 + 1), next);
    k->backoff_ms = k->backoff_ms * 2 > BACKOFF_MAX ? BACKOFF_MAX : k->backoff_ms * 2;
}

static void link_good(struct link *k)
{
    k->backoff_ms = BACKOFF_MIN;
}

/* Roots that the controller's certificate may chain to: the mounted file's and those told since. */
static struct tls_ctx *controller_tls(struct source *s, struct err *e)
{
    char *ca = xasprintf("%s\n%s", s->ca_pem, s->roots_pem ? s->roots_pem : "");
    struct tls_conf c = {.ca_pem = ca, .verify = TLS_VERIFY_REQUIRED};
    struct tls_ctx *ctx = tls_ctx_new(&c, e);

    free(ca);
    return ctx;
}

static int use_roots(struct source *s, struct err *e)
{
    struct tls_ctx *ctx = controller_tls(s, e);

    if (!ctx)
        return -1;
    http_client_set_tls(s->cert.client, ctx);
    http_client_set_tls(s->doc.client, ctx);
    tls_ctx_unref(ctx);
    return 0;
}

/* the mounted CA bundle may have been replaced since */
static int reread_ca(struct source *s, struct err *e)
{
    struct buf b = BUF_INIT;
    char *old = s->ca_pem;

    if (file_read(s->conf.ca_file, MAX_CA, &b, e) < 0) {
        buf_free(&b);
        return -1;
    }
    s->ca_pem = buf_take(&b);
    if (old && strcmp(old, s->ca_pem) == 0) {
        free(old);
        return 0;
    }
    if (s->cert.client && use_roots(s, e) < 0) {
        free(s->ca_pem);
        s->ca_pem = old;
        return err_prefix(e, "%s", s->conf.ca_file);
    }
    free(old);
    return 0;
}

/* "Authorization: Bearer ..."; returns owned, wiped by the caller; NULL and e */
static char *authorization(struct source *s, struct err *e)
{
    struct buf b = BUF_INIT;
    struct slice token;
    char *line;

    if (file_read(s->conf.token_file, MAX_TOKEN, &b, e) < 0) {
        buf_free(&b);
        return NULL;
    }
    token = buf_slice(&b);
    while (token.n > 0 && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
        token.n--;
    if (token.n == 0 || !http_is_field_value(token)) {
        err_set(e, "%s: expected one service-account token", s->conf.token_file);
        line = NULL;
    } else {
        line = xasprintf("Authorization: Bearer %.*s", SLICE_FMT(token));
    }
    explicit_bzero(b.p, b.len);
    buf_free(&b);
    return line;
}

static void trouble(struct source *s, const char *what, const char *why)
{
    struct err e = {""};

    err_set(&e, "%s: %s", what, why);
    /* told once, not at every try */
    if (strcmp(e.text, s->error.text) != 0)
        log_warn(SUB, "going on with what we have what=%s error=\"%s\"", what, why);
    s->error = e;
}

static void cleared(struct source *s)
{
    if (s->error.text[0])
        log_info(SUB, "the controller serves us");
    s->error.text[0] = '\0';
}

/* Begins a request on a link; -1 if it could not even begin (then a retry is already set). */
static int link_send(struct link *k, const char *method, const char *target, const char *type,
                     struct slice body, unsigned timeout_ms, http_result_cb *cb,
                     void (*again)(struct source *s))
{
    struct source *s = k->s;
    struct err e = {""};
    char *auth = NULL;

    if (reread_ca(s, &e) < 0 || !(auth = authorization(s, &e))) {
        trouble(s, target, e.text);
        link_retry(k, again);
        return -1;
    }
    http_client_send(k->client, method, target, (const char *const[]){auth, NULL}, type, body,
                     timeout_ms, cb, s);
    pki_wipe(auth);
    return 0;
}

/* what an answer says that is not what was hoped for */
static void explain(const struct http_result *r, struct err *e)
{
    struct slice text = slice_trim(slice_of(r->body.p, r->body.n > 200 ? 200 : r->body.n));

    if (r->status == 0)
        err_set(e, "the controller is out of reach: %s", r->error ? r->error : "no answer");
    else if (r->status == 404) /* a new pod: it hears of it in a moment */
        err_set(e, "the controller does not know this pod yet: %.*s", SLICE_FMT(text));
    else
        err_set(e, "the controller answers %u: %.*s", r->status, SLICE_FMT(text));
}

/* ---- certificate, roots, status ----------------------------------------------------------------
 */

static int tell_identity(struct source *s, struct err *e)
{
    const char *roots = s->roots_pem ? s->roots_pem : s->ca_pem;

    return s->ops->identity(s->chain_pem, s->key_pem, roots, s->arg, e);
}

/* an answer that brought the bundle names it */
static void roots_named(struct source *s, const struct http_head *h)
{
    const struct http_field *f = http_find_name(h, SLICE_LIT("fsm-roots"));

    if (f && f->value.n < sizeof(s->roots_hash))
        snprintf(s->roots_hash, sizeof(s->roots_hash), "%.*s", SLICE_FMT(f->value));
}

/* Half of the remaining life, give or take a tenth: 24 h certificates are renewed after 11-13 h */
static void schedule_renewal(struct source *s)
{
    int64_t left = s->cert_not_after - (int64_t)time(NULL);
    uint32_t r;

    random_bytes(&r, sizeof(r));
    if (left < 2)
        left = 2;
    s->renew_at = (int64_t)time(NULL) + left / 2 - left / 20 + (left >= 10 ? r % (left / 10) : 0);
}

static int take_certificate(struct source *s, const json_t *j, struct err *e)
{
    const char *chain = json_str(j, "chain", NULL), *roots = json_str(j, "roots", NULL);
    char *old_chain = s->chain_pem, *old_key = s->key_pem, *old_roots = s->roots_pem;

    if (!chain || !roots || json_int(j, "notAfter", 0) <= 0)
        return err_set(e, "the controller's answer lacks chain, roots or notAfter");
    s->chain_pem = xstrdup(chain);
    s->roots_pem = xstrdup(roots);
    s->key_pem = s->new_key_pem;
    if (tell_identity(s, e) < 0) {
        free(s->chain_pem);
        free(s->roots_pem);
        s->chain_pem = old_chain;
        s->roots_pem = old_roots;
        s->key_pem = old_key;
        return -1;
    }
    s->new_key_pem = NULL;
    pki_wipe(old_key);
    free(old_chain);
    free(old_roots);
    s->cert_not_after = json_int(j, "notAfter", 0);
    snprintf(s->issuer, sizeof(s->issuer), "%s", json_str(j, "issuer", ""));
    schedule_renewal(s);
    return use_roots(s, e);
}

static void on_certificate(const struct http_result *r, void *arg)
{
    struct source *s = arg;
    struct err e = {""};
    json_t *j = r->status == 200 ? json_parse(r->body, MAX_CA, &e) : NULL;

    if (r->status != 200)
        explain(r, &e);
    if (j && take_certificate(s, j, &e) == 0) {
        log_info(SUB, "certificate received renew_in_s=%lld",
                 (long long)(s->renew_at - (int64_t)time(NULL)));
        roots_named(s, r->head);
        link_good(&s->cert);
        cleared(s);
        s->want_status = true;
        link_in(&s->cert, 0, cert_next);
    } else {
        trouble(s, "certificate", e.text);
        link_retry(&s->cert, cert_next);
    }
    json_decref(j);
}

static void request_certificate(struct source *s)
{
    struct err e = {""};
    char *csr = NULL;
    json_t *j;
    struct buf b = BUF_INIT;

    pki_wipe(s->new_key_pem);
    s->new_key_pem = pki_key_new(&e);
    if (s->new_key_pem)
        csr = pki_csr_new(s->new_key_pem, "fsm-sidecar", &e);
    if (!csr) {
        trouble(s, "key", e.text);
        link_retry(&s->cert, cert_next);
        return;
    }
    j = json_pack("{s:s}", "csr", csr);
    json_print(j, &b);
    link_send(&s->cert, "POST", "/v1/certificate", "application/json", buf_slice(&b), 10000,
              on_certificate, cert_next);
    json_decref(j);
    free(csr);
    buf_free(&b);
}

static void on_roots(const struct http_result *r, void *arg)
{
    struct source *s = arg;
    struct err e = {""};
    char *old = s->roots_pem;

    if (r->status != 200) {
        explain(r, &e);
        trouble(s, "roots", e.text);
        link_retry(&s->cert, cert_next);
        return;
    }
    s->want_roots = false;
    s->roots_pem = xstrndup(r->body.p, r->body.n);
    if (use_roots(s, &e) < 0 || (s->chain_pem && tell_identity(s, &e) < 0)) {
        log_warn(SUB, "new roots can't be used, the old ones stay error=\"%s\"", e.text);
        free(s->roots_pem);
        s->roots_pem = old;
    } else {
        log_info(SUB, "roots changed from=%s", s->roots_hash);
        free(old);
    }
    roots_named(s, r->head);
    link_good(&s->cert);
    link_in(&s->cert, 0, cert_next);
}

static void on_status(const struct http_result *r, void *arg)
{
    struct source *s = arg;

    /* a lost status is told again with the next change */
    if (r->status == 204)
        link_good(&s->cert);
    link_in(&s->cert, 0, cert_next);
}

static void send_status(struct source *s)
{
    json_t *j = json_pack("{s:s, s:s?, s:s?, s:I}", "applied", s->version, "rejected",
                          s->rejected[0] ? s->rejected : NULL, "reason",
                          s->rejected[0] ? s->reason.text : NULL, "certNotAfter",
                          (json_int_t)s->cert_not_after);
    struct buf b = BUF_INIT;

    s->want_status = false;
    json_print(j, &b);
    link_send(&s->cert, "POST", "/v1/status", "application/json", buf_slice(&b), 10000, on_status,
              cert_next);
    json_decref(j);
    buf_free(&b);
}

/* what the certificate's link has to do now, or when */
static void cert_next(struct source *s)
{
    int64_t now = (int64_t)time(NULL);

    if (!s->chain_pem || now >= s->renew_at)
        request_certificate(s);
    else if (s->want_roots)
        link_send(&s->cert, "GET", "/v1/roots", NULL, slice_str(""), 10000, on_roots, cert_next);
    else if (s->want_status)
        send_status(s);
    else
        /* the wall clock may jump: look at it at least every minute */
        link_in(&s->cert, s->renew_at - now > 60 ? 60000 : (uint64_t)(s->renew_at - now) * 1000,
                cert_next);
}

/* something new for the certificate's link, which may be asleep or in a request */
static void cert_kick(struct source *s)
{
    if (timer_is_set(&s->cert.timer) && s->cert.next == cert_next && s->chain_pem)
        link_in(&s->cert, 0, cert_next);
}

/* ---- the document ------------------------------------------------------------------------------
 */

static void forget_document(struct source *s)
{
    s->held[0] = '\0';
}

static void offer_document(struct source *s, struct document *d)
{
    struct err e = {""};

    document_version_text(document_hash_now(d), s->held);
    if (s->ops->document(d, s->arg, &e) < 0) {
        snprintf(s->rejected, sizeof(s->rejected), "%s", s->held);
        s->reason = e;
        log_error(SUB, "document refused, the old one stays version=%s in_force=%s reason=\"%s\"",
                  s->held, s->version, e.text);
    } else {
        document_unref(s->in_force);
        s->in_force = document_ref(d);
        snprintf(s->version, sizeof(s->version), "%s", s->held);
        s->rejected[0] = '\0';
    }
    s->want_status = true;
    cert_kick(s);
}

static void take_document(struct source *s, struct slice body)
{
    struct err e = {""};
    struct document *d = document_load(body, &e);

    if (!d) {
        trouble(s, "document", e.text);
        link_retry(&s->doc, doc_poll);
    } else {
        offer_document(s, d);
        link_in(&s->doc, 0, doc_poll);
    }
    document_unref(d);
}

static void take_patch(struct source *s, struct slice body)
{
    struct err e = {""};
    json_t *patch = json_parse(body, MAX_DOCUMENT, &e);
    struct document *d = patch && s->in_force ? document_update(s->in_force, patch, &e) : NULL;

    if (!d) {
        log_warn(SUB, "patch does not fit, asking for the whole document error=\"%s\"", e.text);
        forget_document(s);
    } else {
        offer_document(s, d);
    }
    link_in(&s->doc, 0, doc_poll);
    document_unref(d);
    json_decref(patch);
}

static bool content_is(const struct http_head *h, const char *type)
{
    const struct http_field *f = http_find(h, HDR_CONTENT_TYPE);

    return f && slice_starts(f->value, slice_str(type));
}

/* the poll's answer names the CA bundle in force */
static void look_at_roots(struct source *s, const struct http_head *h)
{
    const struct http_field *f = http_find_name(h, SLICE_LIT("fsm-roots"));

    if (!f || slice_eq_str(f->value, s->roots_hash))
        return;
    s->want_roots = true;
    cert_kick(s);
}

/* ... and the root that signs now: a certificate of another one is renewed, within seconds, but
 * not by all proxies at once */
static void look_at_issuer(struct source *s, const struct http_head *h)
{
    const struct http_field *f = http_find_name(h, SLICE_LIT("fsm-issuer"));
    int64_t now = (int64_t)time(NULL);
    uint32_t r;

    if (!f || !s->issuer[0] || slice_eq_str(f->value, s->issuer) || s->renew_at <= now + RENEW_S)
        return;
    random_bytes(&r, sizeof(r));
    s->renew_at = now + r % RENEW_S;
    log_info(SUB, "another root signs now, the certificate is renewed in_s=%lld",
             (long long)(s->renew_at - now));
    cert_kick(s);
}

static void on_document(const struct http_result *r, void *arg)
{
    struct source *s = arg;
    struct err e = {""};

    if (r->status == 200 || r->status == 304) {
        link_good(&s->doc);
        cleared(s);
        look_at_roots(s, r->head);
        look_at_issuer(s, r->head);
    }
    if (r->status == 200 && content_is(r->head, "application/merge-patch+json")) {
        take_patch(s, r->body);
    } else if (r->status == 200) {
        take_document(s, r->body);
    } else if (r->status == 304) {
        link_in(&s->doc, 0, doc_poll);
    } else {
        explain(r, &e);
        trouble(s, "document", e.text);
        link_retry(&s->doc, doc_poll);
    }
}

static void doc_poll(struct source *s)
{
    /* A refused version is named too, so that it does not come again and again.  A patch from it
     * will not fit what is in force; then take_patch asks for the whole.  What is in force is named
     * for a controller that has just started: to this one nothing was reported. */
    char *target = xasprintf("/v1/config?version=%s&wait=%u&roots=%s&issuer=%s&applied=%s", s->held,
                             s->conf.wait_s, s->roots_hash, s->issuer, s->version);

    link_send(&s->doc, "GET", target, NULL, slice_str(""), (s->conf.wait_s + 10) * 1000,
              on_document, doc_poll);
    free(target);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static int link_init(struct link *k, struct source *s, struct tls_ctx *ctx, struct err *e)
{
    struct http_client_opts o = {.dns = s->dns, .tls = ctx, .max_body = MAX_DOCUMENT};

    k->s = s;
    k->backoff_ms = BACKOFF_MIN;
    timer_init(&k->timer, s->loop, link_fire, k);
    k->client = http_client_new(s->loop, s->conf.controller, &o, e);
    return k->client ? 0 : -1;
}

json_t *source_save(const struct source *s)
{
    struct buf text = BUF_INIT;

    if (s->in_force)
        document_print(s->in_force, &text);
    json_t *j = json_pack("{s:s?, s:s?, s:s?, s:s, s:I, s:s, s:s, s:s?}", "Key", s->key_pem,
                          "Chain", s->chain_pem, "Roots", s->roots_pem, "RootsHash", s->roots_hash,
                          "NotAfter", (json_int_t)s->cert_not_after, "Issuer", s->issuer, "Held",
                          s->held, "Document", text.p);
    buf_free(&text);
    return j;
}

static char *saved_text(const json_t *saved, const char *key)
{
    const char *text = json_str(saved, key, NULL);

    return text ? xstrdup(text) : NULL;
}

/* goes on where the predecessor stopped */
static int resume(struct source *s, const json_t *saved, struct err *e)
{
    const char *text = json_str(saved, "Document", NULL);
    struct document *d = NULL;

    s->key_pem = saved_text(saved, "Key");
    s->chain_pem = saved_text(saved, "Chain");
    s->roots_pem = saved_text(saved, "Roots");
    snprintf(s->roots_hash, sizeof(s->roots_hash), "%s", json_str(saved, "RootsHash", ""));
    snprintf(s->issuer, sizeof(s->issuer), "%s", json_str(saved, "Issuer", ""));
    s->cert_not_after = json_int(saved, "NotAfter", 0);
    if (s->chain_pem && s->key_pem) {
        if (tell_identity(s, e) < 0 || use_roots(s, e) < 0)
            return -1;
        schedule_renewal(s);
    }
    if (text && !(d = document_load(slice_str(text), e)))
        return -1;
    if (d)
        offer_document(s, d);
    document_unref(d);
    snprintf(s->held, sizeof(s->held), "%s", json_str(saved, "Held", ""));
    return 0;
}

struct source *source_new(struct loop *l, const struct source_conf *conf,
                          const struct source_ops *ops, void *arg, struct err *e)
{
    struct source *s = xcalloc(1, sizeof(*s));
    struct tls_ctx *ctx = NULL;

    s->loop = l;
    s->ops = ops;
    s->arg = arg;
    s->conf.controller = xstrdup(conf->controller);
    s->conf.token_file = xstrdup(conf->token_file);
    s->conf.ca_file = xstrdup(conf->ca_file);
    s->conf.wait_s = conf->wait_s ? conf->wait_s : 50;
    s->dns = dns_new(l, NULL, e);
    if (!s->dns || reread_ca(s, e) < 0 || !(ctx = controller_tls(s, e)))
        goto fail;
    if (link_init(&s->cert, s, ctx, e) < 0 || link_init(&s->doc, s, ctx, e) < 0)
        goto fail;
    if (conf->resume && resume(s, conf->resume, e) < 0)
        goto fail;
    tls_ctx_unref(ctx);
    link_in(&s->cert, 0, cert_next);
    link_in(&s->doc, 0, doc_poll);
    return s;
fail:
    tls_ctx_unref(ctx);
    source_free(s);
    return NULL;
}

static void link_free(struct link *k)
{
    if (!k->s)
        return;
    timer_cancel(&k->timer);
    http_client_free(k->client);
}

void source_free(struct source *s)
{
    if (!s)
        return;
    link_free(&s->cert);
    link_free(&s->doc);
    dns_free(s->dns);
    document_unref(s->in_force);
    pki_wipe(s->key_pem);
    pki_wipe(s->new_key_pem);
    free(s->chain_pem);
    free(s->ca_pem);
    free(s->roots_pem);
    free((char *)s->conf.controller);
    free((char *)s->conf.token_file);
    free((char *)s->conf.ca_file);
    free(s);
}

void source_state(const struct source *s, struct source_state *out)
{
    *out = (struct source_state){.version = s->version,
                                 .rejected = s->rejected,
                                 .reason = s->reason.text,
                                 .error = s->error.text,
                                 .cert_not_after = s->cert_not_after};
}
