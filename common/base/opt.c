/* opt.c - command lines from one table. */
#include "common/base/opt.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/version.h"

#define HELP_WIDTH  80u
#define HELP_COLUMN 30u /* where the sentence about a flag begins */
#define NAME_MAX_   64u /* longest flag that a suggestion is computed for */

/* ---- the common flags -------------------------------------------------------------------- */

static bool help_wanted, version_wanted;

static int count_verbose(const char *value, void *target)
{
    (void)value;
    ++*(unsigned *)target;
    return 0;
}

static int trace_subsystem(const char *value, void *target)
{
    (void)target;
    log_trace_on(value);
    return 0;
}

struct common_table {
    struct opt opts[8];
};

static const struct opt help_opts[] = {
    {'h', "help", NULL, "print this and leave", OPT_FLAG(&help_wanted)},
    {'V', "version", NULL, "print the version and how this was built, and leave",
     OPT_FLAG(&version_wanted)},
    OPT_END,
};

/* the flags of daemons, aimed at c; -f comes first, see tables_init */
static void common_fill(struct common_table *t, struct opt_common *c)
{
    const struct opt rows[] = {
        {'f', "file", "FILE", "read the configuration from FILE (may repeat)",
         OPT_LIST(c ? &c->files : NULL)},
        {'n', "check-only", NULL, "check what was given and leave: status 0 if it is good",
         OPT_FLAG(c ? &c->check_only : NULL)},
        {'v', "verbose", NULL, "log more: once debug, twice trace", .kind = OPT_K_CALL,
         .call = count_verbose, .target = c ? &c->verbose : NULL},
        {'d', "plain-logs", NULL, "log plain text instead of JSON",
         OPT_FLAG(c ? &c->plain_logs : NULL)},
        {'T', "trace", "SUBSYSTEM", "trace SUBSYSTEM (\"*\" = all; may repeat)",
         OPT_CALL(trace_subsystem, NULL)},
        OPT_END,
    };
    memcpy(t->opts, rows, sizeof(rows));
}

/* ---- looking flags up -------------------------------------------------------------------- */

/* The tables in the order they are searched: a program's own flags win over the common ones. */
struct tables {
    const struct opt *t[3];
    struct common_table common;
};

static void tables_init(struct tables *ts, const struct opt_prog *prog, struct opt_common *c)
{
    static const struct opt none[] = {OPT_END};

    common_fill(&ts->common, c);
    ts->t[0] = prog->opts ? prog->opts : none;
    ts->t[1] = prog->daemon ? ts->common.opts + prog->no_file : none;
    ts->t[2] = help_opts;
}

static const struct opt *find_letter(const struct tables *ts, char letter)
{
    for (int i = 0; i < 3; i++)
        for (const struct opt *o = ts->t[i]; o->kind != OPT_K_END; o++)
            if (o->letter == letter)
                return o;
    return NULL;
}

static const struct opt *find_name(const struct tables *ts, struct slice name)
{
    for (int i = 0; i < 3; i++)
        for (const struct opt *o = ts->t[i]; o->kind != OPT_K_END; o++)
            if (o->name && slice_eq_str(name, o->name))
                return o;
    return NULL;
}

