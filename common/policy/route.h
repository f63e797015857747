/* route.h - route rules of HTTP services, as documents carry them.  Pure; any thread. */
#ifndef FSM_POLICY_ROUTE_H
#define FSM_POLICY_ROUTE_H

#include <jansson.h>

/* {cluster: weight}; returns owned */
json_t *route_targets(const char *cluster);
/* the wildcard rule: every path, method and client; returns owned */
json_t *route_any(const char *cluster);
/* Puts rules[name] = rule and returns the name under which it stands: name itself, or
 * "name|port" when another rule has that name already.  takes rule; returns owned. */
json_t *route_add(json_t *rules, const char *name, unsigned port, json_t *rule);

#endif
