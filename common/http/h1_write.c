/* h1_write.c - HTTP/1 heads, chunks and trailers as they leave.
 *
 * Framing is never copied from what came in: it is written from how the body really leaves.
 */
#include "common/http/h1.h"

#include "common/http/chars.h"

/* where the bytes go; full once something did not fit, then nothing is written any more */
struct out {
    char *p, *end;
    bool full;
};

static void put(struct out *o, const char *p, size_t n)
{
    if ((size_t)(o->end - o->p) < n) {
        o->full = true;
        o->end = o->p;
        return;
    }
    if (n)
        memcpy(o->p, p, n);
    o->p += n;
}

#define PUT_LIT(o, s) put(o, s, sizeof(s) - 1)

static void put_slice(struct out *o, struct slice s)
{
    put(o, s.p, s.n);
}

static void put_u64(struct out *o, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    do
        digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    put(o, digits + i, sizeof(digits) - i);
}

static void put_field(struct out *o, struct slice name, struct slice value)
{
    put_slice(o, name);
    PUT_LIT(o, ": ");
    put_slice(o, value);
    PUT_LIT(o, "\r\n");
}

/* ---- fields ---------------------------------------------------------------------------------- */

#define BIT(id) ((uint64_t)1 << HDR_##id)
_Static_assert(HDR_COUNT <= 64, "header ids fit into one word");

/* written from struct h1_emit, never copied */
static const uint64_t ours = BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(CONNECTION) |
                             BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) | BIT(TE) | BIT(UPGRADE) |
                             BIT(HTTP2_SETTINGS);

/* the fields of this head that are not copied */
static uint64_t not_copied(const struct http_head *h, const struct h1_emit *e)
{
    uint64_t skip = ours;

    if (h->request)
        skip |= BIT(HOST);
    if (h->request && h->version == HTTP_V2)
        skip |= BIT(COOKIE);
    if (e->upgrade)
        skip &= ~BIT(UPGRADE);
    if (!h->request && e->body == HTTP_BODY_NONE && (e->head_reply || h->status == 304))
        skip &= ~BIT(CONTENT_LENGTH); /* says what GET would have got (RFC 9110 8.6) */
    return skip;
}

static void put_fields(struct out *o, const struct http_field *f, unsigned n, uint64_t skip)
{
    for (unsigned i = 0; i < n; i++)
        if (!f[i].dropped && !(skip >> f[i].id & 1))
            put_field(o, f[i].name, f[i].value);
}

/* HTTP/2 may split a cookie into crumbs (RFC 9113 8.2.3) */
static void put_cookies(struct out *o, const struct http_head *h)
{
    bool first = true;

    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];

        if (f->id != HDR_COOKIE || f->dropped)
            continue;
        if (first)
            PUT_LIT(o, "cookie: ");
        else
            PUT_LIT(o, "; ");
        put_slice(o, f->value);
        first = false;
    }
    if (!first)
        PUT_LIT(o, "\r\n");
}

static void put_connection(struct out *o, const struct h1_emit *e)
{
    if (e->upgrade)
        PUT_LIT(o, "Connection: upgrade\r\n");
    else if (e->close)
        PUT_LIT(o, "Connection: close\r\n");
    else if (e->keep_alive)
        PUT_LIT(o, "Connection: keep-alive\r\n");
}

/* whether a message without body says so by "Content-Length: 0" (RFC 9110 8.6) */
static bool says_no_body(const struct http_head *h, const struct h1_emit *e)
{
    if (!h->request)
        return h->status >= 200 && h->status != 204 && h->status != 304 && !e->head_reply;
    return h->method == HTTP_M_POST || h->method == HTTP_M_PUT || h->method == HTTP_M_PATCH ||
           http_find(h, HDR_CONTENT_LENGTH) != NULL;
}

static void put_framing(struct out *o, const struct http_head *h, const struct h1_emit *e)
{
    switch (e->body) {
    case HTTP_BODY_NONE:
        if (says_no_body(h, e))
            PUT_LIT(o, "Content-Length: 0\r\n");
        break;
    case HTTP_BODY_LENGTH:
        PUT_LIT(o, "Content-Length: ");
        put_u64(o, e->content_length);
        PUT_LIT(o, "\r\n");
        break;
    case HTTP_BODY_CHUNKED:
    case HTTP_BODY_STREAM:
        PUT_LIT(o, "Transfer-Encoding: chunked\r\n");
        break;
    case HTTP_BODY_CLOSE:
    case HTTP_BODY_TUNNEL:
        break;
    }
}

