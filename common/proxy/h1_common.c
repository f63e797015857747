/* h1_common.c - see h1_common.h */
#include "common/proxy/h1_common.h"
#include <stdalign.h>
#include <string.h>

int h1_put_head(struct chan *ch, const struct http_head *h, const struct h1_emit *e)
{
    size_t bound = h1_head_bound(h, e);
    if (bound > GATHER_TEXT)
        return -1;
    char *text = chan_text(ch, bound);
    ssize_t n = h1_write_head(text, bound, h, e);
    if (n < 0)
        return -1;
    chan_text_put(ch, text, (size_t)n);
    return 0;
}

void h1_put_data(struct chan *ch, struct slice p, bool chunked)
{
    if (chunked) {
        char *text = chan_text(ch, H1_CHUNK_HEAD_MAX);
        chan_text_put(ch, text, h1_write_chunk_head(text, p.n));
    }
    chan_put(ch, p.p, p.n);
    if (chunked)
        chan_put(ch, "\r\n", 2);
}

void h1_put_last_chunk(struct chan *ch, const struct http_field *trailers, unsigned n)
{
    size_t bound = 16;
    for (unsigned i = 0; i < n; i++)
        bound += trailers[i].name.n + trailers[i].value.n + 4;
    if (n == 0 || bound > GATHER_TEXT) {
        chan_put(ch, H1_LAST_CHUNK, sizeof H1_LAST_CHUNK - 1);
        return;
    }
    char *text = chan_text(ch, bound);
    ssize_t len = h1_write_trailers(text, bound, trailers, n);
    if (len > 0)
        chan_text_put(ch, text, (size_t)len);
    else
        chan_put(ch, H1_LAST_CHUNK, sizeof H1_LAST_CHUNK - 1);
}

static struct h1_partial *partial_new(struct worker *w, const struct http_head *h)
{
    uint32_t cap;
    struct h1_partial *p = wmem_block(w->mem, sizeof *p, &cap);
    if (!p)
        return NULL;
    p->cap = cap;
    p->head = *h;
    p->head.fields = p->fields;
    memcpy(p->fields, h->fields, h->n_fields * sizeof *h->fields);
    return p;
}

void h1_partial_drop(struct worker *w, struct h1_partial **part)
{
    if (*part)
        wmem_block_put(w->mem, *part, (*part)->cap);
    *part = NULL;
}

ssize_t h1_parse_more(struct worker *w, struct h1_parser *p, struct h1_partial **part,
                      struct slice in, const struct h1_asked *asked, struct http_head **head)
{
    if (*part) {
        *head = &(*part)->head;
    } else {
        w->head = (struct http_head){.fields = w->fields};
        *head = &w->head;
    }
    ssize_t n = asked ? h1_parse_response(p, in.p, in.n, asked, *head)
                      : h1_parse_request(p, in.p, in.n, *head);
    if (n == 0 && !*part && !(*part = partial_new(w, *head)))
        return H1_E_HEAD_LARGE;
    return n;
}

struct h1_trail *h1_trail_get(struct wmem *m, const struct h1_limits *lim)
{
    size_t fields = lim->trailers * sizeof(struct http_field);
    uint32_t cap;
    struct h1_trail *t = wmem_block(m, sizeof *t + fields + lim->trailer_bytes, &cap);
    if (!t)
        return NULL;
    _Static_assert(alignof(struct http_field) <= alignof(struct h1_trail), "fields follow");
    t->cap = cap;
    t->t = (struct h1_trailers){.fields = (struct http_field *)(t + 1),
                                .max = lim->trailers,
                                .mem = (char *)(t + 1) + fields,
                                .size = lim->trailer_bytes};
    return t;
}

void h1_trail_put(struct wmem *m, struct h1_trail *t)
{
    if (t)
        wmem_block_put(m, t, t->cap);
}

int h1_take_body(struct half *src, struct h1_body *b, struct slice *in, struct h1_trail **trail)
{
    struct stream *s = src->s;
    struct wmem *m = s->w->mem;
    struct slice data;
    for (;;) {
        int ev = h1_body_next(b, in, &data);
        if (ev == H1_BODY_DATA) {
            stream_data(src, data);
            if (s->closed)
                return 0;
        } else if (ev == H1_BODY_WANT_MEM) {
            if (!*trail && !(*trail = h1_trail_get(m, b->lim)))
                return H1_E_TRAILERS_LARGE;
            h1_body_trailers(b, &(*trail)->t);
        } else {
            return ev == H1_BODY_END ? 1 : ev;
        }
    }
}

enum reason h1_request_reason(int error)
{
    switch (h1_error_status(error)) {
    case 414:
        return REASON_LINE_TOO_LONG;
    case 431:
        return REASON_HEAD_TOO_LARGE;
    case 501:
        return REASON_CODING;
    case 505:
        return REASON_VERSION;
    default:
        return REASON_DOWN_PROTOCOL;
    }
}
