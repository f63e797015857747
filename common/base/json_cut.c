/* json_cut.c - a push scanner with a stack of frames; dropped values are only counted through. */
#include "common/base/json_cut.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

const struct json_mask json_mask_drop[] = {{NULL, NULL}};

enum state {
    S_BETWEEN,       /* before a value of the stream, or behind the one object */
    S_VALUE,         /* expecting a value */
    S_FIRST_ELEMENT, /* ... or the end of the array */
    S_FIRST_KEY,     /* expecting a key or the end of the object */
    S_KEY,           /* expecting a key */
    S_KEY_TEXT,
    S_COLON,
    S_AFTER,  /* expecting a comma or the end of what is open */
    S_STRING, /* inside a value that is kept */
    S_SCALAR,
    S_SKIP, /* inside a value that is dropped */
    S_SKIP_STRING,
    S_SKIP_SCALAR,
};

struct frame {
    const struct json_mask *mask; /* of its members or elements; NULL: all are kept */
    bool array;
    bool items; /* its elements are pieces */
    bool some;  /* something of it was kept: a comma goes before the next */
};

struct json_cut {
    enum json_cut_shape shape;
    const struct json_mask *mask;
    size_t kept_max;
    json_cut_fn *fn;
    void *arg;

    enum state state;
    struct frame v[JSON_CUT_DEPTH];
    unsigned depth;
    struct buf out;                    /* what is kept: the rest, then the present piece */
    const struct json_mask *next_mask; /* of the value that comes */
    bool drop_next;                    /* ... which is not kept at all */
    bool escaped;                      /* a backslash stood before this byte of a string */
    unsigned skip_depth;               /* brackets open in what is dropped */
    size_t key_at, key_text_at;        /* in out */

    bool in_piece, done;
    size_t piece_at;
    const char *why; /* the present piece is not kept */
    size_t raw;      /* bytes of it seen */
    uint64_t offset; /* in the stream, for messages */
    bool broken;
};

struct json_cut *json_cut_new(enum json_cut_shape shape, const struct json_mask *mask,
                              size_t kept_max, json_cut_fn *fn, void *arg)
{
    struct json_cut *c = xcalloc(1, sizeof *c);
    c->shape = shape;
    c->mask = mask;
    c->kept_max = kept_max;
    c->fn = fn;
    c->arg = arg;
    return c;
}

void json_cut_free(struct json_cut *c)
{
    if (!c)
        return;
    buf_free(&c->out);
    free(c);
}

static int broken(struct json_cut *c, struct err *e, const char *what)
{
    c->broken = true;
    return err_set(e, "byte %llu: %s", (unsigned long long)c->offset, what);
}

static bool is_blank(char b)
{
    return b == ' ' || b == '\n' || b == '\r' || b == '\t';
}

static bool is_delimiter(char b)
{
    return is_blank(b) || b == ',' || b == ']' || b == '}';
}

static struct frame *top(struct json_cut *c)
{
    return &c->v[c->depth - 1];
}

static unsigned piece_depth(const struct json_cut *c)
{
    return c->shape == JSON_CUT_STREAM ? 0 : 2;
}

/* ---- masks ---------------------------------------------------------------------------------- */

static bool fits(const char *name, struct slice key)
{
    size_t n = strlen(name);
    if (n > 0 && name[n - 1] == '*')
        return slice_starts(key, slice_of(name, n - 1));
    return slice_eq(key, slice_of(name, n));
}

/* false: the member is dropped; *of: the mask of its value */
static bool mask_keeps(const struct json_mask *m, struct slice key, const struct json_mask **of)
{
    *of = NULL;
    if (!m)
        return true;
    while (m->name && !fits(m->name, key))
        m++;
    *of = m->of;
    return m->name && m->of != JSON_DROP;
}

void json_mask_apply(const struct json_mask *mask, json_t *v)
{
    const struct json_mask *of;
    const char *key;
    json_t *member;
    void *tmp;
    size_t i;
    if (!mask)
        return;
    json_array_foreach (v, i, member)
        json_mask_apply(mask, member);
    if (!json_is_object(v))
        return;
    json_object_foreach_safe(v, tmp, key, member)
    {
        if (mask_keeps(mask, slice_str(key), &of))
            json_mask_apply(of, member);
        else
            json_object_del(v, key);
    }
}

/* ---- pieces --------------------------------------------------------------------------------- */

static void piece_begin(struct json_cut *c)
{
    c->in_piece = true;
    c->piece_at = c->out.len;
    c->why = NULL;
    c->raw = 0;
}

static int piece_end(struct json_cut *c, struct err *e)
{
    struct slice text = slice_of(c->out.p + c->piece_at, c->out.len - c->piece_at);
    c->in_piece = false;
    int r = c->fn(c->why ? slice_of("", 0) : text, c->why, c->arg, e);
    c->out.len = c->piece_at;
    c->state = c->shape == JSON_CUT_STREAM ? S_BETWEEN : S_AFTER;
    if (r < 0)
        c->broken = true;
    return r;
}

