/* status.c - touched objects in a queue: read, compared, written; see status.h. */
#include "common/kube/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/table.h"
#include "common/kube/answer.h"
#include "common/kube/backoff.h"
#include "common/kube/utf8.h"

#define CALL_MS     10000
#define OBJECT_MAX  (4u << 20)
#define MESSAGE_MAX 4096 /* the API takes 32768 */

/* an object that was touched */
struct item {
    TAILQ_ENTRY(item) link;
    const struct kube_kind *kind;
    char *key, *ns, *name;
    bool touched; /* since it was read last */
    uint64_t due_ms;
    char told[64]; /* the version that differs() was called for */
};
TAILQ_HEAD(items, item);

struct kube_status {
    struct loop *loop;
    struct kube_api *api;
    const char *manager;
    const struct kube_status_ops *ops;
    void *arg;
    bool on;
    struct table *by_key; /* -> struct item */
    struct items items;   /* those that are touched, or under way */
    struct item *asked;
    struct kube_call *call;
    struct buf text; /* of the answer */
    struct timer timer;
    struct backoff backoff;
    uint64_t written;
    char problem[512];
};

static void step(void *arg);

/* ---- conditions --------------------------------------------------------------------------------
 */

json_t *kube_condition(const char *type, bool status, const char *reason, const char *message)
{
    char *clean = utf8_clean(message);
    size_t n = strlen(clean);

    if (n > MESSAGE_MAX) {
        for (n = MESSAGE_MAX; ((unsigned char)clean[n] & 0xc0) == 0x80; n--)
            ;
        clean[n] = '\0';
    }
    json_t *c = json_pack("{s:s,s:s,s:s,s:s}", "type", type, "status", status ? "True" : "False",
                          "reason", reason, "message", clean);
    free(clean);
    return c;
}

const json_t *kube_condition_of(const json_t *object, const char *type)
{
    const json_t *list = json_at(object, "status.conditions"), *v;
    size_t i;

    json_array_foreach (list, i, v)
        if (strcmp(json_str(v, "type", ""), type) == 0)
            return v;
    return NULL;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(json_str(a, key, ""), json_str(b, key, "")) == 0;
}

static int64_t generation_of(const json_t *object)
{
    return json_int(object, "metadata.generation", 0);
}

/* the object says so already, and of this generation */
static bool stands(const json_t *object, const json_t *want)
{
    const json_t *have = kube_condition_of(object, json_str(want, "type", ""));

    return have && same_text(have, want, "status") && same_text(have, want, "reason") &&
           same_text(have, want, "message") &&
           json_int(have, "observedGeneration", 0) == generation_of(object);
}

static bool all_stand(const json_t *object, const json_t *wanted)
{
    const json_t *v;
    size_t i;

    json_array_foreach (wanted, i, v)
        if (!stands(object, v))
            return false;
    return true;
}

/* as it is written: with what the server knows of it */
static json_t *complete(const json_t *object, const json_t *want)
{
    const json_t *have = kube_condition_of(object, json_str(want, "type", ""));
    const char *since = json_str(have, "lastTransitionTime", NULL);
    json_t *c = json_copy((json_t *)(uintptr_t)want);
    char now[32];

    clock_rfc3339(clock_wall_ms(), now);
    snprintf(strchr(now, '.'), 2, "Z"); /* a Time has whole seconds */
    if (!since || !same_text(have, want, "status"))
        since = now;
    json_object_set_new(c, "lastTransitionTime", json_string(since));
    json_object_set_new(c, "observedGeneration", json_integer(generation_of(object)));
    return c;
}

/* ---- the queue ---------------------------------------------------------------------------------
 */

static void item_free(struct kube_status *st, struct item *it)
{
    TAILQ_REMOVE(&st->items, it, link);
    table_del(st->by_key, slice_str(it->key));
    free(it->key);
    free(it->ns);
    free(it->name);
    free(it);
}

static void set_problem(struct kube_status *st, const char *text)
{
    if (strcmp(st->problem, text) == 0)
        return;
    snprintf(st->problem, sizeof st->problem, "%.511s", text);
    if (*text)
        log_warn("status", "statuses can't be written error=\"%s\"", text);
}

static void again_in(struct kube_status *st, uint64_t ms)
{
    if (st->on && !st->call)
        timer_set(&st->timer, ms);
}

/* to the end of the queue */
static void later(struct kube_status *st, struct item *it, uint64_t ms)
{
    it->touched = true;
    it->due_ms = loop_now_ms(st->loop) + ms;
    TAILQ_REMOVE(&st->items, it, link);
    TAILQ_INSERT_TAIL(&st->items, it, link);
}

