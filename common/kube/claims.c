/* claims.c - a table from object to the files that hold it. */
#include "common/kube/claims.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/base/packed.h"
#include "common/base/table.h"
#include "common/kube/kind.h"

struct claim {
    unsigned rank;
    struct kube_object *obj; /* ref */
};

/* the claims on one object, the winner first */
struct object_claims {
    struct claim *v;
    unsigned n;
    unsigned rank;    /* of the file whose object is in force */
    const char *file; /* ... and its name, a packed_word(); NULL = none is yet */
    bool touched;     /* stands in claims.touched */
    const char *kind; /* key of the kind */
    const char *ns, *name;
};

struct claims {
    struct kube_store *store;
    struct table *objects; /* "kind/ns/name" -> owned struct object_claims */
    struct object_claims **touched;
    size_t n_touched, cap_touched;
    size_t surplus; /* claims behind the first of their object */
};

static void object_claims_free(void *p)
{
    struct object_claims *oc = p;
    for (unsigned i = 0; i < oc->n; i++)
        kube_object_unref(oc->v[i].obj);
    free(oc->v);
    packed_word_free(oc->file);
    free(oc);
}

struct claims *claims_new(struct kube_store *st)
{
    struct claims *c = xcalloc(1, sizeof *c);
    c->store = st;
    c->objects = table_new(object_claims_free);
    return c;
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    table_free(c->objects);
    free(c->touched);
    free(c);
}

void claims_key(const char *kind, const char *ns, const char *name, struct buf *out)
{
    buf_printf(out, "%s/%s/%s", kind, ns, name);
}

void claims_key_of(const struct kube_object *o, struct buf *out)
{
    claims_key(kube_kind_find(o->group, o->kind)->key, o->ns, o->name, out);
}

static struct object_claims *find(struct claims *c, const struct kube_object *o, bool make)
{
    struct buf key = BUF_INIT;
    claims_key_of(o, &key);
    struct object_claims *oc = table_get_str(c->objects, key.p);
    if (!oc && make) {
        size_t n_ns = strlen(o->ns) + 1, n_name = strlen(o->name) + 1;
        oc = xcalloc(1, sizeof *oc + n_ns + n_name);
        oc->kind = kube_kind_find(o->group, o->kind)->key;
        oc->ns = memcpy(oc + 1, o->ns, n_ns);
        oc->name = memcpy((char *)(oc + 1) + n_ns, o->name, n_name);
        table_put_str(c->objects, key.p, oc);
    }
    buf_free(&key);
    return oc;
}

static void touch(struct claims *c, struct object_claims *oc)
{
    if (oc->touched)
        return;
    oc->touched = true;
    if (c->n_touched == c->cap_touched) {
        c->cap_touched = c->cap_touched ? 2 * c->cap_touched : 64;
        c->touched = xreallocarray(c->touched, c->cap_touched, sizeof(struct object_claims *));
    }
    c->touched[c->n_touched++] = oc;
}

static bool is_in_force(const struct object_claims *oc, unsigned rank, const char *file)
{
    return oc->file && oc->rank == rank && strcmp(oc->file, file) == 0;
}

/* What is in force stays while its file has it; else by the order of the files, so that a start
 * always comes to the same. */
static bool stands_before(const struct object_claims *oc, const struct claim *a, unsigned rank,
                          const char *file)
{
    bool mine = is_in_force(oc, a->rank, a->obj->file), its = is_in_force(oc, rank, file);
    if (mine != its)
        return mine;
    if (a->rank != rank)
        return a->rank < rank;
    return strcmp(a->obj->file, file) <= 0;
}

void claims_add(struct claims *c, unsigned rank, struct kube_object *o)
{
    struct object_claims *oc = find(c, o, true);
    unsigned at = 0;
    while (at < oc->n && stands_before(oc, &oc->v[at], rank, o->file))
        at++;
    oc->v = xreallocarray(oc->v, oc->n + 1, sizeof *oc->v);
    memmove(&oc->v[at + 1], &oc->v[at], (oc->n - at) * sizeof *oc->v);
    oc->v[at] = (struct claim){rank, kube_object_ref(o)};
    c->surplus += oc->n++ > 0;
    touch(c, oc);
}

void claims_drop(struct claims *c, unsigned rank, const struct kube_object *o)
{
    struct object_claims *oc = find(c, o, false);
    for (unsigned i = 0; oc && i < oc->n; i++) {
        if (oc->v[i].rank != rank || oc->v[i].obj != o)
            continue;
        struct kube_object *held = oc->v[i].obj;
        memmove(&oc->v[i], &oc->v[i + 1], (oc->n - i - 1) * sizeof *oc->v);
        c->surplus -= --oc->n > 0;
        touch(c, oc);
        kube_object_unref(held);
        return;
    }
}

static void put_in_force(struct claims *c, struct object_claims *oc)
{
    const struct claim *first = &oc->v[0];
    if (!is_in_force(oc, first->rank, first->obj->file)) {
        packed_word_free(oc->file);
        oc->file = packed_word(first->obj->file);
        oc->rank = first->rank;
    }
    kube_store_put(c->store, kube_object_ref(first->obj));
}

bool claims_lose(const struct claims *c)
{
    for (size_t i = 0; i < c->n_touched; i++)
        if (c->touched[i]->n == 0 && c->touched[i]->file)
            return true;
    return false;
}

void claims_apply(struct claims *c)
{
    for (size_t i = 0; i < c->n_touched; i++) {
        struct object_claims *oc = c->touched[i];
        oc->touched = false;
        if (oc->n > 0) {
            put_in_force(c, oc);
            continue;
        }
        struct buf key = BUF_INIT;
        claims_key(oc->kind, oc->ns, oc->name, &key);
        kube_store_del(c->store, oc->kind, oc->ns, oc->name);
        table_del(c->objects, buf_slice(&key));
        buf_free(&key);
    }
    c->n_touched = 0;
}

void claims_duplicate(const struct kube_object *first, const struct kube_object *o,
                      struct kube_problems *out)
{
    char *object = *o->ns ? xasprintf("%s %s/%s", o->kind, o->ns, o->name)
                          : xasprintf("%s %s", o->kind, o->name);
    kube_problems_add(out, o->file, o->line, object, "",
                      "defined before at %s:%u; that one is used, remove one of them", first->file,
                      first->line);
    free(object);
}

void claims_problems(const struct claims *c, struct kube_problems *out)
{
    struct object_claims *oc;
    if (c->surplus == 0) /* mostly; the table may be long */
        return;
    table_foreach (c->objects, it, NULL, &oc) {
        for (unsigned i = 1; i < oc->n; i++)
            claims_duplicate(oc->v[0].obj, oc->v[i].obj, out);
    }
}
