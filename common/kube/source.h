/* source.h - where resources come from: one interface, so that compilers cannot tell a directory
 * from an API server.
 *
 * A source fills a store and keeps it up to date; it reports what it could not read, keeps the
 * last good version of an object whose file is broken, and says when the first pass is done.
 */
#ifndef FSM_KUBE_SOURCE_H
#define FSM_KUBE_SOURCE_H

#include <stdbool.h>
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/kube/store.h"

struct kube_source;
struct kube_source_ops {
    const char *name;
    void (*free)(struct kube_source *s);
};
struct kube_source {
    const struct kube_source_ops *ops;
};
/* A directory (recursive; *.yaml, *.yml, *.json; hidden files ignored) or one file, followed by
 * inotify.  A file renamed into place counts as one change.  The same object in two files: the
 * first in name order wins, the second is a problem.  Problems are logged when they appear and
 * when they go. */
struct kube_source *kube_dir_source_new(struct loop *l, const char *path, struct kube_store *st,
                                        struct err *e);
/* borrowed; what is wrong now */
const struct kube_problems *kube_source_problems(const struct kube_source *s);
/* the first pass is complete */
bool kube_source_synced(const struct kube_source *s);
void kube_source_free(struct kube_source *s);

#endif
