/* schema_apps.c - workloads: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob. */
#include <limits.h>
#include <string.h>
#include "common/kube/schemas.h"

static const json_t *pod_spec_of(const json_t *spec)
{
    return json_object_get(json_object_get(spec, "template"), "spec");
}

static void fault_restart_policy(struct kube_checker *c, const char *got, const char *want)
{
    kube_enter(c, "template");
    kube_enter(c, "spec");
    kube_fault_at(c, "restartPolicy", "got \"%s\", expected %s", got, want);
    kube_leave(c);
    kube_leave(c);
}

/* a workload that keeps its pods alive */
static void check_lasting(struct kube_checker *c, json_t *spec)
{
    const char *policy = json_string_value(json_object_get(pod_spec_of(spec), "restartPolicy"));
    kube_check_workload(c, spec);
    if (strcmp(policy, "Always") != 0)
        fault_restart_policy(c, policy, "Always for this kind");
}

#define SELECTOR KF_OBJ("selector", kube_schema_selector, .required = true)
#define TEMPLATE KF_OBJ("template", kube_schema_template, .required = true)
#define REPLICAS KF_INT("replicas", 0, INT_MAX, .dflt = "1")
#define UPDATES  KF_INT("minReadySeconds", 0, INT_MAX), KF_INT("revisionHistoryLimit", 0, INT_MAX)

/* ---- Deployment, ReplicaSet, DaemonSet ------------------------------------------------------ */

static KUBE_SCHEMA(rolling_update, NULL,
                   KF_INTSTR("maxUnavailable", 0, INT_MAX, .syntax = kube_is_percent),
                   KF_INTSTR("maxSurge", 0, INT_MAX, .syntax = kube_is_percent));

static void check_strategy(struct kube_checker *c, json_t *strategy)
{
    const char *type = json_string_value(json_object_get(strategy, "type"));
    if (strcmp(type, "RollingUpdate") != 0 && json_object_get(strategy, "rollingUpdate"))
        kube_fault_at(c, "rollingUpdate", "not with type %s", type);
}

static KUBE_SCHEMA(deployment_strategy, check_strategy,
                   KF_STR("type", .oneof = "Recreate RollingUpdate", .dflt = "RollingUpdate"),
                   KF_OBJ("rollingUpdate", rolling_update));

static KUBE_SCHEMA(deployment_spec, check_lasting, REPLICAS, SELECTOR, TEMPLATE, UPDATES,
                   KF_OBJ("strategy", deployment_strategy), KF_BOOL("paused"),
                   KF_INT("progressDeadlineSeconds", 0, INT_MAX));

KUBE_KIND_SCHEMA(kube_schema_deployment, NULL, KF_OBJ("spec", deployment_spec, .required = true),
                 KF_ANY("status"));

static KUBE_SCHEMA(replica_set_spec, check_lasting, REPLICAS, SELECTOR, TEMPLATE,
                   KF_INT("minReadySeconds", 0, INT_MAX));

KUBE_KIND_SCHEMA(kube_schema_replica_set, NULL, KF_OBJ("spec", replica_set_spec, .required = true),
                 KF_ANY("status"));

static KUBE_SCHEMA(daemon_strategy, check_strategy,
                   KF_STR("type", .oneof = "RollingUpdate OnDelete", .dflt = "RollingUpdate"),
                   KF_OBJ("rollingUpdate", rolling_update));

static KUBE_SCHEMA(daemon_set_spec, check_lasting, SELECTOR, TEMPLATE, UPDATES,
                   KF_OBJ("updateStrategy", daemon_strategy));

KUBE_KIND_SCHEMA(kube_schema_daemon_set, NULL, KF_OBJ("spec", daemon_set_spec, .required = true),
                 KF_ANY("status"));

/* ---- StatefulSet ---------------------------------------------------------------------------- */

static KUBE_SCHEMA(stateful_update, NULL, KF_INT("partition", 0, INT_MAX),
                   KF_INTSTR("maxUnavailable", 0, INT_MAX, .syntax = kube_is_percent));

static KUBE_SCHEMA(stateful_strategy, check_strategy,
                   KF_STR("type", .oneof = "RollingUpdate OnDelete", .dflt = "RollingUpdate"),
                   KF_OBJ("rollingUpdate", stateful_update));

