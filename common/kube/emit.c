/* emit.c - JSON to YAML as kubectl prints it: block style, keys in order, lists not indented.
 *
 * What is written reads back equal.  A string stands without quotes only where it cannot be taken
 * for anything else, several lines stand as a block, everything else in double quotes.
 */
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/kube/object.h"
#include "common/kube/utf8.h"
#include "common/kube/yaml.h"

#define SIMPLE_KEY_MAX 1000 /* YAML reads a key of up to 1024 characters before its ":" */

static void put_indent(struct buf *out, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++)
        buf_putc(out, ' ');
}

/* ---- strings -------------------------------------------------------------------------------- */

/* printable in YAML, and not one of the characters that it takes for a line break or a BOM */
static bool is_tame(unsigned c)
{
    return c == '\t' || (c >= ' ' && c < 0x7f) ||
           (c >= 0xa0 && c != 0x2028 && c != 0x2029 && c != 0xfeff && c != 0xfffe && c != 0xffff);
}

/* The next character of s, which has n > 0 bytes left.  Strings of jansson are UTF-8; should one
 * not be, its bytes are taken one by one. */
static unsigned next_char(const char *s, size_t n, unsigned *len)
{
    unsigned c = utf8_decode(s, n, len);
    if (*len > 0)
        return c;
    *len = 1;
    return 0xfffd;
}

static bool all_tame(const char *s, bool breaks)
{
    size_t n = strlen(s);
    for (unsigned len; n > 0; s += len, n -= len) {
        unsigned c = next_char(s, n, &len);
        if (!is_tame(c) && !(breaks && c == '\n'))
            return false;
    }
    return true;
}

/* 2020-01-01, 12:30:45: readers of YAML 1.1 take the one for a date and the other for a number */
static bool is_number_of_old(const char *s)
{
    size_t digits = strspn(s, "0123456789");

    if (digits == 4 && s[4] == '-')
        return s[5 + strspn(s + 5, "0123456789-:+.TtZz ")] == '\0';
    s += strspn(s, "+-");
    digits = strspn(s, "0123456789_");
    return digits > 0 && s[digits] == ':' && s[strspn(s, "0123456789_:.")] == '\0';
}

/* fit to stand without quotes, as a key or a value */
static bool is_plain(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || !all_tame(s, false) || strchr(s, '\t') || strcmp(s, "<<") == 0)
        return false;
    if (strchr("?:,[]{}#&*!|>'\"%@`= ", s[0]) || s[n - 1] == ' ' || s[n - 1] == ':')
        return false;
    if (s[0] == '-' && (s[1] == '\0' || s[1] == ' '))
        return false;
    if (strstr(s, ": ") || strstr(s, " #") || strncmp(s, "...", 3) == 0)
        return false;
    return !is_number_of_old(s) && yaml_plain_is_string(slice_of(s, n));
}

static bool is_block(const char *s)
{
    return strchr(s, '\n') && !strchr(" \t\n", s[0]) && all_tame(s, true);
}

static void put_quoted(const char *s, struct buf *out)
{
    buf_putc(out, '"');
    size_t n = strlen(s);
    for (unsigned len; n > 0; s += len, n -= len) {
        unsigned c = next_char(s, n, &len);
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", (char)c);
        else if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '\t')
            buf_puts(out, "\\t");
        else if (is_tame(c))
            buf_append(out, s, len);
        else
            buf_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
    }
    buf_putc(out, '"');
}

/* literal style; the last line breaks decide about the sign behind "|" */
static void put_block(const char *s, unsigned indent, struct buf *out)
{
    size_t n = strlen(s), breaks = 0;
    while (s[n - 1 - breaks] == '\n')
        breaks++;
    buf_puts(out, breaks == 0 ? "|-\n" : breaks == 1 ? "|\n" : "|+\n");
    struct slice rest = slice_of(s, n - (breaks > 0));
    while (rest.p) {
        struct slice line = slice_cut(&rest, '\n');
        if (line.n > 0)
            put_indent(out, indent);
        buf_put_slice(out, line);
        buf_putc(out, '\n');
    }
}

