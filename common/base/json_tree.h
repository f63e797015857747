/* json_tree.h - JSON to be read once and thrown away: a tree in an arena.
 *
 * For large documents on their way into tables, where a value of jansson's costs ten times as much.
 * Accepts what json_parse() accepts (json.h), but at most 64 levels; refuses duplicate keys.
 *
 *   t = json_tree_parse(mem, text, &e);
 *   for (m = t->first; m; m = m->next)      members of an object, elements of an array
 *   v = json_tree_get(t, "Port");           NULL: not there, or t is no object
 *
 * Lives as long as the arena.  Immutable: any thread may read it.
 */
#ifndef FSM_BASE_JSON_TREE_H
#define FSM_BASE_JSON_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/base/slice.h"

struct json_tree {
    json_type type;
    uint32_t n;      /* bytes of a string; members or elements */
    const char *key; /* of a member of an object */
    const struct json_tree *next;
    union {
        const struct json_tree *first;
        const char *text; /* with a NUL behind it, and none inside */
        int64_t integer;
        double real;
    };
};

/* borrows text; NULL and e, which names the byte */
const struct json_tree *json_tree_parse(struct arena *a, struct slice text, struct err *e);
/* NULL-safe, as jansson's are */
const struct json_tree *json_tree_get(const struct json_tree *t, const char *key);
const char *json_tree_text(const struct json_tree *t); /* NULL if it is no string */
static inline bool json_tree_is(const struct json_tree *t, json_type type)
{
    return t && t->type == type;
}
static inline size_t json_tree_size(const struct json_tree *t)
{
    return t && (t->type == JSON_OBJECT || t->type == JSON_ARRAY) ? t->n : 0;
}
/* absent, or null */
static inline bool json_tree_absent(const struct json_tree *t)
{
    return !t || t->type == JSON_NULL;
}
/* a member of an object, at any depth, is null */
bool json_tree_has_null(const struct json_tree *t);

#endif
