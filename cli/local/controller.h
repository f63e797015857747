/* controller.h - fsm-controller as a component of the instance: on the machine itself, listening
 * on the bridge's address, reading the instance's resources. */
#ifndef FSM_CLI_LOCAL_CONTROLLER_H
#define FSM_CLI_LOCAL_CONTROLLER_H

#include "cli/local/local.h"

int controller_open(struct local *l, struct err *e);
void controller_close(struct local *l);
/* up: /health/ready says 200.  cb comes once, later */
void controller_ask_ready(struct local *l, void (*cb)(bool up, void *arg), void *arg);
/* GET path on its admin socket; cb comes once, later, with the JSON (borrowed) or NULL */
void controller_ask(struct local *l, const char *path, void (*cb)(const json_t *answer, void *arg),
                    void *arg);

#endif
