/* chan.c - gathering writes; see chan.h.
 *
 * Invariant: g->owner == ch implies that ch->out is empty (what is put behind waiting bytes goes
 * into pages at once), so order is kept.
 */
#include "common/proxy/chan.h"
#include <stddef.h>
#include <string.h>
#include "common/base/bug.h"

static void flush_job(struct loop_job *job)
{
    gather_flush((struct gather *)((char *)job - offsetof(struct gather, job)));
}

void gather_init(struct gather *g, struct wmem *mem, struct loop *l)
{
    g->mem = mem;
    g->loop = l;
    g->job.fn = flush_job;
}

void chan_init(struct chan *ch, struct conn *c, struct gather *g)
{
    *ch = (struct chan){.c = c, .g = g};
}

static void gather_reset(struct gather *g)
{
    g->owner = NULL;
    g->n = 0;
    g->bytes = 0;
    g->text_used = 0;
}

void chan_release(struct chan *ch)
{
    if (!ch->g)
        return;
    if (ch->g->owner == ch)
        gather_reset(ch->g);
    pageq_clear(ch->g->mem, &ch->out);
    ch->broken = true;
}

static void chan_break(struct chan *ch)
{
    ch->broken = true;
    pageq_clear(ch->g->mem, &ch->out);
    conn_wake(ch->c, CONN_EV_READ);
}

/* keeps what the kernel did not take: everything behind the first `sent` bytes */
static void keep_rest(struct chan *ch, size_t sent)
{
    struct gather *g = ch->g;
    for (int i = 0; i < g->n; i++) {
        const struct iovec *v = &g->iov[i];
        if (sent >= v->iov_len) {
            sent -= v->iov_len;
            continue;
        }
        if (pageq_append(g->mem, &ch->out, (char *)v->iov_base + sent, v->iov_len - sent) < 0) {
            chan_break(ch);
            return;
        }
        sent = 0;
    }
}

static void shut_if_wanted(struct chan *ch)
{
    if (!ch->shut_wanted || ch->shut || ch->broken || ch->out.bytes)
        return;
    ch->shut = true;
    conn_shut_write(ch->c);
}

void chan_flush(struct chan *ch)
{
    struct gather *g = ch->g;
    if (g->owner != ch)
        return;
    ssize_t sent = conn_writev(ch->c, g->iov, g->n);
    if (sent == CONN_AGAIN)
        sent = 0;
    if (sent < 0)
        chan_break(ch);
    else if ((size_t)sent < g->bytes)
        keep_rest(ch, (size_t)sent);
    gather_reset(g);
    shut_if_wanted(ch);
}

/* makes the gather list this channel's; false: bytes must go into pages (or nowhere) */
static bool gather_claim(struct chan *ch)
{
    struct gather *g = ch->g;
    if (ch->broken || ch->out.bytes)
        return false;
    if (g->owner && g->owner != ch)
        chan_flush(g->owner);
    if (g->n == GATHER_IOV)
        chan_flush(ch);
    if (ch->broken || ch->out.bytes)
        return false;
    if (!g->owner)
        loop_defer(g->loop, &g->job);
    g->owner = ch;
    return true;
}

/* Little pieces lie together behind what was written to the text, so that a body of many of them
 * is one entry, and not as many system calls as they are by 64. */
#define COPY_MAX 64

static void gather_add(struct gather *g, const char *p, size_t n)
{
    struct iovec *last = g->n ? &g->iov[g->n - 1] : NULL;
    char *place = g->text + g->text_used;
    if (n <= COPY_MAX && p != place && g->text_used + n <= GATHER_TEXT) {
        p = memmove(place, p, n);
        g->text_used += n;
    }
    if (last && (char *)last->iov_base + last->iov_len == p)
        last->iov_len += n;
    else
        g->iov[g->n++] = (struct iovec){(void *)p, n};
    g->bytes += n;
}

void chan_put(struct chan *ch, const void *p, size_t n)
{
    struct gather *g = ch->g;
    if (n == 0)
        return;
    if (gather_claim(ch)) {
        gather_add(g, p, n);
    } else if (!ch->broken && pageq_append(g->mem, &ch->out, p, n) < 0) {
        chan_break(ch);
    }
}

char *chan_text(struct chan *ch, size_t n)
{
    struct gather *g = ch->g;
    BUG_ON(n > GATHER_TEXT);
    if (g->owner && (g->owner != ch || g->text_used + n > GATHER_TEXT))
        chan_flush(g->owner);
    return g->text + g->text_used;
}

void chan_text_put(struct chan *ch, const char *text, size_t n)
{
    chan_put(ch, text, n);
    if (ch->g->owner == ch)
        ch->g->text_used = (size_t)(text - ch->g->text) + n;
}

void chan_shut(struct chan *ch)
{
    ch->shut_wanted = true;
    if (ch->g->owner != ch)
        shut_if_wanted(ch);
}

bool chan_write_more(struct chan *ch)
{
    struct iovec iov[16];
    while (ch->out.bytes && !ch->broken) {
        int n = pageq_iov(&ch->out, iov, 16);
        ssize_t sent = conn_writev(ch->c, iov, n);
        if (sent == CONN_AGAIN)
            return false;
        if (sent < 0) {
            chan_break(ch);
            return true;
        }
        pageq_consume(ch->g->mem, &ch->out, (size_t)sent);
    }
    shut_if_wanted(ch);
    return true;
}
