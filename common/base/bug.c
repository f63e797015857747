/* bug.c - the end of a process that found itself to be wrong. */
#include "common/base/bug.h"

#include <stdlib.h>
#include "common/base/log.h"

void bug_die(const char *file, int line, const char *what)
{
    log_error("bug", "broken invariant where=%s:%d condition=%s", file, line, what);
    abort();
}
