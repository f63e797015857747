/* engine.h - the proxy engine of a process: workers, the snapshot in use, counters, drain.
 *
 *   eng = engine_new(control_loop, &opts, &e);     worker threads start, without a view
 *   engine_publish(eng, view);                     each worker takes it at the top of its loop
 *   engine_collect(eng, fn, arg);                  fn gets the counters of all workers, added up
 *   engine_drain(eng, ms, fn, arg);                fn when nothing is left, or after ms
 *   engine_free(eng);
 *
 * Everything here belongs to the control thread: the thread that runs control_loop.
 */
#ifndef FSM_PROXY_ENGINE_H
#define FSM_PROXY_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/proxy/cluster.h"
#include "common/proxy/stats.h"

struct engine;
struct lsocks;
struct view;

struct engine_opts {
    unsigned workers; /* threads; 0 = one worker on the control loop itself (tests) */
    uint32_t seed;    /* where round robin begins; 0 = random */
    int access_fd;    /* access log lines go there; -1 = nowhere */
};

struct engine *engine_new(struct loop *control, const struct engine_opts *o, struct err *e);
/* ends the workers at once; connections are cut */
void engine_free(struct engine *e);

struct cluster_slots *engine_slots(struct engine *e);
/* the listening sockets, shared by views */
struct lsocks *engine_lsocks(struct engine *e);
/* those that accept connections */
unsigned engine_workers(const struct engine *e);
/* Changes their number, 1 to WORKERS_MAX, while they work.  A worker too many hands its listening
 * sockets over, tells its clients to come again (Connection: close, GOAWAY) and leaves when its
 * last connection has ended by itself.  -1 and e: the number stays. */
int engine_set_workers(struct engine *e, unsigned n, struct err *err);
/* No connection is accepted any more; the listening sockets stay open.  Another process that has
 * them goes on. */
void engine_stop_accepting(struct engine *e);
/* takes v; from here on it must not change.  Sets v->generation. */
void engine_publish(struct engine *e, struct view *v);
/* the view published last, or NULL; borrowed until the next engine_publish */
const struct view *engine_view(const struct engine *e);

/* fn is called once, on the control loop, never from inside this call; s is borrowed */
typedef void engine_stats_fn(const struct stats *s, void *arg);
void engine_collect(struct engine *e, engine_stats_fn *fn, void *arg);

enum access_format { ACCESS_OFF, ACCESS_JSON, ACCESS_TEXT };
void engine_access_log(struct engine *e, enum access_format f);
enum access_format engine_access_format(const struct engine *e);

/* Connections are told to end (Connection: close, GOAWAY), new ones still served: a client may
 * not know yet.  fn: when no connection was left for a while (idle_ms), or after ms. */
void engine_drain(struct engine *e, unsigned ms, unsigned idle_ms, void (*fn)(void *arg),
                  void *arg);
bool engine_draining(const struct engine *e);

/* ---- what all workers know together ---- */
struct overload;
struct engine_shared {
    uint32_t conns[2]; /* atomic: accepted and open, outbound and inbound */
    struct overload *overload;
};
struct engine_shared *engine_shared(struct engine *e);

#endif
