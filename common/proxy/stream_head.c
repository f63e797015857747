/* stream_head.c - a request's head and whatever else lives as long as the stream.
 *
 * An HTTP/1 head is parsed in the worker's read buffer; the stream copies it once, as one piece
 * (the largest as two), and moves the slices, because it may be needed after the buffer was read
 * into again (a dial, a second attempt, the access log).
 */
#include <limits.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include "common/http/uri.h"
#include "common/proxy/stream.h"

#define SPARE_FIELDS 8 /* what filters may add */

struct stream_block {
    struct stream_block *next;
    uint32_t cap, used;
    alignas(16) char data[];
};

/* the most that lies in one piece */
#define PIECE_MAX (WMEM_BLOCK_MAX - sizeof(struct stream_block))

static struct stream_block *block_add(struct stream *s, size_t n)
{
    uint32_t cap;
    struct stream_block *b = wmem_block(s->w->mem, sizeof *b + n, &cap);
    if (!b)
        return NULL;
    b->next = s->block;
    b->cap = cap;
    b->used = 0;
    s->block = b;
    return b;
}

void *stream_alloc(struct stream *s, size_t n)
{
    struct stream_block *b = s->block;
    n = (n + 15) & ~(size_t)15;
    if (!b || b->cap - sizeof *b - b->used < n)
        b = block_add(s, n);
    if (!b)
        return NULL;
    void *p = b->data + b->used;
    b->used += (uint32_t)n;
    return p;
}

void stream_free_head(struct stream *s)
{
    struct stream_block *b;
    if (s->h2_head)
        h2_head_free(s->h2_head);
    s->h2_head = NULL;
    s->req = NULL;
    while ((b = s->block)) {
        s->block = b->next;
        wmem_block_put(s->w->mem, b, b->cap);
    }
}

/* ---- copying a head -------------------------------------------------------------------------- */

struct move {
    const char *from, *end;
    char *to;
};

static void moved(const struct move *m, struct slice *s)
{
    if (s->p >= m->from && s->p <= m->end)
        s->p = m->to + (s->p - m->from);
}

int stream_keep_head(struct stream *s, const struct http_head *h, struct slice raw)
{
    size_t fields = (h->n_fields + SPARE_FIELDS) * sizeof *h->fields, n = sizeof *h + fields;
    bool apart = n + raw.n > PIECE_MAX;
    char *p = stream_alloc(s, apart ? n : n + raw.n);
    if (!p)
        return -1;
    char *text = apart ? stream_alloc(s, raw.n) : p + n;
    if (!text)
        return -1;
    struct http_head *copy = s->req = (struct http_head *)p;
    *copy = *h;
    copy->fields = (struct http_field *)(p + sizeof *h);
    if (h->n_fields) /* what was no head has not even an array of them */
        memcpy(copy->fields, h->fields, h->n_fields * sizeof *h->fields);
    struct move m = {raw.p, raw.p + raw.n, text};
    if (raw.n)
        memcpy(m.to, raw.p, raw.n);
    moved(&m, &copy->method_text);
    moved(&m, &copy->scheme);
    moved(&m, &copy->authority);
    moved(&m, &copy->target);
    moved(&m, &copy->path);
    moved(&m, &copy->query);
    for (unsigned i = 0; i < copy->n_fields; i++) {
        moved(&m, &copy->fields[i].name);
        moved(&m, &copy->fields[i].value);
    }
    s->max_fields = (uint16_t)(h->n_fields + SPARE_FIELDS);
    return 0;
}

int stream_keep_trailers(struct stream *s, struct half *sink, const struct http_field *f,
                         unsigned n)
{
    struct kept_trailers *t = stream_alloc(s, sizeof *t + n * sizeof *f);
    if (!t)
        return -1;
    t->n = n;
    t->fields = (struct http_field *)(t + 1);
    for (unsigned i = 0; i < n; i++) {
        char *text = stream_alloc(s, f[i].name.n + f[i].value.n);
        if (!text)
            return -1;
        t->fields[i] = f[i];
        t->fields[i].name.p = memcpy(text, f[i].name.p, f[i].name.n);
        t->fields[i].value.p = memcpy(text + f[i].name.n, f[i].value.p, f[i].value.n);
    }
    sink->trailers = t;
    return 0;
}

