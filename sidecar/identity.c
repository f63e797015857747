/* identity.c - the pod's certificate and the mesh's roots -> one set of TLS contexts.
 *
 * Server side: clients that are mesh proxies name one of our ALPNs; others (an ingress with a
 * client certificate) name none.  Client side: one context per ALPN.  All are TLS with both
 * certificates verified, but for the sources whose rule says that any client will do.
 */
#include "common/proxy/view.h"
#include "common/tls/tls.h"
#include "sidecar/sidecar.h"

static const char *const all_alpn[] = {MESH_ALPN_H2, MESH_ALPN_HTTP1, MESH_ALPN_TCP, NULL};
static const char *const h2_alpn[] = {MESH_ALPN_H2, NULL};
static const char *const http1_alpn[] = {MESH_ALPN_HTTP1, NULL};
static const char *const tcp_alpn[] = {MESH_ALPN_TCP, NULL};

struct transport *identity_transport(const char *chain, const char *key, const char *roots,
                                     const struct tls_tickets *tickets, struct tls_pool *pool,
                                     struct err *e)
{
    struct transport *t = transport_new();
    struct {
        struct tls_ctx **ctx;
        bool server, mesh;
        enum tls_verify verify;
        const char *const *alpn;
    } rows[] = {
        {&t->server, true, true, TLS_VERIFY_REQUIRED, all_alpn},
        {&t->plain_server, true, false, TLS_VERIFY_REQUIRED, NULL},
        {&t->open_server, true, false, TLS_VERIFY_NONE, NULL},
        {&t->h2, false, true, TLS_VERIFY_REQUIRED, h2_alpn},
        {&t->http1, false, true, TLS_VERIFY_REQUIRED, http1_alpn},
        {&t->tcp, false, true, TLS_VERIFY_REQUIRED, tcp_alpn},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct tls_conf conf = {.server = rows[i].server,
                                      .cert_pem = chain,
                                      .key_pem = key,
                                      .ca_pem = roots,
                                      .verify = rows[i].verify,
                                      .alpn = rows[i].alpn,
                                      .mesh = rows[i].mesh,
                                      .tickets = rows[i].server ? tickets : NULL,
                                      .pool = pool};
        *rows[i].ctx = tls_ctx_new(&conf, e);
        if (!*rows[i].ctx) {
            err_prefix(e, "certificate");
            transport_unref(t);
            return NULL;
        }
    }
    return t;
}
