/* follow.c - list and watch; see follow.h. */
#include "common/kube/follow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/json_cut.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/answer.h"
#include "common/kube/backoff.h"
#include "common/kube/mask.h"
#include "common/kube/replica.h"

#define PAGE_TIMEOUT_MS 180000
#define PAGE_STALL_MS   60000 /* under load a server takes long for the first byte */
#define WATCH_GRACE_S   60    /* after the end that the server was asked for */
#define STEADY_MS       5000  /* a watch that lived so long was a success */
#define ANSWERS_WRONG   3     /* watches refused one after the other: the version may be at fault */
#define STATUS_GONE     410

struct follow {
    struct loop *loop;
    struct kube_api *api;
    const struct kube_want *want;
    const struct kube_kind *kind;
    struct replica *replica;
    void (*changed)(void *arg);
    void *arg;

    struct timer timer;     /* the next try */
    struct kube_call *call; /* under way, or NULL */
    struct json_cut *cut;   /* of its answer */
    char *rv;               /* where the next watch begins; NULL: a list is due */
    char *page;             /* the list's next page, or NULL: the first */
    unsigned version;       /* of kind->versions: the one that is tried, or served */
    bool watching;
    bool begun;         /* the call was answered with a 200 */
    bool partial;       /* the list had objects that could not be named */
    uint64_t began_ms;  /* the call */
    uint64_t listed_ms; /* when a list began last; 0 = never */
    unsigned status;    /* of an event ERROR that ended the watch; 0 = none */
    struct err wrong;   /* with what was received; "" = nothing */

    struct backoff backoff;
    unsigned absences, refusals;
    bool synced;
    char *trouble;  /* what is wrong, or NULL */
    bool all_kinds; /* ... not with this kind alone */
    struct kube_kind_stats stats;
};

static void start(void *arg);

static void tell(struct follow *f)
{
    f->changed(f->arg);
}

/* ---- paths ---------------------------------------------------------------------------------- */

static void put_escaped(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char b = (unsigned char)*text;
        if ((b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') ||
            strchr("-._~", b))
            buf_putc(out, (char)b);
        else
            buf_printf(out, "%%%02X", b);
    }
}

static void put_parameter(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(out, "&%s=", name);
    put_escaped(out, value);
}

/* the index-th of the kind's versions; false: there are no more */
static bool version_at(const struct kube_kind *k, unsigned index, struct slice *out)
{
    struct slice rest = slice_str(k->versions);
    for (unsigned i = 0; rest.p; i++) {
        *out = slice_cut(&rest, ' ');
        if (i == index)
            return true;
    }
    return false;
}

static void put_path(const struct follow *f, struct buf *out)
{
    struct slice version = {NULL, 0};
    version_at(f->kind, f->version, &version);
    if (*f->kind->group)
        buf_printf(out, "/apis/%s/%.*s", f->kind->group, SLICE_FMT(version));
    else
        buf_printf(out, "/api/%.*s", SLICE_FMT(version));
    if (f->want->ns)
        buf_printf(out, "/namespaces/%s", f->want->ns);
    buf_printf(out, "/%s?", f->kind->plural);
}

