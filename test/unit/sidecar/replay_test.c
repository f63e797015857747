/* replay_test.c - the engine in virtual time: every scenario of test/replay, real sockets, a fake
 * clock.
 *
 * A scenario is a text; a line is a step ("#" begins a comment):
 *   timeout 5                    SidecarTimeout; before the first service
 *   service web http 2           a listener "web" (http, grpc, tcp, detect) and 2 endpoints
 *   start                        the document is made and taken
 *   connect c web                client c connects to the listener
 *   accept s web/1               endpoint 1 accepts a connection, from now on called s
 *   none web/1                   nobody connects to endpoint 1
 *   send c GET / HTTP/1.1\r\n    with the escapes \r \n \t \\ \xHH
 *   expect s TEXT                what s received begins with TEXT (which is then taken)
 *   within s TEXT                ... holds TEXT (everything is then taken)
 *   silent s                     s received nothing
 *   closed s / reset s           s saw the orderly end / a reset
 *   close s / shut s / rst s     our side ends, ends writing, resets
 *   refuse web/1 / listen web/1  endpoint 1 stops listening / listens again
 *   deaf web/1                   endpoint 1's queue is full: connects hang
 *   time 5s                      5 s pass
 *   stat reason.ok 3             a counter: of the worker, reason.NAME, or CLUSTER.NAME
 *   drop web/1 / take            leaves endpoint 1 out of the document / takes the document anew
 *   drain 10s                    the engine drains
 *   drained / undrained          it said so / it did not
 */
/* objects: test/fake/clock.c sidecar/document.c */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/proxy/engine.h"
#include "common/proxy/view.h"
#include "sidecar/document.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define PEERS_MAX     64
#define SERVICES_MAX  8
#define ENDPOINTS_MAX 8
#define SETTLE_TURNS  30

struct peer {
    char name[16];
    int fd;
    char in[1 << 18];
    size_t n;
    bool eof, reset;
};

struct service {
    char name[16], protocol[8];
    struct ip_port addr; /* of the listener */
    unsigned n;
    struct ip_port ep[ENDPOINTS_MAX];
    int fd[ENDPOINTS_MAX]; /* -1: refuses */
    int filler[ENDPOINTS_MAX][4];
    bool dropped[ENDPOINTS_MAX];
};

static struct peer peers[PEERS_MAX];
static struct service services[SERVICES_MAX];
static unsigned n_peers, n_services, timeout_s, version;
static struct loop *loop;
static struct engine *engine;
static json_t *doc;
static bool drained;
static const char *file;
static int line_no;

static void bad(const char *what)
{
    ck_abort_msg("%s:%d: %s", file, line_no, what);
}

static void settle(void)
{
    for (int i = 0; i < SETTLE_TURNS; i++)
        loop_turn(loop, false);
}

/* ---- sockets --------------------------------------------------------------------------------- */

/* listens on addr; port 0: any, written back */
static int listen_on(struct ip_port *addr, int backlog)
{
    struct sockaddr_storage ss;
    socklen_t len = ip_port_to_sockaddr(addr, &ss);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, backlog) < 0)
        bad("cannot listen");
    getsockname(fd, (struct sockaddr *)&ss, &len);
    ip_port_from_sockaddr((struct sockaddr *)&ss, addr);
    return fd;
}

static int dial(const struct ip_port *addr)
{
    struct sockaddr_storage ss;
    socklen_t len = ip_port_to_sockaddr(addr, &ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
        bad("cannot connect");
    return fd;
}

static struct peer *peer_new(const char *name, int fd)
{
    struct peer *p = &peers[n_peers++];

    if (n_peers > PEERS_MAX)
        bad("too many peers");
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "%s", name);
    p->fd = fd;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return p;
}

/* the latest of that name */
static struct peer *peer_get(const char *name)
{
    for (unsigned i = n_peers; i-- > 0;)
        if (strcmp(peers[i].name, name) == 0)
            return &peers[i];
    bad("no such peer");
    return NULL;
}

