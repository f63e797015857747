/* accesslog.c - see accesslog.h.
 *
 * Lines collect in a buffer of the worker; at the end of the loop turn, or when it is full, the
 * buffer goes to the writer thread: pushed onto a list that the thread takes whole.  What it has
 * written comes back to the worker by a list of its own, which the worker takes whole, so that
 * nothing is allocated for a line once there are as many buffers as are under way at a time.
 *
 * While the writer has as many of a worker's as that, the worker goes on filling the one it has, so
 * that what waits is bounded by its bytes, not by the turns in which it came.  At the bound, lines
 * are lost, as they are when they cannot be written: counted, and the writer says in the log itself
 * how many, as soon as it writes again.
 */
#include "common/proxy/accesslog.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/proxy/down.h"
#include "common/proxy/upstream.h"

#define CHUNK_BYTES (32 * 1024)
#define WAITING_MAX (2048 * 1024) /* bytes for the writer, then lines are lost */
#define LAST_WORDS  2             /* seconds that a reader who stands still has at the end */
#define CHUNKS_KEPT 2  /* of each worker, and not larger: one is filled, the other written */
#define AGAIN_MS    20 /* until a chunk that is not full is offered to a busy writer again */

/* Empty buffers of one worker.  The writer holds it as long as it has one of its chunks. */
struct spare {
    unsigned refs;      /* the worker, and chunks handed over; atomic */
    unsigned n;         /* in list, atomic */
    struct chunk *list; /* atomic: pushed by the writer, taken whole by the worker */
};

struct chunk {
    struct chunk *next;
    struct spare *home;
    unsigned lines;
    struct buf text;
};

struct access_log_writer {
    int fd;
    int format;        /* enum access_format, atomic */
    int started, stop; /* atomic */
    pthread_t thread;
    pthread_mutex_t start_lock;
    sem_t work;
    struct chunk *list;  /* newest first, atomic */
    struct chunk *taken; /* the thread's, or nobody's once it ended: being written, oldest first */
    size_t waiting;      /* bytes, atomic */
    uint64_t lost;       /* lines, atomic */
    uint64_t told;       /* the thread's: of these, the log says so */
    bool cut;            /* the thread's: what was written last is no whole line */
};

struct access_log {
    struct access_log_writer *wr;
    struct loop *loop;
    struct chunk *cur;
    struct chunk *empty; /* taken from spare */
    struct spare *spare;
    struct loop_job job;
    struct timer again;
};

/* ---- buffers --------------------------------------------------------------------------------- */

static void chunk_free(struct chunk *c)
{
    buf_free(&c->text);
    free(c);
}

static void push(struct chunk **list, struct chunk *c)
{
    c->next = __atomic_load_n(list, __ATOMIC_RELAXED);
    while (
        !__atomic_compare_exchange_n(list, &c->next, c, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

static void chunks_free(struct chunk *c)
{
    while (c) {
        struct chunk *next = c->next;
        chunk_free(c);
        c = next;
    }
}

static void spare_unref(struct spare *sp)
{
    if (__atomic_sub_fetch(&sp->refs, 1, __ATOMIC_ACQ_REL))
        return;
    chunks_free(sp->list);
    free(sp);
}

/* by the writer, with the reference that the chunk had */
static void give_back(struct chunk *c)
{
    struct spare *sp = c->home;
    if (__atomic_load_n(&sp->n, __ATOMIC_RELAXED) >= CHUNKS_KEPT || c->text.cap > CHUNK_BYTES) {
        chunk_free(c);
    } else {
        c->lines = 0;
        buf_clear(&c->text);
        __atomic_add_fetch(&sp->n, 1, __ATOMIC_RELAXED);
        push(&sp->list, c);
    }
    spare_unref(sp);
}

static struct chunk *chunk_take(struct access_log *a)
{
    if (!a->empty)
        a->empty = __atomic_exchange_n(&a->spare->list, NULL, __ATOMIC_ACQUIRE);
    struct chunk *c = a->empty;
    if (c) {
        a->empty = c->next;
        __atomic_sub_fetch(&a->spare->n, 1, __ATOMIC_RELAXED);
    } else {
        c = xcalloc(1, sizeof *c);
        c->home = a->spare;
    }
    return c;
}

/* ---- the writer ------------------------------------------------------------------------------ */

/* How many bytes at the end of p could not be written.  Somebody else may have made it a pipe that
 * does not block: the description is shared with whoever started us.  The thread may be cancelled
 * in here, nowhere else. */
static size_t write_all(int fd, const char *p, size_t n)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        } else if (k < 0 && errno == EAGAIN) {
            poll(&room, 1, -1);
        } else if (k == 0 || errno != EINTR) {
            break; /* whoever reads is gone, or there is no place: so is the text */
        }
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return n;
}

static void lose(struct access_log_writer *wr, uint64_t lines)
{
    __atomic_add_fetch(&wr->lost, lines, __ATOMIC_RELAXED);
}

static uint64_t lines_in(const char *p, size_t n)
{
    const char *end = p + n;
    uint64_t lines = 0;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        lines++;
        p++;
    }
    return lines;
}

