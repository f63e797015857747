/* h2_head.c - heads received over HTTP/2: built field by field, then judged as a whole.
 *
 * nghttp2 has refused already (RFC 9113 8.2, 8.3): upper case, controls, connection-specific
 * fields, unknown, late, repeated or missing pseudo-header fields, a second Content-Length.  Here
 * is what it leaves open and what HTTP/1 must never see: the grammar of method, scheme, authority
 * and path, Host against :authority, forbidden trailers - the same rules as in h1.c.
 */
#include "common/http/chars.h"
#include "common/http/h2_int.h"
#include "common/http/uri.h"

#define BLOCK 8000 /* with the pool's header one size class of 8 KiB */

struct more {
    struct more *next;
    char text[];
};

struct block {
    struct h2_head pub; /* first: a struct h2_head is a struct block */
    struct h2_pool *pool;
    struct more *more; /* text that did not fit here */
    char *at, *end;    /* free text memory */
    size_t bytes;      /* of the header list as RFC 9113 6.5.2 counts */
    struct http_field fields[HTTP_FIELDS_MAX];
    char text[];
};
#define TEXT_HERE (BLOCK - sizeof(struct block))
#define TEXT_MORE (4096 - sizeof(struct more))

struct h2_head *h2_head_new(struct h2_pool *p, bool request)
{
    struct block *b = h2_alloc(p, BLOCK);

    if (!b)
        return NULL;
    memset(b, 0, offsetof(struct block, fields));
    b->pub.h.request = request;
    b->pub.h.version = HTTP_V2;
    b->pub.h.keep_alive = true;
    b->pub.h.fields = b->fields;
    b->pool = p;
    b->at = b->text;
    b->end = b->text + TEXT_HERE;
    return &b->pub;
}

void h2_head_free(struct h2_head *hh)
{
    struct block *b = (struct block *)hh;

    if (!b)
        return;
    while (b->more) {
        struct more *m = b->more;

        b->more = m->next;
        h2_release(b->pool, m);
    }
    h2_release(b->pool, b);
}

/* ---- building -------------------------------------------------------------------------------- */

/* room for n bytes of text, or NULL */
static char *text_room(struct block *b, size_t n)
{
    size_t size = n > TEXT_MORE ? n : TEXT_MORE;
    struct more *m;
    char *p;

    if ((size_t)(b->end - b->at) < n) {
        m = h2_alloc(b->pool, sizeof(*m) + size);
        if (!m)
            return NULL;
        m->next = b->more;
        b->more = m;
        b->at = m->text;
        b->end = m->text + size;
    }
    p = b->at;
    b->at += n;
    return p;
}

static struct slice keep(struct block *b, struct slice s)
{
    char *p = text_room(b, s.n);

    if (!p)
        return slice_of(NULL, 0);
    memcpy(p, s.p, s.n);
    return slice_of(p, s.n);
}

static bool parse_status(struct slice s, unsigned *status)
{
    if (s.n != 3 || !ch_is(s.p[0], CH_DIGIT) || !ch_is(s.p[1], CH_DIGIT) ||
        !ch_is(s.p[2], CH_DIGIT))
        return false;
    *status =
        (unsigned)(s.p[0] - '0') * 100 + (unsigned)(s.p[1] - '0') * 10 + (unsigned)(s.p[2] - '0');
    return *status >= 100 && *status <= 599;
}

static enum h2_added add_pseudo(struct block *b, struct slice name, struct slice value)
{
    struct http_head *h = &b->pub.h;
    struct slice *to;

    if (slice_eq(name, SLICE_LIT(":path")))
        to = &h->target;
    else if (slice_eq(name, SLICE_LIT(":method")))
        to = &h->method_text;
    else if (slice_eq(name, SLICE_LIT(":scheme")))
        to = &h->scheme;
    else if (slice_eq(name, SLICE_LIT(":authority")))
        to = &h->authority;
    else if (slice_eq(name, SLICE_LIT(":status")))
        return parse_status(value, &h->status) ? H2_ADDED : H2_ADD_BAD;
    else
        return H2_ADD_BAD;
    *to = keep(b, value);
    return to->p ? H2_ADDED : H2_ADD_NOMEM;
}

enum h2_added h2_head_add(struct h2_head *hh, const struct h2_limits *lim, struct slice name,
                          struct slice value)
{
    struct block *b = (struct block *)hh;
    struct http_field *f;
    char *text;

    b->bytes += name.n + value.n + 32;
    if (b->bytes > lim->header_bytes)
        return H2_ADD_TOO_LARGE;
    if (name.n && name.p[0] == ':')
        return add_pseudo(b, name, value);
    if (hh->h.n_fields >= lim->header_count)
        return H2_ADD_TOO_LARGE;
    text = text_room(b, name.n + value.n);
    if (!text)
        return H2_ADD_NOMEM;
    memcpy(text, name.p, name.n);
    memcpy(text + name.n, value.p, value.n);
    f = &hh->h.fields[hh->h.n_fields++];
    f->name = slice_of(text, name.n);
    f->value = slice_of(text + name.n, value.n);
    f->id = (uint16_t)http_hdr_id(f->name);
    f->dropped = false;
    return H2_ADDED;
}

/* ---- judging --------------------------------------------------------------------------------- */