/* Appends to what is kept.  A piece that grows too large is scanned on, but no longer kept. */
static int put(struct json_cut *c, const char *p, size_t n, struct err *e)
{
    if (!c->in_piece && c->out.len + n > JSON_CUT_REST)
        return broken(c, e, "too much stands around the items");
    if (c->in_piece && !c->why && c->out.len - c->piece_at + n > c->kept_max) {
        c->why = "larger than is accepted";
        c->out.len = c->piece_at;
    }
    if (!c->why)
        buf_append(&c->out, p, n);
    return 0;
}

/* ---- values --------------------------------------------------------------------------------- */

static int value_end(struct json_cut *c, struct err *e)
{
    if (c->in_piece && c->depth == piece_depth(c))
        return piece_end(c, e);
    c->done = c->depth == 0;
    c->state = c->depth == 0 ? S_BETWEEN : S_AFTER;
    return 0;
}

static void skip_begin(struct json_cut *c, char b)
{
    c->drop_next = false;
    c->skip_depth = b == '{' || b == '[';
    c->escaped = false;
    c->state = b == '"' ? S_SKIP_STRING : c->skip_depth ? S_SKIP : S_SKIP_SCALAR;
}

/* the member "items" of the one object */
static bool begins_items(const struct json_cut *c, char b)
{
    static const char key[] = "\"items\":";
    size_t n = sizeof key - 1;
    if (c->shape != JSON_CUT_ITEMS || c->depth != 1 || b != '[' || c->out.len <= n)
        return false;
    const char *tail = c->out.p + c->out.len - n;
    return memcmp(tail, key, n) == 0 && (tail[-1] == '{' || tail[-1] == ',');
}

static int open_bracket(struct json_cut *c, char b, struct err *e)
{
    bool items = begins_items(c, b);
    if (c->depth == JSON_CUT_DEPTH) {
        if (!c->in_piece)
            return broken(c, e, "nested too deeply");
        c->why = "nested too deeply";
        c->out.len = c->piece_at;
        skip_begin(c, b);
        return 0;
    }
    c->v[c->depth++] = (struct frame){c->next_mask, b == '[', items, false};
    c->state = b == '[' ? S_FIRST_ELEMENT : S_FIRST_KEY;
    return put(c, &b, 1, e);
}

/* the comma before an element; keys bring their own */
static int element_comma(struct json_cut *c, struct err *e)
{
    struct frame *f = c->depth > 0 ? top(c) : NULL;
    if (!f || !f->array || f->items)
        return 0;
    bool first = !f->some;
    f->some = true;
    return first ? 0 : put(c, ",", 1, e);
}

static bool begins_piece(const struct json_cut *c)
{
    return !c->in_piece && c->depth == piece_depth(c) && (c->depth == 0 || c->v[1].items);
}

static int value_begin(struct json_cut *c, char b, struct err *e)
{
    if (b == ',' || b == ':' || b == ']' || b == '}')
        return broken(c, e, "expected a value");
    if (c->drop_next) {
        skip_begin(c, b);
        return 0;
    }
    if (begins_piece(c))
        piece_begin(c);
    if (element_comma(c, e) < 0)
        return -1;
    if (b == '{' || b == '[')
        return open_bracket(c, b, e);
    c->state = b == '"' ? S_STRING : S_SCALAR;
    c->escaped = false;
    return put(c, &b, 1, e);
}

