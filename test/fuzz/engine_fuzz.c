/* engine_fuzz.c - whole conversations through the engine, in virtual time, with both sides foreign.
 *
 * An input is a byte that chooses the listener (HTTP/1 server, HTTP/2 server, detected, TCP), one
 * for the size of the pieces, one for time that passes between them, then what the client sends, a
 * byte 0xff twice, and what the server sends.  What reaches a server of HTTP/1 must begin with a
 * request that is none but one; what the client gets must be a response; and when both are gone and
 * hours have passed, nothing may be left of them in the engine.
 */
/* objects: test/fake/clock.c sidecar/document.c */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/bug.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/http/h1.h"
#include "common/policy/document_store.h"
#include "common/proxy/engine.h"
#include "common/proxy/view.h"
#include "sidecar/document.h"
#include "test/fake/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HTTP1, HTTP2, DETECT, TCP, PORTS };
#define CONNS_MAX 8
#define HOURS_MS  (3u * 3600u * 1000u)
#define KEPT      65536 /* bytes of what a side got that are looked at */

struct side {
    int fd;
    bool ended;
    size_t n;
    char got[KEPT];
};

static struct loop *loop;
static struct engine *engine;
static struct document *doc;
static int server[PORTS]; /* listening */
static struct sockaddr_in front[PORTS];
static struct side client, served[CONNS_MAX];
static unsigned n_served;

/* ---- the engine ------------------------------------------------------------------------------ */

static int listen_any(struct sockaddr_in *sin)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t n = sizeof *sin;

    *sin = (struct sockaddr_in){.sin_family = AF_INET};
    sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BUG_ON(bind(fd, (struct sockaddr *)sin, n) < 0 || listen(fd, 64) < 0);
    BUG_ON(getsockname(fd, (struct sockaddr *)sin, &n) < 0);
    return fd;
}

/* a port that is free now, for the engine to listen on */
static unsigned port_for(int i)
{
    close(listen_any(&front[i]));
    return ntohs(front[i].sin_port);
}

static void put_match(struct buf *b, int i, const char *protocol, const char *more)
{
    buf_printf(
        b,
        "%s\"%d\":[{\"Port\":%d,\"Protocol\":\"%s\",\"HttpHostPort2Service\":{\"svc\":\"r\"},"
        "\"HttpServiceRouteRules\":{\"r\":{\".*\":{\"TargetClusters\":{\"c%d\":100}}}},"
        "\"TargetClusters\":{\"c%d\":100}%s}]",
        i ? "," : "", 80 + i, 80 + i, protocol, i, i, more);
}

static char *document_text(void)
{
    struct sockaddr_in sin;
    struct buf b = BUF_INIT;

    buf_puts(&b, "{\"Spec\":{},\"Outbound\":{\"TrafficMatches\":{");
    put_match(&b, HTTP1, "http", "");
    put_match(&b, HTTP2, "grpc", "");
    put_match(&b, DETECT, "http", ",\"OpaqueTargets\":{\"10.0.0.0/8\":{\"c3\":100}}");
    put_match(&b, TCP, "tcp", "");
    buf_puts(&b, "},\"ClustersConfigs\":{");
    for (int i = 0; i < PORTS; i++) {
        server[i] = listen_any(&sin);
        buf_printf(&b, "%s\"c%d\":{\"Endpoints\":{\"127.0.0.1:%u\":{\"Weight\":100}}}",
                   i ? "," : "", i, ntohs(sin.sin_port));
    }
    buf_puts(&b, "}},\"Listeners\":[");
    for (int i = 0; i < PORTS; i++)
        buf_printf(&b,
                   "%s{\"Address\":\"127.0.0.1:%u\",\"Direction\":\"Outbound\",\"OriginalDst\":"
                   "\"10.0.0.1:%d\"}",
                   i ? "," : "", port_for(i), 80 + i);
    buf_puts(&b, "]}");
    return buf_take(&b);
}

static void setup(void)
{
    const struct engine_opts o = {.workers = 0, .seed = 1, .access_fd = -1};
    struct err e = {""};

    log_set_level(LOG_OFF);
    loop = loop_new(&e);
    engine = engine_new(loop, &o, &e);
    char *text = document_text();
    doc = document_load(slice_str(text), &e);
    struct document_conf conf = {.engine = engine};
    struct view *v = doc ? document_view(&conf, doc, &e) : NULL;
    if (!v) {
        fprintf(stderr, "%s\n%s\n", e.text, text);
        abort();
    }
    engine_publish(engine, v);
    loop_turn(loop, false);
    free(text);
}

/* ---- the two sides --------------------------------------------------------------------------- */

