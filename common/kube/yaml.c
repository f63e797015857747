/* yaml.c - the text is cut into documents; each goes through libyaml's events into a tree of
 * nodes that keep their place, and from there, aliases and merge keys expanded, into JSON.
 *
 * The cut is by lines that begin with "---": YAML forbids such lines inside a document, so a
 * broken document can be skipped and the next one read.
 */
#include "common/kube/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/problem.h"
#include "common/kube/utf8.h"

#define FAULTS_MAX   30   /* in one document; then it is given up */
#define REPEAT_FLOOR 1000 /* nodes that aliases may make of any document */
#define REPEAT_MAX   100  /* and of each node that is written */

struct frame {
    struct yaml_node *node;
    unsigned cap;
};

struct reader {
    const char *file;
    struct kube_problems *problems;
    unsigned line0; /* lines of the file before this piece */
    void (*fn)(struct yaml_doc *doc, void *arg);
    void *arg;

    struct arena *arena; /* the nodes of one document */
    struct table *anchors;
    struct frame stack[YAML_DEPTH_MAX];
    unsigned depth;
    struct yaml_node *root;
    unsigned nodes; /* of the current document: as written, then with aliases expanded */
    unsigned nodes_max;
    size_t bytes;
    unsigned faults;
    bool bad;
    bool stuck; /* this document cannot be read on */
};

static void fault(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void fault(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kube_problems_vadd(r->problems, r->file, line, column, "", "", fmt, ap);
    va_end(ap);
    r->bad = true;
    if (++r->faults == FAULTS_MAX)
        r->stuck = true;
}

/* ---- events -> nodes ------------------------------------------------------------------------ */

static unsigned line_of(const struct reader *r, const yaml_mark_t *m)
{
    return r->line0 + (unsigned)m->line + 1;
}

static bool within_bounds(struct reader *r, unsigned line, unsigned column)
{
    if (r->nodes <= r->nodes_max && r->bytes <= YAML_BYTES_MAX)
        return true;
    if (!r->stuck && r->nodes > r->nodes_max)
        fault(r, line, column, "a document of more than %u nodes%s", r->nodes_max,
              r->nodes_max < YAML_NODES_MAX ? ": its aliases repeat too much" : "");
    else if (!r->stuck)
        fault(r, line, column, "a document of more than %u MiB of text", YAML_BYTES_MAX >> 20);
    r->stuck = true;
    return false;
}

/* Aliases may repeat a good deal of what is written, but work and memory must stay in proportion
 * to the text. */
static unsigned nodes_allowed(unsigned written)
{
    unsigned n = REPEAT_FLOOR + REPEAT_MAX * written;
    return n < YAML_NODES_MAX ? n : YAML_NODES_MAX;
}

static struct yaml_node *node_new(struct reader *r, enum yaml_kind kind, const yaml_event_t *ev,
                                  const yaml_char_t *tag)
{
    struct yaml_node *n = arena_zalloc(r->arena, sizeof *n);
    n->kind = kind;
    n->line = line_of(r, &ev->start_mark);
    n->column = (unsigned)ev->start_mark.column + 1;
    n->tag = tag ? arena_strdup(r->arena, (const char *)tag) : NULL;
    r->nodes++;
    within_bounds(r, n->line, n->column);
    return n;
}

static void append(struct reader *r, struct yaml_node *n)
{
    if (r->depth == 0) {
        r->root = n;
        return;
    }
    struct frame *f = &r->stack[r->depth - 1];
    if (f->node->n == f->cap) {
        unsigned cap = f->cap ? 2 * f->cap : 8;
        struct yaml_node **v = arena_alloc(r->arena, cap * sizeof *v);
        if (f->node->n > 0)
            memcpy(v, f->node->v, f->node->n * sizeof *v);
        f->node->v = v;
        f->cap = cap;
    }
    f->node->v[f->node->n++] = n;
}

static void remember_anchor(struct reader *r, const yaml_char_t *anchor, struct yaml_node *n)
{
    if (!anchor)
        return;
    if (!r->anchors)
        r->anchors = table_new(NULL);
    table_put_str(r->anchors, (const char *)anchor, n);
}

static void on_scalar(struct reader *r, const yaml_event_t *ev)
{
    struct yaml_node *n = node_new(r, YAML_SCALAR, ev, ev->data.scalar.tag);
    n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = arena_slice(r->arena,
                          slice_of((const char *)ev->data.scalar.value, ev->data.scalar.length));
    remember_anchor(r, ev->data.scalar.anchor, n);
    append(r, n);
}

static void on_open(struct reader *r, enum yaml_kind kind, const yaml_event_t *ev,
                    const yaml_char_t *tag, const yaml_char_t *anchor)
{
    struct yaml_node *n = node_new(r, kind, ev, tag);
    if (r->depth == YAML_DEPTH_MAX) {
        fault(r, n->line, n->column, "nested deeper than %d levels", YAML_DEPTH_MAX);
        r->stuck = true;
        return;
    }
    n->open = true;
    remember_anchor(r, anchor, n);
    append(r, n);
    r->stack[r->depth++] = (struct frame){n, 0};
}

static void on_alias(struct reader *r, const yaml_event_t *ev)
{
    const char *name = (const char *)ev->data.alias.anchor;
    unsigned line = line_of(r, &ev->start_mark), column = (unsigned)ev->start_mark.column + 1;
    struct yaml_node *n = r->anchors ? table_get_str(r->anchors, name) : NULL;
    if (n && !n->open) {
        r->nodes++;
        append(r, n);
        within_bounds(r, line, column);
        return;
    }
    fault(r, line, column,
          n ? "alias *%.60s stands inside its own anchor &%.60s"
            : "alias *%.60s has no anchor &%.60s before it",
          name, name);
    r->stuck = true;
}

static void on_event(struct reader *r, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        on_scalar(r, ev);
        break;
    case YAML_SEQUENCE_START_EVENT:
        on_open(r, YAML_LIST, ev, ev->data.sequence_start.tag, ev->data.sequence_start.anchor);
        break;
    case YAML_MAPPING_START_EVENT:
        on_open(r, YAML_MAP, ev, ev->data.mapping_start.tag, ev->data.mapping_start.anchor);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        r->stack[--r->depth].node->open = false;
        break;
    case YAML_ALIAS_EVENT:
        on_alias(r, ev);
        break;
    default:
        break;
    }
}