/* ---- heads ----------------------------------------------------------------------------------- */

static struct slice authority(const struct http_head *h, const struct h1_emit *e)
{
    return e->authority.p ? e->authority : h->authority;
}

static void put_target(struct out *o, const struct http_head *h, const struct h1_emit *e)
{
    if (e->target.p) {
        put_slice(o, e->target);
    } else if (h->method == HTTP_M_CONNECT) {
        put_slice(o, authority(h, e));
    } else {
        put_slice(o, h->path);
        if (h->query.p) {
            PUT_LIT(o, "?");
            put_slice(o, h->query);
        }
    }
}

static void put_request_line(struct out *o, const struct http_head *h, const struct h1_emit *e)
{
    put_slice(o, h->method_text);
    PUT_LIT(o, " ");
    put_target(o, h, e);
    if (e->http10)
        PUT_LIT(o, " HTTP/1.0\r\n");
    else
        PUT_LIT(o, " HTTP/1.1\r\n");
    if (authority(h, e).n)
        put_field(o, SLICE_LIT("Host"), authority(h, e));
}

static void put_status_line(struct out *o, const struct http_head *h, const struct h1_emit *e)
{
    char status[4] = {(char)('0' + h->status / 100 % 10), (char)('0' + h->status / 10 % 10),
                      (char)('0' + h->status % 10), ' '};

    if (e->http10)
        PUT_LIT(o, "HTTP/1.0 ");
    else
        PUT_LIT(o, "HTTP/1.1 ");
    put(o, status, sizeof(status));
    put_slice(o, h->reason.n ? h->reason : slice_str(http_reason(h->status)));
    PUT_LIT(o, "\r\n");
}

/* what filters add comes from configuration and from templates: looked at once more here */
static bool added_fields_ok(const struct h1_emit *e)
{
    for (unsigned i = 0; i < e->n_add; i++)
        if (!http_is_token(e->add[i].name) || !http_is_field_value(e->add[i].value))
            return false;
    return true;
}

ssize_t h1_write_head(char *out, size_t cap, const struct http_head *h, const struct h1_emit *e)
{
    struct out o = {out, out + cap, false};
    uint64_t skip = not_copied(h, e);

    if (!added_fields_ok(e) ||
        (e->http10 && (e->body == HTTP_BODY_CHUNKED || e->body == HTTP_BODY_STREAM)))
        return -1;
    if (h->request)
        put_request_line(&o, h, e);
    else
        put_status_line(&o, h, e);
    put_fields(&o, h->fields, h->n_fields, skip);
    if (h->request && h->version == HTTP_V2)
        put_cookies(&o, h);
    put_fields(&o, e->add, e->n_add, ours | (h->request ? BIT(HOST) : 0));
    put_framing(&o, h, e);
    put_connection(&o, e);
    PUT_LIT(&o, "\r\n");
    return o.full ? -1 : o.p - out;
}

size_t h1_head_bound(const struct http_head *h, const struct h1_emit *e)
{
    /* version, status, spaces, Host, Content-Length, Connection, the longest reason of our own */
    size_t n = 192 + h->method_text.n + h->reason.n + h->path.n + h->query.n + e->target.n +
               2 * authority(h, e).n;

    for (unsigned i = 0; i < h->n_fields; i++)
        n += h->fields[i].name.n + h->fields[i].value.n + 4;
    for (unsigned i = 0; i < e->n_add; i++)
        n += e->add[i].name.n + e->add[i].value.n + 4;
    return n;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

size_t h1_write_chunk_head(char out[H1_CHUNK_HEAD_MAX], uint64_t n)
{
    static const char hex[] = "0123456789abcdef";
    unsigned digits = (67u - (unsigned)__builtin_clzll(n | 1)) / 4;

    for (unsigned i = digits; i-- > 0; n >>= 4)
        out[i] = hex[n & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}

ssize_t h1_write_trailers(char *out, size_t cap, const struct http_field *f, unsigned n)
{
    struct out o = {out, out + cap, false};

    PUT_LIT(&o, "0\r\n");
    for (unsigned i = 0; i < n; i++)
        if (!f[i].dropped && http_trailer_allowed(&f[i]))
            put_field(&o, f[i].name, f[i].value);
    PUT_LIT(&o, "\r\n");
    return o.full ? -1 : o.p - out;
}
