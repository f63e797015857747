/* match.h - compiled text matchers: anything, exact, prefix, or a regular expression.
 *
 * A pattern is a PCRE2 expression that must match the whole subject; patterns without special
 * characters, or with ".*" at the end only, become comparisons.  Expressions run with JIT and
 * with bounds on steps and memory: a subject that exceeds them does not match, and is counted.
 * Matching uses a per-thread scratch area inside; any thread.
 */
#ifndef FSM_PROXY_MATCH_H
#define FSM_PROXY_MATCH_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum match_kind { MATCH_ANY, MATCH_EXACT, MATCH_PREFIX, MATCH_REGEX };

struct matcher {
    uint8_t kind;
    uint32_t n;       /* of text */
    const char *text; /* EXACT, PREFIX: in the arena */
    void *regex;      /* owned: pcre2_code */
};

#define MATCH_PATTERN_MAX 4096

/* whole-subject expression; text is kept in a.  -1 and e with the offset and PCRE2's words */
int matcher_init_regex(struct matcher *m, struct arena *a, const char *pattern, struct err *e);
void matcher_init_text(struct matcher *m, struct arena *a, enum match_kind kind, struct slice text);
bool matcher_test(const struct matcher *m, struct slice subject);
/* frees what is not in the arena */
void matcher_release(struct matcher *m);
/* subjects that hit a bound since the start */
uint64_t matcher_limits_hit(void);

#endif
