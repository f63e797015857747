/* cluster.c - see cluster.h. */
#include "cli/cluster/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/loop.h"
#include "common/kube/answer.h"
#include "common/kube/backoff.h"

#define CALL_MS    30000
#define TRIES      5
#define ANSWER_MAX (256u << 20)
#define PAGE       500

struct cluster {
    struct loop *loop;
    struct kube_api *api;
    unsigned patience_ms;
};

/* one request under way */
struct request {
    const char *method, *path;
    struct loop *loop;
    struct buf body; /* of a good answer */
    size_t max;
    int status; /* -1: none came */
    bool over, too_long;
    uint64_t retry_after;
    struct err *e;
    const struct cluster *c;
};

struct cluster *cluster_open(const struct kube_access_from *from, struct err *e)
{
    struct cluster *c = xcalloc(1, sizeof(*c));

    log_set_level(log_get_level() < LOG_WARN ? log_get_level() : LOG_WARN);
    if ((c->loop = loop_new(e)) != NULL && (c->api = kube_api_new(c->loop, from, "fsm", e)) != NULL)
        return c;
    loop_free(c->loop);
    free(c);
    return NULL;
}

void cluster_close(struct cluster *c)
{
    if (!c)
        return;
    kube_api_free(c->api);
    loop_free(c->loop);
    free(c);
}

const char *cluster_server(const struct cluster *c)
{
    return kube_api_server(c->api);
}

void cluster_patience(struct cluster *c, unsigned ms)
{
    c->patience_ms = ms;
}

bool cluster_is_good(int status)
{
    return status >= 200 && status < 300;
}

/* ---- one request ----------------------------------------------------------------------------- */

static int on_data(struct slice bytes, void *arg)
{
    struct request *r = arg;

    r->too_long = r->body.len + bytes.n > r->max;
    if (r->too_long)
        return -1;
    buf_put_slice(&r->body, bytes);
    return 0;
}

static void on_done(const struct kube_answer *a, void *arg)
{
    struct request *r = arg;

    r->over = true;
    r->status = a->status ? (int)a->status : -1;
    r->retry_after = a->retry_after;
    if (r->too_long) {
        err_set(r->e, "%s: the answer is longer than %zu bytes", r->path, r->max);
    } else if (a->status == 0) {
        err_set(r->e, "the API server %s: %s", cluster_server(r->c), a->error);
    } else if (a->status == 401) {
        err_set(r->e, "%s", kube_answer_unauthorized);
    } else if (!cluster_is_good(r->status)) {
        char *words = kube_answer_words(a);
        err_set(r->e, "%s %s: %s (%u)", r->method, r->path, *words ? words : "refused", a->status);
        free(words);
    }
    loop_stop(r->loop);
}

static void once(struct cluster *c, const enum kube_change *how, struct slice sent,
                 struct request *r)
{
    struct kube_call_spec spec = {.path = r->path,
                                  .timeout_ms = c->patience_ms ? c->patience_ms : CALL_MS,
                                  .data = on_data,
                                  .done = on_done,
                                  .arg = r};

    buf_clear(&r->body);
    r->over = r->too_long = false;
    if (how)
        kube_api_send(c->api, *how, sent, &spec);
    else
        kube_api_get(c->api, &spec);
    while (!r->over)
        loop_run(c->loop);
}

