/* descriptors.c - see descriptors.h */
#include "common/io/descriptors.h"

#include <limits.h>
#include <sys/resource.h>

#define SHARES 16

static int first_kept; /* atomic; 0 = not known */
static int first_last; /* atomic; 0 = not known */

static void ask(void)
{
    struct rlimit r;
    rlim_t n = INT_MAX;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < n)
        n = r.rlim_cur;
    rlim_t kept = n / 4 < DESCRIPTORS_KEPT ? n / 4 : DESCRIPTORS_KEPT;
    __atomic_store_n(&first_kept, (int)(n - kept), __ATOMIC_RELAXED);
    __atomic_store_n(&first_last, (int)(n - kept / 2), __ATOMIC_RELAXED);
}

/* the limit is asked for again before anybody is refused: it may have been raised */
static bool reaches(int fd, const int *first)
{
    if (fd < __atomic_load_n(first, __ATOMIC_RELAXED))
        return false;
    ask();
    return fd >= __atomic_load_n(first, __ATOMIC_RELAXED);
}

bool descriptor_is_kept(int fd)
{
    return reaches(fd, &first_kept);
}

bool descriptor_is_last(int fd)
{
    return reaches(fd, &first_last);
}

unsigned descriptors_share(void)
{
    ask();
    int half = __atomic_load_n(&first_last, __ATOMIC_RELAXED) -
               __atomic_load_n(&first_kept, __ATOMIC_RELAXED);
    return half < SHARES ? 1 : (unsigned)half * 2 / SHARES;
}

void descriptors_limit_changed(void)
{
    ask();
}
