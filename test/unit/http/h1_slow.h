/* h1_slow.h - HTTP/1 read a second time, the slow and obvious way: whole messages, one rule after
 * the other, copies of everything.  It shares no code with common/http and says only "no" or what
 * it understood, in the words of h1_cases.h.
 */
#ifndef FSM_TEST_H1_SLOW_H
#define FSM_TEST_H1_SLOW_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool slow_has_fields; /* tells the fields too, each in a line of its own */

#define SLOW_LINES       128
#define SLOW_CHUNK_LINE  4096                  /* longest line between chunks */
#define SLOW_TRAILER_MAX (SLOW_CHUNK_LINE + 3) /* ",name=value", NUL */

struct slow {
    char *line[SLOW_LINES]; /* without CRLF, NUL-terminated; there is no NUL inside */
    int n_lines;
    size_t used; /* bytes up to and including the empty line */
    char *name[SLOW_LINES], *value[SLOW_LINES];
    int n_fields;
};

static inline bool slow_digit(int c)
{
    return c >= '0' && c <= '9';
}

static inline bool slow_alpha(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool slow_token(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (!slow_digit(*s) && !slow_alpha(*s) && !strchr("!#$%&'*+-.^_`|~", *s))
            return false;
    return true;
}

/* appends to the string in out (size bytes) */
static inline void slow_add(char *out, size_t size, const char *text)
{
    size_t n = strlen(out);

    snprintf(out + n, size - n, "%s", text);
}

/* what stands in them is as sent, but for the zeros in front of a length */
static inline void slow_add_fields(const struct slow *p, char *out, size_t size)
{
    for (int i = 0; slow_has_fields && i < p->n_fields; i++) {
        const char *value = p->value[i];

        if (strcasecmp(p->name[i], "content-length") == 0)
            while (value[0] == '0' && value[1])
                value++;
        slow_add(out, size, "\n");
        slow_add(out, size, p->name[i]);
        slow_add(out, size, "=");
        slow_add(out, size, value);
    }
}

static inline bool slow_text(const char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

/* cuts text into lines; false if there is no empty line, or a CR, LF or NUL out of place */
static inline bool slow_split(struct slow *p, const char *text, size_t n)
{
    size_t at = 0;

    for (;;) {
        size_t end = at;
        char *line;

        while (end < n && text[end] != '\r' && text[end] != '\n' && text[end] != '\0')
            end++;
        if (end + 1 >= n || text[end] != '\r' || text[end + 1] != '\n')
            return false;
        p->used = end + 2;
        if (end == at)
            return p->n_lines > 0;
        if (p->n_lines == SLOW_LINES)
            return false;
        line = malloc(end - at + 1);
        memcpy(line, text + at, end - at);
        line[end - at] = '\0';
        p->line[p->n_lines++] = line;
        at = end + 2;
    }
}

static inline bool slow_fields(struct slow *p)
{
    for (int i = 1; i < p->n_lines; i++) {
        char *name = p->line[i], *value = strchr(name, ':'), *end;

        if (!value)
            return false;
        *value++ = '\0';
        if (!slow_token(name) || !slow_text(value))
            return false;
        while (*value == ' ' || *value == '\t')
            value++;
        end = value + strlen(value);
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
            *--end = '\0';
        p->name[p->n_fields] = name;
        p->value[p->n_fields++] = value;
    }
    return true;
}

static inline void slow_free(struct slow *p)
{
    for (int i = 0; i < p->n_lines; i++)
        free(p->line[i]);
}

/* how many fields of that name; *value: of the last */
static inline int slow_count(const struct slow *p, const char *name, const char **value)
{
    int n = 0;

    for (int i = 0; i < p->n_fields; i++)
        if (strcasecmp(p->name[i], name) == 0) {
            n++;
            *value = p->value[i];
        }
    return n;
}

/* whether a comma-separated list in any field `name` has the word; up to a '/' if cut */
static inline bool slow_lists(const struct slow *p, const char *name, const char *word, bool cut)
{
    for (int i = 0; i < p->n_fields; i++) {
        char copy[4096], *save, *item;

        if (strcasecmp(p->name[i], name) != 0)
            continue;
        snprintf(copy, sizeof(copy), "%s", p->value[i]);
        for (item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
            size_t len;

            while (*item == ' ' || *item == '\t')
                item++;
            len = strlen(item);
            while (len && (item[len - 1] == ' ' || item[len - 1] == '\t'))
                item[--len] = '\0';
            if (cut && strchr(item, '/'))
                *strchr(item, '/') = '\0';
            if (strcasecmp(item, word) == 0)
                return true;
        }
    }
    return false;
}

/* host in lower case and port (0 = none) of "host[:port]" */
static inline bool slow_authority(const char *s, char *host, size_t size, int *port)
{
    const char *end, *p;

    if (*s == '[') {
        bool colon = false;

        end = strchr(s, ']');
        if (!end)
            return false;
        for (p = s + 1; p < end; p++) {
            if (!strchr("0123456789abcdefABCDEF:.", *p))
                return false;
            colon = colon || *p == ':';
        }
        if (!colon)
            return false;
        end++;
    } else {
        for (end = s; *end && *end != ':'; end++)
            if (!slow_alpha(*end) && !slow_digit(*end) && !strchr("-._~", *end))
                return false;
        if (end == s)
            return false;
    }
    if ((size_t)(end - s) >= size)
        return false;
    for (p = s; p < end; p++)
        host[p - s] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    host[end - s] = '\0';
    *port = 0;
    if (!*end)
        return true;
    if (*end++ != ':')
        return false;
    if (!*end)
        return true;
    for (p = end; *p; p++)
        if (!slow_digit(*p))
            return false;
    while (*end == '0')
        end++;
    if (strlen(end) < 1 || strlen(end) > 5 || strtol(end, NULL, 10) > 65535)
        return false;
    *port = (int)strtol(end, NULL, 10);
    return true;
}

static inline bool slow_same(const char *a, const char *b, int default_port)
{
    char host_a[4096], host_b[4096];
    int port_a, port_b;

    return slow_authority(a, host_a, sizeof(host_a), &port_a) &&
           slow_authority(b, host_b, sizeof(host_b), &port_b) && strcmp(host_a, host_b) == 0 &&
           (port_a ? port_a : default_port) == (port_b ? port_b : default_port);
}

static inline bool slow_uri_chars(const char *s)
{
    bool query = false;

    for (; *s; s++) {
        if (*s <= 0x20 || *s >= 0x7f || *s == '#')
            return false;
        if (!query && strchr("\"<>\\", *s))
            return false;
        if (*s == '?')
            query = true;
    }
    return true;
}

/* what every message must obey: Content-Length, Transfer-Encoding, Connection */
struct slow_framing {
    bool chunked, has_length, close, keep, upgrade;
    unsigned long long length;
};

static inline bool slow_framing(const struct slow *p, struct slow_framing *f)
{
    const char *v = "";
    int n = slow_count(p, "transfer-encoding", &v);

    memset(f, 0, sizeof(*f));
    if (n > 1 || (n == 1 && strcasecmp(v, "chunked") != 0))
        return false;
    f->chunked = n == 1;
    n = slow_count(p, "content-length", &v);
    if (n > 1)
        return false;
    if (n == 1) {
        f->has_length = true;
        if (!*v)
            return false;
        for (; *v; v++) {
            if (!slow_digit(*v) || f->length > 922337203685477580ull)
                return false;
            f->length = f->length * 10 + (unsigned)(*v - '0');
            if (f->length > 9223372036854775807ull)
                return false;
        }
    }
    if (slow_lists(p, "connection", "host", false) ||
        slow_lists(p, "connection", "content-length", false) ||
        slow_lists(p, "connection", "transfer-encoding", false))
        return false;
    f->close = slow_lists(p, "connection", "close", false);
    f->keep = slow_lists(p, "connection", "keep-alive", false);
    f->upgrade = slow_lists(p, "connection", "upgrade", false) &&
                 slow_count(p, "upgrade", &v) > 0 && !slow_lists(p, "upgrade", "h2c", true);
    return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* the target taken apart: what is shown as authority and path; false if it may not be */
static inline bool slow_target(const char *method, const char *target, const char *host,
                               char *authority, char *path, size_t size)
{
    char copy[4096], ignored[4096];
    const char *rest;
    size_t scheme;
    int port;

    snprintf(authority, size, "%s", host ? host : "-");
    snprintf(path, size, "%s", target);
    if (strcmp(method, "CONNECT") == 0) {
        if (!slow_authority(target, ignored, sizeof(ignored), &port) || port == 0)
            return false;
        if (host && !slow_same(target, host, 443) && !slow_same(target, host, 80))
            return false;
        snprintf(authority, size, "%s", target);
        path[0] = '\0';
        return true;
    }
    if (target[0] == '/')
        return true;
    if (strcmp(target, "*") == 0)
        return strcmp(method, "OPTIONS") == 0;
    scheme = strncasecmp(target, "http://", 7) == 0    ? 7
             : strncasecmp(target, "https://", 8) == 0 ? 8
                                                       : 0;
    if (!scheme)
        return false;
    rest = target + scheme + strcspn(target + scheme, "/?");
    snprintf(copy, sizeof(copy), "%.*s", (int)(rest - target - (long)scheme), target + scheme);
    if (!slow_authority(copy, ignored, sizeof(ignored), &port))
        return false;
    snprintf(authority, size, "%s", copy);
    if (!*rest)
        rest = strcmp(method, "OPTIONS") == 0 ? "*" : "/";
    snprintf(path, size, "%s%s", *rest == '?' ? "/" : "", rest);
    return true;
}

static inline bool slow_request_parts(struct slow *p, char *out, size_t size)
{
    char *method = p->line[0], *target, *version, authority[4096], path[4096], ignored[4096];
    const char *host = NULL, *expect = "";
    struct slow_framing f;
    bool v10, bodyless;
    int hosts, port;

    target = strchr(method, ' ');
    if (!target)
        return false;
    *target++ = '\0';
    version = strchr(target, ' ');
    if (!version)
        return false;
    *version++ = '\0';
    v10 = strcmp(version, "HTTP/1.0") == 0;
    if (!v10 && strcmp(version, "HTTP/1.1") != 0)
        return false;
    if (!slow_token(method) || !*target || !slow_uri_chars(target))
        return false;
    hosts = slow_count(p, "host", &host);
    if (hosts > 1 || (hosts == 0 && !v10))
        return false;
    if (host && !slow_authority(host, ignored, sizeof(ignored), &port))
        return false;
    if (!slow_target(method, target, host, authority, path, sizeof(path)) || !slow_framing(p, &f))
        return false;
    bodyless = strcmp(method, "CONNECT") == 0 || strcmp(method, "TRACE") == 0;
    if (f.chunked && (v10 || f.has_length || bodyless))
        return false;
    if (f.length && bodyless)
        return false;
    slow_count(p, "expect", &expect);
    snprintf(out, size, "%s %s %s ", method, authority, path);
    if (f.length)
        snprintf(out + strlen(out), size - strlen(out), "length:%llu", f.length);
    else
        slow_add(out, size, f.chunked ? "chunked" : "none");
    slow_add(out, size, f.close || (v10 && !f.keep) ? " close" : " keep");
    if (f.upgrade && !v10)
        slow_add(out, size, " upgrade");
    for (int i = 0; i < p->n_fields; i++)
        if (!v10 && strcasecmp(p->name[i], "expect") == 0 &&
            strcasecmp(p->value[i], "100-continue") == 0) {
            slow_add(out, size, " continue");
            break;
        }
    /* RFC 9112 3.2.2: a target with an authority takes the place of Host */
    for (int i = 0; strstr(target, "://") && *target != '/' && i < p->n_fields; i++)
        if (strcasecmp(p->name[i], "host") == 0)
            p->value[i] = authority;
    slow_add_fields(p, out, size);
    return true;
}

/* bytes of the head, or 0 for "no" */
static inline size_t slow_request(const char *text, size_t n, char *out, size_t size)
{
    struct slow p = {.n_lines = 0};
    size_t blank = n >= 2 && memcmp(text, "\r\n", 2) == 0 ? 2 : 0;
    bool ok = slow_split(&p, text + blank, n - blank) && slow_fields(&p) &&
              slow_request_parts(&p, out, size);

    slow_free(&p);
    return ok ? p.used + blank : 0;
}

/* ---- responses ------------------------------------------------------------------------------- */

static inline bool slow_status_line(const char *s, bool *v10, int *status)
{
    if (strncmp(s, "HTTP/1.1 ", 9) != 0 && strncmp(s, "HTTP/1.0 ", 9) != 0)
        return false;
    *v10 = s[7] == '0';
    s += 9;
    if (!slow_digit(s[0]) || !slow_digit(s[1]) || !slow_digit(s[2]))
        return false;
    s += 3;
    if (*s && *s != ' ')
        return false;
    *status = (int)strtol((char[]){s[-3], s[-2], s[-1], 0}, NULL, 10);
    return *status >= 100 && *status <= 599 && slow_text(s);
}

static inline bool slow_response_parts(struct slow *p, const char *asked, char *out, size_t size)
{
    struct slow_framing f;
    const char *body = NULL;
    bool v10, keep;
    int status;

    if (!slow_status_line(p->line[0], &v10, &status) || !slow_framing(p, &f))
        return false;
    if (status == 101 && (!f.upgrade || v10 || strcmp(asked, "upgrade") != 0))
        return false;
    if (status < 200 || (status == 204 && strcmp(asked, "CONNECT") != 0)) {
        if (f.chunked || f.length)
            return false;
        body = status == 101 ? "tunnel" : "none";
    } else if (strcmp(asked, "CONNECT") == 0 && status < 300) {
        body = "tunnel";
    } else {
        if (f.chunked && (v10 || f.has_length))
            return false;
        if (strcmp(asked, "HEAD") == 0 || status == 304)
            body = "none";
        else if (f.chunked)
            body = "chunked";
        else if (!f.has_length)
            body = "close";
        else if (f.length == 0)
            body = "none";
    }
    keep = !f.close && (!v10 || f.keep) &&
           !(body && (strcmp(body, "close") == 0 || strcmp(body, "tunnel") == 0));
    if (body)
        snprintf(out, size, "%d %s", status, body);
    else
        snprintf(out, size, "%d length:%llu", status, f.length);
    slow_add(out, size, keep ? " keep" : " close");
    if (status == 101)
        slow_add(out, size, " upgrade");
    slow_add_fields(p, out, size);
    return true;
}

static inline size_t slow_response(const char *text, size_t n, const char *asked, char *out,
                                   size_t size)
{
    struct slow p = {.n_lines = 0};
    bool ok =
        slow_split(&p, text, n) && slow_fields(&p) && slow_response_parts(&p, asked, out, size);

    slow_free(&p);
    return ok ? p.used : 0;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static inline const char *slow_spaces(const char *s)
{
    while (*s == ' ' || *s == '\t')
        s++;
    return s;
}

static inline const char *slow_word(const char *s)
{
    while (*s && (slow_alpha(*s) || slow_digit(*s) || strchr("!#$%&'*+-.^_`|~", *s)))
        s++;
    return s;
}

/* *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) and nothing behind */
static inline bool slow_extensions(const char *s)
{
    while (*s) {
        const char *e;

        s = slow_spaces(s);
        if (*s++ != ';')
            return false;
        s = slow_spaces(s);
        e = slow_word(s);
        if (e == s)
            return false;
        s = e;
        e = slow_spaces(s);
        if (*e != '=')
            continue;
        s = slow_spaces(e + 1);
        if (*s == '"') {
            for (s++; *s && *s != '"'; s++)
                if (*s == '\\' && !*++s)
                    return false;
            if (*s++ != '"')
                return false;
        } else {
            e = slow_word(s);
            if (e == s)
                return false;
            s = e;
        }
    }
    return true;
}

static inline bool slow_trailer_ok(const char *name)
{
    static const char *const refused[] = {"host",
                                          "content-length",
                                          "content-type",
                                          "transfer-encoding",
                                          "connection",
                                          "keep-alive",
                                          "proxy-connection",
                                          "upgrade",
                                          "te",
                                          "trailer",
                                          "expect",
                                          "user-agent",
                                          "cookie",
                                          "set-cookie",
                                          "location",
                                          "authorization",
                                          "proxy-authorization",
                                          "proxy-authenticate",
                                          "x-forwarded-for",
                                          "x-forwarded-proto",
                                          "grpc-timeout",
                                          "serviceidentity",
                                          "fsm-stats",
                                          "fsm-protocol",
                                          "http2-settings",
                                          "accept-ranges",
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

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strcasecmp(name, refused[i]) == 0)
            return false;
    return true;
}

/* one line of a chunked body into line (size bytes); bytes taken, 0 for "no" */
static inline size_t slow_chunk_line(const char *text, size_t n, char *line, size_t size)
{
    size_t end = 0;

    while (end < n && text[end] != '\r' && text[end] != '\n' && text[end] != '\0')
        end++;
    if (end + 1 >= n || text[end] != '\r' || text[end + 1] != '\n' || end >= size)
        return 0;
    memcpy(line, text, end);
    line[end] = '\0';
    return slow_text(line) ? end + 2 : 0;
}

/* false for "no"; out: payload|trailers|rest, NUL-terminated (and maybe with NULs inside), *out_n
 */
static inline bool slow_chunked(const char *text, size_t n, char *out, size_t *out_n)
{
    char line[SLOW_CHUNK_LINE];
    size_t at = 0, o = 0;
    bool first = true;

    for (;;) {
        size_t digits, took = slow_chunk_line(text + at, n - at, line, sizeof(line));
        unsigned long long size;
        char hex[20];

        digits = took ? strspn(line, "0123456789abcdefABCDEF") : 0;
        if (digits == 0 || digits > 16 || !slow_extensions(line + digits))
            return false;
        memcpy(hex, line, digits);
        hex[digits] = '\0';
        size = strtoull(hex, NULL, 16);
        at += took;
        if (size == 0)
            break;
        if (size > n - at || n - at - size < 2 || memcmp(text + at + size, "\r\n", 2) != 0)
            return false;
        memcpy(out + o, text + at, size);
        o += size;
        at += size + 2;
    }
    out[o++] = '|';
    for (;;) {
        size_t took = slow_chunk_line(text + at, n - at, line, sizeof(line));
        struct slow p = {.n_lines = 2, .line = {(char[]){""}, line}};

        if (!took)
            return false;
        at += took;
        if (took == 2)
            break;
        if (!slow_fields(&p))
            return false;
        if (!slow_trailer_ok(p.name[0]))
            continue;
        o += (size_t)snprintf(out + o, SLOW_TRAILER_MAX, "%s%s=%s", first ? "" : ",", p.name[0],
                              p.value[0]);
        first = false;
    }
    out[o++] = '|';
    memcpy(out + o, text + at, n - at);
    *out_n = o + n - at;
    return true;
}

/* Is it short enough that the obvious parser and ours hold the same bounds?  Parts are fields, and
 * options of Connection. */
static inline bool slow_within_limits(const char *text, size_t n)
{
    size_t parts = 0;

    for (size_t i = 0; i < n; i++)
        parts += text[i] == '\n' || text[i] == ',';
    return n > 0 && n < 4000 && parts < 90;
}

#endif
