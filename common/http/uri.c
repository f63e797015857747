/* uri.c - authorities, absolute URIs, canonical paths, query parameters. */
#include "common/http/uri.h"

#include "common/http/chars.h"

static bool all_of(struct slice s, unsigned mask)
{
    return s.n == 0 || ch_skip(s.p, s.p + s.n, mask) == s.p + s.n;
}

bool uri_is_path(struct slice s)
{
    return all_of(s, CH_PATH);
}

bool uri_is_query(struct slice s)
{
    return all_of(s, CH_QUERY);
}

bool uri_is_origin_form(struct slice s)
{
    const char *p, *end;

    if (s.n == 0 || s.p[0] != '/')
        return false;
    end = s.p + s.n;
    p = ch_skip(s.p, end, CH_PATH);
    return p == end || (*p == '?' && ch_skip(p, end, CH_QUERY) == end);
}

/* ---- authority ------------------------------------------------------------------------------- */

/* ":80" or "" behind a host; RFC 3986 3.2.3 allows a colon without digits */
static int parse_port(const char *p, const char *end, int *port)
{
    int v = -1;

    *port = -1;
    if (p == end)
        return 0;
    if (*p++ != ':')
        return -1;
    for (; p < end; p++) {
        if (!ch_is(*p, CH_DIGIT))
            return -1;
        v = (v < 0 ? 0 : v * 10) + (*p - '0');
        if (v > 65535)
            return -1;
    }
    *port = v;
    return v == 0 ? -1 : 0;
}

/* end of "[...]", or NULL; what is between is checked for its characters and a colon only: which
 * address it is decides whoever looks it up */
static const char *literal_end(const char *p, const char *end)
{
    bool colon = false;

    for (p++; p < end && *p != ']'; p++) {
        if (!ch_is(*p, CH_HEX) && *p != ':' && *p != '.')
            return NULL;
        colon |= *p == ':';
    }
    return p < end && colon ? p + 1 : NULL;
}

int uri_authority(struct slice s, struct slice *host, int *port)
{
    const char *p = s.p, *end;
    int ignored;

    if (s.n == 0)
        return -1;
    end = p + s.n;
    if (*p == '[') {
        p = literal_end(p, end);
        if (!p)
            return -1;
    } else {
        p = ch_skip(p, end, CH_HOST);
        if (p == s.p)
            return -1;
    }
    if (parse_port(p, end, port ? port : &ignored) < 0)
        return -1;
    if (host)
        *host = slice_of(s.p, (size_t)(p - s.p));
    return 0;
}

bool uri_same_authority(struct slice a, struct slice b, int default_port)
{
    struct slice host_a, host_b;
    int port_a, port_b;

    if (slice_ieq(a, b))
        return true;
    if (uri_authority(a, &host_a, &port_a) < 0 || uri_authority(b, &host_b, &port_b) < 0)
        return false;
    port_a = port_a < 0 ? default_port : port_a;
    port_b = port_b < 0 ? default_port : port_b;
    return port_a == port_b && slice_ieq(host_a, host_b);
}

/* ---- absolute form --------------------------------------------------------------------------- */

/* length of a scheme with its "://", or 0 */
static size_t scheme_length(struct slice s)
{
    size_t i = 0;

    while (i < s.n && (ch_is(s.p[i], CH_HOST)) && s.p[i] != '_' && s.p[i] != '~')
        i++;
    if (i == 0 || ch_is(s.p[0], CH_DIGIT) || s.n - i < 3 || memcmp(s.p + i, "://", 3) != 0)
        return 0;
    return i;
}

int uri_absolute(struct slice s, struct uri *out)
{
    size_t n = scheme_length(s);
    const char *p, *end, *slash;
    struct slice rest;

    if (n == 0)
        return -1;
    end = s.p + s.n;
    out->scheme = slice_of(s.p, n);
    if (slice_ieq(out->scheme, SLICE_LIT("http")))
        out->scheme = SLICE_LIT("http"); /* RFC 3986 6.2.2.1 */
    else if (slice_ieq(out->scheme, SLICE_LIT("https")))
        out->scheme = SLICE_LIT("https");
    else
        return -2;
    p = slash = s.p + n + 3;
    while (slash < end && *slash != '/' && *slash != '?')
        slash++;
    out->authority = slice_of(p, (size_t)(slash - p));
    if (uri_authority(out->authority, NULL, NULL) < 0)
        return -3;
    rest = slice_of(slash, (size_t)(end - slash));
    out->bare = rest.n == 0;
    out->path = slice_cut(&rest, '?');
    out->query = rest;
    if (!uri_is_path(out->path) || !uri_is_query(out->query))
        return -4;
    if (out->path.n == 0)
        out->path = SLICE_LIT("/");
    return 0;
}

/* ---- canonical path -------------------------------------------------------------------------- */

#define CH_UNRESERVED CH_HOST /* RFC 3986 2.3: the same set */

/* nothing to change, if the characters are right */
static bool is_canonical(struct slice path, unsigned flags)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '%')
            return false;
        if (path.p[i] == '/' && i + 1 < path.n &&
            (path.p[i + 1] == '.' || (path.p[i + 1] == '/' && (flags & URI_MERGE_SLASHES))))
            return false;
    }
    return true;
}

/* the byte that the escape at p stands for, -1 if there is none */
static int escaped(const char *p, const char *end)
{
    if (end - p < 3 || *p != '%' || !ch_is(p[1], CH_HEX) || !ch_is(p[2], CH_HEX))
        return -1;
    return (int)(ch_hex(p[1]) << 4 | ch_hex(p[2]));
}

