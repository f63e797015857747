/* review.c - tokens that the API server is asked about.
 *
 * A request waits while its token is reviewed, and others with the same token wait with it.
 * AT_ONCE tokens are asked about at a time, the rest in the order they came.
 *
 *   good      remembered for KEEP_MS at most, and until the token ends; used after RENEW_MS it is
 *             reviewed again while it still counts, so that an API server that is away for less
 *             than the difference is noticed by nobody
 *   refused   401, remembered for REFUSED_MS; a verdict that was good is forgotten at once
 *   unknown   503 for this token for UNKNOWN_MS
 *   away      503 for everybody who waits, and for who comes before the end of a back-off
 *
 * That a pod is gone needs no review: it must be known and alive at each request (cp_auth_pod).
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/bug.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/backoff.h"
#include "controller/cp.h"

#define AT_ONCE     8
#define TOKENS_MAX  2048 /* that are asked about, or will be */
#define TOKEN_BYTES 8192 /* of one; those of API servers have about 1,200 */
#define KEEP_MS     (10 * 60 * 1000)
#define RENEW_MS    (5 * 60 * 1000)
#define REFUSED_MS  5000
#define UNKNOWN_MS  1000

TAILQ_HEAD(waiters, waiter);
TAILQ_HEAD(queue, review);

/* a request */
struct waiter {
    TAILQ_ENTRY(waiter) link;
    struct review *review;
    struct http_req *r;
    uint64_t began_ns;
    cp_authed_fn *next;
    const void *arg;
};

/* a token */
struct review {
    struct cp *cp;
    TAILQ_ENTRY(review) link; /* in the queue, until it is asked */
    struct cp_token_key key;
    struct pki_token claims; /* what it says of itself */
    char *token;             /* wiped */
    struct token_review *asked;
    bool answered;
    uint64_t asked_ns;
    struct waiters waiters;
};

struct cp_reviews {
    struct table *by_key; /* struct cp_token_key -> struct review */
    struct queue queue;
    unsigned n_asked;
    struct backoff backoff;
    uint64_t pause_ms; /* loop time: nothing is asked before */
    char *problem;     /* NULL: none; never while paused */
};

static struct slice key_slice(const struct cp_token_key *key)
{
    return slice_of((const char *)key->sha256, sizeof(key->sha256));
}

/* ---- one token ----------------------------------------------------------------------------------
 */

static struct review *review_new(struct cp *cp, const struct cp_token_key *key, struct slice token,
                                 const struct pki_token *claims)
{
    struct review *v = xcalloc(1, sizeof(*v));

    v->cp = cp;
    v->key = *key;
    v->claims = *claims;
    v->token = xstrndup(token.p, token.n);
    TAILQ_INIT(&v->waiters);
    TAILQ_INSERT_TAIL(&cp->reviews->queue, v, link);
    table_put(cp->reviews->by_key, key_slice(key), v);
    return v;
}

/* nobody waits for it */
static void review_free(struct review *v)
{
    struct cp_reviews *all = v->cp->reviews;

    BUG_ON(!TAILQ_EMPTY(&v->waiters));
    table_del(all->by_key, key_slice(&v->key));
    if (v->asked)
        token_review_cancel(v->asked);
    else if (!v->answered)
        TAILQ_REMOVE(&all->queue, v, link);
    pki_wipe(v->token);
    free(v);
}

/* The client has left: who is not asked about yet, and waited for by nobody, need not be. */
static void on_gone(struct http_req *r, void *arg)
{
    struct waiter *w = arg;
    struct review *v = w->review;

    TAILQ_REMOVE(&v->waiters, w, link);
    free(w);
    if (TAILQ_EMPTY(&v->waiters) && !v->asked && !v->answered)
        review_free(v);
}

static void wait_for(struct review *v, struct http_req *r, cp_authed_fn *next, const void *arg)
{
    struct waiter *w = xcalloc(1, sizeof(*w));

    *w = (struct waiter){
        .review = v, .r = r, .began_ns = v->cp->request_began_ns, .next = next, .arg = arg};
    TAILQ_INSERT_TAIL(&v->waiters, w, link);
    http_req_on_gone(r, on_gone, w);
}