/* ---- nodes -> JSON -------------------------------------------------------------------------- */

static json_t *to_json(struct reader *r, const struct yaml_node *n, unsigned depth);

static bool is_merge_key(const struct yaml_node *k)
{
    return k->kind == YAML_SCALAR && slice_eq_str(k->text, "<<") &&
           (k->tag ? strcmp(k->tag, "tag:yaml.org,2002:merge") == 0 : k->plain);
}

static json_t *scalar_to_json(struct reader *r, const struct yaml_node *n)
{
    struct err e = {""};
    r->bytes += n->text.n;
    if (memchr(n->text.p, 0, n->text.n)) {
        fault(r, n->line, n->column, "text with a NUL byte");
        return json_string("");
    }
    json_t *j = yaml_scalar(n, &e);
    if (!j) {
        fault(r, n->line, n->column, "%s", e.text);
        return json_string("");
    }
    return j;
}

static json_t *list_to_json(struct reader *r, const struct yaml_node *n, unsigned depth)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n->n && !r->stuck; i++)
        json_array_append_new(list, to_json(r, n->v[i], depth + 1));
    return list;
}

/* the line where a key was first given, for the duplicate's message */
static unsigned first_line_of(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *k = yaml_member(map, key, NULL);
    return k ? k->line : map->line;
}

static void add_member(struct reader *r, const struct yaml_node *map, unsigned i, json_t *object,
                       unsigned depth)
{
    const struct yaml_node *k = map->v[i];
    struct err e = {""};
    char *key = yaml_key(k, &e);
    if (key && memchr(k->text.p, 0, k->text.n))
        err_set(&e, "a key with a NUL byte");
    r->bytes += k->text.n;
    if (e.text[0])
        fault(r, k->line, k->column, "%s", e.text);
    else if (json_object_get(object, key))
        fault(r, k->line, k->column, "duplicate key \"%.60s\", first on line %u", key,
              first_line_of(map, key));
    else
        json_object_set_new(object, key, to_json(r, map->v[i + 1], depth + 1));
    free(key);
}

/* "<<: *a" or "<<: [*a, *b]": members that the map itself, and earlier ones of the list, lack */
static void merge_into(struct reader *r, const struct yaml_node *from, json_t *object,
                       unsigned depth)
{
    if (from->kind == YAML_MAP) {
        json_t *base = to_json(r, from, depth + 1);
        json_object_update_missing(object, base);
        json_decref(base);
    } else if (from->kind == YAML_LIST && depth < YAML_DEPTH_MAX) {
        for (unsigned i = 0; i < from->n && !r->stuck; i++)
            merge_into(r, from->v[i], object, depth + 1);
    } else {
        fault(r, from->line, from->column, "a merge key (<<) takes a map or a list of maps");
    }
}

