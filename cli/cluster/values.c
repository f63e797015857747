/* values.c - reading --set as Helm's users write it, and values files; see values.h. */
#include "cli/cluster/values.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/names.h"
#include "common/kube/yaml.h"

#define FILE_MAX  (1u << 20)
#define STEPS_MAX 32
#define INDEX_MAX 1023 /* of "key[N]" */

/* ---- what a type takes ----------------------------------------------------------------------- */

static const char *const expected[] = {
    [VALUE_BOOL] = "true or false",  [VALUE_INT] = "an integer",
    [VALUE_TEXT] = "text",           [VALUE_NUMBER_TEXT] = "a number",
    [VALUE_TEXTS] = "a list: {a,b}", [VALUE_INTS] = "a list of integers: {1,2}",
    [VALUE_ANY] = "a value",
};

static int wrong(const struct value_key *k, const json_t *got, const char *want, struct err *e)
{
    char *text = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);

    err_set(e, "%s: got %.200s, expected %s", k->key, text, want);
    free(text);
    return -1;
}

/* The number that a text is, or NULL: digits, a minus in front. */
static json_t *integer_of(const char *s)
{
    const char *digits = s + (*s == '-');
    unsigned long long v;

    if (slice_u64(slice_str(digits), INT64_MAX, &v) || (digits[0] == '0' && digits[1]))
        return NULL;
    return json_integer(*s == '-' ? -(json_int_t)v : (json_int_t)v);
}

static json_t *bool_of(const char *s)
{
    if (strcmp(s, "true") == 0)
        return json_true();
    return strcmp(s, "false") == 0 ? json_false() : NULL;
}

static bool is_number(const char *s)
{
    char *end;

    strtod(s, &end);
    return *s && !*end;
}

static json_t *list_of(const struct value_key *k, const json_t *given, struct err *e);

/* A value of the key's type from what was given; typed: from a file, where a text is a text.
 * Returns owned, or NULL and e. */
static json_t *convert(const struct value_key *k, enum value_type type, const json_t *given,
                       bool typed, struct err *e)
{
    const char *s = json_string_value(given);
    json_t *v = NULL;

    if (type == VALUE_TEXTS || type == VALUE_INTS)
        return list_of(k, given, e);
    if (type == VALUE_ANY)
        v = json_incref((json_t *)(uintptr_t)given);
    else if (type == VALUE_BOOL)
        v = json_is_boolean(given) ? json_incref((json_t *)(uintptr_t)given)
            : s && !typed          ? bool_of(s)
                                   : NULL;
    else if (type == VALUE_INT)
        v = json_is_integer(given) ? json_incref((json_t *)(uintptr_t)given)
            : s && !typed          ? integer_of(s)
                                   : NULL;
    else if (type == VALUE_NUMBER_TEXT && json_is_number(given))
        v = json_sprintf("%g", json_number_value(given));
    else if (s && (type == VALUE_TEXT || is_number(s)))
        v = json_string(s);
    else if (type == VALUE_TEXT && !typed && json_is_integer(given))
        v = json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(given));
    else if (type == VALUE_TEXT && !typed && json_is_boolean(given))
        v = json_string(json_is_true(given) ? "true" : "false");
    if (!v)
        wrong(k, given, expected[type], e);
    return v;
}

static json_t *list_of(const struct value_key *k, const json_t *given, struct err *e)
{
    json_t *list = json_array();

    if (!json_is_array(given)) {
        wrong(k, given, expected[k->type], e);
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *one = json_array_get(given, i);
        json_t *v = json_is_null(one)
                        ? NULL
                        : convert(k, k->type == VALUE_INTS ? VALUE_INT : VALUE_TEXT, one, false, e);
        if (!v) {
            if (json_is_null(one))
                err_set(e, "%s[%zu]: nothing stands there, but something behind it", k->key, i);
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, v);
    }
    return list;
}

