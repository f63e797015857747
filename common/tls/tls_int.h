/* tls_int.h - private to common/tls: what the transport (tls_common.c), the sessions
 * (tls_session.c) and the provider of the build (tls_mbedtls.c or tls_openssl.c) share.
 *
 * The provider never touches the socket.  It takes ciphertext by tls_in() and leaves its records
 * by tls_out(), which always takes everything, so no provider call ever "wants to write" and no
 * record ever has to be produced twice.  The transport gives what was left to the kernel in one
 * send; what the kernel does not take is kept (at most TLS_OUT_MAX) and goes first next time.
 */
#ifndef FSM_TLS_INT_H
#define FSM_TLS_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/io/conn.h"
#include "common/tls/creds.h"
#include "common/tls/tls.h"

#define TLS_RECORD_MAX 16384u /* plaintext of one record, RFC 8446 5.1 */
/* A record can be read only when all of it has come.  What a connection sends first, or after a
 * pause, goes in small ones: three segments, so that none of them waits for a round trip while the
 * congestion window is as it begins (RFC 6928).  Bulk goes in large ones, which cost less. */
#define TLS_RECORD_SMALL 4096u
#define TLS_SMALL_BYTES  16384u /* sent in small records, then large ones */
#define TLS_PAUSE_MS     1000u
#define TLS_RECORD_SLACK 256u /* header, nonce, tag, padding: what a record may add */
/* ciphertext produced before it is sent: a few full records make one system call */
#define TLS_BATCH_MAX (4 * (TLS_RECORD_MAX + TLS_RECORD_SLACK))
/* kept for a socket that takes nothing; a peer that makes us answer without reading is cut off */
#define TLS_OUT_MAX (TLS_BATCH_MAX + 16384u)
#define TLS_ID_LEN  32u

/* Records may carry nothing for a user: warnings (RFC 5246 7.2.2), KeyUpdates (RFC 8446 4.6.3),
 * tickets.  The protocol sets no bound on them, and the libraries read on until they find data or
 * the socket is empty, which a peer that sends nothing else can put off for ever.  Ours: */
#define TLS_BARREN_MAX    32u  /* records without data beyond those with data */
#define TLS_HANDSHAKE_MAX 256u /* records of the peer's in a handshake: a chain in small ones */
#define TLS_TURN_RECORDS  64u  /* taken in one read; then others have their turn */

struct tls_engine;
struct prov_ctx;

struct tls_ctx {
    atomic_uint refs;
    bool server;
    enum tls_verify verify;
    struct tls_tickets *tickets; /* borrowed, may be NULL */
    struct tls_pool *pool;       /* borrowed, may be NULL */
    /* What a session must have been made under to be resumed here: the roots, the demand for a
     * certificate and our own names.  A new leaf for the same names keeps sessions, a new set of
     * roots ends them. */
    uint8_t id[TLS_ID_LEN];
    struct creds *creds; /* ref */
    struct prov_ctx *prov;
};

/* ciphertext that waits; p owned */
struct tls_bytes {
    unsigned char *p;
    size_t off, len; /* p[off .. off + len) */
};

struct tls {
    struct conn *c;      /* borrowed: it owns us */
    struct tls_ctx *ctx; /* ref */
    struct tls_engine *eng;
    struct tls_bytes in;  /* received, not yet taken by the engine */
    struct tls_bytes out; /* records the kernel did not take */
    struct away *away;    /* owned; a handshake that has been, or is, with the pool */
    /* client side, from struct tls_start */
    struct tls_sessions *sessions;
    char *session_key;
    char *verify_host, *verify_identity; /* only until the handshake is done */
    struct tls_info *info;               /* made when first asked for */
    char *error;
    uint64_t sent_ms;   /* the last write, monotonic */
    uint32_t burst;     /* bytes sent since the last pause, up to TLS_SMALL_BYTES */
    uint32_t recv_hint; /* how much to ask of the socket in this call */
    uint16_t barren;    /* half records (tls_in) without data beyond those with data */
    uint16_t taken;     /* half records in this call */
    uint8_t first_byte; /* the peer's, for words */
    uint8_t held_byte;  /* see tls_writev() */
    bool held, heard;   /* heard: first_byte is there */
    bool open;          /* the handshake is done */
    bool failed;        /* nothing more can be read */
    bool rx_closed;     /* close_notify was read */
    bool end_told;      /* ... and who reads knows it */
    bool eof;           /* the socket's end was read */
    bool tx_broken;     /* the socket refused a send for good */
    bool tx_closed;     /* close_notify was sent */
    bool tx_waits;      /* the engine cannot write before it has read more */
    bool full;          /* the last read filled its buffer: there may be more */
    bool enough;        /* this call has taken its share of records */
    bool rest;          /* so had the last read: the next one is for another turn */
    bool resuming;      /* a saved session was offered */
};