static void put_selectors(const struct follow *f, struct buf *out)
{
    put_parameter(out, "fieldSelector", f->want->fields);
    put_parameter(out, "labelSelector", f->want->labels);
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static void set_trouble(struct follow *f, bool all_kinds, char *text)
{
    bool news = !f->trouble != !text || (text && strcmp(text, f->trouble) != 0);
    free(f->trouble);
    f->trouble = text;
    f->all_kinds = all_kinds;
    if (news)
        tell(f);
}

/* The last try failed: the next one after ms. */
static void again_after(struct follow *f, uint64_t ms)
{
    timer_set(&f->timer, ms);
}

/* takes text */
static void fail(struct follow *f, enum kube_trouble what, bool all_kinds, char *text,
                 uint64_t asked_ms)
{
    f->stats.errors[what]++;
    if (f->watching && loop_now_ms(f->loop) - f->began_ms >= STEADY_MS)
        backoff_reset(&f->backoff);
    again_after(f, backoff_next(&f->backoff, asked_ms));
    log_debug("kube", "tried again kind=%s after_ms=%" PRIu64 " error=\"%s\"", f->kind->key,
              f->timer.due_ms - loop_now_ms(f->loop), text);
    set_trouble(f, all_kinds, text);
}

static void fail_forbidden(struct follow *f, const struct kube_answer *a)
{
    const struct kube_right right = {
        .verb = f->watching ? "watch" : "list",
        .verbs = "\"list\", \"watch\"",
        .group = f->kind->group,
        .plural = f->kind->plural,
        .where = f->want->ns ? "Role" : "ClusterRole",
    };
    f->stats.errors[KUBE_TROUBLE_forbidden]++;
    again_after(f, backoff_jitter(FOLLOW_SLOW_MS));
    set_trouble(f, false, kube_answer_forbidden(a, &right));
}

static void fail_expired(struct follow *f)
{
    uint64_t now = loop_now_ms(f->loop), next = f->listed_ms + FOLLOW_RELIST_MS;
    f->stats.errors[KUBE_TROUBLE_expired]++;
    log_info("kube", "what was read is too old to go on from, listing anew kind=%s", f->kind->key);
    free(f->rv);
    free(f->page);
    f->rv = f->page = NULL;
    again_after(f, f->listed_ms && next > now ? backoff_jitter(next - now) : 0);
}

static void settle_synced(struct follow *f)
{
    backoff_reset(&f->backoff);
    f->stats.heard_ms = loop_now_ms(f->loop);
    f->synced = true;
    set_trouble(f, false, NULL);
    tell(f);
}

/* No version of the kind is served. */
static void settle_absent(struct follow *f)
{
    f->stats.errors[KUBE_TROUBLE_absent]++;
    free(f->rv);
    free(f->page);
    f->rv = f->page = NULL;
    again_after(f, backoff_jitter(FOLLOW_ABSENT_MS));
    if (f->absences < FOLLOW_ABSENT_MIN)
        f->absences++;
    if (replica_count(f->replica) > 0 && f->absences < FOLLOW_ABSENT_MIN)
        return;
    if (!f->synced || f->absences == 1 || replica_count(f->replica) > 0)
        log_info("kube", "the API server does not have this kind, it is looked for again kind=%s",
                 f->kind->key);
    replica_clear(f->replica);
    settle_synced(f);
}

static void fail_absent(struct follow *f, const struct kube_answer *a)
{
    struct slice version;
    if (!*f->kind->group) {
        fail(f, KUBE_TROUBLE_absent, false,
             xasprintf("%s: 404 from %s: is it an API server?", f->kind->plural,
                       kube_api_server(f->api)),
             0);
        return;
    }
    if (version_at(f->kind, ++f->version, &version)) {
        free(f->rv);
        f->rv = NULL;
        again_after(f, 0);
        return;
    }
    f->version = 0;
    settle_absent(f);
}

static void fail_garbage(struct follow *f)
{
    fail(f, KUBE_TROUBLE_garbage, false,
         xasprintf("the API server's answer cannot be read: %s", f->wrong.text), 0);
}

/* anything but a 200 */
static void fail_answer(struct follow *f, const struct kube_answer *a)
{
    char *words = kube_answer_words(a);
    f->refusals++;
    if (a->status == 401)
        fail(f, KUBE_TROUBLE_unauthorized, true, xstrdup(kube_answer_unauthorized), a->retry_after);
    else
        fail(f, a->status == 429 ? KUBE_TROUBLE_throttled : KUBE_TROUBLE_server, false,
             xasprintf("the API server answers %u to %s %s: %s", a->status,
                       f->watching ? "watch" : "list", f->kind->plural, words),
             a->retry_after);
    free(words);
    if (f->watching && f->refusals >= ANSWERS_WRONG) {
        free(f->rv);
        f->rv = NULL;
    }
}

static void fail_call(struct follow *f, const struct kube_answer *a)
{
    if (f->wrong.text[0])
        fail_garbage(f);
    else if (a->status == 0)
        fail(f, a->handshake ? KUBE_TROUBLE_handshake : KUBE_TROUBLE_connect, true,
             xasprintf("no answer from the API server %s: %s", kube_api_server(f->api), a->error),
             0);
    else if (a->status == 403)
        fail_forbidden(f, a);
    else if (a->status == 404)
        fail_absent(f, a);
    else if (a->status == STATUS_GONE)
        fail_expired(f);
    else
        fail_answer(f, a);
}

/* ---- pieces --------------------------------------------------------------------------------- */

static const char unreadable[] = "holds a NUL character, which is not accepted anywhere";

/* *odd: it has what this program cannot keep in a string.  returns owned, NULL and e */
static json_t *parse(struct slice text, bool *odd, struct err *e)
{
    json_error_t je;
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &je);
    *odd = !j;
    if (!j)
        j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);
    if (!j)
        err_set(e, "not JSON: %s", je.text);
    return j;
}