/* Whole lines; one of which only a part was written is ended before the next begins.  Returns how
 * many were lost. */
static uint64_t write_lines(struct access_log_writer *wr, const char *p, size_t n)
{
    if (wr->cut && write_all(wr->fd, "\n", 1))
        return lines_in(p, n);
    wr->cut = false;
    size_t left = write_all(wr->fd, p, n), put = n - left;
    wr->cut = left && put && p[put - 1] != '\n';
    return left ? lines_in(p + put, left) : 0;
}

/* says in the log what is missing there */
static void tell_lost(struct access_log_writer *wr)
{
    uint64_t lost = access_log_lost(wr), n = lost - wr->told;
    bool json = __atomic_load_n(&wr->format, __ATOMIC_RELAXED) == ACCESS_JSON;
    char text[128], when[32];
    if (!n)
        return;
    clock_rfc3339(clock_wall_ms(), when);
    int len =
        snprintf(text, sizeof text,
                 json ? "{\"time\":\"%s\",\"lost_lines\":%llu}\n" : "time=\"%s\" lost_lines=%llu\n",
                 when, (unsigned long long)n);
    if (write_lines(wr, text, (size_t)len) == 0)
        wr->told = lost;
}

static void take_list(struct access_log_writer *wr)
{
    struct chunk *c = __atomic_exchange_n(&wr->list, NULL, __ATOMIC_ACQUIRE);
    while (c) { /* newest first: turn around */
        struct chunk *next = c->next;
        c->next = wr->taken;
        wr->taken = c;
        c = next;
    }
}

static void drop_first(struct access_log_writer *wr)
{
    struct chunk *c = wr->taken;
    wr->taken = c->next;
    __atomic_sub_fetch(&wr->waiting, c->text.len, __ATOMIC_RELAXED);
    give_back(c);
}

static void write_list(struct access_log_writer *wr)
{
    take_list(wr);
    while (wr->taken) {
        tell_lost(wr);
        lose(wr, write_lines(wr, wr->taken->text.p, wr->taken->text.len));
        drop_first(wr);
    }
    tell_lost(wr);
}

static void *writer_main(void *arg)
{
    struct access_log_writer *wr = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (!__atomic_load_n(&wr->stop, __ATOMIC_ACQUIRE)) {
        while (sem_wait(&wr->work) < 0 && errno == EINTR)
            ;
        write_list(wr);
    }
    write_list(wr); /* whoever logged has ended before us */
    return NULL;
}

/* the first line starts the thread: who logs nothing has none */
static bool writer_start(struct access_log_writer *wr)
{
    if (__atomic_load_n(&wr->started, __ATOMIC_ACQUIRE))
        return true;
    pthread_mutex_lock(&wr->start_lock);
    if (!wr->started && pthread_create(&wr->thread, NULL, writer_main, wr) == 0)
        __atomic_store_n(&wr->started, 1, __ATOMIC_RELEASE);
    bool ok = wr->started;
    pthread_mutex_unlock(&wr->start_lock);
    return ok;
}

struct access_log_writer *access_log_writer_new(int fd)
{
    struct access_log_writer *wr = xcalloc(1, sizeof *wr);
    wr->fd = fd;
    pthread_mutex_init(&wr->start_lock, NULL);
    sem_init(&wr->work, 0, 0);
    return wr;
}

/* Writes what is left.  Whoever should read may never do so again: that must not keep the process.
 */
