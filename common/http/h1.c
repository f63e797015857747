/* h1.c - parsing of HTTP/1 heads.  Bodies: h1_body.c; writing: h1_write.c.
 *
 * A head is parsed line by line, each line once, from left to right: the first byte that cannot
 * be decides the error, so that the verdict does not depend on how the bytes arrived.  While a
 * line is unfinished only its end is looked for (scan), which keeps a head that arrives byte by
 * byte linear.  A limit cuts the window that is looked at; running out of a cut window is the
 * limit's error.
 */
#include "common/http/h1.h"

#include "common/base/bug.h"
#include "common/http/chars.h"
#include "common/http/h1_int.h"
#include "common/http/uri.h"

const struct h1_limits h1_limits_default = H1_LIMITS_DEFAULT;

/* h1_parser.seen */
#define SEEN_HOST       0x01u
#define SEEN_LENGTH     0x02u
#define SEEN_CODING     0x04u
#define SEEN_UPGRADE    0x08u
#define SEEN_H2C        0x10u
#define CONN_CLOSE      0x20u
#define CONN_KEEP_ALIVE 0x40u
#define CONN_UPGRADE    0x80u
#define EXPECT_CONTINUE 0x100u

void h1_parser_init(struct h1_parser *p, const struct h1_limits *limits)
{
    *p = (struct h1_parser){.lim = limits ? limits : &h1_limits_default};
    BUG_ON(p->lim->fields > HTTP_FIELDS_MAX);
}

/* ---- lines: each returns 1 and *next, 0 when it runs out of bytes, or an error --------------- */

/* CRLF at p; other: what anything else there means */
static int line_end(const char *p, const char *end, int other, const char **next)
{
    if (p == end)
        return 0;
    if (*p == '\n')
        return FAULT_LINE_END;
    if (*p != '\r')
        return other;
    if (p + 1 == end)
        return 0;
    if (p[1] != '\n')
        return FAULT_LINE_END;
    *next = p + 2;
    return 1;
}

/* no ':' where the name [s, p) ends */
static int name_error(const char *s, const char *p, const char *end)
{
    const char *next;
    int r;

    if (ch_is(*p, CH_WS))
        return p == s ? FAULT_FIELD_FOLD : FAULT_FIELD_SPACE;
    r = line_end(p, end, FAULT_FIELD_NAME, &next);
    return r > 0 ? FAULT_FIELD_NAME : r;
}