/* takes given; null takes the key away */
static int put(json_t *values, const struct value_key *k, json_t *given, bool typed, struct err *e)
{
    if (json_is_null(given)) {
        json_object_del(values, k->key);
        json_decref(given);
        return 0;
    }
    json_t *v = convert(k, k->type, given, typed, e);
    json_decref(given);
    if (!v)
        return -1;
    json_object_set_new(values, k->key, v);
    return 0;
}

/* ---- keys that are none ---------------------------------------------------------------------- */

static const struct value_key *group_member(const char *key)
{
    size_t n = strlen(key);

    for (const struct value_key *k = value_keys; k->key; k++)
        if (strncmp(k->key, key, n) == 0 && k->key[n] == '.')
            return k;
    return NULL;
}

/* of a name by itself, without what stands in front: it must be nearer than a whole key */
static unsigned tail_distance(const char *key, const char *path)
{
    const char *dot = strrchr(path, '.'), *own = strrchr(key, '.');

    return dot ? kube_name_distance(own ? own + 1 : key, dot + 1) + 1 : UINT_MAX;
}

static const struct value_key *nearest(const char *key)
{
    const struct value_key *best = NULL;
    unsigned least = kube_name_distance_limit(key) + 1;

    for (const struct value_key *k = value_keys; k->key; k++) {
        unsigned d = kube_name_distance(key, k->key), of_tail = tail_distance(key, k->key),
                 of_field = tail_distance(key, k->to);
        if (of_tail <= 2)
            d = of_tail < d ? of_tail : d;
        if (of_field <= 2)
            d = of_field < d ? of_field : d; /* as the MeshConfig calls it */
        if (d < least) {
            least = d;
            best = k;
        }
    }
    return best;
}

static int unknown(const char *key, struct err *e)
{
    const struct value_key *member = group_member(key), *near = member ? NULL : nearest(key);

    if (member)
        return err_set(e, "%s: is a group of keys, expected one of it, as %s", key, member->key);
    if (near)
        return err_set(e, "%s: there is no such key: did you mean %s?", key, near->key);
    return err_set(e, "%s: there is no such key: 'fsm install --keys' lists all", key);
}

/* ---- --set ----------------------------------------------------------------------------------- */

struct reader {
    const char *p;
    bool literal;
};

/* up to an unescaped byte of stop, which is not taken; returns owned.  keep: a backslash stays
 * before a dot, for who cuts there. */
static char *word(struct reader *r, const char *stop, bool keep)
{
    struct buf b = BUF_INIT;

    for (; *r->p && !strchr(stop, *r->p); r->p++) {
        if (*r->p == '\\' && r->p[1]) {
            r->p++;
            if (keep && *r->p == '.')
                buf_putc(&b, '\\');
        }
        buf_putc(&b, *r->p);
    }
    return buf_take(&b);
}

static json_t *plain(const char *s, bool literal)
{
    json_t *v = NULL;

    if (!literal && strcmp(s, "null") == 0)
        return json_null();
    if (!literal && !(v = bool_of(s)))
        v = integer_of(s);
    return v ? v : json_string(s);
}

/* "{a,b}" or "[a,b]": a list of texts */
static json_t *read_list(struct reader *r, char end, struct err *e)
{
    const char stop[] = {',', end, 0}, *begin = r->p++;
    json_t *list = json_array();

    for (bool first = true; *r->p; first = false) {
        char *one = word(r, stop, false);
        bool last = *r->p == end;
        struct slice text = slice_trim(slice_str(one));
        if (text.n || !last || !first)
            json_array_append_new(list, json_stringn(text.p, text.n));
        free(one);
        if (*r->p)
            r->p++;
        if (last)
            return list;
    }
    json_decref(list);
    err_set(e, "\"%s\": the list has no end: expected '%c'", begin, end);
    return NULL;
}

