/* play.c - what each statement of a scenario does; see runner.h */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "test/replay/world.h"

#define SHOWN 600 /* bytes of what came that a failure shows */

/* ---- words ----------------------------------------------------------------------------------- */

static const char *word(const struct statement *st, unsigned i)
{
    return i < st->n ? st->w[i].p : "";
}

static int number(struct world *w, const char *text, unsigned long long *out)
{
    if (slice_u64(slice_str(text), UINT32_MAX, out) == 0)
        return 0;
    return err_set(w->e, "expected a number, not \"%s\"", text);
}

/* "name=N" among the words from i on; 0 if it is not there */
static uint32_t option(const struct statement *st, unsigned i, const char *name, uint32_t otherwise)
{
    size_t n = strlen(name);
    for (; i < st->n; i++)
        if (strncmp(st->w[i].p, name, n) == 0 && st->w[i].p[n] == '=')
            return (uint32_t)strtoul(st->w[i].p + n + 1, NULL, 10);
    return otherwise;
}

static int duration(struct world *w, const char *text, int64_t *ms)
{
    if (clock_parse_duration(text + (*text == '+'), ms) == 0)
        return 0;
    return err_set(w->e, "expected a duration, not \"%s\"", text);
}

/* what there is, for people */
static int unmet(struct world *w, const struct peer *p, const char *expected)
{
    struct buf b = BUF_INIT;
    buf_puts(&b, "");
    for (size_t i = 0; i < p->in.len && i < SHOWN; i++) {
        unsigned char c = (unsigned char)p->in.p[i];
        if (c == '\n')
            buf_puts(&b, "\\n");
        else if (c == '\r')
            buf_puts(&b, "\\r");
        else if (c < 0x20 || c > 0x7e)
            buf_printf(&b, "\\x%02x", c);
        else
            buf_putc(&b, (char)c);
    }
    err_set(w->e, "%s: expected %s; there is%s%s %zu bytes \"%s\"", p->name, expected,
            p->eof ? " the end behind" : "", p->reset ? " a reset behind" : "", p->in.len, b.p);
    buf_free(&b);
    return -1;
}

/* ---- what is awaited ------------------------------------------------------------------------- */

struct awaited {
    struct peer *p;
    const struct word *word;
    pcre2_code *re;
    size_t end; /* of the match */
};

static bool text_came(void *arg)
{
    struct awaited *a = arg;
    size_t n = a->word->n < a->p->in.len ? a->word->n : a->p->in.len;
    a->end = a->word->n;
    return n == a->word->n && memcmp(a->p->in.p, a->word->p, n) == 0;
}

static bool pattern_came(void *arg)
{
    struct awaited *a = arg;
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(a->re, NULL);
    int rc = pcre2_match(a->re, (PCRE2_SPTR)a->p->in.p, a->p->in.len, 0, 0, m, NULL);
    if (rc >= 0)
        a->end = pcre2_get_ovector_pointer(m)[1];
    pcre2_match_data_free(m);
    return rc >= 0;
}

static bool bytes_came(void *arg)
{
    struct awaited *a = arg;
    return a->p->in.len >= a->end;
}

static int await_pattern(struct world *w, struct awaited *a)
{
    int code;
    PCRE2_SIZE at;
    a->re = pcre2_compile((PCRE2_SPTR)a->word->p, a->word->n, PCRE2_DOTALL, &code, &at, NULL);
    if (!a->re)
        return err_set(w->e, "a bad pattern at offset %zu", (size_t)at);
    bool came = world_until(w, pattern_came, a);
    pcre2_code_free(a->re);
    return came ? 0 : unmet(w, a->p, a->word->p);
}

static int receives(struct world *w, struct peer *p, const struct statement *st)
{
    struct awaited a = {.p = p, .word = &st->w[2]};
    unsigned long long n = 0;
    if (st->n != 3)
        return err_set(w->e, "expected one text, pattern or number");
    if (a.word->kind == WORD_PATTERN) {
        if (await_pattern(w, &a) < 0)
            return -1;
    } else if (a.word->kind == WORD_TEXT) {
        if (!world_until(w, text_came, &a))
            return unmet(w, p, a.word->p);
    } else {
        if (number(w, a.word->p, &n) < 0)
            return -1;
        a.end = n;
        if (!world_until(w, bytes_came, &a))
            return unmet(w, p, a.word->p);
    }
    buf_consume(&p->in, a.end);
    return 0;
}

