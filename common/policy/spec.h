/* spec.h - the parts of a document that are the proxy's own: settings, identity, probes.
 * Pure; any thread. */
#ifndef FSM_POLICY_SPEC_H
#define FSM_POLICY_SPEC_H

#include <jansson.h>
#include "common/policy/mesh.h"
#include "common/policy/settings.h"

/* all return owned wire form */
json_t *spec_compile(const struct mesh_settings *set, const struct mesh_pod *p);
/* who the proxy is: the Proxy section */
json_t *spec_proxy(const struct mesh_pod *p, const char *trust_domain);
/* the certificate's name; the certificate itself never stands in a document */
json_t *spec_certificate(const struct mesh_pod *p, const char *trust_domain);

#endif
