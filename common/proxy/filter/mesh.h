/* mesh.h - the filters of mesh traffic: what proxies tell each other by header fields.
 *
 * Field          from                 to                   meaning
 * serviceidentity client's proxy      server's application the caller, for information; the
 *                                                          server's proxy sets it anew from the
 *                                                          certificate
 * fsm-protocol   client's proxy       server's proxy       "h2": the client spoke HTTP/2, so the
 *                                                          application is spoken to in HTTP/2
 * fsm-stats      server's proxy       client's proxy       "ns,kind,name,pod" of the server
 *
 * None of them is taken from an application.
 */
#ifndef FSM_PROXY_FILTER_MESH_H
#define FSM_PROXY_FILTER_MESH_H

#include "common/base/arena.h"
#include "common/proxy/filter.h"

struct mesh_out_conf;
/* identity: this side's "sa.ns.td", "" for none; copied into a */
const struct mesh_out_conf *mesh_out_conf_new(struct arena *a, const char *identity);
extern const struct filter mesh_out_filter;

struct mesh_in_conf;
/* stats: what fsm-stats says about us, "" for nothing; copied into a */
const struct mesh_in_conf *mesh_in_conf_new(struct arena *a, const char *stats);
extern const struct filter mesh_in_filter;

#endif