/* how many single-character edits lead from a to b (Levenshtein) */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned row[NAME_MAX_ + 1];

    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned above = row[j], best = diagonal + (a.p[i - 1] != b.p[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[b.n];
}

static const char *nearest(const struct tables *ts, struct slice name)
{
    unsigned best = 1 + (unsigned)name.n / 3, d;
    const char *found = NULL;

    if (name.n > NAME_MAX_)
        return NULL;
    for (int i = 0; i < 3; i++)
        for (const struct opt *o = ts->t[i]; o->kind != OPT_K_END; o++) {
            struct slice known = slice_str(o->name);
            if (known.n == 0 || known.n > NAME_MAX_)
                continue;
            d = slice_starts(known, name) ? 1 : distance(name, known);
            if (d <= best && (!found || d < best)) {
                best = d;
                found = o->name;
            }
        }
    return found;
}

/* ---- values ------------------------------------------------------------------------------ */

/* how the user named the flag, for messages: "--port" or "-p" */
static const char *flag_text(const struct opt *o, char out[NAME_MAX_ + 3])
{
    if (o->name)
        snprintf(out, NAME_MAX_ + 3, "--%s", o->name);
    else
        snprintf(out, NAME_MAX_ + 3, "-%c", o->letter);
    return out;
}

static int refuse(const struct opt_prog *prog, const struct opt *o, const char *value,
                  const char *expected)
{
    char flag[NAME_MAX_ + 3];

    fprintf(stderr, "%s: %s: \"%s\" is not valid: expected %s\n", prog->name, flag_text(o, flag),
            value, expected);
    return -1;
}

static int set_uint(const struct opt_prog *prog, const struct opt *o, const char *value)
{
    unsigned long long v;
    char expected[80];

    if (slice_u64(slice_str(value), o->max, &v) < 0 || v < o->min) {
        snprintf(expected, sizeof(expected), "a number from %lu to %lu", o->min, o->max);
        return refuse(prog, o, value, expected);
    }
    *(unsigned *)o->target = (unsigned)v;
    return 0;
}

static int set_ms(const struct opt_prog *prog, const struct opt *o, const char *value)
{
    int64_t ms;

    if (clock_parse_duration(value, &ms) < 0 || ms < 0)
        return refuse(prog, o, value, "a duration, as 250ms, 30s or 1h30m");
    *(long long *)o->target = ms;
    return 0;
}

static void list_add(struct opt_list *l, const char *value)
{
    l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
    l->v[l->n++] = value;
}

void opt_list_free(struct opt_list *l)
{
    free(l->v);
    l->v = NULL;
    l->n = 0;
}

/* value is NULL for flags that take none */
static int apply(const struct opt_prog *prog, const struct opt *o, const char *value)
{
    switch (o->kind) {
    case OPT_K_FLAG:
        *(bool *)o->target = true;
        return 0;
    case OPT_K_STR:
        *(const char **)o->target = value;
        return 0;
    case OPT_K_UINT:
        return set_uint(prog, o, value);
    case OPT_K_MS:
        return set_ms(prog, o, value);
    case OPT_K_LIST:
        list_add(o->target, value);
        return 0;
    case OPT_K_CALL:
        if (o->call(value, o->target) == 0)
            return 0;
        return refuse(prog, o, value ? value : "", o->help);
    case OPT_K_END:
        break;
    }
    return -1;
}

/* ---- the walk over argv ------------------------------------------------------------------ */

struct walk {
    const struct opt_prog *prog;
    const struct tables *tables;
    int argc, at; /* at: the word being looked at */
    char **argv;
};

/* the word behind the flag; NULL and a message if there is none */
static const char *next_word(struct walk *w, const struct opt *o)
{
    char flag[NAME_MAX_ + 3];

    if (w->at + 1 < w->argc)
        return w->argv[++w->at];
    fprintf(stderr, "%s: %s needs a value: %s\n", w->prog->name, flag_text(o, flag), o->value);
    return NULL;
}

static int unknown(const struct walk *w, const char *word, struct slice name)
{
    const char *near = name.n > 1 ? nearest(w->tables, name) : NULL;

    fprintf(stderr, "%s: unknown flag %s", w->prog->name, word);
    if (near)
        fprintf(stderr, ": did you mean --%s?\n", near);
    else
        fprintf(stderr, ": see %s --help\n", w->prog->name);
    return -1;
}

/* "--name", "--name=value", "--name value" */
static int take_long(struct walk *w)
{
    const char *word = w->argv[w->at], *value = NULL;
    struct slice rest = slice_str(word + 2), name = slice_cut(&rest, '=');
    const struct opt *o = find_name(w->tables, name);

    if (!o)
        return unknown(w, word, name);
    if (!o->value && rest.p) {
        fprintf(stderr, "%s: --%s takes no value\n", w->prog->name, o->name);
        return -1;
    }
    if (o->value && !(value = rest.p ? rest.p : next_word(w, o)))
        return -1;
    return apply(w->prog, o, value);
}

/* "-nv", "-fFILE", "-f FILE" */
static int take_short(struct walk *w)
{
    const char *word = w->argv[w->at];

    for (const char *at = word + 1; *at; at++) {
        const struct opt *o = find_letter(w->tables, *at);
        const char *value;
        if (!o)
            return unknown(w, word, slice_str(word + 1));
        if (!o->value) {
            if (apply(w->prog, o, NULL) < 0)
                return -1;
            continue;
        }
        value = at[1] ? at + 1 : next_word(w, o);
        return value ? apply(w->prog, o, value) : -1;
    }
    return 0;
}

/* Moves argv[from..to) behind what is kept of the operands that came before: flags first. */
static void move_front(char **argv, int operands_at, int from, int to)
{
    for (; from < to; from++, operands_at++) {
        char *word = argv[from];
        memmove(&argv[operands_at + 1], &argv[operands_at],
                (size_t)(from - operands_at) * sizeof(*argv));
        argv[operands_at] = word;
    }
}

/* the index of the first operand, or -1 */
static int walk_words(struct walk *w)
{
    int first = 1; /* where the operands seen so far begin */

    for (w->at = 1; w->at < w->argc; w->at++) {
        const char *word = w->argv[w->at];
        int from = w->at;
        bool end = strcmp(word, "--") == 0;
        if (word[0] != '-' || !word[1]) {
            if (w->prog->stop_at_operand)
                return first;
            continue;
        }
        if (!end && (word[1] == '-' ? take_long(w) : take_short(w)) < 0)
            return -1;
        move_front(w->argv, first, from, w->at + 1);
        first += w->at + 1 - from;
        if (end)
            break;
    }
    return first;
}

static void apply_common(const struct opt_prog *prog, const struct opt_common *c)
{
    if (!prog->daemon || !c)
        return;
    log_init(prog->name, !c->plain_logs);
    if (c->verbose)
        log_set_level(c->verbose > 1 ? LOG_TRACE : LOG_DEBUG);
}

/* ---- standard output ---------------------------------------------------------------------- */

static void check_stdout(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    fprintf(stderr, "%s: what was printed could not be written to standard output%s%s\n",
            program_invocation_short_name, errno ? ": " : "", errno ? strerror(errno) : "");
    _exit(1);
}

void opt_guard_stdout(void)
{
    static bool guarded;

    if (guarded)
        return;
    guarded = true;
    /* a closed one would become the next file or socket that is opened, and be printed into */
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd)
            abort();
    atexit(check_stdout);
}