static json_t *read_value(struct reader *r, struct err *e)
{
    json_t *v;

    if (*r->p == '{' || *r->p == '[') {
        v = read_list(r, *r->p == '{' ? '}' : ']', e);
        if (v && *r->p && *r->p != ',') {
            err_set(e, "\"%s\": expected ',' or nothing behind a list", r->p);
            json_decref(v);
            return NULL;
        }
        return v;
    }
    char *s = word(r, ",", false);
    v = plain(s, r->literal);
    free(s);
    return v;
}

/* The steps of "a.b[0].c": "a", "b", "[0]", "c".  Their number, or -1; *text, owned, holds them. */
static int cut_steps(const char *path, char **text, char **steps)
{
    char *to = *text = xmalloc(2 * strlen(path) + 1); /* a bracket becomes two bytes */
    int n = 0;

    steps[n++] = to;
    for (const char *from = path; *from; from++) {
        if (*from == '\\' && from[1] == '.') {
            *to++ = *++from;
        } else if (*from == '[' || (*from == '.' && from[1] != '[')) {
            if (n == STEPS_MAX)
                return -1;
            *to++ = 0;
            steps[n++] = to;
            if (*from == '[')
                *to++ = '[';
        } else if (*from != '.') {
            *to++ = *from;
        }
    }
    *to = 0;
    return n;
}

/* The key that the first steps name; *used gets their number. */
static const struct value_key *key_of(char *const *steps, int n, int *used)
{
    struct buf path = BUF_INIT;
    const struct value_key *k = NULL;

    for (*used = 0; *used < n && steps[*used][0] != '[' && !k;) {
        buf_printf(&path, "%s%s", path.len ? "." : "", steps[(*used)++]);
        k = value_key_find(path.p);
    }
    buf_free(&path);
    return k;
}

/* the index in "[12]"; -1 if it is none */
static int index_of(const char *step)
{
    struct slice rest = slice_str(step + 1);
    unsigned long long i;

    if (slice_u64(slice_cut(&rest, ']'), INDEX_MAX, &i) || !rest.p || rest.n)
        return -1;
    return (int)i;
}

/* Puts value where the steps lead to in *at, which is made or changed to what they need.  Takes
 * value. */
static int set_in(json_t **at, char *const *steps, int n, json_t *value, struct err *e)
{
    if (n == 0) {
        json_decref(*at);
        *at = value;
        return 0;
    }
    bool list = steps[0][0] == '[';
    int i = list ? index_of(steps[0]) : 0;
    if (i < 0) {
        json_decref(value);
        return err_set(e, "%s: expected an index 0..%d in brackets", steps[0], INDEX_MAX);
    }
    if (list ? !json_is_array(*at) : !json_is_object(*at)) {
        json_decref(*at);
        *at = list ? json_array() : json_object();
    }
    while (list && json_array_size(*at) <= (size_t)i)
        json_array_append_new(*at, json_null());
    json_t *inner =
        json_incref(list ? json_array_get(*at, (size_t)i) : json_object_get(*at, steps[0]));
    if (set_in(&inner, steps + 1, n - 1, value, e)) {
        json_decref(inner);
        return -1;
    }
    if (list)
        json_array_set_new(*at, (size_t)i, inner);
    else
        json_object_set_new(*at, steps[0], inner);
    return 0;
}

/* takes value */
static int assign(json_t *values, const char *path, json_t *value, struct err *e)
{
    char *text, *steps[STEPS_MAX];
    int n = cut_steps(path, &text, steps), used = 0, rc = -1;
    const struct value_key *k = n > 0 ? key_of(steps, n, &used) : NULL;

    if (!k) {
        unknown(path, e);
    } else if (n == used) {
        rc = put(values, k, json_incref(value), false, e);
    } else if (k->type != VALUE_ANY && k->type != VALUE_TEXTS && k->type != VALUE_INTS) {
        err_set(e, "%s: %s is %s, there is nothing in it", path, k->key, expected[k->type]);
    } else {
        json_t *now = json_deep_copy(json_object_get(values, k->key));
        rc = set_in(&now, steps + used, n - used, json_incref(value), e);
        if (rc == 0)
            rc = json_array_size(now) && k->type != VALUE_ANY
                     ? (json_object_set_new(values, k->key, now), 0)
                     : put(values, k, now, false, e);
        else
            json_decref(now);
    }
    json_decref(value);
    free(text);
    return rc;
}

