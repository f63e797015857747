/* torture.c - every call that can fail, failed in turn; see torture.h.
 *
 *   torture [-n N] [NAME...]      all cases, or those with NAME in their names; with -n every Nth
 *                                 call only
 *   torture -k K NAME             one run in this process, with call K failing: for gdb
 *
 * One line for each case and a sum; exit status 1 if something was found.
 */
#include "test/torture/torture.h"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>
#include "test/fake/faults.h"

#define CASES_MAX  500
#define RUN_LIMIT  60 /* seconds of a run */
#define SHOWN_MAX  50 /* findings of a case that are shown whole */
#define FRAMES_MAX 40

/* what a run tells the process that started it, dead or alive */
static struct page {
    unsigned calls;
    bool failed, traffic, traffic_then;
    char name[40]; /* of the call that failed */
} * page;
static char *notes;
static unsigned failing; /* the call that fails in this run; 0 = none */
static FILE *said;       /* stdout and stderr of runs */

void torture_on(void)
{
    faults_resume();
}

void torture_off(void)
{
    faults_pause();
}

void torture_traffic(bool on)
{
    page->traffic = on;
}

bool torture_is_reference(void)
{
    return failing == 0;
}

bool torture_failed(void)
{
    return faults_hit();
}

void *torture_notes(void)
{
    return notes;
}

enum torture_end torture_wrong(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return TORTURE_WRONG;
}

/* What a document says about a port is compiled when the first connection comes to it: that is no
 * traffic, and may end the process as compiling does (mem.h). */
static bool is_compiling(void *const *frames, int n)
{
    char **names = backtrace_symbols(frames, n);
    bool found = false;

    for (int i = 0; names && i < n; i++)
        found |= strstr(names[i], "(view_chain+") != NULL;
    free(names);
    return found;
}

static void on_failure(const char *name)
{
    void *frames[FRAMES_MAX];
    int n;

    faults_pause();
    n = backtrace(frames, FRAMES_MAX);
    page->failed = true;
    page->traffic_then = page->traffic && !is_compiling(frames, n);
    strncpy(page->name, name, sizeof page->name - 1);
    dprintf(STDERR_FILENO, "failing: %s\n", name);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    faults_resume();
}

/* in a process of its own */
static int run_here(const struct torture_case *c, unsigned k)
{
    enum torture_end end;

    failing = k;
    faults_pause();
    faults_tell(on_failure);
    faults_arm(k);
    end = c->run(c->arg);
    faults_pause();
    page->calls = faults_seen();
    faults_stop();
    return (int)end;
}

