/* parts.c - sets of fragments and the log of their changes. */
#include "common/policy/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/policy/document.h"

#define KEY_MAX 512 /* "65535/" and a cluster name of two DNS labels, or a CIDR */

/* one replaced fragment: what stood there before generation `gen` began */
struct change {
    uint64_t gen;
    struct parts *set; /* NULL: the set is gone */
    struct part *old;  /* NULL: there was none */
    char *name;
};

struct parts_book {
    uint64_t gen;
    uint64_t oldest; /* changes after this generation are all in the log */
    struct change *ring;
    unsigned max, first, n;
    size_t max_bytes, bytes;
};

struct parts {
    struct parts_book *book;
    enum part_place place;
    const void *owner;
    struct table *table; /* name -> struct part */
    uint64_t hash, identity;
    size_t bytes;
    bool quiet;
};

static void part_free(struct part *p)
{
    if (!p)
        return;
    free(p->text);
    free(p->name);
    free(p);
}

static void part_drop(void *p)
{
    part_free(p);
}

/* ---- the log ----------------------------------------------------------------------------------
 */

struct parts_book *parts_book_new(unsigned max_entries, size_t max_bytes)
{
    struct parts_book *b = xcalloc(1, sizeof(*b));

    b->max = max_entries;
    b->max_bytes = max_bytes;
    b->ring = xcalloc(max_entries, sizeof(*b->ring));
    b->gen = b->oldest = 1;
    return b;
}

static size_t change_bytes(const struct change *c)
{
    return c->old ? c->old->len : 0;
}

static void forget_first(struct parts_book *b)
{
    struct change *c = &b->ring[b->first];

    b->bytes -= change_bytes(c);
    b->oldest = c->gen;
    part_free(c->old);
    free(c->name);
    memset(c, 0, sizeof(*c));
    b->first = (b->first + 1) % b->max;
    b->n--;
}

void parts_book_free(struct parts_book *b)
{
    if (!b)
        return;
    while (b->n > 0)
        forget_first(b);
    free(b->ring);
    free(b);
}

uint64_t parts_generation(const struct parts_book *b)
{
    return b->gen;
}

uint64_t parts_next_generation(struct parts_book *b)
{
    return ++b->gen;
}

/* takes old */
static void remember(struct parts *set, const char *name, struct part *old)
{
    struct parts_book *b = set->book;

    if (set->quiet) {
        part_free(old);
        return;
    }
    struct change c = {b->gen, set, old, xstrdup(name)};
    if (b->n == b->max)
        forget_first(b);
    b->ring[(b->first + b->n++) % b->max] = c;
    b->bytes += change_bytes(&c);
    while (b->bytes > b->max_bytes)
        forget_first(b);
}

/* ---- sets --------------------------------------------------------------------------------------
 */

struct parts *parts_new(struct parts_book *b, enum part_place place, const void *owner)
{
    struct parts *p = xcalloc(1, sizeof(*p));

    p->book = b;
    p->place = place;
    p->owner = owner;
    p->table = table_new(NULL);
    return p;
}

void parts_free(struct parts *p)
{
    void *part;

    if (!p)
        return;
    for (unsigned i = 0; i < p->book->n; i++) {
        struct change *c = &p->book->ring[(p->book->first + i) % p->book->max];
        if (c->set == p)
            c->set = NULL;
    }
    table_foreach (p->table, it, NULL, &part)
        part_drop(part);
    table_free(p->table);
    free(p);
}

void parts_set_quiet(struct parts *p, bool quiet)
{
    p->quiet = quiet;
}

enum part_place parts_place(const struct parts *p)
{
    return p->place;
}

const void *parts_owner(const struct parts *p)
{
    return p->owner;
}

static void name_of(enum part_place place, uint16_t port, const char *key, char out[KEY_MAX])
{
    int n = place == PART_MATCH ? snprintf(out, KEY_MAX, "%u/%s", port, key)
                                : snprintf(out, KEY_MAX, "%s", key);

    BUG_ON(n < 0 || n >= KEY_MAX);
}

/* the keys that lead to the fragment */
static void path_of(enum part_place place, const char *key, const char *port, const char *path[5])
{
    unsigned n = 0;

    if (place == PART_ALLOWED) {
        path[n++] = "AllowedEndpoints";
    } else {
        path[n++] = "Outbound";
        path[n++] = place == PART_MATCH ? "TrafficMatches" : "ClustersConfigs";
    }
    if (place == PART_MATCH)
        path[n++] = port;
    path[n++] = key;
    path[n] = NULL;
}

