/* message.h - a request or response head, whatever the protocol version.
 *
 * All slices point into a buffer owned by whoever parsed it (the stream's head buffer); a head
 * is valid until that buffer is released.  Field names from HTTP/2 are lower-case; from HTTP/1
 * as sent.  Compare names by id first, by slice_ieq else.
 */
#ifndef FSM_HTTP_MESSAGE_H
#define FSM_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/slice.h"

/* Header names that the proxy itself acts on are small integers; the rest is HDR_OTHER. */
#define HTTP_HEADERS(X)                                                                            \
    X(HOST, "host")                                                                                \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(CONNECTION, "connection")                                                                    \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(UPGRADE, "upgrade")                                                                          \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(EXPECT, "expect")                                                                            \
    X(DATE, "date")                                                                                \
    X(SERVER, "server")                                                                            \
    X(USER_AGENT, "user-agent")                                                                    \
    X(COOKIE, "cookie")                                                                            \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(LOCATION, "location")                                                                        \
    X(AUTHORIZATION, "authorization")                                                              \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(X_REQUEST_ID, "x-request-id")                                                                \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(TRACESTATE, "tracestate")                                                                    \
    X(B3, "b3")                                                                                    \
    X(X_B3_TRACEID, "x-b3-traceid")                                                                \
    X(GRPC_STATUS, "grpc-status")                                                                  \
    X(GRPC_TIMEOUT, "grpc-timeout")                                                                \
    X(SERVICEIDENTITY, "serviceidentity")                                                          \
    X(FSM_STATS, "fsm-stats")                                                                      \
    X(FSM_PROTOCOL, "fsm-protocol")                                                                \
    X(HTTP2_SETTINGS, "http2-settings")
enum http_hdr {
    HDR_OTHER,
#define X(id, name) HDR_##id,
    HTTP_HEADERS(X)
#undef X
        HDR_COUNT
};
/* case-insensitive; perfect or near-perfect hash inside */
enum http_hdr http_hdr_id(struct slice name);
const char *http_hdr_name(enum http_hdr id);

enum http_method {
    HTTP_M_OTHER,
    HTTP_M_GET,
    HTTP_M_HEAD,
    HTTP_M_POST,
    HTTP_M_PUT,
    HTTP_M_DELETE,
    HTTP_M_CONNECT,
    HTTP_M_OPTIONS,
    HTTP_M_TRACE,
    HTTP_M_PATCH
};
/* case-sensitive (RFC 9110 9.1) */
enum http_method http_method_id(struct slice m);

enum http_version { HTTP_V10, HTTP_V11, HTTP_V2 };

struct http_field {
    struct slice name, value;
    uint16_t id;  /* enum http_hdr */
    bool dropped; /* removed by a filter or hop-by-hop: not sent on */
};

/* how the body's end is known */
enum http_body {
    HTTP_BODY_NONE,    /* there is none */
    HTTP_BODY_LENGTH,  /* content_length bytes follow */
    HTTP_BODY_CHUNKED, /* HTTP/1.1 chunks, maybe trailers */
    HTTP_BODY_CLOSE,   /* response until the connection ends */
    HTTP_BODY_STREAM,  /* HTTP/2 without content-length */
    HTTP_BODY_TUNNEL,  /* after 101, or 2xx to CONNECT: bytes both ways until closed */
};

#define HTTP_FIELDS_MAX 128

struct http_head {
    bool request;
    enum http_version version;
    enum http_method method;
    struct slice method_text;
    struct slice scheme;    /* "" in origin-form HTTP/1 */
    struct slice authority; /* from the absolute-form target, :authority or Host, in this order */
    struct slice target;    /* as received (HTTP/1: the request-target; HTTP/2: :path) */
    struct slice path;      /* target up to '?' or its end; "/" for an empty absolute path; "*" */
    struct slice query;     /* behind the '?', without it; p == NULL: there is no '?' */
    unsigned status;        /* responses */
    struct slice reason;
    enum http_body body;
    uint64_t content_length; /* valid for HTTP_BODY_LENGTH */
    bool keep_alive;         /* HTTP/1: the connection may be used again after this message */
    bool upgrade;            /* asks for, or answers with, an upgrade (Connection: upgrade) */
    bool expect_continue;
    bool te_trailers;
    unsigned n_fields;
    struct http_field *fields; /* HTTP_FIELDS_MAX places, of whoever owns the head */
};

/* the first field of that id that is not dropped, or NULL */
const struct http_field *http_find(const struct http_head *h, enum http_hdr id);
const struct http_field *http_find_name(const struct http_head *h, struct slice name);
/* Marks hop-by-hop fields as dropped: Connection and what it names, Keep-Alive, Proxy-Connection,
 * TE (but "trailers"), Transfer-Encoding, Upgrade (unless keep_upgrade) - RFC 9110 7.6.1 */
void http_drop_hop_by_hop(struct http_head *h, bool keep_upgrade);
/* Whether that field may stand behind the body: nothing that frames, routes, modifies or controls
 * a message, authenticates, or says what its content is (RFC 9110 6.5.1).  What may not is left
 * out on its way through (6.5.2), as merging it would be a mistake and the message is whole
 * without. */
bool http_trailer_allowed(const struct http_field *f);
/* "Not Found"; "" if unknown */
const char *http_reason(unsigned status);
/* token and field-value of RFC 9110 5.6.2, 5.5 (a value has no white space at its ends) */
bool http_is_token(struct slice s);
bool http_is_field_value(struct slice s);

#endif
