/* resources.c - the objects of an instance; see resources.h. */
#include "cli/local/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/local/namespaces.h"
#include "cli/local/pod.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define REPLICAS_MAX  10000
#define FILE_NAME_MAX 200 /* of kind, namespace and name; a file's name has at most 255 bytes */
#define RETRY_MS      1000

struct res_watch {
    TAILQ_ENTRY(res_watch) link;
    char *kind;
    res_watch_cb *cb;
    void *arg;
    bool removed; /* freed when the round is over */
};

struct resources {
    struct local *l;
    struct kube_store *store;
    int dir_fd;
    struct table *dirty; /* file name -> struct dirty */
    struct loop_job flush;
    struct timer retry;
    uint64_t version;
    TAILQ_HEAD(, res_watch) watches;
    unsigned in_round;
};

struct dirty {
    char *kind, *ns, *name;
    char *why; /* it could not be written the last time, or NULL */
};

static void dirty_free(void *p)
{
    struct dirty *d = p;
    free(d->kind);
    free(d->ns);
    free(d->name);
    free(d->why);
    free(d);
}

/* ---- files --------------------------------------------------------------------------------- */

/* KIND.NAMESPACE.NAME.yaml; what is left out of a long name, its hash stands for */
static char *file_name(const char *kind, const char *ns, const char *name)
{
    if (!*ns)
        ns = "_";
    if (strlen(kind) + strlen(ns) + strlen(name) <= FILE_NAME_MAX)
        return xasprintf("%s.%s.%s.yaml", kind, ns, name);
    return xasprintf("%s.%s.%.80s.%016llx.yaml", kind, ns, name,
                     (unsigned long long)hash_sip13((struct hash_key){0}, name, strlen(name)));
}

/* written beside and renamed.  No fsync: the state of an instance does not outlive a boot. */
static int write_object(int dir_fd, const char *file, const struct kube_object *o, struct err *e)
{
    struct buf text = BUF_INIT;
    char *tmp = xasprintf(".%s.new", file);
    int rc = -1;

    kube_to_yaml(o->body, &text);
    int fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        ssize_t n = write(fd, text.p, text.len);
        if (n == (ssize_t)text.len)
            rc = renameat(dir_fd, tmp, dir_fd, file);
        else if (n >= 0)
            errno = ENOSPC;
        close(fd);
    }
    if (rc)
        err_errno(e, "cannot write %s", file);
    if (rc)
        unlinkat(dir_fd, tmp, 0);
    free(tmp);
    buf_free(&text);
    return rc;
}

static int flush_one(struct resources *r, const char *file, const struct dirty *d, struct err *e)
{
    const struct kube_object *o = kube_store_get(r->store, d->kind, d->ns, d->name);

    if (o)
        return write_object(r->dir_fd, file, o, e);
    if (unlinkat(r->dir_fd, file, 0) && errno != ENOENT)
        return err_errno(e, "cannot remove %s", file);
    return 0;
}

/* what cannot be written now is tried again; `fsm local status` tells of it */
static void keep_dirty(struct resources *r, struct slice file, const struct dirty *d,
                       const char *why)
{
    struct dirty *copy = xcalloc(1, sizeof(*copy));

    if (!d->why)
        log_error("resources", "%s", why);
    copy->kind = xstrdup(d->kind);
    copy->ns = xstrdup(d->ns);
    copy->name = xstrdup(d->name);
    copy->why = xstrdup(why);
    table_put(r->dirty, file, copy);
    timer_set(&r->retry, RETRY_MS);
}

static void flush_dirty(struct resources *r)
{
    struct table *now = r->dirty;
    struct slice key;
    struct dirty *d;
    struct err e;

    r->dirty = table_new(dirty_free);
    table_foreach (now, it, &key, &d) {
        char *file = xstrndup(key.p, key.n);
        if (flush_one(r, file, d, &e))
            keep_dirty(r, key, d, e.text);
        free(file);
    }
    table_free(now);
}

static void flush_again(void *arg)
{
    flush_dirty(arg);
}

