/* lists.c - the exclusion and inclusion lists of spec 2.1: MeshConfig and annotations merged.
 *
 * Ports: the mesh's first, then the pod's; ranges: the pod's first, then the mesh's; interfaces:
 * the mesh's only.  The order shows only in the rules' text; exclusion beats inclusion.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/cidr.h"
#include "common/base/json.h"
#include "common/kube/names.h"
#include "injector/inject_int.h"

static void append_once(json_t *list, json_t *value)
{
    const json_t *v;
    size_t i;

    json_array_foreach (list, i, v) {
        if (json_equal(v, value)) {
            json_decref(value);
            return;
        }
    }
    json_array_append_new(list, value);
}

static int add_cidr(json_t *list, const char *text)
{
    struct cidr c;
    char out[IP_TEXT_MAX];

    if (cidr_parse(text, &c, NULL) != 0)
        return -1;
    append_once(list, json_string(cidr_format(&c, out)));
    return 0;
}

static int add_port(json_t *list, struct slice text)
{
    unsigned long long port;

    if (slice_u64(text, 65535, &port) != 0 || port == 0)
        return -1;
    append_once(list, json_integer((json_int_t)port));
    return 0;
}

static int ports_from_annotation(json_t *list, const json_t *pod, const char *key, struct err *e)
{
    const char *text = inj_annotation(pod, key);
    struct slice rest = slice_str(text);

    while (rest.p) {
        struct slice item = slice_trim(slice_cut(&rest, ','));

        if (add_port(list, item) != 0)
            return err_set(e,
                           "Invalid port value '%.*s' specified for annotation '%s'; expected "
                           "port numbers from 1 to 65535 separated by commas",
                           SLICE_FMT(item), key);
    }
    return 0;
}

static int cidrs_from_annotation(json_t *list, const json_t *pod, const char *key, struct err *e)
{
    const char *text = inj_annotation(pod, key);
    struct slice rest = slice_str(text);

    while (rest.p) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        char one[IP_TEXT_MAX];

        if (item.n < sizeof(one)) {
            snprintf(one, sizeof(one), "%.*s", SLICE_FMT(item));
            if (add_cidr(list, one) == 0)
                continue;
        }
        return err_set(e,
                       "Invalid IP range '%.*s' specified for annotation '%s'; expected ranges "
                       "such as 10.0.0.0/16 or fd00::/8 separated by commas",
                       SLICE_FMT(item), key);
    }
    return 0;
}

static const json_t *mesh_list(const json_t *meshconfig, const char *field)
{
    return inj_list(json_at(meshconfig, "spec.traffic"), field);
}

static int ports_from_mesh(json_t *list, const json_t *meshconfig, const char *field, struct err *e)
{
    const json_t *v;
    size_t i;

    json_array_foreach (mesh_list(meshconfig, field), i, v) {
        json_int_t port = json_integer_value(v);

        if (port < 1 || port > 65535)
            return err_set(e,
                           "MeshConfig spec.traffic.%s[%zu]: expected a port number from 1 to "
                           "65535",
                           field, i);
        append_once(list, json_integer(port));
    }
    return 0;
}

static int cidrs_from_mesh(json_t *list, const json_t *meshconfig, const char *field, struct err *e)
{
    const json_t *v;
    size_t i;

    json_array_foreach (mesh_list(meshconfig, field), i, v) {
        const char *s = json_string_value(v);

        if (!s || add_cidr(list, s) != 0)
            return err_set(e,
                           "MeshConfig spec.traffic.%s[%zu]: got \"%s\", expected a range such as "
                           "10.0.0.0/16 or fd00::/8",
                           field, i, s ? s : "(not a string)");
    }
    return 0;
}

static int interfaces_from_mesh(json_t *list, const json_t *meshconfig, struct err *e)
{
    static const char field[] = "networkInterfaceExclusionList";
    const json_t *v;
    size_t i;

    json_array_foreach (mesh_list(meshconfig, field), i, v) {
        const char *s = json_string_value(v);

        if (!s || kube_is_interface(s))
            return err_set(e,
                           "MeshConfig spec.traffic.%s[%zu]: got \"%s\", expected the name of a "
                           "network interface",
                           field, i, s ? s : "(not a string)");
        append_once(list, json_string(s));
    }
    return 0;
}

int inj_lists_read(struct inj_lists *l, const json_t *pod, const json_t *mc, struct err *e)
{
    *l = (struct inj_lists){json_array(), json_array(), json_array(), json_array(), json_array()};
    if (cidrs_from_annotation(l->out_ip_exclude, pod, "flomesh.io/outbound-ip-range-exclusion-list",
                              e) != 0 ||
        cidrs_from_mesh(l->out_ip_exclude, mc, "outboundIPRangeExclusionList", e) != 0 ||
        cidrs_from_annotation(l->out_ip_include, pod, "flomesh.io/outbound-ip-range-inclusion-list",
                              e) != 0 ||
        cidrs_from_mesh(l->out_ip_include, mc, "outboundIPRangeInclusionList", e) != 0 ||
        ports_from_mesh(l->out_port_exclude, mc, "outboundPortExclusionList", e) != 0 ||
        ports_from_annotation(l->out_port_exclude, pod, "flomesh.io/outbound-port-exclusion-list",
                              e) != 0 ||
        ports_from_mesh(l->in_port_exclude, mc, "inboundPortExclusionList", e) != 0 ||
        ports_from_annotation(l->in_port_exclude, pod, "flomesh.io/inbound-port-exclusion-list",
                              e) != 0)
        return -1;
    return interfaces_from_mesh(l->if_exclude, mc, e);
}

bool inj_lists_in_port_excluded(const struct inj_lists *l, json_int_t port)
{
    const json_t *v;
    size_t i;

    json_array_foreach (l->in_port_exclude, i, v)
        if (json_integer_value(v) == port)
            return true;
    return false;
}

void inj_lists_free(struct inj_lists *l)
{
    json_decref(l->out_ip_exclude);
    json_decref(l->out_ip_include);
    json_decref(l->out_port_exclude);
    json_decref(l->in_port_exclude);
    json_decref(l->if_exclude);
    *l = (struct inj_lists){NULL};
}
