/* tls_test.h - two ends of a socketpair in one loop, each with its own TLS, and credentials. */
#ifndef FSM_TEST_TLS_H
#define FSM_TEST_TLS_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/io/conn.h"
#include "common/io/loop.h"
#include "common/pki/pki.h"
#include "common/tls/tls.h"

/* ---- credentials: made once, in main() ---- */
struct ident {
    char *chain, *key;
};

static char dir[64];
static struct pki_ca *ca, *other_ca;
static struct ident web, api, stranger;

static struct ident issue(struct pki_ca *from, const char *sa, const char *host)
{
    char *principal = xasprintf("%s.shop.cluster.local", sa);
    char *spiffe = xasprintf("spiffe://cluster.local/ns/shop/sa/%s", sa);
    const char *dns[] = {principal, host, NULL}, *uri[] = {spiffe, NULL};
    const char *ip[] = {"127.0.0.1", NULL};
    struct pki_names n = {.cn = principal, .dns = dns, .uri = uri, .ip = ip};
    struct ident c;
    struct err e = {""};

    c.chain = pki_ca_issue(from, &n, 3600, &c.key, &e);
    if (c.chain == NULL) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    free(principal);
    free(spiffe);
    return c;
}

static void ident_free(struct ident *c)
{
    free(c->chain);
    pki_wipe(c->key);
}

static struct pki_ca *ca_in(const char *name)
{
    struct err e = {""};
    char *path = xasprintf("%s/%s", dir, name);
    struct pki_ca *c = pki_ca_open(path, "cluster.local", &e);

    if (c == NULL) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    free(path);
    return c;
}

