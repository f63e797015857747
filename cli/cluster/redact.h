/* redact.h - objects without what nobody but their owner should read. */
#ifndef FSM_CLI_CLUSTER_REDACT_H
#define FSM_CLI_CLUSTER_REDACT_H

#include <jansson.h>

/* In place: values of environment variables and of headers, commands and arguments of containers
 * that are not fsm's, kubeconfigs, passwords, tokens; and what is of no use: managedFields and
 * kubectl's copy of the object, which would hold all of it once more. */
void redact(json_t *object);

#endif
