/* document.h - the sidecar's configuration document: its two forms, its version, its patches.
 *
 * Presented form: what people see (config_dump, -f files, golden files): the specification's
 * keys in its order, empty optional ones as null, maps sorted.  Wire form: the same without the
 * null members, because a merge patch cannot carry them.  Both mean the same and have the same
 * hash; a reader of documents accepts both.
 *
 * The sidecar keeps a document as document_store.h does and patches it there, fragment by fragment
 * (document_fragment_patch); document_patch() is the same for a whole document in JSON, and what
 * the store is compared with.
 *
 * In SourceIPRanges a null value means "no conditions"; on the wire that is an empty object.
 *
 * Depends on jansson and the base layer alone.  Pure; values are shared between results and
 * arguments (json_incref), so never change a document in place.  One thread.
 */
#ifndef FSM_POLICY_DOCUMENT_H
#define FSM_POLICY_DOCUMENT_H

#include <jansson.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/base/json_tree.h"

#define DOCUMENT_VERSION_MAX 24 /* decimal 64-bit and NUL */

/* borrows doc (either form); returns owned: the wire form.  What holds no null is shared with doc:
 * of a wire document the result is doc itself. */
json_t *document_strip_nulls(const json_t *doc);
/* borrows doc (either form); returns owned: the presented form */
json_t *document_present(const json_t *doc);

/* Hash of everything but Ts and Version; the same on every machine and for both forms.  It is a
 * sum over the leaves of the document, so that a change costs as much as the change. */
uint64_t document_hash(const json_t *doc);
/* the hash as the Version key carries it; out takes DOCUMENT_VERSION_MAX bytes; returns out */
char *document_version_text(uint64_t hash, char *out);
/* both at once */
char *document_version(const json_t *doc, char *out);

/* Applies a merge patch (RFC 7386) to a wire document and checks that the result's hash is the
 * patch's Version.  One refinement, because RFC 7386 replaces arrays whole: a list under
 * Outbound.TrafficMatches is patched by an object whose keys name the items
 * (document_item_key); null removes an item.
 * Borrows doc and patch.  *hash: doc's hash, becomes the result's.  Returns owned: a new document
 * that shares with doc every subtree that did not change (the same pointers); doc is untouched.
 * NULL and e when the patch is malformed or does not lead to its Version. */
json_t *document_patch(const json_t *doc, const json_t *patch, uint64_t *hash, struct err *e);

/* ---- documents made of fragments --------------------------------------------------------------
 * names: from the root down to the fragment, NULL-terminated ("Outbound", "TrafficMatches", "80",
 * item key); at most 8 */

/* What names an item of an Outbound.TrafficMatches list: its first destination range, or its
 * protocol for an item without ranges.  borrowed from item, "" if it has neither */
const char *document_item_key(const json_t *item);
/* A place in the document, as a hash.  The root is DOCUMENT_ROOT. */
#define DOCUMENT_ROOT UINT64_C(0x6d6573682d646f63)
uint64_t document_path(uint64_t parent, const char *key, size_t len);
/* what a string leaf at a place adds to the hash is path * document_string_hash(text) */
uint64_t document_string_hash(const char *text);
/* What an object's member adds to the document's hash. */
uint64_t document_fragment_hash(const char *const *names, const json_t *value);
/* both for a tree without nulls: a fragment's wire form as it was read */
const char *document_item_key_tree(const struct json_tree *item);
uint64_t document_fragment_hash_tree(const char *const *names, const struct json_tree *value);
/* document_strip_nulls() and document_present() of a fragment alone; return owned */
json_t *document_fragment_strip(const char *const *names, const json_t *value);
json_t *document_fragment_present(const char *const *names, const json_t *value);
/* What a member of a patch makes of a fragment (old: NULL if it is not there).  *out: returns
 * owned, NULL if the fragment is gone.  *hash is the document's, and follows.  -1 and e: no patch
 * of such a fragment */
int document_fragment_patch(const char *const *names, const json_t *old, const json_t *change,
                            json_t **out, uint64_t *hash, struct err *e);

#endif
