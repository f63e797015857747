/* document_store.c - see document_store.h.
 *
 * Names of fragments: a cluster's and an address's are their keys.  An item's is "80/0KEY", or
 * "80/1KEY" if it has no ranges, with KEY = document_item_key(): in this order items are shown.
 * Items of one port with the same key are told apart by "\1" and a number behind it; a patch means
 * the first.
 */
#include "common/policy/document_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/arena.h"
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/base/json_tree.h"
#include "common/base/json_walk.h"
#include "common/base/mem.h"
#include "common/base/pages.h"
#include "common/policy/document.h"

#define VALUE_MAX (256u * 1024 * 1024) /* of one member's text */

struct document {
    unsigned refs;
    json_t *rest;
    struct pages *pages[DOCUMENT_PLACES];
    uint64_t hash;
};

/* ---- names ------------------------------------------------------------------------------------
 */

/* where a fragment stands, as document.h names it */
struct place {
    const char *names[5];
    char port[16], *key; /* key: owned */
};

struct slice document_item_port(struct slice name)
{
    return slice_cut(&name, '/');
}

bool document_item_is_rangeless(struct slice name)
{
    slice_cut(&name, '/');
    return name.n > 0 && name.p[0] == '1';
}

struct slice document_item_label(struct slice name)
{
    const char *mark;

    slice_cut(&name, '/');
    if (name.n > 0)
        name = slice_of(name.p + 1, name.n - 1);
    mark = name.n ? memchr(name.p, 1, name.n) : NULL;
    return mark ? slice_of(name.p, (size_t)(mark - name.p)) : name;
}

static void place_init(struct place *pl, enum document_place place, struct slice name)
{
    struct slice key = place == DOCUMENT_ITEM ? document_item_label(name) : name;
    unsigned n = 0;

    pl->key = xstrndup(key.p, key.n);
    if (place == DOCUMENT_ALLOWED) {
        pl->names[n++] = "AllowedEndpoints";
    } else {
        pl->names[n++] = "Outbound";
        pl->names[n++] = place == DOCUMENT_ITEM ? "TrafficMatches" : "ClustersConfigs";
    }
    if (place == DOCUMENT_ITEM) {
        snprintf(pl->port, sizeof(pl->port), "%.*s", SLICE_FMT(document_item_port(name)));
        pl->names[n++] = pl->port;
    }
    pl->names[n++] = pl->key;
    pl->names[n] = NULL;
}

static void place_clear(struct place *pl)
{
    free(pl->key);
}

/* the name of an item under a key of TrafficMatches; returns owned */
static char *item_name(const char *port, bool has_ranges, const char *key)
{
    return xasprintf("%s/%c%s", port, has_ranges ? '0' : '1', key);
}

static bool has_ranges(const json_t *item)
{
    return json_is_array(json_object_get(item, "DestinationIPRanges"));
}

/* keys that are empty or longer than any port are no ports: they stay with the rest, for the reader
 * to refuse */
static bool is_port(const char *key)
{
    return key[0] && strlen(key) < sizeof(((struct place *)0)->port) && !strchr(key, '/');
}

/* ---- life -------------------------------------------------------------------------------------
 */

static struct document *document_new(void)
{
    struct document *d = xcalloc(1, sizeof(*d));

    d->refs = 1;
    return d;
}

struct document *document_ref(struct document *d)
{
    d->refs++;
    return d;
}

void document_unref(struct document *d)
{
    if (!d || --d->refs > 0)
        return;
    for (unsigned i = 0; i < DOCUMENT_PLACES; i++)
        pages_free(d->pages[i]);
    json_decref(d->rest);
    free(d);
}

const json_t *document_rest(const struct document *d)
{
    return d->rest;
}

uint64_t document_hash_now(const struct document *d)
{
    return d->hash;
}

size_t document_count(const struct document *d, enum document_place place)
{
    return pages_count(d->pages[place]);
}

