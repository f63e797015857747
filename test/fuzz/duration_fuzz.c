/* duration_fuzz.c - durations, RFC 3339 times and base64: what is accepted survives a round trip.
 */
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/clock.h"
#include "common/base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_duration(const char *s)
{
    char text[32];
    int64_t a, b;

    if (clock_parse_duration(s, &a) < 0)
        return;
    clock_format_duration(a, text);
    BUG_ON(clock_parse_duration(text, &b) < 0 || a != b);
}

static void check_time(const char *s)
{
    char text[32];
    int64_t a, b;

    if (clock_parse_rfc3339(s, &a) < 0)
        return;
    clock_rfc3339(a, text);
    if (strncmp(text, "0000-00", 7) != 0) /* a zone may carry it out of the format's years */
        BUG_ON(clock_parse_rfc3339(text, &b) < 0 || a != b);
}

static void check_base64(struct slice in)
{
    struct buf plain = BUF_INIT, text = BUF_INIT;

    if (base64_decode(in, &plain) == 0) {
        base64_encode(plain.p, plain.len, &text);
        BUG_ON(!slice_eq(buf_slice(&text), in));
    }
    buf_clear(&plain);
    buf_clear(&text);
    if (base64url_decode(in, &plain) == 0) {
        base64url_encode(plain.p, plain.len, &text);
        BUG_ON(!slice_eq(buf_slice(&text), in));
    }
    buf_free(&plain);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = strndup((const char *)data, size);

    BUG_ON(!s);
    check_duration(s);
    check_time(s);
    check_base64(slice_of((const char *)data, size));
    free(s);
    return 0;
}