/* ---- the transport, for providers (tls_common.c) ---- */
#define TLS_IN_AGAIN (-1)
#define TLS_IN_ERROR (-2)
/* received ciphertext waits: reading would give some at once */
bool tls_in_waits(const struct tls *t);
/* > 0 bytes of ciphertext; 0 the socket's end; TLS_IN_* */
ssize_t tls_in(struct tls *t, void *p, size_t n);
/* takes all of it; -1 when the peer would make us keep more than TLS_OUT_MAX */
int tls_out(struct tls *t, const void *p, size_t n);
/* keeps the first words that are set.  Always returns -1. */
int tls_fail(struct tls *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* the same words with both providers, about a certificate of the peer's chain */
int tls_fail_expired(struct tls *t, const void *cert);
int tls_fail_future(struct tls *t, const void *cert);
int tls_fail_untrusted(struct tls *t, const void *cert);
int tls_fail_usage(struct tls *t);
int tls_fail_weak(struct tls *t);
int tls_fail_refused(struct tls *t, int alert);
/* true, and said, when the peer's first byte begins no TLS record (RFC 8446 5.1) */
bool tls_fail_no_tls(struct tls *t);
int tls_fail_cut_short(struct tls *t);
/* Is this the peer we were told to reach?  -1 and words when not; true when nothing was asked. */
int tls_check_names(struct tls *t, const void *cert);
/* wall clock, s */
int64_t tls_wall_s(void);
/* a session of this peer ends at the latest at */
int64_t tls_session_end(int64_t made, int64_t lifetime, const void *peer_cert);
/* may a session with this peer's certificate (or NULL) be resumed under ctx? */
bool tls_session_usable(const struct tls_ctx *ctx, const void *peer_cert);

/* says that the server's own certificate is not for servers.  Always returns -1. */
int tls_ctx_bad_usage(struct err *e);

/* ---- the provider (tls_mbedtls.c, tls_openssl.c) ---- */
#define ENGINE_AGAIN (-1)
#define ENGINE_ERROR (-2)
#define ENGINE_SLOW  (-3)
int prov_ctx_init(struct tls_ctx *ctx, const struct tls_conf *conf, struct err *e);
void prov_ctx_free(struct tls_ctx *ctx);
/* saved: the provider's form of a session to resume, or NULL; borrowed */
struct tls_engine *tls_engine_new(struct tls *t, const char *sni, void *saved, struct err *e);
/* frees a saved session; wipes what is secret */
void tls_engine_saved_free(void *saved);
void tls_engine_free(struct tls_engine *g);
/* 1 done (and the peer checked), ENGINE_AGAIN, ENGINE_ERROR with t->error set; unless all is to be
 * done here, ENGINE_SLOW before a step that takes long */
int tls_engine_handshake(struct tls_engine *g, bool all);
/* those steps, on another thread, as far as the bytes that wait allow: ENGINE_AGAIN when the loop
 * is to go on, ENGINE_ERROR */
int tls_engine_slow_steps(struct tls_engine *g);
/* > 0; 0 = close_notify; ENGINE_AGAIN; ENGINE_ERROR */
ssize_t tls_engine_read(struct tls_engine *g, void *p, size_t n);
/* one record of at most TLS_RECORD_MAX: bytes taken (> 0); ENGINE_AGAIN: nothing can be sent before
 * more was received (part of a handshake message came: RFC 8446 5.1 lets it be cut in two);
 * ENGINE_ERROR */
ssize_t tls_engine_write(struct tls_engine *g, const void *p, size_t n);
void tls_engine_close_notify(struct tls_engine *g);
/* plaintext bytes waiting inside */
size_t tls_engine_pending(const struct tls_engine *g);
/* before and after a burst of the calls above: memory only needed in between.  -1: no memory */
int tls_engine_begin(struct tls_engine *g);
void tls_engine_end(struct tls_engine *g);
/* the thread keeps so much memory for its sessions at most: 0 when it ends, and they are gone */
unsigned tls_engine_kept(void);
void tls_engine_keep(unsigned n);
void tls_engine_info(const struct tls_engine *g, struct tls_info *out);

/* ---- sessions (tls_session.c) ---- */
struct ticket_key {
    uint8_t name[16], aes[32], mac[32];
    uint64_t made_ms; /* monotonic, of the machine */
};
unsigned tickets_lifetime(const struct tls_tickets *t);
/* the key to seal with now; rotates when it is due */
void tickets_current(struct tls_tickets *t, struct ticket_key *out);
/* the key that sealed a ticket, if it is still good; *fresh = it is the current one */
bool tickets_find(struct tls_tickets *t, const uint8_t name[16], struct ticket_key *out,
                  bool *fresh);

/* keeps a session of this connection, in the provider's form, until expires (wall, s).  takes it */
void session_save(struct tls *t, void *saved, int64_t expires);
/* borrowed until the next call on these sessions; NULL if there is none that may be resumed */
void *session_find(struct tls_sessions *s, const char *key, const struct tls_ctx *ctx);
void session_drop(struct tls_sessions *s, const char *key);

#endif
