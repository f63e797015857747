/* policy.h - the compiler: a store of resources in, one configuration document per proxy out.
 *
 *   p = policy_new(store, &opts);           (listens to the store's changes)
 *   if (policy_update(p)) ...               (once per batch of changes: compiles what they touch)
 *   px = policy_proxy_open(p, "app", "curl-1");
 *   policy_proxy_version(px, v);            the version it should have now
 *   policy_proxy_document(px, ts, &text);   the whole document, wire form
 *   policy_proxy_patch(px, from, ts, &text) or what leads there from a version it was served
 *
 * No I/O, no clock, no globals: the time of a document is the caller's.  What documents have in
 * common is compiled once, kept as text and shared (parts.h); a change costs what it touches.
 * One thread: the store's.
 */
#ifndef FSM_POLICY_POLICY_H
#define FSM_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include "common/base/buf.h"
#include "common/kube/store.h"
#include "common/policy/document.h"
#include "common/policy/mesh.h"
#include "common/policy/settings.h"

struct policy;

struct policy_opts {
    const char *mesh_name;     /* "fsm" */
    const char *fsm_namespace; /* "fsm-system" */
    const char *trust_domain;  /* "cluster.local" */
};
/* borrows st, which must outlive it and is read at once; the strings are copied */
struct policy *policy_new(struct kube_store *st, const struct policy_opts *o);
/* all proxies must be closed; the store must not change any more */
void policy_free(struct policy *p);

/* Takes in what changed in the store.  false: no document can have changed. */
bool policy_update(struct policy *p);
/* of the last update */
const struct mesh_settings *policy_settings(const struct policy *p);

/* The pod as of the last update, or NULL; ->meshed: it is a member.  Borrowed until the next. */
const struct mesh_pod *policy_pod(const struct policy *p, const char *ns, const char *name);

/* What a user should know and no error covers: object "Service app/web", text a sentence. */
typedef void policy_note_fn(const char *object, const char *text, void *arg);
void policy_notes(const struct policy *p, policy_note_fn *fn, void *arg);

struct policy_stats {
    size_t namespaces;      /* in the mesh */
    size_t services;        /* of the mesh */
    size_t pods;            /* with a sidecar */
    size_t items, clusters; /* compiled fragments */
    size_t bytes;           /* of their text */
    size_t compiled;        /* Services compiled, ever */
};
void policy_stats(const struct policy *p, struct policy_stats *out);

/* ---- proxies ----------------------------------------------------------------------------------
 */

#define POLICY_HISTORY 8 /* versions of a proxy from which a patch can lead on */

struct policy_proxy;
/* NULL if there is no such pod in the mesh.  One per pod: opening it again returns the same,
 * which must be closed as often. */
struct policy_proxy *policy_proxy_open(struct policy *p, const char *ns, const char *name);
void policy_proxy_close(struct policy_proxy *px);
/* its pod, or NULL when that left the mesh: there is no document any more */
const struct mesh_pod *policy_proxy_pod(const struct policy_proxy *px);
/* the version of its document now; returns out */
char *policy_proxy_version(const struct policy_proxy *px, char out[DOCUMENT_VERSION_MAX]);
/* Tells that the proxy holds this version: if it is the one of now, patches may start from it. */
void policy_proxy_holds(struct policy_proxy *px, const char *version);
/* Appends the document.  ts: RFC 3339 time to put into it.  Patches may start from it later. */
void policy_proxy_document(struct policy_proxy *px, const char *ts, struct buf *out);
/* Appends the patch from version `from` to now (document_patch() applies it).  false and nothing
 * appended: that version is not known, or the patch would be larger than the document. */
bool policy_proxy_patch(struct policy_proxy *px, const char *from, const char *ts, struct buf *out);

#endif
