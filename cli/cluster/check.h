/* check.h - the command `fsm check`. */
#ifndef FSM_CLI_CLUSTER_CHECK_H
#define FSM_CLI_CLUSTER_CHECK_H

#include <jansson.h>
#include "cli/cli.h"

struct cluster;

extern const struct opt cli_check_opts[];
/* exit status 1 if a check failed */
int cli_check(int argc, char **argv);
/* the rows of `fsm check --proxy` (checks.h); returns owned, or NULL and e */
json_t *check_collect(struct cluster *c, const char *ns, struct err *e);

#endif
