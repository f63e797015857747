/* prometheus.c - see prometheus.h */
#include "common/proxy/prometheus.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define NO_LE UINT32_MAX

static unsigned long long num(uint64_t v)
{
    return (unsigned long long)v;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* name="value", with the format's escapes; values come from peers */
static void label(struct buf *out, const char *sep, const char *name, struct slice value)
{
    buf_printf(out, "%s%s=\"", sep, name);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];

        if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_putc(out, c);
    }
    buf_putc(out, '"');
}

static void source_labels(struct buf *out, const struct stats_source *src, const char *workload)
{
    char name[64];

    label(out, "", "source_namespace", slice_str(src->ns));
    snprintf(name, sizeof name, "source_%skind", workload);
    label(out, ",", name, slice_str(src->kind));
    snprintf(name, sizeof name, "source_%sname", workload);
    label(out, ",", name, slice_str(src->name));
    snprintf(name, sizeof name, "source_%spod", workload);
    label(out, ",", name, slice_str(src->pod));
}

static void head(struct buf *out, const char *name, int gauge, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, gauge ? "gauge" : "counter");
}

/* ---- clusters -------------------------------------------------------------------------------- */

static bool is_class(int stat)
{
    return stat >= CSTAT_RQ_1XX && stat <= CSTAT_RQ_5XX;
}

static void each_cluster(const struct stats *s, struct buf *out, int stat,
                         const struct stats_source *src)
{
    struct slice key;
    const struct cluster_stats *c;

    table_foreach (s->clusters, it, &key, &c) {
        buf_printf(out, "sidecar_cluster_%s{", cluster_stat_name((enum cluster_stat)stat));
        if (stat == CSTAT_RQ) {
            source_labels(out, src, "workload_");
            buf_putc(out, ',');
        }
        label(out, "", "sidecar_cluster_name", key);
        buf_printf(out, "} %llu\n", num(c->c[stat]));
    }
}

static void classes(const struct stats *s, struct buf *out, const struct stats_source *src)
{
    struct slice key;
    const struct cluster_stats *c;

    head(out, "sidecar_cluster_upstream_rq_xx", 0, "responses by class of status");
    table_foreach (s->clusters, it, &key, &c) {
        for (int k = CSTAT_RQ_1XX; k <= CSTAT_RQ_5XX; k++) {
            buf_puts(out, "sidecar_cluster_upstream_rq_xx{");
            source_labels(out, src, "workload_");
            label(out, ",", "sidecar_cluster_name", key);
            label(out, ",", "sidecar_response_code_class",
                  slice_str(cluster_stat_name((enum cluster_stat)k)));
            buf_printf(out, "} %llu\n", num(c->c[k]));
        }
    }
}

static void clusters(const struct stats *s, struct buf *out, const struct stats_source *src)
{
    char name[96];

    for (int k = 0; k < CSTAT_COUNT; k++) {
        if (is_class(k))
            continue;
        snprintf(name, sizeof name, "sidecar_cluster_%s", cluster_stat_name((enum cluster_stat)k));
        head(out, name, cluster_stat_is_gauge((enum cluster_stat)k), "of one cluster");
        each_cluster(s, out, k, src);
    }
    classes(s, out, src);
}

/* ---- pairs of workloads ---------------------------------------------------------------------- */

/* key: the fsm-stats text of the other side: namespace,kind,name,pod */
static void pair_labels(struct buf *out, const struct stats_source *src, struct slice key)
{
    static const char *const names[] = {"destination_namespace", "destination_kind",
                                        "destination_name", "destination_pod"};

    source_labels(out, src, "");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        label(out, ",", names[i], slice_cut(&key, ','));
}

static void bucket(struct buf *out, const struct stats_source *src, struct slice key, uint32_t le,
                   uint64_t n)
{
    buf_puts(out, "fsm_request_duration_ms_bucket{");
    pair_labels(out, src, key);
    if (le == NO_LE)
        buf_printf(out, ",le=\"+Inf\"} %llu\n", num(n));
    else
        buf_printf(out, ",le=\"%u\"} %llu\n", le, num(n));
}

static void pair_sum(struct buf *out, const struct stats_source *src, struct slice key,
                     const char *what, uint64_t v)
{
    buf_printf(out, "fsm_request_duration_ms_%s{", what);
    pair_labels(out, src, key);
    buf_printf(out, "} %llu\n", num(v));
}

static void durations(const struct stats *s, struct buf *out, const struct stats_source *src)
{
    struct slice key;
    const struct peer_stats *p;

    buf_puts(out, "# HELP fsm_request_duration_ms time until the whole response was received\n"
                  "# TYPE fsm_request_duration_ms histogram\n");
    table_foreach (s->peers, it, &key, &p) {
        uint64_t n = 0;

        for (int i = 0; i < DURATION_BUCKETS; i++) {
            n += p->duration.bucket[i];
            bucket(out, src, key, duration_bucket_ms[i], n);
        }
        bucket(out, src, key, NO_LE, p->duration.count);
        pair_sum(out, src, key, "sum", p->duration.sum_ms);
        pair_sum(out, src, key, "count", p->duration.count);
    }
}

