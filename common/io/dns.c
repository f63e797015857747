/* dns.c - c-ares on the loop.
 *
 * c-ares says which descriptors it wants watched; its time-outs come from one timer of ours.  It
 * may answer from inside a call and must not be destroyed from inside an answer, so every answer
 * is kept in its query and told by a job at the end of the turn.
 */
#include "common/io/dns.h"

#include <ares.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

#define ADDRS_MAX  64   /* of one name; more are dropped */
#define TRY_MS     2000 /* for an answer, the first time; c-ares doubles it for the second */
#define TRIES      2
#define UDP_MAX    1232 /* answers that fit any path unfragmented; larger ones come by TCP */
#define NAME_LIMIT 255  /* RFC 1035 2.3.4 */

struct query {
    TAILQ_ENTRY(query) link;
    struct dns *d;
    uint64_t id;
    dns_cb *cb; /* NULL = cancelled */
    void *arg;
    bool answered; /* nothing of c-ares names it any more */
    struct ip *addrs;
    unsigned n, ttl;
    const char *error; /* static text */
};

struct watch {
    TAILQ_ENTRY(watch) link;
    struct event *ev;
    int fd;
};

struct dns {
    struct loop *loop;
    ares_channel channel;
    uint64_t last_id;
    TAILQ_HEAD(, query) queries;
    TAILQ_HEAD(, watch) watches;
    struct timer timer;
    struct loop_job job; /* tells what was answered */
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_init(void)
{
    BUG_ON(ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS);
}

/* ---- descriptors and time ---------------------------------------------------------------- */

/* the timer follows what c-ares waits for next */
static void set_timer(struct dns *d)
{
    struct timeval tv, *next = ares_timeout(d->channel, NULL, &tv);

    if (next)
        timer_set(&d->timer, (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
    else
        timer_cancel(&d->timer);
}

static void on_timer(void *arg)
{
    struct dns *d = arg;

    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(d);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct dns *d = arg;

    ares_process_fd(d->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
                    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
    set_timer(d);
}

static struct watch *find_watch(struct dns *d, int fd)
{
    struct watch *w;

    TAILQ_FOREACH (w, &d->watches, link)
        if (w->fd == fd)
            return w;
    return NULL;
}

static void unwatch(struct dns *d, struct watch *w)
{
    TAILQ_REMOVE(&d->watches, w, link);
    event_free(w->ev);
    free(w);
}

/* c-ares opens, closes or wants something else of a descriptor */
static void on_sock_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns *d = arg;
    struct watch *w = find_watch(d, fd);
    short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

    if (w)
        unwatch(d, w);
    if (!what)
        return;
    w = xcalloc(1, sizeof(*w));
    w->fd = fd;
    w->ev = event_new(loop_base(d->loop), fd, (short)(what | EV_PERSIST), on_ready, d);
    if (!w->ev || event_add(w->ev, NULL) < 0) { /* the query then runs into its time-out */
        if (w->ev)
            event_free(w->ev);
        free(w);
        return;
    }
    TAILQ_INSERT_TAIL(&d->watches, w, link);
}

/* ---- answers ----------------------------------------------------------------------------- */

static void query_free(struct query *q)
{
    TAILQ_REMOVE(&q->d->queries, q, link);
    free(q->addrs);
    free(q);
}

/* Callbacks may look up, cancel and free the dns: start from the top after each. */
static void tell_answers(struct loop_job *job)
{
    struct dns *d = (struct dns *)((char *)job - offsetof(struct dns, job));
    struct query *q;

    TAILQ_FOREACH (q, &d->queries, link)
        if (q->answered)
            break;
    if (!q)
        return;
    loop_defer(d->loop, &d->job); /* for the next one; undone if d goes */
    if (q->cb) {
        struct query copy = *q;
        q->addrs = NULL;
        query_free(q);
        copy.cb(copy.id, copy.addrs, copy.n, copy.ttl, copy.error, copy.arg);
        free(copy.addrs);
        return;
    }
    query_free(q);
}

static void answered(struct query *q)
{
    q->answered = true;
    loop_defer(q->d->loop, &q->d->job);
}

static void take_addrs(struct query *q, const struct ares_addrinfo *ai)
{
    const struct ares_addrinfo_node *node;
    struct ip_port a;

    q->addrs = xcalloc(ADDRS_MAX, sizeof(*q->addrs));
    q->ttl = UINT32_MAX;
    for (node = ai->nodes; node && q->n < ADDRS_MAX; node = node->ai_next) {
        if (ip_port_from_sockaddr(node->ai_addr, &a) < 0)
            continue;
        q->addrs[q->n++] = a.ip;
        if (node->ai_ttl >= 0 && (unsigned)node->ai_ttl < q->ttl)
            q->ttl = (unsigned)node->ai_ttl;
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *ai)
{
    struct query *q = arg;

    if (status == ARES_EDESTRUCTION) {
        query_free(q);
        return;
    }
    if (status == ARES_SUCCESS)
        take_addrs(q, ai);
    if (ai)
        ares_freeaddrinfo(ai);
    if (q->n == 0)
        q->error = status == ARES_SUCCESS ? "the name has no address" : ares_strerror(status);
    answered(q);
}

/* ---- the interface ----------------------------------------------------------------------- */

struct dns *dns_new(struct loop *l, const char *servers, struct err *e)
{
    struct dns *d = xcalloc(1, sizeof(*d));
    struct ares_options o = {.flags = ARES_FLAG_EDNS,
                             .ednspsz = UDP_MAX,
                             .timeout = TRY_MS,
                             .tries = TRIES,
                             .sock_state_cb = on_sock_state,
                             .sock_state_cb_data = d};
    int rc;

    pthread_once(&library_once, library_init);
    d->loop = l;
    TAILQ_INIT(&d->queries);
    TAILQ_INIT(&d->watches);
    d->job.fn = tell_answers;
    timer_init(&d->timer, l, on_timer, d);
    rc = ares_init_options(&d->channel, &o,
                           ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                               ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        err_set(e, "reading the resolver's configuration (/etc/resolv.conf): %s",
                ares_strerror(rc));
        free(d);
        return NULL;
    }
    rc = servers ? ares_set_servers_ports_csv(d->channel, servers) : ARES_SUCCESS;
    if (rc != ARES_SUCCESS) {
        err_set(e, "name servers \"%s\": expected ip[:port],...: %s", servers, ares_strerror(rc));
        dns_free(d);
        return NULL;
    }
    return d;
}

static void start(struct query *q, const char *name)
{
    struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    struct ip ip;

    if (ip_parse(name, &ip) == 0) {
        q->addrs = xcalloc(1, sizeof(*q->addrs));
        q->addrs[0] = ip;
        q->n = 1;
        q->ttl = UINT32_MAX;
        answered(q);
    } else if (!name[0] || strlen(name) > NAME_LIMIT) {
        q->error = "no host name (empty or too long)";
        answered(q);
    } else {
        ares_getaddrinfo(q->d->channel, name, NULL, &hints, on_answer, q);
        set_timer(q->d);
    }
}

uint64_t dns_lookup(struct dns *d, const char *name, dns_cb *cb, void *arg)
{
    struct query *q = xcalloc(1, sizeof(*q));
    uint64_t id = ++d->last_id;

    q->d = d;
    q->id = id;
    q->cb = cb;
    q->arg = arg;
    TAILQ_INSERT_TAIL(&d->queries, q, link);
    start(q, name);
    return id;
}

void dns_cancel(struct dns *d, uint64_t id)
{
    struct query *q;

    TAILQ_FOREACH (q, &d->queries, link)
        if (q->id == id)
            q->cb = NULL; /* c-ares still holds it */
}

void dns_free(struct dns *d)
{
    struct query *q, *next;

    if (!d)
        return;
    ares_destroy(d->channel); /* frees what was not answered, closes its descriptors */
    for (q = TAILQ_FIRST(&d->queries); q; q = next) {
        next = TAILQ_NEXT(q, link);
        query_free(q);
    }
    while (!TAILQ_EMPTY(&d->watches))
        unwatch(d, TAILQ_FIRST(&d->watches));
    timer_cancel(&d->timer);
    loop_undefer(d->loop, &d->job);
    free(d);
}
