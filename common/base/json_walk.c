/* json_walk.c - see json_walk.h */
#include "common/base/json_walk.h"

#include <jansson.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip(struct slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static void skip_blanks(struct slice *s)
{
    while (s->n > 0 && is_blank(*s->p))
        skip(s, 1);
}

/* one character after blanks */
static bool take(struct slice *s, char c)
{
    skip_blanks(s);
    if (s->n == 0 || *s->p != c)
        return false;
    skip(s, 1);
    return true;
}

/* bytes of the string that s begins with, both quotes counted; 0 if it does not end */
static size_t string_length(struct slice s)
{
    for (size_t i = 1; i < s.n;) {
        const char *quote = memchr(s.p + i, '"', s.n - i);
        size_t at = quote ? (size_t)(quote - s.p) : s.n, back = at;
        while (back > i && s.p[back - 1] == '\\')
            back--;
        if (!quote)
            return 0;
        if ((at - back) % 2 == 0) /* no backslash is left for the quote */
            return at + 1;
        i = at + 1;
    }
    return 0;
}

/* the same of an object or array */
static size_t nest_length(struct slice s)
{
    size_t depth = 0, n;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '"') {
            if ((n = string_length(slice_of(s.p + i, s.n - i))) == 0)
                return 0;
            i += n - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static size_t scalar_length(struct slice s)
{
    size_t n = 0;

    while (n < s.n && !is_blank(s.p[n]) && !strchr(",]}:", s.p[n]))
        n++;
    return n;
}

static bool cut_value(struct slice *rest, struct slice *out)
{
    size_t n;

    skip_blanks(rest);
    if (rest->n == 0)
        return false;
    if (*rest->p == '"')
        n = string_length(*rest);
    else if (*rest->p == '{' || *rest->p == '[')
        n = nest_length(*rest);
    else
        n = scalar_length(*rest);
    *out = slice_of(rest->p, n);
    skip(rest, n);
    return n > 0;
}

int json_walk_begin(struct json_walk *w, struct slice text)
{
    *w = (struct json_walk){.rest = text};
    if (take(&w->rest, '{'))
        w->close = '}';
    else if (take(&w->rest, '['))
        w->close = ']';
    else
        return -1;
    return 0;
}

static int end(struct json_walk *w)
{
    skip_blanks(&w->rest);
    return w->rest.n == 0 ? 0 : -1;
}

int json_walk_next(struct json_walk *w)
{
    if (take(&w->rest, w->close))
        return end(w);
    if (w->begun && !take(&w->rest, ','))
        return -1;
    w->begun = true;
    if (w->close == '}') {
        skip_blanks(&w->rest);
        if (w->rest.n == 0 || *w->rest.p != '"' || !cut_value(&w->rest, &w->key) ||
            !take(&w->rest, ':'))
            return -1;
    }
    return cut_value(&w->rest, &w->value) ? 1 : -1;
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '\\')
            return false;
    return true;
}

int json_walk_key(const struct json_walk *w, struct buf *out)
{
    struct slice inner;
    json_t *j;

    buf_clear(out);
    if (w->key.n < 2)
        return -1;
    inner = slice_of(w->key.p + 1, w->key.n - 2);
    if (is_plain(inner)) {
        buf_put_slice(out, inner);
        return 0;
    }
    j = json_loadb(w->key.p, w->key.n, JSON_DECODE_ANY, NULL);
    if (j)
        buf_puts(out, json_string_value(j));
    json_decref(j);
    return j ? 0 : -1;
}
