/* server.c - the HTTP/1.1 server for control traffic.
 *
 * A connection is in one state at a time:
 *   FIRST  nothing has come yet, TLS is not begun  HANDSHAKE  TLS is
 *   HEAD   collecting a request's head            BODY   and its body
 *   WAIT   the request is the user's; nothing is parsed, the input is only watched for its end
 *   REPLY  the reply is being written             LINGER written, our end closed: the peer's bytes
 *                                                        are read away so that no reset eats it
 * step() moves on as far as it can.  A request owns the text it points into, so that it survives
 * its connection when its user is not told that the client went away.  A connection that closed
 * is freed at the end of the turn: callers further up the stack may still look at it.
 */
#include "common/http/server.h"

#include <stdlib.h>
#include <time.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/http/h1.h"
#include "common/http/uri.h"
#include "common/io/conn.h"
#include "common/io/descriptors.h"
#include "common/io/listener.h"

#define IDLE_MS     60000u /* between requests, if nobody says; without progress of a reply */
#define SLOW_MS     15000u
#define LINGER_MS   2000u
#define MAX_BODY    (1024u * 1024)
#define MAX_CONNS   256u
#define EXTRA_CONNS 32u    /* beyond max_conns, told 503 */
#define TELL_MS     10000u /* between two lines in the log about a bound */
#define READ_STEP   16384u
#define READ_TURN   (64u * 1024) /* from one connection before others have their turn */
#define AHEAD_MAX   (64u * 1024) /* pipelined input kept while a request waits */

static const struct h1_limits limits = {.head_bytes = 16384,
                                        .line_bytes = 8192,
                                        .fields = 100,
                                        .ext_bytes = 256,
                                        .ext_total = 4096,
                                        .trailer_bytes = 2048,
                                        .trailers = 16};

enum state { ST_FIRST, ST_HANDSHAKE, ST_HEAD, ST_BODY, ST_WAIT, ST_REPLY, ST_LINGER };

struct http_req {
    struct sconn *sc; /* NULL once the client is gone */
    struct http_head head;
    struct http_field fields[HTTP_FIELDS_MAX];
    char *text; /* owned: what head points into */
    struct buf body;
    struct buf headers; /* of the reply */
    void (*gone)(struct http_req *r, void *arg);
    void *gone_arg;
    char trailer_mem[2048];
    struct http_field trailer_fields[16];
    struct h1_trailers trailers;
};

TAILQ_HEAD(sconn_queue, sconn);

/* one client address */
struct source {
    struct ip ip;
    unsigned n;
    struct sconn_queue idle;
};

struct sconn {
    LIST_ENTRY(sconn) link;
    struct http_server *srv;
    struct source *src;                /* NULL on Unix sockets */
    TAILQ_ENTRY(sconn) idle, src_idle; /* while no request of it is under way; longest first */
    bool is_idle;
    struct conn *conn; /* NULL: closed, freed at the end of the turn */
    enum state state;
    struct timer timer;
    struct loop_job job;
    struct buf in;
    struct h1_parser parser;
    struct h1_body body;
    struct http_req *req; /* HEAD (being parsed) to WAIT */
    struct buf out;
    size_t out_sent;
    size_t pending; /* of out, as counted in the server's sum */
    bool eof;       /* the peer has ended */
    bool close;     /* after the reply */
    bool stepping, step_again;
};

struct http_server {
    struct loop *loop;
    struct listener *listener;
    struct http_server_opts o;
    http_req_cb *cb;
    void *arg;
    unsigned n_conns;
    size_t pending; /* bytes written into out and not sent, over all conns */
    bool freeing;
    bool draining;
    LIST_HEAD(, sconn) conns;
    struct sconn_queue idle;
    struct table *sources; /* struct ip -> struct source */
    uint64_t told_ms;      /* when the log was told of a bound */
};

static void step(struct sconn *sc);

/* ---- requests -------------------------------------------------------------------------------- */

static struct http_req *req_new(struct sconn *sc)
{
    struct http_req *r = xcalloc(1, sizeof(*r));

    r->sc = sc;
    r->head.fields = r->fields;
    return r;
}

static void req_free(struct http_req *r)
{
    if (!r)
        return;
    free(r->text);
    buf_free(&r->body);
    buf_free(&r->headers);
    free(r);
}

