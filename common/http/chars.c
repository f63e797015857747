/* chars.c - the table of chars.h and the scan for what may not be in a field value. */
#include "common/http/chars.h"

#include <string.h>

#define VCHAR  CH_FIELD
#define QSTN   (VCHAR | CH_QUERY)           /* only in queries */
#define EXTRA  (VCHAR | CH_PATH | CH_QUERY) /* in a URI, or sent there by browsers */
#define SYMBOL (EXTRA | CH_TOKEN)
#define NAME   (SYMBOL | CH_HOST)
#define ALPHA  NAME
#define HEXA   (ALPHA | CH_HEX)
#define DIGIT  (HEXA | CH_DIGIT)

const uint8_t http_class[256] = {
    ['\t'] = CH_FIELD | CH_WS,
    [' '] = CH_FIELD | CH_WS,
    ['!'] = SYMBOL,
    ['"'] = QSTN,
    ['#'] = VCHAR | CH_TOKEN,
    ['$'] = SYMBOL,
    ['%'] = SYMBOL,
    ['&'] = SYMBOL,
    ['\''] = SYMBOL,
    ['('] = EXTRA,
    [')'] = EXTRA,
    ['*'] = SYMBOL,
    ['+'] = SYMBOL,
    [','] = EXTRA,
    ['-'] = NAME,
    ['.'] = NAME,
    ['/'] = EXTRA,
    ['0' ... '9'] = DIGIT,
    [':'] = EXTRA,
    [';'] = EXTRA,
    ['<'] = QSTN,
    ['='] = EXTRA,
    ['>'] = QSTN,
    ['?'] = QSTN,
    ['@'] = EXTRA,
    ['A' ... 'F'] = HEXA,
    ['G' ... 'Z'] = ALPHA,
    ['['] = EXTRA,
    ['\\'] = QSTN,
    [']'] = EXTRA,
    ['^'] = SYMBOL,
    ['_'] = NAME,
    ['`'] = SYMBOL,
    ['a' ... 'f'] = HEXA,
    ['g' ... 'z'] = ALPHA,
    ['{'] = EXTRA,
    ['|'] = SYMBOL,
    ['}'] = EXTRA,
    ['~'] = NAME,
    [0x80 ... 0xff] = CH_FIELD,
};

#define EACH(byte) (0x0101010101010101u * (byte))

/* The high bit of each byte that is below 0x20 or 0x7f.  Borrows can set bits above the first
 * true one, never below it, so that the lowest bit is exact. */
static inline uint64_t controls(uint64_t w)
{
    uint64_t del = w ^ EACH(0x7f);

    return (((w - EACH(0x20)) & ~w) | ((del - EACH(0x01)) & ~del)) & EACH(0x80);
}

const char *ch_find_control(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t w;

        memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w = __builtin_bswap64(w);
#endif
        w = controls(w);
        if (w)
            return p + (__builtin_ctzll(w) >> 3);
        p += 8;
    }
    while (p < end && ((uint8_t)*p >= 0x20 && *p != 0x7f))
        p++;
    return p;
}