static uint64_t identity_weight(const char *const *path)
{
    static const char name[] = "ServiceIdentity";
    uint64_t place = DOCUMENT_ROOT;

    for (; *path; path++)
        place = document_path(place, *path, strlen(*path));
    return document_path(place, name, strlen(name));
}

static struct part *part_new(enum part_place place, uint16_t port, const char *name,
                             const json_t *value, bool takes_identity)
{
    struct part *p = xcalloc(1, sizeof(*p));
    struct buf text = BUF_INIT;
    const char *path[6];
    char digits[8];

    p->name = xstrdup(name);
    p->key = place == PART_MATCH ? strchr(p->name, '/') + 1 : p->name;
    p->port = port;
    snprintf(digits, sizeof(digits), "%u", port);
    path_of(place, p->key, digits, path);
    p->hash = document_fragment_hash(path, value);
    p->identity = takes_identity ? identity_weight(path) : 0;
    json_print(value, &text);
    p->len = (uint32_t)text.len;
    p->text = buf_take(&text);
    return p;
}

/* sign: 1 as it comes, -1 as it goes */
static void count(struct parts *set, const struct part *p, int sign)
{
    if (sign > 0) {
        set->hash += p->hash;
        set->identity += p->identity;
        set->bytes += p->len;
    } else {
        set->hash -= p->hash;
        set->identity -= p->identity;
        set->bytes -= p->len;
    }
}

bool parts_set(struct parts *set, uint16_t port, const char *key, const json_t *value,
               bool takes_identity)
{
    char name[KEY_MAX];

    name_of(set->place, port, key, name);
    struct part *old = table_get_str(set->table, name);
    struct part *now = part_new(set->place, port, name, value, takes_identity);
    if (old && old->hash == now->hash && old->identity == now->identity) {
        part_free(now);
        return false;
    }
    if (old)
        count(set, old, -1);
    count(set, now, 1);
    table_put_str(set->table, name, now);
    remember(set, name, old);
    return true;
}

bool parts_del(struct parts *set, uint16_t port, const char *key)
{
    char name[KEY_MAX];

    name_of(set->place, port, key, name);
    struct part *old = table_get_str(set->table, name);
    if (!old)
        return false;
    count(set, old, -1);
    table_del(set->table, slice_str(name));
    remember(set, name, old);
    return true;
}

uint64_t parts_hash(const struct parts *p)
{
    return p->hash;
}

uint64_t parts_identity(const struct parts *p)
{
    return p->identity;
}

size_t parts_count(const struct parts *p)
{
    return table_count(p->table);
}

size_t parts_bytes(const struct parts *p)
{
    return p->bytes;
}

const struct part *parts_next(const struct parts *p, size_t *it)
{
    void *part;

    return table_next(p->table, it, NULL, &part) ? part : NULL;
}

static const struct change *change_at(const struct parts_book *b, unsigned i)
{
    return &b->ring[(b->first + i) % b->max];
}

/* where the changes after that generation begin: the log is in order, and they are few */
static unsigned first_after(const struct parts_book *b, uint64_t since)
{
    unsigned i = b->n;

    while (i > 0 && change_at(b, i - 1)->gen > since)
        i--;
    return i;
}

int parts_changes(const struct parts_book *b, uint64_t since, parts_change_fn *fn, void *arg)
{
    struct table *seen;
    int calls = 0;

    if (since < b->oldest)
        return -1;
    seen = table_new(NULL);
    for (unsigned i = first_after(b, since); i < b->n; i++) {
        const struct change *c = change_at(b, i);
        char id[sizeof(c->set) + KEY_MAX];
        size_t len = strlen(c->name);
        if (!c->set)
            continue;
        memcpy(id, &c->set, sizeof(c->set));
        memcpy(id + sizeof(c->set), c->name, len);
        struct slice key = slice_of(id, sizeof(c->set) + len);
        if (table_get(seen, key))
            continue;
        table_put(seen, key, c->set);
        fn(c->set, c->old, table_get_str(c->set->table, c->name), arg);
        calls++;
    }
    table_free(seen);
    return calls;
}
