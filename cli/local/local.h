/* local.h - the daemon of one instance: what its parts share.
 *
 * One thread, one loop.  Data flows as in a cluster: a request changes an object (resources.c);
 * the store tells who must look again (workload.c, pod.c, endpoints.c); those compare what should
 * be with what is, and change objects or processes in turn.  Nobody keeps a second copy of an
 * object: the store is the truth, a directory of files its picture for fsm-controller.
 */
#ifndef FSM_CLI_LOCAL_LOCAL_H
#define FSM_CLI_LOCAL_LOCAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "cli/local/instance.h"
#include "cli/local/network.h"
#include "cli/local/proc.h"
#include "common/base/table.h"
#include "common/io/loop.h"
#include "common/kube/object.h"
#include "common/kube/store.h"

#define FIELD_MANAGER "fsm-local"

struct resources;
struct pods;
struct images;
struct probes;
struct components;
struct clusterip;
struct sync;
struct api;

struct local {
    const struct instance *in;
    struct loop *loop;
    struct procs *procs;
    struct network *net;
    struct resources *res;
    struct kube_store *store; /* res's; read it, change it through res_*() only */
    struct images *images;
    struct pods *pods;
    struct probes *probes;
    struct components *components;
    struct clusterip *clusterip;
    struct sync *sync;
    struct api *api;
    char *token_key;     /* PEM; signs service-account tokens */
    uint64_t started_ms; /* loop time */
    bool stopping;
    struct loop_job reconcile; /* workloads, endpoints: once per turn, however much changed */
};

/* ---- daemon.c ---- */
/* the whole life of the daemon; ready_fd takes progress lines and then "ready" or "failed: ..." */
int daemon_main(const char *name, int ready_fd);
/* everything goes: pods are ended (at most grace_s seconds), then the loop stops */
void daemon_stop(struct local *l, unsigned grace_s);

/* ---- events.c: what users should know about an object ---- */
/* type "Normal" or "Warning"; an event equal to an earlier one counts that one up */
void local_event(struct local *l, const struct kube_object *about, const char *type,
                 const char *reason, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* ---- admission.c: what becomes of an object that a user or a workload creates ---- */
/* Fills in what an API server would (service account, cluster IPs), asks the injection library
 * about pods.  takes body; returns owned, or NULL and e when refused */
json_t *admit(struct local *l, json_t *body, struct err *e);

/* n <= 16 characters and NUL: the end of a generated name */
void random_suffix(char *out, unsigned n);

/* ---- small helpers over objects (objects.c) ---- */
/* the owner reference of a controlling object; returns owned */
json_t *owner_reference(const struct kube_object *owner);
bool is_owned_by(const json_t *body, const char *uid);
/* uid of the controlling owner, or "" */
const char *owner_uid(const json_t *body);
const char *object_uid(const struct kube_object *o);
bool is_terminating(const struct kube_object *o);
/* status.conditions: sets one; lastTransitionTime moves only when status does */
void condition_set(json_t *status, const char *type, bool on, const char *reason,
                   const char *message);
void condition_drop(json_t *status, const char *type);
/* "True", "False", "Unknown" or NULL */
const char *condition_get(const json_t *body, const char *type);
/* RFC 3339 to seconds, as Kubernetes writes it; returns owned */
json_t *time_now(void);
/* A number of seconds of a manifest in milliseconds, from 0 to a hundred years: Kubernetes accepts
 * larger ones, which mean "never". */
uint64_t seconds_ms(const json_t *o, const char *path, int64_t dflt_s);
/* of milliseconds: what fits */
unsigned ms_unsigned(uint64_t ms);
/* a text that came from a container or was cut at a length: bytes that are not UTF-8, which JSON
 * cannot carry, become question marks, control characters blanks; returns owned, never NULL */
json_t *text_json(const char *text);
json_t *time_json(int64_t wall_ms);

#endif
