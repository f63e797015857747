/* admin.h - what the sidecar tells people and Prometheus.
 *
 * On the admin address (loopback 15000 or a Unix socket; spec 2.1):
 *   GET  /ready /config_dump /certs /listeners /clusters /stats /stats/prometheus /version
 *   GET  /logging         POST /logging?level=debug      POST /access_log?format=json|text|off
 *   POST /drain /quitquitquit
 * On the metrics address (15010), for everybody: /stats/prometheus and /ready.
 * No page shows a private key.  One thread: the control loop's.
 */
#ifndef FSM_SIDECAR_ADMIN_H
#define FSM_SIDECAR_ADMIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/proxy/engine.h"
#include "common/proxy/prometheus.h"

/* what the pages show; everything borrowed for the length of the request's callback */
struct admin_info {
    struct document *doc;   /* in force; borrowed; or NULL */
    const char *version;    /* its version, "" */
    const char *rejected;   /* version refused last, "" = none since */
    const char *reason;     /* why it was refused */
    const char *controller; /* what keeps us from the controller, "" = nothing */
    const char *chain_pem;  /* our certificate, or NULL */
    const char *not_ready;  /* what is still missing, NULL = ready */
};
struct admin_ops {
    void (*info)(struct admin_info *out, void *arg);
    void (*drain)(void *arg);
    void (*quit)(void *arg);
};

struct admin;
/* takes both fds (-1 = none) */
struct admin *admin_new(struct loop *l, struct engine *eng, int admin_fd, int metrics_fd,
                        const struct admin_ops *ops, void *arg, struct err *e);
/* labels of the metrics; copied */
void admin_set_source(struct admin *a, const struct stats_source *src);
void admin_free(struct admin *a);

#endif
