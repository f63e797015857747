/* cli.h - the command fsm: one table of commands gives parsing, --help and completion.
 *
 * A command's run() gets its operands only; its flags have been parsed into the targets of its
 * opts table.  Exit status: 0 done, 1 it failed (told on standard error), 2 wrong usage.
 */
#ifndef FSM_CLI_CLI_H
#define FSM_CLI_CLI_H

#include <stdbool.h>
#include "common/base/err.h"
#include "common/base/opt.h"

struct cli_command {
    const char *name;
    const char *aliases;           /* other names, space-separated, or NULL */
    const char *args;              /* "POD [flags]": what follows the name in the usage line */
    const char *summary;           /* one line, for the list of commands */
    const char *description;       /* a paragraph; NULL = the summary */
    const char *examples;          /* lines, or NULL */
    const struct opt *opts;        /* NULL = no flags of its own */
    const struct cli_command *sub; /* a group: its commands, ending with name NULL */
    int (*run)(int argc, char **argv);
    int (*raw)(int argc, char **argv); /* parses its own flags; argv[0] is the verb */
    const char
        *complete; /* what its operands are: "file", "kind", or the words; NULL = not known */
};

extern const struct cli_command cli_commands[];
extern const struct cli_command cli_local_commands[];

/* finds and runs; words are the whole command line without "fsm" */
int cli_run(int argc, char **argv);
/* prints "fsm: text" and returns 1 */
int cli_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* prints "fsm: text" and returns 2 */
int cli_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* NULL, or the command of the table whose name is nearest to word */
const struct cli_command *cli_nearest(const struct cli_command *table, const char *word);
int cli_completion(int argc, char **argv);

#endif