void res_problems(const struct local *l, json_t *out)
{
    struct slice file;
    struct dirty *d;

    table_foreach (l->res->dirty, it, &file, &d)
        if (d->why)
            json_array_append_new(
                out, json_sprintf("%s %s%s%s: the controller does not see it as it is: %s", d->kind,
                                  d->ns, *d->ns ? "/" : "", d->name, d->why));
}

static void flush_job(struct loop_job *job)
{
    flush_dirty((struct resources *)((char *)job - offsetof(struct resources, flush)));
}

void res_flush(struct local *l)
{
    loop_undefer(l->loop, &l->res->flush);
    flush_dirty(l->res);
}

static void mark_dirty(struct resources *r, const struct kube_object *o)
{
    char *file = file_name(o->kind, o->ns, o->name);

    if (!table_get_str(r->dirty, file)) {
        struct dirty *d = xcalloc(1, sizeof(*d));
        d->kind = xstrdup(o->kind);
        d->ns = xstrdup(o->ns);
        d->name = xstrdup(o->name);
        table_put_str(r->dirty, file, d);
    }
    loop_defer(r->l->loop, &r->flush);
    free(file);
}

/* ---- watching ------------------------------------------------------------------------------ */

struct res_watch *res_watch_add(struct local *l, const char *kind, res_watch_cb *cb, void *arg)
{
    struct res_watch *w = xcalloc(1, sizeof(*w));

    w->kind = kind ? xstrdup(kind) : NULL;
    w->cb = cb;
    w->arg = arg;
    TAILQ_INSERT_TAIL(&l->res->watches, w, link);
    return w;
}

static void sweep_watches(struct resources *r)
{
    struct res_watch *w, *next;

    for (w = TAILQ_FIRST(&r->watches); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (!w->removed)
            continue;
        TAILQ_REMOVE(&r->watches, w, link);
        free(w->kind);
        free(w);
    }
}

void res_watch_remove(struct local *l, struct res_watch *w)
{
    if (!w)
        return;
    w->removed = true;
    if (!l->res->in_round)
        sweep_watches(l->res);
}

static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    struct resources *r = arg;
    const struct kube_object *o = now ? now : old;
    const char *type = !old ? "ADDED" : now ? "MODIFIED" : "DELETED";
    struct res_watch *w;

    mark_dirty(r, o);
    loop_defer(r->l->loop, &r->l->reconcile);
    r->in_round++;
    TAILQ_FOREACH (w, &r->watches, link)
        if (!w->removed && (!w->kind || strcmp(w->kind, o->kind) == 0))
            w->cb(type, o, w->arg);
    if (--r->in_round == 0)
        sweep_watches(r);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct resources *res_new(struct local *l, struct err *e)
{
    char *dir = instance_path(l->in, "resources");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        err_errno(e, "%s", dir);
        free(dir);
        return NULL;
    }
    free(dir);
    struct resources *r = xcalloc(1, sizeof(*r));
    r->l = l;
    r->dir_fd = fd;
    r->dirty = table_new(dirty_free);
    r->flush.fn = flush_job;
    timer_init(&r->retry, l->loop, flush_again, r);
    TAILQ_INIT(&r->watches);
    r->store = l->store = kube_store_new();
    kube_store_on_change(r->store, on_change, r);
    return r;
}

void res_free(struct resources *r)
{
    struct res_watch *w;

    if (!r)
        return;
    TAILQ_FOREACH (w, &r->watches, link)
        w->removed = true;
    sweep_watches(r);
    timer_cancel(&r->retry);
    kube_store_free(r->store);
    table_free(r->dirty);
    close(r->dir_fd);
    free(r);
}

const struct kube_object *res_get(const struct local *l, const char *kind, const char *ns,
                                  const char *name)
{
    return kube_store_get(l->store, kind, ns, name);
}

json_t *res_edit(const struct kube_object *o)
{
    return json_deep_copy(o->body);
}

static json_t *metadata(json_t *body)
{
    json_t *m = json_object_get(body, "metadata");

    if (!json_is_object(m)) {
        m = json_object();
        json_object_set_new(body, "metadata", m);
    }
    return m;
}