int h1_field_line(const char *s, const char *end, struct http_field *f, const char **next)
{
    const char *p = ch_skip(s, end, CH_TOKEN), *value, *stop;

    if (p == end)
        return 0;
    if (*p != ':' || p == s)
        return name_error(s, p, end);
    value = p + 1;
    while (value < end && ch_is(*value, CH_WS))
        value++;
    stop = ch_find_control(value, end);
    while (stop < end && *stop == '\t')
        stop = ch_find_control(stop + 1, end);
    if (__builtin_expect(end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n', 1)) {
        *next = stop + 2;
    } else {
        int r = line_end(stop, end, FAULT_CONTROL, next);

        if (r <= 0)
            return r;
    }
    while (stop > value && ch_is(stop[-1], CH_WS))
        stop--;
    f->name = slice_of(s, (size_t)(p - s));
    f->value = slice_of(value, (size_t)(stop - value));
    f->id = (uint16_t)http_hdr_id(f->name);
    f->dropped = false;
    return 1;
}

/* "HTTP/1.1" at p: 1, 0 or an error; what is well-formed but not ours gives *ok = false */
static int version(const char *p, const char *end, enum http_version *v, bool *ok)
{
    static const char shape[8] = "HTTP/0.0";

    for (unsigned i = 0; i < sizeof(shape); i++) {
        if (p + i == end)
            return 0;
        if (shape[i] == '0' ? !ch_is(p[i], CH_DIGIT) : p[i] != shape[i])
            return p[i] == '\n' ? FAULT_LINE_END : FAULT_VERSION;
    }
    *v = p[7] == '0' ? HTTP_V10 : HTTP_V11;
    *ok = p[5] == '1' && (p[7] == '0' || p[7] == '1');
    return 1;
}

/* the version that ends a request line */
static int request_version(const char *p, const char *end, struct http_head *h, const char **next)
{
    bool ok;
    int r;

    if (end - p >= 10 && memcmp(p, "HTTP/1.1\r\n", 10) == 0) {
        h->version = HTTP_V11;
        *next = p + 10;
        return 1;
    }
    r = version(p, end, &h->version, &ok);
    if (r > 0)
        r = line_end(p + 8, end, FAULT_VERSION, next);
    return r > 0 && !ok ? FAULT_VERSION_UNSUPPORTED : r;
}

/* the byte at p ends the target but is no space */
static int target_error(const char *p, const char *end)
{
    const char *next;
    bool control = (uint8_t)*p < 0x20 || *p == 0x7f;
    int r = line_end(p, end, control ? FAULT_CONTROL : FAULT_TARGET, &next);

    return r > 0 ? FAULT_REQUEST_LINE : r; /* HTTP/0.9 has no version */
}

static int method_error(const char *s, const char *p, const char *end)
{
    const char *next;
    int r = p == s ? FAULT_METHOD : line_end(p, end, FAULT_METHOD, &next);

    return r > 0 ? FAULT_REQUEST_LINE : r;
}

static int request_line(struct h1_parser *p, const char *s, const char *end, struct http_head *h,
                        const char **next)
{
    const char *m, *t;

    if (*s == '\r' && !p->blank) { /* RFC 9112 2.2: an empty line before the request */
        int r = line_end(s, end, 0, next);

        p->blank = r > 0;
        return r;
    }
    m = ch_skip(s, end, CH_TOKEN);
    if (m == end)
        return 0;
    if (*m != ' ' || m == s)
        return method_error(s, m, end);
    t = ch_skip(++m, end, CH_PATH);
    p->question = 0;
    if (t < end && *t == '?') {
        p->question = (uint32_t)(t - m);
        t = ch_skip(t, end, CH_QUERY);
    }
    if (t == end)
        return 0;
    if (*t != ' ')
        return target_error(t, end);
    if (t == m)
        return FAULT_REQUEST_LINE;
    h->method_text = slice_of(s, (size_t)(m - 1 - s));
    h->target = slice_of(m, (size_t)(t - m));
    p->in_fields = true;
    return request_version(t + 1, end, h, next);
}

/* "200 OK" CRLF, or "200" CRLF as some servers write it */
static int status_and_reason(const char *p, const char *end, struct http_head *h, const char **next)
{
    const char *stop;
    int r;

    for (unsigned i = 0; i < 3; i++) {
        if (p + i == end)
            return 0;
        if (!ch_is(p[i], CH_DIGIT))
            return p[i] == '\n' ? FAULT_LINE_END : FAULT_STATUS_LINE;
    }
    h->status = (unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 + (unsigned)(p[2] - '0');
    if (h->status < 100 || h->status > 599)
        return FAULT_STATUS_LINE;
    p += 3;
    if (p < end && *p == ' ')
        p++;
    else
        return line_end(p, end, FAULT_STATUS_LINE, next);
    stop = ch_find_control(p, end);
    while (stop < end && *stop == '\t')
        stop = ch_find_control(stop + 1, end);
    r = line_end(stop, end, FAULT_CONTROL, next);
    h->reason = slice_of(p, (size_t)(stop - p));
    return r;
}

static int status_line(struct h1_parser *p, const char *s, const char *end, struct http_head *h,
                       const char **next)
{
    bool ok;
    int r = version(s, end, &h->version, &ok);

    if (r <= 0)
        return r == FAULT_VERSION ? FAULT_STATUS_LINE : r;
    s += 8;
    if (s == end)
        return 0;
    if (*s != ' ')
        return *s == '\n' ? FAULT_LINE_END : FAULT_STATUS_LINE;
    if (!ok)
        return FAULT_VERSION_UNSUPPORTED;
    p->in_fields = true;
    return status_and_reason(s + 1, end, h, next);
}

/* ---- fields that say something to us --------------------------------------------------------- */

static int connection_option(struct h1_parser *p, struct slice name)
{
    if (slice_ieq(name, SLICE_LIT("close")))
        p->seen |= CONN_CLOSE;
    else if (slice_ieq(name, SLICE_LIT("keep-alive")))
        p->seen |= CONN_KEEP_ALIVE;
    else if (slice_ieq(name, SLICE_LIT("upgrade")))
        p->seen |= CONN_UPGRADE;
    else {
        enum http_hdr id = http_hdr_id(name);

        if (id == HDR_HOST || id == HDR_CONTENT_LENGTH || id == HDR_TRANSFER_ENCODING)
            return FAULT_CONNECTION;
    }
    return 0;
}

/* An option names a field, so there are not more of them: each is looked for among the fields. */
static int on_connection(struct h1_parser *p, struct slice list)
{
    while (list.p) {
        int r = connection_option(p, slice_trim(slice_cut(&list, ',')));

        if (r < 0)
            return r;
        if (++p->options > p->lim->fields)
            return FAULT_FIELDS_MANY;
    }
    return 0;
}

/* Anything but one "chunked".  Ours to say "not implemented" only where the list is in order. */
static int coding_error(struct slice list)
{
    bool unknown = false;

    while (list.p) {
        struct slice name = slice_trim(slice_cut(&list, ','));
        bool chunked = slice_ieq(name, SLICE_LIT("chunked"));

        if (!http_is_token(name) || chunked != (list.p == NULL))
            return FAULT_CODING;
        unknown = true;
    }
    return unknown ? FAULT_CODING_UNKNOWN : FAULT_CODING;
}

static int on_coding(struct h1_parser *p, struct slice value)
{
    if (p->seen & SEEN_CODING)
        return FAULT_CODING;
    p->seen |= SEEN_CODING;
    return slice_ieq(value, SLICE_LIT("chunked")) ? 0 : coding_error(value);
}

/* *value loses the zeros in front: nobody is to read an octal number */
static int on_length(struct h1_parser *p, struct slice *value)
{
    unsigned long long v;

    if (p->seen & SEEN_LENGTH)
        return FAULT_LENGTH_TWICE;
    p->seen |= SEEN_LENGTH;
    if (slice_u64(*value, INT64_MAX, &v) < 0)
        return FAULT_LENGTH_BAD;
    *value = slice_digits(*value);
    p->length = v;
    return 0;
}

static int on_host(struct h1_parser *p, const struct http_head *h, struct slice value)
{
    if (!h->request)
        return 0;
    if (p->seen & SEEN_HOST)
        return FAULT_HOST_TWICE;
    p->seen |= SEEN_HOST;
    p->host = (uint8_t)h->n_fields;
    return uri_authority(value, NULL, NULL) < 0 ? FAULT_HOST_BAD : 0;
}

/* a protocol named h2c, with or without a version */
static void on_upgrade(struct h1_parser *p, struct slice list)
{
    p->seen |= SEEN_UPGRADE;
    while (list.p) {
        struct slice name = slice_trim(slice_cut(&list, ','));

        if (slice_ieq(slice_cut(&name, '/'), SLICE_LIT("h2c")))
            p->seen |= SEEN_H2C;
    }
}

static void on_te(struct http_head *h, struct slice list)
{
    while (list.p)
        if (slice_ieq(slice_trim(slice_cut(&list, ',')), SLICE_LIT("trailers")))
            h->te_trailers = true;
}

static int on_field(struct h1_parser *p, struct http_head *h, struct http_field *f)
{
    switch (f->id) {
    case HDR_HOST:
        return on_host(p, h, f->value);
    case HDR_CONTENT_LENGTH:
        return on_length(p, &f->value);
    case HDR_TRANSFER_ENCODING:
        return on_coding(p, f->value);
    case HDR_CONNECTION:
        return on_connection(p, f->value);
    case HDR_UPGRADE:
        on_upgrade(p, f->value);
        return 0;
    case HDR_TE:
        on_te(h, f->value);
        return 0;
    case HDR_EXPECT:
        if (slice_ieq(f->value, SLICE_LIT("100-continue")))
            p->seen |= EXPECT_CONTINUE;
        return 0;
    default:
        return 0;
    }
}

static int field(struct h1_parser *p, const char *s, const char *end, struct http_head *h,
                 const char **next)
{
    struct http_field *f = &h->fields[h->n_fields];
    int r;

    if (h->n_fields >= p->lim->fields)
        return FAULT_FIELDS_MANY;
    r = h1_field_line(s, end, f, next);
    if (r <= 0)
        return r;
    if (f->id != HDR_OTHER) {
        r = on_field(p, h, f);
        if (r < 0)
            return r;
    }
    h->n_fields++;
    return 1;
}

/* ---- the whole head -------------------------------------------------------------------------- */

static void rebase_slice(struct slice *s, ptrdiff_t by)
{
    if (s->p)
        s->p += by;
}

/* the caller's buffer moved: slices found so far move with it */
static void rebase(struct h1_parser *p, const char *buf, struct http_head *h)
{
    ptrdiff_t by = buf - p->base;

    rebase_slice(&h->method_text, by);
    rebase_slice(&h->target, by);
    rebase_slice(&h->reason, by);
    for (unsigned i = 0; i < h->n_fields; i++) {
        rebase_slice(&h->fields[i].name, by);
        rebase_slice(&h->fields[i].value, by);
    }
}

void h1_moved(struct h1_parser *p, const char *buf, struct http_head *h)
{
    if (p->base && p->base != buf)
        rebase(p, buf, h);
    p->base = buf;
}

static void begin(struct h1_parser *p, const char *buf, struct http_head *h, bool request)
{
    if (!p->base) {
        struct http_field *fields = h->fields;

        *h = (struct http_head){.request = request, .fields = fields};
    }
    h1_moved(p, buf, h);
}

/* the limit that n bytes received have passed without an end of the line, or 0 */
static int passed_limit(const struct h1_parser *p, size_t n)
{
    if (!p->in_fields && n - p->line >= (size_t)p->lim->line_bytes + 2)
        return FAULT_LINE_LONG;
    return n >= p->lim->head_bytes ? FAULT_HEAD_LARGE : 0;
}

static size_t window(const struct h1_parser *p, size_t n)
{
    size_t w = n < p->lim->head_bytes ? n : p->lim->head_bytes;
    size_t line = p->line + (size_t)p->lim->line_bytes + 2;

    return !p->in_fields && line < w ? line : w;
}

/* what a step that began at s comes to when it returned r <= 0 */
static ssize_t stopped(struct h1_parser *p, const char *buf, const char *s, size_t n, int r)
{
    if (r < 0)
        return r;
    p->line = (uint32_t)(s - buf);
    p->scan = (uint32_t)window(p, n);
    return passed_limit(p, n);
}

/* the request or status line, and the empty line that may stand before a request */
static int first_line(struct h1_parser *p, const char *buf, const char **s, size_t n,
                      struct http_head *h)
{
    while (!p->in_fields) {
        const char *end = buf + window(p, n);
        int r = *s == end    ? 0
                : h->request ? request_line(p, *s, end, h, s)
                             : status_line(p, *s, end, h, s);

        if (r <= 0) {
            p->in_fields = false;
            return r;
        }
        p->line = (uint32_t)(*s - buf);
    }
    return 1;
}

/* lines up to and including the empty one: length of the head, 0 or an error */
static ssize_t lines(struct h1_parser *p, const char *buf, size_t n, struct http_head *h)
{
    const char *s = buf + p->line, *end, *next;
    int r = first_line(p, buf, &s, n, h);

    if (r <= 0)
        return stopped(p, buf, s, n, r);
    end = buf + window(p, n);
    for (; s < end && *s != '\r'; s = next) {
        r = field(p, s, end, h, &next);
        if (r <= 0)
            return stopped(p, buf, s, n, r);
    }
    r = line_end(s, end, 0, &next);
    return r > 0 ? next - buf : stopped(p, buf, s, n, r);
}

/* Limits may have become smaller since bytes were looked at: the one that those pass, or 0. */
static int passed_since(const struct h1_parser *p, size_t n)
{
    return p->scan > window(p, n) ? passed_limit(p, n) : 0;
}

/* still inside the line that was unfinished last time */
static bool line_goes_on(struct h1_parser *p, const char *buf, size_t n)
{
    size_t w = window(p, n);

    if (p->scan <= p->line || memchr(buf + p->scan, '\n', w - p->scan) || passed_limit(p, n))
        return false;
    p->scan = (uint32_t)w;
    return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* target: path[?query]; question: offset of the '?' in it, 0 = none */
static void split_target(struct http_head *h, struct slice target, size_t question)
{
    h->path = slice_of(target.p, question ? question : target.n);
    if (question)
        h->query = slice_of(target.p + question + 1, target.n - question - 1);
}

/* RFC 9112 3.2.2: what Host said is ignored; whoever looks at the field sees the target's */
static int absolute_form(const struct h1_parser *p, struct http_head *h)
{
    struct uri u;
    int r = uri_absolute(h->target, &u);

    if (r < 0)
        return r == -2 ? FAULT_SCHEME : r == -3 ? FAULT_HOST_BAD : FAULT_TARGET;
    h->scheme = u.scheme;
    h->authority = u.authority;
    if (p->seen & SEEN_HOST)
        h->fields[p->host].value = u.authority;
    h->path = u.path;
    h->query = u.query;
    if (u.bare && h->method == HTTP_M_OPTIONS) /* RFC 9112 3.2.4: asks the server as a whole */
        h->path = SLICE_LIT("*");
    return 0;
}

static int connect_form(struct http_head *h)
{
    int port;

    if (uri_authority(h->target, NULL, &port) < 0 || port < 0)
        return FAULT_TARGET;
    if (h->authority.p && !uri_same_authority(h->target, h->authority, 443) &&
        !uri_same_authority(h->target, h->authority, 80))
        return FAULT_HOST_DIFFERS;
    h->authority = h->target;
    return 0;
}

/* RFC 9112 3.2; authority holds what Host said */
static int request_target(const struct h1_parser *p, struct http_head *h)
{
    if (h->method == HTTP_M_CONNECT)
        return connect_form(h);
    if (h->target.p[0] == '/') {
        split_target(h, h->target, p->question);
        return 0;
    }
    if (slice_eq(h->target, SLICE_LIT("*"))) {
        if (h->method != HTTP_M_OPTIONS)
            return FAULT_TARGET;
        h->path = h->target;
        return 0;
    }
    return absolute_form(p, h);
}

/* RFC 9112 6.3 for requests */
static int request_body(const struct h1_parser *p, struct http_head *h)
{
    bool bodyless = h->method == HTTP_M_CONNECT || h->method == HTTP_M_TRACE;

    if (p->seen & SEEN_CODING) {
        if (h->version == HTTP_V10)
            return FAULT_CODING_HTTP10;
        if (p->seen & SEEN_LENGTH)
            return FAULT_CODING_AND_LENGTH;
        if (bodyless)
            return FAULT_CODING_FORBIDDEN;
        h->body = HTTP_BODY_CHUNKED;
    } else if (p->length > 0) {
        if (bodyless)
            return FAULT_LENGTH_FORBIDDEN;
        h->body = HTTP_BODY_LENGTH;
        h->content_length = p->length;
    }
    return 0;
}

/* whether the connection outlives the message, as far as the Connection fields say */
static bool keeps_alive(const struct h1_parser *p, const struct http_head *h)
{
    if (p->seen & CONN_CLOSE)
        return false;
    return h->version == HTTP_V11 || (p->seen & CONN_KEEP_ALIVE);
}

static int finish_request(struct h1_parser *p, struct http_head *h)
{
    const unsigned both = SEEN_UPGRADE | CONN_UPGRADE;
    int r;

    h->method = http_method_id(h->method_text);
    if (p->seen & SEEN_HOST)
        h->authority = h->fields[p->host].value;
    else if (h->version == HTTP_V11)
        return FAULT_HOST_MISSING;
    r = request_target(p, h);
    if (r == 0)
        r = request_body(p, h);
    h->keep_alive = keeps_alive(p, h);
    if (h->version == HTTP_V11) { /* RFC 9110 7.8, 10.1.1: to be ignored in HTTP/1.0 */
        h->upgrade = (p->seen & (both | SEEN_H2C)) == both;
        h->expect_continue = (p->seen & EXPECT_CONTINUE) != 0;
    }
    return r;
}

ssize_t h1_parse_request(struct h1_parser *p, const char *buf, size_t n, struct http_head *h)
{
    ssize_t r;

    begin(p, buf, h, true);
    r = passed_since(p, n);
    if (r < 0 || n == 0 || line_goes_on(p, buf, n))
        return r;
    r = lines(p, buf, n, h);
    if (r > 0) {
        int bad = finish_request(p, h);

        return bad < 0 ? bad : r;
    }
    return r;
}

/* ---- responses ------------------------------------------------------------------------------- */

static void drop_framing(struct http_head *h)
{
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].id == HDR_CONTENT_LENGTH || h->fields[i].id == HDR_TRANSFER_ENCODING)
            h->fields[i].dropped = true;
}

/* 1xx and 204: no body, and nothing that says there is one (RFC 9110 8.6, RFC 9112 6.1).  A zero
 * length, which some servers send with 204, says nothing else than the status; it is dropped. */
static int status_without_body(const struct h1_parser *p, struct http_head *h)
{
    if (p->seen & SEEN_CODING)
        return FAULT_CODING_FORBIDDEN;
    if (p->length > 0)
        return FAULT_LENGTH_FORBIDDEN;
    drop_framing(h);
    return 0;
}

static int switching(const struct h1_parser *p, const struct h1_asked *asked, struct http_head *h)
{
    const unsigned both = SEEN_UPGRADE | CONN_UPGRADE;

    if (!asked->upgrade || h->version != HTTP_V11 || (p->seen & both) != both ||
        (p->seen & SEEN_H2C))
        return FAULT_UNASKED_101;
    h->upgrade = true;
    h->body = HTTP_BODY_TUNNEL;
    return status_without_body(p, h);
}

/* RFC 9112 6.3 for responses */
static int response_body(const struct h1_parser *p, const struct h1_asked *asked,
                         struct http_head *h)
{
    if (h->status == 101)
        return switching(p, asked, h);
    if (h->status < 200)
        return status_without_body(p, h);
    if (asked->method == HTTP_M_CONNECT && h->status < 300) { /* 204 too */
        drop_framing(h);                                      /* RFC 9110 9.3.6: to be ignored */
        h->body = HTTP_BODY_TUNNEL;
        return 0;
    }
    if (h->status == 204)
        return status_without_body(p, h);
    if (p->seen & SEEN_CODING) {
        if (h->version == HTTP_V10)
            return FAULT_CODING_HTTP10;
        if (p->seen & SEEN_LENGTH)
            return FAULT_CODING_AND_LENGTH;
    }
    if (asked->method == HTTP_M_HEAD || h->status == 304)
        return 0;
    h->content_length = p->length;
    if (p->seen & SEEN_CODING)
        h->body = HTTP_BODY_CHUNKED;
    else if (p->seen & SEEN_LENGTH)
        h->body = p->length ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
    else
        h->body = HTTP_BODY_CLOSE;
    return 0;
}

static int finish_response(struct h1_parser *p, const struct h1_asked *asked, struct http_head *h)
{
    int r = response_body(p, asked, h);

    h->keep_alive = keeps_alive(p, h) && h->body != HTTP_BODY_CLOSE && h->body != HTTP_BODY_TUNNEL;
    return r;
}

ssize_t h1_parse_response(struct h1_parser *p, const char *buf, size_t n,
                          const struct h1_asked *asked, struct http_head *h)
{
    ssize_t r;

    begin(p, buf, h, false);
    r = passed_since(p, n);
    if (r < 0 || n == 0 || line_goes_on(p, buf, n))
        return r;
    r = lines(p, buf, n, h);
    if (r > 0) {
        int bad = finish_response(p, asked, h);

        return bad < 0 ? bad : r;
    }
    return r;
}
