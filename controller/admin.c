/* admin.c - the plain HTTP port: health, metrics, what the controller knows, root rotation.
 *
 * Health, metrics and the version are for everybody who can reach it.  What names pods, accounts or
 * what is wrong with somebody's objects is read from this machine only, and commands are taken from
 * there only. */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "controller/cp.h"

static bool is_ready(const void *self)
{
    const struct cp *cp = self;

    return cp->synced && !cp->draining;
}

/* takes body */
static void reply(struct cp *cp, struct http_req *r, json_t *body)
{
    cp_reply_json(cp, r, 200, body);
    json_decref(body);
}

static void problems(struct http_req *r, void *cp)
{
    reply(cp, r, cp_problems(cp));
}

static void proxies(struct http_req *r, void *cp)
{
    reply(cp, r, cp_proxies_json(cp));
}

static void ca_state(struct http_req *r, void *cp)
{
    reply(cp, r, cp_ca_json(cp));
}

static void debug_document(struct http_req *r, void *cp)
{
    struct err e = {""};
    char pod[512];
    json_t *doc;

    if (!http_req_query(r, "pod", pod, sizeof(pod))) {
        cp_reply_text(cp, r, 400, "expected /debug/document?pod=NAMESPACE/POD\n");
        return;
    }
    doc = cp_document(cp, pod, &e);
    if (doc)
        reply(cp, r, doc);
    else
        cp_reply_text(cp, r, 404, "%s\n", e.text);
}

static void ca_prepare(struct http_req *r, void *cp)
{
    cp_ca_command(cp, r, CP_CA_PREPARE);
}

static void ca_promote(struct http_req *r, void *cp)
{
    cp_ca_command(cp, r, CP_CA_PROMOTE);
}

static void ca_retire(struct http_req *r, void *cp)
{
    cp_ca_command(cp, r, CP_CA_RETIRE);
}

static const struct daemon_page pages[] = {
    {"GET", "/problems", problems, "what the resources get wrong, and what the mesh ignores",
     .local = true},
    {"GET", "/proxies", proxies, "each proxy: versions, lag, certificate", .local = true},
    {"GET", "/debug/document", debug_document, "?pod=NS/POD: the document that it should have",
     .local = true},
    {"GET", "/ca", ca_state, "who trusts what", .local = true},
    {"POST", "/ca/prepare", ca_prepare, "make the next root and distribute it"},
    {"POST", "/ca/promote", ca_promote, "sign with it"},
    {"POST", "/ca/retire", ca_retire, "stop trusting the old one"},
    {NULL},
};

static void begun(struct http_req *r, void *self)
{
    struct cp *cp = self;

    cp->request_began_ns = clock_mono_ns();
}

int cp_admin_start(struct cp *cp, struct err *e)
{
    cp->admin = daemon_admin_start(
        cp->loop,
        &(struct daemon_admin_conf){.where = cp->conf.base.admin,
                                    .name = "fsm-controller",
                                    .ready = "200 when resources are read and proxies are served",
                                    .pages = pages,
                                    .is_ready = is_ready,
                                    .metrics = cp_metrics_print,
                                    .begun = begun,
                                    .answered = cp_answered,
                                    .self = cp},
        e);
    return cp->admin ? 0 : -1;
}
