/* pod.c - a pod's addresses, identity and ports. */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/packed.h"
#include "common/policy/mesh.h"

/* the injector puts it on every pod that gets a sidecar */
#define PROXY_LABEL    "fsm-proxy-uuid"
#define INIT_NAME      "fsm-init"
#define SIDECAR_NAME   "sidecar"
#define INJECTION      "flomesh.io/sidecar-injection"
#define EXCLUSION_LIST "flomesh.io/inbound-port-exclusion-list"
#define BYPASS_ALL     "*"

/* p->ips has room */
static void add_ip(struct mesh_pod *p, const char *text)
{
    struct ip ip;

    if (text && ip_parse(text, &ip) == 0 && !mesh_pod_has_ip(p, &ip))
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
static bool is_left_out(const json_t *body)
{
    const json_t *notes = json_at(body, "metadata.annotations"), *c;
    struct slice told = slice_str(json_string_value(json_object_get(notes, INJECTION)));
    size_t it = 0;

    if (!slice_ieq(told, SLICE_LIT("disabled")) && !slice_ieq(told, SLICE_LIT("no")) &&
        !slice_ieq(told, SLICE_LIT("false")))
        return false;
    while ((c = mesh_pod_next_container(json_object_get(body, "spec"), &it)) != NULL)
        if (strcmp(json_str(c, "name", ""), SIDECAR_NAME) == 0)
            return false;
    return true;
}

static const char *account_of(const json_t *body)
{
    const char *sa = json_str(body, "spec.serviceAccountName", "");

    if (!*sa)
        sa = json_str(body, "spec.serviceAccount", "");
    return *sa ? sa : "default";
}

static bool is_injected(const json_t *body)
{
    return json_object_get(json_at(body, "metadata.labels"), PROXY_LABEL) && !is_left_out(body);
}

static const char *bypass_of(const json_t *body);

struct mesh_pod *mesh_pod_new(const struct kube_object *obj)
{
    json_t *body = kube_object_at(obj, "");
    const char *uid = json_str(body, "metadata.uid", ""), *bypass = bypass_of(body);
    size_t n_uid = strlen(uid) + 1, n_ips = json_array_size(json_at(body, "status.podIPs")) + 1;
    /* in one block: there are many */
    struct mesh_pod *p = xcalloc(1, sizeof(*p) + n_ips * sizeof(*p->ips) + n_uid);

    p->ips = (struct ip *)(p + 1);
    p->uid = memcpy(p->ips + n_ips, uid, n_uid);
    p->obj = kube_object_ref((struct kube_object *)obj);
    p->ns = obj->ns;
    p->name = obj->name;
    p->sa = packed_word(account_of(body));
    p->bypass = bypass ? packed_word(bypass) : NULL;
    p->live = !json_bool(body, "spec.hostNetwork", false) && !is_finished(body);
    if (p->live)
        read_ips(p, body);
    p->meshed = p->live && is_injected(body);
    json_decref(body);
    return p;
}

void mesh_pod_free(struct mesh_pod *p)
{
    if (!p)
        return;
    kube_object_unref((struct kube_object *)p->obj);
    packed_word_free(p->sa);
    packed_word_free(p->bypass);
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

json_t *mesh_pod_labels(const struct mesh_pod *p)
{
    return kube_object_at(p->obj, "metadata.labels");
}

void mesh_pod_uuid(const struct mesh_pod *p, struct buf *out)
{
    json_t *labels = mesh_pod_labels(p);

    buf_puts(out, json_str(labels, PROXY_LABEL, ""));
    json_decref(labels);
}

const json_t *mesh_pod_next_container(const json_t *spec, size_t *it)
{
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

static uint16_t container_port(const json_t *container, const char *port_name)
{
    const json_t *ports = json_object_get(container, "ports");

    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        if (strcmp(json_str(port, "name", ""), port_name) == 0 &&
            strcmp(json_str(port, "protocol", "TCP"), "TCP") == 0)
            return (uint16_t)json_int(port, "containerPort", 0);
    }
    return 0;
}

uint16_t mesh_pod_port(const struct mesh_pod *p, const char *port_name)
{
    json_t *spec = kube_object_at(p->obj, "spec");
    uint16_t port = 0;
    size_t it = 0;
    const json_t *c;

    while (port == 0 && (c = mesh_pod_next_container(spec, &it)) != NULL)
        port = container_port(c, port_name);
    json_decref(spec);
    return port;
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

static const char *bypass_of(const json_t *body)
{
    const json_t *init = init_of(body);

    return init && excludes_interface(init) ? BYPASS_ALL : excluded_ports(body, init);
}

bool mesh_pod_bypasses(const struct mesh_pod *p, uint16_t port)
{
    struct slice rest = slice_str(p->bypass);
    unsigned long long n;

    if (slice_eq_str(rest, BYPASS_ALL))
        return true;
    while (rest.p)
        if (slice_u64(slice_trim(slice_cut(&rest, ',')), 65535, &n) == 0 && n == port)
            return true;
    return false;
}

static const json_t *controller_of(const json_t *metadata)
{
    const json_t *owners = json_object_get(metadata, "ownerReferences");

    for (size_t i = 0; i < json_array_size(owners); i++)
        if (json_bool(json_array_get(owners, i), "controller", false))
            return json_array_get(owners, i);
    return NULL;
}

void mesh_pod_workload(const struct mesh_pod *p, struct buf *kind, struct buf *name)
{
    json_t *metadata = kube_object_at(p->obj, "metadata");
    const json_t *owner = controller_of(metadata), *labels = json_object_get(metadata, "labels");
    const char *owner_name = json_str(owner, "name", p->name), *k = json_str(owner, "kind", "Pod");
    const char *hash = json_string_value(json_object_get(labels, "pod-template-hash"));
    size_t n = strlen(owner_name), h = hash ? strlen(hash) : 0;

    if (strcmp(k, "ReplicaSet") == 0 && h > 0 && n > h + 1 && owner_name[n - h - 1] == '-' &&
        strcmp(owner_name + n - h, hash) == 0) {
        k = "Deployment";
        n -= h + 1;
    }
    buf_puts(kind, k);
    buf_append(name, owner_name, n);
    json_decref(metadata);
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