/* What Kubernetes accepts and one machine does not: each of them is gone through one by one. */
static int check_size(const json_t *body, struct err *e)
{
    static const char *const counts[] = {"spec.replicas", "spec.parallelism", "spec.completions"};
    static const char *const kinds[] = {"Deployment", "ReplicaSet", "StatefulSet", "Job"};

    for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
            if (strcmp(json_str(body, "kind", ""), kinds[k]) == 0 &&
                json_int(body, counts[i], 0) > REPLICAS_MAX)
                return err_set(e, "%s: got %lld, expected at most %d: it is one machine", counts[i],
                               (long long)json_int(body, counts[i], 0), REPLICAS_MAX);
    return 0;
}

/* takes body */
static struct kube_object *check(json_t *body, struct err *e)
{
    struct kube_problems problems = {0};

    if (check_size(body, e)) {
        json_decref(body);
        return NULL;
    }
    struct kube_object *o = kube_object_from_json(body, "", 0, "default", &problems);

    if (!o && problems.n) {
        char *text = kube_problem_text(&problems.v[0]);
        err_set(e, "%s", text);
        free(text);
    } else if (!o) {
        err_set(e, "not an object that fsm knows");
    }
    kube_problems_free(&problems);
    return o;
}

static void stamp_version(struct resources *r, json_t *body)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)++r->version);
    json_object_set_new(metadata(body), "resourceVersion", json_string(text));
}

static const struct kube_object *put(struct local *l, struct kube_object *o)
{
    char *ns = xstrdup(o->ns), *name = xstrdup(o->name);
    const char *kind = o->kind; /* interned */

    kube_store_put(l->store, o);
    const struct kube_object *now = kube_store_get(l->store, kind, ns, name);
    free(ns);
    free(name);
    return now;
}

const struct kube_object *res_create(struct local *l, json_t *body, struct err *e)
{
    char uuid[37];

    if (!json_is_object(body)) {
        err_set(e, "no object");
        json_decref(body);
        return NULL;
    }
    json_t *meta = metadata(body);

    /* never the caller's: it becomes the name of directories */
    uuid_v4(uuid);
    json_object_set_new(meta, "uid", json_string(uuid));
    json_object_set_new(meta, "creationTimestamp", time_now());
    json_object_set_new(meta, "generation", json_integer(1));
    stamp_version(l->res, body);
    struct kube_object *o = check(body, e);
    if (!o)
        return NULL;
    if (kube_store_get(l->store, o->kind, o->ns, o->name)) {
        err_set(e, "%s \"%s\" already exists", o->kind, o->name);
        kube_object_unref(o);
        return NULL;
    }
    return put(l, o);
}

static bool same_but(const json_t *a, const json_t *b, const char *const *except)
{
    json_t *x = json_copy((json_t *)(uintptr_t)a), *y = json_copy((json_t *)(uintptr_t)b);

    for (; *except; except++) {
        json_object_del(x, *except);
        json_object_del(y, *except);
    }
    bool same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return same;
}

static void keep_member(json_t *meta, const json_t *old_meta, const char *key)
{
    json_t *v = json_object_get(old_meta, key);

    if (v)
        json_object_set(meta, key, v);
    else
        json_object_del(meta, key);
}

const struct kube_object *res_update(struct local *l, json_t *body, bool *changed, struct err *e)
{
    static const char *const no_spec[] = {"metadata", "status", NULL};
    static const char *const system[] = {"uid", "creationTimestamp", "generation",
                                         "resourceVersion"};
    struct kube_object *o = check(body, e);

    if (changed)
        *changed = false;
    if (!o)
        return NULL;
    const struct kube_object *old = kube_store_get(l->store, o->kind, o->ns, o->name);
    if (!old) {
        err_set(e, "%s \"%s\" not found", o->kind, o->name);
        kube_object_unref(o);
        return NULL;
    }
    json_t *meta = metadata(o->body);
    const json_t *old_meta = json_object_get(old->body, "metadata");
    for (size_t i = 0; i < sizeof(system) / sizeof(*system); i++)
        keep_member(meta, old_meta, system[i]);
    if (json_equal(o->body, old->body)) {
        kube_object_unref(o);
        return old;
    }
    if (!same_but(o->body, old->body, no_spec))
        json_object_set_new(meta, "generation",
                            json_integer(json_int(old_meta, "generation", 0) + 1));
    stamp_version(l->res, o->body);
    if (changed)
        *changed = true;
    return put(l, o);
}

