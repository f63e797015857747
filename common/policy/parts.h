/* parts.h - fragments of documents, kept as wire text with their hash, and a log of how they
 * changed.
 *
 * Documents of many proxies are made of the same fragments.  A fragment is compiled once, printed
 * once, and from then on only copied; a patch is made of the fragments that changed, and from
 * nothing else.  A set of fragments belongs to one book, whose log remembers what was replaced.
 *
 * A generation is a moment between two batches of changes; it grows with every batch.  One thread.
 */
#ifndef FSM_POLICY_PARTS_H
#define FSM_POLICY_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/slice.h"

/* where a fragment stands in the document */
enum part_place {
    PART_MATCH,   /* an item of Outbound.TrafficMatches.<port>; key: "<port>/<item key>" */
    PART_CLUSTER, /* Outbound.ClustersConfigs.<key> */
    PART_ALLOWED, /* AllowedEndpoints.<key> */
};

struct part {
    char *text; /* the value as JSON; of a match that takes the client's identity: without it */
    uint32_t len;
    uint16_t port;     /* PART_MATCH */
    const char *key;   /* within its place: item key, cluster, address (inside `name`) */
    uint64_t hash;     /* what it adds to a document's hash */
    uint64_t identity; /* weight of the client's identity in that hash; 0 = it takes none */
    char *name;        /* key within the set */
};

struct parts_book;
/* the log is bounded by entries and by bytes of text */
struct parts_book *parts_book_new(unsigned max_entries, size_t max_bytes);
/* after all of its sets */
void parts_book_free(struct parts_book *b);
uint64_t parts_generation(const struct parts_book *b);
/* begins the next batch; returns its generation */
uint64_t parts_next_generation(struct parts_book *b);

struct parts; /* a set */
/* owner: whatever the caller wants to know a set by; borrowed */
struct parts *parts_new(struct parts_book *b, enum part_place place, const void *owner);
/* changes of a freed set are forgotten; whoever showed it must have no use for patches */
void parts_free(struct parts *p);
/* While quiet, changes are not logged: for the first filling of a set that no document shows yet.
 */
void parts_set_quiet(struct parts *p, bool quiet);
enum part_place parts_place(const struct parts *p);
const void *parts_owner(const struct parts *p);
/* Borrows value (wire form).  Returns true if that changes anything.  port: PART_MATCH only;
 * takes_identity: the client's ServiceIdentity is added when the fragment is used. */
bool parts_set(struct parts *p, uint16_t port, const char *key, const json_t *value,
               bool takes_identity);
bool parts_del(struct parts *p, uint16_t port, const char *key);
uint64_t parts_hash(const struct parts *p);
/* sum of the identity weights */
uint64_t parts_identity(const struct parts *p);
size_t parts_count(const struct parts *p);
/* bytes of text */
size_t parts_bytes(const struct parts *p);
/* *it = 0 to begin; NULL at the end */
const struct part *parts_next(const struct parts *p, size_t *it);

/* Calls fn once for every fragment that changed after generation `since` in any set: old is what
 * it was then (NULL: not there), now what it is (NULL: gone).  Both live until the next change.
 * -1 when the log does not reach back that far, else the number of calls. */
typedef void parts_change_fn(const struct parts *set, const struct part *old,
                             const struct part *now, void *arg);
int parts_changes(const struct parts_book *b, uint64_t since, parts_change_fn *fn, void *arg);

#endif
