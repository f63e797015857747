/* h2_send.c - what leaves over HTTP/2: heads, bodies, trailers, resets.
 *
 * A body is pushed: h2_write offers bytes to nghttp2's pull interface for the length of one call,
 * in which they are framed and copied into the output as far as the windows allow.
 */
#include "common/http/h2_int.h"

#include <stdlib.h>

#define NV_MAX (HTTP_FIELDS_MAX + 64) /* fields of one head, pseudo-header fields included */

struct nvs {
    nghttp2_nv nv[NV_MAX];
    size_t n;
    bool full;
};

static void put_flags(struct nvs *v, struct slice name, struct slice value, uint8_t flags)
{
    if (v->n == NV_MAX) {
        v->full = true;
        return;
    }
    v->nv[v->n++] = (nghttp2_nv){(uint8_t *)name.p, (uint8_t *)value.p, name.n, value.n, flags};
}

static void put(struct nvs *v, struct slice name, struct slice value)
{
    put_flags(v, name, value, NGHTTP2_NV_FLAG_NONE);
}

#define BIT(id) ((uint64_t)1 << HDR_##id)

static const uint64_t not_copied = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
                                   BIT(TRANSFER_ENCODING) | BIT(UPGRADE) | BIT(TE) |
                                   BIT(HTTP2_SETTINGS);
/* not to be put into a table that other requests on this connection probe (RFC 7541 7.1.3) */
static const uint64_t secret = BIT(AUTHORIZATION) | BIT(PROXY_AUTHORIZATION);

static void put_fields(struct nvs *v, const struct http_field *f, unsigned n, uint64_t skip)
{
    for (unsigned i = 0; i < n; i++) {
        if (f[i].dropped || (skip >> f[i].id & 1))
            continue;
        put_flags(v, f[i].name, f[i].value,
                  secret >> f[i].id & 1 ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE);
    }
}

static bool added_fields_ok(const struct h2_emit *e)
{
    for (unsigned i = 0; i < e->n_add; i++)
        if (!http_is_token(e->add[i].name) || !http_is_field_value(e->add[i].value))
            return false;
    return true;
}

/* ---- heads ----------------------------------------------------------------------------------- */

/* :path.  Put together where the two do not stand in one piece, in memory of the session's that
 * the caller releases */
static struct slice path_of(struct h2_pool *pool, const struct http_head *h,
                            const struct h2_emit *e, char **mem)
{
    size_t n = h->path.n + 1 + h->query.n;

    *mem = NULL;
    if (e->target.p)
        return e->target;
    if (!h->query.p)
        return h->path;
    if (h->path.p + h->path.n + 1 == h->query.p && h->query.p[-1] == '?')
        return slice_of(h->path.p, n);
    *mem = h2_alloc(pool, n);
    if (!*mem)
        return slice_of(NULL, 0);
    memcpy(*mem, h->path.p, h->path.n);
    (*mem)[h->path.n] = '?';
    memcpy(*mem + h->path.n + 1, h->query.p, h->query.n);
    return slice_of(*mem, n);
}

static struct slice scheme_of(const struct http_head *h, const struct h2_emit *e)
{
    if (e->scheme.p)
        return e->scheme;
    return h->scheme.n ? h->scheme : SLICE_LIT("http");
}

static void put_request(struct nvs *v, const struct http_head *h, const struct h2_emit *e,
                        struct slice path)
{
    struct slice authority = e->authority.p ? e->authority : h->authority;

    put(v, SLICE_LIT(":method"), h->method_text);
    if (h->method != HTTP_M_CONNECT) {
        put(v, SLICE_LIT(":scheme"), scheme_of(h, e));
        put(v, SLICE_LIT(":path"), path);
    }
    if (authority.n)
        put(v, SLICE_LIT(":authority"), authority);
    put_fields(v, h->fields, h->n_fields, not_copied | BIT(HOST));
    if (h->te_trailers)
        put(v, SLICE_LIT("te"), SLICE_LIT("trailers"));
    put_fields(v, e->add, e->n_add, not_copied | BIT(HOST));
}

