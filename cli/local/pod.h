/* pod.h - what runs: one struct pod per Pod object, one struct container per container of it.
 *
 * The part of a kubelet.  pod_step() is the one place that decides what to do next from what is;
 * everything that happens (a container started, ended, became ready, a timer, a delete) changes
 * the state and calls pod_wake(), which steps once at the end of the turn and then publishes the
 * status.  Private to the pod files of the daemon.
 */
#ifndef FSM_CLI_LOCAL_POD_H
#define FSM_CLI_LOCAL_POD_H

#include "cli/local/local.h"

struct event;
struct probe;
struct hook;

enum ctr_kind { CTR_INIT, CTR_SIDECAR /* init container that is kept running */, CTR_MAIN };

#define CTR_STATES(X)                                                                              \
    X(WAITING, "waiting")   /* for its turn, or for its back-off */                                \
    X(STARTING, "starting") /* the shim prepares it */                                             \
    X(RUNNING, "running")                                                                          \
    X(ENDED, "ended") /* and will not be started again, unless the pod says so */
enum ctr_state {
#define X(id, text) CTR_##id,
    CTR_STATES(X)
#undef X
};

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };

struct container {
    struct pod *pod;
    const json_t *spec; /* borrowed from the pod's object */
    const char *name;
    enum ctr_kind kind;
    enum ctr_state state;
    struct proc *proc; /* its shim, or NULL */
    int status_fd;     /* the shim's words; -1 */
    struct event *status_ev;
    char line[1200]; /* of the shim's words, so far */
    size_t line_len;
    unsigned restarts, runs;
    int exit_code;                /* of the last run; -1 = never ended */
    bool never_ran;               /* the last run failed before the command began */
    int64_t started_ms, ended_ms; /* wall clock */
    json_t *last;                 /* owned: the "terminated" of the run before, or NULL */
    char *reason, *message;       /* owned: why it waits or how it ended; may be NULL */
    struct timer backoff, kill;
    unsigned backoff_ms; /* what the next restart waits */
    bool started, ready; /* by its probes */
    bool stopping, stop_sent;
    struct probe *probes[PROBE_KINDS];
    struct hook *hook; /* postStart or preStop under way */
};

struct pod {
    TAILQ_ENTRY(pod) link;
    struct local *l;
    char *ns, *name, *uid;
    struct kube_object *object; /* ref: as created; the spec does not change */
    const json_t *spec;
    struct container *ctrs; /* init containers in order, then the others */
    unsigned n_ctrs;
    struct sandbox sb;
    bool has_sandbox, has_volumes;
    char *dir; /* pods/UID: volumes, file systems; private to the daemon's mounts */
    char *log_dir;
    struct loop_job job;  /* step and publish */
    struct timer retry;   /* after something outside failed */
    struct timer lead;    /* between "no longer an endpoint" and SIGTERM */
    struct timer refresh; /* of tokens */
    bool finishing;       /* all containers are done: only sidecars are left to stop */
    bool deleting, lead_over, gone;
    bool failed;                    /* phase when it is over */
    const char *fail_reason;        /* static text, or NULL */
    uint64_t deadline_ms;           /* loop time at which grace is over */
    int64_t created_ms, started_ms; /* wall clock */
};

/* ---- pod.c ---- */
struct pods *pods_new(struct local *l, struct err *e);
void pods_free(struct pods *p);
/* "kubectl delete": grace_s < 0 = the pod's own */
void pod_delete(struct local *l, const char *ns, const char *name, long grace_s);
struct pod *pod_find(struct local *l, const char *ns, const char *name);
/* NULL to begin */
struct pod *pod_next(struct local *l, struct pod *p);
void pod_wake(struct pod *p);
/* by name; NULL name = the default container (annotation, or the first that is the pod's own) */
struct container *pod_container(struct pod *p, const char *name);
const char *pod_hostname(const struct pod *p);
/* all containers get SIGKILL; for the end of the daemon */
void pods_kill_all(struct local *l);
bool pods_any(struct local *l);

/* ---- pod_status.c ---- */
void pod_publish(struct pod *p);
const char *ctr_state_name(enum ctr_state s);
/* the "terminated" of a container that has ended; returns owned */
json_t *container_terminated_json(const struct container *c);

/* ---- container.c ---- */
void container_init(struct container *c, struct pod *p, const json_t *spec, enum ctr_kind kind);
void container_clear(struct container *c);
/* begins a run; on failure the container is ENDED or WAITING with a reason, and the pod woken */
void container_start(struct container *c);
/* preStop, SIGTERM, and SIGKILL after grace_ms; 0 = SIGKILL now */
void container_stop(struct container *c, uint64_t grace_ms);
void container_set_reason(struct container *c, const char *reason, const char *message);
bool container_is_active(const struct container *c);

/* ---- spec.c: what the shim is told ---- */
/* returns owned; NULL and e when the container cannot be run as it is described */
json_t *spec_build(struct container *c, struct err *e);
/* the same for one more command in a running container; argv: array, borrowed; NULL: the shim's
 * caller gives it the words */
json_t *spec_exec(struct container *c, const json_t *argv, bool tty, struct err *e);

/* ---- env.c ---- */
/* "K=V" strings; returns owned; NULL and e when a reference leads nowhere */
json_t *env_build(const struct container *c, const json_t *image, struct err *e);
/* $(NAME) in a command's words; returns owned array */
json_t *env_expand_all(const json_t *words, const json_t *env);
/* metadata.*, spec.*, status.* of the downward API; NULL and e */
char *env_field(const struct pod *p, const char *path, struct err *e);

/* ---- security.c ---- */
int security_fill(const struct container *c, const json_t *image, json_t *spec, struct err *e);

/* ---- volumes.c ---- */
int volumes_prepare(struct pod *p, struct err *e);
/* ConfigMaps, Secrets and tokens anew, swapped in atomically */
void volumes_refresh(struct pod *p);
/* appends the container's mounts */
int volumes_mounts(const struct container *c, const json_t *env, json_t *mounts, struct err *e);
bool volumes_uses(const struct pod *p, const char *kind, const char *name);

/* ---- projected.c ---- */
/* Writes files (path -> struct projected_file *) as a directory that is swapped at once: readers
 * of dir see all of the old or all of the new. */
struct projected_file {
    char *data;
    size_t len;
    mode_t mode;
    uid_t uid;
};
void projected_file_free(void *f);
int projected_write(const char *dir, const struct table *files, gid_t gid, struct err *e);

#endif
