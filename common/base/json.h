/* json.h - what jansson lacks: typed lookups that explain themselves, and merge patches.
 *
 * All functions borrow their json_t arguments unless they say otherwise.  json_t is not to be
 * shared between threads while one of them changes it.
 */
#ifndef FSM_BASE_JSON_H
#define FSM_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"

/* Duplicate keys are refused; at most `max` bytes.  returns owned, or NULL and e ("line 3: …") */
json_t *json_parse(struct slice text, size_t max, struct err *e);
/* With `on` all memory that jansson gives back is wiped first: while JSON with keys in it is made,
 * read or freed.  Process-wide; the thread that does so is the only one that uses jansson. */
void json_wipe(bool on);
/* compact, keys in insertion order */
void json_print(const json_t *j, struct buf *out);
/* indented by `indent` spaces, keys sorted if `sorted` */
void json_print_pretty(const json_t *j, int indent, bool sorted, struct buf *out);

/* walks "spec.traffic.enableEgress"; keys with dots cannot be named this way.  borrowed or NULL */
json_t *json_at(const json_t *root, const char *path);
/* the value at path, or dflt if absent, null or of another type */
const char *json_str(const json_t *root, const char *path, const char *dflt);
bool json_bool(const json_t *root, const char *path, bool dflt);
int64_t json_int(const json_t *root, const char *path, int64_t dflt);

/* RFC 7386.  Applies patch to target in place and returns the result: target itself, or a new
 * value if target is no object.  takes target; borrows patch; returns owned. */
json_t *json_merge_patch(json_t *target, const json_t *patch);
/* The patch that turns a into b, {} if they are equal objects; NULL if no merge patch does (b has a
 * null member that a does not have: a patch cannot carry it).  a may be NULL (nothing there yet).
 * returns owned */
json_t *json_merge_diff(const json_t *a, const json_t *b);
/* stable 64-bit hash of the value, independent of key order */
uint64_t json_hash(const json_t *j);

#endif