size_t document_bytes(const struct document *d)
{
    size_t sum = 0;

    for (unsigned i = 0; i < DOCUMENT_PLACES; i++)
        sum += pages_bytes(d->pages[i]);
    return sum;
}

bool document_fragment_text(const struct document *d, enum document_place place, struct slice name,
                            struct buf *out)
{
    return pages_get(d->pages[place], name, out);
}

json_t *document_fragment_value(struct slice text)
{
    json_t *j = json_loadb(text.p, text.n, JSON_DECODE_ANY, NULL);

    BUG_ON(!j); /* it was parsed before it was kept */
    return j;
}

/* ---- a whole document -------------------------------------------------------------------------
 */

struct piece {
    struct slice name, text; /* in the arena, or the text in the document's */
};

struct loading {
    struct document *d;
    struct arena *mem;
    struct arena *tree; /* of the fragment being read */
    struct {
        struct piece *v;
        size_t n, cap;
    } found[DOCUMENT_PLACES];
    struct err *e;
};

static void add_piece(struct loading *l, enum document_place place, struct slice name,
                      struct slice text)
{
    size_t n = l->found[place].n;

    if (n == l->found[place].cap) {
        l->found[place].cap = n ? 2 * n : 64;
        l->found[place].v =
            xreallocarray(l->found[place].v, l->found[place].cap, sizeof(struct piece));
    }
    l->found[place].v[l->found[place].n++] = (struct piece){arena_slice(l->mem, name), text};
}

/* the presented form: returns the wire form's text, and adds its hash */
static struct slice strip_text(struct loading *l, const char *const *names, struct slice text)
{
    json_t *value = document_fragment_value(text), *wire = document_fragment_strip(names, value);
    struct buf printed = BUF_INIT;

    json_print(wire, &printed);
    text = arena_slice(l->mem, buf_slice(&printed));
    l->d->hash += document_fragment_hash(names, wire);
    buf_free(&printed);
    json_decref(wire);
    json_decref(value);
    return text;
}

/* value: what text says.  Nulls are left out; the hash grows by it. */
static void add_fragment(struct loading *l, enum document_place place, struct slice name,
                         struct slice text, const struct json_tree *value)
{
    struct place pl;

    place_init(&pl, place, name);
    if (json_tree_has_null(value))
        text = strip_text(l, pl.names, text);
    else
        l->d->hash += document_fragment_hash_tree(pl.names, value);
    add_piece(l, place, name, text);
    place_clear(&pl);
}

/* until the next fragment is read */
static const struct json_tree *read_fragment(struct loading *l, const char *where,
                                             struct slice text)
{
    arena_reset(l->tree);
    const struct json_tree *t = json_tree_parse(l->tree, text, l->e);

    if (!t)
        err_prefix(l->e, "%s", where);
    return t;
}

/* ... the members of an object, each with what it is in; -1 ends it */
typedef int member_fn(struct loading *l, const char *key, struct slice value, const void *arg);

static int each_member(struct loading *l, const char *where, struct slice text, member_fn *fn,
                       const void *arg)
{
    struct json_walk w;
    struct buf key = BUF_INIT;
    int r = json_walk_begin(&w, text);

    while (r == 0 && (r = json_walk_next(&w)) > 0) {
        r = json_walk_key(&w, &key);
        if (r == 0)
            r = fn(l, key.p ? key.p : "", w.value, arg);
    }
    buf_free(&key);
    if (r < 0 && !l->e->text[0])
        err_set(l->e, "%s", where ? where : "expected one JSON object");
    return r;
}

static int load_items(struct loading *l, const char *port, struct slice list)
{
    static const char where[] = "Outbound.TrafficMatches";
    struct json_walk w;
    int r = json_walk_begin(&w, list);

    while (r == 0 && (r = json_walk_next(&w)) > 0) {
        const struct json_tree *item = read_fragment(l, where, w.value);
        if (!item)
            return -1;
        bool ranges = json_tree_is(json_tree_get(item, "DestinationIPRanges"), JSON_ARRAY);
        char *name = item_name(port, ranges, document_item_key_tree(item));
        add_fragment(l, DOCUMENT_ITEM, slice_str(name), w.value, item);
        free(name);
        r = 0;
    }
    return r < 0 ? err_set(l->e, "%s: a list that is no JSON", where) : 0;
}