/* retry_ms: of a 503 */
static void answer(struct review *v, const struct cp_verdict *verdict, uint64_t retry_ms)
{
    struct cp *cp = v->cp;
    struct waiter *w;

    while ((w = TAILQ_FIRST(&v->waiters))) {
        TAILQ_REMOVE(&v->waiters, w, link);
        http_req_on_gone(w->r, NULL, NULL);
        cp->request_began_ns = w->began_ns;
        if (verdict->status == 200)
            w->next(cp, w->r, &verdict->token, w->arg);
        else
            cp_auth_refuse(cp, w->r, verdict->status, retry_ms, verdict->why);
        free(w);
    }
}

/* ---- what the API server says
 * -------------------------------------------------------------------- */

static uint64_t paused_ms(const struct cp *cp)
{
    uint64_t now = loop_now_ms(cp->loop);

    return cp->reviews->pause_ms > now ? cp->reviews->pause_ms - now : 0;
}

static bool is_same(const struct pki_token *claims, const struct token_review_answer *a)
{
    return strcmp(claims->ns, a->ns) == 0 && strcmp(claims->sa, a->sa) == 0 &&
           strcmp(claims->pod, a->pod) == 0 && strcmp(claims->pod_uid, a->pod_uid) == 0;
}

static uint64_t keep_ms(const struct pki_token *t)
{
    int64_t left = t->not_after - clock_wall_ms() / 1000;

    return left <= 0 ? 0 : left < KEEP_MS / 1000 ? (uint64_t)left * 1000 : KEEP_MS;
}

/* takes text; what the API server says may have several */
static char *one_line(char *text)
{
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
    return text;
}

/* The reason is the caller's. */
static struct cp_verdict verdict_of(const struct review *v, const struct token_review_answer *a)
{
    uint64_t now = loop_now_ms(v->cp->loop);

    if (a->verdict == TOKEN_GOOD && is_same(&v->claims, a))
        return (struct cp_verdict){.status = 200,
                                   .token = v->claims,
                                   .until_ms = now + keep_ms(&v->claims),
                                   .renew_ms = now + backoff_jitter(RENEW_MS)};
    if (a->verdict == TOKEN_GOOD || a->verdict == TOKEN_REFUSED)
        return (struct cp_verdict){
            .status = 401,
            .until_ms = now + REFUSED_MS,
            .why =
                one_line(xasprintf("token: %s", a->verdict == TOKEN_GOOD
                                                    ? "the API server says that it is another pod's"
                                                    : a->why))};
    return (struct cp_verdict){
        .status = 503,
        .until_ms = now + (a->retry_after > UNKNOWN_MS ? a->retry_after : UNKNOWN_MS),
        .why = one_line(xstrdup(a->why))};
}

static void tell_problem(struct cp_reviews *all, const char *why)
{
    if (why && (!all->problem || strcmp(all->problem, why) != 0))
        log_warn("auth", "tokens can't be reviewed error=\"%s\"", why);
    if (!why && all->problem)
        log_info("auth", "tokens are reviewed again");
    if (why == all->problem)
        return;
    free(all->problem);
    all->problem = why ? xstrdup(why) : NULL;
}

/* Nobody who waits would get an answer.  While it is paused nobody joins them. */
static void send_away(struct cp *cp, const struct cp_verdict *verdict)
{
    struct cp_reviews *all = cp->reviews;
    struct review *v;

    while ((v = TAILQ_FIRST(&all->queue))) {
        TAILQ_REMOVE(&all->queue, v, link);
        v->answered = true;
        answer(v, verdict, paused_ms(cp));
        review_free(v);
    }
}

/* Answers that were under way together are one failure. */
static void pause_for(struct cp *cp, const struct token_review_answer *a,
                      const struct cp_verdict *verdict)
{
    struct cp_reviews *all = cp->reviews;

    if (paused_ms(cp) == 0)
        all->pause_ms = loop_now_ms(cp->loop) + backoff_next(&all->backoff, a->retry_after);
    tell_problem(all, verdict->why);
    send_away(cp, verdict);
}

static void ask_next(struct cp *cp);

