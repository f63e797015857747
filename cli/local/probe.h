/* probe.h - startup, liveness and readiness probes, and lifecycle hooks, as a kubelet runs them:
 * httpGet, tcpSocket and grpc are dialled from the machine to the pod's address, exec runs inside
 * the container. */
#ifndef FSM_CLI_LOCAL_PROBE_H
#define FSM_CLI_LOCAL_PROBE_H

#include "cli/local/fetch.h"
#include "cli/local/pod.h"

struct probes *probes_new(struct local *l, struct err *e);
void probes_free(struct probes *ps);
/* for other requests of the daemon; borrowed */
struct fetcher *probes_fetcher(struct local *l);

/* One attempt of one handler ({"httpGet": ...}, {"tcpSocket": ...}, {"grpc": ...}, {"exec": ...},
 * {"sleep": ...}); cb comes once, never from inside the call, unless cancelled before. */
struct check;
typedef void check_cb(bool ok, const char *why, void *arg);
struct check *check_start(struct fetcher *f, struct container *c, const json_t *handler,
                          unsigned timeout_ms, check_cb *cb, void *arg);
void check_cancel(struct check *ck);

/* the container runs: probing begins */
void probes_start(struct container *c);
/* it does not any more */
void probes_stop(struct container *c);

/* lifecycle: postStart when begin, preStop else.  false when there is none.  done(c) follows. */
bool hook_start(struct container *c, const char *which, unsigned timeout_ms,
                void (*done)(struct container *c, bool ok, const char *why));
void hook_cancel(struct container *c);

#endif
