/* document_store.h - a configuration document held compactly, in versions.
 *
 * What makes a document large is three kinds of fragments: match items, clusters, allowed
 * addresses.  They are kept as compressed pages of JSON text, sorted by name; only the rest
 * stands as JSON values.  A version never changes, and shares with the one it was made from every
 * page and value that did not change: so a change costs what it touches, and what differs between
 * two versions is found by comparing pages.
 *
 *   d = document_load(text, &e);                       (200, whole document)
 *   n = document_update(d, patch, &e);                 (200, merge patch)
 *         NULL: the patch does not lead to its Version: ask again with version=""
 *   document_diff(d, n, DOCUMENT_CLUSTER, fn, arg);
 *   document_show(n, status, &out);                    config_dump
 *
 * Depends on document.h, jansson, LZ4 and the base layer alone.  One thread,
 * but where it says otherwise.
 */
#ifndef FSM_POLICY_DOCUMENT_STORE_H
#define FSM_POLICY_DOCUMENT_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum document_place {
    DOCUMENT_ITEM,    /* of Outbound.TrafficMatches; name: see document_item_port() */
    DOCUMENT_CLUSTER, /* of Outbound.ClustersConfigs */
    DOCUMENT_ALLOWED, /* of AllowedEndpoints */
    DOCUMENT_PLACES
};

struct document; /* one version; reference-counted */

/* Either form; text is only read.  NULL and e: no JSON, or not an object. */
struct document *document_load(struct slice text, struct err *e);
/* the same from memory; borrows doc */
struct document *document_of(const json_t *doc, struct err *e);
/* Applies a merge patch and checks that the result's hash is the patch's Version (document_patch()
 * says how).  Borrows both; d is untouched.  returns owned; NULL and e */
struct document *document_update(const struct document *d, const json_t *patch, struct err *e);
struct document *document_ref(struct document *d);
void document_unref(struct document *d);

/* everything but the fragments, wire form; borrowed */
const json_t *document_rest(const struct document *d);
uint64_t document_hash_now(const struct document *d);
size_t document_count(const struct document *d, enum document_place place);
/* bytes of compressed text */
size_t document_bytes(const struct document *d);

struct document_fragment {
    struct slice name; /* unique in its place and stable */
    struct slice text; /* JSON, wire form; p == NULL: not there */
};
/* Appends the text of the fragment by that name; false: there is none.  Any thread, while somebody
 * holds the document. */
bool document_fragment_text(const struct document *d, enum document_place place, struct slice name,
                            struct buf *out);
/* the key in TrafficMatches of an item by that name: its port */
struct slice document_item_port(struct slice name);
/* ... and its document_item_key() */
struct slice document_item_label(struct slice name);
/* it has no DestinationIPRanges */
bool document_item_is_rangeless(struct slice name);

/* non-zero ends the walk and is returned by it */
typedef int document_diff_fn(const struct document_fragment *old,
                             const struct document_fragment *now, void *arg);
/* Every fragment of a place that is not the same in both, in order of name; old may be NULL: then
 * all of now.  What fn gets lives for the call. */
int document_diff(const struct document *old, const struct document *now, enum document_place place,
                  document_diff_fn *fn, void *arg);
/* borrows text; returns owned */
json_t *document_fragment_value(struct slice text);

/* Appends the wire form, compact: document_load() reads it. */
void document_print(const struct document *d, struct buf *out);
/* Appends the presented form, indented by 2, with a member "Status" behind its own if status is
 * not NULL. */
void document_show(const struct document *d, json_t *status, struct buf *out);

#endif
