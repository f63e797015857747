/* stats.c - see stats.h */
#include "common/proxy/stats.h"
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define KIND_G 1
#define KIND_C 0

static const struct {
    const char *name, *help;
    int gauge;
} worker_stats[] = {
#define X(id, name, kind, help) [WSTAT_##id] = {name, help, KIND_##kind},
    WORKER_STATS(X)
#undef X
};

static const struct {
    const char *name;
    int gauge;
} cluster_stats_of[] = {
#define X(id, name, kind) [CSTAT_##id] = {name, KIND_##kind},
    CLUSTER_STATS(X)
#undef X
};

const char *worker_stat_name(enum worker_stat s)
{
    return worker_stats[s].name;
}

const char *worker_stat_help(enum worker_stat s)
{
    return worker_stats[s].help;
}

int worker_stat_is_gauge(enum worker_stat s)
{
    return worker_stats[s].gauge;
}

const char *cluster_stat_name(enum cluster_stat s)
{
    return cluster_stats_of[s].name;
}

int cluster_stat_is_gauge(enum cluster_stat s)
{
    return cluster_stats_of[s].gauge;
}

const uint32_t duration_bucket_ms[DURATION_BUCKETS] = {
    5,    10,    25,    50,    100,    250,    500,     1000,   2500,
    5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

void histogram_add(struct histogram *h, uint64_t ms)
{
    int i = 0;
    while (i < DURATION_BUCKETS && ms > duration_bucket_ms[i])
        i++;
    h->bucket[i]++;
    h->sum_ms += ms;
    h->count++;
}

static void free_cluster(void *p)
{
    struct cluster_stats *c = p;
    free(c->ep);
    free(c);
}

struct stats *stats_new(void)
{
    struct stats *s = xcalloc(1, sizeof *s);
    s->clusters = table_new(free_cluster);
    s->peers = table_new(free);
    return s;
}

void stats_free(struct stats *s)
{
    if (!s)
        return;
    table_free(s->clusters);
    table_free(s->peers);
    free(s);
}

struct cluster_stats *stats_cluster(struct stats *s, const char *name)
{
    struct cluster_stats *c = table_get_str(s->clusters, name);
    if (!c) {
        c = xcalloc(1, sizeof *c);
        table_put_str(s->clusters, name, c);
    }
    return c;
}

struct endpoint_stats *stats_endpoint(struct cluster_stats *c, const struct ip_port *addr)
{
    for (uint32_t i = 0; i < c->n_ep; i++)
        if (ip_port_eq(&c->ep[i].addr, addr))
            return &c->ep[i];
    if (c->n_ep == c->cap_ep) {
        c->cap_ep = c->cap_ep ? 2 * c->cap_ep : 4;
        c->ep = xreallocarray(c->ep, c->cap_ep, sizeof *c->ep);
    }
    struct endpoint_stats *e = &c->ep[c->n_ep++];
    *e = (struct endpoint_stats){.addr = *addr};
    return e;
}

struct peer_stats *stats_peer(struct stats *s, struct slice key)
{
    struct peer_stats *p = table_get(s->peers, key);
    if (!p) {
        p = xcalloc(1, sizeof *p);
        table_put(s->peers, key, p);
    }
    return p;
}

static void merge_cluster(struct cluster_stats *d, const struct cluster_stats *s)
{
    for (int i = 0; i < CSTAT_COUNT; i++)
        d->c[i] += s->c[i];
    for (uint32_t i = 0; i < s->n_ep; i++) {
        const struct endpoint_stats *from = &s->ep[i];
        struct endpoint_stats *to = stats_endpoint(d, &from->addr);
        to->cx_active += from->cx_active;
        to->rq_active += from->rq_active;
        to->cx_total += from->cx_total;
        to->rq_total += from->rq_total;
        to->cx_fail += from->cx_fail;
    }
}

static void merge_peer(struct peer_stats *d, const struct peer_stats *s)
{
    for (int i = 0; i <= DURATION_BUCKETS; i++)
        d->duration.bucket[i] += s->duration.bucket[i];
    d->duration.sum_ms += s->duration.sum_ms;
    d->duration.count += s->duration.count;
    for (int i = 0; i < 5; i++)
        d->by_class[i] += s->by_class[i];
}

void stats_merge(struct stats *d, const struct stats *s)
{
    struct slice key;
    void *value;
    for (int i = 0; i < WSTAT_COUNT; i++)
        d->w[i] += s->w[i];
    for (int i = 0; i < REASON_COUNT; i++)
        d->reasons[i] += s->reasons[i];
    table_foreach (s->clusters, it, &key, &value) {
        char *name = xstrndup(key.p, key.n);
        merge_cluster(stats_cluster(d, name), value);
        free(name);
    }
    table_foreach (s->peers, it2, &key, &value)
        merge_peer(stats_peer(d, key), value);
}

static void drop_cluster_gauges(struct cluster_stats *c)
{
    for (int i = 0; i < CSTAT_COUNT; i++)
        if (cluster_stats_of[i].gauge)
            c->c[i] = 0;
    for (uint32_t i = 0; i < c->n_ep; i++)
        c->ep[i].cx_active = c->ep[i].rq_active = 0;
}

void stats_drop_gauges(struct stats *s)
{
    struct slice name;
    void *c;
    for (int i = 0; i < WSTAT_COUNT; i++)
        if (worker_stats[i].gauge)
            s->w[i] = 0;
    table_foreach (s->clusters, it, &name, &c)
        drop_cluster_gauges(c);
}
