/* replica.c - see replica.h. */
#include "common/kube/replica.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/problem.h"

struct replica {
    struct kube_store *store;
    const struct kube_kind *kind;
    const char *ns;
    struct table *seen;   /* "ns/name" of what the list under way has; NULL: none is */
    struct table *faults; /* "ns/name" -> owned struct kube_problems */
    unsigned long faults_generation;
};

static void faults_free(void *p)
{
    kube_problems_free(p);
    free(p);
}

struct replica *replica_new(struct kube_store *st, const struct kube_kind *kind, const char *ns)
{
    struct replica *r = xcalloc(1, sizeof *r);
    r->store = st;
    r->kind = kind;
    r->ns = ns;
    r->faults = table_new(faults_free);
    return r;
}

void replica_free(struct replica *r)
{
    if (!r)
        return;
    table_free(r->seen);
    table_free(r->faults);
    free(r);
}

void replica_begin(struct replica *r)
{
    table_free(r->seen);
    r->seen = table_new(NULL);
}

/* ---- one object ----------------------------------------------------------------------------- */

/* "ns/name" into key; -1 and e if the object is none of ours */
static int name_of(const struct replica *r, const json_t *body, struct buf *key, struct err *e)
{
    const json_t *meta = json_object_get(body, "metadata");
    const char *name = json_string_value(json_object_get(meta, "name"));
    const char *ns = json_string_value(json_object_get(meta, "namespace"));
    if (!name || !*name)
        return err_set(e, "an object without metadata.name");
    if (r->kind->namespaced != (ns && *ns))
        return err_set(e, "%s %.100s %s a namespace", r->kind->kind, name, ns ? "has" : "lacks");
    if (r->ns && strcmp(ns, r->ns) != 0)
        return err_set(e, "%s %.100s is of namespace %.63s, asked for was %s", r->kind->kind, name,
                       ns, r->ns);
    buf_printf(key, "%s/%s", ns ? ns : "", name);
    return 0;
}

/* takes p's contents; none: the object is sound */
static void set_faults(struct replica *r, struct slice key, struct kube_problems *p)
{
    if (p->n > 0) {
        struct kube_problems *kept = xcalloc(1, sizeof *kept);
        *kept = *p;
        table_put(r->faults, key, kept);
        r->faults_generation++;
    } else if (table_del(r->faults, key)) {
        r->faults_generation++;
    }
}

/* A list's items do not say what they are. */
static void say_kind(const struct kube_kind *k, json_t *body)
{
    struct slice rest = slice_str(k->versions), version = slice_cut(&rest, ' ');
    if (json_object_get(body, "kind") && json_object_get(body, "apiVersion"))
        return;
    json_object_set_new(body, "kind", json_string(k->kind));
    json_object_set_new(
        body, "apiVersion",
        json_sprintf("%s%s%.*s", k->group, *k->group ? "/" : "", (int)version.n, version.p));
}

int replica_put(struct replica *r, json_t *body, struct err *e)
{
    struct kube_problems problems = {NULL, 0};
    struct buf key = BUF_INIT;
    if (name_of(r, body, &key, e) < 0) {
        json_decref(body);
        return -1;
    }
    say_kind(r->kind, body);
    struct kube_object *o = kube_object_from_server(body, &problems);
    if (o) {
        kube_object_pack(o);
        kube_store_put(r->store, o);
    }
    set_faults(r, buf_slice(&key), &problems);
    if (r->seen)
        table_put(r->seen, buf_slice(&key), r);
    buf_free(&key);
    return 0;
}

int replica_refuse(struct replica *r, const json_t *body, const char *why, struct err *e)
{
    struct kube_problems problems = {NULL, 0};
    struct buf key = BUF_INIT;
    if (name_of(r, body, &key, e) < 0)
        return -1;
    char *object = xasprintf("%s %s", r->kind->kind, *key.p == '/' ? key.p + 1 : key.p);
    kube_problems_add(&problems, "", 0, object, "", "%s", why);
    set_faults(r, buf_slice(&key), &problems);
    if (r->seen)
        table_put(r->seen, buf_slice(&key), r);
    free(object);
    buf_free(&key);
    return 0;
}

static void forget(struct replica *r, const char *ns, const char *name)
{
    char *key = xasprintf("%s/%s", ns, name);
    kube_store_del(r->store, r->kind->key, ns, name);
    if (table_del(r->faults, slice_str(key)))
        r->faults_generation++;
    free(key);
}

int replica_del(struct replica *r, const json_t *body, struct err *e)
{
    struct buf key = BUF_INIT;
    if (name_of(r, body, &key, e) < 0)
        return -1;
    char *slash = strchr(key.p, '/');
    *slash = '\0';
    forget(r, key.p, slash + 1);
    buf_free(&key);
    return 0;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static bool is_seen(const struct replica *r, const struct kube_object *o)
{
    char *key = xasprintf("%s/%s", o->ns, o->name);
    bool seen = r->seen && table_get_str(r->seen, key);
    free(key);
    return seen;
}

/* refs of what is in the store and was not seen; returns owned, *n of them */
static struct kube_object **unseen(const struct replica *r, unsigned *n)
{
    struct kube_object **v = NULL;
    const struct kube_object *o;
    void *it = NULL;
    *n = 0;
    while ((o = kube_store_next(r->store, r->kind->key, r->ns, &it)) != NULL) {
        if (is_seen(r, o))
            continue;
        v = xreallocarray(v, *n + 1, sizeof *v);
        v[(*n)++] = kube_object_ref((struct kube_object *)o);
    }
    return v;
}

static unsigned sweep(struct replica *r)
{
    unsigned n;
    struct kube_object **v = unseen(r, &n);
    for (unsigned i = 0; i < n; i++)
        forget(r, v[i]->ns, v[i]->name);
    kube_objects_free(v, n);
    return n;
}

/* problems of objects that never were in the store, and are no longer at the server */
static void sweep_faults(struct replica *r)
{
    struct slice key;
    void *v;
    table_foreach (r->faults, it, &key, &v) {
        if (r->seen && table_get(r->seen, key))
            continue;
        table_del(r->faults, key);
        r->faults_generation++;
    }
}

unsigned replica_end(struct replica *r, bool partial)
{
    unsigned n = 0;
    if (!partial) {
        n = sweep(r);
        sweep_faults(r);
    }
    table_free(r->seen);
    r->seen = NULL;
    return n;
}

void replica_clear(struct replica *r)
{
    table_free(r->seen);
    r->seen = NULL;
    replica_end(r, false);
}

unsigned replica_count(const struct replica *r)
{
    const struct kube_object *o;
    unsigned n = 0;
    void *it = NULL;
    if (!r->ns)
        return (unsigned)kube_store_count(r->store, r->kind->key);
    while ((o = kube_store_next(r->store, r->kind->key, r->ns, &it)) != NULL)
        n++;
    return n;
}

void replica_problems(const struct replica *r, struct kube_problems *out)
{
    struct kube_problems *p;
    table_foreach (r->faults, it, NULL, &p)
        kube_problems_append(out, p);
}

unsigned long replica_generation(const struct replica *r)
{
    return r->faults_generation + kube_store_generation(r->store);
}
