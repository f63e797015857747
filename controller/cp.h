/* cp.h - inside the controller: what its files share, grouped by file.
 *
 *   main.c      the order of things            sources.c   resources in, one compile per batch
 *   auth.c      whose token is it              review.c    ... by the word of the API server
 *   proxies.c   what is known of each proxy    poll.c      documents out: the long poll
 *   cert.c      certificates, roots, our own certificate
 *   root_maps.c the roots, where pods find them
 *   api.c       HTTPS, for sidecars            admin.c     HTTP, for people and monitoring
 *   metrics.c   counters and their text        reply.c     every answer, counted
 *   check.c     -n                         writer.c    statuses and Events out, by one of us
 *
 * One thread, one loop.  Functions are cp_*.
 */
#ifndef FSM_CONTROLLER_CP_H
#define FSM_CONTROLLER_CP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/base/table.h"
#include "common/daemon/admin.h"
#include "common/daemon/daemon.h"
#include "common/daemon/metric.h"
#include "common/daemon/own.h"
#include "common/http/server.h"
#include "common/io/loop.h"
#include "common/kube/source.h"
#include "common/kube/store.h"
#include "common/kube/token_review.h"
#include "common/pki/pki.h"
#include "common/policy/policy.h"

#define CP_PACE_MS  10 /* between two compiles, at least, so that what comes fast comes together */
#define CP_SHARE    4  /* ... and this many times what the last one took: the rest of the time is */
#define CP_PACE_MAX 500 /* for other work; at most so long */
#define CP_WAIT_MAX 55  /* seconds a poll may hang */
#define CP_HASH_MAX 24  /* of a bundle of roots, of the root that signs */
#define CP_WANTS    6   /* kinds of resource */

/* ---- metrics.c --------------------------------------------------------------------------------
 */

struct cp_metrics {
    struct table *events; /* namespace -> uint64_t[3]: added, modified, deleted */
    uint64_t updates;     /* batches compiled */
    struct metric_times update_time;
    uint64_t reconnects, rejected;
    uint64_t certs, cert_errors;
    struct metric_times cert_time;
    uint64_t documents, document_bytes, patches, patch_bytes, not_modified;
    uint64_t reviews[TOKEN_VERDICTS_N];
    struct metric_times review_time;
    struct table *requests; /* "code method path" -> struct cp_request_metric */
};
struct cp;
void cp_metrics_init(struct cp_metrics *m);
void cp_metrics_clear(struct cp_metrics *m);
/* path: the pattern, never what a client sent */
void cp_metrics_request(struct cp_metrics *m, unsigned code, const char *method, const char *path,
                        double seconds);
void cp_metrics_event(struct cp_metrics *m, const struct kube_object *old,
                      const struct kube_object *now);
void cp_metrics_print(struct buf *out, void *cp);

/* ---- the controller ----------------------------------------------------------------------------
 */

struct cp_conf {
    struct daemon_conf base;
    const char *token_key; /* NULL: the API server reviews tokens */
    const char *document;  /* -n: print this pod's */
    long long cert_ttl_ms;
    unsigned max_connections;
    unsigned verbose;
};

struct cp_proxy;
struct cp_reviews;
struct cp_writer;
struct cp_root_maps;
struct cp {
    struct cp_conf conf;
    struct loop *loop;
    struct kube_store *store;
    struct kube_source *source;
    struct kube_want wants[CP_WANTS]; /* of an API server */
    struct policy *policy;
    struct cp_writer *writer; /* NULL where resources are files */
    bool synced, draining;

    struct timer batch_timer;
    uint64_t batch_since_ms; /* when its first change came; 0 = no batch */
    uint64_t compile_ms;     /* not before: the next compile */
    unsigned batch_events;

    struct pki_ca *ca;
    char *token_key_pem;           /* public; NULL: the API server reviews tokens */
    struct table *tokens;          /* SHA-256 of a token -> struct cp_verdict: good ones */
    struct table *refused;         /* the same: 401, 503 */
    struct cp_reviews *reviews;    /* under way; NULL: there are none */
    char roots_hash[CP_HASH_MAX];  /* of the bundle that proxies should trust */
    char issuer_hash[CP_HASH_MAX]; /* of the root that signs */
    struct daemon_own own;         /* our certificate */
    struct timer own_cert_timer;
    struct timer ca_timer; /* the next look at its directory */
    uint64_t ca_since_ms;  /* the last step of a root that came from nowhere */
    struct err ca_problem; /* "" = none */
    struct cp_root_maps *root_maps;

