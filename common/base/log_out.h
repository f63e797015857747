/* log_out.h - where log lines go: standard error, without ever waiting for who reads it.
 *
 * A reader that stands still (a pipe that nobody empties, a stopped terminal) must not stop the
 * thread that logs: a line that would have to wait is left out and counted.  Any thread.
 */
#ifndef FSM_BASE_LOG_OUT_H
#define FSM_BASE_LOG_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* all of a line, or nothing of it; false = it was left out and counted */
bool log_out_write(const char *line, size_t n);
/* lines left out since the last call; the caller tells of them */
unsigned long log_out_take_lost(void);
/* the caller could not tell: they count again */
void log_out_give_lost(unsigned long n);

#endif
