/* event.c - entries that are created once and counted up; see event.h. */
#include "common/kube/event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/answer.h"
#include "common/kube/backoff.h"
#include "common/kube/micro.h"
#include "common/kube/utf8.h"

#define GROUP    "events.k8s.io"
#define CALL_MS  10000
#define PACE_MS  50 /* between two calls */
#define SLOW_MS  30000
#define NAME_MAX 230 /* of the object, in front of what makes the event's name unique */

/* one event at the server, or that is to be there */
struct entry {
    TAILQ_ENTRY(entry) link; /* the one that was told last is the last */
    char *key, *object;      /* what makes it the same one, and its object */
    json_t *doc;             /* to be created; all but the series is for good */
    char *path;              /* of it, once it is there; NULL: it is not */
    unsigned count, told;    /* how often it happened; what the server knows */
    unsigned before;         /* what it knew before the call that is under way */
    unsigned tries;          /* that failed, in a row */
    uint64_t due_ms, last_ms;
};
TAILQ_HEAD(entries, entry);

struct kube_events {
    struct loop *loop;
    struct kube_api *api;
    const char *controller;
    char *instance;
    bool on;
    struct table *by_key; /* -> struct entry */
    struct entries entries;
    struct entry *asked; /* the call is about it */
    struct kube_call *call;
    struct timer timer;
    struct backoff backoff;
    uint64_t written, lost;
    char problem[512];
};

static void step(void *arg);

/* ---- entries -----------------------------------------------------------------------------------
 */

static void entry_free(struct kube_events *ev, struct entry *en)
{
    TAILQ_REMOVE(&ev->entries, en, link);
    table_del(ev->by_key, slice_str(en->key));
    json_decref(en->doc);
    free(en->path);
    free(en->object);
    free(en->key);
    free(en);
}

static bool is_dirty(const struct entry *en)
{
    return en->told < en->count;
}

/* what happened long ago happens anew if it does */
static void forget_old(struct kube_events *ev)
{
    uint64_t now = loop_now_ms(ev->loop);
    struct entry *en;

    while ((en = TAILQ_FIRST(&ev->entries)) && en != ev->asked && !is_dirty(en) &&
           now - en->last_ms >= KUBE_EVENT_FORGET_MS)
        entry_free(ev, en);
}

static unsigned count_of(const struct kube_events *ev, const char *object)
{
    const struct entry *en;
    unsigned n = 0;

    TAILQ_FOREACH (en, &ev->entries, link)
        n += strcmp(en->object, object) == 0;
    return n;
}

/* room for one more: the oldest that says nothing new has to go */
static bool make_room(struct kube_events *ev)
{
    struct entry *en;

    if (table_count(ev->by_key) < KUBE_EVENTS_MAX)
        return true;
    TAILQ_FOREACH (en, &ev->entries, link) {
        if (en == ev->asked || is_dirty(en))
            continue;
        entry_free(ev, en);
        return true;
    }
    return false;
}

/* returns owned: at most max bytes, not cut within a character */
static char *fit(const char *text, size_t max)
{
    char *clean = utf8_clean(text);
    size_t n = strlen(clean);

    if (n > max) {
        n = max - 3;
        while (n > 0 && ((unsigned char)clean[n] & 0xc0) == 0x80)
            n--;
        memcpy(clean + n, "...", 4);
    }
    return clean;
}

static json_t *regarding(const struct kube_event *e)
{
    json_t *o =
        json_pack("{s:s,s:s,s:s}", "apiVersion", e->api_version, "kind", e->kind, "name", e->name);

    if (*e->ns)
        json_object_set_new(o, "namespace", json_string(e->ns));
    if (e->uid && *e->uid)
        json_object_set_new(o, "uid", json_string(e->uid));
    return o;
}

static json_t *document(const struct kube_events *ev, const struct kube_event *e)
{
    char now[KUBE_MICRO_MAX];

    kube_micro_time(now);
    return json_pack("{s:s,s:s,s:{s:s},s:s,s:s,s:s,s:s,s:s,s:s,s:o}", "apiVersion", GROUP "/v1",
                     "kind", "Event", "metadata", "namespace", *e->ns ? e->ns : "default",
                     "eventTime", now, "reportingController", ev->controller, "reportingInstance",
                     ev->instance, "type", e->warning ? "Warning" : "Normal", "reason", e->reason,
                     "action", e->action, "regarding", regarding(e));
}

static struct entry *entry_new(struct kube_events *ev, const char *key, const char *object,
                               const struct kube_event *e)
{
    struct entry *en = xcalloc(1, sizeof *en);

    en->key = xstrdup(key);
    en->object = xstrdup(object);
    en->doc = document(ev, e);
    en->due_ms = loop_now_ms(ev->loop);
    TAILQ_INSERT_TAIL(&ev->entries, en, link);
    table_put_str(ev->by_key, key, en);
    return en;
}

