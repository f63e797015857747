/* metric.h - figures of a daemon as text for Prometheus, and times sorted into buckets.
 *
 *   metric_observe(&m->time, seconds);
 *   metric_head(out, "fsm_x_seconds", "histogram", "From here to there.");
 *   metric_print_times(out, "fsm_x_seconds", "", &m->time);
 *
 * Labels come from resources and from fixed lists, never from a client.  One thread.
 */
#ifndef FSM_DAEMON_METRIC_H
#define FSM_DAEMON_METRIC_H

#include <stdint.h>
#include "common/base/buf.h"

#define METRIC_BUCKETS 12
struct metric_times {
    const double *bounds; /* METRIC_BUCKETS of them, in seconds: whoever makes it sets it */
    uint64_t bucket[METRIC_BUCKETS + 1]; /* not cumulative; the last one is above all bounds */
    uint64_t count;
    double sum; /* seconds */
};
void metric_observe(struct metric_times *t, double seconds);

void metric_head(struct buf *out, const char *name, const char *type, const char *help);
/* one figure without labels, and its head */
void metric_one(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value);
/* labels: "" or "a=\"b\""; the head is the caller's */
void metric_print_times(struct buf *out, const char *name, const char *labels,
                        const struct metric_times *t);
/* fsm_version_info */
void metric_version(struct buf *out);

#endif