/* the exit status, or what waitpid said of a death; -1: it took too long */
static int run_child(const struct torture_case *c, unsigned k)
{
    int status;
    pid_t pid;

    *page = (struct page){0};
    fflush(NULL);
    if (ftruncate(fileno(said), 0) < 0)
        abort();
    rewind(said);
    pid = fork();
    if (pid == 0) {
        dup2(fileno(said), STDOUT_FILENO);
        dup2(fileno(said), STDERR_FILENO);
        alarm(RUN_LIMIT);
        exit(run_here(c, k)); /* not _exit: the leak checker runs then */
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    return status;
}

static void show_said(void)
{
    char line[1000];

    rewind(said);
    while (fgets(line, sizeof line, said))
        printf("    | %s%s", line, strchr(line, '\n') ? "" : "\n");
}

struct sum {
    unsigned runs, right, told, ended, wrong;
};

static bool is_fine(int status, struct sum *sum)
{
    if (!WIFEXITED(status) || !page->failed) /* nothing failed, and it was not right */
        return false;
    switch (WEXITSTATUS(status)) {
    case TORTURE_RIGHT:
        sum->right++;
        return true;
    case TORTURE_TOLD:
        sum->told++;
        return true;
    case EX_OSERR:
        sum->ended++;
        return !page->traffic_then;
    default:
        return false;
    }
}

static void found(const struct torture_case *c, unsigned k, int status, struct sum *sum)
{
    sum->wrong++;
    if (sum->wrong > SHOWN_MAX)
        return;
    printf("  WRONG %s: call %u (%s)%s failing: ", c->name, k, page->name,
           page->traffic_then ? " in traffic" : "");
    if (WIFSIGNALED(status))
        printf("%s\n", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == EX_OSERR)
        printf("the process ended\n");
    else
        printf("exit status %d\n", WEXITSTATUS(status));
    show_said();
    fflush(stdout);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* without a failure it has to be right; how many calls it makes, 0 = it is not */
static unsigned reference_run(const struct torture_case *c)
{
    int status;

    memset(notes, 0, 4096);
    status = run_child(c, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == TORTURE_RIGHT && page->calls > 0)
        return page->calls;
    printf("FAILED  torture/%s: without a failing call it ended with status %x, %u calls\n",
           c->name, (unsigned)status, page->calls);
    show_said();
    return 0;
}

static struct sum run_case(const struct torture_case *c, unsigned step)
{
    struct sum sum = {0};
    double start = seconds();
    unsigned calls = reference_run(c);

    step *= c->each ? c->each : 1;
    if (calls == 0) {
        sum.wrong = 1;
        return sum;
    }
    /* which ones of every step: another for each case */
    for (unsigned k = 1 + (step > 1 ? (unsigned)strlen(c->name) % step : 0); k <= calls;
         k += step) {
        int status = run_child(c, k);
        if (!page->failed && status == TORTURE_RIGHT << 8)
            break; /* it went another way: fewer calls */
        sum.runs += page->failed;
        if (!is_fine(status, &sum))
            found(c, k, status, &sum);
    }
    printf("%-7s torture/%-34s %5u of %5u calls failed: %u unnoticed, %u told, %u ended %6.1f s\n",
           sum.wrong ? "FAILED" : "ok", c->name, sum.runs, calls, sum.right, sum.told, sum.ended,
           seconds() - start);
    fflush(stdout);
    return sum;
}

static struct torture_case cases[CASES_MAX];
static unsigned n_cases;

static void collect(void)
{
    n_cases += replay_cases(cases + n_cases, CASES_MAX - n_cases);
    n_cases += tls_cases(cases + n_cases, CASES_MAX - n_cases);
}

static void set_up(void)
{
    void *frames[1];

    faults_pause(); /* what is called here is not counted */
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    notes = mmap(NULL, TORTURE_NOTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    said = tmpfile();
    if (page == MAP_FAILED || notes == MAP_FAILED || !said)
        abort();
    fcntl(fileno(said), F_SETFL, O_APPEND);
    setenv("TZ", "UTC", 1);
    backtrace(frames, 1); /* loads what it needs */
    torture_memory();
    collect();
}

/* all that are chosen; how many calls were failed, how many cases found something */
static int run_all(const bool *chosen, unsigned step)
{
    unsigned calls = 0, passed = 0, failed = 0;

    for (unsigned i = 0; i < n_cases; i++) {
        if (!chosen[i])
            continue;
        struct sum s = run_case(&cases[i], step);
        calls += s.runs;
        passed += s.wrong == 0;
        failed += s.wrong > 0;
    }
    if (step > 1)
        printf("%u calls failed: every %uth\n", calls, step);
    else
        printf("%u calls failed: all there are, but inside TLS\n", calls);
    printf("%u passed, %u failed, 0 skipped\n", passed, failed);
    return failed || !passed;
}

int main(int argc, char **argv)
{
    bool chosen[CASES_MAX] = {false};
    unsigned k = 0, step = 1;
    int opt;

    while ((opt = getopt(argc, argv, "n:k:")) != -1)
        if (opt == 'n')
            step = (unsigned)strtoul(optarg, NULL, 10);
        else if (opt == 'k')
            k = (unsigned)strtoul(optarg, NULL, 10);
        else
            return 2;
    if (step == 0)
        return 2;
    set_up();
    for (unsigned i = 0; i < n_cases; i++) {
        chosen[i] = optind == argc;
        for (int a = optind; a < argc; a++)
            chosen[i] |= strstr(cases[i].name, argv[a]) != NULL;
        if (!k || !chosen[i])
            continue;
        if (run_child(&cases[i], 0) != TORTURE_RIGHT << 8)
            show_said();
        return run_here(&cases[i], k);
    }
    return run_all(chosen, step);
}