/* ---- calls -------------------------------------------------------------------------------------
 */

static void set_problem(struct kube_events *ev, const char *text)
{
    if (strcmp(ev->problem, text) == 0)
        return;
    snprintf(ev->problem, sizeof ev->problem, "%.511s", text);
    if (*text)
        log_warn("event", "events can't be written error=\"%s\"", text);
}

static void again_in(struct kube_events *ev, uint64_t ms)
{
    timer_set(&ev->timer, ms);
}

static void done(struct kube_events *ev, struct entry *en)
{
    uint64_t now = loop_now_ms(ev->loop);

    backoff_reset(&ev->backoff);
    set_problem(ev, "");
    ev->written++;
    en->tries = 0;
    en->due_ms = now + KUBE_EVENT_SERIES_MS;
    again_in(ev, PACE_MS);
}

static void give_up(struct kube_events *ev, struct entry *en, const char *text)
{
    log_warn("event", "an event is lost object=\"%s\" error=\"%s\"", en->object, text);
    ev->lost++;
    entry_free(ev, en);
    again_in(ev, PACE_MS);
}

/* is it the server that is in trouble, or is it this event? */
static void fail(struct kube_events *ev, struct entry *en, const struct kube_answer *a)
{
    static const struct kube_right right = {.verb = "create",
                                            .verbs = "\"create\", \"patch\"",
                                            .group = GROUP,
                                            .plural = "events",
                                            .where = "Role"};
    char *words = a->status == 403 ? kube_answer_forbidden(a, &right)
                  : a->status      ? kube_answer_words(a)
                                   : xstrdup(a->error);
    bool theirs = a->status == 0 || a->status == 401 || a->status == 403 || a->status == 429 ||
                  a->status >= 500;
    uint64_t ms = a->status == 403 ? SLOW_MS : backoff_next(&ev->backoff, a->retry_after);

    if (theirs)
        set_problem(ev, words);
    if (!theirs || ++en->tries >= KUBE_EVENT_TRIES)
        give_up(ev, en, words);
    else
        again_in(ev, ms);
    free(words);
}

static void on_created(const struct kube_answer *a, void *arg)
{
    struct kube_events *ev = arg;
    struct entry *en = ev->asked;

    ev->call = NULL;
    ev->asked = NULL;
    if (a->status == 200 || a->status == 201) {
        done(ev, en);
        return;
    }
    free(en->path);
    en->path = NULL;
    en->told = 0;
    if (a->status == 409 && ++en->tries < KUBE_EVENT_TRIES)
        again_in(ev, PACE_MS); /* the name is taken: the next one is another */
    else
        fail(ev, en, a);
}

static void on_counted(const struct kube_answer *a, void *arg)
{
    struct kube_events *ev = arg;
    struct entry *en = ev->asked;

    ev->call = NULL;
    ev->asked = NULL;
    if (a->status == 200) {
        done(ev, en);
    } else if (a->status == 404) { /* servers forget events after a while */
        free(en->path);
        en->path = NULL;
        en->count -= en->before;
        en->told = 0;
        again_in(ev, PACE_MS);
    } else {
        en->told = en->before;
        fail(ev, en, a);
    }
}

static void send(struct kube_events *ev, struct entry *en, enum kube_change how, const char *path,
                 const json_t *doc, void (*fn)(const struct kube_answer *, void *))
{
    struct buf text = BUF_INIT;

    json_print(doc, &text);
    ev->asked = en;
    ev->call = kube_api_send(
        ev->api, how, buf_slice(&text),
        &(struct kube_call_spec){.path = path, .timeout_ms = CALL_MS, .done = fn, .arg = ev});
    buf_free(&text);
}

static void create(struct kube_events *ev, struct entry *en)
{
    json_t *meta = json_object_get(en->doc, "metadata");
    uint8_t random[8];
    char hex[2 * sizeof random + 1];

    random_bytes(random, sizeof random);
    hex_encode(random, sizeof random, hex);
    json_object_set_new(
        meta, "name",
        json_sprintf("%.*s.%s", NAME_MAX, json_str(en->doc, "regarding.name", ""), hex));
    char *all =
        xasprintf("/apis/" GROUP "/v1/namespaces/%s/events", json_str(meta, "namespace", ""));
    en->path = xasprintf("%s/%s", all, json_str(meta, "name", ""));
    en->told = 1; /* an event that happened more often has a series, which follows */
    send(ev, en, KUBE_CREATE, all, en->doc, on_created);
    free(all);
}

