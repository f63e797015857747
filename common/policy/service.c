/* service.c - a Service as the mesh sees it: its TCP ports, addresses and endpoints. */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/packed.h"
#include "common/kube/selector.h"
#include "common/policy/mesh.h"

static bool is_tcp(const json_t *port)
{
    return strcmp(json_str(port, "protocol", "TCP"), "TCP") == 0;
}

static void read_target(struct mesh_port *out, const json_t *port)
{
    const json_t *target = json_object_get(port, "targetPort");

    if (json_is_string(target))
        out->target_name = packed_word(json_string_value(target));
    else
        out->target_number = (uint16_t)json_int(port, "targetPort", out->port);
    if (!out->target_name && out->target_number == 0)
        out->target_number = out->port;
    out->target = out->target_number ? out->target_number : out->port;
}

/* owned text, or NULL; only the first thing to say is kept */
static void note(char **where, char *text)
{
    if (*where)
        free(text);
    else
        *where = text;
}

static void read_ports(struct mesh_service *s, const json_t *spec, char **notes)
{
    const json_t *ports = json_object_get(spec, "ports");

    s->ports = xcalloc(json_array_size(ports) + 1, sizeof(*s->ports));
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *p = json_array_get(ports, i);
        int64_t number = json_int(p, "port", 0);
        const char *app = json_str(p, "appProtocol", "");
        if (!is_tcp(p) || number < 1 || number > 65535)
            continue;
        struct mesh_port *out = &s->ports[s->n_ports++];
        out->name = packed_word(json_str(p, "name", ""));
        out->port = (uint16_t)number;
        out->protocol = mesh_protocol_of(app, out->name);
        read_target(out, p);
        if (*app && !out->protocol.declared)
            note(notes, xasprintf("port %u: appProtocol \"%s\" is not known; the protocol is told "
                                  "from the first bytes of each connection",
                                  out->port, app));
    }
}

static void add_cluster_ip(struct mesh_service *s, const char *text)
{
    struct ip ip;

    if (!text || s->n_cluster_ips == 2 || ip_parse(text, &ip) < 0)
        return;
    if (s->n_cluster_ips == 1 && ip_eq(&ip, &s->cluster_ips[0]))
        return;
    s->cluster_ips[s->n_cluster_ips++] = ip;
}

static void read_addresses(struct mesh_service *s, const json_t *spec)
{
    const json_t *ips = json_object_get(spec, "clusterIPs");
    const char *ip = json_str(spec, "clusterIP", "");

    s->headless = strcmp(ip, "None") == 0;
    add_cluster_ip(s, ip);
    for (size_t i = 0; i < json_array_size(ips); i++) {
        const char *text = json_string_value(json_array_get(ips, i));
        s->headless |= text && strcmp(text, "None") == 0;
        add_cluster_ip(s, text);
    }
}

static const char *annotation(const json_t *body, const char *name)
{
    const json_t *a = json_object_get(json_object_get(body, "metadata"), "annotations");

    return json_string_value(json_object_get(a, name));
}

/* NULL: round robin, which is what a document says by saying nothing */
static const char *read_balancer(const json_t *body, char **notes)
{
    static const char least[] = "LeastConnectionLoadBalancer";
    const char *name = annotation(body, "flomesh.io/load-balancer");

    if (!name || strcmp(name, "RoundRobinLoadBalancer") == 0)
        return NULL;
    if (strcmp(name, least) == 0)
        return least;
    note(notes, xasprintf("flomesh.io/load-balancer \"%s\" is not known: expected "
                          "RoundRobinLoadBalancer or %s; endpoints take turns",
                          name, least));
    return NULL;
}

static struct mesh_service *service_read(const struct kube_object *obj, const json_t *body,
                                         const struct mesh_endpoint_source *src, char **notes)
{
    const json_t *spec = json_object_get(body, "spec");
    struct mesh_service *s = xcalloc(1, sizeof(*s));

    s->obj = kube_object_ref((struct kube_object *)obj);
    s->ns = obj->ns;
    s->name = obj->name;
    s->selector = json_incref(json_object_get(spec, "selector"));
    s->publish_not_ready = json_bool(spec, "publishNotReadyAddresses", false);
    read_addresses(s, spec);
    s->balancer = read_balancer(body, notes);
    read_ports(s, spec, notes);
    mesh_endpoints_read(s, src);
    if (!s->headless && s->n_cluster_ips == 0)
        note(notes, xstrdup("the Service has no clusterIP yet: it is reached at its endpoints' "
                            "addresses only"));
    return s;
}

struct mesh_service *mesh_service_new(const struct kube_object *obj,
                                      const struct mesh_endpoint_source *src, char **notes)
{
    json_t *body = kube_object_at(obj, "");
    struct mesh_service *s = NULL;

    *notes = NULL;
    bool excluded = mesh_switch_is_on(annotation(body, "flomesh.io/service-exclusion"));
    if (!excluded && strcmp(json_str(body, "spec.type", ""), "ExternalName") == 0)
        *notes = xstrdup("a Service of type ExternalName is only a DNS alias: the mesh treats its "
                         "target as any other destination");
    else if (!excluded)
        s = service_read(obj, body, src, notes);
    json_decref(body);
    return s;
}

void mesh_service_free(struct mesh_service *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->n_endpoints; i++) {
        free(s->endpoints[i].hostname);
        free(s->endpoints[i].ports);
    }
    for (unsigned i = 0; i < s->n_ports; i++) {
        packed_word_free(s->ports[i].name);
        packed_word_free(s->ports[i].target_name);
    }
    free(s->endpoints);
    free(s->ports);
    json_decref(s->selector);
    kube_object_unref((struct kube_object *)s->obj);
    free(s);
}

bool mesh_service_selects(const struct mesh_service *s, const struct mesh_pod *p)
{
    if (strcmp(s->ns, p->ns) != 0)
        return false;
    json_t *labels = mesh_pod_labels(p);
    bool matches = kube_labels_match(s->selector, labels);
    json_decref(labels);
    return matches;
}