/* lists that were set element by element have no gaps and hold what they should */
static int settle_lists(json_t *values, struct err *e)
{
    const char *key;
    json_t *v;
    void *next;

    json_object_foreach_safe(values, next, key, v)
    {
        const struct value_key *k = value_key_find(key);
        if ((k->type == VALUE_TEXTS || k->type == VALUE_INTS) &&
            put(values, k, json_incref(v), false, e))
            return -1;
    }
    return 0;
}

int values_set(json_t *values, const char *text, bool literal, struct err *e)
{
    struct reader r = {text, literal};

    do {
        char *path = word(&r, "=,", true);
        json_t *value = NULL;
        int rc = -1;
        if (*r.p != '=')
            err_set(e, "\"%s\": expected KEY=VALUE; a list stands in braces, {a,b}", path);
        else if (r.p++, (value = read_value(&r, e)) != NULL)
            rc = assign(values, path, value, e);
        else
            err_prefix(e, "%s", path);
        free(path);
        if (rc)
            return rc;
    } while (*r.p++ == ',');
    return settle_lists(values, e);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int merge(json_t *values, const char *path, const json_t *node, struct err *e)
{
    const struct value_key *k = *path ? value_key_find(path) : NULL;
    const char *name;
    json_t *v;

    if (k)
        return put(values, k, json_incref((json_t *)(uintptr_t)node), true, e);
    if (*path && !group_member(path))
        return unknown(path, e);
    if (json_is_null(node))
        return 0;
    if (!json_is_object(node))
        return *path ? unknown(path, e) : err_set(e, "expected keys and values");
    json_object_foreach ((json_t *)(uintptr_t)node, name, v) {
        char *deeper = xasprintf("%s%s%s", path, *path ? "." : "", name);
        int rc = merge(values, deeper, v, e);
        free(deeper);
        if (rc)
            return rc;
    }
    return 0;
}

struct reading {
    json_t *values;
    struct err *e;
    int rc;
};

static void read_doc(struct yaml_doc *doc, void *arg)
{
    struct reading *r = arg;

    if (r->rc == 0 && doc->json && !doc->bad)
        r->rc = merge(r->values, "", doc->json, r->e);
}

int values_read(json_t *values, struct slice text, const char *name, struct err *e)
{
    struct kube_problems problems = {NULL, 0};
    struct reading r = {values, e, 0};

    yaml_each(text, name, &problems, read_doc, &r);
    if (r.rc)
        err_prefix(e, "%s", name);
    if (problems.n && r.rc == 0) {
        char *why = kube_problem_text(&problems.v[0]);
        r.rc = err_set(e, "%s", why);
        free(why);
    }
    kube_problems_free(&problems);
    return r.rc;
}

int values_file(json_t *values, const char *path, struct err *e)
{
    struct buf text = BUF_INIT;
    int rc = file_read(path, FILE_MAX, &text, e);

    if (rc == 0)
        rc = values_read(values, buf_slice(&text), path, e);
    buf_free(&text);
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

json_t *values_nested(const json_t *values)
{
    json_t *root = json_object(), *v;
    const char *key;
    struct err e;

    json_object_foreach ((json_t *)(uintptr_t)values, key, v) {
        char *text, *steps[STEPS_MAX];
        int n = cut_steps(key, &text, steps);
        set_in(&root, steps, n, json_incref(v), &e);
        free(text);
    }
    return root;
}

const char *values_text(const json_t *values, const char *key, const char *dflt)
{
    const char *s = json_string_value(json_object_get(values, key));

    return s && *s ? s : dflt;
}

bool values_bool(const json_t *values, const char *key, bool dflt)
{
    const json_t *v = json_object_get(values, key);

    return v ? json_is_true(v) : dflt;
}
