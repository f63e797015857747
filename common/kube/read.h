/* read.h - reads manifests once: for commands.  (A daemon follows them: source.h.) */
#ifndef FSM_KUBE_READ_H
#define FSM_KUBE_READ_H

#include "common/kube/object.h"

/* what was read, for a summary */
struct kube_read_counts {
    unsigned files;
    unsigned objects;
};

/* Reads each path: a file of any name, "-" for standard input, or a directory (recursive, in name
 * order, hidden names left out; *.yaml, *.yml and *.json).  An object that stands twice is a
 * problem naming both places; the first counts.  namespace: where an object has none; NULL =
 * "default". *out: array of owned references in the order read, free with kube_objects_free().
 * Returns their number; counts may be NULL. */
unsigned kube_read(const char *const *paths, unsigned n, const char *default_ns,
                   struct kube_object ***out, struct kube_read_counts *counts,
                   struct kube_problems *problems);

#endif
