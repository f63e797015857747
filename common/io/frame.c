/* frame.c - length-prefixed JSON on Unix sockets, blocking and evented. */
#include "common/io/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/io/conn.h"

#define HEAD_LEN        4u
#define READ_STEP       65536u /* memory follows what has come, not what was announced */
#define READS_PER_EVENT 16     /* then others have their turn */
#define FINISH_MS       10000  /* how long a peer may take to read the rest */

static uint32_t head_len(const char *p)
{
    uint32_t n;

    memcpy(&n, p, HEAD_LEN);
    return ntohl(n);
}

static int check_len(uint32_t n, struct err *e)
{
    if (n > FRAME_MAX)
        return err_set(e, "a frame of %u bytes: at most %u are accepted", n, FRAME_MAX);
    if (n < 2)
        return err_set(e, "a frame of %u bytes: expected a JSON object", n);
    return 0;
}

/* returns owned, or NULL and e */
static json_t *parse_body(struct slice body, struct err *e)
{
    json_t *j = json_parse(body, FRAME_MAX, e);

    if (j && !json_is_object(j)) {
        json_decref(j);
        j = NULL;
        err_set(e, "expected a JSON object");
    }
    if (!j)
        err_prefix(e, "a frame that cannot be read");
    return j;
}

/* appends head and body; -1 if the body is above the bound (nothing is appended then) */
static int put_frame(struct buf *out, const json_t *msg)
{
    size_t at = out->len, n;
    uint32_t head;

    buf_append(out, "\0\0\0", HEAD_LEN);
    json_print(msg, out);
    n = out->len - at - HEAD_LEN;
    if (n > FRAME_MAX) {
        out->len = at;
        return -1;
    }
    head = htonl((uint32_t)n);
    memcpy(out->p + at, &head, HEAD_LEN);
    return 0;
}

/* ---- blocking ---------------------------------------------------------------------------- */

/* a moment in clock_mono_ms, or INT64_MAX for never */
static int64_t deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : (int64_t)clock_mono_ms() + timeout_ms;
}

static int wait_for(int fd, short events, int64_t deadline, struct err *e)
{
    struct pollfd pfd = {.fd = fd, .events = events};
    int64_t left;
    int rc;

    for (;;) {
        left = deadline == INT64_MAX ? -1 : deadline - (int64_t)clock_mono_ms();
        if (deadline != INT64_MAX && left < 0)
            left = 0;
        rc = poll(&pfd, 1, (int)left);
        if (rc > 0)
            return 0;
        if (rc == 0)
            return err_set(e, "the other side did not answer in time");
        if (errno != EINTR)
            return err_errno(e, "waiting for a frame");
    }
}

/* 1 done, 0 the stream ended before the first byte, -1 */
static int recv_all(int fd, struct buf *out, size_t n, int64_t deadline, struct err *e)
{
    size_t goal = out->len + n, start = out->len;

    while (out->len < goal) {
        size_t step = goal - out->len < READ_STEP ? goal - out->len : READ_STEP;
        ssize_t got = recv(fd, buf_reserve(out, step), step, MSG_DONTWAIT);
        if (got > 0) {
            out->len += (size_t)got;
        } else if (got == 0) {
            return out->len == start ? 0 : err_set(e, "the stream ended inside a frame");
        } else if (errno == EAGAIN) {
            if (wait_for(fd, POLLIN, deadline, e) < 0)
                return -1;
        } else if (errno != EINTR) {
            return err_errno(e, "reading a frame");
        }
    }
    return 1;
}

json_t *frame_recv(int fd, int timeout_ms, struct err *e)
{
    int64_t deadline = deadline_of(timeout_ms);
    struct buf in = BUF_INIT;
    json_t *j = NULL;
    int rc;

    err_set(e, "%s", "");
    rc = recv_all(fd, &in, HEAD_LEN, deadline, e);
    if (rc == 1) {
        uint32_t n = head_len(in.p);
        buf_clear(&in);
        if (check_len(n, e) == 0) {
            rc = recv_all(fd, &in, n, deadline, e);
            if (rc == 0)
                err_set(e, "the stream ended inside a frame");
            if (rc == 1)
                j = parse_body(buf_slice(&in), e);
        }
    }
    buf_free(&in);
    return j;
}

int frame_send(int fd, const json_t *msg, int timeout_ms, struct err *e)
{
    int64_t deadline = deadline_of(timeout_ms);
    struct buf out = BUF_INIT;
    size_t done = 0;
    int rc = 0;

    if (put_frame(&out, msg) < 0)
        rc = err_set(e, "a message above %u bytes cannot be sent", FRAME_MAX);
    while (rc == 0 && done < out.len) {
        ssize_t n = send(fd, out.p + done, out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            rc = wait_for(fd, POLLOUT, deadline, e);
        else if (errno != EINTR)
            rc = err_errno(e, "sending a frame");
    }
    buf_free(&out);
    return rc;
}

int frame_connect(const char *path, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(un.sun_path))
        return err_set(e, "%s: a socket's path has at most %zu bytes", path,
                       sizeof(un.sun_path) - 1);
    strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, "a socket for %s", path);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    err_errno(e, "connecting to %s: is the daemon that listens there running?", path);
    close(fd);
    return -1;
}

/* ---- evented ----------------------------------------------------------------------------- */

struct frame_conn {
    struct loop *loop;
    struct conn *c; /* NULL once gone */
    frame_cb *cb;
    void *arg;
    struct buf in, out;
    size_t sent;           /* of out */
    struct loop_job flush; /* one write for what a turn queued */
    struct timer limit;    /* while finishing */
    bool in_cb, freed;     /* freed inside the callback: destroyed behind it */
    bool finishing, gone;
};

