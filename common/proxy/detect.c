/* detect.c - see detect.h */
#include "common/proxy/detect.h"

static const struct slice preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};

#define METHOD_MAX 20 /* longest method that is taken for HTTP */

/* DETECT_HTTP2, DETECT_MORE (a part of it), DETECT_OTHER */
static enum detected http2(struct slice s)
{
    size_t n = s.n < preface.n ? s.n : preface.n;
    if (memcmp(s.p, preface.p, n) != 0)
        return DETECT_OTHER;
    return n == preface.n ? DETECT_HTTP2 : DETECT_MORE;
}

static bool is_method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* "METHOD target HTTP/1.x": a line that merely begins like one (Redis: "GET key") is not */
static enum detected http1(struct slice s)
{
    size_t i = 0;
    while (i < s.n && i < METHOD_MAX && is_method_char(s.p[i]))
        i++;
    if (i == s.n)
        return i < METHOD_MAX ? DETECT_MORE : DETECT_OTHER;
    if (i < 3 || s.p[i] != ' ')
        return DETECT_OTHER;
    const char *nl = memchr(s.p, '\n', s.n);
    if (!nl)
        return s.n < DETECT_MAX ? DETECT_MORE : DETECT_HTTP1; /* its parser will say 414 */
    size_t n = (size_t)(nl - s.p);
    if (n && s.p[n - 1] == '\r')
        n--;
    if (n < 9 || memcmp(s.p + n - 9, " HTTP/1.", 8) != 0)
        return DETECT_OTHER;
    return DETECT_HTTP1;
}

/* record type handshake, version 3.x (RFC 8446 5.1) */
static enum detected tls(struct slice s)
{
    if (s.p[0] != 0x16)
        return DETECT_OTHER;
    if (s.n < 2)
        return DETECT_MORE;
    return s.p[1] == 0x03 ? DETECT_TLS : DETECT_OTHER;
}

enum detected detect_protocol(struct slice s)
{
    if (s.n == 0)
        return DETECT_MORE;
    enum detected d = tls(s);
    if (d == DETECT_OTHER)
        d = http2(s);
    return d == DETECT_OTHER ? http1(s) : d;
}

enum detected detect_http(struct slice s)
{
    if (s.n == 0)
        return DETECT_MORE;
    enum detected d = http2(s);
    return d == DETECT_OTHER ? DETECT_HTTP1 : d;
}
