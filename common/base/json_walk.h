/* json_walk.h - goes through the members of a JSON object, or the elements of an array, in the text
 * itself: for documents too large to become a tree of values at once.
 *
 *   json_walk_begin(&w, text);
 *   while ((r = json_walk_next(&w)) > 0)  ... w.key, w.value
 *   if (r < 0) ...                        the text is no such object or array
 *
 * Brackets, quotes, commas and colons are checked; what stands in a value is not looked at: whoever
 * uses it parses it.  Slices are borrowed from the text.
 */
#ifndef FSM_BASE_JSON_WALK_H
#define FSM_BASE_JSON_WALK_H

#include "common/base/buf.h"
#include "common/base/slice.h"

struct json_walk {
    struct slice rest;
    char close; /* that ends it */
    bool begun;
    struct slice key; /* of a member, with its quotes; of an element: empty */
    struct slice value;
};

/* text: one object or array, blanks around it allowed.  -1 if it begins with neither */
int json_walk_begin(struct json_walk *w, struct slice text);
/* 1; 0 at the end, with nothing but blanks behind it; -1 */
int json_walk_next(struct json_walk *w);
/* the key without quotes and escapes, into out (which it replaces); -1: not a string of UTF-8 */
int json_walk_key(const struct json_walk *w, struct buf *out);

#endif
