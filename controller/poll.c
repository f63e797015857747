/* poll.c - documents out.  A proxy asks with the version that it holds and waits until there is
 * another; it gets the patch that leads there, or the whole document.
 *
 * One poll waits per proxy: a newer one ends the older (a proxy that lost its connection asks
 * again before we notice).  Answers are not all made at once: while readers have not taken what
 * was answered already, the others wait, so that memory is bounded by a constant and not by the
 * number of proxies times the size of their documents.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "controller/cp.h"

#define PENDING_MAX (64u << 20) /* bytes of answers not taken yet */
#define PACE_MS     5
#define CA_MS       1000 /* a proxy that still asks with old roots is told again after this */

static void on_timeout(void *arg)
{
    cp_poll_end(arg, 304);
}

void cp_poll_init(struct cp_proxy *px)
{
    timer_init(&px->poll_timer, px->cp->loop, on_timeout, px);
}

/* the request is answered or gone; returns it */
static struct http_req *forget(struct cp_proxy *px)
{
    struct http_req *r = px->poll;

    px->poll = NULL;
    px->poll_due = false;
    px->cp->n_waiting--;
    px->seen_ms = loop_now_ms(px->cp->loop);
    timer_cancel(&px->poll_timer);
    return r;
}

/* every answer names the bundle to trust and the root that certificates should be of */
static void put_ca(const struct cp_proxy *px, struct http_req *r)
{
    http_req_header(r, "Fsm-Roots", px->cp->roots_hash);
    http_req_header(r, "Fsm-Issuer", px->cp->issuer_hash);
}

static void on_gone(struct http_req *r, void *arg)
{
    forget(arg);
}

void cp_poll_end(struct cp_proxy *px, unsigned status)
{
    if (!px->poll)
        return;
    struct http_req *r = forget(px);
    put_ca(px, r);
    px->cp->metrics.not_modified += status == 304;
    if (status == 304)
        cp_reply(px->cp, r, 304, NULL, slice_str(NULL));
    else
        cp_reply_text(px->cp, r, status, "pod %s is not in the mesh any more\n", px->key);
}

/* the document, or the patch that leads to it */
static void answer(struct cp_proxy *px)
{
    struct cp_metrics *m = &px->cp->metrics;
    struct buf body = BUF_INIT;
    char ts[32], from[DOCUMENT_VERSION_MAX];

    clock_rfc3339(clock_wall_ms(), ts);
    snprintf(from, sizeof(from), "%s", px->poll_version);
    struct http_req *r = forget(px);
    put_ca(px, r);
    if (policy_proxy_patch(px->px, from, ts, &body)) {
        m->patches++;
        m->patch_bytes += body.len;
        px->patches++;
        cp_reply(px->cp, r, 200, "application/merge-patch+json", buf_slice(&body));
    } else {
        policy_proxy_document(px->px, ts, &body);
        m->documents++;
        m->document_bytes += body.len;
        m->reconnects += *from != '\0';
        px->documents++;
        cp_reply(px->cp, r, 200, "application/json", buf_slice(&body));
    }
    log_debug("poll", "answered proxy=%s from=%s to=%s bytes=%zu", px->key, from, px->current,
              body.len);
    buf_free(&body);
}

static void answer_when_room(struct cp_proxy *px)
{
    if (http_server_pending(px->cp->api) < PENDING_MAX) {
        answer(px);
        return;
    }
    px->poll_due = true;
    if (!timer_is_set(&px->cp->pace_timer))
        timer_set(&px->cp->pace_timer, PACE_MS);
}

/* A proxy of which nothing is known yet (held is empty) has its certificate still to come, and the
 * bundle and the root with that. */
static bool differs(const char *held, const char *now)
{
    return *held && strcmp(held, now) != 0;
}

/* The bundle changed, or another root signs.  A proxy that was told so and asks with the old
 * hashes again is still busy fetching: it waits, but not for long. */
static void tell_ca(struct cp_proxy *px)
{
    char now[sizeof(px->ca_told)];

    snprintf(now, sizeof(now), "%s%s", px->cp->roots_hash, px->cp->issuer_hash);
    if (strcmp(px->ca_told, now) != 0) {
        memcpy(px->ca_told, now, sizeof(now));
        cp_poll_end(px, 304);
        return;
    }
    uint64_t left = px->poll_until_ms - loop_now_ms(px->cp->loop);
    timer_set(&px->poll_timer, left < CA_MS ? left : CA_MS);
}

void cp_poll_check(struct cp_proxy *px)
{
    if (!px->poll)
        return;
    if (strcmp(px->poll_version, px->current) != 0)
        answer_when_room(px);
    else if (differs(px->roots, px->cp->roots_hash) || differs(px->issuer, px->cp->issuer_hash))
        tell_ca(px);
}

void cp_polls_check(struct cp *cp)
{
    struct cp_proxy *px;

    table_foreach (cp->proxies, it, NULL, &px)
        cp_poll_check(px);
}

void cp_polls_end(struct cp *cp)
{
    struct cp_proxy *px;

    table_foreach (cp->proxies, it, NULL, &px)
        cp_poll_end(px, 304);
}

/* What the proxy says it holds.  One that polls beside its first request for a certificate can't
 * say yet: what it was given by then counts (cp_proxy_has_roots). */
static void take(struct http_req *r, const char *name, char *held, size_t size)
{
    char said[DOCUMENT_VERSION_MAX > CP_HASH_MAX ? DOCUMENT_VERSION_MAX : CP_HASH_MAX] = "";

    http_req_query(r, name, said, size);
    if (*said)
        memcpy(held, said, size);
}

void cp_poll_begin(struct cp_proxy *px, struct http_req *r)
{
    char text[24] = "";
    unsigned long long wait = 0;
    uint64_t now = loop_now_ms(px->cp->loop);

    if (http_req_query(r, "wait", text, sizeof(text)) &&
        slice_u64(slice_str(text), 86400, &wait) < 0) {
        cp_reply_text(px->cp, r, 400, "wait=%s: expected seconds; more than %d count as so many\n",
                      text, CP_WAIT_MAX);
        return;
    }
    if (wait > CP_WAIT_MAX)
        wait = CP_WAIT_MAX;
    cp_poll_end(px, 304);
    px->poll = r;
    px->cp->n_waiting++;
    px->poll_version[0] = '\0';
    http_req_query(r, "version", px->poll_version, sizeof(px->poll_version));
    take(r, "roots", px->roots, sizeof(px->roots));
    take(r, "issuer", px->issuer, sizeof(px->issuer));
    take(r, "applied", px->applied, sizeof(px->applied));
    px->poll_until_ms = now + wait * 1000;
    http_req_on_gone(r, on_gone, px);
    policy_proxy_holds(px->px, px->poll_version);
    timer_set(&px->poll_timer, wait * 1000);
    cp_poll_check(px);
}