static KUBE_SCHEMA(retention, NULL, KF_STR("whenDeleted", .oneof = "Retain Delete"),
                   KF_STR("whenScaled", .oneof = "Retain Delete"));

static KUBE_SCHEMA(ordinals, NULL, KF_INT("start", 0, INT_MAX));

static KUBE_SCHEMA(stateful_set_spec, check_lasting, REPLICAS, SELECTOR,
                   KF_OBJ("template", kube_schema_template_with_claims, .required = true), UPDATES,
                   KF_LIST("volumeClaimTemplates", kube_schema_claim),
                   KF_STR("serviceName", .syntax = kube_is_dns_label),
                   KF_STR("podManagementPolicy", .oneof = "OrderedReady Parallel",
                          .dflt = "OrderedReady"),
                   KF_OBJ("updateStrategy", stateful_strategy),
                   KF_OBJ("persistentVolumeClaimRetentionPolicy", retention),
                   KF_OBJ("ordinals", ordinals));

KUBE_KIND_SCHEMA(kube_schema_stateful_set, NULL,
                 KF_OBJ("spec", stateful_set_spec, .required = true), KF_ANY("status"));

/* ---- Job and CronJob ------------------------------------------------------------------------ */

static void check_job(struct kube_checker *c, json_t *spec)
{
    const char *policy = json_string_value(json_object_get(pod_spec_of(spec), "restartPolicy"));
    if (strcmp(policy, "Always") == 0)
        fault_restart_policy(c, policy, "OnFailure or Never for a Job (Always is the default)");
    if (!json_object_get(spec, "completions") && !json_object_get(spec, "parallelism"))
        json_object_set_new(spec, "completions", json_integer(1));
    if (!json_object_get(spec, "parallelism"))
        json_object_set_new(spec, "parallelism", json_integer(1));
    const char *mode = json_string_value(json_object_get(spec, "completionMode"));
    if (strcmp(mode, "Indexed") == 0 && !json_object_get(spec, "completions"))
        kube_fault_at(c, "completions", "required with completionMode Indexed");
}

static KUBE_SCHEMA(job_spec, check_job, KF_INT("parallelism", 0, INT_MAX),
                   KF_INT("completions", 0, INT_MAX), KF_INT("activeDeadlineSeconds", 0, LLONG_MAX),
                   KF_ANY("podFailurePolicy"), KF_ANY("successPolicy"),
                   KF_INT("backoffLimit", 0, INT_MAX, .dflt = "6"),
                   KF_INT("backoffLimitPerIndex", 0, INT_MAX),
                   KF_INT("maxFailedIndexes", 0, INT_MAX), KF_OBJ("selector", kube_schema_selector),
                   KF_BOOL("manualSelector"), TEMPLATE,
                   KF_INT("ttlSecondsAfterFinished", 0, INT_MAX),
                   KF_STR("completionMode", .oneof = "NonIndexed Indexed", .dflt = "NonIndexed"),
                   KF_BOOL("suspend"),
                   KF_STR("podReplacementPolicy", .oneof = "TerminatingOrFailed Failed"),
                   KF_STR("managedBy"), KF_ANY("scheduling"));

KUBE_KIND_SCHEMA(kube_schema_job, NULL, KF_OBJ("spec", job_spec, .required = true),
                 KF_ANY("status"));

static KUBE_SCHEMA(job_template, NULL, KF_OBJ("metadata", kube_schema_metadata),
                   KF_OBJ("spec", job_spec, .required = true));

static KUBE_SCHEMA(cron_job_spec, NULL,
                   KF_STR("schedule", .required = true, .syntax = kube_is_schedule),
                   KF_STR("timeZone"), KF_INT("startingDeadlineSeconds", 0, LLONG_MAX),
                   KF_STR("concurrencyPolicy", .oneof = "Allow Forbid Replace", .dflt = "Allow"),
                   KF_BOOL("suspend"), KF_OBJ("jobTemplate", job_template, .required = true),
                   KF_INT("successfulJobsHistoryLimit", 0, INT_MAX, .dflt = "3"),
                   KF_INT("failedJobsHistoryLimit", 0, INT_MAX, .dflt = "1"));

KUBE_KIND_SCHEMA(kube_schema_cron_job, NULL, KF_OBJ("spec", cron_job_spec, .required = true),
                 KF_ANY("status"));
