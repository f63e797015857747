/* auth.c - whose request it is: service-account tokens, and the pods they were given to.
 *
 * Checking a signature costs more than everything else about a poll, so tokens that were good are
 * remembered until they expire.  A token is never logged.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "controller/cp.h"

#define AUDIENCE   "fsm"
#define MAX_TOKENS 20000 /* remembered at one time */
#define MAX_KEY    65536

int cp_auth_load_key(struct cp *cp, struct err *e)
{
    struct buf pem = BUF_INIT;

    if (file_read(cp->conf.token_key, MAX_KEY, &pem, e) < 0) {
        buf_free(&pem);
        return err_prefix(e, "--token-key");
    }
    if (!pem.p || !strstr(pem.p, "-----BEGIN PUBLIC KEY-----")) {
        buf_free(&pem);
        return err_set(e, "--token-key %s: expected a PEM file with a PUBLIC KEY",
                       cp->conf.token_key);
    }
    if (cp->token_key_pem && strcmp(cp->token_key_pem, pem.p) == 0) {
        buf_free(&pem);
        return 0;
    }
    free(cp->token_key_pem);
    cp->token_key_pem = buf_take(&pem);
    table_free(cp->tokens); /* what the old key vouched for counts no more */
    cp->tokens = table_new(free);
    return 0;
}

static const struct pki_token *refuse(struct cp *cp, struct http_req *r, const char *why)
{
    http_req_header(r, "WWW-Authenticate", "Bearer");
    cp_reply_text(cp, r, 401, "%s\n", why);
    return NULL;
}

static struct slice bearer(const struct http_req *r)
{
    const struct http_field *f = http_find(http_req_head(r), HDR_AUTHORIZATION);
    struct slice v = f ? slice_trim(f->value) : slice_str(NULL);

    if (v.n < 7 || !slice_ieq(slice_of(v.p, 7), SLICE_LIT("bearer ")))
        return slice_str(NULL);
    return slice_trim(slice_of(v.p + 7, v.n - 7));
}

const struct pki_token *cp_auth(struct cp *cp, struct http_req *r)
{
    struct slice token = bearer(r);
    int64_t now = clock_wall_ms() / 1000;
    struct pki_token *t;
    struct err e = {""};

    if (token.n == 0)
        return refuse(cp, r, "no service-account token: expected \"Authorization: Bearer TOKEN\"");
    t = table_get(cp->tokens, token);
    if (t && t->not_after > now)
        return t;
    if (t)
        table_del(cp->tokens, token);
    t = xcalloc(1, sizeof(*t));
    if (pki_token_verify(cp->token_key_pem, token, AUDIENCE, now, t, &e) < 0) {
        free(t);
        return refuse(cp, r, e.text);
    }
    if (table_count(cp->tokens) >= MAX_TOKENS) {
        table_free(cp->tokens);
        cp->tokens = table_new(free);
    }
    table_put(cp->tokens, token, t);
    return t;
}

const struct mesh_pod *cp_auth_pod(struct cp *cp, struct http_req *r, const struct pki_token *t)
{
    const struct mesh_pod *pod;

    if (!cp->synced || cp->draining) {
        http_req_header(r, "Retry-After", "1");
        cp_reply_text(cp, r, 503, "%s\n",
                      cp->draining ? "the controller is stopping" : "the controller is starting");
        return NULL;
    }
    pod = policy_pod(cp->policy, t->ns, t->pod);
    if (!pod || strcmp(pod->uid, t->pod_uid) != 0) {
        cp_reply_text(cp, r, 404, "pod %s/%s with uid %s is not known (yet)\n", t->ns, t->pod,
                      t->pod_uid);
        return NULL;
    }
    if (strcmp(pod->sa, t->sa) != 0) {
        cp_reply_text(cp, r, 403, "the token names service account %s, the pod %s/%s runs as %s\n",
                      t->sa, t->ns, t->pod, pod->sa);
        return NULL;
    }
    return pod;
}