static int close_bracket(struct json_cut *c, char b, struct err *e)
{
    if (top(c)->array != (b == ']'))
        return broken(c, e, "a bracket closes what the other kind opened");
    c->depth--;
    return put(c, &b, 1, e) < 0 ? -1 : value_end(c, e);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static int key_begin(struct json_cut *c, char b, struct err *e)
{
    if (b != '"')
        return broken(c, e, "expected a key in quotes");
    c->key_at = c->out.len;
    c->state = S_KEY_TEXT;
    c->escaped = false;
    if ((top(c)->some && put(c, ",", 1, e) < 0) || put(c, "\"", 1, e) < 0)
        return -1;
    c->key_text_at = c->out.len;
    return 0;
}

static void key_end(struct json_cut *c)
{
    struct frame *f = top(c);
    c->state = S_COLON;
    c->next_mask = NULL;
    if (c->why) /* nothing of the piece is kept, its keys neither */
        return;
    struct slice key =
        slice_of(c->out.p + c->key_text_at, c->out.len - c->key_text_at - 1 /* the quote */);
    c->drop_next = !mask_keeps(f->mask, key, &c->next_mask);
    if (c->drop_next)
        c->out.len = c->key_at;
    else
        f->some = true;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* how many bytes up to the closing quote, that included; all of them if it is not there.  *closed
 * says which. */
static size_t string_run(struct json_cut *c, struct slice s, bool *closed)
{
    *closed = false;
    for (size_t i = 0; i < s.n; i++) {
        if (c->escaped) {
            c->escaped = false;
        } else if (s.p[i] == '\\') {
            c->escaped = true;
        } else if (s.p[i] == '"') {
            *closed = true;
            return i + 1;
        }
    }
    return s.n;
}

static int feed_string(struct json_cut *c, struct slice s, size_t *used, struct err *e)
{
    bool closed;
    *used = string_run(c, s, &closed);
    if (put(c, s.p, *used, e) < 0)
        return -1;
    if (!closed)
        return 0;
    if (c->state == S_STRING)
        return value_end(c, e);
    key_end(c);
    return 0;
}

static int feed_skip(struct json_cut *c, struct slice s, size_t *used, struct err *e)
{
    for (size_t i = 0; i < s.n; i++) {
        char b = s.p[i];
        *used = i + 1;
        if (b == '"') {
            c->escaped = false;
            c->state = S_SKIP_STRING;
            return 0;
        }
        if (b == '{' || b == '[')
            c->skip_depth++;
        else if ((b == '}' || b == ']') && --c->skip_depth == 0)
            return value_end(c, e);
    }
    return 0;
}

static int feed_skip_string(struct json_cut *c, struct slice s, size_t *used, struct err *e)
{
    bool closed;
    *used = string_run(c, s, &closed);
    if (closed)
        c->state = S_SKIP;
    return closed && c->skip_depth == 0 ? value_end(c, e) : 0;
}

static int feed_scalar(struct json_cut *c, struct slice s, size_t *used, struct err *e)
{
    size_t n = 0;
    while (n < s.n && !is_delimiter(s.p[n]))
        n++;
    *used = n;
    if (c->state == S_SCALAR && put(c, s.p, n, e) < 0)
        return -1;
    return n < s.n ? value_end(c, e) : 0;
}

static int feed_after(struct json_cut *c, char b, struct err *e)
{
    if (b == '}' || b == ']')
        return close_bracket(c, b, e);
    if (b != ',')
        return broken(c, e, "expected a comma or a closing bracket");
    c->state = top(c)->array ? S_VALUE : S_KEY;
    if (top(c)->array)
        c->next_mask = top(c)->mask;
    return 0;
}

static int feed_between(struct json_cut *c, char b, struct err *e)
{
    if (c->shape == JSON_CUT_ITEMS && c->done)
        return broken(c, e, "something stands behind the object");
    if (c->shape == JSON_CUT_ITEMS && b != '{')
        return broken(c, e, "expected an object");
    c->next_mask = c->mask;
    return value_begin(c, b, e);
}

/* one byte that is not inside a string or scalar */
static int feed_byte(struct json_cut *c, char b, struct err *e)
{
    if (is_blank(b))
        return 0;
    switch (c->state) {
    case S_BETWEEN:
        return feed_between(c, b, e);
    case S_FIRST_ELEMENT:
        if (b == ']')
            return close_bracket(c, b, e);
        c->next_mask = top(c)->mask;
        return value_begin(c, b, e);
    case S_VALUE:
        return value_begin(c, b, e);
    case S_FIRST_KEY:
        return b == '}' ? close_bracket(c, b, e) : key_begin(c, b, e);
    case S_KEY:
        return key_begin(c, b, e);
    case S_COLON:
        if (b != ':')
            return broken(c, e, "expected a colon");
        c->state = S_VALUE;
        return c->drop_next ? 0 : put(c, ":", 1, e);
    default:
        return feed_after(c, b, e);
    }
}

static int feed_some(struct json_cut *c, struct slice s, size_t *used, struct err *e)
{
    switch (c->state) {
    case S_KEY_TEXT:
    case S_STRING:
        return feed_string(c, s, used, e);
    case S_SCALAR:
    case S_SKIP_SCALAR:
        return feed_scalar(c, s, used, e);
    case S_SKIP:
        return feed_skip(c, s, used, e);
    case S_SKIP_STRING:
        return feed_skip_string(c, s, used, e);
    default:
        *used = 1;
        return feed_byte(c, s.p[0], e);
    }
}

int json_cut_feed(struct json_cut *c, struct slice bytes, struct err *e)
{
    if (c->broken)
        return err_set(e, "broken before");
    while (bytes.n > 0) {
        size_t used = 0;
        if (feed_some(c, bytes, &used, e) < 0)
            return -1;
        c->offset += used;
        c->raw += used;
        if (c->in_piece && c->raw > JSON_CUT_RAW_MAX)
            return broken(c, e, "an object that does not end");
        bytes = slice_of(bytes.p + used, bytes.n - used);
    }
    return 0;
}

int json_cut_end(const struct json_cut *c, struct err *e)
{
    if (c->broken || c->state != S_BETWEEN || (c->shape == JSON_CUT_ITEMS && !c->done))
        return err_set(e, "it ends in the middle, after %llu bytes", (unsigned long long)c->offset);
    return 0;
}

struct slice json_cut_rest(const struct json_cut *c)
{
    return buf_slice(&c->out);
}
