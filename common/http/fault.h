/* fault.h - what can be wrong with a message, whatever version it came in: one list for the
 * parsers, the answer to a faulty request, logs, metrics and tests.
 *
 * Functions return a fault as a negative int (enum http_fault).  Any thread.
 */
#ifndef FSM_HTTP_FAULT_H
#define FSM_HTTP_FAULT_H

/* id, name for logs and metrics, status to answer a request with.  In a response every one of
 * them means 502; those that only a response can have say 502 here. */
#define HTTP_FAULTS(X)                                                                             \
    X(LINE_END, "bare_cr_or_lf", 400)        /* RFC 9112 2.2 */                                    \
    X(CONTROL, "control_character", 400)     /* RFC 9110 5.5, RFC 9112 3 */                        \
    X(METHOD, "bad_method", 400)             /* RFC 9110 9.1 */                                    \
    X(REQUEST_LINE, "bad_request_line", 400) /* RFC 9112 3 */                                      \
    X(TARGET, "bad_target", 400)             /* RFC 9112 3.2, RFC 9113 8.3.1 */                    \
    X(SCHEME, "bad_scheme", 400)             /* RFC 9112 3.2.2: neither http nor https */          \
    X(VERSION, "bad_version", 400)           /* RFC 9112 2.3 */                                    \
    X(VERSION_UNSUPPORTED, "unsupported_version", 505)                                             \
    X(STATUS_LINE, "bad_status_line", 502)                 /* RFC 9112 4, RFC 9113 8.3.2 */        \
    X(FIELD_NAME, "bad_field_name", 400)                   /* RFC 9110 5.1 */                      \
    X(FIELD_SPACE, "space_before_colon", 400)              /* RFC 9112 5.1 */                      \
    X(FIELD_FOLD, "folded_field", 400)                     /* RFC 9112 5.2 */                      \
    X(HOST_MISSING, "host_missing", 400)                   /* RFC 9112 3.2 */                      \
    X(HOST_TWICE, "host_twice", 400)                       /* RFC 9112 3.2 */                      \
    X(HOST_BAD, "bad_host", 400)                           /* RFC 9110 4.2, 7.2 */                 \
    X(HOST_DIFFERS, "host_differs_from_target", 400)       /* RFC 9110 7.2, RFC 9113 8.3.1 */      \
    X(LENGTH_BAD, "bad_content_length", 400)               /* RFC 9110 8.6 */                      \
    X(LENGTH_TWICE, "content_length_twice", 400)           /* RFC 9112 6.3 rule 5 */               \
    X(LENGTH_FORBIDDEN, "content_length_forbidden", 400)   /* RFC 9110 8.6, 9.3.6, 9.3.8 */        \
    X(CODING, "bad_transfer_encoding", 400)                /* RFC 9112 6.1, 6.3 rule 4 */          \
    X(CODING_UNKNOWN, "unknown_transfer_coding", 501)      /* RFC 9112 6.1 */                      \
    X(CODING_HTTP10, "transfer_encoding_in_http_1_0", 400) /* RFC 9112 6.1 */                      \
    X(CODING_AND_LENGTH, "transfer_encoding_and_content_length", 400) /* RFC 9112 6.3 rule 3 */    \
    X(CODING_FORBIDDEN, "transfer_encoding_forbidden", 400)           /* RFC 9112 6.1 */           \
    X(CONTENT_FORBIDDEN, "content_forbidden", 400)                    /* RFC 9110 9.3.8 */         \
    X(CONNECTION, "connection_names_framing", 400)                    /* RFC 9110 7.6.1 */         \
    X(CONNECTION_FIELD, "connection_field", 400)                      /* RFC 9113 8.2.2 */         \
    X(PSEUDO, "bad_pseudo_field", 400)                                /* RFC 9113 8.3 */           \
    X(UNASKED_101, "unasked_101", 502)                                /* RFC 9110 15.2.2 */        \
    X(INFORMATIONAL, "too_many_1xx", 502)        /* RFC 9110 15.2: no bound */                     \
    X(LINE_LONG, "request_line_too_long", 414)   /* RFC 9112 3 */                                  \
    X(HEAD_LARGE, "head_too_large", 431)         /* RFC 6585 5 */                                  \
    X(FIELDS_MANY, "too_many_fields", 431)       /* RFC 6585 5 */                                  \
    X(CHUNK_SIZE, "bad_chunk_size", 400)         /* RFC 9112 7.1 */                                \
    X(CHUNK_EXT, "bad_chunk_extension", 400)     /* RFC 9112 7.1.1 */                              \
    X(CHUNK_END, "bad_chunk_end", 400)           /* RFC 9112 7.1 */                                \
    X(TRAILERS_LARGE, "trailers_too_large", 431) /* RFC 6585 5 */                                  \
    X(TRUNCATED, "message_cut_short", 400)       /* RFC 9112 8 */                                  \
    X(MALFORMED, "malformed_message", 400)       /* RFC 9113 8.1.1 */                              \
    X(FRAME, "bad_frame", 400)                   /* RFC 9113 5.4.2 */
enum http_fault_index {
    FAULT_INDEX_NONE,
#define X(id, name, status) FAULT_INDEX_##id,
    HTTP_FAULTS(X)
#undef X
        FAULT_COUNT
};
enum http_fault {
#define X(id, name, status) FAULT_##id = -(int)FAULT_INDEX_##id,
    HTTP_FAULTS(X)
#undef X
};

/* "bad_method"; "" for what is no fault */
const char *http_fault_name(int fault);
/* the status that answers a request with this fault, 0 for what is none */
unsigned http_fault_status(int fault);

#endif