/* Takes object.  Its version is not kept: it would make every update of a field that nobody reads
 * a change. */
static int put_object(struct follow *f, json_t *object, bool odd, struct err *e)
{
    if (odd) {
        int r = replica_refuse(f->replica, object, unreadable, e);
        json_decref(object);
        return r;
    }
    json_object_del(json_object_get(object, "metadata"), "resourceVersion");
    return replica_put(f->replica, object, e);
}

/* A single object too large to be looked at must not keep the others out. */
static int skip_piece(struct follow *f, const char *why)
{
    f->partial = true;
    f->stats.errors[KUBE_TROUBLE_garbage]++;
    log_warn("kube", "left out an object that is %s kind=%s", why, f->kind->key);
    return 0;
}

static int on_item(struct slice text, const char *why, void *arg, struct err *e)
{
    struct follow *f = arg;
    bool odd;
    json_t *object = why ? NULL : parse(text, &odd, e);
    if (why)
        return skip_piece(f, why);
    return object ? put_object(f, object, odd, e) : -1;
}

static void note_version(struct follow *f, const char *rv)
{
    if (!*rv || (f->rv && strcmp(f->rv, rv) == 0))
        return;
    free(f->rv);
    f->rv = xstrdup(rv);
}

/* an event ERROR: the watch cannot go on */
static int end_watch(struct follow *f, const json_t *status, struct err *e)
{
    f->status = (unsigned)json_int(status, "code", 500);
    return err_set(e, "the watch ended with %u: %.300s", f->status,
                   json_str(status, "message", "no reason given"));
}

/* takes event */
static int take_event(struct follow *f, json_t *event, bool odd, struct err *e)
{
    const char *type = json_str(event, "type", "");
    json_t *object = json_object_get(event, "object");
    char *rv = xstrdup(json_str(object, "metadata.resourceVersion", ""));
    int r = 0;
    if (!json_is_object(object))
        r = err_set(e, "an event without an object");
    else if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        r = put_object(f, json_incref(object), odd, e);
    else if (strcmp(type, "DELETED") == 0)
        r = replica_del(f->replica, object, e);
    else if (strcmp(type, "ERROR") == 0)
        r = end_watch(f, object, e);
    else if (strcmp(type, "BOOKMARK") != 0)
        r = err_set(e, "an event of type \"%.30s\"", type);
    if (r == 0)
        note_version(f, rv);
    free(rv);
    json_decref(event);
    return r;
}

