/* torture.h - a case is run as often as it makes calls that can fail; each time another one fails.
 *
 * A case runs in a child process.  Only what runs between torture_on() and torture_off() counts
 * and fails; a case begins switched off.  How it may end:
 *
 *   TORTURE_RIGHT     all was as if nothing had failed
 *   TORTURE_TOLD      something did not work, and everybody concerned was told so
 *   TORTURE_WRONG     anything else, with a sentence on stderr; so are a crash, a leak, a hang
 *   (EX_OSERR         the process ended for want of memory, as mem.h says: fine, but never on
 *                     account of traffic)
 */
#ifndef FSM_TEST_TORTURE_H
#define FSM_TEST_TORTURE_H

#include <stdbool.h>
#include <stddef.h>

enum torture_end { TORTURE_RIGHT = 40, TORTURE_TOLD, TORTURE_WRONG };

struct torture_case {
    char name[64];
    enum torture_end (*run)(const char *arg);
    const char *arg;
    unsigned each; /* only every so many calls one fails; 0 = each */
};

void torture_on(void);
void torture_off(void);
/* From here on it is traffic that runs: the process may not end. */
void torture_traffic(bool on);
/* no call is made to fail in this run: everything must be as it should */
bool torture_is_reference(void);
/* the call to fail has failed */
bool torture_failed(void);
/* Memory shared by all runs of a case: what the run without a failure puts there, those with one
 * find there.  The first page is zeroed before. */
#define TORTURE_NOTES (256u << 20)
void *torture_notes(void);
/* a sentence for TORTURE_WRONG */
enum torture_end torture_wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* memory.c: allocations count from here on, in libraries too */
void torture_memory(void);

/* ---- cases: each appends its own to v, which has room for max; returns how many ---- */
unsigned replay_cases(struct torture_case *v, unsigned max);
unsigned tls_cases(struct torture_case *v, unsigned max);

#endif
