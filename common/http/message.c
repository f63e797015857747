/* message.c - names, methods, reasons, and what every version does with a head. */
#include "common/http/message.h"

#include <strings.h>
#include "common/base/bug.h"
#include "common/http/chars.h"

/* ---- header names ---------------------------------------------------------------------------- */

#define NAME_MAX 24 /* bytes of the longest name, rounded up to words */
#define SLOTS    128

static const char *const names[HDR_COUNT] = {[HDR_OTHER] = "",
#define X(id, name) [HDR_##id] = name,
                                             HTTP_HEADERS(X)
#undef X
};

/* What a lookup touches, built once before main() (names are constants, so it is const from then
 * on).  letters has 0x20 where the name has a letter: or-ing it folds case exactly there. */
struct name_slot {
    char text[NAME_MAX], letters[NAME_MAX];
    uint8_t len, id;
};
static struct name_slot slots[SLOTS];
static uint32_t multiplier;

/* length, first, middle and last letter tell all names apart */
static inline unsigned name_slot(const char *p, size_t n, uint32_t mult)
{
    uint32_t key = (uint32_t)n | (uint32_t)(p[0] | 0x20) << 8 | (uint32_t)(p[n - 1] | 0x20) << 16 |
                   (uint32_t)(p[n / 2] | 0x20) << 24;

    return key * mult >> 25;
}

static bool collision_free(uint32_t mult)
{
    bool taken[SLOTS] = {false};

    for (unsigned id = 1; id < HDR_COUNT; id++) {
        unsigned s = name_slot(names[id], strlen(names[id]), mult);

        if (taken[s])
            return false;
        taken[s] = true;
    }
    return true;
}

__attribute__((constructor)) static void build_names(void)
{
    uint32_t mult = 0x9e3779b1;

    for (unsigned tries = 0; !collision_free(mult); tries++) {
        BUG_ON(tries > 1000000);
        mult += 0x3c6ef372;
    }
    multiplier = mult;
    for (unsigned id = 1; id < HDR_COUNT; id++) {
        size_t n = strlen(names[id]);
        struct name_slot *s = &slots[name_slot(names[id], n, mult)];

        BUG_ON(n > NAME_MAX);
        s->len = (uint8_t)n;
        s->id = (uint8_t)id;
        memcpy(s->text, names[id], n);
        for (size_t i = 0; i < n; i++)
            s->letters[i] = names[id][i] >= 'a' && names[id][i] <= 'z' ? 0x20 : 0;
    }
}

static inline uint64_t load(const char *p, size_t n)
{
    uint64_t w = 0;

    memcpy(&w, p, n);
    return w;
}

static inline bool same_word(const char *p, const struct name_slot *s, size_t at, size_t n)
{
    return (load(p + at, n) | load(s->letters + at, n)) == load(s->text + at, n);
}

enum http_hdr http_hdr_id(struct slice name)
{
    const char *p = name.p;
    size_t n = name.n;
    const struct name_slot *s;

    if (n < 2 || n > NAME_MAX)
        return HDR_OTHER;
    s = &slots[name_slot(p, n, multiplier)];
    if (s->len != n)
        return HDR_OTHER;
    if (n < 4)
        return same_word(p, s, 0, 2) && same_word(p, s, n - 2, 2) ? s->id : HDR_OTHER;
    if (n < 8)
        return same_word(p, s, 0, 4) && same_word(p, s, n - 4, 4) ? s->id : HDR_OTHER;
    if (n > 16 && !same_word(p, s, 8, 8))
        return HDR_OTHER;
    return same_word(p, s, 0, 8) && same_word(p, s, n - 8, 8) ? s->id : HDR_OTHER;
}

const char *http_hdr_name(enum http_hdr id)
{
    return (unsigned)id < HDR_COUNT ? names[id] : "";
}

/* ---- methods and reasons --------------------------------------------------------------------- */

enum http_method http_method_id(struct slice m)
{
    static const struct {
        const char *text;
        enum http_method id;
    } by_length[8][2] = {
        [3] = {{"GET", HTTP_M_GET}, {"PUT", HTTP_M_PUT}},
        [4] = {{"HEAD", HTTP_M_HEAD}, {"POST", HTTP_M_POST}},
        [5] = {{"TRACE", HTTP_M_TRACE}, {"PATCH", HTTP_M_PATCH}},
        [6] = {{"DELETE", HTTP_M_DELETE}},
        [7] = {{"CONNECT", HTTP_M_CONNECT}, {"OPTIONS", HTTP_M_OPTIONS}},
    };

    if (m.n < 3 || m.n > 7)
        return HTTP_M_OTHER;
    for (unsigned i = 0; i < 2; i++)
        if (by_length[m.n][i].text && memcmp(by_length[m.n][i].text, m.p, m.n) == 0)
            return by_length[m.n][i].id;
    return HTTP_M_OTHER;
}

