/* schema.c - the walker: tables in, problems and defaults out. */
#include "common/kube/schema.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/problem.h"
#include "common/kube/quantity.h"

#define DESCRIBE_MAX 96
#define SHOWN_MAX    40  /* bytes of a value that a message repeats */
#define KEY_SHOWN    120 /* bytes of a key in a path */
#define KNOWN_MAX    14  /* fields that "unknown field" lists */

/* ---- place and problems --------------------------------------------------------------------- */

void kube_enter(struct kube_checker *c, const char *key)
{
    BUG_ON(c->depth == KUBE_PATH_MAX);
    c->path[c->depth++] = (struct kube_step){.key = key};
}

void kube_enter_map(struct kube_checker *c, const char *key)
{
    kube_enter(c, key);
    c->path[c->depth - 1].in_map = true;
}

void kube_enter_index(struct kube_checker *c, size_t i)
{
    BUG_ON(c->depth == KUBE_PATH_MAX);
    c->path[c->depth++] = (struct kube_step){.index = i};
}

void kube_leave(struct kube_checker *c)
{
    c->depth--;
}

static void path_text(const struct kube_checker *c, struct buf *out)
{
    for (unsigned i = 0; i < c->depth; i++) {
        const struct kube_step *s = &c->path[i];
        if (!s->key)
            buf_printf(out, "[%zu]", s->index);
        else if (s->in_map)
            buf_printf(out, "[%.*s]", KEY_SHOWN, s->key);
        else
            buf_printf(out, "%s%.*s", i ? "." : "", KEY_SHOWN, s->key);
    }
}

/* the line of the deepest part of the path that the text has */
static unsigned path_line(const struct kube_checker *c)
{
    const struct yaml_node *n = c->root;
    unsigned line = n && c->root_depth ? n->line : c->line;
    for (unsigned i = c->root_depth; n && i < c->depth; i++) {
        const struct kube_step *s = &c->path[i];
        if (s->key) {
            const struct yaml_node *value = NULL, *key = yaml_member(n, s->key, &value);
            line = key ? key->line : line;
            n = value;
        } else {
            n = n->kind == YAML_LIST && s->index < n->n ? n->v[s->index] : NULL;
            line = n ? n->line : line;
        }
    }
    return line;
}

static void fault_va(struct kube_checker *c, const char *fmt, va_list ap)
{
    c->faults++;
    if (c->listed == KUBE_FAULTS_MAX)
        return;
    struct buf path = BUF_INIT;
    path_text(c, &path);
    kube_problems_vadd(c->problems, c->file, path_line(c), 0, c->object, path.len ? path.p : "",
                       fmt, ap);
    buf_free(&path);
    if (++c->listed == KUBE_FAULTS_MAX)
        kube_problems_add(c->problems, c->file, path_line(c), c->object, "",
                          "more problems than the %d listed", KUBE_FAULTS_MAX);
}

void kube_fault(struct kube_checker *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fault_va(c, fmt, ap);
    va_end(ap);
}

void kube_fault_at(struct kube_checker *c, const char *key, const char *fmt, ...)
{
    va_list ap;
    kube_enter(c, key);
    va_start(ap, fmt);
    fault_va(c, fmt, ap);
    va_end(ap);
    kube_leave(c);
}

/* ---- words for values ----------------------------------------------------------------------- */

static void describe_string(const char *s, char *out)
{
    size_t n = strlen(s), k = n < SHOWN_MAX ? n : SHOWN_MAX;
    while (k > 0 && k < n && ((unsigned char)s[k] & 0xc0) == 0x80)
        k--; /* not within a character */
    snprintf(out, DESCRIBE_MAX, "\"%.*s%s\" (string)", (int)k, s, k < n ? "..." : "");
}

