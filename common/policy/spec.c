/* spec.c - Spec, Proxy and Certificate of a document. */
#include "common/policy/spec.h"

#include <strings.h>

#include "common/base/json.h"

/* probes that the injector sent to the sidecar's ports; what they were meant for stands in their
 * headers */
static bool is_rewritten(const json_t *probe)
{
    int64_t port = json_int(probe, "httpGet.port", 0);

    return port >= 15901 && port <= 15904;
}

/* A hook's key is the pod's secret: the document says that there is one, and the sidecar was told
 * its hash.  returns owned */
static json_t *without_key(const json_t *probe)
{
    json_t *copy = json_deep_copy(probe), *h;
    size_t i;

    json_array_foreach (json_at(copy, "httpGet.httpHeaders"), i, h)
        if (strcasecmp(json_str(h, "name", ""), "Original-Hook-Key") == 0)
            json_object_set_new(h, "value", json_string(""));
    return copy;
}

/* where: a probe of a container, or a lifecycle hook, which the kubelet calls the same way */
static void add_probes(json_t *probes, const json_t *spec, const char *where, const char *key)
{
    json_t *list = json_object_get(probes, key), *found = list ? json_incref(list) : json_array();
    const json_t *c;
    size_t it = 0;

    while ((c = mesh_pod_next_container(spec, &it)) != NULL) {
        json_t *probe = json_at(c, where);
        if (is_rewritten(probe))
            json_array_append_new(found, without_key(probe));
    }
    if (!list && json_array_size(found) > 0)
        json_object_set(probes, key, found);
    json_decref(found);
}

static json_t *probes_of(const struct mesh_pod *p)
{
    json_t *probes = json_object(), *spec = kube_object_at(p->obj, "spec");

    add_probes(probes, spec, "readinessProbe", "ReadinessProbes");
    add_probes(probes, spec, "livenessProbe", "LivenessProbes");
    add_probes(probes, spec, "startupProbe", "StartupProbes");
    add_probes(probes, spec, "lifecycle.postStart", "LivenessProbes");
    add_probes(probes, spec, "lifecycle.preStop", "LivenessProbes");
    json_decref(spec);
    return probes;
}

json_t *spec_compile(const struct mesh_settings *set, const struct mesh_pod *p)
{
    json_t *traffic = json_pack("{s:b,s:b,s:b}", "EnableEgress", set->enable_egress,
                                "HTTP1PerRequestLoadBalancing", set->http1_per_request_lb,
                                "HTTP2PerRequestLoadBalancing", set->http2_per_request_lb);
    json_t *flags =
        json_pack("{s:b,s:b}", "EnableSidecarActiveHealthChecks", set->active_health_checks,
                  "EnableAutoDefaultRoute", set->auto_default_route);

    json_t *spec =
        json_pack("{s:s,s:I,s:o,s:o,s:o,s:{},s:s}", "SidecarLogLevel", set->sidecar_log_level,
                  "SidecarTimeout", (json_int_t)set->sidecar_timeout_s, "Traffic", traffic,
                  "FeatureFlags", flags, "Probes", probes_of(p), "Observability", "LocalProxyMode",
                  set->proxy_pod_ip ? "PodIP" : "Localhost");
    if (json_object_size(set->limits) > 0)
        json_object_set(spec, "Limits", (json_t *)set->limits);
    return spec;
}

json_t *spec_proxy(const struct mesh_pod *p, const char *trust_domain)
{
    struct buf principal = BUF_INIT, spiffe = BUF_INIT, workload = BUF_INIT, kind = BUF_INIT;
    json_t *ips = json_array();
    char text[IP_TEXT_MAX];

    mesh_principal(p->sa, p->ns, trust_domain, &principal);
    mesh_spiffe(p->sa, p->ns, trust_domain, &spiffe);
    mesh_pod_workload(p, &kind, &workload);
    for (unsigned i = 0; i < p->n_ips; i++)
        json_array_append_new(ips, json_string(ip_format(&p->ips[i], text)));
    json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:{s:s,s:s}}", "Pod", p->name,
                            "Namespace", p->ns, "ServiceAccount", p->sa, "TrustDomain",
                            trust_domain, "Principal", principal.p, "Spiffe", spiffe.p, "PodIPs",
                            ips, "Workload", "Kind", kind.p, "Name", workload.p);
    buf_free(&principal);
    buf_free(&spiffe);
    buf_free(&workload);
    buf_free(&kind);
    return out;
}

json_t *spec_certificate(const struct mesh_pod *p, const char *trust_domain)
{
    struct buf cn = BUF_INIT;

    mesh_principal(p->sa, p->ns, trust_domain, &cn);
    json_t *out = json_pack("{s:s}", "CommonName", cn.p);
    buf_free(&cn);
    return out;
}