static void idents_make(void)
{
    snprintf(dir, sizeof(dir), "%s", "/tmp/tls-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        exit(1);
    ca = ca_in("ca");
    other_ca = ca_in("other");
    web = issue(ca, "web", "web.example.com");
    api = issue(ca, "api", "*.example.com");
    stranger = issue(other_ca, "web", "web.example.com");
}

static void idents_remove(void)
{
    ident_free(&web);
    ident_free(&api);
    ident_free(&stranger);
    pki_ca_free(ca);
    pki_ca_free(other_ca);
    file_remove_tree(dir, NULL);
}

/* ---- contexts ---- */
static struct tls_pool *pool; /* where both sides do slow steps; NULL = in the loop */

static inline void pool_begin(void)
{
    pool = tls_pool_new();
}

static inline void pool_end(void)
{
    tls_pool_free(pool);
    pool = NULL;
}

static struct tls_ctx *ctx_of(struct tls_conf conf)
{
    struct err e = {""};
    struct tls_ctx *c = tls_ctx_new(&conf, &e);

    ck_assert_msg(c != NULL, "%s", e.text);
    return c;
}

static struct tls_conf server_conf(void)
{
    return (struct tls_conf){.server = true,
                             .cert_pem = web.chain,
                             .key_pem = web.key,
                             .ca_pem = pki_ca_roots(ca),
                             .mesh = true,
                             .pool = pool};
}

static inline struct tls_conf client_conf(void)
{
    return (struct tls_conf){.cert_pem = api.chain,
                             .key_pem = api.key,
                             .ca_pem = pki_ca_roots(ca),
                             .mesh = true,
                             .pool = pool};
}

/* ---- two ends ---- */
struct end {
    struct conn *c;
    bool open, failed, eof, error;
    struct buf got; /* what was read, unless only counted */
    bool count_only;
    bool hold; /* do not read */
    uint64_t n_got;
    const char *out; /* what is to be written: out_n bytes, repeated from a pattern if NULL */
    uint64_t out_n, out_at;
    bool shut_after; /* end the stream when all is written */
    unsigned piece;  /* bytes per iovec; 0 = 16384 */
    char why[512];
};

static __thread struct loop *loop;
static __thread struct end cli, srv;
static __thread bool (*wanted)(void);
static __thread bool timed_out;

static char pattern(uint64_t at)
{
    return (char)(at * 2654435761u >> 13);
}

/* one assertion for all: each one tells Check where it is */
static void pattern_check(const char *p, size_t n, uint64_t at)
{
    size_t good = 0;

    while (good < n && p[good] == pattern(at + good))
        good++;
    ck_assert_msg(good == n, "byte %llu is wrong", (unsigned long long)(at + good));
}

static void end_write(struct end *x)
{
    char bytes[65536];

    while (x->out_at < x->out_n) {
        struct iovec iov[8];
        unsigned piece = x->piece ? x->piece : 8192;
        uint64_t left = x->out_n - x->out_at;
        int n = 0;
        size_t used = 0;

        while (n < 8 && left > 0) {
            size_t m = left < piece ? (size_t)left : piece;
            for (size_t i = 0; i < m; i++)
                bytes[used + i] =
                    x->out ? x->out[x->out_at + used + i] : pattern(x->out_at + used + i);
            iov[n].iov_base = bytes + used;
            iov[n++].iov_len = m;
            used += m;
            left -= m;
        }
        ssize_t r = conn_writev(x->c, iov, n);
        memset(bytes, 'X', used); /* the caller's buffers are its own again */
        if (r == CONN_AGAIN)
            return;
        if (r < 0) {
            x->error = true;
            return;
        }
        x->out_at += (uint64_t)r;
    }
    if (x->shut_after) {
        x->shut_after = false;
        conn_shut_write(x->c);
    }
}

static void end_read(struct end *x)
{
    char buf[50000];
    ssize_t r;

    while (!x->hold && (r = conn_read(x->c, buf, sizeof(buf))) != CONN_AGAIN) {
        if (r <= 0) {
            x->eof = r == 0;
            x->error = r != 0;
            x->hold = true;
            snprintf(x->why, sizeof(x->why), "%s", tls_conn_error(x->c));
            return;
        }
        if (x->count_only)
            pattern_check(buf, (size_t)r, x->n_got);
        else
            buf_append(&x->got, buf, (size_t)r);
        x->n_got += (uint64_t)r;
    }
}

static void on_event(struct conn *c, unsigned events, void *arg)
{
    struct end *x = arg;

    if (events & CONN_EV_OPEN)
        x->open = true;
    if (events & CONN_EV_FAIL) {
        x->failed = true;
        snprintf(x->why, sizeof(x->why), "%s", tls_conn_error(c));
        conn_close(c);
        x->c = NULL;
    }
    if (x->open && !x->failed) {
        if (events & (CONN_EV_OPEN | CONN_EV_WRITE))
            end_write(x);
        if (events & CONN_EV_READ)
            end_read(x);
    }
    if (wanted())
        loop_stop(loop);
}

static void on_late(void *arg)
{
    timed_out = true;
    loop_stop(loop);
}

static bool run_until_ms(bool (*what)(void), uint64_t ms)
{
    struct timer late;

    wanted = what;
    timed_out = false;
    if (what())
        return true;
    timer_init(&late, loop, on_late, NULL);
    timer_set(&late, ms);
    loop_run(loop);
    timer_cancel(&late);
    return !timed_out;
}

static inline bool run_until(bool (*what)(void))
{
    return run_until_ms(what, 20000);
}

static bool never(void)
{
    return false;
}

static inline bool both_settled(void)
{
    return (cli.open || cli.failed) && (srv.open || srv.failed);
}

/* sockets, loop and ends; TLS by tls_both() */
static inline void ends_open(int sndbuf)
{
    struct err e = {""};
    int fd[2];

    memset(&cli, 0, sizeof(cli));
    memset(&srv, 0, sizeof(srv));
    if (loop == NULL)
        loop = loop_new(&e);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    if (sndbuf > 0) {
        setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
        setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
    }
    cli.c = conn_adopt(loop, fd[0], on_event, &cli, &e);
    srv.c = conn_adopt(loop, fd[1], on_event, &srv, &e);
    ck_assert(cli.c != NULL && srv.c != NULL);
}

static inline void tls_both(struct tls_ctx *cctx, const struct tls_start *p, struct tls_ctx *sctx)
{
    struct err e = {""};

    ck_assert_msg(tls_conn_start(srv.c, sctx, NULL, &e) == 0, "%s", e.text);
    ck_assert_msg(tls_conn_start(cli.c, cctx, p, &e) == 0, "%s", e.text);
}

static void nothing(void)
{
    run_until_ms(never, 1);
}

static inline void ends_close(void)
{
    conn_close(cli.c);
    conn_close(srv.c);
    buf_free(&cli.got);
    buf_free(&srv.got);
    cli.c = srv.c = NULL;
    nothing(); /* frees after the turn */
}

/* a whole handshake with these; true when both opened */
static inline bool shake(struct tls_conf c, const struct tls_start *p, struct tls_conf s)
{
    struct tls_ctx *cctx = ctx_of(c), *sctx = ctx_of(s);
    bool ok;

    ends_open(0);
    tls_both(cctx, p, sctx);
    tls_ctx_unref(cctx);
    tls_ctx_unref(sctx);
    ck_assert(run_until(both_settled));
    nothing(); /* a refusal may follow on what one side thought was done */
    ok = cli.open && srv.open && !cli.error && !srv.error && !cli.eof && !srv.eof;
    return ok;
}

#endif
