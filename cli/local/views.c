/* views.c - the columns that `get` shows of each kind, as kubectl users know them. */
#include <stdlib.h>
#include <string.h>
#include "cli/local/local_cli.h"
#include "cli/output.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"

static char *age(const json_t *o)
{
    return output_age(json_str(o, "metadata.creationTimestamp", NULL));
}

static char *fraction(int64_t a, int64_t b)
{
    return xasprintf("%lld/%lld", (long long)a, (long long)b);
}

/* ---- pods ------------------------------------------------------------------------------------ */

static bool stays(const json_t *spec)
{
    return strcmp(json_str(spec, "restartPolicy", ""), "Always") == 0;
}

static const json_t *status_named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_str(json_array_get(list, i), "name", ""), name) == 0)
            return json_array_get(list, i);
    return NULL;
}

/* native sidecars count as containers */
static char *pod_ready(const json_t *pod)
{
    const json_t *init = json_at(pod, "spec.initContainers");
    const json_t *init_status = json_at(pod, "status.initContainerStatuses");
    const json_t *list = json_at(pod, "status.containerStatuses");
    int64_t ready = 0, all = (int64_t)json_array_size(json_at(pod, "spec.containers"));

    for (size_t i = 0; i < json_array_size(list); i++)
        ready += json_bool(json_array_get(list, i), "ready", false);
    for (size_t i = 0; i < json_array_size(init); i++) {
        const json_t *c = json_array_get(init, i);
        if (!stays(c))
            continue;
        all++;
        ready += json_bool(status_named(init_status, json_str(c, "name", "")), "ready", false);
    }
    return fraction(ready, all);
}

static const char *bad_reason(const json_t *status)
{
    const char *waiting = json_str(status, "state.waiting.reason", NULL);

    return waiting ? waiting : json_str(status, "state.terminated.reason", NULL);
}

/* "Init:0/2", "Init:CrashLoopBackOff" while init containers run; NULL when they are done */
static char *init_state(const json_t *pod)
{
    const json_t *specs = json_at(pod, "spec.initContainers");
    const json_t *list = json_at(pod, "status.initContainerStatuses");

    for (size_t i = 0; i < json_array_size(specs); i++) {
        const json_t *spec = json_array_get(specs, i);
        const json_t *s = status_named(list, json_str(spec, "name", ""));
        if (json_int(s, "state.terminated.exitCode", -1) == 0)
            continue;
        if (stays(spec) && json_bool(s, "started", false))
            continue;
        const char *reason = bad_reason(s);
        if (reason && strcmp(reason, "PodInitializing") != 0)
            return xasprintf("Init:%s", reason);
        return xasprintf("Init:%zu/%zu", i, json_array_size(specs));
    }
    return NULL;
}

static char *pod_state(const json_t *pod)
{
    const json_t *list = json_at(pod, "status.containerStatuses");
    const char *phase = json_str(pod, "status.phase", "Pending");
    bool over = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
    char *init;

    if (json_str(pod, "metadata.deletionTimestamp", NULL))
        return xstrdup("Terminating");
    if (json_str(pod, "status.reason", NULL))
        return xstrdup(json_str(pod, "status.reason", ""));
    if (!over && strcmp(phase, "Pending") == 0 && (init = init_state(pod)) != NULL)
        return init;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *reason = bad_reason(json_array_get(list, i));
        if (reason && (over || !json_at(json_array_get(list, i), "state.running")))
            return xstrdup(reason);
    }
    return xstrdup(phase);
}

static char *pod_restarts(const json_t *pod)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    int64_t n = 0;

    for (size_t l = 0; l < 2; l++) {
        const json_t *list = json_at(pod, lists[l]);
        for (size_t i = 0; i < json_array_size(list); i++)
            n += json_int(json_array_get(list, i), "restartCount", 0);
    }
    return xasprintf("%lld", (long long)n);
}

static const struct out_column pod_columns[] = {
    {.title = "NAME", .path = "metadata.name"},
    {.title = "READY", .text = pod_ready},
    {.title = "STATUS", .text = pod_state},
    {.title = "RESTARTS", .text = pod_restarts},
    {.title = "AGE", .text = age},
    {.title = "IP", .path = "status.podIP", .wide = true},
    {.title = "NODE", .path = "spec.nodeName", .wide = true},
    {.title = NULL}};

/* ---- services -------------------------------------------------------------------------------- */

static char *service_ports(const json_t *s)
{
    const json_t *ports = json_at(s, "spec.ports");
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *p = json_array_get(ports, i);
        buf_printf(&b, "%s%lld/%s", i ? "," : "", (long long)json_int(p, "port", 0),
                   json_str(p, "protocol", "TCP"));
    }
    return buf_take(&b);
}

static char *service_external(const json_t *s)
{
    return xstrdup(json_str(s, "spec.externalName", "<none>"));
}

static const struct out_column service_columns[] = {
    {.title = "NAME", .path = "metadata.name"},
    {.title = "TYPE", .path = "spec.type"},
    {.title = "CLUSTER-IP", .path = "spec.clusterIP"},
    {.title = "EXTERNAL-IP", .text = service_external},
    {.title = "PORT(S)", .text = service_ports},
    {.title = "AGE", .text = age},
    {.title = NULL}};

static char *slice_endpoints(const json_t *s)
{
    const json_t *list = json_object_get(s, "endpoints");
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *a = json_at(json_array_get(list, i), "addresses");
        buf_printf(&b, "%s%s", b.len ? "," : "", json_string_value(json_array_get(a, 0)) ?: "");
    }
    return buf_take(&b);
}

