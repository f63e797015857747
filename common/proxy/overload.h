/* overload.h - how much memory the process uses, against its limit.
 *
 *   o = overload_new();
 *   switch (overload_level(o, limit_mib, now_ms)) ...
 *
 * Asked for each new request and connection, and where bytes begin to wait; the kernel is asked at
 * most every OVERLOAD_CHECK_MS, or at once by who has taken much since.
 * Memory is what the process has for itself alone (resident, not shared with a file).  Near the
 * limit what lies free is given back first.  Any thread.
 */
#ifndef FSM_PROXY_OVERLOAD_H
#define FSM_PROXY_OVERLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define OVERLOAD_CHECK_MS 20

enum overload_level {
    OVERLOAD_NONE,
    OVERLOAD_TIGHT,       /* 1/8 below the limit: what is under way takes no more than it must */
    OVERLOAD_REQUESTS,    /* nothing new is begun */
    OVERLOAD_CONNECTIONS, /* 1/16 above: nobody new is taken in either */
};

struct overload;
/* finds the limit of the process's cgroup */
struct overload *overload_new(void);
void overload_free(struct overload *o);
/* limit_mib: 0 = 4/5 of the cgroup's, if it has one; grown: what the kernel said is old */
enum overload_level overload_level(struct overload *o, uint32_t limit_mib, uint64_t now_ms,
                                   bool grown);
/* bytes; 0 = no limit, or not to be found out */
uint64_t overload_limit(const struct overload *o, uint32_t limit_mib);
uint64_t overload_used(const struct overload *o);

#endif