/* takes j */
static int put_rest(struct loading *l, json_t *at, const char *key, json_t *j)
{
    if (!j)
        return -1;
    if (json_object_get(at, key)) {
        json_decref(j);
        return err_set(l->e, "duplicate key \"%s\"", key);
    }
    json_object_set_new(at, key, j);
    return 0;
}

static json_t *below(json_t *at, const char *key)
{
    json_t *j = json_object_get(at, key);

    if (!j) {
        j = json_object();
        json_object_set_new(at, key, j);
    }
    return j;
}

static bool is_a(struct slice text, char open)
{
    return text.n > 0 && *text.p == open;
}

/* members of the root that describe the document, and are no part of what it says */
static bool is_label(const char *key)
{
    return strcmp(key, "Ts") == 0 || strcmp(key, "Version") == 0;
}

/* what is neither of the large maps */
static int load_plain(struct loading *l, json_t *at, const char *const *names, const char *key,
                      struct slice text)
{
    json_t *j = json_parse(text, VALUE_MAX, l->e), *wire = NULL;

    if (!j)
        return err_prefix(l->e, "%s", key);
    if (!json_is_null(j))
        wire = document_fragment_strip(names, j);
    int rc = wire ? put_rest(l, at, key, wire) : 0;
    if (rc == 0 && wire && !(at == l->d->rest && is_label(key)))
        l->d->hash += document_fragment_hash(names, wire);
    json_decref(j);
    return rc;
}

/* seen: the ports so far */
static int load_port(struct loading *l, const char *port, struct slice text, const void *seen)
{
    if (put_rest(l, (json_t *)seen, port, json_true()) < 0)
        return -1;
    if (is_a(text, '[') && is_port(port))
        return load_items(l, port, text);
    return load_plain(l, below(below(l->d->rest, "Outbound"), "TrafficMatches"),
                      (const char *const[]){"Outbound", "TrafficMatches", port, NULL}, port, text);
}

static int load_ports(struct loading *l, struct slice text)
{
    json_t *seen = json_object();
    int rc = each_member(l, "Outbound.TrafficMatches: this is no JSON", text, load_port, seen);

    json_decref(seen);
    return rc;
}

struct map {
    enum document_place place;
    const char *where;
};

static int load_entry(struct loading *l, const char *key, struct slice text, const void *arg)
{
    const struct map *map = arg;
    const struct json_tree *value = read_fragment(l, map->where, text);

    if (!value)
        return -1;
    if (value->type != JSON_NULL)
        add_fragment(l, map->place, slice_str(key), text, value);
    return 0;
}

static int load_in_outbound(struct loading *l, const char *key, struct slice text, const void *arg)
{
    static const struct map clusters = {DOCUMENT_CLUSTER, "Outbound.ClustersConfigs"};

    (void)arg;
    if (strcmp(key, "TrafficMatches") == 0 && is_a(text, '{'))
        return load_ports(l, text);
    if (strcmp(key, "ClustersConfigs") == 0 && is_a(text, '{'))
        return each_member(l, "Outbound.ClustersConfigs: this is no JSON", text, load_entry,
                           &clusters);
    return load_plain(l, below(l->d->rest, "Outbound"),
                      (const char *const[]){"Outbound", key, NULL}, key, text);
}

static int load_in_root(struct loading *l, const char *key, struct slice text, const void *arg)
{
    static const struct map allowed = {DOCUMENT_ALLOWED, "AllowedEndpoints"};

    (void)arg;
    if (strcmp(key, "Outbound") == 0 && is_a(text, '{'))
        return each_member(l, "Outbound: this is no JSON", text, load_in_outbound, NULL);
    if (strcmp(key, "AllowedEndpoints") == 0 && is_a(text, '{'))
        return each_member(l, "AllowedEndpoints: this is no JSON", text, load_entry, &allowed);
    return load_plain(l, l->d->rest, (const char *const[]){key, NULL}, key, text);
}