static char *slice_ports(const json_t *s)
{
    const json_t *list = json_object_get(s, "ports");
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < json_array_size(list); i++)
        buf_printf(&b, "%s%lld", b.len ? "," : "",
                   (long long)json_int(json_array_get(list, i), "port", 0));
    return buf_take(&b);
}

static const struct out_column slice_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                  {.title = "ADDRESSTYPE", .path = "addressType"},
                                                  {.title = "PORTS", .text = slice_ports},
                                                  {.title = "ENDPOINTS", .text = slice_endpoints},
                                                  {.title = "AGE", .text = age},
                                                  {.title = NULL}};

/* ---- workloads ------------------------------------------------------------------------------- */

static char *ready_of_replicas(const json_t *o)
{
    return fraction(json_int(o, "status.readyReplicas", 0), json_int(o, "spec.replicas", 1));
}

static char *number(const json_t *o, const char *path)
{
    return xasprintf("%lld", (long long)json_int(o, path, 0));
}

static char *updated(const json_t *o)
{
    return number(o, "status.updatedReplicas");
}

static char *available(const json_t *o)
{
    return number(o, "status.availableReplicas");
}

static const struct out_column deployment_columns[] = {
    {.title = "NAME", .path = "metadata.name"},
    {.title = "READY", .text = ready_of_replicas},
    {.title = "UP-TO-DATE", .text = updated},
    {.title = "AVAILABLE", .text = available},
    {.title = "AGE", .text = age},
    {.title = NULL}};

static const struct out_column stateful_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                     {.title = "READY", .text = ready_of_replicas},
                                                     {.title = "AGE", .text = age},
                                                     {.title = NULL}};

static char *desired(const json_t *o)
{
    return number(o, "spec.replicas");
}

static char *current(const json_t *o)
{
    return number(o, "status.replicas");
}

static char *ready(const json_t *o)
{
    return number(o, "status.readyReplicas");
}

static const struct out_column replica_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                    {.title = "DESIRED", .text = desired},
                                                    {.title = "CURRENT", .text = current},
                                                    {.title = "READY", .text = ready},
                                                    {.title = "AGE", .text = age},
                                                    {.title = NULL}};

static const struct out_column daemon_columns[] = {
    {.title = "NAME", .path = "metadata.name"},
    {.title = "DESIRED", .path = "status.desiredNumberScheduled"},
    {.title = "CURRENT", .path = "status.currentNumberScheduled"},
    {.title = "READY", .path = "status.numberReady"},
    {.title = "AGE", .text = age},
    {.title = NULL}};

static char *completions(const json_t *o)
{
    return fraction(json_int(o, "status.succeeded", 0), json_int(o, "spec.completions", 1));
}

static char *job_state(const json_t *o)
{
    const json_t *list = json_at(o, "status.conditions");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        if (strcmp(json_str(c, "status", ""), "True") == 0)
            return xstrdup(json_str(c, "type", ""));
    }
    return xstrdup("Running");
}

static const struct out_column job_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                {.title = "STATUS", .text = job_state},
                                                {.title = "COMPLETIONS", .text = completions},
                                                {.title = "AGE", .text = age},
                                                {.title = NULL}};

/* ---- others ---------------------------------------------------------------------------------- */

static char *data_count(const json_t *o)
{
    return xasprintf("%zu", json_object_size(json_object_get(o, "data")) +
                                json_object_size(json_object_get(o, "binaryData")) +
                                json_object_size(json_object_get(o, "stringData")));
}

static char *namespace_state(const json_t *o)
{
    return xstrdup(json_str(o, "metadata.deletionTimestamp", NULL) ? "Terminating" : "Active");
}

static char *last_seen(const json_t *o)
{
    return output_age(json_str(o, "lastTimestamp", NULL));
}

static char *event_object(const json_t *o)
{
    return ref_text(json_str(o, "involvedObject.kind", ""), json_str(o, "involvedObject.name", ""));
}

static const struct out_column config_map_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                       {.title = "DATA", .text = data_count},
                                                       {.title = "AGE", .text = age},
                                                       {.title = NULL}};

static const struct out_column secret_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                   {.title = "TYPE", .path = "type"},
                                                   {.title = "DATA", .text = data_count},
                                                   {.title = "AGE", .text = age},
                                                   {.title = NULL}};

static const struct out_column namespace_columns[] = {{.title = "NAME", .path = "metadata.name"},
                                                      {.title = "STATUS", .text = namespace_state},
                                                      {.title = "AGE", .text = age},
                                                      {.title = NULL}};

static const struct out_column event_columns[] = {
    {.title = "LAST SEEN", .text = last_seen}, {.title = "TYPE", .path = "type"},
    {.title = "REASON", .path = "reason"},     {.title = "OBJECT", .text = event_object},
    {.title = "MESSAGE", .path = "message"},   {.title = NULL}};

static const struct out_column default_columns[] = {
    {.title = "NAME", .path = "metadata.name"}, {.title = "AGE", .text = age}, {.title = NULL}};

static const struct {
    const char *kind;
    const struct out_column *columns;
} views[] = {{"Pod", pod_columns},
             {"Service", service_columns},
             {"EndpointSlice", slice_columns},
             {"Deployment", deployment_columns},
             {"StatefulSet", stateful_columns},
             {"ReplicaSet", replica_columns},
             {"DaemonSet", daemon_columns},
             {"Job", job_columns},
             {"ConfigMap", config_map_columns},
             {"Secret", secret_columns},
             {"Namespace", namespace_columns},
             {"Event", event_columns}};

const struct out_column *view_of(const char *kind)
{
    for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++)
        if (strcmp(views[i].kind, kind) == 0)
            return views[i].columns;
    return default_columns;
}
