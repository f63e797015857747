/* presets.h - what is there before a user makes anything: namespaces, service accounts, the mesh's
 * configuration, its root certificate in every namespace, the controller's Service. */
#ifndef FSM_CLI_LOCAL_PRESETS_H
#define FSM_CLI_LOCAL_PRESETS_H

#include "cli/local/local.h"

int presets_create(struct local *l, struct err *e);
/* gives every namespace its service account "default" and ConfigMap fsm-root-ca */
void presets_sync(struct local *l);

#endif
