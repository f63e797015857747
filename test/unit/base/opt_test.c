/* opt_test.c - command lines: every form of a flag, refusals, help. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/opt.h"
#include "test/unit/unit.h"

static unsigned port;
static long long drain;
static const char *host;
static bool force;
static struct opt_list names;
static int calls;

static int on_call(const char *value, void *target)
{
    calls++;
    return strcmp(value, "good") == 0 ? 0 : -1;
}

static const struct opt opts[] = {
    {'p', "port", "PORT", "listen on PORT (default 6060)", OPT_UINT(&port, 1, 65535)},
    {0, "drain", "DURATION", "how long to drain", OPT_MS(&drain)},
    {'H', "host", "HOST", "who to ask", OPT_STR(&host)},
    {'F', NULL, NULL, "really", OPT_FLAG(&force)},
    {'N', "name", "NAME", "a name (may repeat)", OPT_LIST(&names)},
    {0, "call", "VALUE", "\"good\" and nothing else", OPT_CALL(on_call, NULL)},
    {'n', "no", NULL, "hides the common -n", OPT_FLAG(&force)},
    OPT_END,
};
static const struct opt_prog prog = {.name = "prog",
                                     .synopsis = "[OPERAND...]",
                                     .description = "Does things.",
                                     .opts = opts,
                                     .daemon = true};

static struct opt_common common;
static int status;
static char *words[16];
static int n_words;
static char out[16384];

static void split(char *line)
{
    static char name[] = "prog";

    words[0] = name;
    n_words = 1;
    for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
        words[n_words++] = w;
    words[n_words] = NULL;
}

/* parses the words; what was printed, to either place, ends up in out */
static int run_with(const struct opt_prog *p, const char *line)
{
    static char copy[256];
    int pipefd[2], rc, keep[2] = {dup(1), dup(2)};
    ssize_t n;

    snprintf(copy, sizeof(copy), "%s", line);
    split(copy);
    ck_assert_int_eq(pipe(pipefd), 0);
    fflush(stdout);
    dup2(pipefd[1], 1);
    dup2(pipefd[1], 2);
    close(pipefd[1]);
    rc = opt_parse(p, n_words, words, &common, &status);
    fflush(stdout);
    dup2(keep[0], 1);
    dup2(keep[1], 2);
    close(keep[0]);
    close(keep[1]);
    n = read(pipefd[0], out, sizeof(out) - 1);
    close(pipefd[0]);
    out[n > 0 ? n : 0] = 0;
    return rc;
}

static int run(const char *line)
{
    return run_with(&prog, line);
}

START_TEST(every_form_of_a_flag)
{
    ck_assert_int_eq(run("-p7 --drain=1.5s -H h one --name a -N b -Nc two -- -p x"), 11);
    ck_assert_uint_eq(port, 7);
    ck_assert_int_eq(drain, 1500);
    ck_assert_str_eq(host, "h");
    ck_assert_uint_eq(names.n, 3);
    ck_assert_str_eq(names.v[2], "c");
    ck_assert_str_eq(words[11], "one");
    ck_assert_str_eq(words[12], "two");
    ck_assert_str_eq(words[13], "-p");
    ck_assert_str_eq(words[14], "x");
    ck_assert_int_eq(run("--host= -"), 2);
    ck_assert_str_eq(host, "");
    ck_assert_str_eq(words[2], "-");
    ck_assert_int_eq(run("--port 80 --port 81"), 5);
    ck_assert_uint_eq(port, 81);
    opt_list_free(&names);
}
END_TEST

START_TEST(common_flags)
{
    ck_assert_int_eq(run("-vdf a.yaml --file=b.yaml -T pool -v"), 7);
    ck_assert_uint_eq(common.files.n, 2);
    ck_assert_str_eq(common.files.v[1], "b.yaml");
    ck_assert(common.plain_logs && common.verbose == 2 && !common.check_only);
    ck_assert_int_eq(log_get_level(), LOG_TRACE);
    ck_assert(log_on(LOG_TRACE, "pool"));
    ck_assert_int_eq(run("-n"), 2);
    ck_assert_msg(force && !common.check_only, "the program's own -n wins");
    ck_assert_int_eq(run("--check-only"), 2);
    ck_assert(common.check_only);
    opt_list_free(&common.files);
}
END_TEST

