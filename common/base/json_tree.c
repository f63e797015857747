/* json_tree.c - see json_tree.h.
 *
 * The text is copied once, and strings become what they mean where they stand: an escape is never
 * shorter than its character.
 */
#include "common/base/json_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define DEPTH_MAX 64
#define FEW       32 /* keys compared each with each */

struct parser {
    struct arena *mem;
    char *begin, *p, *end; /* *end is NUL */
    unsigned depth;
    struct err *e;
};

static struct json_tree *bad(struct parser *s, const char *expected)
{
    if (!s->e->text[0])
        err_set(s->e, "byte %zu: expected %s", (size_t)(s->p - s->begin), expected);
    return NULL;
}

static void skip_blanks(struct parser *s)
{
    while (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')
        s->p++;
}

static bool take(struct parser *s, char c)
{
    skip_blanks(s);
    if (*s->p != c)
        return false;
    s->p++;
    return true;
}

/* ---- strings ----------------------------------------------------------------------------------
 */

/* bytes of the UTF-8 character at p that is no ASCII; 0: it is none.  Stops at the text's NUL. */
static unsigned utf8_length(const unsigned char *p)
{
    unsigned n = p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                 : (p[0] & 0xf0) == 0xe0     ? 3
                 : (p[0] & 0xf8) == 0xf0     ? 4
                                             : 0;
    uint32_t c = n == 2 ? p[0] & 0x1f : n == 3 ? p[0] & 0x0f : p[0] & 0x07;

    for (unsigned i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if ((n == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
        (n == 4 && (c < 0x10000 || c > 0x10ffff)))
        return 0;
    return n;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

/* the four digits behind "\u"; -1 */
static int32_t take_hex(struct parser *s)
{
    int32_t v = 0;

    for (unsigned i = 0; i < 4; i++) {
        char c = *s->p;
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0)
            return -1;
        v = v << 4 | d;
        s->p++;
    }
    return v;
}

/* s->p is behind "\u"; 0: no character (U+0000 is none here) */
static uint32_t take_unicode(struct parser *s)
{
    int32_t c = take_hex(s), low;

    if (c < 0xd800 || c >= 0xe000)
        return c > 0 ? (uint32_t)c : 0;
    if (c >= 0xdc00 || s->p[0] != '\\' || s->p[1] != 'u')
        return 0;
    s->p += 2;
    low = take_hex(s);
    if (low < 0xdc00 || low >= 0xe000)
        return 0;
    return 0x10000 + ((uint32_t)(c - 0xd800) << 10 | (uint32_t)(low - 0xdc00));
}

/* s->p is behind the backslash; appends what it stands for, NULL: nothing */
static char *take_escape(struct parser *s, char *to)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char *at;

    if (*s->p == 'u') {
        s->p++;
        uint32_t c = take_unicode(s);
        return c ? put_utf8(to, c) : NULL;
    }
    at = *s->p ? strchr(from, *s->p) : NULL;
    if (!at)
        return NULL;
    s->p++;
    *to++ = means[at - from];
    return to;
}

/* what may stand in a string as it is */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* s->p is behind the first quote.  Sets *len; the text ends with a NUL. */
static const char *take_string(struct parser *s, uint32_t *len)
{
    char *begin = s->p, *to = s->p;

    while (is_plain((unsigned char)*s->p))
        s->p++;
    to = s->p;
    while (*s->p != '"') {
        unsigned n;
        if (is_plain((unsigned char)*s->p)) {
            *to++ = *s->p++;
        } else if (*s->p == '\\') {
            s->p++;
            if (!(to = take_escape(s, to))) {
                bad(s, "an escape that JSON knows, and no NUL");
                return NULL;
            }
        } else if ((unsigned char)*s->p >= 0x80 &&
                   (n = utf8_length((const unsigned char *)s->p)) > 0) {
            memmove(to, s->p, n);
            to += n;
            s->p += n;
        } else {
            bad(s, s->p == s->end ? "the end of a string" : "UTF-8 without control characters");
            return NULL;
        }
    }
    s->p++;
    *to = '\0';
    *len = (uint32_t)(to - begin);
    return begin;
}

/* ---- numbers, words ----------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* the digits of a number by JSON's grammar; -1: it is none, 0: an integer, 1: more */
static int number_kind(struct parser *s)
{
    bool real = false;

    s->p += *s->p == '-';
    if (!is_digit(*s->p))
        return -1;
    if (*s->p == '0')
        s->p++;
    else
        while (is_digit(*s->p))
            s->p++;
    if (*s->p == '.') {
        real = true;
        if (!is_digit(*++s->p))
            return -1;
        while (is_digit(*s->p))
            s->p++;
    }
    if (*s->p == 'e' || *s->p == 'E') {
        real = true;
        s->p++;
        s->p += *s->p == '+' || *s->p == '-';
        if (!is_digit(*s->p))
            return -1;
        while (is_digit(*s->p))
            s->p++;
    }
    return real;
}

static struct json_tree *take_number(struct parser *s, struct json_tree *v)
{
    const char *begin = s->p;
    int kind = number_kind(s);
    char *stop;

    if (kind < 0)
        return bad(s, "a value");
    errno = 0;
    v->type = kind ? JSON_REAL : JSON_INTEGER;
    if (kind)
        v->real = strtod(begin, &stop);
    else
        v->integer = strtoll(begin, &stop, 10);
    /* a number too small for a double is zero, as for jansson */
    if (errno == ERANGE && (!kind || v->real > 1 || v->real < -1))
        return bad(s, "a number of 64 bits");
    return v;
}

static struct json_tree *take_word(struct parser *s, struct json_tree *v)
{
    static const struct {
        const char *word;
        json_type type;
    } words[] = {{"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL}};

    for (unsigned i = 0; i < 3; i++) {
        size_t n = strlen(words[i].word);
        if (strncmp(s->p, words[i].word, n) == 0) {
            s->p += n;
            v->type = words[i].type;
            return v;
        }
    }
    return take_number(s, v);
}

/* ---- objects, arrays ---------------------------------------------------------------------------
 */

static struct json_tree *take_value(struct parser *s);

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* many keys: sorted, equal ones stand beside each other */
static bool many_are_unique(const struct json_tree *object)
{
    const char **keys = xreallocarray(NULL, object->n, sizeof(*keys));
    const struct json_tree *m = object->first;
    bool unique = true;

    for (uint32_t i = 0; i < object->n; i++, m = m->next)
        keys[i] = m->key;
    qsort(keys, object->n, sizeof(*keys), by_text);
    for (uint32_t i = 1; unique && i < object->n; i++)
        unique = strcmp(keys[i - 1], keys[i]) != 0;
    free(keys);
    return unique;
}

static bool keys_are_unique(const struct json_tree *object)
{
    if (object->n > FEW)
        return many_are_unique(object);
    for (const struct json_tree *a = object->first; a; a = a->next)
        for (const struct json_tree *b = a->next; b; b = b->next)
            if (strcmp(a->key, b->key) == 0)
                return false;
    return true;
}

/* "key": */
static const char *take_key(struct parser *s)
{
    const char *key;
    uint32_t n;

    if (!take(s, '"')) {
        bad(s, "a key in quotes");
        return NULL;
    }
    if (!(key = take_string(s, &n)))
        return NULL;
    if (take(s, ':'))
        return key;
    bad(s, "\":\"");
    return NULL;
}

/* s->p is behind the bracket */
static struct json_tree *take_all(struct parser *s, struct json_tree *v, char close)
{
    const struct json_tree **at = &v->first;

    v->type = close == '}' ? JSON_OBJECT : JSON_ARRAY;
    v->first = NULL;
    if (take(s, close))
        return v;
    do {
        const char *key = close == '}' ? take_key(s) : "";
        struct json_tree *one = key ? take_value(s) : NULL;
        if (!one)
            return NULL;
        one->key = close == '}' ? key : NULL;
        *at = one;
        at = &one->next;
        v->n++;
    } while (take(s, ','));
    if (!take(s, close))
        return bad(s, close == '}' ? "\",\" or \"}\"" : "\",\" or \"]\"");
    return close == ']' || keys_are_unique(v) ? v : bad(s, "no key twice in an object");
}

static struct json_tree *take_nest(struct parser *s, struct json_tree *v, char close)
{
    if (s->depth == DEPTH_MAX)
        return bad(s, "at most 64 levels");
    s->depth++;
    s->p++;
    v = take_all(s, v, close);
    s->depth--;
    return v;
}

static struct json_tree *take_value(struct parser *s)
{
    struct json_tree *v = arena_zalloc(s->mem, sizeof(*v));

    skip_blanks(s);
    switch (*s->p) {
    case '{':
        return take_nest(s, v, '}');
    case '[':
        return take_nest(s, v, ']');
    case '"':
        s->p++;
        v->type = JSON_STRING;
        v->text = take_string(s, &v->n);
        return v->text ? v : NULL;
    default:
        return take_word(s, v);
    }
}

const struct json_tree *json_tree_parse(struct arena *a, struct slice text, struct err *e)
{
    char *copy = (char *)arena_slice(a, text).p;
    struct parser s = {.mem = a, .begin = copy, .p = copy, .end = copy + text.n, .e = e};

    e->text[0] = '\0';
    if (text.n == 0 || text.n > UINT32_MAX / 2) {
        err_set(e, "expected JSON, got %s", text.n ? "too much" : "nothing");
        return NULL;
    }
    struct json_tree *v = take_value(&s);
    if (v)
        skip_blanks(&s);
    if (v && s.p != s.end)
        return bad(&s, "the end");
    return v;
}

/* ---- reading ------------------------------------------------------------------------------------
 */

const struct json_tree *json_tree_get(const struct json_tree *t, const char *key)
{
    const struct json_tree *m = json_tree_is(t, JSON_OBJECT) ? t->first : NULL;

    while (m && strcmp(m->key, key) != 0)
        m = m->next;
    return m;
}

const char *json_tree_text(const struct json_tree *t)
{
    return json_tree_is(t, JSON_STRING) ? t->text : NULL;
}

bool json_tree_has_null(const struct json_tree *t)
{
    if (json_tree_size(t) == 0)
        return false;
    for (const struct json_tree *m = t->first; m; m = m->next)
        if ((m->type == JSON_NULL && m->key) || json_tree_has_null(m))
            return true;
    return false;
}
