/* json_cut.h - cuts values out of a stream of JSON while it arrives, and drops members that nobody
 * wants on the way: what is held is one value without them, however long the stream.
 *
 *   c = json_cut_new(JSON_CUT_ITEMS, mask, 8 << 20, on_piece, self);
 *   while (bytes come)  if (json_cut_feed(c, bytes, &e) < 0) ...
 *   if (json_cut_end(c, &e) < 0) ...                the stream ended in the middle
 *   json_cut_rest(c)                                what stood around the items
 *
 * The text of a piece is checked as far as brackets, quotes, commas and colons go; the rest is for
 * the parser that it is given to.  What stands in dropped members is not looked at.  Why not a
 * parser that calls back for every token: a tree of values would have to be built from the calls
 * by hand, where a JSON library does it from the piece's text, strictly.
 *
 * The stream is hostile: a piece has at most `kept_max` bytes (what is dropped not counted) and
 * JSON_CUT_RAW_MAX altogether, its depth is at most JSON_CUT_DEPTH.  One thread.
 */
#ifndef FSM_BASE_JSON_CUT_H
#define FSM_BASE_JSON_CUT_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/buf.h"
#include "common/base/err.h"

#define JSON_CUT_DEPTH   128
#define JSON_CUT_RAW_MAX (64u << 20)
#define JSON_CUT_REST    (64u << 10) /* bytes around the items */

/* Which members of an object are kept, the first row that fits decides; none fits: dropped.  For
 * an array the mask is that of its elements. */
struct json_mask {
    const char *name;           /* "x*" stands for all that begin with x; NULL ends the table */
    const struct json_mask *of; /* NULL: keep the value as it is */
};
extern const struct json_mask json_mask_drop[];
#define JSON_DROP json_mask_drop

enum json_cut_shape {
    JSON_CUT_STREAM, /* values one after the other: each is a piece */
    JSON_CUT_ITEMS,  /* one object: the elements of its member "items" are the pieces */
};

/* One piece; text is borrowed.  why != NULL: it was too large or too deep, and there is no text;
 * the stream goes on behind it.  -1: stop, json_cut_feed() fails with what was put into e. */
typedef int json_cut_fn(struct slice text, const char *why, void *arg, struct err *e);

struct json_cut;
/* borrows mask (NULL: everything is kept), which for JSON_CUT_ITEMS is that of the whole object */
struct json_cut *json_cut_new(enum json_cut_shape shape, const struct json_mask *mask,
                              size_t kept_max, json_cut_fn *fn, void *arg);
void json_cut_free(struct json_cut *c);
/* 0, or -1: broken for good */
int json_cut_feed(struct json_cut *c, struct slice bytes, struct err *e);
int json_cut_end(const struct json_cut *c, struct err *e);
/* JSON_CUT_ITEMS, after the end: the object with an empty array of items; borrowed */
struct slice json_cut_rest(const struct json_cut *c);

/* the same mask on a value in memory */
void json_mask_apply(const struct json_mask *mask, json_t *v);

#endif
