/* wh.h - inside fsm-injector: what its files share, grouped by file.
 *
 *   main.c      the order of things            review.c   AdmissionReview, read and made
 *   serve.c     HTTPS: reviews in, answers out lookup.c   a namespace that is not known yet
 *   check.c     objects of the mesh, judged
 *   sources.c   MeshConfig, namespaces, which sidecars the server can run
 *   cert.c      the mesh's CA, our certificate bundle.c   the CA in the webhook's configuration
 *   admin.c     health and metrics
 *
 * One thread, one loop.  Functions are wh_*.
 */
#ifndef FSM_INJECTOR_WEBHOOK_WH_H
#define FSM_INJECTOR_WEBHOOK_WH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "common/daemon/admin.h"
#include "common/daemon/daemon.h"
#include "common/daemon/metric.h"
#include "common/daemon/own.h"
#include "common/http/server.h"
#include "common/io/loop.h"
#include "common/kube/api.h"
#include "common/kube/backoff.h"
#include "common/kube/source.h"
#include "common/kube/store.h"
#include "common/pki/pki.h"
#include "injector/inject.h"
#include "injector/webhook/check.h"
#include "injector/webhook/review.h"

#define WH_WANTS      2            /* kinds of resource */
#define WH_ANSWER_MAX (256u << 10) /* of the API server, to a question of ours */

struct wh;

struct wh_conf {
    struct daemon_conf base;
    const char *sidecar_image, *init_image, *healthcheck_image;
    const char *native; /* auto, true, false */
    /* the configurations whose CA bundles are ours; "" = none */
    const char *webhook, *validator;
    long long drain_ms;
};

/* ---- admin.c --------------------------------------------------------------------------------- */

enum wh_result { WH_INJECTED, WH_SKIPPED, WH_REFUSED, WH_FAILED, WH_RESULTS };
struct wh_metrics {
    uint64_t results[WH_RESULTS][2];        /* [1]: of dry runs */
    uint64_t bad[5];                        /* requests that are no review, by status */
    struct metric_times time;               /* of a review of a pod */
    uint64_t verdicts[CHECK_VERDICTS_N][2]; /* of other objects; [1]: of dry runs */
    struct metric_times check_time;
    uint64_t lookups, lookups_failed;
    uint64_t patches, patches_failed; /* of the webhook's configuration */
};
void wh_count_review(struct wh *wh, enum wh_result result, bool dry_run, double seconds);
void wh_count_validation(struct wh *wh, enum check_verdict v, bool dry_run, double seconds);
void wh_count_bad(struct wh *wh, unsigned status);
int wh_admin_start(struct wh *wh, struct err *e);

/* ---- bundle.c: a configuration is read, corrected where it is wrong, and watched --------------
 */

enum wh_bundle_kind { WH_MUTATING, WH_VALIDATING, WH_BUNDLES };
struct wh_bundle {
    struct wh *wh;
    const char *kind, *plural, *entry; /* entry: the name of the webhook in it */
    const char *name;                  /* "" = there is none to look after */
    struct kube_call *call;            /* the one that is under way */
    struct timer timer;                /* the next look */
    struct buf text;                   /* of the answer */
    char version[64];                  /* resourceVersion; "" = it is not there */
    uint64_t looked_ms;                /* when the last look began */
    struct backoff backoff;
    char wrong[256]; /* what is wrong now; "" = the configuration is as it should be */
};
/* nothing where resources are files, or no configuration is named */
void wh_bundles_start(struct wh *wh);
/* the roots have changed */
void wh_bundles_changed(struct wh *wh);
void wh_bundles_stop(struct wh *wh);

/* ---- the injector ---------------------------------------------------------------------------- */

TAILQ_HEAD(wh_lookups, wh_lookup);

struct wh {
    struct wh_conf conf;
    struct loop *loop;
    struct kube_store *store;
    struct kube_source *source;
    struct kube_want wants[WH_WANTS];
    struct kube_object *meshconfig; /* the last one there was */
    bool synced, draining;

    struct kube_api *api; /* our own questions; NULL where resources are files */
    struct kube_call *version_call;
    struct timer version_timer;
    struct buf version_text;
    bool native_known, native;

    struct pki_ca *ca;
    struct tls_pool *pool;
    struct timer cert_timer; /* the next look at the CA */
    struct daemon_own own;   /* our certificate */
    uint64_t cert_until_ms;  /* it is renewed then */

    struct http_server *https;
    struct daemon_admin *admin;
    struct wh_lookups lookups;
    struct wh_bundle bundles[WH_BUNDLES];
    struct wh_metrics metrics;
};

/* ---- sources.c ------------------------------------------------------------------------------- */

int wh_sources_start(struct wh *wh, struct err *e);
void wh_sources_stop(struct wh *wh);
/* everything that a review needs is known */
bool wh_is_ready(const struct wh *wh);
/* minor of {"major": "1", "minor": "29+"}: such a server starts native sidecars by default */
bool wh_version_has_native(const json_t *version, struct err *e);
/* the Namespace, or NULL; borrowed until the loop's next turn */
json_t *wh_namespace(const struct wh *wh, const char *name);

/* ---- serve.c --------------------------------------------------------------------------------- */

int wh_serve_start(struct wh *wh, struct err *e);

/* ---- lookup.c -------------------------------------------------------------------------------- */

/* the namespace came (then ns is borrowed for the call), or not: e says why */
typedef void wh_lookup_fn(struct wh *wh, const json_t *ns, const struct err *e, void *arg);
/* Asks the API server, whose answer is of now; done comes once, later. */
void wh_lookup(struct wh *wh, const char *ns, wh_lookup_fn *done, void *arg);
/* every one ends with an error, now */
void wh_lookups_end(struct wh *wh);

/* ---- cert.c ---------------------------------------------------------------------------------- */

int wh_ca_open(struct wh *wh, struct err *e);
/* follows the CA from now on */
void wh_cert_start(struct wh *wh);
void wh_cert_stop(struct wh *wh);

#endif
