/* down.c - accepted connections before they have a codec, and what codecs share; see down.h.
 *
 * Who may come in (inbound), before any TLS:
 *   address in a source range   by its rule: plaintext, or TLS with a client certificate
 *   address of a mesh peer      mutual TLS between proxies, marked by our ALPN
 *   any other                   reset
 */
#include "common/proxy/down.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/proxy/detect.h"
#include "common/proxy/lsock.h"
#include "common/proxy/upstream.h"
#include "common/tls/hello.h"
#include "common/tls/tls.h"

/* ---- ending ---------------------------------------------------------------------------------- */

static void free_job(struct loop_job *job)
{
    struct down *d = (struct down *)((char *)job - offsetof(struct down, job));
    struct worker *w = d->w;
    if (d->ops)
        d->ops->free(d->codec);
    if (d->id)
        wmem_block_put(w->mem, d->id, d->id->cap);
    wmem_obj_put(w->mem, &w->s_down, d);
}

static void free_sticks(struct down *d)
{
    struct stick *s;
    while ((s = d->sticks)) {
        d->sticks = s->next;
        epool_unref(s->ep);
        wmem_obj_put(d->w->mem, &d->w->s_stick, s);
    }
}

static void stop_waiting(struct down *d)
{
    if (!d->patient)
        return;
    d->patient = false;
    d->w->n_patient_downs--;
    timer_cancel(&d->timer);
}

static void close_any(struct down *d, enum reason why, bool reset)
{
    struct worker *w = d->w;
    if (d->closed)
        return;
    d->closed = true;
    stop_waiting(d);
    LIST_REMOVE(d, link);
    timer_cancel(&d->timer);
    if (d->ops)
        reset |= d->ops->close(d->codec, why);
    w->stat[WSTAT_DOWN_CX_ACTIVE]--;
    worker_touch(w);
    __atomic_sub_fetch(&engine_shared(w->eng)->conns[d->inbound], 1, __ATOMIC_RELAXED);
    w->stat[WSTAT_DOWN_RX] += d->conn->rx_bytes;
    w->stat[WSTAT_DOWN_TX] += d->conn->tx_bytes;
    if (reset)
        conn_abort(d->conn);
    else
        conn_close(d->conn);
    free_sticks(d);
    d->job.fn = free_job;
    loop_defer(w->loop, &d->job);
}

void down_close(struct down *d, enum reason why)
{
    close_any(d, why, false);
}

void down_abort(struct down *d, enum reason why)
{
    close_any(d, why, true);
}

/* a connection that never became a stream: told and counted here */
static void refuse(struct down *d, enum reason why)
{
    char peer[IP_TEXT_MAX], dst[IP_TEXT_MAX];
    if (d->closed)
        return;
    log_debug("listener", "connection refused reason=%s peer=%s dst=%s inbound=%d",
              reason_text(why), ip_port_format(&d->conn->peer, peer), ip_port_format(&d->dst, dst),
              d->inbound);
    worker_count(d->w, why);
    down_abort(d, why);
}

/* ---- matching -------------------------------------------------------------------------------- */

/* how the peer may come in; REASON_OK or why not */
struct entry {
    bool mesh;                      /* mutual TLS between proxies is taken */
    bool plain;                     /* plaintext is taken */
    const struct source_rule *rule; /* TLS by this rule */
};

/* From our pod to itself: what the redirection leads here of that is our own outbound half,
 * whatever its document says of the endpoint.  A port that others reach past us is called in
 * plaintext, by us too. */
static bool is_own_call(const struct down *d)
{
    const struct ip *peer = &d->conn->peer.ip;

    return ip_eq(peer, &d->dst.ip) && !ip_is_loopback(peer);
}

