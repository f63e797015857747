/* output.c - tables, JSON, YAML and names; see output.h. */
#include "cli/output.h"

#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/local/local_cli.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/object.h"
#include "common/kube/utf8.h"

#define COLUMNS_MAX 16
#define GAP         3 /* spaces between columns */

/* ---- table ----------------------------------------------------------------------------------- */

static char *cell(const struct out_column *c, const json_t *row)
{
    if (c->text)
        return c->text(row);
    const json_t *v = json_at(row, c->path);
    if (json_is_string(v))
        return xstrdup(json_string_value(v));
    return v && !json_is_null(v) ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT) : xstrdup("");
}

static char *namespace_cell(const json_t *row)
{
    return xstrdup(json_str(row, "metadata.namespace", ""));
}

static char *kind_name_cell(const json_t *row)
{
    return ref_text(kube_kind_of(json_str(row, "kind", "")) ?: "",
                    json_str(row, "metadata.name", ""));
}

static const struct out_column namespace_column = {.title = "NAMESPACE", .text = namespace_cell};

static unsigned choose_columns(const struct output *out, const struct out_column *columns,
                               struct out_column *chosen)
{
    unsigned n = 0;

    if (out->with_namespace)
        chosen[n++] = namespace_column;
    for (; columns->title && n < COLUMNS_MAX; columns++)
        if (!columns->wide || out->wide)
            chosen[n++] = *columns;
    for (unsigned i = 0; out->with_kind && i < n; i++)
        if (strcmp(chosen[i].title, "NAME") == 0)
            chosen[i].text = kind_name_cell;
    return n;
}

static void print_row(FILE *to, char **cells, const size_t *width, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n)
            fprintf(to, "%-*s", (int)(width[i] + GAP), cells[i]);
        else
            fprintf(to, "%s\n", cells[i]);
    }
}

static int write_table(const struct output *out, const json_t *rows,
                       const struct out_column *columns, bool single)
{
    struct out_column chosen[COLUMNS_MAX + 1];
    unsigned n = choose_columns(out, columns, chosen);
    size_t n_rows = json_array_size(rows), width[COLUMNS_MAX + 1] = {0};
    char **cells = xcalloc((n_rows + 1) * n, sizeof(*cells));

    for (unsigned c = 0; c < n; c++)
        cells[c] = xstrdup(chosen[c].title);
    for (size_t r = 0; r < n_rows; r++)
        for (unsigned c = 0; c < n; c++) {
            char *text = cell(&chosen[c], json_array_get(rows, r));
            /* one line, and nothing that a terminal would obey */
            cells[(r + 1) * n + c] = text && *text ? utf8_clean(text) : xstrdup("<none>");
            free(text);
        }
    for (size_t i = out->no_headers ? n : 0; i < (n_rows + 1) * n; i++)
        if (strlen(cells[i]) > width[i % n])
            width[i % n] = strlen(cells[i]);
    for (size_t r = out->no_headers ? 1 : 0; r <= n_rows; r++)
        print_row(out->to, cells + r * n, width, n);
    for (size_t i = 0; i < (n_rows + 1) * n; i++)
        free(cells[i]);
    free(cells);
    return 0;
}

/* ---- data ------------------------------------------------------------------------------------ */

/* one thing as itself, several as a List; returns owned */
static json_t *as_data(const json_t *rows, bool single)
{
    if (single && json_array_size(rows) == 1)
        return json_incref(json_array_get(rows, 0));
    return json_pack("{s:s, s:s, s:{s:s}, s:O}", "apiVersion", "v1", "kind", "List", "metadata",
                     "resourceVersion", "", "items", rows);
}

static int write_json(const struct output *out, const json_t *rows,
                      const struct out_column *columns, bool single)
{
    json_t *data = as_data(rows, single);
    struct buf b = BUF_INIT;

    json_print_pretty(data, 4, false, &b);
    fwrite(b.p, 1, b.len, out->to);
    if (b.len == 0 || b.p[b.len - 1] != '\n')
        fputc('\n', out->to);
    buf_free(&b);
    json_decref(data);
    return 0;
}

static int write_yaml(const struct output *out, const json_t *rows,
                      const struct out_column *columns, bool single)
{
    json_t *data = as_data(rows, single);
    struct buf b = BUF_INIT;

    kube_to_yaml(data, &b);
    fwrite(b.p, 1, b.len, out->to);
    buf_free(&b);
    json_decref(data);
    return 0;
}

static int write_names(const struct output *out, const json_t *rows,
                       const struct out_column *columns, bool single)
{
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        /* what is no object goes by its first column */
        char *text =
            json_str(row, "metadata.name", NULL) ? kind_name_cell(row) : cell(columns, row);
        fprintf(out->to, "%s\n", text);
        free(text);
    }
    return 0;
}

static int write_jsonpath(const struct output *out, const json_t *rows,
                          const struct out_column *columns, bool single)
{
    json_t *data = as_data(rows, single);

    int rc = output_jsonpath(out->to, out->argument, data) ? 2 : 0;
    json_decref(data);
    return rc;
}

static const struct out_writer writers[] = {
    {"table", write_table}, {"wide", write_table}, {"json", write_json},
    {"yaml", write_yaml},   {"name", write_names}, {"jsonpath", write_jsonpath},
};

int output_choose(struct output *out, const char *how)
{
    struct slice rest = slice_str(how && *how ? how : "table");
    struct slice word = slice_cut(&rest, '=');

    *out = (struct output){.to = stdout, .argument = rest.p};
    for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++)
        if (slice_eq_str(word, writers[i].name)) {
            out->writer = &writers[i];
            out->wide = slice_eq_str(word, "wide");
        }
    if (!out->writer || (out->writer->list == write_jsonpath) != (rest.p != NULL))
        return cli_usage("-o: got \"%s\", expected table, wide, json, yaml, name or "
                         "jsonpath=EXPRESSION",
                         how);
    return 0;
}

int output_list(const struct output *out, const json_t *rows, const struct out_column *columns,
                bool single)
{
    int rc = out->writer->list(out, rows, columns, single);

    fflush(out->to);
    return rc;
}

bool output_is_table(const struct output *out)
{
    return out->writer->list == write_table;
}

char *output_age(const char *timestamp)
{
    int64_t then, s;

    if (!timestamp || clock_parse_rfc3339(timestamp, &then))
        return xstrdup("<unknown>");
    s = (clock_wall_ms() - then) / 1000;
    if (s < 0)
        s = 0;
    if (s < 120)
        return xasprintf("%llds", (long long)s);
    if (s < 600 && s % 60)
        return xasprintf("%lldm%llds", (long long)s / 60, (long long)s % 60);
    if (s < 180 * 60)
        return xasprintf("%lldm", (long long)s / 60);
    if (s < 8 * 3600 && s / 60 % 60)
        return xasprintf("%lldh%lldm", (long long)s / 3600, (long long)s / 60 % 60);
    if (s < 48 * 3600)
        return xasprintf("%lldh", (long long)s / 3600);
    return xasprintf("%lldd", (long long)s / 86400);
}
