/* h2.c - an HTTP/2 session: input to events, events to callbacks, output pages, windows, rates.
 *
 * nghttp2 may not be called from its own callbacks to read or write, and users want to answer
 * from theirs.  So nghttp2's callbacks only queue events (h2_cb.c), in order, and h2_recv and
 * h2_output tell them once nghttp2 has returned.  DATA events point into the input, which is
 * still there then.  A struct stream outlives nghttp2's stream until its close event was told.
 */
#include "common/http/h2_int.h"

#include "common/base/bug.h"

#define RECV_STEP ((size_t)16384) /* input between two dispatches: bounds the queue of events */

const struct h2_limits h2_limits_default = H2_LIMITS_DEFAULT;

const char *h2_error_name(int err)
{
    static const char *const names[] = {"",
#define X(id, name) name,
                                        H2_ERRORS(X)
#undef X
    };

    return err < 0 && (size_t)-err < sizeof(names) / sizeof(names[0]) ? names[-err] : "";
}

const char *h2_code_name(uint32_t code)
{
    return nghttp2_http2_strerror(code);
}

const char *h2_end_name(enum h2_end e)
{
    static const char *const names[] = {"done", "peer_reset", "local_reset", "unprocessed",
                                        "connection_lost"};

    return (unsigned)e < sizeof(names) / sizeof(names[0]) ? names[e] : "";
}

void *h2_user(const struct h2c *c)
{
    return c->user;
}

void h2_fail(struct h2c *c, int err, uint32_t goodbye)
{
    if (c->failed)
        return;
    c->failed = err;
    c->goodbye = goodbye;
}

/* ---- rates ----------------------------------------------------------------------------------- */

static void rates_at(struct h2c *c, uint64_t now_ms)
{
    c->now_ms = now_ms;
    if (now_ms - c->window_ms < 1000)
        return;
    c->window_ms = now_ms;
    c->resets = 0;
    c->controls = 0;
}

