/* limits.h - every bound and wait of the engine in one table: the struct, the defaults, the keys by
 * which a MeshConfig (spec.sidecar.limits) and a document (Spec.Limits, fsm-document(5)) set them,
 * and the words of the tests.
 *
 * What happens when one is passed: fsm-sidecar(8), LIMITS.  "Process": for all workers together,
 * exactly; the others hold for what they name.
 */
#ifndef FSM_BASE_LIMITS_H
#define FSM_BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define LIMIT_DAY  86400000u
#define LIMIT_MANY 0x7fffffffu

/* X(field, key, normal, least, most); where least is 0, 0 = none
 *   connect_ms     to an endpoint, the handshake included
 *   idle_ms        nothing moved
 *   head_ms        from the first byte of a head to its last; 0 = only pauses are bounded, by
 *                  idle_ms
 *   request_ms     from the head of a request to the end of its answer
 *   detect_ms      silent client on an undeclared port: the opaque upstream is dialled
 *   detect_last_ms ... undecided so long: opaque; and detect_ms of a mesh peer that is most likely
 *                  to come with TLS
 *   patience_ms    what cannot be served yet waits so long for a newer view
 *   patient        ... at most so many connections, and so many streams, of a worker
 *   revoked_ms     a tunnel that the present view would refuse goes on so long; 0 = for ever
 *   linger_ms      reading on after the last byte, so that it is not lost to a reset
 *   half_closed_ms a client that ended its side behind its request waits so long for the
 *                  response to begin; 0 = as for any other
 *   min_rate       bytes a second, over idle_ms, of a client that others wait for
 *   unsized_rate   ... that sends a body without a length to a connection of its own
 *   conns          open at once, of each direction; process
 *   pending        streams of one cluster that wait for a connection; process
 *   idle_conns     kept per endpoint and worker
 *   memory_mib     process; 0 = by the cgroup's limit, if there is one
 *   head_bytes, line_bytes, fields    of one head
 *   h2_streams     open at once on one connection
 *   h2_window      bytes a client sends ahead on one connection while memory is short
 *   h2_resets, h2_control             frames of one connection in a second
 *   h2_up_resets   streams of one connection to a server; then it takes no more; 0 = any number
 *   h2_continuations                  frames of one header block */
#define LIMITS(X)                                                                                  \
    X(connect_ms, "ConnectTimeoutMs", 60000, 0, LIMIT_DAY)                                         \
    X(idle_ms, "IdleTimeoutMs", 60000, 0, LIMIT_DAY)                                               \
    X(head_ms, "HeadTimeoutMs", 60000, 0, LIMIT_DAY)                                               \
    X(request_ms, "RequestTimeoutMs", 0, 0, LIMIT_DAY)                                             \
    X(detect_ms, "DetectMs", 50, 0, 60000)                                                         \
    X(detect_last_ms, "DetectLastMs", 1000, 1, 60000)                                              \
    X(patience_ms, "PatienceMs", 0, 0, 60000)                                                      \
    X(patient, "Patient", 1024, 0, LIMIT_MANY)                                                     \
    X(revoked_ms, "RevokedMs", 5000, 0, LIMIT_DAY)                                                 \
    X(linger_ms, "LingerMs", 2000, 1, 60000)                                                       \
    X(half_closed_ms, "HalfClosedMs", 2000, 0, LIMIT_DAY)                                          \
    X(min_rate, "MinimumRate", 100, 0, LIMIT_MANY)                                                 \
    X(unsized_rate, "UnsizedRate", 0, 0, LIMIT_MANY)                                               \
    X(conns, "Connections", 0, 0, LIMIT_MANY)                                                      \
    X(pending, "PendingRequests", 16384, 1, LIMIT_MANY)                                            \
    X(idle_conns, "IdleConnections", 256, 0, LIMIT_MANY)                                           \
    X(memory_mib, "MemoryMiB", 0, 0, 1u << 24)                                                     \
    X(head_bytes, "HeadBytes", 32768, 1024, 60000)                                                 \
    X(line_bytes, "LineBytes", 8192, 256, 60000)                                                   \
    X(fields, "HeadFields", 100, 8, 128)                                                           \
    X(h2_streams, "Http2Streams", 256, 1, 65536)                                                   \
    X(h2_window, "Http2Window", 1u << 20, 65535, LIMIT_MANY)                                       \
    X(h2_resets, "Http2Resets", 200, 1, LIMIT_MANY)                                                \
    X(h2_up_resets, "Http2UpstreamResets", 100, 0, LIMIT_MANY)                                     \
    X(h2_control, "Http2ControlFrames", 1000, 8, LIMIT_MANY)                                       \
    X(h2_continuations, "Http2Continuations", 8, 1, 1000)

struct view_limits {
#define X(field, key, normal, least, most) uint32_t field;
    LIMITS(X)
#undef X
};
extern const struct view_limits limits_default;

/* For a client from which nothing came yet, and for what comes at one go: the time of a head, or
 * where that has none, the idle time. */
static inline uint32_t limit_first_ms(const struct view_limits *lim)
{
    return lim->head_ms ? lim->head_ms : lim->idle_ms;
}

struct limit_def {
    const char *key, *field;
    size_t offset; /* of a uint32_t in struct view_limits */
    uint32_t least, most;
};
enum {
#define X(field, key, normal, least, most) LIMIT_##field,
    LIMITS(X)
#undef X
        LIMIT_COUNT
};
extern const struct limit_def limit_defs[LIMIT_COUNT];

static inline uint32_t *limit_at(struct view_limits *l, const struct limit_def *d)
{
    return (uint32_t *)((char *)l + d->offset);
}

#endif