const char *kube_describe(const struct kube_checker *c, const json_t *v, char *out)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        if (c->secret)
            snprintf(out, DESCRIBE_MAX, "a string of %zu bytes", json_string_length(v));
        else
            describe_string(json_string_value(v), out);
        break;
    case JSON_INTEGER:
        if (c->secret)
            snprintf(out, DESCRIBE_MAX, "an integer");
        else
            snprintf(out, DESCRIBE_MAX, "%" JSON_INTEGER_FORMAT " (integer)",
                     json_integer_value(v));
        break;
    case JSON_REAL:
        if (c->secret)
            snprintf(out, DESCRIBE_MAX, "a number");
        else
            snprintf(out, DESCRIBE_MAX, "%.15g (number)", json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, DESCRIBE_MAX, "%s (boolean)", json_is_true(v) ? "true" : "false");
        break;
    case JSON_NULL:
        snprintf(out, DESCRIBE_MAX, "null");
        break;
    case JSON_ARRAY:
        snprintf(out, DESCRIBE_MAX, "a list");
        break;
    case JSON_OBJECT:
        snprintf(out, DESCRIBE_MAX, "an object");
        break;
    }
    return out;
}

static void range_text(const struct kube_field *f, struct buf *out)
{
    if (!f->min && !f->max)
        return;
    if (f->max == LLONG_MAX)
        buf_printf(out, " of at least %lld", f->min);
    else
        buf_printf(out, " %lld..%lld", f->min, f->max);
}

/* "TCP UDP SCTP" -> "one of TCP, UDP, SCTP" */
static void words_text(const char *words, struct buf *out)
{
    if (strchr(words, ' '))
        buf_puts(out, "one of ");
    for (; *words; words++) {
        if (*words == ' ')
            buf_puts(out, ", ");
        else
            buf_putc(out, *words);
    }
}

static void expected_one(const struct kube_field *f, struct buf *out)
{
    switch (f->type) {
    case KT_STRING:
        if (f->oneof)
            words_text(f->oneof, out);
        else
            buf_puts(out, "a string");
        break;
    case KT_INT:
        buf_puts(out, "an integer");
        range_text(f, out);
        break;
    case KT_NUMBER:
        buf_puts(out, "a number");
        range_text(f, out);
        break;
    case KT_BOOL:
        buf_puts(out, "true or false");
        break;
    case KT_INTSTR:
        buf_puts(out, "an integer");
        range_text(f, out);
        buf_puts(out, " or a string");
        break;
    case KT_QUANTITY:
        buf_puts(out, "a quantity such as 500m, 2 or 64Mi");
        break;
    case KT_OBJECT:
        buf_puts(out, "an object");
        break;
    case KT_ANY:
        buf_puts(out, "a value");
        break;
    }
}

const char *kube_quote_hint(const json_t *v)
{
    if (json_is_boolean(v))
        return ": quote it (yes, no, on, off, y and n are booleans in YAML)";
    return json_is_number(v) ? ": quote it" : "";
}

/* Behind "expected a string": a number or a boolean whose text would do needs quotes. */
static void string_hint(const struct kube_field *f, const json_t *v, struct buf *out)
{
    char text[32];
    const char *s = json_is_number(v) ? kube_quantity_text(v, text) : NULL;
    const char *want = s && f->syntax ? f->syntax(s) : NULL;
    if (want)
        buf_printf(out, ": %s", want);
    else if (!f->oneof)
        buf_puts(out, kube_quote_hint(v));
}

/* got V, expected what the field takes */
static void fault_type(struct kube_checker *c, const struct kube_field *f, const json_t *v)
{
    char got[DESCRIBE_MAX];
    struct buf want = BUF_INIT;
    expected_one(f, &want);
    if (f->type == KT_STRING)
        string_hint(f, v, &want);
    kube_fault(c, "got %s, expected %s", kube_describe(c, v, got), want.p);
    buf_free(&want);
}

/* ---- one value ------------------------------------------------------------------------------ */

static bool word_is_in(const char *words, const char *s)
{
    size_t n = strlen(s);
    for (const char *p = words; n > 0 && (p = strstr(p, s)); p += n) {
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    }
    return false;
}

static void check_string(struct kube_checker *c, const struct kube_field *f, const json_t *v)
{
    char got[DESCRIBE_MAX];
    const char *s = json_string_value(v);
    if (!*s && f->shape == KS_ONE) {
        if (f->required)
            kube_fault(c, "must not be empty");
        return;
    }
    if (f->oneof && !word_is_in(f->oneof, s)) {
        struct buf want = BUF_INIT;
        words_text(f->oneof, &want);
        kube_fault(c, "got %s, expected %s", kube_describe(c, v, got), want.p);
        buf_free(&want);
    }
    const char *want = f->syntax ? f->syntax(s) : NULL;
    if (want)
        kube_fault(c, "got %s, expected %s", kube_describe(c, v, got), want);
}

