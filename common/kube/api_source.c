/* api_source.c - an API server as a source: a follow per want, told as one. */
#include "common/kube/source.h"

#include <stddef.h>
#include <stdlib.h>
#include "common/base/mem.h"
#include "common/kube/follow.h"
#include "common/kube/problem.h"

struct api_source {
    struct kube_source base;
    struct loop *loop;
    struct kube_api *api;
    struct follow **v; /* owned */
    unsigned n;
    struct kube_store *store; /* borrowed */
    struct kube_problems problems;
    struct loop_job job;      /* tells, at the end of the turn */
    unsigned long generation; /* of the store, when it was told last */
    bool synced;
};

static bool all_synced(const struct api_source *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (!follow_synced(s->v[i]))
            return false;
    return true;
}

/* Some are answered: the others need not wait for the end of their back-off. */
static void hurry_others(const struct api_source *s)
{
    unsigned cut_off = 0;
    for (unsigned i = 0; i < s->n; i++)
        cut_off += follow_is_cut_off(s->v[i]);
    for (unsigned i = 0; cut_off < s->n && i < s->n; i++)
        follow_hurry(s->v[i]);
}

static void end_turn(struct loop_job *job)
{
    struct api_source *s = (struct api_source *)((char *)job - offsetof(struct api_source, job));
    struct kube_problems now = {NULL, 0};
    bool was = s->synced, wrote = kube_store_generation(s->store) != s->generation;
    s->generation = kube_store_generation(s->store);
    for (unsigned i = 0; i < s->n; i++)
        follow_problems(s->v[i], &now);
    hurry_others(s);
    bool news = kube_problems_renew(&s->problems, now);
    s->synced = s->synced || all_synced(s);
    if (s->base.on_batch && (news || wrote || s->synced != was))
        s->base.on_batch(&s->base, s->base.on_batch_arg);
}

static void changed(void *arg)
{
    struct api_source *s = arg;
    loop_defer(s->loop, &s->job);
}

/* ---- the interface -------------------------------------------------------------------------- */

static const struct kube_problems *api_problems(const struct kube_source *base)
{
    return &((const struct api_source *)base)->problems;
}

static bool api_synced(const struct kube_source *base)
{
    return ((const struct api_source *)base)->synced;
}

static void api_refresh(struct kube_source *base)
{
    struct api_source *s = (struct api_source *)base;
    for (unsigned i = 0; i < s->n; i++)
        follow_refresh(s->v[i]);
}

static void api_stats(const struct kube_source *base,
                      void (*fn)(const struct kube_kind_stats *k, void *arg), void *arg)
{
    const struct api_source *s = (const struct api_source *)base;
    struct kube_kind_stats stats;
    for (unsigned i = 0; i < s->n; i++) {
        follow_stats(s->v[i], &stats);
        fn(&stats, arg);
    }
}

static struct kube_api *api_of(const struct kube_source *base)
{
    return ((const struct api_source *)base)->api;
}

static void api_free(struct kube_source *base)
{
    struct api_source *s = (struct api_source *)base;
    for (unsigned i = 0; i < s->n; i++)
        follow_free(s->v[i]);
    free(s->v);
    loop_undefer(s->loop, &s->job);
    kube_api_free(s->api);
    kube_problems_free(&s->problems);
    free(s);
}

static const struct kube_source_ops api_ops = {
    .name = "API server",
    .free = api_free,
    .problems = api_problems,
    .synced = api_synced,
    .refresh = api_refresh,
    .stats = api_stats,
    .api = api_of,
};

struct kube_source *kube_api_source_new(struct loop *l, const struct kube_access_from *from,
                                        const struct kube_want *wants, unsigned n,
                                        struct kube_store *st, struct err *e)
{
    struct kube_api *api = kube_api_new(l, from, "fsm", e);
    if (!api)
        return NULL;
    struct api_source *s = xcalloc(1, sizeof *s);
    s->base.ops = &api_ops;
    s->loop = l;
    s->api = api;
    s->store = st;
    s->job.fn = end_turn;
    s->v = xcalloc(n, sizeof *s->v);
    for (; s->n < n; s->n++) {
        s->v[s->n] = follow_new(l, api, &wants[s->n], st, changed, s, e);
        if (!s->v[s->n]) {
            api_free(&s->base);
            return NULL;
        }
    }
    return &s->base;
}
