/* table.h - a hash table from byte strings to pointers.
 *
 * Keys are copied in; values are borrowed (the table never frees them unless a destructor is
 * given).  Hashing is keyed with a per-process random seed (SipHash-1-3), so keys may come from
 * outside.  Lookup is O(1); iteration is in insertion order and survives deleting the current
 * entry.  One writer or many readers.
 */
#ifndef FSM_BASE_TABLE_H
#define FSM_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/slice.h"

struct table;

/* free_value may be NULL; else it is called on replace, delete and table_free */
struct table *table_new(void (*free_value)(void *));
void table_free(struct table *t);
/* NULL if absent */
void *table_get(const struct table *t, struct slice key);
void *table_get_str(const struct table *t, const char *key);
/* replaces; value must not be NULL */
void table_put(struct table *t, struct slice key, void *value);
/* The same, but -1 and no change if there is no memory: for the request path. */
int table_try_put(struct table *t, struct slice key, void *value);
void table_put_str(struct table *t, const char *key, void *value);
/* 1 if it was there */
int table_del(struct table *t, struct slice key);
size_t table_count(const struct table *t);
/* *it = 0 to begin; returns 1 and fills key/value (either may be NULL), or 0 at the end */
int table_next(const struct table *t, size_t *it, struct slice *key, void **value);
#define table_foreach(t, it, key, value)                                                           \
    for (size_t it = 0; table_next((t), &it, (key), (void **)(value));)

/* the table's keyed hash, for tables that callers build themselves */
uint64_t hash_bytes(const void *p, size_t n);

#endif