static void end_thread(struct access_log_writer *wr)
{
    struct timespec until;
    __atomic_store_n(&wr->stop, 1, __ATOMIC_RELEASE);
    sem_post(&wr->work);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LAST_WORDS;
    if (pthread_timedjoin_np(wr->thread, NULL, &until) == 0)
        return;
    pthread_cancel(wr->thread);
    pthread_join(wr->thread, NULL);
}

void access_log_writer_free(struct access_log_writer *wr)
{
    if (!wr)
        return;
    if (wr->started)
        end_thread(wr);
    take_list(wr);
    while (wr->taken)
        drop_first(wr);
    sem_destroy(&wr->work);
    pthread_mutex_destroy(&wr->start_lock);
    free(wr);
}

void access_log_set_format(struct access_log_writer *wr, enum access_format f)
{
    __atomic_store_n(&wr->format, wr->fd < 0 ? ACCESS_OFF : f, __ATOMIC_RELAXED);
}

enum access_format access_log_format(const struct access_log_writer *wr)
{
    return __atomic_load_n(&wr->format, __ATOMIC_RELAXED);
}

uint64_t access_log_lost(const struct access_log_writer *wr)
{
    return __atomic_load_n(&wr->lost, __ATOMIC_RELAXED);
}

/* ---- a worker's part ------------------------------------------------------------------------- */

static void drop_cur(struct access_log *a)
{
    lose(a->wr, a->cur->lines);
    chunk_free(a->cur);
    a->cur = NULL;
}

/* false: so much waits for the writer that it has to stay */
static bool hand_over(struct access_log *a)
{
    struct access_log_writer *wr = a->wr;
    struct chunk *c = a->cur;
    if (!c)
        return true;
    if (!writer_start(wr)) {
        drop_cur(a);
        return true;
    }
    if (__atomic_load_n(&wr->waiting, __ATOMIC_RELAXED) >= WAITING_MAX)
        return false;
    a->cur = NULL;
    __atomic_add_fetch(&wr->waiting, c->text.len, __ATOMIC_RELAXED);
    __atomic_add_fetch(&a->spare->refs, 1, __ATOMIC_RELAXED);
    push(&wr->list, c);
    sem_post(&wr->work);
    return true;
}

/* has it enough of ours to be busy with? */
static bool writer_is_busy(const struct access_log *a)
{
    return __atomic_load_n(&a->spare->refs, __ATOMIC_RELAXED) - 1 >= CHUNKS_KEPT;
}

static void offer(void *arg)
{
    struct access_log *a = arg;
    if (a->cur && (writer_is_busy(a) || !hand_over(a)))
        timer_set(&a->again, AGAIN_MS);
}

static void on_turn_end(struct loop_job *job)
{
    offer((char *)job - offsetof(struct access_log, job));
}

struct access_log *access_log_new(struct access_log_writer *wr, struct loop *l)
{
    struct access_log *a = xcalloc(1, sizeof *a);
    a->wr = wr;
    a->loop = l;
    a->job.fn = on_turn_end;
    timer_init(&a->again, l, offer, a);
    a->spare = xcalloc(1, sizeof *a->spare);
    a->spare->refs = 1;
    return a;
}

void access_log_free(struct access_log *a)
{
    if (!a)
        return;
    loop_undefer(a->loop, &a->job);
    timer_cancel(&a->again);
    if (!hand_over(a))
        drop_cur(a);
    chunks_free(a->empty);
    spare_unref(a->spare);
    free(a);
}

bool access_log_on(const struct access_log *a)
{
    return __atomic_load_n(&a->wr->format, __ATOMIC_RELAXED) != ACCESS_OFF;
}

/* ---- a line ---------------------------------------------------------------------------------- */

/* one field of a line, whatever its form: name, and a text or a number */
struct line {
    struct buf *b;
    bool json;
    bool first;
};

static void put_name(struct line *l, const char *name)
{
    if (l->json)
        buf_printf(l->b, "%s\"%s\":", l->first ? "{" : ",", name);
    else
        buf_printf(l->b, "%s%s=", l->first ? "" : " ", name);
    l->first = false;
}

/* bytes of a peer's, so escaped in either form */
static void put_escaped(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c < 0x20 || c > 0x7e)
            buf_printf(b, "\\u%04x", c);
        else
            buf_putc(b, (char)c);
    }
}

