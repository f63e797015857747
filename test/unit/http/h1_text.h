/* h1_text.h - what the HTTP/1 codec understood, as text, however its input was split. */
#ifndef FSM_TEST_H1_TEXT_H
#define FSM_TEST_H1_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/http/h1.h"

static inline void put_body_kind(struct buf *b, const struct http_head *h)
{
    static const char *const kinds[] = {"none", "length", "chunked", "close", "stream", "tunnel"};

    buf_puts(b, kinds[h->body]);
    if (h->body == HTTP_BODY_LENGTH)
        buf_printf(b, ":%llu", (unsigned long long)h->content_length);
    buf_puts(b, h->keep_alive ? " keep" : " close");
    if (h->upgrade)
        buf_puts(b, " upgrade");
}

static inline void put_request(struct buf *b, const struct http_head *h)
{
    buf_printf(b, "%.*s %.*s ", SLICE_FMT(h->method_text),
               SLICE_FMT(h->authority.p ? h->authority : SLICE_LIT("-")));
    buf_put_slice(b, h->path);
    if (h->query.p) {
        buf_putc(b, '?');
        buf_put_slice(b, h->query);
    }
    buf_putc(b, ' ');
    put_body_kind(b, h);
    if (h->expect_continue)
        buf_puts(b, " continue");
}

static inline struct h1_asked asked_of(const char *text)
{
    if (!text)
        return (struct h1_asked){.method = HTTP_M_GET};
    if (strcmp(text, "upgrade") == 0)
        return (struct h1_asked){.method = HTTP_M_GET, .upgrade = true};
    return (struct h1_asked){.method = http_method_id(slice_str(text))};
}

enum split { WHOLE, BYTES, BYTES_MOVING, IN_TWO };

static bool text_has_fields; /* also the fields, each in a line of its own */

/* A head parsed from text given in pieces.  asked NULL: a request.  The result is in *out; *used
 * is what h1_parse returned.  Every piece is a fresh copy of exact size where the buffer moves, so
 * that a look behind its end is seen by a memory checker. */
static inline ssize_t head_text(const char *text, size_t n, const char *asked, bool request,
                                enum split how, size_t cut, const struct h1_limits *lim,
                                struct buf *out)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h = {.fields = fields};
    struct h1_asked a = asked_of(asked);
    struct h1_parser p;
    char *copy = NULL;
    ssize_t r = 0;

    h1_parser_init(&p, lim);
    for (size_t i = how == WHOLE    ? n
                    : how == IN_TWO ? cut
                                    : 0;
         r == 0 && i <= n; i += how == IN_TWO ? (i < n ? n - i : 1) : 1) {
        char *fresh = how == BYTES ? NULL : malloc(i ? i : 1);

        if (fresh)
            memcpy(fresh, text, i);
        r = request ? h1_parse_request(&p, fresh ? fresh : text, i, &h)
                    : h1_parse_response(&p, fresh ? fresh : text, i, &a, &h);
        free(copy);
        copy = fresh;
    }
    buf_clear(out);
    if (r == 0) {
        buf_puts(out, "more");
    } else if (r < 0) {
        buf_puts(out, http_fault_name((int)r));
    } else if (request) {
        put_request(out, &h);
    } else {
        buf_printf(out, "%u ", h.status);
        put_body_kind(out, &h);
    }
    for (unsigned i = 0; r > 0 && i < h.n_fields; i++) {
        struct http_field *f = &h.fields[i];

        if (text_has_fields)
            buf_printf(out, "\n%.*s=%.*s", SLICE_FMT(f->name), SLICE_FMT(f->value));
        else /* touched, so that a checker sees them */
            buf_printf(out, "%s", f->name.n + f->value.n > 100000 ? "!" : "");
    }
    free(copy);
    return r;
}

/* A chunked body given in pieces of `step` bytes (0 = whole). */
static inline void chunked_text(const char *text, size_t n, size_t step,
                                const struct h1_limits *lim, struct buf *out)
{
    struct http_head h = {.body = HTTP_BODY_CHUNKED};
    struct http_field fields[32];
    char mem[512];
    struct h1_trailers t = {.mem = mem, .size = sizeof(mem), .fields = fields, .max = 32};
    struct h1_body b;
    size_t at = 0;
    int ev = H1_BODY_MORE;
    bool first = true;

    buf_clear(out);
    h1_body_init(&b, &h, lim);
    while (ev == H1_BODY_MORE && at < n) {
        size_t part = step && step < n - at ? step : n - at;
        char *piece = malloc(part);
        struct slice in = slice_of(piece, part), data;

        memcpy(piece, text + at, part);
        while ((ev = h1_body_next(&b, &in, &data)) > H1_BODY_MORE && ev != H1_BODY_END) {
            if (ev == H1_BODY_WANT_MEM)
                h1_body_trailers(&b, &t);
            else
                buf_put_slice(out, data);
        }
        at += part - in.n;
        free(piece);
    }
    if (ev < 0 || ev == H1_BODY_MORE) {
        buf_clear(out);
        buf_puts(out, ev < 0 ? http_fault_name(ev) : "more");
        return;
    }
    buf_putc(out, '|');
    for (unsigned i = 0; i < t.n; i++) {
        if (fields[i].dropped)
            continue;
        buf_printf(out, "%s%.*s=%.*s", first ? "" : ",", SLICE_FMT(fields[i].name),
                   SLICE_FMT(fields[i].value));
        first = false;
    }
    buf_putc(out, '|');
    buf_append(out, text + at, n - at);
}

#endif