int opt_parse(const struct opt_prog *prog, int argc, char **argv, struct opt_common *common,
              int *status)
{
    struct tables tables;
    struct walk w = {.prog = prog, .tables = &tables, .argc = argc, .argv = argv};
    int first;

    opt_guard_stdout();
    help_wanted = version_wanted = false;
    tables_init(&tables, prog, common);
    first = walk_words(&w);
    *status = 2;
    if (first < 0)
        return -1;
    *status = 0;
    if (help_wanted) {
        opt_print_help(prog);
        return -1;
    }
    if (version_wanted) {
        opt_print_version(prog->name);
        return -1;
    }
    apply_common(prog, common);
    return first;
}

/* ---- help -------------------------------------------------------------------------------- */

/* prints words, broken at HELP_WIDTH; the cursor stands at `column` already */
static void print_wrapped(const char *text, unsigned column)
{
    struct slice rest = slice_str(text);
    unsigned at = column;

    while (rest.p) {
        struct slice word = slice_cut(&rest, ' ');
        if (at > column && at + 1 + word.n > HELP_WIDTH) {
            printf("\n%*s", (int)column, "");
            at = column;
        }
        at += (unsigned)printf("%s%.*s", at > column ? " " : "", SLICE_FMT(word));
    }
    putchar('\n');
}

static void print_flag(const struct opt *o, bool letter, bool name)
{
    char left[128];
    int n;

    if (letter && name)
        n = snprintf(left, sizeof(left), "  -%c, --%s", o->letter, o->name);
    else if (letter)
        n = snprintf(left, sizeof(left), "  -%c", o->letter);
    else
        n = snprintf(left, sizeof(left), "      --%s", o->name);
    if (o->value && n >= 0 && (size_t)n < sizeof(left))
        snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->value);
    if (strlen(left) + 2 > HELP_COLUMN)
        printf("%s\n%*s", left, (int)HELP_COLUMN, "");
    else
        printf("%-*s", (int)HELP_COLUMN, left);
    print_wrapped(o->help, HELP_COLUMN);
}

/* a flag whose letter and name both mean something else here is not shown */
static void print_table(const struct tables *ts, const struct opt *t)
{
    for (const struct opt *o = t; o->kind != OPT_K_END; o++) {
        bool letter = o->letter && find_letter(ts, o->letter) == o;
        bool name = o->name && find_name(ts, slice_str(o->name)) == o;
        if (letter || name)
            print_flag(o, letter, name);
    }
}

void opt_print_help(const struct opt_prog *prog)
{
    struct tables ts;

    tables_init(&ts, prog, NULL);
    printf("Usage: %s [FLAGS]%s%s\n", prog->name, prog->synopsis && prog->synopsis[0] ? " " : "",
           prog->synopsis ? prog->synopsis : "");
    if (prog->description) {
        putchar('\n');
        print_wrapped(prog->description, 0);
    }
    printf("\nFlags:\n");
    for (int i = 0; i < 3; i++)
        print_table(&ts, ts.t[i]);
}

void opt_print_version(const char *prog_name)
{
#if defined(__clang__)
    const char *compiler = "clang";
    int v[] = {__clang_major__, __clang_minor__, __clang_patchlevel__};
#else
    const char *compiler = "gcc";
    int v[] = {__GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__};
#endif

    printf("%s %s (%s of %s, %s, %s %d.%d.%d)\n", prog_name, fsm_version, fsm_commit,
           fsm_build_date, fsm_tls, compiler, v[0], v[1], v[2]);
}
