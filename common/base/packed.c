/* packed.c - see packed.h.
 *
 * A value is a head, and what it says:
 *
 *   head      1 byte: form, and a count below 15; or 15, and the rest of the count behind it in
 *             groups of 7 bits, the lowest first
 *   SIGN      the count is 0 null, 1 false, 2 true, 3 a real: 8 bytes follow
 *   PLUS      an integer: the count;  MINUS  -1 - count
 *   TEXT      so many bytes of a string
 *   LIST      so many values
 *   OBJECT    so many members: the number of the key's word as a count with a head, the value
 *   WORD      the number of a word whose bytes are the string
 *   SHARED    the number of a word whose bytes are a value, a list or an object
 *
 * What is seen for the first time is written where it stands; only what comes again becomes a word,
 * because a word that is used once costs more than it saves.  `seen` remembers a little of what
 * came once.  So equal values need not have equal bytes.
 */
#include "common/base/packed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/base/table.h"

#define COUNT_HERE  15
#define WORD_MIN    3     /* bytes of a string, below which a number is no shorter */
#define SHARED_MIN  8     /* the same of a list or an object as bytes */
#define SEEN_N      65536 /* power of two */
#define BUCKETS_MIN 1024  /* power of two */

enum form { SIGN, PLUS, MINUS, TEXT, LIST, OBJECT, WORD, SHARED };
enum sign { SIGN_NULL, SIGN_FALSE, SIGN_TRUE, SIGN_REAL };

struct packed {
    uint32_t n;
    uint8_t b[];
};

struct word {
    struct word *next; /* in its bucket */
    uint64_t hash;
    uint32_t refs, number, n;
    bool shared; /* a value; else a string */
    char b[];    /* NUL behind */
};

/* of the process; freed with the last word */
static struct {
    struct word **v; /* by number; NULL = free */
    uint32_t n, cap, used;
    uint32_t *vacant; /* numbers to use again */
    uint32_t n_vacant;
    struct word **buckets;
    uint32_t n_buckets;
    uint32_t *seen; /* by the low bits of a hash: its high bits */
} words;

/* ---- words ---------------------------------------------------------------------------------- */

static void buckets_grow(void)
{
    uint32_t n = words.n_buckets ? 2 * words.n_buckets : BUCKETS_MIN;
    struct word **fresh = xcalloc(n, sizeof(struct word *));

    for (uint32_t i = 0; i < words.n; i++) {
        struct word *w = words.v[i];
        if (!w)
            continue;
        w->next = fresh[w->hash & (n - 1)];
        fresh[w->hash & (n - 1)] = w;
    }
    free(words.buckets);
    words.buckets = fresh;
    words.n_buckets = n;
}

static uint32_t number_new(void)
{
    if (words.n_vacant > 0)
        return words.vacant[--words.n_vacant];
    if (words.n == words.cap) {
        words.cap = words.cap ? words.cap + words.cap / 2 : BUCKETS_MIN;
        words.v = xreallocarray(words.v, words.cap, sizeof(struct word *));
        words.vacant = xreallocarray(words.vacant, words.cap, sizeof(*words.vacant));
    }
    return words.n++;
}

static struct word *word_find(bool shared, struct slice text, uint64_t hash)
{
    struct word *w = words.n_buckets ? words.buckets[hash & (words.n_buckets - 1)] : NULL;

    while (w && (w->hash != hash || w->shared != shared || !slice_eq(slice_of(w->b, w->n), text)))
        w = w->next;
    return w;
}

/* one reference */
static struct word *word_new(bool shared, struct slice text, uint64_t hash)
{
    struct word *w = xmalloc(sizeof(*w) + text.n + 1);

    if (words.used == words.n_buckets)
        buckets_grow();
    words.used++;
    struct word **bucket = &words.buckets[hash & (words.n_buckets - 1)];
    *w = (struct word){*bucket, hash, 1, number_new(), (uint32_t)text.n, shared};
    memcpy(w->b, text.p, text.n);
    w->b[text.n] = '\0';
    *bucket = w;
    words.v[w->number] = w;
    return w;
}

static struct word *word_ref(bool shared, struct slice text, uint64_t hash)
{
    struct word *w = word_find(shared, text, hash);

    if (!w)
        return word_new(shared, text, hash);
    w->refs++;
    return w;
}

static void words_end(void)
{
    free(words.v);
    free(words.vacant);
    free(words.buckets);
    free(words.seen);
    memset(&words, 0, sizeof(words));
}

static const uint8_t *drop_value(const uint8_t *p);

static void word_unref(struct word *w)
{
    BUG_ON(!w || w->refs == 0);
    if (--w->refs > 0)
        return;
    if (w->shared)
        drop_value((const uint8_t *)w->b);
    struct word **at = &words.buckets[w->hash & (words.n_buckets - 1)];
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    words.v[w->number] = NULL;
    words.vacant[words.n_vacant++] = w->number;
    free(w);
    if (--words.used == 0)
        words_end();
}