static void count_up(struct kube_events *ev, struct entry *en)
{
    char now[KUBE_MICRO_MAX];

    kube_micro_time(now);
    json_t *doc =
        json_pack("{s:{s:i,s:s}}", "series", "count", (int)en->count, "lastObservedTime", now);
    en->before = en->told;
    en->told = en->count;
    send(ev, en, KUBE_MERGE, en->path, doc, on_counted);
    json_decref(doc);
}

static void step(void *arg)
{
    struct kube_events *ev = arg;
    uint64_t now = loop_now_ms(ev->loop), next = UINT64_MAX;
    struct entry *en;

    if (ev->call)
        return;
    forget_old(ev);
    TAILQ_FOREACH (en, &ev->entries, link) {
        if (!is_dirty(en))
            continue;
        if (en->due_ms <= now) {
            if (en->path)
                count_up(ev, en);
            else
                create(ev, en);
            return;
        }
        if (en->due_ms < next)
            next = en->due_ms;
    }
    if (next != UINT64_MAX)
        again_in(ev, next - now);
}

/* ---- from outside ------------------------------------------------------------------------------
 */

struct kube_events *kube_events_new(struct loop *l, struct kube_api *api, const char *controller,
                                    const char *instance)
{
    struct kube_events *ev = xcalloc(1, sizeof *ev);

    ev->loop = l;
    ev->api = api;
    ev->controller = controller;
    ev->instance = fit(instance, 128);
    ev->by_key = table_new(NULL);
    TAILQ_INIT(&ev->entries);
    timer_init(&ev->timer, l, step, ev);
    return ev;
}

void kube_events_enable(struct kube_events *ev, bool on)
{
    struct entry *en;

    ev->on = on;
    if (on)
        return;
    timer_cancel(&ev->timer);
    kube_call_cancel(ev->call);
    ev->call = NULL;
    ev->asked = NULL;
    while ((en = TAILQ_FIRST(&ev->entries)))
        entry_free(ev, en);
}

/* the entry for it; NULL: there is no room */
static struct entry *entry_for(struct kube_events *ev, const struct kube_event *e, bool *combined)
{
    char *object = xasprintf("%s %s/%s %s", e->kind, e->ns, e->name, e->uid ? e->uid : "");
    char *key = xasprintf("%s\n%d %s %s\n%s", object, e->warning, e->reason, e->action, e->note);
    struct entry *en = table_get_str(ev->by_key, key);

    *combined = false;
    if (!en && count_of(ev, object) >= KUBE_EVENTS_PER_OBJECT) {
        *combined = true;
        free(key);
        key = xasprintf("%s\n%d %s %s", object, e->warning, e->reason, e->action);
        en = table_get_str(ev->by_key, key);
    }
    if (!en && make_room(ev))
        en = entry_new(ev, key, object, e);
    free(key);
    free(object);
    return en;
}

static void set_note(struct entry *en, const char *text, bool combined)
{
    char *note = combined ? xasprintf("(one of several) %s", text) : xstrdup(text);
    char *fitting = fit(note, KUBE_EVENT_NOTE_MAX);

    json_object_set_new(en->doc, "note", json_string(fitting));
    free(fitting);
    free(note);
}

/* A new one need not wait for when others are counted; but for a server in trouble it does. */
static void hurry(struct kube_events *ev, const struct entry *en)
{
    uint64_t now = loop_now_ms(ev->loop);

    if (ev->call)
        return;
    if (!timer_is_set(&ev->timer))
        again_in(ev, en->path && en->due_ms > now ? en->due_ms - now : 0);
    else if (!en->path && ev->backoff.failures == 0 && ev->timer.due_ms > now + PACE_MS)
        again_in(ev, PACE_MS);
}

void kube_events_tell(struct kube_events *ev, const struct kube_event *e)
{
    bool combined;
    struct entry *en;

    if (!ev->on)
        return;
    forget_old(ev);
    en = entry_for(ev, e, &combined);
    if (!en) {
        ev->lost++;
        return;
    }
    if (en->count == 0)
        set_note(en, e->note, combined);
    en->count++;
    en->last_ms = loop_now_ms(ev->loop);
    TAILQ_REMOVE(&ev->entries, en, link);
    TAILQ_INSERT_TAIL(&ev->entries, en, link);
    hurry(ev, en);
}

uint64_t kube_events_written(const struct kube_events *ev)
{
    return ev->written;
}

uint64_t kube_events_lost(const struct kube_events *ev)
{
    return ev->lost;
}

const char *kube_events_problem(const struct kube_events *ev)
{
    return *ev->problem ? ev->problem : NULL;
}

void kube_events_free(struct kube_events *ev)
{
    if (!ev)
        return;
    kube_events_enable(ev, false);
    table_free(ev->by_key);
    free(ev->instance);
    free(ev);
}
