/* token_review.c - see token_review.h. */
#include "common/kube/token_review.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/answer.h"

#define PATH          "/apis/authentication.k8s.io/v1/tokenreviews"
#define ANSWER_MAX    65536u /* it repeats the token */
#define ANSWER_FIRST  16384u
#define ACCOUNT       "system:serviceaccount:"
#define EXTRA_POD     "authentication.kubernetes.io/pod-name"
#define EXTRA_POD_UID "authentication.kubernetes.io/pod-uid"

struct token_review {
    struct kube_call *call;
    struct buf body; /* of the answer; wiped: it repeats the token */
    char *audience;
    void (*done)(const struct token_review_answer *a, void *arg);
    void *arg;
};

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_free(b);
}

static void review_free(struct token_review *t)
{
    wipe(&t->body);
    free(t->audience);
    free(t);
}

static void refuse(struct token_review_answer *out, const char *why)
{
    out->verdict = TOKEN_REFUSED;
    out->why = why;
}

/* ---- what the server says ----------------------------------------------------------------------
 */

/* the value of an extra: a list of one string */
static const char *extra(const json_t *user, const char *name)
{
    const json_t *v = json_object_get(json_object_get(user, "extra"), name);
    const char *text = json_string_value(json_array_get(v, 0));
    return text && *text && json_array_size(v) == 1 ? text : NULL;
}

static bool has_audience(const json_t *status, const char *want)
{
    const json_t *v;
    size_t i;
    json_array_foreach (json_object_get(status, "audiences"), i, v)
        if (json_is_string(v) && strcmp(json_string_value(v), want) == 0)
            return true;
    return false;
}

/* "system:serviceaccount:NS:SA"; *ns is the caller's */
static int take_account(const char *username, char **ns, struct token_review_answer *out)
{
    if (strncmp(username, ACCOUNT, sizeof ACCOUNT - 1) != 0)
        return -1;
    const char *name = username + sizeof ACCOUNT - 1, *colon = strchr(name, ':');
    if (!colon || colon == name || !colon[1] || strchr(colon + 1, ':'))
        return -1;
    *ns = xstrndup(name, (size_t)(colon - name));
    out->ns = *ns;
    out->sa = colon + 1;
    return 0;
}

/* The server took the token: is it one of a pod, and for us? */
static void judge_user(const struct token_review *t, const json_t *status, char **ns,
                       struct token_review_answer *out)
{
    const json_t *user = json_object_get(status, "user");
    out->pod = extra(user, EXTRA_POD);
    out->pod_uid = extra(user, EXTRA_POD_UID);
    if (!has_audience(status, t->audience))
        refuse(out, "the API server does not say that the token is for this audience");
    else if (take_account(json_str(user, "username", ""), ns, out) < 0)
        refuse(out, "it is not a service account's");
    else if (!out->pod || !out->pod_uid)
        refuse(out, "it is not bound to a pod");
    else
        out->verdict = TOKEN_GOOD;
}

static void tell(struct token_review *t, const struct token_review_answer *answer)
{
    void (*done)(const struct token_review_answer *, void *) = t->done;
    void *arg = t->arg;
    done(answer, arg);
    review_free(t);
}

static void judge(struct token_review *t, struct slice text)
{
    struct token_review_answer out = {.verdict = TOKEN_UNKNOWN, .why = ""};
    struct err e = {""};
    char *ns = NULL, *why = NULL;
    json_wipe(true);
    json_t *j = json_parse(text, ANSWER_MAX, &e);
    json_wipe(false);
    const json_t *status = json_object_get(j, "status");
    if (!json_is_object(status) || strcmp(json_str(j, "kind", ""), "TokenReview") != 0)
        out.why = "the API server's answer is no TokenReview with a status";
    else if (json_is_true(json_object_get(status, "authenticated")))
        judge_user(t, status, &ns, &out);
    else
        refuse(&out, why = xasprintf("the API server does not take it: %.300s",
                                     json_str(status, "error", "no reason given")));
    tell(t, &out);
    free(why);
    free(ns);
    json_wipe(true);
    json_decref(j);
    json_wipe(false);
}

/* ---- or does not say
 * ----------------------------------------------------------------------------- */

/* Everybody's question will be answered so, for a while. */
static bool is_away(unsigned status)
{
    return status == 0 || status == 401 || status == 403 || status == 404 || status == 429 ||
           status == 503;
}

static char *why_not(const struct kube_answer *a)
{
    static const struct kube_right right = {.verb = "create",
                                            .verbs = "\"create\"",
                                            .group = "authentication.k8s.io",
                                            .plural = "tokenreviews",
                                            .where = "ClusterRole"};
    if (a->status == 0)
        return xasprintf("no answer from the API server: %s", a->error);
    if (a->status == 401)
        return xstrdup(kube_answer_unauthorized);
    if (a->status == 403)
        return kube_answer_forbidden(a, &right);
    char *words = kube_answer_words(a);
    char *out = xasprintf("the API server answers %u to create tokenreviews: %s", a->status, words);
    free(words);
    return out;
}

static void on_done(const struct kube_answer *a, void *arg)
{
    struct token_review *t = arg;
    struct token_review_answer out = {.retry_after = a->retry_after};
    if (a->status == 200 || a->status == 201) {
        judge(t, buf_slice(&t->body));
        return;
    }
    if (t->body.len > ANSWER_MAX) {
        out.verdict = TOKEN_UNKNOWN;
        out.why = "the API server's answer is too long";
        tell(t, &out);
        return;
    }
    char *why = why_not(a);
    out.verdict = is_away(a->status) ? TOKEN_AWAY : TOKEN_UNKNOWN;
    out.why = why;
    tell(t, &out);
    free(why);
}

static int on_data(struct slice bytes, void *arg)
{
    struct token_review *t = arg;
    buf_put_slice(&t->body, bytes);
    return t->body.len > ANSWER_MAX ? -1 : 0;
}

/* ---- the interface
 * ------------------------------------------------------------------------------- */

#define QUESTION_ROOM 256u /* beside the token and the audience */

static void put_question(struct slice token, const char *audience, struct buf *out)
{
    buf_reserve(out, token.n + strlen(audience) + QUESTION_ROOM); /* what moves leaves a copy */
    json_wipe(true);
    json_t *j = json_pack("{s:s,s:s,s:{s:o,s:[s]}}", "apiVersion", "authentication.k8s.io/v1",
                          "kind", "TokenReview", "spec", "token",
                          json_stringn_nocheck(token.p, token.n), "audiences", audience);
    json_print(j, out);
    json_decref(j);
    json_wipe(false);
}

struct token_review *
token_review_begin(struct kube_api *api, struct slice token, const char *audience,
                   void (*done)(const struct token_review_answer *a, void *arg), void *arg)
{
    struct token_review *t = xcalloc(1, sizeof *t);
    struct buf body = BUF_INIT;
    t->audience = xstrdup(audience);
    buf_reserve(&t->body, ANSWER_FIRST);
    t->done = done;
    t->arg = arg;
    put_question(token, audience, &body);
    t->call = kube_api_send(api, KUBE_CREATE, buf_slice(&body),
                            &(struct kube_call_spec){.path = PATH,
                                                     .timeout_ms = TOKEN_REVIEW_MS,
                                                     .data = on_data,
                                                     .done = on_done,
                                                     .arg = t});
    wipe(&body);
    return t;
}

void token_review_cancel(struct token_review *t)
{
    if (!t)
        return;
    kube_call_cancel(t->call);
    review_free(t);
}
