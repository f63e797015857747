/* opt.h - command lines: one table gives parsing, --help and the manual's check.
 *
 *   static const struct opt opts[] = {
 *       {'p', "port", "PORT", "listen on PORT (default 6060)", OPT_UINT(&port, 1, 65535)},
 *       OPT_END };
 *
 * Every daemon also gets the common flags: -f FILE, -n (check and leave), -v (more; may repeat),
 * -d (plain-text logs on stderr), -T SUBSYSTEM (trace), -V (version and how it was built),
 * -h/--help.
 */
#ifndef FSM_BASE_OPT_H
#define FSM_BASE_OPT_H

#include <stdbool.h>

enum opt_kind { OPT_K_END, OPT_K_FLAG, OPT_K_STR, OPT_K_UINT, OPT_K_MS, OPT_K_LIST, OPT_K_CALL };

struct opt {
    char letter;       /* 0 = none */
    const char *name;  /* long name without "--"; NULL = none */
    const char *value; /* what --help calls the argument; NULL = takes none */
    const char *help;  /* one line */
    enum opt_kind kind;
    void *target;
    unsigned long min, max;
    int (*call)(const char *value, void *target); /* OPT_K_CALL; -1 = refused */
};
#define OPT_FLAG(ptr) .kind = OPT_K_FLAG, .target = (bool *)(ptr)
#define OPT_STR(ptr)  .kind = OPT_K_STR, .target = (const char **)(ptr)
#define OPT_UINT(ptr, lo, hi)                                                                      \
    .kind = OPT_K_UINT, .target = (unsigned *)(ptr), .min = (lo), .max = (hi)
/* a Go duration ("10s") into a long long of milliseconds */
#define OPT_MS(ptr) .kind = OPT_K_MS, .target = (long long *)(ptr)
/* repeatable: struct opt_list * */
#define OPT_LIST(ptr)     .kind = OPT_K_LIST, .target = (struct opt_list *)(ptr)
#define OPT_CALL(fn, ptr) .kind = OPT_K_CALL, .call = (fn), .target = (ptr)
#define OPT_END                                                                                    \
    {                                                                                              \
        .kind = OPT_K_END                                                                          \
    }

struct opt_list {
    const char **v; /* the strings are argv's */
    unsigned n;
};

/* what the common flags said */
struct opt_common {
    struct opt_list files; /* -f, repeatable */
    bool check_only;       /* -n */
    unsigned verbose;      /* -v */
    bool plain_logs;       /* -d */
};

struct opt_prog {
    const char *name;        /* "fsm-sidecar" */
    const char *synopsis;    /* what follows the name in the usage line */
    const char *description; /* a paragraph */
    const struct opt *opts;  /* ends with OPT_END */
    bool daemon;             /* has the common flags */
    bool no_file;            /* ... but for -f: it reads no file */
    bool stop_at_operand;    /* flags behind the first operand are not ours (subcommands, exec) */
};

/* Parses argv in place: flags and operands may be mixed, flags are moved to the front; "--" ends
 * the flags.  Returns the index of the first operand (argc = none), or -1 when the process should
 * end with status *status (help or version was printed: 0; wrong usage, told on stderr: 2).
 * For daemons it also begins the log (-d, -v, -T).  A program's own flag hides a common one of
 * the same letter or name.  common may be NULL when prog->daemon is false. */
int opt_parse(const struct opt_prog *prog, int argc, char **argv, struct opt_common *common,
              int *status);
/* From now on the end of the process looks whether all that was printed could be written: if not
 * (a full disk, a closed output) it says so and the exit status is 1.  opt_parse calls it. */
void opt_guard_stdout(void);
/* frees what OPT_LIST collected (the strings are argv's) */
void opt_list_free(struct opt_list *l);
void opt_print_help(const struct opt_prog *prog);
/* "fsm-sidecar 0.1.0 (abc123 of 2026-01-02T03:04:05Z, mbedtls, gcc 12.2.0)" on stdout */
void opt_print_version(const char *prog_name);

#endif
