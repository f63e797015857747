/* prometheus.h - counters as text: the Prometheus exposition format, and lines for people.
 *
 * Names follow what users of the mesh's dashboards know: sidecar_cluster_* per cluster, and
 * fsm_request_* per pair of workloads; ours are sidecar_downstream_* and
 * sidecar_stream_end_total{reason}.  Pure; any thread that owns the stats.
 */
#ifndef FSM_PROXY_PROMETHEUS_H
#define FSM_PROXY_PROMETHEUS_H

#include "common/base/buf.h"
#include "common/proxy/stats.h"

/* who this proxy is: labels of the source; all may be "" */
struct stats_source {
    const char *ns, *kind, *name, *pod;
};

void prometheus_print(const struct stats *s, const struct stats_source *src, struct buf *out);
/* "cluster.NAME.upstream_rq_total: 3", "reason.connect_refused: 1" ... sorted */
void stats_print(const struct stats *s, struct buf *out);
/* "NAME::ip:port::rq_total::3", one line per figure of each endpoint */
void stats_print_endpoints(const struct stats *s, struct buf *out);

#endif
