/* descriptors.c - see descriptors.h */
#include "common/io/descriptors.h"

#include <limits.h>
#include <sys/resource.h>

static int first_kept; /* atomic; 0 = not known */

static int ask(void)
{
    struct rlimit r;
    rlim_t n = INT_MAX;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < n)
        n = r.rlim_cur;
    n -= n / 4 < DESCRIPTORS_KEPT ? n / 4 : DESCRIPTORS_KEPT;
    __atomic_store_n(&first_kept, (int)n, __ATOMIC_RELAXED);
    return (int)n;
}

/* the limit is asked for again before anybody is refused: it may have been raised */
bool descriptor_is_kept(int fd)
{
    return fd >= __atomic_load_n(&first_kept, __ATOMIC_RELAXED) && fd >= ask();
}

void descriptors_limit_changed(void)
{
    ask();
}
