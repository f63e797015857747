/* pod.c - a pod's addresses, identity and ports. */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/mesh.h"

/* the injector puts it on every pod that gets a sidecar */
#define PROXY_LABEL    "fsm-proxy-uuid"
#define INIT_NAME      "fsm-init"
#define SIDECAR_NAME   "sidecar"
#define INJECTION      "flomesh.io/sidecar-injection"
#define EXCLUSION_LIST "flomesh.io/inbound-port-exclusion-list"

static void add_ip(struct mesh_pod *p, const char *text)
{
    struct ip ip;

    if (!text || ip_parse(text, &ip) < 0 || mesh_pod_has_ip(p, &ip))
        return;
    p->ips = xreallocarray(p->ips, p->n_ips + 1, sizeof(*p->ips));
    p->ips[p->n_ips++] = ip;
}

static void read_ips(struct mesh_pod *p, const json_t *body)
{
    const json_t *ips = json_at(body, "status.podIPs");

    add_ip(p, json_str(body, "status.podIP", NULL));
    for (size_t i = 0; i < json_array_size(ips); i++)
        add_ip(p, json_str(json_array_get(ips, i), "ip", NULL));
}

/* a finished pod's addresses may belong to another by now */
static bool is_finished(const json_t *body)
{
    const char *phase = json_str(body, "status.phase", "");

    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* The label came along from a pod that was injected; this one was told not to be, and is not. */
static bool is_left_out(const struct mesh_pod *p)
{
    const json_t *notes = json_at(p->obj->body, "metadata.annotations"), *c;
    struct slice told = slice_str(json_string_value(json_object_get(notes, INJECTION)));
    size_t it = 0;

    if (!slice_ieq(told, SLICE_LIT("disabled")) && !slice_ieq(told, SLICE_LIT("no")) &&
        !slice_ieq(told, SLICE_LIT("false")))
        return false;
    while ((c = mesh_pod_next_container(p, &it)) != NULL)
        if (strcmp(json_str(c, "name", ""), SIDECAR_NAME) == 0)
            return false;
    return true;
}

struct mesh_pod *mesh_pod_new(const struct kube_object *obj)
{
    struct mesh_pod *p = xcalloc(1, sizeof(*p));
    const json_t *body = obj->body;

    p->obj = kube_object_ref((struct kube_object *)obj);
    p->ns = obj->ns;
    p->name = obj->name;
    p->uid = json_str(body, "metadata.uid", "");
    p->sa = json_str(body, "spec.serviceAccountName", "");
    if (!*p->sa)
        p->sa = json_str(body, "spec.serviceAccount", "");
    if (!*p->sa)
        p->sa = "default";
    if (!json_bool(body, "spec.hostNetwork", false) && !is_finished(body)) {
        read_ips(p, body);
        p->live = true;
    }
    p->meshed =
        p->live && json_object_get(mesh_pod_labels(p), PROXY_LABEL) != NULL && !is_left_out(p);
    return p;
}

void mesh_pod_free(struct mesh_pod *p)
{
    if (!p)
        return;
    kube_object_unref((struct kube_object *)p->obj);
    free(p->ips);
    free(p);
}

bool mesh_pod_same_place(const struct mesh_pod *a, const struct mesh_pod *b)
{
    if (a->meshed != b->meshed || a->n_ips != b->n_ips || strcmp(a->sa, b->sa) != 0)
        return false;
    for (unsigned i = 0; i < a->n_ips; i++)
        if (!ip_eq(&a->ips[i], &b->ips[i]))
            return false;
    return true;
}

bool mesh_pod_has_ip(const struct mesh_pod *p, const struct ip *ip)
{
    for (unsigned i = 0; i < p->n_ips; i++)
        if (ip_eq(&p->ips[i], ip))
            return true;
    return false;
}

const json_t *mesh_pod_labels(const struct mesh_pod *p)
{
    return json_object_get(json_object_get(p->obj->body, "metadata"), "labels");
}

const json_t *mesh_pod_next_container(const struct mesh_pod *p, size_t *it)
{
    const json_t *spec = json_object_get(p->obj->body, "spec");
    const json_t *init = json_object_get(spec, "initContainers");
    const json_t *main = json_object_get(spec, "containers");
    size_t n_init = json_array_size(init);

    for (; *it < n_init; (*it)++) {
        const json_t *c = json_array_get(init, *it);
        if (strcmp(json_str(c, "restartPolicy", ""), "Always") == 0) {
            (*it)++;
            return c;
        }
    }
    const json_t *c = json_array_get(main, *it - n_init);
    (*it)++;
    return c;
}

uint16_t mesh_pod_port(const struct mesh_pod *p, const char *port_name)
{
    size_t it = 0;
    const json_t *c;

    while ((c = mesh_pod_next_container(p, &it)) != NULL) {
        const json_t *ports = json_object_get(c, "ports");
        for (size_t i = 0; i < json_array_size(ports); i++) {
            const json_t *port = json_array_get(ports, i);
            if (strcmp(json_str(port, "name", ""), port_name) == 0 &&
                strcmp(json_str(port, "protocol", "TCP"), "TCP") == 0)
                return (uint16_t)json_int(port, "containerPort", 0);
        }
    }
    return 0;
}

/* the text behind a flag of the redirection's, or NULL */
static const char *flag_of(const json_t *init, const char *flag)
{
    const json_t *args = json_object_get(init, "args");
    size_t n = strlen(flag);

    for (size_t i = 0; i < json_array_size(args); i++) {
        const char *arg = json_string_value(json_array_get(args, i));
        if (!arg || strncmp(arg, flag, n) != 0)
            continue;
        if (arg[n] == '=')
            return arg + n + 1;
        if (arg[n] == '\0')
            return json_string_value(json_array_get(args, i + 1));
    }
    return NULL;
}

/* the container that makes the redirection, or NULL: the node does */
static const json_t *init_of(const json_t *body)
{
    const json_t *init = json_at(body, "spec.initContainers");

    for (size_t i = 0; i < json_array_size(init); i++)
        if (strcmp(json_str(json_array_get(init, i), "name", ""), INIT_NAME) == 0)
            return json_array_get(init, i);
    return NULL;
}

/* what the redirection of the pod leaves alone: "8081,9090", or NULL */
static const char *excluded_ports(const json_t *body, const json_t *init)
{
    const json_t *notes = json_at(body, "metadata.annotations");

    return init ? flag_of(init, "--inbound-port-exclude")
                : json_string_value(json_object_get(notes, EXCLUSION_LIST));
}

/* Is the interface by which others reach a pod one of the excluded?  The runtime calls it so. */
static bool excludes_interface(const json_t *init)
{
    struct slice rest = slice_str(flag_of(init, "--interface-exclude")), main = slice_str("eth0");

    while (rest.p) {
        struct slice name = slice_trim(slice_cut(&rest, ','));
        if (name.n > 0 && name.p[name.n - 1] == '+'
                ? slice_starts(main, slice_of(name.p, name.n - 1))
                : slice_eq(name, main))
            return true;
    }
    return false;
}

bool mesh_pod_bypasses(const struct mesh_pod *p, uint16_t port)
{
    const json_t *init = init_of(p->obj->body);
    const char *text = excluded_ports(p->obj->body, init);
    struct slice rest = slice_str(text);
    unsigned long long n;

    if (init && excludes_interface(init))
        return true;
    while (text && rest.p)
        if (slice_u64(slice_trim(slice_cut(&rest, ',')), 65535, &n) == 0 && n == port)
            return true;
    return false;
}

static const json_t *controller_of(const json_t *body)
{
    const json_t *owners = json_at(body, "metadata.ownerReferences");

    for (size_t i = 0; i < json_array_size(owners); i++)
        if (json_bool(json_array_get(owners, i), "controller", false))
            return json_array_get(owners, i);
    return NULL;
}

void mesh_pod_workload(const struct mesh_pod *p, const char **kind, struct buf *name)
{
    const json_t *owner = controller_of(p->obj->body);
    const char *owner_name = json_str(owner, "name", p->name);
    const char *hash = json_string_value(json_object_get(mesh_pod_labels(p), "pod-template-hash"));
    size_t n = strlen(owner_name), h = hash ? strlen(hash) : 0;

    *kind = json_str(owner, "kind", "Pod");
    if (strcmp(*kind, "ReplicaSet") == 0 && h > 0 && n > h + 1 && owner_name[n - h - 1] == '-' &&
        strcmp(owner_name + n - h, hash) == 0) {
        *kind = "Deployment";
        n -= h + 1;
    }
    buf_append(name, owner_name, n);
}

void mesh_identity(const char *sa, const char *ns, struct buf *out)
{
    buf_printf(out, "%s.%s", sa, ns);
}

void mesh_principal(const char *sa, const char *ns, const char *trust_domain, struct buf *out)
{
    buf_printf(out, "%s.%s.%s", sa, ns, trust_domain);
}

void mesh_spiffe(const char *sa, const char *ns, const char *trust_domain, struct buf *out)
{
    buf_printf(out, "spiffe://%s/ns/%s/sa/%s", trust_domain, ns, sa);
}
