/* apply.c - a new document or certificate becomes the one in force; see sidecar.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/notify.h"
#include "common/pki/pki.h"
#include "common/policy/document_store.h"
#include "common/proxy/view.h"
#include "sidecar/document.h"
#include "sidecar/probes.h"
#include "sidecar/sidecar.h"

#define DOCUMENT_MAX (256u * 1024 * 1024)
#define PEM_MAX      (1024u * 1024)
#define PATIENCE_MS  1000 /* news of a pod take a tenth of it */

static struct document_conf conf_of(const struct sidecar *sc)
{
    return (struct document_conf){.engine = sc->engine,
                                  .outbound = sc->conf.outbound,
                                  .inbound = sc->conf.inbound,
                                  .transport = sc->transport,
                                  .before = sc->doc,
                                  .patience_ms = sc->source ? PATIENCE_MS : 0};
}

/* builds a view of doc with the current certificate and makes it the one in use */
static int publish(struct sidecar *sc, struct document *doc, struct err *e)
{
    const struct document_conf c = conf_of(sc);
    struct view *v = document_view(&c, doc, e);
    if (!v)
        return -1;
    engine_publish(sc->engine, v);
    return 0;
}

int apply_nothing(struct sidecar *sc, struct err *e)
{
    const struct document_conf c = conf_of(sc);
    struct view *v = view_new(sc->engine);
    if (document_listeners(v, &c, e) < 0) {
        view_free(v);
        return -1;
    }
    log_warn("document", "none yet: connections are refused until there is one");
    engine_publish(sc->engine, v);
    return 0;
}

/* doc NULL: there is none any more */
static void note_refusal(struct sidecar *sc, const struct document *doc, const char *why)
{
    free(sc->refused);
    free(sc->refused_why);
    sc->refused = doc ? xstrdup(json_str(document_rest(doc), "Version", "unknown")) : NULL;
    sc->refused_why = why ? xstrdup(why) : NULL;
}

/* what a document sets beside the engine's tables */
static void apply_settings(struct sidecar *sc, const json_t *doc)
{
    const char *text = json_str(doc, "Spec.SidecarLogLevel", "error");
    enum log_level level;
    if (log_parse_level(text, &level) < 0)
        log_warn("document", "Spec.SidecarLogLevel is no level: \"%.32s\"", text);
    else if (!sc->conf.verbose)
        log_set_level(level);
    if (sc->probes)
        probes_allow(sc->probes, doc);
    const struct stats_source src = {.ns = json_str(doc, "Proxy.Namespace", ""),
                                     .kind = json_str(doc, "Proxy.Workload.Kind", ""),
                                     .name = json_str(doc, "Proxy.Workload.Name", ""),
                                     .pod = json_str(doc, "Proxy.Pod", "")};
    admin_set_source(sc->admin, &src);
}

/* A service manager waits for what /ready says, too.  It watches the first of a line of processes.
 */
static void tell_ready(struct sidecar *sc)
{
    if (sc->told || sc->heir || !sc->doc || (sc->conf.controller && !sc->transport))
        return;
    notify_manager("READY=1");
    sc->told = true;
}

int apply_document(struct sidecar *sc, struct document *doc, struct err *e)
{
    if (publish(sc, doc, e) < 0) {
        log_error("document", "refused, the old one stays: %s", e->text);
        note_refusal(sc, doc, e->text);
        return -1;
    }
    apply_settings(sc, document_rest(doc));
    note_refusal(sc, NULL, NULL);
    document_unref(sc->doc);
    sc->doc = document_ref(doc);
    log_info("document", "in force version=%s", json_str(document_rest(doc), "Version", ""));
    tell_ready(sc);
    return 0;
}

/* returns owned */
static struct document *read_document(const char *file, struct err *e)
{
    struct buf text = BUF_INIT;
    struct document *doc = NULL;
    if (file_read(file, DOCUMENT_MAX, &text, e) == 0) {
        doc = document_load(buf_slice(&text), e);
        if (!doc)
            err_prefix(e, "%s", file);
    }
    buf_free(&text);
    return doc;
}