/* what the fields say; *length and *has_length: Content-Length, of which nghttp2 let one pass */
static int read_fields(struct http_head *h, struct slice *host, bool *has_length)
{
    for (unsigned i = 0; i < h->n_fields; i++) {
        struct http_field *f = &h->fields[i];
        unsigned long long v;

        switch (f->id) {
        case HDR_HOST:
            if (host->p)
                return FAULT_HOST_TWICE;
            *host = f->value;
            break;
        case HDR_CONTENT_LENGTH:
            if (slice_u64(f->value, INT64_MAX, &v) < 0)
                return FAULT_LENGTH_BAD;
            h->content_length = v;
            f->value = slice_digits(f->value);
            *has_length = true;
            break;
        case HDR_TE:
            h->te_trailers = true; /* nothing else passed nghttp2 */
            break;
        case HDR_EXPECT:
            h->expect_continue = slice_ieq(f->value, SLICE_LIT("100-continue"));
            break;
        case HDR_CONNECTION:
        case HDR_KEEP_ALIVE:
        case HDR_PROXY_CONNECTION:
        case HDR_TRANSFER_ENCODING:
        case HDR_UPGRADE:
            return FAULT_CONNECTION_FIELD;
        default:
            break;
        }
    }
    return 0;
}

/* RFC 9113 8.3.1: one authority, and the same as in Host */
static int check_authority(struct http_head *h, struct slice host)
{
    int default_port = h->scheme.n == 5 ? 443 : 80;

    if (host.p && uri_authority(host, NULL, NULL) < 0)
        return FAULT_HOST_BAD;
    if (!h->authority.p) {
        h->authority = host;
        return host.p ? 0 : FAULT_HOST_MISSING;
    }
    if (uri_authority(h->authority, NULL, NULL) < 0)
        return FAULT_HOST_BAD;
    if (host.p && !uri_same_authority(h->authority, host, default_port))
        return FAULT_HOST_DIFFERS;
    return 0;
}

static int check_connect(struct http_head *h, bool has_length)
{
    int port;

    if (h->target.p || h->scheme.p || uri_authority(h->authority, NULL, &port) < 0 || port < 0)
        return FAULT_TARGET;
    return has_length && h->content_length ? FAULT_LENGTH_FORBIDDEN : 0;
}

static int check_path(struct http_head *h)
{
    struct slice rest = h->target;

    if (slice_ieq(h->scheme, SLICE_LIT("http")))
        h->scheme = SLICE_LIT("http"); /* RFC 3986 6.2.2.1 */
    else if (slice_ieq(h->scheme, SLICE_LIT("https")))
        h->scheme = SLICE_LIT("https");
    else
        return FAULT_SCHEME;
    if (h->method == HTTP_M_OPTIONS && slice_eq(h->target, SLICE_LIT("*"))) {
        h->path = h->target;
        return 0;
    }
    if (!uri_is_origin_form(h->target))
        return FAULT_TARGET;
    h->path = slice_cut(&rest, '?');
    h->query = rest;
    return 0;
}

int h2_head_request(struct h2_head *hh, bool end)
{
    struct http_head *h = &hh->h;
    struct slice host = {NULL, 0};
    bool has_length = false;
    int bad = read_fields(h, &host, &has_length);

    if (bad)
        return bad;
    if (!http_is_token(h->method_text))
        return FAULT_METHOD;
    h->method = http_method_id(h->method_text);
    bad = h->method == HTTP_M_CONNECT ? check_connect(h, has_length) : check_path(h);
    if (!bad)
        bad = check_authority(h, host);
    if (bad)
        return bad;
    if (h->method == HTTP_M_TRACE && !end)
        return FAULT_CONTENT_FORBIDDEN;
    if (end)
        h->body = HTTP_BODY_NONE;
    else
        h->body = h->method == HTTP_M_CONNECT ? HTTP_BODY_TUNNEL
                  : h->content_length         ? HTTP_BODY_LENGTH
                                              : HTTP_BODY_STREAM;
    return 0;
}

int h2_head_response(struct h2_head *hh, enum http_method asked, bool end)
{
    struct http_head *h = &hh->h;
    struct slice host = {NULL, 0};
    bool has_length = false;
    int bad = read_fields(h, &host, &has_length);

    if (bad)
        return bad;
    if (h->status < 100 || h->status == 101)
        return FAULT_STATUS_LINE;
    if (h->status < 200)
        return end ? FAULT_STATUS_LINE : has_length ? FAULT_LENGTH_FORBIDDEN : 0;
    if (asked == HTTP_M_CONNECT && h->status < 300)
        h->body = HTTP_BODY_TUNNEL;
    else if (end || asked == HTTP_M_HEAD || h->status == 204 || h->status == 304)
        h->body = HTTP_BODY_NONE;
    else
        h->body = h->content_length ? HTTP_BODY_LENGTH : HTTP_BODY_STREAM;
    return 0;
}

int h2_head_trailers(struct h2_head *hh, const struct h2_limits *lim)
{
    if (hh->h.n_fields > lim->trailer_count)
        return FAULT_TRAILERS_LARGE;
    for (unsigned i = 0; i < hh->h.n_fields; i++)
        hh->h.fields[i].dropped = !http_trailer_allowed(&hh->h.fields[i]);
    return 0;
}
