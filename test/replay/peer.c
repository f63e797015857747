/* peer.c - see peer.h */
#include "test/replay/peer.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/mem.h"

struct peer *peer_new(const char *name, int fd)
{
    struct peer *p = xcalloc(1, sizeof *p);
    p->name = xstrdup(name);
    p->fd = fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    buf_puts(&p->in, "");
    return p;
}

void peer_free(struct peer *p)
{
    peer_close(p, false);
    peer_h2_free(p);
    buf_free(&p->in);
    buf_free(&p->out);
    buf_free(&p->all);
    free(p->name);
    free(p);
}

static bool pump_out(struct peer *p)
{
    bool moved = false;
    while (peer_unsent(p)) {
        ssize_t n = send(p->fd, p->out.p + p->sent, peer_unsent(p), MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        p->broken |= n < 0 && errno == ECONNRESET; /* told once, here or to recv */
        p->sent += n < 0 ? peer_unsent(p) : (size_t)n;
        moved = true;
    }
    if (!peer_unsent(p)) {
        buf_clear(&p->out);
        p->sent = 0;
    }
    if (p->shut && !peer_unsent(p)) {
        p->shut = false;
        shutdown(p->fd, SHUT_WR);
        moved = true;
    }
    return moved;
}

static void take(struct peer *p, struct slice bytes)
{
    size_t before = p->in.len;
    p->received += bytes.n;
    if (!p->h2.on) {
        buf_put_slice(&p->in, bytes);
    } else {
        const char *wrong = peer_h2_take(p, bytes);
        if (wrong)
            buf_printf(&p->in, "BAD FRAMES: %s\n", wrong);
    }
    if (p->keep)
        buf_append(&p->all, p->in.p + before, p->in.len - before);
}

static bool pump_in(struct peer *p)
{
    char bytes[65536];
    bool moved = false;
    while (!p->stopped && !p->eof && !p->reset) {
        ssize_t n = recv(p->fd, bytes, sizeof bytes, 0);
        if (n < 0 && errno == EAGAIN)
            break;
        moved = true;
        if (n > 0)
            take(p, slice_of(bytes, (size_t)n));
        else if (n == 0 && !p->broken)
            p->eof = true;
        else
            p->reset = true;
    }
    return moved;
}

bool peer_pump(struct peer *p)
{
    int one = 1;
    if (p->closed)
        return false;
    bool out = pump_out(p), in = pump_in(p);
    /* what came is acknowledged at once: virtual time does not wait for the kernel's */
    setsockopt(p->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    return out || in;
}

void peer_send(struct peer *p, struct slice bytes)
{
    buf_put_slice(&p->out, bytes);
    if (!p->closed)
        pump_out(p);
}

int peer_send_urgent(struct peer *p, struct slice bytes)
{
    if (p->closed || peer_unsent(p))
        return -1;
    return send(p->fd, bytes.p, bytes.n, MSG_OOB | MSG_NOSIGNAL) == (ssize_t)bytes.n ? 0 : -1;
}

void peer_close(struct peer *p, bool abort)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (p->closed)
        return;
    if (abort)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(p->fd);
    p->closed = true;
}

void peer_shut(struct peer *p)
{
    p->shut = true;
    pump_out(p);
}