static int on_event(struct slice text, const char *why, void *arg, struct err *e)
{
    struct follow *f = arg;
    bool odd;
    json_t *event = why ? NULL : parse(text, &odd, e);
    if (why)
        return skip_piece(f, why);
    if (!event || take_event(f, event, odd, e) < 0)
        return -1;
    f->stats.events++;
    f->stats.heard_ms = loop_now_ms(f->loop);
    f->refusals = 0;
    backoff_reset(&f->backoff);
    return 0;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static int on_data(struct slice bytes, void *arg)
{
    struct follow *f = arg;
    unsigned long before = replica_generation(f->replica);
    int r = json_cut_feed(f->cut, bytes, &f->wrong);
    if (replica_generation(f->replica) != before)
        tell(f);
    return r;
}

/* a watch is answered: what was wrong with asking is over */
static void on_begun(void *arg)
{
    struct follow *f = arg;
    f->begun = true;
    if (f->watching)
        set_trouble(f, false, NULL);
}

static void end_list(struct follow *f)
{
    unsigned gone = replica_end(f->replica, f->partial);
    f->stats.deleted_by_list += gone;
    log_info("kube", "listed kind=%s objects=%u gone=%u ms=%" PRIu64, f->kind->key,
             replica_count(f->replica), gone, loop_now_ms(f->loop) - f->listed_ms);
    f->absences = f->refusals = 0;
    settle_synced(f);
}

/* A page is there: the list's version, and where the next one begins. */
static void end_page(struct follow *f)
{
    bool odd;
    json_t *rest = parse(json_cut_rest(f->cut), &odd, &f->wrong);
    const char *rv = json_str(rest, "metadata.resourceVersion", "");
    const char *next = json_str(rest, "metadata.continue", "");
    if (!rest || !*rv) {
        err_set(&f->wrong, "it is no list of %s", f->kind->plural);
        json_decref(rest);
        fail_garbage(f);
        return;
    }
    free(f->page);
    f->page = *next ? xstrdup(next) : NULL;
    backoff_reset(&f->backoff);
    if (!f->page) {
        note_version(f, rv);
        end_list(f);
    }
    json_decref(rest);
    again_after(f, 0);
}

static void on_list_done(const struct kube_answer *a, void *arg)
{
    struct follow *f = arg;
    f->call = NULL;
    if (a->status == 200 && json_cut_end(f->cut, &f->wrong) == 0)
        end_page(f);
    else
        fail_call(f, a);
}

/* The server, or something on the way, ended it.  Whether a new one can be had will be seen: only
 * then is something wrong. */
static void end_quiet_watch(struct follow *f)
{
    uint64_t lived = loop_now_ms(f->loop) - f->began_ms;
    if (lived >= STEADY_MS)
        backoff_reset(&f->backoff);
    again_after(f, lived < FOLLOW_SPACE_MS ? backoff_jitter(FOLLOW_SPACE_MS - lived) : 0);
}

/* The connection broke under a watch that had begun. */
static bool is_cut(const struct follow *f, const struct kube_answer *a)
{
    return f->begun && a->status == 0 && !f->wrong.text[0];
}

static void on_watch_done(const struct kube_answer *a, void *arg)
{
    struct follow *f = arg;
    f->call = NULL;
    if (f->status == STATUS_GONE) {
        fail_expired(f);
    } else if (f->status) {
        f->refusals++;
        fail(f, KUBE_TROUBLE_server, false, xstrdup(f->wrong.text), 0);
        if (f->refusals >= ANSWERS_WRONG)
            fail_expired(f);
    } else if (a->status == 200 && json_cut_end(f->cut, &f->wrong) == 0) {
        end_quiet_watch(f);
    } else if (is_cut(f, a)) {
        f->stats.errors[KUBE_TROUBLE_connect]++;
        end_quiet_watch(f);
    } else {
        fail_call(f, a);
    }
}

static void call(struct follow *f, const char *path, const struct kube_call_spec *how)
{
    struct kube_call_spec spec = *how;
    spec.path = path;
    spec.begun = on_begun;
    spec.data = on_data;
    spec.arg = f;
    f->began_ms = loop_now_ms(f->loop);
    f->begun = false;
    f->status = 0;
    f->wrong.text[0] = '\0';
    json_cut_free(f->cut);
    f->cut = f->watching ? json_cut_new(JSON_CUT_STREAM, kube_mask_of_event(f->kind),
                                        FOLLOW_OBJECT_MAX, on_event, f)
                         : json_cut_new(JSON_CUT_ITEMS, kube_mask_of_list(f->kind),
                                        FOLLOW_OBJECT_MAX, on_item, f);
    f->call = kube_api_get(f->api, &spec);
}

static void list(struct follow *f)
{
    struct buf path = BUF_INIT;
    f->watching = false;
    if (!f->page) {
        replica_begin(f->replica);
        f->partial = false;
        f->listed_ms = loop_now_ms(f->loop);
        f->stats.lists++;
    }
    put_path(f, &path);
    buf_printf(&path, "limit=%u", FOLLOW_PAGE);
    put_parameter(&path, "continue", f->page);
    put_selectors(f, &path);
    call(f, path.p,
         &(struct kube_call_spec){
             .timeout_ms = PAGE_TIMEOUT_MS, .stall_ms = PAGE_STALL_MS, .done = on_list_done});
    buf_free(&path);
}

static void watch(struct follow *f)
{
    struct buf path = BUF_INIT;
    uint16_t spread;
    random_bytes(&spread, sizeof spread);
    unsigned seconds = FOLLOW_WATCH_S + spread % FOLLOW_WATCH_S;
    f->watching = true;
    f->stats.watches++;
    put_path(f, &path);
    buf_printf(&path, "watch=true&allowWatchBookmarks=true&timeoutSeconds=%u", seconds);
    put_parameter(&path, "resourceVersion", f->rv);
    put_selectors(f, &path);
    call(f, path.p,
         &(struct kube_call_spec){.timeout_ms = (seconds + WATCH_GRACE_S) * 1000,
                                  .done = on_watch_done});
    buf_free(&path);
}

static void start(void *arg)
{
    struct follow *f = arg;
    if (f->rv)
        watch(f);
    else
        list(f);
}

/* ---- the interface -------------------------------------------------------------------------- */

struct follow *follow_new(struct loop *l, struct kube_api *api, const struct kube_want *want,
                          struct kube_store *st, void (*changed)(void *arg), void *arg,
                          struct err *e)
{
    const struct kube_kind *kind = kube_kind_by_key(want->kind);
    if (!kind) {
        err_set(e, "kind \"%s\" is not known", want->kind);
        return NULL;
    }
    struct follow *f = xcalloc(1, sizeof *f);
    f->loop = l;
    f->api = api;
    f->want = want;
    f->kind = kind;
    f->replica = replica_new(st, kind, want->ns);
    f->changed = changed;
    f->arg = arg;
    timer_init(&f->timer, l, start, f);
    timer_set(&f->timer, 0);
    return f;
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    kube_call_cancel(f->call);
    timer_cancel(&f->timer);
    json_cut_free(f->cut);
    replica_free(f->replica);
    free(f->rv);
    free(f->page);
    free(f->trouble);
    free(f);
}

bool follow_synced(const struct follow *f)
{
    return f->synced;
}

void follow_refresh(struct follow *f)
{
    kube_call_cancel(f->call);
    f->call = NULL;
    free(f->rv);
    free(f->page);
    f->rv = f->page = NULL;
    again_after(f, 0);
}

bool follow_is_cut_off(const struct follow *f)
{
    return f->trouble && f->all_kinds;
}

void follow_hurry(struct follow *f)
{
    if (follow_is_cut_off(f) && !f->call)
        again_after(f, backoff_jitter(FOLLOW_HURRY_MS));
}

static const char server[] = "API server";

static bool has_server_problem(const struct kube_problems *p)
{
    for (unsigned i = 0; i < p->n; i++)
        if (strcmp(p->v[i].object, server) == 0)
            return true;
    return false;
}

void follow_problems(const struct follow *f, struct kube_problems *out)
{
    replica_problems(f->replica, out);
    if (!f->trouble)
        return;
    if (!f->all_kinds)
        kube_problems_add(out, "", 0, f->kind->key, "", "%s%s",
                          f->synced ? "" : "not read yet: ", f->trouble);
    else if (!has_server_problem(out))
        kube_problems_add(out, "", 0, server, "", "%s", f->trouble);
    if (f->all_kinds && !f->synced)
        kube_problems_add(out, "", 0, f->kind->key, "", "not read yet");
}

void follow_stats(const struct follow *f, struct kube_kind_stats *out)
{
    *out = f->stats;
    out->kind = f->kind->key;
    out->synced = f->synced;
    out->objects = replica_count(f->replica);
}