const char *packed_word(const char *text)
{
    struct slice s = slice_str(text);

    return word_ref(false, s, hash_bytes(s.p, s.n))->b;
}

void packed_word_free(const char *word)
{
    if (word)
        word_unref((struct word *)(void *)(word - offsetof(struct word, b)));
}

/* Has it come before?  Then, or if its place was taken since, it is remembered. */
static bool was_seen(uint64_t hash)
{
    uint32_t rest = (uint32_t)(hash >> 32) | 1;

    if (!words.seen)
        words.seen = xcalloc(SEEN_N, sizeof(*words.seen));
    if (words.seen[hash & (SEEN_N - 1)] == rest)
        return true;
    words.seen[hash & (SEEN_N - 1)] = rest;
    return false;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_head(struct buf *out, enum form form, uint64_t n)
{
    buf_putc(out, (char)(form | (n < COUNT_HERE ? n : COUNT_HERE) << 4));
    if (n < COUNT_HERE)
        return;
    for (n -= COUNT_HERE; n >= 0x80; n >>= 7)
        buf_putc(out, (char)(0x80 | (n & 0x7f)));
    buf_putc(out, (char)n);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * UINT64_C(0x9e3779b97f4a7c15);
    return a ^ a >> 29;
}

static uint64_t put_integer(struct buf *out, json_int_t n)
{
    put_head(out, n < 0 ? MINUS : PLUS, n < 0 ? (uint64_t)(-1 - n) : (uint64_t)n);
    return mix(1, (uint64_t)n);
}

static uint64_t put_real(struct buf *out, double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    put_head(out, SIGN, SIGN_REAL);
    buf_append(out, &bits, sizeof(bits));
    return mix(2, bits);
}

/* always a word */
static uint64_t put_key(struct buf *out, const char *key)
{
    struct slice s = slice_str(key);
    uint64_t hash = hash_bytes(s.p, s.n);

    put_head(out, WORD, word_ref(false, s, hash)->number);
    return hash;
}

static uint64_t put_string(struct buf *out, struct slice s)
{
    uint64_t hash = hash_bytes(s.p, s.n);
    struct word *w = s.n < WORD_MIN ? NULL : word_find(false, s, hash);

    if (w)
        w->refs++;
    else if (s.n >= WORD_MIN && was_seen(hash))
        w = word_new(false, s, hash);
    if (w) {
        put_head(out, WORD, w->number);
    } else {
        put_head(out, TEXT, s.n);
        buf_put_slice(out, s);
    }
    return hash;
}

/* What was written from there on may have come before: then a word takes its place. */
static void share(struct buf *out, size_t from, uint64_t hash)
{
    struct slice text = slice_of(out->p + from, out->len - from);

    if (text.n < SHARED_MIN)
        return;
    struct word *w = word_find(true, text, hash);
    if (w) {
        w->refs++;
        drop_value((const uint8_t *)text.p);
    } else if (was_seen(hash)) {
        w = word_new(true, text, hash); /* takes the references in text */
    } else {
        return;
    }
    out->len = from;
    put_head(out, SHARED, w->number);
}

static uint64_t put_value(struct buf *out, const json_t *j, bool top);

static uint64_t put_list(struct buf *out, const json_t *j, bool top)
{
    size_t from = out->len;
    uint64_t hash = mix(4, json_array_size(j));

    put_head(out, LIST, json_array_size(j));
    for (size_t i = 0; i < json_array_size(j); i++)
        hash = mix(hash, put_value(out, json_array_get(j, i), false));
    if (!top)
        share(out, from, hash);
    return hash;
}

static uint64_t put_object(struct buf *out, const json_t *j, bool top)
{
    size_t from = out->len;
    uint64_t hash = mix(5, json_object_size(j));
    const char *key;
    json_t *v;

    put_head(out, OBJECT, json_object_size(j));
    json_object_foreach ((json_t *)j, key, v) {
        hash = mix(hash, put_key(out, key));
        hash = mix(hash, put_value(out, v, false));
    }
    if (!top)
        share(out, from, hash);
    return hash;
}

/* returns a hash of the value, as it stands */
static uint64_t put_value(struct buf *out, const json_t *j, bool top)
{
    switch (json_typeof(j)) {
    case JSON_STRING:
        return put_string(out, slice_of(json_string_value(j), json_string_length(j)));
    case JSON_INTEGER:
        return put_integer(out, json_integer_value(j));
    case JSON_REAL:
        return put_real(out, json_real_value(j));
    case JSON_ARRAY:
        return put_list(out, j, top);
    case JSON_OBJECT:
        return put_object(out, j, top);
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        break;
    }
    enum sign sign = json_is_true(j) ? SIGN_TRUE : json_is_false(j) ? SIGN_FALSE : SIGN_NULL;
    put_head(out, SIGN, sign);
    return mix(3, sign);
}

struct packed *packed_new(const json_t *j)
{
    struct buf out = BUF_INIT;

    put_value(&out, j, true);
    struct packed *p = xmalloc(sizeof(*p) + out.len);
    BUG_ON(out.len > UINT32_MAX);
    p->n = (uint32_t)out.len;
    memcpy(p->b, out.p, out.len);
    buf_free(&out);
    return p;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const uint8_t *get_head(const uint8_t *p, enum form *form, uint64_t *n)
{
    *form = *p & 0xf;
    *n = *p++ >> 4;
    if (*n < COUNT_HERE)
        return p;
    for (unsigned shift = 0;; shift += 7) {
        *n += (uint64_t)(*p & 0x7f) << shift;
        if (!(*p++ & 0x80))
            return p;
    }
}

static struct word *word_at(uint64_t number)
{
    BUG_ON(number >= words.n || !words.v[number]);
    return words.v[number];
}

static const uint8_t *get_key(const uint8_t *p, const struct word **w)
{
    enum form form;
    uint64_t number;

    p = get_head(p, &form, &number);
    *w = word_at(number);
    return p;
}

static const uint8_t *get_value(const uint8_t *p, json_t **out);

static const uint8_t *get_members(const uint8_t *p, uint64_t n, json_t *out)
{
    const struct word *key;
    json_t *v;

    while (n-- > 0) {
        p = get_key(p, &key);
        p = get_value(p, &v);
        json_object_set_new_nocheck(out, key->b, v);
    }
    return p;
}

static const uint8_t *get_items(const uint8_t *p, uint64_t n, json_t *out)
{
    json_t *v;

    while (n-- > 0) {
        p = get_value(p, &v);
        json_array_append_new(out, v);
    }
    return p;
}

static const uint8_t *get_sign(const uint8_t *p, uint64_t sign, json_t **out)
{
    double d;

    if (sign == SIGN_REAL) {
        memcpy(&d, p, sizeof(d));
        *out = json_real(d);
        return p + sizeof(d);
    }
    *out = sign == SIGN_NULL ? json_null() : json_boolean(sign == SIGN_TRUE);
    return p;
}

/* returns what follows the value */
static const uint8_t *get_value(const uint8_t *p, json_t **out)
{
    enum form form;
    uint64_t n;

    p = get_head(p, &form, &n);
    switch (form) {
    case SIGN:
        return get_sign(p, n, out);
    case PLUS:
        *out = json_integer((json_int_t)n);
        return p;
    case MINUS:
        *out = json_integer(-1 - (json_int_t)n);
        return p;
    case TEXT:
        *out = json_stringn_nocheck((const char *)p, n);
        return p + n;
    case LIST:
        return get_items(p, n, *out = json_array());
    case OBJECT:
        return get_members(p, n, *out = json_object());
    case WORD:
        *out = json_stringn_nocheck(word_at(n)->b, word_at(n)->n);
        return p;
    case SHARED:
        get_value((const uint8_t *)word_at(n)->b, out);
        return p;
    }
    BUG_ON(true);
}

/* steps over a value; with `drop`, the words it uses lose a reference */
static const uint8_t *walk(const uint8_t *p, bool drop)
{
    enum form form;
    uint64_t n, left = 1;

    while (left > 0) {
        p = get_head(p, &form, &n);
        left--;
        if (form == SIGN && n == SIGN_REAL)
            p += sizeof(double);
        else if (form == TEXT)
            p += n;
        else if (form == LIST)
            left += n;
        else if (form == OBJECT)
            left += 2 * n; /* a key is as good as a value here */
        else if (drop && (form == WORD || form == SHARED))
            word_unref(word_at(n));
    }
    return p;
}

static const uint8_t *drop_value(const uint8_t *p)
{
    return walk(p, true);
}

/* the member of the value at p, or NULL */
static const uint8_t *member(const uint8_t *p, struct slice name)
{
    const struct word *key;
    enum form form;
    uint64_t n;

    p = get_head(p, &form, &n);
    if (form == SHARED)
        return member((const uint8_t *)word_at(n)->b, name);
    if (form != OBJECT)
        return NULL;
    while (n-- > 0) {
        p = get_key(p, &key);
        if (slice_eq(slice_of(key->b, key->n), name))
            return p;
        p = walk(p, false);
    }
    return NULL;
}

json_t *packed_at(const struct packed *p, const char *path)
{
    struct slice rest = slice_str(path);
    const uint8_t *at = p->b;
    json_t *out = NULL;

    while (at && rest.n > 0)
        at = member(at, slice_cut(&rest, '.'));
    if (at)
        get_value(at, &out);
    return out;
}

bool packed_eq(const struct packed *a, const struct packed *b)
{
    if (a->n == b->n && memcmp(a->b, b->b, a->n) == 0)
        return true;
    json_t *x = packed_at(a, ""), *y = packed_at(b, "");
    bool eq = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return eq;
}

void packed_free(struct packed *p)
{
    if (p)
        drop_value(p->b);
    free(p);
}