static int by_name(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int c = n ? memcmp(x->name.p, y->name.p, n) : 0;

    return c ? c : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

/* Items may have one key; other things may not. */
static int settle_name(struct loading *l, enum document_place place, struct piece *v, size_t i,
                       unsigned *twins)
{
    struct slice first = v[i - 1 - *twins].name;

    if (!slice_eq(v[i].name, first)) {
        *twins = 0;
        return 0;
    }
    if (place != DOCUMENT_ITEM)
        return err_set(l->e, "duplicate key \"%.*s\"", SLICE_FMT(first));
    ++*twins;
    v[i].name = slice_str(arena_printf(l->mem, "%.*s\1%08u", SLICE_FMT(first), *twins));
    return 0;
}

static int fill_pages(struct loading *l, enum document_place place)
{
    struct piece *v = l->found[place].v;
    struct pages *p = l->d->pages[place] = pages_new();
    unsigned twins = 0;

    if (l->found[place].n > 0)
        qsort(v, l->found[place].n, sizeof(*v), by_name);
    for (size_t i = 0; i < l->found[place].n; i++) {
        if (i > 0 && settle_name(l, place, v, i, &twins) < 0)
            return -1;
        pages_append(p, v[i].name, v[i].text);
    }
    pages_seal(p);
    return 0;
}

struct document *document_load(struct slice text, struct err *e)
{
    struct loading l = {
        .d = document_new(), .mem = arena_new(65536), .tree = arena_new(65536), .e = e};

    e->text[0] = '\0';
    l.d->rest = json_object();
    int rc = each_member(&l, NULL, text, load_in_root, NULL);
    for (unsigned i = 0; i < DOCUMENT_PLACES; i++) {
        if (rc == 0)
            rc = fill_pages(&l, i);
        free(l.found[i].v);
    }
    arena_free(l.tree);
    arena_free(l.mem);
    if (rc == 0)
        return l.d;
    document_unref(l.d);
    return NULL;
}

struct document *document_of(const json_t *doc, struct err *e)
{
    struct buf text = BUF_INIT;

    json_print(doc, &text);
    struct document *d = document_load(buf_slice(&text), e);
    buf_free(&text);
    return d;
}

/* ---- a patch ----------------------------------------------------------------------------------
 */

struct updating {
    struct document *d; /* being made; its values are copied before they are changed */
    struct err *e;
};

static int update_fragment(struct updating *u, enum document_place place, struct slice name,
                           const json_t *change, json_t **made)
{
    struct buf text = BUF_INIT;
    struct place pl;
    json_t *old = NULL, *now;

    place_init(&pl, place, name);
    if (pages_get(u->d->pages[place], name, &text))
        old = document_fragment_value(buf_slice(&text));
    int rc = document_fragment_patch(pl.names, old, change, &now, &u->d->hash, u->e);
    if (rc == 0 && now) {
        buf_clear(&text);
        json_print(now, &text);
        pages_put(u->d->pages[place], name, buf_slice(&text));
    } else if (rc == 0 && old) {
        pages_put(u->d->pages[place], name, slice_of(NULL, 0));
    }
    json_decref(old);
    if (made)
        *made = now;
    else
        json_decref(now);
    buf_free(&text);
    place_clear(&pl);
    return rc;
}

static bool has(const struct updating *u, const char *name)
{
    struct buf text = BUF_INIT;
    bool there = pages_get(u->d->pages[DOCUMENT_ITEM], slice_str(name), &text);

    buf_free(&text);
    return there;
}

/* An item's name says whether it has ranges, and the patch of one that is there need not. */
static int update_item(struct updating *u, const char *port, const char *key, const json_t *change)
{
    char *ranged = xasprintf("%s/0%s", port, key), *other = xasprintf("%s/1%s", port, key);
    bool is_new = !has(u, ranged) && !has(u, other);
    char *name = is_new ? item_name(port, has_ranges(change), key)
                        : xstrdup(has(u, ranged) ? ranged : other);
    json_t *now = NULL;
    int rc = update_fragment(u, DOCUMENT_ITEM, slice_str(name), change, &now);

    if (rc == 0 && now) {
        char *should = item_name(port, has_ranges(now), document_item_key(now));
        if (strcmp(should, name) != 0)
            rc = err_set(
                u->e, "the patch turns item \"%s\" of Outbound.TrafficMatches into another", key);
        free(should);
    }
    json_decref(now);
    free(name);
    free(ranged);
    free(other);
    return rc;
}

struct drop {
    struct pages *names; /* with empty texts */
    struct slice port;   /* of these items only, unless p == NULL */
};

static int note_name(const struct pages_entry *old, const struct pages_entry *now, void *arg)
{
    struct drop *drop = arg;

    (void)old;
    if (!drop->port.p || slice_eq(document_item_port(now->name), drop->port))
        pages_append(drop->names, now->name, slice_str(""));
    return 0;
}

struct drop_each {
    struct updating *u;
    enum document_place place;
};

static int drop_one(const struct pages_entry *old, const struct pages_entry *now, void *arg)
{
    struct drop_each *each = arg;
    json_t *null = json_null();

    (void)old;
    return update_fragment(each->u, each->place, now->name, null, NULL);
}

/* all of a place, or the items of one port */
static int drop_all(struct updating *u, enum document_place place, const char *port)
{
    struct drop drop = {pages_new(), slice_str(port)};
    struct drop_each each = {u, place};

    pages_diff(NULL, u->d->pages[place], note_name, &drop);
    pages_seal(drop.names);
    int rc = pages_diff(NULL, drop.names, drop_one, &each);
    pages_free(drop.names);
    return rc;
}

static int unexpected(struct updating *u, const char *where)
{
    return err_set(u->e, "the patch has no object at %s; ask for the whole document", where);
}

static int update_port(struct updating *u, const char *port, const json_t *change)
{
    static const char where[] = "Outbound.TrafficMatches";
    const char *key;
    json_t *one;
    size_t i;

    if (!is_port(port))
        return unexpected(u, where);
    if (!json_is_object(change) && drop_all(u, DOCUMENT_ITEM, port) < 0)
        return -1;
    if (json_is_null(change))
        return 0;
    json_array_foreach (change, i, one) {
        if (update_item(u, port, document_item_key(one), one) < 0)
            return -1;
    }
    json_object_foreach ((json_t *)change, key, one) {
        if (update_item(u, port, key, one) < 0)
            return -1;
    }
    return json_is_object(change) || json_is_array(change) ? 0 : unexpected(u, where);
}

static int update_map(struct updating *u, enum document_place place, const char *where,
                      const json_t *change)
{
    const char *key;
    json_t *one;

    if (json_is_null(change))
        return drop_all(u, place, NULL);
    if (!json_is_object(change))
        return unexpected(u, where);
    json_object_foreach ((json_t *)change, key, one) {
        int rc = place == DOCUMENT_ITEM ? update_port(u, key, one)
                                        : update_fragment(u, place, slice_str(key), one, NULL);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* a member of the root, or of Outbound, that is no fragment */
static int update_plain(struct updating *u, json_t *at, const char *const *names, const char *key,
                        const json_t *change)
{
    json_t *now;

    if (document_fragment_patch(names, json_object_get(at, key), change, &now, &u->d->hash, u->e) <
        0)
        return -1;
    if (now)
        json_object_set_new(at, key, now);
    else
        json_object_del(at, key);
    return 0;
}

static int update_outbound_rest(struct updating *u, const char *key, const json_t *change)
{
    const json_t *was = json_object_get(u->d->rest, "Outbound");
    json_t *out = was ? json_copy((json_t *)was) : json_object();
    int rc = update_plain(u, out, (const char *const[]){"Outbound", key, NULL}, key, change);

    if (rc == 0 && json_object_size(out) > 0)
        json_object_set(u->d->rest, "Outbound", out);
    else if (rc == 0)
        json_object_del(u->d->rest, "Outbound");
    json_decref(out);
    return rc;
}

static int update_outbound(struct updating *u, const json_t *change)
{
    const char *key;
    json_t *one;

    if (json_is_null(change)) {
        json_t *none = json_null(), *all = json_object();
        const json_t *rest = json_object_get(u->d->rest, "Outbound");
        json_object_foreach ((json_t *)rest, key, one)
            json_object_set(all, key, none);
        json_object_set(all, "TrafficMatches", none);
        json_object_set(all, "ClustersConfigs", none);
        int rc = update_outbound(u, all);
        json_decref(all);
        return rc;
    }
    if (!json_is_object(change))
        return unexpected(u, "Outbound");
    json_object_foreach ((json_t *)change, key, one) {
        int rc;
        if (strcmp(key, "TrafficMatches") == 0)
            rc = update_map(u, DOCUMENT_ITEM, "Outbound.TrafficMatches", one);
        else if (strcmp(key, "ClustersConfigs") == 0)
            rc = update_map(u, DOCUMENT_CLUSTER, "Outbound.ClustersConfigs", one);
        else
            rc = update_outbound_rest(u, key, one);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int update_root(struct updating *u, const json_t *patch)
{
    const char *key;
    json_t *one;
    int rc = 0;

    json_object_foreach ((json_t *)patch, key, one) {
        if (is_label(key))
            json_object_set(u->d->rest, key, one);
        else if (strcmp(key, "Outbound") == 0)
            rc = update_outbound(u, one);
        else if (strcmp(key, "AllowedEndpoints") == 0)
            rc = update_map(u, DOCUMENT_ALLOWED, key, one);
        else
            rc = update_plain(u, u->d->rest, (const char *const[]){key, NULL}, key, one);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* something else stands where maps of fragments belong: no reader takes such a document */
static bool is_odd(const struct document *d)
{
    const json_t *out = json_object_get(d->rest, "Outbound");

    return (out && !json_is_object(out)) || json_object_get(out, "TrafficMatches") ||
           json_object_get(out, "ClustersConfigs") || json_object_get(d->rest, "AllowedEndpoints");
}

struct document *document_update(const struct document *d, const json_t *patch, struct err *e)
{
    const char *version = json_str(patch, "Version", NULL);
    struct updating u = {document_new(), e};
    char now[DOCUMENT_VERSION_MAX];
    int rc = -1;

    u.d->hash = d->hash;
    u.d->rest = json_copy(d->rest);
    for (unsigned i = 0; i < DOCUMENT_PLACES; i++)
        u.d->pages[i] = pages_copy(d->pages[i]);
    if (!version)
        err_set(e, "not a patch of a document: got no \"Version\" (string)");
    else if (is_odd(d))
        err_set(e, "the document cannot be patched; ask for the whole one");
    else if (update_root(&u, patch) == 0)
        rc = strcmp(document_version_text(u.d->hash, now), version) == 0
                 ? 0
                 : err_set(e,
                           "the patch leads to version %s, expected %s; ask for the whole document",
                           now, version);
    if (rc == 0)
        return u.d;
    document_unref(u.d);
    return NULL;
}

/* ---- what differs -----------------------------------------------------------------------------
 */

struct diff {
    document_diff_fn *fn;
    void *arg;
};

static int on_diff(const struct pages_entry *old, const struct pages_entry *now, void *arg)
{
    const struct diff *d = arg;
    struct document_fragment a = {old->name, old->text}, b = {now->name, now->text};

    return d->fn(&a, &b, d->arg);
}

int document_diff(const struct document *old, const struct document *now, enum document_place place,
                  document_diff_fn *fn, void *arg)
{
    struct diff d = {fn, arg};

    return pages_diff(old ? old->pages[place] : NULL, now->pages[place], on_diff, &d);
}

/* ---- printed ----------------------------------------------------------------------------------
 */

struct printing {
    struct buf *out;
    enum document_place place;
    char port[16]; /* whose list is open */
    bool any;      /* something stands in what is open */
};

static void print_key(struct printing *p, struct slice key)
{
    json_t *k = json_stringn(key.p, key.n);

    buf_puts(p->out, p->any ? "," : "");
    p->any = true;
    json_print(k, p->out);
    buf_putc(p->out, ':');
    json_decref(k);
}

static int print_one(const struct pages_entry *old, const struct pages_entry *now, void *arg)
{
    struct printing *p = arg;
    struct slice port = document_item_port(now->name);

    (void)old;
    if (p->place != DOCUMENT_ITEM) {
        print_key(p, now->name);
    } else if (slice_eq_str(port, p->port)) {
        buf_putc(p->out, ',');
    } else {
        buf_puts(p->out, p->port[0] ? "]" : "");
        print_key(p, port);
        buf_putc(p->out, '[');
        snprintf(p->port, sizeof(p->port), "%.*s", SLICE_FMT(port));
    }
    buf_put_slice(p->out, now->text);
    return 0;
}

static void print_map(const struct document *d, enum document_place place, const char *key,
                      struct printing *in)
{
    struct printing p = {.out = in->out, .place = place};

    if (document_count(d, place) == 0)
        return;
    print_key(in, slice_str(key));
    buf_putc(p.out, '{');
    pages_diff(NULL, d->pages[place], print_one, &p);
    buf_puts(p.out, p.port[0] ? "]}" : "}");
}

static void print_members(const json_t *j, const char *but, struct printing *p)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)j, key, v) {
        if (but && strcmp(key, but) == 0)
            continue;
        print_key(p, slice_str(key));
        json_print(v, p->out);
    }
}

void document_print(const struct document *d, struct buf *out)
{
    struct printing top = {.out = out}, inner = {.out = out};
    const json_t *rest = json_object_get(d->rest, "Outbound");

    buf_putc(out, '{');
    print_members(d->rest, "Outbound", &top);
    if (rest || document_count(d, DOCUMENT_ITEM) || document_count(d, DOCUMENT_CLUSTER)) {
        print_key(&top, SLICE_LIT("Outbound"));
        buf_putc(out, '{');
        print_members(rest, NULL, &inner);
        print_map(d, DOCUMENT_ITEM, "TrafficMatches", &inner);
        print_map(d, DOCUMENT_CLUSTER, "ClustersConfigs", &inner);
        buf_putc(out, '}');
    }
    print_map(d, DOCUMENT_ALLOWED, "AllowedEndpoints", &top);
    buf_putc(out, '}');
}

/* ---- shown ------------------------------------------------------------------------------------
 */

struct showing {
    const struct document *d;
    struct buf *out;
    unsigned depth;
    char open[16]; /* the port whose list is open */
    bool any;      /* something was written on this level */
};

static void new_line(struct showing *s)
{
    buf_printf(s->out, "\n%*s", (int)(2 * s->depth), "");
}

/* a value as jansson indents it, this deep */
static void show_value(struct showing *s, const json_t *j)
{
    struct buf text = BUF_INIT;

    json_print_pretty(j, 2, false, &text);
    struct slice rest = buf_slice(&text);
    for (bool first = true; rest.p; first = false) {
        struct slice line = slice_cut(&rest, '\n');
        if (!first)
            new_line(s);
        buf_put_slice(s->out, line);
    }
    buf_free(&text);
}

/* begins the next member or element of what is open */
static void show_next(struct showing *s, const char *key)
{
    if (s->any)
        buf_putc(s->out, ',');
    new_line(s);
    s->any = true;
    if (key) {
        json_t *k = json_string(key);
        json_print(k, s->out);
        buf_puts(s->out, ": ");
        json_decref(k);
    }
}

static void show_open(struct showing *s, char c)
{
    buf_putc(s->out, c);
    s->depth++;
    s->any = false;
}

static void show_close(struct showing *s, char c)
{
    s->depth--;
    if (s->any)
        new_line(s);
    buf_putc(s->out, c);
    s->any = true;
}

static void show_fragment(struct showing *s, enum document_place place,
                          const struct document_fragment *f)
{
    json_t *j = document_fragment_value(f->text), *shown;
    struct place pl;

    place_init(&pl, place, f->name);
    shown = document_fragment_present(pl.names, j);
    show_next(s, place == DOCUMENT_ITEM ? NULL : pl.key);
    show_value(s, shown);
    json_decref(shown);
    json_decref(j);
    place_clear(&pl);
}

static int show_item(const struct document_fragment *old, const struct document_fragment *now,
                     void *arg)
{
    struct showing *s = arg;
    struct slice port = document_item_port(now->name);

    (void)old;
    if (!slice_eq_str(port, s->open)) {
        if (s->open[0])
            show_close(s, ']');
        snprintf(s->open, sizeof(s->open), "%.*s", SLICE_FMT(port));
        show_next(s, s->open);
        show_open(s, '[');
    }
    show_fragment(s, DOCUMENT_ITEM, now);
    return 0;
}

static int show_cluster(const struct document_fragment *old, const struct document_fragment *now,
                        void *arg)
{
    (void)old;
    show_fragment(arg, DOCUMENT_CLUSTER, now);
    return 0;
}

static int show_allowed(const struct document_fragment *old, const struct document_fragment *now,
                        void *arg)
{
    (void)old;
    show_fragment(arg, DOCUMENT_ALLOWED, now);
    return 0;
}

/* a map of fragments; without any, what the rest shows there */
static void show_map(struct showing *s, enum document_place place, document_diff_fn *fn,
                     const json_t *otherwise)
{
    if (document_count(s->d, place) == 0) {
        show_value(s, otherwise);
        return;
    }
    show_open(s, '{');
    document_diff(NULL, s->d, place, fn, s);
    if (s->open[0])
        show_close(s, ']');
    s->open[0] = '\0';
    show_close(s, '}');
}

static void show_outbound(struct showing *s)
{
    const json_t *rest = json_object_get(s->d->rest, "Outbound");
    json_t *none = json_object();
    json_t *shown =
        document_fragment_present((const char *const[]){"Outbound", NULL}, rest ? rest : none);
    const char *key;
    json_t *j;

    show_open(s, '{');
    json_object_foreach (shown, key, j) {
        show_next(s, key);
        if (strcmp(key, "TrafficMatches") == 0)
            show_map(s, DOCUMENT_ITEM, show_item, j);
        else if (strcmp(key, "ClustersConfigs") == 0)
            show_map(s, DOCUMENT_CLUSTER, show_cluster, j);
        else
            show_value(s, j);
    }
    show_close(s, '}');
    json_decref(shown);
    json_decref(none);
}

void document_show(const struct document *d, json_t *status, struct buf *out)
{
    struct showing s = {.d = d, .out = out};
    json_t *shown = document_present(d->rest), *j;
    bool outbound = document_count(d, DOCUMENT_ITEM) > 0 || document_count(d, DOCUMENT_CLUSTER) > 0;
    const char *key;

    if (status)
        json_object_set(shown, "Status", status);
    show_open(&s, '{');
    json_object_foreach (shown, key, j) {
        show_next(&s, key);
        if (strcmp(key, "Outbound") == 0 && outbound)
            show_outbound(&s);
        else if (strcmp(key, "AllowedEndpoints") == 0)
            show_map(&s, DOCUMENT_ALLOWED, show_allowed, j);
        else
            show_value(&s, j);
    }
    show_close(&s, '}');
    buf_putc(out, '\n');
    json_decref(shown);
}