static json_t *map_to_json(struct reader *r, const struct yaml_node *n, unsigned depth)
{
    json_t *object = json_object();
    for (unsigned i = 0; i + 1 < n->n && !r->stuck; i += 2) {
        if (!is_merge_key(n->v[i]))
            add_member(r, n, i, object, depth);
    }
    for (unsigned i = 0; i + 1 < n->n && !r->stuck; i += 2) {
        if (is_merge_key(n->v[i]))
            merge_into(r, n->v[i + 1], object, depth);
    }
    return object;
}

static json_t *to_json(struct reader *r, const struct yaml_node *n, unsigned depth)
{
    r->nodes++;
    if (!within_bounds(r, n->line, n->column))
        return json_null();
    if (depth > YAML_DEPTH_MAX) {
        fault(r, n->line, n->column, "nested deeper than %d levels", YAML_DEPTH_MAX);
        r->stuck = true;
        return json_null();
    }
    switch (n->kind) {
    case YAML_LIST:
        return list_to_json(r, n, depth);
    case YAML_MAP:
        return map_to_json(r, n, depth);
    case YAML_SCALAR:
        break;
    }
    return scalar_to_json(r, n);
}

static const struct yaml_node *merged_member(const struct yaml_node *from, const char *key,
                                             const struct yaml_node **value, unsigned depth);

static const struct yaml_node *member(const struct yaml_node *map, const char *key,
                                      const struct yaml_node **value, unsigned depth)
{
    for (unsigned i = 0; i + 1 < map->n; i += 2) {
        char *k = is_merge_key(map->v[i]) ? NULL : yaml_key(map->v[i], NULL);
        bool same = k && strcmp(k, key) == 0;
        free(k);
        if (same) {
            if (value)
                *value = map->v[i + 1];
            return map->v[i];
        }
    }
    for (unsigned i = 0; i + 1 < map->n; i += 2) {
        const struct yaml_node *k =
            is_merge_key(map->v[i]) ? merged_member(map->v[i + 1], key, value, depth + 1) : NULL;
        if (k)
            return k;
    }
    return NULL;
}

static const struct yaml_node *merged_member(const struct yaml_node *from, const char *key,
                                             const struct yaml_node **value, unsigned depth)
{
    if (depth > YAML_DEPTH_MAX || from->kind == YAML_SCALAR)
        return NULL;
    if (from->kind == YAML_MAP)
        return member(from, key, value, depth);
    for (unsigned i = 0; i < from->n; i++) {
        const struct yaml_node *k = merged_member(from->v[i], key, value, depth + 1);
        if (k)
            return k;
    }
    return NULL;
}

const struct yaml_node *yaml_member(const struct yaml_node *map, const char *key,
                                    const struct yaml_node **value)
{
    return map->kind == YAML_MAP ? member(map, key, value, 0) : NULL;
}

/* ---- documents ------------------------------------------------------------------------------ */

static void begin_document(struct reader *r)
{
    arena_reset(r->arena);
    table_free(r->anchors);
    r->anchors = NULL;
    r->depth = 0;
    r->root = NULL;
    r->nodes = 0;
    r->nodes_max = YAML_NODES_MAX;
    r->bytes = 0;
    r->faults = 0;
    r->bad = false;
    r->stuck = false;
}

static bool is_empty(const struct yaml_node *root)
{
    return !root || (root->kind == YAML_SCALAR && root->plain && !root->tag &&
                     !yaml_plain_is_string(root->text) && root->text.n == 0);
}

static void deliver(struct reader *r, json_t *json)
{
    struct yaml_doc doc = {.json = json,
                           .root = json ? r->root : NULL,
                           .line = r->root ? r->root->line : r->line0 + 1,
                           .bad = r->bad};
    r->fn(&doc, r->arg);
    json_decref(doc.json);
}

static void end_document(struct reader *r)
{
    if (is_empty(r->root) && !r->bad)
        return;
    r->nodes_max = nodes_allowed(r->nodes);
    r->nodes = 0;
    json_t *json = r->stuck || !r->root ? NULL : to_json(r, r->root, 1);
    if (r->stuck) {
        json_decref(json);
        json = NULL;
    }
    deliver(r, json);
}

