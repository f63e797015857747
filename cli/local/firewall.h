/* firewall.h - a machine whose own rules drop what is forwarded (as Docker sets them) lets the
 * pods' traffic through. */
#ifndef FSM_CLI_LOCAL_FIREWALL_H
#define FSM_CLI_LOCAL_FIREWALL_H

#include "cli/local/instance.h"

/* Adds rules to the filter table's FORWARD chain of each backend whose policy is DROP; nothing
 * where it is not. */
void firewall_open(const struct instance *in);
/* takes exactly those away again; fine when there are none */
void firewall_close(const struct instance *in);

#endif