static enum reason source_entry(const struct down *d, const struct chain *c, struct entry *in)
{
    const struct view *v = worker_view(d->w);
    const struct ip *peer = &d->conn->peer.ip;
    const struct ipset *allowed = c->allowed ? c->allowed : v->allowed;
    const struct source_rule *rule = c->sources ? lpm_get(c->sources, peer) : NULL;
    bool member = allowed && ipset_has(allowed, peer), own = is_own_call(d);
    *in = (struct entry){
        .mesh = member && v->transport,
        .plain = (rule && !rule->tls) || (member && !v->mesh_tls) || own,
        .rule = rule && rule->tls ? rule : NULL,
    };
    return member || rule || own ? REASON_OK : REASON_SOURCE_REFUSED;
}

/* sets d->chain from the current view; REASON_OK or why the connection is refused */
static enum reason match(struct down *d)
{
    const struct view *v = worker_view(d->w);
    const struct chain *c = view_chain(v, d->inbound, &d->dst);
    struct entry in;
    d->chain = c;
    d->generation = v->generation;
    if (!c)
        return d->inbound ? REASON_PORT_UNKNOWN : REASON_EGRESS_REFUSED;
    if (c->kind == CHAIN_REFUSE)
        return c->refuse;
    return d->inbound ? source_entry(d, c, &in) : REASON_OK;
}

static bool principal_fits(const struct source_rule *r, const struct tls_peer *p)
{
    if (!r->n_principals || r->skip_verify)
        return true;
    for (uint32_t i = 0; i < r->n_principals; i++) {
        struct slice want = slice_str(r->principals[i]), rest = slice_str(p->sans);
        if (slice_eq_str(want, p->principal))
            return true;
        while (rest.p)
            if (slice_eq(slice_cut(&rest, '\n'), want))
                return true;
    }
    return false;
}

/* Would one that came in this way be let in by the chain now?  REASON_OK, with d->denied renewed,
 * or why not.  info: of its TLS, NULL = plaintext */
static enum reason entry_now(struct down *d, const struct chain *c, const struct tls_info *info)
{
    struct entry in;
    enum reason why = source_entry(d, c, &in);
    if (why != REASON_OK)
        return why;
    if (d->mesh)
        return in.mesh ? REASON_OK : REASON_REVOKED;
    if (!info)
        return in.plain ? REASON_OK : REASON_REVOKED;
    /* its certificate was not looked at, and would be now */
    if (!in.rule || (d->unverified && !in.rule->skip_verify))
        return REASON_REVOKED;
    d->denied = !principal_fits(in.rule, &info->peer);
    return REASON_OK;
}

static enum reason entry_holds(struct down *d, const struct chain *c)
{
    const struct tls_info *info = d->mesh ? NULL : tls_conn_info(d->conn);
    enum reason why = entry_now(d, c, info);
    if (info)
        tls_conn_forget_info(d->conn);
    return why;
}

/* where bytes go that are no HTTP; false: nowhere.  *sp: NULL = to the original destination */
static bool opaque_way(const struct down *d, const struct split **sp)
{
    const struct chain *c = d->chain;
    *sp = c->kind == CHAIN_PASS ? NULL : chain_opaque(c, &d->dst.ip);
    return *sp || c->kind == CHAIN_PASS || c->pass_without_target;
}

/* A detecting chain may have addresses whose port is declared, beside those of ports that are not:
 * there only HTTP is possible, whatever the neighbours are. */
static enum chain_kind kind_of(const struct down *d)
{
    const struct split *sp;
    enum chain_kind k = d->chain->kind;
    return k == CHAIN_DETECT && !opaque_way(d, &sp) ? CHAIN_HTTP : k;
}

const struct chain *down_chain(struct down *d)
{
    if (d->generation == worker_view(d->w)->generation)
        return d->chain;
    enum reason why = match(d);
    if (why == REASON_OK && d->inbound && d->ops)
        why = entry_holds(d, d->chain);
    if (why == REASON_OK)
        return d->chain;
    if (!d->ops)
        worker_count(d->w, why); /* else the stream that asks counts it */
    down_close(d, why);
    return NULL;
}

