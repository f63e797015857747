/* check.h - one check of a container: does it accept connections, is its gRPC service serving?
 *
 *   c = check_start(&env, port, service, on_done, self);
 *   on_done(ok, text, self) comes exactly once, never from inside check_start, unless
 *   check_cancel(c) came first
 *
 * One thread: the loop's.
 */
#ifndef FSM_HEALTHCHECK_CHECK_H
#define FSM_HEALTHCHECK_CHECK_H

#include <stdbool.h>

#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"

#define CHECK_PLACES 6

/* what all checks share */
struct check_env {
    struct loop *loop;
    struct h2_pool *pool; /* owned; made with the first gRPC check */
    /* the addresses of this pod where a container may listen, tried in this order */
    struct ip places[CHECK_PLACES];
    unsigned n;
};
/* loop: borrowed; may be set later, before the first check.  Places are loopback of both families,
 * then pod_ips, a comma list
 * ("10.0.0.1,fd00::1"; NULL = none).  -1 and e */
int check_env_init(struct check_env *env, struct loop *l, const char *pod_ips, struct err *e);
/* all checks must be gone */
void check_env_free(struct check_env *env);

struct check;
typedef void check_done(bool ok, const char *text, void *arg);
/* service: NULL = a connection is enough; else asks grpc.health.v1 about it ("" = the whole
 * server).  Borrows env for the life of the check, copies service.  Returns owned by itself:
 * gone after on_done. */
struct check *check_start(struct check_env *env, uint16_t port, const char *service,
                          check_done *done, void *arg);
void check_cancel(struct check *c);

#endif
