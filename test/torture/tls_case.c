/* tls_case.c - two TLS connections over socketpairs, the second resumed, with calls of one end
 * failing: each end has a loop of its own.
 *
 * Either all bytes arrive both ways, or both ends are told that they do not; a third connection is
 * as it should.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/conn.h"
#include "common/pki/pki.h"
#include "common/tls/tls.h"
#include "test/torture/torture.h"

#define VALID_S  (5 * 365 * 86400) /* the clock of this process stands */
#define TLS_EACH 97     /* of some 28,000 calls, most of them for the numbers of one signature */
#define BYTES    40000u /* each way: some records */
#define QUIET_US 100    /* between turns in which nothing happened */
#define QUIET    200    /* so many of them: nothing more will */

static char *roots, *chain, *key; /* of both ends; live as long as the cases do */
static char sent[BYTES];

struct end {
    struct loop *loop;
    struct tls_ctx *ctx;
    struct tls_start start;
    struct conn *c;
    bool client, tested;
    bool open, resumed, eof, shut, told, wrong;
    size_t at, got;
    unsigned events; /* ever */
};

/* ---- one end --------------------------------------------------------------------------------- */

static void drop(struct end *x)
{
    x->told = true;
    conn_abort(x->c);
    x->c = NULL;
}

static void read_all(struct end *x)
{
    char buf[3000];
    ssize_t n;
    while ((n = conn_read(x->c, buf, sizeof buf)) > 0) {
        x->wrong |= x->got + (size_t)n > BYTES || memcmp(buf, sent + x->got, (size_t)n) != 0;
        x->got += (size_t)n;
    }
    if (n == CONN_ERROR || (n == 0 && x->got < BYTES))
        drop(x);
    x->eof |= n == 0;
}

/* the server answers when it has read all */
static void write_some(struct end *x)
{
    ssize_t n = 0;
    while ((x->client || x->eof) && x->at < BYTES &&
           (n = conn_write(x->c, sent + x->at, BYTES - x->at)) > 0)
        x->at += (size_t)n;
    if (n == CONN_ERROR) {
        drop(x);
    } else if (x->at == BYTES && !x->shut) {
        x->shut = true;
        conn_shut_write(x->c);
    }
}

static void on_event(struct conn *c, unsigned ev, void *arg)
{
    struct end *x = arg;
    x->events++;
    if (ev & CONN_EV_FAIL) {
        drop(x);
        return;
    }
    if (ev & CONN_EV_OPEN) {
        x->open = true;
        x->resumed = tls_conn_info(c) && tls_conn_info(c)->resumed;
    }
    if (x->open && ev & CONN_EV_READ)
        read_all(x);
    if (x->open && x->c)
        write_some(x);
}

static void switch_for(const struct end *x)
{
    if (x->tested)
        torture_on();
    else
        torture_off();
}

static void begin(struct end *x, int fd)
{
    struct err e;
    x->open = x->resumed = x->eof = x->shut = x->told = x->wrong = false;
    x->at = x->got = 0;
    switch_for(x);
    x->c = conn_adopt(x->loop, fd, on_event, x, &e);
    if (!x->c)
        x->told = true;
    else if (tls_conn_start(x->c, x->ctx, &x->start, &e) < 0)
        drop(x);
    torture_off();
}

static bool is_whole(const struct end *x)
{
    return x->eof && x->shut && x->got == BYTES && !x->told;
}

static void turn(struct end *x)
{
    switch_for(x);
    loop_turn(x->loop, false);
    torture_off();
}

/* ---- both ------------------------------------------------------------------------------------ */

static void turn_both(struct end *client, struct end *server)
{
    unsigned quiet = 0;
    while (quiet < QUIET && !(is_whole(client) && is_whole(server)) &&
           !(client->told && server->told)) {
        unsigned before = client->events + server->events;
        turn(client);
        turn(server);
        quiet = before == client->events + server->events ? quiet + 1 : 0;
        if (quiet)
            usleep(QUIET_US);
    }
}

static void finish(struct end *x)
{
    conn_close(x->c);
    x->c = NULL;
    turn(x); /* frees it */
}

