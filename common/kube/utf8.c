/* utf8.c - see utf8.h. */
#include "common/kube/utf8.h"

#include <string.h>
#include "common/base/buf.h"

unsigned utf8_decode(const char *s, size_t n, unsigned *len)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length */
    const unsigned char *p = (const unsigned char *)s;
    unsigned k = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    unsigned c = k == 1 ? p[0] : p[0] & (0x7fu >> k);
    *len = 0;
    if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || k > n)
        return 0;
    for (unsigned i = 1; i < k; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < least[k] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *len = k;
    return c;
}

char *utf8_clean(const char *s)
{
    struct buf out = BUF_INIT;
    size_t n = strlen(s);
    for (size_t i = 0; i < n;) {
        unsigned len, c = utf8_decode(s + i, n - i, &len);
        if (len == 0)
            buf_putc(&out, '?');
        else if (c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029)
            buf_putc(&out, ' ');
        else
            buf_append(&out, s + i, len);
        i += len ? len : 1;
    }
    return buf_take(&out);
}
