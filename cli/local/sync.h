/* sync.h - everything that follows the objects: one pass over all of it per turn of the loop. */
#ifndef FSM_CLI_LOCAL_SYNC_H
#define FSM_CLI_LOCAL_SYNC_H

#include "cli/local/local.h"

int sync_open(struct local *l, struct err *e);
void sync_close(struct local *l);
void sync_all(struct local *l);
/* tells "ready" when DNS and controller answer, or "failed: ..." when they do not in time */
void sync_when_ready(struct local *l, void (*tell)(const char *fmt, ...));
/* for `fsm local status`; returns owned */
json_t *sync_status(struct local *l);

#endif
