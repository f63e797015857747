/* live.h - connections made to see where they arrive. */
#ifndef FSM_INIT_LIVE_H
#define FSM_INIT_LIVE_H

#include <stdbool.h>

#include "interceptor/init/rules.h"

/* A listener pair in the sidecar's place, and one more in the application's. */
struct live {
    int family;
    int fd[3]; /* by enum landing */
    uint16_t own_port;
};
enum landing { LAND_OUTBOUND, LAND_INBOUND, LAND_OWN, LAND_NOWHERE, LAND_NO_ROUTE };
/* 0; 1 = somebody (the sidecar) already listens on 15001 or 15003; -1 and e */
int live_open(struct live *l, int family, struct err *e);
void live_close(struct live *l);
/* Connects to dst from a socket that belongs to uid and waits (ms) to see which listener gets
 * it; *original = where SO_ORIGINAL_DST says it was going.  -1 and errno if no socket of that
 * user can be made (EPERM: CAP_SETUID is missing). */
int live_connect(const struct live *l, uint32_t uid, const struct ip_port *dst, int wait_ms,
                 struct ip_port *original);

/* Is a connection to dst from a socket of uid answered within ms?  1, 0, or -1 as above. */
int live_answered(int family, uint32_t uid, const struct ip_port *dst, int ms);
/* A port that nobody listens on, nor will while the descriptor is open; -1 and errno. */
int live_hold_port(int family, uint16_t *port);

/* the interface that traffic to ip leaves by; -1 if there is no route */
int live_route(const struct ip *to, char iface[IF_NAME_MAX]);
/* an address of this namespace that is neither loopback nor link-local; -1 if there is none */
int live_own_address(int family, struct ip *out);

#endif