    struct http_server *api;
    struct daemon_admin *admin;
    uint64_t request_began_ns; /* the one being answered */
    struct table *proxies;     /* "ns/pod" -> struct cp_proxy */
    unsigned n_waiting;
    struct timer pace_timer; /* large answers wait for the small buffers of slow readers */
    struct cp_metrics metrics;
};

/* ---- reply.c: as http_reply...(), and counted
 * ---------------------------------------------------- */

void cp_reply(struct cp *cp, struct http_req *r, unsigned status, const char *type,
              struct slice body);
void cp_reply_text(struct cp *cp, struct http_req *r, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void cp_reply_json(struct cp *cp, struct http_req *r, unsigned status, const json_t *body);
/* counts one that was answered otherwise */
void cp_answered(const struct http_req *r, unsigned status, void *cp);

/* ---- sources.c
 * -------------------------------------------------------------------------------------- */

int cp_sources_start(struct cp *cp, struct err *e);
void cp_sources_stop(struct cp *cp);
/* what the sources and the compiler have to say; returns owned array */
json_t *cp_problems(const struct cp *cp);

/* ---- auth.c
 * ---------------------------------------------------------------------------------------- */

#define CP_AUDIENCE "fsm"

struct cp_token_key {
    uint8_t sha256[32];
};
/* what is remembered of a token; the token itself is not */
struct cp_verdict {
    unsigned status;        /* 200; 401, 503: why */
    struct pki_token token; /* 200 */
    uint64_t until_ms;      /* loop time; a good one ends with its token, too */
    uint64_t renew_ms;      /* 200: its first use from then on has it reviewed again */
    char *why;              /* owned */
};
/* keys, and what keeps verdicts */
int cp_auth_start(struct cp *cp, struct err *e);
/* the token key once more: SIGHUP */
int cp_auth_load_key(struct cp *cp, struct err *e);
void cp_auth_stop(struct cp *cp);
/* t is borrowed for the call */
typedef void cp_authed_fn(struct cp *cp, struct http_req *r, const struct pki_token *t,
                          const void *arg);
/* Whose request it is: next says so, now or later; or the request has been answered (401, 503), or
 * its client has left. */
void cp_auth(struct cp *cp, struct http_req *r, cp_authed_fn *next, const void *arg);
/* takes v (its strings); a 503 changes nothing about a token that was good */
void cp_auth_remember(struct cp *cp, const struct cp_token_key *key, const struct cp_verdict *v);
/* 401, or 503 with Retry-After */
void cp_auth_refuse(struct cp *cp, struct http_req *r, unsigned status, uint64_t retry_ms,
                    const char *why);
/* The pod that the token was given to, as the store knows it.  NULL: answered (403, 404, 503). */
const struct mesh_pod *cp_auth_pod(struct cp *cp, struct http_req *r, const struct pki_token *t);

/* ---- review.c
 * --------------------------------------------------------------------------------------
 */

void cp_reviews_start(struct cp *cp);
void cp_reviews_stop(struct cp *cp);
/* Has the token reviewed, with others that ask about it; the rest as cp_auth(). */
void cp_review(struct cp *cp, struct http_req *r, const struct cp_token_key *key,
               struct slice token, cp_authed_fn *next, const void *arg);
/* The same for a verdict that is getting old, and nobody waits. */
void cp_review_again(struct cp *cp, const struct cp_token_key *key, struct slice token);
/* why tokens can't be reviewed at present; NULL = they can */
const char *cp_reviews_problem(const struct cp *cp);
/* tokens that are asked about, or will be */
unsigned cp_reviews_n(const struct cp *cp);

/* ---- proxies.c
 * ---------------------------------------------------------------------------------------- */

struct cp_proxy {
    struct cp *cp;
    char *key; /* "ns/pod" */
    struct policy_proxy *px;
    char uid[64];
    uint64_t first_ms, seen_ms; /* loop time */

    /* the poll that waits, at most one */
    struct http_req *poll;
    char poll_version[DOCUMENT_VERSION_MAX];
    uint64_t poll_until_ms;
    bool poll_due; /* there is something to answer, as soon as there is room */
    struct timer poll_timer;
    char ca_told[2 * CP_HASH_MAX]; /* the last roots and issuer that a poll was ended for */

    char current[DOCUMENT_VERSION_MAX]; /* what it should have */
    uint64_t current_since_ms;
    char applied[DOCUMENT_VERSION_MAX], rejected[DOCUMENT_VERSION_MAX]; /* what it says */
    char reason[512];
    char roots[CP_HASH_MAX];  /* hash of the bundle that it trusts; "": not known */
    char issuer[CP_HASH_MAX]; /* of the root that signed its certificate; "": not known */
    int64_t cert_not_after;
    uint64_t documents, patches, errors; /* answered */
};
/* The proxy of that pod, made on first sight.  NULL: answered (404, 503). */
struct cp_proxy *cp_proxy_get(struct cp *cp, struct http_req *r, const struct mesh_pod *pod);
/* it was just given the bundle of now */
void cp_proxy_has_roots(struct cp_proxy *px);
/* after a compile: new versions, pods that left */
void cp_proxies_refresh(struct cp *cp);
void cp_proxies_free(struct cp *cp);
/* returns owned array, in order of name */
json_t *cp_proxies_json(const struct cp *cp);
/* has a poll waiting, or had one moments ago */
bool cp_proxy_is_connected(const struct cp_proxy *px);
unsigned cp_proxies_connected(const struct cp *cp);
/* how many connected ones do not trust the bundle of now, or hold an older root's certificate */
unsigned cp_proxies_without_roots(const struct cp *cp);
unsigned cp_proxies_with_old_certs(const struct cp *cp);

/* ---- poll.c
 * ---------------------------------------------------------------------------------------------- */

void cp_poll_init(struct cp_proxy *px);
/* GET /v1/config */
void cp_poll_begin(struct cp_proxy *px, struct http_req *r);
/* answers the waiting poll if there is something to say */
void cp_poll_check(struct cp_proxy *px);
/* answers it whatever there is; 304 or 404 */
void cp_poll_end(struct cp_proxy *px, unsigned status);
void cp_polls_check(struct cp *cp);
void cp_polls_end(struct cp *cp);

/* ---- cert.c
 * -------------------------------------------------------------------------------------------------
 */

int cp_ca_open(struct cp *cp, struct err *e);
/* our own certificate, and the CA's directory, from time to time, from now on */
void cp_cert_start(struct cp *cp);
void cp_cert_stop(struct cp *cp);
/* why the CA cannot be read again; NULL = it can */
const char *cp_ca_problem(const struct cp *cp);
void cp_cert_issue(struct cp *cp, struct http_req *r, const struct pki_token *t,
                   struct cp_proxy *px);
void cp_roots(struct cp *cp, struct http_req *r, struct cp_proxy *px);
/* a step of the root's rotation */
enum cp_ca_step { CP_CA_PREPARE, CP_CA_PROMOTE, CP_CA_RETIRE };
void cp_ca_command(struct cp *cp, struct http_req *r, enum cp_ca_step step);
json_t *cp_ca_json(const struct cp *cp);

/* ---- writer.c
 * ---------------------------------------------------------------------------------------- */

/* nothing where resources are files */
void cp_writer_start(struct cp *cp);
/* another may write from now on */
void cp_writer_release(struct cp *cp);
void cp_writer_stop(struct cp *cp);
/* an object came, changed or went */
void cp_writer_changed(struct cp *cp, const struct kube_object *o);
/* the source's problems may have changed */
void cp_writer_problems(struct cp *cp);
/* adds what is wrong with it, as cp_problems() */
void cp_writer_tell(const struct cp *cp, json_t *out);
void cp_writer_print(const struct cp *cp, struct buf *out);
/* ---- root_maps.c
 * --------------------------------------------------------------------------------------------
 */

#define CP_ROOT_MAP "fsm-root-ca"

/* Before the sources, and after them. */
void cp_root_maps_start(struct cp *cp);
void cp_root_maps_stop(struct cp *cp);
/* whether we are the one that writes; nobody is where there is no API server */
void cp_root_maps_enable(struct cp *cp, bool on);
/* the roots have changed, or everything was read */
void cp_root_maps_check(struct cp *cp);
/* an object came, changed or went; the store need not show it until the next turn of the loop */
void cp_root_maps_event(struct cp *cp, const struct kube_object *o);
/* why one cannot be written at present; NULL = all are right, or another writes them */
const char *cp_root_maps_problem(const struct cp *cp);

/* ---- api.c, admin.c, check.c
 * -------------------------------------------------------------------------------- */

int cp_api_start(struct cp *cp, struct err *e);
int cp_admin_start(struct cp *cp, struct err *e);
/* the document of "ns/pod" as people see it; returns owned, NULL and e if it has none */
json_t *cp_document(struct cp *cp, const char *pod, struct err *e);
/* returns the exit status */
int cp_check(struct cp *cp);

#endif
