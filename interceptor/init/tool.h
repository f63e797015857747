/* tool.h - runs one program directly (no shell), feeds it, and collects what it says. */
#ifndef FSM_INIT_TOOL_H
#define FSM_INIT_TOOL_H

#include "common/base/buf.h"
#include "common/base/err.h"

#define TOOL_MISSING (-2)

/* argv[0] is looked up in the system's directories only.  in: its standard input; out and
 * complaints: appended.  Returns the exit status, -1 and e if it could not be run, was killed or
 * took longer than 10 s, TOOL_MISSING and e if there is no such program. */
int tool_run(const char *const argv[], struct slice in, struct buf *out, struct buf *complaints,
             struct err *e);

#endif
