/* workload.h - the controllers of workloads: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job.
 *
 * Each compares what its objects want with the pods (or ReplicaSets) they own, makes the next few
 * changes, and writes the status.  Nothing is remembered between calls: every change of a pod
 * brings another call.
 */
#ifndef FSM_CLI_LOCAL_WORKLOAD_H
#define FSM_CLI_LOCAL_WORKLOAD_H

#include "cli/local/local.h"

void workload_sync(struct local *l);

/* ---- shared by the controllers ---- */
/* objects of a kind, as references that stay valid while the store changes */
struct object_list {
    struct kube_object **v;
    unsigned n;
};
/* ns NULL = all; owner NULL = any, else only what that uid controls.  free with list_free */
void list_get(struct local *l, const char *kind, const char *ns, const char *owner,
              struct object_list *out);
void list_free(struct object_list *list);

bool pod_is_ready(const struct kube_object *pod);
bool pod_is_over(const struct kube_object *pod); /* Succeeded or Failed */
/* short hash of a pod template, of letters and digits; out takes 11 bytes */
void template_hash(const json_t *template, char *out);
/* Creates a pod from a workload's template.  name: owned by the caller.  labels: more labels, or
 * NULL; borrowed.  spec_more: members that replace those of the spec, or NULL; borrowed.
 * A refusal becomes an event of the owner; then -1 */
int pod_create(struct local *l, const struct kube_object *owner, const json_t *template,
               const char *name, const json_t *labels, const json_t *spec_more, struct err *e);

/* call again in ms, if nothing else does before */
void workload_again(struct local *l, uint64_t ms);

void deployments_sync(struct local *l);
void replicasets_sync(struct local *l);
void statefulsets_sync(struct local *l);
void daemonsets_sync(struct local *l);
void jobs_sync(struct local *l);

#endif