static void side_end(struct side *s, bool reset)
{
    struct linger now = {.l_onoff = 1};

    if (s->fd < 0)
        return;
    if (reset)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(s->fd);
    s->fd = -1;
}

static bool side_read(struct side *s)
{
    static char rest[65536];
    bool room = s->n < KEPT;
    ssize_t n;

    if (s->fd < 0 || s->ended)
        return false;
    n = recv(s->fd, room ? s->got + s->n : rest, room ? KEPT - s->n : sizeof rest, MSG_DONTWAIT);
    if (n > 0 && room)
        s->n += (size_t)n;
    s->ended = n == 0 || (n < 0 && errno != EAGAIN);
    return n > 0;
}

static void pump(int port)
{
    bool moved = true;

    for (unsigned quiet = 0; quiet < 2; quiet = moved ? 0 : quiet + 1) {
        loop_turn(loop, false);
        moved = side_read(&client);
        for (unsigned i = 0; i < n_served; i++)
            moved |= side_read(&served[i]);
        for (int fd; n_served < CONNS_MAX && (fd = accept(server[port], NULL, NULL)) >= 0;
             moved = true) {
            served[n_served].fd = fd;
            served[n_served].n = 0;
            served[n_served++].ended = false;
        }
    }
}

static void begin(int port)
{
    client.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    client.n = 0;
    client.ended = false;
    n_served = 0;
    BUG_ON(connect(client.fd, (struct sockaddr *)&front[port], sizeof front[port]) < 0);
    pump(port);
}

static struct slice piece(struct slice *rest, size_t n)
{
    struct slice p = slice_of(rest->p, rest->n < n ? rest->n : n);

    if (p.n == 0)
        return p;
    *rest = slice_of(rest->p + p.n, rest->n - p.n);
    return p;
}

static void side_send(struct side *s, struct slice p)
{
    if (s->fd >= 0 && p.n)
        (void)!send(s->fd, p.p, p.n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void check_request(const struct side *s)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head h = {.fields = fields};
    struct h1_parser p;

    h1_parser_init(&p, NULL);
    if (s->n && s->n < KEPT && memcmp(s->got, "PRI ", s->n < 4 ? s->n : 4) != 0) {
        ssize_t r = h1_parse_request(&p, s->got, s->n, &h);
        BUG_ON(r < 0 || (r > 0 && !slice_eq_str(h.authority, "svc")));
    }
}

static void on_stats(const struct stats *s, void *arg)
{
    BUG_ON(s->w[WSTAT_DOWN_CX_ACTIVE] || s->w[WSTAT_DOWN_RQ_ACTIVE] || s->w[WSTAT_MEM_USED]);
    *(bool *)arg = true;
}

static void check_nothing_left(void)
{
    bool asked = false;

    fake_loop_run(loop, HOURS_MS);
    engine_collect(engine, on_stats, &asked);
    while (!asked)
        loop_turn(loop, false);
    BUG_ON(loop_next_ms(loop) != UINT64_MAX);
}

static void end(int port, unsigned how)
{
    if (how & 1)
        shutdown(client.fd, SHUT_WR);
    else
        side_end(&client, how & 2);
    pump(port);
    for (unsigned i = 0; i < n_served; i++)
        side_end(&served[i], how & 4);
    pump(port);
    side_end(&client, false);
    for (unsigned i = 0; i < n_served; i++)
        side_end(&served[i], false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned waits[] = {0, 0, 0, 60, 700, 6000, 70000, 4000000};
    struct slice rest, mine, theirs = slice_of(NULL, 0);

    if (size < 4)
        return 0;
    if (!loop)
        setup();
    rest = slice_of((const char *)data + 3, size - 3);
    const char *at = memmem(rest.p, rest.n, "\xff\xff", 2);
    mine = at ? slice_of(rest.p, (size_t)(at - rest.p)) : rest;
    if (at)
        theirs = slice_of(at + 2, rest.n - mine.n - 2);
    int port = data[0] % PORTS;
    size_t step = data[1] ? data[1] : 65536, turns = 0;
    begin(port);
    while ((mine.n || theirs.n) && ++turns < 100) {
        side_send(&client, piece(&mine, step));
        pump(port);
        if (!n_served && !mine.n)
            break; /* nobody there to say it */
        if (n_served)
            side_send(&served[n_served - 1], piece(&theirs, step));
        pump(port);
        fake_loop_run(loop, waits[data[2] % 8]);
    }
    if (port == HTTP1)
        for (unsigned i = 0; i < n_served; i++)
            check_request(&served[i]);
    end(port, data[0] >> 4);
    check_nothing_left();
    return 0;
}
