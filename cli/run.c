/* run.c - from a command line to a row of the table, and help made from the rows. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/kube/names.h"

static int complain(int status, const char *fmt, va_list ap)
{
    fputs("fsm: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    return status;
}

int cli_fail(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    complain(1, fmt, ap);
    va_end(ap);
    return 1;
}

int cli_usage(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    complain(2, fmt, ap);
    va_end(ap);
    return 2;
}

static bool is_named(const struct cli_command *c, const char *word)
{
    struct slice rest = slice_str(c->aliases);

    if (strcmp(c->name, word) == 0)
        return true;
    while (rest.p)
        if (slice_eq_str(slice_cut(&rest, ' '), word))
            return true;
    return false;
}

static const struct cli_command *find(const struct cli_command *table, const char *word)
{
    for (; table->name; table++)
        if (is_named(table, word))
            return table;
    return NULL;
}

const struct cli_command *cli_nearest(const struct cli_command *table, const char *word)
{
    const struct cli_command *best = NULL;
    unsigned least = kube_name_distance_limit(word) + 1;

    for (; table->name; table++) {
        unsigned d = kube_name_distance(word, table->name);
        if (d < least) {
            least = d;
            best = table;
        }
    }
    return best;
}

/* ---- help ------------------------------------------------------------------------------------ */

static void print_group(const char *path, const struct cli_command *c)
{
    if (c && c->description)
        printf("%s\n\n", c->description);
    printf("Usage: %s COMMAND [flags]\n\nCommands:\n", path);
    for (const struct cli_command *s = c ? c->sub : cli_commands; s->name; s++)
        printf("  %-12s %s\n", s->name, s->summary);
    printf("\n'%s COMMAND --help' says more about each.\n", path);
    if (c && c->examples)
        printf("\nExamples:\n%s\n", c->examples);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int unknown(const char *path, const struct cli_command *table, const char *word)
{
    const struct cli_command *near = cli_nearest(table, word);

    if (near)
        return cli_usage("'%s %s' is no command: did you mean '%s %s'?", path, word, path,
                         near->name);
    return cli_usage("'%s %s' is no command: see '%s --help'", path, word, path);
}

/* ---- running --------------------------------------------------------------------------------- */

static bool has_word(int argc, char **argv, const char *name, const char *letter)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], name) == 0 || strcmp(argv[i], letter) == 0)
            return true;
    return false;
}

static bool is_version(const char *word)
{
    return strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
}

static int print_version(void)
{
    opt_print_version("fsm");
    return 0;
}

static int help(struct opt_prog *prog, const struct cli_command *c)
{
    char *sentence = xasprintf("%c%s.", toupper((unsigned char)c->summary[0]), c->summary + 1);

    prog->description = c->description ? c->description : sentence;
    opt_print_help(prog);
    if (c->examples)
        printf("\nExamples:\n%s\n", c->examples);
    free(sentence);
    return 0;
}

static int run_command(const char *path, const struct cli_command *c, int argc, char **argv)
{
    struct opt_prog prog = {.name = path, .synopsis = c->args ? c->args : "", .opts = c->opts};
    int status;

    if (has_word(argc, argv, "--help", "-h"))
        return help(&prog, c);
    if (has_word(argc, argv, "--version", "-V"))
        return print_version();
    int first = opt_parse(&prog, argc, argv, NULL, &status);
    if (first < 0)
        return status;
    return c->run(argc - first, argv + first);
}

/* argv[0] is the word that named the group */
static int run_group(const char *path, const struct cli_command *group, int argc, char **argv)
{
    const struct cli_command *table = group ? group->sub : cli_commands;

    if (argc < 2) {
        print_group(path, group);
        return 2;
    }
    if (is_version(argv[1]))
        return print_version();
    if (is_help(argv[1])) {
        print_group(path, group);
        return 0;
    }
    const struct cli_command *c = find(table, argv[1]);
    if (!c)
        return unknown(path, table, argv[1]);
    char *deeper = xasprintf("%s %s", path, c->name);
    int rc;
    if (c->sub)
        rc = run_group(deeper, c, argc - 1, argv + 1);
    else if (c->raw)
        rc = c->raw(argc - 1, argv + 1);
    else
        rc = run_command(deeper, c, argc - 1, argv + 1);
    free(deeper);
    return rc;
}

int cli_run(int argc, char **argv)
{
    opt_guard_stdout();
    return run_group("fsm", NULL, argc, argv);
}
