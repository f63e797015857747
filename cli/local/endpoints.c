/* endpoints.c - EndpointSlices of Services with a selector; see endpoints.h.
 *
 * One slice per Service, address family and set of port numbers (pods may give one port name
 * different numbers).
 */
#include "cli/local/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/local/resources.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/selector.h"

#define MANAGED_LABEL "endpointslice.kubernetes.io/managed-by"

bool endpoint_is_ready(const json_t *endpoint)
{
    return json_bool(endpoint, "conditions.ready", true);
}

bool endpoint_is_serving(const json_t *endpoint)
{
    return json_bool(endpoint, "conditions.serving", endpoint_is_ready(endpoint));
}

/* ---- ports ----------------------------------------------------------------------------------- */

static int64_t named_port(const json_t *pod, const char *name, const char *protocol)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};

    for (size_t l = 0; l < 2; l++) {
        const json_t *ctrs = json_at(pod, lists[l]);
        for (size_t i = 0; i < json_array_size(ctrs); i++) {
            const json_t *ports = json_object_get(json_array_get(ctrs, i), "ports");
            for (size_t k = 0; k < json_array_size(ports); k++) {
                const json_t *p = json_array_get(ports, k);
                if (strcmp(json_str(p, "name", ""), name) == 0 &&
                    strcmp(json_str(p, "protocol", "TCP"), protocol) == 0)
                    return json_int(p, "containerPort", 0);
            }
        }
    }
    return 0;
}

/* the number a Service's port has in this pod; 0 = the pod has no port of that name */
static int64_t target_port(const json_t *service_port, const json_t *pod)
{
    const json_t *target = json_object_get(service_port, "targetPort");

    if (json_is_string(target))
        return named_port(pod, json_string_value(target),
                          json_str(service_port, "protocol", "TCP"));
    return json_int(service_port, "targetPort", json_int(service_port, "port", 0));
}

static json_t *slice_ports(const json_t *service, const json_t *pod)
{
    const json_t *list = json_at(service, "spec.ports");
    json_t *out = json_array();

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *sp = json_array_get(list, i);
        int64_t number = target_port(sp, pod);
        if (!number)
            continue;
        json_t *p = json_pack("{s:s, s:s, s:I}", "name", json_str(sp, "name", ""), "protocol",
                              json_str(sp, "protocol", "TCP"), "port", (json_int_t)number);
        if (json_str(sp, "appProtocol", NULL))
            json_object_set(p, "appProtocol", json_object_get(sp, "appProtocol"));
        json_array_append_new(out, p);
    }
    return out;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static const char *pod_address(const json_t *pod, bool v6)
{
    const json_t *ips = json_at(pod, "status.podIPs");

    for (size_t i = 0; i < json_array_size(ips); i++) {
        const char *ip = json_str(json_array_get(ips, i), "ip", "");
        if ((strchr(ip, ':') != NULL) == v6)
            return ip;
    }
    return NULL;
}

static bool is_over(const json_t *pod)
{
    const char *phase = json_str(pod, "status.phase", "");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static json_t *endpoint(const json_t *service, const json_t *pod, const char *address)
{
    const char *ready_text = condition_get(pod, "Ready");
    bool serving = ready_text && strcmp(ready_text, "True") == 0;
    bool ending = json_str(pod, "metadata.deletionTimestamp", NULL) != NULL;
    bool all = json_bool(service, "spec.publishNotReadyAddresses", false);
    const char *host = json_str(pod, "spec.hostname", NULL);
    json_t *e = json_pack(
        "{s:[s], s:{s:b, s:b, s:b}, s:s, s:{s:s, s:s, s:s, s:s}}", "addresses", address,
        "conditions", "ready", all || (serving && !ending), "serving", serving || all,
        "terminating", ending, "nodeName", json_str(pod, "spec.nodeName", "local"), "targetRef",
        "kind", "Pod", "namespace", json_str(pod, "metadata.namespace", ""), "name",
        json_str(pod, "metadata.name", ""), "uid", json_str(pod, "metadata.uid", ""));

    if (host &&
        strcmp(json_str(pod, "spec.subdomain", ""), json_str(service, "metadata.name", "")) == 0)
        json_object_set_new(e, "hostname", json_string(host));
    return e;
}

/* ---- slices ---------------------------------------------------------------------------------- */

static json_t *new_slice(const struct kube_object *svc, const char *name, bool v6, json_t *ports)
{
    json_t *s = json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}, s:[o]}, s:s, s:o, s:[]}",
                          "apiVersion", "discovery.k8s.io/v1", "kind", "EndpointSlice", "metadata",
                          "name", name, "namespace", svc->ns, "labels", SERVICE_LABEL, svc->name,
                          MANAGED_LABEL, FIELD_MANAGER, "ownerReferences", owner_reference(svc),
                          "addressType", v6 ? "IPv6" : "IPv4", "ports", ports, "endpoints");

    if (strcmp(json_str(svc->body, "spec.clusterIP", ""), "None") == 0)
        json_object_set_new(json_object_get(json_object_get(s, "metadata"), "labels"),
                            "service.kubernetes.io/headless", json_string(""));
    return s;
}

/* the slice of this Service, family and set of ports; made when it is not there yet.
 * takes ports */
