/* auth.c - whose request it is: service-account tokens, and the pods they were given to.
 *
 * Who vouches for a token is its issuer's public key where there is one, else the API server
 * (review.c).  Both cost more than everything else about a poll, so verdicts are remembered, under
 * the token's hash.  A token is never logged.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "controller/cp.h"

#define MAX_TOKENS  20000 /* remembered at one time */
#define MAX_REFUSED 1000
#define MAX_KEY     65536

/* ---- what is remembered ------------------------------------------------------------------------
 */

static void verdict_free(void *p)
{
    struct cp_verdict *v = p;

    free(v->why);
    free(v);
}

static struct slice key_slice(const struct cp_token_key *key)
{
    return slice_of((const char *)key->sha256, sizeof(key->sha256));
}

static void forget_all(struct cp *cp)
{
    table_free(cp->tokens);
    table_free(cp->refused);
    cp->tokens = table_new(verdict_free);
    cp->refused = table_new(verdict_free);
}

static bool is_over(const struct cp *cp, const struct cp_verdict *v)
{
    return v->until_ms <= loop_now_ms(cp->loop) ||
           (v->status == 200 && v->token.not_after <= clock_wall_ms() / 1000);
}

static struct cp_verdict *find(struct cp *cp, struct table *in, const struct cp_token_key *key)
{
    struct cp_verdict *v = table_get(in, key_slice(key));

    if (v && is_over(cp, v)) {
        table_del(in, key_slice(key));
        v = NULL;
    }
    return v;
}

/* the oldest goes when there are too many */
static void put(struct table *in, unsigned max, const struct cp_token_key *key,
                const struct cp_verdict *v)
{
    struct cp_verdict *kept = xmalloc(sizeof(*kept));
    struct slice oldest;
    size_t it = 0;

    table_del(in, key_slice(key)); /* so that it counts as new */
    if (table_count(in) >= max && table_next(in, &it, &oldest, NULL))
        table_del(in, oldest);
    *kept = *v;
    table_put(in, key_slice(key), kept);
}

void cp_auth_remember(struct cp *cp, const struct cp_token_key *key, const struct cp_verdict *v)
{
    if (v->status == 200) {
        table_del(cp->refused, key_slice(key));
        put(cp->tokens, MAX_TOKENS, key, v);
        return;
    }
    if (v->status == 401)
        table_del(cp->tokens, key_slice(key));
    put(cp->refused, MAX_REFUSED, key, v);
}

/* ---- the key ------------------------------------------------------------------------------------
 */

int cp_auth_load_key(struct cp *cp, struct err *e)
{
    struct buf pem = BUF_INIT;

    if (!cp->conf.token_key)
        return 0;
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
    forget_all(cp); /* what the old key vouched for counts no more */
    return 0;
}

int cp_auth_start(struct cp *cp, struct err *e)
{
    forget_all(cp);
    if (!cp->conf.token_key)
        cp_reviews_start(cp);
    return cp_auth_load_key(cp, e);
}

void cp_auth_stop(struct cp *cp)
{
    cp_reviews_stop(cp);
    table_free(cp->tokens);
    table_free(cp->refused);
    free(cp->token_key_pem);
}

/* ---- requests -----------------------------------------------------------------------------------
 */

void cp_auth_refuse(struct cp *cp, struct http_req *r, unsigned status, uint64_t retry_ms,
                    const char *why)
{
    if (status == 401) {
        http_req_header(r, "WWW-Authenticate", "Bearer");
        cp_reply_text(cp, r, 401, "%s\n", why);
        return;
    }
    char *seconds = xasprintf("%llu", (unsigned long long)(retry_ms / 1000 + 1));
    http_req_header(r, "Retry-After", seconds);
    cp_reply_text(cp, r, status, "the token can't be checked now: %s\n", why);
    free(seconds);
}

static struct slice bearer(const struct http_req *r)
{
    const struct http_field *f = http_find(http_req_head(r), HDR_AUTHORIZATION);
    struct slice v = f ? slice_trim(f->value) : slice_str(NULL);

    if (v.n < 7 || !slice_ieq(slice_of(v.p, 7), SLICE_LIT("bearer ")))
        return slice_str(NULL);
    return slice_trim(slice_of(v.p + 7, v.n - 7));
}

/* by the issuer's key */
static void verify(struct cp *cp, struct http_req *r, const struct cp_token_key *key,
                   struct slice token, cp_authed_fn *next, const void *arg)
{
    struct cp_verdict v = {.status = 200, .until_ms = UINT64_MAX, .renew_ms = UINT64_MAX};
    struct err e = {""};

    if (pki_token_verify(cp->token_key_pem, token, CP_AUDIENCE, clock_wall_ms() / 1000, &v.token,
                         &e) < 0) {
        cp_auth_refuse(cp, r, 401, 0, e.text);
        return;
    }
    cp_auth_remember(cp, key, &v);
    next(cp, r, &v.token, arg);
}

static void pass(struct cp *cp, struct http_req *r, const struct cp_token_key *key,
                 struct slice token, const struct cp_verdict *v, cp_authed_fn *next,
                 const void *arg)
{
    struct pki_token t = v->token; /* the verdict may be forgotten meanwhile */

    if (v->renew_ms <= loop_now_ms(cp->loop) && !find(cp, cp->refused, key))
        cp_review_again(cp, key, token);
    next(cp, r, &t, arg);
}

void cp_auth(struct cp *cp, struct http_req *r, cp_authed_fn *next, const void *arg)
{
    struct slice token = bearer(r);
    struct cp_token_key key;
    const struct cp_verdict *v;

    if (token.n == 0) {
        cp_auth_refuse(cp, r, 401, 0,
                       "no service-account token: expected \"Authorization: Bearer TOKEN\"");
        return;
    }
    pki_sha256(token.p, token.n, key.sha256);
    if ((v = find(cp, cp->tokens, &key)))
        pass(cp, r, &key, token, v, next, arg);
    else if ((v = find(cp, cp->refused, &key)))
        cp_auth_refuse(cp, r, v->status, v->until_ms - loop_now_ms(cp->loop), v->why);
    else if (cp->token_key_pem)
        verify(cp, r, &key, token, next, arg);
    else
        cp_review(cp, r, &key, token, next, arg);
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
