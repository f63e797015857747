/* metric.c - the Prometheus text format, as far as a daemon of the control plane needs it. */
#include "common/daemon/metric.h"

#include <inttypes.h>
#include "common/base/version.h"

void metric_observe(struct metric_times *t, double seconds)
{
    unsigned i = 0;

    while (i < METRIC_BUCKETS && seconds > t->bounds[i])
        i++;
    t->bucket[i]++;
    t->count++;
    t->sum += seconds;
}

void metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metric_one(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    metric_head(out, name, type, help);
    buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

void metric_print_times(struct buf *out, const char *name, const char *labels,
                        const struct metric_times *t)
{
    const char *comma = *labels ? "," : "";
    const char *open = *labels ? "{" : "", *close = *labels ? "}" : "";
    uint64_t sum = 0;

    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        sum += t->bucket[i];
        buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", name, labels, comma, t->bounds[i],
                   sum);
    }
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, t->count);
    buf_printf(out, "%s_sum%s%s%s %.9f\n", name, open, labels, close, t->sum);
    buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, t->count);
}

void metric_version(struct buf *out)
{
    metric_head(out, "fsm_version_info", "gauge", "What this build is.");
    buf_printf(out, "fsm_version_info{version=\"%s\",build_date=\"%s\",git_commit=\"%s\"} 1\n",
               fsm_version, fsm_build_date, fsm_commit);
}