static bool has_ended(void *arg)
{
    const struct peer *p = arg;
    return p->eof || p->reset;
}

static int receives_pattern(struct world *w, struct peer *p, const char *pattern)
{
    struct word wd = {.kind = WORD_PATTERN, .p = (char *)pattern, .n = strlen(pattern)};
    struct awaited a = {.p = p, .word = &wd};
    if (await_pattern(w, &a) < 0)
        return -1;
    buf_consume(&p->in, a.end);
    return 0;
}

/* the next bytes are a whole head that begins with first, then the texts */
static int receives_head(struct world *w, struct peer *p, const char *first,
                         const struct statement *st, unsigned from)
{
    struct buf b = BUF_INIT;
    buf_printf(&b, "^%s\r\n(?:[^\r\n]+\r\n)*\r\n", first);
    for (unsigned i = from; i < st->n; i++)
        buf_printf(&b, "\\Q%s\\E", st->w[i].p);
    int rc = receives_pattern(w, p, b.p);
    buf_free(&b);
    return rc;
}

static int asked(struct world *w, struct peer *p, const struct statement *st)
{
    char *first = xasprintf("\\Q%s %s\\E HTTP/1\\.1", word(st, 2), word(st, 3));
    int rc = receives_head(w, p, first, st, 4);
    free(first);
    return rc;
}

static int answered(struct world *w, struct peer *p, const struct statement *st)
{
    char *first = xasprintf("HTTP/1\\.1 %s[^\r\n]*", word(st, 2));
    int rc = receives_head(w, p, first, st, 3);
    free(first);
    return rc;
}

static int closed(struct world *w, struct peer *p, const struct statement *st)
{
    bool by_reset = strcmp(word(st, 1), "reset") == 0;
    world_until(w, has_ended, p);
    if (p->in.len || (by_reset ? !p->reset : !p->eof))
        return unmet(w, p, by_reset ? "a reset and nothing before it" : "the end and nothing more");
    return 0;
}

static int silent(struct world *w, struct peer *p, const struct statement *st)
{
    (void)st;
    world_settle(w);
    return p->in.len || p->eof || p->reset ? unmet(w, p, "nothing") : 0;
}

static bool is_unsent(void *arg)
{
    return peer_unsent(arg) == 0;
}

static int blocked(struct world *w, struct peer *p, const struct statement *st)
{
    bool want = strcmp(word(st, 1), "blocked") == 0;
    world_settle(w);
    if (want && peer_unsent(p) == 0)
        return err_set(w->e, "%s: expected that not all bytes can be sent", p->name);
    if (!want && !world_until(w, is_unsent, p))
        return err_set(w->e, "%s: %zu bytes cannot be sent", p->name, peer_unsent(p));
    return 0;
}

/* ---- what a peer does ------------------------------------------------------------------------ */

static int sends(struct world *w, struct peer *p, const struct statement *st)
{
    for (unsigned i = 2; i < st->n; i++) {
        bool urgent = strcmp(word(st, i), "urgent") == 0 && i + 1 < st->n;
        i += urgent;
        if (st->w[i].kind != WORD_TEXT)
            return err_set(w->e, "expected texts");
        if (!urgent)
            peer_send(p, slice_of(st->w[i].p, st->w[i].n));
        else if (peer_send_urgent(p, slice_of(st->w[i].p, st->w[i].n)) < 0)
            return err_set(w->e, "%s: urgent data cannot be sent", p->name);
    }
    world_settle(w);
    return 0;
}

static void send_text(struct world *w, struct peer *p, struct buf *b)
{
    peer_send(p, buf_slice(b));
    buf_free(b);
    world_settle(w);
}

static int asks(struct world *w, struct peer *p, const struct statement *st)
{
    struct buf b = BUF_INIT;
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: svc\r\n", word(st, 2), word(st, 3));
    for (unsigned i = 4; i < st->n; i++)
        buf_printf(&b, "%s\r\n", st->w[i].p);
    buf_puts(&b, "\r\n");
    send_text(w, p, &b);
    return 0;
}

static int answers(struct world *w, struct peer *p, const struct statement *st)
{
    struct buf b = BUF_INIT;
    size_t n = st->n > 3 ? st->w[3].n : 0;
    buf_printf(&b, "HTTP/1.1 %s Text\r\nContent-Length: %zu\r\n", word(st, 2), n);
    for (unsigned i = 4; i < st->n; i++)
        buf_printf(&b, "%s\r\n", st->w[i].p);
    buf_puts(&b, "\r\n");
    if (n)
        buf_append(&b, st->w[3].p, n);
    send_text(w, p, &b);
    return 0;
}

