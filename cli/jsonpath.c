/* jsonpath.c - the part of JSONPath that scripts use with kubectl: {.a.b}, {.a['x.y']}, {.l[0]},
 * {.l[*].name}, text between braces as it is, "\n" and "\t" in quotes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/output.h"
#include "common/base/mem.h"
#include "common/base/slice.h"

struct step {
    char *key;  /* owned; NULL for an index */
    long index; /* -1 = all */
};

struct steps {
    struct step *v;
    size_t n;
};

static void add_step(struct steps *s, struct slice key, long index, bool is_key)
{
    s->v = xreallocarray(s->v, s->n + 1, sizeof(*s->v));
    s->v[s->n++] = (struct step){is_key ? xstrndup(key.p, key.n) : NULL, index};
}

static void free_steps(struct steps *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].key);
    free(s->v);
}

/* "[0]", "[*]", "['key']"; returns how many characters, 0 if it is none */
static size_t parse_bracket(const char *p, const char *end, struct steps *out)
{
    const char *close = memchr(p, ']', (size_t)(end - p));

    if (!close)
        return 0;
    struct slice in = slice_of(p + 1, (size_t)(close - p - 1));
    unsigned long long index;
    if (slice_eq_str(in, "*"))
        add_step(out, in, -1, false);
    else if (in.n >= 2 && (in.p[0] == '\'' || in.p[0] == '"') && in.p[in.n - 1] == in.p[0])
        add_step(out, slice_of(in.p + 1, in.n - 2), 0, true);
    else if (slice_u64(in, 1000000, &index) == 0)
        add_step(out, in, (long)index, false);
    else
        return 0;
    return (size_t)(close - p) + 1;
}

/* ".key": a backslash keeps the dot behind it ("app\.kubernetes\.io/name") */
static size_t parse_key(const char *p, const char *end, struct steps *out)
{
    char *key = xmalloc((size_t)(end - p) + 1);
    size_t n = 0, i = 1;

    for (; p + i < end && p[i] != '.' && p[i] != '['; i++) {
        if (p[i] == '\\' && p + i + 1 < end)
            i++;
        key[n++] = p[i];
    }
    if (n == 1 && key[0] == '*')
        add_step(out, slice_of("", 0), -1, false);
    else if (n)
        add_step(out, slice_of(key, n), 0, true);
    free(key);
    return i;
}

static int parse(struct slice text, struct steps *out)
{
    const char *p = text.p, *end = text.p + text.n;

    if (p < end && *p == '$')
        p++;
    while (p < end) {
        size_t n = *p == '[' ? parse_bracket(p, end, out) : *p == '.' ? parse_key(p, end, out) : 0;
        if (!n)
            return -1;
        p += n;
    }
    return 0;
}

static void print_value(FILE *to, const json_t *v, bool *first)
{
    if (!*first)
        fputc(' ', to);
    *first = false;
    if (json_is_string(v)) {
        fputs(json_string_value(v), to);
        return;
    }
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    fputs(text, to);
    free(text);
}

static void walk(FILE *to, const json_t *v, const struct step *s, size_t n, bool *first)
{
    const char *key;
    json_t *member;

    if (!v)
        return;
    if (n == 0) {
        print_value(to, v, first);
    } else if (s->key) {
        walk(to, json_object_get(v, s->key), s + 1, n - 1, first);
    } else if (s->index >= 0) {
        walk(to, json_array_get(v, (size_t)s->index), s + 1, n - 1, first);
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            walk(to, json_array_get(v, i), s + 1, n - 1, first);
    } else {
        json_object_foreach ((json_t *)(uintptr_t)v, key, member) {
            walk(to, member, s + 1, n - 1, first);
        }
    }
}

/* {"\n"} */
static void print_quoted(FILE *to, struct slice s)
{
    for (size_t i = 1; i + 1 < s.n; i++) {
        if (s.p[i] != '\\' || i + 2 >= s.n) {
            fputc(s.p[i], to);
            continue;
        }
        i++;
        fputc(s.p[i] == 'n' ? '\n' : s.p[i] == 't' ? '\t' : s.p[i], to);
    }
}

static int one_expression(FILE *to, struct slice s, const json_t *data)
{
    struct steps steps = {0};
    bool first = true;
    int rc = 0;

    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        print_quoted(to, s);
    else if (parse(s, &steps))
        rc = cli_usage("jsonpath: cannot read \"{%.*s}\": expected {.a.b}, {.a[0]}, {.a[*].b}, "
                       "{.a['key']}",
                       SLICE_FMT(s));
    else
        walk(to, data, steps.v, steps.n, &first);
    free_steps(&steps);
    return rc ? -1 : 0;
}

int output_jsonpath(FILE *to, const char *expression, const json_t *data)
{
    const char *p = expression;

    while (*p) {
        if (*p != '{') {
            fputc(*p++, to);
            continue;
        }
        const char *end = strchr(p, '}');
        if (!end) {
            cli_usage("jsonpath: \"%s\" has no closing brace", p);
            return -1;
        }
        if (one_expression(to, slice_of(p + 1, (size_t)(end - p - 1)), data))
            return -1;
        p = end + 1;
    }
    return 0;
}