/* the byte at a mark, whose column counts characters; 0 behind the end */
static char byte_at(struct slice text, const yaml_mark_t *m)
{
    struct slice line = slice_of(NULL, 0);
    for (size_t i = 0; i <= m->line; i++)
        line = slice_cut(&text, '\n');
    size_t i = 0;
    for (size_t column = 0; column < m->column && i < line.n; column++) {
        i++;
        while (i < line.n && ((unsigned char)line.p[i] & 0xc0) == 0x80)
            i++;
    }
    return i < line.n ? line.p[i] : '\0';
}

/* libyaml's words for the faults that users make most, in ours */
static const char *explain(const yaml_parser_t *p, struct slice text)
{
    if (p->error == YAML_SCANNER_ERROR && byte_at(text, &p->problem_mark) == '\t')
        return "a tab where YAML wants spaces: indent with spaces";
    if (!p->problem)
        return "not YAML";
    if (strcmp(p->problem, "mapping values are not allowed in this context") == 0)
        return "\": \" is not possible here: quote the value, or check the indentation";
    if (strcmp(p->problem, "did not find expected key") == 0)
        return "expected a key: check the indentation and that quotes and brackets are closed";
    if (strcmp(p->problem, "found unexpected end of stream") == 0)
        return "the document ends within a quoted value: close the quote";
    if (strcmp(p->problem, "did not find expected ',' or '}'") == 0)
        return "expected \",\" or \"}\"";
    if (strcmp(p->problem, "did not find expected ',' or ']'") == 0)
        return "expected \",\" or \"]\"";
    if (strcmp(p->problem, "could not find expected ':'") == 0)
        return "expected \"key: value\"";
    if (strcmp(p->problem, "did not find expected '-' indicator") == 0)
        return "expected \"- \": check the indentation of this list";
    if (strcmp(p->problem, "found character that cannot start any token") == 0)
        return "this character cannot begin a value: quote it";
    return p->problem;
}

/* The bytes are UTF-8: what libyaml cannot read is a control character. */
static void on_reader_error(struct reader *r, const yaml_parser_t *p, struct slice text)
{
    unsigned line = r->line0 + 1, column = 1;
    size_t at = p->problem_offset < text.n ? p->problem_offset : text.n;
    for (size_t i = 0; i < at; i++) {
        line += text.p[i] == '\n';
        if (((unsigned char)text.p[i] & 0xc0) != 0x80)
            column = text.p[i] == '\n' ? 1 : column + 1;
    }
    fault(r, line, column, "control character U+%04X: write it as \"\\u%04x\" in double quotes",
          (unsigned)p->problem_value, (unsigned)p->problem_value);
}

static void on_syntax_error(struct reader *r, const yaml_parser_t *p, struct slice text)
{
    const char *why = explain(p, text);
    const yaml_mark_t *m = &p->problem_mark, *from = &p->context_mark;
    bool half_key = p->context && strcmp(p->context, "while scanning a simple key") == 0;
    if (half_key)
        m = from; /* the scanner notices on the next line only */
    unsigned line = line_of(r, m), column = (unsigned)m->column + 1;
    r->stuck = true;
    if (p->error == YAML_READER_ERROR)
        on_reader_error(r, p, text);
    else if (p->context && from->line != m->line)
        fault(r, line, column, "%s (%s that begins on line %u)", why, p->context, line_of(r, from));
    else
        fault(r, line, column, "%s", why);
}

/* jansson's values as the YAML way makes them: integral reals are integers; false if too deep */
static bool settle_json(json_t *j, unsigned depth)
{
    const char *key;
    json_t *v;
    void *tmp;
    if (depth > YAML_DEPTH_MAX)
        return false;
    json_object_foreach_safe(j, tmp, key, v)
    {
        if (json_is_real(v))
            json_object_set_new(j, key, yaml_json_of_real(json_real_value(v)));
        else if (!settle_json(v, depth + 1))
            return false;
    }
    for (size_t i = 0; i < json_array_size(j); i++) {
        v = json_array_get(j, i);
        if (json_is_real(v))
            json_array_set_new(j, i, yaml_json_of_real(json_real_value(v)));
        else if (!settle_json(v, depth + 1))
            return false;
    }
    return true;
}

/* JSON that YAML cannot read (surrogate pairs, keys over 1024 characters): no places then */
static bool read_as_json(struct reader *r, struct slice text)
{
    if (text.n == 0 || *text.p != '{')
        return false;
    json_error_t je;
    json_t *j = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &je);
    if (!j || !settle_json(j, 1)) {
        json_decref(j);
        return false;
    }
    begin_document(r);
    deliver(r, j);
    return true;
}

