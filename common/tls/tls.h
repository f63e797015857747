/* tls.h - TLS behind one interface with two providers (mbedTLS by default, OpenSSL by build).
 *
 * A tls_ctx is an immutable, reference-counted set of credentials and rules, shared by threads;
 * rotation builds a new one, connections finish on theirs.  A struct tls is one session on one
 * conn (io/conn.h), owned by it.
 *
 *   ctx = tls_ctx_new(&conf, &e);
 *   tls_conn_start(conn, ctx, &params);     then CONN_EV_OPEN or CONN_EV_FAIL
 *   tls_conn_info(conn)->alpn, ->peer
 *
 * Verification is on unless a caller says otherwise.  Keys and session secrets are never logged.
 */
#ifndef FSM_TLS_TLS_H
#define FSM_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/conn.h"

struct tls_ctx;

enum tls_verify {
    TLS_VERIFY_REQUIRED, /* no acceptable peer certificate: the handshake fails */
    TLS_VERIFY_OPTIONAL, /* server side: absent is fine, present must verify */
    TLS_VERIFY_NONE,     /* only where a user's policy says so */
};

enum tls_version { TLS_V_AUTO, TLS_V_1_2, TLS_V_1_3 };

struct tls_conf {
    bool server;
    const char *cert_pem; /* chain, leaf first; NULL on clients without a certificate */
    const char *key_pem;
    const char *ca_pem; /* one or more roots; NULL = the system's (clients) */
    enum tls_verify verify;
    const char *const *alpn; /* NULL-terminated, in order of preference; NULL = none.  A server
                                that has a list refuses a client that offers none of it. */
    enum tls_version min, max;
    bool mesh; /* both ends are ours: prefer ChaCha20-Poly1305 where it is faster */
    const struct tls_tickets *tickets; /* server: ticket keys shared by workers; NULL = none */
    struct tls_pool *pool; /* where the slow steps of handshakes are done; NULL = in the loop */
};
/* borrows everything in conf; NULL and e naming the field */
struct tls_ctx *tls_ctx_new(const struct tls_conf *conf, struct err *e);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c);

/* Session ticket keys, shared by all server contexts and threads of a process and rotated by
 * itself (lifetime in seconds).  Internally synchronised. */
struct tls_tickets *tls_tickets_new(unsigned lifetime_s, struct err *e);
void tls_tickets_free(struct tls_tickets *t);
/* The keys as text, for the process that follows this one on the same machine: with them it goes on
 * with the sessions of this one's peers.  Returns owned; wipe it. */
char *tls_tickets_save(struct tls_tickets *t);
/* takes over the keys of a predecessor; -1: this is not what tls_tickets_save makes, t stays as it
 * was */
int tls_tickets_resume(struct tls_tickets *t, const char *text);

/* A few threads, shared by all contexts of a process, that do what would stall a loop: with mbedTLS
 * the steps of a full handshake take some milliseconds on either side.  (With OpenSSL none takes
 * long enough to be worth the way, and no thread is ever started.)  Threads start when first
 * needed. Outlives the sessions of the contexts that name it. */
struct tls_pool *tls_pool_new(void);
void tls_pool_free(struct tls_pool *p);

/* Gives back half of the memory that the calling thread keeps for records to come, or all of it;
 * false: it kept none. */
bool tls_thread_trim(bool all);

/* Client-side sessions to resume, keyed by the caller's text (e.g. "ip:port/identity"); bounded,
 * one per worker thread. */
struct tls_sessions *tls_sessions_new(size_t max);
void tls_sessions_free(struct tls_sessions *s);

struct tls_start {
    const char *sni;               /* client: server_name to send; NULL = none */
    const char *verify_host;       /* client: DNS name or IP the certificate must carry; or */
    const char *verify_identity;   /* client: exact URI (with "://") or DNS SAN it must carry */
    struct tls_sessions *sessions; /* client: resume from and save to; NULL = never */
    const char *session_key;
};
/* Puts TLS on an open conn and begins the handshake.  Takes its own reference on ctx.
 * -1 and e only on our own faults. */
int tls_conn_start(struct conn *c, struct tls_ctx *ctx, const struct tls_start *p, struct err *e);

struct tls_peer {
    bool present;        /* a certificate was shown, and verified */
    char spiffe[2049];   /* the spiffe:// URI SAN, or "": none, or several; its standard's bound */
    char principal[256]; /* the first DNS SAN, or the CN if there is none; "" if neither */
    /* all SANs, DNS and URI, "\n"-separated; those that do not fit whole are left out, and all of
     * a certificate with several spiffe:// names */
    char sans[4096];
    int64_t not_after; /* seconds since the epoch */
};
struct tls_info {
    const char *version; /* "TLSv1.2" */
    const char *cipher;  /* IANA name */
    char alpn[64];       /* "" if none */
    char sni[256];       /* server side: what the client asked for */
    bool resumed;
    struct tls_peer peer;
};
/* borrowed, valid while the conn lives or until tls_conn_forget_info(); NULL if the conn has no TLS
 * or it is not open yet */
const struct tls_info *tls_conn_info(const struct conn *c);
/* gives its 7 KB back; who asks again gets it again */
void tls_conn_forget_info(const struct conn *c);
/* the provider's words for the last failure of this conn ("certificate has expired ...") */
const char *tls_conn_error(const struct conn *c);

/* Provider's name and version, "mbedTLS 2.28.3" */
const char *tls_provider(void);

#endif
