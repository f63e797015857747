/* grpc.c - a length-prefixed message around two protobuf fields (gRPC over HTTP/2; the proto3
 * encoding of varints, and the skipping of fields that are not known). */
#include "injector/healthcheck/grpc.h"

#include <stdint.h>

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_putc(out, (char)(v | 0x80));
    buf_putc(out, (char)v);
}

void grpc_health_request(struct slice service, struct buf *out)
{
    struct buf message = BUF_INIT;
    unsigned char head[5] = {0}; /* not compressed, then the length in network order */

    if (service.n) {
        put_varint(&message, 1 << 3 | WIRE_BYTES);
        put_varint(&message, service.n);
        buf_put_slice(&message, service);
    }
    for (int i = 0; i < 4; i++)
        head[1 + i] = (unsigned char)(message.len >> (24 - 8 * i));
    buf_append(out, head, sizeof(head));
    buf_put_slice(out, buf_slice(&message));
    buf_free(&message);
}

/* takes n bytes off the front; -1 if there are not so many */
static int skip(struct slice *s, uint64_t n)
{
    if (n > s->n)
        return -1;
    *s = slice_of(s->p + n, s->n - (size_t)n);
    return 0;
}

static int get_varint(struct slice *s, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; shift < 64 && s->n; shift += 7) {
        unsigned char b = (unsigned char)s->p[0];

        *v |= (uint64_t)(b & 0x7f) << shift;
        skip(s, 1);
        if (!(b & 0x80))
            return 0;
    }
    return -1;
}

static int skip_field(struct slice *s, unsigned wire)
{
    uint64_t n;

    switch (wire) {
    case WIRE_VARINT:
        return get_varint(s, &n);
    case WIRE_FIXED64:
        return skip(s, 8);
    case WIRE_BYTES:
        return get_varint(s, &n) == 0 ? skip(s, n) : -1;
    case WIRE_FIXED32:
        return skip(s, 4);
    default:
        return -1;
    }
}

int grpc_health_reply(struct slice message)
{
    uint64_t tag, length = 0, status = 0; /* absent = 0, as proto3 has it */

    if (message.n < 5 || message.p[0] != 0)
        return -1;
    for (int i = 1; i < 5; i++)
        length = length << 8 | (unsigned char)message.p[i];
    skip(&message, 5);
    if (length != message.n)
        return -1;
    while (message.n) {
        if (get_varint(&message, &tag) != 0)
            return -1;
        if (tag == (1 << 3 | WIRE_VARINT) ? get_varint(&message, &status) != 0
                                          : skip_field(&message, tag & 7) != 0)
            return -1;
    }
    return status > INT16_MAX ? INT16_MAX : (int)status;
}

const char *grpc_health_name(int status)
{
    static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

    return status >= 0 && status < 4 ? names[status] : "unknown status";
}