/* Nothing is left to be done for it now; it is kept for a while, so that who touches it all the
 * time waits. */
static void settle(struct kube_status *st, struct item *it)
{
    backoff_reset(&st->backoff);
    set_problem(st, "");
    it->due_ms = loop_now_ms(st->loop) + KUBE_STATUS_SPACE_MS;
    again_in(st, KUBE_STATUS_PACE_MS);
}

/* The server does not do what was asked of it: is that so for every object? */
static void fail(struct kube_status *st, struct item *it, const char *verb, const char *sub,
                 const struct kube_answer *a)
{
    char *plural = xasprintf("%s%s", it->kind->plural, sub);
    char *quoted = xasprintf("\"%s\"", verb);
    struct kube_right right = {.verb = verb,
                               .verbs = quoted,
                               .group = it->kind->group,
                               .plural = plural,
                               .where = "Role or ClusterRole"};
    uint64_t ms =
        a->status == 403 ? KUBE_STATUS_SLOW_MS : backoff_next(&st->backoff, a->retry_after);
    char *words = a->status == 403 ? kube_answer_forbidden(a, &right)
                  : a->status      ? kube_answer_words(a)
                                   : xstrdup(a->error);

    if (a->status == 400 || a->status == 404 || a->status == 422) {
        log_warn("status", "the status of an object is not taken object=\"%s\" error=\"%s\"",
                 it->key, words);
        item_free(st, it);
        again_in(st, KUBE_STATUS_PACE_MS);
    } else {
        if (a->status != 409)
            set_problem(st, words);
        later(st, it, ms);
        again_in(st, ms);
    }
    free(words);
    free(quoted);
    free(plural);
}

/* ---- calls -------------------------------------------------------------------------------------
 */

static struct item *take_asked(struct kube_status *st)
{
    struct item *it = st->asked;

    st->asked = NULL;
    st->call = NULL;
    return it;
}

static char *path_of(const struct item *it, const char *behind)
{
    struct slice versions = slice_str(it->kind->versions);
    struct slice version = slice_cut(&versions, ' ');
    const char *group = it->kind->group;

    return xasprintf("/api%s%s/%.*s%s%s/%s/%s%s", *group ? "s/" : "", group, SLICE_FMT(version),
                     *it->ns ? "/namespaces/" : "", it->ns, it->kind->plural, it->name, behind);
}

static void on_applied(const struct kube_answer *a, void *arg)
{
    struct kube_status *st = arg;
    struct item *it = take_asked(st);

    if (a->status == 200 || a->status == 201) {
        st->written++;
        settle(st, it);
    } else {
        fail(st, it, "patch", "/status", a);
    }
}

static json_t *document(const json_t *object, const json_t *wanted)
{
    json_t *list = json_array(), *v;
    size_t i;

    json_array_foreach (wanted, i, v)
        json_array_append_new(list, complete(object, v));
    json_t *doc =
        json_pack("{s:s,s:s,s:{s:s,s:s,s:s},s:{s:o}}", "apiVersion",
                  json_str(object, "apiVersion", ""), "kind", json_str(object, "kind", ""),
                  "metadata", "name", json_str(object, "metadata.name", ""), "uid",
                  json_str(object, "metadata.uid", ""), "resourceVersion",
                  json_str(object, "metadata.resourceVersion", ""), "status", "conditions", list);
    const char *ns = json_str(object, "metadata.namespace", "");
    if (*ns)
        json_object_set_new(json_object_get(doc, "metadata"), "namespace", json_string(ns));
    return doc;
}

static void apply(struct kube_status *st, struct item *it, const json_t *object,
                  const json_t *wanted)
{
    char *query = xasprintf("/status?fieldManager=%s&force=true", st->manager);
    char *path = path_of(it, query);
    struct buf text = BUF_INIT;
    json_t *doc = document(object, wanted);

    json_print(doc, &text);
    st->asked = it;
    st->call =
        kube_api_send(st->api, KUBE_APPLY, buf_slice(&text),
                      &(struct kube_call_spec){
                          .path = path, .timeout_ms = CALL_MS, .done = on_applied, .arg = st});
    json_decref(doc);
    buf_free(&text);
    free(path);
    free(query);
}