/* ---- reading and changing it ----------------------------------------------------------------- */

static int set_path(struct stream *s, struct slice path)
{
    struct http_head *h = s->req;
    size_t n = path.n + (h->query.p ? h->query.n + 1 : 0);
    char *t = stream_alloc(s, n);
    if (!t)
        return -1;
    memcpy(t, path.p, path.n);
    h->path = slice_of(t, path.n);
    if (h->query.p) {
        t[path.n] = '?';
        memcpy(t + path.n + 1, h->query.p, h->query.n);
        h->query = slice_of(t + path.n + 1, h->query.n);
    }
    h->target = slice_of(t, n);
    return 0;
}

int stream_canonical_path(struct stream *s, unsigned flags, bool replace)
{
    struct http_head *h = s->req;
    struct slice canon;
    if (h->method == HTTP_M_CONNECT)
        return 0;
    char *scratch = s->w->scratch;
    if (uri_canonical(h->path, flags, scratch, SCRATCH_SIZE, &canon) < 0)
        return -1;
    return !replace || canon.p == h->path.p ? 0 : set_path(s, canon);
}

void head_drop(struct http_head *h, enum http_hdr id)
{
    for (unsigned i = 0; i < h->n_fields; i++)
        if (h->fields[i].id == id)
            h->fields[i].dropped = true;
}

int stream_set_authority(struct stream *s, struct slice host)
{
    char *t;
    if (slice_eq(host, s->req->authority))
        return 0;
    t = stream_alloc(s, host.n);
    if (!t)
        return -1;
    memcpy(t, host.p, host.n);
    s->req->authority = slice_of(t, host.n);
    return 0;
}

static bool is_number(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return s.n > 0;
}

/* what is no number is nothing that we could count; one beyond us becomes the largest of ours */
static enum reason one_hop_less(struct stream *s, struct http_field *f)
{
    unsigned long long n;
    size_t room = 24;
    if (!is_number(f->value))
        return REASON_OK;
    if (slice_u64(f->value, ULLONG_MAX, &n) < 0)
        n = ULLONG_MAX;
    if (n == 0)
        return REASON_MAX_FORWARDS;
    char *t = stream_alloc(s, room);
    if (!t)
        return REASON_NO_MEMORY;
    f->value = slice_of(t, (size_t)snprintf(t, room, "%llu", n - 1));
    return REASON_OK;
}

enum reason stream_max_forwards(struct stream *s)
{
    struct http_head *h = s->req;
    enum reason why = REASON_OK;
    if (h->method != HTTP_M_OPTIONS && h->method != HTTP_M_TRACE)
        return why;
    for (unsigned i = 0; i < h->n_fields && why == REASON_OK; i++)
        if (!h->fields[i].dropped && slice_ieq(h->fields[i].name, SLICE_LIT("max-forwards")))
            why = one_hop_less(s, &h->fields[i]);
    return why;
}

int stream_set_header(struct stream *s, enum http_hdr id, struct slice value)
{
    struct http_head *h = s->req;
    head_drop(h, id);
    if (h->n_fields >= s->max_fields)
        return -1;
    h->fields[h->n_fields++] =
        (struct http_field){.name = slice_str(http_hdr_name(id)), .value = value, .id = id};
    return 0;
}

int head_add(struct http_head *h, enum http_hdr id, struct slice value)
{
    if (h->n_fields >= HTTP_FIELDS_MAX)
        return -1;
    h->fields[h->n_fields++] =
        (struct http_field){.name = slice_str(http_hdr_name(id)), .value = value, .id = id};
    return 0;
}

bool stream_asks_upgrade(const struct http_head *h)
{
    /* What is carried as bytes once both ends agreed.  Others are served as if they had not
     * asked (RFC 9110 7.8); HTTP itself must not change versions behind our back. */
    static const char *const known[] = {"websocket", "tcp", "spdy/3.1"};
    const struct http_field *f = h->upgrade ? http_find(h, HDR_UPGRADE) : NULL;
    if (!f || h->version != HTTP_V11 || h->body != HTTP_BODY_NONE)
        return false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_ieq(f->value, slice_str(known[i])))
            return true;
    return false;
}