static nghttp2_data_provider source_of(struct stream *st)
{
    return (nghttp2_data_provider){{.ptr = st}, h2_read_source};
}

static int submit_request(struct stream *st, const struct nvs *v, bool end)
{
    nghttp2_data_provider source = source_of(st);

    return nghttp2_submit_request(st->pub.conn->ng, NULL, v->nv, v->n, end ? NULL : &source, st);
}

/* the stream that nghttp2 numbered */
static struct h2s *begin_request(struct h2c *c, const struct nvs *v, enum http_method method,
                                 bool end, void *user)
{
    struct stream *st = h2_stream_new(c, 0);
    int32_t id;

    if (!st)
        return NULL;
    st->method = (uint8_t)method;
    st->delivered = true;
    st->local_end = end;
    st->pub.user = user;
    id = submit_request(st, v, end);
    if (id <= 0) {
        TAILQ_REMOVE(&c->streams, st, link);
        c->n_streams--;
        h2_release(c->pool, st);
        return NULL;
    }
    st->pub.id = c->last_id = id;
    return &st->pub;
}

struct h2s *h2_request(struct h2c *c, const struct http_head *h, const struct h2_emit *e,
                       void *user)
{
    struct nvs v;
    struct slice path;
    struct h2s *s = NULL;
    char *mem;

    if (h2_room(c) == 0 || !added_fields_ok(e))
        return NULL;
    path = path_of(c->pool, h, e, &mem);
    v.n = 0;
    v.full = false;
    put_request(&v, h, e, path);
    if (!v.full && (path.p || h->method == HTTP_M_CONNECT))
        s = begin_request(c, &v, h->method, e->end, user);
    if (mem)
        h2_release(c->pool, mem);
    return s;
}

static void put_status(struct nvs *v, unsigned status, char digits[3])
{
    digits[0] = (char)('0' + status / 100 % 10);
    digits[1] = (char)('0' + status / 10 % 10);
    digits[2] = (char)('0' + status % 10);
    put(v, SLICE_LIT(":status"), slice_of(digits, 3));
}

static int submit_final(struct stream *st, const struct nvs *v, bool end)
{
    nghttp2_data_provider source = source_of(st);

    if (nghttp2_submit_response(st->pub.conn->ng, st->pub.id, v->nv, v->n, end ? NULL : &source) !=
        0)
        return -1;
    st->answered = true;
    st->local_end = end;
    return 0;
}

static bool can_send(const struct stream *st)
{
    return !st->pub.conn->dead && !st->closed && !st->muted && !st->local_reset && !st->local_end;
}

int h2_response(struct h2s *s, const struct http_head *h, const struct h2_emit *e)
{
    struct stream *st = (struct stream *)s;
    char digits[3];
    struct nvs v;

    if (!can_send(st) || st->answered || h->status == 101 || !added_fields_ok(e))
        return -1;
    v.n = 0;
    v.full = false;
    put_status(&v, h->status, digits);
    put_fields(&v, h->fields, h->n_fields, not_copied);
    put_fields(&v, e->add, e->n_add, not_copied);
    if (v.full)
        return -1;
    if (h->status < 200)
        return nghttp2_submit_headers(s->conn->ng, NGHTTP2_FLAG_NONE, s->id, NULL, v.nv, v.n,
                                      NULL) == 0
                   ? 0
                   : -1;
    return submit_final(st, &v, e->end);
}

