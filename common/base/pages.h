/* pages.h - a sorted map from byte strings to texts, kept as compressed pages, in versions.
 *
 * For large maps that are read seldom and change a little at a time.  A version is copied in no
 * time and shares its pages with the copy; a change replaces the page that it falls into.  What
 * differs between two versions is found by comparing pages.
 *
 *   pages_append(p, name, text) ...; pages_seal(p);       in ascending order, once
 *   q = pages_copy(p); pages_put(q, name, text);          p is as it was
 *   pages_diff(p, q, fn, arg);
 *
 * One thread for all versions that share pages; others may read a version that it keeps.
 */
#ifndef FSM_BASE_PAGES_H
#define FSM_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include "common/base/buf.h"
#include "common/base/slice.h"

struct pages;

struct pages *pages_new(void);
struct pages *pages_copy(const struct pages *p);
void pages_free(struct pages *p);

/* names in ascending order, each once; the last call is pages_seal */
void pages_append(struct pages *p, struct slice name, struct slice text);
void pages_seal(struct pages *p);

/* Appends the text of that name to out; false if there is none. */
bool pages_get(const struct pages *p, struct slice name, struct buf *out);
/* replaces; text.p == NULL removes */
void pages_put(struct pages *p, struct slice name, struct slice text);

size_t pages_count(const struct pages *p);
/* bytes held, compressed */
size_t pages_bytes(const struct pages *p);

struct pages_entry {
    struct slice name, text; /* text.p == NULL: not there */
};
/* non-zero ends the walk and is returned by it */
typedef int pages_diff_fn(const struct pages_entry *old, const struct pages_entry *now, void *arg);
/* Calls fn for every name whose text is not the same in both, in order; old may be NULL (then: all
 * of now).  What fn gets lives for the call. */
int pages_diff(const struct pages *old, const struct pages *now, pages_diff_fn *fn, void *arg);

#endif
