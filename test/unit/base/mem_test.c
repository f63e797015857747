/* mem_test.c - allocation that cannot fail: what it gives, and how it ends a process. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "test/unit/unit.h"

START_TEST(copies_and_prints)
{
    char *a = xstrdup("abc"), *b = xstrndup("abcdef", 3), *c = xstrndup("ab", 9);
    char *d = xasprintf("%s-%d", a, 5), *z = xmalloc(0), *n = xcalloc(0, 5);

    ck_assert_str_eq(a, b);
    ck_assert_str_eq(c, "ab");
    ck_assert_str_eq(d, "abc-5");
    free(a);
    free(b);
    free(c);
    free(d);
    free(z);
    free(n);
}
END_TEST

/* the exit status of a child that runs fn, with its stderr closed to the test's output */
static int status_of(void (*fn)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static volatile size_t huge = SIZE_MAX / 2;

static void overflow(void)
{
    free(xreallocarray(NULL, huge, 4));
}

START_TEST(ends_with_a_status_of_its_own)
{
    int status = status_of(overflow);

    ck_assert_msg(status == EX_OSERR || status == EX_IOERR, "status %d", status);
}
END_TEST

UNIT_MAIN("mem", copies_and_prints, ends_with_a_status_of_its_own)