static void peer_read(struct peer *p)
{
    while (p->fd >= 0 && !p->eof && !p->reset && p->n < sizeof p->in) {
        ssize_t n = recv(p->fd, p->in + p->n, sizeof p->in - p->n, MSG_DONTWAIT);
        if (n > 0)
            p->n += (size_t)n;
        else if (n == 0)
            p->eof = true;
        else if (errno == ECONNRESET)
            p->reset = true;
        else
            return;
        settle(); /* room again: more may come */
    }
}

/* ---- the document ---------------------------------------------------------------------------- */

static const char *addr_text(const struct ip_port *a)
{
    static char text[4][IP_TEXT_MAX];
    static unsigned i;

    return ip_port_format(a, text[i++ % 4]);
}

static json_t *route_to(const char *cluster)
{
    return json_pack("{s:{s:i}}", "TargetClusters", cluster, 100);
}

static json_t *item_of(const struct service *s)
{
    bool tcp = strcmp(s->protocol, "tcp") == 0, detect = strcmp(s->protocol, "detect") == 0;
    json_t *j = json_pack("{s:[s], s:i, s:s}", "DestinationIPRanges", "10.9.9.9/32", "Port",
                          (int)s->addr.port, "Protocol", detect ? "http" : s->protocol);

    if (tcp) {
        json_object_set_new(j, "TargetClusters", json_pack("{s:i}", s->name, 100));
        return j;
    }
    json_object_set_new(j, "HttpHostPort2Service", json_pack("{s:s}", s->name, s->name));
    json_object_set_new(j, "HttpServiceRouteRules",
                        json_pack("{s:{s:o}}", s->name, ".*", route_to(s->name)));
    if (detect)
        json_object_set_new(j, "OpaqueTargets",
                            json_pack("{s:{s:i}}", "10.9.9.9/32", s->name, 100));
    return j;
}

static json_t *endpoints_of(const struct service *s)
{
    json_t *eps = json_object();

    for (unsigned i = 0; i < s->n; i++)
        if (!s->dropped[i])
            json_object_set_new(eps, addr_text(&s->ep[i]), json_pack("{s:i}", "Weight", 100));
    return json_pack("{s:o}", "Endpoints", eps);
}

static json_t *make_document(void)
{
    json_t *matches = json_object(), *clusters = json_object(), *listeners = json_array();
    char port[8], text[8], dst[IP_TEXT_MAX];

    for (unsigned i = 0; i < n_services; i++) {
        const struct service *s = &services[i];
        snprintf(port, sizeof port, "%u", s->addr.port);
        snprintf(dst, sizeof dst, "10.9.9.9:%u", s->addr.port);
        json_object_set_new(matches, port, json_pack("[o]", item_of(s)));
        json_object_set_new(clusters, s->name, endpoints_of(s));
        json_array_append_new(listeners,
                              json_pack("{s:s, s:s, s:s}", "Address", addr_text(&s->addr),
                                        "Direction", "Outbound", "OriginalDst", dst));
    }
    snprintf(text, sizeof text, "%u", ++version);
    return json_pack("{s:s, s:{s:i, s:{s:b}}, s:{s:o, s:o}, s:o}", "Version", text, "Spec",
                     "SidecarTimeout", (int)timeout_s, "Traffic", "EnableEgress", 1, "Outbound",
                     "TrafficMatches", matches, "ClustersConfigs", clusters, "Listeners",
                     listeners);
}

static void take_document(void)
{
    const struct document_conf c = {.engine = engine, .before = doc};
    json_t *fresh = make_document();
    struct err e;
    struct view *v = document_view(&c, fresh, &e);

    if (!v)
        bad(e.text);
    engine_publish(engine, v);
    json_decref(doc);
    doc = fresh;
    settle();
}

/* ---- steps ----------------------------------------------------------------------------------- */

