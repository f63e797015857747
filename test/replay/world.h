/* world.h - what a scenario under way consists of; private to the runner. */
#ifndef FSM_TEST_REPLAY_WORLD_H
#define FSM_TEST_REPLAY_WORLD_H

#include <jansson.h>
#include <sys/queue.h>
#include "common/io/loop.h"
#include "common/proxy/engine.h"
#include "common/proxy/view.h"
#include "test/replay/peer.h"
#include "test/replay/runner.h"
#include "test/replay/script.h"

#define PATIENCE_MS 5000 /* real time for what must come; it comes at once on an idle machine */

struct server {
    struct server *next;
    char *name;
    uint16_t port;
    int fd;   /* -1: down */
    int plug; /* fills the backlog; -1: none */
};

struct service {
    struct service *next;
    char *name, *port;
    bool inbound;
    json_t *match;   /* NULL: only a listener */
    json_t *cluster; /* likewise */
    char *dst;       /* original destination */
};

struct world {
    struct loop *loop;
    struct engine *engine;
    char address[32]; /* of everybody */
    struct service *services;
    struct server *servers;
    struct peer *peers;
    json_t *spec;         /* owned */
    struct document *doc; /* in force; owned */
    struct view_limits limits;
    bool limited;
    bool drained;
    uint16_t next_port;
    int access_fd;                    /* or -1 */
    const struct replay_watch *watch; /* or NULL */
    bool stopped;                     /* the script went no further */
    bool control;                     /* traffic is not why the engine runs now */
    struct err *e;
};

static inline void world_phase(const struct world *w, enum replay_phase phase)
{
    if (w->watch)
        w->watch->phase(phase);
}

/* peers and engine, until nothing moves any more */
void world_settle(struct world *w);
/* settles until cond(arg) holds or patience ends; false: it does not hold */
bool world_until(struct world *w, bool (*cond)(void *arg), void *arg);
void world_pass(struct world *w, uint64_t ms);
/* the engine's figures as text; returns owned */
char *world_stats(struct world *w);
struct peer *world_peer(const struct world *w, const char *name);
struct server *world_server(const struct world *w, const char *name);
struct peer *world_add_peer(struct world *w, const char *name, int fd, bool client);
/* plays these statements; -1 and w->e */
int world_play(struct world *w, const char *script);

/* ---- setup.c: the document ---- */
/* st: "service ..." or "inbound ..." */
int setup_service(struct world *w, const struct statement *st, bool inbound);
int setup_original(struct world *w, const struct statement *st);
int setup_listen(struct world *w, const struct statement *st);
int setup_spec(struct world *w, const struct statement *st);
int setup_match(struct world *w, const struct statement *st);
int setup_cluster(struct world *w, const struct statement *st);
int setup_remove(struct world *w, const struct statement *st);
int setup_limit(struct world *w, const struct statement *st);
int setup_apply(struct world *w);
void setup_free(struct world *w);
/* 127.x.y.z:port of a client's connection to PORT */
uint16_t setup_listen_port(const char *port);

/* ---- play.c: what a statement does ---- */
int play(struct world *w, const struct statement *st);

#endif
