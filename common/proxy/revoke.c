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
    LIST_INSERT_HEAD(&s->w->tunnels, s, tunnels);
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

/* notes since when each is not allowed; how many are not */
static unsigned judge(struct worker *w)
{
    struct stream *s;
    unsigned n = 0;
    LIST_FOREACH (s, &w->tunnels, tunnels) {
        if (allowed(s))
            s->lost_ms = 0;
        else if (!s->lost_ms)
            s->lost_ms = loop_now_ms(w->loop);
        n += s->lost_ms != 0;
    }
    return n;
}

void tunnels_judge(struct worker *w)
{
    uint32_t ms = worker_view(w)->limits.revoked_ms;
    if (ms && judge(w) && !timer_is_set(&w->revoke))
        timer_set(&w->revoke, ms);
}

/* one whose time is over, or NULL; *next: when another's will be */
static struct stream *overdue(struct worker *w, uint64_t now, uint32_t ms, uint64_t *next)
{
    struct stream *s;
    *next = 0;
    LIST_FOREACH (s, &w->tunnels, tunnels) {
        if (s->lost_ms && now >= s->lost_ms + ms)
            return s;
        if (s->lost_ms && (!*next || s->lost_ms + ms < *next))
            *next = s->lost_ms + ms;
    }
    return NULL;
}

void tunnels_revoke(void *arg)
{
    struct worker *w = arg;
    uint64_t now = loop_now_ms(w->loop), next;
    uint32_t ms = worker_view(w)->limits.revoked_ms;
    struct stream *s;
    while (ms && (s = overdue(w, now, ms, &next))) {
        log_debug("stream", "tunnel is not allowed any more");
        stream_close(s, REASON_REVOKED); /* and maybe others with it: look anew */
    }
    if (ms && next)
        timer_set(&w->revoke, next - now);
}