static void put_text(struct line *l, const char *name, struct slice value)
{
    put_name(l, name);
    buf_putc(l->b, '"');
    put_escaped(l->b, value);
    buf_putc(l->b, '"');
}

static void put_number(struct line *l, const char *name, uint64_t value)
{
    put_name(l, name);
    buf_printf(l->b, "%llu", (unsigned long long)value);
}

static void put_addr(struct line *l, const char *name, const struct ip_port *a)
{
    char text[IP_TEXT_MAX];
    put_text(l, name, slice_str(ip_port_format(a, text)));
}

static void put_trace(struct line *l, const struct http_head *h)
{
    static const enum http_hdr ids[] = {HDR_TRACEPARENT, HDR_B3, HDR_X_B3_TRACEID,
                                        HDR_X_REQUEST_ID};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const struct http_field *f = http_find(h, ids[i]);
        if (f)
            put_text(l, http_hdr_name(ids[i]), f->value);
    }
}

static void put_request(struct line *l, const struct stream *s)
{
    static const char *const versions[] = {"HTTP/1.0", "HTTP/1.1", "HTTP/2"};
    const struct http_head *h = s->req;
    if (!h) {
        put_text(l, "protocol", SLICE_LIT("tcp"));
        return;
    }
    put_text(l, "protocol", slice_str(versions[h->version]));
    put_text(l, "method", h->method_text);
    put_text(l, "host", h->authority);
    put_text(l, "path", h->path);
    put_number(l, "status", s->status);
    put_trace(l, h);
}

static void put_upstream(struct line *l, const struct stream *s)
{
    if (!s->ep)
        return;
    put_text(l, "cluster", slice_str(s->ep->wc->name));
    put_addr(l, "upstream", &s->ep->addr);
    put_text(l, "upstream_protocol", slice_str(up_kind_name(s->kind)));
    if (s->ep->identity)
        put_text(l, "upstream_identity", slice_str(s->ep->identity));
    if (s->attempts)
        put_number(l, "retries", s->attempts);
    if (s->up_fault)
        put_text(l, "upstream_fault", slice_str(http_fault_name(s->up_fault)));
}

static uint64_t since(uint64_t from, uint64_t to)
{
    return from && to > from ? to - from : 0;
}

static void put_stream(struct line *l, const struct stream *s, enum reason why)
{
    uint64_t now = loop_now_ms(s->w->loop);
    char when[32];
    clock_rfc3339(clock_wall_ms() - (int64_t)(now - s->begin_ms), when);
    put_text(l, "time", slice_str(when));
    put_text(l, "direction", s->conn->inbound ? SLICE_LIT("inbound") : SLICE_LIT("outbound"));
    put_text(l, "reason", slice_str(reason_text(why)));
    put_request(l, s);
    put_number(l, "request_bytes", s->req_bytes);
    put_number(l, "response_bytes", s->rsp_bytes);
    put_number(l, "duration_ms", now - s->begin_ms);
    put_number(l, "connect_ms", since(s->begin_ms, s->up_ms));
    put_number(l, "first_byte_ms", since(s->begin_ms, s->first_ms));
    put_addr(l, "client", &s->conn->conn->peer);
    put_addr(l, "destination", &s->conn->dst);
    if (s->conn->id)
        put_text(l, "client_identity", slice_str(s->conn->id->spiffe));
    put_upstream(l, s);
}

static bool is_full(const struct access_log *a)
{
    return a->cur && a->cur->text.len >= CHUNK_BYTES;
}

void access_log_stream(struct access_log *a, const struct stream *s, enum reason why)
{
    if (is_full(a) && !hand_over(a)) {
        lose(a->wr, 1);
        return;
    }
    if (!a->cur)
        a->cur = chunk_take(a);
    struct line l = {.b = &a->cur->text,
                     .first = true,
                     .json = __atomic_load_n(&a->wr->format, __ATOMIC_RELAXED) == ACCESS_JSON};
    put_stream(&l, s, why);
    buf_puts(&a->cur->text, l.json ? "}\n" : "\n");
    a->cur->lines++;
    if (!is_full(a) || !hand_over(a))
        loop_defer(a->loop, &a->job);
}
