/* h2_cb.c - what nghttp2 calls while it reads and writes.
 *
 * None of these calls the user: they queue events, which are told when nghttp2 has returned.
 */
#include "common/http/h2_int.h"

static struct stream *find(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

/* ---- heads ----------------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    struct h2c *c = user;
    struct stream *st = find(ng, f->hd.stream_id);

    if (f->hd.type != NGHTTP2_HEADERS)
        return 0;
    c->walk.frames--;
    c->mid_head = true;
    c->head_ms = c->now_ms;
    c->head_decoded = 0;
    if (!st && c->server && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
        st = h2_stream_new(c, f->hd.stream_id);
        if (!st)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        st->opened = true;
        c->last_id = f->hd.stream_id;
        nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, st);
    }
    if (!st || st->muted)
        return 0;
    st->building = h2_head_new(c->pool, c->server);
    return st->building ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A field of the dynamic table is named by one byte and judged by its length: three kilobytes may
 * cost what twelve megabytes do.  What is a little too large is decoded to its end, for HPACK's
 * sake, and answered 431; above so many times the limit the connection ends. */
#define HEAD_TIMES     4
#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */

static int on_header(nghttp2_session *ng, const nghttp2_frame *f, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    struct h2c *c = user;
    struct stream *st = find(ng, f->hd.stream_id);
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);

    c->head_decoded += n.len + v.len + FIELD_OVERHEAD;
    if (c->head_decoded > (size_t)HEAD_TIMES * c->lim->header_bytes) {
        h2_fail(c, H2_E_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest is not looked at */
    }
    if (!st || !st->building || st->too_large)
        return 0;
    switch (h2_head_add(st->building, c->lim, slice_of((char *)n.base, n.len),
                        slice_of((char *)v.base, v.len))) {
    case H2_ADDED:
        return 0;
    case H2_ADD_TOO_LARGE:
        st->too_large = true; /* the rest is decoded, for HPACK's sake, and forgotten */
        return 0;
    case H2_ADD_BAD:
        st->bad_field = true;
        return 0;
    case H2_ADD_NOMEM:
        break;
    }
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2 would leave the field out; RFC 9113 8.2.1 calls the message malformed */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *f, nghttp2_rcbuf *name,
                             nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void reset(struct stream *st, uint32_t code, int fault)
{
    h2_said(st->pub.conn,
            nghttp2_submit_rst_stream(st->pub.conn->ng, NGHTTP2_FLAG_NONE, st->pub.id, code));
    h2_refused(st, fault);
}

/* only a refused head is kept, to be told of */
static void drop_trailers(struct stream *st)
{
    h2_head_free(st->building);
    st->building = NULL;
}

static void refuse_large(struct stream *st)
{
    if (st->final_head)
        reset(st, NGHTTP2_ENHANCE_YOUR_CALM, FAULT_TRAILERS_LARGE);
    else if (st->pub.conn->server && h2_send_431(st) == 0)
        h2_refused(st, FAULT_HEAD_LARGE);
    else
        reset(st, NGHTTP2_ENHANCE_YOUR_CALM, FAULT_HEAD_LARGE);
}

/* the complete block: a request, a response of either kind, or trailers.  0, or enum http_fault */
static int judge(struct stream *st, struct h2_head *hh, bool end)
{
    struct h2c *c = st->pub.conn;
    int bad;

    if (st->bad_field)
        return FAULT_PSEUDO;
    if (st->final_head)
        return h2_head_trailers(hh, c->lim);
    if (c->server) {
        bad = h2_head_request(hh, end);
        st->method = (uint8_t)hh->h.method;
        st->final_head = true;
        return bad;
    }
    bad = h2_head_response(hh, st->method, end);
    st->final_head = hh->h.status >= 200;
    if (!bad && !st->final_head && ++st->infos > c->lim->info_heads)
        return FAULT_INFORMATIONAL;
    return bad;
}

static int headers_received(struct stream *st, const nghttp2_frame *f)
{
    struct h2c *c = st->pub.conn;
    bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM, trailers = st->final_head;
    struct h2_head *hh = st->building;
    struct event *ev;
    int bad;

    st->remote_end |= end;
    if (!hh || st->muted)
        return 0;
    bad = st->too_large ? 0 : judge(st, hh, end);
    if (st->too_large)
        refuse_large(st);
    else if (bad)
        reset(st, NGHTTP2_PROTOCOL_ERROR, bad);
    if (st->muted) {
        if (trailers)
            drop_trailers(st);
        return 0;
    }
    st->building = NULL;
    ev = h2_event(c, trailers ? EV_TRAILERS : EV_HEAD, st);
    if (!ev) {
        h2_head_free(hh);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    ev->head = hh;
    ev->end = end;
    return 0;
}

/* ---- other frames ---------------------------------------------------------------------------- */

static int data_received(struct stream *st, const nghttp2_frame *f)
{
    if (!st->final_head && !st->muted) /* RFC 9113 8.1: a body without a head */
        reset(st, NGHTTP2_PROTOCOL_ERROR, FAULT_MALFORMED);
    if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        if (f->hd.length == f->data.padlen)
            h2_count_control(st->pub.conn);
        return 0;
    }
    st->remote_end = true;
    if (!st->muted && !h2_event(st->pub.conn, EV_END, st))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}

void h2_count_window(struct h2c *c)
{
    if (c->window_updates)
        c->window_updates--;
    else
        h2_count_control(c);
}

static void window_update(struct h2c *c, struct stream *st)
{
    c->walk.windows--;
    h2_count_window(c);
    if (st)
        h2_unblock(st);
    else
        c->unblock_due = true; /* once for all such frames of a read: there may be many */
}

static void settings_received(struct h2c *c, const nghttp2_frame *f)
{
    if (f->hd.flags & NGHTTP2_FLAG_ACK) {
        h2_settings_acked(c);
        return;
    }
    h2_count_control(c);
    c->unblock_due = true;
    h2_event(c, EV_SETTINGS, NULL);
}

static const uint8_t ping_user[8] = "fsm-ping", ping_drain[8] = "fsmdrain";

/* gRPC measures the bandwidth with a PING in each round trip of what it receives: as many as there
 * were heads and pieces of bodies are no flood. */
static void count_ping(struct h2c *c)
{
    if (c->pings_paid)
        c->pings_paid--;
    else
        h2_count_control(c);
}

/* A second's worth at most is saved up: a peer that was sent much may not flood for as long. */
static void pay_ping(struct h2c *c)
{
    if (c->pings_paid < c->lim->control_per_s)
        c->pings_paid++;
}

static void ping_received(struct h2c *c, const nghttp2_frame *f)
{
    if (!(f->hd.flags & NGHTTP2_FLAG_ACK)) {
        count_ping(c);
        return;
    }
    if (c->pings == 0) {
        h2_count_control(c);
        return;
    }
    c->pings--;
    if (memcmp(f->ping.opaque_data, ping_drain, 8) == 0 && c->drain_sent) {
        /* everything the peer sent before it knew of the first GOAWAY has arrived */
        h2_said(c, nghttp2_submit_goaway(c->ng, NGHTTP2_FLAG_NONE,
                                         nghttp2_session_get_last_proc_stream_id(c->ng),
                                         NGHTTP2_NO_ERROR, NULL, 0));
    } else if (memcmp(f->ping.opaque_data, ping_user, 8) == 0) {
        h2_event(c, EV_PONG, NULL);
    }
}

void h2_ping(struct h2c *c)
{
    if (!c->dead)
        h2_said(c, nghttp2_submit_ping(c->ng, NGHTTP2_FLAG_NONE, ping_user));
}

void h2_drain(struct h2c *c)
{
    int rc;

    if (c->dead || c->draining)
        return;
    c->draining = true;
    if (c->server) {
        rc = nghttp2_submit_shutdown_notice(c->ng);
        if (rc == 0)
            rc = nghttp2_submit_ping(c->ng, NGHTTP2_FLAG_NONE, ping_drain);
        c->drain_sent = true;
    } else {
        rc = nghttp2_submit_goaway(c->ng, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
    }
    h2_said(c, rc);
}

static void goaway_received(struct h2c *c, const nghttp2_frame *f)
{
    struct event *ev;

    if (c->goaway_received)
        h2_count_control(c);
    c->goaway_received = true;
    ev = h2_event(c, EV_GOAWAY, NULL);
    if (ev)
        ev->code = f->goaway.error_code;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    struct h2c *c = user;
    struct stream *st = f->hd.stream_id ? find(ng, f->hd.stream_id) : NULL;

    switch (f->hd.type) {
    case NGHTTP2_DATA:
        return st ? data_received(st, f) : 0;
    case NGHTTP2_HEADERS:
        c->mid_head = false;
        return st ? headers_received(st, f) : 0;
    case NGHTTP2_RST_STREAM:
        h2_count_reset(c);
        if (st)
            st->peer_reset = true;
        return 0;
    case NGHTTP2_WINDOW_UPDATE:
        window_update(c, st);
        return 0;
    case NGHTTP2_SETTINGS:
        settings_received(c, f);
        return 0;
    case NGHTTP2_PING:
        ping_received(c, f);
        return 0;
    case NGHTTP2_GOAWAY:
        goaway_received(c, f);
        return 0;
    default:
        return 0;
    }
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    struct h2c *c = user;

    if (hd->type == NGHTTP2_DATA) {
        c->walk.data -= (int64_t)hd->length;
        c->walk.frames -= hd->length == 0;
    } else if (hd->type == NGHTTP2_HEADERS && h2_is_stray(c, hd->stream_id)) {
        h2_fail(c, H2_E_PROTOCOL, NGHTTP2_STREAM_CLOSED);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t n, void *user)
{
    struct h2c *c = user;
    struct stream *st = find(ng, id);
    struct event *ev;

    if (!st || st->muted) {
        nghttp2_session_consume(ng, id, n);
        return 0;
    }
    ev = h2_event(c, EV_DATA, st);
    if (!ev)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    ev->data = slice_of((const char *)data, n);
    st->unconsumed += n;
    /* Credit on the connection comes back at once: one stream whose reader is slow must not stop
     * the others.  What a peer can make us keep is bounded by the windows of its streams; when
     * memory is short that is too much. */
    if (c->tight && !c->lim->tight_window)
        st->owed += n;
    else
        nghttp2_session_consume_connection(ng, n);
    return 0;
}

/* Streams that were opened before the peer had read our SETTINGS (RFC 9113 5.1.2): nghttp2 refuses
 * what is too many only until these are acknowledged.  That is no fault of the peer's; so many cost
 * less than those that are served. */
#define EARLY_REFUSALS 1024

static void refused_early(struct h2c *c)
{
    if (++c->refusals > EARLY_REFUSALS)
        h2_count_reset(c);
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *f, int err, void *user)
{
    struct stream *st = f->hd.stream_id ? find(ng, f->hd.stream_id) : NULL;
    bool http = err == NGHTTP2_ERR_HTTP_HEADER || err == NGHTTP2_ERR_HTTP_MESSAGING;

    if (f->hd.type == NGHTTP2_HEADERS)
        ((struct h2c *)user)->mid_head = false; /* no on_frame_recv comes for it */
    if (err == NGHTTP2_ERR_REFUSED_STREAM)
        refused_early(user);
    if (!st)
        return 0;
    if (st->final_head)
        drop_trailers(st);
    h2_refused(st, http ? FAULT_MALFORMED : FAULT_FRAME);
    return 0;
}

/* ---- streams --------------------------------------------------------------------------------- */

/* Did nghttp2 find the stream malformed without telling?  So it does where the body is not as long
 * as Content-Length said. */
static bool nghttp2_refused(const struct stream *st, uint32_t code)
{
    return code == NGHTTP2_PROTOCOL_ERROR && !st->refused && !st->peer_reset && !st->local_reset;
}

/* Without memory the session has failed, and h2_free tells it: nghttp2 would leak what it was about
 * to send if it were told here. */
static void closed(struct stream *st, uint32_t code)
{
    struct h2c *c = st->pub.conn;
    struct event *ev;

    if (st->closed)
        return;
    if (nghttp2_refused(st, code))
        h2_refused(st, FAULT_MALFORMED);
    h2_repay(st, 0);
    st->closed = true;
    st->unconsumed = 0;
    h2_unkeep(st);
    ev = h2_event(c, EV_CLOSE, st);
    /* a malformed message with END_STREAM closes the stream before our reset does */
    if (ev)
        ev->code = st->refused && code == NGHTTP2_NO_ERROR ? NGHTTP2_PROTOCOL_ERROR : code;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct stream *st = find(ng, id);

    if (st)
        closed(st, code);
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void headers_sent(struct stream *st)
{
    if (!st->opened) {
        st->opened = true;
        h2_unblock(st);
    }
}

/* a reset submitted earlier would have taken the place of what waited */
static void end_sent(struct stream *st)
{
    st->end_sent = true;
    if (st->reset_at_end && !st->remote_end)
        h2_said(st->pub.conn, nghttp2_submit_rst_stream(st->pub.conn->ng, NGHTTP2_FLAG_NONE,
                                                        st->pub.id, NGHTTP2_NO_ERROR));
}

static void reset_sent(struct h2c *c, const struct stream *st, int32_t id, uint32_t code)
{
    bool early = !st && code == NGHTTP2_REFUSED_STREAM; /* counted, see refused_early() */

    if (!early && (!st || !st->local_reset))
        h2_count_reset(c); /* an answer to what the peer did */
    if (c->n_reset_ids < RESETS_KEPT)
        c->reset_ids[c->n_reset_ids] = id;
    c->n_reset_ids++;
}

/* One for each KiB, of what a peer may have on its way to it and not have read. */
#define WINDOW_UPDATES_MOST 32768

static void pay_window_updates(struct h2c *c, size_t bytes)
{
    c->window_updates += 2 + (uint32_t)bytes / 1024;
    if (c->window_updates > WINDOW_UPDATES_MOST)
        c->window_updates = WINDOW_UPDATES_MOST;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    struct h2c *c = user;
    struct stream *st;

    switch (f->hd.type) {
    case NGHTTP2_DATA:
        pay_ping(c);
        pay_window_updates(c, f->hd.length);
        st = f->hd.flags & NGHTTP2_FLAG_END_STREAM ? find(ng, f->hd.stream_id) : NULL;
        if (st)
            end_sent(st);
        return 0;
    case NGHTTP2_HEADERS:
        pay_ping(c);
        st = find(ng, f->hd.stream_id);
        if (st)
            headers_sent(st);
        if (st && f->hd.flags & NGHTTP2_FLAG_END_STREAM)
            end_sent(st);
        return 0;
    case NGHTTP2_RST_STREAM:
        reset_sent(c, find(ng, f->hd.stream_id), f->hd.stream_id, f->rst_stream.error_code);
        return 0;
    case NGHTTP2_PING:
        c->pings += !(f->hd.flags & NGHTTP2_FLAG_ACK);
        return 0;
    case NGHTTP2_GOAWAY:
        c->final_goaway |= f->goaway.last_stream_id != INT32_MAX;
        if (f->goaway.error_code != NGHTTP2_NO_ERROR)
            h2_fail(c, H2_E_PROTOCOL, 0);
        return 0;
    default:
        return 0;
    }
}

/* a request that could not leave any more */
static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *f, int err, void *user)
{
    struct h2c *c = user;
    struct stream *st;

    if (f->hd.type != NGHTTP2_HEADERS || f->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    TAILQ_FOREACH (st, &c->streams, link) {
        if (st->pub.id == f->hd.stream_id) {
            closed(st, st->local_reset ? NGHTTP2_CANCEL : NGHTTP2_REFUSED_STREAM);
            return 0;
        }
    }
    return 0;
}

static int send_data(nghttp2_session *ng, nghttp2_frame *f, const uint8_t *head, size_t n,
                     nghttp2_data_source *source, void *user)
{
    struct h2c *c = user;
    struct stream *st = source->ptr;

    if (h2_out(c, head, 9) < 0 || h2_out(c, st->src, n) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    st->src += n;
    st->src_n -= n;
    return 0;
}

nghttp2_session_callbacks *h2_callbacks_new(void)
{
    nghttp2_session_callbacks *cb;

    if (nghttp2_session_callbacks_new(&cb) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback2(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    return cb;
}