const char *http_reason(unsigned status)
{
    switch (status) {
    case 100:
        return "Continue";
    case 101:
        return "Switching Protocols";
    case 102:
        return "Processing";
    case 103:
        return "Early Hints";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 203:
        return "Non-Authoritative Information";
    case 204:
        return "No Content";
    case 205:
        return "Reset Content";
    case 206:
        return "Partial Content";
    case 207:
        return "Multi-Status";
    case 208:
        return "Already Reported";
    case 226:
        return "IM Used";
    case 300:
        return "Multiple Choices";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 305:
        return "Use Proxy";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 402:
        return "Payment Required";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 407:
        return "Proxy Authentication Required";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 421:
        return "Misdirected Request";
    case 422:
        return "Unprocessable Content";
    case 423:
        return "Locked";
    case 424:
        return "Failed Dependency";
    case 425:
        return "Too Early";
    case 426:
        return "Upgrade Required";
    case 428:
        return "Precondition Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 451:
        return "Unavailable For Legal Reasons";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    case 506:
        return "Variant Also Negotiates";
    case 507:
        return "Insufficient Storage";
    case 508:
        return "Loop Detected";
    case 511:
        return "Network Authentication Required";
    default:
        return "";
    }
}

/* ---- fields ---------------------------------------------------------------------------------- */

const struct http_field *http_find(const struct http_head *h, enum http_hdr id)
{
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].id == id && !h->fields[i].dropped)
            return &h->fields[i];
    return NULL;
}

const struct http_field *http_find_name(const struct http_head *h, struct slice name)
{
    enum http_hdr id = http_hdr_id(name);

    if (id != HDR_OTHER)
        return http_find(h, id);
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].id == HDR_OTHER && !h->fields[i].dropped &&
            slice_ieq(h->fields[i].name, name))
            return &h->fields[i];
    return NULL;
}

static void drop_named(struct http_head *h, struct slice name)
{
    enum http_hdr id = http_hdr_id(name);

    /* the peer may not take from us what says where the message goes and where it ends */
    if (id == HDR_HOST || id == HDR_CONTENT_LENGTH || id == HDR_UPGRADE || id == HDR_TE)
        return;
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].id == id && (id != HDR_OTHER || slice_ieq(h->fields[i].name, name)))
            h->fields[i].dropped = true;
}

static void drop_all_named(struct http_head *h, struct slice list)
{
    while (list.p) {
        struct slice name = slice_trim(slice_cut(&list, ','));

        if (name.n)
            drop_named(h, name);
    }
}

void http_drop_hop_by_hop(struct http_head *h, bool keep_upgrade)
{
    for (unsigned i = 0; i < h->n_fields; i++) {
        struct http_field *f = &h->fields[i];

        switch (f->id) {
        case HDR_CONNECTION:
            drop_all_named(h, f->value);
            f->dropped = true;
            break;
        case HDR_KEEP_ALIVE:
        case HDR_PROXY_CONNECTION:
        case HDR_TRANSFER_ENCODING:
        case HDR_HTTP2_SETTINGS:
            f->dropped = true;
            break;
        case HDR_TE:
            f->dropped = f->dropped || !slice_ieq(f->value, SLICE_LIT("trailers"));
            break;
        case HDR_UPGRADE:
            f->dropped = f->dropped || !keep_upgrade;
            break;
        default:
            break;
        }
    }
}

/* those of RFC 9110 6.5.1 that have no number */
static bool forbidden_in_trailer(struct slice name)
{
    static const char *const forbidden[] = {"accept-ranges",
                                            "age",
                                            "allow",
                                            "alt-svc",
                                            "cache-control",
                                            "content-encoding",
                                            "content-language",
                                            "content-location",
                                            "content-range",
                                            "expires",
                                            "forwarded",
                                            "if-match",
                                            "if-modified-since",
                                            "if-none-match",
                                            "if-range",
                                            "if-unmodified-since",
                                            "max-forwards",
                                            "pragma",
                                            "range",
                                            "retry-after",
                                            "strict-transport-security",
                                            "vary",
                                            "via",
                                            "warning",
                                            "www-authenticate",
                                            "x-forwarded-host",
                                            "x-forwarded-port",
                                            "x-real-ip"};

    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
        if (slice_ieq(name, slice_str(forbidden[i])))
            return true;
    return false;
}

bool http_trailer_allowed(const struct http_field *f)
{
    switch (f->id) {
    case HDR_OTHER:
        return !forbidden_in_trailer(f->name);
    case HDR_DATE:
    case HDR_SERVER:
    case HDR_X_REQUEST_ID:
    case HDR_TRACEPARENT:
    case HDR_TRACESTATE:
    case HDR_B3:
    case HDR_X_B3_TRACEID:
    case HDR_GRPC_STATUS:
        return true;
    default:
        return false;
    }
}

/* ---- characters ------------------------------------------------------------------------------ */

static bool all_of(struct slice s, unsigned mask)
{
    return s.n == 0 || ch_skip(s.p, s.p + s.n, mask) == s.p + s.n;
}

bool http_is_token(struct slice s)
{
    return s.n > 0 && all_of(s, CH_TOKEN);
}

bool http_is_field_value(struct slice s)
{
    if (s.n && (ch_is(s.p[0], CH_WS) || ch_is(s.p[s.n - 1], CH_WS)))
        return false;
    return all_of(s, CH_FIELD);
}
