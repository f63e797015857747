/* endpoints.h - EndpointSlices of Services with a selector, as Kubernetes' controller makes them.
 */
#ifndef FSM_CLI_LOCAL_ENDPOINTS_H
#define FSM_CLI_LOCAL_ENDPOINTS_H

#include "cli/local/local.h"

/* compares Services and pods with the slices there are, and changes those that differ */
void endpoints_sync(struct local *l);

#define SERVICE_LABEL "kubernetes.io/service-name"

/* which endpoints of a slice take new connections: the ready ones; if the Service has none of
 * those at all, the ones that still serve while they end */
bool endpoint_is_ready(const json_t *endpoint);
bool endpoint_is_serving(const json_t *endpoint);

#endif