static void wait_ms(uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

/* Whether it is worth asking again.  What creates is not repeated when it is not known whether it
 * was done. */
static bool may_pass(const struct request *r, const enum kube_change *how)
{
    if (r->status == 429 || r->status == 503)
        return true;
    return (!how || *how != KUBE_CREATE) && !r->too_long &&
           (r->status == -1 || r->status == 500 || r->status == 502 || r->status == 504);
}

static int ask(struct cluster *c, const enum kube_change *how, const char *path, struct slice sent,
               struct request *r, struct err *e)
{
    static const char *const methods[] = {[KUBE_CREATE] = "POST",
                                          [KUBE_MERGE] = "PATCH",
                                          [KUBE_APPLY] = "PATCH",
                                          [KUBE_DELETE] = "DELETE"};
    struct backoff backoff = {0};

    r->method = how ? methods[*how] : "GET";
    r->path = path;
    r->loop = c->loop;
    r->c = c;
    r->e = e;
    for (int i = 0;; i++) {
        once(c, how, sent, r);
        if (!may_pass(r, how) || i + 1 == TRIES || c->patience_ms)
            return r->status;
        wait_ms(backoff_next(&backoff, r->retry_after));
    }
}

/* JSON of a good answer; its status */
static int json_of(struct request *r, json_t **out, struct err *e)
{
    if (out)
        *out = NULL;
    if (out && cluster_is_good(r->status) && r->body.len &&
        !(*out = json_parse(buf_slice(&r->body), ANSWER_MAX, e))) {
        err_prefix(e, "%s: the answer is no JSON", r->path);
        r->status = -1;
    }
    buf_free(&r->body);
    return r->status;
}

int cluster_get(struct cluster *c, const char *path, json_t **out, struct err *e)
{
    struct request r = {.max = ANSWER_MAX};

    ask(c, NULL, path, slice_of(NULL, 0), &r, e);
    return json_of(&r, out, e);
}

int cluster_text(struct cluster *c, const char *path, size_t max, struct buf *out, struct err *e)
{
    struct request r = {.max = max};

    ask(c, NULL, path, slice_of(NULL, 0), &r, e);
    if (cluster_is_good(r.status))
        buf_put_slice(out, buf_slice(&r.body));
    buf_free(&r.body);
    return r.status;
}

int cluster_send(struct cluster *c, enum kube_change how, const char *path, const json_t *body,
                 json_t **out, struct err *e)
{
    struct request r = {.max = ANSWER_MAX};
    struct buf sent = BUF_INIT;

    json_print(body, &sent);
    ask(c, &how, path, buf_slice(&sent), &r, e);
    explicit_bzero(sent.p, sent.cap);
    buf_free(&sent);
    return json_of(&r, out, e);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static char *path_text(const struct kube_kind *k, struct slice version, const char *ns,
                       const char *name)
{
    struct buf b = BUF_INIT;

    if (*k->group)
        buf_printf(&b, "/apis/%s/%.*s", k->group, SLICE_FMT(version));
    else
        buf_printf(&b, "/api/%.*s", SLICE_FMT(version));
    if (k->namespaced && ns)
        buf_printf(&b, "/namespaces/%s", ns);
    buf_printf(&b, "/%s", k->plural);
    if (name)
        buf_printf(&b, "/%s", name);
    return buf_take(&b);
}

char *cluster_path(const struct kube_kind *k, const char *ns, const char *name)
{
    struct slice versions = slice_str(k->versions);

    return path_text(k, slice_cut(&versions, ' '), ns, name);
}

const struct kube_kind *cluster_kind_of(const json_t *object)
{
    const char *api = json_str(object, "apiVersion", ""), *slash = strchr(api, '/');
    char *group = xstrndup(api, slash ? (size_t)(slash - api) : 0);
    const struct kube_kind *k = kube_kind_find(group, json_str(object, "kind", ""));

    free(group);
    return k;
}

char *cluster_path_of(const json_t *object, bool collection)
{
    const struct kube_kind *k = cluster_kind_of(object);
    const char *api = json_str(object, "apiVersion", ""), *slash = strchr(api, '/');

    return k ? path_text(k, slice_str(slash ? slash + 1 : api),
                         json_str(object, "metadata.namespace", NULL),
                         collection ? NULL : json_str(object, "metadata.name", ""))
             : NULL;
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* items of a list do not say their kind */
static void take_items(json_t *all, const json_t *page, const struct kube_kind *k)
{
    const json_t *items = json_object_get(page, "items");

    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *one = json_array_get(items, i);
        json_object_set_new(one, "kind", json_string(k->kind));
        json_object_set(one, "apiVersion", json_object_get(page, "apiVersion"));
        json_array_append(all, one);
    }
}

static void put_escaped(struct buf *b, const char *s)
{
    for (; *s; s++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~", *s))
            buf_putc(b, *s);
        else
            buf_printf(b, "%%%02X", (unsigned char)*s);
}

/* the path of a page; returns owned */
static char *page_path(const char *collection, const char *query, const char *next)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "%s?limit=%d", collection, PAGE);
    if (query)
        buf_printf(&b, "&%s", query);
    if (next && *next) {
        buf_puts(&b, "&continue=");
        put_escaped(&b, next);
    }
    return buf_take(&b);
}

/* the first version that the server has; *status 404 if there is none.  Returns owned path. */
static char *served_path(struct cluster *c, const struct kube_kind *k, const char *ns,
                         const char *query, json_t **page, int *status, struct err *e)
{
    struct slice versions = slice_str(k->versions);
    char *collection = NULL;

    *page = NULL;
    do {
        free(collection);
        collection = path_text(k, slice_cut(&versions, ' '), ns, NULL);
        char *path = page_path(collection, query, NULL);
        *status = cluster_get(c, path, page, e);
        free(path);
    } while (*status == 404 && versions.p);
    return collection;
}

json_t *cluster_list(struct cluster *c, const struct kube_kind *k, const char *ns,
                     const char *query, int *status, struct err *e)
{
    int code;
    json_t *page, *all = json_array();
    char *collection = served_path(c, k, ns, query, &page, &code, e);

    while (cluster_is_good(code)) {
        char *next = xstrdup(json_str(page, "metadata.continue", ""));
        take_items(all, page, k);
        json_decref(page);
        page = NULL;
        char *path = *next ? page_path(collection, query, next) : NULL;
        if (path)
            code = cluster_get(c, path, &page, e);
        free(next);
        free(path);
        if (!path)
            break;
    }
    free(collection);
    if (status)
        *status = code;
    if (cluster_is_good(code))
        return all;
    json_decref(all);
    return NULL;
}

/* ---- what objects say ------------------------------------------------------------------------ */

const json_t *list_find(const json_t *list, const char *path, const char *value)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_str(json_array_get(list, i), path, ""), value) == 0)
            return json_array_get(list, i);
    return NULL;
}

bool object_has_condition(const json_t *object, const char *type)
{
    const json_t *one = list_find(json_at(object, "status.conditions"), "type", type);

    return strcmp(json_str(one, "status", ""), "True") == 0;
}

const char *image_tag(const char *image)
{
    const char *colon = strrchr(image, ':');

    return colon && !strchr(colon, '/') ? colon + 1 : "";
}