int h2_send_431(struct stream *st)
{
    const char *why = http_fault_name(FAULT_HEAD_LARGE);
    bool fits = h2_writable(&st->pub) >= strlen(why); /* else nothing is to wait for a window */
    char digits[3];
    struct nvs v;

    st->reset_at_end = true;
    v.n = 0;
    v.full = false;
    put_status(&v, 431, digits);
    if (fits) {
        put(&v, SLICE_LIT("content-type"), SLICE_LIT("text/plain"));
        st->src = why;
        st->src_n = strlen(why);
        st->want_eof = true;
    }
    return submit_final(st, &v, !fits);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

ssize_t h2_read_source(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream *st = source->ptr;
    size_t n = st->src_n < length ? st->src_n : length;

    if (n == 0 && !st->want_eof) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == st->src_n && st->want_eof) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (st->no_end_stream)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        st->local_end = true;
    }
    return (ssize_t)n;
}

size_t h2_writable(const struct h2s *s)
{
    const struct stream *st = (const struct stream *)s;
    const struct h2c *c = s->conn;
    int64_t stream_window, conn_window, n, room;

    if (!can_send(st) || st->want_eof)
        return 0;
    stream_window = nghttp2_session_get_stream_remote_window_size(c->ng, s->id);
    conn_window = nghttp2_session_get_remote_window_size(c->ng);
    stream_window -= (int64_t)st->kept.n;
    conn_window -= (int64_t)c->kept;
    room = (int64_t)c->lim->out_bytes - (int64_t)(c->out_len + c->kept);
    n = stream_window < conn_window ? stream_window : conn_window;
    n = n < room ? n : room;
    return n > 0 ? (size_t)n : 0;
}

/* nghttp2 asks again for what it had been told to wait for */
static void wake_source(struct stream *st)
{
    if (!st->deferred)
        return;
    st->deferred = false;
    h2_said(st->pub.conn, nghttp2_session_resume_data(st->pub.conn->ng, st->pub.id));
}

/* Offers n bytes for the length of one pump: how many went.  all: whatever the output's bound. */
static size_t offer(struct stream *st, const void *p, size_t n, bool last, bool all)
{
    st->src = p;
    st->src_n = n;
    st->want_eof = last;
    wake_source(st);
    h2_pump_for(st->pub.conn, all ? st : NULL);
    n -= st->src_n;
    if (st->src_n)
        st->want_eof = false;
    st->src = NULL;
    st->src_n = 0;
    return n;
}

void h2_unkeep(struct stream *st)
{
    st->pub.conn->kept -= st->kept.n;
    st->kept = slice_of(NULL, 0);
}

/* What was kept fits: its room and windows were set aside.  last: our half ends with it. */
static void push(struct stream *st, bool last)
{
    struct slice p = st->kept;

    h2_unkeep(st);
    if (p.n && can_send(st))
        offer(st, p.p, p.n, last, true);
}

void h2_push(struct h2s *s)
{
    push((struct stream *)s, false);
}

static bool takes_body(const struct stream *st)
{
    return can_send(st) && !st->want_eof && (!st->pub.conn->server || st->answered);
}

ssize_t h2_put(struct h2s *s, const void *p, size_t n)
{
    struct stream *st = (struct stream *)s;

    push(st, false);
    if (!st->opened)
        h2_pump(s->conn);
    if (!takes_body(st) || n == 0 || h2_writable(s) < n)
        return h2_write(s, p, n, false);
    st->kept = slice_of(p, n);
    s->conn->kept += n;
    return (ssize_t)n;
}

ssize_t h2_write(struct h2s *s, const void *p, size_t n, bool end)
{
    struct stream *st = (struct stream *)s;
    struct h2c *c = s->conn;
    size_t take, taken = 0;

    if (st->kept.n) {
        push(st, end && n == 0);
        if (end && n == 0)
            return c->dead ? -1 : 0;
    }
    if (!takes_body(st))
        return -1;
    if (!st->opened)
        h2_pump(c);
    take = h2_writable(s);
    if (take > n)
        take = n;
    if (take || (n == 0 && end))
        taken = offer(st, p, take, end && take == n, false);
    if (c->dead)
        return -1;
    if (taken < n) {
        c->out_was_full |= c->out_len >= c->lim->out_bytes / 2;
        h2_block(st);
    }
    return (ssize_t)taken;
}