static void on_reviewed(const struct token_review_answer *a, void *arg)
{
    struct review *v = arg;
    struct cp *cp = v->cp;
    struct cp_verdict verdict = verdict_of(v, a);
    struct cp_verdict kept = verdict;

    v->asked = NULL;
    v->answered = true;
    cp->reviews->n_asked--;
    cp->metrics.reviews[verdict.status == 401 ? TOKEN_REFUSED : a->verdict]++;
    metric_observe(&cp->metrics.review_time, (double)(clock_mono_ns() - v->asked_ns) / 1e9);
    if (a->verdict == TOKEN_AWAY) {
        pause_for(cp, a, &verdict);
    } else {
        kept.why = verdict.why ? xstrdup(verdict.why) : NULL;
        cp_auth_remember(cp, &v->key, &kept);
    }
    if (paused_ms(cp) == 0 && a->verdict != TOKEN_AWAY && a->verdict != TOKEN_UNKNOWN) {
        backoff_reset(&cp->reviews->backoff);
        tell_problem(cp->reviews, NULL);
    }
    answer(v, &verdict, a->verdict == TOKEN_AWAY ? paused_ms(cp) : UNKNOWN_MS);
    free(verdict.why);
    review_free(v);
    ask_next(cp);
}

static void ask_next(struct cp *cp)
{
    struct cp_reviews *all = cp->reviews;
    struct review *v;

    while (all->n_asked < AT_ONCE && (v = TAILQ_FIRST(&all->queue))) {
        TAILQ_REMOVE(&all->queue, v, link);
        all->n_asked++;
        v->asked_ns = clock_mono_ns();
        v->asked = token_review_begin(kube_source_api(cp->source), slice_str(v->token), CP_AUDIENCE,
                                      on_reviewed, v);
    }
}

/* ---- the interface
 * ------------------------------------------------------------------------------- */

/* What needs nobody's word.  NULL: it may be good.  Whether it has expired is for the API server to
 * say, by the clock that wrote the token. */
static const char *look_at(struct slice token, struct pki_token *claims, struct err *e)
{
    if (token.n > TOKEN_BYTES)
        err_set(e, "token: longer than %d bytes", TOKEN_BYTES);
    else if (pki_token_claims(token, CP_AUDIENCE, claims, e) == 0 &&
             (!*claims->pod || !*claims->pod_uid))
        err_set(e, "token: not bound to a pod: expected the one of the pod's projected volume");
    return e->text[0] ? e->text : NULL;
}

void cp_review(struct cp *cp, struct http_req *r, const struct cp_token_key *key,
               struct slice token, cp_authed_fn *next, const void *arg)
{
    struct cp_reviews *all = cp->reviews;
    struct review *v = table_get(all->by_key, key_slice(key));
    struct pki_token claims;
    struct err e = {""};
    uint64_t ms = paused_ms(cp);

    if (!v && look_at(token, &claims, &e)) {
        cp_auth_refuse(cp, r, 401, 0, e.text);
    } else if (!v && ms > 0) {
        cp_auth_refuse(cp, r, 503, ms, all->problem);
    } else if (!v && table_count(all->by_key) >= TOKENS_MAX) {
        cp_auth_refuse(cp, r, 503, UNKNOWN_MS, "too many others are waiting for that");
    } else {
        wait_for(v ? v : review_new(cp, key, token, &claims), r, next, arg);
        ask_next(cp);
    }
}

void cp_review_again(struct cp *cp, const struct cp_token_key *key, struct slice token)
{
    struct pki_token claims;
    struct err e = {""};

    if (paused_ms(cp) > 0 || table_get(cp->reviews->by_key, key_slice(key)) ||
        table_count(cp->reviews->by_key) >= TOKENS_MAX || look_at(token, &claims, &e))
        return;
    review_new(cp, key, token, &claims);
    ask_next(cp);
}

const char *cp_reviews_problem(const struct cp *cp)
{
    return cp->reviews ? cp->reviews->problem : NULL;
}

unsigned cp_reviews_n(const struct cp *cp)
{
    return (unsigned)table_count(cp->reviews->by_key);
}

void cp_reviews_start(struct cp *cp)
{
    cp->reviews = xcalloc(1, sizeof(*cp->reviews));
    cp->reviews->by_key = table_new(NULL);
    TAILQ_INIT(&cp->reviews->queue);
}

void cp_reviews_stop(struct cp *cp)
{
    struct review *v;

    if (!cp->reviews)
        return;
    table_foreach (cp->reviews->by_key, it, NULL, &v)
        review_free(v);
    table_free(cp->reviews->by_key);
    free(cp->reviews->problem);
    free(cp->reviews);
}
