/* stats.h - counters: plain numbers of each worker, added up when somebody asks.
 *
 * A worker counts in its own memory; engine_collect() asks every worker to copy its numbers and
 * hands the sum to the control thread.  Labels are bounded: clusters and endpoints of the
 * snapshot, reasons and status classes of fixed lists.
 */
#ifndef FSM_PROXY_STATS_H
#define FSM_PROXY_STATS_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/cidr.h"
#include "common/base/table.h"
#include "common/proxy/reason.h"

/* id, name, G = gauge / C = counter, help */
#define WORKER_STATS(X)                                                                            \
    X(DOWN_CX_ACTIVE, "downstream_cx_active", G, "connections open now")                           \
    X(UP_CX_CLOSING, "upstream_cx_closing", G, "to servers, with last bytes on their way")         \
    X(DOWN_CX, "downstream_cx_total", C, "connections accepted")                                   \
    X(DOWN_RX, "downstream_cx_rx_bytes_total", C, "bytes received from clients")                   \
    X(DOWN_TX, "downstream_cx_tx_bytes_total", C, "bytes sent to clients")                         \
    X(DOWN_RQ_ACTIVE, "downstream_rq_active", G, "requests under way")                             \
    X(DOWN_RQ, "downstream_rq_total", C, "requests received")                                      \
    X(DOWN_RQ_1XX, "downstream_rq_1xx", C, "responses by class")                                   \
    X(DOWN_RQ_2XX, "downstream_rq_2xx", C, "responses by class")                                   \
    X(DOWN_RQ_3XX, "downstream_rq_3xx", C, "responses by class")                                   \
    X(DOWN_RQ_4XX, "downstream_rq_4xx", C, "responses by class")                                   \
    X(DOWN_RQ_5XX, "downstream_rq_5xx", C, "responses by class")                                   \
    X(TUNNELS, "tunnels_total", C, "connections carried as bytes")                                 \
    X(TUNNELS_ACTIVE, "tunnels_active", G, "connections carried as bytes now")                     \
    X(SPLICED, "tunnels_spliced_bytes_total", C, "of them moved inside the kernel")                \
    X(TLS_DOWN, "downstream_tls_handshakes_total", C, "handshakes completed with clients")         \
    X(TLS_DOWN_RESUMED, "downstream_tls_resumed_total", C, "of these by a resumed session")        \
    X(TLS_DOWN_FAILED, "downstream_tls_failed_total", C, "handshakes that failed")                 \
    X(TLS_UP, "upstream_tls_handshakes_total", C, "handshakes completed with upstreams")           \
    X(TLS_UP_RESUMED, "upstream_tls_resumed_total", C, "of these by a resumed session")            \
    X(H2_REFUSED, "http2_refused_total", C, "HTTP/2 streams reset as malformed")                   \
    X(H2_FLOODS, "http2_floods_total", C, "HTTP/2 connections ended by a limit of frames")         \
    X(MEMORY, "memory_bytes", G, "memory of the process, without what it shares with files")       \
    X(MEMORY_LIMIT, "memory_limit_bytes", G, "above which new requests are refused; 0 = none")     \
    X(MEM_HELD, "buffers_held_bytes", G, "buffer memory taken from the system")                    \
    X(MEM_USED, "buffers_used_bytes", G, "of it in use")                                           \
    X(ACCESS_LOST, "access_log_lost_total", C,                                                     \
      "lines that could not be written: the reader was slow, or gone")
enum worker_stat {
#define X(id, name, kind, help) WSTAT_##id,
    WORKER_STATS(X)
#undef X
        WSTAT_COUNT
};

#define CLUSTER_STATS(X)                                                                           \
    X(CX_ACTIVE, "upstream_cx_active", G)                                                          \
    X(CX, "upstream_cx_total", C)                                                                  \
    X(CX_TX, "upstream_cx_tx_bytes_total", C)                                                      \
    X(CX_RX, "upstream_cx_rx_bytes_total", C)                                                      \
    X(CX_CONNECT_FAIL, "upstream_cx_connect_fail", C)                                              \
    X(CX_CONNECT_TIMEOUT, "upstream_cx_connect_timeout", C)                                        \
    X(CX_DESTROY_REMOTE, "upstream_cx_destroy_remote_with_active_rq", C)                           \
    X(CX_DESTROY_LOCAL, "upstream_cx_destroy_local_with_active_rq", C)                             \
    X(RQ_ACTIVE, "upstream_rq_active", G)                                                          \
    X(RQ, "upstream_rq_total", C)                                                                  \
    X(RQ_1XX, "1", C)                                                                              \
    X(RQ_2XX, "2", C)                                                                              \
    X(RQ_3XX, "3", C)                                                                              \
    X(RQ_4XX, "4", C)                                                                              \
    X(RQ_5XX, "5", C)                                                                              \
    X(RQ_PENDING, "upstream_rq_pending_active", G)                                                 \
    X(RQ_PENDING_OVERFLOW, "upstream_rq_pending_overflow", C)                                      \
    X(RQ_PENDING_EJECT, "upstream_rq_pending_failure_eject", C)                                    \
    X(RQ_TIMEOUT, "upstream_rq_timeout", C)                                                        \
    X(RQ_RX_RESET, "upstream_rq_rx_reset", C)                                                      \
    X(RQ_TX_RESET, "upstream_rq_tx_reset", C)                                                      \
    X(RQ_RETRY, "upstream_rq_retry", C)
enum cluster_stat {
#define X(id, name, kind) CSTAT_##id,
    CLUSTER_STATS(X)
#undef X
        CSTAT_COUNT
};
const char *worker_stat_name(enum worker_stat s);
const char *worker_stat_help(enum worker_stat s);
int worker_stat_is_gauge(enum worker_stat s);
const char *cluster_stat_name(enum cluster_stat s);
int cluster_stat_is_gauge(enum cluster_stat s);

/* time from a request's first byte to the response's last, as Prometheus buckets */
#define DURATION_BUCKETS 17
extern const uint32_t duration_bucket_ms[DURATION_BUCKETS];
struct histogram {
    uint64_t bucket[DURATION_BUCKETS + 1]; /* not yet cumulative; the last is +Inf */
    uint64_t sum_ms, count;
};
void histogram_add(struct histogram *h, uint64_t ms);

/* what workers count about one peer workload (the fsm-stats header of its answers) */
struct peer_stats {
    struct histogram duration;
    uint64_t by_class[5]; /* 1xx .. 5xx */
};

struct endpoint_stats {
    struct ip_port addr;
    uint32_t cx_active, rq_active;
    uint64_t cx_total, rq_total, cx_fail;
};
struct cluster_stats {
    uint64_t c[CSTAT_COUNT];
    struct endpoint_stats *ep; /* owned */
    uint32_t n_ep, cap_ep;
};

struct stats {
    uint64_t w[WSTAT_COUNT];
    uint64_t reasons[REASON_COUNT];
    struct table *clusters; /* name -> struct cluster_stats, owned */
    struct table *peers;    /* fsm-stats text -> struct peer_stats, owned */
};
struct stats *stats_new(void);
void stats_free(struct stats *s);
struct cluster_stats *stats_cluster(struct stats *s, const char *name);
struct endpoint_stats *stats_endpoint(struct cluster_stats *c, const struct ip_port *addr);
struct peer_stats *stats_peer(struct stats *s, struct slice key);
/* adds everything of src to dst */
void stats_merge(struct stats *dst, const struct stats *src);
/* what is open or held now becomes 0: whoever counted it is gone, the totals stay */
void stats_drop_gauges(struct stats *s);

#endif