/* One event; false at the end of the text or when it cannot be read on. */
static bool step(struct reader *r, yaml_parser_t *p, struct slice text)
{
    yaml_event_t ev;
    if (!yaml_parser_parse(p, &ev)) {
        if (!read_as_json(r, text)) {
            on_syntax_error(r, p, text);
            deliver(r, NULL);
        }
        return false;
    }
    yaml_event_type_t type = ev.type;
    if (type == YAML_DOCUMENT_START_EVENT)
        begin_document(r);
    else if (type == YAML_DOCUMENT_END_EVENT)
        end_document(r);
    else
        on_event(r, &ev);
    yaml_event_delete(&ev);
    if (r->stuck && type != YAML_DOCUMENT_END_EVENT) {
        deliver(r, NULL);
        return false;
    }
    return type != YAML_STREAM_END_EVENT;
}

static void read_piece(struct reader *r, struct slice text)
{
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        abort(); /* out of memory, as in mem.h */
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)text.p, text.n);
    begin_document(r);
    while (step(r, &p, text))
        ;
    yaml_parser_delete(&p);
}

/* ---- the file ------------------------------------------------------------------------------- */

static bool check_utf8(struct reader *r, struct slice text)
{
    unsigned line = r->line0 + 1, column = 1;
    for (size_t i = 0; i < text.n;) {
        unsigned len, c = utf8_decode(text.p + i, text.n - i, &len);
        if (len == 0) {
            begin_document(r);
            fault(r, line, column, "byte 0x%02x is not UTF-8", (unsigned char)text.p[i]);
            deliver(r, NULL);
            return false;
        }
        line += c == '\n';
        column = c == '\n' ? 1 : column + 1;
        i += len;
    }
    return true;
}

static bool is_separator(struct slice line)
{
    return line.n >= 3 && memcmp(line.p, "---", 3) == 0 &&
           (line.n == 3 || strchr(" \t\r", line.p[3]));
}

/* nothing but blank lines, comments and %directives, which belong to the document behind it */
static bool is_preamble(struct slice line)
{
    line = slice_trim(line);
    return line.n == 0 || *line.p == '#' || *line.p == '%' || *line.p == '\r';
}

static bool is_utf16(struct slice text)
{
    return text.n >= 2 &&
           (memcmp(text.p, "\xff\xfe", 2) == 0 || memcmp(text.p, "\xfe\xff", 2) == 0);
}

static bool check_size(struct reader *r, struct slice text)
{
    if (text.n <= YAML_TEXT_MAX && !is_utf16(text))
        return true;
    begin_document(r);
    if (text.n > YAML_TEXT_MAX)
        fault(r, 1, 0, "%zu bytes, more than the %u MiB that one file may have", text.n,
              YAML_TEXT_MAX >> 20);
    else
        fault(r, 1, 1, "the file is UTF-16, expected UTF-8: convert it");
    deliver(r, NULL);
    return false;
}

/* the lines since the last cut */
struct piece {
    const char *begin;
    bool started; /* more than preamble: the next separator ends it */
    bool body;    /* more than a bare separator: worth reading */
};

static void end_piece(struct reader *r, struct piece *p, const char *end, unsigned lines)
{
    struct slice text = slice_of(p->begin, (size_t)(end - p->begin));
    if (!p->started)
        return;
    if (p->body && check_utf8(r, text))
        read_piece(r, text);
    r->line0 = lines;
    *p = (struct piece){.begin = end};
}

static void each_piece(struct reader *r, struct slice text)
{
    struct slice rest = text;
    struct piece p = {.begin = text.p};
    unsigned lines = 0;
    while (rest.p && rest.n > 0) {
        const char *at = rest.p;
        struct slice line = slice_cut(&rest, '\n');
        if (is_separator(line)) {
            end_piece(r, &p, at, lines);
            p.started = true;
            p.body = p.body || !is_preamble(slice_of(line.p + 3, line.n - 3));
        } else if (!is_preamble(line)) {
            p.started = p.body = true;
        }
        lines++;
    }
    end_piece(r, &p, text.p + text.n, lines);
}

void yaml_each(struct slice text, const char *file, struct kube_problems *problems,
               void (*fn)(struct yaml_doc *doc, void *arg), void *arg)
{
    struct reader r = {
        .file = file, .problems = problems, .fn = fn, .arg = arg, .arena = arena_new(16384)};
    if (check_size(&r, text)) {
        if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
            text = slice_of(text.p + 3, text.n - 3);
        each_piece(&r, text);
    }
    table_free(r.anchors);
    arena_free(r.arena);
}
