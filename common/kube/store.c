/* store.c - per kind, an ordered skip list: lookup, insert and delete in O(log n), a walk in O(1)
 * per step.
 *
 * Why a skip list: compilers walk far more than they look up, so order must cost a pointer and
 * not a descent; and the cursor of kube_store_next() must be a plain pointer that an early
 * "break" need not free.  Levels come from the system's random source, so that names chosen by
 * a stranger cannot make the list degenerate.
 */
#include "common/kube/store.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/base/packed.h"
#include "common/kube/kind.h"

#define LEVELS 20 /* 4^20 objects before searches grow longer than O(log n) */

struct node {
    struct kube_object *obj; /* ref; NULL in a head */
    unsigned levels;
    struct node *next[];
};

struct index {
    const char *key; /* kube_kind.key: interned, unique per kind and group */
    struct node *head;
    size_t n;
};

struct watcher {
    kube_change_cb *cb;
    void *arg;
};

struct kube_store {
    struct index *v; /* one per kind that was ever seen, in the order of kube_kinds */
    unsigned n;
    struct watcher *watchers;
    unsigned n_watchers;
    unsigned long generation;
    uint64_t random; /* bits not used yet; a leading 1 marks the end */
};

static struct node *node_new(struct kube_object *o, unsigned levels)
{
    struct node *n = xcalloc(1, sizeof *n + levels * sizeof n->next[0]);
    n->obj = o;
    n->levels = levels;
    return n;
}

static void node_free(struct node *n)
{
    kube_object_unref(n->obj);
    free(n);
}

struct kube_store *kube_store_new(void)
{
    struct kube_store *s = xcalloc(1, sizeof *s);
    s->n = kube_kinds_count();
    s->v = xcalloc(s->n, sizeof *s->v);
    for (unsigned i = 0; i < s->n; i++) {
        s->v[i].key = kube_kind_at(i)->key;
        s->v[i].head = node_new(NULL, LEVELS);
    }
    return s;
}

void kube_store_free(struct kube_store *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->n; i++) {
        for (struct node *n = s->v[i].head, *next; n; n = next) {
            next = n->next[0];
            node_free(n);
        }
    }
    free(s->v);
    free(s->watchers);
    free(s);
}

void kube_store_on_change(struct kube_store *s, kube_change_cb *cb, void *arg)
{
    s->watchers = xreallocarray(s->watchers, s->n_watchers + 1, sizeof *s->watchers);
    s->watchers[s->n_watchers++] = (struct watcher){cb, arg};
}

static void tell(struct kube_store *s, const struct kube_object *old, const struct kube_object *now)
{
    s->generation++;
    for (unsigned i = 0; i < s->n_watchers; i++)
        s->watchers[i].cb(old, now, s->watchers[i].arg);
}

static struct index *index_of(const struct kube_store *s, const struct kube_kind *k)
{
    return k ? &s->v[kube_kind_index(k)] : NULL;
}

static int compare(const struct kube_object *o, const char *ns, const char *name)
{
    int c = strcmp(o->ns, ns);
    return c ? c : strcmp(o->name, name);
}

/* The first node at or behind (ns, name), or NULL; before[] gets the last node of every level
 * that stands before that place (before may be NULL). */
static struct node *seek(const struct index *x, const char *ns, const char *name,
                         struct node **before)
{
    struct node *n = x->head;
    for (unsigned l = LEVELS; l-- > 0;) {
        while (n->next[l] && compare(n->next[l]->obj, ns, name) < 0)
            n = n->next[l];
        if (before)
            before[l] = n;
    }
    return n->next[0];
}

/* each further level with probability 1/4 */
static unsigned pick_levels(struct kube_store *s)
{
    unsigned levels = 1;
    for (;;) {
        if (s->random <= 3) {
            random_bytes(&s->random, sizeof s->random);
            s->random |= UINT64_C(1) << 63;
        }
        bool up = (s->random & 3) == 0;
        s->random >>= 2;
        if (!up || levels == LEVELS)
            return levels;
        levels++;
    }
}

static void link_new(struct kube_store *s, struct index *x, struct node **before,
                     struct kube_object *o)
{
    struct node *n = node_new(o, pick_levels(s));
    for (unsigned l = 0; l < n->levels; l++) {
        n->next[l] = before[l]->next[l];
        before[l]->next[l] = n;
    }
    x->n++;
}

/* An equal object was read elsewhere: the one in the store stays, since compilers may still point
 * at it, and learns its new place, unless somebody else has it too. */
static void learn_place(struct kube_object *old, const struct kube_object *now)
{
    if (old->refs > 1)
        return;
    old->line = now->line;
    packed_word_free(old->file);
    old->file = packed_word(now->file);
}

int kube_store_put(struct kube_store *s, struct kube_object *o)
{
    struct index *x = index_of(s, kube_kind_find(o->group, o->kind));
    struct node *before[LEVELS];
    struct node *n = seek(x, o->ns, o->name, before);
    if (!n || compare(n->obj, o->ns, o->name) != 0) {
        link_new(s, x, before, o);
        tell(s, NULL, o);
        return 1;
    }
    struct kube_object *old = n->obj;
    if (kube_object_eq(old, o)) {
        if (old != o)
            learn_place(old, o);
        kube_object_unref(o);
        return 0;
    }
    n->obj = o;
    tell(s, old, o);
    kube_object_unref(old);
    return 1;
}

int kube_store_del(struct kube_store *s, const char *kind, const char *ns, const char *name)
{
    struct index *x = index_of(s, kube_kind_by_key(kind));
    struct node *before[LEVELS];
    struct node *n = x ? seek(x, ns, name, before) : NULL;
    if (!n || compare(n->obj, ns, name) != 0)
        return 0;
    for (unsigned l = 0; l < n->levels; l++)
        before[l]->next[l] = n->next[l];
    x->n--;
    tell(s, n->obj, NULL);
    node_free(n);
    return 1;
}

const struct kube_object *kube_store_get(const struct kube_store *s, const char *kind,
                                         const char *ns, const char *name)
{
    const struct index *x = index_of(s, kube_kind_by_key(kind));
    struct node *n = x ? seek(x, ns, name, NULL) : NULL;
    return n && compare(n->obj, ns, name) == 0 ? n->obj : NULL;
}

const struct kube_object *kube_store_next(const struct kube_store *s, const char *kind,
                                          const char *ns, void **it)
{
    struct node *n = *it;
    if (n) {
        n = n->next[0];
    } else {
        const struct index *x = index_of(s, kube_kind_by_key(kind));
        n = !x ? NULL : ns ? seek(x, ns, "", NULL) : x->head->next[0];
    }
    if (!n || (ns && strcmp(n->obj->ns, ns) != 0))
        return NULL;
    *it = n;
    return n->obj;
}

size_t kube_store_count(const struct kube_store *s, const char *kind)
{
    const struct index *x = index_of(s, kube_kind_by_key(kind));
    return x ? x->n : 0;
}

unsigned long kube_store_generation(const struct kube_store *s)
{
    return s->generation;
}
