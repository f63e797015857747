/* source.h - where resources come from: one interface, so that compilers cannot tell a directory
 * from an API server.
 *
 * A source fills a store and keeps it up to date; it reports what it could not read, keeps the
 * last good version of an object whose file is broken, and says when the first pass is done.
 */
#ifndef FSM_KUBE_SOURCE_H
#define FSM_KUBE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/kube/store.h"

/* what may go wrong between us and an API server */
#define KUBE_TROUBLES(X)                                                                           \
    X(connect)                                                                                     \
    X(handshake) X(unauthorized) X(forbidden) X(absent) X(throttled) X(server) X(garbage) X(expired)
enum kube_trouble {
#define X(name) KUBE_TROUBLE_##name,
    KUBE_TROUBLES(X)
#undef X
        KUBE_TROUBLES_N
};
extern const char *const kube_trouble_names[KUBE_TROUBLES_N];

/* how a source follows one kind, since its start */
struct kube_kind_stats {
    const char *kind;
    bool synced;
    uint64_t objects, lists, watches, events, deleted_by_list;
    uint64_t errors[KUBE_TROUBLES_N];
    uint64_t heard_ms; /* loop time of the last list's end or event; 0 = never */
};

struct kube_api;
struct kube_source;
struct kube_source_ops {
    const char *name;
    void (*free)(struct kube_source *s);
    const struct kube_problems *(*problems)(const struct kube_source *s);
    bool (*synced)(const struct kube_source *s);
    void (*refresh)(struct kube_source *s);
    /* NULL: there is nothing to tell */
    void (*stats)(const struct kube_source *s,
                  void (*fn)(const struct kube_kind_stats *k, void *arg), void *arg);
    /* NULL: there is none */
    struct kube_api *(*api)(const struct kube_source *s);
};
struct kube_source {
    const struct kube_source_ops *ops;
    void (*on_batch)(struct kube_source *s, void *arg);
    void *on_batch_arg;
};
/* A directory (recursive; *.yaml, *.yml, *.json; hidden files ignored) or one file, followed by
 * inotify.  A file renamed into place counts as one change.  The same object in two files: the
 * one in force stays (at a start the first in name order), the other is a problem.  Problems are
 * logged when they appear and when they go.
 * What changes without a pause of 2 ms, at most 10 ms long, enters the store together;
 * where an object would go or directories come and go it is 20 ms, at most 200 ms. */
struct kube_source *kube_dir_source_new(struct loop *l, const char *path, struct kube_store *st,
                                        struct err *e);
/* Several directories and files as one source: an object in two of them is a problem too, and the
 * path given first wins at a start.  Borrows paths for the call. */
struct kube_source *kube_paths_source_new(struct loop *l, const char *const *paths, unsigned n,
                                          struct kube_store *st, struct err *e);

/* What is followed of an API server.  Two of the same kind must not overlap. */
struct kube_want {
    const char *kind;   /* its key */
    const char *ns;     /* NULL: of all namespaces */
    const char *fields; /* a field selector, or NULL */
    const char *labels; /* a label selector, or NULL */
};
struct kube_access_from;
/* An API server: one list and one watch per want, over one connection.  A kind that is not
 * installed there has no objects, and is looked for again every few seconds.  While the server is
 * away what was read stays.  Borrows wants and from's strings, which must live on.  NULL and e:
 * no server is named, or credentials cannot be read. */
struct kube_source *kube_api_source_new(struct loop *l, const struct kube_access_from *from,
                                        const struct kube_want *wants, unsigned n,
                                        struct kube_store *st, struct err *e);
/* fn is called whenever the source has brought the store up to date with what it saw, the first
 * time when the first pass is complete (even if there was nothing), and when problems came or
 * went.  One fn per source. */
void kube_source_on_batch(struct kube_source *s, void (*fn)(struct kube_source *s, void *arg),
                          void *arg);
/* borrowed, valid until the source changes it in a turn of the loop; what is wrong now */
const struct kube_problems *kube_source_problems(const struct kube_source *s);
/* the first pass is complete */
bool kube_source_synced(const struct kube_source *s);
/* looks at everything again soon (SIGHUP) */
void kube_source_refresh(struct kube_source *s);
/* calls fn for each kind that is followed; nothing for directories */
void kube_source_stats(const struct kube_source *s,
                       void (*fn)(const struct kube_kind_stats *k, void *arg), void *arg);
/* The API server that it reads, for other calls over the same connection; all of them must be over
 * or cancelled before the source goes.  NULL: it reads files.  Borrowed. */
struct kube_api *kube_source_api(const struct kube_source *s);
void kube_source_free(struct kube_source *s);

#endif
