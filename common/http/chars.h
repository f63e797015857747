/* chars.h - what a byte may be part of (RFC 9110 5.5, 5.6.2; RFC 3986): one table, one look.
 *
 * Private to common/http.
 */
#ifndef FSM_HTTP_CHARS_H
#define FSM_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CH_TOKEN 0x01u /* tchar */
#define CH_FIELD 0x02u /* VCHAR, obs-text, SP, HTAB */
#define CH_PATH  0x04u /* see uri.h; '?' is not one */
#define CH_QUERY 0x08u
#define CH_HOST  0x10u /* of a registered name or IPv4 address: unreserved */
#define CH_DIGIT 0x20u
#define CH_HEX   0x40u
#define CH_WS    0x80u /* SP, HTAB */

extern const uint8_t http_class[256];

static inline bool ch_is(char c, unsigned mask)
{
    return (http_class[(uint8_t)c] & mask) != 0;
}

/* 0..15; only for CH_HEX */
static inline unsigned ch_hex(char c)
{
    return (unsigned)(c & 0xf) + (c > '9' ? 9 : 0);
}

/* the first byte in [p, end) that is none of mask, else end */
static inline const char *ch_skip(const char *p, const char *end, unsigned mask)
{
    while (end - p >= 4) { /* one look at the end for four bytes */
        if (!ch_is(p[0], mask))
            return p;
        if (!ch_is(p[1], mask))
            return p + 1;
        if (!ch_is(p[2], mask))
            return p + 2;
        if (!ch_is(p[3], mask))
            return p + 3;
        p += 4;
    }
    while (p < end && ch_is(*p, mask))
        p++;
    return p;
}

/* the first byte in [p, end) that is a control character (HTAB too) or DEL, else end */
const char *ch_find_control(const char *p, const char *end);

#endif
