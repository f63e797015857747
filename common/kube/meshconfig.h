/* meshconfig.h - the MeshConfig that an installation begins with. */
#ifndef FSM_KUBE_MESHCONFIG_H
#define FSM_KUBE_MESHCONFIG_H

#include <jansson.h>

/* The full default object (spec 2.1's switches and all the others), as the installer writes it
 * into the namespace of the control plane.  returns owned */
json_t *kube_meshconfig_preset(const char *fsm_namespace);

#endif
