/* settings.c - the effective values of a MeshConfig. */
#include "common/policy/settings.h"

#include <stdio.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"

#define DAY_MS            (24 * 3600 * INT64_C(1000))
#define SIDECAR_TIMEOUT_S 60
#define SIDECAR_TIMEOUT_MAX_S                                                                      \
    86400 /* more than a day is as good as none, and what a sidecar takes */

static enum mesh_access access_of(const char *mode)
{
    if (strcmp(mode, "domain") == 0)
        return MESH_ACCESS_DOMAIN;
    return strcmp(mode, "ip") == 0 ? MESH_ACCESS_IP : MESH_ACCESS_MIXED;
}

static int64_t validity_of(const char *text)
{
    int64_t ms;

    return text && clock_parse_duration(text, &ms) == 0 && ms > 0 ? ms : DAY_MS;
}

/* seconds; nothing and less than nothing mean none */
static int64_t timeout_of(const json_t *spec)
{
    int64_t s = json_int(spec, "sidecar.sidecarTimeout", SIDECAR_TIMEOUT_S);

    return s < 0 ? 0 : s > SIDECAR_TIMEOUT_MAX_S ? SIDECAR_TIMEOUT_MAX_S : s;
}

void mesh_settings_read(const json_t *mc, struct mesh_settings *out)
{
    const json_t *spec = json_object_get(mc, "spec");

    *out = (struct mesh_settings){
        .permissive = json_bool(spec, "traffic.enablePermissiveTrafficPolicyMode", false),
        .enable_egress = json_bool(spec, "traffic.enableEgress", false),
        .http1_per_request_lb = json_bool(spec, "traffic.http1PerRequestLoadBalancing", false),
        .http2_per_request_lb = json_bool(spec, "traffic.http2PerRequestLoadBalancing", false),
        .access = access_of(json_str(spec, "traffic.serviceAccessMode", "")),
        .sidecar_timeout_s = timeout_of(spec),
        .proxy_pod_ip = strcmp(json_str(spec, "sidecar.localProxyMode", ""), "PodIP") == 0,
        .active_health_checks =
            json_bool(spec, "featureFlags.enableSidecarActiveHealthChecks", false),
        .auto_default_route = json_bool(spec, "featureFlags.enableAutoDefaultRoute", false),
        .mtls_disabled = json_bool(spec, "sidecar.sidecarDisabledMTLS", false),
        .cert_validity_ms =
            validity_of(json_str(spec, "certificate.serviceCertValidityDuration", NULL)),
        .max_proxies = json_int(spec, "sidecar.maxDataPlaneConnections", 0),
        .limits = json_at(spec, "sidecar.limits"),
        .feature_flags = json_object_get(spec, "featureFlags"),
    };
    snprintf(out->sidecar_log_level, sizeof(out->sidecar_log_level), "%s",
             json_str(spec, "sidecar.logLevel", "error"));
    snprintf(out->fsm_log_level, sizeof(out->fsm_log_level), "%s",
             json_str(spec, "observability.fsmLogLevel", "info"));
}
