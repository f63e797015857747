/* proxy.c - fsm proxy get: what a pod's sidecar says of itself. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/mesh.h"
#include "cli/output.h"
#include "cli/transport.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define ADMIN_PORT 15000

static struct {
    const char *ns, *file, *format;
    unsigned port;
} flags = {.port = ADMIN_PORT};

static const struct opt get_opts[] = {
    TRANSPORT_OPTS,
    {'n', "namespace", "NAMESPACE", "the pod's namespace (default: default)", OPT_STR(&flags.ns)},
    {'f', "file", "FILE", "write to FILE instead of standard output", OPT_STR(&flags.file)},
    {'o', "output", "FORMAT", "json, yaml or table (default: as the sidecar says it)",
     OPT_STR(&flags.format)},
    {'p', "port", "PORT", "the sidecar's admin port (default 15000)",
     OPT_UINT(&flags.port, 1, 65535)},
    OPT_END};

static const char *const queries[] = {"config_dump", "clusters", "listeners",
                                      "certs",       "ready",    "stats"};

static bool is_query(const char *word)
{
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++)
        if (strcmp(queries[i], word) == 0)
            return true;
    return false;
}

/* where the last "::" stands that is not part of an address in brackets, or n */
static size_t last_colons(struct slice line)
{
    size_t at = line.n;
    int depth = 0;

    for (size_t i = 0; i + 1 < line.n; i++) {
        depth += (line.p[i] == '[') - (line.p[i] == ']');
        if (depth == 0 && line.p[i] == ':' && line.p[i + 1] == ':')
            at = i;
    }
    return at;
}

/* "NAME VALUE", "NAME: VALUE" or "NAME::VALUE", or the whole line as a name; owned */
static json_t *line_row(struct slice line)
{
    const char *space = memrchr(line.p, ' ', line.n);
    size_t n = space ? (size_t)(space - line.p) : last_colons(line), skip = space ? 1 : 2;
    struct slice value = slice_of("", 0), name = slice_of(line.p, n);

    if (n < line.n)
        value = slice_trim(slice_of(line.p + n + skip, line.n - n - skip));
    name = slice_trim(name);
    if (space && name.n > 0 && name.p[name.n - 1] == ':')
        name.n--;
    return json_pack("{s:s%, s:s%}", "name", name.p, name.n, "value", value.p, value.n);
}

/* one row per line of a text, comments left out; owned */
static json_t *text_rows(struct slice text)
{
    json_t *rows = json_array();

    while (text.p) {
        struct slice line = slice_trim(slice_cut(&text, '\n'));
        json_t *row = line.n && line.p[0] != '#' ? line_row(line) : NULL;
        if (row)
            json_array_append_new(rows, row);
    }
    return rows;
}

/* one row per member of an object, or the items of an array; owned */
static json_t *data_rows(const json_t *data)
{
    json_t *rows = json_array(), *v;
    const char *key;

    if (json_is_array(data)) {
        json_array_extend(rows, (json_t *)(uintptr_t)data);
        return rows;
    }
    json_object_foreach ((json_t *)(uintptr_t)data, key, v) {
        char *text = json_is_string(v) ? xstrdup(json_string_value(v))
                                       : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        json_array_append_new(rows, json_pack("{s:s, s:s}", "name", key, "value", text));
        free(text);
    }
    return rows;
}

#define COLUMNS_MAX 12

/* a column for each member of the first row */
static int write_table(const struct output *out, const json_t *rows)
{
    struct out_column columns[COLUMNS_MAX + 1] = {{.title = NULL}};
    char *titles[COLUMNS_MAX];
    unsigned n = 0;
    const char *key;
    json_t *v, *first = json_array_get(rows, 0);

    json_object_foreach (first, key, v) {
        if (n == COLUMNS_MAX)
            break;
        titles[n] = xstrdup(key);
        for (char *c = titles[n]; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        columns[n] = (struct out_column){.title = titles[n], .path = key};
        n++;
    }
    int rc = n ? output_list(out, rows, columns, false) : 0;
    while (n > 0)
        free(titles[--n]);
    return rc;
}

/* the answer in the form that was asked for; exit status */
static int write_as(const struct output *out, const struct buf *b)
{
    struct err e;
    json_t *data = json_parse(buf_slice(b), b->len + 1, &e);
    json_t *rows = data ? data_rows(data) : text_rows(buf_slice(b));
    int rc;

    if (output_is_table(out)) {
        rc = write_table(out, rows);
    } else {
        json_t *one = json_pack("[O]", data ? data : rows);
        rc = output_list(out, one, NULL, true);
        json_decref(one);
    }
    json_decref(rows);
    json_decref(data);
    return rc;
}

static int write_out(const struct buf *b)
{
    struct err e;

    if (flags.file)
        return file_write(flags.file, b->p, b->len, 0644, &e) ? cli_fail("%s", e.text) : 0;
    fwrite(b->p, 1, b->len, stdout);
    if (b->len && b->p[b->len - 1] != '\n')
        putchar('\n');
    return 0;
}

static int cmd_get(int argc, char **argv)
{
    struct buf body = BUF_INIT;
    struct output out;
    struct err e = {""};
    int rc, status = -1;

    if (argc != 2)
        return cli_usage("fsm proxy get QUERY POD [-n NAMESPACE]");
    if (!is_query(argv[0]))
        return cli_usage("\"%s\": expected config_dump, clusters, listeners, certs, ready or stats",
                         argv[0]);
    if (flags.format && flags.file)
        return cli_usage("-o and -f exclude each other: the file gets what the sidecar says");
    if (flags.format && ((rc = output_choose(&out, flags.format)) != 0))
        return rc;
    const char *slash = strchr(argv[1], '/'), *pod = slash ? slash + 1 : argv[1];
    struct transport *t = transport_open(&e);
    char *path = xasprintf("/%s", argv[0]);
    if (t)
        status =
            t->ops->pod_get(t, flags.ns ? flags.ns : "default", pod, flags.port, path, &body, &e);
    if (status < 0)
        rc = cli_fail("%s", e.text);
    else
        rc = (flags.format ? write_as(&out, &body) : write_out(&body)) |
             (status >= 200 && status < 300 ? 0 : 1);
    transport_close(t);
    free(path);
    buf_free(&body);
    return rc;
}

const struct cli_command cli_proxy_commands[] = {
    {.name = "get",
     .args = "{config_dump|clusters|listeners|certs|ready|stats} POD",
     .summary = "ask a pod's sidecar",
     .description =
         "Asks the admin port of the sidecar, inside the pod, and prints the answer: the "
         "configuration it follows, its clusters, listeners, certificates, whether it is "
         "ready, its metrics.",
     .examples = "  fsm proxy get config_dump curl -n curl\n"
                 "  fsm proxy get stats curl -n curl | grep upstream",
     .opts = get_opts,
     .run = cmd_get,
     .complete = "config_dump clusters listeners certs ready stats"},
    {.name = NULL},
};