void res_set(struct local *l, json_t *body)
{
    struct err e;

    if (!res_update(l, body, NULL, &e))
        log_error("resources", "own change refused: %s", e.text);
}

void res_set_status(struct local *l, const char *kind, const char *ns, const char *name,
                    json_t *status)
{
    const struct kube_object *o = kube_store_get(l->store, kind, ns, name);

    if (!o || json_equal(json_object_get(o->body, "status"), status)) {
        json_decref(status);
        return;
    }
    json_t *body = res_edit(o);
    json_object_set_new(body, "status", status);
    res_set(l, body);
}

void res_remove(struct local *l, const char *kind, const char *ns, const char *name)
{
    kube_store_del(l->store, kind, ns, name);
}

/* ---- deleting ------------------------------------------------------------------------------ */

struct found {
    char *kind, *ns, *name;
};

struct found_list {
    struct found *v;
    size_t n;
};

static void found_add(struct found_list *f, const struct kube_object *o)
{
    f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
    f->v[f->n++] = (struct found){xstrdup(o->kind), xstrdup(o->ns), xstrdup(o->name)};
}

static void found_delete_all(struct local *l, struct found_list *f)
{
    struct err e;

    for (size_t i = 0; i < f->n; i++) {
        if (res_get(l, f->v[i].kind, f->v[i].ns, f->v[i].name))
            res_delete(l, f->v[i].kind, f->v[i].ns, f->v[i].name, -1, &e);
        free(f->v[i].kind);
        free(f->v[i].ns);
        free(f->v[i].name);
    }
    free(f->v);
}

static const char *const owned_kinds[] = {"ReplicaSet", "Pod", "Job", "EndpointSlice"};

static void delete_owned(struct local *l, const char *ns, const char *uid)
{
    struct found_list f = {0};

    for (size_t i = 0; i < sizeof(owned_kinds) / sizeof(*owned_kinds); i++) {
        const struct kube_object *o;
        for (void *it = NULL; (o = kube_store_next(l->store, owned_kinds[i], ns, &it)) != NULL;)
            if (is_owned_by(o->body, uid))
                found_add(&f, o);
    }
    found_delete_all(l, &f);
}

static const char *const lasting_namespaces[] = {"default", "kube-system", MESH_NAMESPACE};

/* without them no pod finds the controller, and no setting can be changed */
static const struct {
    const char *kind, *name;
} lasting_objects[] = {{"Service", "fsm-controller"}, {"MeshConfig", "fsm-mesh-config"}};

static int may_delete(const char *kind, const char *ns, const char *name, struct err *e)
{
    for (size_t i = 0; i < sizeof(lasting_objects) / sizeof(*lasting_objects); i++)
        if (strcmp(kind, lasting_objects[i].kind) == 0 && ns && strcmp(ns, MESH_NAMESPACE) == 0 &&
            strcmp(name, lasting_objects[i].name) == 0)
            return err_set(e, "%s \"%s\" belongs to the instance and stays", kind, name);
    for (size_t i = 0; i < sizeof(lasting_namespaces) / sizeof(*lasting_namespaces); i++)
        if (strcmp(kind, "Namespace") == 0 && strcmp(name, lasting_namespaces[i]) == 0)
            return err_set(e, "namespace \"%s\" belongs to the instance and stays", name);
    return 0;
}

int res_delete(struct local *l, const char *kind, const char *ns, const char *name, long grace_s,
               struct err *e)
{
    const struct kube_object *o = res_get(l, kind, ns, name);

    if (!o)
        return err_set(e, "%s \"%s\" not found", kind, name);
    if (may_delete(kind, ns, name, e))
        return -1;
    if (strcmp(kind, "Pod") == 0) {
        pod_delete(l, ns, name, grace_s);
    } else if (strcmp(kind, "Namespace") == 0) {
        namespace_delete(l, name);
    } else {
        char *uid = xstrdup(object_uid(o));
        res_remove(l, kind, ns, name);
        delete_owned(l, ns, uid);
        free(uid);
    }
    return 0;
}