static struct service *service_get(const char *name)
{
    for (unsigned i = 0; i < n_services; i++)
        if (strcmp(services[i].name, name) == 0)
            return &services[i];
    bad("no such service");
    return NULL;
}

/* "web/1" */
static struct service *endpoint_get(char *text, unsigned *i)
{
    char *slash = strchr(text, '/');

    if (!slash)
        bad("expected SERVICE/ENDPOINT");
    *slash = '\0';
    *i = (unsigned)strtoul(slash + 1, NULL, 10);
    return service_get(text);
}

static void do_service(char *name, char *rest)
{
    struct service *s = &services[n_services++];
    unsigned n = 1;

    memset(s, 0, sizeof *s);
    snprintf(s->name, sizeof s->name, "%s", name);
    if (sscanf(rest, "%7s %u", s->protocol, &n) < 1 || n > ENDPOINTS_MAX)
        bad("expected: service NAME PROTOCOL ENDPOINTS");
    ip_port_parse("127.0.0.1:0", &s->addr);
    close(listen_on(&s->addr, 1)); /* a port that is free */
    for (s->n = 0; s->n < n; s->n++) {
        ip_port_parse("127.0.0.1:0", &s->ep[s->n]);
        s->fd[s->n] = listen_on(&s->ep[s->n], 64);
    }
}

static void do_deaf(struct service *s, unsigned i)
{
    close(s->fd[i]);
    s->fd[i] = listen_on(&s->ep[i], 0);
    for (int k = 0; k < 4; k++)
        s->filler[i][k] = dial(&s->ep[i]);
}

static void do_accept(const char *name, char *where)
{
    unsigned i;
    struct service *s = endpoint_get(where, &i);
    int fd = accept(s->fd[i], NULL, NULL);

    if (fd < 0)
        bad("nobody connects");
    peer_new(name, fd);
}

static size_t unescape(const char *in, char *out)
{
    size_t n = 0;

    for (; *in; in++) {
        unsigned byte;
        if (*in != '\\') {
            out[n++] = *in;
            continue;
        }
        switch (*++in) {
        case 'r':
            out[n++] = '\r';
            break;
        case 'n':
            out[n++] = '\n';
            break;
        case 't':
            out[n++] = '\t';
            break;
        case 'x':
            if (sscanf(in + 1, "%2x", &byte) != 1)
                bad("expected two hex digits");
            out[n++] = (char)byte;
            in += 2;
            break;
        default:
            out[n++] = *in;
        }
    }
    return n;
}

