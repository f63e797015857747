/* revoke.c - tunnels that began under other rules.
 *
 * A request is judged when it comes; a tunnel goes on for days.  So when a view was taken those of
 * the worker are looked at: one that the view would not let begin is ended after a while, unless a
 * view in between lets it again.  Its endpoint need not be there any more: that is no matter of
 * what is allowed.
 */
#include "common/base/log.h"
#include "common/proxy/down.h"
#include "common/proxy/stream.h"

void stream_becomes_tunnel(struct stream *s)
{
    s->tunnel = true;
    s->lost_ms = 0;
    TAILQ_INSERT_TAIL(&s->w->tunnels, s, tunnels);
}

static struct streams *list_of(struct stream *s)
{
    return s->lost_ms ? &s->w->lost : &s->w->tunnels;
}

void tunnel_gone(struct stream *s)
{
    TAILQ_REMOVE(list_of(s), s, tunnels);
}

/* since: from then on it is not allowed; 0 = it is */
static void move(struct stream *s, uint64_t since)
{
    tunnel_gone(s);
    s->lost_ms = since;
    TAILQ_INSERT_TAIL(list_of(s), s, tunnels);
}

/* an upgrade was a request first: has it a route still? */
static bool route_holds(const struct stream *s, const struct chain *c)
{
    const struct vhost *v = NULL;
    enum reason why;
    struct route_query q = {
        .path = s->req->path, .head = s->req, .identity = s->conn->id ? s->conn->id->spiffe : NULL};
    if (c->kind == CHAIN_HTTP || c->kind == CHAIN_DETECT)
        v = chain_host(c, s->req->authority);
    return v && route_find(v, &q, &why) != NULL;
}

static bool target_holds(const struct stream *s, const struct chain *c)
{
    return c->kind == CHAIN_PASS || c->pass_without_target || chain_opaque(c, &s->conn->dst.ip);
}

static bool allowed(const struct stream *s)
{
    const struct chain *c = down_still_allowed(s->conn);
    return c && (s->req ? route_holds(s, c) : target_holds(s, c));
}

static void judge(struct worker *w)
{
    struct stream *s, *next, *last = TAILQ_LAST(&w->lost, streams);
    uint64_t now = loop_now_ms(w->loop);
    for (s = TAILQ_FIRST(&w->tunnels); s; s = next) {
        next = TAILQ_NEXT(s, tunnels);
        if (!allowed(s))
            move(s, now);
    }
    /* those that were lost before */
    for (s = last ? TAILQ_FIRST(&w->lost) : NULL; s; s = next) {
        next = s == last ? NULL : TAILQ_NEXT(s, tunnels);
        if (allowed(s))
            move(s, 0);
    }
}

void tunnels_judge(struct worker *w)
{
    uint32_t ms = worker_view(w)->limits.revoked_ms;
    if (!ms)
        return;
    judge(w);
    if (!TAILQ_EMPTY(&w->lost) && !timer_is_set(&w->revoke))
        timer_set(&w->revoke, ms);
}

/* Those whose time is over, a few at once: many end with the rule that let them begin, and others
 * have their turn in between. */
#define REVOKED_PER_TURN 64

void tunnels_revoke(void *arg)
{
    struct worker *w = arg;
    uint64_t now = loop_now_ms(w->loop);
    uint32_t ms = worker_view(w)->limits.revoked_ms;
    struct stream *s;
    for (unsigned n = 0; ms && (s = TAILQ_FIRST(&w->lost)); n++) {
        uint64_t end = s->lost_ms + ms;
        if (end > now || n == REVOKED_PER_TURN) {
            timer_set(&w->revoke, end > now ? end - now : 1);
            return;
        }
        log_debug("stream", "tunnel is not allowed any more");
        stream_close(s, REASON_REVOKED); /* and maybe others with it */
    }
}