static json_t *slice_for(json_t *wanted, const struct kube_object *svc, bool v6, json_t *ports)
{
    for (unsigned n = 0;; n++) {
        char *name = n ? xasprintf("%s-%s-%u", svc->name, v6 ? "v6" : "v4", n)
                       : xasprintf("%s-%s", svc->name, v6 ? "v6" : "v4");
        json_t *s = json_object_get(wanted, name);
        if (!s) {
            s = new_slice(svc, name, v6, ports);
            json_object_set_new(wanted, name, s);
            free(name);
            return s;
        }
        free(name);
        if (json_equal(json_object_get(s, "ports"), ports)) {
            json_decref(ports);
            return s;
        }
    }
}

static bool has_family(const json_t *service, const char *family)
{
    const json_t *list = json_at(service, "spec.ipFamilies");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)) ?: "", family) == 0)
            return true;
    return json_array_size(list) == 0 && strcmp(family, "IPv4") == 0;
}

static void add_pod(json_t *wanted, const struct kube_object *svc, const json_t *pod)
{
    for (int v6 = 0; v6 < 2; v6++) {
        const char *address = pod_address(pod, v6);
        if (!address || !has_family(svc->body, v6 ? "IPv6" : "IPv4"))
            continue;
        json_t *s = slice_for(wanted, svc, v6, slice_ports(svc->body, pod));
        json_array_append_new(json_object_get(s, "endpoints"), endpoint(svc->body, pod, address));
    }
}

/* wanted: name -> body, of one Service.  A Service without pods keeps an empty slice, so that it
 * is told apart from one that nobody looks after. */
static json_t *wanted_slices(struct local *l, const struct kube_object *svc)
{
    const json_t *selector = json_at(svc->body, "spec.selector");
    json_t *wanted = json_object();
    const struct kube_object *pod;

    for (void *it = NULL; (pod = kube_store_next(l->store, "Pod", svc->ns, &it)) != NULL;)
        if (!is_over(pod->body) &&
            kube_labels_match(selector, json_at(pod->body, "metadata.labels")))
            add_pod(wanted, svc, pod->body);
    if (json_object_size(wanted) == 0)
        slice_for(wanted, svc, !has_family(svc->body, "IPv4"), json_array());
    return wanted;
}

/* ---- what differs ---------------------------------------------------------------------------- */

struct change {
    json_t *create, *update; /* arrays of bodies */
    json_t *remove;          /* array of [ns, name] */
};

static bool is_ours(const struct kube_object *slice)
{
    const char *by =
        json_string_value(json_object_get(json_at(slice->body, "metadata.labels"), MANAGED_LABEL));
    return by && strcmp(by, FIELD_MANAGER) == 0;
}

static bool says_same(const json_t *now, const json_t *wanted)
{
    static const char *const keys[] = {"ports", "endpoints", "addressType"};

    for (size_t i = 0; i < 3; i++)
        if (!json_equal(json_object_get(now, keys[i]), json_object_get(wanted, keys[i])))
            return false;
    return json_equal(json_at(now, "metadata.labels"), json_at(wanted, "metadata.labels"));
}

/* all that is wanted, by "ns/name" */
static json_t *all_wanted(struct local *l)
{
    json_t *all = json_object();
    const struct kube_object *svc;
    const char *name;
    json_t *body;

    for (void *it = NULL; (svc = kube_store_next(l->store, "Service", NULL, &it)) != NULL;) {
        if (json_object_size(json_at(svc->body, "spec.selector")) == 0 ||
            strcmp(json_str(svc->body, "spec.type", ""), "ExternalName") == 0)
            continue;
        json_t *wanted = wanted_slices(l, svc);
        json_object_foreach (wanted, name, body) {
            char *key = xasprintf("%s/%s", svc->ns, name);
            json_object_set(all, key, body);
            free(key);
        }
        json_decref(wanted);
    }
    return all;
}

static void compare(struct local *l, json_t *all, struct change *c)
{
    const struct kube_object *now;

    for (void *it = NULL; (now = kube_store_next(l->store, "EndpointSlice", NULL, &it)) != NULL;) {
        char *key = xasprintf("%s/%s", now->ns, now->name);
        json_t *wanted = json_object_get(all, key);
        if (wanted && !says_same(now->body, wanted))
            json_array_append(c->update, wanted);
        else if (!wanted && is_ours(now))
            json_array_append_new(c->remove, json_pack("[s, s]", now->ns, now->name));
        json_object_del(all, key);
        free(key);
    }
    const char *key;
    json_t *body;
    json_object_foreach (all, key, body) {
        json_array_append(c->create, body);
    }
}

static void carry_out(struct local *l, const struct change *c)
{
    struct err e;

    for (size_t i = 0; i < json_array_size(c->remove); i++) {
        const json_t *id = json_array_get(c->remove, i);
        res_remove(l, "EndpointSlice", json_string_value(json_array_get(id, 0)),
                   json_string_value(json_array_get(id, 1)));
    }
    for (size_t i = 0; i < json_array_size(c->update); i++)
        res_set(l, json_deep_copy(json_array_get(c->update, i)));
    for (size_t i = 0; i < json_array_size(c->create); i++)
        if (!res_create(l, json_deep_copy(json_array_get(c->create, i)), &e))
            log_error("endpoints", "%s", e.text);
}

void endpoints_sync(struct local *l)
{
    struct change c = {json_array(), json_array(), json_array()};
    json_t *all = all_wanted(l);

    compare(l, all, &c);
    carry_out(l, &c);
    json_decref(all);
    json_decref(c.create);
    json_decref(c.update);
    json_decref(c.remove);
}
