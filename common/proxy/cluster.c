/* cluster.c - see cluster.h */
#include "common/proxy/cluster.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

/* ---- slots ----------------------------------------------------------------------------------- */

struct slot {
    char *name; /* NULL = free */
    uint32_t refs;
    uint32_t index;
    struct cluster_shared shared;
};

struct cluster_slots {
    struct table *by_name; /* -> struct slot */
    struct slot **v;
    uint32_t n, cap, first_free;
    uint64_t serial;
    struct cluster_shared shared;
};

struct cluster_slots *cluster_slots_new(void)
{
    struct cluster_slots *s = xcalloc(1, sizeof *s);
    s->by_name = table_new(NULL);
    return s;
}

void cluster_slots_free(struct cluster_slots *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n; i++) {
        free(s->v[i]->name);
        free(s->v[i]);
    }
    table_free(s->by_name);
    free(s->v);
    free(s);
}

struct cluster_shared *cluster_slots_shared(struct cluster_slots *s)
{
    return &s->shared;
}

uint32_t cluster_slots_count(const struct cluster_slots *s)
{
    return s->n;
}

static struct slot *slot_take(struct cluster_slots *s)
{
    for (uint32_t i = s->first_free; i < s->n; i++)
        if (!s->v[i]->name) {
            s->first_free = i + 1;
            return s->v[i];
        }
    s->first_free = s->n;
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 64;
        s->v = xreallocarray(s->v, s->cap, sizeof *s->v);
    }
    struct slot *sl = xcalloc(1, sizeof *sl);
    sl->index = s->n;
    s->v[s->n++] = sl;
    return sl;
}

uint32_t cluster_slot_ref(struct cluster_slots *s, const char *name)
{
    struct slot *sl = table_get_str(s->by_name, name);
    if (!sl) {
        sl = slot_take(s);
        sl->name = xstrdup(name);
        table_put_str(s->by_name, name, sl);
    }
    sl->refs++;
    return sl->index;
}

int64_t cluster_slot_find(const struct cluster_slots *s, const char *name)
{
    const struct slot *sl = table_get_str(s->by_name, name);
    return sl ? (int64_t)sl->index : -1;
}

void cluster_slot_unref(struct cluster_slots *s, uint32_t slot)
{
    BUG_ON(slot >= s->n || s->v[slot]->refs == 0);
    struct slot *sl = s->v[slot];
    if (--sl->refs)
        return;
    table_del(s->by_name, slice_str(sl->name));
    free(sl->name);
    sl->name = NULL;
    if (slot < s->first_free)
        s->first_free = slot;
}

/* ---- clusters -------------------------------------------------------------------------------- */

/* Endpoints of one service mostly share one identity: each run of equal ones is kept once. */
static size_t identities_size(const struct cluster_def *def)
{
    size_t n = 1;
    const char *last = NULL;
    for (uint32_t i = 0; i < def->n; i++) {
        const char *id = def->eps[i].identity;
        if (id && (!last || strcmp(id, last) != 0))
            n += strlen(id) + 1;
        last = id ? id : last;
    }
    return n;
}

/* p: where the identities go */
static void copy_endpoints(struct cluster *c, const struct cluster_def *def, char *p)
{
    const char *last = NULL;
    for (uint32_t i = 0; i < def->n; i++) {
        const char *id = def->eps[i].identity;
        c->eps[i] = def->eps[i];
        if (id && (!last || strcmp(id, last) != 0)) {
            size_t n = strlen(id) + 1;
            last = memcpy(p, id, n);
            p += n;
        }
        c->eps[i].identity = id ? last : NULL;
    }
}

struct cluster *cluster_new(struct cluster_slots *s, const struct cluster_def *def)
{
    uint32_t slot = cluster_slot_ref(s, def->name);
    struct cluster *c = xmalloc(sizeof *c + def->n * sizeof c->eps[0] + identities_size(def));
    *c = (struct cluster){.refs = 1,
                          .slot = slot,
                          .shared = &s->v[slot]->shared,
                          .name = s->v[slot]->name,
                          .tag = def->tag,
                          .serial = ++s->serial,
                          .n = def->n,
                          .flags = def->flags};
    if (def->source) {
        c->has_source = true;
        c->source = *def->source;
    }
    copy_endpoints(c, def, (char *)(c->eps + c->n));
    for (uint32_t i = 1; i < c->n; i++)
        if (c->eps[i].addr.ip.family != c->eps[0].addr.ip.family)
            c->flags |= CLUSTER_DUAL;
    return c;
}

struct cluster *cluster_ref(struct cluster *c)
{
    c->refs++;
    return c;
}

void cluster_unref(struct cluster_slots *s, struct cluster *c)
{
    if (!c || --c->refs)
        return;
    cluster_slot_unref(s, c->slot);
    free(c);
}
