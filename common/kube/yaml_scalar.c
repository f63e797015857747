/* yaml_scalar.c - what a scalar means: YAML 1.1 as go-yaml v2 reads it, since that is what users'
 * manifests were written for.
 *
 * In order: the words for booleans, null, infinity; integers (underscores dropped; 0x, 0o, 0b and
 * a leading 0 as in Go); floats; else a string.  Base-60 numbers are strings, dates too.
 */
#include "common/kube/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/codec.h"
#include "common/base/mem.h"

#define CORE_TAG   "tag:yaml.org,2002:"
#define NUMBER_MAX 128                /* characters; longer text is no number */
#define EXACT_MAX  9007199254740992.0 /* 2^53: the largest run of integers a double holds */

enum meaning { MEANS_STRING, MEANS_NULL, MEANS_BOOL, MEANS_INT, MEANS_FLOAT };

struct resolved {
    enum meaning m;
    bool truth;
    int64_t integer;
    double real;
};

static bool one_of(struct slice s, const char *const *words)
{
    for (; *words; words++) {
        if (slice_eq_str(s, *words))
            return true;
    }
    return false;
}

static bool resolve_word(struct slice s, struct resolved *r)
{
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
    static const char *const null[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const nan_words[] = {".nan", ".NaN", ".NAN", NULL};
    static const char *const inf[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const minus_inf[] = {"-.inf", "-.Inf", "-.INF", NULL};

    if (s.n > 5)
        return false;
    if (one_of(s, yes))
        *r = (struct resolved){.m = MEANS_BOOL, .truth = true};
    else if (one_of(s, no))
        *r = (struct resolved){.m = MEANS_BOOL, .truth = false};
    else if (one_of(s, null))
        *r = (struct resolved){.m = MEANS_NULL};
    else if (one_of(s, nan_words))
        *r = (struct resolved){.m = MEANS_FLOAT, .real = NAN};
    else if (one_of(s, inf))
        *r = (struct resolved){.m = MEANS_FLOAT, .real = INFINITY};
    else if (one_of(s, minus_inf))
        *r = (struct resolved){.m = MEANS_FLOAT, .real = -INFINITY};
    else
        return false;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* the base that a prefix announces; moves *p behind it */
static int base_of(const char **p)
{
    const char *s = *p;
    if (s[0] != '0' || s[1] == '\0')
        return 10;
    int base = s[1] == 'x' || s[1] == 'X'   ? 16
               : s[1] == 'o' || s[1] == 'O' ? 8
               : s[1] == 'b' || s[1] == 'B' ? 2
                                            : 0;
    *p += base ? 2 : 1;
    return base ? base : 8;
}

/* 1 and *r, or 0 if s is no integer at all.  Beyond 64 bits it becomes a float. */
static int resolve_int(const char *s, struct resolved *r)
{
    bool minus = *s == '-';
    const char *p = s + (*s == '-' || *s == '+');
    int base = base_of(&p);
    if (!*p)
        return 0;
    uint64_t value = 0;
    double wide = 0;
    bool over = false;
    for (; *p; p++) {
        int d = digit_of(*p);
        if (d >= base)
            return 0;
        wide = wide * base + d;
        over = over || value > (UINT64_MAX - (unsigned)d) / (unsigned)base;
        value = value * (unsigned)base + (unsigned)d;
    }
    if (over || value > (uint64_t)INT64_MAX + minus)
        *r = (struct resolved){.m = MEANS_FLOAT, .real = minus ? -wide : wide};
    else
        *r = (struct resolved){.m = MEANS_INT, .integer = (int64_t)(minus ? 0 - value : value)};
    return 1;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* [-+]? ( .digits | digits [. digits?] ) ( e [-+]? digits )? */
static bool is_float_text(const char *p)
{
    p += *p == '-' || *p == '+';
    const char *whole = skip_digits(p);
    bool some = whole > p;
    p = whole;
    if (*p == '.') {
        const char *end = skip_digits(p + 1);
        if (!some && end == p + 1)
            return false;
        some = true;
        p = end;
    }
    if (!some)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        const char *end = skip_digits(p);
        if (end == p)
            return false;
        p = end;
    }
    return *p == '\0';
}

static int resolve_float(const char *s, struct resolved *r)
{
    if (!is_float_text(s))
        return 0;
    double v = strtod(s, NULL); /* the process keeps the C locale */
    if (isinf(v))
        return 0;
    *r = (struct resolved){.m = MEANS_FLOAT, .real = v};
    return 1;
}

static struct resolved resolve(struct slice s)
{
    struct resolved r = {.m = MEANS_STRING};
    if (resolve_word(s, &r) || s.n >= NUMBER_MAX || !strchr("+-.0123456789", s.p[0]))
        return r;
    char text[NUMBER_MAX];
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_' || s.p[0] == '.')
            text[n++] = s.p[i];
    }
    text[n] = '\0';
    if (s.p[0] != '.' && resolve_int(text, &r))
        return r;
    resolve_float(text, &r);
    return r;
}

json_t *yaml_json_of_real(double v)
{
    if (fabs(v) <= EXACT_MAX && v == floor(v))
        return json_integer((json_int_t)v);
    return json_real(v); /* NULL for NaN and infinity, which JSON does not have */
}

static json_t *json_of(const struct resolved *r, struct slice text)
{
    switch (r->m) {
    case MEANS_NULL:
        return json_null();
    case MEANS_BOOL:
        return json_boolean(r->truth);
    case MEANS_INT:
        return json_integer(r->integer);
    case MEANS_FLOAT:
        return yaml_json_of_real(r->real);
    case MEANS_STRING:
        break;
    }
    return json_stringn(text.p, text.n);
}

bool yaml_plain_is_string(struct slice text)
{
    return resolve(text).m == MEANS_STRING;
}

static json_t *decode_binary(struct slice text, struct err *e)
{
    struct buf packed = BUF_INIT, out = BUF_INIT;
    for (size_t i = 0; i < text.n; i++) {
        if (!strchr(" \t\r\n", text.p[i]))
            buf_putc(&packed, text.p[i]);
    }
    json_t *j = NULL;
    if (base64_decode(buf_slice(&packed), &out) < 0)
        err_set(e, "!!binary value is not base64");
    else if (out.len > 0 && memchr(out.p, 0, out.len))
        err_set(e, "!!binary value holds a NUL byte");
    else if (!(j = json_stringn(out.len ? out.p : "", out.len)))
        err_set(e, "!!binary value does not decode to UTF-8 text");
    buf_free(&packed);
    buf_free(&out);
    return j;
}

/* An explicit tag must fit the text; !!float takes an integer too. */
static json_t *scalar_tagged(const char *tag, const struct yaml_node *n, struct err *e)
{
    static const struct {
        const char *name;
        enum meaning m;
    } core[] = {
        {"null", MEANS_NULL}, {"bool", MEANS_BOOL}, {"int", MEANS_INT}, {"float", MEANS_FLOAT}};
    if (strcmp(tag, "str") == 0 || strcmp(tag, "timestamp") == 0)
        return json_stringn(n->text.p, n->text.n);
    if (strcmp(tag, "binary") == 0)
        return decode_binary(n->text, e);
    for (size_t i = 0; i < sizeof core / sizeof *core; i++) {
        if (strcmp(tag, core[i].name) != 0)
            continue;
        struct resolved r = resolve(n->text);
        if (r.m == core[i].m || (r.m == MEANS_INT && core[i].m == MEANS_FLOAT))
            return json_of(&r, n->text);
        err_set(e, "\"%.40s\" is not what its tag !!%s says", n->text.p, tag);
        return NULL;
    }
    err_set(e, "unknown tag !!%.40s", tag);
    return NULL;
}

json_t *yaml_scalar(const struct yaml_node *n, struct err *e)
{
    json_t *j = NULL;
    if (n->tag && strcmp(n->tag, "!") != 0) {
        size_t core = strlen(CORE_TAG);
        if (strncmp(n->tag, CORE_TAG, core) != 0) {
            err_set(e, "unknown tag %.60s", n->tag);
            return NULL;
        }
        j = scalar_tagged(n->tag + core, n, e);
        if (!j && !e->text[0])
            err_set(e, "%.40s has no form in JSON", n->text.p);
        return j;
    }
    if (!n->plain || n->tag)
        return json_stringn(n->text.p, n->text.n);
    struct resolved r = resolve(n->text);
    j = json_of(&r, n->text);
    if (!j)
        err_set(e, "%.40s has no form in JSON", n->text.p);
    return j;
}

/* Go's strconv.FormatFloat(v, 'g', -1, 32): the shortest text that gives the same float32 */
static char *float_key(double v)
{
    if (isnan(v))
        return xstrdup(".nan");
    if (isinf(v))
        return xstrdup(v > 0 ? ".inf" : "-.inf");
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)(float)v);
        if (strtof(text, NULL) == (float)v)
            break;
    }
    return xstrdup(text);
}

static struct resolved resolve_key(const struct yaml_node *n)
{
    if (n->tag || !n->plain)
        return (struct resolved){.m = MEANS_STRING};
    return resolve(n->text);
}

char *yaml_key(const struct yaml_node *n, struct err *e)
{
    if (n->kind != YAML_SCALAR) {
        err_set(e, n->kind == YAML_LIST ? "a list cannot be a key"
                                        : "a map cannot be a key: a template such as {{x}} must be "
                                          "rendered first, or quoted");
        return NULL;
    }
    struct resolved r = resolve_key(n);
    switch (r.m) {
    case MEANS_NULL:
        err_set(e, "null cannot be a key: quote it if it is a word");
        return NULL;
    case MEANS_BOOL:
        return xstrdup(r.truth ? "true" : "false");
    case MEANS_INT:
        return xasprintf("%lld", (long long)r.integer);
    case MEANS_FLOAT:
        return float_key(r.real);
    case MEANS_STRING:
        break;
    }
    return xstrndup(n->text.p, n->text.n);
}
