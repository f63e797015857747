/* lsock.c - see lsock.h */
#include "common/proxy/lsock.h"
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/io/handover.h"
#include "common/io/listener.h"

#define LISTEN_BACKLOG 4096

struct lsock {
    LIST_ENTRY(lsock) link;
    struct lsocks *all;
    struct ip_port addr;
    uint64_t serial;
    uint32_t refs;
    bool listed;           /* lsock_open finds it */
    bool reserved;         /* one of refs is ours, until lsocks_unreserve() */
    unsigned n;            /* atomic; only grows */
    int slot[WORKERS_MAX]; /* atomic; descriptors, -1 = a worker has it */
};

struct lsocks {
    LIST_HEAD(, lsock) list;
    unsigned workers; /* atomic */
    uint64_t serial;
};

/* ---- all of them ------------------------------------------------------------------------------
 */

struct lsocks *lsocks_new(unsigned workers)
{
    struct lsocks *s = xcalloc(1, sizeof *s);
    s->workers = workers;
    return s;
}

void lsocks_free(struct lsocks *s)
{
    if (!s)
        return;
    lsocks_unreserve(s);
    free(s);
}

static void add_socket(struct lsock *k, int fd)
{
    __atomic_store_n(&k->slot[k->n], fd, __ATOMIC_RELEASE);
    __atomic_store_n(&k->n, k->n + 1, __ATOMIC_RELEASE);
}

/* -1: the process before had no more of that address */
static int inherited(const struct ip_port *addr)
{
    static const struct ip any = {.family = 6};
    struct ip_port any4 = {.ip.family = 4, .port = addr->port};
    int fd = handover_socket(addr);
    return fd < 0 && ip_eq(&addr->ip, &any) ? handover_socket(&any4) : fd;
}

/* All of them, also if that process had more workers once than we have: connections wait in the
 * backlog of each, and would be lost with it. */
static void inherit(struct lsock *k)
{
    int fd;
    while (k->n < WORKERS_MAX && (fd = inherited(&k->addr)) >= 0)
        add_socket(k, fd);
}

/* until there are n */
static int bind_more(struct lsock *k, unsigned n, struct err *e)
{
    static const struct ip any = {.family = 6};
    unsigned flags = LISTEN_REUSEPORT | (ip_eq(&k->addr.ip, &any) ? LISTEN_DUAL : 0);
    while (k->n < n) {
        int fd = listener_bind(&k->addr, flags, LISTEN_BACKLOG, e);
        if (fd < 0)
            return -1;
        add_socket(k, fd);
    }
    return 0;
}

int lsocks_deal(struct lsocks *s, unsigned workers, struct err *e)
{
    struct lsock *k;
    LIST_FOREACH (k, &s->list, link) {
        if (bind_more(k, workers, e) < 0)
            return -1;
    }
    __atomic_store_n(&s->workers, workers, __ATOMIC_RELEASE);
    return 0;
}

static struct lsock *lsock_new(struct lsocks *s, const struct ip_port *addr)
{
    struct lsock *k = xcalloc(1, sizeof *k);
    k->all = s;
    k->addr = *addr;
    k->refs = 1;
    k->listed = true;
    k->serial = ++s->serial;
    LIST_INSERT_HEAD(&s->list, k, link);
    inherit(k);
    return k;
}

static struct lsock *lsock_find(struct lsocks *s, const struct ip_port *addr)
{
    struct lsock *k;
    LIST_FOREACH (k, &s->list, link) {
        if (ip_port_eq(&k->addr, addr))
            return k;
    }
    return NULL;
}

int lsocks_reserve(struct lsocks *s, const struct ip_port *addr, struct err *e)
{
    struct lsock *k = lsock_find(s, addr);
    if (!k) {
        k = lsock_new(s, addr);
        k->reserved = true;
    }
    return bind_more(k, s->workers, e);
}

void lsocks_unreserve(struct lsocks *s)
{
    struct lsock *k, *next;
    for (k = LIST_FIRST(&s->list); k; k = next) {
        next = LIST_NEXT(k, link);
        if (k->reserved) {
            k->reserved = false;
            lsock_unref(k);
        }
    }
}

static void unlist(struct lsock *k)
{
    if (k->listed)
        LIST_REMOVE(k, link);
    k->listed = false;
}

void lsocks_keep(struct lsocks *s, bool (*keep)(const struct lsock *k, const void *arg),
                 const void *arg)
{
    struct lsock *k, *next;
    for (k = LIST_FIRST(&s->list); k; k = next) {
        next = LIST_NEXT(k, link);
        if (!k->reserved && !keep(k, arg))
            unlist(k);
    }
}

/* ---- one address ------------------------------------------------------------------------------
 */

struct lsock *lsock_open(struct lsocks *s, const struct ip_port *addr, struct err *e)
{
    struct lsock *k = lsock_find(s, addr);
    if (k)
        k->refs++;
    else
        k = lsock_new(s, addr);
    if (bind_more(k, s->workers, e) == 0)
        return k;
    lsock_unref(k);
    return NULL;
}

void lsock_unref(struct lsock *k)
{
    if (!k || --k->refs)
        return;
    for (unsigned i = 0; i < k->n; i++) {
        int fd = lsock_take(k, i);
        if (fd >= 0)
            close(fd);
    }
    unlist(k);
    free(k);
}

const struct ip_port *lsock_addr(const struct lsock *k)
{
    return &k->addr;
}

uint64_t lsock_serial(const struct lsock *k)
{
    return k->serial;
}

unsigned lsock_count(const struct lsock *k)
{
    return __atomic_load_n(&k->n, __ATOMIC_ACQUIRE);
}

bool lsock_is_of(const struct lsock *k, unsigned i, unsigned worker)
{
    unsigned n = __atomic_load_n(&k->all->workers, __ATOMIC_ACQUIRE);
    return n && i % n == worker;
}

int lsock_take(struct lsock *k, unsigned i)
{
    return __atomic_exchange_n(&k->slot[i], -1, __ATOMIC_ACQ_REL);
}

void lsock_give(struct lsock *k, unsigned i, int fd)
{
    __atomic_store_n(&k->slot[i], fd, __ATOMIC_RELEASE);
}
