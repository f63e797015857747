/* runner.c - the world of a scenario: engine, clock and peers; see runner.h */
#include "test/replay/runner.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/proxy/prometheus.h"
#include "test/fake/clock.h"
#include "test/replay/world.h"

#define SCRIPT_MAX   (1u << 20)
#define QUIET_ROUNDS 4   /* so often nothing moved */
#define PAUSE_US     100 /* for the kernel, between rounds in which nothing moved */
#define ROUNDS_MIN   100 /* without anything moving, before patience may end: a busy machine */
#define SEED         60  /* round robin begins with the first of up to 6 */
#define SERVER_BASE  21000
#define HOUR_MS      3600000u

/* ---- turning --------------------------------------------------------------------------------- */

static void turn(struct world *w)
{
    bool traffic = !w->control && !engine_draining(w->engine);
    world_phase(w, traffic ? REPLAY_TRAFFIC : REPLAY_CONTROL);
    loop_turn(w->loop, false);
    world_phase(w, REPLAY_SCENARIO);
}

static bool pump(struct world *w)
{
    bool moved = false;
    for (struct peer *p = w->peers; p; p = p->next)
        moved |= peer_pump(p);
    return moved;
}

void world_settle(struct world *w)
{
    for (unsigned quiet = 0; quiet < QUIET_ROUNDS; quiet++) {
        turn(w);
        if (pump(w))
            quiet = 0;
        else
            usleep(PAUSE_US);
    }
}

static uint64_t real_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static unsigned patience_ms(const struct world *w)
{
    return w->watch ? w->watch->patience_ms : PATIENCE_MS;
}

bool world_until(struct world *w, bool (*cond)(void *arg), void *arg)
{
    uint64_t begin = real_ms();
    for (unsigned quiet = 0; quiet < ROUNDS_MIN || real_ms() - begin < patience_ms(w);) {
        turn(w);
        bool moved = pump(w);
        if (cond(arg))
            return true;
        quiet = moved ? 0 : quiet + 1;
        if (!moved)
            usleep(PAUSE_US);
    }
    return false;
}

