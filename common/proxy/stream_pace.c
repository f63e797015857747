/* stream_pace.c - is a stream's client still there, and fast enough to be waited for?
 *
 * Twice in the idle time a stream is looked at.  What its client had to do meanwhile is one of
 *   BODY    send the rest of a request whose length it has told, which nobody but it holds up
 *   UNSIZED send on what has no length, to a server whose connection it has for itself meanwhile
 *   SOCKET  take what the connection cannot send
 *   WINDOW  give an HTTP/2 stream room again
 * and it must have moved at least the minimum rate; twice in a row too little ends the stream.
 * Without a length a request may be a conversation, in which silence is no fault.  So only if asked
 * for (UnsizedRate), where it costs the server a connection (HTTP/1), and until that has begun to
 * answer: gRPC and whatever else speaks HTTP/2 to its server has a stream, of which a connection
 * carries many.  What the kernel still holds was not taken by anybody: SIOCOUTQ tells.  (Without it
 * a large send buffer hides a steady slow reader for longer than the idle time.)
 */
#include "common/proxy/down.h"
#include "common/proxy/stream.h"

enum pace { PACE_NONE, PACE_BODY, PACE_UNSIZED, PACE_SOCKET, PACE_WINDOW };

static bool up_is_stuck(const struct stream *s)
{
    return s->up.wait.bytes || (s->up.ops && s->up.ops->backlog(&s->up));
}

static size_t backlog(const struct stream *s)
{
    return s->down.ops ? s->down.ops->backlog(&s->down) : 0;
}

/* does the server wait for more of the request, and the client for nothing? */
static bool body_is_due(const struct stream *s)
{
    return s->req && !s->tunnel && !s->down.complete && !s->down.held && !s->response &&
           !up_is_stuck(s);
}

static bool has_connection(const struct stream *s)
{
    return s->kind == UP_H1 || s->kind == UP_MESH_HTTP1;
}

/* what is waited for, and how far it has come */
static enum pace waits_for(const struct stream *s, uint64_t *done)
{
    if (backlog(s) || (s->down.wait.bytes && !s->conn->conn->can_write)) {
        *done = conn_taken(s->conn->conn);
        return PACE_SOCKET;
    }
    if (s->down.wait.bytes) {
        *done = s->rsp_bytes - s->down.wait.bytes;
        return PACE_WINDOW;
    }
    if (!body_is_due(s))
        return PACE_NONE;
    *done = s->req_bytes;
    return s->req->body == HTTP_BODY_LENGTH ? PACE_BODY
           : has_connection(s)              ? PACE_UNSIZED
                                            : PACE_NONE;
}

static bool too_slow(struct stream *s)
{
    const struct view_limits *lim = &s->wv->view->limits;
    uint64_t done = 0;
    enum pace p = waits_for(s, &done);
    uint64_t rate = p == PACE_UNSIZED ? lim->unsized_rate : lim->min_rate;
    uint64_t least = rate * (lim->idle_ms / 2) / 1000;
    bool slow = p != PACE_NONE && p == s->pace_kind && done - s->pace_done < least;
    s->slow_looks = slow ? s->slow_looks + 1 : 0;
    s->pace_kind = (uint8_t)p;
    s->pace_done = done;
    return s->slow_looks >= 2;
}

void stream_pace_look(struct stream *s)
{
    bool under_way = s->state == STREAM_RELAY || s->local; /* an answer of ours may wait too */
    if (under_way && conn_gone(s->conn->conn)) {
        down_close(s->conn, REASON_DOWN_RESET);
        return;
    }
    if (under_way && too_slow(s)) {
        stream_fail(s, REASON_TOO_SLOW);
        return;
    }
    timer_set(&s->pace, s->wv->view->limits.idle_ms / 2);
}

bool stream_still_taken(const struct stream *s)
{
    return s->pace_kind == PACE_SOCKET && conn_taken(s->conn->conn) > s->pace_done;
}