/* ---- values --------------------------------------------------------------------------------- */

static void put_number(const json_t *j, struct buf *out)
{
    if (json_is_integer(j)) {
        buf_printf(out, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(j));
        return;
    }
    char text[32];
    snprintf(text, sizeof text, "%.17g", json_real_value(j));
    buf_printf(out, "%s%s\n", text, strpbrk(text, ".e") ? "" : ".0");
}

static void put_scalar(const json_t *j, unsigned indent, struct buf *out)
{
    const char *s = json_string_value(j);
    if (json_is_number(j)) {
        put_number(j, out);
    } else if (!s) {
        buf_puts(out, json_is_null(j) ? "null\n" : json_is_true(j) ? "true\n" : "false\n");
    } else if (is_block(s)) {
        put_block(s, indent, out);
    } else {
        if (is_plain(s))
            buf_puts(out, s);
        else
            put_quoted(s, out);
        buf_putc(out, '\n');
    }
}

static void put_key(const char *key, struct buf *out)
{
    struct buf quoted = BUF_INIT;
    if (is_plain(key) && *key != '-') /* "--- x" at the begin of a line would end the document */
        buf_puts(&quoted, key);
    else
        put_quoted(key, &quoted);
    if (quoted.len > SIMPLE_KEY_MAX)
        buf_printf(out, "? %s\n", quoted.p); /* the ":" comes on a line of its own */
    else
        buf_puts(out, quoted.p);
    buf_free(&quoted);
}

static bool is_empty(const json_t *j)
{
    return (json_is_object(j) && json_object_size(j) == 0) ||
           (json_is_array(j) && json_array_size(j) == 0);
}

static void put_map(const json_t *map, unsigned indent, bool inlined, struct buf *out);
static void put_list(const json_t *list, unsigned indent, bool inlined, struct buf *out);

/* what stands behind "key:" */
static void put_member(const json_t *v, unsigned indent, struct buf *out)
{
    if (is_empty(v)) {
        buf_puts(out, json_is_object(v) ? " {}\n" : " []\n");
    } else if (json_is_object(v)) {
        buf_putc(out, '\n');
        put_map(v, indent + 2, false, out);
    } else if (json_is_array(v)) {
        buf_putc(out, '\n');
        put_list(v, indent, false, out);
    } else {
        buf_putc(out, ' ');
        put_scalar(v, indent + 2, out);
    }
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* inlined: the first line continues one that has "- " on it */
static void put_map(const json_t *map, unsigned indent, bool inlined, struct buf *out)
{
    size_t n = 0;
    const char **keys = xcalloc(json_object_size(map), sizeof *keys);
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)map, key, v)
        keys[n++] = key;
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 || !inlined)
            put_indent(out, indent);
        put_key(keys[i], out);
        if (out->p[out->len - 1] == '\n')
            put_indent(out, indent);
        buf_putc(out, ':');
        put_member(json_object_get(map, keys[i]), indent, out);
    }
    free(keys);
}

static void put_list(const json_t *list, unsigned indent, bool inlined, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (i > 0 || !inlined)
            put_indent(out, indent);
        buf_puts(out, "- ");
        if (is_empty(v))
            buf_puts(out, json_is_object(v) ? "{}\n" : "[]\n");
        else if (json_is_object(v))
            put_map(v, indent + 2, true, out);
        else if (json_is_array(v))
            put_list(v, indent + 2, true, out);
        else
            put_scalar(v, indent + 2, out);
    }
}

void kube_to_yaml(const json_t *body, struct buf *out)
{
    if (is_empty(body))
        buf_puts(out, json_is_object(body) ? "{}\n" : "[]\n");
    else if (json_is_object(body))
        put_map(body, 0, false, out);
    else if (json_is_array(body))
        put_list(body, 0, false, out);
    else
        put_scalar(body, 2, out);
}
