/* component.h - the long-running helpers of an instance (DNS, controller): started, watched,
 * started again when they end. */
#ifndef FSM_CLI_LOCAL_COMPONENT_H
#define FSM_CLI_LOCAL_COMPONENT_H

#include "cli/local/local.h"

struct component;

struct components *components_new(struct local *l);
/* ends them all */
void components_free(struct components *cs);
/* argv: copied.  Output goes to logs/NAME.log.  NULL and e if it cannot be started at all */
struct component *component_add(struct local *l, const char *name, const char *const *argv,
                                struct err *e);
/* SIGHUP and the like; nothing if it is not running */
void component_signal(struct component *c, int sig);
/* what `status` shows: array of {name, state, pid, uptime, restarts}; *healthy is cleared when one
 * is not running.  returns owned */
json_t *components_status(const struct local *l, bool *healthy);
/* the last lines of a component's log, for messages; returns owned */
char *component_last_words(const struct local *l, const char *name);

#endif