/* ---- a time for what must come --------------------------------------------------------------- */

static void on_head_timeout(void *arg)
{
    struct down *d = arg;
    worker_count(d->w, REASON_HEAD_TIMEOUT);
    down_close(d, REASON_HEAD_TIMEOUT);
}

static void wait_for_head(struct down *d)
{
    uint32_t ms = limit_first_ms(&worker_view(d->w)->limits);
    timer_cancel(&d->timer);
    d->timer.fn = on_head_timeout;
    if (ms)
        timer_set(&d->timer, ms);
}

/* ---- the codec is known ---------------------------------------------------------------------- */

static void start(struct down *d, int rc)
{
    if (rc < 0)
        refuse(d, REASON_NO_MEMORY);
}

static void drop_guess(struct down *d)
{
    if (!d->guessed)
        return;
    d->guessed = false;
    tunnel_down_cancel(d->codec);
}

static void start_http(struct down *d, bool h2)
{
    timer_cancel(&d->timer);
    drop_guess(d);
    start(d, h2 ? h2_down_start(d) : h1_down_start(d));
}

static void start_tunnel(struct down *d)
{
    const struct split *sp;
    timer_cancel(&d->timer);
    if (d->guessed) {
        d->guessed = false;
        tunnel_down_commit(d->codec);
    } else if (!opaque_way(d, &sp)) {
        refuse(d, REASON_NO_TARGET);
    } else {
        start(d, tunnel_down_start(d, d->chain, sp, false));
    }
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static int keep_identity(struct down *d, const struct tls_info *info)
{
    if (!info->peer.present)
        return 0;
    size_t n = strlen(info->peer.spiffe) + 1, m = strlen(info->peer.principal) + 1;
    uint32_t cap;
    d->id = wmem_block(d->w->mem, sizeof *d->id + n + m, &cap);
    if (!d->id)
        return -1;
    d->id->cap = cap;
    d->id->principal = memcpy(d->id->spiffe + n, info->peer.principal, m);
    memcpy(d->id->spiffe, info->peer.spiffe, n);
    return 0;
}

static void enter_by_tls(struct down *d, const struct tls_info *info)
{
    enum reason why;
    d->w->stat[WSTAT_TLS_DOWN]++;
    d->w->stat[WSTAT_TLS_DOWN_RESUMED] += info->resumed;
    if (keep_identity(d, info) < 0) {
        refuse(d, REASON_NO_MEMORY);
        return;
    }
    if (!down_chain(d))
        return;
    why = entry_now(d, d->chain, info);
    if (why != REASON_OK) {
        refuse(d, why);
        return;
    }
    if (strcmp(info->alpn, MESH_ALPN_TCP) == 0 || d->chain->kind == CHAIN_TCP) {
        if (d->denied)
            refuse(d, REASON_DENIED);
        else
            start_tunnel(d);
    } else {
        start_http(d, strcmp(info->alpn, MESH_ALPN_H2) == 0 || strcmp(info->alpn, "h2") == 0);
    }
}

static void on_tls_open(struct down *d)
{
    enter_by_tls(d, tls_conn_info(d->conn));
    tls_conn_forget_info(d->conn);
}

const struct chain *down_still_allowed(struct down *d)
{
    const struct chain *c = view_chain(worker_view(d->w), d->inbound, &d->dst);
    if (!c || c->kind == CHAIN_REFUSE)
        return NULL;
    if (!d->inbound)
        return c;
    return entry_holds(d, c) == REASON_OK && !d->denied ? c : NULL;
}

/* What was dialled, or is to be, for a client that is silent is not for this one. */
static void start_tls(struct down *d, struct tls_ctx *ctx)
{
    static const struct tls_start nothing;
    struct err e;
    drop_guess(d);
    if (d->timer.fn != on_head_timeout)
        wait_for_head(d);
    if (!ctx) {
        refuse(d, REASON_PLAIN_REFUSED);
    } else if (tls_conn_start(d->conn, ctx, &nothing, &e) < 0) {
        log_warn("tls", "%s", e.text);
        refuse(d, REASON_NO_MEMORY);
    }
}

static bool names_mesh(const struct hello *h)
{
    for (unsigned i = 0; i < h->n_alpn; i++)
        if (strcmp(h->alpn[i], MESH_ALPN_H2) == 0 || strcmp(h->alpn[i], MESH_ALPN_HTTP1) == 0 ||
            strcmp(h->alpn[i], MESH_ALPN_TCP) == 0)
            return true;
    return false;
}

/* ---- first bytes ----------------------------------------------------------------------------- */

static void on_undecided(void *arg)
{
    struct down *d = arg;
    if (down_chain(d))
        start_tunnel(d);
}

/* some bytes, but not enough to tell: opaque if no more come for a while */
static void wait_for_more(struct down *d)
{
    const struct view_limits *lim = &worker_view(d->w)->limits;
    if (kind_of(d) != CHAIN_DETECT || d->timer.fn == on_undecided)
        return;
    d->timer.fn = on_undecided;
    timer_set(&d->timer, lim->detect_last_ms);
}

static void classify(struct down *d, struct slice first)
{
    enum chain_kind k = kind_of(d);
    enum detected p;
    if (k == CHAIN_TCP || k == CHAIN_PASS) {
        start_tunnel(d);
        return;
    }
    p = k == CHAIN_HTTP ? detect_http(first) : detect_protocol(first);
    if (p == DETECT_MORE && k == CHAIN_HTTP && d->conn->urgent)
        p = DETECT_HTTP1; /* a look stops at urgent data, and only reading gets past it */
    if (p == DETECT_HTTP1 || p == DETECT_HTTP2)
        start_http(d, p == DETECT_HTTP2);
    else if (p == DETECT_MORE)
        wait_for_more(d);
    else
        start_tunnel(d);
}

/* A part of a ClientHello: its client is not silent.  Where it may be for us, nothing of it goes to
 * the application. */
static void wait_for_hello(struct down *d, const struct entry *in)
{
    if (!in->mesh && !in->rule)
        wait_for_more(d);
    else if (d->timer.fn != on_head_timeout)
        wait_for_head(d);
}

/* inbound: TLS of ours, TLS by a source's rule, or plaintext where that is allowed */
static void enter_inbound(struct down *d, struct slice first)
{
    const struct transport *t = worker_view(d->w)->transport;
    struct hello *h = (struct hello *)d->w->scratch;
    struct entry in;
    source_entry(d, d->chain, &in);
    int r = hello_parse(first.p, first.n, h);
    if (r == 0)
        wait_for_hello(d, &in);
    else if (r == 1 && in.mesh && names_mesh(h)) {
        d->mesh = true;
        start_tls(d, t->server);
    } else if (r == 1 && in.rule) {
        d->unverified = in.rule->skip_verify;
        start_tls(d, !t ? NULL : d->unverified ? t->open_server : t->plain_server);
    } else if (in.plain) {
        classify(d, first);
    } else {
        refuse(d, REASON_PLAIN_REFUSED);
    }
}

/* whoever judges them needs no more */
#define FIRST_BYTES (HELLO_MAX > DETECT_MAX ? HELLO_MAX : DETECT_MAX)
_Static_assert(FIRST_BYTES <= RBUF_SIZE, "they are looked at there");

static void on_first_bytes(struct down *d)
{
    char *buf = worker_rbuf(d->w);
    ssize_t n = conn_peek(d->conn, buf, FIRST_BYTES);
    if (n == CONN_AGAIN)
        return;
    if (n <= 0) {
        worker_count(d->w, n == 0 ? REASON_DOWN_CLOSED : REASON_DOWN_RESET);
        down_close(d, REASON_DOWN_CLOSED);
        return;
    }
    if (d->patient || !down_chain(d))
        return;
    struct slice first = slice_of(buf, (size_t)n);
    if (d->inbound)
        enter_inbound(d, first);
    else
        classify(d, first);
}

void down_detect_event(struct conn *c, unsigned ev, void *arg)
{
    struct down *d = arg;
    if (ev & CONN_EV_FAIL) {
        const char *why = tls_conn_error(c);
        char peer[IP_TEXT_MAX];
        log_info("tls", "handshake with client failed peer=%s error=%s",
                 ip_port_format(&c->peer, peer), why ? why : conn_fail_name(c->fail));
        d->w->stat[WSTAT_TLS_DOWN_FAILED]++;
        worker_count(d->w, REASON_DOWN_TLS);
        down_close(d, REASON_DOWN_TLS);
    } else if (ev & CONN_EV_OPEN) {
        on_tls_open(d);
    } else if (ev & CONN_EV_READ) {
        on_first_bytes(d);
    }
}

/* ---- the silent client ----------------------------------------------------------------------- */

/* A protocol in which the server speaks first would wait for ever: the opaque upstream is dialled
 * while we go on listening.  Where there is none any more, or no memory, it is the client's turn
 * alone, and its time is bounded like everybody's. */
static void on_silence(void *arg)
{
    struct down *d = arg;
    const struct chain *c = down_chain(d);
    const struct split *sp;
    if (!c)
        return;
    d->guessed = opaque_way(d, &sp) && tunnel_down_start(d, c, sp, true) == 0;
    if (!d->guessed)
        wait_for_head(d);
}

/* How long a client may be silent before the server may speak; 0: it does not speak first.  Where a
 * peer of the mesh is let in without TLS too, it will most likely come with TLS: what a server said
 * before would ruin that.  So it has the time in which a lost packet comes again. */
static uint32_t silence_ms(const struct down *d)
{
    const struct view *v = worker_view(d->w);
    const struct view_limits *lim = &v->limits;
    struct entry in = {.plain = true};
    if (kind_of(d) != CHAIN_DETECT)
        return 0;
    if (d->inbound)
        source_entry(d, d->chain, &in);
    if (!in.plain)
        return 0;
    if (in.mesh && v->mesh_tls && !is_own_call(d) && lim->detect_ms &&
        lim->detect_ms < lim->detect_last_ms)
        return lim->detect_last_ms;
    return lim->detect_ms;
}

static void wait_for_bytes(struct down *d)
{
    uint32_t ms = silence_ms(d);
    if (ms) {
        d->timer.fn = on_silence;
        timer_set(&d->timer, ms);
    } else {
        wait_for_head(d);
    }
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* -1: it cannot be told, or it is our own listener that was dialled */
static int destination(struct down *d, const struct view_listener *l)
{
    d->dst = l->pretend;
    if (!l->transparent)
        return 0;
    if (conn_original_dst(d->conn, &d->dst) < 0)
        return -1;
    if (d->dst.port != d->port)
        return 0;
    struct ip_port here = conn_local(d->conn);
    return ip_port_eq(&d->dst, &here) ? -1 : 0;
}

/* opaque at once: nothing of the client's needs to be seen first */
static bool starts_at_once(struct down *d)
{
    struct entry in;
    if (d->chain->kind != CHAIN_TCP && d->chain->kind != CHAIN_PASS)
        return false;
    return !d->inbound || (source_entry(d, d->chain, &in), in.plain && !in.mesh && !in.rule);
}

/* ---- not let in yet --------------------------------------------------------------------------
 * A pod's first connections may be faster than the news of its address, or of a port: what the
 * view refuses waits for the next ones a little, unread, before it is reset. */

static void on_patience_over(void *arg)
{
    struct down *d = arg;
    enum reason why = match(d);
    stop_waiting(d);
    refuse(d, why);
}

static bool wait_for_view(struct down *d, enum reason why)
{
    const struct view_limits *lim = &worker_view(d->w)->limits;
    if ((why != REASON_SOURCE_REFUSED && why != REASON_PORT_UNKNOWN) || !lim->patience_ms ||
        d->w->n_patient_downs >= lim->patient)
        return false;
    d->patient = true;
    d->w->n_patient_downs++;
    d->timer.fn = on_patience_over;
    timer_set(&d->timer, lim->patience_ms);
    return true;
}

static void let_in(struct down *d)
{
    if (starts_at_once(d))
        start_tunnel(d);
    else
        wait_for_bytes(d);
}

static void try_again(struct down *d)
{
    if (match(d) != REASON_OK)
        return;
    stop_waiting(d);
    let_in(d);
    if (!d->closed && conn_may_read(d->conn))
        conn_wake(d->conn, CONN_EV_READ);
}

void downs_try_again(struct worker *w)
{
    struct down *d, *next;
    for (d = LIST_FIRST(&w->downs); d && w->n_patient_downs; d = next) {
        next = LIST_NEXT(d, link);
        if (d->patient)
            try_again(d);
    }
}

static void greet(struct down *d, const struct view_listener *l)
{
    enum reason why = destination(d, l) < 0 ? REASON_LOOP : match(d);
    if (why == REASON_OK)
        let_in(d);
    else if (!wait_for_view(d, why))
        refuse(d, why);
}

/* a connection that is not even begun; takes fd */
static void turn_away(struct worker *w, int fd, enum reason why)
{
    const struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    worker_count(w, why);
}

/* Counts one more connection of that direction; REASON_OK or why there may be none. */
static enum reason one_more(struct worker *w, bool inbound)
{
    uint32_t *open = &engine_shared(w->eng)->conns[inbound], most = worker_view(w)->limits.conns;
    uint32_t n = __atomic_add_fetch(open, 1, __ATOMIC_RELAXED);
    enum reason why = most && n > most                             ? REASON_CONN_LIMIT
                      : worker_overload(w) == OVERLOAD_CONNECTIONS ? REASON_OVERLOAD
                                                                   : REASON_OK;
    if (why != REASON_OK)
        __atomic_sub_fetch(open, 1, __ATOMIC_RELAXED);
    return why;
}

/* takes fd; NULL: it is closed */
static struct down *take_in(struct worker *w, bool inbound, int fd, const struct ip_port *peer)
{
    enum reason why = one_more(w, inbound);
    struct down *d = why == REASON_OK ? wmem_obj(w->mem, &w->s_down, sizeof *d) : NULL;
    struct err e;
    if (!d) {
        turn_away(w, fd, why == REASON_OK ? REASON_NO_MEMORY : why);
    } else if (!(d->conn = conn_accepted(w->loop, fd, peer, down_detect_event, d, &e))) {
        wmem_obj_put(w->mem, &w->s_down, d);
        worker_count(w, REASON_NO_MEMORY);
        d = NULL;
    }
    if (!d && why == REASON_OK)
        __atomic_sub_fetch(&engine_shared(w->eng)->conns[inbound], 1, __ATOMIC_RELAXED);
    return d;
}

void down_accept(struct worker *w, const struct view_listener *l, int fd,
                 const struct ip_port *peer)
{
    struct down *d = take_in(w, l->inbound, fd, peer);
    if (!d)
        return;
    d->w = w;
    d->inbound = l->inbound;
    d->port = lsock_addr(l->sock)->port;
    timer_init(&d->timer, w->loop, on_head_timeout, d);
    LIST_INSERT_HEAD(&w->downs, d, link);
    w->stat[WSTAT_DOWN_CX]++;
    w->stat[WSTAT_DOWN_CX_ACTIVE]++;
    greet(d, l);
}
