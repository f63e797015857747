/* refuse.c - pods that cannot work in the mesh, told before they are created (spec 2.1:
 * reserved ports, reserved user ID). */
#include <string.h>

#include "common/base/json.h"
#include "injector/inject_int.h"

static const struct {
    unsigned port;
    const char *use;
} reserved_ports[] = {
    {INJ_PORT_ADMIN, "the sidecar's admin port"},
    {INJ_PORT_OUTBOUND, "the sidecar's outbound listener"},
    {INJ_PORT_INBOUND, "the sidecar's inbound listener"},
    {INJ_PORT_METRICS, "the sidecar's metrics"},
    {INJ_PORT_LIVENESS, "rewritten liveness probes"},
    {INJ_PORT_READINESS, "rewritten readiness probes"},
    {INJ_PORT_STARTUP, "rewritten startup probes"},
    {INJ_PORT_HEALTHCHECK, "fsm-healthcheck"},
};

const char *inj_use_of_port(json_int_t port)
{
    for (unsigned i = 0; i < sizeof(reserved_ports) / sizeof(*reserved_ports); i++)
        if (reserved_ports[i].port == port)
            return reserved_ports[i].use;
    return NULL;
}

/* The API server refuses a quoted number; taking it for absent would let it by unseen. */
static int check_number(const json_t *o, const char *path, const char *of, struct err *e)
{
    const json_t *v = json_at(o, path);

    if (!v || json_is_null(v) || json_is_integer(v))
        return 0;
    return err_set(e, "%s: %s: expected a number without quotes", of, path);
}

static bool runs_as_proxy(const json_t *o)
{
    return json_int(o, "securityContext.runAsUser", -1) == INJ_PROXY_UID;
}

/* Only TCP is redirected and only TCP listeners of ours exist: UDP may use the numbers. */
static int check_ports(const json_t *container, const char *name, struct err *e)
{
    const json_t *p;
    size_t i;

    json_array_foreach (inj_list(container, "ports"), i, p) {
        if (check_number(p, "containerPort", name, e) != 0)
            return -1;
        json_int_t port = json_int(p, "containerPort", 0);
        const char *use = inj_use_of_port(port);

        if (use && strcmp(json_str(p, "protocol", "TCP"), "TCP") == 0)
            return err_set(e,
                           "container \"%s\" uses port %d, which is reserved for %s; choose "
                           "another port (reserved: 15000, 15001, 15003, 15010, 15901-15904)",
                           name, (int)port, use);
    }
    return 0;
}

static bool is_our_name(const char *name)
{
    return strcmp(name, INJ_SIDECAR) == 0 || strcmp(name, INJ_INIT) == 0 ||
           strcmp(name, INJ_HEALTHCHECK) == 0;
}

/* ours: containers of the mesh may be there already */
static int check_container(const json_t *container, bool ours, struct err *e)
{
    const char *name = json_str(container, "name", "");

    if (is_our_name(name) && ours)
        return 0;
    if (is_our_name(name))
        return err_set(e, "container name \"%s\" is reserved for the mesh; rename the container",
                       name);
    if (check_number(container, "securityContext.runAsUser", name, e) != 0)
        return -1;
    if (runs_as_proxy(container))
        return err_set(e,
                       "container \"%s\" has securityContext.runAsUser %d, which is reserved for "
                       "the sidecar and would bypass it; choose another user ID",
                       name, INJ_PROXY_UID);
    return check_ports(container, name, e);
}

static int check_containers(const json_t *spec, bool ours, struct err *e)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    const json_t *c;
    size_t i;

    for (unsigned k = 0; k < 3; k++)
        json_array_foreach (inj_list(spec, lists[k]), i, c)
            if (check_container(c, ours, e) != 0)
                return -1;
    return 0;
}

static int check_volumes(const json_t *list, struct err *e)
{
    const json_t *v;
    size_t i;

    json_array_foreach (list, i, v)
        if (strcmp(json_str(v, "name", ""), INJ_VOLUME) == 0)
            return err_set(e, "volume name \"%s\" is reserved for the mesh; rename the volume",
                           INJ_VOLUME);
    return 0;
}

static int check_spec(const json_t *spec, bool ours, struct err *e)
{
    if (!inj_list(spec, "containers"))
        return err_set(e, "spec.containers: expected a list of containers");
    if (check_number(spec, "securityContext.runAsUser", "spec", e) != 0)
        return -1;
    if (runs_as_proxy(spec))
        return err_set(e,
                       "the pod has spec.securityContext.runAsUser %d, which is reserved for the "
                       "sidecar and would bypass it; choose another user ID",
                       INJ_PROXY_UID);
    return check_containers(spec, ours, e);
}

int inj_check_pod(const json_t *pod, struct err *e)
{
    const json_t *spec = inj_object(pod, "spec");

    return check_spec(spec, false, e) < 0 ? -1 : check_volumes(inj_list(spec, "volumes"), e);
}

int inj_check_injected(const json_t *pod, struct err *e)
{
    return check_spec(inj_object(pod, "spec"), true, e);
}