int apply_file(struct sidecar *sc, struct err *e)
{
    struct document *doc = read_document(sc->conf.file, e);
    if (!doc)
        return -1;
    int rc = apply_document(sc, doc, e);
    document_unref(doc);
    return rc;
}

static void print_presented(const struct document *doc)
{
    struct buf text = BUF_INIT;
    document_show(doc, NULL, &text);
    fputs(text.p, stdout);
    buf_free(&text);
}

/* builds the tables and throws them away, with an engine that has no thread */
static int try_document(struct sidecar *sc, struct document *doc, struct err *e)
{
    const struct engine_opts o = {.workers = 0, .access_fd = -1};
    struct loop *l = loop_new(e);
    struct engine *eng = l ? engine_new(l, &o, e) : NULL;
    const struct document_conf c = {.engine = eng, .dry = true};
    struct view *v = eng ? document_view(&c, doc, e) : NULL;
    bool good = v != NULL;
    view_free(v);
    engine_free(eng);
    loop_free(l);
    if (good && sc->conf.verbose)
        print_presented(doc);
    return good ? 0 : -1;
}

int check_file(struct sidecar *sc, struct err *e)
{
    if (!sc->conf.file)
        return err_set(e, "-n needs -f DOCUMENT: a controller's document is checked when it comes");
    struct document *doc = read_document(sc->conf.file, e);
    int rc = doc ? try_document(sc, doc, e) : -1;
    if (doc && rc < 0)
        err_prefix(e, "%s", sc->conf.file);
    document_unref(doc);
    return rc;
}

/* a certificate has one key, so the key need not be compared */
static bool in_use(const struct sidecar *sc, const char *chain, const char *roots)
{
    return sc->transport && strcmp(sc->chain_pem, chain) == 0 && strcmp(sc->roots_pem, roots) == 0;
}

static void set_text(char **to, const char *text)
{
    free(*to);
    *to = xstrdup(text);
}

int apply_identity(struct sidecar *sc, const char *chain, const char *key, const char *roots,
                   struct err *e)
{
    struct pki_cert_info info;
    if (in_use(sc, chain, roots))
        return 0;
    if (pki_cert_read(chain, &info, e) < 0)
        return -1;
    struct transport *t = identity_transport(chain, key, roots, sc->tickets, sc->tls_pool, e);
    if (!t)
        return -1;
    transport_unref(sc->transport);
    sc->transport = t;
    set_text(&sc->chain_pem, chain);
    set_text(&sc->roots_pem, roots);
    log_info("identity", "certificate in use cn=%s serial=%s", info.subject_cn, info.serial);
    if (sc->doc && publish(sc, sc->doc, e) < 0)
        return -1;
    tell_ready(sc);
    return 0;
}

int apply_identity_files(struct sidecar *sc, struct err *e)
{
    const struct sidecar_conf *c = &sc->conf;
    struct buf chain = BUF_INIT, key = BUF_INIT, roots = BUF_INIT;
    int rc = -1;
    if (!c->cert && !c->key && !c->ca)
        return 0;
    if (!c->cert || !c->key || !c->ca)
        return err_set(e, "--cert, --key and --ca belong together: give all three or none");
    if (file_read(c->cert, PEM_MAX, &chain, e) == 0 && file_read(c->key, PEM_MAX, &key, e) == 0 &&
        file_read(c->ca, PEM_MAX, &roots, e) == 0)
        rc = apply_identity(sc, chain.p ? chain.p : "", key.p ? key.p : "", roots.p ? roots.p : "",
                            e);
    if (key.p)
        explicit_bzero(key.p, key.len);
    buf_free(&chain);
    buf_free(&key);
    buf_free(&roots);
    return rc;
}
