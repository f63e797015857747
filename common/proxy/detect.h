/* detect.h - the protocol of a connection from its first bytes.  Pure; any thread. */
#ifndef FSM_PROXY_DETECT_H
#define FSM_PROXY_DETECT_H

#include "common/base/slice.h"

enum detected {
    DETECT_MORE,  /* cannot be said yet */
    DETECT_HTTP1, /* a request line of HTTP/1 */
    DETECT_HTTP2, /* the connection preface of RFC 9113 3.4 */
    DETECT_TLS,   /* a TLS handshake record */
    DETECT_OTHER,
};
#define DETECT_MAX 8192 /* bytes that may be needed: a request line */

enum detected detect_protocol(struct slice first);
/* only HTTP/1 or HTTP/2, for ports that are declared HTTP: what is not (a part of) the preface
 * is HTTP/1, whose parser then says what is wrong with it */
enum detected detect_http(struct slice first);

#endif
