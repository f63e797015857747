/* words_fuzz.c - small texts in resources, flags and answers; the first byte says what it is: any
 * syntax of names.h, a quantity, an address, a pattern, a health answer of gRPC. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/clock.h"
#include "common/kube/names.h"
#include "common/kube/quantity.h"
#include "common/policy/protocol.h"
#include "common/proxy/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kube_syntax *const syntaxes[] = {
    kube_is_dns_label,    kube_is_dns1035_label, kube_is_dns_subdomain,
    kube_is_path_segment, kube_is_host,          kube_is_fqdn,
    kube_is_port_name,    kube_is_label_key,     kube_is_annotation_key,
    kube_is_label_value,  kube_is_config_key,    kube_is_env_name,
    kube_is_http_token,   kube_is_absolute_path, kube_is_ip,
    kube_is_ipv4,         kube_is_cidr,          kube_is_ip_or_cidr,
    kube_is_duration,     kube_is_validity,      kube_is_interface,
    kube_is_quantity,     kube_is_percent,       kube_is_base64,
    kube_is_rfc3339,      kube_is_schedule,      kube_is_regex,
    kube_is_ratio};
#define SYNTAXES (sizeof syntaxes / sizeof syntaxes[0])

/* what says that a text is one takes it, too */
static void check_agreement(const char *s)
{
    struct ip_port at;
    struct ip ip;
    int64_t n;

    BUG_ON(!kube_is_quantity(s) && kube_quantity_milli(s, &n) < 0);
    BUG_ON(!kube_is_ip(s) != (ip_parse(s, &ip) == 0) && strchr(s, '%') == NULL);
    if (ip_port_parse(s, &at) == 0)
        BUG_ON(at.ip.family != 4 && at.ip.family != 6 && at.ip.family != 0);
    mesh_protocol_of(s, s);
    mesh_protocol_of(NULL, s);
    kube_name_distance(s, "service");
}

static void check_pattern(const char *s, size_t n)
{
    struct arena *a = arena_new(0);
    const char *bar = memchr(s, '|', n);
    struct matcher m;
    struct err e = {""};

    if (matcher_init_regex(&m, a, s, &e) == 0) {
        matcher_test(&m, bar ? slice_of(bar + 1, (size_t)(s + n - bar - 1)) : slice_of(s, n));
        matcher_release(&m);
    } else {
        BUG_ON(!e.text[0]);
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s;

    if (size < 1 || size > 2000)
        return 0;
    s = malloc(size);
    memcpy(s, data + 1, size - 1);
    s[size - 1] = '\0';
    if (data[0] < SYNTAXES)
        syntaxes[data[0]](s);
    else if (data[0] & 1)
        check_agreement(s);
    else
        check_pattern(s, size - 1);
    free(s);
    return 0;
}