static bool in_range(const struct kube_field *f, double v)
{
    return (!f->min && !f->max) || (v >= (double)f->min && v <= (double)f->max);
}

static void check_quantity(struct kube_checker *c, const struct kube_field *f, const json_t *v)
{
    char text[32];
    const char *s = kube_quantity_text(v, text);
    if (!s || kube_is_quantity(s))
        fault_type(c, f, v);
}

static void check_one(struct kube_checker *c, const struct kube_field *f, json_t *v)
{
    bool fits = true;
    switch (f->type) {
    case KT_ANY:
        break;
    case KT_STRING:
        if ((fits = json_is_string(v)))
            check_string(c, f, v);
        break;
    case KT_INT:
        fits = json_is_integer(v) && in_range(f, (double)json_integer_value(v));
        break;
    case KT_BOOL:
        fits = json_is_boolean(v);
        break;
    case KT_NUMBER:
        fits = json_is_number(v) && in_range(f, json_number_value(v));
        break;
    case KT_INTSTR:
        if (json_is_string(v))
            check_string(c, f, v);
        else
            fits = json_is_integer(v) && in_range(f, (double)json_integer_value(v));
        break;
    case KT_QUANTITY:
        check_quantity(c, f, v);
        break;
    case KT_OBJECT:
        if ((fits = json_is_object(v)))
            kube_check_object(c, f->of, v);
        break;
    }
    if (!fits)
        fault_type(c, f, v);
}

/* ---- lists and maps ------------------------------------------------------------------------- */

/* the text that must be unique within its list; false if the element lacks all of its keys */
static bool element_key(const char *keys, const json_t *e, struct buf *out)
{
    buf_clear(out);
    if (strcmp(keys, ".") == 0) {
        char text[32];
        const char *s = kube_quantity_text(e, text);
        buf_puts(out, s ? s : "");
        return s != NULL;
    }
    bool any = false;
    struct slice rest = slice_str(keys);
    while (rest.p) {
        struct slice name = slice_cut(&rest, ' ');
        char field[64], text[32];
        snprintf(field, sizeof field, "%.*s", SLICE_FMT(name));
        const json_t *v = json_object_get(e, field);
        const char *s = v ? kube_quantity_text(v, text) : NULL;
        any = any || (s && *s);
        buf_printf(out, "%s%s", out->len ? " / " : "", s ? s : "");
    }
    return any;
}

void kube_check_unique(struct kube_checker *c, const json_t *list, const char *keys)
{
    size_t n = json_array_size(list);
    size_t *places = xcalloc(n + 1, sizeof *places);
    struct table *seen = table_new(NULL); /* key -> its first place */
    struct buf key = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        if (!element_key(keys, json_array_get(list, i), &key))
            continue;
        const size_t *first = table_get_str(seen, key.p);
        if (!first) {
            places[i] = i;
            table_put_str(seen, key.p, &places[i]);
            continue;
        }
        kube_enter_index(c, i);
        kube_fault(c, "the same %s \"%s\" as element [%zu]", strcmp(keys, ".") ? keys : "value",
                   c->secret ? "..." : key.p, *first);
        kube_leave(c);
    }
    buf_free(&key);
    table_free(seen);
    free(places);
}

static void check_list(struct kube_checker *c, const struct kube_field *f, json_t *v)
{
    if (!json_is_array(v)) {
        char got[DESCRIBE_MAX];
        kube_fault(c, "got %s, expected a list", kube_describe(c, v, got));
        return;
    }
    unsigned before = c->faults;
    for (size_t i = 0; i < json_array_size(v) && c->listed < KUBE_FAULTS_MAX; i++) {
        kube_enter_index(c, i);
        check_one(c, f, json_array_get(v, i));
        kube_leave(c);
    }
    if (f->required && json_array_size(v) == 0)
        kube_fault(c, "must have at least one element");
    if (f->key && c->faults == before)
        kube_check_unique(c, v, f->key);
}