static int ends(struct world *w, struct peer *p, const struct statement *st)
{
    if (strcmp(word(st, 1), "shuts") == 0)
        peer_shut(p);
    else
        peer_close(p, strcmp(word(st, 1), "aborts") == 0);
    world_settle(w);
    return 0;
}

static int stops(struct world *w, struct peer *p, const struct statement *st)
{
    p->stopped = strcmp(word(st, 1), "stops") == 0;
    world_settle(w);
    return 0;
}

static int speaks(struct world *w, struct peer *p, const struct statement *st)
{
    bool client = strcmp(word(st, 2), "h2-client") == 0;
    if (!client && strcmp(word(st, 2), "h2-server") != 0)
        return err_set(w->e, "expected h2-client or h2-server");
    peer_h2(p, client, option(st, 3, "window", H2_WINDOW_DEFAULT), option(st, 3, "streams", 0));
    world_settle(w);
    return 0;
}

static int heads(struct world *w, struct peer *p, const struct statement *st)
{
    const char *fields[WORDS_MAX];
    unsigned long long id;
    bool end = strcmp(word(st, 3), "end") == 0;
    unsigned n = 0;
    if (number(w, word(st, 2), &id) < 0)
        return -1;
    for (unsigned i = end ? 4 : 3; i < st->n; i++) {
        if (!strchr(st->w[i].p, '='))
            return err_set(w->e, "expected NAME=VALUE, not \"%s\"", st->w[i].p);
        fields[n++] = st->w[i].p;
    }
    peer_h2_heads(p, (uint32_t)id, end, fields, n);
    world_settle(w);
    return 0;
}

static int data(struct world *w, struct peer *p, const struct statement *st)
{
    unsigned long long id;
    if (number(w, word(st, 2), &id) < 0)
        return -1;
    if (st->n < 4 || st->w[3].kind != WORD_TEXT)
        return err_set(w->e, "expected ID and a text");
    peer_h2_data(p, (uint32_t)id, slice_of(st->w[3].p, st->w[3].n),
                 strcmp(word(st, 4), "end") == 0);
    world_settle(w);
    return 0;
}

static int code_of(const char *name)
{
    for (int c = 0; c < 14; c++)
        if (strcmp(nghttp2_http2_strerror((uint32_t)c), name) == 0)
            return c;
    return -1;
}

static int resets(struct world *w, struct peer *p, const struct statement *st)
{
    unsigned long long id;
    int code = code_of(word(st, 3));
    if (number(w, word(st, 2), &id) < 0)
        return -1;
    if (code < 0)
        return err_set(w->e, "expected an error code of HTTP/2, not \"%s\"", word(st, 3));
    peer_h2_resets(p, (uint32_t)id, (uint32_t)code);
    world_settle(w);
    return 0;
}

static int goaway(struct world *w, struct peer *p, const struct statement *st)
{
    unsigned long long last;
    if (number(w, word(st, 2), &last) < 0)
        return -1;
    peer_h2_goaway(p, (uint32_t)last, NGHTTP2_NO_ERROR);
    world_settle(w);
    return 0;
}

static int credits(struct world *w, struct peer *p, const struct statement *st)
{
    unsigned long long id, n;
    if (number(w, word(st, 2), &id) < 0 || number(w, word(st, 3), &n) < 0)
        return -1;
    peer_h2_credits(p, (uint32_t)id, (uint32_t)n);
    world_settle(w);
    return 0;
}

struct count {
    const size_t *have;
    size_t want;
};

static bool counted(void *arg)
{
    const struct count *c = arg;
    return *c->have >= c->want;
}

static int got(struct world *w, struct peer *p, const struct statement *st)
{
    unsigned long long id, n;
    if (number(w, word(st, 2), &id) < 0 || number(w, word(st, 3), &n) < 0)
        return -1;
    struct count c = {&p->h2.data[id / 2 % H2_STREAMS_MAX], n};
    world_until(w, counted, &c);
    world_settle(w);
    if (*c.have != n)
        return err_set(w->e, "%s: stream %llu: expected %llu bytes, %zu came", p->name, id, n,
                       *c.have);
    return 0;
}