START_TEST(refusals)
{
    static const char *const cases[][2] = {
        {"--prot 5", "prog: unknown flag --prot: did you mean --port?\n"},
        {"--nam x", "prog: unknown flag --nam: did you mean --name?\n"},
        {"--zzzzzzzz", "prog: unknown flag --zzzzzzzz: see prog --help\n"},
        {"-z", "prog: unknown flag -z: see prog --help\n"},
        {"-port", "prog: --port: \"ort\" is not valid: expected a number from 1 to 65535\n"},
        {"-vz", "prog: unknown flag -vz: see prog --help\n"},
        {"--port", "prog: --port needs a value: PORT\n"},
        {"-p", "prog: --port needs a value: PORT\n"},
        {"-p 0", "prog: --port: \"0\" is not valid: expected a number from 1 to 65535\n"},
        {"-p 65536", "prog: --port: \"65536\" is not valid: expected a number from 1 to 65535\n"},
        {"-p 5x", "prog: --port: \"5x\" is not valid: expected a number from 1 to 65535\n"},
        {"--drain 5",
         "prog: --drain: \"5\" is not valid: expected a duration, as 250ms, 30s or 1h30m\n"},
        {"--drain -5s",
         "prog: --drain: \"-5s\" is not valid: expected a duration, as 250ms, 30s or 1h30m\n"},
        {"--no=1", "prog: --no takes no value\n"},
        {"--call bad", "prog: --call: \"bad\" is not valid: expected \"good\" and nothing else\n"},
        {"--", ""},
    };

    for (size_t i = 0; i + 1 < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(run(cases[i][0]) == -1 && status == 2, "%s", cases[i][0]);
        ck_assert_str_eq(out, cases[i][1]);
    }
    ck_assert_int_eq(run("--call good --"), 4);
    ck_assert_int_eq(calls, 2);
}
END_TEST

START_TEST(help_names_everything)
{
    ck_assert_int_eq(run("x --help"), -1);
    ck_assert_int_eq(status, 0);
    for (const struct opt *o = opts; o->kind != OPT_K_END; o++) {
        char flag[64];
        snprintf(flag, sizeof(flag), "%s%s", o->name ? "--" : "-", o->name ? o->name : "F");
        ck_assert_msg(strstr(out, flag) && strstr(out, o->help), "%s in %s", flag, out);
    }
    ck_assert(strstr(out, "Usage: prog [FLAGS] [OPERAND...]\n\nDoes things.\n") == out);
    ck_assert(strstr(out, "  -f, --file FILE") && strstr(out, "--version") &&
              strstr(out, "  -d, "));
    ck_assert_msg(strstr(out, "      --check-only") != NULL, "without the letter that is hidden");
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
        ck_assert_uint_le(strlen(line), 80);
}
END_TEST

START_TEST(version_says_how)
{
    ck_assert_int_eq(run("-V"), -1);
    ck_assert_int_eq(status, 0);
    ck_assert(strstr(out, "prog ") == out);
    ck_assert(strstr(out, "tls") || strstr(out, "ssl"));
}
END_TEST

START_TEST(stops_at_the_first_operand_if_asked)
{
    struct opt_prog p = prog;

    p.stop_at_operand = true;
    p.daemon = false;
    ck_assert_int_eq(run_with(&p, "-p 5 verb -p 6 -x"), 3);
    ck_assert_uint_eq(port, 5);
    ck_assert_str_eq(words[3], "verb");
    ck_assert_str_eq(words[6], "-x");
    ck_assert_msg(run_with(&p, "-d") == -1, "only daemons have the common flags");
}
END_TEST

START_TEST(a_program_may_read_no_file)
{
    struct opt_prog p = prog;

    p.no_file = true;
    ck_assert_int_eq(run_with(&p, "-f x"), -1);
    ck_assert_str_eq(out, "prog: unknown flag -f: see prog --help\n");
    ck_assert_int_eq(run_with(&p, "--help"), -1);
    ck_assert(strstr(out, "--file") == NULL && strstr(out, "--check-only") != NULL);
}
END_TEST

UNIT_MAIN("opt", every_form_of_a_flag, common_flags, refusals, help_names_everything,
          version_says_how, stops_at_the_first_operand_if_asked, a_program_may_read_no_file)