void world_pass(struct world *w, uint64_t ms)
{
    world_settle(w);
    uint64_t now = loop_now_ms(w->loop), end = now + ms;
    while (now < end) {
        uint64_t next = loop_next_ms(w->loop);
        if (next > end)
            next = end;
        fake_clock_advance(next > now ? next - now : 1);
        now = next > now ? next : now + 1;
        turn(w);
        turn(w); /* what the first one caused: a listener that looks again */
        if (pump(w))
            world_settle(w);
    }
    world_settle(w);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void on_stats(const struct stats *s, void *arg)
{
    stats_print(s, arg);
}

char *world_stats(struct world *w)
{
    struct buf text = BUF_INIT;
    world_settle(w);
    w->control = true;
    world_phase(w, REPLAY_CONTROL);
    engine_collect(w->engine, on_stats, &text);
    world_phase(w, REPLAY_SCENARIO);
    world_settle(w);
    w->control = false;
    return buf_take(&text);
}

struct peer *world_peer(const struct world *w, const char *name)
{
    struct peer *p = w->peers;
    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    return p;
}

struct server *world_server(const struct world *w, const char *name)
{
    struct server *s = w->servers;
    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    return s;
}

struct peer *world_add_peer(struct world *w, const char *name, int fd, bool client)
{
    struct peer *p = peer_new(name, fd);
    p->client = client;
    p->keep = w->watch != NULL;
    p->next = w->peers;
    w->peers = p;
    return p;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static int world_open(struct world *w, const struct replay_watch *watch, struct err *e)
{
    /* for the sanitizers, who see what a line is made of; its writer is a thread, with a time and
     * calls of its own, which torture does not reckon with */
    int access_fd = watch ? -1 : open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct engine_opts o = {.workers = 0, .seed = SEED, .access_fd = access_fd};
    unsigned pid = (unsigned)getpid();
    *w = (struct world){.e = e, .next_port = SERVER_BASE, .spec = json_object(), .watch = watch};
    w->limits = limits_default;
    /* an address of its own for each process, so that scenarios do not meet */
    snprintf(w->address, sizeof w->address, "127.%u.%u.%u", 1 + (pid >> 16) % 200, pid >> 8 & 255,
             pid & 255);
    world_phase(w, REPLAY_CONTROL);
    w->loop = loop_new(e);
    w->engine = w->loop ? engine_new(w->loop, &o, e) : NULL;
    w->access_fd = access_fd;
    if (w->engine && access_fd >= 0)
        engine_access_log(w->engine, ACCESS_JSON);
    world_phase(w, REPLAY_SCENARIO);
    return w->engine ? 0 : -1;
}

static void close_peers(struct world *w)
{
    struct peer *p;
    while ((p = w->peers)) {
        w->peers = p->next;
        peer_free(p);
    }
}

static void close_servers(struct world *w)
{
    struct server *s;
    while ((s = w->servers)) {
        w->servers = s->next;
        if (s->fd >= 0)
            close(s->fd);
        if (s->plug >= 0)
            close(s->plug);
        free(s->name);
        free(s);
    }
}

static void world_close(struct world *w)
{
    close_peers(w);
    close_servers(w);
    world_phase(w, REPLAY_CONTROL);
    engine_free(w->engine);
    loop_free(w->loop);
    world_phase(w, REPLAY_SCENARIO);
    if (w->access_fd >= 0)
        close(w->access_fd);
    setup_free(w);
}

/* every figure of that name, of whichever cluster, must be 0 */
static int must_be_zero(const char *stats, const char *name, struct err *e)
{
    char *line = xasprintf("%s: ", name);
    int rc = 0;
    for (const char *at = stats; rc == 0 && (at = strstr(at, line)); at++)
        if (at[strlen(line)] != '0')
            rc = err_set(e, "an hour after the end: %.*s", (int)strcspn(at, "\n"), at);
    free(line);
    return rc;
}

static int nothing_left(struct world *w)
{
    static const char *const names[] = {
        "downstream_cx_active", "downstream_rq_active",       "tunnels_active",
        "upstream_cx_active",   "upstream_rq_pending_active", "upstream_rq_active",
        "buffers_used_bytes"};
    close_peers(w);
    world_pass(w, HOUR_MS);
    char *stats = world_stats(w);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof names[0]; i++)
        rc = must_be_zero(stats, names[i], w->e);
    free(stats);
    if (rc == 0 && loop_next_ms(w->loop) != UINT64_MAX)
        rc = err_set(w->e, "an hour after the end: a timer is set");
    return rc;
}

static int play_script(struct world *w, const char *file, struct slice text)
{
    struct statement st;
    unsigned line = 1;
    int rc;
    while ((rc = script_next(&text, &line, &st, w->e)) == 1) {
        if (play(w, &st) < 0) {
            err_prefix(w->e, "%s:%u", file, st.line);
            statement_free(&st);
            return -1;
        }
        statement_free(&st);
    }
    statement_free(&st);
    return rc < 0 ? err_prefix(w->e, "%s:%u", file, line) : 0;
}

int world_play(struct world *w, const char *script)
{
    return play_script(w, "then", slice_str(script));
}

static int play_watched(struct world *w, const char *file, struct slice text)
{
    w->stopped = play_script(w, file, text) < 0;
    for (struct peer *p = w->peers; p; p = p->next)
        p->stopped = false;
    world_pass(w, 25 * HOUR_MS);
    if (w->watch->look(w, w->e) < 0 || nothing_left(w) < 0)
        return -1;
    return w->watch->after(w, w->e) < 0 ? -1 : nothing_left(w);
}

static int play_all(struct world *w, const char *file, struct slice text)
{
    if (w->watch)
        return play_watched(w, file, text);
    if (play_script(w, file, text) < 0)
        return -1;
    return nothing_left(w) < 0 ? err_prefix(w->e, "%s", file) : 0;
}

int replay_run(const char *file, const struct replay_watch *watch, struct err *e)
{
    struct buf text = BUF_INIT;
    struct world w;
    if (file_read(file, SCRIPT_MAX, &text, e) < 0)
        return -1;
    int rc = world_open(&w, watch, e);
    if (rc == 0)
        rc = play_all(&w, file, buf_slice(&text));
    else if (watch)
        rc = 0; /* an engine that does not begin is no wrong answer */
    world_close(&w);
    buf_free(&text);
    return rc;
}
