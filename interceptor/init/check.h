/* check.h - proves that redirection works in this network namespace: reads the rules back, then
 * makes real connections as the application's user and as the sidecar's. */
#ifndef FSM_INIT_CHECK_H
#define FSM_INIT_CHECK_H

#include <stdbool.h>

#include "interceptor/init/rules.h"

/* want: what the rules should say; NULL = whatever fsm-init may have been told.  Prints one line
 * per check on standard output ("ok", "FAIL", "note"; FAIL says what to do).  Returns the number
 * of failures. */
unsigned check_run(const struct redirect *want);

#endif
