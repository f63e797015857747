/* peer.h - one end of a connection that a scenario plays: a client's, or a server's.
 *
 * Non-blocking; peer_pump moves what the kernel has or takes.  What comes is kept in `in` until
 * the scenario has looked at it; as an HTTP/2 peer (peer_h2) `in` is not the bytes but one line
 * for each frame, and what is told by frames is written by the functions at the end:
 *
 *   SETTINGS\n            HEADERS 1 end :status=200 content-length=2\n     DATA 1 end n=2 ok\n
 *   RST_STREAM 1 CANCEL\n GOAWAY last=1 NO_ERROR\n      WINDOW 1 n=100\n   TRAILERS 1 end a=b\n
 *
 * SETTINGS and PING are acknowledged; nothing else is done by itself.
 */
#ifndef FSM_TEST_REPLAY_PEER_H
#define FSM_TEST_REPLAY_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/cidr.h"

#define H2_STREAMS_MAX 64 /* whose bytes are counted: by id / 2 */

struct nghttp2_hd_deflater;
struct nghttp2_hd_inflater;
struct h2_peer {
    bool on, client, greeted;
    struct buf raw; /* not yet a whole frame */
    struct nghttp2_hd_deflater *def;
    struct nghttp2_hd_inflater *inf;
    size_t data[H2_STREAMS_MAX]; /* bytes of bodies received */
    bool headed[H2_STREAMS_MAX];
};

struct peer {
    struct peer *next;
    char *name;
    int fd;
    struct buf in, out;
    size_t sent;       /* of out */
    uint64_t received; /* bytes, ever */
    bool eof, reset, stopped, shut, broken;
    bool closed; /* by us */
    bool client;
    bool keep;      /* what comes is kept in `all` too */
    struct buf all; /* as it was in `in` */
    struct h2_peer h2;
};

static inline size_t peer_unsent(const struct peer *p)
{
    return p->out.len - p->sent;
}
/* takes fd */
struct peer *peer_new(const char *name, int fd);
void peer_free(struct peer *p);
/* true: something moved */
bool peer_pump(struct peer *p);
void peer_send(struct peer *p, struct slice bytes);
/* as TCP's urgent data; -1: it cannot be sent now */
int peer_send_urgent(struct peer *p, struct slice bytes);
/* abort: with a reset */
void peer_close(struct peer *p, bool abort);
/* our end of stream, behind what waits */
void peer_shut(struct peer *p);

#define H2_WINDOW_DEFAULT 65535

/* from now on frames; begins with the preface.  window: of each stream; streams: how many at once,
 * 0 = no bound told */
void peer_h2(struct peer *p, bool client, uint32_t window, uint32_t streams);
/* what came is frames; called by peer_pump.  NULL, or what is wrong with them */
const char *peer_h2_take(struct peer *p, struct slice bytes);
/* fields: "name=value" each */
void peer_h2_heads(struct peer *p, uint32_t id, bool end, const char *const *fields, unsigned n);
void peer_h2_data(struct peer *p, uint32_t id, struct slice bytes, bool end);
void peer_h2_resets(struct peer *p, uint32_t id, uint32_t code);
void peer_h2_goaway(struct peer *p, uint32_t last, uint32_t code);
void peer_h2_credits(struct peer *p, uint32_t id, uint32_t n);
void peer_h2_free(struct peer *p);

#endif
