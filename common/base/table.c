/* table.c - insertion-ordered open addressing.
 *
 * Entries stand in a dense array in the order they came; `index` maps hashes to places in it by
 * linear probing.  A deleted entry keeps its place with key == NULL (so that probing goes on over
 * it and an iteration under way is not disturbed) until the next growth rebuilds both arrays.
 * index always has at least a quarter of its places free, so that probing ends.
 */
#include "common/base/table.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/codec.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define INDEX_FIRST 16u
#define NOWHERE     UINT32_MAX

struct entry {
    uint64_t hash;
    char *key; /* owned, NUL behind; NULL = deleted */
    size_t len;
    void *value;
};

struct table {
    void (*free_value)(void *);
    struct entry *entries;
    uint32_t *index;  /* place in entries, NOWHERE = free */
    uint32_t index_n; /* power of two, or 0 */
    uint32_t used;    /* entries taken, deleted ones included */
    uint32_t count;   /* live entries */
};

static struct hash_key seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_init(void)
{
    random_bytes(&seed, sizeof(seed));
}

uint64_t hash_bytes(const void *p, size_t n)
{
    pthread_once(&seed_once, seed_init);
    return hash_sip13(seed, p, n);
}

struct table *table_new(void (*free_value)(void *))
{
    struct table *t = xcalloc(1, sizeof(*t));

    t->free_value = free_value;
    return t;
}

static void drop_value(const struct table *t, void *value)
{
    if (t->free_value && value)
        t->free_value(value);
}

void table_free(struct table *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->used; i++) {
        if (!t->entries[i].key)
            continue;
        drop_value(t, t->entries[i].value);
        free(t->entries[i].key);
    }
    free(t->entries);
    free(t->index);
    free(t);
}

/* the entry with that key, or NULL */
static struct entry *find(const struct table *t, struct slice key, uint64_t hash)
{
    uint32_t mask = t->index_n - 1;

    if (t->count == 0)
        return NULL;
    for (uint32_t at = (uint32_t)hash & mask; t->index[at] != NOWHERE; at = (at + 1) & mask) {
        struct entry *e = &t->entries[t->index[at]];
        if (e->hash == hash && e->key && slice_eq(slice_of(e->key, e->len), key))
            return e;
    }
    return NULL;
}

static void index_put(struct table *t, uint32_t place)
{
    uint32_t mask = t->index_n - 1, at = (uint32_t)t->entries[place].hash & mask;

    while (t->index[at] != NOWHERE)
        at = (at + 1) & mask;
    t->index[at] = place;
}

/* makes room for one more entry, leaving deleted ones behind; -1: no memory */
static int grow(struct table *t)
{
    uint32_t n = INDEX_FIRST, kept = 0;
    struct entry *fresh;
    uint32_t *index;

    while (n / 2 <= t->count) /* at most half full after a rebuild */
        n *= 2;
    BUG_ON(n > UINT32_MAX / 2);
    fresh = calloc(n / 4 * 3, sizeof(*fresh));
    index = malloc(n * sizeof(*index));
    if (!fresh || !index) {
        free(fresh);
        free(index);
        return -1;
    }
    for (uint32_t i = 0; i < t->used; i++)
        if (t->entries[i].key)
            fresh[kept++] = t->entries[i];
    free(t->entries);
    t->entries = fresh;
    t->used = kept;
    free(t->index);
    t->index = index;
    t->index_n = n;
    memset(t->index, 0xff, n * sizeof(*t->index));
    for (uint32_t i = 0; i < kept; i++)
        index_put(t, i);
    return 0;
}

void *table_get(const struct table *t, struct slice key)
{
    struct entry *e;

    if (t->count == 0)
        return NULL;
    e = find(t, key, hash_bytes(key.p, key.n));
    return e ? e->value : NULL;
}

void *table_get_str(const struct table *t, const char *key)
{
    return table_get(t, slice_str(key));
}

int table_try_put(struct table *t, struct slice key, void *value)
{
    uint64_t hash = hash_bytes(key.p, key.n);
    struct entry *e = find(t, key, hash);
    char *copy;

    BUG_ON(!value);
    if (e) {
        void *old = e->value;
        e->value = value;
        if (old != value)
            drop_value(t, old);
        return 0;
    }
    copy = malloc(key.n + 1);
    if (!copy || (t->used >= t->index_n / 4 * 3 && grow(t) < 0)) {
        free(copy);
        return -1;
    }
    e = &t->entries[t->used];
    e->hash = hash;
    e->key = copy;
    if (key.n)
        memcpy(e->key, key.p, key.n);
    e->key[key.n] = 0;
    e->len = key.n;
    e->value = value;
    index_put(t, t->used++);
    t->count++;
    return 0;
}

void table_put(struct table *t, struct slice key, void *value)
{
    if (table_try_put(t, key, value) < 0)
        mem_end(key.n);
}

void table_put_str(struct table *t, const char *key, void *value)
{
    table_put(t, slice_str(key), value);
}

int table_del(struct table *t, struct slice key)
{
    struct entry *e = t->count ? find(t, key, hash_bytes(key.p, key.n)) : NULL;
    struct entry old;

    if (!e)
        return 0;
    old = *e;
    e->key = NULL;
    e->value = NULL;
    t->count--;
    drop_value(t, old.value);
    free(old.key); /* last: the caller's slice may be this very key */
    return 1;
}

size_t table_count(const struct table *t)
{
    return t->count;
}

int table_next(const struct table *t, size_t *it, struct slice *key, void **value)
{
    while (*it < t->used) {
        const struct entry *e = &t->entries[(*it)++];
        if (!e->key)
            continue;
        if (key)
            *key = slice_of(e->key, e->len);
        if (value)
            *value = e->value;
        return 1;
    }
    return 0;
}
