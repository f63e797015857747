/* status.h - the report of `fsm local status`: components, pods, what is wrong. */
#ifndef FSM_CLI_LOCAL_STATUS_H
#define FSM_CLI_LOCAL_STATUS_H

#include "cli/local/api.h"

/* replies to the request, after asking the controller */
void status_reply(struct api_request *r);

#endif