static void destroy(struct frame_conn *fc)
{
    loop_undefer(fc->loop, &fc->flush);
    timer_cancel(&fc->limit);
    conn_close(fc->c);
    buf_free(&fc->in);
    buf_free(&fc->out);
    free(fc);
}

/* false: fc is gone */
static bool call(struct frame_conn *fc, json_t *msg, const char *err)
{
    if (fc->finishing)
        return true;
    fc->in_cb = true;
    fc->cb(fc, msg, err, fc->arg);
    fc->in_cb = false;
    if (!fc->freed)
        return true;
    destroy(fc);
    return false;
}

/* the last callback; err "" = orderly.  fc may be gone */
static void end(struct frame_conn *fc, const char *err)
{
    if (fc->gone)
        return;
    fc->gone = true;
    conn_close(fc->c);
    fc->c = NULL;
    if (fc->finishing)
        destroy(fc);
    else
        call(fc, NULL, err);
}

/* hands out the whole frames in fc->in; false: fc is gone or has ended */
static bool take_frames(struct frame_conn *fc)
{
    size_t at = 0;
    struct err e;

    while (fc->in.len - at >= HEAD_LEN) {
        uint32_t n = head_len(fc->in.p + at);
        json_t *msg;
        bool alive;
        if (check_len(n, &e) < 0) {
            end(fc, e.text);
            return false;
        }
        if (fc->in.len - at - HEAD_LEN < n)
            break;
        msg = parse_body(slice_of(fc->in.p + at + HEAD_LEN, n), &e);
        if (!msg) {
            end(fc, e.text);
            return false;
        }
        at += HEAD_LEN + n;
        alive = call(fc, msg, NULL);
        json_decref(msg);
        if (!alive)
            return false;
    }
    buf_consume(&fc->in, at);
    return true;
}

static void on_readable(struct frame_conn *fc)
{
    for (int i = 0; i < READS_PER_EVENT; i++) {
        ssize_t n = conn_read(fc->c, buf_reserve(&fc->in, READ_STEP), READ_STEP);
        if (n == CONN_AGAIN) {
            if (fc->in.len == 0)
                buf_free(&fc->in); /* an idle connection holds no buffer */
            return;
        }
        if (n <= 0) {
            end(fc, n < 0            ? conn_fail_name(fc->c->fail)
                    : fc->in.len > 0 ? "the stream ended inside a frame"
                                     : "");
            return;
        }
        fc->in.len += (size_t)n;
        fc->in.p[fc->in.len] = 0;
        if (fc->finishing)
            buf_clear(&fc->in);
        else if (!take_frames(fc))
            return;
    }
    conn_wake(fc->c, CONN_EV_READ);
}

/* fc may be gone */
static void write_out(struct frame_conn *fc)
{
    while (fc->sent < fc->out.len) {
        ssize_t n = conn_write(fc->c, fc->out.p + fc->sent, fc->out.len - fc->sent);
        if (n == CONN_AGAIN)
            return;
        if (n < 0) {
            end(fc, conn_fail_name(fc->c->fail));
            return;
        }
        fc->sent += (size_t)n;
    }
    buf_clear(&fc->out);
    fc->sent = 0;
    if (fc->finishing)
        conn_shut_write(fc->c); /* and wait for the peer's end: closing now could cut it short */
}

static void on_flush(struct loop_job *job)
{
    struct frame_conn *fc = (struct frame_conn *)((char *)job - offsetof(struct frame_conn, flush));

    if (!fc->gone)
        write_out(fc);
}

static void on_conn(struct conn *c, unsigned events, void *arg)
{
    struct frame_conn *fc = arg;

    if (events & CONN_EV_WRITE)
        loop_defer(fc->loop, &fc->flush);
    if (events & CONN_EV_READ)
        on_readable(fc);
}

static void on_finish_limit(void *arg)
{
    end(arg, "");
}

struct frame_conn *frame_conn_new(struct loop *l, int fd, frame_cb *cb, void *arg, struct err *e)
{
    struct frame_conn *fc = xcalloc(1, sizeof(*fc));

    fc->loop = l;
    fc->cb = cb;
    fc->arg = arg;
    fc->flush.fn = on_flush;
    timer_init(&fc->limit, l, on_finish_limit, fc);
    fc->c = conn_adopt(l, fd, on_conn, fc, e);
    if (!fc->c) {
        free(fc);
        return NULL;
    }
    return fc;
}

int frame_conn_send(struct frame_conn *fc, const json_t *msg)
{
    if (fc->gone || fc->finishing || fc->out.len - fc->sent > FRAME_MAX)
        return -1;
    if (fc->sent > fc->out.len / 2) { /* moving bytes must not cost more than sending them */
        buf_consume(&fc->out, fc->sent);
        fc->sent = 0;
    }
    if (put_frame(&fc->out, msg) < 0)
        return -1;
    loop_defer(fc->loop, &fc->flush);
    return 0;
}

void frame_conn_finish(struct frame_conn *fc)
{
    if (fc->gone || fc->finishing) {
        frame_conn_free(fc);
        return;
    }
    fc->finishing = true;
    timer_set(&fc->limit, FINISH_MS);
    loop_defer(fc->loop, &fc->flush);
}

void frame_conn_free(struct frame_conn *fc)
{
    if (!fc || fc->freed)
        return;
    if (fc->in_cb) {
        fc->freed = true;
        return;
    }
    destroy(fc);
}