static void compare(struct kube_status *st, struct item *it, const json_t *object)
{
    const char *version = json_str(object, "metadata.resourceVersion", "");
    json_t *wanted = st->ops->wanted(object, st->arg);

    if (!wanted || all_stand(object, wanted)) {
        settle(st, it);
    } else {
        if (st->ops->differs && strcmp(it->told, version) != 0)
            st->ops->differs(object, wanted, st->arg);
        snprintf(it->told, sizeof it->told, "%.63s", version);
        apply(st, it, object, wanted);
    }
    json_decref(wanted);
}

static void on_read(const struct kube_answer *a, void *arg)
{
    struct kube_status *st = arg;
    struct item *it = take_asked(st);
    struct err e = {""};
    json_t *object = NULL;

    if (a->status == 404) {
        item_free(st, it);
        again_in(st, KUBE_STATUS_PACE_MS);
    } else if (a->status != 200) {
        fail(st, it, "get", "", a);
    } else if (!(object = json_parse(buf_slice(&st->text), OBJECT_MAX, &e)) ||
               !*json_str(object, "metadata.resourceVersion", "")) {
        fail(st, it, "get", "",
             &(struct kube_answer){.error = "the API server answers with something else"});
    } else {
        compare(st, it, object);
    }
    json_decref(object);
    buf_free(&st->text);
}

static int on_data(struct slice bytes, void *arg)
{
    struct kube_status *st = arg;

    buf_put_slice(&st->text, bytes);
    return st->text.len <= OBJECT_MAX ? 0 : -1;
}

static void read_object(struct kube_status *st, struct item *it)
{
    char *path = path_of(it, "");

    it->touched = false;
    st->asked = it;
    st->call = kube_api_get(
        st->api,
        &(struct kube_call_spec){
            .path = path, .timeout_ms = CALL_MS, .data = on_data, .done = on_read, .arg = st});
    free(path);
}

static void step(void *arg)
{
    struct kube_status *st = arg;
    uint64_t now = loop_now_ms(st->loop), next = UINT64_MAX;
    struct item *it, *after;

    if (st->call || !st->on)
        return;
    for (it = TAILQ_FIRST(&st->items); it; it = after) {
        after = TAILQ_NEXT(it, link);
        if (it->due_ms > now) {
            next = it->due_ms < next ? it->due_ms : next;
        } else if (it->touched) {
            read_object(st, it);
            return;
        } else {
            item_free(st, it);
        }
    }
    if (next != UINT64_MAX)
        timer_set(&st->timer, next - now);
}

/* ---- from outside ------------------------------------------------------------------------------
 */

struct kube_status *kube_status_new(struct loop *l, struct kube_api *api, const char *manager,
                                    const struct kube_status_ops *ops, void *arg)
{
    struct kube_status *st = xcalloc(1, sizeof *st);

    st->loop = l;
    st->api = api;
    st->manager = manager;
    st->ops = ops;
    st->arg = arg;
    st->by_key = table_new(NULL);
    TAILQ_INIT(&st->items);
    timer_init(&st->timer, l, step, st);
    return st;
}

void kube_status_enable(struct kube_status *st, bool on)
{
    st->on = on;
    timer_cancel(&st->timer);
    if (on) {
        again_in(st, 0);
        return;
    }
    kube_call_cancel(st->call);
    buf_free(&st->text);
    if (st->asked)
        st->asked->touched = true;
    take_asked(st);
}

void kube_status_touch(struct kube_status *st, const struct kube_kind *kind, const char *ns,
                       const char *name)
{
    char *key = xasprintf("%s %s%s%s", kind->key, ns, *ns ? "/" : "", name);
    struct item *it = table_get_str(st->by_key, key);

    if (!it) {
        it = xcalloc(1, sizeof *it);
        it->kind = kind;
        it->key = xstrdup(key);
        it->ns = xstrdup(ns);
        it->name = xstrdup(name);
        TAILQ_INSERT_TAIL(&st->items, it, link);
        table_put_str(st->by_key, key, it);
    }
    it->touched = true;
    /* Not at once: what is told may just have been read from the API server, and there it cannot be
     * asked. */
    if (!timer_is_set(&st->timer) ||
        (st->backoff.failures == 0 && it->due_ms <= loop_now_ms(st->loop)))
        again_in(st, 0);
    free(key);
}

uint64_t kube_status_written(const struct kube_status *st)
{
    return st->written;
}

const char *kube_status_problem(const struct kube_status *st)
{
    return *st->problem ? st->problem : NULL;
}

void kube_status_free(struct kube_status *st)
{
    struct item *it;

    if (!st)
        return;
    kube_status_enable(st, false);
    while ((it = TAILQ_FIRST(&st->items)))
        item_free(st, it);
    table_free(st->by_key);
    free(st);
}