static void totals(const struct stats *s, struct buf *out, const struct stats_source *src)
{
    struct slice key;
    const struct peer_stats *p;

    head(out, "fsm_request_total", 0, "requests between two workloads by class of status");
    table_foreach (s->peers, it, &key, &p) {
        for (unsigned k = 0; k < 5; k++) {
            buf_puts(out, "fsm_request_total{");
            pair_labels(out, src, key);
            buf_printf(out, ",response_code_class=\"%u\"} %llu\n", k + 1, num(p->by_class[k]));
        }
    }
}

/* ---- the proxy itself ------------------------------------------------------------------------ */

static void proxy(const struct stats *s, struct buf *out)
{
    char name[96];

    buf_puts(out, "# HELP sidecar_server_live the proxy answers\n"
                  "# TYPE sidecar_server_live gauge\nsidecar_server_live 1\n");
    for (int k = 0; k < WSTAT_COUNT; k++) {
        snprintf(name, sizeof name, "sidecar_%s", worker_stat_name((enum worker_stat)k));
        head(out, name, worker_stat_is_gauge((enum worker_stat)k),
             worker_stat_help((enum worker_stat)k));
        buf_printf(out, "%s %llu\n", name, num(s->w[k]));
    }
    head(out, "sidecar_stream_end_total", 0, "requests and connections by how they ended");
    for (int r = 0; r < REASON_COUNT; r++)
        buf_printf(out, "sidecar_stream_end_total{reason=\"%s\"} %llu\n",
                   reason_text((enum reason)r), num(s->reasons[r]));
}

void prometheus_print(const struct stats *s, const struct stats_source *src, struct buf *out)
{
    proxy(s, out);
    clusters(s, out, src);
    durations(s, out, src);
    totals(s, out, src);
}

/* ---- for people ------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    const struct slice *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = memcmp(x->p, y->p, n);

    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* returns owned, *n of them; the slices are the table's */
static struct slice *sorted_names(const struct table *t, size_t *n)
{
    struct slice *v = xcalloc(table_count(t) + 1, sizeof *v), key;

    *n = 0;
    table_foreach (t, it, &key, NULL)
        v[(*n)++] = key;
    qsort(v, *n, sizeof *v, by_name);
    return v;
}

static void print_cluster(struct buf *out, struct slice name, const struct cluster_stats *c)
{
    for (int k = 0; k < CSTAT_COUNT; k++) {
        const char *stat = cluster_stat_name((enum cluster_stat)k);

        if (is_class(k))
            buf_printf(out, "cluster.%.*s.upstream_rq_%sxx: %llu\n", SLICE_FMT(name), stat,
                       num(c->c[k]));
        else
            buf_printf(out, "cluster.%.*s.%s: %llu\n", SLICE_FMT(name), stat, num(c->c[k]));
    }
}

void stats_print(const struct stats *s, struct buf *out)
{
    size_t n;
    struct slice *names = sorted_names(s->clusters, &n);

    for (size_t i = 0; i < n; i++)
        print_cluster(out, names[i], table_get(s->clusters, names[i]));
    free(names);
    for (int k = 0; k < WSTAT_COUNT; k++)
        buf_printf(out, "%s: %llu\n", worker_stat_name((enum worker_stat)k), num(s->w[k]));
    for (int r = 0; r < REASON_COUNT; r++)
        if (s->reasons[r])
            buf_printf(out, "reason.%s: %llu\n", reason_text((enum reason)r), num(s->reasons[r]));
}

void stats_print_endpoints(const struct stats *s, struct buf *out)
{
    size_t n;
    struct slice *names = sorted_names(s->clusters, &n);

    for (size_t i = 0; i < n; i++) {
        const struct cluster_stats *c = table_get(s->clusters, names[i]);

        for (uint32_t k = 0; k < c->n_ep; k++) {
            const struct endpoint_stats *e = &c->ep[k];
            const struct {
                const char *name;
                uint64_t value;
            } figures[] = {{"cx_active", e->cx_active},
                           {"cx_total", e->cx_total},
                           {"cx_connect_fail", e->cx_fail},
                           {"rq_active", e->rq_active},
                           {"rq_total", e->rq_total}};
            char addr[IP_TEXT_MAX];

            ip_port_format(&e->addr, addr);
            for (size_t f = 0; f < sizeof figures / sizeof figures[0]; f++)
                buf_printf(out, "%.*s::%s::%s::%llu\n", SLICE_FMT(names[i]), addr, figures[f].name,
                           num(figures[f].value));
        }
    }
    free(names);
}
