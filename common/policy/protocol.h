/* protocol.h - which protocol a Service port speaks: appProtocol, else the port's name.
 *
 * A port that says nothing we know is undeclared: it is treated as HTTP where the first bytes
 * are HTTP, and carried as opaque bytes where they are not.  Pure; any thread.
 */
#ifndef FSM_POLICY_PROTOCOL_H
#define FSM_POLICY_PROTOCOL_H

#include <stdbool.h>

enum mesh_protocol { MESH_HTTP, MESH_GRPC, MESH_TCP };

struct mesh_port_protocol {
    enum mesh_protocol protocol;
    bool declared;
};

/* either may be NULL or "" */
struct mesh_port_protocol mesh_protocol_of(const char *app_protocol, const char *port_name);
/* "http", "grpc" or "tcp", as documents print it */
const char *mesh_protocol_name(enum mesh_protocol p);

#endif
