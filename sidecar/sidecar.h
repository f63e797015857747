/* sidecar.h - the daemon's own state, private to sidecar/.
 *
 * main.c       flags, the order of start and end
 * apply.c      a document becomes the one in force, or is refused whole
 * identity.c   certificate and roots -> TLS contexts
 * document.c   the document -> engine tables
 * admin.c      127.0.0.1:15000 and the metrics port 15010
 * source.c     the controller;  probes.c  the kubelet's checks
 * upgrade.c    another build takes over without a lost connection
 *
 * Everything here belongs to the control thread.
 */
#ifndef FSM_SIDECAR_SIDECAR_H
#define FSM_SIDECAR_SIDECAR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/proxy/engine.h"
#include "sidecar/admin.h"

struct document;
struct transport;
struct tls_tickets;
struct tls_pool;
struct source;
struct probes;

struct sidecar_conf {
    const char *file; /* -f, or NULL */
    const char *controller, *token_file, *ca_file;
    const char *cert, *key, *ca; /* with -f: PEM files */
    const char *admin, *metrics; /* addresses */
    const char *hook_key;        /* SHA-256 of the pod's key, or NULL */
    struct ip_port outbound, inbound;
    unsigned workers;
    long long drain_ms, drain_quiet_ms;
    bool core_dumps;
    bool verbose; /* -v: the document does not set the log level */
};

struct sidecar {
    struct sidecar_conf conf;
    struct loop *loop;
    struct engine *engine;
    struct tls_tickets *tickets;
    struct tls_pool *tls_pool;
    struct transport *transport; /* owned; NULL = no certificate yet */
    char *chain_pem, *roots_pem; /* owned: of the certificate in use */
    struct loop_job reload;      /* SIGHUP */
    struct document *doc;        /* in force; a reference; NULL = none yet */
    char *refused;     /* owned: version refused last, NULL = none since the last good one */
    char *refused_why; /* owned */
    struct source *source;
    struct probes *probes;
    struct admin *admin;
    struct timer quit;
    char **argv;    /* as we were started */
    json_t *saved;  /* of our predecessor, NULL = there is none; until the start is over */
    bool heir;      /* there was one */
    bool told;      /* the service manager, that we are ready */
    pid_t follower; /* our successor, once it serves; then we only finish what we have */
    bool empty;     /* and have finished it */
    bool ending;    /* all of the line were told to end */
    bool alone;     /* no successor is left */
    int status;     /* of the process, in the end */
    struct timer no_document;
};

/* ---- apply.c ---- */
/* -1 and e: refused, the one in force stays, the refusal is kept */
int apply_document(struct sidecar *sc, struct document *doc, struct err *e);
/* before the first document: everything is refused by rule */
int apply_nothing(struct sidecar *sc, struct err *e);
/* the file of -f; 0, or -1 and e */
int apply_file(struct sidecar *sc, struct err *e);
/* -n: could the file be used?  No socket is opened.  With -v the presented document is printed */
int check_file(struct sidecar *sc, struct err *e);
/* PEM texts, borrowed.  -1 and e: the ones in use stay */
int apply_identity(struct sidecar *sc, const char *chain, const char *key, const char *roots,
                   struct err *e);
/* the PEM files of --cert, --key, --ca, if any */
int apply_identity_files(struct sidecar *sc, struct err *e);

/* ---- identity.c ---- */
/* returns owned, one reference */
struct transport *identity_transport(const char *chain, const char *key, const char *roots,
                                     const struct tls_tickets *tickets, struct tls_pool *pool,
                                     struct err *e);

/* ---- upgrade.c ---- */
/* first of all: 0, or -1 and e; sets saved and what it says of conf */
int upgrade_take(struct sidecar *sc, struct err *e);
/* the keys of sc->tickets, if the predecessor left its own */
void upgrade_resume_tickets(struct sidecar *sc);
/* the access log, if the predecessor wrote one */
void upgrade_resume_access_log(struct sidecar *sc);
/* everything is served: the predecessor may go; its level of the log goes on */
void upgrade_ready(struct sidecar *sc);
/* starts a successor; -1 and e: not now.  What comes of it is told in the log. */
int upgrade_begin(struct sidecar *sc, struct err *e);
/* SIGCHLD */
void upgrade_on_child(int sig, void *sidecar);
/* SIGTERM: true if there is a successor that serves, which has been told; we leave when both have
 * drained */
bool upgrade_end(struct sidecar *sc);
/* SIGTERM: whoever comes after us is told too, also one that is only starting */
void upgrade_tell(struct sidecar *sc, int sig);
/* Kills a successor that does not serve yet; now: nor is one to be left alone of which we have only
 * not heard.  Harmless if there is none. */
void upgrade_cancel(bool now);
/* After the loop has ended: true if it must run on, because we are the first of the line and our
 * successor lives.  What served connections is freed. */
bool upgrade_stay_behind(struct sidecar *sc);
/* true: the signal was for our successor, who has it now */
bool upgrade_forward(struct sidecar *sc, int sig);

/* ---- main.c ---- */
void sidecar_drain(struct sidecar *sc, bool then_exit);

#endif
