/* hello.h - reads a TLS ClientHello without taking it: SNI and ALPN (RFC 8446, 6066, 7301).
 *
 * Pure; bounded; never trusts a length.  A ClientHello may be spread over several records.
 * At most HELLO_MAX bytes are one, so who has that many has all that can be needed.
 */
#ifndef FSM_TLS_HELLO_H
#define FSM_TLS_HELLO_H

#include <stddef.h>
#include "common/base/slice.h"

/* a record as large as one may be (RFC 8446 5.1), and its head.  With all its records a ClientHello
 * has no more: clients send a tenth of it. */
#define HELLO_MAX      (5 + 16384)
#define HELLO_ALPN_MAX 8

struct hello {
    char sni[256];                 /* lower-cased; "" if none */
    char alpn[HELLO_ALPN_MAX][64]; /* in the client's order; more than fit are dropped */
    unsigned n_alpn;
};
/* 1: a whole ClientHello was read; 0: need more bytes, and n < HELLO_MAX; -1: this is no
 * ClientHello, or a longer one */
int hello_parse(const void *p, size_t n, struct hello *out);

#endif