static const struct peer_verb {
    const char *name;
    int (*fn)(struct world *, struct peer *, const struct statement *);
} peer_verbs[] = {
    {"sends", sends},   {"receives", receives}, {"closed", closed},    {"reset", closed},
    {"silent", silent}, {"closes", ends},       {"aborts", ends},      {"shuts", ends},
    {"stops", stops},   {"resumes", stops},     {"blocked", blocked},  {"flowing", blocked},
    {"speaks", speaks}, {"heads", heads},       {"data", data},        {"resets", resets},
    {"goaway", goaway}, {"credits", credits},   {"got", got},          {"asks", asks},
    {"asked", asked},   {"answers", answers},   {"answered", answered}};

static int play_peer(struct world *w, struct peer *p, const struct statement *st)
{
    for (size_t i = 0; i < sizeof peer_verbs / sizeof peer_verbs[0]; i++)
        if (strcmp(word(st, 1), peer_verbs[i].name) == 0)
            return peer_verbs[i].fn(w, p, st);
    return err_set(w->e, "a connection cannot \"%s\"", word(st, 1));
}

/* ---- servers and clients --------------------------------------------------------------------- */

static int tcp_socket(const struct world *w, uint16_t port, struct sockaddr_storage *ss,
                      socklen_t *n)
{
    struct ip_port at = {.port = port};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ip_parse(w->address, &at.ip);
    *n = ip_port_to_sockaddr(&at, ss);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* what is sent leaves before virtual time goes on, whatever is acknowledged; those that are
     * accepted inherit it */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int server_listen(struct world *w, struct server *s, int backlog)
{
    struct sockaddr_storage ss;
    socklen_t n;
    s->fd = tcp_socket(w, s->port, &ss, &n);
    if (bind(s->fd, (struct sockaddr *)&ss, n) < 0 || listen(s->fd, backlog) < 0)
        return err_errno(w->e, "server %s cannot listen", s->name);
    fcntl(s->fd, F_SETFL, O_NONBLOCK);
    return 0;
}

/* nobody accepts, and one waits already: the kernel drops what else comes */
static int server_fill(struct world *w, struct server *s)
{
    struct sockaddr_storage ss;
    socklen_t n;
    if (server_listen(w, s, 0) < 0)
        return -1;
    s->plug = tcp_socket(w, s->port, &ss, &n);
    return connect(s->plug, (struct sockaddr *)&ss, n) < 0 ? err_errno(w->e, "plug") : 0;
}

static void server_down(struct server *s)
{
    if (s->fd >= 0)
        close(s->fd);
    if (s->plug >= 0)
        close(s->plug);
    s->fd = s->plug = -1;
}

static int play_server(struct world *w, const struct statement *st)
{
    struct server *s = world_server(w, word(st, 1));
    const char *state = word(st, 2);
    if (!s) {
        s = xcalloc(1, sizeof *s);
        *s = (struct server){.name = xstrdup(word(st, 1)), .port = w->next_port++};
        s->fd = s->plug = -1;
        s->next = w->servers;
        w->servers = s;
    }
    server_down(s);
    if (strcmp(state, "up") == 0)
        return server_listen(w, s, 64);
    if (strcmp(state, "full") == 0)
        return server_fill(w, s);
    return strcmp(state, "down") == 0 ? 0 : err_set(w->e, "expected up, down or full");
}

struct arrival {
    int listener, fd;
};

static bool arrived(void *arg)
{
    struct arrival *a = arg;
    if (a->fd < 0)
        a->fd = accept4(a->listener, NULL, NULL, SOCK_CLOEXEC);
    return a->fd >= 0;
}

static int server_verb(struct world *w, struct server *s, const struct statement *st)
{
    struct arrival a = {s->fd, -1};
    if (strcmp(word(st, 1), "idle") == 0) {
        world_settle(w);
        if (!arrived(&a))
            return 0;
        close(a.fd);
        return err_set(w->e, "somebody connected to %s", s->name);
    }
    if (strcmp(word(st, 1), "accepts") != 0 || st->n != 3)
        return err_set(w->e, "a server can only be idle, or accept NAME");
    if (!world_until(w, arrived, &a))
        return err_set(w->e, "nobody connected to %s", s->name);
    world_add_peer(w, word(st, 2), a.fd, false);
    world_settle(w);
    return 0;
}

static int play_client(struct world *w, const struct statement *st)
{
    struct sockaddr_storage ss;
    socklen_t n;
    if (strcmp(word(st, 2), "connects") != 0 || st->n < 4)
        return err_set(w->e, "expected NAME connects PORT");
    int rcvbuf = (int)option(st, 4, "rcvbuf", 0),
        fd = tcp_socket(w, setup_listen_port(word(st, 3)), &ss, &n);
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    if (connect(fd, (struct sockaddr *)&ss, n) < 0) {
        close(fd);
        return err_errno(w->e, "client %s cannot connect", word(st, 1));
    }
    world_add_peer(w, word(st, 1), fd, true);
    world_settle(w);
    return 0;
}

/* ---- the engine ------------------------------------------------------------------------------ */

static int play_time(struct world *w, const struct statement *st)
{
    int64_t ms;
    if (duration(w, word(st, 1), &ms) < 0)
        return -1;
    world_pass(w, (uint64_t)ms);
    return 0;
}

static void on_drained(void *arg)
{
    ((struct world *)arg)->drained = true;
}

static int play_drain(struct world *w, const struct statement *st)
{
    int64_t ms;
    if (duration(w, word(st, 1), &ms) < 0)
        return -1;
    world_phase(w, REPLAY_CONTROL);
    engine_drain(w->engine, (unsigned)ms, 1000, on_drained, w);
    world_phase(w, REPLAY_SCENARIO);
    world_settle(w);
    return 0;
}

static int play_drained(struct world *w, const struct statement *st)
{
    bool want = strcmp(word(st, 0), "drained") == 0;
    world_settle(w);
    if (w->drained == want)
        return 0;
    return err_set(w->e, want ? "the drain is not over yet" : "the drain is over already");
}

/* the figure of that name; -1 if there is none */
static long long figure(const char *stats, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = stats; at && *at; at = strchr(at, '\n'), at += at != NULL)
        if (strncmp(at, name, n) == 0 && at[n] == ':')
            return strtoll(at + n + 1, NULL, 10);
    return strncmp(name, "reason.", 7) == 0 ? 0 : -1;
}

