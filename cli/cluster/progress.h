/* progress.h - what long commands say while they run, and how long they wait; one at a time. */
#ifndef FSM_CLI_CLUSTER_PROGRESS_H
#define FSM_CLI_CLUSTER_PROGRESS_H

#include <stdbool.h>
#include "cli/cluster/cluster.h"

/* from now on lines of progress have the time since, and waits end after timeout_ms */
void progress_begin(unsigned long long timeout_ms);
/* on standard error */
void progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* waits half a second; false: the time is over */
bool progress_wait(void);
/* "a", "b" "c" -> "a, b and 1 more"; of at most n; returns owned */
char *progress_names(const json_t *names, size_t n);

/* Waits until the Deployments of the mesh in ns are ready and the API server knows how to trust the
 * webhook.  -1 and e, after telling what each pod lacks */
int rollout_wait(struct cluster *c, const char *ns, const char *mesh, const json_t *objects,
                 struct err *e);

#endif
