/* chain.c - see chain.h */
#include "common/proxy/chain.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define CHAIN_BYTES 448 /* what a match with one route needs */

static const char *const kind_names[] = {
#define X(id, text) [CHAIN_##id] = text,
    CHAIN_KINDS(X)
#undef X
};

const char *chain_kind_name(enum chain_kind k)
{
    return kind_names[k];
}

struct chain *chain_new(const char *name, enum chain_kind kind, uint64_t tag)
{
    struct chain *c = xcalloc(1, sizeof *c);
    c->refs = 1;
    c->tag = tag;
    c->kind = kind;
    c->mem = arena_new(CHAIN_BYTES);
    c->name = arena_strdup(c->mem, name);
    return c;
}

struct chain *chain_ref(struct chain *c)
{
    c->refs++;
    return c;
}

void chain_unref(struct cluster_slots *s, struct chain *c)
{
    if (!c || --c->refs)
        return;
    for (uint32_t i = 0; i < c->n_regexes; i++)
        matcher_release(c->regexes[i]);
    for (uint32_t i = 0; i < c->n_slots; i++)
        cluster_slot_unref(s, c->slots[i]);
    hosts_free(c->adding);
    free(c->hosts);
    lpm_free(c->opaque);
    lpm_free(c->sources);
    ipset_unref(c->allowed);
    arena_free(c->mem);
    free(c);
}

/* room for one more in an array that lives in an arena (the old one stays until the end) */
static void *grow(struct arena *a, void *v, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return v;
    *cap = *cap ? 2 * *cap : 8;
    void *fresh = arena_alloc(a, *cap * size);
    if (n)
        memcpy(fresh, v, n * size);
    return fresh;
}

int chain_regex(struct chain *c, struct matcher *m, const char *pattern, struct err *e)
{
    if (matcher_init_regex(m, c->mem, pattern, e) < 0)
        return -1;
    if (m->kind != MATCH_REGEX)
        return 0;
    c->regexes = grow(c->mem, c->regexes, c->n_regexes, &c->cap_regexes, sizeof *c->regexes);
    c->regexes[c->n_regexes++] = m;
    return 0;
}

void chain_know_slots(struct chain *c, const uint32_t *slots)
{
    c->known_slots = slots;
}

uint32_t chain_slot(struct chain *c, struct cluster_slots *s, const char *cluster)
{
    if (c->known_slots)
        return *c->known_slots++;
    uint32_t slot = cluster_slot_ref(s, cluster);
    c->slots = grow(c->mem, c->slots, c->n_slots, &c->cap_slots, sizeof *c->slots);
    c->slots[c->n_slots++] = slot;
    return slot;
}

int chain_add_host(struct chain *c, const char *host, const struct vhost *v)
{
    char buf[HOST_MAX];
    if (strcmp(host, "*") == 0) {
        c->any_host = v;
        return 0;
    }
    struct slice h = host_normal(slice_str(host), buf);
    if (h.n == 0)
        return -1;
    if (!c->first_host) {
        c->first_host = arena_strdup(c->mem, host);
        c->sole_host = v;
    } else if (c->sole_host != v) {
        c->sole_host = NULL;
    }
    if (!c->adding)
        c->adding = hosts_new();
    hosts_add(c->adding, h, v);
    return 0;
}

void chain_seal(struct chain *c)
{
    if (c->adding)
        c->hosts = hosts_seal(c->adding);
    c->adding = NULL;
}

static struct rule *rule_alloc(const struct chain *c, uint32_t n_slots)
{
    size_t name = strlen(c->name) + 1;
    struct rule *r = xmalloc(sizeof *r + n_slots * sizeof r->slots[0] + name);
    *r = (struct rule){.refs = 1, .n_slots = n_slots, .name = (char *)(r->slots + n_slots)};
    memcpy(r->slots + n_slots, c->name, name);
    return r;
}

struct rule *rule_new(struct chain *c)
{
    struct rule *r = rule_alloc(c, 0);
    r->chain = c;
    return r;
}

struct rule *rule_new_lazy(struct chain *c)
{
    struct rule *r = rule_alloc(c, c->n_slots);
    if (c->n_slots)
        memcpy(r->slots, c->slots, c->n_slots * sizeof r->slots[0]);
    c->n_slots = 0; /* the rule's now */
    chain_unref(NULL, c);
    return r;
}

struct rule *rule_ref(struct rule *r)
{
    r->refs++;
    return r;
}

void rule_unref(struct cluster_slots *s, struct rule *r)
{
    if (!r || --r->refs)
        return;
    chain_unref(s, r->chain);
    for (uint32_t i = 0; i < r->n_slots; i++)
        cluster_slot_unref(s, r->slots[i]);
    free(r);
}

const struct vhost *chain_host_by(const struct chain *c, struct slice authority, char *buf,
                                  struct slice *name)
{
    struct slice h = host_normal(authority, buf);
    const struct vhost *v = c->hosts && h.n ? hosts_find(c->hosts, h) : NULL;
    *name = v ? h : authority;
    return v ? v : c->any_host;
}

const struct vhost *chain_host(const struct chain *c, struct slice authority)
{
    char buf[HOST_MAX];
    struct slice name;
    return chain_host_by(c, authority, buf, &name);
}

struct slice chain_default_host(const struct chain *c)
{
    return slice_str(c->sole_host && !c->any_host ? c->first_host : NULL);
}

const struct split *chain_opaque(const struct chain *c, const struct ip *dst)
{
    const struct split *s = c->opaque ? lpm_get(c->opaque, dst) : NULL;
    return s ? s : c->tcp;
}