static int play_stat(struct world *w, const struct statement *st)
{
    unsigned long long want;
    if (st->n != 4 || number(w, word(st, 3), &want) < 0)
        return err_set(w->e, "expected NAME = NUMBER");
    char *stats = world_stats(w), op = *word(st, 2);
    long long have = figure(stats, word(st, 1)), n = (long long)want;
    int rc = 0;
    if (have < 0)
        rc = err_set(w->e, "there is no figure \"%s\" in\n%s", word(st, 1), stats);
    else if (!(op == '=' ? have == n : op == '<' ? have < n : op == '>' && have > n))
        rc = err_set(w->e, "expected %s %c %lld, it is %lld", word(st, 1), op, n, have);
    free(stats);
    return rc;
}

static int play_service(struct world *w, const struct statement *st)
{
    return setup_service(w, st, strcmp(word(st, 0), "inbound") == 0);
}

static int play_apply(struct world *w, const struct statement *st)
{
    (void)st;
    return setup_apply(w);
}

static const struct verb {
    const char *name;
    unsigned words; /* at least, itself included */
    int (*fn)(struct world *, const struct statement *);
} verbs[] = {
    {"service", 5, play_service},    {"inbound", 5, play_service}, {"listen", 2, setup_listen},
    {"original", 3, setup_original}, {"spec", 3, setup_spec},      {"match", 4, setup_match},
    {"cluster", 4, setup_cluster},   {"remove", 2, setup_remove},  {"limit", 3, setup_limit},
    {"apply", 1, play_apply},        {"server", 3, play_server},   {"client", 4, play_client},
    {"time", 2, play_time},          {"drain", 2, play_drain},     {"drained", 1, play_drained},
    {"draining", 1, play_drained},   {"stat", 4, play_stat}};

int play(struct world *w, const struct statement *st)
{
    const char *first = word(st, 0);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(first, verbs[i].name) == 0)
            return st->n < verbs[i].words ? err_set(w->e, "%s: something is missing", first)
                                          : verbs[i].fn(w, st);
    struct peer *p = world_peer(w, first);
    if (p)
        return play_peer(w, p, st);
    struct server *s = world_server(w, first);
    if (s)
        return server_verb(w, s, st);
    return err_set(w->e, "nothing and nobody is called \"%s\"", first);
}