void h2_count_reset(struct h2c *c)
{
    if (++c->resets > c->lim->resets_per_s)
        h2_fail(c, H2_E_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
}

void h2_count_control(struct h2c *c)
{
    if (++c->controls > c->lim->control_per_s)
        h2_fail(c, H2_E_FLOOD, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- streams and events ---------------------------------------------------------------------- */

struct stream *h2_stream_new(struct h2c *c, int32_t id)
{
    struct stream *st = h2_alloc(c->pool, sizeof(*st));

    if (!st)
        return NULL;
    memset(st, 0, sizeof(*st));
    st->pub.conn = c;
    st->pub.id = id;
    TAILQ_INSERT_TAIL(&c->streams, st, link);
    c->n_streams++;
    return st;
}

static void stream_free(struct stream *st)
{
    struct h2c *c = st->pub.conn;

    h2_unkeep(st);
    if (st->blocked)
        TAILQ_REMOVE(&c->blocked, st, blocked_link);
    TAILQ_REMOVE(&c->streams, st, link);
    c->n_streams--;
    h2_head_free(st->building);
    h2_release(c->pool, st);
}

struct event *h2_event(struct h2c *c, enum event_type type, struct stream *st)
{
    struct event *ev = h2_alloc(c->pool, sizeof(*ev));

    if (!ev) {
        h2_fail(c, H2_E_NOMEM, 0);
        return NULL;
    }
    memset(ev, 0, sizeof(*ev));
    ev->type = type;
    ev->st = st;
    STAILQ_INSERT_TAIL(&c->events, ev, link);
    return ev;
}

void h2_block(struct stream *st)
{
    if (st->blocked || st->closed)
        return;
    st->blocked = true;
    TAILQ_INSERT_TAIL(&st->pub.conn->blocked, st, blocked_link);
}

/* may a blocked stream go on?  If only the output is in the way, it is looked at again when that
 * was written. */
static bool may_go_on(struct stream *st)
{
    struct h2c *c = st->pub.conn;

    if (h2_writable(&st->pub) > 0)
        return true;
    c->out_was_full |= c->out_len >= c->lim->out_bytes;
    return false;
}

void h2_unblock(struct stream *st)
{
    if (!st->blocked || st->writable_queued || !may_go_on(st))
        return;
    st->writable_queued = h2_event(st->pub.conn, EV_WRITABLE, st) != NULL;
}

void h2_unblock_all(struct h2c *c)
{
    struct stream *st;

    c->unblock_due = false;
    TAILQ_FOREACH (st, &c->blocked, blocked_link)
        h2_unblock(st);
}

void h2_refused(struct stream *st, int fault)
{
    struct event *ev = h2_event(st->pub.conn, EV_REFUSED, st);

    st->muted = st->refused = true;
    st->pub.fault = fault;
    if (ev)
        ev->fault = fault;
}

static enum h2_end how_it_ended(const struct stream *st, uint32_t code)
{
    bool client = !st->pub.conn->server;

    if (st->local_reset)
        return H2_END_LOCAL_RESET;
    if (client && code == NGHTTP2_REFUSED_STREAM)
        return H2_END_UNPROCESSED;
    if (st->peer_reset)
        return code == NGHTTP2_NO_ERROR && st->remote_end ? H2_END_DONE : H2_END_PEER_RESET;
    return code == NGHTTP2_NO_ERROR ? H2_END_DONE : H2_END_LOCAL_RESET;
}

static void tell_close(struct stream *st, enum h2_end how, uint32_t code)
{
    if (st->delivered)
        st->pub.conn->cb->close(&st->pub, how, code);
    stream_free(st);
}

static void tell_head(struct stream *st, struct event *ev)
{
    struct h2c *c = st->pub.conn;
    struct h2_head *hh = ev->head;

    ev->head = NULL;
    if (st->muted || (c->server && st->closed)) { /* reset before anybody saw it */
        if (st->refused && !st->building && !st->delivered)
            st->building = hh;
        else
            h2_head_free(hh);
        return;
    }
    st->delivered = true;
    c->cb->head(&st->pub, hh, ev->end);
}

static void tell_writable(struct stream *st)
{
    struct h2c *c = st->pub.conn;

    st->writable_queued = false;
    if (!st->blocked || st->closed || !may_go_on(st))
        return;
    st->blocked = false;
    TAILQ_REMOVE(&c->blocked, st, blocked_link);
    c->cb->writable(&st->pub);
}

static void tell_data(struct stream *st, const struct event *ev)
{
    struct slice data = ev->data;

    if (!st->delivered || st->muted) {
        h2_consume(&st->pub, data.n);
        return;
    }
    ev = STAILQ_NEXT(ev, link);
    st->end_told = ev && ev->type == EV_END && ev->st == st;
    st->pub.conn->cb->data(&st->pub, data, st->end_told);
}

static void tell_refused(struct stream *st, int fault)
{
    struct h2c *c = st->pub.conn;
    bool unseen = c->server && !st->delivered && st->building;

    if (c->cb->refused)
        c->cb->refused(c, st->pub.id, (enum http_fault)fault, unseen ? &st->building->h : NULL);
    if (!unseen)
        return;
    h2_head_free(st->building); /* the stream may stay until the client takes the answer */
    st->building = NULL;
}

static void tell_stream(struct stream *st, struct event *ev)
{
    const struct h2_callbacks *cb = st->pub.conn->cb;
    bool told = st->delivered && !st->muted;

    switch (ev->type) {
    case EV_HEAD:
        tell_head(st, ev);
        return;
    case EV_DATA:
        tell_data(st, ev);
        return;
    case EV_TRAILERS:
        if (told)
            cb->trailers(&st->pub, ev->head->h.fields, ev->head->h.n_fields);
        return;
    case EV_END:
        if (told && !st->end_told)
            cb->end(&st->pub);
        return;
    case EV_WRITABLE:
        if (told)
            tell_writable(st);
        return;
    case EV_REFUSED:
        tell_refused(st, ev->fault);
        return;
    case EV_CLOSE:
        tell_close(st, how_it_ended(st, ev->code), ev->code);
        return;
    default:
        BUG_ON(true);
    }
}

static void tell_conn(struct h2c *c, const struct event *ev)
{
    switch (ev->type) {
    case EV_GOAWAY:
        if (c->cb->goaway)
            c->cb->goaway(c, ev->code);
        return;
    case EV_SETTINGS:
        if (c->cb->settings)
            c->cb->settings(c);
        return;
    case EV_PONG:
        if (c->cb->pong)
            c->cb->pong(c);
        return;
    default:
        BUG_ON(true);
    }
}

static void event_free(struct h2c *c, struct event *ev)
{
    if (ev->type == EV_HEAD || ev->type == EV_TRAILERS)
        h2_head_free(ev->head);
    h2_release(c->pool, ev);
}

static void dispatch(struct h2c *c)
{
    BUG_ON(c->dispatching);
    c->dispatching = true;
    while (!STAILQ_EMPTY(&c->events)) {
        struct event *ev = STAILQ_FIRST(&c->events);

        if (ev->st)
            tell_stream(ev->st, ev);
        else
            tell_conn(c, ev);
        STAILQ_REMOVE_HEAD(&c->events, link);
        event_free(c, ev);
    }
    c->dispatching = false;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static nghttp2_option *options(const struct h2_limits *lim)
{
    nghttp2_option *o;

    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_continuations(o, lim->continuations);
    /* resets are counted here, together with those that the peer makes us send */
    nghttp2_option_set_stream_reset_rate_limit(o, UINT64_MAX / 2, UINT64_MAX / 2);
    return o;
}

static int begin(struct h2c *c)
{
    const struct h2_limits *lim = c->lim;
    nghttp2_settings_entry s[4] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, lim->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, lim->header_bytes},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };

    if (c->server)
        s[3] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, lim->max_streams};
    if (nghttp2_submit_settings(c->ng, NGHTTP2_FLAG_NONE, s, 4) != 0)
        return -1;
    c->settings_unacked = 1;
    return nghttp2_session_set_local_window_size(c->ng, NGHTTP2_FLAG_NONE, 0,
                                                 (int32_t)lim->conn_window);
}

static int session_new(struct h2c *c)
{
    nghttp2_option *o = options(c->lim);
    int r;

    if (!o)
        return -1;
    c->pool->making = true;
    if (c->server)
        r = nghttp2_session_server_new3(&c->ng, c->pool->callbacks, c, o, &c->pool->mem);
    else
        r = nghttp2_session_client_new3(&c->ng, c->pool->callbacks, c, o, &c->pool->mem);
    c->pool->making = false;
    nghttp2_option_del(o);
    return r == 0 ? begin(c) : -1;
}

struct h2c *h2_new(struct h2_pool *pool, enum h2_side side, const struct h2_limits *limits,
                   const struct h2_callbacks *cb, void *user)
{
    struct h2c *c = h2_alloc(pool, sizeof(*c));

    if (!c)
        return NULL;
    memset(c, 0, sizeof(*c));
    c->pool = pool;
    c->lim = limits ? limits : &h2_limits_default;
    c->cb = cb;
    c->user = user;
    c->server = side == H2_SERVER;
    c->walk.left = c->server ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    c->window_updates = 100; /* before anything was sent: connection windows opened at start */
    BUG_ON(c->lim->header_count > HTTP_FIELDS_MAX);
    TAILQ_INIT(&c->streams);
    TAILQ_INIT(&c->blocked);
    STAILQ_INIT(&c->events);
    TAILQ_INIT(&c->out);
    if (session_new(c) < 0) {
        h2_free(c);
        return NULL;
    }
    h2_pump(c); /* the client's preface is in the buffer that sessions share */
    return c;
}

static void drop_output(struct h2c *c)
{
    while (!TAILQ_EMPTY(&c->out)) {
        struct h2_page *pg = TAILQ_FIRST(&c->out);

        TAILQ_REMOVE(&c->out, pg, link);
        h2_release(c->pool, pg);
    }
    c->out_len = 0;
}

void h2_free(struct h2c *c)
{
    struct stream *st;

    if (!c)
        return;
    c->dead = true;
    nghttp2_session_del(c->ng);
    c->ng = NULL;
    while (!STAILQ_EMPTY(&c->events)) {
        struct event *ev = STAILQ_FIRST(&c->events);

        STAILQ_REMOVE_HEAD(&c->events, link);
        if (ev->type == EV_CLOSE) /* it ended before the connection did */
            tell_close(ev->st, how_it_ended(ev->st, ev->code), ev->code);
        event_free(c, ev);
    }
    while ((st = TAILQ_FIRST(&c->streams))) {
        st->closed = true;
        tell_close(st, H2_END_CONN, NGHTTP2_INTERNAL_ERROR);
    }
    drop_output(c);
    h2_release(c->pool, c);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* a page with room, or NULL */
static struct h2_page *last_page(struct h2c *c)
{
    struct h2_page *pg = TAILQ_LAST(&c->out, h2_pages);

    if (pg && pg->end < H2_PAGE_ROOM)
        return pg;
    pg = h2_alloc(c->pool, H2_PAGE);
    if (!pg)
        return NULL;
    pg->start = pg->end = 0;
    TAILQ_INSERT_TAIL(&c->out, pg, link);
    return pg;
}

int h2_out(struct h2c *c, const void *p, size_t n)
{
    const char *from = p;

    while (n) {
        struct h2_page *pg = last_page(c);
        size_t room, part;

        if (!pg)
            return -1;
        room = H2_PAGE_ROOM - pg->end;
        part = n < room ? n : room;
        memcpy(pg->data + pg->end, from, part);
        pg->end += (uint32_t)part;
        c->out_len += part;
        from += part;
        n -= part;
    }
    return 0;
}

static void broken(struct h2c *c, int ng_err)
{
    c->dead = true;
    switch (ng_err) {
    case NGHTTP2_ERR_NOMEM:
    case NGHTTP2_ERR_CALLBACK_FAILURE: /* ours fail for want of memory only */
        h2_fail(c, H2_E_NOMEM, 0);
        return;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        h2_fail(c, H2_E_PREFACE, 0);
        return;
    case NGHTTP2_ERR_FLOODED:
        h2_fail(c, H2_E_FLOOD, 0);
        return;
    default:
        h2_fail(c, H2_E_PROTOCOL, 0);
        return;
    }
}

void h2_said(struct h2c *c, int rc)
{
    if (rc == NGHTTP2_ERR_NOMEM && !c->dead)
        broken(c, rc);
}

/* room for control frames beyond what h2_write may fill */
static bool out_is_full(const struct h2c *c)
{
    return c->out_len >= (size_t)c->lim->out_bytes + H2_PAGE;
}

bool h2_congested(const struct h2c *c)
{
    return c->server && !c->dead && out_is_full(c) &&
           nghttp2_session_get_outbound_queue_size(c->ng) > (size_t)2 * c->lim->max_streams;
}

void h2_pump_for(struct h2c *c, const struct stream *st)
{
    while (!c->dead && (!out_is_full(c) || (st && st->src_n))) {
        const uint8_t *p;
        ssize_t n = NGHTTP2_ERR_NOMEM;

        if (h2_pool_reserve(c->pool, c->n_streams) == 0)
            n = nghttp2_session_mem_send(c->ng, &p);
        if (n == 0)
            return;
        if (n < 0 || h2_out(c, p, (size_t)n) < 0)
            broken(c, n < 0 ? (int)n : NGHTTP2_ERR_NOMEM);
    }
}

static int list_output(const struct h2c *c, struct iovec *iov, int n)
{
    struct h2_page *pg;
    int i = 0;

    TAILQ_FOREACH (pg, &c->out, link) {
        if (i == n)
            break;
        iov[i++] = (struct iovec){pg->data + pg->start, pg->end - pg->start};
    }
    return i;
}

int h2_output(struct h2c *c, struct iovec *iov, int n)
{
    BUG_ON(c->kept); /* whose memory may be gone by now */
    if (c->out_was_full && c->out_len < c->lim->out_bytes / 2) {
        c->out_was_full = false;
        h2_unblock_all(c);
    }
    h2_pump(c);
    while (!STAILQ_EMPTY(&c->events)) {
        dispatch(c);
        h2_pump(c);
    }
    return list_output(c, iov, n);
}

int h2_last_words(struct h2c *c, struct iovec *iov, int n)
{
    h2_pump(c); /* behind a final GOAWAY nghttp2 says nothing more, not even a reset */
    if (!c->final_goaway)
        h2_terminate(c, H2_NO_ERROR);
    h2_pump(c);
    return list_output(c, iov, n);
}

void h2_sent(struct h2c *c, size_t n)
{
    BUG_ON(n > c->out_len);
    c->out_len -= n;
    while (n) {
        struct h2_page *pg = TAILQ_FIRST(&c->out);
        size_t part = pg->end - pg->start;

        if (n < part) {
            pg->start += (uint32_t)n;
            return;
        }
        n -= part;
        TAILQ_REMOVE(&c->out, pg, link);
        h2_release(c->pool, pg);
    }
}

bool h2_wants_write(const struct h2c *c)
{
    if (c->out_len || !STAILQ_EMPTY(&c->events))
        return true;
    return !c->dead && nghttp2_session_want_write(c->ng);
}

bool h2_draining(const struct h2c *c)
{
    return c->draining;
}

bool h2_done(const struct h2c *c)
{
    if (c->out_len)
        return false;
    if (c->dead || c->failed)
        return true;
    return !nghttp2_session_want_read(c->ng) && !nghttp2_session_want_write(c->ng);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void say_goodbye(struct h2c *c)
{
    if (c->dead || !c->goodbye)
        return;
    h2_said(c, nghttp2_session_terminate_session(c->ng, c->goodbye));
    c->goodbye = 0;
    h2_pump(c);
}

int h2_recv(struct h2c *c, uint64_t now_ms, const void *p, size_t n)
{
    const uint8_t *from = p;

    rates_at(c, now_ms);
    while (n && !c->dead && !c->failed) {
        size_t step = n < RECV_STEP ? n : RECV_STEP;
        ssize_t r;

        h2_walk(c, from, step);
        r = c->failed ? 0 : nghttp2_session_mem_recv(c->ng, from, step);
        if (r < 0)
            broken(c, (int)r);
        if (c->unblock_due)
            h2_unblock_all(c);
        h2_pump(c); /* a GOAWAY that nghttp2 queued becomes known here, and resets */
        h2_walked(c);
        say_goodbye(c);
        dispatch(c);
        from += step;
        n -= step;
    }
    return c->failed;
}

/* ---- the connection -------------------------------------------------------------------------- */

bool h2_mid_head(const struct h2c *c, uint64_t *since_ms)
{
    *since_ms = c->head_ms;
    return c->mid_head;
}

unsigned h2_streams(const struct h2c *c)
{
    return c->n_streams;
}

unsigned h2_room(const struct h2c *c)
{
    uint32_t max;

    if (c->dead || c->failed || c->draining || c->goaway_received ||
        !nghttp2_session_check_request_allowed(c->ng))
        return 0;
    max = nghttp2_session_get_remote_settings(c->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    if (max > c->lim->max_streams)
        max = c->lim->max_streams;
    return max > c->n_streams ? max - c->n_streams : 0;
}

void h2_terminate(struct h2c *c, enum h2_code code)
{
    if (!c->dead)
        h2_said(c, nghttp2_session_terminate_session(c->ng, (uint32_t)code));
}
