/* der.h - DER (X.690) as far as certificates need it: writing forwards into bufs, and a bounded
 * reader.  Private to common/pki.  Pure. */
#ifndef FSM_PKI_DER_H
#define FSM_PKI_DER_H

#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/slice.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8 = 0x0c,
    DER_UTC_TIME = 0x17,
    DER_GEN_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0x80,
    DER_CONTEXT_CONSTRUCTED = 0xa0, /* + number */
};

void der_put(struct buf *out, unsigned tag, const void *p, size_t n);
/* what is in `inner` becomes the content of one element; inner is freed */
void der_wrap(struct buf *out, unsigned tag, struct buf *inner);
/* an unsigned integer from big-endian bytes, shortest form */
void der_put_uint(struct buf *out, const uint8_t *p, size_t n);
/* BIT STRING without unused bits */
void der_put_bits(struct buf *out, const void *p, size_t n);
/* UTCTime until 2049, then GeneralizedTime (RFC 5280 4.1.2.5) */
void der_put_time(struct buf *out, int64_t epoch_s);

/* Takes the next element off *in: its tag into *tag, its content returned in *content.  -1 when
 * there is none that is well-formed (definite, shortest length; one-byte tags). */
int der_next(struct slice *in, unsigned *tag, struct slice *content);

#endif
