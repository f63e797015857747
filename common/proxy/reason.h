/* reason.h - why a stream or a connection came to its end: one list for the access log, the
 * metric label, the body of a local answer and the tests.
 *
 * X(id, text, status, class): status answers a request that ended this way before its response
 * began (0 = the connection is just closed); class says whose doing it was.  What can be wrong with
 * a request is a reason of its own each (REASON_FAULT_METHOD, "bad_method"): fault.h.  Any thread.
 */
#ifndef FSM_PROXY_REASON_H
#define FSM_PROXY_REASON_H

#include "common/http/fault.h"

#define REASONS(X)                                                                                 \
    X(OK, "ok", 0, NONE)                                                                           \
    /* the client's doing */                                                                       \
    X(DOWN_CLOSED, "downstream_closed", 0, DOWN) /* went away before the end */                    \
    X(DOWN_RESET, "downstream_reset", 0, DOWN)   /* RST, or RST_STREAM */                          \
    X(DOWN_PROTOCOL, "bad_request", 400, DOWN)   /* the connection's protocol was broken */        \
    X(DOWN_TLS, "downstream_tls_error", 0, DOWN) /* handshake failed */                            \
    X(HEAD_TIMEOUT, "request_head_timeout", 408, DOWN)                                             \
    X(PATH, "bad_path", 400, DOWN)                       /* no canonical form */                   \
    X(MAX_FORWARDS, "max_forwards", 405, DOWN)           /* TRACE or OPTIONS, meant for us */      \
    X(SLOW_CLIENT, "downstream_idle_timeout", 408, DOWN) /* body or reader stalled */              \
    X(TOO_SLOW, "downstream_too_slow", 408, DOWN)        /* ... or below the minimum rate */       \
    /* policy */                                                                                   \
    X(HOST_UNKNOWN, "host_unknown", 403, POLICY)                                                   \
    X(NO_ROUTE, "route_not_found", 403, POLICY)                                                    \
    X(DENIED, "access_denied", 403, POLICY)            /* the identity is not allowed */           \
    X(NO_TARGET, "no_endpoint", 404, POLICY)           /* cluster unknown or empty */              \
    X(EGRESS_REFUSED, "egress_refused", 0, POLICY)     /* nothing matches and egress is off */     \
    X(SOURCE_REFUSED, "source_not_allowed", 0, POLICY) /* peer address */                          \
    X(PORT_UNKNOWN, "port_unknown", 0, POLICY)         /* inbound, nothing matches */              \
    X(PLAIN_REFUSED, "plaintext_refused", 0, POLICY)   /* mutual TLS is required */                \
    X(REVOKED, "no_longer_allowed", 0, POLICY)         /* a tunnel that began under other rules */ \
    X(LOOP, "loop", 0, POLICY)                         /* our own listener was dialled */          \
    /* the upstream's doing */                                                                     \
    X(CONNECT_REFUSED, "connect_refused", 502, UP)                                                 \
    X(CONNECT_UNREACHABLE, "connect_unreachable", 502, UP)                                         \
    X(CONNECT_TIMEOUT, "connect_timeout", 504, UP)                                                 \
    X(UP_TLS, "upstream_tls_error", 502, UP) /* handshake or identity */                           \
    X(UP_CLOSED, "upstream_closed", 502, UP) /* before the response was complete */                \
    X(UP_RESET, "upstream_reset", 502, UP)                                                         \
    X(UP_UNPROCESSED, "upstream_unprocessed", 502, UP)    /* GOAWAY, or REFUSED_STREAM */          \
    X(UP_PROTOCOL, "upstream_protocol_error", 502, UP)    /* answered garbage */                   \
    X(UP_INFORMATIONAL, "upstream_too_many_1xx", 502, UP) /* and no final response */              \
    X(UP_TIMEOUT, "upstream_timeout", 504, UP)            /* silent for the idle time */           \
    X(REQUEST_TIMEOUT, "request_timeout", 504, UP)        /* the whole exchange took too long */   \
    /* ours */                                                                                     \
    X(IDLE, "idle_timeout", 0, NONE)                /* tunnel or connection without traffic */     \
    X(PENDING_FULL, "pending_overflow", 503, LOCAL) /* too many wait for a connection */           \
    X(CONN_LIMIT, "connection_limit", 0, LOCAL)     /* of this direction */                        \
    X(OVERLOAD, "memory_limit", 503, LOCAL)         /* the process uses too much */                \
    X(NO_MEMORY, "no_memory", 503, LOCAL)                                                          \
    X(NO_FDS, "no_descriptors", 503, LOCAL)                                                        \
    X(CONFIG, "configuration_changed", 0, LOCAL) /* what it used is gone */                        \
    X(DRAIN, "drain", 503, LOCAL)                /* the process ends */                            \
    HTTP_FAULTS(REASON_OF_A_FAULT)
/* X is the one that REASONS was called with: it has to be a macro of that name */
#define REASON_OF_A_FAULT(id, text, status) X(FAULT_##id, text, status, DOWN)
enum reason {
#define X(id, text, status, class) REASON_##id,
    REASONS(X)
#undef X
        REASON_COUNT
};

enum reason_class {
    REASON_BY_NONE,
    REASON_BY_DOWN,
    REASON_BY_POLICY,
    REASON_BY_UP,
    REASON_BY_LOCAL
};

/* of a request with this fault (enum http_fault) */
enum reason reason_of_fault(int fault);
/* "connect_refused" */
const char *reason_text(enum reason r);
/* HTTP status of a local answer, 0 = none */
unsigned reason_status(enum reason r);
enum reason_class reason_class(enum reason r);
/* Body of a local answer for this status: 403 "Access denied", 404 "Not found", else the reason
 * code.  A constant. */
const char *reason_body(enum reason r);

#endif