static enum torture_end exchange(struct end *client, struct end *server)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
        abort();
    begin(client, fd[0]);
    begin(server, fd[1]);
    turn_both(client, server);
    finish(client);
    finish(server);
    if (client->wrong || server->wrong)
        return torture_wrong("bytes that were not sent");
    if (is_whole(client) && is_whole(server))
        return TORTURE_RIGHT;
    if (!client->told && !is_whole(client))
        return torture_wrong("the client hears nothing more: %zu bytes, end %d", client->got,
                             client->eof);
    if (!server->told && !is_whole(server))
        return torture_wrong("the server hears nothing more: %zu bytes, end %d", server->got,
                             server->eof);
    return torture_failed() ? TORTURE_TOLD : torture_wrong("it ended, and nothing had failed");
}

static enum torture_end play_all(struct end *client, struct end *server)
{
    enum torture_end first, second;
    torture_traffic(true);
    first = exchange(client, server);
    second = exchange(client, server);
    if (torture_is_reference() && !client->resumed)
        return torture_wrong("the second was not resumed");
    client->tested = server->tested = false;
    if (exchange(client, server) != TORTURE_RIGHT)
        return torture_wrong("afterwards: it does not work any more");
    if (first == TORTURE_WRONG || second == TORTURE_WRONG)
        return TORTURE_WRONG;
    return first == TORTURE_TOLD ? first : second;
}

static struct end end_of(bool client, const struct tls_tickets *tickets)
{
    struct tls_conf conf = {.server = !client,
                            .cert_pem = chain,
                            .key_pem = key,
                            .ca_pem = roots,
                            .mesh = true,
                            .tickets = client ? NULL : tickets};
    struct err e;
    struct end x = {.client = client, .loop = loop_new(&e), .ctx = tls_ctx_new(&conf, &e)};
    if (!x.loop || !x.ctx)
        abort();
    return x;
}

/* of: the end whose calls fail */
static enum torture_end play_tls(const char *of)
{
    struct err e;
    struct tls_tickets *tickets = tls_tickets_new(3600, &e);
    struct end client = end_of(true, NULL), server = end_of(false, tickets);
    client.start = (struct tls_start){.verify_identity = "spiffe://cluster.local/ns/n/sa/s",
                                      .sessions = tls_sessions_new(4),
                                      .session_key = "server"};
    client.tested = strcmp(of, "client") == 0;
    server.tested = !client.tested;
    log_set_level(LOG_OFF);
    enum torture_end end = play_all(&client, &server);
    tls_ctx_unref(client.ctx);
    tls_ctx_unref(server.ctx);
    tls_sessions_free(client.start.sessions);
    tls_tickets_free(tickets);
    loop_free(client.loop);
    loop_free(server.loop);
    tls_thread_trim(true);
    return end;
}

static void make_identity(void)
{
    char dir[] = "/tmp/torture-XXXXXX";
    const char *const dns[] = {"s.n.cluster.local", NULL};
    const char *const uri[] = {"spiffe://cluster.local/ns/n/sa/s", NULL};
    const struct pki_names names = {.cn = "s.n.cluster.local", .dns = dns, .uri = uri};
    struct err e;
    struct pki_ca *ca = mkdtemp(dir) ? pki_ca_open(dir, "cluster.local", &e) : NULL;
    chain = ca ? pki_ca_issue(ca, &names, VALID_S, &key, &e) : NULL;
    if (!chain)
        abort();
    roots = xstrdup(pki_ca_roots(ca));
    pki_ca_free(ca);
    file_remove_tree(dir, NULL);
    for (unsigned i = 0; i < BYTES; i++)
        sent[i] = (char)(i * 2654435761u >> 13);
}

unsigned tls_cases(struct torture_case *v, unsigned max)
{
    if (max < 2)
        return 0;
    make_identity();
    v[0] = (struct torture_case){
        .name = "tls/client", .run = play_tls, .arg = "client", .each = TLS_EACH};
    v[1] = (struct torture_case){
        .name = "tls/server", .run = play_tls, .arg = "server", .each = TLS_EACH};
    return 2;
}
