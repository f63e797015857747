/* output.h - what commands print, in the form the user chose.
 *
 *   struct output out;
 *   if (output_choose(&out, local_flags.output)) return 2;
 *   output_list(&out, rows, columns, single);
 *
 * A command hands over data and never knows how it is shown.
 */
#ifndef FSM_CLI_OUTPUT_H
#define FSM_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct out_column {
    const char *title;                /* NULL ends a table */
    char *(*text)(const json_t *row); /* returns owned; NULL = use path */
    const char *path;                 /* "metadata.name" */
    bool wide;                        /* only with -o wide */
};

struct output;
struct out_writer {
    const char *name;
    int (*list)(const struct output *out, const json_t *rows, const struct out_column *columns,
                bool single);
};
struct output {
    const struct out_writer *writer;
    const char *argument; /* behind "jsonpath=" */
    bool wide, no_headers, with_namespace, with_kind;
    FILE *to;
};

/* how: NULL, "", table, wide, json, yaml, name, jsonpath=...  0, or 2 after telling */
int output_choose(struct output *out, const char *how);
/* rows: array, borrowed.  single: the user named one thing, so it is printed without a list.
 * 0, or 2 after telling (a JSONPath that cannot be read) */
int output_list(const struct output *out, const json_t *rows, const struct out_column *columns,
                bool single);
/* true when rows are shown as a table, so that words around it make sense */
bool output_is_table(const struct output *out);
/* "5m", "3h12m": time since an RFC 3339 timestamp, as kubectl rounds it; returns owned */
char *output_age(const char *timestamp);
/* the values at a JSONPath ("{.items[*].metadata.name}"); -1 after telling */
int output_jsonpath(FILE *to, const char *expression, const json_t *data);

#endif