int h2_trailers(struct h2s *s, const struct http_field *f, unsigned n)
{
    struct stream *st = (struct stream *)s;
    struct h2c *c = s->conn;
    struct nvs v;
    int rc;

    if (!takes_body(st))
        return -1;
    v.n = 0;
    v.full = false;
    for (unsigned i = 0; i < n; i++)
        if (!f[i].dropped && http_trailer_allowed(&f[i]))
            put(&v, f[i].name, f[i].value);
    if (v.full)
        return -1;
    if (v.n == 0)
        return h2_write(s, NULL, 0, true) < 0 ? -1 : 0;
    st->no_end_stream = true;
    if (st->kept.n)
        push(st, true);
    else
        offer(st, NULL, 0, true, false);
    st->want_eof = true;
    if (c->dead)
        return -1;
    rc = nghttp2_submit_trailer(c->ng, s->id, v.nv, v.n);
    h2_said(c, rc);
    return rc == 0 ? 0 : -1;
}

bool h2_end_left(struct h2s *s)
{
    const struct stream *st = (const struct stream *)s;

    if (!st->end_sent)
        h2_pump(s->conn); /* trailers are only submitted */
    return st->end_sent;
}

/* ---- flow control and resets ----------------------------------------------------------------- */

void h2_consume(struct h2s *s, size_t n)
{
    struct stream *st = (struct stream *)s;

    if (n > st->unconsumed)
        n = st->unconsumed;
    if (n == 0 || st->closed || s->conn->dead)
        return;
    st->unconsumed -= n;
    nghttp2_session_consume_stream(s->conn->ng, s->id, n);
    h2_repay(st, st->unconsumed);
}

void h2_repay(struct stream *st, size_t n)
{
    struct h2c *c = st->pub.conn;

    if (st->owed <= n)
        return;
    if (!c->dead)
        nghttp2_session_consume_connection(c->ng, st->owed - n);
    st->owed = n;
}

/* One at a time: a peer that acknowledges none does not make us keep many. */
static void tell_window(struct h2c *c)
{
    nghttp2_settings_entry s = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                c->tight ? c->lim->tight_window : c->lim->stream_window};

    if (c->dead || c->settings_unacked || c->tight == c->tight_told)
        return;
    c->tight_told = c->tight;
    c->settings_unacked = 1;
    h2_said(c, nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, &s, 1));
}

void h2_settings_acked(struct h2c *c)
{
    c->settings_unacked = 0;
    if (c->lim->tight_window)
        tell_window(c);
}

void h2_tighten(struct h2c *c, bool on)
{
    struct stream *st;

    c->tight = on;
    if (c->lim->tight_window) {
        tell_window(c);
    } else if (!on) {
        TAILQ_FOREACH (st, &c->streams, link)
            h2_repay(st, 0);
    }
}

void h2_reset(struct h2s *s, enum h2_code code)
{
    struct stream *st = (struct stream *)s;

    if (code == H2_NO_ERROR && !st->closed && !s->conn->dead)
        h2_pump(s->conn);
    if (st->closed || st->local_reset || s->conn->dead)
        return;
    st->local_reset = true;
    st->muted = true;
    h2_unkeep(st);
    /* RFC 9113 8.1: behind a response that came before the request was whole.  nghttp2 would drop
     * what still waits of it for want of room, a head without a body or trailers. */
    if (code == H2_NO_ERROR && !st->end_sent && (st->local_end || st->want_eof)) {
        st->reset_at_end = true;
        h2_repay(st, 0);
        return;
    }
    h2_said(s->conn,
            nghttp2_submit_rst_stream(s->conn->ng, NGHTTP2_FLAG_NONE, s->id, (uint32_t)code));
}
