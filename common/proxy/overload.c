/* overload.c - see overload.h */
#include "common/proxy/overload.h"
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"

#define RELIEVE_MS 1000 /* giving memory back takes a while: not more often */

struct overload {
    int fd; /* /proc/self/statm */
    uint64_t page;
    uint64_t cgroup; /* 0 = no limit */
    /* atomic */
    uint64_t checked_ms, relieved_ms, used;
    int level;
};

/* ---- the cgroup's limit ---------------------------------------------------------------------- */

/* a number in a file; 0: there is none, or "max" */
static uint64_t number_in(const char *path)
{
    char text[64];
    FILE *f = fopen(path, "re");
    uint64_t n = 0;
    if (!f)
        return 0;
    if (fgets(text, sizeof text, f))
        n = strtoull(text, NULL, 10);
    fclose(f);
    return n < UINT64_MAX / 4 ? n : 0; /* version 1 says "none" by a huge one */
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return !a ? b : !b ? a : a < b ? a : b;
}

/* of a cgroup and of those above it, whichever is least */
static uint64_t limit_along(const char *root, char *group, const char *file)
{
    char path[4096];
    uint64_t least = 0;
    for (;;) {
        char *slash = strrchr(group, '/');
        snprintf(path, sizeof path, "%s%s/%s", root, group, file);
        least = smaller(least, number_in(path));
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* cgroups(7): "0::/group" (version 2), "5:memory:/group" (version 1) */
static uint64_t cgroup_limit(void)
{
    char line[2048];
    uint64_t least = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *group = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (group && strncmp(line, "0::", 3) == 0)
            least = smaller(least, limit_along("/sys/fs/cgroup", group, "memory.max"));
        else if (group && strstr(line, ":memory:"))
            least = smaller(least,
                            limit_along("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
    if (f)
        fclose(f);
    return least;
}

struct overload *overload_new(void)
{
    struct overload *o = xcalloc(1, sizeof *o);
    o->fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    o->page = (uint64_t)sysconf(_SC_PAGESIZE);
    o->cgroup = cgroup_limit();
    return o;
}

void overload_free(struct overload *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    free(o);
}

/* ---- use ------------------------------------------------------------------------------------- */

uint64_t overload_limit(const struct overload *o, uint32_t limit_mib)
{
    return limit_mib ? (uint64_t)limit_mib << 20 : o->cgroup / 5 * 4;
}

/* statm: size, resident, shared ... in pages */
uint64_t overload_used(const struct overload *o)
{
    unsigned long long resident, shared;
    char text[128];
    ssize_t n = o->fd < 0 ? -1 : pread(o->fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2 || shared > resident)
        return 0;
    return (resident - shared) * o->page;
}

static int level_of(uint64_t used, uint64_t limit)
{
    return used < limit - limit / 8    ? OVERLOAD_NONE
           : used < limit              ? OVERLOAD_TIGHT
           : used < limit + limit / 16 ? OVERLOAD_REQUESTS
                                       : OVERLOAD_CONNECTIONS;
}

/* free memory that malloc keeps may be all that is too much */
static int relieve(struct overload *o, uint64_t limit, uint64_t now_ms)
{
    __atomic_store_n(&o->relieved_ms, now_ms, __ATOMIC_RELAXED);
    malloc_trim(0);
    return level_of(overload_used(o), limit);
}

static void set_level(struct overload *o, int level, uint64_t limit)
{
    int before = __atomic_exchange_n(&o->level, level, __ATOMIC_RELAXED);
    if (before < OVERLOAD_REQUESTS && level >= OVERLOAD_REQUESTS)
        log_warn("overload", "memory limit reached: new requests are refused limit=%llu",
                 (unsigned long long)limit);
}

enum overload_level overload_level(struct overload *o, uint32_t limit_mib, uint64_t now_ms,
                                   bool grown)
{
    uint64_t limit = overload_limit(o, limit_mib);
    int level;
    if (!limit)
        return OVERLOAD_NONE;
    if (!grown && now_ms - __atomic_load_n(&o->checked_ms, __ATOMIC_RELAXED) < OVERLOAD_CHECK_MS)
        return (enum overload_level)__atomic_load_n(&o->level, __ATOMIC_RELAXED);
    __atomic_store_n(&o->checked_ms, now_ms, __ATOMIC_RELAXED);
    level = level_of(overload_used(o), limit);
    if (level && now_ms - __atomic_load_n(&o->relieved_ms, __ATOMIC_RELAXED) >= RELIEVE_MS)
        level = relieve(o, limit, now_ms);
    set_level(o, level, limit);
    return (enum overload_level)level;
}