static void check_map(struct kube_checker *c, const struct kube_field *f, json_t *v)
{
    if (!json_is_object(v)) {
        char got[DESCRIBE_MAX];
        kube_fault(c, "got %s, expected a map", kube_describe(c, v, got));
        return;
    }
    const char *key;
    json_t *value;
    void *tmp;
    json_object_foreach_safe(v, tmp, key, value)
    {
        if (c->listed == KUBE_FAULTS_MAX)
            return;
        kube_enter_map(c, key);
        const char *want = f->key_syntax ? f->key_syntax(key) : NULL;
        if (want)
            kube_fault(c, "got key \"%.*s\", expected %s", SHOWN_MAX * 2, key, want);
        if (json_is_null(value) && f->type == KT_STRING)
            json_object_set_new(v, key, json_string("")); /* as Go reads null into a string */
        else
            check_one(c, f, value);
        kube_leave(c);
    }
    if (f->required && json_object_size(v) == 0)
        kube_fault(c, "must not be empty");
}

/* ---- objects -------------------------------------------------------------------------------- */

static const struct kube_field *field_of(const struct kube_schema *s, const char *key)
{
    for (const struct kube_field *f = s->fields; f->name; f++) {
        if (strcmp(f->name, key) == 0)
            return f;
    }
    return NULL;
}

static const char *nearest_field(const struct kube_schema *s, const char *key)
{
    const char *best = NULL;
    unsigned least = kube_name_distance_limit(key) + 1;
    for (const struct kube_field *f = s->fields; f->name; f++) {
        unsigned d = kube_name_distance(key, f->name);
        if (d < least) {
            least = d;
            best = f->name;
        }
    }
    return best;
}

static void fault_unknown(struct kube_checker *c, const struct kube_schema *s, const char *key)
{
    const char *near = nearest_field(s, key);
    struct buf known = BUF_INIT;
    unsigned n = 0;
    for (const struct kube_field *f = s->fields; f->name; f++)
        buf_printf(&known, "%s%s", n++ ? ", " : "", f->name);
    if (near)
        kube_fault(c, "unknown field, did you mean \"%s\"?", near);
    else if (n > 0 && n <= KNOWN_MAX)
        kube_fault(c, "unknown field, expected one of %s", known.p);
    else
        kube_fault(c, "unknown field");
    buf_free(&known);
}

static json_t *default_value(const struct kube_field *f)
{
    switch (f->type) {
    case KT_STRING:
        return json_string(f->dflt);
    case KT_BOOL:
        return json_boolean(strcmp(f->dflt, "true") == 0);
    case KT_OBJECT:
        return json_object();
    default:
        return json_integer(strtoll(f->dflt, NULL, 10));
    }
}

static void check_member(struct kube_checker *c, const struct kube_field *f, json_t *v)
{
    c->secret += f->secret;
    switch (f->shape) {
    case KS_LIST:
        check_list(c, f, v);
        break;
    case KS_MAP:
        check_map(c, f, v);
        break;
    case KS_ONE:
        check_one(c, f, v);
        break;
    }
    c->secret -= f->secret;
}

static void check_members(struct kube_checker *c, const struct kube_schema *s, json_t *object)
{
    const char *key;
    json_t *v;
    void *tmp;
    json_object_foreach_safe(object, tmp, key, v)
    {
        const struct kube_field *f = field_of(s, key);
        if (c->listed == KUBE_FAULTS_MAX)
            return;
        if (f && json_is_null(v) && f->type != KT_ANY) {
            json_object_del(object, key);
            continue;
        }
        kube_enter(c, f ? f->name : key);
        if (f)
            check_member(c, f, v);
        else if (!c->lenient)
            fault_unknown(c, s, key);
        kube_leave(c);
    }
}

static void fill_in(struct kube_checker *c, const struct kube_schema *s, json_t *object)
{
    for (const struct kube_field *f = s->fields; f->name; f++) {
        json_t *v = json_object_get(object, f->name);
        bool empty = v && f->type == KT_STRING && f->shape == KS_ONE && json_string_length(v) == 0;
        if (f->dflt && (!v || empty)) {
            json_object_set_new(object, f->name, default_value(f));
            if (f->type == KT_OBJECT) {
                kube_enter(c, f->name);
                kube_check_object(c, f->of, json_object_get(object, f->name));
                kube_leave(c);
            }
        } else if (f->required && !v) {
            kube_fault_at(c, f->name, "required, but missing");
        }
    }
}

void kube_check_object(struct kube_checker *c, const struct kube_schema *s, json_t *object)
{
    unsigned before = c->faults;
    check_members(c, s, object);
    fill_in(c, s, object);
    if (s->check && c->faults == before)
        s->check(c, object);
}