static void do_send(struct peer *p, const char *text)
{
    static char bytes[65536];
    size_t n = unescape(text, bytes);

    if (send(p->fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
        bad("cannot send");
}

static void do_expect(struct peer *p, const char *text, bool anywhere)
{
    static char want[65536];
    size_t n = unescape(text, want);

    peer_read(p);
    char *at = anywhere ? memmem(p->in, p->n, want, n)
                        : (p->n >= n && memcmp(p->in, want, n) == 0 ? p->in : NULL);
    if (!at)
        ck_abort_msg("%s:%d: %s received \"%.*s\"%s%s", file, line_no, p->name, (int)p->n, p->in,
                     p->eof ? " and the end" : "", p->reset ? " and a reset" : "");
    if (anywhere)
        n = p->n;
    memmove(p->in, p->in + n, p->n - n);
    p->n -= n;
}

static void do_end(struct peer *p, const char *how)
{
    struct linger reset = {1, 0};

    if (strcmp(how, "shut") == 0) {
        shutdown(p->fd, SHUT_WR);
        return;
    }
    if (strcmp(how, "rst") == 0)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(p->fd);
    p->fd = -1;
}

static void check_end(struct peer *p, bool reset)
{
    peer_read(p);
    if (p->n)
        ck_abort_msg("%s:%d: %s received \"%.*s\" before the end", file, line_no, p->name,
                     (int)p->n, p->in);
    if (reset ? !p->reset : !p->eof)
        bad(p->eof ? "an orderly end" : p->reset ? "a reset" : "not ended");
}

static uint64_t found;

static void on_stats(const struct stats *s, void *arg)
{
    const char *name = arg, *dot = strchr(name, '.');

    found = UINT64_MAX;
    for (int i = 0; i < WSTAT_COUNT; i++)
        if (strcmp(name, worker_stat_name((enum worker_stat)i)) == 0)
            found = s->w[i];
    for (int i = 0; dot && i < REASON_COUNT; i++)
        if (strncmp(name, "reason.", 7) == 0 && strcmp(dot + 1, reason_text((enum reason)i)) == 0)
            found = s->reasons[i];
    const struct cluster_stats *c =
        dot ? table_get(s->clusters, slice_of(name, (size_t)(dot - name))) : NULL;
    for (int i = 0; c && i < CSTAT_COUNT; i++)
        if (strcmp(dot + 1, cluster_stat_name((enum cluster_stat)i)) == 0)
            found = c->c[i];
}

static void do_stat(char *name, const char *want)
{
    engine_collect(engine, on_stats, name);
    settle();
    if (found != strtoull(want, NULL, 10))
        ck_abort_msg("%s:%d: %s is %lld", file, line_no, name, (long long)found);
}

static void on_drained(void *arg)
{
    (void)arg;
    drained = true;
}

static unsigned ms_of(const char *text)
{
    int64_t ms;

    if (clock_parse_duration(text, &ms) < 0)
        bad("expected a duration");
    return (unsigned)ms;
}

static void do_start(void)
{
    const struct engine_opts o = {
        .workers = 0, .seed = 24 /* the first endpoint of 2, 3, 4 */, .access_fd = -1};
    struct err e;

    loop = loop_new(&e);
    engine = engine_new(loop, &o, &e);
    if (!engine)
        bad(e.text);
    take_document();
}

/* steps about an endpoint; false: another step */
static bool step_endpoint(const char *step, char *where)
{
    static const char *const steps[] = {"none", "refuse", "listen", "deaf", "drop"};
    size_t k = 0;
    unsigned i;

    while (k < sizeof steps / sizeof steps[0] && strcmp(step, steps[k]) != 0)
        k++;
    if (k == sizeof steps / sizeof steps[0])
        return false;
    struct service *s = endpoint_get(where, &i);
    switch (step[1]) {
    case 'o':
        if (accept(s->fd[i], NULL, NULL) >= 0)
            bad("somebody connects");
        break;
    case 'e':
        if (step[0] == 'd') {
            do_deaf(s, i);
        } else {
            close(s->fd[i]);
            s->fd[i] = -1;
        }
        break;
    case 'i':
        s->fd[i] = listen_on(&s->ep[i], 64);
        break;
    default:
        s->dropped[i] = true;
    }
    return true;
}

static void step_of_peer(const char *step, char *name, char *rest)
{
    struct peer *p = peer_get(name);

    if (strcmp(step, "send") == 0) {
        do_send(p, rest);
    } else if (strcmp(step, "expect") == 0 || strcmp(step, "within") == 0) {
        do_expect(p, rest, step[0] == 'w');
    } else if (strcmp(step, "silent") == 0) {
        peer_read(p);
        if (p->n || p->eof || p->reset)
            ck_abort_msg("%s:%d: %s received \"%.*s\"", file, line_no, name, (int)p->n, p->in);
    } else if (strcmp(step, "closed") == 0 || strcmp(step, "reset") == 0) {
        check_end(p, step[0] == 'r');
    } else if (strcmp(step, "close") == 0 || strcmp(step, "shut") == 0 ||
               strcmp(step, "rst") == 0) {
        do_end(p, step);
    } else {
        bad("no such step");
    }
}

static void run_step(const char *step, char *arg, char *rest)
{
    if (strcmp(step, "timeout") == 0)
        timeout_s = (unsigned)strtoul(arg, NULL, 10);
    else if (strcmp(step, "service") == 0)
        do_service(arg, rest);
    else if (strcmp(step, "start") == 0)
        do_start();
    else if (strcmp(step, "connect") == 0)
        peer_new(arg, dial(&service_get(rest)->addr));
    else if (strcmp(step, "accept") == 0)
        do_accept(arg, rest);
    else if (strcmp(step, "time") == 0)
        fake_loop_run(loop, ms_of(arg));
    else if (strcmp(step, "stat") == 0)
        do_stat(arg, rest);
    else if (strcmp(step, "take") == 0)
        take_document();
    else if (strcmp(step, "drain") == 0)
        engine_drain(engine, ms_of(arg), 1000, on_drained, NULL);
    else if (strcmp(step, "drained") == 0 || strcmp(step, "undrained") == 0) {
        if (drained != (step[0] == 'd'))
            bad(drained ? "it drained" : "it did not drain");
    } else if (!step_endpoint(step, arg))
        step_of_peer(step, arg, rest);
    if (loop)
        settle();
}

static char *word(char **text)
{
    char *p = *text, *begin;

    while (*p == ' ')
        p++;
    begin = p;
    while (*p && *p != ' ')
        p++;
    if (*p)
        *p++ = '\0';
    *text = p;
    return begin;
}

static void run_line(char *text)
{
    char *step = word(&text), *arg;

    if (!*step || *step == '#')
        return;
    arg = word(&text);
    run_step(step, arg, text);
}

static void reset_all(void)
{
    n_peers = n_services = version = 0;
    timeout_s = 60;
    drained = false;
    doc = NULL;
    loop = NULL;
    engine = NULL;
}

static void end_all(void)
{
    engine_free(engine);
    loop_free(loop);
    json_decref(doc);
    for (unsigned i = 0; i < n_peers; i++)
        if (peers[i].fd >= 0)
            close(peers[i].fd);
    for (unsigned i = 0; i < n_services; i++)
        for (unsigned k = 0; k < services[i].n; k++) {
            if (services[i].fd[k] >= 0)
                close(services[i].fd[k]);
            for (int f = 0; f < 4; f++)
                if (services[i].filler[k][f] > 0)
                    close(services[i].filler[k][f]);
        }
}

static void run_file(const char *path)
{
    struct buf text = BUF_INIT;
    struct err e;
    char *p, *next;

    ck_assert_msg(file_read(path, 1 << 20, &text, &e) == 0, "%s", e.text);
    file = path;
    line_no = 0;
    reset_all();
    for (p = text.p; p && *p; p = next) {
        next = strchr(p, '\n');
        if (next)
            *next++ = '\0';
        line_no++;
        run_line(p);
    }
    end_all();
    buf_free(&text);
}

static struct dirent **files;
static int n_files;

static int is_scenario(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');

    return dot && strcmp(dot, ".txt") == 0;
}

START_TEST(scenario)
{
    char path[512];

    snprintf(path, sizeof path, "test/replay/%s", files[_i]->d_name);
    run_file(path);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s = suite_create("replay");
    TCase *tc = tcase_create("scenarios");
    SRunner *sr;
    int failed;

    log_set_level(getenv("REPLAY_LOG") ? LOG_TRACE : LOG_ERROR);
    if (argc > 1) { /* one scenario, for a debugger */
        run_file(argv[1]);
        return 0;
    }
    n_files = scandir("test/replay", &files, is_scenario, alphasort);
    if (n_files <= 0) {
        fprintf(stderr, "run me from the top of the tree: no test/replay/*.txt here\n");
        return 1;
    }
    tcase_add_loop_test(tc, scenario, 0, n_files);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    for (int i = 0; i < n_files; i++)
        free(files[i]);
    free(files);
    return failed ? 1 : 0;
}
