/* source.c - what all sources have in common. */
#include "common/kube/source.h"

#include <stddef.h>

const char *const kube_trouble_names[KUBE_TROUBLES_N] = {
#define X(name) #name,
    KUBE_TROUBLES(X)
#undef X
};

void kube_source_stats(const struct kube_source *s,
                       void (*fn)(const struct kube_kind_stats *k, void *arg), void *arg)
{
    if (s->ops->stats)
        s->ops->stats(s, fn, arg);
}

void kube_source_on_batch(struct kube_source *s, void (*fn)(struct kube_source *s, void *arg),
                          void *arg)
{
    s->on_batch = fn;
    s->on_batch_arg = arg;
}

const struct kube_problems *kube_source_problems(const struct kube_source *s)
{
    return s->ops->problems(s);
}

bool kube_source_synced(const struct kube_source *s)
{
    return s->ops->synced(s);
}

void kube_source_refresh(struct kube_source *s)
{
    s->ops->refresh(s);
}

struct kube_api *kube_source_api(const struct kube_source *s)
{
    return s->ops->api ? s->ops->api(s) : NULL;
}

void kube_source_free(struct kube_source *s)
{
    if (s)
        s->ops->free(s);
}
