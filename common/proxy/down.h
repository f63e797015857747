/* down.h - an accepted connection: which chain it belongs to, who its peer is, which codec it
 * got (engine-internal).
 *
 * accept ─► original destination ─► chain ─► source address ─► first bytes ─► codec
 *
 * The codec owns the connection's callback once it runs.  A chain belongs to a view: before each
 * new stream down_chain() looks whether the view changed, matches anew and asks whether the peer
 * would still come in as it did (plaintext, its certificate), so that a kept-alive connection
 * follows the configuration.
 */
#ifndef FSM_PROXY_DOWN_H
#define FSM_PROXY_DOWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/base/cidr.h"
#include "common/io/conn.h"
#include "common/proxy/chain.h"
#include "common/proxy/reason.h"
#include "common/proxy/worker.h"

/* who the peer's certificate says it is */
struct identity {
    uint32_t cap;          /* of the block that it is in */
    const char *principal; /* behind spiffe */
    char spiffe[];
};

/* a choice that holds as long as the connection */
struct stick {
    struct stick *next;
    uint64_t key;
    struct epool *ep; /* an endpoint (ref), or */
    uint32_t slot;    /* a cluster */
};
#define STICKS_MAX 64

struct down_ops {
    /* finish what is under way, take nothing new */
    void (*drain)(void *codec);
    /* Ends streams, releases buffers; the connection is closed by down_close.  true: by a reset,
     * because an orderly end would pass for that of what was under way. */
    bool (*close)(void *codec, enum reason why);
    /* its memory, at the end of the turn */
    void (*free)(void *codec);
};
#define DRAIN_IDLE_MS 1000 /* a kept-alive client that is silent so long while we drain is cut */

struct down {
    LIST_ENTRY(down) link;
    struct worker *w;
    struct conn *conn;          /* owned */
    const struct down_ops *ops; /* NULL before there is a codec */
    void *codec;
    const struct chain *chain; /* valid while generation is the current view's */
    uint64_t generation;
    struct ip_port dst;   /* original destination */
    struct identity *id;  /* owned; NULL = none */
    struct stick *sticks; /* owned */
    uint64_t own_serial;  /* cluster that was looked through for dst; 0 = none yet */
    int32_t own;          /* the endpoint of it that dst is, or -1 */
    uint16_t port;        /* of our listener */
    struct timer timer;
    struct loop_job job;
    uint8_t n_sticks;
    bool inbound;
    bool mesh;       /* came by mutual TLS between proxies */
    bool denied;     /* its certificate is not one of those the rule names */
    bool unverified; /* came by TLS in which its certificate was not asked for */
    bool guessed;    /* the client is silent: the opaque upstream is dialled */
    bool patient;    /* not let in yet: waits for a newer view */
    bool closed;
};

/* takes fd */
void down_accept(struct worker *w, const struct view_listener *l, int fd,
                 const struct ip_port *peer);
/* a newer view was taken: those that were not let in look again */
void downs_try_again(struct worker *w);
/* NULL: the current view has nothing for this connection any more (it is closed by then) */
const struct chain *down_chain(struct down *d);
/* The chain of the current view that would take such a connection now; NULL: none would. */
const struct chain *down_still_allowed(struct down *d);
/* the codec's close comes first; idempotent; memory stays until the end of the turn */
void down_close(struct down *d, enum reason why);
/* as down_close, but the peer sees a reset */
void down_abort(struct down *d, enum reason why);
/* The codec has nothing more to say, and all of it is the kernel's.  Ends our side; the connection
 * is closed when the client has ended its own, or had its time (leave.c).  The codec's close comes
 * at once, its memory goes at the end of the turn. */
void down_leave(struct down *d, enum reason why);

/* codecs (h1_down.c, h2_down.c, tunnel.c): set d->ops, d->codec and the connection's callback;
 * -1: no memory */
int h1_down_start(struct down *d);
int h2_down_start(struct down *d);
/* Bytes to split, NULL = to the original destination.  guess: the connection stays with its
 * detection (d->codec is set) until the upstream speaks, or tunnel_down_commit. */
int tunnel_down_start(struct down *d, const struct chain *c, const struct split *split, bool guess);
void tunnel_down_commit(void *codec);
/* the guess was wrong: the upstream is dropped, the connection goes on */
void tunnel_down_cancel(void *codec);
/* down.c: the connection's events while it has no codec */
void down_detect_event(struct conn *c, unsigned ev, void *down);

#endif