/* the request's connection is gone; a user who waits for the request is told, or its reply is
 * awaited and dropped */
static void req_orphan(struct http_req *r)
{
    r->sc = NULL;
    if (!r->gone)
        return;
    r->gone(r, r->gone_arg);
    req_free(r);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void sconn_free(struct loop_job *job)
{
    struct sconn *sc = (struct sconn *)((char *)job - offsetof(struct sconn, job));

    buf_free(&sc->in);
    buf_free(&sc->out);
    free(sc);
}

static void count_pending(struct sconn *sc, size_t now)
{
    sc->srv->pending += now - sc->pending;
    sc->pending = now;
}

static struct slice source_key(const struct ip *ip)
{
    return slice_of((const char *)ip, sizeof(*ip));
}

static struct source *source_of(struct http_server *s, const struct ip *ip)
{
    struct source *src = table_get(s->sources, source_key(ip));

    if (!src) {
        src = xcalloc(1, sizeof(*src));
        src->ip = *ip;
        TAILQ_INIT(&src->idle);
        table_put(s->sources, source_key(ip), src);
    }
    return src;
}

static void set_busy(struct sconn *sc)
{
    if (!sc->is_idle)
        return;
    sc->is_idle = false;
    TAILQ_REMOVE(&sc->srv->idle, sc, idle);
    if (sc->src)
        TAILQ_REMOVE(&sc->src->idle, sc, src_idle);
}

/* the last one of those that may have to go */
static void set_idle(struct sconn *sc)
{
    set_busy(sc);
    sc->is_idle = true;
    TAILQ_INSERT_TAIL(&sc->srv->idle, sc, idle);
    if (sc->src)
        TAILQ_INSERT_TAIL(&sc->src->idle, sc, src_idle);
}

static void leave_source(struct sconn *sc)
{
    struct source *src = sc->src;

    sc->src = NULL;
    if (src && --src->n == 0) {
        struct ip ip = src->ip; /* the key outlives what is freed */

        table_del(sc->srv->sources, source_key(&ip));
    }
}

static void sconn_close(struct sconn *sc)
{
    struct http_req *r = sc->req;

    if (!sc->conn)
        return;
    set_busy(sc);
    leave_source(sc);
    count_pending(sc, 0);
    sc->req = NULL;
    if (r && sc->state == ST_WAIT)
        req_orphan(r);
    else
        req_free(r);
    timer_cancel(&sc->timer);
    conn_close(sc->conn);
    sc->conn = NULL;
    LIST_REMOVE(sc, link);
    sc->srv->n_conns--;
    loop_defer(sc->srv->loop, &sc->job);
}

/* head and what of the body came already, as one write */
static void write_out(struct sconn *sc)
{
    while (sc->conn && sc->out_sent < sc->out.len) {
        ssize_t n = conn_write(sc->conn, sc->out.p + sc->out_sent, sc->out.len - sc->out_sent);

        if (n == CONN_AGAIN)
            return;
        if (n < 0) {
            sconn_close(sc);
            return;
        }
        sc->out_sent += (size_t)n;
        if (sc->state == ST_REPLY)
            timer_set(&sc->timer, IDLE_MS);
    }
}

static void flush(struct sconn *sc)
{
    write_out(sc);
    if (sc->conn)
        count_pending(sc, sc->out.len - sc->out_sent);
}

static bool written(const struct sconn *sc)
{
    return sc->out_sent == sc->out.len;
}

/* ---- replies --------------------------------------------------------------------------------- */

/* RFC 9110 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT" */
static void put_date(struct buf *out)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm t;

    gmtime_r(&now, &t);
    buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[t.tm_wday], t.tm_mday,
               months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void put_reply(struct sconn *sc, const struct http_req *r, unsigned status,
                      const char *content_type, struct slice body)
{
    struct buf *out = &sc->out;
    bool bodyless = status < 200 || status == 204 || status == 304;

    buf_printf(out, "HTTP/1.1 %u %s\r\n", status, http_reason(status));
    put_date(out);
    if (!bodyless)
        buf_printf(out, "Content-Length: %zu\r\n", body.n);
    if (content_type && !bodyless)
        buf_printf(out, "Content-Type: %s\r\n", content_type);
    if (r)
        buf_put_slice(out, buf_slice(&r->headers));
    if (sc->close)
        buf_puts(out, "Connection: close\r\n");
    else if (r && r->head.version == HTTP_V10)
        buf_puts(out, "Connection: keep-alive\r\n");
    buf_puts(out, "\r\n");
    if (!bodyless && !(r && r->head.method == HTTP_M_HEAD))
        buf_put_slice(out, body);
}

/* an answer of our own to what is no request for the user; the connection ends with it */
static void refuse(struct sconn *sc, unsigned status, const char *why)
{
    char text[128];
    struct slice s = slice_of(text, (size_t)snprintf(text, sizeof(text), "%s\n", why));

    log_debug(sc->srv->o.name, "request refused status=%u reason=%s", status, why);
    sc->close = true;
    put_reply(sc, NULL, status, "text/plain; charset=utf-8", s);
    req_free(sc->req);
    sc->req = NULL;
    sc->state = ST_REPLY;
    set_idle(sc);
    flush(sc);
}

void http_req_header(struct http_req *r, const char *name, const char *value)
{
    if (http_is_token(slice_str(name)) && http_is_field_value(slice_str(value)))
        buf_printf(&r->headers, "%s: %s\r\n", name, value);
    else
        log_error("http", "reply header left out: its name or value cannot be sent name=%s", name);
}

void http_reply(struct http_req *r, unsigned status, const char *content_type, struct slice body)
{
    struct sconn *sc = r->sc;

    if (!sc) { /* the client did not wait */
        req_free(r);
        return;
    }
    log_debug(sc->srv->o.name, "request served method=%.*s path=%.*s status=%u",
              SLICE_FMT(r->head.method_text), SLICE_FMT(r->head.path), status);
    sc->close |= !r->head.keep_alive || sc->srv->freeing || sc->srv->draining;
    put_reply(sc, r, status, content_type, body);
    req_free(r);
    sc->req = NULL;
    sc->state = ST_REPLY;
    set_idle(sc);
    timer_set(&sc->timer, IDLE_MS);
    flush(sc);
    step(sc);
}

void http_reply_text(struct http_req *r, unsigned status, const char *fmt, ...)
{
    struct buf b = BUF_INIT;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    http_reply(r, status, "text/plain; charset=utf-8", buf_slice(&b));
    buf_free(&b);
}

void http_reply_json(struct http_req *r, unsigned status, const json_t *body)
{
    char *text = json_dumps(body, JSON_INDENT(2) | JSON_ENCODE_ANY);
    struct buf b = BUF_INIT;

    if (!text) {
        http_reply_text(r, 500, "the answer cannot be written as JSON\n");
        return;
    }
    buf_puts(&b, text);
    buf_putc(&b, '\n');
    free(text);
    http_reply(r, status, "application/json", buf_slice(&b));
    buf_free(&b);
}

/* ---- what the user asks ---------------------------------------------------------------------- */

const struct http_head *http_req_head(const struct http_req *r)
{
    return &r->head;
}

struct slice http_req_path(const struct http_req *r)
{
    return r->head.path;
}

struct slice http_req_body(const struct http_req *r)
{
    return buf_slice(&r->body);
}

const char *http_req_query(const struct http_req *r, const char *name, char *out, size_t size)
{
    return uri_query_get(r->head.query, slice_str(name), out, size) < 0 ? NULL : out;
}

const struct tls_info *http_req_tls(const struct http_req *r)
{
    return r->sc ? tls_conn_info(r->sc->conn) : NULL;
}

const struct ip_port *http_req_peer(const struct http_req *r)
{
    static const struct ip_port nobody;

    return r->sc ? &r->sc->conn->peer : &nobody;
}

void http_req_on_gone(struct http_req *r, void (*fn)(struct http_req *r, void *arg), void *arg)
{
    r->gone = fn;
    r->gone_arg = arg;
}

/* ---- input ----------------------------------------------------------------------------------- */

/* reads some input: true if there may be more now */
static bool read_some(struct sconn *sc)
{
    ssize_t n = conn_read(sc->conn, buf_reserve(&sc->in, READ_STEP), READ_STEP);

    if (n > 0) {
        sc->in.len += (size_t)n;
        sc->in.p[sc->in.len] = '\0';
        return true;
    }
    if (n == 0)
        sc->eof = true;
    else if (n == CONN_ERROR)
        sconn_close(sc);
    return false;
}

/* the head is complete: the request takes the text, what follows stays */
static void head_done(struct sconn *sc, size_t n)
{
    struct buf rest = BUF_INIT;

    buf_append(&rest, sc->in.p + n, sc->in.len - n);
    sc->req->text = sc->in.p;
    sc->in = rest;
    h1_body_init(&sc->body, &sc->req->head, &limits);
    sc->state = ST_BODY;
}

static size_t max_body(const struct sconn *sc)
{
    return sc->srv->o.max_body;
}

static void say_continue(struct sconn *sc)
{
    buf_puts(&sc->out, "HTTP/1.1 100 Continue\r\n\r\n");
    flush(sc);
}

/* 1 progress, 0 more input is needed */
static int step_head(struct sconn *sc)
{
    ssize_t n;

    if (sc->in.len == 0)
        return 0;
    if (!sc->req) {
        sc->req = req_new(sc);
        h1_parser_init(&sc->parser, &limits);
        timer_set(&sc->timer, sc->srv->o.slow_ms);
    }
    n = h1_parse_request(&sc->parser, sc->in.p, sc->in.len, &sc->req->head);
    if (n == 0)
        return 0;
    if (n < 0) {
        refuse(sc, http_fault_status((int)n), http_fault_name((int)n));
        return 1;
    }
    head_done(sc, (size_t)n);
    if (sc->req->head.method == HTTP_M_CONNECT)
        refuse(sc, 501, "CONNECT is not served here");
    else if (sc->req->head.body == HTTP_BODY_LENGTH && sc->req->head.content_length > max_body(sc))
        refuse(sc, 413, "body too large");
    else if (sc->req->head.expect_continue && sc->req->head.body != HTTP_BODY_NONE &&
             sc->in.len == 0)
        say_continue(sc);
    return 1;
}

/* the whole request is there: it is the user's until http_reply */
static void serve(struct sconn *sc)
{
    sc->state = ST_WAIT;
    set_busy(sc);
    timer_cancel(&sc->timer);
    sc->srv->cb(sc->req, sc->srv->arg);
}

static void want_trailers(struct sconn *sc)
{
    struct http_req *r = sc->req;

    r->trailers = (struct h1_trailers){.mem = r->trailer_mem,
                                       .size = sizeof(r->trailer_mem),
                                       .fields = r->trailer_fields,
                                       .max = 16};
    h1_body_trailers(&sc->body, &r->trailers);
}

static int step_body(struct sconn *sc)
{
    struct slice in = buf_slice(&sc->in), data;
    int ev;

    while ((ev = h1_body_next(&sc->body, &in, &data)) == H1_BODY_DATA || ev == H1_BODY_WANT_MEM) {
        if (ev == H1_BODY_WANT_MEM) {
            want_trailers(sc);
            continue;
        }
        if (sc->req->body.len + data.n > max_body(sc)) {
            refuse(sc, 413, "body too large");
            return 1;
        }
        buf_put_slice(&sc->req->body, data);
    }
    buf_consume(&sc->in, sc->in.len - in.n);
    if (ev == H1_BODY_MORE)
        return 0;
    if (ev < 0)
        refuse(sc, http_fault_status(ev), http_fault_name(ev));
    else
        serve(sc);
    return 1;
}

/* the reply is out: the next request, or the end */
static int step_reply(struct sconn *sc)
{
    if (!written(sc))
        return 0;
    buf_free(&sc->out);
    sc->out_sent = 0;
    if (sc->in.len == 0)
        buf_free(&sc->in); /* an idle connection holds no memory */
    if (sc->close || (sc->eof && sc->in.len == 0)) {
        conn_shut_write(sc->conn);
        sc->state = ST_LINGER;
        timer_set(&sc->timer, LINGER_MS);
    } else {
        sc->state = ST_HEAD;
        set_idle(sc);
        timer_set(&sc->timer, sc->srv->o.idle_ms);
    }
    return 1;
}

/* one step: 1 look again, 0 wait for input or output */
static int step_once(struct sconn *sc)
{
    switch (sc->state) {
    case ST_HEAD:
        return step_head(sc);
    case ST_BODY:
        return step_body(sc);
    case ST_REPLY:
        return step_reply(sc);
    default:
        return 0;
    }
}

static bool wants_input(const struct sconn *sc)
{
    if (sc->eof)
        return false;
    switch (sc->state) {
    case ST_HEAD:
    case ST_BODY:
    case ST_LINGER:
        return true;
    case ST_WAIT:
    case ST_REPLY:
        return sc->in.len < AHEAD_MAX;
    default:
        return false;
    }
}

/* The peer has ended: what it still wants to hear it gets; a client that waits for a long poll
 * to be told does not end its side before. */
static void on_eof(struct sconn *sc)
{
    if (sc->state == ST_REPLY)
        return;
    if (sc->state == ST_WAIT && !sc->req->gone)
        return;
    sconn_close(sc);
}

/* Goes on until there is nothing to do without the loop.  http_reply from inside the user's
 * callback comes back here: the outer call does the work. */
static void step(struct sconn *sc)
{
    size_t budget = READ_TURN / READ_STEP;

    sc->step_again = true;
    if (sc->stepping)
        return;
    sc->stepping = true;
    while (sc->conn && sc->step_again) {
        sc->step_again = false;
        while (sc->conn && step_once(sc))
            ;
        if (!sc->conn || !wants_input(sc) || !conn_may_read(sc->conn))
            continue;
        if (budget-- == 0) {
            conn_wake(sc->conn, CONN_EV_READ);
            break;
        }
        sc->step_again |= read_some(sc);
        if (sc->state == ST_LINGER)
            buf_clear(&sc->in);
    }
    sc->stepping = false;
    if (sc->conn && sc->eof)
        on_eof(sc);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void begin_tls(struct sconn *sc)
{
    struct http_server *s = sc->srv;
    struct err e;

    sc->state = ST_HANDSHAKE;
    timer_set(&sc->timer, s->o.slow_ms);
    if (tls_conn_start(sc->conn, s->o.tls, NULL, &e) < 0) {
        log_warn(s->o.name, "TLS not started error=%s", e.text);
        sconn_close(sc);
    }
}

static void on_event(struct conn *c, unsigned events, void *arg)
{
    struct sconn *sc = arg;

    if (events & CONN_EV_FAIL) {
        log_debug(sc->srv->o.name, "connection failed reason=%s detail=%s", conn_fail_name(c->fail),
                  tls_conn_error(c) ? tls_conn_error(c) : "");
        sconn_close(sc);
        return;
    }
    if (sc->state == ST_FIRST) {
        if (events & CONN_EV_READ)
            begin_tls(sc);
        return;
    }
    if (events & CONN_EV_OPEN && sc->state == ST_HANDSHAKE) {
        sc->state = ST_HEAD;
        timer_set(&sc->timer, sc->srv->o.idle_ms);
    }
    if (sc->state == ST_HANDSHAKE)
        return;
    flush(sc);
    if (sc->conn)
        step(sc);
}

/* somebody was too slow: a client that began a request is told, others just go */
static void on_timeout(void *arg)
{
    struct sconn *sc = arg;

    if ((sc->state == ST_HEAD && sc->req) || sc->state == ST_BODY) {
        refuse(sc, 408, "the request did not arrive in time");
        step(sc);
    } else {
        sconn_close(sc);
    }
}

static struct sconn *sconn_new(struct http_server *s, const struct ip_port *peer)
{
    struct sconn *sc = xcalloc(1, sizeof(*sc));

    sc->srv = s;
    sc->state = s->o.tls ? ST_FIRST : ST_HEAD;
    sc->job.fn = sconn_free;
    timer_init(&sc->timer, s->loop, on_timeout, sc);
    if (peer->ip.family) {
        sc->src = source_of(s, &peer->ip);
        sc->src->n++;
    }
    return sc;
}

static void tell_bound(struct http_server *s, const char *what, unsigned max)
{
    uint64_t now = loop_now_ms(s->loop);

    if (s->told_ms && now - s->told_ms < TELL_MS)
        return;
    s->told_ms = now ? now : 1;
    log_warn(s->o.name, "too many connections %s max=%u", what, max);
}

/* Is there a place for sc among max, and per_source of its address?  If need be, of those that have
 * been without a request for longest: of one, but where a bound has become lower. */
static bool make_place(struct sconn *sc, unsigned max, unsigned per_source)
{
    struct http_server *s = sc->srv;
    bool of_source;

    while ((of_source = sc->src && sc->src->n > per_source) || s->n_conns > max) {
        struct sconn *victim = TAILQ_FIRST(of_source ? &sc->src->idle : &s->idle);

        tell_bound(s, of_source ? "from one address" : "in all", of_source ? per_source : max);
        if (!victim)
            return false;
        sconn_close(victim);
    }
    return true;
}

/* Users have taken all descriptors that they may.  What is kept back is not for whoever reaches
 * us: with each that comes the server shrinks to its share. */
static bool make_place_when_short(struct sconn *sc)
{
    unsigned share = descriptors_share();

    return make_place(sc, share, (share + 1) / 2);
}

static void on_accept(struct listener *l, int fd, const struct ip_port *peer, void *arg)
{
    struct http_server *s = arg;
    struct sconn *sc = sconn_new(s, peer);
    bool few = s->o.modest && descriptor_is_kept(fd), place;
    struct err e;

    sc->conn = conn_accepted(s->loop, fd, peer, on_event, sc, &e);
    if (!sc->conn) {
        log_warn(s->o.name, "connection not accepted error=%s", e.text);
        leave_source(sc);
        free(sc);
        return;
    }
    LIST_INSERT_HEAD(&s->conns, sc, link);
    s->n_conns++;
    place = few ? make_place_when_short(sc) : make_place(sc, s->o.max_conns, s->o.per_source);
    if (place) {
        set_idle(sc);
        timer_set(&sc->timer, s->o.first_ms);
    } else if (few || s->o.tls || s->n_conns > s->o.max_conns + EXTRA_CONNS) {
        sconn_close(sc);
    } else {
        timer_set(&sc->timer, IDLE_MS);
        refuse(sc, 503, "too many connections");
        step(sc);
    }
}

/* ---- the server ------------------------------------------------------------------------------ */

struct http_server *http_server_new(struct loop *l, int fd, const struct http_server_opts *o,
                                    http_req_cb *cb, void *arg, struct err *e)
{
    struct http_server *s = xcalloc(1, sizeof(*s));

    s->loop = l;
    s->cb = cb;
    s->arg = arg;
    s->o = *o;
    s->o.name = o->name ? o->name : "http";
    s->o.max_body = o->max_body ? o->max_body : MAX_BODY;
    s->o.max_conns = o->max_conns ? o->max_conns : MAX_CONNS;
    s->o.slow_ms = o->slow_ms ? o->slow_ms : SLOW_MS;
    s->o.first_ms = o->first_ms ? o->first_ms : s->o.slow_ms;
    s->o.idle_ms = o->idle_ms ? o->idle_ms : IDLE_MS;
    s->o.per_source = o->per_source ? o->per_source : (s->o.max_conns + 1) / 2;
    LIST_INIT(&s->conns);
    TAILQ_INIT(&s->idle);
    s->sources = table_new(free);
    s->listener = listener_new(l, fd, on_accept, s, e);
    if (!s->listener) {
        table_free(s->sources);
        free(s);
        return NULL;
    }
    s->o.tls = o->tls ? tls_ctx_ref(o->tls) : NULL;
    return s;
}

void http_server_set_tls(struct http_server *s, struct tls_ctx *ctx)
{
    struct tls_ctx *old = s->o.tls;

    s->o.tls = tls_ctx_ref(ctx);
    tls_ctx_unref(old);
}

void http_server_drain(struct http_server *s)
{
    s->draining = true;
}

size_t http_server_pending(const struct http_server *s)
{
    return s->pending;
}

/* a request that waits gets its answer from us */
static void shut_down(struct sconn *sc)
{
    struct http_req *r = sc->req;

    if (sc->state == ST_WAIT) {
        sc->req = NULL;
        refuse(sc, 503, "shutting down");
        req_orphan(r);
    }
    if (sc->conn) {
        conn_shut_write(sc->conn);
        sconn_close(sc);
    }
}

void http_server_free(struct http_server *s)
{
    struct sconn *sc;

    if (!s)
        return;
    s->freeing = true;
    listener_free(s->listener);
    while ((sc = LIST_FIRST(&s->conns)))
        shut_down(sc);
    if (s->o.tls)
        tls_ctx_unref(s->o.tls);
    table_free(s->sources);
    free(s);
}
