/* sync.h - everything that follows the objects: what a change concerns is done again, once per
 * turn of the loop, however much changed in it. */
#ifndef FSM_CLI_LOCAL_SYNC_H
#define FSM_CLI_LOCAL_SYNC_H

#include "cli/local/local.h"

struct sync;

/* starts DNS and the controller */
int sync_open(struct local *l, struct err *e);
void sync_close(struct local *l);
/* does what is due */
void sync_run(struct local *l);
/* tells "ready" when DNS and controller answer, or "failed: ..." when they do not in time */
void sync_when_ready(struct local *l, void (*tell)(const char *fmt, ...));

#endif
