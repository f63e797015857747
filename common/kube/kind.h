/* kind.h - the kinds of resource that fsm knows.
 *
 * A kind's key names it within the store: its kind, or "Kind.group" for the second of two kinds
 * that share a name (TCPRoute is the mesh's; "TCPRoute.gateway.networking.k8s.io" the gateway's).
 * Everything here is constant; any thread.
 */
#ifndef FSM_KUBE_KIND_H
#define FSM_KUBE_KIND_H

#include <stdbool.h>

struct kube_schema;

struct kube_kind {
    const char *key;
    const char *kind;
    const char *group;    /* "" for core */
    const char *versions; /* "v1 v1beta1", the preferred one first */
    const char *plural;
    const char *aliases; /* short names, space-separated, or "" */
    bool namespaced;
    const struct kube_schema *schema; /* NULL: only metadata is checked, the rest is kept */
};

unsigned kube_kinds_count(void);
/* in order of key */
const struct kube_kind *kube_kind_at(unsigned i);
unsigned kube_kind_index(const struct kube_kind *k);
/* NULL if unknown */
const struct kube_kind *kube_kind_by_key(const char *key);
const struct kube_kind *kube_kind_find(const char *group, const char *kind);
/* by anything a user may type: "svc", "services", "Service", "service", "services.apps" */
const struct kube_kind *kube_kind_by_word(const char *word);
/* the kind that a misspelt one probably means, or NULL */
const struct kube_kind *kube_kind_nearest(const char *kind);

#endif
