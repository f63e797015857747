/* own.h - the certificate that a daemon shows to its own clients, signed by the mesh's authority,
 * and the HTTPS server that shows it.
 *
 *   own = (struct daemon_own){.service = "fsm-controller", .conf = &conf, .ca = ca};
 *   server = daemon_own_serve(&own, loop, &opts, on_request, self, &e);
 *   ... daemon_own_renew(&own, server)          every DAEMON_CERT_S / 2, and with a new authority
 *
 * One thread.
 */
#ifndef FSM_DAEMON_OWN_H
#define FSM_DAEMON_OWN_H

#include "common/daemon/daemon.h"
#include "common/http/server.h"
#include "common/pki/pki.h"
#include "common/tls/tls.h"

#define DAEMON_CERT_S (24 * 3600)

struct daemon_own {
    const char *service;            /* its Service in the control plane's namespace */
    const struct daemon_conf *conf; /* borrowed */
    struct pki_ca *ca;              /* borrowed; may be replaced between two calls */
    struct tls_pool *pool;          /* handshakes are done there; NULL: by the loop */
    uint64_t made;                  /* how many there were */
    int64_t not_after;              /* of the present one, in seconds since 1970 */
};

/* Listens at --listen with a new certificate; port: of the example in an error.  o->tls is set. */
struct http_server *daemon_own_serve(struct daemon_own *own, struct loop *l,
                                     struct http_server_opts *o, unsigned port, http_req_cb *cb,
                                     void *arg, struct err *e);
/* New connections get a new certificate, those under way keep theirs.  -1: logged, nothing changed.
 */
int daemon_own_renew(struct daemon_own *own, struct http_server *server);

#endif
