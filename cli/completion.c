/* completion.c - fsm completion {bash,zsh}: scripts made from the table of commands, so that they
 * can never know other commands or flags than fsm does. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "common/base/slice.h"
#include "common/kube/kind.h"

/* "up down apply ..." */
static void put_names(const struct cli_command *table)
{
    for (const struct cli_command *c = table; c->name; c++)
        printf("%s%s", c == table ? "" : " ", c->name);
}

static void put_flags(const struct opt *opts)
{
    for (; opts && opts->kind != OPT_K_END; opts++)
        if (opts->name)
            printf("--%s ", opts->name);
    printf("--help");
}

static void put_kinds(void)
{
    for (unsigned i = 0; i < kube_kinds_count(); i++)
        printf("%s%s", i ? " " : "", kube_kind_at(i)->plural);
}

/* one "case" of the command path typed so far, for every group and command */
static void put_cases(const char *path, const struct cli_command *table)
{
    char deeper[128];

    for (const struct cli_command *c = table; c->name; c++) {
        snprintf(deeper, sizeof(deeper), "%s%s%s", path, *path ? " " : "", c->name);
        printf("    \"%s\")\n        words=\"", deeper);
        if (c->sub)
            put_names(c->sub);
        else if (c->complete && strcmp(c->complete, "kind") == 0)
            printf("$kinds");
        else if (c->complete && strcmp(c->complete, "file") != 0)
            printf("%s", c->complete);
        printf("\" flags=\"");
        put_flags(c->opts);
        printf("\" files=%s ;;\n", c->complete && strcmp(c->complete, "file") == 0 ? "1" : "");
        if (c->sub)
            put_cases(deeper, c->sub);
    }
}

/* every word that is a command in its place makes the path longer */
static void put_paths(const char *path, const struct cli_command *table)
{
    char deeper[128];

    for (const struct cli_command *c = table; c->name; c++) {
        snprintf(deeper, sizeof(deeper), "%s%s%s", path, *path ? " " : "", c->name);
        printf("%s\"%s\"", c == table && !*path ? "" : " | ", deeper);
        if (c->sub)
            put_paths(deeper, c->sub);
    }
}

/* "ns" is "namespace" */
static void put_aliases(void)
{
    for (const struct cli_command *c = cli_commands; c->name; c++)
        for (struct slice rest = slice_str(c->aliases), one; rest.p;) {
            one = slice_cut(&rest, ' ');
            printf("        %.*s) try=%s ;;\n", SLICE_FMT(one), c->name);
        }
    printf("        *) ;;\n");
}

static void put_function(void)
{
    printf("_fsm() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} path= try words flags= files= i kinds=\"");
    put_kinds();
    printf("\"\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        try=\"${path:+$path }${COMP_WORDS[i]}\"\n"
           "        case \"$try\" in\n");
    put_aliases();
    printf("        esac\n"
           "        case \"$try\" in\n"
           "        ");
    put_paths("", cli_commands);
    printf(")\n            path=$try ;;\n        esac\n    done\n"
           "    words=\"");
    put_names(cli_commands);
    printf("\"\n    case \"$path\" in\n");
    put_cases("", cli_commands);
    printf("    esac\n"
           "    case \"$cur\" in\n"
           "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n"
           "    *)\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "        case \"${COMP_WORDS[COMP_CWORD - 1]}\" in\n"
           "        -f | --filename | --file | --images | --patch-file) files=1 ;;\n"
           "        -o | --output) COMPREPLY=($(compgen -W \"table wide json yaml name\" -- "
           "\"$cur\")) ;;\n"
           "        esac\n"
           "        [ -n \"$files\" ] && COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
           "        ;;\n"
           "    esac\n"
           "}\n"
           "complete -o filenames -F _fsm fsm\n");
}

int cli_completion(int argc, char **argv)
{
    bool zsh = argc == 1 && strcmp(argv[0], "zsh") == 0;

    if (argc != 1 || (!zsh && strcmp(argv[0], "bash") != 0))
        return cli_usage("fsm completion {bash|zsh}");
    if (zsh)
        printf("#compdef fsm\n"
               "(( $+functions[compdef] )) || { autoload -U +X compinit && compinit; }\n"
               "autoload -U +X bashcompinit && bashcompinit\n");
    else
        printf("# bash completion for fsm: source <(fsm completion bash)\n");
    put_function();
    /* a file of fpath is the function's body at the first TAB: it has defined, and now completes */
    if (zsh)
        printf("[[ ${funcstack[1]} == _fsm ]] && _bash_complete -o filenames -F _fsm\n");
    return 0;
}
