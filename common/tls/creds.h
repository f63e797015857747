/* creds.h - certificate, key and roots: read once, shared by all contexts that use the same.
 *
 * A proxy has half a dozen contexts for one identity; reading the texts costs a library some
 * milliseconds.  Private to common/tls.  Immutable once made; counted by reference; any thread.
 */
#ifndef FSM_TLS_CREDS_H
#define FSM_TLS_CREDS_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/tls/tls.h"

#define CREDS_DIGEST 32u /* SHA-256 */

struct creds_of_provider; /* creds_mbedtls.h, creds_openssl.h */

struct creds {
    struct creds *next; /* all that live */
    unsigned refs;
    uint8_t name[CREDS_DIGEST];     /* of the texts it was read from */
    uint8_t (*roots)[CREDS_DIGEST]; /* of each root, sorted; owned */
    size_t n_roots;
    struct creds_of_provider *parts; /* owned */
};

/* what the configuration names, read now or shared.  NULL and e naming the field */
struct creds *creds_get(const struct tls_conf *conf, struct err *e);
void creds_put(struct creds *c);
/* a client that verifies without being told any roots trusts the system's */
bool creds_system_roots(const struct tls_conf *conf);

/* ---- by provider (creds_mbedtls.c, creds_openssl.c) ---- */
/* fills parts; adds each root's digest by creds_add_root().  creds_unload() also after -1 */
int creds_load(struct creds *c, const struct tls_conf *conf, struct err *e);
void creds_unload(struct creds *c);
void creds_add_root(struct creds *c, const uint8_t digest[CREDS_DIGEST]);
/* our own leaf as cert.h takes it, NULL if there is none */
const void *creds_leaf(const struct creds *c);
void tls_sha256(const void *p, size_t n, uint8_t out[CREDS_DIGEST]);

#endif