/* Does the escape at p, of byte v, begin a UTF-8 form longer than its character needs?  Some
 * decoders take such a form for a slash or a dot. */
static bool overlong(unsigned v, const char *p, const char *end)
{
    int next = escaped(p + 3, end);

    if (next < 0x80 || next > 0xbf)
        return false;
    return v == 0xc0 || v == 0xc1 || (v == 0xe0 && next < 0xa0) || (v == 0xf0 && next < 0x90);
}

/* One escape at p: writes its canonical form (1 or 3 bytes) to out; returns how many, or an
 * error. */
static int canon_escape(const char *p, const char *end, unsigned flags, char *out)
{
    static const char hex[] = "0123456789ABCDEF";
    int byte = escaped(p, end);
    unsigned v = (unsigned)byte;

    if (byte < 0)
        return URI_E_PERCENT;
    if (v == 0)
        return URI_E_NUL;
    if (overlong(v, p, end))
        return URI_E_UTF8;
    if ((flags & URI_REFUSE_SLASH) && (v == '/' || v == '\\'))
        return URI_E_SLASH;
    if (ch_is((char)v, CH_UNRESERVED)) {
        out[0] = (char)v;
        return 1;
    }
    out[0] = '%';
    out[1] = hex[v >> 4];
    out[2] = hex[v & 15];
    return 3;
}

/* Escapes made canonical.  Returns the length, never above path.n, or an error. */
static ssize_t canon_escapes(struct slice path, unsigned flags, char *out)
{
    const char *p = path.p, *end = p + path.n;
    char *o = out;

    while (p < end) {
        int n;

        if (*p != '%') {
            *o++ = *p++;
            continue;
        }
        n = canon_escape(p, end, flags, o);
        if (n < 0)
            return n;
        p += 3;
        o += n;
    }
    return o - out;
}

/* ".;..." or "..;...", also with the semicolon escaped, which who decodes it sends on bare; escapes
 * are canonical here */
static bool dots_with_parameter(const char *seg, size_t n)
{
    size_t dots = 0;

    while (dots < n && seg[dots] == '.')
        dots++;
    if (dots != 1 && dots != 2)
        return false;
    return (n > dots && seg[dots] == ';') || (n - dots >= 3 && memcmp(seg + dots, "%3B", 3) == 0);
}

/* Removes "." and ".." segments in place (RFC 3986 5.2.4, but ".." above the root is refused).
 * p[0] is '/'.  An emptied last segment keeps its slash. */
static ssize_t canon_segments(char *p, size_t n, unsigned flags)
{
    size_t in = 0, out = 0; /* in stands on a '/', p[0..out) is done */

    while (in < n) {
        size_t seg = in + 1, end = seg;

        while (end < n && p[end] != '/')
            end++;
        if (end - seg == 0 && end < n && (flags & URI_MERGE_SLASHES)) {
            in = end;
            continue;
        }
        if (end - seg == 1 && p[seg] == '.') {
            if (end == n)
                p[out++] = '/';
        } else if (end - seg == 2 && p[seg] == '.' && p[seg + 1] == '.') {
            if (out == 0)
                return URI_E_ROOT;
            while (p[--out] != '/')
                ;
            if (end == n)
                p[out++] = '/';
        } else if (dots_with_parameter(p + seg, end - seg)) {
            return URI_E_DOTS;
        } else {
            memmove(p + out, p + in, end - in);
            out += end - in;
        }
        in = end;
    }
    if (out == 0)
        p[out++] = '/';
    return (ssize_t)out;
}

int uri_canonical(struct slice path, unsigned flags, char *out, size_t cap, struct slice *canon)
{
    ssize_t n;

    *canon = path;
    if (slice_eq(path, SLICE_LIT("*")))
        return 0;
    if (path.n == 0 || path.p[0] != '/' || !uri_is_path(path))
        return URI_E_CHAR;
    if (is_canonical(path, flags))
        return 0;
    if (path.n > cap)
        return URI_E_SPACE;
    n = canon_escapes(path, flags, out);
    if (n < 0)
        return (int)n;
    n = canon_segments(out, (size_t)n, flags);
    if (n < 0)
        return (int)n;
    *canon = slice_of(out, (size_t)n);
    return 0;
}

/* ---- query ----------------------------------------------------------------------------------- */

/* form-decoded byte at *p, which moves on; -1 if malformed */
static int form_byte(const char **p, const char *end)
{
    const char *at = *p;

    if (*at == '%') {
        if (end - at < 3 || !ch_is(at[1], CH_HEX) || !ch_is(at[2], CH_HEX))
            return -1;
        *p = at + 3;
        return (int)(ch_hex(at[1]) << 4 | ch_hex(at[2]));
    }
    *p = at + 1;
    return *at == '+' ? ' ' : (unsigned char)*at;
}

static ssize_t form_decode(struct slice s, char *out, size_t size)
{
    const char *p = s.p ? s.p : "", *end = p + s.n;
    size_t n = 0;

    while (p < end) {
        int c = form_byte(&p, end);

        if (c <= 0 || n + 1 >= size)
            return -1;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return (ssize_t)n;
}

ssize_t uri_query_get(struct slice query, struct slice name, char *out, size_t size)
{
    if (size == 0)
        return -1;
    while (query.p) {
        struct slice value = slice_cut(&query, '&');
        struct slice key = slice_cut(&value, '=');

        if (slice_eq(key, name))
            return form_decode(value, out, size);
    }
    return -1;
}
